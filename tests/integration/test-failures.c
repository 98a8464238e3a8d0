/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What breaks on the way: a VMM or a daemon that dies, a table that refuses an entry, a state that
 * is refused, a guest that cannot start. The guest runs on at the source, and where everybody still
 * lives another migration works.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/pair.h"

static struct pair mid_pass(void)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .a = {.hold = "active"}});

	pair_migrate_to(&p, "active");
	return p;
}

static void next_one_completes(struct pair *p)
{
	pair_incoming(p);
	pair_migrate_to(p, "active");
	pair_goes_on(p);
	pair_free(p);
}

START_TEST(source_vmm_dies_mid_pass)
{
	struct pair p = mid_pass();

	guest_kill(p.source);
	host_status(p.a, PAIR_VM, "failed");
	host_status(p.b, PAIR_VM, "failed");
	pair_is_as_before(&p);
	/* its successor can be moved */
	p.source = guest_start(p.a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	next_one_completes(&p);
}
END_TEST

START_TEST(destination_vmm_dies_mid_pass)
{
	struct pair p = mid_pass();

	guest_kill(p.destination);
	pair_fails(&p, "died");
	pair_is_as_before(&p);
	p.destination = guest_start(p.b, PAIR_VM, &(struct guest_opts){.incoming = true});
	next_one_completes(&p);
}
END_TEST

START_TEST(destination_daemon_dies_mid_pass)
{
	struct pair p = mid_pass();

	host_kill(p.b);
	pair_fails(&p, "");
	pair_is_as_before(&p);
	host_restart(p.b);
	guest_event(p.destination, "registered");
	p.fds_b = 1024;
	next_one_completes(&p);
}
END_TEST

START_TEST(source_daemon_dies_mid_pass)
{
	struct pair p = mid_pass();

	host_kill(p.a);
	host_status(p.b, PAIR_VM, "failed");
	guest_runs(p.source);
	p.a->opts.hold = NULL;
	host_restart(p.a);
	guest_event(p.source, "registered");
	p.fds_a = 1024;
	pair_works_still(&p);
}
END_TEST

/* A stop of the service in the middle cancels, and the guest runs on. */
START_TEST(source_daemon_is_stopped_mid_pass)
{
	struct pair p = mid_pass();

	host_stop(p.a);
	host_status(p.b, PAIR_VM, "cancelled");
	guest_runs(p.source);
	p.a->opts.hold = NULL;
	host_restart(p.a);
	guest_event(p.source, "registered");
	p.fds_a = 1024;
	pair_works_still(&p);
}
END_TEST

START_TEST(destination_daemon_is_stopped_mid_pass)
{
	struct pair p = mid_pass();

	host_stop(p.b);
	json_object_put(host_event(p.a, "MIGRATION", PAIR_VM, "status", "cancelled"));
	pair_stays(&p);
}
END_TEST

static void fails_and_stays(const struct pair_opts *opts, const char *words)
{
	struct pair p = pair_new(opts);

	pair_migrate(&p);
	pair_fails(&p, words);
	pair_stays(&p);
}

/* --- what the destination refuses --------------------------------------------------------- */

START_TEST(table_refuses_an_entry)
{
	fails_and_stays(
		&(struct pair_opts){
			.tls = true,
			.source = {.order = 20, .rate = 1000, .fill = 0.8},
			.destination = {.extra = {"--fail-write-at", "1000"}},
		},
		"Input/output error");
}
END_TEST

/*
 * Both tables are read back, and one entry of the destination's is not there.
 *
 * protocol.md 9: "A source whose tables differ ends the session with ABORT and keeps its guest."
 */
START_TEST(tables_differ)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.verify = true,
		.source = {.order = 20, .vcpus = 2, .rate = 1000},
		.destination = {.extra = {"--lose-entry", "1000"}},
	});
	struct json_object *q, *verify;

	pair_migrate(&p);
	pair_fails(&p, "the tables differ in 1 of 65536 entries: the guest stays here");
	host_status(p.b, PAIR_VM, "failed");
	guest_event(p.source, "resumed");
	h_check(p.h, !p.destination->started, "the guest runs at the destination as well");
	q = host_query(p.a, PAIR_VM);
	verify = member(q, "verify");
	h_check(p.h, member_int(verify, "mismatches", -1) == 1, "%s",
		json_object_to_json_string(q));
	json_object_put(q);
	pair_works_still(&p); /* when nothing is lost */
}
END_TEST

START_TEST(state_is_refused)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.source = {.rate = 1000},
		.destination = {.extra = {"--refuse-state"}},
	});

	pair_migrate(&p);
	pair_fails(&p, "state");
	guest_event(p.source, "resumed");
	pair_stays(&p);
}
END_TEST

/*
 * No lock for the disk at the destination: NEVER, and the source takes its guest back. It hears
 * why, protocol.md 10.2: "the destination MAY say, right before NEVER or UNKNOWN, why"
 */
START_TEST(activate_fails)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.source = {.rate = 1000},
		.destination = {.extra = {"--fail-activate"}},
	});

	pair_migrate(&p);
	pair_fails(&p, "never runs there: the guest could not be started: "); /* and b's words */
	guest_event(p.source, "resumed");
	pair_stays(&p);
}
END_TEST

START_TEST(not_a_table)
{
	fails_and_stays(
		&(struct pair_opts){
			.source = {.rate = 1000, .extra = {"--bad-fd"}},
		},
		"no HPT");
}
END_TEST

START_TEST(not_a_table_at_destination)
{
	fails_and_stays(
		&(struct pair_opts){
			.source = {.rate = 1000},
			.destination = {.extra = {"--bad-fd"}},
		},
		"no HPT");
}
END_TEST

START_TEST(pause_never_ends)
{
	fails_and_stays(
		&(struct pair_opts){
			.source = {.rate = 1000, .extra = {"--stall-pause"}},
		},
		"PAUSE");
}
END_TEST

/* --- registration ------------------------------------------------------------------------- */

static struct guest *refused_guest(
	struct host *a, const char *name, const char *uuid, const char *words)
{
	struct guest *g = guest_start(
		a, name, &(struct guest_opts){.unregistered = true, .rate = 1000, .uuid = uuid});

	guest_event(g, "refused");
	h_check_text(a->h, g->text, words);
	guest_runs(g); /* it runs all the same: it cannot be moved, that is all */
	return g;
}

START_TEST(name_or_uuid_is_taken)
{
	static const char uuid[] = "01234567-89ab-cdef-0123-456789abcdef";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *first = guest_start(a, "vm1", &(struct guest_opts){.uuid = uuid});
	struct guest *second = refused_guest(a, "vm1", NULL, "named 'vm1'");

	refused_guest(a, "vm2", uuid, uuid);
	h_check(h, host_count(a, "VM_REGISTERED") <= 1, "a refused VM was registered");
	/* when the first one ends, its place is free */
	guest_stop(first);
	guest_event(second, "registered");
	harness_free(h);
}
END_TEST

static size_t warnings(struct host *a, const char *words)
{
	struct json_object *d = host_ask(a, "query-daemon", NULL), *list = member(d, "warnings");
	size_t n = json_object_array_length(list), found = 0;

	for (size_t i = 0; i < n; i++)
		found += strstr(json_object_get_string(json_object_array_get_idx(list, i)),
				 words) != NULL;
	json_object_put(d);
	return found;
}

/* A rule ties name and UUID together, and nobody else's UUID is to be had by its name's owner. */
START_TEST(name_and_uuid_are_allowed_together)
{
	static const char mine[] = "01234567-89ab-cdef-0123-456789abcdef",
			  others[] = "11234567-89ab-cdef-0123-456789abcdef",
			  any[] = "21234567-89ab-cdef-0123-456789abcdef";
	struct harness *h = harness_new();
	const char *path = harness_path(h, "config.json");
	FILE *f = fopen(path, "we");
	struct json_object *vm;
	struct host *a;

	h_check(h, f, "%s: %m", path);
	fprintf(f,
		"{\"allow\": [{\"uid\": %u, \"vm\": \"mine-*\", \"uuid\": \"%s\"},"
		" {\"uid\": %u, \"vm\": \"free-*\"},"
		" {\"uid\": %u, \"vm\": \"*\", \"uuid\": [\"%s\"]}], \"downtime-limit\": 123}\n",
		(unsigned)getuid(), mine, (unsigned)getuid(), (unsigned)getuid() + 1, others);
	fclose(f);
	a = host_start(h, "a", &(struct host_opts){.config = path});
	h_check(h, warnings(a, "'allow'") == 0, "it warns though there are rules");
	guest_start(a, "mine-1", &(struct guest_opts){.uuid = mine});
	guest_start(a, "free-1", &(struct guest_opts){.uuid = any});
	refused_guest(a, "vm1", NULL, "'allow'");
	refused_guest(a, "mine-2", others, "other UUIDs");
	refused_guest(a, "free-2", others, "another user's");
	vm = host_vm(a, "mine-1");
	h_check(h, member_int(vm, "uid", -1) == getuid(), "it is another user's");
	h_check(h, member_text(vm, "user", "")[0], "its user has no name");
	json_object_put(vm);
	harness_free(h);
}
END_TEST

/* By that name the VM whose UUID it is would be meant no more. */
START_TEST(name_is_the_uuid_of_another)
{
	static const char uuid[] = "01234567-89ab-cdef-0123-456789abcdef",
			  other[] = "11234567-89ab-cdef-0123-456789abcdef";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);

	h_check(h, warnings(a, "'allow'") == 1, "it does not warn");
	guest_start(a, "vm1", &(struct guest_opts){.uuid = uuid});
	refused_guest(a, uuid, other, "is a UUID");
	refused_guest(a, "0123456789ABCDEF0123456789ABCDEF", other, "is a UUID");
	guest_start(a, other, &(struct guest_opts){.uuid = other});
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("failures", &c);

	harness_add(c, source_vmm_dies_mid_pass);
	harness_add(c, destination_vmm_dies_mid_pass);
	harness_add(c, destination_daemon_dies_mid_pass);
	harness_add(c, source_daemon_dies_mid_pass);
	harness_add(c, source_daemon_is_stopped_mid_pass);
	harness_add(c, destination_daemon_is_stopped_mid_pass);
	harness_add(c, table_refuses_an_entry);
	harness_add(c, tables_differ);
	harness_add(c, state_is_refused);
	harness_add(c, activate_fails);
	harness_add(c, not_a_table);
	harness_add(c, not_a_table_at_destination);
	harness_add_slow(c, pause_never_ends);
	harness_add(c, name_or_uuid_is_taken);
	harness_add(c, name_and_uuid_are_allowed_together);
	harness_add(c, name_is_the_uuid_of_another);
	return harness_main(s);
}
