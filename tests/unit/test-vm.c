/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMMs' connections: registration, the end, notes. Where a VMM has to die it is a child. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/vm-harness.h"

/* -- registration -- */

START_TEST(test_register)
{
	int sock = vmm_ready("one", 1);
	struct err err;
	struct vm *vm = vms_find(vms, NULL, &err);

	ck_assert_ptr_nonnull(vm);
	ck_assert_str_eq(vm->reg.name, "one");
	ck_assert_int_eq(vm->pid, getpid());
	ck_assert_uint_eq(vm->uid, getuid());
	ck_assert_ptr_eq(vms_find(vms, "one", &err), vm);
	ck_assert_ptr_eq(vms_find(vms, "01000000-0000-0000-0000-000000000000", &err), vm);
	ck_assert_ptr_null(vms_find(vms, "two", &err));
	ck_assert_int_eq(err.class, ERR_DEVICE_NOT_FOUND);
	close(sock);
}
END_TEST

START_TEST(test_duplicate)
{
	int one = vmm_ready("one", 1), two = vmm_ready("two", 2);
	struct err err;

	expect_refusal(vmm_start("one", 3), "a VM named 'one' is registered already");
	expect_refusal(vmm_start("three", 2),
		"the UUID 02000000-0000-0000-0000-000000000000 is registered already, by VM 'two'");
	ck_assert_uint_eq(registered, 2);
	ck_assert_uint_eq(gone, 0);
	ck_assert_ptr_null(vms_find(vms, NULL, &err)); /* which of the two? */
	close(one);
	close(two);
}
END_TEST

/* Connections that say nothing are in nobody's way, however many they are. */
START_TEST(test_silent_ones)
{
	int silent[3 * VMS_WAITING_MAX], one;
	char c;

	one = vmm_ready("one", 1);
	for (int i = 0; i < 3 * VMS_WAITING_MAX; i++) {
		silent[i] = vmm_connect();
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	turn();
	close(vmm_ready("two", 2));
	turn();
	ck_assert_uint_eq(registered, 2);
	ck_assert_int_eq(recv(silent[0], &c, 1, MSG_DONTWAIT), 0);
	ck_assert_int_eq(recv(silent[2 * VMS_WAITING_MAX], &c, 1, MSG_DONTWAIT), 0);
	ck_assert_int_lt(recv(silent[3 * VMS_WAITING_MAX - 1], &c, 1, MSG_DONTWAIT), 0);
	ck_assert_int_lt(recv(one, &c, 1, MSG_DONTWAIT), 0);
	for (int i = 0; i < 3 * VMS_WAITING_MAX; i++)
		close(silent[i]);
	close(one);
}
END_TEST

START_TEST(test_places_of_a_user)
{
	int one, two;

	vms_limit_users(vms, 2);
	one = vmm_ready("one", 1);
	two = vmm_ready("two", 2);
	expect_refusal(vmm_start("three", 3), "'vms-per-user'");
	/* the same VM again takes no further place */
	expect_refusal(vmm_start("two", 2), "registered already");
	close(one);
	turn();
	close(vmm_ready("one", 1));
	close(two);
}
END_TEST

START_TEST(test_not_allowed)
{
	forbid = true;
	expect_refusal(vmm_start("one", 1), "one is not welcome");
	ck_assert_uint_eq(registered + gone, 0);
}
END_TEST

/* Another process's pidfd, what is none, and nothing at all. */
START_TEST(test_wrong_pidfd)
{
	struct vmm_register m = description("one", 1);
	int fds[] = {fd_pidfd(getppid()), open("/dev/null", O_RDONLY | O_CLOEXEC), -1};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		int sock = vmm_connect();

		send_register(sock, &m, fds[i]);
		expect_refusal(sock, "is no pidfd of the process");
		fd_close(fds[i]);
	}
	ck_assert_uint_eq(registered, 0);
}
END_TEST

/*
 * protocol.md 18: "A daemon refuses any other in REFUSED with both numbers in the sentence."
 */
START_TEST(test_version)
{
	struct vmm_register m = description("one", 1);
	int sock = vmm_connect(), pidfd = fd_pidfd(getpid());

	m.version = VMM_VERSION + 1;
	send_register(sock, &m, pidfd);
	expect_refusal(sock, "the VMM speaks version 3 of the VMM socket, this daemon version 2");
	fd_close(pidfd);
}
END_TEST

START_TEST(test_bad_register)
{
	struct vmm_register m = description("one", 1);
	int sock = vmm_connect();
	uint8_t buf[VMM_PACKET_MAX];

	vmm_send(sock, buf, vmm_pack_register(&m, buf) - 1, -1);
	expect_refusal(sock, "malformed");
}
END_TEST

static const struct {
	const char *bytes;
	int len;
} bad_packets[] = {
	{"x", 1},                  /* no header */
	{"\0\x63\0\0\0\0\0\0", 8}, /* no such type */
	{"\0\x10\0\0\0\0\0\0", 8}, /* REGISTERED, which is the daemon's */
	{"\0\x02\0\0\0\0\0\0", 8}, /* EVENT without a body */
	{"\0\x01\0\x01\0\0\0\0\0\x01"
	 "a",
		11}, /* REGISTER once more, or cut */
};

/* protocol.md 15: "A malformed packet ends the connection" */
START_TEST(test_bad_packet)
{
	int sock = vmm_ready("one", 1);

	vmm_send(sock, bad_packets[_i].bytes, bad_packets[_i].len, -1);
	loop_until(base, &gone, 1);
	ck_assert(!last_dead);
	vmm_ended(sock);
	close(sock);
}
END_TEST

START_TEST(test_bad_first_packet)
{
	int sock = vmm_connect();

	vmm_send(sock, "\0\x02\0\0\0\0\0\0", 8, -1);
	turn();
	vmm_ended(sock);
	ck_assert_uint_eq(registered + gone, 0);
	close(sock);
}
END_TEST

/* -- the end -- */

/* What is queued counts, however late it is read; then the request ends, then the VM. */
START_TEST(test_disconnected)
{
	struct vmm_event m = {.kind = VMM_EVENT_RESUMED, .session = {{7}}};
	int sock = vmm_ready("one", 1);
	uint8_t buf[VMM_PACKET_MAX];
	struct err err;

	ask(only_vm(), LONG_MS, NULL); /* which is never read: ECONNRESET comes first */
	vmm_send(sock, buf, vmm_pack_event(&m, buf), -1);
	close(sock);
	loop_until(base, &events, 1);
	ck_assert_int_eq(last_event.kind, VMM_EVENT_RESUMED);
	loop_until(base, &gone, 1);
	ck_assert(!last_dead); /* this process lives */
	ck_assert_uint_eq(n_answers, 1);
	ck_assert_int_eq(answers[0].error, -ECONNRESET);
	ck_assert_ptr_null(vms_find(vms, NULL, &err));
}
END_TEST

/* The same VMM comes back before it was clear whether it died. */
START_TEST(test_back_again)
{
	int sock = vmm_ready("one", 1);

	close(sock);
	turn();
	ck_assert_uint_eq(gone, 0);
	sock = vmm_ready("one", 1);
	ck_assert_uint_eq(gone, 1);
	ck_assert(!last_dead);
	ck_assert_uint_eq(registered, 2);
	close(sock);
}
END_TEST

/* Registers and waits to be killed. */
static pid_t child_vmm(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		vmm_start("one", 1);
		for (;;)
			pause();
	}
	return pid;
}

START_TEST(test_dead)
{
	pid_t pid = child_vmm();

	loop_until(base, &registered, 1);
	ck_assert_int_eq(only_vm()->pid, pid);
	ask(only_vm(), LONG_MS, NULL);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	loop_until(base, &gone, 1);
	ck_assert(last_dead);
	ck_assert_uint_eq(n_answers, 1);
	ck_assert_int_eq(answers[0].error, -ECONNRESET);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* A dead VMM's name is free at once for its successor. */
START_TEST(test_successor)
{
	pid_t pid = child_vmm();
	int sock;

	loop_until(base, &registered, 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	loop_until(base, &gone, 1);
	ck_assert(last_dead);
	sock = vmm_ready("one", 1);
	close(sock);
}
END_TEST

/* Registers, and when told by a byte says RESUMED and dies; its child holds the connection. */
static pid_t vmm_with_child(int tell)
{
	struct vmm_event resumed = {.kind = VMM_EVENT_RESUMED, .session = {{7}}};
	uint8_t buf[VMM_PACKET_MAX];
	pid_t pid = fork(), child;
	int sock;

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	sock = vmm_start("one", 1);
	child = fork();
	while (child == 0)
		pause();
	if (read(tell, buf, 1) != 1 || write(tell, &child, sizeof(child)) != sizeof(child))
		_exit(1);
	vmm_send(sock, buf, vmm_pack_event(&resumed, buf), -1);
	_exit(0);
}

/* The pidfd tells, not the socket; and what was queued before is heard. */
START_TEST(test_dead_with_a_child)
{
	pid_t pid, child;
	siginfo_t info;
	int tell[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, tell), 0);
	pid = vmm_with_child(tell[1]);
	loop_until(base, &registered, 1);
	ck_assert_int_eq(write(tell[0], "", 1), 1);
	ck_assert_int_eq(read(tell[0], &child, sizeof(child)), sizeof(child));
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	loop_until(base, &gone, 1);
	ck_assert(last_dead);
	ck_assert_uint_eq(events, 1);
	ck_assert_int_eq(last_event.kind, VMM_EVENT_RESUMED);
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(tell[0]);
	close(tell[1]);
}
END_TEST

/* Nothing was given to a VMM whose process had ended, whoever may read it. */
START_TEST(test_told_nothing)
{
	pid_t pid = child_vmm();
	siginfo_t info;
	int arg;

	loop_until(base, &registered, 1);
	ask(only_vm(), LONG_MS, &arg);
	ck_assert(vm_was_sent(only_vm(), VMM_PAUSE, &arg));
	ck_assert(!vm_was_sent(only_vm(), VMM_NOTE, &arg));
	ck_assert(!vm_was_sent(only_vm(), VMM_PAUSE, NULL));
	ck_assert(!vm_ending(only_vm()));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert(vm_ending(only_vm()));
	ask(only_vm(), LONG_MS, &base);
	ck_assert(!vm_was_sent(only_vm(), VMM_PAUSE, &base));
	loop_until(base, &gone, 1);
	ck_assert(last_dead);
	ck_assert_uint_eq(n_answers, 2);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(test_free_with_requests)
{
	int sock = vmm_ready("one", 1);

	ask(only_vm(), LONG_MS, NULL);
	vms = vms_free(vms);
	ck_assert_uint_eq(gone, 1);
	ck_assert_uint_eq(n_answers, 1);
	close(sock);
}
END_TEST

/* -- notes -- */

START_TEST(test_notes)
{
	int sock = vmm_ready("one", 1);
	struct vm *vm = only_vm();
	struct session_id s = {{0}};

	for (uint8_t i = 1; i <= VMM_NOTES_MAX + 1; i++) {
		s.b[0] = i;
		vm_set_note(vm, &s, NOTE_DEAD);
		ck_assert_int_eq(vm_note(vm, &s)->note, NOTE_DEAD);
	}
	ck_assert_uint_eq(vm->reg.n_notes, VMM_NOTES_MAX);
	vm_set_note(vm, &s, NOTE_RUN);
	ck_assert_int_eq(vm_note(vm, &s)->note, NOTE_RUN);
	ck_assert_uint_eq(vm->reg.n_notes, VMM_NOTES_MAX);
	vm_set_note(vm, &s, NOTE_NONE);
	vm_set_note(vm, &s, NOTE_NONE);
	ck_assert_ptr_null(vm_note(vm, &s));
	ck_assert_uint_eq(vm->reg.n_notes, VMM_NOTES_MAX - 1);
	s.b[0] = 1; /* the oldest made room */
	ck_assert_ptr_null(vm_note(vm, &s));
	close(sock);
}
END_TEST

START_TEST(test_session_text)
{
	struct session_id s, again;
	char text[33];

	ck_assert_int_eq(session_parse("00112233445566778899aabbccddeeFF", &s), 0);
	session_text(&s, text);
	ck_assert_str_eq(text, "00112233445566778899aabbccddeeff");
	ck_assert_int_eq(session_parse(text, &again), 0);
	ck_assert(session_eq(&s, &again));
	ck_assert_int_eq(session_parse("00112233445566778899aabbccddeef", &s), -EINVAL);
	ck_assert_int_eq(session_parse("00112233445566778899aabbccddeeffa", &s), -EINVAL);
	ck_assert_int_eq(session_parse("0011223344556677 899aabbccddeeff", &s), -EINVAL);
	ck_assert_int_eq(session_parse("", &s), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vm");
	TCase *t = tcase_create("vm");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_register);
	tcase_add_test(t, test_duplicate);
	tcase_add_test(t, test_silent_ones);
	tcase_add_test(t, test_places_of_a_user);
	tcase_add_test(t, test_not_allowed);
	tcase_add_test(t, test_wrong_pidfd);
	tcase_add_test(t, test_version);
	tcase_add_test(t, test_bad_register);
	tcase_add_loop_test(t, test_bad_packet, 0, sizeof(bad_packets) / sizeof(bad_packets[0]));
	tcase_add_test(t, test_bad_first_packet);
	tcase_add_test(t, test_disconnected);
	tcase_add_test(t, test_back_again);
	tcase_add_test(t, test_dead);
	tcase_add_test(t, test_successor);
	tcase_add_test(t, test_dead_with_a_child);
	tcase_add_test(t, test_told_nothing);
	tcase_add_test(t, test_free_with_requests);
	tcase_add_test(t, test_notes);
	tcase_add_test(t, test_session_text);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
