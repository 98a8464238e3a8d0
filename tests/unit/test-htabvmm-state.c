/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhtabvmm: the machine's state, the table, the connection and descriptors. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/unit/htabvmm-harness.h"

/* -- state and table -------------------------------------------------------------------------- */

START_TEST(test_state_there_and_back)
{
	size_t size;
	int fd;

	bring_to(SESSION_PAUSED, false);
	ck_assert_int_eq(ask(VMM_GET_STATE, S), 0);
	fd = rep_fd;
	rep_fd = -1;
	ck_assert_int_eq(fd_memfd_check(fd, STATE_IMAGE_MAX, &size), 0);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL); /* no state yet */
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), 0);
	ck_assert_uint_eq(vm.reg, 0x0123456789abcdefull);
	ck_assert_uint_eq(vm.blob_size, 4);
	ck_assert_int_eq(memcmp(vm.blob, "data", 4), 0);
	/* The table is emptied: the state goes with it. */
	ck_assert_int_eq(ask(VMM_RESET_HTAB, S), 0);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL);
	fd_close(fd);
	stop();
}
END_TEST

/*
 * protocol.md 8: "or has no such vCPU, refuses the image and names the element in the sentence"
 */
START_TEST(test_state_refused)
{
	int fd;

	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(ask(VMM_SET_STATE, S), -EBADMSG); /* no descriptor */
	fd = fd_memfd("unsealed");
	ck_assert_int_eq(write(fd, "xxxx", 4), 4);
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EINVAL);
	ck_assert_int_eq(fd_memfd_seal(fd), 0);
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EBADMSG); /* cut short */
	fd_close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EINVAL);
	fd_close(fd);
	fd = image("test", 2); /* there are two vCPUs */
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EINVAL);
	ck_assert_msg(strstr(rep.text, "vCPU 2") != NULL, "%s", rep.text);
	ck_assert_uint_eq(vm.reg, 0); /* nothing was applied */
	fd_close(fd);
	vm.load = -EPERM;
	ck_assert_int_eq(set_state(S), -EPERM);
	ck_assert_msg(strstr(rep.text, "blob test") != NULL, "%s", rep.text);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL);
	stop();
	bring_to(SESSION_PAUSED, false);
	vm.save = -EIO;
	ck_assert_int_eq(ask(VMM_GET_STATE, S), -EIO);
	ck_assert_int_lt(rep_fd, 0);
	stop();
}
END_TEST

/* KVM does not set the guest's timebase: no vCPU runs with a wrong one. */
START_TEST(test_no_start_without_its_time)
{
	static const int vcpus[2] = {-1, -1};

	bring_to(SESSION_READY, true);
	vm.trace[0] = vm.events[0] = 0;
	vm.h->kvm.vm_fd = listener; /* one that is no KVM's */
	vm.h->kvm.vcpu_fds = vcpus;
	vm.h->arrived = (struct state_kvm_tb){.known = true, .guest = 1};
	ck_assert_int_lt(ask_note(NOTE_RUN, S), 0);
	ck_assert_msg(strstr(rep.text, "could not start the guest"), "%s", rep.text);
	ck_assert_uint_eq(rep.value, NOTE_DEAD);
	ck_assert_int_eq(state_of(S), SESSION_DEAD);
	ck_assert_str_eq(vm.trace, "activate");
	ck_assert_str_eq(vm.events, "dead");
	ck_assert(!htabvmm_may_run(vm.h));
	vm.h->kvm.vm_fd = -1;
	vm.h->kvm.vcpu_fds = NULL;
	stop();
}
END_TEST

/* -- looking at it ----------------------------------------------------------------------------- */

static int query(void)
{
	send_request(&(struct vmm_request){.type = VMM_QUERY_STATE, .serial = ++serial}, -1);
	dispatch();
	ck_assert(take_reply(serial));
	return rep.error;
}

START_TEST(test_query_pauses_what_runs)
{
	size_t size;

	start(false);
	vm.trace[0] = 0;
	ck_assert_int_eq(query(), 0);
	ck_assert_int_eq(fd_memfd_check(rep_fd, STATE_IMAGE_MAX, &size), 0);
	ck_assert_str_eq(vm.trace, "pause resume");
	ck_assert_str_eq(vm.events, ""); /* for the VMM nothing has happened */
	ck_assert(htabvmm_may_run(vm.h));
	/* One that stands still is left alone. */
	ck_assert_int_eq(htabvmm_set_running(vm.h, 0, "stopped"), 0);
	rep_fd = fd_close(rep_fd);
	ck_assert_int_eq(take_event(&(struct vmm_event){0}), true);
	vm.trace[0] = 0;
	ck_assert_int_eq(query(), 0);
	ck_assert_str_eq(vm.trace, "");
	stop();
}
END_TEST

START_TEST(test_query_of_a_pause_that_takes_time)
{
	start(false);
	vm.trace[0] = 0;
	vm.pause = HTABVMM_LATER;
	send_request(&(struct vmm_request){.type = VMM_QUERY_STATE, .serial = 1}, -1);
	send_request(&(struct vmm_request){.type = VMM_PAUSE, .serial = 2, .session = S}, -1);
	dispatch();
	ck_assert(!queued());
	ck_assert(!htabvmm_may_run(vm.h));
	ck_assert_int_eq(htabvmm_set_running(vm.h, 0, ""), -EBUSY);
	vm.pause = 0;
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	dispatch();
	ck_assert(take_reply(1));
	ck_assert_int_eq(rep.error, 0);
	ck_assert_int_ge(rep_fd, 0);
	ck_assert(take_reply(2)); /* what waited behind it comes now */
	ck_assert_int_eq(rep.error, 0);
	ck_assert_str_eq(vm.trace, "pause resume pause");
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	stop();
}
END_TEST

START_TEST(test_query_that_fails)
{
	struct vmm_event event;

	start(false);
	vm.trace[0] = 0;
	vm.pause = -EIO;
	ck_assert_int_eq(query(), -EIO);
	ck_assert(htabvmm_may_run(vm.h));
	ck_assert_str_eq(vm.trace, "pause"); /* it runs on */
	vm.pause = 0;
	vm.save = -EPERM;
	vm.trace[0] = 0;
	ck_assert_int_eq(query(), -EPERM);
	ck_assert_str_eq(vm.trace, "pause resume");
	ck_assert(htabvmm_may_run(vm.h));
	vm.save = 0;
	vm.resume = -EIO;
	ck_assert_int_eq(query(), 0);
	ck_assert(take_event(&event));
	ck_assert_int_eq(event.kind, VMM_EVENT_STOPPED);
	ck_assert(!htabvmm_may_run(vm.h));
	stop();
	/* The connection ends while it pauses: the guest runs on all the same. */
	start(false);
	vm.pause = HTABVMM_LATER;
	send_request(&(struct vmm_request){.type = VMM_QUERY_STATE, .serial = 1}, -1);
	dispatch();
	daemon_fd = fd_close(daemon_fd);
	dispatch();
	vm.trace[0] = 0;
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	dispatch();
	ck_assert_str_eq(vm.trace, "resume");
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

/*
 * protocol.md 16.6: "It is refused by a VM that has no guest yet or any more, and from the note
 * COMMITTING on"
 */
START_TEST(test_query_in_every_state)
{
	static const struct {
		enum session_state state;
		bool incoming;
		int error;
	} rows[] = {
		{SESSION_UNKNOWN, false, 0},
		{SESSION_UNKNOWN, true, -EBUSY},
		{SESSION_PAUSED, false, 0},
		{SESSION_COMMITTING, false, -EBUSY},
		{SESSION_RESUMED, false, 0},
		{SESSION_MIGRATED, false, -EALREADY},
		{SESSION_LOADING, true, -EBUSY},
		{SESSION_READY, true, -EBUSY},
		{SESSION_RUN, true, 0},
		{SESSION_DEAD, true, -EBUSY},
		{SESSION_CLOSED, true, 0},
	};

	/* UNKNOWN is there twice; while STARTING it waits */
	ck_assert_uint_eq(sizeof(rows) / sizeof(rows[0]), SESSION_STATES);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool may_run;

		bring_to(rows[i].state, rows[i].incoming);
		may_run = htabvmm_may_run(vm.h);
		ck_assert_msg(query() == rows[i].error, "state %d: %s", rows[i].state, rep.text);
		ck_assert_int_eq(htabvmm_may_run(vm.h), may_run);
		ck_assert_int_eq(state_of(S), rows[i].state);
		stop();
	}
}
END_TEST

/* protocol.md 16.6: "a VM with an HPT refuses it (ENOTSUP)." */
START_TEST(test_query_of_tlbs_that_are_not_there)
{
	start(false);
	vm.trace[0] = 0;
	ck_assert_int_eq(ask(VMM_QUERY_TLB, (struct session_id){{0}}), -ENOTSUP);
	ck_assert_msg(strstr(rep.text, "hashed page table") != NULL, "%s", rep.text);
	ck_assert_int_lt(rep_fd, 0);
	ck_assert_str_eq(vm.trace, ""); /* nobody paused it for that */
	stop();
}
END_TEST

/* -- time -------------------------------------------------------------------------------------- */

START_TEST(test_the_moment_of_the_pause)
{
	uint64_t before = clock_ns(), after;

	start(false);
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	after = clock_ns();
	ck_assert_int_eq(ask(VMM_GET_STATE, S), 0);
	ck_assert_uint_ge(rep.value, before);
	ck_assert_uint_le(rep.value, after); /* not the moment of the question */
	stop();
}
END_TEST

START_TEST(test_query_time)
{
	/* Without KVM the library has no timebase to set. */
	bring_to(SESSION_RUN, true);
	ck_assert_int_eq(ask(VMM_QUERY_TIME, S), -ENODATA);
	vm.h->time.session = S;
	vm.h->time.error = -5;
	ck_assert_int_eq(ask(VMM_QUERY_TIME, S), 0);
	ck_assert_int_eq((int64_t)rep.value, -5);
	ck_assert_int_eq(ask(VMM_QUERY_TIME, T), -ENODATA);
	stop();
}
END_TEST

static int open_htab(uint32_t flags)
{
	send_request(
		&(struct vmm_request){.type = VMM_OPEN_HTAB, .serial = ++serial, .flags = flags},
		-1);
	dispatch();
	ck_assert(take_reply(serial));
	return rep.error;
}

START_TEST(test_open_htab)
{
	start(false);
	ck_assert_int_eq(open_htab(0), 0);
	ck_assert_uint_eq(rep.value, VMM_HTAB_SOCKET);
	ck_assert_int_ge(rep_fd, 0);
	ck_assert_int_eq(open_htab(HTAB_FD_WRITE), -EPERM);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(open_htab(HTAB_FD_WRITE), 0);
	rep_fd = fd_close(rep_fd);
	stop();
}
END_TEST

START_TEST(test_throttle_ends_with_the_migration)
{
	start(false);
	send_request(&(struct vmm_request){.type = VMM_THROTTLE, .serial = 1, .percent = 70}, -1);
	dispatch();
	ck_assert(take_reply(1));
	ck_assert_int_eq(vm.throttle, 70);
	detach();
	ck_assert_int_eq(vm.throttle, 0);
	stop();
}
END_TEST

/* -- the connection --------------------------------------------------------------------------- */

START_TEST(test_registration)
{
	start(false);
	ck_assert_str_eq(reg.name, "vm1");
	ck_assert_uint_eq(reg.uuid.b[0], 9);
	ck_assert_uint_eq(reg.order, ORDER);
	ck_assert_uint_eq(reg.vcpus, 2);
	ck_assert_uint_eq(reg.pvr, 0x4e1202);
	ck_assert(reg.running && !reg.incoming && reg.n_notes == 0);
	detach();
	ck_assert_str_eq(vm.events, "disconnected");
	attach();
	ck_assert_str_eq(vm.events, "disconnected registered");
	send_request(&(struct vmm_request){.type = VMM_REFUSED, .text = "go away"}, -1);
	dispatch();
	ck_assert_str_eq(vm.text, "go away");
	stop();
}
END_TEST

START_TEST(test_tries_until_there_is_a_daemon)
{
	struct htabvmm_config c = config(false);

	memset(&vm, 0, sizeof(vm));
	c.socket = "/nonexistent/vmm.sock";
	ck_assert_int_eq(htabvmm_new(&c, &vm.h), 0);
	wait_dispatch(); /* the timer says when */
	ck_assert_int_lt(vm.h->sock, 0);
	snprintf(vm.h->addr.sun_path, sizeof(vm.h->addr.sun_path), "%s", path);
	while (vm.h->sock < 0)
		wait_dispatch();
	daemon_fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	take_register();
	stop();
}
END_TEST

/*
 * protocol.md 15: "a VMM answers a malformed request that has a serial with EBADMSG, one of a type
 * that it does not know with EOPNOTSUPP."
 */
START_TEST(test_malformed_packets)
{
	static const uint8_t unknown[] = {0, 99, 0, 0, 0, 0, 0, 5};
	static const uint8_t shorter[] = {0, VMM_PAUSE, 0, 0, 0, 0, 0, 6, 1};
	static const uint8_t oneway[] = {0, 99, 0, 0, 0, 0, 0, 0};
	static uint8_t huge[VMM_PACKET_MAX + 1];

	start(false);
	ck_assert_int_eq(fd_send_packet(daemon_fd, unknown, sizeof(unknown), listener), 0);
	dispatch();
	ck_assert(take_reply(5));
	ck_assert_int_eq(rep.error, -EOPNOTSUPP);
	ck_assert_int_eq(fd_send_packet(daemon_fd, shorter, sizeof(shorter), -1), 0);
	dispatch();
	ck_assert(take_reply(6));
	ck_assert_int_eq(rep.error, -EBADMSG);
	if (_i == 0)
		ck_assert_int_eq(fd_send_packet(daemon_fd, oneway, sizeof(oneway), -1), 0);
	else
		ck_assert_int_eq(fd_send_packet(daemon_fd, huge, sizeof(huge), -1), 0);
	dispatch();
	ck_assert_str_eq(vm.events, ""); /* it says no more, and waits for the daemon's end */
	daemon_fd = fd_close(daemon_fd);
	dispatch();
	ck_assert_str_eq(vm.events, "disconnected");
	stop();
}
END_TEST

START_TEST(test_daemon_that_does_not_read)
{
	bring_to(SESSION_PAUSED, false);
	/* Answers pile up until one cannot be queued, and so RESUMED could not be either. */
	for (uint32_t i = 1; !vm.h->broken; i++) {
		struct vmm_request m = {.type = VMM_THROTTLE, .serial = i};
		uint8_t buf[VMM_PACKET_MAX];
		int len = vmm_pack_request(&m, buf);

		ck_assert_uint_lt(i, 100000);
		if (fd_send_packet(daemon_fd, buf, (size_t)len, -1) < 0)
			break;
		dispatch();
	}
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	ck_assert(!htabvmm_may_run(vm.h));
	daemon_fd = fd_close(daemon_fd);
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_config_limits)
{
	struct htabvmm *h = NULL;
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	for (int i = 0; i < 11; i++) {
		struct htabvmm_ops o = ops;
		struct htabvmm_config c = config(false);

		c.ops = &o;
		switch (i) {
		case 0: c.size--; break;
		case 1: c.name = ".x"; break;
		case 2: c.name = longer; break;
		case 3: c.hpt_order = HTAB_ORDER_MIN - 1; break;
		case 4: c.hpt_order = HTAB_ORDER_MAX + 1; break;
		case 5: c.vcpus = 0; break;
		case 6: c.vcpus = VMM_VCPUS_MAX + 1; break;
		case 7: c.incoming = 1; break; /* and running */
		case 8: c.socket = longer; break;
		case 9: o.open_htab = NULL; break;
		default: o.pause = NULL; break;
		}
		ck_assert_int_eq(htabvmm_new(&c, &h), -EINVAL);
		ck_assert_ptr_null(h);
	}
	ck_assert_ptr_null(htabvmm_free(NULL));
}
END_TEST

/* -- descriptors ------------------------------------------------------------------------------ */

START_TEST(test_packets_and_descriptors)
{
	int pair[2], fd, fds[3];
	char buf[8];
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(fds))];
	} control = {0};
	struct iovec iov = {buf, 3};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.b,
		.msg_controllen = sizeof(control.b)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int m = fd_memfd("test"); /* is closed at once wherever it came to */

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), -EAGAIN);
	ck_assert_int_eq(fd_send_packet(pair[1], "abc", 3, m), 0);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), 3);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fd_close(fd), -1);
	ck_assert_int_eq(fd_send_packet(pair[1], "abcdefghi", 9, m), 0);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), -EMSGSIZE);
	ck_assert_int_eq(fd, -1);
	/* Of several descriptors the first is kept. */
	fds[0] = fds[1] = fds[2] = m;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	ck_assert_int_eq(sendmsg(pair[1], &msg, 0), 3);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), 3);
	fds[0] = fcntl(fd, F_DUPFD, 0); /* the lowest free one: the others are closed */
	ck_assert_int_eq(fds[0], fd + 1);
	fd_close(fds[0]);
	fd_close(fd);
	fd_close(m);
	fd_close(pair[1]);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), 0);
	ck_assert_int_eq(fd_send_packet(pair[0], "abc", 3, -1), -EPIPE);
	fd_close(pair[0]);
	ck_assert(!fd_is_kvm_htab(listener));
	ck_assert_int_eq(fd_pidfd_pid(listener), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("htabvmm-state");
	TCase *t = tcase_create("htabvmm-state");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_state_there_and_back);
	tcase_add_test(t, test_state_refused);
	tcase_add_test(t, test_no_start_without_its_time);
	tcase_add_test(t, test_query_pauses_what_runs);
	tcase_add_test(t, test_query_of_a_pause_that_takes_time);
	tcase_add_test(t, test_query_that_fails);
	tcase_add_test(t, test_query_in_every_state);
	tcase_add_test(t, test_query_of_tlbs_that_are_not_there);
	tcase_add_test(t, test_the_moment_of_the_pause);
	tcase_add_test(t, test_query_time);
	tcase_add_test(t, test_open_htab);
	tcase_add_test(t, test_throttle_ends_with_the_migration);
	tcase_add_test(t, test_registration);
	tcase_add_test(t, test_tries_until_there_is_a_daemon);
	tcase_add_loop_test(t, test_malformed_packets, 0, 2);
	tcase_add_test(t, test_daemon_that_does_not_read);
	tcase_add_test(t, test_config_limits);
	tcase_add_test(t, test_packets_and_descriptors);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
