/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Of htab-bench: made tables are the same everywhere; numbers; what is kept of a long run; lines of
 * a peer.
 */
#include <check.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/net.h"
#include "common/number.h"
#include "proto/htab.h"
#include "proto/pack.h"
#include "tools/bench/hptgen.h"
#include "tools/bench/line.h"
#include "tools/bench/measure.h"

#define ORDER        20u
#define DIGEST_LINUX 0x4c990f465a799b26ull
#define DIGEST_USER  0x39a620f51cfadbb8ull

struct shares {
	uint64_t valid, bolted, secondary, misplaced;
};

/* Does an entry stand where its hash says? (Power ISA 3.0B, Book III 5.7.9, 4 KiB pages) */
static bool well_placed(uint64_t index, uint64_t v)
{
	uint64_t avpn = v >> 7 & ((1ull << 55) - 1), mask = htab_entries(ORDER) / 8 - 1, hash;
	/* The AVPN lacks the lowest 11 bits of the virtual page number: any of them will do. */
	for (uint64_t low = 0; low < 2048; low++) {
		uint64_t vpn = avpn << 11 | low;

		if (v >> 62 == 1)
			hash = vpn >> 28 ^ (vpn >> 28) << 25 ^ (vpn & 0xfffffff);
		else
			hash = vpn >> 16 ^ (vpn & 0xffff);
		if (v & HPTE_V_SECONDARY)
			hash = ~hash;
		if ((hash & mask) == index / 8)
			return true;
	}
	return false;
}

static struct shares look(const uint8_t *flat)
{
	struct shares s = {0};

	for (uint64_t i = 0; i < htab_entries(ORDER); i++) {
		uint64_t v = be64_get(flat + 16 * i);

		if (!(v & HPTE_V_VALID))
			continue;
		s.valid++;
		s.bolted += !!(v & HPTE_V_BOLTED);
		s.secondary += !!(v & HPTE_V_SECONDARY);
		s.misplaced += !well_placed(i, v);
	}
	return s;
}

START_TEST(made_tables)
{
	static const uint64_t digest[HPTGEN_KINDS] = {DIGEST_LINUX, DIGEST_USER};
	uint64_t valid, pages = htab_entries(ORDER) / 2;
	uint8_t *flat = hptgen_make((enum hptgen_kind)_i, ORDER, 1, &valid);
	struct shares s;

	ck_assert_ptr_nonnull(flat);
	s = look(flat);
	ck_assert_uint_eq(s.valid, valid);
	ck_assert_uint_eq(s.bolted, pages);
	ck_assert_uint_eq(s.misplaced, 0);
	if (_i == HPTGEN_USER) {
		ck_assert_uint_eq(s.valid, pages * 3 / 2);
		ck_assert_uint_gt(s.secondary, 0);
	}
	ck_assert_uint_eq(stream_digest(STREAM_DIGEST_INIT, flat, (size_t)1 << ORDER), digest[_i]);
	free(flat);
}
END_TEST

START_TEST(another_seed_is_another_table)
{
	uint8_t *a = hptgen_make(HPTGEN_USER, ORDER, 1, NULL);
	uint8_t *b = hptgen_make(HPTGEN_USER, ORDER, 2, NULL);

	ck_assert(a && b);
	ck_assert_uint_ne(
		stream_digest(0, a, (size_t)1 << ORDER), stream_digest(0, b, (size_t)1 << ORDER));
	free(a);
	free(b);
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		const char *text;
		unsigned step;
		uint64_t value;
	} good[] = {
		{"0", 1024, 0},
		{"10", 1024, 10},
		{"1k", 1024, 1024},
		{"1K", 1000, 1000},
		{"1.5M", 1024, 1536 << 10},
		{"2g", 1000, 2000000000},
		{"1T", 1024, 1ull << 40},
		{"9223372036854775807", 1024, INT64_MAX},
	};
	static const char *const bad[] = {"", "k", "1kk", "1x", "-1", "nan", "inf", "1e30", "1e3",
		"10000000000G", "1 k", " 1", "+1", "0x10", "18.9", "1.", ".5k", "1.k", "1,5k",
		"9223372036854775808", "18446744073709551617", "8388608T"};
	static const char *const not_whole[] = {"", " 1", "1 ", "+1", "-1", "18.9", "18.0", "0x12",
		"1e1", "18446744073709551616", "99999999999999999999999", "19x", "17", "33"};
	uint64_t v;
	double d;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(number_parse_scaled(good[i].text, good[i].step, INT64_MAX, &v), 0);
		ck_assert_uint_eq(v, good[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(number_parse_scaled(bad[i], 1024, INT64_MAX, &v) < 0, "%s", bad[i]);
	for (size_t i = 0; i < sizeof(not_whole) / sizeof(not_whole[0]); i++)
		ck_assert_msg(number_parse(not_whole[i], 18, 32, &v) < 0, "%s", not_whole[i]);
	ck_assert_int_eq(number_parse("0018", 18, 32, &v), 0);
	ck_assert_uint_eq(v, 18);
	ck_assert_int_eq(number_parse("18446744073709551615", 0, UINT64_MAX, &v), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
	ck_assert_int_eq(number_parse_decimal("0.25", &d), 0);
	ck_assert(d == 0.25);
	ck_assert_int_lt(number_parse_decimal("1k", &d), 0);
	ck_assert_int_lt(number_parse_decimal("inf", &d), 0);
	ck_assert_int_lt(number_parse_decimal("1e3", &d), 0);
	ck_assert_int_lt(number_parse_decimal(" 1", &d), 0);
}
END_TEST

/* However long it takes, memory is bounded, and the first and the last sample are near the ends. */
START_TEST(a_long_run)
{
	struct bench_count c = {0};
	struct bench_measure m;

	ck_assert_int_eq(bench_measure_init(&m), 0);
	bench_measure_start(&m);
	for (uint64_t i = 0; i < 10 * BENCH_POINTS_KEPT; i++) {
		c.plain = i;
		bench_measure_sample(&m, &c);
		bench_measure_pass(&m, &(struct bench_pass){.pass = (uint32_t)i + 1, .ns = i + 1});
	}
	ck_assert_uint_le(m.n_points, BENCH_POINTS_KEPT);
	ck_assert_uint_ge(m.n_points, BENCH_POINTS_KEPT / 2);
	ck_assert_uint_eq(m.point[0].plain, 0);
	for (size_t i = 1; i < m.n_points; i++)
		ck_assert_uint_gt(m.point[i].plain, m.point[i - 1].plain);
	ck_assert_uint_ge(m.point[m.n_points - 1].plain, c.plain - m.stride);
	ck_assert_uint_eq(m.n_passes, BENCH_PASSES_KEPT);
	ck_assert_uint_eq(m.passes, 10 * BENCH_POINTS_KEPT);
	ck_assert_uint_eq(m.pass_min, 1);
	ck_assert_uint_eq(m.pass_max, 10 * BENCH_POINTS_KEPT);
	bench_measure_fini(&m);
}
END_TEST

/* What a peer says of itself is judged. */
START_TEST(results_of_a_peer)
{
	struct bench_result r = {.seconds = 1.5, .plain = 7, .digest = "", .downtime = {1, 2, 3}};
	struct bench_result back;
	struct json_object *o;
	struct err err;

	memset(r.digest, 'a', BENCH_DIGEST_TEXT - 1);
	o = bench_result_to_json(&r);
	ck_assert_int_eq(bench_result_from_json(o, &back, &err), 0);
	ck_assert_uint_eq(back.plain, 7);
	ck_assert_str_eq(back.digest, r.digest);
	ck_assert_uint_eq(back.downtime.switchover, 3);
	json_object_object_add(o, "plain", json_object_new_int64(-1));
	ck_assert_int_lt(bench_result_from_json(o, &back, &err), 0);
	json_object_object_add(o, "plain", json_object_new_int64(1));
	json_object_object_add(o, "digest", json_object_new_string("short"));
	ck_assert_int_lt(bench_result_from_json(o, &back, &err), 0);
	json_object_object_del(o, "digest");
	ck_assert_int_lt(bench_result_from_json(o, &back, &err), 0);
	json_object_put(o);
}
END_TEST

struct heard {
	unsigned messages, closed;
	int last;
};

static void heard_message(void *arg, struct json_object *o)
{
	struct heard *h = arg;

	h->messages++;
	h->last = json_object_get_int(json_object_object_get(o, "n"));
}

static void heard_closed(void *arg, const struct err *err)
{
	struct heard *h = arg;

	h->closed++;
}

static const struct bench_line_ops heard_ops = {heard_message, heard_closed};

static struct bench_line *line_at(struct event_base *base, int fd, struct heard *h)
{
	struct bench_line *l;
	struct stream *s;

	ck_assert_int_eq(stream_new(fd, "the peer", &s), 0);
	ck_assert_int_eq(bench_line_new(base, s, BENCH_LINE_SMALL, &heard_ops, h, &l), 0);
	return l;
}

START_TEST(lines_come_whole_however_they_are_cut)
{
	static const char text[] = "\n{\"n\":1}\n\n\n{\"n\":2}\n{\"n\":3}\n";
	struct event_base *base = event_base_new();
	struct heard h = {0};
	struct bench_line *l;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	l = line_at(base, fds[0], &h);
	for (size_t step = 1; step < sizeof(text); step++) {
		h.messages = 0;
		for (size_t at = 0, n; at < sizeof(text) - 1; at += n) {
			n = sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step;
			ck_assert_int_eq(write(fds[1], text + at, n), n);
			event_base_loop(base, EVLOOP_NONBLOCK);
		}
		ck_assert_uint_eq(h.messages, 3);
		ck_assert_int_eq(h.last, 3);
	}
	ck_assert_uint_eq(h.closed, 0);
	bench_line_free(l);
	close(fds[1]);
	event_base_free(base);
}
END_TEST

/* Signs of life without end and a pause: the server's timers and other peers have their turn. */
START_TEST(peer_who_never_pauses_does_not_hold_the_loop)
{
	struct event_base *base = event_base_new();
	struct heard h = {0};
	struct bench_line *l;
	int fds[2], status;
	char text[65536];
	pid_t peer;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	memset(text, '\n', sizeof(text));
	peer = fork();
	ck_assert_int_ge(peer, 0);
	if (peer == 0) {
		close(fds[0]);
		while (send(fds[1], text, sizeof(text), MSG_NOSIGNAL) > 0)
			;
		_exit(0);
	}
	close(fds[1]);
	l = line_at(base, fds[0], &h);
	for (unsigned i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(h.messages + h.closed, 0);
	bench_line_free(l);
	ck_assert_int_eq(waitpid(peer, &status, 0), peer);
	event_base_free(base);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bench-parts");
	TCase *tc = tcase_create("bench-parts");
	SRunner *r;
	int failed;

	tcase_add_loop_test(tc, made_tables, 0, HPTGEN_KINDS);
	tcase_add_test(tc, another_seed_is_another_table);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, a_long_run);
	tcase_add_test(tc, results_of_a_peer);
	tcase_add_test(tc, lines_come_whole_however_they_are_cut);
	tcase_add_test(tc, peer_who_never_pauses_does_not_hold_the_loop);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
