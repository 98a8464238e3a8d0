/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The htab fds: what write in arch/powerpc/kvm/book3s_64_mmu_hv.c does. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "proto/pack.h"
#include "vmm/swhpt/vec.h"

#define IOV_SEGMENTS 1024

/*
 * Everything here is under `setup`, no vCPU running. `alone`: `table` is held as well, so that
 * nobody else looks at the entries, and they need not be locked one by one.
 */

/* The entry is present. */
SELDOM static void clear_entry(struct swhpt *h, bool alone, uint64_t i)
{
	struct swhpt_hpte *e = &h->hpt[i];
	uint64_t old[2], r;

	if (!alone) {
		swhpt_do_remove(h, 0, i, 0, old);
		return;
	}
	r = swhpt_load(&h->rev[i].guest_r) | swhpt_mark(h);
	if (swhpt_load(&e->v) & HPTE_V_VALID)
		r |= swhpt_load(&e->r) & HPTE_R_RC;
	swhpt_store(&h->rev[i].guest_r, r);
	swhpt_store(&e->v, 0);
}

static inline void clear_entries(struct swhpt *h, bool alone, uint64_t i, size_t n)
{
	const struct swhpt_hpte *e = &h->hpt[i];
	uint64_t any = 0;

	for (size_t k = 0; k < n; k++) /* mostly there is nothing to do */
		any |= swhpt_load(&e[k].v);
	for (size_t k = 0; k < n && any & HPTE_V_PRESENT; k++)
		if (swhpt_load(&e[k].v) & HPTE_V_PRESENT)
			clear_entry(h, alone, i + k);
}

/* Nobody else looks. Memory that is not written costs half. */
static inline void replace_alone(
	struct swhpt_hpte *e, struct swhpt_rev *rev, struct swhpt_hpte new, uint64_t guest_r)
{
	if (swhpt_load(&rev->guest_r) != guest_r)
		swhpt_store(&rev->guest_r, guest_r);
	if (swhpt_load(&e->r) != new.r)
		swhpt_store(&e->r, new.r);
	if (swhpt_load(&e->v) != new.v)
		swhpt_store(&e->v, new.v);
}

SELDOM static int put_entry(struct swhpt *h, bool alone, uint64_t i, uint64_t v, uint64_t r)
{
	struct swhpt_hpte new;
	uint64_t guest_r;

	if (!(v & HPTE_V_VALID) || !swhpt_base_page_shift(v, r))
		return -EINVAL;
	if (swhpt_make_entry(h, v, r, &new, &guest_r, h->alike) != H_SUCCESS) {
		/* The kernel removes the old entry first. */
		clear_entries(h, alone, i, 1);
		return -EIO;
	}
	guest_r |= swhpt_mark(h);
	if (alone) {
		replace_alone(&h->hpt[i], &h->rev[i], new, guest_r);
	} else {
		swhpt_lock(&h->hpt[i]);
		swhpt_publish(&h->rev[i].guest_r, guest_r);
		swhpt_publish(&h->hpt[i].r, new.r);
		swhpt_unlock(&h->hpt[i], new.v);
	}
	if ((v & VRMA_V_MASK) == VRMA_V)
		h->mmu_ready = true;
	return 0;
}

/*
 * Entries i and on become the n at p, until one is refused; *ret_n of them are done. Inlined for
 * each: there are a handful of entries in a record of a busy table. vec: several at once.
 */
static inline __attribute__((always_inline)) int put_entries(struct swhpt *h, bool alone, bool vec,
	uint64_t i, const uint8_t *p, size_t n, size_t *ret_n)
{
	const struct swhpt_alike *alike = h->alike;
	struct swhpt_hpte *e = &h->hpt[i];
	struct swhpt_rev *rev = &h->rev[i];
	uint64_t mark = swhpt_mark(h);
	size_t done;
	int r = 0;

	for (done = 0; done < n; done++, e++, rev++, p += HTAB_HPTE_SIZE) {
		uint64_t v, guest_r;

		if (vec && alone && n - done >= 2) {
			size_t k = swhpt_vec_put(alike, e, rev, mark, p, n - done);

			done += k;
			e += k;
			rev += k;
			p += k * HTAB_HPTE_SIZE;
			if (done == n)
				break;
		}
		v = be64_get(p);
		guest_r = be64_get(p + 8) & ~HPTE_R_MODIFIED;
		if (!swhpt_is_alike(alike, v, guest_r))
			alike = h->alike + (alike == h->alike);
		if (alone && swhpt_is_alike(alike, v, guest_r) && (v & VRMA_V_MASK) != VRMA_V) {
			replace_alone(e, rev, swhpt_make_alike(alike, v, guest_r), guest_r | mark);
			continue;
		}
		r = put_entry(h, alone, i + done, v, guest_r);
		if (r < 0)
			break;
	}
	*ret_n = done;
	return r;
}

/*
 * The kernel's loop: it counts a record's HPTEs (nb) but does not step over them (off), so that
 * the next header comes from this record's first HPTE; and its check of the length leaves the
 * header out.
 */
static ssize_t write_locked(
	struct swhpt *h, bool alone, const uint8_t *buf, size_t count, size_t readable)
{
	size_t nb = 0, off = 0;

	while (nb + HTAB_HDR_SIZE <= count) {
		uint32_t index;
		uint16_t n_valid, n_invalid;
		size_t whole, done;
		uint64_t i;
		int r;

		memcpy(&index, buf + off, sizeof(index));
		memcpy(&n_valid, buf + off + 4, sizeof(n_valid));
		memcpy(&n_invalid, buf + off + 6, sizeof(n_invalid));
		if (nb + (size_t)n_valid * HTAB_HPTE_SIZE > count)
			break;
		nb += HTAB_HDR_SIZE;
		off += HTAB_HDR_SIZE;
		i = index;
		if (i >= h->entries || i + n_valid + n_invalid > h->entries)
			return -EINVAL;
		whole = (readable - off) / HTAB_HPTE_SIZE;
		r = put_entries(
			h, alone, false, i, buf + off, n_valid < whole ? n_valid : whole, &done);
		if (r < 0)
			return r;
		if (done < n_valid)
			return -EFAULT;
		nb += done * HTAB_HPTE_SIZE;
		clear_entries(h, alone, i + done, n_invalid);
	}
	return (ssize_t)nb;
}

/*
 * Writes begin. 0 or -EBUSY; *ret_alone: no read is under way either, and none begins before the
 * end, so that entries need not be locked one by one.
 */
static int begin(struct swhpt *h, bool *ret_alone)
{
	pthread_mutex_lock(&h->setup);
	if (__atomic_load_n(&h->running, __ATOMIC_ACQUIRE)) {
		pthread_mutex_unlock(&h->setup);
		return -EBUSY;
	}
	*ret_alone = pthread_rwlock_trywrlock(&h->table) == 0;
	return 0;
}

static void end(struct swhpt *h, bool alone)
{
	if (alone)
		pthread_rwlock_unlock(&h->table);
	pthread_mutex_unlock(&h->setup);
}

static size_t cut(size_t count)
{
	return count < RW_COUNT_MAX ? count : RW_COUNT_MAX;
}

int swhpt_load_flat(struct swhpt *h, const void *flat, size_t len, uint64_t *ret_index)
{
	const uint8_t *p = flat;
	uint64_t i = 0;
	bool alone;
	int r = begin(h, &alone);

	*ret_index = 0;
	if (r < 0)
		return r;
	if (len != h->entries * HTAB_HPTE_SIZE)
		r = -EINVAL;
	while (r == 0 && i < h->entries) {
		size_t n = 0, done;

		while (i + n < h->entries && be64_get(p + n * HTAB_HPTE_SIZE) & HPTE_V_VALID)
			n++;
		r = put_entries(h, alone, false, i, p, n, &done);
		i += done;
		p += done * HTAB_HPTE_SIZE;
		for (; r == 0 && i < h->entries && !(be64_get(p) & HPTE_V_VALID);
			p += HTAB_HPTE_SIZE)
			clear_entries(h, alone, i++, 1);
	}
	end(h, alone);
	*ret_index = i;
	return r;
}

ssize_t swhpt_write_from(struct swhpt_fd *fd, const void *buf, size_t count, size_t readable)
{
	struct swhpt *h = fd->h;
	bool alone;
	ssize_t n;

	assert(readable >= count);
	if (!(fd->flags & HTAB_FD_WRITE))
		return -EBADF;
	n = begin(h, &alone);
	if (n < 0)
		return n;
	n = write_locked(h, alone, buf, cut(count), readable);
	end(h, alone);
	return n;
}

ssize_t swhpt_write(struct swhpt_fd *fd, const void *buf, size_t count)
{
	return swhpt_write_from(fd, buf, count, count);
}

ssize_t swhpt_writev(struct swhpt_fd *fd, const struct iovec *iov, int n)
{
	size_t left = 0;
	ssize_t total = 0;

	if (!(fd->flags & HTAB_FD_WRITE))
		return -EBADF;
	if (n < 0 || n > IOV_SEGMENTS)
		return -EINVAL;
	for (int i = 0; i < n; i++)
		left += iov[i].iov_len;
	for (int i = 0; i < n && left; i++) {
		ssize_t w = swhpt_write(fd, iov[i].iov_base, iov[i].iov_len);

		if (w < 0)
			return total ? total : w;
		total += w;
		left -= iov[i].iov_len;
		if ((size_t)w != iov[i].iov_len)
			break;
	}
	return total;
}

/* Nothing but whole records: the loop above, without what only a single write() does. */
static inline __attribute__((always_inline)) ssize_t write_whole(
	struct swhpt *h, bool alone, bool vec, const uint8_t *buf, size_t len)
{
	const uint8_t *p = buf, *end = buf + len;

	while ((size_t)(end - p) >= HTAB_HDR_SIZE) {
		uint32_t index;
		uint16_t n_valid, n_invalid;
		size_t size, done;
		int r = -EINVAL;

		memcpy(&index, p, sizeof(index));
		memcpy(&n_valid, p + 4, sizeof(n_valid));
		memcpy(&n_invalid, p + 6, sizeof(n_invalid));
		size = HTAB_HDR_SIZE + (size_t)n_valid * HTAB_HPTE_SIZE;
		if (size > (size_t)(end - p))
			break;
		if (index < h->entries && (uint64_t)index + n_valid + n_invalid <= h->entries)
			r = put_entries(h, alone, vec, index, p + HTAB_HDR_SIZE, n_valid, &done);
		if (r < 0)
			return p > buf ? p - buf : r;
		clear_entries(h, alone, (uint64_t)index + n_valid, n_invalid);
		p += size;
	}
	return p - buf;
}

SWHPT_VEC static ssize_t write_whole_vec(struct swhpt *h, const uint8_t *buf, size_t len)
{
	return write_whole(h, true, true, buf, len);
}

ssize_t swhpt_write_records(struct swhpt_fd *fd, const void *buf, size_t len)
{
	struct swhpt *h = fd->h;
	bool alone;
	ssize_t n;

	if (!(fd->flags & HTAB_FD_WRITE))
		return -EBADF;
	n = begin(h, &alone);
	if (n < 0)
		return n;
	n = alone && swhpt_vec_usable() ? write_whole_vec(h, buf, len)
					: write_whole(h, alone, false, buf, len);
	end(h, alone);
	return n;
}
