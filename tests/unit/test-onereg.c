/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of registers: how it is searched, and docs/state.md, which has it a second time. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/onereg.h"

#define LINE 256

START_TEST(test_found_and_named)
{
	char name[ONE_REG_NAME_MAX];

	for (size_t i = 0; i < one_regs_n; i++) {
		const struct one_reg *r = &one_regs[i];

		ck_assert(one_reg_ok(r->id));
		ck_assert_uint_ge(r->count, 1);
		ck_assert_int_lt(r->phase, ONE_REG_PHASES);
		ck_assert_str_ne(one_reg_phase_name(r->phase), "?");
		ck_assert_str_ne(one_reg_policy_name(r->policy), "?");
		ck_assert((r->policy == ONE_REG_MASK) == (r->mask != 0));
		for (unsigned n = 0; n < r->count; n++) {
			ck_assert_ptr_eq(one_reg_find(r->id + n), r);
			one_reg_name(r->id + n, name);
			ck_assert_int_eq(strncmp(name, r->name, strlen(r->name)), 0);
		}
	}
	one_reg_name(ONE_REG_ID(U64, 0x3f), name);
	ck_assert_str_eq(name, "FPR31");
	one_reg_name(ONE_REG_ID(U128, 0x8000005f), name);
	ck_assert_str_eq(name, "TM_VSR63");
	/* one number, three registers */
	one_reg_name(ONE_REG_ID(U32, 0x8c), name);
	ck_assert_str_eq(name, "MAS0");
	one_reg_name(ONE_REG_ID(U64, 0x8c), name);
	ck_assert_str_eq(name, "ICP_STATE");
}
END_TEST

START_TEST(test_unknown)
{
	static const uint64_t ids[] = {0, ONE_REG_ID(U64, 0), ONE_REG_ID(U32, 0x20),
		ONE_REG_ID(U128, 0x8c), ONE_REG_ID(U64, 0x7f), ONE_REG_ID(U64, 0xc9),
		ONE_REG_ID(U64, 0x8000006b), ONE_REG_ID(U64, 0xffffffff), UINT64_MAX};
	char name[ONE_REG_NAME_MAX];

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		ck_assert_ptr_null(one_reg_find(ids[i]));
		one_reg_name(ids[i], name);
		ck_assert_int_eq(strncmp(name, "ONE_REG 0x", 9), 0);
	}
	ck_assert(!one_reg_ok(0));
	ck_assert(!one_reg_ok(ONE_REG_PPC | 1)); /* of one byte */
	ck_assert(!one_reg_ok(ONE_REG_PPC | ONE_REG_U64 | 1ull << 32));
	ck_assert(!one_reg_ok(ONE_REG_U64 | 1));
}
END_TEST

START_TEST(test_each_once)
{
	for (size_t i = 0; i < one_regs_n; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(strcmp(one_regs[i].name, one_regs[j].name) != 0 &&
					one_regs[i].id != one_regs[j].id,
				"%s", one_regs[i].name);
}
END_TEST

/* -- docs/state.md ---------------------------------------------------------------------------- */

/* A row as the page has it, up to the last column. */
static void row(const struct one_reg *r, char *buf, size_t size)
{
	char name[64];

	snprintf(name, sizeof(name), r->count > 1 ? "%s0 to %u" : "%s", r->name, r->count - 1);
	snprintf(buf, size, "| `%#llx` | %s | %zu | %s%s| %s | ", (unsigned long long)r->id, name,
		one_reg_size(r->id), r->policy == ONE_REG_NEVER ? "" : one_reg_phase_name(r->phase),
		r->policy == ONE_REG_NEVER ? "" : " ", one_reg_policy_name(r->policy));
}

static bool is_tested(const struct one_reg *r, const char *how)
{
	static const char *const known[] = {"real kernel |\n", "real kernel: 0 |\n",
		"real kernel, TM |\n", "real kernel, TM: set alone |\n", "real kernel, 6.12 |\n",
		"software |\n", "not yet |\n"};

	if (r->policy == ONE_REG_NEVER)
		return !strcmp(how, "refused |\n");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(how, known[i]))
			return true;
	return false;
}

START_TEST(test_the_page_has_the_table)
{
	const char *top = getenv("abs_top_srcdir");
	char path[4096], line[LINE], want[LINE];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/docs/state.md", top ? top : ".");
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s cannot be opened", path);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "| `0x", 5) != 0)
			continue;
		ck_assert_uint_lt(n, one_regs_n);
		row(&one_regs[n], want, sizeof(want));
		ck_assert_msg(strncmp(line, want, strlen(want)) == 0,
			"docs/state.md has\n%sand should have\n%s", line, want);
		ck_assert_msg(is_tested(&one_regs[n], line + strlen(want)), "%s", line);
		n++;
	}
	ck_assert_uint_eq(n, one_regs_n);
	fclose(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("onereg");
	TCase *t = tcase_create("onereg");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, test_found_and_named);
	tcase_add_test(t, test_unknown);
	tcase_add_test(t, test_each_once);
	tcase_add_test(t, test_the_page_has_the_table);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
