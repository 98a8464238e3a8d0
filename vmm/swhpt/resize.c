/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table in another size: what resize_hpt_rehash_hpte() in book3s_64_mmu_hv.c does. */
#include <errno.h>
#include <stdlib.h>

#include "vmm/swhpt/impl.h"

#define HPTE_V_AVPN_SHIFT 7u
#define AVPN_PAGE_SHIFT   23u /* the lowest bit of a virtual address that an AVPN has */
#define SEG_256M_BITS     5u  /* bits of an AVPN that are offset in the segment */
#define SEG_1TB_BITS      17u

/*
 * The hash of the page that an entry maps. Its AVPN lacks the low bits of the address: those are in
 * the number of the group that the hash chose for it.
 */
static uint64_t hash_of(uint64_t v, uint64_t r, uint64_t group, uint64_t mask)
{
	unsigned shift = swhpt_base_page_shift(v, r);
	bool large = v & HPTE_V_1TB_SEG;
	unsigned bits = large ? SEG_1TB_BITS : SEG_256M_BITS;
	/* B, the two uppermost bits, is no part of it */
	uint64_t avpn = (v & ~(3ull << HPTE_V_B_SHIFT) & HPTE_V_AVPN_MASK) >> HPTE_V_AVPN_SHIFT;
	uint64_t offset, vsid;

	avpn &= ~(((1ull << shift) - 1) >> AVPN_PAGE_SHIFT);
	vsid = avpn >> bits;
	offset = (avpn & ((1ull << bits) - 1)) << AVPN_PAGE_SHIFT;
	if (large)
		vsid ^= vsid << 25;
	if (shift < AVPN_PAGE_SHIFT)
		offset |= ((vsid ^ group) & mask) << shift;
	return vsid ^ offset >> shift;
}

static uint64_t new_index(
	const struct swhpt *h, uint64_t v, uint64_t r, uint64_t i, uint64_t new_entries)
{
	uint64_t group = i / HPTES_PER_GROUP, mask = h->entries / HPTES_PER_GROUP - 1;
	uint64_t new_mask = new_entries / HPTES_PER_GROUP - 1, hash;

	if (v & HPTE_V_SECONDARY)
		group = ~group;
	hash = hash_of(v, r, group, mask);
	if (v & HPTE_V_SECONDARY)
		hash = ~hash;
	return (hash & new_mask) * HPTES_PER_GROUP + i % HPTES_PER_GROUP;
}

static int move_bolted(
	struct swhpt *h, struct swhpt_hpte *hpt, struct swhpt_rev *rev, uint64_t new_entries)
{
	for (uint64_t i = 0; i < h->entries; i++) {
		uint64_t v3 = swhpt_load(&h->hpt[i].v), r3 = swhpt_load(&h->hpt[i].r);
		uint64_t v = hpte_old_v(v3, r3), guest_r = swhpt_load(&h->rev[i].guest_r), to;

		if (!(v & HPTE_V_PRESENT) || !(v & HPTE_V_BOLTED))
			continue;
		to = new_index(h, v, guest_r, i, new_entries);
		if (hpt[to].v & HPTE_V_PRESENT)
			return -ENOSPC;
		hpt[to] = (struct swhpt_hpte){v3, r3};
		rev[to].guest_r = guest_r;
	}
	return 0;
}

int swhpt_resize(struct swhpt *h, unsigned order)
{
	struct swhpt_hpte *hpt;
	struct swhpt_rev *rev;
	int r;

	r = swhpt_new_arrays(order, &hpt, &rev);
	if (r < 0)
		return r;
	pthread_mutex_lock(&h->setup);
	pthread_rwlock_wrlock(&h->table);
	r = __atomic_load_n(&h->running, __ATOMIC_ACQUIRE)
		? -EBUSY
		: move_bolted(h, hpt, rev, htab_entries(order));
	if (r == 0) {
		free(h->hpt);
		free(h->rev);
		h->hpt = hpt;
		h->rev = rev;
		h->order = order;
		h->entries = htab_entries(order);
	} else {
		free(hpt);
		free(rev);
	}
	pthread_rwlock_unlock(&h->table);
	pthread_mutex_unlock(&h->setup);
	return r;
}
