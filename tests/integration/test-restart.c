/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hand-over when somebody is away: a daemon that slept past its lease, later daemons, strangers
 * who ask, hosts that do not come back, and the operator's word.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/integration/handover.h"

/* Longer than the daemon waits between two renewals. */
#define LEASE_MS "3000"

static struct stage held_at_a(const struct stage_opts *opts)
{
	struct stage s = stage_new(opts);

	stage_migrate(&s);
	host_held(s.a, STAGE_VM, opts->hold_a);
	return s;
}

static struct stage held_at_b(const char *step)
{
	struct stage s = stage_new(&(struct stage_opts){.hold_b = step});

	stage_migrate(&s);
	host_held(s.b, STAGE_VM, step);
	return s;
}

/* --- a daemon that sleeps ----------------------------------------------------------------- */

static const char *const asleep_at[] = {"pre-switchover", "end", "committing"};

/* a sleeps at that step until the guest has run on by itself. */
static struct stage sleeps(const char *step)
{
	struct stage s = held_at_a(&(struct stage_opts){
		.hold_a = step,
		.pre_switchover = !strcmp(step, "pre-switchover"),
		.source = {"--lease-ms", LEASE_MS},
	});

	process_signal(s.a->process, SIGSTOP);
	guest_event(s.source, "resumed");
	return s;
}

static void lease_over(unsigned i)
{
	struct stage s = sleeps(asleep_at[i]);

	guest_runs(s.source);
	process_signal(s.a->process, SIGCONT);
	stage_go_on(&s);
	host_status(s.a, STAGE_VM, "failed");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}

/* The guest ran again, so the destination's copy is stale: it stays dead, though nobody is left. */
static void lease_over_vmm_dead(unsigned i)
{
	struct stage s = sleeps(asleep_at[i]);

	guest_kill(s.source);
	process_signal(s.a->process, SIGCONT);
	stage_go_on(&s);
	host_status(s.a, STAGE_VM, "failed");
	stage_ends(&s, NOWHERE);
	stage_free(&s);
}

static void asleep_name(unsigned i, char *buf, size_t len)
{
	snprintf(buf, len, "asleep at step '%s'", asleep_at[i]);
}

START_TEST(lease_is_over)
{
	stage_together(3, lease_over, asleep_name);
}
END_TEST

START_TEST(lease_is_over_and_vmm_dies)
{
	stage_together(3, lease_over_vmm_dead, asleep_name);
}
END_TEST

/* After the note there is no lease. A second guest, paused later, tells when it would be over. */
START_TEST(note_ends_the_lease)
{
	struct stage s = held_at_a(&(struct stage_opts){
		.hold_a = "commit",
		.source = {"--lease-ms", LEASE_MS},
	});
	struct guest *later = guest_start(
		s.a, "vm2", &(struct guest_opts){.rate = 1000, .extra = {"--lease-ms", LEASE_MS}});

	guest_start(s.b, "vm2", &(struct guest_opts){.incoming = true});
	host_do(s.b, "migrate-incoming", "{'vm': 'vm2'}");
	host_do(s.a, "migrate-set-capabilities",
		"{'vm': 'vm2', 'capabilities': "
		"[{'capability': 'pause-before-switchover', 'state': true}]}");
	host_do(s.a, "migrate", "{'vm': 'vm2', 'uri': '%s'}", s.uri);
	host_status(s.a, "vm2", "pre-switchover");
	process_signal(s.a->process, SIGSTOP);
	guest_event(later, "resumed");
	guest_stands(s.source);
	h_check(s.h, !s.source->resumed, "the guest runs though its VMM noted that it leaves");
	process_signal(s.a->process, SIGCONT);
	host_status(s.a, "vm2", "failed");
	stage_go_on(&s);
	stage_ends(&s, AT_DESTINATION);
	guest_runs(later);
	stage_free(&s);
}
END_TEST

/* --- later daemons ------------------------------------------------------------------------ */

static const enum victim restarted[] = {SOURCE_DAEMON, DESTINATION_DAEMON, BOTH_DAEMONS};

START_TEST(tls)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit", .tls = true});

	stage_strike(&s, restarted[_i]);
	stage_go_on(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* COMMIT comes from one daemon after the other; the guest starts once. */
START_TEST(commit_is_repeated)
{
	struct stage s = held_at_b("in-run");

	for (int i = 0; i < 3; i++)
		stage_strike(&s, SOURCE_DAEMON);
	stage_go_on(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* What was given up stands in nobody's way. */
START_TEST(again)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "last-pass"});

	stage_strike(&s, restarted[_i]);
	stage_go_on(&s);
	stage_ends(&s, AT_SOURCE);
	stage_over(s.b);
	stage_migrate(&s);
	if (s.a->opts.hold) { /* it is the same daemon, and holds again */
		host_held(s.a, STAGE_VM, s.a->opts.hold);
		stage_go_on(&s);
	}
	s.source->resumed = false; /* that was before */
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* --- strangers ---------------------------------------------------------------------------- */

static void stays_unresolved(struct stage *s, const char *words)
{
	uint64_t deadline = harness_deadline();
	bool said = false;

	json_object_put(host_event(s->a, "MIGRATION_UNRESOLVED", STAGE_VM, NULL, NULL));
	while (!said) {
		struct json_object *q = host_query(s->a, STAGE_VM);

		said = strstr(member_text(q, "error-desc", ""), words);
		h_check(s->h, clock_ns() < deadline, "\"%s\" does not say \"%s\"",
			member_text(q, "error-desc", ""), words);
		json_object_put(q);
	}
	guest_stands(s->source);
	guest_stands(s->destination);
	h_check(s->h, !s->source->resumed && !s->destination->started, "the guest ran");
}

static void restart_as(struct host *host, struct guest *g, const char *name)
{
	host_kill(host);
	host->opts.hold = NULL;
	host_creds(host, harness_creds(host->h, name, NULL));
	host_restart(host);
	guest_event(g, "registered");
}

/* protocol.md 10.2: "Others get REFUSE (DENIED) and learn nothing." */
START_TEST(question_of_a_stranger)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit", .tls = true});

	restart_as(s.a, s.source, "hostc");
	stays_unresolved(&s, "another host's");
	restart_as(s.a, s.source, "hosta");
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

START_TEST(answer_of_a_stranger)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit", .tls = true});

	restart_as(s.b, s.destination, "hostc");
	stage_go_on(&s);
	stays_unresolved(&s, "CN=hostc");
	restart_as(s.b, s.destination, "hostb");
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* --- the operator's word ------------------------------------------------------------------ */

/* The destination's host dies with a copy that is ready. */
static struct stage destination_is_dead(void)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit"});

	stage_session(&s);
	host_kill(s.b);
	guest_kill(s.destination);
	stage_go_on(&s);
	json_object_put(host_event(s.a, "MIGRATION_UNRESOLVED", STAGE_VM, NULL, NULL));
	guest_stands(s.source);
	h_check(s.h, !s.source->resumed, "the guest runs without an answer");
	return s;
}

START_TEST(run_at_source)
{
	struct stage s = destination_is_dead();

	stage_resolve(&s, s.a, "run");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

START_TEST(discard_at_source)
{
	struct stage s = destination_is_dead();

	stage_resolve(&s, s.a, "discard");
	stage_ends(&s, NOWHERE);
	stage_over(s.a);
	stage_free(&s);
}
END_TEST

/* The source's host dies after its VMM noted that it commits. */
static struct stage source_is_dead(void)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit"});

	stage_session(&s);
	host_kill(s.a);
	guest_kill(s.source);
	guest_stands(s.destination);
	return s;
}

static void count_sessions(struct host *host, size_t n)
{
	struct json_object *vm = host_vm(host, STAGE_VM);
	struct json_object *sessions = member(vm, "sessions");

	h_check(host->h, sessions && json_object_array_length(sessions) == n,
		"%s should have %zu sessions: %s", host->name, n, json_object_to_json_string(vm));
	json_object_put(vm);
}

START_TEST(run_at_destination)
{
	struct stage s = source_is_dead();

	stage_resolve(&s, s.b, "run");
	guest_event(s.destination, "started");
	guest_runs(s.destination);
	/* and it may migrate on, the operator says */
	json_object_put(host_event(s.b, "RESUME", STAGE_VM, NULL, NULL));
	count_sessions(s.b, 1);
	stage_resolve(&s, s.b, "run");
	stage_over(s.b);
	count_sessions(s.b, 0);
	guest_runs(s.destination);
	stage_free(&s);
}
END_TEST

START_TEST(discard_at_destination)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit"});

	stage_resolve(&s, s.b, "discard");
	guest_event(s.destination, "dead");
	stage_go_on(&s);
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* The VMM that was asked to run the guest dies of it. */
static struct stage lost(void)
{
	struct stage s = stage_new(&(struct stage_opts){.destination = {"--die-at", "run"}});

	s.destination->process->any_end = true;
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_UNRESOLVED", STAGE_VM, NULL, NULL));
	guest_stands(s.source);
	return s;
}

/* What a query says for as long as the session is unresolved: the command that ends it. */
static void remedy_is_told(struct stage *s, struct host *host)
{
	struct json_object *q = host_query(host, STAGE_VM);
	char command[96];

	snprintf(command, sizeof(command), "htabctl resolve " STAGE_VM " %s run",
		member_text(q, "session", ""));
	h_check_text(s->h, member_text(q, "error-desc", ""), command);
	h_check_text(s->h, member_text(q, "error-desc", ""), "asked to run the guest");
	json_object_put(q);
}

START_TEST(lost_is_discarded)
{
	struct stage s = lost();

	remedy_is_told(&s, s.a);
	remedy_is_told(&s, s.b);
	stage_resolve(&s, s.b, "discard");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

START_TEST(lost_had_run)
{
	struct stage s = lost();

	stage_resolve(&s, s.b, "run");
	stage_ends(&s, NOWHERE);
	stage_over(s.a);
	stage_free(&s);
}
END_TEST

/* A note does not tell how its session ended: the next daemon does not say that it failed. */
START_TEST(cancelled_is_not_shown_as_failed)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "active"});
	struct json_object *q, *vm;

	host_do(s.a, "migrate_cancel", "{'vm': '" STAGE_VM "'}");
	host_status(s.a, STAGE_VM, "cancelled");
	host_status(s.b, STAGE_VM, "cancelled");
	guest_event(s.destination, "dead");
	host_kill(s.b);
	host_restart(s.b);
	guest_event(s.destination, "registered");
	q = host_query(s.b, STAGE_VM);
	h_check(s.h, json_object_object_length(q) == 0, "query-migrate: %s",
		json_object_to_json_string(q));
	json_object_put(q);
	vm = host_vm(s.b, STAGE_VM);
	h_check(s.h, !strcmp(member_text(vm, "migration", ""), "none"), "query-vms: %s",
		json_object_to_json_string(vm));
	json_object_put(vm);
	stage_free(&s);
}
END_TEST

START_TEST(nothing_to_resolve)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "active"});
	struct err err;

	stage_session(&s);
	host_refused(s.a, &err, "resolve",
		"{'vm': '" STAGE_VM "', 'session': '%s', 'action': 'run'}", s.session);
	h_check_text(s.h, err.text, "active");
	host_refused(s.b, &err, "resolve",
		"{'vm': '" STAGE_VM "', 'session': '%s', 'action': 'run'}", s.session);
	h_check_text(s.h, err.text, "in-active");
	host_refused(s.a, &err, "resolve",
		"{'vm': '" STAGE_VM "', 'session': '00000000000000000000000000000001', "
		"'action': 'run'}");
	host_refused(s.a, &err, "resolve",
		"{'vm': '" STAGE_VM "', 'session': '%s', 'action': 'start'}", s.session);
	stage_go_on(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* --- a network that swallows -------------------------------------------------------------- */

static void wait_asking(struct stage *s)
{
	uint64_t deadline = harness_deadline();
	bool asking = false;

	while (!asking) {
		struct json_object *q = host_query(s->a, STAGE_VM);

		asking = !strcmp(member_text(q, "step", ""), "asking");
		h_check(s->h, clock_ns() < deadline, "the source waits for ever at step '%s'",
			member_text(q, "step", ""));
		json_object_put(q);
	}
}

/* COMMIT is lost and no connection breaks: silence ends it, after 30 s. */
START_TEST(commit_is_swallowed)
{
	struct stage s = held_at_a(&(struct stage_opts){.hold_a = "commit"});

	relay_swallow(s.relay, true);
	stage_go_on(&s);
	wait_asking(&s);
	guest_stands(s.source);
	guest_stands(s.destination);
	relay_cut(s.relay);
	relay_swallow(s.relay, false);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("restart", &c);

	harness_add(c, lease_is_over);
	harness_add(c, lease_is_over_and_vmm_dies);
	harness_add(c, note_ends_the_lease);
	if (harness_wants("tls"))
		tcase_add_loop_test(c, tls, 0, 3);
	if (harness_wants("again"))
		tcase_add_loop_test(c, again, 0, 3);
	harness_add(c, commit_is_repeated);
	harness_add(c, question_of_a_stranger);
	harness_add(c, answer_of_a_stranger);
	harness_add(c, run_at_source);
	harness_add(c, discard_at_source);
	harness_add(c, run_at_destination);
	harness_add(c, discard_at_destination);
	harness_add(c, lost_is_discarded);
	harness_add(c, lost_had_run);
	harness_add(c, cancelled_is_not_shown_as_failed);
	harness_add(c, nothing_to_resolve);
	if (getenv("HTAB_HANDOVER_ALL"))
		harness_add(c, commit_is_swallowed);
	return harness_main(s);
}
