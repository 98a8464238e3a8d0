/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/tlb.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/pack.h"

static_assert(sizeof(struct tlb_entry) == TLB_ENTRY_SIZE, "KVM's struct");

static bool power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

int tlb_geometry_check(const struct tlb_geometry *g, char why[static TLB_TEXT_MAX])
{
	uint32_t size = g->sizes[0], ways = g->ways[0];

	if (!power_of_two(ways) || ways < TLB0_WAYS_MIN || ways > TLB0_WAYS_MAX)
		snprintf(why, TLB_TEXT_MAX, "TLB0 has %u ways, not a power of two from %u to %u",
			ways, TLB0_WAYS_MIN, TLB0_WAYS_MAX);
	else if (size > TLB0_ENTRIES_MAX)
		snprintf(why, TLB_TEXT_MAX, "TLB0 has %u entries, more than %u", size,
			TLB0_ENTRIES_MAX);
	else if (size % ways || !power_of_two(size / ways))
		snprintf(why, TLB_TEXT_MAX,
			"TLB0 has %u entries in sets of %u, whose number is not a power of two",
			size, ways);
	else if (g->sizes[1] < 1 || g->sizes[1] > TLB1_ENTRIES_MAX)
		snprintf(why, TLB_TEXT_MAX, "TLB1 has %u entries, not 1 to %u", g->sizes[1],
			TLB1_ENTRIES_MAX);
	else if (g->ways[1] != g->sizes[1])
		snprintf(why, TLB_TEXT_MAX,
			"TLB1 has %u ways for %u entries, but must be fully associative",
			g->ways[1], g->sizes[1]);
	else if (g->sizes[2] || g->sizes[3] || g->ways[2] || g->ways[3])
		snprintf(why, TLB_TEXT_MAX, "TLB2 and TLB3 are reserved and must be empty");
	else
		return 0;
	return -EINVAL;
}

bool tlb_geometry_eq(const struct tlb_geometry *a, const struct tlb_geometry *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int tlb_index(
	const struct tlb_geometry *g, unsigned tlbsel, unsigned esel, uint64_t epn, uint32_t *ret)
{
	if (tlbsel > 1 || esel >= g->ways[tlbsel])
		return -EINVAL;
	if (tlbsel == 0)
		*ret = tlb_set_of(g, epn) * g->ways[0] + esel;
	else
		*ret = g->sizes[0] + esel;
	return 0;
}

void tlb_place(
	const struct tlb_geometry *g, uint32_t index, unsigned *ret_tlbsel, unsigned *ret_esel)
{
	assert(index < tlb_entries(g));
	*ret_tlbsel = index >= g->sizes[0];
	*ret_esel = *ret_tlbsel ? index - g->sizes[0] : index % g->ways[0];
}

uint64_t tlb_page_size(const struct tlb_entry *e, unsigned tlbsel)
{
	unsigned shift = 10 + MAS1_GET_TSIZE(e->mas1);

	return tlbsel == 0 ? 1ull << TLB_PAGE_SHIFT : 1ull << shift;
}

bool tlb_matches(
	const struct tlb_entry *e, unsigned tlbsel, uint32_t mas5, uint32_t mas6, uint64_t ea)
{
	uint32_t tid = MAS1_GET_TID(e->mas1), lpid = e->mas8 & MAS8_TLPID;
	uint64_t mask = ~(tlb_page_size(e, tlbsel) - 1);

	return tlb_valid(e) && (e->mas2 & MAS2_EPN & mask) == (ea & mask) &&
		(tid == 0 || tid == MAS6_GET_SPID(mas6)) &&
		!(e->mas1 & MAS1_TS) == !(mas6 & MAS6_SAS) &&
		!(e->mas8 & MAS8_TGS) == !(mas5 & MAS5_SGS) &&
		(lpid == 0 || lpid == (mas5 & MAS5_SLPID));
}

/* A letter for each bit that is set, the last one for bit 0. */
static void letters(char *dst, const char *names, unsigned bits)
{
	size_t n = strlen(names);

	for (size_t i = 0; i < n; i++)
		dst[i] = bits >> (n - 1 - i) & 1 ? names[i] : '-';
	dst[n] = 0;
}

void tlb_decode(const struct tlb_entry *e, unsigned tlbsel, struct tlb_fields *ret)
{
	unsigned perms = (unsigned)(e->mas7_3 & MAS3_PERMS); /* UX SX UW SW UR SR */

	*ret = (struct tlb_fields){
		.epn = e->mas2 & MAS2_EPN,
		.rpn = e->mas7_3 & MAS3_RPN,
		.size = tlb_page_size(e, tlbsel),
		.tid = MAS1_GET_TID(e->mas1),
		.ts = e->mas1 & MAS1_TS ? 1 : 0,
		.iprot = e->mas1 & MAS1_IPROT,
	};
	letters(ret->user, "rwx", (perms << 1 & 4) | (perms >> 2 & 2) | (perms >> 5 & 1));
	letters(ret->supervisor, "rwx", (perms << 2 & 4) | (perms >> 1 & 2) | (perms >> 4 & 1));
	letters(ret->wimge, "WIMGE", (unsigned)(e->mas2 & MAS2_WIMGE));
}

void tlb_entry_put(uint8_t dst[static TLB_ENTRY_SIZE], const struct tlb_entry *e)
{
	be32_put(dst, e->mas8);
	be32_put(dst + 4, e->mas1);
	be64_put(dst + 8, e->mas2);
	be64_put(dst + 16, e->mas7_3);
}

void tlb_entry_get(const uint8_t src[static TLB_ENTRY_SIZE], struct tlb_entry *ret)
{
	ret->mas8 = be32_get(src);
	ret->mas1 = be32_get(src + 4);
	ret->mas2 = be64_get(src + 8);
	ret->mas7_3 = be64_get(src + 16);
}
