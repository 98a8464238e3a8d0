/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state machine of a migration: what may follow what, who may still cancel, QEMU's words.
 * Every table here is a switch over every state without a default, so that a new state breaks the
 * build until somebody has said what it may do.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/dest/dest.h"
#include "daemon/control/incoming.h"
#include "daemon/transport/load.h"
#include "daemon/session/migration.h"
#include "daemon/transport/save.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

/* What the state machine tells the rest of the daemon. */
static unsigned events, ended, over;

void server_event(struct server *srv, const char *vm, const char *name, struct json_object *data)
{
	events++;
	json_object_put(data);
}

void server_status(struct server *srv)
{
}

void server_moved(struct server *srv, const struct migration *m)
{
	ended += migration_is_final(m);
}

/* No migration here has a file. */
struct save *save_free(struct save *s)
{
	ck_assert_ptr_null(s);
	return NULL;
}

struct load *load_free(struct load *l)
{
	ck_assert_ptr_null(l);
	return NULL;
}

/* No address was listened at for it. */
void incoming_forget(struct migration *m)
{
}

/* No flow has figures. */
void source_figures(struct migration *m)
{
}

/* No VMM here goes away. */
void source_vm_gone(struct migration *m, bool dead)
{
	ck_abort();
}

void dest_vm_gone(struct migration *m, bool dead)
{
	ck_abort();
}

/* No OPEN waits for its end. */
struct reopen *reopen_free(struct reopen *o)
{
	ck_assert_ptr_null(o);
	return NULL;
}

void reopen_over(struct migration *before)
{
	over += migration_is_final(before);
}

enum side {
	SOURCE,
	DESTINATION,
	BOTH,
};

struct expect {
	enum side side;
	const char *step, *status; /* status NULL: the word stays */
	bool can_cancel;
	bool final;
	bool after_committing; /* only an answer about the session, or a person, ends it */
};

static struct expect expect(enum mig_state state)
{
	switch (state) {
	case MIG_CONNECT: return (struct expect){SOURCE, "connect", "setup", true};
	case MIG_OPEN: return (struct expect){SOURCE, "open", "setup", true};
	case MIG_JOIN: return (struct expect){SOURCE, "join", "setup", true};
	case MIG_START: return (struct expect){SOURCE, "start", "setup", true};
	case MIG_ACTIVE: return (struct expect){SOURCE, "active", "active", true};
	case MIG_CUT: return (struct expect){SOURCE, "cut", "postcopy-paused", true};
	case MIG_RESUME: return (struct expect){SOURCE, "resume", "postcopy-recover", true};
	case MIG_PAUSE: return (struct expect){SOURCE, "pause", "active", true};
	case MIG_PRE_SWITCHOVER:
		return (struct expect){SOURCE, "pre-switchover", "pre-switchover", true};
	case MIG_LAST_PASS: return (struct expect){SOURCE, "last-pass", "device", true};
	case MIG_VERIFY: return (struct expect){SOURCE, "verify", "device", true};
	case MIG_STATE: return (struct expect){SOURCE, "state", "device", true};
	case MIG_END: return (struct expect){SOURCE, "end", "device", true};
	/* The note is asked for: the VMM's answer decides, not a person. */
	case MIG_COMMITTING: return (struct expect){SOURCE, "committing", "device", false};
	case MIG_COMMIT:
		return (struct expect){SOURCE, "commit", "device", .after_committing = true};
	case MIG_ASKING:
		return (struct expect){SOURCE, "asking", "device", .after_committing = true};
	case MIG_RELEASE:
		return (struct expect){SOURCE, "release", "device", .after_committing = true};
	case MIG_UNDO: return (struct expect){SOURCE, "undo", "device", .after_committing = true};
	case MIG_STOPPING: return (struct expect){SOURCE, "stopping", NULL, false};
	case MIG_IN_PREPARE: return (struct expect){DESTINATION, "in-prepare", "setup", true};
	case MIG_IN_JOIN: return (struct expect){DESTINATION, "in-join", "setup", true};
	case MIG_IN_ACTIVE: return (struct expect){DESTINATION, "in-active", "active", true};
	case MIG_IN_CUT: return (struct expect){DESTINATION, "in-cut", "postcopy-paused", true};
	case MIG_IN_RESUME:
		return (struct expect){DESTINATION, "in-resume", "postcopy-recover", true};
	case MIG_IN_FINISH: return (struct expect){DESTINATION, "in-finish", "active", true};
	case MIG_IN_STATE: return (struct expect){DESTINATION, "in-state", "active", true};
	case MIG_IN_NOTE: return (struct expect){DESTINATION, "in-note", "active", true};
	case MIG_IN_READY: return (struct expect){DESTINATION, "in-ready", "active", true};
	case MIG_IN_RUN:
		return (struct expect){DESTINATION, "in-run", "active", .after_committing = true};
	case MIG_IN_RUNNING:
		return (struct expect){
			DESTINATION, "in-running", "active", .after_committing = true};
	case MIG_IN_STOPPING: return (struct expect){DESTINATION, "in-stopping", NULL, false};
	case MIG_IN_LOST:
		return (struct expect){DESTINATION, "in-lost", "active", .after_committing = true};
	case MIG_COMPLETED: return (struct expect){BOTH, "completed", "completed", .final = true};
	case MIG_FAILED: return (struct expect){BOTH, "failed", "failed", .final = true};
	case MIG_CANCELLED: return (struct expect){BOTH, "cancelled", "cancelled", .final = true};
	}
	ck_abort_msg("state %d is none", (int)state);
}

#define TO(s) (1ull << MIG_##s)

/* Each state's successors, stated a second time: both tables have to be changed, knowingly. */
static uint64_t successors(enum mig_state state)
{
	switch (state) {
	case MIG_CONNECT: return TO(OPEN) | TO(START) | TO(STOPPING);
	case MIG_OPEN: return TO(JOIN) | TO(STOPPING);
	case MIG_JOIN: return TO(START) | TO(STOPPING);
	case MIG_START: return TO(ACTIVE) | TO(STOPPING);
	case MIG_ACTIVE: return TO(CUT) | TO(PAUSE) | TO(STOPPING);
	case MIG_CUT: return TO(RESUME) | TO(STOPPING);
	case MIG_RESUME: return TO(ACTIVE) | TO(CUT) | TO(STOPPING);
	case MIG_PAUSE: return TO(PRE_SWITCHOVER) | TO(LAST_PASS) | TO(STOPPING);
	case MIG_PRE_SWITCHOVER: return TO(LAST_PASS) | TO(STOPPING);
	case MIG_LAST_PASS: return TO(VERIFY) | TO(STATE) | TO(STOPPING);
	case MIG_VERIFY: return TO(STATE) | TO(STOPPING);
	case MIG_STATE: return TO(END) | TO(STOPPING);
	case MIG_END: return TO(COMMITTING) | TO(COMMIT) | TO(STOPPING);
	case MIG_COMMITTING: return TO(COMMIT) | TO(STOPPING);
	case MIG_COMMIT: return TO(ASKING) | TO(RELEASE) | TO(UNDO) | TO(FAILED);
	case MIG_ASKING: return TO(RELEASE) | TO(UNDO) | TO(FAILED);
	case MIG_RELEASE: return TO(COMPLETED);
	case MIG_UNDO: return TO(FAILED);
	case MIG_STOPPING: return TO(FAILED) | TO(CANCELLED);
	case MIG_IN_PREPARE: return TO(IN_JOIN) | TO(IN_ACTIVE) | TO(IN_STOPPING);
	case MIG_IN_JOIN: return TO(IN_ACTIVE) | TO(IN_STOPPING);
	case MIG_IN_ACTIVE: return TO(IN_CUT) | TO(IN_FINISH) | TO(IN_STOPPING);
	case MIG_IN_CUT: return TO(IN_RESUME) | TO(IN_STOPPING);
	case MIG_IN_RESUME: return TO(IN_ACTIVE) | TO(IN_CUT) | TO(IN_STOPPING);
	case MIG_IN_FINISH: return TO(IN_STATE) | TO(IN_STOPPING);
	case MIG_IN_STATE: return TO(IN_NOTE) | TO(IN_STOPPING);
	case MIG_IN_NOTE: return TO(IN_READY) | TO(IN_STOPPING);
	case MIG_IN_READY: return TO(IN_RUN) | TO(IN_STOPPING);
	case MIG_IN_RUN: return TO(IN_RUNNING) | TO(IN_LOST) | TO(FAILED);
	case MIG_IN_RUNNING: return TO(COMPLETED);
	case MIG_IN_STOPPING: return TO(FAILED) | TO(CANCELLED);
	case MIG_IN_LOST: return TO(FAILED) | TO(COMPLETED);
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: return 0;
	}
	ck_abort_msg("state %d is none", (int)state);
}

/* States that may follow, in any number of steps. */
static uint64_t reachable(uint64_t from)
{
	uint64_t all = from, before;

	do {
		before = all;
		for (unsigned s = 0; s < MIG_STATES; s++)
			for (unsigned t = 0; t < MIG_STATES; t++)
				if (all >> s & 1 && migration_allowed(s, t))
					all |= 1ull << t;
	} while (all != before);
	return all;
}

START_TEST(transition_is_in_both_tables_or_in_none)
{
	for (unsigned to = 0; to < MIG_STATES; to++)
		ck_assert_msg(migration_allowed(_i, to) == (successors(_i) >> to & 1), "%s -> %s",
			migration_step(_i), migration_step(to));
}
END_TEST

START_TEST(every_state_is_reached_from_the_first_of_its_side)
{
	uint64_t source = reachable(TO(CONNECT)), dest = reachable(TO(IN_PREPARE));

	for (unsigned s = 0; s < MIG_STATES; s++) {
		struct expect e = expect(s);

		ck_assert_msg((source >> s & 1) == (e.side != DESTINATION), "%s", e.step);
		ck_assert_msg((dest >> s & 1) == (e.side != SOURCE), "%s", e.step);
	}
	/* What a later daemon finds in a VMM's registration begins in the middle. */
	ck_assert(reachable(TO(ASKING)) & TO(COMPLETED));
	ck_assert(reachable(TO(IN_RUNNING)) & TO(COMPLETED));
	ck_assert(reachable(TO(IN_READY)) & TO(IN_RUNNING));
}
END_TEST

START_TEST(final_state_has_no_successor)
{
	struct migration m = {.state = _i};

	ck_assert_int_eq(migration_is_final(&m), expect(_i).final);
	ck_assert_int_eq(reachable(1ull << _i) == 1ull << _i, expect(_i).final);
	/* and every other one leads to one */
	ck_assert(reachable(1ull << _i) & (TO(COMPLETED) | TO(FAILED) | TO(CANCELLED)));
}
END_TEST

/* From COMMITTING's note on nothing is put back but by an answer. */
START_TEST(nothing_after_committing_leads_to_stopping)
{
	uint64_t after = reachable(TO(COMMIT) | TO(ASKING));

	ck_assert(!(after & (TO(STOPPING) | TO(CANCELLED) | TO(COMMITTING) | TO(ACTIVE))));
	for (unsigned s = 0; s < MIG_STATES; s++) {
		struct expect e = expect(s);

		if (e.side == SOURCE && e.after_committing)
			ck_assert_msg(!migration_allowed(s, MIG_STOPPING), "%s", e.step);
		else if (e.side == SOURCE && s != MIG_STOPPING)
			ck_assert_msg(migration_allowed(s, MIG_STOPPING), "%s", e.step);
	}
	/* The note may be refused. */
	ck_assert(migration_allowed(MIG_COMMITTING, MIG_STOPPING));
	/* A guest that may run elsewhere is taken back by UNDO alone. */
	ck_assert(reachable(TO(RELEASE)) == (TO(RELEASE) | TO(COMPLETED)));
	ck_assert(reachable(TO(UNDO)) == (TO(UNDO) | TO(FAILED)));
	/* One that runs here is not stopped any more. */
	ck_assert(!(reachable(TO(IN_RUNNING)) & (TO(IN_STOPPING) | TO(CANCELLED))));
}
END_TEST

START_TEST(cancel_is_allowed_until_the_hand_over)
{
	struct expect e = expect(_i);

	for (int incoming = 0; incoming < 2; incoming++) {
		struct migration m = {.state = _i, .incoming = incoming};
		bool mine = e.side == BOTH || (e.side == DESTINATION) == incoming;

		if (mine)
			ck_assert_msg(migration_can_cancel(&m) == e.can_cancel, "%s", e.step);
	}
}
END_TEST

START_TEST(step_has_one_name)
{
	ck_assert_str_eq(migration_step(_i), expect(_i).step);
	for (int other = 0; other < _i; other++)
		ck_assert_str_ne(migration_step(other), migration_step(_i));
}
END_TEST

/* -- a migration that goes through its states -- */

static struct server srv;
static struct vm vm;

static void set_up(void)
{
	memset(&srv, 0, sizeof(srv));
	memset(&vm, 0, sizeof(vm));
	TAILQ_INIT(&srv.migrations);
	strcpy(vm.reg.name, "vm1");
	events = ended = over = 0;
}

static struct migration *new_in(enum mig_state state)
{
	struct migration *m = migration_new(&srv, &vm, state);

	ck_assert_ptr_nonnull(m);
	m->incoming = expect(state).side == DESTINATION;
	return m;
}

static bool is_word_of_qemu(const char *word)
{
	/* QAPI, MigrationStatus, what clients match on; colo is not ours. */
	static const char *const words[] = {"none", "setup", "cancelling", "cancelled", "active",
		"completed", "failed", "pre-switchover", "device", "postcopy-paused",
		"postcopy-recover"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(words[i], word))
			return true;
	return false;
}

START_TEST(status_is_a_word_of_qemu)
{
	struct expect e = expect(_i);
	struct migration *m;

	if (!e.status)
		return;
	m = new_in(_i);
	ck_assert_str_eq(m->status, e.status);
	ck_assert(is_word_of_qemu(m->status));
	migration_free(m);
	ck_assert_ptr_null(vm.migration);
}
END_TEST

START_TEST(status_while_stopping_tells_a_cancel_from_a_failure)
{
	struct migration *m = new_in(MIG_ACTIVE);

	m->final = MIG_CANCELLED;
	migration_set(m, MIG_STOPPING);
	ck_assert_str_eq(m->status, "cancelling");
	ck_assert_uint_eq(events, 1);
	ck_assert_uint_eq(ended, 0);
	ck_assert_uint_eq(over, 0);
	migration_set(m, MIG_CANCELLED);
	ck_assert_str_eq(m->status, "cancelled");
	ck_assert_uint_eq(events, 2);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(over, 1);
	migration_free(m);

	m = new_in(MIG_IN_ACTIVE);
	events = 0;
	m->final = MIG_FAILED;
	migration_set(m, MIG_IN_STOPPING);
	ck_assert_str_eq(m->status, "active"); /* QEMU has no word for it */
	ck_assert_uint_eq(events, 0);
	migration_set(m, MIG_FAILED);
	ck_assert_str_eq(m->status, "failed");
	ck_assert_uint_eq(events, 1);
	migration_free(m);
}
END_TEST

START_TEST(good_migration_tells_each_word_once)
{
	static const enum mig_state way[] = {MIG_OPEN, MIG_JOIN, MIG_START, MIG_ACTIVE, MIG_PAUSE,
		MIG_PRE_SWITCHOVER, MIG_LAST_PASS, MIG_VERIFY, MIG_STATE, MIG_END, MIG_COMMITTING,
		MIG_COMMIT, MIG_RELEASE, MIG_COMPLETED};
	struct migration *m = new_in(MIG_CONNECT);

	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++)
		migration_set(m, way[i]);
	/* active, pre-switchover, device, completed; setup is told by migration_begin() */
	ck_assert_uint_eq(events, 4);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(over, 1);
	migration_free(m);
}
END_TEST

START_TEST(transition_that_is_none_is_our_mistake)
{
	struct migration *m = new_in(MIG_COMMIT);

	migration_set(m, MIG_STOPPING); /* aborts */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("migration");
	TCase *t = tcase_create("migration");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_loop_test(t, transition_is_in_both_tables_or_in_none, 0, MIG_STATES);
	tcase_add_test(t, every_state_is_reached_from_the_first_of_its_side);
	tcase_add_loop_test(t, final_state_has_no_successor, 0, MIG_STATES);
	tcase_add_test(t, nothing_after_committing_leads_to_stopping);
	tcase_add_loop_test(t, cancel_is_allowed_until_the_hand_over, 0, MIG_STATES);
	tcase_add_loop_test(t, step_has_one_name, 0, MIG_STATES);
	tcase_add_loop_test(t, status_is_a_word_of_qemu, 0, MIG_STATES);
	tcase_add_test(t, status_while_stopping_tells_a_cancel_from_a_failure);
	tcase_add_test(t, good_migration_tells_each_word_once);
	tcase_add_test_raise_signal(t, transition_that_is_none_is_our_mistake, SIGABRT);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
