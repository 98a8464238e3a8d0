/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parameters and capabilities while a migration runs: what it was begun with stays, whoever is
 * named and however; the rest has effect at once.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/pair.h"
#include "tests/integration/saving.h"

/* Another value than the default of each that may not be changed. */
static const struct {
	const char *name, *value;
} parameters[] = {
	{"multifd-channels", "2"},
	{"multifd-zstd-level", "9"},
	{"htab-compression", "\"none\""},
	{"tls-creds", "\"/nowhere\""},
	{"tls-hostname", "\"elsewhere\""},
	{"tls-authz", "\"CN=nobody\""},
};
#define PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static const char *const capabilities[] = {"pause-before-switchover", "auto-converge", "verify",
	"htab-recover", "bolted-only", "events"};
#define CAPABILITIES (sizeof(capabilities) / sizeof(capabilities[0]))

/* How the VM is named: a member of the arguments, with a comma, or "". */
struct naming {
	char name[3][64];
	struct qmpclient *own; /* and its own socket */
};

static struct naming name_it(struct host *host)
{
	struct json_object *vm = host_vm(host, PAIR_VM);
	struct naming n = {0};
	struct err err = {0};

	snprintf(n.name[0], sizeof(n.name[0]), "\"vm\": \"" PAIR_VM "\", ");
	snprintf(n.name[1], sizeof(n.name[1]), "\"vm\": \"%s\", ", member_text(vm, "uuid", ""));
	json_object_put(vm);
	h_check(host->h,
		qmpclient_open(harness_path(host->h, "%s/vm/" PAIR_VM ".qmp", host->name), 10000,
			&n.own, &err) == 0,
		"%s", err.text);
	return n;
}

static void is_busy(struct host *host, const struct err *err, const char *what)
{
	h_check_text(host->h, err->text, "There's a migration process in progress: VM " PAIR_VM);
	h_check_text(host->h, err->text, what);
}

/* Refused by name, by UUID, without either, and on the VM's own socket. */
static void refused(struct host *host, const struct naming *n, const char *command,
	const char *args, const char *what)
{
	struct err err;

	for (unsigned i = 0; i < 3; i++) {
		host_refused(host, &err, command, "{%s%s}", n->name[i], args);
		is_busy(host, &err, what);
	}
	h_check(host->h,
		qmpclient_call(n->own, command, harness_json(host->h, "{%s}", args), NULL, &err) ==
			-EREMOTE,
		"%s was accepted on the VM's own socket", what);
	is_busy(host, &err, what);
}

static char *shown(struct host *host)
{
	static char text[2][8192];
	struct json_object *p = host_ask(host, "query-migrate-parameters", "{'vm': '" PAIR_VM "'}");
	struct json_object *c = host_ask(
		host, "query-migrate-capabilities", "{'vm': '" PAIR_VM "'}");
	static unsigned turn;
	char *t = text[turn++ % 2];

	snprintf(t, sizeof(text[0]), "%s", json_object_to_json_string(p));
	snprintf(t + strlen(t), sizeof(text[0]) - strlen(t), "%s", json_object_to_json_string(c));
	json_object_put(p);
	json_object_put(c);
	return t;
}

static void nothing_can_be_changed(struct host *host)
{
	struct naming n = name_it(host);
	const char *before = shown(host);
	char args[256];

	for (unsigned i = 0; i < PARAMETERS; i++) {
		/* with one that may be changed: all or nothing */
		snprintf(args, sizeof(args), "\"downtime-limit\": 7, \"%s\": %s",
			parameters[i].name, parameters[i].value);
		refused(host, &n, "migrate-set-parameters", args, parameters[i].name);
	}
	for (unsigned i = 0; i < CAPABILITIES; i++) {
		snprintf(args, sizeof(args),
			"\"capabilities\": [{\"capability\": \"%s\", \"state\": %s}]",
			capabilities[i], strcmp(capabilities[i], "events") ? "true" : "false");
		refused(host, &n, "migrate-set-capabilities", args, capabilities[i]);
	}
	/* QEMU's clients are told the same when it would change nothing */
	refused(host, &n, "migrate-set-capabilities",
		"\"capabilities\": [{\"capability\": \"verify\", \"state\": false}]",
		"capabilities");
	h_check(host->h, !strcmp(before, shown(host)), "what was refused is %s, it was %s",
		shown(host), before);
	qmpclient_free(n.own);
}

static void everything_can_be_changed(struct host *host)
{
	for (unsigned i = 0; i < PARAMETERS; i++)
		host_do(host, "migrate-set-parameters", "{'vm': '" PAIR_VM "', '%s': %s}",
			parameters[i].name, parameters[i].value);
	for (unsigned i = 0; i < CAPABILITIES; i++)
		host_do(host, "migrate-set-capabilities",
			"{'capabilities': [{'capability': '%s', 'state': true}]}", capabilities[i]);
}

START_TEST(of_a_source)
{
	static const char *const steps[] = {"connect", "open", "active", "state"};
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .a = {.hold = steps[_i]}});

	pair_migrate_to(&p, steps[_i]);
	nothing_can_be_changed(p.a);
	host_do(p.a, "x-continue", NULL);
	pair_completes(&p);
	everything_can_be_changed(p.b);
	pair_free(&p);
}
END_TEST

START_TEST(of_a_destination)
{
	static const char *const steps[] = {"in-prepare", "in-ready"};
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .b = {.hold = steps[_i]}});

	pair_migrate(&p);
	host_held(p.b, PAIR_VM, steps[_i]);
	nothing_can_be_changed(p.b);
	host_do(p.b, "x-continue", NULL);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

START_TEST(of_a_destination_that_waits_for_passes)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .a = {.hold = "active"}});

	pair_migrate_to(&p, "active");
	host_status(p.b, PAIR_VM, "active");
	nothing_can_be_changed(p.b);
	pair_goes_on(&p);
	pair_free(&p);
}
END_TEST

/* Another VM's are its own; those of all are not changed for some. */
START_TEST(of_another_vm)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct json_object *o;
	struct err err;

	guest_start(p.a, "vm2", &(struct guest_opts){0});
	pair_migrate_to(&p, "active");
	host_do(p.a, "migrate-set-parameters", "{'vm': 'vm2', 'htab-compression': 'zstd'}");
	host_do(p.a, "migrate-set-capabilities",
		"{'vm': 'vm2', 'capabilities': [{'capability': 'verify', 'state': true}]}");
	host_refused(p.a, &err, "migrate-set-parameters", "{'htab-compression': 'none'}");
	is_busy(p.a, &err, "htab-compression");
	o = host_ask(p.a, "query-migrate-parameters", "{'vm': 'vm2'}");
	h_check(p.h, !strcmp(member_text(o, "htab-compression", ""), "zstd"), "vm2 has %s",
		json_object_to_json_string(o));
	json_object_put(o);
	host_do(p.a, "migrate-set-parameters",
		"{'max-passes': 77, 'htab-compression': 'hpte'}"); /* as vm1 has it */
	o = host_ask(p.a, "query-migrate-parameters", "{'vm': 'vm2'}");
	h_check(p.h, member_int(o, "max-passes", 0) == 77, "vm2 has %s",
		json_object_to_json_string(o));
	json_object_put(o);
	host_do(p.a, "x-continue", "{'vm': '" PAIR_VM "'}");
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* -- a file -- */

/* Both commands are there before the daemon has done anything about the first. */
START_TEST(saved_as_it_was_begun)
{
	static const char both[] =
		"{\"execute\": \"migrate\", \"arguments\": {\"vm\": \"" SAVING_VM
		"\", \"uri\": \"file:%s\"}}\n"
		"{\"execute\": \"migrate-set-parameters\", \"arguments\": {%s\"htab-compression\": "
		"\"none\"}}\n";
	static const char *const vm[] = {"\"vm\": \"" SAVING_VM "\", ", ""};
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});
	struct qmpclient *c;
	struct json_object *o;
	char text[1024];
	struct err err = {0};

	h_check(s.h, qmpclient_open(s.host->control, 10000, &c, &err) == 0, "%s", err.text);
	host_take_events(s.host);
	snprintf(text, sizeof(text), both, s.path, vm[_i]);
	h_check(s.h, qmpclient_send(c, text, strlen(text), &err) == 0, "%s", err.text);
	o = harness_answer(s.h, c);
	h_check(s.h, member(o, "return"), "%s", json_object_to_json_string(o));
	json_object_put(o);
	o = harness_answer(s.h, c);
	h_check_text(s.h, member_text(member(o, "error"), "desc", ""), "htab-compression");
	json_object_put(o);
	qmpclient_free(c);
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* -- what has effect at once -- */

/* In its first pass, which would last for hours. */
static struct pair crawling(const struct pair_opts *o)
{
	struct pair_opts opts = *o;
	struct pair p;

	opts.source.order = 20;
	opts.source.rate = 1000;
	p = pair_new(&opts);
	host_do(p.a, "migrate-set-parameters",
		"{'max-bandwidth': 1, 'downtime-limit': 0, 'max-passes': 1000000,"
		" 'htab-compression': 'none'}");
	host_capability(p.a, "htab-recover", true);
	pair_migrate(&p);
	json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	return p;
}

static void set(struct host *host, const char *name, int value)
{
	host_do(host, "migrate-set-parameters", "{'vm': '" PAIR_VM "', '%s': %d}", name, value);
}

static const char *why(struct host *host)
{
	static char text[ERR_TEXT_MAX];
	struct json_object *q = host_query(host, PAIR_VM);

	snprintf(text, sizeof(text), "%s", member_text(q, "error-desc", ""));
	json_object_put(q);
	return text;
}

START_TEST(timeout)
{
	struct pair p = crawling(&(struct pair_opts){0});

	set(p.a, "timeout", 1);
	host_status(p.a, PAIR_VM, "cancelled");
	h_check_text(p.h, why(p.a), "timeout");
	pair_stays(&p);
}
END_TEST

START_TEST(bandwidth)
{
	struct pair p = crawling(&(struct pair_opts){0});

	set(p.a, "downtime-limit", 2000000);
	set(p.a, "max-bandwidth", 0);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* At either end, while it waits for the other. */
START_TEST(recover_timeout)
{
	struct pair p = crawling(&(struct pair_opts){0});
	struct host *waits = _i ? p.b : p.a;
	struct json_object *q;
	int64_t left;

	host_do(p.a, "migrate-pause", "{'vm': '" PAIR_VM "'}");
	host_status(p.a, PAIR_VM, "postcopy-paused");
	host_status(p.b, PAIR_VM, "postcopy-paused");
	set(waits, "recover-timeout", 1000000);
	q = host_query(waits, PAIR_VM);
	left = member_int(member(q, "interrupted"), "left", 0);
	h_check(p.h, left > 900000, "it waits for %lld s", (long long)left);
	json_object_put(q);
	set(waits, "recover-timeout", 1);
	host_status(waits, PAIR_VM, "failed");
	h_check_text(p.h, why(waits), "within 1 s (recover-timeout)");
	if (waits == p.b) /* whom nobody tells: it is paused by hand */
		host_do(p.a, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	guest_runs(p.source);
	pair_free(&p);
}
END_TEST

START_TEST(throttle)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.order = 20, .rate = 1000000}});
	struct json_object *q;
	int64_t percent = 0;

	host_do(p.a, "migrate-set-parameters",
		"{'downtime-limit': 0, 'max-passes': 1000000, 'cpu-throttle-initial': 60}");
	host_capability(p.a, "auto-converge", true);
	pair_migrate(&p);
	while (percent < 60) {
		json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
		q = host_query(p.a, PAIR_VM);
		percent = member_int(q, "cpu-throttle-percentage", 0);
		json_object_put(q);
	}
	set(p.a, "max-cpu-throttle", 5);
	q = host_query(p.a, PAIR_VM);
	percent = member_int(q, "cpu-throttle-percentage", 0);
	h_check(p.h, percent == 5, "its vCPUs are slowed down by %lld%%", (long long)percent);
	json_object_put(q);
	set(p.a, "downtime-limit", 2000000);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("set", &c);

	harness_add_loop(c, of_a_source, 4);
	harness_add_loop(c, of_a_destination, 2);
	harness_add(c, of_a_destination_that_waits_for_passes);
	harness_add(c, of_another_vm);
	harness_add_loop(c, saved_as_it_was_begun, 2);
	harness_add(c, timeout);
	harness_add(c, bandwidth);
	harness_add_loop(c, recover_timeout, 2);
	harness_add(c, throttle);
	return harness_main(s);
}
