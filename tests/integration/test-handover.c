/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Never two, never none: at each step of a migration each of the four processes is killed, and the
 * connection between the daemons cut; the table says who runs afterwards.
 *
 * HTAB_HANDOVER_ALL: every step; without it those from the last pass on and one before.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/migration.h"
#include "tests/integration/handover.h"

/* --- the table ---------------------------------------------------------------------------- */

struct row {
	bool tested;
	enum outcome after[VICTIMS];
};

static struct row row(enum outcome source_daemon, enum outcome source_vmm,
	enum outcome destination_daemon, enum outcome destination_vmm, enum outcome connection)
{
	return (struct row){
		.tested = true,
		.after = {source_daemon, source_vmm, destination_daemon, destination_vmm,
			connection},
	};
}

#define S AT_SOURCE
#define D AT_DESTINATION
#define N NOWHERE
#define U UNRESOLVED

/*
 *	            of the source: | of the destination: | the
 *	            daemon  VMM    | daemon  VMM         | connection
 */
static struct row who_runs(enum mig_state at)
{
	switch (at) {
	/* there is none yet to cut */
	case MIG_CONNECT: return row(S, N, S, S, D);
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_PAUSE:
	case MIG_PRE_SWITCHOVER:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_STATE: return row(S, N, S, S, S);
	/* everything is at the destination, and the source's guest never ran again */
	case MIG_END: return row(S, D, S, S, S);
	/* the destination is READY: what it needs is COMMIT, from whoever may say it */
	case MIG_COMMITTING: return row(S, D, D, S, D);
	case MIG_COMMIT:
	case MIG_ASKING: return row(D, D, D, S, D);
	/* it ran at the destination, and died there */
	case MIG_RELEASE: return row(D, D, D, N, D);
	case MIG_UNDO:
	case MIG_STOPPING: return row(S, N, S, S, S);

	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_ACTIVE: return row(S, N, S, S, S);
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY: return row(S, D, S, S, S);
	case MIG_IN_RUN: return row(D, D, D, U, D);
	case MIG_IN_RUNNING: return row(D, D, D, N, D);
	case MIG_IN_STOPPING: return row(S, N, S, S, S);
	case MIG_IN_LOST: return row(U, N, U, U, U);

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

static struct stage held_at_source(const struct stage_opts *opts, enum mig_state at)
{
	struct stage s = stand(opts);

	host_held(s.a, STAGE_VM, migration_step(at));
	return s;
}

static struct stage held_at_destination(enum mig_state at)
{
	struct stage s = stand(&(struct stage_opts){.hold_b = migration_step(at)});

	host_held(s.b, STAGE_VM, migration_step(at));
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

static struct stage reach(enum mig_state at)
{
	struct stage_opts o = {.hold_a = migration_step(at)};

	switch (at) {
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
	case MIG_RELEASE: return held_at_source(&o, at);
	case MIG_PRE_SWITCHOVER: o.pre_switchover = true; return held_at_source(&o, at);
	case MIG_VERIFY: o.verify = true; return held_at_source(&o, at);
	case MIG_UNDO: o.destination[0] = "--fail-activate"; return held_at_source(&o, at);
	case MIG_ASKING: return asking();
	case MIG_STOPPING: return cancelled_at_source();
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN:
	case MIG_IN_RUNNING: return held_at_destination(at);
	case MIG_IN_ACTIVE: return arriving();
	case MIG_IN_STOPPING: return cancelled_at_destination();
	case MIG_IN_LOST: return lost();
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: break;
	}
	abort();
}

/* Without HTAB_HANDOVER_ALL: one of the steps that are alike. */
static bool in_short(enum mig_state at)
{
	switch (at) {
	case MIG_CONNECT:
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_PAUSE:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_FINISH:
	case MIG_IN_STATE: return false;
	case MIG_ACTIVE:
	case MIG_PRE_SWITCHOVER:
	case MIG_STATE:
	case MIG_END:
	case MIG_COMMITTING:
	case MIG_COMMIT:
	case MIG_ASKING:
	case MIG_RELEASE:
	case MIG_UNDO:
	case MIG_STOPPING:
	case MIG_IN_ACTIVE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN:
	case MIG_IN_RUNNING:
	case MIG_IN_STOPPING:
	case MIG_IN_LOST:
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: break;
	}
	return true;
}

/* --- one victim at one step --------------------------------------------------------------- */

static void cell(enum mig_state at, enum victim victim, enum outcome outcome)
{
	struct stage s = reach(at);

	stage_strike(&s, victim);
	stage_go_on(&s);
	stage_ends(&s, outcome);
	stage_free(&s);
}

/* Most of a cell is waiting, so all of a step's are under way at once. */
START_TEST(step)
{
	enum mig_state at = (enum mig_state)_i;
	struct row r = who_runs(at);
	pid_t pid[VICTIMS], parent = getpid();
	char failed[256] = "";

	fflush(stdout);
	for (unsigned v = 0; v < VICTIMS; v++) {
		pid[v] = fork();
		ck_assert_msg(pid[v] >= 0, "fork: %m");
		if (pid[v] > 0)
			continue;
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		cell(at, (enum victim)v, r.after[v]);
		fflush(stdout);
		_exit(0);
	}
	for (unsigned v = 0; v < VICTIMS; v++) {
		size_t n = strlen(failed);
		int status;

		ck_assert_msg(waitpid(pid[v], &status, 0) == pid[v], "waitpid: %m");
		if (status != 0)
			snprintf(failed + n, sizeof(failed) - n, " %s (expected: %s);",
				victim_name((enum victim)v), outcome_name(r.after[v]));
	}
	if (failed[0])
		printf("--- at step '%s', victim:%s\n", migration_step(at), failed);
	ck_assert_msg(!failed[0], "at step '%s', victim:%s", migration_step(at), failed);
}
END_TEST

int main(void)
{
	const char *only = getenv("HTAB_TEST");
	bool all = getenv("HTAB_HANDOVER_ALL");
	TCase *c;
	Suite *s = harness_suite("handover", &c);

	for (int i = 0; i < MIG_STATES; i++) {
		enum mig_state at = (enum mig_state)i;

		if (!who_runs(at).tested)
			continue;
		if (only ? !strcmp(only, migration_step(at)) : all || in_short(at))
			tcase_add_loop_test(c, step, i, i + 1);
	}
	return harness_main(s);
}
