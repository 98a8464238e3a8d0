/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A model of a VM's table for the tests of the flows: of any size, read and written as docs/kvm.md
 * says, with failures on demand. Reads and writes are locked, so that a test's own thread may
 * change entries between them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/flow/htabio.h"
#include "proto/htab.h"
#include "proto/pack.h"

struct model {
	pthread_mutex_t lock;
	uint64_t entries;
	uint64_t (*hpte)[2];
	bool *dirty;
	uint64_t reads, writes;
	uint64_t bad_index; /* write of this one gives bad_code */
	int bad_code;
	int read_code;    /* what the next read gives, when negative */
	uint64_t go_back; /* every read begins here, when not 0: no kernel does that */
	size_t bytes_read;
	size_t asked[2]; /* most bytes of a read: of everything, of changes */
};

/* One open fd. */
struct model_fd {
	struct model *m;
	uint64_t cursor;
	bool first_pass;
};

static inline void model_init(struct model *m, uint64_t entries)
{
	*m = (struct model){.entries = entries, .bad_index = UINT64_MAX};
	pthread_mutex_init(&m->lock, NULL);
	m->hpte = calloc(entries, sizeof(*m->hpte));
	m->dirty = calloc(entries, sizeof(*m->dirty));
}

static inline void model_fini(struct model *m)
{
	pthread_mutex_destroy(&m->lock);
	free(m->hpte);
	free(m->dirty);
}

static inline void model_set(struct model *m, uint64_t i, uint64_t v, uint64_t r)
{
	pthread_mutex_lock(&m->lock);
	m->hpte[i][0] = v;
	m->hpte[i][1] = v & HPTE_V_VALID ? r : 0;
	m->dirty[i] = true;
	pthread_mutex_unlock(&m->lock);
}

static inline bool model_take(struct model_fd *fd, uint64_t i, bool valid, uint8_t *dst)
{
	struct model *m = fd->m;

	if (!!(m->hpte[i][0] & HPTE_V_VALID) != valid || !(fd->first_pass || m->dirty[i]))
		return false;
	m->dirty[i] = false;
	if (dst) {
		be64_put(dst, m->hpte[i][0] | HPTE_V_HVLOCK);
		be64_put(dst + 8, m->hpte[i][1]);
	}
	return true;
}

/* kvm_htab_read() */
static inline size_t model_scan(struct model_fd *fd, uint8_t *buf, size_t count)
{
	struct model *m = fd->m;
	uint64_t i = fd->cursor;
	size_t nb = 0;

	while (nb + HTAB_HDR_SIZE + HTAB_HPTE_SIZE < count) {
		uint8_t *header = buf + nb;
		uint16_t n_valid = 0, n_invalid = 0;
		uint64_t first;

		while (!fd->first_pass && i < m->entries && !m->dirty[i])
			i++;
		first = i;
		nb += HTAB_HDR_SIZE;
		while (i < m->entries && n_valid < HTAB_RUN_MAX && nb + HTAB_HPTE_SIZE < count &&
			model_take(fd, i, true, buf + nb)) {
			n_valid++;
			nb += HTAB_HPTE_SIZE;
			i++;
		}
		while (i < m->entries && n_invalid < HTAB_RUN_MAX &&
			model_take(fd, i, false, NULL)) {
			n_invalid++;
			i++;
		}
		if (n_valid || n_invalid)
			htab_put_header(header, HTAB_HOST, (uint32_t)first, n_valid, n_invalid);
		else
			nb -= HTAB_HDR_SIZE;
		if (i >= m->entries) {
			i = 0;
			fd->first_pass = false;
			break;
		}
	}
	fd->cursor = i;
	return nb;
}

static inline ssize_t model_read(void *ctx, void *buf, size_t count)
{
	struct model_fd *fd = ctx;
	struct model *m = fd->m;
	ssize_t n;

	pthread_mutex_lock(&m->lock);
	m->reads++;
	if (count > m->asked[!fd->first_pass])
		m->asked[!fd->first_pass] = count;
	if (m->go_back)
		fd->cursor = m->go_back;
	n = m->read_code;
	if (n == 0)
		n = (ssize_t)model_scan(fd, buf, count);
	if (n > 0)
		m->bytes_read += (size_t)n;
	pthread_mutex_unlock(&m->lock);
	return n;
}

static inline int model_put(struct model *m, uint64_t i, uint64_t v, uint64_t r)
{
	if (i >= m->entries)
		return -EINVAL;
	if (i == m->bad_index)
		return m->bad_code;
	m->hpte[i][0] = v & ~HPTE_V_HVLOCK;
	m->hpte[i][1] = r & ~HPTE_R_MODIFIED;
	m->dirty[i] = true;
	return 0;
}

static inline int model_write(void *ctx, const void *buf, size_t len)
{
	struct model_fd *fd = ctx;
	struct model *m = fd->m;
	struct htab_iter it;
	struct htab_rec rec;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	m->writes++;
	htab_iter_init(&it, buf, len, m->entries, HTAB_HOST);
	while (r == 0 && (r = htab_iter_next(&it, &rec)) > 0) {
		r = 0;
		for (unsigned i = 0; i < rec.n_valid && r == 0; i++)
			r = model_put(m, rec.index + i, be64_get(rec.hptes + i * HTAB_HPTE_SIZE),
				be64_get(rec.hptes + i * HTAB_HPTE_SIZE + 8));
		for (unsigned i = 0; i < rec.n_invalid && r == 0; i++)
			r = model_put(m, (uint64_t)rec.index + rec.n_valid + i, 0, 0);
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

static inline void model_close(void *ctx)
{
	free(ctx);
}

static const struct htabio_ops model_ops = {
	.read = model_read,
	.write = model_write,
	.close = model_close,
};

static inline struct htabio *model_open(struct model *m)
{
	struct model_fd *fd = calloc(1, sizeof(*fd));
	struct htabio *io = NULL;

	*fd = (struct model_fd){.m = m, .first_pass = true};
	if (htabio_new_ops(&model_ops, fd, &io) < 0)
		abort();
	return io;
}

/* Entries in which two tables differ. */
static inline uint64_t model_compare(struct model *a, struct model *b)
{
	uint64_t different = 0;

	pthread_mutex_lock(&a->lock);
	pthread_mutex_lock(&b->lock);
	for (uint64_t i = 0; i < a->entries; i++) {
		uint64_t av = a->hpte[i][0], ar = a->hpte[i][1];
		uint64_t bv = b->hpte[i][0], br = b->hpte[i][1];

		hpte_normalise(&av, &ar);
		hpte_normalise(&bv, &br);
		different += av != bv || ar != br;
	}
	pthread_mutex_unlock(&b->lock);
	pthread_mutex_unlock(&a->lock);
	return different;
}

/* splitmix64 */
static inline uint64_t model_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Change n entries, most of them into valid ones. */
static inline void model_stir(struct model *m, uint64_t *state, uint64_t n)
{
	while (n--) {
		uint64_t i = model_random(state) % m->entries;
		bool valid = model_random(state) % 4 != 0;

		model_set(m, i, valid ? (model_random(state) << 7 | HPTE_V_VALID) : 0,
			model_random(state) & ~HPTE_R_MODIFIED);
	}
}
