/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/net.h"
#include "daemon/net/peer.h"
#include "tests/unit/net-harness.h"

#define FRAMES_MAX 64

/* What the peer's owner does inside a callback. */
enum doing {
	KEEP,
	FREE,
	FINISH,
	REFUSE,
	TAKE,
};

static struct event_base *base;
static struct peer *peer;
static struct stream *taken;
static int far = -1; /* the other end, a blocking socket */
static unsigned frames, closed, drained;
static enum doing on_frame, on_drained;
static struct err why;
static struct {
	enum wire_type type;
	size_t len;
	uint8_t first;
} got[FRAMES_MAX];

static int act(enum doing what, struct peer *p)
{
	switch (what) {
	case KEEP: break;
	case FREE: peer = peer_free(p); break;
	case FINISH:
		peer_send_refuse(p, WIRE_REFUSE, WIRE_REFUSE_BUSY, "farewell");
		peer_finish(p);
		peer = NULL;
		break;
	case REFUSE: return -EBADMSG;
	case TAKE:
		taken = peer_take_stream(p);
		ck_assert(taken);
		peer = NULL;
		break;
	}
	return 0;
}

static int frame_cb(void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	ck_assert_ptr_eq(arg, &far);
	ck_assert_uint_lt(frames, FRAMES_MAX);
	got[frames].type = type;
	got[frames].len = len;
	got[frames].first = len ? body[0] : 0;
	frames++;
	return act(on_frame, p);
}

static void closed_cb(void *arg, struct peer *p, const struct err *err)
{
	closed++;
	why = *err;
	peer = peer_free(p);
}

static void drained_cb(void *arg, struct peer *p)
{
	drained++;
	act(on_drained, p);
}

static const struct peer_ops ops = {
	.frame = frame_cb,
	.closed = closed_cb,
	.drained = drained_cb,
};

static void make(void)
{
	struct stream *s;
	int sv[2];

	frames = closed = drained = 0;
	on_frame = on_drained = KEEP;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	ck_assert_int_eq(stream_new(sv[0], "the test", &s), 0);
	ck_assert_int_eq(peer_new(base, s, &ops, &far, &peer), 0);
	far = sv[1];
}

static void unmake(void)
{
	peer = peer_free(peer);
	taken = stream_free(taken);
	far = fd_close(far);
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	make();
}

static void teardown(void)
{
	unmake();
	event_base_free(base);
}

/* Whatever can be done now. */
static void turn(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void feed(const void *buf, size_t len)
{
	ck_assert_int_eq(send(far, buf, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void feed_header(uint32_t len, uint16_t type, uint16_t flags)
{
	uint8_t h[WIRE_HDR_SIZE];

	be32_put(h, len);
	be16_put(h + 4, type);
	be16_put(h + 6, flags);
	feed(h, sizeof(h));
}

/* Bytes that are at the far end: all of n, without waiting. */
static void far_read(void *buf, size_t n)
{
	ck_assert_int_eq(recv(far, buf, n, MSG_DONTWAIT | MSG_WAITALL), (ssize_t)n);
}

static size_t far_frame(enum wire_type type, uint8_t *body)
{
	uint8_t h[WIRE_HDR_SIZE];
	enum wire_type t;
	size_t len;

	far_read(h, sizeof(h));
	ck_assert_int_eq(wire_unpack_header(h, &t, &len), 0);
	ck_assert_int_eq(t, type);
	if (len)
		far_read(body, len);
	return len;
}

static void far_refused(enum wire_refusal code)
{
	uint8_t body[WIRE_CONTROL_MAX];
	struct wire_refuse m;
	size_t len = far_frame(WIRE_REFUSE, body);

	ck_assert_int_eq(wire_unpack_refuse(body, len, &m), 0);
	ck_assert_int_eq(m.code, code);
	ck_assert_int_gt(strlen(m.text), 0);
}

static void far_ended(void)
{
	char c;

	ck_assert_int_eq(recv(far, &c, 1, MSG_DONTWAIT), 0);
}

static void far_silent(void)
{
	char c;

	ck_assert_int_eq(recv(far, &c, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

/* Four frames of different sizes, one of them empty. */
static size_t four_frames(uint8_t *buf, size_t cap)
{
	const struct wire_session s = {.session = {{1, 2, 3}}};
	uint8_t *p = buf;

	p += wire_pack_session(WIRE_READY, &s, p, cap);
	p += wire_pack_empty(WIRE_JOINED, p, cap);
	wire_pack_header(p, WIRE_STATE, 300);
	memset(p + WIRE_HDR_SIZE, 0x5a, 300);
	p += WIRE_HDR_SIZE + 300;
	p += wire_pack_session(WIRE_CLOSED, &s, p, cap);
	return (size_t)(p - buf);
}

static void check_four(void)
{
	static const enum wire_type types[] = {WIRE_READY, WIRE_JOINED, WIRE_STATE, WIRE_CLOSED};
	static const size_t lens[] = {32, 0, 300, 32};

	ck_assert_uint_eq(frames, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(got[i].type, types[i]);
		ck_assert_uint_eq(got[i].len, lens[i]);
	}
	ck_assert_uint_eq(got[0].first, 1);
	ck_assert_uint_eq(got[2].first, 0x5a);
	ck_assert_uint_eq(closed, 0);
}

START_TEST(test_split)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	for (size_t cut = 0; cut <= len; cut++) {
		unmake();
		make();
		if (cut)
			feed(buf, cut);
		turn();
		if (cut < len)
			feed(buf + cut, len - cut);
		loop_until(base, &frames, 4);
		check_four();
	}
}
END_TEST

START_TEST(test_bytes)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	for (size_t i = 0; i < len; i++) {
		feed(buf + i, 1);
		turn();
	}
	check_four();
}
END_TEST

/* More than one turn takes, in one piece. */
START_TEST(test_many)
{
	uint8_t buf[FRAMES_MAX * WIRE_HDR_SIZE], *p = buf;

	for (int i = 0; i < FRAMES_MAX; i++)
		p += wire_pack_empty(WIRE_JOINED, p, WIRE_HDR_SIZE);
	feed(buf, sizeof(buf));
	loop_until(base, &frames, FRAMES_MAX);
	ck_assert_uint_eq(closed, 0);
}
END_TEST

static const struct {
	uint32_t len;
	uint16_t type, flags;
} bad_headers[] = {
	{WIRE_CONTROL_MAX + 1, WIRE_OPEN, 0},
	{WIRE_STATE_MAX + 1, WIRE_STATE, 0},
	{WIRE_CHUNK_MAX + 1, WIRE_CHUNK, 0},
	{UINT32_MAX, WIRE_CHUNK, 0},
	{0, 0, 0},
	{0, WIRE_GENERATION + 1, 0},
	{0, UINT16_MAX, 0},
	{0, WIRE_JOINED, 1},
};

START_TEST(test_bad_header)
{
	feed_header(bad_headers[_i].len, bad_headers[_i].type, bad_headers[_i].flags);
	loop_until(base, &closed, 1);
	ck_assert_uint_eq(frames, 0);
	ck_assert_int_eq(why.code, -EBADMSG);
	ck_assert_ptr_null(peer);
	far_refused(WIRE_REFUSE_PROTOCOL);
	far_ended();
}
END_TEST

/* The largest that each type may be passes. */
START_TEST(test_largest)
{
	uint8_t *body = calloc(1, WIRE_CHUNK_MAX);

	wire_pack_header(body, WIRE_CHUNK, WIRE_CHUNK_MAX);
	feed(body, WIRE_HDR_SIZE);
	for (size_t left = WIRE_CHUNK_MAX; left > 0;) {
		ssize_t n = send(far, body, left, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			left -= (size_t)n;
		turn();
	}
	loop_until(base, &frames, 1);
	ck_assert_uint_eq(got[0].len, WIRE_CHUNK_MAX);
	free(body);
}
END_TEST

/* TLS records of one byte cost more to read than to send: the loop is not one peer's for them. */
START_TEST(test_turns)
{
	enum { BODY = 200, READS = 64 };
	struct tls_creds *creds = make_creds("creds", NULL);
	struct outcome client = {0}, server = {0};
	uint8_t frame[WIRE_HDR_SIZE + BODY] = {0, 0, 0, BODY, 0, WIRE_STATE};
	unsigned turns = 0;

	unmake();
	frames = closed = 0;
	connect_pair(base, creds, creds, NULL, &client, &server);
	ck_assert(client.stream && server.stream);
	ck_assert_int_eq(peer_new(base, server.stream, &ops, &far, &peer), 0);
	server.stream = NULL;
	for (size_t i = 0; i < sizeof(frame); i++)
		ck_assert_int_eq(
			stream_write_full(client.stream, &frame[i], 1, HARNESS_TIMEOUT_MS), 0);
	for (; frames == 0; turns++)
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	ck_assert_uint_ge(turns, sizeof(frame) / READS);
	ck_assert_uint_eq(got[0].len, BODY);
	peer = peer_free(peer);
	outcome_clear(&client);
	tls_creds_unref(creds);
	scratch_remove();
}
END_TEST

START_TEST(test_owner_refuses)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	on_frame = REFUSE;
	feed(buf, len);
	loop_until(base, &closed, 1);
	ck_assert_uint_eq(frames, 1);
	ck_assert_int_eq(why.code, -EBADMSG);
	far_refused(WIRE_REFUSE_PROTOCOL);
	far_ended();
}
END_TEST

START_TEST(test_free_in_frame)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	on_frame = FREE;
	feed(buf, len);
	loop_until(base, &frames, 1);
	turn();
	ck_assert_uint_eq(frames, 1);
	ck_assert_uint_eq(closed, 0);
	far_ended();
}
END_TEST

START_TEST(test_finish_in_frame)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	on_frame = FINISH;
	feed(buf, len);
	loop_until(base, &frames, 1);
	turn();
	ck_assert_uint_eq(frames, 1);
	ck_assert_uint_eq(closed, 0);
	far_refused(WIRE_REFUSE_BUSY);
	far_ended();
}
END_TEST

START_TEST(test_free_in_drained)
{
	on_drained = FREE;
	peer_send_hello(peer, WIRE_ROLE_CONTROL, "a");
	loop_until(base, &drained, 1);
	turn();
	ck_assert_uint_eq(drained, 1);
	ck_assert_uint_eq(closed, 0);
}
END_TEST

/* Readable and writable in one turn: whoever comes first may free the peer. */
START_TEST(test_free_in_drained_readable)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	on_drained = FREE;
	on_frame = FREE;
	feed(buf, len);
	peer_send_hello(peer, WIRE_ROLE_CONTROL, "a");
	turn();
	ck_assert_uint_eq(drained + frames, 1);
	ck_assert_ptr_null(peer);
}
END_TEST

START_TEST(test_end)
{
	far = fd_close(far);
	loop_until(base, &closed, 1);
	ck_assert_int_eq(why.code, -ECONNRESET);
	ck_assert_ptr_nonnull(strstr(why.text, "was closed"));
}
END_TEST

START_TEST(test_cut)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	feed(buf, len - 1);
	shutdown(far, SHUT_WR);
	loop_until(base, &closed, 1);
	ck_assert_uint_eq(frames, 3);
	ck_assert_int_eq(why.code, -ECONNRESET);
	ck_assert_ptr_nonnull(strstr(why.text, "cut in the middle"));
}
END_TEST

static void overflow(void)
{
	static uint8_t frame[WIRE_HDR_SIZE + WIRE_STATE_MAX];

	wire_pack_header(frame, WIRE_STATE, WIRE_STATE_MAX);
	for (size_t sent = 0; sent <= 3 * PEER_QUEUE_MAX; sent += sizeof(frame))
		peer_send(peer, frame, sizeof(frame));
}

START_TEST(test_overflow)
{
	overflow();
	ck_assert_uint_eq(closed, 0); /* told from the loop, not from inside peer_send() */
	peer_send_hello(peer, WIRE_ROLE_CONTROL, "more of it is harmless");
	loop_until(base, &closed, 1);
	turn();
	ck_assert_uint_eq(closed, 1);
	ck_assert_int_eq(why.code, -ENOBUFS);
}
END_TEST

START_TEST(test_take)
{
	char buf[4];

	peer_pause(peer);
	feed("data", 4);
	turn();
	taken = peer_take_stream(peer);
	ck_assert(taken);
	peer = NULL;
	turn();
	ck_assert_int_eq(stream_read(taken, buf, 4), 4);
	ck_assert_mem_eq(buf, "data", 4);
	ck_assert_uint_eq(closed + frames, 0);
}
END_TEST

START_TEST(test_take_in_drained)
{
	uint8_t body[WIRE_CONTROL_MAX];

	on_drained = TAKE;
	peer_send_hello(peer, WIRE_ROLE_DATA, "a");
	loop_until(base, &drained, 1);
	far_frame(WIRE_HELLO, body);
	far_silent();
	ck_assert_int_eq(stream_write(taken, "data", 4), 4);
	far_read(body, 4);
	ck_assert_mem_eq(body, "data", 4);
}
END_TEST

START_TEST(test_take_queued)
{
	peer_send_hello(peer, WIRE_ROLE_DATA, "a");
	ck_assert_ptr_null(peer_take_stream(peer));
	loop_until(base, &drained, 1);
	taken = peer_take_stream(peer);
	ck_assert(taken);
	peer = NULL;
}
END_TEST

START_TEST(test_take_half_read)
{
	feed_header(8, WIRE_PONG, 0);
	turn();
	ck_assert_ptr_null(peer_take_stream(peer));
	feed("12345678", 8);
	turn();
	ck_assert_uint_eq(frames, 0); /* PONG is the peer's own */
	taken = peer_take_stream(peer);
	ck_assert(taken);
	peer = NULL;
}
END_TEST

START_TEST(test_take_overflow)
{
	overflow();
	ck_assert_ptr_null(peer_take_stream(peer));
	loop_until(base, &closed, 1);
}
END_TEST

START_TEST(test_pause)
{
	uint8_t buf[1024];
	size_t len = four_frames(buf, 256);

	peer_pause(peer);
	feed(buf, len);
	turn();
	ck_assert_uint_eq(frames, 0);
	peer_resume(peer);
	loop_until(base, &frames, 4);
	check_four();
}
END_TEST

/* protocol.md 12: "a peer MUST answer each with PONG" */
START_TEST(test_ping)
{
	uint8_t buf[64], body[WIRE_CONTROL_MAX];
	uint64_t v;

	feed(buf, (size_t)wire_pack_u64(WIRE_PING, 0x1122334455667788, buf, sizeof(buf)));
	loop_until(base, &drained, 1);
	ck_assert_int_eq(wire_unpack_u64(body, far_frame(WIRE_PONG, body), &v), 0);
	ck_assert_uint_eq(v, 0x1122334455667788);
	ck_assert_uint_eq(frames, 0);
}
END_TEST

START_TEST(test_bad_ping)
{
	feed_header(7, WIRE_PING, 0);
	feed("1234567", 7);
	loop_until(base, &closed, 1);
	ck_assert_int_eq(why.code, -EBADMSG);
	far_refused(WIRE_REFUSE_PROTOCOL);
}
END_TEST

START_TEST(test_rtt)
{
	uint8_t buf[64], body[WIRE_CONTROL_MAX];
	uint64_t v;

	ck_assert_uint_eq(peer_rtt(peer), 0);
	peer_keepalive(peer);
	loop_until(base, &drained, 1);
	ck_assert_int_eq(wire_unpack_u64(body, far_frame(WIRE_PING, body), &v), 0);
	feed(buf, (size_t)wire_pack_u64(WIRE_PONG, v, buf, sizeof(buf)));
	feed(buf, (size_t)wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
	loop_until(base, &frames, 1);
	ck_assert_uint_gt(peer_rtt(peer), 0);
}
END_TEST

/* A frame that is queued when the owner is done still arrives, however late the far end reads. */
START_TEST(test_finish_slow)
{
	static uint8_t frame[WIRE_HDR_SIZE + WIRE_STATE_MAX];
	size_t want = 8 * sizeof(frame), have = 0;
	static uint8_t sink[1 << 16];
	ssize_t n;

	wire_pack_header(frame, WIRE_STATE, WIRE_STATE_MAX);
	for (int i = 0; i < 8; i++)
		peer_send(peer, frame, sizeof(frame));
	peer_finish(peer);
	peer = NULL;
	for (;;) {
		struct pollfd p = {.fd = far, .events = POLLIN};

		event_base_loop(base, EVLOOP_NONBLOCK);
		ck_assert_int_eq(poll(&p, 1, HARNESS_TIMEOUT_MS), 1);
		n = recv(far, sink, sizeof(sink), MSG_DONTWAIT);
		ck_assert_int_ge(n, 0);
		if (n == 0)
			break;
		have += (size_t)n;
	}
	ck_assert_uint_eq(have, want);
	ck_assert_uint_eq(closed, 0);
}
END_TEST

/* The same pair by TCP, the far end with next to no room. */
static void make_tcp(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, small = 4096;
	socklen_t len = sizeof(a);
	struct stream *s;

	unmake();
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(far, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	ck_assert_int_eq(connect(far, (struct sockaddr *)&a, sizeof(a)), 0);
	fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	close(listener);
	ck_assert_int_eq(stream_new(fd, "the test", &s), 0);
	ck_assert_int_eq(peer_new(base, s, &ops, &far, &peer), 0);
}

/*
 * Our last words arrive although the far end goes on talking and reads late: a reset, which is what
 * a closed socket answers, would throw them away. Its own last word, or its end, is the end.
 */
START_TEST(test_linger)
{
	static uint8_t frame[WIRE_HDR_SIZE + WIRE_STATE_MAX], sink[1 << 14];
	const struct wire_refuse bye = {.code = WIRE_REFUSE_FAILED, .text = "bye"};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	size_t want = 2 * sizeof(frame), have = 0;
	ssize_t n;

	make_tcp();
	wire_pack_header(frame, WIRE_STATE, WIRE_STATE_MAX);
	for (int i = 0; i < 2; i++)
		peer_send(peer, frame, sizeof(frame));
	peer_linger(peer);
	peer = NULL;
	while (have < want) {
		struct pollfd p = {.fd = far, .events = POLLIN};

		turn();
		feed(buf, (size_t)wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
		turn();
		ck_assert_int_eq(poll(&p, 1, HARNESS_TIMEOUT_MS), 1);
		n = recv(far, sink, sizeof(sink), MSG_DONTWAIT);
		ck_assert_msg(n > 0, "%zd after %zu of %zu bytes: %m", n, have, want);
		have += (size_t)n;
	}
	if (_i == 0)
		feed(buf, (size_t)wire_pack_refuse(WIRE_ABORT, &bye, buf, sizeof(buf)));
	else
		shutdown(far, SHUT_WR);
	do
		turn();
	while ((n = recv(far, sink, sizeof(sink), MSG_DONTWAIT)) < 0 && errno == EAGAIN);
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(frames + closed, 0);
}
END_TEST

/* The loop may end before the far end does: what is still there then goes with it. */
START_TEST(test_end_all)
{
	struct pollfd p = {.fd = far, .events = POLLIN};
	char byte;

	peer_linger(peer);
	peer = NULL;
	turn();
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	peer_end_all();
	ck_assert_int_eq(recv(far, &byte, 1, MSG_DONTWAIT), 0);
	peer_end_all();
	ck_assert_uint_eq(frames + closed, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peer");
	TCase *t = tcase_create("peer");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_split);
	tcase_add_test(t, test_bytes);
	tcase_add_test(t, test_many);
	tcase_add_loop_test(t, test_bad_header, 0, sizeof(bad_headers) / sizeof(bad_headers[0]));
	tcase_add_test(t, test_largest);
	tcase_add_test(t, test_turns);
	tcase_add_test(t, test_owner_refuses);
	tcase_add_test(t, test_free_in_frame);
	tcase_add_test(t, test_finish_in_frame);
	tcase_add_test(t, test_free_in_drained);
	tcase_add_test(t, test_free_in_drained_readable);
	tcase_add_test(t, test_end);
	tcase_add_test(t, test_cut);
	tcase_add_test(t, test_overflow);
	tcase_add_test(t, test_take);
	tcase_add_test(t, test_take_in_drained);
	tcase_add_test(t, test_take_queued);
	tcase_add_test(t, test_take_half_read);
	tcase_add_test(t, test_take_overflow);
	tcase_add_test(t, test_pause);
	tcase_add_test(t, test_ping);
	tcase_add_test(t, test_bad_ping);
	tcase_add_test(t, test_rtt);
	tcase_add_test(t, test_finish_slow);
	tcase_add_loop_test(t, test_linger, 0, 2);
	tcase_add_test(t, test_end_all);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
