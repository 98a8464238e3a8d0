/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What an entry's index and mapping say about it: the HPTE codec's model, the same at both ends.
 *
 * Power ISA 3.0B, Book III 5.7.7 to 5.7.9: PTEG = hash AND mask, or its complement with
 * HPTE_V_SECONDARY; hash = VSID XOR page number, with 1 TiB segments VSID XOR (VSID << 25) XOR page
 * number. The first doubleword has the virtual address from bit 23 upwards at bit 7 (AVPN), the
 * segment's kind at the top (B). A wrong guess of the base page size costs bytes, nothing else.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/htab.h"

#define MODEL_B_SHIFT   62
#define MODEL_B_1T      1u
#define MODEL_AVPN_256M 0xf80ull    /* the part of the AVPN that is within the segment: 5 bits, */
#define MODEL_AVPN_1T   0xffff80ull /* 17 bits; the rest is the VSID */
#define MODEL_SLOTS     8u
#define MODEL_MAPS      2048u /* of a chunk */

/* Entries that differ by page alone: one segment, one page size, one set of flags. */
struct model_map {
	uint64_t vbase; /* the first doubleword without the page */
	uint64_t avpn;  /* the bits of it that hold the page */
	uint64_t hash;  /* page number = index / 8 XOR hash, as far as the mask goes */
	unsigned shift; /* log2 of the base page size */
	uint64_t high;  /* of the last entry: its address within the segment above the mask */
	uint64_t line;  /* of the last entry: second doubleword - address within the segment */
	uint64_t last;  /* the last entry's second doubleword */
};

/* What a slot of each PTEG had last. */
struct model_slot {
	uint64_t vbase, avpn, hash, high, line, last;
	unsigned shift;
	uint16_t map;
	bool set;
	bool hit; /* the last entry that was written out was as expected */
};

struct model {
	uint64_t mask; /* of PTEGs */
	unsigned bits; /* in the mask */
	unsigned n_maps;
	struct model_slot slot[MODEL_SLOTS];
	struct model_map map[MODEL_MAPS];
};

/* The base page size, by L and LP as Linux fills them in (mm/book3s64/hash_utils.c). */
static inline unsigned model_shift(uint64_t v, uint64_t r)
{
	unsigned lp = r >> 12 & 0xff;

	if (!(v & HPTE_V_LARGE))
		return 12;
	if ((lp & 0xf) == 1 || lp == 0x08)
		return 16;
	return lp == 0 ? 24 : 12;
}

static inline uint64_t model_avpn(uint64_t v)
{
	return v >> MODEL_B_SHIFT == MODEL_B_1T ? MODEL_AVPN_1T : MODEL_AVPN_256M;
}

static inline uint64_t model_hash(uint64_t v)
{
	uint64_t avpn = v & ((1ull << MODEL_B_SHIFT) - 1), hash = avpn >> 12;

	if (v >> MODEL_B_SHIFT == MODEL_B_1T) {
		hash = avpn >> 24;
		hash ^= hash << 25;
	}
	return v & HPTE_V_SECONDARY ? ~hash : hash;
}

/* The address within the segment, as far as the PTEG says. */
static inline uint64_t model_low(
	const struct model *m, uint64_t index, uint64_t hash, unsigned shift)
{
	return ((index / MODEL_SLOTS ^ hash) & m->mask) << shift;
}

/* The first doubleword of the entry at that address. */
static inline uint64_t model_v(uint64_t vbase, uint64_t avpn, uint64_t addr)
{
	return vbase | (addr >> 16 & avpn);
}

static inline void model_init(struct model *m, unsigned order)
{
	m->bits = order - 7;
	m->mask = (1ull << m->bits) - 1;
}

static inline void model_reset(struct model *m)
{
	m->n_maps = 0;
	for (unsigned i = 0; i < MODEL_SLOTS; i++)
		m->slot[i].set = m->slot[i].hit = false;
}

/* What this entry begins; its address becomes *ret_addr. False: its place says another page. */
static inline bool model_map_of(const struct model *m, uint64_t index, uint64_t v, uint64_t r,
	struct model_map *ret, uint64_t *ret_addr)
{
	uint64_t low, above, mask;

	*ret = (struct model_map){
		.avpn = model_avpn(v),
		.hash = model_hash(v),
		.shift = model_shift(v, r),
	};
	ret->vbase = v & ~ret->avpn;
	low = model_low(m, index, ret->hash, ret->shift);
	above = (v & ret->avpn) << 16;
	mask = m->mask << ret->shift;
	/* The two overlap from bit 23 to the top of the mask. */
	if ((low ^ above) & mask & ~((1ull << 23) - 1))
		return false;
	*ret_addr = low | above;
	ret->high = above & ~mask;
	/* A 16 MiB page begins at bit 24, the AVPN at bit 23. */
	if (ret->high & ((1ull << ret->shift) - 1))
		return false;
	if (model_v(ret->vbase, ret->avpn, *ret_addr) != v)
		return false;
	return true;
}

/* An entry was not what its slot said: it says something new from now on. */
static inline void model_learn(
	struct model *m, uint64_t index, unsigned map, uint64_t high, uint64_t addr, uint64_t r)
{
	struct model_slot *s = &m->slot[index % MODEL_SLOTS];
	struct model_map *t = &m->map[map];

	t->high = high;
	t->line = r - addr;
	t->last = r;
	*s = (struct model_slot){
		.vbase = t->vbase,
		.avpn = t->avpn,
		.hash = t->hash,
		.high = high,
		.line = t->line,
		.last = r,
		.shift = t->shift,
		.map = (uint16_t)map,
		.set = true,
	};
}
