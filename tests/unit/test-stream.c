/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net.h"
#include "tests/unit/net-harness.h"

/* Not a multiple of anything. */
#define BULK (8 * 1024 * 1024 + 4711)

/* Every test runs plain (0) and over TLS (1). */
static struct event_base *base;
static struct outcome a, b;

static void setup(int with_tls)
{
	struct tls_creds *creds = NULL;

	base = event_base_new();
	if (with_tls)
		creds = make_creds("creds", NULL);
	connect_pair(base, creds, creds, "localhost", &a, &b);
	ck_assert_msg(a.stream && b.stream, "%s %s", a.err.text, b.err.text);
	ck_assert_int_eq(stream_is_tls(a.stream), with_tls);
	tls_creds_unref(creds);
}

static void teardown(void)
{
	outcome_clear(&a);
	outcome_clear(&b);
	event_base_free(base);
	scratch_remove();
}

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

static void *send_bulk(void *arg)
{
	struct stream *s = arg;
	unsigned char *buf = malloc(BULK);
	intptr_t r;

	for (size_t i = 0; i < BULK; i++)
		buf[i] = pattern(i);
	r = stream_write_full(s, buf, BULK, HARNESS_TIMEOUT_MS);
	free(buf);
	return (void *)r;
}

static void wait_readable(struct stream *s)
{
	struct pollfd p = {.fd = stream_fd(s), .events = POLLIN};

	ck_assert_int_eq(poll(&p, 1, HARNESS_TIMEOUT_MS), 1);
}

START_TEST(stream_carries_every_byte_in_order_between_threads)
{
	unsigned char *buf = malloc(BULK);
	pthread_t thread;
	void *r;

	setup(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_bulk, a.stream), 0);
	ck_assert_int_eq(stream_read_full(b.stream, buf, BULK, HARNESS_TIMEOUT_MS), 0);
	pthread_join(thread, &r);
	ck_assert_ptr_null(r);
	/* Check notes every assertion in a file: eight million of them take minutes. */
	for (size_t i = 0; i < BULK; i++)
		if (buf[i] != pattern(i))
			ck_abort_msg("byte %zu differs", i);
	free(buf);
	teardown();
}
END_TEST

START_TEST(stream_without_data_says_what_to_wait_for)
{
	char c;

	setup(_i);
	ck_assert_int_eq(stream_read(a.stream, &c, 1), -EAGAIN);
	ck_assert_int_eq(stream_want(a.stream), STREAM_WANT_READ);
	ck_assert_uint_eq(stream_pending(a.stream), 0);
	ck_assert_int_eq(stream_read_full(a.stream, &c, 1, 1), -ETIMEDOUT);
	ck_assert_msg(strstr(stream_error(a.stream), "silent"), "%s", stream_error(a.stream));
	teardown();
}
END_TEST

START_TEST(stream_whose_peer_does_not_read_wants_to_write)
{
	static const char zeros[65536];
	ssize_t n;

	setup(_i);
	do
		n = stream_write(a.stream, zeros, sizeof(zeros));
	while (n > 0);
	ck_assert_int_eq(n, -EAGAIN);
	ck_assert_int_eq(stream_want(a.stream), STREAM_WANT_WRITE);
	ck_assert_int_eq(stream_write_full(a.stream, zeros, sizeof(zeros), 1), -ETIMEDOUT);
	teardown();
}
END_TEST

START_TEST(stream_shows_what_is_decrypted_and_what_is_read_ahead)
{
	char buf[8] = "";

	setup(_i);
	/* Two records that one recv() brings. */
	ck_assert_int_eq(stream_write(a.stream, "abc", 3), 3);
	ck_assert_int_eq(stream_write(a.stream, "def", 3), 3);
	wait_readable(b.stream);
	ck_assert_int_eq(stream_read(b.stream, buf, 1), 1);
	ck_assert(_i == 0 || stream_pending(b.stream) == 2);
	ck_assert_int_eq(stream_read_full(b.stream, buf + 1, 2, HARNESS_TIMEOUT_MS), 0);
	ck_assert(_i == 0 || stream_pending(b.stream) == 1);
	ck_assert_int_eq(stream_read_full(b.stream, buf + 3, 3, HARNESS_TIMEOUT_MS), 0);
	ck_assert_str_eq(buf, "abcdef");
	ck_assert_int_eq(stream_read(b.stream, buf, 1), -EAGAIN);
	ck_assert_uint_eq(stream_pending(b.stream), 0);
	teardown();
}
END_TEST

START_TEST(stream_that_ends_in_order_reads_zero_after_the_last_byte)
{
	char buf[4] = "";

	setup(_i);
	ck_assert_int_eq(stream_write(a.stream, "end", 3), 3);
	a.stream = stream_free(a.stream);
	ck_assert_int_eq(stream_read_full(b.stream, buf, 3, HARNESS_TIMEOUT_MS), 0);
	ck_assert_str_eq(buf, "end");
	wait_readable(b.stream);
	ck_assert_int_eq(stream_read(b.stream, buf, 1), 0);
	ck_assert_int_eq(stream_read(b.stream, buf, 1), 0);
	ck_assert_int_eq(stream_read_full(b.stream, buf, 1, HARNESS_TIMEOUT_MS), -EPIPE);
	teardown();
}
END_TEST

START_TEST(stream_to_a_peer_that_is_gone_fails_without_sigpipe)
{
	ssize_t n;

	setup(_i);
	signal(SIGPIPE, SIG_DFL);
	b.stream = stream_free(b.stream);
	do
		n = stream_write(a.stream, "x", 1);
	while (n > 0);
	ck_assert(n == -EPIPE || n == -ECONNRESET);
	ck_assert_str_ne(stream_error(a.stream), "");
	teardown();
}
END_TEST

static void *read_one(void *arg)
{
	char c;

	return (void *)(intptr_t)stream_read_full(arg, &c, 1, HARNESS_TIMEOUT_MS);
}

START_TEST(stream_shutdown_wakes_its_owner_in_another_thread)
{
	pthread_t thread;
	void *r;

	setup(_i);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_one, a.stream), 0);
	stream_shutdown(a.stream);
	pthread_join(thread, &r);
	ck_assert_int_eq((intptr_t)r, -ECANCELED);
	ck_assert_int_eq(stream_write(a.stream, "x", 1), -ECANCELED);
	ck_assert_msg(strstr(stream_error(a.stream), "ended here"), "%s", stream_error(a.stream));
	teardown();
}
END_TEST

/*
 * protocol.md 3: "An end of the stream without close_notify is an error, not an orderly end."
 */
START_TEST(stream_that_loses_tls_without_goodbye_is_reset)
{
	char c;

	setup(1);
	shutdown(stream_fd(a.stream), SHUT_RDWR);
	wait_readable(b.stream);
	ck_assert_int_eq(stream_read(b.stream, &c, 1), -ECONNRESET);
	ck_assert_msg(strstr(stream_error(b.stream), "without a TLS goodbye"), "%s",
		stream_error(b.stream));
	ck_assert_int_lt(stream_read(b.stream, &c, 1), 0);
	ck_assert_int_lt(stream_write(b.stream, &c, 1), 0);
	teardown();
}
END_TEST

START_TEST(stream_that_gets_garbage_in_tls_fails)
{
	static const char garbage[64] = "this is no TLS record at all";
	char c;

	setup(1);
	ck_assert_int_eq(
		send(stream_fd(a.stream), garbage, sizeof(garbage), MSG_NOSIGNAL), sizeof(garbage));
	wait_readable(b.stream);
	ck_assert_int_eq(stream_read(b.stream, &c, 1), -EPROTO);
	ck_assert_str_ne(stream_error(b.stream), "");
	teardown();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("stream");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, stream_carries_every_byte_in_order_between_threads, 0, 2);
	tcase_add_loop_test(t, stream_without_data_says_what_to_wait_for, 0, 2);
	tcase_add_loop_test(t, stream_whose_peer_does_not_read_wants_to_write, 0, 2);
	tcase_add_loop_test(t, stream_shows_what_is_decrypted_and_what_is_read_ahead, 0, 2);
	tcase_add_loop_test(t, stream_that_ends_in_order_reads_zero_after_the_last_byte, 0, 2);
	tcase_add_loop_test(t, stream_to_a_peer_that_is_gone_fails_without_sigpipe, 0, 2);
	tcase_add_loop_test(t, stream_shutdown_wakes_its_owner_in_another_thread, 0, 2);
	tcase_add_test(t, stream_that_loses_tls_without_goodbye_is_reset);
	tcase_add_test(t, stream_that_gets_garbage_in_tls_fails);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
