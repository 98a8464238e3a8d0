/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an entry that a guest gives becomes in the table, by its page size and the memory there. */
#include "vmm/swhpt/impl.h"

/* Base page shift in bits 0 to 7, actual page shift in bits 8 to 15; 0 when not known. */
static unsigned page_shifts(uint64_t v, uint64_t r)
{
	if (!(v & HPTE_V_LARGE))
		return 12 << 8 | 12;
	switch (r >> 12 & 0xf) { /* LP */
	case 0: return r >> 16 & 0xf ? 0 : 24 << 8 | 24;
	case 1: return 16 << 8 | 16;
	case 3: return r >> 16 & 0xf ? 0 : 34 << 8 | 34;
	case 7: return 16 << 8 | 12; /* 64 KiB in a 4 KiB segment */
	case 8:
		switch (r >> 16 & 0xf) {
		case 0: return 24 << 8 | 16; /* 16 MiB in a 64 KiB segment */
		case 3: return 24 << 8 | 12; /* 16 MiB in a 4 KiB segment */
		default: return 0;
		}
	default: return 0;
	}
}

unsigned swhpt_base_page_shift(uint64_t v, uint64_t r)
{
	return page_shifts(v, r) & 0xff;
}

static const struct swhpt_slot *find_slot(const struct swhpt *h, uint64_t gpa)
{
	for (unsigned i = 0; i < h->n_slots; i++)
		if (gpa - h->slots[i].base < h->slots[i].size)
			return &h->slots[i];
	return NULL;
}

/* The range around an address that no slot has. */
static void find_gap(const struct swhpt *h, uint64_t gpa, uint64_t *base, uint64_t *size)
{
	uint64_t end = UINT64_MAX;

	*base = 0;
	for (unsigned i = 0; i < h->n_slots; i++) {
		const struct swhpt_slot *s = &h->slots[i];

		if (s->base > gpa)
			end = s->base < end ? s->base : end;
		else if (s->base + s->size > *base)
			*base = s->base + s->size;
	}
	*size = end - *base;
}

/* Entries like this one, of the same page size; slot: in memory, and as cacheable. */
static struct swhpt_alike learn(
	const struct swhpt *h, const struct swhpt_slot *slot, uint64_t v, uint64_t r, uint64_t page)
{
	struct swhpt_alike a = {
		.mask = {1ull << 63 | HPTE_V_LARGE | HPTE_V_VALID, slot ? HPTE_R_WIMG : 0},
		.gpa_mask = HPTE_R_RPN & ~(page - 1),
		.set = {slot ? HPTE_V_VALID : HPTE_V_ABSENT, slot ? 0 : HPTE_R_KEY},
	};

	if (v & HPTE_V_LARGE) /* the bits that page_shifts() looks at */
		a.mask[1] |= (r >> 12 & 0xf) == 1 || (r >> 12 & 0xf) == 7 ? 0xf000 : 0xff000;
	a.like[0] = (v | HPTE_V_VALID) & a.mask[0];
	a.like[1] = r & a.mask[1];
	if (slot) {
		a.base = slot->base;
		a.size = slot->size;
	} else {
		find_gap(h, r & a.gpa_mask, &a.base, &a.size);
	}
	return a;
}

/* Of an entry's second doubleword in memory all is kept: the lines below drop no other bit. */
static_assert(
	(HPTE_R_KEY | HPTE_R_PP0 | HPTE_R_RPN | 0xfff) == ~HPTE_R_MODIFIED, "as learn() has it");

int64_t swhpt_make_entry(const struct swhpt *h, uint64_t v, uint64_t r, struct swhpt_hpte *ret,
	uint64_t *ret_guest_r, struct swhpt_alike *alike)
{
	unsigned shift = page_shifts(v, r) >> 8;
	uint64_t page = 1ull << shift, gpa;
	const struct swhpt_slot *slot;

	if (v >> HPTE_V_B_SHIFT & 2 || !shift)
		return H_PARAMETER;
	v &= ~(HPTE_V_HVLOCK | HPTE_V_PRESENT);
	*ret_guest_r = r &= ~HPTE_R_MODIFIED;
	gpa = r & HPTE_R_RPN & ~(page - 1);
	slot = find_slot(h, gpa);
	if (!slot) {
		/* Emulated MMIO, which KVM marks with storage key 31. */
		if (alike)
			alike[1] = learn(h, NULL, v, r, page);
		v |= HPTE_V_ABSENT;
		r |= HPTE_R_KEY;
	} else {
		uint64_t wimg = r & HPTE_R_WIMG;

		if ((slot->base | slot->size) & (page - 1) || slot->host_page_shift < shift)
			return H_PARAMETER;
		v |= HPTE_V_VALID;
		r = (r & (HPTE_R_KEY | HPTE_R_PP0 | (page - 1))) | gpa;
		/* Memory stays cacheable, whatever the guest says; SAO is left alone. */
		if (wimg != HPTE_R_M && wimg != (HPTE_R_W | HPTE_R_I | HPTE_R_M))
			r = (r & ~HPTE_R_WIMG) | HPTE_R_M;
		else if (alike)
			alike[0] = learn(h, slot, v, r, page);
	}
	*ret = (struct swhpt_hpte){v & HPTE3_V_MASK, hpte_new_r(v, r)};
	return H_SUCCESS;
}
