/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/reader.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* The loop wants the table back: no read comes after this, until it says so. Under the lock. */
static bool part(struct reader *r)
{
	struct sendrings *a = r->rings;

	if (!a->parting)
		return false;
	a->parting = false;
	a->parted = true;
	a->reading = false;
	r->cursor = 0;
	r->dealing = false; /* of a table that is worth nothing any more */
	memset(r->open, 0, sizeof(r->open));
	return true;
}

/* Is there something to read? Then from where, and how much at once. */
static bool may_read(struct reader *r, struct htabio **ret_io, size_t *ret_max)
{
	struct sendrings *a = r->rings;
	bool parted, reading;

	pthread_mutex_lock(&a->flow->lock);
	parted = part(r);
	reading = a->reading;
	*ret_io = r->io;
	*ret_max = reader_max(a->plain_max, a->rate);
	/* with nothing to read `entries` may become another table's, without the lock */
	if (reading && r->changes && reader_changes(r->cursor, r->entries) < *ret_max)
		*ret_max = reader_changes(r->cursor, r->entries);
	pthread_mutex_unlock(&a->flow->lock);
	if (parted)
		flow_notify(a->flow);
	return reading;
}

/* VERIFY's stream is one, in the order of the table. */
static struct stripes stripes(const struct reader *r)
{
	bool one = r->rings->stream == WIRE_STREAM_VERIFY;

	return stripes_of(r->entries, one ? 1 : r->rings->n);
}

/* The chunk that the channel's records go to, an empty one at first; NULL: its ring is full. */
static struct chunk *open_chunk(struct reader *r, unsigned channel)
{
	struct chunk *c = r->open[channel];

	if (!c && (c = sendring_free(&r->rings->ring[channel]))) {
		c->meta.plain = 0;
		c->count = (struct htab_count){0};
		r->open[channel] = c;
	}
	return c;
}

/* Hand the channel's chunk over, unless it is empty. Under the lock. */
static void put(struct reader *r, unsigned channel)
{
	struct sendrings *a = r->rings;
	struct outflow_stats *s = &a->stats;
	struct chunk *c = r->open[channel];
	size_t n = c ? c->meta.plain : 0;

	r->open[channel] = NULL;
	if (n == 0)
		return;
	c->meta = (struct wire_chunk){
		.stream = a->stream,
		.codec = a->codec,
		.generation = a->generation,
		.pass = a->pass,
		.plain = (uint32_t)n,
		.seq = ++a->ring[channel].filled,
	};
	s->chunks++;
	s->pass_read += c->count.valid + c->count.invalid;
}

/* A chunk is full: others of the same read follow. */
static void put_full(struct reader *r, unsigned channel)
{
	struct sendrings *a = r->rings;

	pthread_mutex_lock(&a->flow->lock);
	put(r, channel);
	pthread_mutex_unlock(&a->flow->lock);
	flow_wake(a->flow, a->ring[channel].sender);
}

/* All of a read is in chunks: hand them over, and end the pass at the table's end. */
static enum flow_next put_all(struct reader *r)
{
	struct sendrings *a = r->rings;
	bool news[WIRE_CHANNELS_MAX];

	flow_at("reader-fill");
	r->dealing = false;
	pthread_mutex_lock(&a->flow->lock);
	for (unsigned k = 0; k < a->n; k++) {
		news[k] = r->wrapped || r->open[k];
		put(r, k);
		a->ring[k].ending |= r->wrapped;
	}
	a->read_end = r->wrapped ? r->entries : r->cursor;
	if (r->wrapped) {
		a->reading = false;
		a->whole = true;
	}
	pthread_mutex_unlock(&a->flow->lock);
	for (unsigned k = 0; k < a->n; k++)
		if (news[k])
			flow_wake(a->flow, a->ring[k].sender);
	return FLOW_MORE;
}

/* The next record of the spill; false: there is none. */
static bool next_spilt(struct reader *r)
{
	const uint8_t *p = r->rings->spill + r->dealt;

	if (r->rec.n_valid || r->rec.n_invalid)
		return true;
	if (r->dealt == r->spilt)
		return false;
	r->rec = (struct htab_rec){
		.index = be32_get(p),
		.n_valid = be16_get(p + 4),
		.n_invalid = be16_get(p + 6),
		.hptes = p + HTAB_HDR_SIZE,
		.kind = r->rings->kind,
	};
	r->dealt += htab_rec_size(&r->rec);
	assert(r->dealt <= r->spilt);
	return true;
}

static void count(struct chunk *c, const struct htab_rec *rec)
{
	c->count.records++;
	c->count.valid += rec->n_valid;
	c->count.invalid += rec->n_invalid;
	c->count.end = (uint64_t)rec->index + rec->n_valid + rec->n_invalid;
}

/* Copy what was spilt to the channels whose it is. */
static enum flow_next deal(struct reader *r)
{
	struct stripes s = stripes(r);
	size_t least = HTAB_HDR_SIZE + htab_entry_size(r->rings->kind);

	while (next_spilt(r)) {
		unsigned channel = stripe_channel(&s, r->rec.index);
		struct chunk *c = open_chunk(r, channel);
		struct htab_rec one, left;
		size_t room;

		if (!c)
			return FLOW_WAIT;
		room = r->rings->plain_max - c->meta.plain;
		if (room < least) {
			put_full(r, channel);
			continue;
		}
		one = left = stripe_cut(&s, &r->rec);
		c->meta.plain += (uint32_t)htab_split(
			&left, c->plain + c->meta.plain, room, HTAB_WIRE);
		one.n_valid -= left.n_valid;
		one.n_invalid -= left.n_invalid;
		count(c, &one);
		if (left.n_valid || left.n_invalid) { /* first, and then the rest of the record */
			r->rec.index = left.index;
			r->rec.n_valid += left.n_valid;
			r->rec.n_invalid += left.n_invalid;
			r->rec.hptes = left.hptes;
			put_full(r, channel);
		}
	}
	return put_all(r);
}

/*
 * n bytes were read into a chunk: those that are its channel's from the first one on stay, the
 * others are spilt.
 */
static void keep(
	struct reader *r, struct chunk *c, unsigned channel, size_t n, const struct htab_count *all)
{
	struct stripes s = stripes(r);
	uint8_t *plain = c->plain;
	struct htab_rec kept;
	size_t at = 0;

	r->spilt = r->dealt = 0;
	r->rec = (struct htab_rec){0};
	if (s.channels == 1 || n == 0 ||
		(stripe_channel(&s, be32_get(plain)) == channel &&
			be32_get(plain) / s.size == (all->end - 1) / s.size)) {
		c->count = *all;
		c->meta.plain = (uint32_t)n;
		return;
	}
	for (;;) {
		struct htab_rec rec = {
			.index = be32_get(plain + at),
			.n_valid = be16_get(plain + at + 4),
			.n_invalid = be16_get(plain + at + 6),
			.kind = r->rings->kind,
		};

		if (stripe_channel(&s, rec.index) != channel)
			break;
		rec.hptes = plain + at + HTAB_HDR_SIZE;
		kept = stripe_cut(&s, &rec);
		count(c, &kept);
		at += htab_rec_size(&kept);
		if (rec.n_valid || rec.n_invalid) {
			/* Its rest becomes the first record that is spilt. */
			r->spilt = HTAB_HDR_SIZE + htab_entry_size(rec.kind) * rec.n_valid;
			htab_put_header(
				r->rings->spill, HTAB_WIRE, rec.index, rec.n_valid, rec.n_invalid);
			memcpy(r->rings->spill + HTAB_HDR_SIZE, rec.hptes,
				r->spilt - HTAB_HDR_SIZE);
			htab_put_header(plain + at - htab_rec_size(&kept), HTAB_WIRE, kept.index,
				kept.n_valid, kept.n_invalid);
			c->meta.plain = (uint32_t)at;
			at += htab_entry_size(rec.kind) * rec.n_valid;
			break;
		}
		c->meta.plain = (uint32_t)at;
		if (at == n)
			return;
	}
	memcpy(r->rings->spill + r->spilt, plain + at, n - at);
	r->spilt += n - at;
	assert(r->spilt <= r->rings->plain_max);
}

/* One read into a free chunk of the channel where the pass is. */
static enum flow_next read_more(struct reader *r, struct htabio *io, size_t max)
{
	struct sendrings *a = r->rings;
	struct stripes s = stripes(r);
	unsigned channel = stripe_channel(&s, r->cursor);
	struct chunk *c = open_chunk(r, channel);
	struct htab_count all = {0};
	const char *why;
	uint64_t start;
	ssize_t n;
	int bad;

	if (!c)
		return FLOW_WAIT;
	flow_at("reader-read");
	start = a->flow->clock();
	n = htabio_read(io, c->plain, max);
	if (n < 0)
		return flow_fail(a->flow, (int)n,
			"cannot read the guest's table from index %" PRIu64 ": %s", r->cursor,
			htabio_error(io));
	/* What the kernel (or a VMM) gave: whole records, ascending from the cursor. */
	bad = n > 0 ? htab_check_convert(a->kind, c->plain, (size_t)n, r->entries, HTAB_HOST,
			      HTAB_WIRE, r->cursor, &all, &why)
		    : 0;
	if (bad < 0)
		return flow_fail(a->flow, bad,
			"the guest's table, read from index %" PRIu64 " of %" PRIu64
			", makes no sense: %s",
			r->cursor, r->entries, why);
	/* 0 bytes say so too: nothing changed from here to the end. */
	r->wrapped = htab_read_wrapped_kind(
		a->kind, (size_t)n, htabio_read_count(io, max), all.end, r->entries);
	r->cursor = r->wrapped ? 0 : all.end;
	r->changes |= r->wrapped;
	r->dealing = true;
	pthread_mutex_lock(&a->flow->lock);
	a->stats.read_ns += a->flow->clock() - start;
	pthread_mutex_unlock(&a->flow->lock);
	keep(r, c, channel, (size_t)n, &all);
	return deal(r);
}

enum flow_next reader_step(void *reader, struct flow_wait *wait)
{
	struct reader *r = reader;
	struct htabio *io;
	size_t max;

	if (!may_read(r, &io, &max))
		return FLOW_WAIT;
	return r->dealing ? deal(r) : read_more(r, io, max);
}
