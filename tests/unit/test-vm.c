/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VMM made of packets: the test's process, or a child of it where one has to die. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "daemon/vm.h"
#include "tests/unit/net-harness.h"

#define ANSWERS_MAX 4096
#define LONG_MS     60000

static struct event_base *base;
static struct vms *vms;
static char path[108];
static unsigned registered, gone, events;
static bool last_dead, forbid;
static struct vmm_event last_event;

static int allow_cb(void *arg, const struct vm *vm, struct err *err)
{
	ck_assert_ptr_eq(arg, &vms);
	return forbid ? err_set(err, -EPERM, "%s is not welcome", vm->reg.name) : 0;
}

static void registered_cb(void *arg, struct vm *vm)
{
	registered++;
	vm_welcome(vm);
}

static void gone_cb(void *arg, struct vm *vm, bool dead)
{
	ck_assert(vm->registered);
	gone++;
	last_dead = dead;
}

static void event_cb(void *arg, struct vm *vm, const struct vmm_event *event)
{
	events++;
	last_event = *event;
}

static const struct vm_hooks hooks = {
	.allow = allow_cb,
	.registered = registered_cb,
	.gone = gone_cb,
	.event = event_cb,
};

static void setup(void)
{
	struct err err;

	signal(SIGPIPE, SIG_IGN);
	registered = gone = events = 0;
	forbid = last_dead = false;
	base = event_base_new();
	scratch_path("vmm.sock", path, sizeof(path));
	ck_assert_msg(vms_new(base, path, &hooks, &vms, &vms, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
	vms = vms_free(vms);
	event_base_free(base);
	scratch_remove();
}

/* Whatever can be done now. */
static void turn(void)
{
	for (int i = 0; i < 16; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* -- the VMM -- */

static int vmm_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void vmm_send(int sock, const void *buf, int len, int fd)
{
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(fd_send_packet(sock, buf, (size_t)len, fd), 0);
}

static struct vmm_register description(const char *name, uint8_t uuid)
{
	struct vmm_register m = {
		.version = VMM_VERSION,
		.uuid = {{uuid}},
		.mmu = MMU_HPT,
		.order = 24,
		.vcpus = 1,
		.running = true,
	};

	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

static void send_register(int sock, const struct vmm_register *m, int pidfd)
{
	uint8_t buf[VMM_PACKET_MAX];

	vmm_send(sock, buf, vmm_pack_register(m, buf), pidfd);
}

/* A connection that sent its registration. */
static int vmm_start(const char *name, uint8_t uuid)
{
	struct vmm_register m = description(name, uuid);
	int pidfd = fd_pidfd(getpid()), sock = vmm_connect();

	ck_assert_int_ge(pidfd, 0);
	send_register(sock, &m, pidfd);
	fd_close(pidfd);
	return sock;
}

/* The next message for the VMM, which is there already. *ret_fd may be left out. */
static void vmm_receive(int sock, struct vmm_request *ret, int *ret_fd)
{
	uint8_t buf[VMM_PACKET_MAX];
	ssize_t n;
	int fd;

	ck_assert_int_eq(fd_set_nonblock(sock), 0);
	n = fd_recv_packet(sock, buf, sizeof(buf), &fd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)n, ret), 0);
	if (ret_fd)
		*ret_fd = fd;
	else
		ck_assert_int_eq(fd, -1);
}

static void vmm_ended(int sock)
{
	char c;

	ck_assert_int_eq(recv(sock, &c, 1, MSG_DONTWAIT), 0);
}

static void vmm_reply(int sock, uint32_t serial, uint64_t value, int fd)
{
	struct vmm_reply m = {.value = value};
	uint8_t buf[VMM_PACKET_MAX];

	vmm_send(sock, buf, vmm_pack_reply(serial, &m, buf), fd);
}

/* A VMM that is registered. */
static int vmm_ready(const char *name, uint8_t uuid)
{
	unsigned before = registered;
	struct vmm_request req;
	int sock = vmm_start(name, uuid);

	loop_until(base, &registered, before + 1);
	vmm_receive(sock, &req, NULL);
	ck_assert_int_eq(req.type, VMM_REGISTERED);
	return sock;
}

static void expect_refusal(int sock, const char *words)
{
	struct vmm_request req;

	turn();
	vmm_receive(sock, &req, NULL);
	ck_assert_int_eq(req.type, VMM_REFUSED);
	ck_assert_msg(strstr(req.text, words), "'%s' has no '%s'", req.text, words);
	vmm_ended(sock);
	close(sock);
}

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

START_TEST(test_version)
{
	struct vmm_register m = description("one", 1);
	int sock = vmm_connect(), pidfd = fd_pidfd(getpid());

	m.version = VMM_VERSION + 1;
	send_register(sock, &m, pidfd);
	expect_refusal(sock, "the VMM speaks version 2 of the VMM socket, this daemon version 1");
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

/* -- requests -- */

static struct answer {
	void *arg;
	int error;
	uint64_t value;
	bool fd;
} answers[ANSWERS_MAX];
static unsigned n_answers;

static void answer_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	ck_assert_uint_lt(n_answers, ANSWERS_MAX);
	answers[n_answers++] = (struct answer){arg, reply->error, reply->value, fd >= 0};
	fd_close(fd);
}

static void ask(struct vm *vm, int timeout_ms, void *arg)
{
	struct vmm_request req = {.type = VMM_PAUSE, .session = {{7}}};

	vm_ask(vm, &req, -1, timeout_ms, answer_cb, arg);
}

static struct vm *only_vm(void)
{
	struct err err;
	struct vm *vm = vms_find(vms, NULL, &err);

	ck_assert_ptr_nonnull(vm);
	n_answers = 0;
	return vm;
}

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
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_register);
	tcase_add_test(t, test_duplicate);
	tcase_add_test(t, test_not_allowed);
	tcase_add_test(t, test_wrong_pidfd);
	tcase_add_test(t, test_version);
	tcase_add_test(t, test_bad_register);
	tcase_add_loop_test(t, test_bad_packet, 0, sizeof(bad_packets) / sizeof(bad_packets[0]));
	tcase_add_test(t, test_bad_first_packet);
	tcase_add_test(t, test_out_of_order);
	tcase_add_test(t, test_ask_with_fd);
	tcase_add_test(t, test_forget);
	tcase_add_test(t, test_timeout);
	tcase_add_test(t, test_overflow);
	tcase_add_test(t, test_event);
	tcase_add_test(t, test_disconnected);
	tcase_add_test(t, test_back_again);
	tcase_add_test(t, test_dead);
	tcase_add_test(t, test_successor);
	tcase_add_test(t, test_free_with_requests);
	tcase_add_test(t, test_notes);
	tcase_add_test(t, test_session_text);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
