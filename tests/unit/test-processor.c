/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which host runs which guest. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/processor.h"

#define P8  0x004d0200u
#define P9  0x004e1202u
#define P9B 0x004e1203u /* a later revision */
#define P10 0x00800200u
#define AS7 0x0f000003u
#define AS8 0x0f000004u
#define AS9 0x0f000005u
#define ASX 0x0f000006u

static const struct row {
	struct processor here, guest;
	bool runs;
} rows[] = {
	/* the same processor, whatever it runs as: KVM says the rest when the state is set */
	{{P9, 0, 0}, {P9, 0, 0}, true},
	{{P9, AS9, 0}, {P9, 0, 0}, true},
	{{P9, AS9, 0}, {P9, AS8, 0}, true},
	/* another, raw */
	{{P9B, AS9, 0}, {P9, 0, 0}, false},
	{{P10, ASX, 0}, {P9, 0, 0}, false},
	/* another, as an older one */
	{{P9B, AS9, 0}, {P9, AS9, 0}, true},
	{{P10, ASX, 0}, {P9, AS9, 0}, true},
	{{P10, ASX, 0}, {P8, AS8, 0}, true},
	{{P8, AS8, 0}, {P9, AS8, 0}, true},
	{{P8, AS8, 0}, {P9, AS7, 0}, true},
	{{P8, AS8, 0}, {P9, 0x0f100003u, 0}, true}, /* ISA 2.06+ */
	{{P8, AS8, 0}, {P9, AS9, 0}, false},
	{{P9, AS9, 0}, {P10, ASX, 0}, false},
	/* a destination that does not say what it takes */
	{{P9B, 0, 0}, {P9, AS8, 0}, false},
};

START_TEST(test_runs)
{
	const struct row *r = &rows[_i];

	ck_assert_int_eq(processor_runs(&r->here, &r->guest), r->runs);
}
END_TEST

START_TEST(test_ids)
{
	static const unsigned plain[] = {0, 1, 2, 3}, gap[] = {0, 5}, turned[] = {5, 0};
	static const unsigned later[] = {1, 2};

	ck_assert_uint_eq(processor_vcpu_ids(plain, 4), 0);
	ck_assert_uint_eq(processor_vcpu_ids(plain, 1), 0);
	ck_assert_uint_eq(processor_vcpu_ids(plain, 0), 0);
	ck_assert_uint_eq(processor_vcpu_ids(gap, 2), 0x65b30a23829e6beeull);
	ck_assert_uint_ne(processor_vcpu_ids(gap, 2), processor_vcpu_ids(turned, 2));
	ck_assert_uint_ne(processor_vcpu_ids(later, 2), 0);
	ck_assert_uint_ne(processor_vcpu_ids(gap, 1), processor_vcpu_ids(gap, 2));
}
END_TEST

START_TEST(test_text)
{
	static const char *const bad[] = {"", "0f00000", "0f0000040", "0x000004", "00000001",
		"0F000004", "4e120200", "        ", "0f000004x", "0f000004 "};
	char text[PROCESSOR_TEXT];
	uint32_t mode = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(processor_parse(bad[i], &mode), -EBADMSG);
	ck_assert_uint_eq(mode, 7);
	processor_format(AS8, text);
	ck_assert_str_eq(text, "0f000004");
	ck_assert_int_eq(processor_parse(text, &mode), 0);
	ck_assert_uint_eq(mode, AS8);
	processor_format(0, text);
	ck_assert_int_eq(processor_parse(text, &mode), 0);
	ck_assert_uint_eq(mode, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("processor");
	TCase *t = tcase_create("processor");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, test_runs, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, test_ids);
	tcase_add_test(t, test_text);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
