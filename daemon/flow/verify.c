/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/htab.h"
#include "proto/pack.h"

#define READ_SIZE HTABSOCK_PACKET_MAX

/* One of the two streams, and what is left of its current record. */
struct side {
	struct htab_iter it;
	const uint8_t *hptes;
	uint64_t next; /* index of the entry after the record */
	uint32_t valid, invalid;
};

struct verify {
	struct htabio *io;
	enum htab_kind kind;
	uint64_t entries;
	uint64_t compared, mismatches;
	struct side there, here;
	uint8_t buf[READ_SIZE];
};

int verify_new(struct htabio *io, uint64_t entries, struct verify **ret)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->io = io;
	v->kind = htabio_kind(io);
	v->entries = entries;
	*ret = v;
	return 0;
}

void verify_feed(struct verify *v, const void *buf, size_t len)
{
	htab_iter_init_kind(&v->there.it, v->kind, buf, len, v->entries, HTAB_WIRE);
}

/* The next record: 1, 0 when there is none, or -errno. Every entry has to be named once. */
static int next_record(struct side *s, const char *whose, struct err *err)
{
	struct htab_rec rec;
	int r = htab_iter_next(&s->it, &rec);

	if (r == 0)
		return 0;
	if (r < 0)
		return err_set(err, r, "%s table, read for comparison, makes no sense: %s", whose,
			s->it.why);
	if (rec.index != s->next)
		return err_set(err, -EBADMSG,
			"%s table, read for comparison, has index %" PRIu32 " where %" PRIu64
			" should be: only a first pass from index 0 names every entry",
			whose, rec.index, s->next);
	s->hptes = rec.hptes;
	s->valid = rec.n_valid;
	s->invalid = rec.n_invalid;
	s->next = (uint64_t)rec.index + rec.n_valid + rec.n_invalid;
	return 1;
}

static int read_here(struct verify *v, struct err *err)
{
	ssize_t n = htabio_read(v->io, v->buf, sizeof(v->buf));

	if (n < 0)
		return err_set(err, (int)n, "cannot read the table back from index %" PRIu64 ": %s",
			v->here.next, htabio_error(v->io));
	if (n == 0)
		return err_set(err, -EBADMSG,
			"the table read back ended at index %" PRIu64 " of %" PRIu64, v->here.next,
			v->entries);
	htab_iter_init_kind(&v->here.it, v->kind, v->buf, (size_t)n, v->entries, HTAB_HOST);
	return 1;
}

/* TLB entries have no other normal form than themselves. */
static uint64_t count_different_tlb(const uint8_t *a, const uint8_t *b, uint64_t n)
{
	uint64_t different = 0;

	for (uint64_t i = 0; i < n; i++, a += TLB_ENTRY_SIZE, b += TLB_ENTRY_SIZE)
		different += memcmp(a, b, TLB_ENTRY_SIZE) != 0;
	return different;
}

static uint64_t count_different(enum htab_kind kind, const uint8_t *a, const uint8_t *b, uint64_t n)
{
	uint64_t different = 0;

	if (kind == HTAB_TLB)
		return count_different_tlb(a, b, n);
	if (memcmp(a, b, n * HTAB_HPTE_SIZE) == 0)
		return 0;
	for (uint64_t i = 0; i < n; i++, a += HTAB_HPTE_SIZE, b += HTAB_HPTE_SIZE) {
		uint64_t av = be64_get(a), ar = be64_get(a + 8);
		uint64_t bv = be64_get(b), br = be64_get(b + 8);

		hpte_normalise(&av, &ar);
		hpte_normalise(&bv, &br);
		different += av != bv || ar != br;
	}
	return different;
}

static void advance(struct side *s, enum htab_kind kind, bool valid, uint32_t n)
{
	if (valid) {
		s->valid -= n;
		s->hptes += (size_t)n * htab_entry_size(kind);
	} else {
		s->invalid -= n;
	}
}

/* As many entries as both sides' runs go on. */
static void compare_runs(struct verify *v)
{
	struct side *a = &v->there, *b = &v->here;
	bool av = a->valid > 0, bv = b->valid > 0;
	uint32_t na = av ? a->valid : a->invalid;
	uint32_t nb = bv ? b->valid : b->invalid;
	uint32_t n = na < nb ? na : nb;

	if (av && bv)
		v->mismatches += count_different(v->kind, a->hptes, b->hptes, n);
	else if (av != bv)
		v->mismatches += n;
	v->compared += n;
	advance(a, v->kind, av, n);
	advance(b, v->kind, bv, n);
}

int verify_step(struct verify *v, struct err *err)
{
	for (;;) {
		int r;

		if (!v->there.valid && !v->there.invalid) {
			r = next_record(&v->there, "the source's", err);
			if (r <= 0)
				return r;
		}
		if (!v->here.valid && !v->here.invalid) {
			r = next_record(&v->here, "this side's", err);
			if (r < 0)
				return r;
			if (r == 0)
				return read_here(v, err);
		}
		compare_runs(v);
	}
}

int verify_end(const struct verify *v, struct err *err)
{
	if (v->compared != v->entries)
		return err_set(err, -EBADMSG,
			"the source's VERIFY pass ended at index %" PRIu64 " of %" PRIu64,
			v->compared, v->entries);
	return 0;
}

uint64_t verify_compared(const struct verify *v)
{
	return v->compared;
}

uint64_t verify_mismatches(const struct verify *v)
{
	return v->mismatches;
}

void verify_shutdown(struct verify *v)
{
	htabio_shutdown(v->io);
}

struct verify *verify_free(struct verify *v)
{
	if (v)
		htabio_free(v->io);
	free(v);
	return NULL;
}
