/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhtabvmm: who may read the guest's table, and the table being reset or resized. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/unit/htabvmm-harness.h"

/* -- one reader -------------------------------------------------------------------------------- */

static int open_htab(uint32_t flags)
{
	struct vmm_request m = {.type = VMM_OPEN_HTAB, .serial = ++serial, .flags = flags};

	send_request(&m, -1);
	dispatch();
	ck_assert(take_reply(serial));
	ck_assert_int_eq(rep_fd >= 0, rep.error == 0);
	return rep.error;
}

static void tell(enum vmm_type type)
{
	send_request(&(struct vmm_request){.type = type}, -1);
	dispatch();
	ck_assert(!queued());
}

START_TEST(test_one_reader_at_a_time)
{
	start(false);
	ck_assert_int_eq(open_htab(0), 0);
	ck_assert_int_eq(open_htab(0), -EBUSY);
	ck_assert(strstr(rep.text, "is being read already") != NULL);
	tell(VMM_CLOSE_HTAB);
	ck_assert_int_eq(open_htab(0), 0);
	/* the daemon is gone, and what it had is nobody's */
	detach();
	attach();
	ck_assert_int_eq(open_htab(0), 0);
	stop();
}
END_TEST

START_TEST(test_vmm_reads_itself)
{
	start(false);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), 0);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), -EBUSY);
	ck_assert_int_eq(open_htab(0), -EBUSY);
	ck_assert(strstr(rep.text, "itself") != NULL);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 0), 0);
	ck_assert_int_eq(open_htab(0), 0);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), -EBUSY);
	tell(VMM_CLOSE_HTAB);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), 0);
	stop();
}
END_TEST

/* A table that arrives is not whole; nor does one arrive while the VMM reads what is there. */
START_TEST(test_reserved_or_arriving)
{
	start(true);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), 0);
	ck_assert_int_eq(ask_note(NOTE_LOADING, S), -EBUSY);
	ck_assert_msg(strstr(rep.text, "reads its page table itself"), "%s", rep.text);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 0), 0);
	ck_assert_int_eq(ask_note(NOTE_LOADING, S), 0);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), -EBUSY);
	ck_assert_int_eq(ask_note(NOTE_DEAD, S), 0);
	ck_assert_int_eq(htabvmm_htab_reserve(vm.h, 1), 0);
	stop();
}
END_TEST

/*
 * Both take changes away, of other entries or from another reader: not while a vCPU may run.
 *
 * protocol.md 16.5: "Both are refused (EBUSY) unless a session has the vCPUs stopped."
 */
START_TEST(test_second_and_bolted_readers_need_a_pause)
{
	static const uint32_t flags[] = {VMM_HTAB_SECOND, HTAB_FD_BOLTED_ONLY};

	start(false);
	ck_assert_int_eq(open_htab(flags[_i]), -EBUSY);
	ck_assert(strstr(rep.text, "vCPUs are stopped") != NULL);
	stop();
	bring_to(SESSION_PAUSED, false);
	ck_assert_int_eq(open_htab(flags[_i]), 0);
	if (flags[_i] == VMM_HTAB_SECOND)
		ck_assert_int_eq(open_htab(VMM_HTAB_SECOND), 0);
	stop();
}
END_TEST

START_TEST(test_writer_needs_a_session)
{
	start(true);
	ck_assert_int_eq(open_htab(HTAB_FD_WRITE), -EPERM);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(open_htab(HTAB_FD_WRITE), 0);
	ck_assert_int_eq(open_htab(0), 0); /* a writer is no reader */
	stop();
}
END_TEST

/* -- a change of the table --------------------------------------------------------------------- */

static void expect_event(enum vmm_event_kind kind, uint32_t order)
{
	struct vmm_event e;

	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, kind);
	ck_assert_uint_eq(e.order, order);
}

static void answer(int error)
{
	struct vmm_request m = {.type = VMM_HTAB_ANSWER, .error = error};

	snprintf(m.text, sizeof(m.text), "%s", error ? "not now" : "");
	send_request(&m, -1);
	dispatch();
}

static void announce(void)
{
	ck_assert_int_eq(htabvmm_htab_change(vm.h, ORDER + 1), HTABVMM_LATER);
	expect_event(VMM_EVENT_HTAB_CHANGE, ORDER + 1);
	ck_assert_str_eq(vm.trace, "");
}

START_TEST(test_change)
{
	start(false);
	announce();
	ck_assert_int_eq(htabvmm_htab_change(vm.h, ORDER), -EBUSY);
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER), -EINVAL); /* not yet answered */
	answer(0);
	ck_assert_str_eq(vm.trace, "go");
	ck_assert_int_eq(htabvmm_htab_change(vm.h, ORDER), -EBUSY);
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, 17), -EINVAL);
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER + 1), 0);
	expect_event(VMM_EVENT_HTAB_CHANGED, ORDER + 1);
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER + 1), -EINVAL);
	/* the next daemon hears of the new one */
	detach();
	attach();
	ck_assert_uint_eq(reg.order, ORDER + 1);
	stop();
}
END_TEST

START_TEST(test_change_is_refused)
{
	start(false);
	announce();
	answer(-EBUSY);
	ck_assert_str_eq(vm.trace, "refused");
	ck_assert_int_eq(vm.answer, -EBUSY);
	ck_assert_str_eq(vm.text, "not now");
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER + 1), -EINVAL);
	ck_assert(!queued());
	vm.trace[0] = 0;
	announce(); /* another try */
	stop();
}
END_TEST

START_TEST(test_change_without_a_daemon)
{
	start(false);
	detach();
	ck_assert_int_eq(htabvmm_htab_change(vm.h, 17), -EINVAL);
	ck_assert_int_eq(htabvmm_htab_change(vm.h, 37), -EINVAL);
	ck_assert_int_eq(htabvmm_htab_change(vm.h, ORDER + 2), 0);
	/* it does not register with an order that is about to be another */
	vm.h->retry_at = 0;
	dispatch();
	ck_assert_int_lt(vm.h->sock, 0);
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER + 2), 0);
	attach();
	ck_assert_uint_eq(reg.order, ORDER + 2);
	stop();
}
END_TEST

START_TEST(test_change_needs_a_callback)
{
	struct htabvmm_ops without = ops;
	struct htabvmm_config c = config(false);

	without.htab_answer = NULL;
	c.ops = &without;
	ck_assert_int_eq(htabvmm_new(&c, &vm.h), 0);
	ck_assert_int_eq(htabvmm_htab_change(vm.h, ORDER), -EINVAL);
	stop();
}
END_TEST

/* The callback may do it all at once; what the daemon asked for meanwhile comes after it. */
START_TEST(test_requests_wait_for_a_change)
{
	struct vmm_request pause = {.type = VMM_PAUSE, .serial = ++serial, .session = S};
	struct vmm_event e;

	start(false);
	vm.change_at_once = ORDER + 1;
	announce();
	send_request(&pause, -1);
	dispatch();
	ck_assert(!queued());
	ck_assert_str_eq(vm.trace, "");
	ck_assert(htabvmm_may_run(vm.h));
	answer(0);
	wait_dispatch();
	/* the guest cannot be paused before the daemon knows that the table is another one */
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_HTAB_CHANGED);
	ck_assert(take_reply(pause.serial));
	ck_assert_int_eq(rep.error, 0);
	ck_assert_str_eq(vm.trace, "go pause");
	stop();
}
END_TEST

START_TEST(test_daemon_does_not_answer)
{
	start(false);
	htabvmm_test_change(vm.h, 20);
	announce();
	dispatch(); /* sets the timer */
	while (!vm.trace[0])
		wait_dispatch();
	ck_assert_str_eq(vm.trace, "go");
	ck_assert(strstr(vm.text, "in time") != NULL);
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER + 1), 0);
	expect_event(VMM_EVENT_HTAB_CHANGED, ORDER + 1);
	/* the late answer is not the next one's */
	htabvmm_test_change(vm.h, 100000);
	vm.trace[0] = 0;
	announce();
	answer(0);
	ck_assert_str_eq(vm.trace, "");
	answer(-EBUSY);
	ck_assert_str_eq(vm.trace, "refused");
	answer(0); /* of nothing */
	ck_assert_str_eq(vm.trace, "refused");
	stop();
}
END_TEST

START_TEST(test_daemon_dies_in_a_change)
{
	start(false);
	announce();
	detach();
	ck_assert_str_eq(vm.trace, "go");
	ck_assert_int_ge(vm.h->sock, 0); /* what it asked for is handled first, when that is over */
	ck_assert_int_eq(htabvmm_htab_changed(vm.h, ORDER + 1), 0);
	dispatch();
	ck_assert_int_lt(vm.h->sock, 0);
	attach();
	ck_assert_uint_eq(reg.order, ORDER + 1);
	/* no answer is owed to the one before */
	vm.trace[0] = 0;
	announce();
	answer(0);
	ck_assert_str_eq(vm.trace, "go");
	stop();
}
END_TEST

/*
 * From the pause on the table is the migration's, and while a guest arrives.
 *
 * protocol.md 16.8: "not allowed: the VMM refuses its guest, and tries again when the session is
 * over"
 */
START_TEST(test_change_in_every_state)
{
	enum session_state state = (enum session_state)_i;
	bool incoming = state >= SESSION_LOADING, allowed;

	allowed = state == SESSION_UNKNOWN || state == SESSION_RESUMED || state == SESSION_RUN ||
		state == SESSION_DEAD || state == SESSION_CLOSED;
	bring_to(state, incoming);
	vm.trace[0] = 0;
	ck_assert_int_eq(htabvmm_htab_change(vm.h, ORDER + 1), allowed ? HTABVMM_LATER : -EBUSY);
	ck_assert_int_eq(queued(), allowed);
	stop();
}
END_TEST

/* A table that the guest had changed on its way is what this VM has, once it runs here. */
START_TEST(test_order_of_a_guest_that_arrived)
{
	struct vmm_request m = {
		.type = VMM_RESET_HTAB, .serial = ++serial, .session = S, .order = ORDER + 3};
	struct vmm_event e;

	bring_to(SESSION_LOADING, true);
	send_request(&m, -1);
	dispatch();
	ck_assert(take_reply(m.serial));
	ck_assert_uint_eq(vm.reset_order, ORDER + 3);
	if (_i) { /* it does not run here: what waits is as it was started */
		ck_assert_int_eq(ask_note(NOTE_DEAD, S), 0);
		detach();
		attach();
		ck_assert_uint_eq(reg.order, ORDER);
		stop();
		return;
	}
	ck_assert_int_eq(set_state(S), 0);
	ck_assert_int_eq(ask_note(NOTE_READY, S), 0);
	m = (struct vmm_request){
		.type = VMM_NOTE, .serial = ++serial, .session = S, .note = NOTE_RUN};
	send_request(&m, -1);
	dispatch();
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_HTAB_CHANGED);
	ck_assert_uint_eq(e.order, ORDER + 3);
	ck_assert(take_reply(m.serial));
	detach();
	attach();
	ck_assert_uint_eq(reg.order, ORDER + 3);
	stop();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("htabvmm-htab");
	TCase *t = tcase_create("htabvmm-htab");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_one_reader_at_a_time);
	tcase_add_test(t, test_vmm_reads_itself);
	tcase_add_test(t, test_reserved_or_arriving);
	tcase_add_loop_test(t, test_second_and_bolted_readers_need_a_pause, 0, 2);
	tcase_add_test(t, test_writer_needs_a_session);
	tcase_add_test(t, test_change);
	tcase_add_test(t, test_change_is_refused);
	tcase_add_test(t, test_change_without_a_daemon);
	tcase_add_test(t, test_change_needs_a_callback);
	tcase_add_test(t, test_requests_wait_for_a_change);
	tcase_add_test(t, test_daemon_does_not_answer);
	tcase_add_test(t, test_daemon_dies_in_a_change);
	tcase_add_loop_test(t, test_change_in_every_state, 0, SESSION_STATES);
	tcase_add_loop_test(t, test_order_of_a_guest_that_arrived, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
