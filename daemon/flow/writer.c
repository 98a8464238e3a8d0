/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/writer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "common/clock.h"

void writer_init(struct writer *w, struct recvrings *rings, struct htabio *io, uint64_t entries,
	int timeout_ms)
{
	*w = (struct writer){
		.rings = rings,
		.io = io,
		.entries = entries,
		.timeout_ms = timeout_ms,
	};
	for (unsigned k = 0; k < WIRE_CHANNELS_MAX; k++)
		w->digest[k] = STREAM_DIGEST_INIT;
}

/* Which of two barriers comes first in every channel? */
static bool is_before(const struct marker *a, const struct marker *b)
{
	return a->generation < b->generation ||
		(a->generation == b->generation && a->pass < b->pass);
}

/*
 * What is next: a chunk of *ret_ring, in turn; or, every channel having come to a barrier, the
 * first of them (*ret_marker). Else NULL: some channel has nothing yet.
 */
static struct chunk *take(
	struct writer *w, struct recvring **ret_ring, bool *ret_barrier, struct marker *ret_marker)
{
	struct recvrings *a = w->rings;
	const struct marker *first = NULL, *m;
	struct chunk *c = NULL;
	unsigned there = 0;

	pthread_mutex_lock(&a->flow->lock);
	for (unsigned k = 0; k < a->n && !c; k++) {
		struct recvring *r = &a->ring[(w->turn + k) % a->n];

		m = recvring_marker(r);
		there += m != NULL;
		if (m && (!first || is_before(m, first)))
			first = m;
		c = m ? NULL : recvring_chunk(r);
		*ret_ring = r;
	}
	*ret_barrier = first && there == a->n;
	if (*ret_barrier)
		*ret_marker = *first;
	pthread_mutex_unlock(&a->flow->lock);
	return c;
}

/*
 * The loop acknowledges what is written: well before the source's ring is full, when there is no
 * more to write, and in time: a table may take seconds for a chunk, and the source's patience ends.
 * The same goes for a receiver that waits for a buffer, and the source for it.
 */
#define TELL_PARTS 4u
#define TELL_NS    NS_PER_SEC

static void tell(struct writer *w)
{
	w->untold = 0;
	flow_notify(w->rings->flow);
}

/* The chunk is written or compared: its buffer is free. */
static enum flow_next written(struct writer *w, struct recvring *ring, const struct chunk *c)
{
	struct recvrings *a = w->rings;
	struct inflow_stats *s = &a->stats;
	uint64_t now = a->flow->clock();
	bool late = now - w->told_at >= TELL_NS, awaited;

	flow_at("writer-written");
	w->turn = (ring->channel + 1) % a->n;
	pthread_mutex_lock(&a->flow->lock);
	ring->written = c->meta.seq;
	awaited = recvring_runs_low(ring);
	ring->digest = w->digest[ring->channel];
	recvpos_chunk(&ring->at, &c->meta);
	if (s->pass == c->meta.pass && s->generation == c->meta.generation) {
		s->pass_valid += c->count.valid;
		s->pass_invalid += c->count.invalid;
	}
	if (c->meta.stream != WIRE_STREAM_VERIFY) {
		recvrings_count(a, c);
	} else {
		s->verified = w->verified + verify_compared(w->verify);
		s->mismatches = w->mismatches + verify_mismatches(w->verify);
	}
	pthread_mutex_unlock(&a->flow->lock);
	if (awaited || late)
		flow_wake(a->flow, ring->receiver);
	w->untold++;
	if (w->untold >= ring->ring.size / TELL_PARTS || late) {
		w->told_at = now;
		tell(w);
	}
	return FLOW_MORE;
}

/* Validate a chunk, once. What is to be written gets headers as the htab fd has them. */
static enum flow_next check(struct writer *w, const struct recvring *ring, struct chunk *c)
{
	uint64_t *digest = &w->digest[ring->channel];
	bool compare = c->meta.stream == WIRE_STREAM_VERIFY;
	const char *why;

	if (w->checked[ring->channel] == c->meta.seq)
		return FLOW_MORE;
	*digest = stream_digest(*digest, c->plain, c->meta.plain);
	if (htab_check_convert(w->rings->kind, c->plain, c->meta.plain, w->entries, HTAB_WIRE,
		    compare ? HTAB_WIRE : HTAB_HOST, HTAB_UNORDERED, &c->count, &why) < 0)
		return flow_fail(w->rings->flow, -EBADMSG, "chunk %" PRIu64 " of channel %u: %s",
			c->meta.seq, ring->channel, why);
	w->checked[ring->channel] = c->meta.seq;
	return FLOW_MORE;
}

static enum flow_next write_chunk(struct writer *w, struct recvring *ring, struct chunk *c)
{
	int r;

	flow_at("writer-write");
	r = htabio_write(w->io, c->plain, c->meta.plain);
	if (r < 0)
		return flow_fail(w->rings->flow, r, "%s", htabio_error(w->io));
	return written(w, ring, c);
}

static enum flow_next compare_chunk(
	struct writer *w, struct recvring *ring, struct chunk *c, struct flow_wait *wait)
{
	struct flow *flow = w->rings->flow;
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
		verify_feed(v, c->plain, c->meta.plain);
	w->feeding = true;
	r = verify_step(v, &err);
	if (r < 0)
		return flow_fail(flow, r, "%s", err.text);
	if (r > 0)
		return FLOW_MORE;
	w->feeding = false;
	return written(w, ring, c);
}

/*
 * Every channel has come to a barrier, and m is the first: those that are there go on behind it.
 * Under the lock. false: some channel is at one that cannot follow.
 */
static bool pass_barrier(struct recvrings *a, const struct marker *m)
{
	unsigned there = 0;

	for (unsigned k = 0; k < a->n; k++) {
		const struct marker *other = recvring_marker(&a->ring[k]);
		bool same = other->generation == m->generation && other->pass == m->pass;

		if (same && (other->stream != m->stream || other->order != m->order))
			return false;
		/* A pass that is cut off may have its end on some channels. */
		if (!same && (other->pass || other->generation != m->generation + 1))
			return false;
		there += same;
	}
	for (unsigned k = 0; k < a->n; k++) {
		struct recvring *r = &a->ring[k];
		const struct marker *other = recvring_marker(r);

		if (other->generation == m->generation && other->pass == m->pass) {
			recvpos_marker(&r->at, other);
			r->markers_done++;
		}
	}
	if (there == a->n)
		a->over[a->over_in++ % RING_MARKERS] = *m;
	return true;
}

static enum flow_next go_on(struct writer *w, const struct marker *m)
{
	struct flow *flow = w->rings->flow;
	bool fits;

	pthread_mutex_lock(&flow->lock);
	fits = pass_barrier(w->rings, m);
	pthread_mutex_unlock(&flow->lock);
	if (!fits)
		return flow_fail(flow, -EPROTO,
			"the source's channels do not agree on what follows pass %" PRIu32
			" of generation %" PRIu32,
			m->pass ? m->pass - 1 : 0, m->generation);
	flow_notify(flow);
	return FLOW_MORE;
}

static enum flow_next end_pass(struct writer *w, const struct marker *m)
{
	struct flow *flow = w->rings->flow;
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
	return go_on(w, m);
}

/* All of the old generation is written: the loop has to bring the new one's table. */
static enum flow_next begin_generation(struct writer *w, const struct marker *m)
{
	struct recvrings *a = w->rings;
	bool begun, told;

	pthread_mutex_lock(&a->flow->lock);
	begun = a->generation == m->generation;
	told = a->barrier.generation == m->generation;
	a->barrier = *m;
	pthread_mutex_unlock(&a->flow->lock);
	if (!begun && told)
		return FLOW_WAIT;
	flow_at(begun ? "writer-generation" : "writer-barrier");
	if (begun)
		return go_on(w, m);
	flow_notify(a->flow);
	return FLOW_WAIT;
}

static enum flow_next step(struct writer *w, struct flow_wait *wait)
{
	struct recvring *ring;
	struct marker m;
	bool barrier;
	struct chunk *c = take(w, &ring, &barrier, &m);

	if (barrier)
		return m.pass ? end_pass(w, &m) : begin_generation(w, &m);
	if (!c)
		return FLOW_WAIT;
	if (check(w, ring, c) == FLOW_END)
		return FLOW_END;
	switch (c->meta.stream) {
	case WIRE_STREAM_HTAB:
	case WIRE_STREAM_TLB: return write_chunk(w, ring, c);
	case WIRE_STREAM_VERIFY: return compare_chunk(w, ring, c, wait);
	case WIRE_STREAM_MEMORY: break;
	}
	assert(!"the receiver lets no other stream through");
	return FLOW_END;
}

enum flow_next writer_step(void *writer, struct flow_wait *wait)
{
	struct writer *w = writer;
	enum flow_next next = step(w, wait);

	if (next == FLOW_WAIT && w->untold)
		tell(w);
	return next;
}
