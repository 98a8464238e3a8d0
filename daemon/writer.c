/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/writer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "common/clock.h"

void writer_init(struct writer *w, struct recvring *ring, struct htabio *io, uint64_t entries,
	int timeout_ms)
{
	*w = (struct writer){
		.ring = ring,
		.io = io,
		.entries = entries,
		.timeout_ms = timeout_ms,
		.digest = STREAM_DIGEST_INIT,
	};
}

/* What is next in the channel's order: a chunk, a pass's end (*ret_marker), or nothing. */
static struct chunk *take(struct writer *w, bool *ret_marker, struct marker *ret)
{
	struct recvring *ring = w->ring;
	struct chunk *c = NULL;

	pthread_mutex_lock(&ring->flow->lock);
	*ret = ring->marker[ring->markers_done % RING_MARKERS];
	*ret_marker = ring->markers_done < ring->markers_in && ret->seq == ring->written;
	if (!*ret_marker && ring->written < ring->received)
		c = ring_chunk(&ring->ring, ring->written + 1);
	pthread_mutex_unlock(&ring->flow->lock);
	return c;
}

/* The chunk is written or compared: its buffer is free. */
static enum flow_next written(struct writer *w, const struct chunk *c)
{
	struct recvring *ring = w->ring;
	struct inflow_stats *s = &ring->stats;

	flow_at("writer-written");
	pthread_mutex_lock(&ring->flow->lock);
	ring->written = c->meta.seq;
	ring->digest = w->digest;
	if (s->pass == c->meta.pass && s->generation == c->meta.generation) {
		s->pass_valid += c->count.valid;
		s->pass_invalid += c->count.invalid;
	}
	if (c->meta.stream != WIRE_STREAM_VERIFY) {
		s->valid += c->count.valid;
		s->invalid += c->count.invalid;
		s->plain += c->meta.plain;
	} else {
		s->verified = w->verified + verify_compared(w->verify);
		s->mismatches = w->mismatches + verify_mismatches(w->verify);
	}
	pthread_mutex_unlock(&ring->flow->lock);
	flow_notify(ring->flow);
	return FLOW_MORE;
}

/* Validate a chunk, once. What is to be written gets headers as the htab fd has them. */
static enum flow_next check(struct writer *w, struct chunk *c)
{
	bool compare = c->meta.stream == WIRE_STREAM_VERIFY;
	const char *why;

	if (w->checked == c->meta.seq)
		return FLOW_MORE;
	w->digest = stream_digest(w->digest, chunk_plain(c), c->meta.plain);
	if (htab_check_convert(w->ring->kind, chunk_plain(c), c->meta.plain, w->entries, HTAB_WIRE,
		    compare ? HTAB_WIRE : HTAB_HOST, HTAB_UNORDERED, &c->count, &why) < 0)
		return flow_fail(w->ring->flow, -EBADMSG, "chunk %" PRIu64 " of channel %u: %s",
			c->meta.seq, w->ring->channel, why);
	w->checked = c->meta.seq;
	return FLOW_MORE;
}

static enum flow_next write_chunk(struct writer *w, struct chunk *c)
{
	int r;

	flow_at("writer-write");
	r = htabio_write(w->io, chunk_plain(c), c->meta.plain);
	if (r < 0)
		return flow_fail(w->ring->flow, r, "%s", htabio_error(w->io));
	return written(w, c);
}

static enum flow_next compare_chunk(struct writer *w, struct chunk *c, struct flow_wait *wait)
{
	struct flow *flow = w->ring->flow;
	struct verify *v;
	struct err err;
	int r;

	pthread_mutex_lock(&flow->lock);
	v = w->verify;
	pthread_mutex_unlock(&flow->lock);
	if (!v) {
		uint64_t now = flow->clock();

		if (!w->waiting)
			w->waiting = now;
		wait->until = w->waiting + (uint64_t)w->timeout_ms * NS_PER_MS;
		if (w->timeout_ms < 0)
			wait->until = FLOW_FOREVER;
		if (now < wait->until)
			return FLOW_WAIT;
		return flow_fail(flow, -EPROTO,
			"the source sent a VERIFY stream, but there is nothing to compare it with: "
			"it was not agreed upon");
	}
	w->waiting = 0;
	flow_at("writer-compare");
	if (!w->feeding)
		verify_feed(v, chunk_plain(c), c->meta.plain);
	w->feeding = true;
	r = verify_step(v, &err);
	if (r < 0)
		return flow_fail(flow, r, "%s", err.text);
	if (r > 0)
		return FLOW_MORE;
	w->feeding = false;
	return written(w, c);
}

static enum flow_next end_pass(struct writer *w, const struct marker *m)
{
	struct flow *flow = w->ring->flow;
	struct verify *v = NULL;
	struct err err;

	flow_at("writer-pass-end");
	pthread_mutex_lock(&flow->lock);
	if (m->stream == WIRE_STREAM_VERIFY) {
		v = w->verify;
		w->verify = NULL;
	}
	pthread_mutex_unlock(&flow->lock);
	if (m->stream == WIRE_STREAM_VERIFY && !v)
		return flow_fail(flow, -EPROTO, "the source's VERIFY pass compared nothing");
	if (v) {
		int r = verify_end(v, &err);

		w->verified += verify_compared(v);
		w->mismatches += verify_mismatches(v);
		verify_free(v);
		if (r < 0)
			return flow_fail(flow, r, "%s", err.text);
	}
	pthread_mutex_lock(&flow->lock);
	w->ring->markers_done++;
	pthread_mutex_unlock(&flow->lock);
	flow_notify(flow);
	return FLOW_MORE;
}

/* All of the old generation is written: the loop has to bring the new one's table. */
static enum flow_next begin_generation(struct writer *w, const struct marker *m)
{
	struct recvring *ring = w->ring;
	bool begun, told;

	pthread_mutex_lock(&ring->flow->lock);
	begun = ring->generation == m->generation;
	told = ring->barrier.generation == m->generation;
	ring->barrier = *m;
	if (begun)
		ring->markers_done++;
	pthread_mutex_unlock(&ring->flow->lock);
	if (!begun && told)
		return FLOW_WAIT;
	flow_at(begun ? "writer-generation" : "writer-barrier");
	flow_notify(ring->flow);
	return begun ? FLOW_MORE : FLOW_WAIT;
}

enum flow_next writer_step(void *writer, struct flow_wait *wait)
{
	struct writer *w = writer;
	struct marker m;
	bool marker;
	struct chunk *c = take(w, &marker, &m);

	if (marker)
		return m.pass ? end_pass(w, &m) : begin_generation(w, &m);
	if (!c)
		return FLOW_WAIT;
	if (check(w, c) == FLOW_END)
		return FLOW_END;
	switch (c->meta.stream) {
	case WIRE_STREAM_HTAB:
	case WIRE_STREAM_TLB: return write_chunk(w, c);
	case WIRE_STREAM_VERIFY: return compare_chunk(w, c, wait);
	case WIRE_STREAM_MEMORY: break;
	}
	assert(!"the receiver lets no other stream through");
	return FLOW_END;
}
