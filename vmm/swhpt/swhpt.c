/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/swhpt/swhpt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/pack.h"
#include "vmm/swhpt/impl.h"

bool swhpt_no_vec;

/*
 * Zeroed memory in huge pages, where the host has them: the kernel's table is not mapped by small
 * ones either, and a scan would miss the TLB for each.
 */
static void *new_array(uint64_t n, size_t size)
{
	void *p = calloc(n, size);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = ((uintptr_t)p + page - 1) / page * page;
	uintptr_t end = ((uintptr_t)p + n * size) / page * page;

	if (p && at < end)
		madvise((void *)at, end - at, MADV_HUGEPAGE); /* what fails costs time alone */
	return p;
}

int swhpt_new_arrays(unsigned order, struct swhpt_hpte **ret_hpt, struct swhpt_rev **ret_rev)
{
	struct swhpt_hpte *hpt;
	struct swhpt_rev *rev;

	if (order < HTAB_ORDER_MIN || order > HTAB_ORDER_MAX)
		return -EINVAL;
	hpt = new_array(htab_entries(order), sizeof(*hpt));
	rev = new_array(htab_entries(order), sizeof(*rev));
	if (!hpt || !rev) {
		free(hpt);
		free(rev);
		return -ENOMEM;
	}
	*ret_hpt = hpt;
	*ret_rev = rev;
	return 0;
}

int swhpt_new(unsigned order, struct swhpt **ret_h)
{
	struct swhpt *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = swhpt_new_arrays(order, &h->hpt, &h->rev);
	if (r < 0) {
		free(h);
		return r;
	}
	h->order = order;
	h->entries = htab_entries(order);
	h->refs = 1;
	pthread_rwlock_init(&h->table, NULL);
	pthread_mutex_init(&h->setup, NULL);
	*ret_h = h;
	return 0;
}

void swhpt_unref(struct swhpt *h)
{
	if (__atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(h->hpt);
	free(h->rev);
	pthread_rwlock_destroy(&h->table);
	pthread_mutex_destroy(&h->setup);
	free(h);
}

struct swhpt *swhpt_free(struct swhpt *h)
{
	if (h) {
		assert(!__atomic_load_n(&h->running, __ATOMIC_RELAXED));
		swhpt_unref(h);
	}
	return NULL;
}

unsigned swhpt_order(const struct swhpt *h)
{
	return h->order;
}

uint64_t swhpt_entries(const struct swhpt *h)
{
	return h->entries;
}

static bool running(const struct swhpt *h)
{
	return __atomic_load_n(&h->running, __ATOMIC_ACQUIRE) != 0;
}

int swhpt_reset(struct swhpt *h, unsigned order)
{
	struct swhpt_hpte *hpt;
	struct swhpt_rev *rev;
	int r = 0;

	pthread_mutex_lock(&h->setup);
	if (running(h)) {
		r = -EBUSY;
		goto out;
	}
	/* The kernel takes readiness away before it looks at the order, and leaves it so. */
	h->mmu_ready = false;
	pthread_rwlock_wrlock(&h->table);
	if (order == h->order) {
		/* The reverse map stays, marks of changes included: so it does in the kernel. */
		memset(h->hpt, 0, h->entries * sizeof(*h->hpt));
	} else {
		r = swhpt_new_arrays(order, &hpt, &rev);
		if (r == 0) {
			free(h->hpt);
			free(h->rev);
			h->hpt = hpt;
			h->rev = rev;
			h->order = order;
			h->entries = htab_entries(order);
		}
	}
	pthread_rwlock_unlock(&h->table);
out:
	pthread_mutex_unlock(&h->setup);
	return r;
}

int swhpt_add_memory(struct swhpt *h, uint64_t base, uint64_t size, unsigned host_page_shift)
{
	uint64_t page;
	int r = 0;

	if (host_page_shift < 12 || host_page_shift > 40)
		return -EINVAL;
	page = 1ull << host_page_shift;
	if (!size || (base | size) & (page - 1) || base + size < base)
		return -EINVAL;
	pthread_mutex_lock(&h->setup);
	for (unsigned i = 0; i < h->n_slots; i++) {
		const struct swhpt_slot *s = &h->slots[i];

		if (base < s->base + s->size && s->base < base + size)
			r = -EEXIST;
	}
	if (r == 0 && h->n_slots == SWHPT_SLOTS_MAX)
		r = -ENOSPC;
	if (r == 0 && running(h))
		r = -EBUSY;
	if (r == 0) {
		h->slots[h->n_slots++] = (struct swhpt_slot){base, size, host_page_shift};
		memset(h->alike, 0, sizeof(h->alike));
	}
	pthread_mutex_unlock(&h->setup);
	return r;
}

/* Map the memory at address 0 as KVM does: one bolted entry for each page, at most one a group. */
static void map_vrma(struct swhpt *h, const struct swhpt_slot *slot)
{
	unsigned shift = slot->host_page_shift >= 24 ? 24 : slot->host_page_shift >= 16 ? 16 : 12;
	uint64_t groups = h->entries / HPTES_PER_GROUP;
	uint64_t pages = slot->size >> shift, index;

	if (pages > 1ull << (40 - shift))
		pages = 1ull << (40 - shift);
	if (pages > groups)
		pages = groups;
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t addr = i << shift;
		uint64_t group = (i ^ VRMA_VSID ^ VRMA_VSID << 25) & (groups - 1);
		uint64_t v = VRMA_V | HPTE_V_BOLTED | ((addr >> 16) & HPTE_V_AVPN_MASK);
		uint64_t r = addr | HPTE_R_RC | HPTE_R_M;

		if (shift > 12)
			v |= HPTE_V_LARGE;
		if (shift == 16)
			r |= 0x1000;
		/* The kernel gives up at the first slot that is taken, and so do we. */
		if (swhpt_do_enter(h, H_EXACT, group * HPTES_PER_GROUP + 7, v, r, &index))
			return;
	}
}

void swhpt_vcpu_enter(struct swhpt *h)
{
	pthread_mutex_lock(&h->setup);
	if (!h->mmu_ready) {
		for (unsigned i = 0; i < h->n_slots; i++)
			if (h->slots[i].base == 0)
				map_vrma(h, &h->slots[i]);
		h->mmu_ready = true;
	}
	__atomic_add_fetch(&h->running, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&h->setup);
}

void swhpt_vcpu_leave(struct swhpt *h)
{
	unsigned before = __atomic_fetch_sub(&h->running, 1, __ATOMIC_RELEASE);

	assert(before);
}

bool swhpt_touch(struct swhpt *h, uint64_t index, uint64_t rc)
{
	struct swhpt_hpte *e = &h->hpt[index];
	bool valid;
	uint64_t v;

	assert(index < h->entries && !(rc & ~HPTE_R_RC));
	v = swhpt_lock(e);
	valid = v & HPTE_V_VALID;
	if (valid)
		swhpt_store(&e->r, swhpt_load(&e->r) | rc);
	swhpt_unlock(e, v);
	return valid;
}

int swhpt_save_flat(struct swhpt *h, void *flat, size_t len)
{
	uint8_t *p = flat;
	int ret = -EINVAL;

	pthread_rwlock_rdlock(&h->table);
	if (len != h->entries * HTAB_HPTE_SIZE)
		goto out;
	for (uint64_t i = 0; i < h->entries; i++, p += HTAB_HPTE_SIZE) {
		struct swhpt_hpte *e = &h->hpt[i];
		uint64_t v3 = swhpt_lock(e);
		uint64_t r3 = swhpt_load(&e->r);
		uint64_t v = hpte_old_v(v3, r3), r = swhpt_load(&h->rev[i].guest_r);

		if (v & HPTE_V_VALID)
			r |= r3 & HPTE_R_RC;
		swhpt_unlock(e, v3);
		hpte_normalise(&v, &r);
		be64_put(p, v);
		be64_put(p + 8, r);
	}
	ret = 0;
out:
	pthread_rwlock_unlock(&h->table);
	return ret;
}
