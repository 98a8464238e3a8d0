/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another host's clock: what is said to be known holds, whatever the network does. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/clocksync.h"

#define MS 1000000ull
#define S  1000000000ull

static uint64_t seed = 1;

static uint64_t below(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

START_TEST(nothing_is_known_at_first)
{
	struct clocksync c = {0};
	uint64_t at = 7, un = 7;

	ck_assert_int_eq(clocksync_own(&c, 5, &at, &un), -ENODATA);
	clocksync_sample(&c, 100, 5, 99); /* answered before it was asked */
	ck_assert_int_eq(clocksync_own(&c, 5, &at, &un), -ENODATA);
	ck_assert_uint_eq(at + un, 14);
	clocksync_sample(&c, 100, 5, 100);
	ck_assert_int_eq(clocksync_own(&c, 5, &at, &un), 0);
	ck_assert_uint_eq(at, 100);
	ck_assert_uint_eq(un, 1);
}
END_TEST

START_TEST(the_shortest_question_counts_until_it_is_old)
{
	struct clocksync c = {0};
	uint64_t at, un;

	clocksync_sample(&c, 1 * S, 77 * S + 5 * MS, 1 * S + 10 * MS);
	ck_assert_int_eq(clocksync_own(&c, 77 * S + 5 * MS, &at, &un), 0);
	ck_assert_uint_eq(un, 5 * MS + 1);
	clocksync_sample(&c, 2 * S, 78 * S + 1 * MS, 2 * S + 2 * MS);
	clocksync_sample(
		&c, 3 * S, 79 * S + 300 * MS, 3 * S + 301 * MS); /* a bad one changes nothing */
	ck_assert_int_eq(clocksync_own(&c, 78 * S, &at, &un), 0);
	ck_assert_uint_eq(at, 2 * S);
	ck_assert_uint_eq(un, 1 * MS + 1 + 1000);
	/* nine seconds later what was known to 1 ms is known to 10 ms: 5 are better */
	clocksync_sample(&c, 11 * S, 87 * S + 5 * MS, 11 * S + 10 * MS);
	ck_assert_int_eq(clocksync_own(&c, 87 * S + 5 * MS, &at, &un), 0);
	ck_assert_uint_eq(un, 5 * MS + 1);
}
END_TEST

/* The other clock runs by up to a thousandth faster or slower, and has any value at all. */
START_TEST(it_is_never_further_off_than_it_says)
{
	for (int round = 0; round < 2000; round++) {
		struct clocksync c = {0};
		uint64_t base = below(2) ? UINT64_MAX - below(100 * S) : below(1u << 31);
		int64_t ppm = (int64_t)below(2001) - 1000;
		uint64_t now = 10 * S, best = UINT64_MAX;

#define OTHER(own) (base + (own) + (uint64_t)(((int64_t)(own)) / 1000000 * ppm))
		for (int i = 0; i < 20; i++) {
			uint64_t there = now + below(50 * MS), back = there + below(50 * MS);
			uint64_t moment = back + below(2 * S), at, un, off;

			clocksync_sample(&c, now, OTHER(there), back);
			ck_assert_int_eq(clocksync_own(&c, OTHER(moment), &at, &un), 0);
			off = at > moment ? at - moment : moment - at;
			ck_assert_msg(off <= un + 2000, "%llu ns off, but %llu were said",
				(unsigned long long)off, (unsigned long long)un);
			ck_assert_uint_le(un, 50 * MS + 2 + (moment - now) / 1000 * 2);
			best = c.half < best ? c.half : best;
			now = back + below(5 * S);
		}
		ck_assert_uint_lt(best, 25 * MS);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("clocksync");
	TCase *tc = tcase_create("clocksync");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, nothing_is_known_at_first);
	tcase_add_test(tc, the_shortest_question_counts_until_it_is_old);
	tcase_add_test(tc, it_is_never_further_off_than_it_says);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
