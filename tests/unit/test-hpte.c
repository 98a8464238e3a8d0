/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries taken apart. The first ones are of a Linux guest's table of order 25, with what that
 * guest meant by them; then every page size, both segment sizes and hashes, and what is reserved.
 */
#include <check.h>
#include <stdlib.h>

#include "proto/hpte.h"

#define ENTRIES (UINT64_C(1) << 21)

static const struct known {
	uint64_t v, r;
	struct hpte h;
} known[] = {
	/* the first of the kernel's linear mapping: bolted, 1 TiB segments */
	{0x400ea1b217001b11, 0x000000001b217194,
		{.index = 0,
			.bolted = true,
			.seg_shift = 40,
			.base_shift = 12,
			.actual_shift = 12,
			.vsid = 0xea1b217,
			.offset = 0x1b217000,
			.real = 0x1b217000,
			.m = true,
			.n = true,
			.r = true,
			.c = true}},
	/* a page of a process: 256 MiB segments, by the second hash */
	{0x000f297b460a6603, 0x000000000864c113,
		{.index = (ENTRIES - 1) ^ 0x3a04,
			.secondary = true,
			.seg_shift = 28,
			.base_shift = 12,
			.actual_shift = 12,
			.vsid = 0xf297b460a6,
			.offset = 0x67e6000,
			.real = 0x864c000,
			.pp = 3,
			.m = true,
			.r = true}},
	{0x000f297b460a6601, 0x000000000864c113,
		{.index = 0x3a04,
			.seg_shift = 28,
			.base_shift = 12,
			.actual_shift = 12,
			.vsid = 0xf297b460a6,
			.offset = 0x67e6000,
			.real = 0x864c000,
			.pp = 3,
			.m = true,
			.r = true}},
};
#define KNOWN ((int)(sizeof(known) / sizeof(known[0])))

static void same(const struct hpte *got, const struct hpte *want)
{
	ck_assert_uint_eq(got->index, want->index);
	ck_assert_uint_eq(got->pteg, want->index / 8);
	ck_assert_uint_eq(got->slot, want->index % 8);
	ck_assert_int_eq(got->secondary, want->secondary);
	ck_assert_int_eq(got->bolted, want->bolted);
	ck_assert_int_eq(got->large, want->large);
	ck_assert_uint_eq(got->seg_shift, want->seg_shift);
	ck_assert_uint_eq(got->base_shift, want->base_shift);
	ck_assert_uint_eq(got->actual_shift, want->actual_shift);
	ck_assert_uint_eq(got->vsid, want->vsid);
	ck_assert_uint_eq(got->offset, want->offset);
	ck_assert_int_eq(got->misplaced, want->misplaced);
	ck_assert_uint_eq(got->real, want->real);
	ck_assert_uint_eq(got->pp, want->pp);
	ck_assert_uint_eq(got->key, want->key);
	ck_assert_int_eq(got->w, want->w);
	ck_assert_int_eq(got->i, want->i);
	ck_assert_int_eq(got->m, want->m);
	ck_assert_int_eq(got->g, want->g);
	ck_assert_int_eq(got->n, want->n);
	ck_assert_int_eq(got->r, want->r);
	ck_assert_int_eq(got->c, want->c);
}

START_TEST(known_entry_says_what_it_meant)
{
	const struct known *k = &known[_i];
	struct hpte h;

	hpte_decode(k->v, k->r, k->h.index, ENTRIES, &h);
	same(&h, &k->h);
}
END_TEST

/* What a page of a segment is put into a table as, by Linux' and the ISA's words. */
static uint64_t place(unsigned seg_shift, uint64_t vsid, uint64_t offset, unsigned base,
	bool secondary, uint64_t entries, uint64_t *ret_v)
{
	uint64_t hash = (seg_shift == 40 ? vsid ^ vsid << 25 : vsid) ^ offset >> base;
	uint64_t avpn = (vsid << (seg_shift - 23) | offset >> 23);

	if (secondary)
		hash = ~hash;
	*ret_v = avpn << 7 | (seg_shift == 40 ? UINT64_C(1) << 62 : 0) | HPTE_V_VALID |
		(secondary ? HPTE_V_SECONDARY : 0);
	return hash & (entries / 8 - 1);
}

static const struct size {
	unsigned lp, base, actual; /* lp 0x100: L is not set */
} sizes[] = {
	{0x100, 12, 12},
	{0x01, 16, 16},
	{0xf1, 16, 16}, /* the high bits are the page number's */
	{0x07, 12, 16},
	{0xa7, 12, 16},
	{0x00, 24, 24},
	{0x08, 16, 24},
	{0x38, 12, 24},
	{0x03, 34, 34},
	/* what KVM does not know */
	{0x02, 0, 0},
	{0x10, 0, 0},
	{0x13, 0, 0},
	{0x18, 0, 0},
	{0xff, 0, 0},
};
#define SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

START_TEST(every_size_in_every_segment_by_both_hashes)
{
	const struct size *z = &sizes[_i];
	uint64_t real = UINT64_C(0x0abc400000000), seed = 1;

	for (unsigned n = 0; n < 4000; n++) {
		unsigned seg_shift = n & 1 ? 40 : 28, order = 18 + n % 10;
		uint64_t entries = htab_entries(order), v, pteg, r, vsid, offset, want;
		bool secondary = n & 2;
		struct hpte h;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		vsid = seed >> 8 & ((UINT64_C(1) << (seg_shift == 40 ? 32 : 38)) - 1);
		offset = seed >> 3 & ((UINT64_C(1) << seg_shift) - 1);
		if (z->base)
			offset &= ~((UINT64_C(1) << z->base) - 1);
		if (z->base > seg_shift)
			continue; /* no such page fits there */
		pteg = place(
			seg_shift, vsid, offset, z->base ? z->base : 12, secondary, entries, &v);
		r = real | HPTE_R_R;
		if (z->lp < 0x100) {
			v |= HPTE_V_LARGE;
			r |= (uint64_t)z->lp << 12;
		}
		hpte_decode(v, r, pteg * 8 + n % 8, entries, &h);
		ck_assert_uint_eq(h.base_shift, z->base);
		ck_assert_uint_eq(h.actual_shift, z->actual);
		ck_assert_uint_eq(h.seg_shift, seg_shift);
		ck_assert_uint_eq(h.vsid, vsid);
		ck_assert_uint_eq(h.offset, z->base ? offset : 0);
		/* above the page's own bits LP is page number */
		want = z->actual ? r & HPTE_R_RPN & ~((UINT64_C(1) << z->actual) - 1) : 0;
		ck_assert_uint_eq(h.real, want);
		ck_assert(!h.misplaced);
		if (!z->base)
			continue;
		/* in a PTEG that no hash of it leads to: told where the AVPN says enough */
		hpte_decode(v, r, (pteg ^ (entries / 16)) * 8, entries, &h);
		ck_assert_int_eq(
			h.misplaced, z->base >= 23 || (entries / 16) >> (23 - z->base) != 0);
	}
}
END_TEST

START_TEST(reserved_segment_sizes_are_told)
{
	struct hpte h;

	for (uint64_t b = 2; b < 4; b++) {
		hpte_decode(b << 62 | 0x1b11, 0x1b217194, 9, ENTRIES, &h);
		ck_assert_uint_eq(h.seg_shift, 0);
		ck_assert_uint_eq(h.vsid, 0);
		ck_assert_str_eq(hpte_size(h.seg_shift), "?");
		ck_assert_uint_eq(h.real, 0x1b217000);
	}
}
END_TEST

START_TEST(protection_is_split)
{
	char text[6];
	struct hpte h;

	hpte_decode(1, 0x8000000000000002, 0, ENTRIES, &h);
	ck_assert_uint_eq(h.pp, 6);
	hpte_decode(1, 0x3000000000000e00, 0, ENTRIES, &h);
	ck_assert_uint_eq(h.key, 31);
	hpte_decode(1, 0x0000000000000200, 0, ENTRIES, &h);
	ck_assert_uint_eq(h.key, 1);
	hpte_decode(1, 0x1000000000000000, 0, ENTRIES, &h);
	ck_assert_uint_eq(h.key, 8);
	hpte_decode(1, 0x7c, 0, ENTRIES, &h);
	hpte_wimgn(&h, text);
	ck_assert_str_eq(text, "WIMGN");
	hpte_decode(1, 0x28, 0, ENTRIES, &h);
	hpte_wimgn(&h, text);
	ck_assert_str_eq(text, "-I-G-");
	/* the kernel's own mark is no part of the address */
	hpte_decode(1, HPTE_R_MODIFIED | 0x5000, 0, ENTRIES, &h);
	ck_assert_uint_eq(h.real, 0x5000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hpte");
	TCase *t = tcase_create("hpte");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, known_entry_says_what_it_meant, 0, KNOWN);
	tcase_add_loop_test(t, every_size_in_every_segment_by_both_hashes, 0, SIZES);
	tcase_add_test(t, reserved_segment_sizes_are_told);
	tcase_add_test(t, protection_is_split);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
