/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhtabvmm: the end of the connection, the lease, callbacks that fail or answer later. */
#include <check.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/unit/htabvmm-harness.h"

/* -- the end of the connection with something under way --------------------------------------- */

START_TEST(test_queued_committing_counts_before_the_end)
{
	bring_to(SESSION_PAUSED, false);
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	ck_assert_str_eq(vm.trace, "inactivate");
	ck_assert(!htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_queued_committing_counts_though_replies_are_unread)
{
	bring_to(SESSION_PAUSED, false);
	/* The answer to this stays unread, so that the end arrives as ECONNRESET, and first. */
	send_request(&(struct vmm_request){.type = VMM_THROTTLE, .serial = 1}, -1);
	dispatch();
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 2, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	stop();
}
END_TEST

START_TEST(test_end_while_inactivating_commits)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = HTABVMM_LATER;
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	dispatch();
	ck_assert_str_eq(vm.trace, "inactivate"); /* and no resume */
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), -EINVAL);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	ck_assert_str_eq(vm.trace, "inactivate");
	attach();
	ck_assert_uint_eq(reg.n_notes, 1);
	stop();
}
END_TEST

START_TEST(test_end_while_inactivating_fails_resumes)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = HTABVMM_LATER;
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(htabvmm_complete(vm.h, -EIO), 0);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert_str_eq(vm.trace, "inactivate resume");
	stop();
}
END_TEST

/* -- the lease -------------------------------------------------------------------------------- */

START_TEST(test_lease_over_resumes_and_says_so_first)
{
	struct vmm_event e;

	start(false);
	htabvmm_test_lease(vm.h, 1);
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	ck_assert(!htabvmm_may_run(vm.h));
	vm.trace[0] = vm.events[0] = 0;
	while (state_of(S) == SESSION_PAUSED)
		wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert_str_eq(vm.trace, "resume");
	ck_assert_str_eq(vm.events, "resumed");
	ck_assert(vm.may_run_at_resume);
	ck_assert_int_eq(vm.daemon_events_at_resume, 1); /* before any vCPU runs */
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_RESUMED);
	ck_assert(session_eq(&e.session, &S));
	/* And from then on nothing of S is taken. */
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -ECANCELED);
	ck_assert_uint_eq(rep.value, NOTE_NONE);
	ck_assert_int_eq(ask(VMM_GET_STATE, S), -ECANCELED);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, 0);
	/* A new session may begin. */
	ck_assert_int_eq(ask(VMM_PAUSE, T), 0);
	stop();
}
END_TEST

START_TEST(test_lease_renewed)
{
	uint64_t at;

	bring_to(SESSION_PAUSED, false);
	at = vm.h->lease_at;
	ck_assert_uint_gt(at, 0);
	while (clock_ns() + VMM_LEASE_MS * NS_PER_MS <= at)
		;
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_gt(vm.h->lease_at, at);
	at = vm.h->lease_at;
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = T}, -1); /* not ours */
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, at);
	stop();
}
END_TEST

START_TEST(test_queued_messages_come_before_an_old_lease)
{
	bring_to(SESSION_PAUSED, false);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	vm.h->lease_at = 1; /* long over, but this process did not come to see it */
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	vm.h->lease_at = 1;
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	stop();
}
END_TEST

START_TEST(test_no_lease_after_committing)
{
	bring_to(SESSION_COMMITTING, false);
	ck_assert_uint_eq(vm.h->lease_at, 0);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, 0);
	stop();
}
END_TEST

/* The daemon's timer may go off once more while the note is being made. */
START_TEST(test_no_lease_while_inactivating)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = HTABVMM_LATER;
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, 0);
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	ck_assert_uint_eq(vm.h->lease_at, 0);
	ck_assert_str_eq(vm.trace, "inactivate");
	stop();
}
END_TEST

START_TEST(test_lease_over_while_pausing)
{
	struct vmm_event e;

	start(false);
	vm.pause = HTABVMM_LATER;
	send_request(
		&(struct vmm_request){.type = VMM_PAUSE, .serial = ++serial, .session = S}, -1);
	dispatch();
	ck_assert(!queued());
	vm.h->lease_at = 1;
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert(take_event(&e));
	ck_assert_str_eq(vm.trace, "pause"); /* it cannot resume what is still being paused */
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	wait_dispatch();
	ck_assert_str_eq(vm.trace, "pause resume");
	ck_assert(take_reply(serial));
	ck_assert_int_eq(rep.error, -ECANCELED);
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

/* -- callbacks that fail or answer later ------------------------------------------------------ */

START_TEST(test_pause_fails)
{
	start(false);
	vm.pause = -EIO;
	ck_assert_int_eq(ask(VMM_PAUSE, S), -EIO);
	ck_assert(htabvmm_may_run(vm.h));
	ck_assert_str_eq(vm.trace, "pause");
	ck_assert_uint_eq(vm.h->lease_at, 0);
	vm.pause = 0;
	ck_assert_int_eq(ask(VMM_PAUSE, T), 0);
	stop();
}
END_TEST

START_TEST(test_pause_later_and_cancelled)
{
	start(false);
	vm.pause = HTABVMM_LATER;
	send_request(&(struct vmm_request){.type = VMM_PAUSE, .serial = 1, .session = S}, -1);
	send_request(&(struct vmm_request){.type = VMM_RESUME, .serial = 2, .session = S}, -1);
	dispatch();
	ck_assert(!queued());
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	ck_assert(take_reply(1));
	ck_assert_int_eq(rep.error, 0);
	ck_assert(take_reply(2));
	ck_assert_int_eq(rep.error, 0);
	ck_assert_str_eq(vm.trace, "pause resume");
	stop();
}
END_TEST

START_TEST(test_too_many_wait)
{
	start(false);
	vm.pause = HTABVMM_LATER;
	for (uint32_t i = 1; i <= LIB_WAITING_MAX + 2; i++)
		send_request(
			&(struct vmm_request){.type = VMM_PAUSE, .serial = i, .session = S}, -1);
	dispatch();
	ck_assert(take_reply(LIB_WAITING_MAX + 2));
	ck_assert_int_eq(rep.error, -EBUSY);
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	for (uint32_t i = 1; i <= LIB_WAITING_MAX + 1; i++) {
		ck_assert(take_reply(i));
		ck_assert_int_eq(rep.error, 0);
	}
	stop();
}
END_TEST

START_TEST(test_freed_while_requests_wait)
{
	int fd = image("test", 0);

	bring_to(SESSION_STARTING, true);
	send_request(&(struct vmm_request){.type = VMM_SET_STATE, .serial = 9, .session = S}, fd);
	dispatch();
	fd_close(fd);
	stop();
}
END_TEST

START_TEST(test_inactivate_fails)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = -EIO;
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -EIO);
	ck_assert_uint_eq(rep.value, NOTE_NONE);
	ck_assert_uint_gt(vm.h->lease_at, 0);
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert_str_eq(vm.trace, "pause inactivate resume");
	stop();
}
END_TEST

START_TEST(test_committing_again_with_another_cookie)
{
	struct vmm_request m = {.type = VMM_NOTE,
		.serial = 99,
		.session = S,
		.note = NOTE_COMMITTING,
		.cookie_len = 6,
		.cookie = "COOKIE"};

	bring_to(SESSION_COMMITTING, false);
	send_request(&m, -1);
	dispatch();
	ck_assert(take_reply(99));
	ck_assert_int_eq(rep.error, -EEXIST);
	ck_assert_uint_eq(rep.value, NOTE_COMMITTING);
	stop();
}
END_TEST

START_TEST(test_undo_activates_first)
{
	bring_to(SESSION_COMMITTING, false);
	vm.trace[0] = 0;
	vm.activate = -EIO;
	ck_assert_int_eq(ask(VMM_UNDO, S), -EIO);
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING); /* may be asked again */
	ck_assert(!htabvmm_may_run(vm.h));
	vm.activate = 0;
	ck_assert_int_eq(ask(VMM_UNDO, S), 0);
	ck_assert_str_eq(vm.trace, "activate activate resume");
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_resume_fails_and_is_asked_again)
{
	struct vmm_event e;

	bring_to(SESSION_PAUSED, false);
	vm.resume = -EIO;
	send_request(&(struct vmm_request){.type = VMM_RESUME, .serial = 50, .session = S}, -1);
	dispatch();
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_STOPPED);
	ck_assert(take_reply(50));
	ck_assert_int_eq(rep.error, -EIO);
	ck_assert(!htabvmm_may_run(vm.h));
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -ECANCELED); /* it is RESUMED for good */
	vm.resume = 0;
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_start_order_and_announce)
{
	bring_to(SESSION_RUN, true);
	ck_assert_str_eq(vm.trace, "activate resume announce");
	ck_assert_str_eq(vm.events, "loading ready started");
	ck_assert(htabvmm_may_run(vm.h));
	ck_assert_int_eq(ask_note(NOTE_RUN, S), 0); /* said again, not done again */
	ck_assert_uint_eq(rep.value, NOTE_RUN);
	ck_assert_str_eq(vm.trace, "activate resume announce");
	/* It may not move on before the source has closed. */
	ck_assert_int_eq(ask(VMM_PAUSE, T), -EBUSY);
	ck_assert_int_eq(ask(VMM_RELEASE, S), 0);
	ck_assert_int_eq(ask(VMM_PAUSE, T), 0);
	stop();
}
END_TEST

START_TEST(test_failed_start_is_dead)
{
	bring_to(SESSION_READY, true);
	vm.trace[0] = vm.events[0] = 0;
	if (_i == 0)
		vm.activate = -EIO;
	else
		vm.resume = -EIO;
	ck_assert_int_eq(ask_note(NOTE_RUN, S), -EIO);
	ck_assert_uint_eq(rep.value, NOTE_DEAD);
	ck_assert_str_eq(vm.trace, _i == 0 ? "activate" : "activate resume");
	ck_assert_str_eq(vm.events, "dead");
	ck_assert(!htabvmm_may_run(vm.h));
	vm.activate = vm.resume = 0;
	ck_assert_int_eq(ask_note(NOTE_RUN, S), -ECANCELED);
	ck_assert_uint_eq(rep.value, NOTE_DEAD);
	ck_assert_int_eq(ask_note(NOTE_LOADING, T), 0); /* it waits for another */
	stop();
}
END_TEST

START_TEST(test_requests_wait_for_activate)
{
	bring_to(SESSION_STARTING, true);
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1000, .session = S, .note = NOTE_DEAD},
		-1);
	dispatch();
	ck_assert(!queued());
	ck_assert_int_eq(htabvmm_set_running(vm.h, 1, ""), -EBUSY);
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	ck_assert(take_reply(serial));
	ck_assert_int_eq(rep.error, 0);
	ck_assert_uint_eq(rep.value, NOTE_RUN);
	ck_assert(take_reply(1000));
	ck_assert_int_eq(rep.error, -EALREADY);
	ck_assert_uint_eq(rep.value, NOTE_RUN);
	stop();
}
END_TEST

START_TEST(test_end_while_activating_still_starts)
{
	bring_to(SESSION_STARTING, true);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_STARTING);
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RUN);
	attach();
	ck_assert_int_eq(reg.notes[0].note, NOTE_RUN);
	ck_assert(reg.running && !reg.incoming);
	stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("htabvmm-lease");
	TCase *t = tcase_create("htabvmm-lease");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_queued_committing_counts_before_the_end);
	tcase_add_test(t, test_queued_committing_counts_though_replies_are_unread);
	tcase_add_test(t, test_end_while_inactivating_commits);
	tcase_add_test(t, test_end_while_inactivating_fails_resumes);
	tcase_add_test(t, test_lease_over_resumes_and_says_so_first);
	tcase_add_test(t, test_lease_renewed);
	tcase_add_test(t, test_queued_messages_come_before_an_old_lease);
	tcase_add_test(t, test_no_lease_after_committing);
	tcase_add_test(t, test_no_lease_while_inactivating);
	tcase_add_test(t, test_lease_over_while_pausing);
	tcase_add_test(t, test_pause_fails);
	tcase_add_test(t, test_pause_later_and_cancelled);
	tcase_add_test(t, test_too_many_wait);
	tcase_add_test(t, test_freed_while_requests_wait);
	tcase_add_test(t, test_inactivate_fails);
	tcase_add_test(t, test_committing_again_with_another_cookie);
	tcase_add_test(t, test_undo_activates_first);
	tcase_add_test(t, test_resume_fails_and_is_asked_again);
	tcase_add_test(t, test_start_order_and_announce);
	tcase_add_loop_test(t, test_failed_start_is_dead, 0, 2);
	tcase_add_test(t, test_requests_wait_for_activate);
	tcase_add_test(t, test_end_while_activating_still_starts);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
