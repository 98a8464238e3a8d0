/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Inside swhpt*.c only: the table's layout, entry locks, and the operations that the parts share.
 */
#include <assert.h>
#include <pthread.h>
#include <sched.h>

#include "proto/htab.h"
#include "vmm/swhpt.h"

/* Fields of the POWER8 format, in which guests and htab streams have their entries. */
#define HPTE_V_1TB_SEG   0x4000000000000000ull
#define HPTE_V_B_SHIFT   62
#define HPTE_V_AVPN_MASK (~0x7full) /* what H_AVPN compares: B and AVPN */
#define HPTE_R_PP0       0x8000000000000000ull
#define HPTE_R_KEY_HI    0x3000000000000000ull
#define HPTE_R_KEY_LO    0x0000000000000e00ull
#define HPTE_R_KEY       (HPTE_R_KEY_HI | HPTE_R_KEY_LO)
#define HPTE_R_RPN       0x0ffffffffffff000ull
#define HPTE_R_W         0x40ull
#define HPTE_R_I         0x20ull
#define HPTE_R_M         0x10ull
#define HPTE_R_G         0x08ull
#define HPTE_R_N         0x04ull
#define HPTE_R_PP        0x03ull
#define HPTE_R_RC        (HPTE_R_R | HPTE_R_C)
#define HPTE_V_PRESENT   (HPTE_V_VALID | HPTE_V_ABSENT)
#define HPTES_PER_GROUP  8u
#define VRMA_VSID        0x1ffffffull
#define VRMA_V           (HPTE_V_1TB_SEG | VRMA_VSID << 24)
#define VRMA_V_MASK      (~0xffffffull)

/*
 * The POWER9 format, in which the hardware's table is kept: B moves from the top of the first
 * doubleword to bits 58 and 59 of the second. So bits 52 to 61 of what a guest gives as first
 * doubleword are lost, as they are in the kernel.
 */
#define HPTE3_V_MASK  0x000fffffffffffffull
#define HPTE3_R_B     0x0c00000000000000ull
#define HPTE3_B_SHIFT 4 /* from B in the second doubleword to B in the old first one */

struct swhpt_hpte {
	uint64_t v, r; /* POWER9 format, host byte order */
};

/* The chain through the HPTEs of one real page has no use here, but a scan shall cost the same. */
struct swhpt_rev {
	uint32_t forw, back;
	uint64_t guest_r; /* the guest's second doubleword, and HPTE_R_MODIFIED */
};
static_assert(sizeof(struct swhpt_rev) == 16, "as the kernel's struct revmap_entry");

struct swhpt_slot {
	uint64_t base, size;
	unsigned host_page_shift;
};

struct swhpt {
	struct swhpt_hpte *hpt;
	struct swhpt_rev *rev;
	uint64_t entries;
	unsigned order;
	unsigned refs;         /* by __atomic: the owner's and one for each fd */
	unsigned mod_interest; /* by __atomic: open read fds */
	unsigned running;      /* by __atomic: vCPUs between enter and leave; grows under setup */
	/* held shared by reads of fds, exclusive by what clears or replaces the table */
	pthread_rwlock_t table;
	pthread_mutex_t setup; /* keeps vCPUs out during writes; guards what is below */
	bool mmu_ready;        /* the virtual real mode area is there */
	unsigned n_slots;
	struct swhpt_slot slots[SWHPT_SLOTS_MAX];
};

static inline uint64_t swhpt_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void swhpt_store(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

/* Lock an entry; returns its first doubleword, lock bit included. */
static inline uint64_t swhpt_lock(struct swhpt_hpte *e)
{
	for (unsigned spins = 0;; spins++) {
		uint64_t v = swhpt_load(&e->v);

		if (!(v & HPTE_V_HVLOCK) &&
			!(__atomic_fetch_or(&e->v, HPTE_V_HVLOCK, __ATOMIC_ACQUIRE) &
				HPTE_V_HVLOCK))
			return swhpt_load(&e->v);
		if (spins >= 64)
			sched_yield();
	}
}

/* Unlock an entry, giving it a first doubleword. */
static inline void swhpt_unlock(struct swhpt_hpte *e, uint64_t v)
{
	__atomic_store_n(&e->v, v & ~HPTE_V_HVLOCK, __ATOMIC_RELEASE);
}

static inline uint64_t hpte_old_v(uint64_t v3, uint64_t r3)
{
	return (v3 & HPTE3_V_MASK) | (r3 & HPTE3_R_B) << HPTE3_B_SHIFT;
}

static inline uint64_t hpte_new_r(uint64_t v, uint64_t r)
{
	return (r & ~HPTE3_R_B) | (v >> HPTE_V_B_SHIFT) << (HPTE_V_B_SHIFT - HPTE3_B_SHIFT);
}

/* Mark an entry as changed, if anybody reads. The entry is locked. */
static inline void swhpt_note(struct swhpt *h, struct swhpt_rev *rev)
{
	if (__atomic_load_n(&h->mod_interest, __ATOMIC_RELAXED))
		swhpt_store(&rev->guest_r, swhpt_load(&rev->guest_r) | HPTE_R_MODIFIED);
}

/* An empty table's two arrays. 0, -EINVAL (order) or -ENOMEM. */
int swhpt_new_arrays(unsigned order, struct swhpt_hpte **ret_hpt, struct swhpt_rev **ret_rev);

/* Base page size as a shift, 0 for an encoding that KVM does not know. */
unsigned swhpt_base_page_shift(uint64_t v, uint64_t r);

/* H_ENTER and H_REMOVE, for hypercalls and writes alike. They return PAPR codes. */
int64_t swhpt_do_enter(struct swhpt *h, uint64_t flags, uint64_t index, uint64_t v, uint64_t r,
	uint64_t *ret_index);
int64_t swhpt_do_remove(
	struct swhpt *h, uint64_t flags, uint64_t index, uint64_t avpn, uint64_t *ret_hpte);

/* One entry of a write or of a flat table: replace entry i. Under `setup`, no vCPU running. */
int swhpt_put_entry(struct swhpt *h, uint64_t i, uint64_t v, uint64_t r);
void swhpt_clear_entry(struct swhpt *h, uint64_t i);

void swhpt_unref(struct swhpt *h);
