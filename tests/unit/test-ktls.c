/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS where the kernel may encrypt (kTLS), and the same with it switched off. Where the kernel
 * cannot, both are the same; HTAB_EXPECT_KTLS in the environment says that it has to.
 */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/net.h"
#include "common/tls.h"
#include "tests/unit/net-harness.h"

#define LENGTH ((size_t)8 << 20)

static struct event_base *base;
static struct outcome dialled, accepted;
static struct listener *listener;
static struct tls_creds *creds;
static uint8_t *sent, *received;

static void setup(void)
{
	base = event_base_new();
	creds = make_creds("creds", NULL);
	sent = malloc(LENGTH);
	received = calloc(1, LENGTH);
	ck_assert(sent && received);
	for (size_t i = 0; i < LENGTH; i++)
		sent[i] = (uint8_t)(i * 2654435761u >> 13);
}

static void teardown(void)
{
	outcome_clear(&dialled);
	outcome_clear(&accepted);
	listener = listener_free(listener);
	tls_creds_unref(creds);
	event_base_free(base);
	free(sent);
	free(received);
	scratch_remove();
}

static bool expected(bool ktls)
{
	return ktls && getenv("HTAB_EXPECT_KTLS");
}

/* A TCP connection: kTLS knows no other kind. */
static void connect_tcp(struct tls_creds *client, bool ktls)
{
	struct err err = {0};
	struct dial *d;
	struct uri u;

	tls_creds_set_ktls(client, ktls);
	tls_creds_set_ktls(creds, ktls);
	ck_assert_int_eq(uri_parse("tcp:127.0.0.1:0", &u, &err), 0);
	ck_assert_int_eq(listener_start(base, &u, creds, 8, HARNESS_TIMEOUT_MS, outcome_cb,
				 &accepted, &listener, &err),
		0);
	ck_assert_int_eq(uri_parse(listener_uri(listener), &u, &err), 0);
	ck_assert_int_eq(dial_start(base, &u, client, NULL, HARNESS_TIMEOUT_MS, outcome_cb,
				 &dialled, &d, &err),
		0);
	loop_until(base, &dialled.count, 1);
	loop_until(base, &accepted.count, 1);
	if (!dialled.stream || !accepted.stream)
		return;
	ck_assert(stream_is_ktls(dialled.stream) == stream_is_ktls(accepted.stream));
	if (!ktls)
		ck_assert(!stream_is_ktls(dialled.stream));
	if (expected(ktls))
		ck_assert(stream_is_ktls(dialled.stream));
}

static void wait_for_both(struct stream *from, struct stream *to)
{
	struct pollfd p[2] = {{stream_fd(from), POLLOUT, 0}, {stream_fd(to), POLLIN, 0}};

	ck_assert_int_gt(poll(p, 2, HARNESS_TIMEOUT_MS), 0);
}

/* All of sent, in writes of step bytes, read as it comes. */
static void transfer(struct stream *from, struct stream *to, size_t step)
{
	size_t out = 0, in = 0;
	ssize_t w, r;

	memset(received, 0, LENGTH);
	while (in < LENGTH) {
		size_t n = LENGTH - out < step ? LENGTH - out : step;

		w = n ? stream_write(from, sent + out, n) : -EAGAIN;
		ck_assert_msg(w > 0 || w == -EAGAIN, "%zd %s", w, stream_error(from));
		out += w > 0 ? (size_t)w : 0;
		r = stream_read(to, received + in, LENGTH - in);
		ck_assert_msg(r > 0 || r == -EAGAIN, "%zd %s", r, stream_error(to));
		in += r > 0 ? (size_t)r : 0;
		if (w == -EAGAIN && r == -EAGAIN)
			wait_for_both(from, to);
	}
	ck_assert_mem_eq(sent, received, LENGTH);
}

START_TEST(ktls_carries_everything_both_ways)
{
	static const size_t steps[] = {264 * 1024, 16384, 1000, LENGTH};

	connect_tcp(creds, _i);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		transfer(dialled.stream, accepted.stream, steps[i]);
		transfer(accepted.stream, dialled.stream, steps[i]);
	}
}
END_TEST

START_TEST(ktls_ends_in_an_orderly_way)
{
	char buf[8];

	connect_tcp(creds, _i);
	ck_assert_int_eq(stream_write_full(dialled.stream, "last", 4, HARNESS_TIMEOUT_MS), 0);
	dialled.stream = stream_free(dialled.stream);
	ck_assert_int_eq(stream_read_full(accepted.stream, buf, 4, HARNESS_TIMEOUT_MS), 0);
	ck_assert_int_eq(stream_read_full(accepted.stream, buf, 1, HARNESS_TIMEOUT_MS), -EPIPE);
}
END_TEST

START_TEST(ktls_without_a_goodbye_is_an_error)
{
	char c;

	connect_tcp(creds, _i);
	ck_assert_int_eq(stream_write_full(dialled.stream, "last", 4, HARNESS_TIMEOUT_MS), 0);
	ck_assert_int_eq(shutdown(stream_fd(dialled.stream), SHUT_WR), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(stream_read_full(accepted.stream, &c, 1, HARNESS_TIMEOUT_MS), 0);
	ck_assert_int_eq(stream_read_full(accepted.stream, &c, 1, HARNESS_TIMEOUT_MS), -ECONNRESET);
	ck_assert_ptr_nonnull(strstr(stream_error(accepted.stream), "without a TLS goodbye"));
}
END_TEST

/* A peer that reads nothing, then: the write waits, shutdown from elsewhere ends it. */
START_TEST(ktls_can_be_cancelled_while_the_peer_takes_nothing)
{
	ssize_t n;

	connect_tcp(creds, _i);
	do
		n = stream_write(dialled.stream, sent, LENGTH);
	while (n > 0);
	ck_assert_int_eq(n, -EAGAIN);
	ck_assert_int_eq(stream_want(dialled.stream), STREAM_WANT_WRITE);
	stream_shutdown(dialled.stream);
	ck_assert_int_eq(stream_write(dialled.stream, sent, LENGTH), -ECANCELED);
}
END_TEST

/* The peer is gone: an error, no signal, neither by data nor by what OpenSSL says at the end. */
START_TEST(ktls_raises_no_sigpipe)
{
	ssize_t n;

	signal(SIGPIPE, SIG_DFL);
	connect_tcp(creds, _i);
	stream_shutdown(accepted.stream);
	accepted.stream = stream_free(accepted.stream);
	do
		n = stream_write(dialled.stream, sent, 100);
	while (n > 0);
	ck_assert_msg(n == -EPIPE || n == -ECONNRESET, "%zd", n);
	outcome_clear(&dialled);
}
END_TEST

START_TEST(ktls_goodbye_to_a_peer_that_is_gone_raises_no_sigpipe)
{
	struct pollfd p;
	sigset_t pending;

	signal(SIGPIPE, SIG_DFL);
	connect_tcp(creds, _i);
	ck_assert_int_eq(shutdown(stream_fd(dialled.stream), SHUT_WR), 0);
	p = (struct pollfd){stream_fd(accepted.stream), POLLIN, 0};
	ck_assert_int_eq(poll(&p, 1, HARNESS_TIMEOUT_MS), 1);
	outcome_clear(&dialled); /* its close_notify cannot be sent any more */
	sigpending(&pending);
	ck_assert(!sigismember(&pending, SIGPIPE));
}
END_TEST

/* A client whose certificate the server refuses believes itself connected; its write fails. */
START_TEST(ktls_client_learns_why_its_write_fails)
{
	struct tls_creds *other = make_creds("other", NULL);
	char dir[PATH_MAX];
	ssize_t n;

	tls_creds_unref(other);
	scratch_append("creds/ca-cert.pem", "other/ca-cert.pem");
	ck_assert_int_eq(tls_creds_load(scratch_path("other", dir, sizeof(dir)), &other, NULL), 0);
	connect_tcp(other, _i);
	ck_assert(dialled.stream && !accepted.stream);
	ck_assert(!expected(_i) || stream_is_ktls(dialled.stream));
	do
		n = stream_write(dialled.stream, sent, 100);
	while (n > 0);
	ck_assert_int_lt(n, 0);
	ck_assert_ptr_nonnull(strstr(stream_error(dialled.stream), "does not know the CA"));
	tls_creds_unref(other);
}
END_TEST

/* -- The end of a key -- */

static unsigned key_updates;

static void count_key_updates(
	int writing, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
	const uint8_t *message = buf;

	if (writing && type == SSL3_RT_HANDSHAKE && len && message[0] == SSL3_MT_KEY_UPDATE)
		key_updates++;
}

/*
 * protocol.md 3: "Who has sent 2^24 records with one key renews it (KeyUpdate, no update
 * requested), or ends the connection"
 */
START_TEST(ktls_key_is_renewed_or_the_connection_ends)
{
	char buf[64];
	unsigned n = 0;
	int r = 0;

	key_updates = 0;
	tls_creds_set_key_records(creds, 10);
	SSL_CTX_set_msg_callback(tls_creds_ctx(creds, false, NULL), count_key_updates);
	connect_tcp(creds, _i);
	while (n < 95 && r == 0) {
		r = stream_write_full(dialled.stream, "0123456789", 10, HARNESS_TIMEOUT_MS);
		if (r < 0)
			break;
		n++;
		ck_assert_int_eq(stream_read_full(accepted.stream, buf, 10, HARNESS_TIMEOUT_MS), 0);
		ck_assert_mem_eq(buf, "0123456789", 10);
	}
	if (stream_is_ktls(dialled.stream)) {
		ck_assert_int_eq(r, -EKEYEXPIRED);
		ck_assert_uint_eq(n, 10);
		ck_assert_uint_eq(key_updates, 0);
		ck_assert_ptr_nonnull(strstr(stream_error(dialled.stream), "set 'ktls' to false"));
	} else {
		ck_assert_int_eq(r, 0);
		ck_assert_uint_eq(key_updates, 9);
	}
}
END_TEST

/* Renewed all the time, also while the socket takes nothing. */
START_TEST(ktls_many_keys)
{
	connect_tcp(creds, false);
	tls_creds_set_key_records(creds, 3);
	transfer(dialled.stream, accepted.stream, 264 * 1024);
	transfer(accepted.stream, dialled.stream, 16384);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ktls");
	TCase *t = tcase_create("ktls");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, ktls_carries_everything_both_ways, 0, 2);
	tcase_add_loop_test(t, ktls_ends_in_an_orderly_way, 0, 2);
	tcase_add_loop_test(t, ktls_without_a_goodbye_is_an_error, 0, 2);
	tcase_add_loop_test(t, ktls_can_be_cancelled_while_the_peer_takes_nothing, 0, 2);
	tcase_add_loop_test(t, ktls_raises_no_sigpipe, 0, 2);
	tcase_add_loop_test(t, ktls_goodbye_to_a_peer_that_is_gone_raises_no_sigpipe, 0, 2);
	tcase_add_loop_test(t, ktls_client_learns_why_its_write_fails, 0, 2);
	tcase_add_loop_test(t, ktls_key_is_renewed_or_the_connection_ends, 0, 2);
	tcase_add_test(t, ktls_many_keys);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
