/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The downtime predicted from what the passes measured. */
#include <check.h>
#include <stdlib.h>

#include "common/clock.h"
#include "daemon/converge.h"

#define MS NS_PER_MS

/* A second pass of a guest that changes 10,000 entries in a second. */
static const struct converge_in usual = {
	.pass = 2,
	.entries = 10000,
	.table = 1ull << 33,
	.pass_ns = 100 * MS,
	.scan_ns = 20 * MS,
	.prev_pass_ns = 1000 * MS,
	.rtt_ns = 1 * MS,
	.best_scan_ns = 0,
	.best_rate = 200000,
};

static struct converge_out run(struct converge_in in)
{
	struct converge_out out = {1, 2, 3, 4};

	converge(&in, &out);
	return out;
}

START_TEST(first_pass_tells_nothing_about_the_guest)
{
	struct converge_in in = usual;
	struct converge_out out;

	in.pass = 1;
	out = run(in);
	ck_assert_uint_eq(out.downtime, UINT64_MAX);
	/* Its scan found every entry: it is no measure of a clean one. */
	ck_assert_uint_eq(out.best_scan_ns, 0);
	/* But how fast entries travel is known. */
	in.best_rate = 0;
	ck_assert_uint_eq(run(in).best_rate, 100000);
}
END_TEST

START_TEST(downtime_is_scan_and_round_trips_and_what_is_left)
{
	struct converge_out out = run(usual);

	/* 10,000 changed in 1,000 ms, so 1,000 in the 100 ms of this pass, at 200,000 a second. */
	ck_assert_uint_eq(out.remaining, 1000);
	ck_assert_uint_eq(out.downtime, 20 * MS + 2 * MS + 5 * MS);
	ck_assert_uint_eq(out.best_scan_ns, 20 * MS);
	ck_assert_uint_eq(out.best_rate, 200000);
}
END_TEST

START_TEST(guest_that_changes_nothing_costs_a_scan)
{
	struct converge_in in = usual;
	struct converge_out out;

	in.entries = 0;
	out = run(in);
	ck_assert_uint_eq(out.remaining, 0);
	ck_assert_uint_eq(out.downtime, 20 * MS + 2 * MS);
	ck_assert_uint_eq(out.best_rate, 200000);
	/* Also when no rate was ever measured. */
	in.best_rate = 0;
	ck_assert_uint_eq(run(in).downtime, 20 * MS + 2 * MS);
	in.rtt_ns = in.scan_ns = 0;
	ck_assert_uint_eq(run(in).downtime, 0);
}
END_TEST

START_TEST(best_figures_are_kept)
{
	struct converge_in in = usual;

	in.best_scan_ns = 15 * MS;
	ck_assert_uint_eq(run(in).best_scan_ns, 15 * MS);
	in.best_scan_ns = 25 * MS;
	ck_assert_uint_eq(run(in).best_scan_ns, 20 * MS);
	in.entries = 100000; /* in 100 ms */
	ck_assert_uint_eq(run(in).best_rate, 1000000);
}
END_TEST

/* More of anything bad never makes the prediction better. */
START_TEST(prediction_is_monotonic)
{
	uint64_t last_entries = 0, last_rtt = 0, last_scan = 0, last_pass = 0;
	uint64_t last_prev = UINT64_MAX, last_rate = UINT64_MAX;

	for (uint64_t x = 1; x < 1ull << 40; x += x / 3 + 1) {
		struct converge_in in = usual;
		uint64_t d;

		in.entries = x;
		in.best_rate = UINT64_MAX / 2; /* so that the rate does not grow with it */
		d = run(in).downtime;
		ck_assert_uint_ge(d, last_entries);
		last_entries = d;

		in = usual;
		in.rtt_ns = x;
		d = run(in).downtime;
		ck_assert_uint_gt(d, last_rtt);
		last_rtt = d;

		in = usual;
		in.scan_ns = x;
		d = run(in).downtime;
		ck_assert_uint_gt(d, last_scan);
		last_scan = d;

		in = usual;
		in.pass_ns = x;
		in.best_rate = UINT64_MAX / 2;
		d = run(in).downtime;
		ck_assert_uint_ge(d, last_pass);
		last_pass = d;

		/* The longer they took to change, and the faster they travel, the better. */
		in = usual;
		in.prev_pass_ns = x;
		d = run(in).downtime;
		ck_assert_uint_le(d, last_prev);
		last_prev = d;

		in = usual;
		in.best_rate = x;
		d = run(in).downtime;
		ck_assert_uint_le(d, last_rate);
		last_rate = d;
	}
}
END_TEST

START_TEST(times_of_zero_divide_nothing)
{
	struct converge_in in = usual;

	in.pass_ns = 0;
	in.best_rate = 1000;
	ck_assert_uint_eq(run(in).remaining, 0);
	in = usual;
	in.prev_pass_ns = 0;
	ck_assert_uint_gt(run(in).downtime, 20 * MS);
	in = (struct converge_in){.pass = 2};
	ck_assert_uint_eq(run(in).downtime, 0);
}
END_TEST

/* A guest that changes its table faster than it is read changes all of it, and no more. */
START_TEST(no_more_is_left_than_there_is)
{
	struct converge_in in = usual;

	in.table = 1 << 20;
	in.entries = 1 << 20;
	in.prev_pass_ns = 1;
	ck_assert_uint_eq(run(in).remaining, 1 << 20);
	in.entries = 10;
	in.prev_pass_ns = in.pass_ns;
	ck_assert_uint_eq(run(in).remaining, 10);
}
END_TEST

/* The largest table, the fastest network, passes of days: products go past 64 bits. */
START_TEST(large_numbers_do_not_wrap)
{
	struct converge_in in = usual;
	struct converge_out out;

	in.entries = 1ull << 32;
	in.pass_ns = 100000ull * NS_PER_SEC;
	in.prev_pass_ns = 100000ull * NS_PER_SEC;
	in.best_rate = 0;
	out = run(in);
	ck_assert_uint_eq(out.remaining, 1ull << 32);
	ck_assert_uint_eq(out.best_rate, (1ull << 32) / 100000);
	/* as long as the pass itself, all but the rounding of the rate */
	ck_assert_uint_ge(out.downtime, 100000ull * NS_PER_SEC);
	ck_assert_uint_le(out.downtime, 100010ull * NS_PER_SEC);
}
END_TEST

/* What a day of passes and a crawling network may give at worst. */
START_TEST(worst_that_can_be_is_no_short_downtime)
{
	struct converge_in in = usual;

	in.entries = 1ull << 32;
	in.pass_ns = 86400ull * NS_PER_SEC;
	in.prev_pass_ns = 3600ull * NS_PER_SEC;
	in.best_rate = 0;
	in.rtt_ns = 60ull * NS_PER_SEC;
	in.scan_ns = 3600ull * NS_PER_SEC;
	ck_assert_uint_gt(run(in).downtime, 86400ull * NS_PER_SEC);
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
	tcase_add_test(t, guest_that_changes_nothing_costs_a_scan);
	tcase_add_test(t, best_figures_are_kept);
	tcase_add_test(t, prediction_is_monotonic);
	tcase_add_test(t, times_of_zero_divide_nothing);
	tcase_add_test(t, no_more_is_left_than_there_is);
	tcase_add_test(t, large_numbers_do_not_wrap);
	tcase_add_test(t, worst_that_can_be_is_no_short_downtime);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
