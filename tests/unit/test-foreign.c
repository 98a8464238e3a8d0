/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Closing what strangers sent: nobody waits for their file systems. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/foreign.h"

#define THREADS 8
#define QUEUE   256
#define MORE    5

static atomic_bool stuck; /* a file's close() does not come back */
static sem_t begun, go_on, closed;
static unsigned warned;

/* In place of libc's: a file system that may not answer. */
int close(int fd)
{
	struct stat st;
	bool file = syscall(SYS_fstat, fd, &st) == 0 &&
		(S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)) && fcntl(fd, F_GET_SEALS) < 0;
	int r;

	if (file && atomic_load(&stuck)) {
		sem_post(&begun);
		while (sem_wait(&go_on) < 0)
			;
	}
	r = (int)syscall(SYS_close, fd);
	if (file)
		sem_post(&closed);
	return r;
}

static void warn(void)
{
	warned++;
}

static void setup(void)
{
	ck_assert(!sem_init(&begun, 0, 0) && !sem_init(&go_on, 0, 0) && !sem_init(&closed, 0, 0));
	foreign_set_warn(warn);
}

/* Or a socket, in which others may wait that linger. */
static int file(bool is_socket)
{
	char path[] = "/tmp/foreign-XXXXXX";
	int fd = is_socket ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
			   : mkostemp(path, O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	return fd;
}

static void wait_for(sem_t *s, unsigned n)
{
	while (n)
		n -= sem_wait(s) == 0;
}

START_TEST(what_cannot_wait_is_closed_at_once)
{
	int p[2], m = fd_memfd("test");

	ck_assert(!pipe2(p, O_CLOEXEC));
	errno = ERANGE;
	ck_assert_int_eq(foreign_close(p[0]), -1);
	foreign_close(p[1]);
	foreign_close(m);
	foreign_close(-1);
	ck_assert_int_eq(errno, ERANGE);
	ck_assert(fcntl(p[0], F_GETFD) < 0 && fcntl(p[1], F_GETFD) < 0);
	ck_assert(fcntl(m, F_GETFD) < 0);
}
END_TEST

START_TEST(a_file_is_closed_by_somebody_else)
{
	for (int i = 0; i < 1000; i++) {
		int fd = file(_i);

		foreign_close(fd);
		wait_for(&closed, 1);
	}
	ck_assert_uint_eq(warned, 0);
}
END_TEST

START_TEST(who_is_hung_up_on_sees_it_at_once)
{
	int s[2];
	char c;

	ck_assert(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	atomic_store(&stuck, true);
	ck_assert_int_eq(foreign_hang_up(s[0]), -1);
	ck_assert_int_eq(recv(s[1], &c, 1, MSG_DONTWAIT), 0);
	atomic_store(&stuck, false);
	sem_post(&go_on);
	wait_for(&closed, 1);
	close(s[1]);
}
END_TEST

START_TEST(files_that_do_not_answer_hold_nobody)
{
	int fds[THREADS + QUEUE + MORE];

	for (unsigned i = 0; i < THREADS + QUEUE + MORE; i++)
		fds[i] = file(_i);
	atomic_store(&stuck, true);
	/* Each that hangs has a thread of its own, up to a number. */
	for (unsigned i = 0; i < THREADS; i++) {
		foreign_close(fds[i]);
		wait_for(&begun, 1);
	}
	for (unsigned i = THREADS; i < THREADS + QUEUE; i++)
		foreign_close(fds[i]);
	ck_assert_uint_eq(warned, 0);
	for (unsigned i = THREADS + QUEUE; i < THREADS + QUEUE + MORE; i++)
		foreign_close(fds[i]);
	ck_assert_uint_eq(warned, MORE);

	/* They answer: all but those left open are closed, and the next one is as well. */
	atomic_store(&stuck, false);
	for (unsigned i = 0; i < THREADS; i++)
		sem_post(&go_on);
	wait_for(&closed, THREADS + QUEUE);
	for (unsigned i = 0; i < THREADS + QUEUE; i++)
		ck_assert_int_lt(fcntl(fds[i], F_GETFD), 0);
	for (unsigned i = THREADS + QUEUE; i < THREADS + QUEUE + MORE; i++) {
		ck_assert_int_ge(fcntl(fds[i], F_GETFD), 0);
		foreign_close(fds[i]);
	}
	wait_for(&closed, MORE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("foreign");
	TCase *t = tcase_create("foreign");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, what_cannot_wait_is_closed_at_once);
	tcase_add_loop_test(t, a_file_is_closed_by_somebody_else, 0, 2);
	tcase_add_test(t, who_is_hung_up_on_sees_it_at_once);
	tcase_add_loop_test(t, files_that_do_not_answer_hold_nobody, 0, 2);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
