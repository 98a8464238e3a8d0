/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A BookE guest's TLB: its geometry, entries, records, and its registers' elements. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/booke.h"
#include "proto/htab.h"

static const struct tlb_geometry e500v2 = {.sizes = {512, 16}, .ways = {4, 16}};

START_TEST(test_geometry)
{
	static const struct {
		struct tlb_geometry g;
		const char *why; /* a part of the sentence; NULL: it is right */
	} cases[] = {
		{{{512, 16}, {4, 16}}, NULL},
		{{{2, 1}, {2, 1}}, NULL},
		{{{1024, 64}, {8, 64}}, NULL},
		{{{16, 64}, {16, 64}}, NULL},
		{{{0, 16}, {4, 16}}, "0 entries in sets"},
		{{{512, 16}, {0, 16}}, "0 ways"},
		{{{512, 16}, {1, 16}}, "1 ways"},
		{{{512, 16}, {3, 16}}, "3 ways"},
		{{{512, 16}, {32, 16}}, "32 ways"},
		{{{500, 16}, {4, 16}}, "500 entries in sets of 4"},
		{{{510, 16}, {4, 16}}, "510 entries in sets of 4"},
		{{{514, 16}, {4, 16}}, "514 entries in sets of 4"}, /* 128 sets, and two more */
		{{{131072, 16}, {4, 16}}, "more than 65536"},
		{{{0x80000000u, 16}, {2, 16}}, "more than 65536"},
		{{{512, 0}, {4, 0}}, "TLB1 has 0 entries"},
		{{{512, 65}, {4, 65}}, "TLB1 has 65 entries"},
		{{{512, 16}, {4, 4}}, "fully associative"},
		{{{512, 16, 1}, {4, 16}}, "TLB2 and TLB3"},
		{{{512, 16, 0, 1}, {4, 16}}, "TLB2 and TLB3"},
		{{{512, 16}, {4, 16, 1}}, "TLB2 and TLB3"},
		{{{512, 16}, {4, 16, 0, 1}}, "TLB2 and TLB3"},
	};
	char why[TLB_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = tlb_geometry_check(&cases[i].g, why);

		ck_assert_msg(r == (cases[i].why ? -EINVAL : 0), "case %zu: %d", i, r);
		if (cases[i].why)
			ck_assert_msg(strstr(why, cases[i].why), "case %zu: %s", i, why);
	}
}
END_TEST

/* As KVM places them: TLB0 set by set, then TLB1 (seen on an e500v2). */
START_TEST(test_index)
{
	unsigned tlbsel, esel;
	uint32_t i;

	ck_assert_int_eq(tlb_index(&e500v2, 0, 2, 0x50003000, &i), 0);
	ck_assert_uint_eq(i, 3 * 4 + 2);
	ck_assert_int_eq(tlb_index(&e500v2, 0, 0, 0x80000, &i), 0);
	ck_assert_uint_eq(i, 0); /* set 128 of 128 is set 0 */
	ck_assert_int_eq(tlb_index(&e500v2, 1, 5, 0x40000000, &i), 0);
	ck_assert_uint_eq(i, 512 + 5);
	i = 77;
	ck_assert_int_eq(tlb_index(&e500v2, 0, 4, 0, &i), -EINVAL);
	ck_assert_int_eq(tlb_index(&e500v2, 1, 16, 0, &i), -EINVAL);
	ck_assert_int_eq(tlb_index(&e500v2, 2, 0, 0, &i), -EINVAL);
	ck_assert_uint_eq(i, 77);
	for (i = 0; i < tlb_entries(&e500v2); i++) {
		uint32_t back;

		tlb_place(&e500v2, i, &tlbsel, &esel);
		ck_assert_int_eq(
			tlb_index(&e500v2, tlbsel, esel, (uint64_t)(i / 4) << 12, &back), 0);
		ck_assert_uint_eq(back, i);
	}
}
END_TEST

START_TEST(test_matches)
{
	struct tlb_entry e = {
		.mas1 = MAS1_VALID | MAS1_TID(7) | MAS1_TSIZE(10), /* 1 MiB */
		.mas2 = 0x40000000,
	};
	uint32_t pid7 = MAS6_SPID(7);

	ck_assert_uint_eq(tlb_page_size(&e, 1), 1 << 20);
	ck_assert_uint_eq(tlb_page_size(&e, 0), 4096);
	ck_assert(tlb_matches(&e, 1, 0, pid7, 0x40000000));
	ck_assert(tlb_matches(&e, 1, 0, pid7, 0x400fffff));
	ck_assert(!tlb_matches(&e, 1, 0, pid7, 0x40100000));
	ck_assert(!tlb_matches(&e, 1, 0, pid7, 0x3fffffff));
	ck_assert(!tlb_matches(&e, 0, 0, pid7, 0x40001000)); /* in TLB0 it is of 4 KiB */
	ck_assert(!tlb_matches(&e, 1, 0, MAS6_SPID(8), 0x40000000));
	ck_assert(!tlb_matches(&e, 1, 0, pid7 | MAS6_SAS, 0x40000000));
	ck_assert(!tlb_matches(&e, 1, MAS5_SGS, pid7, 0x40000000));
	ck_assert(tlb_matches(&e, 1, 3, pid7, 0x40000000)); /* TLPID 0: every LPID */
	e.mas8 = MAS8_TGS | 3;
	ck_assert(tlb_matches(&e, 1, MAS5_SGS | 3, pid7, 0x40000000));
	ck_assert(!tlb_matches(&e, 1, MAS5_SGS | 4, pid7, 0x40000000));
	e.mas8 = 0;
	e.mas1 = MAS1_VALID | MAS1_TS | MAS1_TSIZE(31); /* TID 0; the largest that there is */
	ck_assert_uint_eq(tlb_page_size(&e, 1), 1ull << 41);
	ck_assert(tlb_matches(&e, 1, 0, pid7 | MAS6_SAS, 0xffffffff));
	e.mas1 &= ~MAS1_VALID;
	ck_assert(!tlb_matches(&e, 1, 0, pid7 | MAS6_SAS, 0xffffffff));
}
END_TEST

START_TEST(test_decode)
{
	static const struct {
		unsigned bits; /* of MAS3 */
		const char *user, *supervisor;
	} rows[] = {
		{0x00, "---", "---"}, {0x20, "--x", "---"},  /* UX */
		{0x10, "---", "--x"},                        /* SX */
		{0x08, "-w-", "---"},                        /* UW */
		{0x04, "---", "-w-"},                        /* SW */
		{0x02, "r--", "---"},                        /* UR */
		{0x01, "---", "r--"},                        /* SR */
		{0x3f, "rwx", "rwx"}, {0x3c0, "---", "---"}, /* U0 to U3 are the guest's own */
	};
	struct tlb_entry e = {
		.mas1 = MAS1_VALID | MAS1_IPROT | MAS1_TID(0x3fff) | MAS1_TSIZE(4), /* 16 KiB */
		.mas2 = 0xc000000080004000 | 0xa,
		.mas7_3 = 0xf12344000,
	};
	struct tlb_fields f;

	tlb_decode(&e, 1, &f);
	ck_assert_uint_eq(f.epn, 0xc000000080004000);
	ck_assert_uint_eq(f.rpn, 0xf12344000);
	ck_assert_uint_eq(f.size, 16384);
	ck_assert_uint_eq(f.tid, 0x3fff);
	ck_assert_uint_eq(f.ts, 0);
	ck_assert(f.iprot);
	ck_assert_str_eq(f.wimge, "-I-G-");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		e.mas7_3 = rows[i].bits;
		tlb_decode(&e, 1, &f);
		ck_assert_str_eq(f.user, rows[i].user);
		ck_assert_str_eq(f.supervisor, rows[i].supervisor);
		ck_assert_uint_eq(f.rpn, 0);
	}
	e.mas1 = MAS1_VALID | MAS1_TS | MAS1_TSIZE(4);
	e.mas2 = 0x15;
	tlb_decode(&e, 0, &f);
	ck_assert_uint_eq(f.epn, 0);
	ck_assert_uint_eq(f.size, 4096); /* whatever TSIZE says */
	ck_assert_uint_eq(f.ts, 1);
	ck_assert(f.tid == 0 && !f.iprot);
	ck_assert_str_eq(f.wimge, "W-M-E");
}
END_TEST

/* Records of TLB entries: 24 bytes each, valid by MAS1. */
START_TEST(test_records)
{
	const struct tlb_entry one = {1, MAS1_VALID | 2, 0x1122334455667788, 0x99aabbccddeeff00};
	uint8_t buf[256], part[256], wire[256];
	struct htab_count count;
	struct tlb_entry back;
	struct htab_iter it;
	struct htab_rec rec;
	const char *why;
	size_t len;

	htab_put_header(buf, HTAB_WIRE, 10, 2, 3);
	tlb_entry_put(buf + 8, &one);
	tlb_entry_put(buf + 32, &one);
	htab_put_header(buf + 56, HTAB_WIRE, 20, 0, 508);
	len = 64;
	ck_assert_int_eq(htab_check_kind(HTAB_TLB, buf, len, 528, HTAB_WIRE, &count, &why), 0);
	ck_assert_uint_eq(count.records, 2);
	ck_assert_uint_eq(count.valid, 2);
	ck_assert_uint_eq(count.end, 528);
	ck_assert_int_lt(htab_check_kind(HTAB_TLB, buf, len, 527, HTAB_WIRE, &count, &why), 0);
	for (size_t cut = 1; cut < 56; cut++)
		ck_assert_int_lt(
			htab_check_kind(HTAB_TLB, buf, cut, 528, HTAB_WIRE, &count, &why), 0);
	/* The valid bit is MAS1's, not where an HPTE has it. */
	buf[32 + 4] &= 0x7f;
	ck_assert_int_lt(htab_check_kind(HTAB_TLB, buf, len, 528, HTAB_WIRE, &count, &why), 0);
	ck_assert_ptr_nonnull(strstr(why, "valid bit"));
	buf[32 + 4] |= 0x80;

	memcpy(wire, buf, len);
	htab_convert_kind(HTAB_TLB, buf, len, HTAB_WIRE, HTAB_HOST);
	htab_iter_init_kind(&it, HTAB_TLB, buf, len, 528, HTAB_HOST);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	ck_assert_uint_eq(rec.index, 10);
	tlb_entry_get(rec.hptes + TLB_ENTRY_SIZE, &back);
	ck_assert_uint_eq(back.mas8, one.mas8);
	ck_assert_uint_eq(back.mas1, one.mas1);
	ck_assert_uint_eq(back.mas2, one.mas2);
	ck_assert_uint_eq(back.mas7_3, one.mas7_3);
	/* Split behind one entry. */
	ck_assert_uint_eq(htab_split(&rec, part, 8 + 24 + 23, HTAB_WIRE), 32);
	ck_assert_uint_eq(rec.n_valid, 1);
	ck_assert_uint_eq(rec.n_invalid, 3);
	ck_assert_uint_eq(htab_split(&rec, part, 8 + 24, HTAB_WIRE), 32);
	ck_assert_uint_eq(rec.n_valid + rec.n_invalid, 0);
	ck_assert_mem_eq(part + 8, wire + 32, 24);
	ck_assert(!htab_read_wrapped_kind(HTAB_TLB, 68, 100, 7, 528));
	ck_assert(htab_read_wrapped_kind(HTAB_TLB, 67, 100, 7, 528));
	ck_assert(htab_read_wrapped_kind(HTAB_TLB, 100, 100, 528, 528));
}
END_TEST

START_TEST(test_registers)
{
	const uint32_t e500 = BOOKE_E_BASE | BOOKE_E_ARCH206 | BOOKE_E_IVOR | BOOKE_E_MMU |
		BOOKE_E_SPE | BOOKE_E_PM;
	const struct booke_range *all;
	char text[STATE_NAME_MAX];
	size_t n;

	all = booke_ranges(&n);
	for (size_t i = 0; i < n; i++) {
		ck_assert(all[i].size == 4 || all[i].size == 8);
		ck_assert_uint_ge(all[i].count, 1);
		/* No id twice, and the names run to the last. */
		for (unsigned j = 0; j < all[i].count; j++)
			ck_assert_ptr_eq(booke_find(all[i].id + j), &all[i]);
	}
	ck_assert(booke_name(BOOKE_MAS2, text, sizeof(text)));
	ck_assert_str_eq(text, "MAS2");
	ck_assert(booke_name(BOOKE_IVOR + 37, text, sizeof(text)));
	ck_assert_str_eq(text, "IVOR37");
	ck_assert(!booke_name(BOOKE_IVOR + 16, text, sizeof(text)));
	ck_assert(booke_name(BOOKE_DAC + 1, text, sizeof(text)));
	ck_assert_str_eq(text, "DAC2");

	ck_assert(booke_has(booke_find(BOOKE_MAS0), e500, BOOKE_IMPL_FSL, 0));
	ck_assert(booke_has(booke_find(BOOKE_IVOR + 34), e500, BOOKE_IMPL_FSL, 0));
	ck_assert(!booke_has(booke_find(BOOKE_IVOR + 36), e500, BOOKE_IMPL_FSL, 0));
	ck_assert(!booke_has(booke_find(BOOKE_IVOR + 34), e500 & ~BOOKE_E_SPE, 1, 0));
	ck_assert(!booke_has(booke_find(BOOKE_EPCR), e500, BOOKE_IMPL_FSL, 0));
	ck_assert(booke_has(booke_find(BOOKE_HID0), e500, BOOKE_IMPL_FSL, 0));
	ck_assert(!booke_has(booke_find(BOOKE_HID0), e500, BOOKE_IMPL_NONE, 0));
	ck_assert(!booke_has(booke_find(BOOKE_PID1), e500, BOOKE_IMPL_FSL, 0));
	ck_assert(booke_has(booke_find(BOOKE_PID1), e500, BOOKE_IMPL_FSL, BOOKE_FSL_PIDN));
}
END_TEST

START_TEST(test_config)
{
	const struct booke_tlb_config c = {TLB_MMU_FSL_NOHV, {{512, 16}, {4, 16}}};
	struct booke_tlb_config back = {.mmu = TLB_MMU_FSL_HV};
	char name[STATE_NAME_MAX], value[STATE_SHOW_MAX];
	uint8_t buf[STATE_HDR_SIZE + BOOKE_TLB_CONFIG_SIZE];
	struct state_elem elem;
	struct unpack u;
	struct pack k;

	pack_init(&k, buf, sizeof(buf));
	booke_put_tlb_config(&k, 3, &c);
	ck_assert_int_eq(pack_end(&k), 0);
	ck_assert_uint_eq(k.len, sizeof(buf));
	unpack_init(&u, buf, sizeof(buf));
	ck_assert_int_eq(state_next(&u, &elem), 1);
	ck_assert_int_eq(booke_get_tlb_config(&elem, &back), 0);
	ck_assert_int_eq(back.mmu, TLB_MMU_FSL_NOHV);
	ck_assert(tlb_geometry_eq(&back.geometry, &c.geometry));
	state_describe(&elem, name);
	ck_assert_str_eq(name, "vCPU 3 TLB geometry");
	state_show(&elem, value);
	ck_assert_str_eq(value, "TLB0 512 entries in 4 ways, TLB1 16");

	elem.size--;
	ck_assert_int_eq(booke_get_tlb_config(&elem, &back), -EBADMSG);
	elem.size++;
	buf[STATE_HDR_SIZE + 3] = 2; /* no mmu type */
	ck_assert_int_eq(booke_get_tlb_config(&elem, &back), -EBADMSG);
	buf[STATE_HDR_SIZE + 3] = 0;
	buf[STATE_HDR_SIZE + 23] = 3; /* ways */
	ck_assert_int_eq(booke_get_tlb_config(&elem, &back), -EBADMSG);
	buf[STATE_HDR_SIZE + 23] = 4;
	elem.kind = STATE_BOOKE;
	ck_assert_int_eq(booke_get_tlb_config(&elem, &back), -EBADMSG);
	elem.kind = STATE_TLB;
	elem.id = 1;
	ck_assert_int_eq(booke_get_tlb_config(&elem, &back), -EBADMSG);
	state_describe(&elem, name);
	ck_assert_str_eq(name, "vCPU 3 unknown TLB element 0x1");
	elem.kind = STATE_BOOKE;
	elem.id = BOOKE_TSR;
	state_describe(&elem, name);
	ck_assert_str_eq(name, "vCPU 3 register TSR");
	elem.id = 0x999;
	state_describe(&elem, name);
	ck_assert_str_eq(name, "vCPU 3 unknown BookE register 0x999");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tlb");
	TCase *t = tcase_create("tlb");
	SRunner *sr;
	int failed;

	tcase_add_test(t, test_geometry);
	tcase_add_test(t, test_index);
	tcase_add_test(t, test_matches);
	tcase_add_test(t, test_decode);
	tcase_add_test(t, test_records);
	tcase_add_test(t, test_registers);
	tcase_add_test(t, test_config);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
