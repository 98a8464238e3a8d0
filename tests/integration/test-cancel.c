/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cancel in every state. The switch below has no default: a state that is added has to say here
 * what a cancel does in it.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/session/migration.h"
#include "tests/integration/pair.h"
#include "tools/htabctl/qmpclient.h"

enum outcome {
	CANCELS,  /* the guest runs on at the source, and another migration works */
	TOO_LATE, /* it is refused, and the hand-over completes */
	UNDONE,   /* it is refused, and the guest comes back to the source */
	AGAIN,    /* it is being cancelled: once more does no harm */
	INACTIVE, /* there is nothing to cancel */
};

struct plan {
	const char *step;
	bool at_b; /* the state is the destination's */
	enum outcome outcome;
	bool recovery; /* it is paused, and perhaps resumed, on the way */
	bool verify, pre_switchover, fail_activate, die_at_run, dead_peer;
};

static struct plan plan_for(enum mig_state state)
{
	switch (state) {
	case MIG_CONNECT: return (struct plan){"connect"};
	case MIG_OPEN: return (struct plan){"open"};
	case MIG_JOIN: return (struct plan){"join"};
	case MIG_START: return (struct plan){"start"};
	case MIG_ACTIVE: return (struct plan){"active"};
	case MIG_CUT: return (struct plan){"cut", .recovery = true};
	case MIG_RESUME: return (struct plan){"resume", .recovery = true};
	case MIG_PAUSE: return (struct plan){"pause"};
	case MIG_PRE_SWITCHOVER: return (struct plan){"pre-switchover", .pre_switchover = true};
	case MIG_LAST_PASS: return (struct plan){"last-pass"};
	case MIG_VERIFY: return (struct plan){"verify", .verify = true};
	case MIG_STATE: return (struct plan){"state"};
	case MIG_END: return (struct plan){"end"};
	case MIG_COMMITTING: return (struct plan){"committing", false, TOO_LATE};
	case MIG_COMMIT: return (struct plan){"commit", false, TOO_LATE};
	case MIG_ASKING: return (struct plan){"asking", false, TOO_LATE, .dead_peer = true};
	case MIG_RELEASE: return (struct plan){"release", false, TOO_LATE};
	case MIG_UNDO: return (struct plan){"undo", false, UNDONE, .fail_activate = true};
	case MIG_STOPPING: return (struct plan){"stopping", false, AGAIN};

	case MIG_IN_PREPARE: return (struct plan){"in-prepare", true};
	case MIG_IN_JOIN: return (struct plan){"in-join", true};
	case MIG_IN_ACTIVE: return (struct plan){"in-active", true};
	case MIG_IN_CUT: return (struct plan){"in-cut", true, .recovery = true};
	case MIG_IN_RESUME: return (struct plan){"in-resume", true, .recovery = true};
	case MIG_IN_FINISH: return (struct plan){"in-finish", true};
	case MIG_IN_STATE: return (struct plan){"in-state", true};
	case MIG_IN_NOTE: return (struct plan){"in-note", true};
	case MIG_IN_READY: return (struct plan){"in-ready", true};
	case MIG_IN_RUN: return (struct plan){"in-run", true, TOO_LATE};
	case MIG_IN_RUNNING: return (struct plan){"in-running", true, TOO_LATE};
	case MIG_IN_STOPPING: return (struct plan){"in-stopping", true, AGAIN};
	case MIG_IN_LOST: return (struct plan){"in-lost", true, UNDONE, .die_at_run = true};

	case MIG_COMPLETED: return (struct plan){"completed", false, INACTIVE};
	case MIG_FAILED: return (struct plan){"failed", false, INACTIVE, .fail_activate = true};
	case MIG_CANCELLED: return (struct plan){"cancelled", false, INACTIVE};
	}
	ck_abort_msg("state %d is none", state);
}

static void cancel(struct host *host)
{
	host_do(host, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
}

static void go_on(struct host *host)
{
	host_do(host, "x-continue", "{'vm': '" PAIR_VM "'}");
}

static void too_late(struct host *host)
{
	struct err err;

	host_refused(host, &err, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	h_check(host->h, err.class == ERR_GENERIC, "its class is %s: %s", err_class_name(err.class),
		err.text);
}

static void nothing_to_cancel(struct host *host)
{
	struct err err;

	host_refused(host, &err, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	h_check(host->h, err.class == ERR_DEVICE_NOT_ACTIVE || err.class == ERR_DEVICE_NOT_FOUND,
		"its class is %s: %s", err_class_name(err.class), err.text);
}

/* A migration whose passes do not end is paused, and resumed if that is the way there. */
static void interrupt(struct pair *p, const struct plan *plan)
{
	host_do(p->a, "migrate-set-parameters", "{'downtime-limit': 0, 'max-passes': 1000000}");
	pair_migrate(p);
	json_object_put(host_event(p->a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	host_do(p->a, "migrate-pause", "{'vm': '" PAIR_VM "'}");
	host_status(p->b, PAIR_VM, "postcopy-paused");
	if (!strcmp(plan->step, "resume") || !strcmp(plan->step, "in-resume"))
		host_do(p->a, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s', 'resume': true}",
			p->b->uri);
	host_do(p->a, "migrate-set-parameters", "{'downtime-limit': 2000}");
}

static void set_out(struct pair *p, const struct plan *plan)
{
	if (plan->recovery)
		interrupt(p, plan);
	else
		pair_migrate(p);
}

static void cancelled(struct pair *p, const struct plan *plan, struct host *host)
{
	struct host *other = host == p->a ? p->b : p->a;

	cancel(host);
	host_status(host, PAIR_VM, "cancelled");
	if (!strcmp(plan->step, "in-cut")) /* no connection tells the source; it tells b by one */
		cancel(other);
	if (plan->recovery && strcmp(plan->step, "in-resume"))
		host_status(other, PAIR_VM, "cancelled");
	pair_is_as_before(p);
	/* once more, to the end */
	pair_incoming(p);
	set_out(p, plan);
	host_held(host, PAIR_VM, plan->step);
	if (plan->pre_switchover)
		host_do(host, "migrate-continue",
			"{'vm': '" PAIR_VM "', 'state': 'pre-switchover'}");
	else
		go_on(host);
	if (!strcmp(plan->step, "cut") || !strcmp(plan->step, "in-cut"))
		host_do(p->a, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s', 'resume': true}",
			p->b->uri);
	if (!strcmp(plan->step, "in-active")) {
		host_held(p->a, PAIR_VM, "active");
		go_on(p->a);
	}
	pair_completes(p);
}

/* The guest comes back: its destination could not start it, or is known not to have. */
static void undone(struct pair *p, const struct plan *plan, struct host *host)
{
	too_late(host);
	if (plan->die_at_run) {
		struct json_object *q = host_query(p->b, PAIR_VM);

		/* the destination's operator knows that the guest did not run */
		host_do(p->b, "resolve",
			"{'vm': '" PAIR_VM "', 'session': '%s', 'action': 'discard'}",
			member_text(q, "session", ""));
		json_object_put(q);
	} else {
		go_on(host);
	}
	host_status(p->a, PAIR_VM, "failed");
	guest_event(p->source, "resumed");
	guest_runs(p->source);
}

static void inactive(struct pair *p, enum mig_state state)
{
	if (state == MIG_COMPLETED) {
		host_status(p->b, PAIR_VM, "completed");
		nothing_to_cancel(p->b);
		return;
	}
	if (state == MIG_CANCELLED)
		cancel(p->a);
	host_status(p->a, PAIR_VM, state == MIG_FAILED ? "failed" : "cancelled");
	nothing_to_cancel(p->a);
	guest_runs(p->source);
}

/* Up to the state; the host that is in it. */
static struct host *reach(struct pair *p, const struct plan *plan, enum mig_state state)
{
	struct host *host = plan->at_b ? p->b : p->a;

	set_out(p, plan);
	if (state == MIG_COMPLETED)
		return host;
	if (plan->dead_peer) {
		host_held(p->a, PAIR_VM, "commit");
		host_kill(p->b); /* the lost connection ends the hold at commit */
	}
	if (state == MIG_STOPPING || state == MIG_CANCELLED)
		host_held(p->a, PAIR_VM, "active");
	if (state == MIG_IN_STOPPING)
		host_held(p->b, PAIR_VM, "in-active");
	if (plan->outcome == AGAIN)
		cancel(host);
	if (plan->die_at_run)
		guest_ends(p->destination, 9);
	else if (plan->outcome != INACTIVE)
		host_held(host, PAIR_VM, plan->step);
	return host;
}

/* A guest that was paused and went on has stood for a while; any other has no downtime. */
START_TEST(downtime_of_what_was_cancelled)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct json_object *q;

	pair_migrate_to(&p, "active");
	cancel(p.a);
	host_status(p.a, PAIR_VM, "cancelled");
	host_status(p.b, PAIR_VM, "cancelled");
	q = host_query(p.a, PAIR_VM);
	h_check(p.h, !member(q, "downtime"), "never paused: %s", json_object_to_json_string(q));
	json_object_put(q);
	host_capability(p.a, "pause-before-switchover", true);
	pair_incoming(&p);
	pair_migrate_to(&p, "active");
	go_on(p.a);
	host_status(p.a, PAIR_VM, "pre-switchover");
	cancel(p.a);
	host_status(p.a, PAIR_VM, "cancelled");
	host_status(p.b, PAIR_VM, "cancelled");
	q = host_query(p.a, PAIR_VM);
	h_check(p.h, member_int(q, "downtime", -1) >= 0, "it stood: %s",
		json_object_to_json_string(q));
	json_object_put(q);
	q = host_query(p.b, PAIR_VM);
	h_check(p.h, !member(q, "downtime"), "it never ran here: %s",
		json_object_to_json_string(q));
	json_object_put(q);
	pair_free(&p);
}
END_TEST

START_TEST(in_every_state)
{
	enum mig_state state = (enum mig_state)_i;
	struct plan plan = plan_for(state);
	char hold[64];
	struct pair_opts o = {.tls = true, .verify = plan.verify, .source = {.rate = 1000}};
	struct pair p;
	struct host *host;

	snprintf(hold, sizeof(hold), "%s%s", plan.step,
		state == MIG_ASKING                                       ? ",commit"
			: state == MIG_STOPPING || state == MIG_CANCELLED ? ",active"
			: state == MIG_IN_STOPPING                        ? ",in-active"
									  : "");
	if (plan.at_b)
		o.b.hold = hold;
	else
		o.a.hold = hold;
	if (state == MIG_IN_ACTIVE || state == MIG_IN_STOPPING) /* whose source does not go on */
		o.a.hold = "active";
	if (plan.fail_activate)
		o.destination.extra[0] = "--fail-activate";
	if (plan.die_at_run) {
		o.destination.extra[0] = "--die-at";
		o.destination.extra[1] = "run";
	}
	p = pair_new(&o);
	if (plan.pre_switchover)
		host_capability(p.a, "pause-before-switchover", true);
	host = reach(&p, &plan, state);
	switch (plan.outcome) {
	case CANCELS: cancelled(&p, &plan, host); break;
	case TOO_LATE:
		too_late(host);
		if (plan.dead_peer) {
			host_restart(p.b);
			guest_event(p.destination, "registered");
		}
		go_on(host);
		pair_completes(&p);
		break;
	case UNDONE: undone(&p, &plan, host); break;
	case AGAIN:
		cancel(host);
		go_on(host);
		host_status(host, PAIR_VM, "cancelled");
		pair_is_as_before(&p);
		break;
	case INACTIVE: inactive(&p, state); break;
	}
	pair_free(&p);
}
END_TEST

/* Two commands in one turn of the loop: the flow's threads end while the cancel is held. */
START_TEST(flow_ends_while_held)
{
	static const char commands[] =
		"{\"execute\": \"x-continue\"}{\"execute\": \"migrate_cancel\"}";
	struct pair_opts o = {.b.hold = "in-finish,in-stopping"};
	struct pair p = pair_new(&o);
	uint64_t deadline = harness_deadline();
	struct qmpclient *c;
	struct err err;

	pair_migrate(&p);
	host_held(p.b, PAIR_VM, "in-finish");
	h_check(p.h, qmpclient_open(p.b->control, 10000, &c, &err) == 0, "%s", err.text);
	h_check(p.h, qmpclient_send(c, commands, sizeof(commands) - 1, &err) == 0, "%s", err.text);
	host_held(p.b, PAIR_VM, "in-stopping");
	while (process_threads(p.b->process, "htab-receiver") ||
		process_threads(p.b->process, "htab-writer"))
		h_check(p.h, clock_ns() < deadline, "the flow's threads do not end");
	for (unsigned i = 0; i < 2; i++) /* turns of the loop, which hears of it */
		host_do(p.b, "query-status", "{'vm': '" PAIR_VM "'}");
	go_on(p.b);
	host_status(p.b, PAIR_VM, "cancelled");
	qmpclient_free(c);
	pair_stays(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("cancel", &c);

	harness_add(c, downtime_of_what_was_cancelled);
	harness_add_loop(c, in_every_state, MIG_STATES);
	harness_add(c, flow_ends_while_held);
	return harness_main(s);
}
