/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Never two, never none: at each step of a migration each of the four processes is killed, both
 * daemons are, and the connection between them is cut; the table (docs/architecture.md, "Victim by
 * step") says who runs afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/session/migration.h"
#include "tests/integration/handover.h"

/* --- the table ---------------------------------------------------------------------------- */

struct row {
	bool tested;
	enum outcome after[VICTIMS];
};

static struct row row(enum outcome source_daemon, enum outcome source_vmm,
	enum outcome destination_daemon, enum outcome destination_vmm, enum outcome connection,
	enum outcome both_daemons)
{
	return (struct row){
		.tested = true,
		.after = {source_daemon, source_vmm, destination_daemon, destination_vmm,
			connection, both_daemons},
	};
}

#define S AT_SOURCE
#define D AT_DESTINATION
#define N NOWHERE
#define U UNRESOLVED

/*
 *	of the source: of the destination: the         both
 *	daemon, VMM;   daemon, VMM;        connection; daemons
 */
static struct row who_runs(enum mig_state state)
{
	switch (state) {
	/* there is none yet to cut */
	case MIG_CONNECT: return row(S, N, S, S, D, S);
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_CUT:
	case MIG_PAUSE:
	case MIG_PRE_SWITCHOVER:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_STATE: return row(S, N, S, S, S, S);
	/* there is none to cut: it goes on */
	case MIG_RESUME: return row(S, N, S, S, D, S);
	/* everything is at the destination, and the source's guest never ran again */
	case MIG_END: return row(S, D, S, S, S, S);
	/* the destination is READY: what it needs is COMMIT, from whoever may say it */
	case MIG_COMMITTING: return row(S, D, D, S, D, S);
	case MIG_COMMIT:
	case MIG_ASKING: return row(D, D, D, S, D, D);
	/* it ran at the destination, and died there */
	case MIG_RELEASE: return row(D, D, D, N, D, D);
	case MIG_UNDO:
	case MIG_STOPPING: return row(S, N, S, S, S, S);

	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_CUT:
	case MIG_IN_RESUME:
	case MIG_IN_ACTIVE: return row(S, N, S, S, S, S);
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY: return row(S, D, S, S, S, S);
	/* its VMM was not asked yet */
	case MIG_IN_RUN: return row(D, D, D, S, D, D);
	case MIG_IN_RUNNING: return row(D, D, D, N, D, D);
	case MIG_IN_STOPPING: return row(S, N, S, S, S, S);
	case MIG_IN_LOST: return row(U, N, U, U, U, U);

	/* decided: nothing is held there */
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: break;
	}
	return (struct row){0};
}

/* --- how to get to a step ----------------------------------------------------------------- */

static struct stage stand(const struct stage_opts *opts)
{
	struct stage s = stage_new(opts);

	stage_migrate(&s);
	return s;
}

static struct stage held_at_source(const struct stage_opts *opts, enum mig_state state)
{
	struct stage s = stand(opts);

	host_held(s.a, STAGE_VM, migration_step(state));
	return s;
}

static struct stage held_at_destination(enum mig_state state)
{
	struct stage s = stand(&(struct stage_opts){.hold_b = migration_step(state)});

	host_held(s.b, STAGE_VM, migration_step(state));
	return s;
}

/* Passes arrive, and the source sends no END before it is told to go on. */
static struct stage arriving(void)
{
	struct stage s = stand(&(struct stage_opts){.hold_a = "active", .hold_b = "in-active"});

	host_held(s.a, STAGE_VM, "active");
	host_held(s.b, STAGE_VM, "in-active");
	return s;
}

/*
 * A migration whose passes do not end is paused, and where it is to go on, resumed. One that nobody
 * resumes ends after a while.
 */
static struct stage interrupted(enum mig_state state, const struct stage_opts *o)
{
	struct stage s = stage_new(o);

	host_do(s.a, "migrate-set-parameters", "{'downtime-limit': 0, 'max-passes': 1000000}");
	if (state != MIG_RESUME)
		host_do(s.a, "migrate-set-parameters", "{'recover-timeout': 1}");
	host_do(s.b, "migrate-set-parameters", "{'recover-timeout': %d}",
		state == MIG_RESUME ? 10 : 1);
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", STAGE_VM, NULL, NULL));
	host_do(s.a, "migrate-pause", "{'vm': '" STAGE_VM "'}");
	host_do(s.a, "migrate-set-parameters", "{'downtime-limit': 2000}");
	if (state == MIG_CUT)
		host_held(s.a, STAGE_VM, "cut");
	if (state == MIG_IN_CUT)
		host_held(s.b, STAGE_VM, "in-cut");
	if (state == MIG_CUT || state == MIG_IN_CUT)
		return s;
	/* a PAUSE that is lost with its connection ends the migration at the destination */
	host_status(s.b, STAGE_VM, "postcopy-paused");
	host_do(s.a, "migrate", "{'vm': '" STAGE_VM "', 'uri': '%s', 'resume': true}", s.uri);
	host_held(state == MIG_RESUME ? s.a : s.b, STAGE_VM, migration_step(state));
	return s;
}

static struct stage asking(void)
{
	struct stage s = held_at_source(
		&(struct stage_opts){.hold_a = "commit,asking"}, MIG_COMMIT);

	relay_cut(s.relay);
	host_held(s.a, STAGE_VM, "asking");
	return s;
}

static struct stage cancelled_at_source(void)
{
	struct stage s = stand(&(struct stage_opts){.hold_a = "stopping", .pre_switchover = true});

	host_status(s.a, STAGE_VM, "pre-switchover");
	host_do(s.a, "migrate_cancel", "{'vm': '" STAGE_VM "'}");
	host_held(s.a, STAGE_VM, "stopping");
	return s;
}

static struct stage cancelled_at_destination(void)
{
	struct stage s = stand(
		&(struct stage_opts){.hold_b = "in-stopping", .pre_switchover = true});

	host_status(s.a, STAGE_VM, "pre-switchover");
	host_do(s.b, "migrate_cancel", "{'vm': '" STAGE_VM "'}");
	host_held(s.b, STAGE_VM, "in-stopping");
	host_status(s.a, STAGE_VM, "cancelled");
	return s;
}

/* The destination's VMM dies of the start: nobody knows whether the guest ran. */
static struct stage lost(void)
{
	struct stage s = stage_new(&(struct stage_opts){.destination = {"--die-at", "run"}});

	s.destination->process->any_end = true;
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_UNRESOLVED", STAGE_VM, NULL, NULL));
	guest_ends(s.destination, 9);
	return s;
}

static struct stage reach(enum mig_state state)
{
	struct stage_opts o = {.hold_a = migration_step(state)};

	switch (state) {
	case MIG_CONNECT:
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_PAUSE:
	case MIG_LAST_PASS:
	case MIG_STATE:
	case MIG_END:
	case MIG_COMMITTING:
	case MIG_COMMIT:
	case MIG_RELEASE: return held_at_source(&o, state);
	case MIG_PRE_SWITCHOVER: o.pre_switchover = true; return held_at_source(&o, state);
	case MIG_VERIFY: o.verify = true; return held_at_source(&o, state);
	case MIG_UNDO: o.destination[0] = "--fail-activate"; return held_at_source(&o, state);
	case MIG_ASKING: return asking();
	case MIG_CUT:
	case MIG_RESUME: return interrupted(state, &o);
	case MIG_IN_CUT:
	case MIG_IN_RESUME:
		o = (struct stage_opts){.hold_b = migration_step(state)};
		return interrupted(state, &o);
	case MIG_STOPPING: return cancelled_at_source();
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN:
	case MIG_IN_RUNNING: return held_at_destination(state);
	case MIG_IN_ACTIVE: return arriving();
	case MIG_IN_STOPPING: return cancelled_at_destination();
	case MIG_IN_LOST: return lost();
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: break;
	}
	abort();
}

/* --- one victim at one step --------------------------------------------------------------- */

static enum mig_state at;

static void cell(unsigned victim)
{
	struct stage s = reach(at);

	stage_strike(&s, (enum victim)victim);
	stage_go_on(&s);
	stage_ends(&s, who_runs(at).after[victim]);
	stage_free(&s);
}

static void cell_name(unsigned victim, char *buf, size_t len)
{
	snprintf(buf, len, "at step '%s' victim %s, expected %s", migration_step(at),
		victim_name((enum victim)victim), outcome_name(who_runs(at).after[victim]));
}

/*
 * protocol.md 13: "An error of a connection is an error of its session up to READY, at the
 * destination, and up to COMMITTING, at the source"
 * protocol.md 13: "After that it ends the connection alone."
 */
START_TEST(step)
{
	at = (enum mig_state)_i;
	stage_together(VICTIMS, cell, cell_name);
}
END_TEST

int main(void)
{
	const char *only = getenv("HTAB_TEST");
	TCase *c;
	Suite *s = harness_suite("handover", &c);

	for (int i = 0; i < MIG_STATES; i++) {
		enum mig_state state = (enum mig_state)i;

		if (who_runs(state).tested && (!only || !strcmp(only, migration_step(state))))
			tcase_add_loop_test(c, step, i, i + 1);
	}
	return harness_main(s);
}
