/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMMs' connections: requests and their answers, events. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/vm-harness.h"

START_TEST(test_out_of_order)
{
	static const int order[] = {2, 0, 1};
	int sock = vmm_ready("one", 1), args[3], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct vmm_request req[3];
	struct vm *vm = only_vm();

	for (int i = 0; i < 3; i++)
		ask(vm, LONG_MS, &args[i]);
	for (int i = 0; i < 3; i++) {
		vmm_receive(sock, &req[i], NULL);
		ck_assert_int_eq(req[i].type, VMM_PAUSE);
		ck_assert_uint_ne(req[i].serial, 0);
	}
	for (int i = 0; i < 3; i++)
		vmm_reply(sock, req[order[i]].serial, 40 + (uint64_t)i, i == 1 ? null : -1);
	loop_until(base, &n_answers, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_eq(answers[i].arg, &args[order[i]]);
		ck_assert_int_eq(answers[i].error, 0);
		ck_assert_uint_eq(answers[i].value, 40 + (uint64_t)i);
		ck_assert_int_eq(answers[i].fd, i == 1);
	}
	vmm_reply(sock, req[0].serial, 1, -1); /* twice: nobody waits */
	vmm_reply(sock, 12345, 1, null);
	turn();
	ck_assert_uint_eq(n_answers, 3);
	ck_assert_uint_eq(gone, 0);
	fd_close(null);
	close(sock);
}
END_TEST

/* A descriptor goes along, and stays the caller's as well. */
START_TEST(test_ask_with_fd)
{
	struct vmm_request req = {.type = VMM_SET_STATE, .session = {{7}}}, seen;
	int sock = vmm_ready("one", 1), fd = fd_memfd("x"), theirs;

	vm_ask(only_vm(), &req, fd, LONG_MS, answer_cb, NULL);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	vmm_receive(sock, &seen, &theirs);
	ck_assert_int_eq(seen.type, VMM_SET_STATE);
	ck_assert_int_ge(theirs, 0);
	fd_close(theirs);
	fd_close(fd);
	close(sock);
}
END_TEST

/* Nobody asks any more: the late answer's descriptor is closed. */
START_TEST(test_forget)
{
	int sock = vmm_ready("one", 1), p[2], arg;
	struct vm *vm = only_vm();
	struct vmm_request req;
	char c;

	ck_assert_int_eq(pipe(p), 0);
	ask(vm, LONG_MS, &arg);
	vm_forget_asker(vm, &arg);
	vmm_receive(sock, &req, NULL);
	vmm_reply(sock, req.serial, 0, p[1]);
	close(p[1]);
	turn();
	ck_assert_uint_eq(n_answers, 0);
	ck_assert_int_eq(fd_set_nonblock(p[0]), 0);
	ck_assert_int_eq(read(p[0], &c, 1), 0); /* no writer is left */
	close(p[0]);
	close(sock);
}
END_TEST

START_TEST(test_timeout)
{
	int sock = vmm_ready("one", 1);
	struct vmm_request req;

	ask(only_vm(), 1, NULL);
	loop_until(base, &n_answers, 1);
	ck_assert_int_eq(answers[0].error, -ETIMEDOUT);
	vmm_receive(sock, &req, NULL);
	vmm_reply(sock, req.serial, 0, -1);
	turn();
	ck_assert_uint_eq(n_answers, 1);
	ck_assert_uint_eq(gone, 0);
	close(sock);
}
END_TEST

/* A VMM that does not read: what finds no room fails, the rest is answered once it reads. */
START_TEST(test_overflow)
{
	int sock = vmm_ready("one", 1);
	struct vm *vm = only_vm();
	struct vmm_request tell = {.type = VMM_LEASE, .session = {{7}}};
	unsigned failed;
	uint8_t buf[VMM_PACKET_MAX];

	for (int i = 0; i < ANSWERS_MAX; i++)
		ask(vm, LONG_MS, NULL);
	ck_assert_uint_eq(n_answers, 0); /* never from inside vm_ask() */
	vm_tell(vm, &tell);              /* without room for it either */
	loop_until(base, &n_answers, 1);
	turn();
	failed = n_answers;
	for (unsigned i = 0; i < failed; i++)
		ck_assert_int_lt(answers[i].error, 0);
	ck_assert_uint_lt(failed, ANSWERS_MAX);
	ck_assert_int_eq(fd_set_nonblock(sock), 0);
	while (n_answers < ANSWERS_MAX) {
		ssize_t n = fd_recv_packet(sock, buf, sizeof(buf), NULL);
		struct vmm_request req;

		if (n > 0) {
			ck_assert_int_eq(vmm_unpack_request(buf, (size_t)n, &req), 0);
			ck_assert_int_eq(req.type, VMM_PAUSE);
			vmm_reply(sock, req.serial, 5, -1);
		}
		turn();
		ck_assert(n > 0 || n == -EAGAIN);
	}
	for (unsigned i = failed; i < ANSWERS_MAX; i++)
		ck_assert_int_eq(answers[i].error, 0);
	ck_assert_uint_eq(gone, 0);
	close(sock);
}
END_TEST

START_TEST(test_event)
{
	struct vmm_event m = {.kind = VMM_EVENT_STOPPED, .text = "shutdown"};
	int sock = vmm_ready("one", 1);
	uint8_t buf[VMM_PACKET_MAX];

	vmm_send(sock, buf, vmm_pack_event(&m, buf), -1);
	loop_until(base, &events, 1);
	ck_assert_int_eq(last_event.kind, VMM_EVENT_STOPPED);
	ck_assert_str_eq(last_event.text, "shutdown");
	close(sock);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vm-requests");
	TCase *t = tcase_create("vm-requests");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_out_of_order);
	tcase_add_test(t, test_ask_with_fd);
	tcase_add_test(t, test_forget);
	tcase_add_test(t, test_timeout);
	tcase_add_test(t, test_overflow);
	tcase_add_test(t, test_event);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
