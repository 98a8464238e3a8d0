/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP: the descriptors that clients send, and the sockets' files. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/qmp-harness.h"

/* -- Descriptors -- */

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void put_fds(int sock, const char *text, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 32)];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds)};
	struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
	int fds[32], p[2];

	ck_assert_int_eq(pipe(p), 0);
	close(p[1]);
	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = p[0];
	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	memcpy(CMSG_DATA(m), fds, sizeof(int) * n_fds);
	ck_assert_int_eq(sendmsg(sock, &msg, MSG_NOSIGNAL), (ssize_t)strlen(text));
	close(p[0]);
	turn();
}

START_TEST(qmp_getfd_keeps_a_descriptor_until_it_is_taken_or_closed)
{
	int fd = client("control"), taken;
	unsigned before = open_fds();
	struct stat st;

	put_fds(fd, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}", 1);
	expect(fd, OK);
	ck_assert_uint_eq(open_fds(), before + 1);
	ck_assert_int_eq(qmp_take_fd(qmp, "b"), -ENOENT);
	taken = qmp_take_fd(qmp, "a");
	ck_assert_int_eq(fstat(taken, &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert(fcntl(taken, F_GETFD) & FD_CLOEXEC);
	close(taken);
	ck_assert_int_eq(qmp_take_fd(qmp, "a"), -ENOENT);

	/* One after the other, in one read where the kernel joins them; the second replaces the
	 * first. */
	put_fds(fd, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}", 1);
	put_fds(fd, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}", 1);
	expect(fd, OK OK);
	ck_assert_uint_eq(open_fds(), before + 1);
	put(fd, "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"a\"}}", 48);
	expect(fd, OK);
	ck_assert_uint_eq(open_fds(), before);

	/* A command in pieces: the descriptor comes with the first. */
	put_fds(fd, "{\"execute\":\"getfd\",", 1);
	put(fd, "\"arguments\":{\"fdname\":\"a\"}}", 27);
	expect(fd, OK);
	ck_assert_uint_eq(open_fds(), before + 1);
	close(fd);
}
END_TEST

START_TEST(qmp_closes_descriptors_that_nobody_wanted)
{
	int fd = client("control");
	unsigned before = open_fds();

	put_fds(fd, "{\"execute\":\"vm\"}", 3);
	expect(fd, "{\"return\":\"-\"}\r\n");
	ck_assert_uint_eq(open_fds(), before);
	put_fds(fd, "{\"execute\":\"vm\"}", 32);
	expect(fd, "{\"return\":\"-\"}\r\n");
	ck_assert_uint_eq(open_fds(), before);
	put_fds(fd, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"0\"}}", 1);
	expect(fd, ERROR(G, "Parameter 'fdname' expects a name not starting with a digit"));
	ck_assert_uint_eq(open_fds(), before);
	put_fds(fd, "\n", 1);
	put_fds(fd, "{\"execute\"", 1);
	close(fd);
	turn();
	while (open_fds() != before - 2) /* the connection's is closed by a thread */
		sched_yield();
}
END_TEST

START_TEST(qmp_keeps_64_descriptors_and_refuses_one_more)
{
	int fd = client("control");
	char text[128];

	for (unsigned i = 0; i <= QMP_FDS_MAX; i++) {
		snprintf(text, sizeof(text),
			"{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n%u\"}}", i);
		put_fds(fd, text, 1);
		expect(fd,
			i < QMP_FDS_MAX
				? OK
				: ERROR(G,
					  "cannot keep the descriptor 'n64': 64 are kept already: use closefd"));
	}
	close(fd);
}
END_TEST

/* -- Sockets -- */

START_TEST(qmp_socket_has_the_mode_asked_for_whatever_the_umask)
{
	static const unsigned modes[] = {0600, 0660, 0666};
	struct qmp_sock *s;
	char path[128];
	struct stat st;
	mode_t old = umask(_i ? 0077 : 0);

	scratch_path("mode", path, sizeof(path));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(qmp_listen(qmp, path, modes[i], NULL, &s, NULL), 0);
		ck_assert_int_eq(lstat(path, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, modes[i]);
		s = qmp_sock_free(s);
		ck_assert_int_eq(lstat(path, &st), -1);
	}
	umask(old);
}
END_TEST

START_TEST(qmp_socket_replaces_a_stale_file_but_nothing_else)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct err err = {0};
	struct qmp_sock *s;
	char path[128];
	struct stat st;

	scratch_path("stale", sa.sun_path, sizeof(sa.sun_path));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	ck_assert_int_eq(qmp_listen(qmp, sa.sun_path, 0600, NULL, &s, &err), 0);

	ck_assert_int_eq(qmp_listen(qmp, sa.sun_path, 0600, NULL, &s, &err), -EADDRINUSE);
	ck_assert_msg(strstr(err.text, "another process does"), "%s", err.text);

	fd = open(scratch_path("file", path, sizeof(path)), O_CREAT | O_WRONLY, 0600);
	close(fd);
	ck_assert_int_eq(qmp_listen(qmp, path, 0600, NULL, &s, &err), -EEXIST);
	ck_assert_msg(strstr(err.text, "is not a socket"), "%s", err.text);
	ck_assert_int_eq(lstat(path, &st), 0);

	ck_assert_int_eq(
		qmp_listen(qmp, scratch_path("no/such", path, sizeof(path)), 0600, NULL, &s, &err),
		-ENOENT);
}
END_TEST

START_TEST(qmp_socket_leaves_a_file_that_took_its_place)
{
	char path[128], moved[128];
	struct stat st;
	int fd;

	scratch_path("control", path, sizeof(path));
	/* Still there under another name, so that its inode's number is not used again. */
	ck_assert_int_eq(rename(path, scratch_path("moved", moved, sizeof(moved))), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	shared = qmp_sock_free(shared);
	ck_assert_int_eq(lstat(path, &st), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("qmp-fds");
	TCase *t = tcase_create("qmp-fds");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, qmp_getfd_keeps_a_descriptor_until_it_is_taken_or_closed);
	tcase_add_test(t, qmp_closes_descriptors_that_nobody_wanted);
	tcase_add_test(t, qmp_keeps_64_descriptors_and_refuses_one_more);
	tcase_add_loop_test(t, qmp_socket_has_the_mode_asked_for_whatever_the_umask, 0, 2);
	tcase_add_test(t, qmp_socket_replaces_a_stale_file_but_nothing_else);
	tcase_add_test(t, qmp_socket_leaves_a_file_that_took_its_place);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
