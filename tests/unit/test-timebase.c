/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's time: how long it stood still, and how its timebase goes on. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/timebase.h"

#define S   1000000000ull
#define MS  1000000ull
#define HZ  TIMEBASE_HZ

#define FAR (1ull << 62) /* an offset that no answer is near to */

/* What every answer has to be. */
static int64_t checked_offset(
	uint64_t guest, uint64_t passed, uint64_t host, uint64_t was, uint64_t *ret)
{
	uint64_t offset, ticks = timebase_ticks(passed, HZ), now;
	int64_t error = INT64_MIN, off;

	offset = timebase_offset(guest, passed, host, was, HZ, &error);
	ck_assert_uint_eq(offset % TIMEBASE_UNIT, 0); /* KVM would round it up */
	now = host + offset;
	ck_assert_msg((int64_t)(now - guest) >= 0 || ticks > INT64_MAX, "the timebase went back");
	off = (int64_t)(now - (guest + ticks));
	ck_assert_int_le(off, (int64_t)TIMEBASE_UNIT);
	ck_assert_int_ge(
		off, offset == was ? -(int64_t)TIMEBASE_UNIT : -(int64_t)TIMEBASE_UNIT / 2);
	ck_assert_int_eq(error, timebase_ns(off, HZ));
	*ret = offset;
	return error;
}

START_TEST(test_the_same_host_changes_nothing)
{
	uint64_t offset, host = 0x123456789abull, was = 77 * TIMEBASE_UNIT;
	/* What is measured is wrong by up to 30 ms: a busy host. */
	static const int64_t wrong[] = {0, 3000, -3000, 17000000, -17000000, 30000000, -30000000};

	/* The guest's timebase was the host's and `was`, 200 ms ago. */
	uint64_t guest = host + was - timebase_ticks(200 * MS, HZ);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint64_t passed = 200 * MS + (uint64_t)wrong[i];
		int64_t error = checked_offset(guest, passed, host, was, &offset);

		ck_assert_uint_eq(offset, was);
		ck_assert_int_lt(llabs(error + wrong[i]), 10);
	}
	/* no further than that: 2 units are another host */
	checked_offset(guest, 200 * MS + 66 * MS, host, was, &offset);
	ck_assert_uint_eq(offset, was + 2 * TIMEBASE_UNIT);
	/* an offset that is none, KVM has not */
	checked_offset(guest, 200 * MS, host, was + 1, &offset);
	ck_assert_uint_eq(offset, was);
}
END_TEST

START_TEST(test_the_old_offset_would_be_back)
{
	uint64_t offset, host = 1ull << 40;

	/* 1 ms passed; with the offset that it had, 2 ms less would: a timebase that is behind */
	checked_offset(host + timebase_ticks(2 * MS, HZ), MS, host, 0, &offset);
	ck_assert_uint_eq(offset, TIMEBASE_UNIT);
}
END_TEST

START_TEST(test_nearest_and_never_back)
{
	uint64_t offset, half = TIMEBASE_UNIT / 2, second = HZ;

	/* a second passed: rounded to the nearest, either way */
	ck_assert_int_lt(checked_offset(half - 1, S, second, FAR, &offset), 0);
	ck_assert_uint_eq(offset, 0);
	ck_assert_int_gt(checked_offset(half + 1, S, second, FAR, &offset), 0);
	ck_assert_uint_eq(offset, TIMEBASE_UNIT);
	/* no time passed: down would be back */
	ck_assert_int_gt(checked_offset(1, 0, 0, FAR, &offset), 0);
	ck_assert_uint_eq(offset, TIMEBASE_UNIT);
	/* 10 ticks passed: 10 down is where it stood, 11 would be back */
	ck_assert_int_lt(checked_offset(0, 20, 0, FAR, &offset), 0);
	ck_assert_uint_eq(offset, 0);
	ck_assert_int_gt(checked_offset(1, 20, 0, FAR, &offset), 0);
	ck_assert_uint_eq(offset, TIMEBASE_UNIT);
}
END_TEST

START_TEST(test_hosts_far_apart)
{
	static const uint64_t tbs[] = {0, 1, TIMEBASE_UNIT - 1, TIMEBASE_UNIT, 1ull << 40,
		1ull << 63, UINT64_MAX - 1, UINT64_MAX};
	static const uint64_t passed[] = {0, 1, 16 * MS, 33 * MS, S, 3600 * S, 30 * 86400 * S};
	const unsigned n = sizeof(tbs) / sizeof(tbs[0]);
	uint64_t offset;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < n; j++)
			for (unsigned k = 0; k < sizeof(passed) / sizeof(passed[0]); k++)
				for (unsigned l = 0; l < n; l++)
					checked_offset(tbs[i], passed[k], tbs[j], tbs[l], &offset);
}
END_TEST

START_TEST(test_ticks)
{
	ck_assert_uint_eq(timebase_ticks(S, HZ), HZ);
	ck_assert_uint_eq(timebase_ticks(UINT64_MAX, HZ), 9444732965739290426ull);
	ck_assert_uint_eq(timebase_ticks(UINT64_MAX, 2 * S), UINT64_MAX);
	ck_assert_int_eq(timebase_ns(-(int64_t)HZ, HZ), -(int64_t)S);
	ck_assert_int_eq(timebase_ns(INT64_MIN, HZ), INT64_MIN); /* as far as it goes */
	ck_assert_int_eq(timebase_ns(INT64_MAX, 1), INT64_MAX);
}
END_TEST

START_TEST(test_when_it_stopped)
{
	uint64_t at = 0, now = 5000 * S, opened = now - 60 * S;

	ck_assert_int_eq(timebase_paused_at(now, 5 * MS, 2 * MS, opened, &at), 0);
	ck_assert_uint_eq(at, now - 6 * MS);
	ck_assert_int_eq(timebase_paused_at(now, 0, 0, opened, &at), 0);
	ck_assert_uint_eq(at, now);
	/* an hour before the epoch of this host's clock: as far back as that goes, and not 0 */
	ck_assert_int_eq(timebase_paused_at(10, 20, 0, 0, &at), 0);
	ck_assert_uint_eq(at, 1);
}
END_TEST

/*
 * protocol.md 8.1: "An age that is longer than the session has lasted at the destination, by more
 * than a second and a thousandth, ends the session."
 */
START_TEST(test_hostile_ages)
{
	uint64_t at = 7, now = 5000 * S, opened = now - 60 * S, most;

	ck_assert_int_eq(timebase_paused_at(now, UINT64_MAX, 0, opened, &at), -EBADMSG);
	ck_assert_int_eq(timebase_paused_at(now, UINT64_MAX, UINT64_MAX, opened, &at), -EBADMSG);
	ck_assert_int_eq(timebase_paused_at(now, (uint64_t)-1000, 0, opened, &at), -EBADMSG);
	ck_assert_int_eq(timebase_paused_at(now, 62 * S, 0, opened, &at), -EBADMSG);
	ck_assert_uint_eq(at, 7); /* untouched */
	/* Clocks that run at rates a thousandth apart, and a second, are not hostile. */
	most = 60 * S + 60 * MS + PAUSE_AGE_MARGIN;
	ck_assert_int_eq(timebase_paused_at(now, most, 0, opened, &at), 0);
	ck_assert_int_eq(timebase_paused_at(now, most + 1, 0, opened, &at), -EBADMSG);
	/* A round trip that cannot be does not count more than the session. */
	ck_assert_int_eq(timebase_paused_at(now, 0, UINT64_MAX, opened, &at), 0);
	ck_assert_uint_eq(at, now - most);
	/* A clock that went back has no session at all. */
	ck_assert_int_eq(timebase_paused_at(now, 2 * S, 0, now + 1, &at), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("timebase");
	TCase *t = tcase_create("timebase");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, test_the_same_host_changes_nothing);
	tcase_add_test(t, test_the_old_offset_would_be_back);
	tcase_add_test(t, test_nearest_and_never_back);
	tcase_add_test(t, test_hosts_far_apart);
	tcase_add_test(t, test_ticks);
	tcase_add_test(t, test_when_it_stopped);
	tcase_add_test(t, test_hostile_ages);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
