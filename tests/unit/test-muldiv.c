/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* a * b / c as 32-bit machines do it, against the compiler's 128 bits. */
#include <check.h>
#include <stdlib.h>

#include "proto/muldiv.h"

static uint64_t random_word(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> (*state >> 58); /* of all lengths */
}

START_TEST(test_by_hand)
{
	static const uint64_t edges[] = {0, 1, 2, 1000000000, UINT32_MAX, 1ull << 32,
		(1ull << 63) - 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
	const unsigned n = sizeof(edges) / sizeof(edges[0]);
	uint64_t state = 1;

	for (unsigned i = 0; i < n * n * n; i++) {
		uint64_t a = edges[i % n], b = edges[i / n % n], c = edges[i / n / n];

		if (c)
			ck_assert_uint_eq(mul_div_by_hand(a, b, c), mul_div(a, b, c));
	}
	for (int i = 0; i < 100000; i++) {
		uint64_t a = random_word(&state), b = random_word(&state);
		uint64_t c = random_word(&state) | 1;

		if (mul_div_by_hand(a, b, c) != mul_div(a, b, c))
			ck_abort_msg("%#llx * %#llx / %#llx", (unsigned long long)a,
				(unsigned long long)b, (unsigned long long)c);
	}
	ck_assert_uint_eq(mul_div(UINT64_MAX, 10, 5), UINT64_MAX); /* more than there is room for */
	ck_assert_uint_eq(mul_div(UINT64_MAX, 10, 10), UINT64_MAX);
	ck_assert_uint_eq(mul_div(7, 3, 2), 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("muldiv");
	TCase *t = tcase_create("muldiv");
	SRunner *sr;
	int failed;

	tcase_add_test(t, test_by_hand);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
