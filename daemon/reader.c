/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/reader.h"

#include <inttypes.h>
#include <string.h>

/* The loop wants the table back: no read comes after this, until it says so. Under the lock. */
static bool part(struct reader *r)
{
	struct sendring *ring = r->ring;

	if (!ring->parting)
		return false;
	ring->parting = false;
	ring->parted = true;
	ring->reading = false;
	r->cursor = 0;
	return true;
}

/* The next free chunk, or NULL; the table to read, and how much at once. */
static struct chunk *take(struct reader *r, struct htabio **ret_io, size_t *ret_max)
{
	struct sendring *ring = r->ring;
	struct chunk *c = NULL;
	bool parted;

	pthread_mutex_lock(&ring->flow->lock);
	parted = part(r);
	*ret_io = r->io;
	*ret_max = ring->plain_max;
	if (r->changes && READER_CHANGES < *ret_max)
		*ret_max = READER_CHANGES;
	if (ring->reading) {
		/* A chunk that a peer acknowledges early still belongs to the sender. */
		uint64_t gone = ring->acked < ring->sent ? ring->acked : ring->sent;

		if (ring->filled - gone < ring->ring.size)
			c = ring_chunk(&ring->ring, ring->filled + 1);
	}
	pthread_mutex_unlock(&ring->flow->lock);
	if (parted)
		flow_notify(ring->flow);
	return c;
}

/* Hand the chunk over (n > 0) and end the pass at the table's end. */
static void put(struct reader *r, struct chunk *c, size_t n, bool wrapped, uint64_t ns)
{
	struct sendring *ring = r->ring;
	struct outflow_stats *s = &ring->stats;

	pthread_mutex_lock(&ring->flow->lock);
	s->read_ns += ns;
	if (n > 0) {
		c->meta = (struct wire_chunk){
			.stream = ring->stream,
			.codec = ring->codec,
			.generation = ring->generation,
			.pass = ring->pass,
			.plain = (uint32_t)n,
			.seq = ++ring->filled,
		};
		s->chunks++;
		s->pass_valid += c->count.valid;
		s->pass_invalid += c->count.invalid;
		s->pass_plain += n;
		s->last_end = c->count.end;
		if (ring->stream != WIRE_STREAM_VERIFY) {
			s->valid += c->count.valid;
			s->invalid += c->count.invalid;
			s->plain += n;
		}
	}
	if (wrapped) {
		ring->reading = false;
		ring->whole = true;
		ring->ending = true;
	}
	pthread_mutex_unlock(&ring->flow->lock);
	flow_wake(ring->flow, ring->sender);
}

enum flow_next reader_step(void *reader, struct flow_wait *wait)
{
	struct reader *r = reader;
	struct flow *flow = r->ring->flow;
	struct htabio *io;
	size_t max;
	struct chunk *c = take(r, &io, &max);
	const char *why;
	uint64_t start;
	bool wrapped;
	ssize_t n;
	int bad;

	if (!c)
		return FLOW_WAIT;
	flow_at("reader-read");
	start = flow->clock();
	n = htabio_read(io, chunk_plain(c), max);
	if (n < 0)
		return flow_fail(flow, (int)n,
			"cannot read the guest's table from index %" PRIu64 ": %s", r->cursor,
			htabio_error(io));
	c->count = (struct htab_count){0};
	/* What the kernel (or a VMM) gave: whole records, ascending from the cursor. */
	bad = n > 0 ? htab_check_convert(r->ring->kind, chunk_plain(c), (size_t)n, r->entries,
			      HTAB_HOST, HTAB_WIRE, r->cursor, &c->count, &why)
		    : 0;
	if (bad < 0)
		return flow_fail(flow, bad,
			"the guest's table, read from index %" PRIu64 " of %" PRIu64
			", makes no sense: %s",
			r->cursor, r->entries, why);
	/* 0 bytes say so too: nothing changed from here to the end. */
	wrapped = htab_read_wrapped_kind(
		r->ring->kind, (size_t)n, htabio_read_count(io, max), c->count.end, r->entries);
	r->cursor = wrapped ? 0 : c->count.end;
	r->changes |= wrapped;
	flow_at("reader-fill");
	put(r, c, (size_t)n, wrapped, flow->clock() - start);
	return FLOW_MORE;
}
