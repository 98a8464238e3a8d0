/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The htab fds: what open, read, write and release in arch/powerpc/kvm/book3s_64_mmu_hv.c do. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"
#include "vmm/swhpt_impl.h"

#define RW_COUNT_MAX 0x7fff0000u /* read(2) and write(2) cut longer counts, by whole host pages */
#define IOV_SEGMENTS 1024

struct swhpt_fd {
	struct swhpt *h;
	uint64_t flags, index;
	bool first_pass;
};

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

static bool is_shown(const struct swhpt_fd *fd, uint64_t v)
{
	return v & HPTE_V_PRESENT && (!(fd->flags & HTAB_FD_BOLTED_ONLY) || v & HPTE_V_BOLTED);
}

/*
 * Does entry i continue a run of valid (or invalid) entries? If so its mark of change is taken,
 * and a valid one is put at dst. A valid entry that a bolted-only read leaves out counts as invalid
 * here, so that its change is lost: the kernel has it so.
 */
static bool take(struct swhpt_fd *fd, uint64_t i, bool want_valid, bool first_pass, uint8_t *dst)
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
	v = hpte_old_v(v3, r3); /* the lock bit set, and so the kernel gives it */
	dirty = r & HPTE_R_MODIFIED;
	if (v & HPTE_V_VALID && r3 & ~r & HPTE_R_RC) {
		r |= (r3 & HPTE_R_RC) | HPTE_R_MODIFIED;
		swhpt_store(&rev->guest_r, r);
		dirty = true;
	}
	valid = is_shown(fd, v);
	if (v & HPTE_V_ABSENT)
		v = (v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
	if (valid == want_valid && dirty) {
		r &= ~HPTE_R_MODIFIED;
		swhpt_store(&rev->guest_r, r);
	}
	swhpt_unlock(e, v3);
	if (valid != want_valid || !(first_pass || dirty))
		return false;
	if (dst) {
		be64_put(dst, v);
		be64_put(dst + 8, r);
	}
	return true;
}

static ssize_t read_locked(struct swhpt_fd *fd, uint8_t *buf, size_t count)
{
	struct swhpt *h = fd->h;
	bool first_pass = fd->first_pass;
	uint64_t i = fd->index;
	size_t nb = 0;

	while (nb + HTAB_HDR_SIZE + HTAB_HPTE_SIZE < count) {
		size_t header = nb;
		unsigned n_valid = 0, n_invalid = 0;
		uint64_t first;

		while (!first_pass && i < h->entries && !is_dirty(&h->hpt[i], &h->rev[i]))
			i++;
		first = i;
		nb += HTAB_HDR_SIZE;
		while (i < h->entries && n_valid < HTAB_RUN_MAX && nb + HTAB_HPTE_SIZE < count &&
			take(fd, i, true, first_pass, buf + nb)) {
			n_valid++;
			nb += HTAB_HPTE_SIZE;
			i++;
		}
		while (i < h->entries && n_invalid < HTAB_RUN_MAX &&
			take(fd, i, false, first_pass, NULL)) {
			n_invalid++;
			i++;
		}
		if (n_valid || n_invalid)
			htab_put_header(buf + header, HTAB_HOST, (uint32_t)first, (uint16_t)n_valid,
				(uint16_t)n_invalid);
		else
			nb = header;
		if (i >= h->entries) {
			i = 0;
			fd->first_pass = false;
			break;
		}
	}
	fd->index = i;
	return (ssize_t)nb;
}

ssize_t swhpt_read(struct swhpt_fd *fd, void *buf, size_t count)
{
	ssize_t n;

	if (fd->flags & HTAB_FD_WRITE)
		return -EBADF;
	pthread_rwlock_rdlock(&fd->h->table);
	n = read_locked(fd, buf, count < RW_COUNT_MAX ? count : RW_COUNT_MAX);
	pthread_rwlock_unlock(&fd->h->table);
	return n;
}

void swhpt_clear_entry(struct swhpt *h, uint64_t i)
{
	uint64_t old[2];

	if (swhpt_load(&h->hpt[i].v) & HPTE_V_PRESENT)
		swhpt_do_remove(h, 0, i, 0, old);
}

int swhpt_put_entry(struct swhpt *h, uint64_t i, uint64_t v, uint64_t r)
{
	if (!(v & HPTE_V_VALID) || !swhpt_base_page_shift(v, r))
		return -EINVAL;
	/* The old entry goes first: it is gone even if the new one cannot be inserted. */
	swhpt_clear_entry(h, i);
	if (swhpt_do_enter(h, H_EXACT, i, v, r, &i) != H_SUCCESS)
		return -EIO;
	if ((v & VRMA_V_MASK) == VRMA_V)
		h->mmu_ready = true;
	return 0;
}

/*
 * The kernel's loop: it counts a record's HPTEs (nb) but does not step over them (off), so that
 * the next header comes from this record's first HPTE; and its check of the length leaves the
 * header out.
 */
static ssize_t write_locked(struct swhpt *h, const uint8_t *buf, size_t count, size_t readable)
{
	size_t nb = 0, off = 0;

	while (nb + HTAB_HDR_SIZE <= count) {
		uint32_t index;
		uint16_t n_valid, n_invalid;
		uint64_t i;

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
		for (size_t p = off; n_valid; n_valid--, p += HTAB_HPTE_SIZE) {
			int r;

			if (p + HTAB_HPTE_SIZE > readable)
				return -EFAULT;
			r = swhpt_put_entry(h, i++, be64_get(buf + p), be64_get(buf + p + 8));
			if (r < 0)
				return r;
			nb += HTAB_HPTE_SIZE;
		}
		while (n_invalid--)
			swhpt_clear_entry(h, i++);
	}
	return (ssize_t)nb;
}

ssize_t swhpt_write_from(struct swhpt_fd *fd, const void *buf, size_t count, size_t readable)
{
	struct swhpt *h = fd->h;
	ssize_t n;

	assert(readable >= count);
	if (!(fd->flags & HTAB_FD_WRITE))
		return -EBADF;
	pthread_mutex_lock(&h->setup);
	if (__atomic_load_n(&h->running, __ATOMIC_ACQUIRE))
		n = -EBUSY;
	else
		n = write_locked(h, buf, count < RW_COUNT_MAX ? count : RW_COUNT_MAX, readable);
	pthread_mutex_unlock(&h->setup);
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
