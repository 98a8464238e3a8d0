/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a guest stands still: what ends the pause at once, and what happens when somebody whose
 * answer is needed does not give it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/integration/handover.h"
#include "tests/integration/hostile.h"

#define VM STAGE_VM

/* An hour: what waits for one of these waits longer than any test. */
#define NO_LINGERING "peer-finish=3600000,redial=3600000"

/* The guest that a destination gave up is asked for at once, on a connection that it reads. */
static void taken_back(struct stage *s)
{
	stage_go_on(s);
	host_status(s->a, VM, "failed");
	stage_ends(s, AT_SOURCE);
	stage_free(s);
}

START_TEST(dead_after_ready)
{
	struct stage s = stage_new(&(struct stage_opts){
		.hold_a = "commit",
		.limits_a = NO_LINGERING,
		.limits_b = NO_LINGERING,
	});

	stage_migrate(&s);
	host_held(s.a, VM, "commit");
	stage_strike(&s, DESTINATION_VMM);
	taken_back(&s);
}
END_TEST

/* 16 bytes; dashes are passed over. */
static void unhex(const char *text, uint8_t *ret)
{
	for (int i = 0; i < 32 && *text; text++) {
		char digit[] = {*text, 0};

		if (*text == '-')
			continue;
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | strtoul(digit, NULL, 16));
		i++;
	}
}

/* The session that a's migration has, for who would ask about it. */
static struct wire_session session_of(struct stage *s)
{
	struct json_object *vm = host_vm(s->a, VM);
	struct wire_session w = {0};

	unhex(stage_session(s), w.session.b);
	unhex(member_text(vm, "uuid", ""), w.uuid.b);
	json_object_put(vm);
	return w;
}

/* A question comes while its VMM is being asked for the note: the answer waits for that. */
START_TEST(cancelled_after_ready)
{
	struct stage s = stage_new(&(struct stage_opts){
		.hold_a = "commit",
		.hold_b = "in-stopping",
		.limits_a = NO_LINGERING,
		.limits_b = NO_LINGERING,
	});
	struct wire_session session;
	struct talk t;

	stage_migrate(&s);
	host_held(s.a, VM, "commit");
	session = session_of(&s);
	host_do(s.b, "migrate_cancel", "{'vm': '" VM "'}");
	host_held(s.b, VM, "in-stopping");
	talk_dial(&t, s.b, NULL, WIRE_ROLE_QUESTION);
	talk_session(&t, WIRE_COMMIT, &session);
	talk_ping_after(&t, 0); /* it is the session's connection now */
	host_do(s.b, "x-continue", "{'vm': '" VM "'}");
	talk_expect(&t, WIRE_NEVER);
	talk_close(&t);
	taken_back(&s);
}
END_TEST

/* --- limits up to READY: the guest runs on ---------------------------------------------------- */

static void set(struct host *host, const char *name, int value)
{
	host_do(host, "migrate-set-parameters", "{'%s': %d}", name, value);
}

static void error_says(struct host *host, const char *words)
{
	struct json_object *q = host_query(host, VM);

	h_check_text(host->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
}

/* Both daemons live, and the connection; the step does not end. */
static void limit_is_over(struct stage *s, const char *words)
{
	host_status(s->a, VM, "failed");
	error_says(s->a, words);
	if (s->b->opts.hold)
		stage_go_on(s);
	stage_ends(s, AT_SOURCE);
	stage_free(s);
}

static const char *const slow_steps[] = {"last-pass", "state", "end", "in-finish", "in-note"};
#define SLOW_STEPS ((int)(sizeof(slow_steps) / sizeof(slow_steps[0])))

START_TEST(switchover_timeout)
{
	bool at_b = !strncmp(slow_steps[_i], "in-", 3);
	struct stage s = stage_new(&(struct stage_opts){
		.hold_a = at_b ? NULL : slow_steps[_i],
		.hold_b = at_b ? slow_steps[_i] : NULL,
	});

	set(s.a, "switchover-timeout", 1);
	stage_migrate(&s);
	limit_is_over(&s, "raise switchover-timeout");
}
END_TEST

/* It is shortened on the way, and counts from the pause. */
START_TEST(switchover_timeout_on_the_way)
{
	struct stage s = stage_new(&(struct stage_opts){.hold_b = "in-finish"});

	set(s.a, "switchover-timeout", 1000000);
	stage_migrate(&s);
	host_held(s.b, VM, "in-finish");
	set(s.a, "switchover-timeout", 1);
	limit_is_over(&s, "raise switchover-timeout");
}
END_TEST

/* The comparison has a limit of its own, and uses up nothing of the other. */
START_TEST(verify_timeout)
{
	struct stage s = stage_new(&(struct stage_opts){.verify = true, .hold_a = "verify"});

	set(s.a, "verify-timeout", 1);
	stage_migrate(&s);
	host_held(s.a, VM, "verify");
	process_signal(s.b->process, SIGSTOP);
	host_do(s.a, "x-continue", "{'vm': '" VM "'}");
	host_status(s.a, VM, "failed");
	process_signal(s.b->process, SIGCONT);
	error_says(s.a, "raise verify-timeout");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/*
 * A person may think for longer than the guest may stand still otherwise, and longer than the lease
 * lasts, which is renewed again and again.
 */
START_TEST(a_person_thinks)
{
	struct host_opts o = {.limits = "lease-renew=1000"};
	struct harness *h = harness_new();
	struct host *host = host_start(h, "a", &o);
	struct vmm_request req;
	struct fake_dest dest;
	struct fake_vmm vmm;

	fake_vmm_new(&vmm, host, VM);
	fake_dest_new(&dest, host, &vmm);
	fake_vmm_register(&vmm);
	host_capability(host, "pause-before-switchover", true);
	set(host, "switchover-timeout", 4);
	host_do(host, "migrate", "{'vm': '" VM "', 'uri': '%s'}", dest.uri);
	fake_dest_join(&dest);
	for (int i = 0; i < 6; i++)
		fake_vmm_request(&vmm, VMM_LEASE, &req);
	host_status(host, VM, "pre-switchover");
	set(host, "switchover-timeout", 1000000); /* this machine may be slow */
	host_do(host, "migrate-continue", "{'vm': '" VM "', 'state': 'pre-switchover'}");
	fake_dest_end(&dest);
	fake_dest_free(&dest);
	fake_vmm_request(&vmm, VMM_RESUME, &req);
	fake_vmm_answer(&vmm, &req);
	host_status(host, VM, "failed");
	fake_vmm_free(&vmm);
	harness_free(h);
}
END_TEST

/* --- steps that only an answer ends: people are told ------------------------------------------ */

/* By the event, in query-migrate and to the service manager. */
static void told(struct host *host, const char *step, const char *words)
{
	struct json_object *e = host_event(host, "MIGRATION_UNRESOLVED", VM, NULL, NULL);
	struct json_object *q = host_query(host, VM);
	uint64_t deadline = harness_deadline();

	h_check_text(host->h, member_text(member(e, "data"), "desc", ""), words);
	h_check(host->h, !strcmp(member_text(q, "step", ""), step), "it is at step '%s'",
		member_text(q, "step", ""));
	json_object_put(e);
	json_object_put(q);
	error_says(host, words);
	while (!strstr(host_says(host), words)) {
		h_check(host->h, clock_ns() < deadline, "STATUS= is \"%s\"", host_says(host));
		host_vm_status(host, VM); /* a turn of its loop */
	}
}

static void not_resolved(struct stage *s, struct host *host, const char *words)
{
	const char *session = stage_session(s);
	struct err err;

	for (int i = 0; i < 2; i++) {
		host_refused(host, &err, "resolve",
			"{'vm': '" VM "', 'session': '%s', 'action': '%s'}", session,
			i ? "run" : "discard");
		h_check_text(s->h, err.text, words);
	}
}

static struct stage held(const struct stage_opts *o)
{
	struct stage s = stage_new(o);

	stage_migrate(&s);
	host_held(o->hold_a ? s.a : s.b, VM, o->hold_a ? o->hold_a : o->hold_b);
	set(s.a, "handover-timeout", 1); /* the steps before have all the time that they need */
	set(s.b, "handover-timeout", 1);
	return s;
}

/* At that step a VMM does not answer until it has been told. */
static void vmm_sleeps(struct stage *s, struct host *host, struct guest *g, const char *step)
{
	process_signal(g->process, SIGSTOP);
	host_do(host, "x-continue", "{'vm': '" VM "'}");
	told(host, step, "wait for it; if that process is ended");
}

START_TEST(inactivate_hangs)
{
	struct stage s = held(&(struct stage_opts){.hold_a = "committing"});

	vmm_sleeps(&s, s.a, s.source, "committing");
	not_resolved(&s, s.a, "let its guest go ('inactivate')");
	if (_i == 0) {
		process_signal(s.source->process, SIGCONT);
		stage_ends(&s, AT_DESTINATION);
	} else { /* as was said */
		guest_kill(s.source);
		guest_event(s.destination, "started");
	}
	stage_free(&s);
}
END_TEST

START_TEST(undo_hangs)
{
	struct stage s = held(&(struct stage_opts){
		.hold_a = "undo",
		.destination = {"--fail-activate"},
	});

	vmm_sleeps(&s, s.a, s.source, "undo");
	process_signal(s.source->process, SIGCONT);
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* The source does not know why, and is told by the answer that comes on the same connection. */
START_TEST(activate_hangs)
{
	struct stage s = held(&(struct stage_opts){.hold_b = "in-run"});

	vmm_sleeps(&s, s.b, s.destination, "in-run");
	not_resolved(&s, s.b, "may begin at any moment");
	told(s.a, "asking", "has not said whether it does, though the connection lives");
	if (_i == 0) {
		process_signal(s.destination->process, SIGCONT);
		stage_ends(&s, AT_DESTINATION);
	} else { /* as was said: nobody knows whether it ran */
		guest_kill(s.destination);
		json_object_put(host_event(s.b, "MIGRATION_UNRESOLVED", VM, NULL, NULL));
		stage_resolve(&s, s.b, "discard");
		stage_ends(&s, AT_SOURCE);
	}
	stage_free(&s);
}
END_TEST

/* The destination's host stands still: its connections live for a time. */
START_TEST(silent_destination_is_resolved)
{
	struct stage s = held(&(struct stage_opts){.hold_a = "commit"});

	process_signal(s.b->process, SIGSTOP);
	host_do(s.a, "x-continue", "{'vm': '" VM "'}");
	told(s.a, "asking", "though the connection lives");
	host_kill(s.b);
	guest_kill(s.destination);
	stage_resolve(&s, s.a, "run");
	guest_runs(s.source);
	stage_over(s.a);
	stage_free(&s);
}
END_TEST

/* A source that was READY's, and does not come back. */
START_TEST(ready_timeout)
{
	struct stage s = stage_new(&(struct stage_opts){.hold_a = "committing"});

	set(s.b, "ready-timeout", _i ? 1000000 : 1);
	stage_migrate(&s);
	host_held(s.a, VM, "committing");
	relay_cut(s.relay);
	set(s.b, "ready-timeout", 1);
	host_status(s.b, VM, "failed");
	error_says(s.b, "(ready-timeout)");
	stage_go_on(&s);
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* One that lives may take its time, and its word counts; or somebody at the destination's. */
START_TEST(ready_with_a_connection)
{
	struct stage s = stage_new(&(struct stage_opts){.hold_a = "committing"});

	set(s.b, "ready-timeout", 1);
	set(s.b, "handover-timeout", 2);
	stage_migrate(&s);
	host_held(s.a, VM, "committing");
	told(s.b, "in-ready", "its source, which is connected, has not said");
	if (_i == 1)
		stage_resolve(&s, s.b, "discard");
	stage_go_on(&s);
	stage_ends(&s, _i ? AT_SOURCE : AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* Its source is gone, and the copy that is left may be the last one: people hear of it in time. */
START_TEST(last_copy_is_told)
{
	struct stage s = stage_new(&(struct stage_opts){.hold_a = "committing"});

	set(s.b, "handover-timeout", 1);
	stage_migrate(&s);
	host_held(s.a, VM, "committing");
	stage_session(&s);
	host_kill(s.a);
	guest_kill(s.source);
	told(s.b, "in-ready", "when that host is known to be dead and fenced: htabctl resolve " VM);
	stage_resolve(&s, s.b, "run");
	guest_event(s.destination, "started");
	guest_runs(s.destination);
	stage_free(&s);
}
END_TEST

/* --- limits of a recovery --------------------------------------------------------------------- */

static struct stage endless(const struct stage_opts *o)
{
	struct stage s = stage_new(o);

	host_capability(s.a, "htab-recover", true);
	host_do(s.a, "migrate-set-parameters", "{'downtime-limit': 0, 'max-passes': 1000000}");
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", VM, NULL, NULL));
	host_do(s.a, "migrate-pause", "{'vm': '" VM "'}");
	host_status(s.b, VM, "postcopy-paused");
	return s;
}

static void resume(struct stage *s)
{
	host_do(s->a, "migrate", "{'vm': '" VM "', 'uri': '%s', 'resume': true}", s->uri);
}

/* RESUME is not answered on a connection that lives: the source tries another. */
START_TEST(resume_is_not_answered)
{
	struct stage s = endless(&(struct stage_opts){
		.limits_a = "resume-step=3000,redial=3600000,redial-max=3600000",
		.hold_b = "in-resume",
	});

	host_take_events(s.a);
	resume(&s);
	host_held(s.b, VM, "in-resume");
	host_status(s.a, VM, "postcopy-paused");
	error_says(s.a, "(resume)");
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* Parameter timeout is for the whole migration, its interruptions counted. */
START_TEST(timeout_after_a_recovery)
{
	struct stage s = endless(&(struct stage_opts){0});

	set(s.a, "timeout", 1);
	resume(&s);
	host_status(s.a, VM, "cancelled");
	error_says(s.a, "timeout (s) 1 reached");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("pause", &c);

	harness_add(c, dead_after_ready);
	harness_add(c, cancelled_after_ready);
	harness_add_loop(c, switchover_timeout, SLOW_STEPS);
	harness_add(c, switchover_timeout_on_the_way);
	harness_add(c, verify_timeout);
	harness_add(c, a_person_thinks);
	harness_add_loop(c, inactivate_hangs, 2);
	harness_add(c, undo_hangs);
	harness_add_loop(c, activate_hangs, 2);
	harness_add(c, silent_destination_is_resolved);
	harness_add_loop(c, ready_timeout, 2);
	harness_add_loop(c, ready_with_a_connection, 2);
	harness_add(c, last_copy_is_told);
	harness_add(c, resume_is_not_answered);
	harness_add(c, timeout_after_a_recovery);
	return harness_main(s);
}
