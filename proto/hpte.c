/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/hpte.h"

#include <stddef.h>

#define AVPN_LOW 23 /* the lowest bit of a virtual address that the AVPN has */

/* kvmppc_hpte_page_shifts(): L is set, lp the eight bits at 12 of the second doubleword. */
static void page_shifts(unsigned lp, unsigned *base, unsigned *actual)
{
	static const struct {
		unsigned lp, mask, base, actual;
	} sizes[] = {
		{0x00, 0xff, 24, 24},
		{0x01, 0x0f, 16, 16},
		{0x03, 0xff, 34, 34},
		{0x07, 0x0f, 12, 16},
		{0x08, 0xff, 16, 24},
		{0x38, 0xff, 12, 24},
	};

	*base = *actual = 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if ((lp & sizes[i].mask) != sizes[i].lp)
			continue;
		*base = sizes[i].base;
		*actual = sizes[i].actual;
	}
}

/* The segment and the page in it; hpte_decode() of Linux, and the hash once more as a check. */
static void place(struct hpte *h, uint64_t v, uint64_t entries)
{
	uint64_t avpn = (v & HPTE_V_AVPN) >> HPTE_V_AVPN_SHIFT;
	uint64_t mask = entries / HPTE_GROUP - 1;
	uint64_t pteg = h->secondary ? ~h->pteg & mask : h->pteg;
	uint64_t in_avpn = (1ull << (h->seg_shift - AVPN_LOW)) - 1;
	uint64_t hash;

	h->vsid = avpn >> (h->seg_shift - AVPN_LOW);
	hash = h->seg_shift == 40 ? h->vsid ^ h->vsid << 25 : h->vsid;
	if (!h->base_shift)
		return;
	h->offset = (avpn & in_avpn) << AVPN_LOW;
	if (h->base_shift < AVPN_LOW)
		h->offset |= ((hash ^ pteg) & mask & ((1ull << (AVPN_LOW - h->base_shift)) - 1))
			<< h->base_shift;
	h->offset &= ~((1ull << h->base_shift) - 1);
	h->misplaced = ((hash ^ h->offset >> h->base_shift) & mask) != pteg;
}

void hpte_decode(uint64_t v, uint64_t r, uint64_t index, uint64_t entries, struct hpte *ret)
{
	struct hpte h = {
		.index = index,
		.pteg = index / HPTE_GROUP,
		.slot = (unsigned)(index % HPTE_GROUP),
		.secondary = v & HPTE_V_SECONDARY,
		.bolted = v & HPTE_V_BOLTED,
		.large = v & HPTE_V_LARGE,
		.base_shift = 12,
		.actual_shift = 12,
		.pp = (unsigned)((r & HPTE_R_PP0) >> 61 | (r & HPTE_R_PP)),
		.key = (unsigned)((r & HPTE_R_KEY_HI) >> 57 | (r & HPTE_R_KEY_LO) >> 9),
		.w = r & HPTE_R_W,
		.i = r & HPTE_R_I,
		.m = r & HPTE_R_M,
		.g = r & HPTE_R_G,
		.n = r & HPTE_R_N,
		.r = r & HPTE_R_R,
		.c = r & HPTE_R_C,
	};

	if (h.large)
		page_shifts((unsigned)(r >> 12 & 0xff), &h.base_shift, &h.actual_shift);
	if (v >> HPTE_V_SSIZE <= 1)
		h.seg_shift = v >> HPTE_V_SSIZE ? 40 : 28;
	if (h.actual_shift)
		h.real = r & HPTE_R_RPN & ~((1ull << h.actual_shift) - 1);
	if (h.seg_shift)
		place(&h, v, entries);
	*ret = h;
}

const char *hpte_size(unsigned shift)
{
	switch (shift) {
	case 12: return "4K";
	case 16: return "64K";
	case 24: return "16M";
	case 28: return "256M";
	case 34: return "16G";
	case 40: return "1T";
	default: return "?";
	}
}

void hpte_wimgn(const struct hpte *h, char buf[static 6])
{
	buf[0] = h->w ? 'W' : '-';
	buf[1] = h->i ? 'I' : '-';
	buf[2] = h->m ? 'M' : '-';
	buf[3] = h->g ? 'G' : '-';
	buf[4] = h->n ? 'N' : '-';
	buf[5] = 0;
}
