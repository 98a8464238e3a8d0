/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The downtime predicted from what the passes measured. */
#include <check.h>
#include <stdlib.h>

#include "common/clock.h"
#include "daemon/source/converge.h"
#include "daemon/base/meter.h"

#define MS NS_PER_MS

/* After a first pass of 200,000 entries in a second. */
static const struct converge_in first = {
	.pass = 1,
	.entries = 200000,
	.table = 1ull << 33,
	.pass_ns = 1000 * MS,
	.scan_ns = 900 * MS,
	.rtt_ns = 1 * MS,
	.acked = 200000,
	.busy_ns = 1000 * MS,
};

/* And a second one of a guest that changes 10,000 entries in a second. */
static const struct converge_in second = {
	.pass = 2,
	.entries = 10000,
	.table = 1ull << 33,
	.pass_ns = 100 * MS,
	.scan_ns = 20 * MS,
	.rtt_ns = 1 * MS,
	.acked = 210000,
	.busy_ns = 1050 * MS,
};

static struct converge after(const struct converge_in *a, const struct converge_in *b)
{
	struct converge c = {0};

	converge(&c, a);
	if (b)
		converge(&c, b);
	return c;
}

/* Another pass: it sends so many, of which so many are written in that time. */
static void one_more(struct converge *c, struct converge_in *in, uint64_t entries, uint64_t acked,
	uint64_t busy_ns, uint64_t pass_ns)
{
	in->pass++;
	in->entries = entries;
	in->acked += acked;
	in->busy_ns += busy_ns;
	in->pass_ns = pass_ns;
	converge(c, in);
}

START_TEST(first_pass_tells_nothing_about_the_guest)
{
	struct converge c = after(&first, NULL);

	ck_assert_uint_eq(c.downtime, CONVERGE_UNKNOWN);
	ck_assert(!converge_done(&c, UINT64_MAX - 1));
	/* Its scan found every entry: it is no measure of a clean one. */
	ck_assert_uint_eq(c.scan_ns, 0);
	/* But how fast entries travel is known. */
	ck_assert_uint_eq(c.rates[0], 200000);
}
END_TEST

START_TEST(downtime_is_scan_and_round_trips_and_what_is_left)
{
	struct converge c = after(&first, &second);

	/* 10,000 changed in 1,000 ms, so 1,000 in the 100 ms of this pass, at 200,000 a second. */
	ck_assert_uint_eq(c.remaining, 1000);
	ck_assert_uint_eq(c.downtime, 20 * MS + 2 * MS + 5 * MS);
	ck_assert(converge_done(&c, 27 * MS));
	ck_assert(!converge_done(&c, 27 * MS - 1));
}
END_TEST

START_TEST(guest_that_changes_nothing_is_paused_whatever_the_limit)
{
	struct converge_in in = second;
	struct converge c;

	in.entries = 0;
	in.acked = first.acked;
	in.busy_ns = first.busy_ns;
	c = after(&first, &in);
	ck_assert_uint_eq(c.remaining, 0);
	ck_assert_uint_eq(c.downtime, 20 * MS + 2 * MS);
	ck_assert(!converge_done(&c, 0)); /* it may have been a short while */
	one_more(&c, &in, 0, 0, 0, 100 * MS);
	ck_assert(converge_done(&c, 0)); /* no pass makes it better */
	one_more(&c, &in, 1, 1, 0, 100 * MS);
	ck_assert(!converge_done(&c, 0));
	one_more(&c, &in, 0, 0, 0, 199 * MS);
	ck_assert(!converge_done(&c, 0));
	one_more(&c, &in, 0, 0, 0, 1 * MS);
	ck_assert(converge_done(&c, 0));
}
END_TEST

START_TEST(link_that_slows_down_shows_at_once)
{
	struct converge_in in = second;
	struct converge c = after(&first, &second);
	uint64_t fast = c.downtime;

	/* 10,000 entries need 10 s now; and as many change in that time as are expected */
	one_more(&c, &in, 10000, 10000, 10000 * MS, 10000 * MS);
	ck_assert_uint_ge(c.downtime, 10000 * MS);
	/* one good moment is no good link yet, two are */
	one_more(&c, &in, 10000, 10000, 50 * MS, 10000 * MS);
	ck_assert_uint_ge(c.downtime, 1000 * MS);
	one_more(&c, &in, 1000, 10000, 50 * MS, 10000 * MS);
	ck_assert_uint_le(c.downtime, fast);
}
END_TEST

/* Sent, as far as this host knows, but the network has it still: the pause waits for it. */
START_TEST(what_is_on_its_way_has_to_arrive)
{
	struct converge_in in = second;
	struct converge c;

	in.unacked = 200000;
	c = after(&first, &in);
	ck_assert_uint_eq(c.downtime, 1000 * MS + 2 * MS + 5 * MS);
	in.unacked = 2000; /* within the scan */
	c = after(&first, &in);
	ck_assert_uint_eq(c.downtime, 20 * MS + 2 * MS + 5 * MS);
	/* nothing came back for a second */
	in.unacked = 10000;
	in.acked = first.acked;
	in.busy_ns = first.busy_ns + 1000 * MS;
	c = after(&first, &in);
	ck_assert_uint_ge(c.downtime, 1000 * NS_PER_SEC);
}
END_TEST

/* Each of many small chunks is away for a round trip, which the pause has but once. */
START_TEST(round_trips_of_a_long_way_are_not_the_rate)
{
	struct converge_in in = second;
	struct converge c;

	in.rtt_ns = 50 * MS;
	in.bursts = 100;
	in.busy_ns = first.busy_ns + 100 * 50 * MS + 50 * MS;
	c = after(&first, &in);
	ck_assert_uint_eq(c.downtime, 20 * MS + 100 * MS + 5 * MS);
	/* but a codec's time is */
	in.encode_ns = 500 * MS;
	c = after(&first, &in);
	ck_assert_uint_eq(c.downtime, 20 * MS + 100 * MS + 50 * MS);
}
END_TEST

START_TEST(few_entries_are_no_measure)
{
	struct converge_in in = second;
	struct converge c = after(&first, &second);

	one_more(&c, &in, 10, 10, 10 * MS, 100 * MS);
	ck_assert_uint_eq(c.rates[0], 200000);
	/* with those of the next pass they are */
	one_more(&c, &in, 4096, 4096, 10 * MS, 100 * MS);
	ck_assert_uint_eq(c.rates[0], 4106ull * 50);
}
END_TEST

/* Entries went, and no ACK has come yet, since one of the hosts is busy: how fast is not known. */
START_TEST(no_word_is_no_measure)
{
	struct converge c = after(&first, &second);
	struct converge_in in = second;

	one_more(&c, &in, 5000, 0, 80 * MS, 100 * MS);
	ck_assert_uint_eq(c.rates[0], 200000);
	/* with the next word that time counts */
	one_more(&c, &in, 5000, 10000, 20 * MS, 100 * MS);
	ck_assert_uint_eq(c.rates[0], 100000);
}
END_TEST

START_TEST(shortest_scan_is_kept)
{
	struct converge_in in = second;
	struct converge c = after(&first, &second);

	in.scan_ns = 15 * MS;
	one_more(&c, &in, 10, 0, 0, 100 * MS);
	ck_assert_uint_eq(c.scan_ns, 15 * MS);
	in.scan_ns = 25 * MS;
	one_more(&c, &in, 10, 0, 0, 100 * MS);
	ck_assert_uint_eq(c.scan_ns, 15 * MS);
}
END_TEST

START_TEST(another_table_has_the_same_channels)
{
	struct converge_in in = second;
	struct converge c = after(&first, &second);

	converge_forget(&c);
	ck_assert_uint_eq(c.scan_ns, 0);
	ck_assert_uint_eq(c.remaining, 0);
	in.pass = 0;
	one_more(&c, &in, 10, 0, 0, 100 * MS);
	ck_assert_uint_eq(c.downtime, CONVERGE_UNKNOWN);
	ck_assert_uint_eq(c.rates[0], 200000);
}
END_TEST

/* More of anything bad never makes the prediction better. */
START_TEST(prediction_is_monotonic)
{
	uint64_t last[5] = {0}, last_prev = UINT64_MAX;

	for (uint64_t x = 1; x < 1ull << 40; x += x / 3 + 1) {
		for (unsigned i = 0; i < 5; i++) {
			struct converge_in in = second;
			struct converge c;

			*(i == 0                 ? &in.entries
					: i == 1 ? &in.rtt_ns
					: i == 2 ? &in.scan_ns
					: i == 3 ? &in.pass_ns
						 : &in.unacked) = x;
			c = after(&first, &in);
			ck_assert_uint_ge(c.downtime, last[i]);
			last[i] = c.downtime;
		}
		/* The longer they took to change the better. */
		struct converge_in before = first;
		struct converge c;

		before.pass_ns = x;
		c = after(&before, &second);
		ck_assert_uint_le(c.downtime, last_prev);
		last_prev = c.downtime;
	}
}
END_TEST

START_TEST(times_of_zero_divide_nothing)
{
	struct converge_in none = {.pass = 2}, in = second;
	struct converge c = {0};

	converge(&c, &none);
	ck_assert_uint_eq(c.downtime, 0);
	in.pass_ns = 0;
	c = after(&first, &in);
	ck_assert_uint_eq(c.remaining, 0);
	in = first;
	in.pass_ns = in.busy_ns = 0;
	c = after(&in, &second);
	ck_assert_uint_gt(c.downtime, 20 * MS);
}
END_TEST

/* A guest that changes its table faster than it is read changes all of it, and no more. */
START_TEST(no_more_is_left_than_there_is)
{
	struct converge_in before = first, in = second;
	struct converge c;

	before.pass_ns = 1;
	in.table = in.entries = 1 << 20;
	c = after(&before, &in);
	ck_assert_uint_eq(c.remaining, 1 << 20);
}
END_TEST

/* The largest table, a crawling network, passes of days: products go past 64 bits. */
START_TEST(large_numbers_do_not_wrap)
{
	struct converge_in before = first, in = second;
	struct converge c;

	before.entries = before.acked = in.entries = 1ull << 32;
	in.acked = 2 * before.acked;
	before.pass_ns = in.pass_ns = 100000ull * NS_PER_SEC;
	before.busy_ns = in.pass_ns;
	in.busy_ns = 2 * in.pass_ns;
	c = after(&before, &in);
	ck_assert_uint_eq(c.remaining, 1ull << 32);
	/* as long as the pass itself, all but the rounding of the rate */
	ck_assert_uint_ge(c.downtime, 100000ull * NS_PER_SEC);
	ck_assert_uint_le(c.downtime, 100010ull * NS_PER_SEC);
	in.unacked = UINT64_MAX;
	c = after(&before, &in);
	ck_assert(!converge_done(&c, 100000ull * NS_PER_SEC));
}
END_TEST

START_TEST(meter_tells_of_now)
{
	struct meter m = {.start = NS_PER_SEC};
	uint64_t now = NS_PER_SEC;

	ck_assert_uint_eq(meter_rate(&m, now), 0);
	for (unsigned i = 0; i < 40; i++) /* 1,000 in 100 ms, for 4 s */
		meter_add(&m, now += 100 * MS, 1000);
	ck_assert_uint_ge(meter_rate(&m, now), 9000);
	ck_assert_uint_le(meter_rate(&m, now), 11000);
	for (unsigned i = 0; i < 40; i++) /* then 100 */
		meter_add(&m, now += 100 * MS, 100);
	ck_assert_uint_le(meter_rate(&m, now), 1100);
	/* and nothing comes any more */
	ck_assert_uint_le(meter_rate(&m, now + 100 * NS_PER_SEC), 11);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("converge");
	TCase *t = tcase_create("converge");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, first_pass_tells_nothing_about_the_guest);
	tcase_add_test(t, downtime_is_scan_and_round_trips_and_what_is_left);
	tcase_add_test(t, guest_that_changes_nothing_is_paused_whatever_the_limit);
	tcase_add_test(t, link_that_slows_down_shows_at_once);
	tcase_add_test(t, what_is_on_its_way_has_to_arrive);
	tcase_add_test(t, round_trips_of_a_long_way_are_not_the_rate);
	tcase_add_test(t, few_entries_are_no_measure);
	tcase_add_test(t, no_word_is_no_measure);
	tcase_add_test(t, shortest_scan_is_kept);
	tcase_add_test(t, another_table_has_the_same_channels);
	tcase_add_test(t, prediction_is_monotonic);
	tcase_add_test(t, times_of_zero_divide_nothing);
	tcase_add_test(t, no_more_is_left_than_there_is);
	tcase_add_test(t, large_numbers_do_not_wrap);
	tcase_add_test(t, meter_tells_of_now);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
