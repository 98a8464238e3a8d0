/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections that break, or are cut on purpose, while the passes run: the migration goes on where
 * it was, the guest runs at the source all the time, and nobody else takes the session over.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/handover.h"

#define VM   STAGE_VM
#define CUTS (getenv("HTAB_TEST_SLOW") ? 50 : 10)

/* --- two daemons and a network that breaks ---------------------------------------------------- */

static void set(struct host *host, const char *name, long long value)
{
	host_do(host, "migrate-set-parameters", "{'%s': %lld}", name, value);
}

/* Passes that do not end before end_passes(). */
static struct stage stage_with(const struct stage_opts *o, bool recover, unsigned channels)
{
	struct stage s = stage_new(o);

	set(s.a, "multifd-channels", channels);
	host_capability(s.a, "htab-recover", recover);
	set(s.a, "downtime-limit", 0);
	set(s.a, "max-passes", 1000000);
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", VM, NULL, NULL));
	return s;
}

static struct stage endless(const struct stage_opts *o, bool recover)
{
	return stage_with(o, recover, 1);
}

static void end_passes(struct stage *s)
{
	set(s->a, "max-bandwidth", 0);
	set(s->a, "downtime-limit", 2000000);
}

/* Both ends tell how long they wait yet, and the source for whom. */
static void tells_how_long(struct stage *s, bool by_hand)
{
	struct json_object *a = host_query(s->a, VM), *b = host_query(s->b, VM);
	struct json_object *from = member(a, "interrupted"), *to = member(b, "interrupted");
	int64_t left = member_int(from, "left", -1);

	h_check(s->h, left > 0 && left <= 300 && member_bool(from, "by-hand") == by_hand, "%s",
		json_object_to_json_string(a));
	left = member_int(to, "left", -1);
	h_check(s->h, left > 0 && left <= 300 && !member(to, "by-hand"), "%s",
		json_object_to_json_string(b));
	json_object_put(a);
	json_object_put(b);
}

static void pause_migration(struct stage *s)
{
	host_do(s->a, "migrate-pause", "{'vm': '" VM "'}");
	host_status(s->a, VM, "postcopy-paused");
	host_status(s->b, VM, "postcopy-paused");
}

static void resume(struct stage *s, const char *uri)
{
	host_do(s->a, "migrate", "{'vm': '" VM "', 'uri': '%s', 'resume': true}", uri);
}

static int64_t recoveries(struct host *host)
{
	struct json_object *q = host_query(host, VM);
	int64_t n = member_int(q, "recoveries", 0);

	json_object_put(q);
	return n;
}

static void tables_were_equal(struct stage *s)
{
	struct json_object *q = host_query(s->a, VM), *v = member(q, "verify");

	h_check(s->h, v && member_int(v, "mismatches", -1) == 0 && member_int(v, "entries", 0) > 0,
		"the tables were not compared, or differ: %s", json_object_to_json_string(q));
	json_object_put(q);
}

START_TEST(pause_and_resume)
{
	struct stage s = stage_with(
		&(struct stage_opts){.tls = true, .verify = true}, _i == 1, _i == 2 ? 4 : 1);

	for (int i = 0; i < 3; i++) {
		pause_migration(&s);
		tells_how_long(&s, true);
		guest_runs(s.source);
		resume(&s, s.uri);
		host_status(s.a, VM, "active");
		host_status(s.b, VM, "active");
	}
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	ck_assert_int_eq(recoveries(s.a), 3);
	ck_assert_int_eq(recoveries(s.b), 3);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

static int64_t arrived(struct stage *s)
{
	struct json_object *q = host_query(s->b, VM);
	int64_t n = member_int(member(q, "htab"), "transferred", 0);

	json_object_put(q);
	return n;
}

/* Something is written, and so acknowledged. */
static void more_arrives(struct stage *s)
{
	int64_t before = arrived(s);
	uint64_t deadline = harness_deadline();

	while (arrived(s) == before)
		h_check(s->h, clock_ns() < deadline, "nothing arrives any more: %s here, %s there",
			json_object_to_json_string(host_query(s->a, VM)),
			json_object_to_json_string(host_query(s->b, VM)));
}

/* The network breaks again and again, wherever that is; the source comes back by itself. */
START_TEST(cuts_at_random_places)
{
	struct stage_opts o = {
		.tls = _i % 2,
		.verify = true,
		.source = {"--dirty-rate", "200000", "--order", "22"},
		.destination = {"--order", "22"},
	};
	struct stage s = stage_with(&o, true, _i < 2 ? 1 : 5);
	uint64_t seed = (uint64_t)_i + 1;

	set(s.a, "max-bandwidth", 8 << 20); /* so that something is under way */
	for (int i = 0; i < CUTS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		for (unsigned k = (unsigned)(seed >> 33) % 20; k > 0; k--) /* for so many turns */
			json_object_put(host_query(s.a, VM));
		relay_cut(s.relay);
		host_status(s.a, VM, "postcopy-paused");
		host_status(s.a, VM, "active");
		more_arrives(&s); /* else the source waits longer and longer */
	}
	guest_runs(s.source);
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	ck_assert_int_ge(recoveries(s.a), CUTS);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

/* One of several data channels breaks: all of them go, and come again. */
START_TEST(one_channel_breaks)
{
	struct stage_opts o = {
		.tls = true,
		.verify = true,
		.source = {"--dirty-rate", "200000", "--order", "22"},
		.destination = {"--order", "22"},
	};
	struct stage s = stage_with(&o, true, 4);

	set(s.a, "max-bandwidth", 8 << 20);
	for (int i = 0; i < CUTS; i++) {
		more_arrives(&s);
		relay_cut_last(s.relay);
		host_status(s.a, VM, "postcopy-paused");
		host_status(s.a, VM, "active");
	}
	guest_runs(s.source);
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	ck_assert_int_ge(recoveries(s.a), CUTS);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

/* Without the capability it fails at once, as it did, one channel being as good as all. */
START_TEST(fails_at_once_without_the_capability)
{
	struct stage s = stage_with(&(struct stage_opts){0}, false, _i ? 4 : 1);

	if (_i)
		relay_cut_last(s.relay);
	else
		relay_cut(s.relay);
	host_status(s.a, VM, "failed");
	stage_ends(&s, AT_SOURCE);
	stage_over(s.b);
	ck_assert_uint_eq(host_count(s.a, "STOP"), 0);
	stage_free(&s);
}
END_TEST

/* Nothing arrives any more: each end gives up, and the VM is free for another attempt. */
START_TEST(gives_up_in_time)
{
	struct stage s = endless(&(struct stage_opts){.tls = true}, true);
	struct json_object *q;

	set(s.a, "recover-timeout", 1);
	set(s.b, "recover-timeout", 1);
	relay_swallow(s.relay, true);
	relay_cut(s.relay);
	host_status(s.a, VM, "failed");
	host_status(s.b, VM, "failed");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "recover-timeout");
	json_object_put(q);
	stage_ends(&s, AT_SOURCE);
	relay_swallow(s.relay, false);
	end_passes(&s);
	stage_migrate(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* The address is gone; the destination listens at another one, where the cookie will lead too. */
START_TEST(another_address)
{
	struct stage s = endless(&(struct stage_opts){.tls = true, .verify = true}, false);
	char other[HARNESS_PATH + 8];
	struct json_object *q;

	snprintf(other, sizeof(other), "unix:%.180s", harness_path(s.h, "other.sock"));
	pause_migration(&s);
	host_do(s.b, "migrate-recover", "{'vm': '" VM "', 'uri': '%s'}", other);
	resume(&s, other);
	host_status(s.a, VM, "active");
	relay_cut(s.relay);
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	q = host_query(s.a, VM);
	ck_assert_str_eq(member_text(q, "uri", ""), other);
	json_object_put(q);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

/* By a connection that was handed over, at both ends. */
START_TEST(by_descriptors)
{
	struct stage s = endless(&(struct stage_opts){.tls = true}, false);
	struct err err;
	int fd[2];

	pause_migration(&s);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	ck_assert_int_eq(qmpclient_getfd(s.a->qmp, "r", fd[0], &err), 0);
	ck_assert_int_eq(qmpclient_getfd(s.b->qmp, "r", fd[1], &err), 0);
	close(fd[0]);
	close(fd[1]);
	host_do(s.b, "migrate-recover", "{'vm': '" VM "', 'uri': 'fd:r'}");
	host_do(s.a, "migrate",
		"{'vm': '" VM "', 'uri': 'fd:r', 'redial-uri': '%s', 'resume': true}", s.uri);
	host_status(s.a, VM, "active");
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/*
 * Another host answers at the address: it gets nothing, and the right one still can.
 *
 * protocol.md 6.8: "whose authenticated name MUST be the one it had."
 */
START_TEST(wrong_host)
{
	struct stage s = endless(&(struct stage_opts){.tls = _i == 1}, false);
	struct host_opts o = {.creds = _i == 1 ? harness_creds(s.h, "hostc", NULL) : NULL};
	struct host *c = host_start(s.h, "c", &o);
	struct json_object *q;

	pause_migration(&s);
	resume(&s, c->uri);
	host_status(s.a, VM, "postcopy-paused");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), _i == 1 ? "hostc" : "no session here");
	json_object_put(q);
	guest_runs(s.source);
	resume(&s, s.uri);
	host_status(s.a, VM, "active");
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* What was kept has gone with the daemon: it says so, and the source does not wait. */
START_TEST(destination_began_anew)
{
	struct stage s = endless(&(struct stage_opts){.tls = true}, true);
	struct json_object *q;

	stage_strike(&s, DESTINATION_DAEMON);
	host_status(s.a, VM, "failed");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "no session here");
	json_object_put(q);
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

static void refused(struct host *host, const char *command, const char *args, const char *words)
{
	struct err err;

	host_refused(host, &err, command, "%s", args);
	h_check_text(host->h, err.text, words);
}

START_TEST(commands_out_of_place)
{
	static const char vm[] = "{'vm': '" VM "'}";
	static const char again[] = "{'vm': '" VM "', 'uri': 'unix:/x', 'resume': true}";
	struct stage s = stage_new(&(struct stage_opts){0});

	refused(s.a, "migrate-pause", vm, "not migrating");
	refused(s.a, "migrate", again, "no paused migration");
	refused(s.b, "migrate-recover", "{'uri': 'unix:/x'}", "interrupted");
	set(s.a, "downtime-limit", 0);
	set(s.a, "max-passes", 1000000);
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", VM, NULL, NULL));
	refused(s.a, "migrate", again, "no paused migration");
	refused(s.b, "migrate-pause", vm, "at its source");
	refused(s.b, "migrate-recover", "{'uri': 'unix:/x'}", "interrupted");
	pause_migration(&s);
	refused(s.a, "migrate-pause", vm, "'cut'");
	refused(s.a, "migrate", "{'uri': 'file:/tmp/x', 'resume': true}", "no address");
	refused(s.a, "migrate", "{'uri': 'fd:none', 'resume': true}", "redial-uri");
	refused(s.a, "migrate", "{'uri': 'unix:/x'}", "in progress");
	refused(s.a, "migrate-recover", "{'uri': 'unix:/x'}", "interrupted");
	refused(s.b, "migrate-recover", "{'uri': 'fd:none'}", "getfd");
	resume(&s, s.uri);
	host_status(s.a, VM, "active");
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

START_TEST(htabctl_pauses_and_resumes)
{
	struct stage s = endless(&(struct stage_opts){0}, false);
	char other[HARNESS_PATH + 8];

	snprintf(other, sizeof(other), "unix:%.180s", harness_path(s.h, "other.sock"));
	ck_assert_int_eq(
		harness_run(s.h,
			(const char *[]){"htabctl", "--socket", s.a->control, "pause", VM, NULL},
			NULL),
		0);
	host_status(s.b, VM, "postcopy-paused");
	ck_assert_int_eq(harness_run(s.h,
				 (const char *[]){"htabctl", "--socket", s.b->control, "recover",
					 VM, other, NULL},
				 NULL),
		0);
	set(s.a, "downtime-limit", 2000000);
	ck_assert_int_eq(harness_run(s.h,
				 (const char *[]){"htabctl", "--socket", s.a->control, "migrate",
					 VM, other, "--resume", NULL},
				 NULL),
		0);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("recover", &c);

	if (harness_wants("pause_and_resume"))
		tcase_add_loop_test(c, pause_and_resume, 0, 3);
	if (harness_wants("cuts_at_random_places"))
		tcase_add_loop_test(c, cuts_at_random_places, 0, 4);
	harness_add(c, one_channel_breaks);
	harness_add_loop(c, fails_at_once_without_the_capability, 2);
	harness_add(c, gives_up_in_time);
	harness_add(c, another_address);
	harness_add(c, by_descriptors);
	if (harness_wants("wrong_host"))
		tcase_add_loop_test(c, wrong_host, 0, 2);
	harness_add(c, destination_began_anew);
	harness_add(c, commands_out_of_place);
	harness_add(c, htabctl_pauses_and_resumes);
	return harness_main(s);
}
