/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/hptgen.h"

#include <stdbool.h>
#include <stdlib.h>

#include "proto/htab.h"
#include "proto/pack.h"

#define GAMMA        0x9e3779b97f4a7c15ull /* splitmix64's step */
#define PAGE_SHIFT   12u
#define PTEG_ENTRIES 8u
#define B_1T         (1ull << 62)
#define R_WIMG_M     0x10ull
#define PP_RW        2ull
#define LINEAR_VSID  0x8b5c2full
#define OTHERS       30000u /* of order 25 */
#define OTHERS_ORDER 25u
#define RUN_PAGES    16u
#define KERNEL_VSIDS 40u
#define USER_VSIDS   200u
/* Linux scatters VSIDs in this way, and so the groups of a table. */
#define VSID_MULTIPLIER 12538073ull
#define VSID_MODULUS    ((1ull << 37) - 1)

const char *const hptgen_name[HPTGEN_KINDS] = {
	[HPTGEN_LINUX] = "linux",
	[HPTGEN_USER] = "user",
};

struct gen {
	uint8_t *flat;
	unsigned order;
	uint64_t groups, seed, valid;
};

static uint64_t next_random(struct gen *g)
{
	uint64_t z = g->seed += GAMMA;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Put an entry into its primary group, or its secondary one. False when both are full. */
static bool enter(struct gen *g, uint64_t hash, uint64_t v, uint64_t r)
{
	for (int secondary = 0; secondary < 2; secondary++) {
		uint64_t group = (secondary ? ~hash : hash) & (g->groups - 1);
		uint8_t *p = g->flat + group * PTEG_ENTRIES * HTAB_HPTE_SIZE;

		for (unsigned i = 0; i < PTEG_ENTRIES; i++, p += HTAB_HPTE_SIZE) {
			if (be64_get(p) & HPTE_V_VALID)
				continue;
			be64_put(p, v | HPTE_V_VALID | (secondary ? HPTE_V_SECONDARY : 0));
			be64_put(p + 8, r);
			g->valid++;
			return true;
		}
	}
	return false;
}

/* Power ISA 3.0B, Book III 5.7.7 and 5.7.9: the hash; the AVPN is the address from bit 23 up. */
static bool map_1t(struct gen *g, uint64_t vsid, uint64_t page, uint64_t flags_v, uint64_t r)
{
	uint64_t vpn = vsid << (40 - PAGE_SHIFT) | page;

	return enter(g, vsid ^ vsid << 25 ^ page, B_1T | vpn >> 11 << 7 | flags_v, r);
}

static bool map_256m(struct gen *g, uint64_t vsid, uint64_t page, uint64_t r)
{
	uint64_t vpn = vsid << (28 - PAGE_SHIFT) | page;

	return enter(g, vsid ^ page, vpn >> 11 << 7, r);
}

static uint64_t vsid_of(uint64_t n)
{
	return (0x1000 + n) * VSID_MULTIPLIER % VSID_MODULUS;
}

static uint64_t random_flags(struct gen *g)
{
	uint64_t x = next_random(g);

	return R_WIMG_M | HPTE_R_R | (x & 1 ? HPTE_R_C | PP_RW : PP_RW | 1);
}

/* What a kernel maps besides: runs of pages, each run somewhere in memory. */
static void map_runs(struct gen *g, uint64_t n, uint64_t pages)
{
	for (uint64_t done = 0; done < n; done += RUN_PAGES) {
		uint64_t vsid = vsid_of(next_random(g) % KERNEL_VSIDS);
		uint64_t page = next_random(g) & 0xfff0, real = next_random(g) % pages;
		uint64_t flags = random_flags(g);

		for (unsigned i = 0; i < RUN_PAGES && done + i < n; i++)
			map_256m(g, vsid, page + i, ((real + i) % pages) << PAGE_SHIFT | flags);
	}
}

static void map_users(struct gen *g, uint64_t n, uint64_t pages)
{
	/* Some find both groups full; the table has room enough for all that are wanted. */
	for (uint64_t done = 0; done < n;) {
		uint64_t vsid = vsid_of(1000 + next_random(g) % USER_VSIDS);
		uint64_t page = next_random(g) & 0xffff, real = next_random(g) % pages;

		done += map_256m(g, vsid, page, real << PAGE_SHIFT | random_flags(g));
	}
}

uint8_t *hptgen_make(enum hptgen_kind kind, unsigned order, uint64_t seed, uint64_t *ret_valid)
{
	struct gen g = {.order = order, .seed = seed};
	uint64_t pages = htab_entries(order) / 2; /* 2^(order + 7) bytes of memory */
	uint64_t linear;

	g.groups = htab_entries(order) / PTEG_ENTRIES;
	g.flat = calloc(1, (size_t)1 << order);
	if (!g.flat)
		return NULL;
	for (uint64_t page = 0; page < pages; page++)
		map_1t(&g, LINEAR_VSID, page, HPTE_V_BOLTED,
			page << PAGE_SHIFT | R_WIMG_M | HPTE_R_R | HPTE_R_C);
	linear = g.valid;
	switch (kind) {
	case HPTGEN_LINUX:
		map_runs(&g,
			order < OTHERS_ORDER ? OTHERS >> (OTHERS_ORDER - order)
					     : (uint64_t)OTHERS << (order - OTHERS_ORDER),
			pages);
		break;
	case HPTGEN_USER: map_users(&g, linear / 2, pages); break;
	}
	if (ret_valid)
		*ret_valid = g.valid;
	return g.flat;
}
