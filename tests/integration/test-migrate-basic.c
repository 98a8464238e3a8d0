/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Migrations that go well: what arrives, what is told, and what policies do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/pair.h"

START_TEST(plaintext)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.order = 20, .dump = true},
		.destination = {.dump = true},
	});

	pair_migrate(&p);
	pair_completes(&p);
	pair_tables_equal(&p);
	pair_free(&p);
}
END_TEST

static bool journal_has(const struct pair *p, const char *words)
{
	FILE *f = fopen(p->a->process->log, "re");
	char *line = NULL;
	bool found = false;
	size_t n = 0;

	h_check(p->h, f, "%s: %m", p->a->process->log);
	while (!found && getline(&line, &n, f) > 0)
		found = strstr(line, words);
	free(line);
	fclose(f);
	return found;
}

START_TEST(tls)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.source = {.order = 20, .vcpus = 2, .rate = 20000, .dump = true},
		.destination = {.dump = true},
	});
	struct json_object *q;

	pair_migrate(&p);
	pair_completes(&p);
	q = host_query(p.b, PAIR_VM);
	h_check_text(p.h, member_text(q, "peer", ""), "CN=hosta");
	json_object_put(q);
	q = host_query(p.a, PAIR_VM);
	h_check(p.h, member(q, "ktls"), "the source does not say who encrypts");
	h_check(p.h, journal_has(&p, "encrypts what the data channel"), "nor does its journal");
	json_object_put(q);
	pair_tables_equal(&p);
	pair_free(&p);
}
END_TEST

/* A BookE guest: passes of TLB entries in place of a table's, over TLS, compared and counted. */
START_TEST(booke)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.verify = true,
		.a = {.hold = "pause"},
		.source = {.booke = true, .vcpus = 3, .rate = 20000, .dump = true},
		.destination = {.booke = true, .vcpus = 3, .dump = true},
	});
	struct json_object *q, *verify;

	pair_migrate_to(&p, "pause");
	/* It counts every 4 ms at least, and changes as many entries as its rate asks for. */
	for (int i = 0; i < 10; i++)
		guest_runs(p.source);
	host_do(p.a, "x-continue", "{'vm': '" PAIR_VM "'}");
	pair_completes(&p);
	q = host_query(p.a, PAIR_VM);
	verify = member(q, "verify");
	h_check(p.h, verify && member_int(verify, "mismatches", -1) == 0, "entries differ");
	h_check(p.h, member_int(verify, "entries", 0) == 3 * 528, "%lld entries compared",
		(long long)member_int(verify, "entries", 0));
	h_check(p.h, member_int(member(q, "htab"), "transferred", 0) > 3 * 528, "%lld entries sent",
		(long long)member_int(member(q, "htab"), "transferred", 0));
	json_object_put(q);
	pair_tables_equal(&p);
	pair_free(&p);
}
END_TEST

/* The machines do not fit: refused before anything changes, and the source's guest runs on. */
START_TEST(booke_is_no_hpt)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.booke = true},
	});

	pair_migrate(&p);
	pair_fails(&p, "the guest's MMU is BookE's");
	pair_stays(&p);
}
END_TEST

START_TEST(unix_socket)
{
	struct pair p = pair_new(&(struct pair_opts){.not_waiting = true});
	const char *uri = harness_path(p.h, "b/in.sock");

	host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'uri': 'unix:%s'}", uri);
	host_do(p.a, "migrate", "{'uri': 'unix:%s'}", uri); /* vm is left out: there is one */
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* A guest that changes its table all the time arrives as it was paused, entry for entry. */
START_TEST(busy_and_verified)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.verify = true,
		.source = {.order = 22, .vcpus = 4, .rate = 200000, .dump = true},
		.destination = {.dump = true},
	});
	struct json_object *q, *verify;

	/* a slow machine may not keep up with it: then it is forced */
	host_do(p.a, "migrate-set-parameters", "{'on-timeout': 'force', 'max-passes': 5}");
	pair_migrate(&p);
	pair_completes(&p);
	q = host_query(p.a, PAIR_VM);
	verify = member(q, "verify");
	h_check(p.h, verify, "query-migrate has no \"verify\"");
	h_check(p.h, member_int(verify, "mismatches", -1) == 0, "%lld entries differ",
		(long long)member_int(verify, "mismatches", -1));
	h_check(p.h, member_int(verify, "entries", 0) == 1 << (22 - 4), "%lld entries compared",
		(long long)member_int(verify, "entries", 0));
	h_check(p.h, member_int(member(q, "htab"), "entries", 0) > 1000, "%lld valid entries",
		(long long)member_int(member(q, "htab"), "entries", 0));
	json_object_put(q);
	pair_tables_equal(&p);
	pair_free(&p);
}
END_TEST

START_TEST(each_codec)
{
	static const struct {
		const char *name;
		int ratio; /* at least, in tenths */
	} codecs[] = {{"none", 9}, {"zstd", 50}, {"hpte", 500}};
	struct pair p = pair_new(&(struct pair_opts){
		/* few changes, however long it takes: they are scattered, and encode less well */
		.source = {.order = 20, .rate = 1000, .dump = true},
		.destination = {.dump = true},
	});
	struct json_object *q, *htab;
	int64_t plain, wire;

	host_do(p.a, "migrate-set-parameters",
		"{'on-timeout': 'force', 'max-passes': 5, 'htab-compression': '%s'}",
		codecs[_i].name);
	pair_migrate(&p);
	pair_completes(&p);
	q = host_query(p.a, PAIR_VM);
	htab = member(q, "htab");
	plain = member_int(htab, "htab-bytes", 0);
	wire = member_int(htab, "wire-bytes", 0);
	h_check(p.h, plain * 10 > wire * codecs[_i].ratio, "%s: %lld bytes became %lld",
		codecs[_i].name, (long long)plain, (long long)wire);
	h_check(p.h, _i || wire >= plain, "none: %lld bytes became %lld", (long long)plain,
		(long long)wire);
	json_object_put(q);
	pair_tables_equal(&p);
	pair_free(&p);
}
END_TEST

static void has_int(struct pair *p, struct json_object *o, const char *name, int64_t min)
{
	struct json_object *v = member(o, name);

	h_check(p->h, json_object_is_type(v, json_type_int),
		"query-migrate: no number \"%s\" in %s", name, json_object_to_json_string(o));
	h_check(p->h, json_object_get_int64(v) >= min, "query-migrate: %s is %lld", name,
		(long long)json_object_get_int64(v));
}

/* The parts of the downtime, which are all of it: downtime is in ms, and cut off. */
static void has_steps(struct pair *p, struct json_object *q)
{
	struct json_object *steps = member(q, "downtime-steps");
	int64_t sum = 0, downtime = member_int(q, "downtime", -1);

	h_check(p->h, steps, "query-migrate: no \"downtime-steps\"");
	json_object_object_foreach(steps, name, value)
	{
		h_check(p->h, json_object_get_int64(value) >= 0, "%s took %lld us", name,
			(long long)json_object_get_int64(value));
		sum += json_object_get_int64(value);
	}
	h_check(p->h, member_int(steps, "last-pass", 0) > 0, "the last pass took no time");
	h_check(p->h, sum / 1000 >= downtime - 1 && sum / 1000 <= downtime + 1,
		"%lld us in all of a downtime of %lld ms", (long long)sum, (long long)downtime);
}

static void check_query(struct pair *p, struct host *host, const char *direction)
{
	static const char *const ram[] = {"transferred", "remaining", "total", "duplicate",
		"skipped", "normal", "normal-bytes", "dirty-pages-rate", "mbps", "dirty-sync-count",
		"page-size", "pages-per-second", NULL};
	struct json_object *q = host_query(host, PAIR_VM), *htab = member(q, "htab");

	h_check(p->h, !strcmp(member_text(q, "status", ""), "completed"), "status is %s",
		member_text(q, "status", ""));
	h_check(p->h, !strcmp(member_text(q, "direction", ""), direction), "direction is %s",
		member_text(q, "direction", ""));
	h_check(p->h, strlen(member_text(q, "session", "")) == 32, "session is \"%s\"",
		member_text(q, "session", ""));
	h_check(p->h, !strcmp(member_text(q, "step", ""), "completed"), "step is %s",
		member_text(q, "step", ""));
	h_check(p->h, member_text(q, "uri", NULL), "no uri");
	has_int(p, q, "total-time", 0);
	has_int(p, q, "setup-time", 0);
	for (unsigned i = 0; ram[i]; i++)
		h_check(p->h, member(member(q, "ram"), ram[i]), "no member \"%s\" in ram", ram[i]);
	has_int(p, htab, "passes", 1);
	has_int(p, htab, "transferred", 1000);
	has_int(p, htab, "invalidated", 0);
	has_int(p, htab, "htab-bytes", 16000);
	has_int(p, htab, "wire-bytes", 1);
	h_check(p->h, member_int(htab, "order", 0) == 18, "order is %lld",
		(long long)member_int(htab, "order", 0));
	has_int(p, q, "downtime", 0); /* at both ends */
	if (!strcmp(direction, "outgoing")) {
		has_steps(p, q);
		has_int(p, htab, "remaining", 0);
		has_int(p, htab, "rate", 1);
	} else {
		h_check(p->h, !member(htab, "entries"), "nobody counted them: %s",
			json_object_to_json_string(htab));
	}
	json_object_put(q);
}

/* A limit that cannot be met is no reason to go on when nothing changes any more. */
START_TEST(idle_guest_with_no_downtime_allowed)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = -1}});

	host_do(p.a, "migrate-set-parameters", "{'downtime-limit': 0}");
	pair_migrate(&p);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* The whole table is in the ring at once, and leaves slowly. */
START_TEST(progress_is_of_what_left_the_host)
{
	struct pair p = pair_new(
		&(struct pair_opts){.source = {.order = 22}, .destination = {.order = 22}});
	int64_t sent = 0, order = 0;

	host_do(p.a, "migrate-set-parameters",
		"{'max-bandwidth': 400000, 'htab-compression': 'none'}");
	pair_migrate(&p);
	while (sent == 0) {
		struct json_object *q = host_query(p.a, PAIR_VM), *htab = member(q, "htab");

		order = member_int(htab, "order", 0);
		sent = member_int(htab, "transferred", 0);
		h_check(p.h, sent == 0 || member_int(htab, "remaining", 0) > 0, "all has left: %s",
			json_object_to_json_string(htab));
		h_check(p.h, member_int(htab, "htab-bytes", 0) <= member_int(htab, "wire-bytes", 0),
			"more than was written: %s", json_object_to_json_string(htab));
		h_check(p.h, sent == 0 || member_int(htab, "best-rate", 0) > 0, "no rate: %s",
			json_object_to_json_string(htab));
		json_object_put(q);
	}
	h_check(p.h, sent < INT64_C(1) << (order - 4), "%lld entries at once", (long long)sent);
	host_do(p.a, "migrate_cancel", NULL);
	host_status(p.a, PAIR_VM, "cancelled");
	pair_stays(&p);
}
END_TEST

START_TEST(figures)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct json_object *q = host_query(p.a, PAIR_VM);

	h_check(p.h, json_object_object_length(q) == 0, "query-migrate before any is %s",
		json_object_to_json_string(q));
	json_object_put(q);
	pair_migrate(&p);
	/* when it is over at a, its VMM ends, and the figures stay */
	pair_completes(&p);
	check_query(&p, p.b, "incoming");
	check_query(&p, p.a, "outgoing");
	pair_free(&p);
}
END_TEST

START_TEST(events)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});

	pair_migrate(&p);
	host_status(p.a, PAIR_VM, "setup");
	host_status(p.a, PAIR_VM, "active");
	json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	json_object_put(host_event(p.a, "STOP", PAIR_VM, NULL, NULL));
	host_status(p.a, PAIR_VM, "device");
	host_status(p.a, PAIR_VM, "completed");
	json_object_put(host_event(p.a, "VM_GONE", PAIR_VM, NULL, NULL));
	host_status(p.b, PAIR_VM, "active");
	json_object_put(host_event(p.b, "RESUME", PAIR_VM, NULL, NULL));
	host_status(p.b, PAIR_VM, "completed");
	h_check(p.h, !strcmp(host_vm_status(p.b, PAIR_VM), "running"), "the VM at b is %s",
		host_vm_status(p.b, PAIR_VM));
	pair_free(&p);
}
END_TEST

START_TEST(pause_before_switchover)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct err err;

	host_capability(p.a, "pause-before-switchover", true);
	host_refused(p.a, &err, "migrate-continue", "{'state': 'pre-switchover'}");
	pair_migrate(&p);
	host_status(p.a, PAIR_VM, "pre-switchover");
	guest_stands(p.source);
	host_do(p.a, "migrate-continue", "{'vm': '" PAIR_VM "', 'state': 'pre-switchover'}");
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* A limit that would take a month for what follows the pause: the tables are compared. */
START_TEST(no_limit_once_paused)
{
	struct pair p = pair_new(&(struct pair_opts){
		.verify = true,
		.source = {.order = 20, .rate = 1000},
		.a = {.hold = "pause"},
	});

	host_capability(p.a, "pause-before-switchover", true);
	pair_migrate(&p);
	host_held(p.a, PAIR_VM, "pause");
	host_do(p.a, "migrate-set-parameters", "{'vm': '" PAIR_VM "', 'max-bandwidth': 1}");
	host_do(p.a, "x-continue", NULL);
	host_status(p.a, PAIR_VM, "pre-switchover");
	host_do(p.a, "migrate-set-parameters", "{'vm': '" PAIR_VM "', 'max-bandwidth': 2}");
	host_do(p.a, "migrate-continue", "{'vm': '" PAIR_VM "', 'state': 'pre-switchover'}");
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* There and back again, twice: the VM may move on as soon as it has arrived. */
START_TEST(to_and_fro)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .source = {.rate = 1000}});

	for (int i = 0; i < 4; i++) {
		struct host *a = p.a;

		pair_migrate(&p);
		pair_completes(&p);
		/* the other way */
		p.a = p.b;
		p.b = a;
		p.source = p.destination;
		p.destination = guest_start(
			p.b, PAIR_VM, &(struct guest_opts){.incoming = true, .rate = 1000});
		pair_incoming(&p);
	}
	pair_free(&p);
}
END_TEST

START_TEST(several_at_once)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL), *b = host_start(h, "b", NULL);
	struct guest *source[4], *destination[4];
	char vm[4][16];

	for (int i = 0; i < 4; i++) {
		snprintf(vm[i], sizeof(vm[i]), "vm%d", i);
		source[i] = guest_start(a, vm[i], &(struct guest_opts){.rate = 1000});
		destination[i] = guest_start(b, vm[i], &(struct guest_opts){.incoming = true});
		host_do(b, "migrate-incoming", "{'vm': '%s'}", vm[i]);
	}
	for (int i = 0; i < 4; i++)
		host_do(a, "migrate", "{'vm': '%s', 'uri': '%s'}", vm[i], b->uri);
	for (int i = 0; i < 4; i++) {
		guest_event(source[i], "migrated");
		guest_ends(source[i], 0);
		guest_event(destination[i], "started");
		guest_runs(destination[i]);
	}
	harness_free(h);
}
END_TEST

/* A guest that does not converge: cancelled, or forced over, as the parameters say. */
static struct pair never_converging(void)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.order = 22, .rate = 1000000}});

	host_do(p.a, "migrate-set-parameters", "{'downtime-limit': 0, 'max-passes': 4}");
	return p;
}

START_TEST(no_convergence_cancels)
{
	struct pair p = never_converging();
	struct json_object *q;

	pair_migrate(&p);
	host_status(p.a, PAIR_VM, "cancelled");
	q = host_query(p.a, PAIR_VM);
	h_check_text(p.h, member_text(q, "error-desc", ""), "max-passes");
	json_object_put(q);
	pair_stays(&p);
}
END_TEST

START_TEST(no_convergence_forces)
{
	struct pair p = never_converging();
	struct json_object *q;

	host_do(p.a, "migrate-set-parameters", "{'on-timeout': 'force'}");
	pair_migrate(&p);
	pair_completes(&p);
	q = host_query(p.a, PAIR_VM);
	h_check(p.h, member_int(member(q, "htab"), "passes", 0) >= 4, "%lld passes",
		(long long)member_int(member(q, "htab"), "passes", 0));
	json_object_put(q);
	pair_free(&p);
}
END_TEST

/* vCPUs are slowed down by the first step, by further ones, and never by more than the limit. */
START_TEST(auto_converge)
{
	static const char *const steps[] = {
		"slowed down by 30%", "slowed down by 55%", "slowed down by 70%"};
	struct pair p = never_converging();

	host_do(p.a, "migrate-set-parameters",
		"{'max-passes': 200, 'on-timeout': 'force', 'cpu-throttle-initial': 30,"
		" 'cpu-throttle-increment': 25, 'max-cpu-throttle': 70}");
	host_capability(p.a, "auto-converge", true);
	pair_migrate(&p);
	pair_completes(&p);
	for (unsigned i = 0; i < 3; i++)
		h_check(p.h, journal_has(&p, steps[i]), "no '%s'", steps[i]);
	h_check(p.h, !journal_has(&p, "slowed down by 80%"), "more than max-cpu-throttle");
	pair_free(&p);
}
END_TEST

START_TEST(whole_time_limited)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.order = 24, .rate = 1000},
		.a = {.hold = "active"},
	});

	host_do(p.a, "migrate-set-parameters",
		"{'timeout': 1, 'downtime-limit': 0, 'max-passes': 1000000}");
	pair_migrate_to(&p, "active");
	host_do(p.a, "x-continue", "{'vm': '" PAIR_VM "'}");
	host_status(p.a, PAIR_VM, "cancelled");
	pair_stays(&p);
}
END_TEST

START_TEST(whole_time_limited_forces)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.order = 24, .rate = 1000},
		.a = {.hold = "active"},
	});

	host_do(p.a, "migrate-set-parameters",
		"{'timeout': 1, 'downtime-limit': 0, 'max-passes': 1000000, 'on-timeout': 'force'}");
	pair_migrate_to(&p, "active");
	host_do(p.a, "x-continue", "{'vm': '" PAIR_VM "'}");
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* The pause waits for the end of the pass, which would be hours away. */
START_TEST(whole_time_limited_forces_what_is_held_back)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.order = 24, .rate = 1000}});

	host_do(p.a, "migrate-set-parameters",
		"{'timeout': 1, 'max-bandwidth': 1000, 'on-timeout': 'force'}");
	pair_migrate(&p);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("migrate-basic", &c);

	harness_add(c, plaintext);
	harness_add(c, tls);
	harness_add(c, booke);
	harness_add(c, booke_is_no_hpt);
	harness_add(c, unix_socket);
	harness_add(c, busy_and_verified);
	if (harness_wants("each_codec"))
		tcase_add_loop_test(c, each_codec, 0, 3);
	harness_add(c, idle_guest_with_no_downtime_allowed);
	harness_add(c, progress_is_of_what_left_the_host);
	harness_add(c, figures);
	harness_add(c, events);
	harness_add(c, pause_before_switchover);
	harness_add(c, no_limit_once_paused);
	harness_add(c, to_and_fro);
	harness_add(c, several_at_once);
	harness_add(c, no_convergence_cancels);
	harness_add(c, no_convergence_forces);
	harness_add(c, auto_converge);
	harness_add(c, whole_time_limited);
	harness_add(c, whole_time_limited_forces);
	harness_add(c, whole_time_limited_forces_what_is_held_back);
	return harness_main(s);
}
