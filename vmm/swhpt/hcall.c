/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypercalls on the table, as arch/powerpc/kvm/book3s_hv_rm_mmu.c handles them. Where the lock
 * bit or ABSENT can be seen by a caller (H_ANDCOND compares against the entry as it lies in the
 * table), it can be seen here too.
 */
#include <errno.h>
#include <string.h>

#include "vmm/swhpt/impl.h"

/* Lock entry i if it is free. */
static bool lock_free(struct swhpt *h, uint64_t i)
{
	struct swhpt_hpte *e = &h->hpt[i];
	uint64_t v;

	if (swhpt_load(&e->v) & HPTE_V_PRESENT)
		return false;
	v = swhpt_lock(e);
	if (!(v & HPTE_V_PRESENT))
		return true;
	swhpt_unlock(e, v);
	return false;
}

/* Find and lock the slot for a new entry: the index itself, or the first free one of its group. */
static bool lock_slot(struct swhpt *h, uint64_t flags, uint64_t *index)
{
	uint64_t group = *index & ~(uint64_t)(HPTES_PER_GROUP - 1);

	if (flags & H_EXACT)
		return lock_free(h, *index);
	for (*index = group; *index < group + HPTES_PER_GROUP; ++*index)
		if (lock_free(h, *index))
			return true;
	return false;
}

int64_t swhpt_do_enter(struct swhpt *h, uint64_t flags, uint64_t index, uint64_t v, uint64_t r,
	uint64_t *ret_index)
{
	struct swhpt_hpte new;
	uint64_t guest_r;

	if (swhpt_make_entry(h, v, r, &new, &guest_r, NULL) != H_SUCCESS || index >= h->entries)
		return H_PARAMETER;
	if (!lock_slot(h, flags, &index))
		return H_PTEG_FULL;
	swhpt_publish(&h->rev[index].guest_r, guest_r | swhpt_mark(h));
	swhpt_publish(&h->hpt[index].r, new.r);
	swhpt_unlock(&h->hpt[index], new.v);
	*ret_index = index;
	return H_SUCCESS;
}

/* A locked entry goes. What hardware set in it belongs to the guest's view, which is returned. */
static uint64_t remove_locked(
	struct swhpt *h, struct swhpt_hpte *e, struct swhpt_rev *rev, uint64_t v)
{
	uint64_t r = swhpt_load(&rev->guest_r);

	if (v & HPTE_V_VALID)
		r |= swhpt_load(&e->r) & HPTE_R_RC;
	swhpt_publish(&rev->guest_r, r | swhpt_mark(h));
	swhpt_unlock(e, 0);
	return r & ~HPTE_R_MODIFIED;
}

int64_t swhpt_do_remove(
	struct swhpt *h, uint64_t flags, uint64_t index, uint64_t avpn, uint64_t *ret_hpte)
{
	struct swhpt_hpte *e;
	struct swhpt_rev *rev;
	uint64_t v3, v;

	if (index >= h->entries)
		return H_PARAMETER;
	e = &h->hpt[index];
	rev = &h->rev[index];
	v3 = swhpt_lock(e);
	v = hpte_old_v(v3, swhpt_load(&e->r));
	if (!(v & HPTE_V_PRESENT) || (flags & H_AVPN && (v & HPTE_V_AVPN_MASK) != avpn) ||
		(flags & H_ANDCOND && v & avpn)) {
		swhpt_unlock(e, v3);
		return H_NOT_FOUND;
	}
	ret_hpte[0] = (v & ~(HPTE_V_HVLOCK | HPTE_V_ABSENT)) | HPTE_V_VALID;
	ret_hpte[1] = remove_locked(h, e, rev, v);
	return H_SUCCESS;
}

/* One of H_BULK_REMOVE's four requests; *arg becomes its result. */
static int64_t bulk_one(struct swhpt *h, uint64_t *arg, uint64_t avpn)
{
	uint64_t index = *arg & ((1ull << 56) - 1), flags = *arg >> 56 & 3, v3, v;
	struct swhpt_hpte *e;
	struct swhpt_rev *rev;
	bool found;

	if (*arg >> 62 != 1 || flags == 3 || index >= h->entries) {
		*arg = (0xa0 | flags) << 56 | index;
		return H_PARAMETER;
	}
	e = &h->hpt[index];
	rev = &h->rev[index];
	v3 = swhpt_lock(e);
	v = hpte_old_v(v3, swhpt_load(&e->r));
	found = v & HPTE_V_PRESENT;
	if (flags == 1)
		found = found && !(v & avpn);
	else if (flags == 2)
		found = found && (v & HPTE_V_AVPN_MASK) == avpn;
	if (!found) {
		*arg = (0x90 | flags) << 56 | index;
		swhpt_unlock(e, v3);
		return H_SUCCESS;
	}
	*arg = (0x80 | flags) << 56 | index | (remove_locked(h, e, rev, v) & HPTE_R_RC) << 51;
	return H_SUCCESS;
}

static int64_t bulk_remove(struct swhpt *h, uint64_t *args)
{
	int64_t ret = H_SUCCESS;

	for (unsigned i = 0; i < SWHPT_HCALL_ARGS && ret == H_SUCCESS; i += 2) {
		if (args[i] >> 62 == 3)
			break;
		ret = bulk_one(h, &args[i], args[i + 1]);
	}
	return ret;
}

static bool writable(uint64_t r)
{
	uint64_t pp = r & (HPTE_R_PP0 | HPTE_R_PP);

	return pp != 3 && pp != (HPTE_R_PP0 | 2);
}

static int64_t protect(struct swhpt *h, uint64_t flags, uint64_t index, uint64_t avpn)
{
	const uint64_t mask = HPTE_R_PP0 | HPTE_R_PP | HPTE_R_N | HPTE_R_KEY;
	struct swhpt_hpte *e;
	struct swhpt_rev *rev;
	uint64_t v3, v, r3, r, bits;

	if (index >= h->entries)
		return H_PARAMETER;
	e = &h->hpt[index];
	rev = &h->rev[index];
	v3 = swhpt_lock(e);
	r3 = swhpt_load(&e->r);
	v = hpte_old_v(v3, r3);
	if (!(v & HPTE_V_PRESENT) || (flags & H_AVPN && (v & HPTE_V_AVPN_MASK) != avpn)) {
		swhpt_unlock(e, v3);
		return H_NOT_FOUND;
	}
	bits = (flags << 55 & HPTE_R_PP0) | (flags << 48 & HPTE_R_KEY_HI) |
		(flags & (HPTE_R_PP | HPTE_R_N | HPTE_R_KEY_LO));
	r = (swhpt_load(&rev->guest_r) & ~mask) | bits;
	swhpt_publish(&rev->guest_r, r | swhpt_mark(h));
	if (v & HPTE_V_VALID) {
		r = (r3 & ~mask) | bits;
		/* The kernel lets a fault make the page writable again. */
		if (writable(r) && !writable(r3))
			r = r & HPTE_R_PP0 || !(r & HPTE_R_PP) ? (r & ~HPTE_R_PP) | HPTE_R_PP0 | 2
							       : r | 3;
		swhpt_publish(&e->r, r);
	}
	swhpt_unlock(e, v3);
	return H_SUCCESS;
}

static int64_t read_entries(struct swhpt *h, uint64_t flags, uint64_t index, uint64_t *ret)
{
	unsigned n = flags & H_READ_4 ? 4 : 1;

	if (index >= h->entries)
		return H_PARAMETER;
	if (n == 4)
		index &= ~3ull;
	for (unsigned i = 0; i < n; i++, index++) {
		uint64_t v3 = swhpt_load(&h->hpt[index].v) & ~HPTE_V_HVLOCK;
		uint64_t r = swhpt_load(&h->hpt[index].r);
		uint64_t v = hpte_old_v(v3, r);

		if (v & HPTE_V_PRESENT) {
			v = (v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
			r = swhpt_load(&h->rev[index].guest_r) | (r & HPTE_R_RC);
			r &= ~HPTE_R_MODIFIED;
		} else {
			r &= ~HPTE3_R_B;
		}
		ret[2 * i] = v;
		ret[2 * i + 1] = r;
	}
	return H_SUCCESS;
}

/* H_CLEAR_REF and H_CLEAR_MOD: take one bit away, and give what the entry had. */
static int64_t clear_bit(struct swhpt *h, uint64_t index, uint64_t bit, uint64_t *ret)
{
	struct swhpt_hpte *e;
	struct swhpt_rev *rev;
	uint64_t v, r, had;

	if (index >= h->entries)
		return H_PARAMETER;
	e = &h->hpt[index];
	rev = &h->rev[index];
	v = swhpt_lock(e);
	if (!(v & HPTE_V_PRESENT)) {
		swhpt_unlock(e, v);
		return H_NOT_FOUND;
	}
	had = swhpt_load(&rev->guest_r);
	if (had & bit)
		swhpt_publish(&rev->guest_r, (had & ~bit) | swhpt_mark(h));
	if (v & HPTE_V_VALID) {
		r = swhpt_load(&e->r);
		had |= r & HPTE_R_RC;
		swhpt_store(&e->r, r & ~bit);
	}
	*ret = had;
	swhpt_unlock(e, v);
	return H_SUCCESS;
}

int64_t swhpt_hcall(
	struct swhpt *h, uint64_t nr, const uint64_t *args, uint64_t ret[SWHPT_HCALL_ARGS])
{
	assert(__atomic_load_n(&h->running, __ATOMIC_RELAXED));
	memmove(ret, args, SWHPT_HCALL_ARGS * sizeof(*ret));
	switch (nr) {
	case H_REMOVE: return swhpt_do_remove(h, ret[0], ret[1], ret[2], ret);
	case H_ENTER: return swhpt_do_enter(h, ret[0], ret[1], ret[2], ret[3], ret);
	case H_READ: return read_entries(h, ret[0], ret[1], ret);
	case H_CLEAR_MOD: return clear_bit(h, ret[1], HPTE_R_C, ret);
	case H_CLEAR_REF: return clear_bit(h, ret[1], HPTE_R_R, ret);
	case H_PROTECT: return protect(h, ret[0], ret[1], ret[2]);
	case H_BULK_REMOVE: return bulk_remove(h, ret);
	default: return H_FUNCTION;
	}
}
