/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's time limits, and what changes them for tests. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/limits.h"

/* Each test has a process of its own: what one sets no other sees. */

START_TEST(nothing_changes_nothing)
{
	int before = limit_ms(LIMIT_VMM_BACK);

	ck_assert_int_eq(limits_set(NULL, NULL), 0);
	ck_assert_int_eq(limits_set("", NULL), 0);
	ck_assert_int_eq(limit_ms(LIMIT_VMM_BACK), before);
}
END_TEST

START_TEST(named_ones_change)
{
	int stop = limit_ms(LIMIT_STOP);

	ck_assert_int_eq(limits_set("vmm-back=2500,vmm-death=1", NULL), 0);
	ck_assert_int_eq(limit_ms(LIMIT_VMM_BACK), 2500);
	ck_assert_int_eq(limit_s(LIMIT_VMM_BACK), 2);
	ck_assert_int_eq(limit_tv(LIMIT_VMM_BACK).tv_sec, 2);
	ck_assert_int_eq(limit_tv(LIMIT_VMM_BACK).tv_usec, 500000);
	ck_assert_int_eq(limit_ms(LIMIT_VMM_DEATH), 1);
	ck_assert_int_eq(limit_ms(LIMIT_STOP), stop);
}
END_TEST

static const char *const bad[] = {
	"nosuch=1",
	"vmm-back",
	"vmm-back=",
	"vmm-back=0",
	"vmm-back=-1",
	"vmm-back=+1",
	"vmm-back= 1",
	"vmm-back=1s",
	"vmm-back=1.5",
	"vmm-back=604800001",
	"vmm-back=99999999999999999999",
	"vmm=1",
	"vmm-backs=1",
	"=1",
	",",
	"stop=5,nosuch=1",
	"stop=5,,",
};

START_TEST(what_is_no_limit_is_refused_whole)
{
	int stop = limit_ms(LIMIT_STOP);
	struct err err = {0};

	ck_assert_int_eq(limits_set(bad[_i], &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "HTAB_MIGRATED_LIMITS"));
	ck_assert_int_eq(limit_ms(LIMIT_STOP), stop);
}
END_TEST

START_TEST(attempts_come_more_and_more_seldom)
{
	static const int want[] = {0, 20, 40, 80, 100, 100};

	ck_assert_int_eq(limits_set("redial=10,redial-max=100", NULL), 0);
	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		ck_assert_int_eq(limit_backoff_ms(i), want[i]);
	ck_assert_int_eq(limits_set("redial=604800000,redial-max=604800000", NULL), 0);
	ck_assert_int_eq(limit_backoff_ms(4000000000u), 604800000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *t = tcase_create("limits");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, nothing_changes_nothing);
	tcase_add_test(t, named_ones_change);
	tcase_add_loop_test(t, what_is_no_limit_is_refused_whole, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, attempts_come_more_and_more_seldom);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
