/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What an entry of a hashed page table says: segment, page, real page, protection.
 *
 * The form is POWER8's (Power ISA 2.07, Book III-S, 5.7.7.1), in which KVM shows every entry, on
 * POWER9 too. The names of the fields and the way from a slot back to an address are Linux'
 * hpte_decode() (arch/powerpc/mm/book3s64/hash_native.c); the page sizes are those that KVM knows,
 * kvmppc_hpte_page_shifts() (arch/powerpc/include/asm/kvm_book3s_64.h).
 *
 * Pure functions; any thread; nothing is allocated.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/htab.h"

#define HPTE_GROUP        8u /* entries of a PTEG */

#define HPTE_V_SSIZE      62 /* the field B: 0 is 256 MiB, 1 is 1 TiB */
#define HPTE_V_AVPN       0x3fffffffffffff80ull
#define HPTE_V_AVPN_SHIFT 7
#define HPTE_R_PP0        0x8000000000000000ull
#define HPTE_R_KEY_HI     0x3000000000000000ull
#define HPTE_R_RPN        0x0ffffffffffff000ull
#define HPTE_R_KEY_LO     0x0000000000000e00ull
#define HPTE_R_W          0x40ull
#define HPTE_R_I          0x20ull
#define HPTE_R_M          0x10ull
#define HPTE_R_G          0x08ull
#define HPTE_R_N          0x04ull
#define HPTE_R_PP         0x03ull

struct hpte {
	uint64_t index; /* in the table */
	uint64_t pteg;  /* index / 8 */
	unsigned slot;  /* index % 8 */
	bool secondary; /* found by the second hash */
	bool bolted, large;
	unsigned seg_shift;    /* log2 of the segment's bytes: 28 or 40; 0: B is none of both */
	unsigned base_shift;   /* log2 of the base page's bytes: 12, 16, 24, 34; 0: unknown */
	unsigned actual_shift; /* and of the actual page's, at least that */
	uint64_t vsid;
	/* Of the page in its segment, in bytes: high bits from the AVPN, the rest from the hash. */
	uint64_t offset;
	bool misplaced; /* the hash of this page leads to another PTEG */
	uint64_t real;  /* the real page's address, in bytes */
	unsigned pp;    /* with pp0 in front: 0 to 7 */
	unsigned key;   /* 0 to 31 */
	bool w, i, m, g, n, r, c;
};

/*
 * Take apart what stands at `index` of a table of `entries` entries (v and r in host byte order).
 * Fields that cannot be told are 0: seg_shift and what depends on it for a reserved segment size,
 * base_shift and what depends on it for a page size that KVM does not know.
 */
void hpte_decode(uint64_t v, uint64_t r, uint64_t index, uint64_t entries, struct hpte *ret);

/* "4K", "64K", "16M", "16G", "256M", "1T"; "?" for 0. */
const char *hpte_size(unsigned shift);

/* "W-M--": the letters of what is set, 5 characters and a NUL. */
void hpte_wimgn(const struct hpte *h, char buf[static 6]);
