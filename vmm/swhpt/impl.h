/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Inside swhpt*.c only: the table's layout, entry locks, and the operations that the parts share.
 */
#include <assert.h>
#include <pthread.h>
#include <sched.h>

#include "proto/htab.h"
#include "vmm/swhpt/swhpt.h"

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
#define HPTE_R_WIMG      (HPTE_R_W | HPTE_R_I | HPTE_R_M | HPTE_R_G)
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

/*
 * Entries that become what they become by the same masks, a pair for v and r each. One belongs to
 * them when it is the same in these bits and its address is in this range. size 0: none does.
 */
struct swhpt_alike {
	uint64_t like[2], mask[2];
	uint64_t gpa_mask, base, size;
	uint64_t set[2]; /* what the entry gets besides */
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
	pthread_mutex_t setup;       /* keeps vCPUs out during writes; guards what is below */
	bool mmu_ready;              /* the virtual real mode area is there */
	struct swhpt_alike alike[2]; /* those written last: in memory, outside; until it grows */
	unsigned n_slots;
	struct swhpt_slot slots[SWHPT_SLOTS_MAX];
};

/* Out of the way of the loops over many entries. */
#define SELDOM __attribute__((noinline))

/* read(2) and write(2) cut longer counts, by whole host pages. */
#define RW_COUNT_MAX 0x7fff0000u

struct swhpt_fd {
	struct swhpt *h;
	uint64_t flags, index;
	bool first_pass;
};

static inline uint64_t swhpt_load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void swhpt_store(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

/*
 * Of a change of an entry a reader without the lock sees, in this order: the lock bit, guest_r with
 * its mark, r, and the lock bit gone. So these two publish, and swhpt_see() looks from the end.
 */
static inline void swhpt_publish(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline uint64_t swhpt_see(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
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

/* The mark of a change, if anybody reads. The entry is locked: a reader comes before or after. */
static inline uint64_t swhpt_mark(const struct swhpt *h)
{
	return __atomic_load_n(&h->mod_interest, __ATOMIC_RELAXED) ? HPTE_R_MODIFIED : 0;
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

/*
 * What H_ENTER makes of an entry that a guest gives: the table's, and *ret_guest_r. H_SUCCESS, or
 * H_PARAMETER for a page or segment size that cannot be. What swhpt_make_alike() can do for others
 * from now on goes to alike[2] (NULL: nobody asks): in memory, outside.
 */
int64_t swhpt_make_entry(const struct swhpt *h, uint64_t v, uint64_t r, struct swhpt_hpte *ret,
	uint64_t *ret_guest_r, struct swhpt_alike *alike);

static inline bool swhpt_is_alike(const struct swhpt_alike *a, uint64_t v, uint64_t r)
{
	return !(((v ^ a->like[0]) & a->mask[0]) | ((r ^ a->like[1]) & a->mask[1])) &&
		(r & a->gpa_mask) - a->base < a->size;
}

static inline struct swhpt_hpte swhpt_make_alike(
	const struct swhpt_alike *a, uint64_t v, uint64_t guest_r)
{
	return (struct swhpt_hpte){
		(v & HPTE3_V_MASK & ~(HPTE_V_HVLOCK | HPTE_V_PRESENT)) | a->set[0],
		hpte_new_r(v, guest_r) | a->set[1]};
}

void swhpt_unref(struct swhpt *h);
