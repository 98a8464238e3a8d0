/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The htab fds: what open, read and release in arch/powerpc/kvm/book3s_64_mmu_hv.c do. */
#include <errno.h>
#include <stdlib.h>

#include "proto/pack.h"
#include "vmm/swhpt/vec.h"

int swhpt_open(struct swhpt *h, uint64_t flags, uint64_t start_index, struct swhpt_fd **ret_fd)
{
	struct swhpt_fd *fd;

	if (flags & ~(uint64_t)(HTAB_FD_BOLTED_ONLY | HTAB_FD_WRITE))
		return -EINVAL;
	fd = calloc(1, sizeof(*fd));
	if (!fd)
		return -ENOMEM;
	*fd = (struct swhpt_fd){.h = h, .flags = flags, .index = start_index, .first_pass = true};
	__atomic_add_fetch(&h->refs, 1, __ATOMIC_RELAXED);
	if (!(flags & HTAB_FD_WRITE))
		__atomic_add_fetch(&h->mod_interest, 1, __ATOMIC_SEQ_CST);
	*ret_fd = fd;
	return 0;
}

struct swhpt_fd *swhpt_close(struct swhpt_fd *fd)
{
	if (fd) {
		if (!(fd->flags & HTAB_FD_WRITE))
			__atomic_sub_fetch(&fd->h->mod_interest, 1, __ATOMIC_RELAXED);
		swhpt_unref(fd->h);
		free(fd);
	}
	return NULL;
}

struct swhpt *swhpt_fd_table(const struct swhpt_fd *fd)
{
	return fd->h;
}

/* Changed since it was last read, or R or C set by hardware since. */
static bool is_dirty(const struct swhpt_hpte *e, const struct swhpt_rev *rev)
{
	uint64_t r = swhpt_load(&rev->guest_r);

	return r & HPTE_R_MODIFIED ||
		(swhpt_load(&e->v) & HPTE_V_VALID && swhpt_load(&e->r) & ~r & HPTE_R_RC);
}

/*
 * A valid entry's first doubleword as a read gives it: locked, as the kernel has it then, and what
 * the hardware does not see, but the guest does, as if valid.
 */
static inline uint64_t shown(uint64_t v3, uint64_t r3)
{
	return (hpte_old_v(v3, r3) & ~HPTE_V_ABSENT) | HPTE_V_VALID | HPTE_V_HVLOCK;
}

static bool is_shown(const struct swhpt_fd *fd, uint64_t v)
{
	return v & HPTE_V_PRESENT && (!(fd->flags & HTAB_FD_BOLTED_ONLY) || v & HPTE_V_BOLTED);
}

/*
 * Does entry i continue a run of valid (or invalid) entries? If so its mark of change is taken,
 * and a valid one is put at dst. A valid entry that a bolted-only read leaves out counts as invalid
 * here, so that its change is lost: the kernel has it so.
 */
SELDOM static bool take(
	struct swhpt_fd *fd, uint64_t i, bool want_valid, bool first_pass, uint8_t *dst)
{
	struct swhpt_hpte *e = &fd->h->hpt[i];
	struct swhpt_rev *rev = &fd->h->rev[i];
	bool dirty = is_dirty(e, rev), valid = is_shown(fd, swhpt_load(&e->v));
	uint64_t v3, v, r3, r;

	if ((!first_pass && !dirty) || valid != want_valid)
		return false;
	if (!valid && !dirty)
		return true;

	v3 = swhpt_lock(e);
	r3 = swhpt_load(&e->r);
	r = swhpt_load(&rev->guest_r);
	v = hpte_old_v(v3, r3);
	dirty = r & HPTE_R_MODIFIED;
	if (v & HPTE_V_VALID && r3 & ~r & HPTE_R_RC) {
		r |= (r3 & HPTE_R_RC) | HPTE_R_MODIFIED;
		swhpt_store(&rev->guest_r, r);
		dirty = true;
	}
	valid = is_shown(fd, v);
	if (valid == want_valid && dirty) {
		r &= ~HPTE_R_MODIFIED;
		swhpt_store(&rev->guest_r, r);
	}
	swhpt_unlock(e, v3);
	if (valid != want_valid || !(first_pass || dirty))
		return false;
	if (dst) {
		be64_put(dst, shown(v3, r3));
		be64_put(dst + 8, r);
	}
	return true;
}

/* As many as there are, fit, and can be counted. */
static inline size_t least(uint64_t a, uint64_t b)
{
	uint64_t m = a < b ? a : b;

	return m < HTAB_RUN_MAX ? m : HTAB_RUN_MAX;
}

/* Valid entries of a record in `room` bytes: KVM wants more than they take. */
static inline size_t most_valid(size_t room, uint64_t left)
{
	return least((room - HTAB_HDR_SIZE - 1) / HTAB_HPTE_SIZE, left);
}

/* The runs of any fd in any pass. */
static size_t any_valid(struct swhpt_fd *fd, uint64_t i, size_t max, uint8_t *dst)
{
	size_t n = 0;

	while (n < max && take(fd, i + n, true, fd->first_pass, dst + n * HTAB_HPTE_SIZE))
		n++;
	return n;
}

static size_t any_invalid(struct swhpt_fd *fd, uint64_t i, size_t max)
{
	size_t n = 0;

	while (n < max && take(fd, i + n, false, fd->first_pass, NULL))
		n++;
	return n;
}

/*
 * A group's entries are looked at together: where nothing changes, that is all there is to do. True
 * says that none is dirty; an entry that is gone may have left R and C behind, and makes it false.
 */
static inline bool group_is_clean(const struct swhpt_hpte *e, const struct swhpt_rev *rev)
{
	uint64_t marks = 0, rc = 0;

	for (unsigned k = 0; k < HPTES_PER_GROUP; k++) {
		uint64_t r = swhpt_load(&rev[k].guest_r);

		marks |= r;
		rc |= swhpt_load(&e[k].r) & ~r;
	}
	return !(marks & HPTE_R_MODIFIED || rc & HPTE_R_RC);
}

/* The first entry from i on that changed; h->entries when none did. */
static uint64_t find_dirty(const struct swhpt *h, uint64_t i)
{
	while (i < h->entries) {
		if (i % HPTES_PER_GROUP == 0 && group_is_clean(&h->hpt[i], &h->rev[i]))
			i += HPTES_PER_GROUP;
		else if (is_dirty(&h->hpt[i], &h->rev[i]))
			break;
		else
			i++;
	}
	return i;
}

/* Records from fd->index on, by any fd in any pass. */
static size_t read_any(struct swhpt_fd *fd, uint8_t *buf, size_t count)
{
	const uint64_t entries = fd->h->entries;
	uint64_t i = fd->index;
	size_t nb = 0;

	while (nb + HTAB_HDR_SIZE + HTAB_HPTE_SIZE < count) {
		size_t n_valid = 0, n_invalid = 0;
		uint64_t first;

		if (!fd->first_pass)
			i = find_dirty(fd->h, i);
		first = i;
		if (i < entries) {
			n_valid = any_valid(fd, i, most_valid(count - nb, entries - i),
				buf + nb + HTAB_HDR_SIZE);
			i += n_valid;
			n_invalid = any_invalid(fd, i, least(HTAB_RUN_MAX, entries - i));
			i += n_invalid;
		}
		if (i > first) {
			htab_put_header(buf + nb, HTAB_HOST, (uint32_t)first, (uint16_t)n_valid,
				(uint16_t)n_invalid);
			nb += HTAB_HDR_SIZE + n_valid * HTAB_HPTE_SIZE;
		}
		if (i >= entries) {
			i = 0;
			fd->first_pass = false;
			break;
		}
	}
	fd->index = i;
	return nb;
}

/*
 * An entry of a run of valid ones in pass 1, to dst; false: it is none. Most entries have not
 * changed since they were read last, and need no lock: every change leaves its mark, and the order
 * in which it is made (swhpt_publish()) shows an entry here as it was before the change, or else
 * the lock or the mark: then it is take()'s.
 */
static inline bool show(
	struct swhpt_fd *fd, const struct swhpt_hpte *e, const struct swhpt_rev *rev, uint8_t *dst)
{
	uint64_t v3 = swhpt_see(&e->v), r3 = swhpt_see(&e->r), r = swhpt_see(&rev->guest_r);

	if (!(v3 & HPTE_V_PRESENT))
		return false;
	/* locked, marked, R or C that the guest's view lacks, or it changed */
	if ((v3 & HPTE_V_HVLOCK) | (v3 ^ swhpt_load(&e->v)) |
		((r ^ ~HPTE_R_MODIFIED) & ((r3 & HPTE_R_RC) | HPTE_R_MODIFIED)))
		return take(fd, (uint64_t)(e - fd->h->hpt), true, true, dst);
	be64_put(dst, shown(v3, r3));
	be64_put(dst + 8, r);
	return true;
}

/* Records from fd->index on, of all entries, in pass 1. vec: whole groups at once, if possible. */
static inline __attribute__((always_inline)) size_t read_first(
	struct swhpt_fd *fd, bool vec, uint8_t *buf, size_t count)
{
	struct swhpt *h = fd->h;
	const struct swhpt_hpte *const end = h->hpt + h->entries;
	const struct swhpt_hpte *e = h->hpt + fd->index, *first, *valid, *limit;
	const struct swhpt_rev *rev = h->rev + fd->index;
	uint8_t *p = buf, *head;

	while (count - (size_t)(p - buf) > HTAB_HDR_SIZE + HTAB_HPTE_SIZE) {
		size_t empty = 0; /* that were seen with the valid ones */

		head = p;
		first = e;
		p += HTAB_HDR_SIZE;
		limit = e + most_valid(count - (size_t)(head - buf), (size_t)(end - e));
		while (e < limit) {
			bool whole = vec && (e - h->hpt) % HPTES_PER_GROUP == 0 &&
				limit - e >= HPTES_PER_GROUP;
			int mask = whole ? swhpt_vec_show(e, rev, p) : -1;
			size_t n = mask < 0 ? show(fd, e, rev, p) : swhpt_vec_run(mask);

			e += n;
			rev += n;
			p += n * HTAB_HPTE_SIZE;
			if (mask >= 0 && n < HPTES_PER_GROUP) {
				empty = mask >> 2 * n ? 0 : HPTES_PER_GROUP - n;
				break;
			}
			if (n == 0)
				break;
		}
		valid = e;
		limit = e + least(HTAB_RUN_MAX, (size_t)(end - e));
		e += empty;
		rev += empty;
		for (; e < limit && !(swhpt_load(&e->v) & HPTE_V_PRESENT); e++, rev++)
			if (swhpt_load(&rev->guest_r) & HPTE_R_MODIFIED &&
				!take(fd, (uint64_t)(e - h->hpt), false, true, NULL))
				break;
		if (e > first)
			htab_put_header(head, HTAB_HOST, (uint32_t)(first - h->hpt),
				(uint16_t)(valid - first), (uint16_t)(e - valid));
		else
			p = head;
		if (e == end) {
			e = h->hpt;
			fd->first_pass = false;
			break;
		}
	}
	fd->index = (uint64_t)(e - h->hpt);
	return (size_t)(p - buf);
}

SWHPT_VEC static size_t read_first_vec(struct swhpt_fd *fd, uint8_t *buf, size_t count)
{
	return read_first(fd, true, buf, count);
}

ssize_t swhpt_read(struct swhpt_fd *fd, void *buf, size_t count)
{
	size_t n;

	if (fd->flags & HTAB_FD_WRITE)
		return -EBADF;
	if (count > RW_COUNT_MAX)
		count = RW_COUNT_MAX;
	pthread_rwlock_rdlock(&fd->h->table);
	if (fd->first_pass && !(fd->flags & HTAB_FD_BOLTED_ONLY) && fd->index < fd->h->entries)
		n = swhpt_vec_usable() ? read_first_vec(fd, buf, count)
				       : read_first(fd, false, buf, count);
	else
		n = read_any(fd, buf, count);
	pthread_rwlock_unlock(&fd->h->table);
	return (ssize_t)n;
}
