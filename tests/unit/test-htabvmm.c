/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhtabvmm: what is asked, and the end of the connection, in every state; sessions. */
#include <check.h>
#include <stdlib.h>

#include "common/fd.h"
#include "tests/unit/htabvmm-harness.h"

/* -- the table -------------------------------------------------------------------------------- */

static const struct request {
	enum vmm_type type;
	enum session_note note;
} requests[] = {
	{VMM_PAUSE, 0},
	{VMM_RESUME, 0},
	{VMM_GET_STATE, 0},
	{VMM_NOTE, NOTE_COMMITTING},
	{VMM_UNDO, 0},
	{VMM_RELEASE, 0},
	{VMM_NOTE, NOTE_LOADING},
	{VMM_SET_STATE, 0},
	{VMM_RESET_HTAB, 0},
	{VMM_NOTE, NOTE_READY},
	{VMM_NOTE, NOTE_RUN},
	{VMM_NOTE, NOTE_DEAD},
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

/*
 * What each request does in each state, written down a second time: `.` refused and nothing
 * changes, `=` answered and nothing changes, else the first letter of the state that follows.
 * PAUSE RESUME GET_STATE COMMITTING UNDO RELEASE LOADING SET_STATE RESET READY RUN DEAD
 */
static const struct row {
	enum session_state state;
	bool incoming;
	const char *cells;
} table[] = {
	{SESSION_UNKNOWN, false, "P..........."},
	{SESSION_UNKNOWN, true, "......L....."},
	{SESSION_PAUSED, false, "=R=C........"},
	{SESSION_COMMITTING, false, "...=RM......"},
	{SESSION_RESUMED, false, ".=..=......."},
	{SESSION_MIGRATED, false, ".....=......"},
	{SESSION_LOADING, true, ".......==..D"},
	{SESSION_READY, true, ".........=UD"},
	{SESSION_RUN, true, ".....X....=."},
	{SESSION_DEAD, true, ".....=.....="},
	{SESSION_CLOSED, true, ".....=......"},
};

static enum session_state state_of_letter(char c)
{
	switch (c) {
	case 'P': return SESSION_PAUSED;
	case 'R': return SESSION_RESUMED;
	case 'C': return SESSION_COMMITTING;
	case 'M': return SESSION_MIGRATED;
	case 'L': return SESSION_LOADING;
	case 'D': return SESSION_DEAD;
	case 'U': return SESSION_RUN;
	case 'X': return SESSION_CLOSED;
	default: ck_abort();
	}
}

START_TEST(test_every_request_in_every_state)
{
	const struct row *row = &table[_i / (int)REQUESTS];
	const struct request *q = &requests[_i % (int)REQUESTS];
	char cell = row->cells[_i % (int)REQUESTS];
	enum session_state next = row->state;
	int fd = -1, error;

	bring_to(row->state, row->incoming);
	vm.trace[0] = 0;
	if (q->type == VMM_SET_STATE)
		fd = image("test", 0);
	error = ask_fd(q->type, q->note, S, fd);
	fd_close(fd);
	if (cell == '.') {
		ck_assert_int_lt(error, 0);
		ck_assert_str_eq(vm.trace, "");
		ck_assert_msg(strstr(rep.text, "vm1") != NULL, "%s", rep.text);
	} else {
		ck_assert_msg(error == 0, "state %d request %d: %s", row->state, _i, rep.text);
		if (cell != '=')
			next = state_of_letter(cell);
	}
	ck_assert_int_eq(state_of(S), next);
	if (q->type == VMM_NOTE)
		ck_assert_uint_eq(rep.value, session_note_of(next));
	ck_assert_int_eq(htabvmm_may_run(vm.h),
		next == SESSION_RESUMED || next == SESSION_RUN || next == SESSION_CLOSED ||
			(next == SESSION_UNKNOWN && !row->incoming));
	stop();
}
END_TEST

/* The rows above are all states but STARTING, where requests wait: a new state breaks this. */
START_TEST(test_table_is_whole)
{
	for (enum session_state s = 0; s < SESSION_STATES; s++) {
		bool found = s == SESSION_STARTING;

		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			found |= table[i].state == s;
		ck_assert(found);
		ck_assert_str_ne(session_state_text(s), "?");
		/* What happens by itself never leaves a final state. */
		if (s == SESSION_RUN || s == SESSION_DEAD || s == SESSION_RESUMED ||
			s == SESSION_MIGRATED || s == SESSION_CLOSED || s == SESSION_COMMITTING)
			for (enum session_ask a = ASK_LOST; a < SESSION_ASKS; a++)
				ck_assert_int_eq(session_rule(s, a).verdict, VERDICT_REFUSE);
	}
}
END_TEST

/* -- the end of the connection, in every state ------------------------------------------------ */

START_TEST(test_lost_in_every_state)
{
	const struct row *row = &table[_i];
	enum session_state next = row->state;

	bring_to(row->state, row->incoming);
	vm.trace[0] = vm.events[0] = 0;
	if (row->state == SESSION_PAUSED)
		next = SESSION_RESUMED;
	else if (row->state == SESSION_LOADING)
		next = SESSION_DEAD;
	detach();
	ck_assert_int_eq(state_of(S), next);
	ck_assert_str_eq(vm.trace, row->state == SESSION_PAUSED ? "resume" : "");
	if (row->state == SESSION_MIGRATED) { /* nothing is left to register */
		vm.h->retry_at = 0;
		dispatch();
		ck_assert_int_lt(vm.h->sock, 0);
		stop();
		return;
	}
	attach();
	ck_assert_uint_eq(reg.n_notes, session_note_of(next) != NOTE_NONE);
	if (reg.n_notes) {
		ck_assert(session_eq(&reg.notes[0].session, &S));
		ck_assert_int_eq(reg.notes[0].note, session_note_of(next));
	}
	if (next == SESSION_COMMITTING) {
		ck_assert_uint_eq(reg.notes[0].cookie_len, 6);
		ck_assert_int_eq(memcmp(reg.notes[0].cookie, "cookie", 6), 0);
		ck_assert_int_eq(ask(VMM_RELEASE, S), 0); /* a later daemon ends it */
		ck_assert(strstr(vm.events, "migrated") != NULL);
	}
	if (next == SESSION_READY) {
		ck_assert_int_eq(ask_note(NOTE_RUN, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_RUN);
	}
	ck_assert_int_eq(
		reg.incoming, row->incoming && next != SESSION_RUN && next != SESSION_CLOSED);
	ck_assert_int_eq(reg.running,
		next == SESSION_RESUMED || next == SESSION_RUN || next == SESSION_CLOSED ||
			(next == SESSION_UNKNOWN && !row->incoming));
	stop();
}
END_TEST

/* -- sessions --------------------------------------------------------------------------------- */

/*
 * protocol.md 16.2: "LOADING is refused while another session is loading, ready or starting, and by
 * a VM that does not wait;"
 */
START_TEST(test_one_session_at_a_time)
{
	bring_to(SESSION_PAUSED, false);
	ck_assert_int_eq(ask(VMM_PAUSE, T), -EBUSY);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(ask_note(NOTE_LOADING, T), -EBUSY);
	stop();
	bring_to(SESSION_READY, true);
	ck_assert_int_eq(ask_note(NOTE_LOADING, T), -EBUSY);
	stop();
	bring_to(SESSION_MIGRATED, false);
	ck_assert_int_eq(ask(VMM_PAUSE, T), -EALREADY);
	stop();
}
END_TEST

START_TEST(test_sixteen_are_remembered)
{
	struct session_id s = S;

	start(true);
	for (unsigned i = 1; i <= SESSIONS_MAX; i++) {
		s.b[1] = (uint8_t)i;
		ck_assert_int_eq(ask_note(NOTE_LOADING, s), 0);
		ck_assert_int_eq(ask_note(NOTE_DEAD, s), 0);
	}
	for (unsigned i = 1; i <= SESSIONS_MAX; i++) {
		s.b[1] = (uint8_t)i;
		ck_assert_int_eq(ask_note(NOTE_LOADING, s), -ECANCELED);
		ck_assert_uint_eq(rep.value, NOTE_DEAD);
	}
	s.b[1] = SESSIONS_MAX + 1; /* the oldest makes room */
	ck_assert_int_eq(ask_note(NOTE_LOADING, s), 0);
	s.b[1] = 1;
	ck_assert_int_eq(ask_note(NOTE_DEAD, s), -ENOENT);
	s.b[1] = 2;
	ck_assert_int_eq(ask_note(NOTE_DEAD, s), 0);
	detach();
	attach();
	ck_assert_uint_eq(reg.n_notes, VMM_NOTES_MAX);
	stop();
}
END_TEST

START_TEST(test_unknown_session_is_named)
{
	start(false);
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -ENOENT);
	ck_assert(strstr(rep.text, "01000000000000000000000000000000") != NULL);
	stop();
}
END_TEST

START_TEST(test_compat_is_told)
{
	struct vmm_event e;

	start(false);
	ck_assert_uint_eq(reg.compat, 0);
	ck_assert_uint_eq(reg.vcpu_ids, 0);
	ck_assert_int_eq(htabvmm_set_compat(vm.h, 0x4e1202), -EINVAL);
	ck_assert_int_eq(htabvmm_set_compat(vm.h, 0x0f000004), 0);
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_COMPAT);
	ck_assert_str_eq(e.text, "0f000004");
	ck_assert_int_eq(htabvmm_set_compat(vm.h, 0x0f000004), 0);
	ck_assert(!queued()); /* nothing new */
	detach();
	attach();
	ck_assert_uint_eq(reg.compat, 0x0f000004);
	stop();
	start(true);
	ck_assert_int_eq(htabvmm_set_compat(vm.h, 0x0f000004), -EBUSY);
	stop();
}
END_TEST

START_TEST(test_not_running_guest_stays)
{
	struct vmm_event e;

	start(false);
	ck_assert_int_eq(htabvmm_set_running(vm.h, 0, "shut down"), 0);
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_STOPPED);
	ck_assert_str_eq(e.text, "shut down");
	ck_assert_int_eq(ask(VMM_PAUSE, S), -EINVAL);
	ck_assert_int_eq(htabvmm_set_running(vm.h, 1, ""), 0);
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_RESUMED);
	ck_assert(session_is_none(&e.session));
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	ck_assert_int_eq(htabvmm_set_running(vm.h, 1, ""), -EBUSY);
	stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("htabvmm");
	TCase *t = tcase_create("htabvmm");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_every_request_in_every_state, 0,
		(int)(sizeof(table) / sizeof(table[0]) * REQUESTS));
	tcase_add_test(t, test_table_is_whole);
	tcase_add_loop_test(
		t, test_lost_in_every_state, 0, (int)(sizeof(table) / sizeof(table[0])));
	tcase_add_test(t, test_one_session_at_a_time);
	tcase_add_test(t, test_sixteen_are_remembered);
	tcase_add_test(t, test_unknown_session_is_named);
	tcase_add_test(t, test_compat_is_told);
	tcase_add_test(t, test_not_running_guest_stays);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
