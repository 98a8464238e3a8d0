/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/sender.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"

void sender_init(struct sender *s, struct sendring *ring, struct flow_io io, int timeout_ms)
{
	*s = (struct sender){
		.ring = ring,
		.io = io,
		.timeout_ms = timeout_ms,
		.digest = STREAM_DIGEST_INIT,
	};
}

/* Make a frame of the next chunk, once, before it is known when that may be sent. */
static enum flow_next seal(struct sender *s, struct chunk *c)
{
	struct sendring *ring = s->ring;
	struct flow *flow = ring->flow;
	uint64_t start = flow->clock();
	bool awaited;
	size_t len;
	int r;

	flow_at("sender-take");
	if (c->meta.generation != s->generation)
		codec_set_order(ring->coder, ring->all->order[c->meta.generation]);
	s->generation = c->meta.generation;
	s->digest = stream_digest(s->digest, c->plain, c->meta.plain);
	r = codec_encode(ring->coder, c->plain, c->meta.plain, chunk_payload(c), &len);
	if (r == 0)
		r = wire_pack_chunk(&c->meta, len, c->frame, CHUNK_ROOM);
	if (r < 0)
		return flow_fail(
			flow, r, "cannot encode chunk %" PRIu64 ": %s", c->meta.seq, strerror(-r));
	assert(r == (int)CHUNK_ROOM);
	c->len = CHUNK_ROOM + len;
	s->sealed = c->meta.seq;
	pthread_mutex_lock(&flow->lock);
	ring->sealed = s->sealed;
	ring->all->stats.encode_ns += flow->clock() - start;
	awaited = sendring_has_plains(ring);
	pthread_mutex_unlock(&flow->lock);
	if (awaited)
		flow_wake(flow, ring->all->reader);
	return FLOW_MORE;
}

static void begin_frame(struct sender *s, struct chunk *c, const uint8_t *frame, size_t len)
{
	s->chunk = c;
	s->frame = frame;
	s->len = len;
	s->off = 0;
}

/* The channel goes: a frame half written is written anew on the next one. */
static void drop_frame(struct sender *s)
{
	s->frame = NULL;
	s->watched = false;
}

/*
 * Nothing to send: what could still go wrong while we wait for acknowledgements? They have to come,
 * however well the connection looks: else this channel is worth nothing. Under the lock.
 */
static bool watch(struct sender *s, uint64_t now, struct flow_wait *wait)
{
	struct sendring *ring = s->ring;
	uint64_t limit = ring->ack_time + (uint64_t)s->timeout_ms * NS_PER_MS;

	if (ring->filled == ring->acked)
		return true;
	if (ring->all->reading) { /* in a pass a destination has no reason to hang up */
		s->io.want(s->io.ctx, wait);
		wait->events = POLLRDHUP;
		s->watched = true;
	}
	if (s->timeout_ms < 0)
		return true;
	wait->until = limit;
	return now < limit;
}

/* Under the lock: GENERATION, or the next PASS_END, into s->pass_end. Its length. */
static size_t pack_marker(struct sender *s)
{
	struct sendring *ring = s->ring;
	struct sendrings *all = ring->all;
	/* A pass that ended earlier is told once more on a new channel. VERIFY is the last. */
	struct wire_pass_end m = {
		sendring_is_last(ring) ? all->stream : table_stream(all->kind),
		ring->told,
		ring->ended + 1,
		ring->sending,
	};
	struct wire_generation g = {ring->told + 1, all->order[ring->told + 1], ring->sending};
	int r = s->barrier ? wire_pack_generation(&g, s->pass_end, sizeof(s->pass_end))
			   : wire_pack_pass_end(&m, s->pass_end, sizeof(s->pass_end));

	assert(r > 0);
	return (size_t)r;
}

/* The next frame: FLOW_MORE, with one or after a step towards it; or FLOW_WAIT with *wait. */
static enum flow_next next_frame(struct sender *s, uint64_t now, struct flow_wait *wait)
{
	struct sendring *ring = s->ring;
	struct sendrings *all = ring->all;
	struct flow *flow = ring->flow;
	bool marker, raw, alive = true;
	uint64_t delay = 0, acked;
	struct chunk *c = NULL;
	size_t len = 0;

	pthread_mutex_lock(&flow->lock);
	if (all->rate != all->bucket.rate)
		bucket_set_rate(&all->bucket, all->rate, now);
	if (ring->sending < ring->filled)
		c = ring_chunk(&ring->ring, ring->sending + 1);
	s->barrier = ring->told < (c ? c->meta.generation : all->generation);
	/* the passes that are over before what is next have their ends first */
	marker = s->barrier || ring->ended < sendring_over(ring, c);
	raw = c && c->meta.seq > s->sealed;
	if (marker)
		len = pack_marker(s);
	else if (c && !raw)
		len = c->len;
	if (len)
		delay = bucket_take(&all->bucket, len, now);
	if (len && !delay && !marker) {
		ring->sending++;
		sendrings_took(all, now);
	}
	if (!marker && !c)
		alive = watch(s, now, wait);
	acked = ring->acked;
	pthread_mutex_unlock(&flow->lock);

	if (!alive) {
		drop_frame(s);
		return link_break(&ring->link, flow, -ETIMEDOUT,
			"the destination acknowledged nothing after chunk %" PRIu64
			" of channel %u for %d ms",
			acked, ring->channel, s->timeout_ms);
	}
	if (!marker && raw)
		return seal(s, c);
	if (delay)
		wait->until = now + delay;
	if (delay || !len)
		return FLOW_WAIT;
	s->progress = now;
	if (marker)
		begin_frame(s, NULL, s->pass_end, len);
	else
		begin_frame(s, c, c->frame, len);
	return FLOW_MORE;
}

/* GENERATION or PASS_END is written. Under the lock. */
static void marker_sent(struct sender *s, uint64_t now)
{
	struct sendring *ring = s->ring;
	struct sendrings *all = ring->all;

	if (s->barrier) {
		ring->ended = 0;
		if (++ring->told == all->generation && ring->barrier) {
			ring->barrier = false;
			all->begun = sendrings_begun(all);
		}
	} else {
		bool last = sendring_is_last(ring);

		ring->ended++;
		if (last && ring->ending) {
			ring->ending = false;
			all->done = sendrings_ended(all);
			all->stats.pass_ns = now - all->pass_start;
		}
	}
}

static void frame_sent(struct sender *s)
{
	struct sendring *ring = s->ring;
	struct sendrings *all = ring->all;
	bool chunk = s->chunk, awaited;
	uint64_t used;
	uint64_t now; /* not the step's: a pass may have begun since */

	flow_at("sender-sent");
	pthread_mutex_lock(&ring->flow->lock);
	now = ring->flow->clock();
	used = sendring_used(ring);
	if (all->stream != WIRE_STREAM_VERIFY)
		all->stats.wire += s->len;
	if (chunk) {
		ring->sent = s->chunk->meta.seq;
		ring->digest = s->digest;
		sendrings_sent(ring, s->chunk, now);
		if (all->file)
			sendrings_written(ring, ring->sent, now);
		if (ring->acked < ring->sent && ring->ack_time < now)
			ring->ack_time = now;
	} else {
		marker_sent(s, now);
	}
	awaited = sendring_runs_low(ring, used);
	pthread_mutex_unlock(&ring->flow->lock);
	s->frame = NULL;
	if (awaited)
		flow_wake(ring->flow, all->reader);
	if (!chunk)
		flow_notify(ring->flow);
}

enum flow_next sender_step(void *sender, struct flow_wait *wait)
{
	struct sender *s = sender;
	struct link *link = &s->ring->link;
	struct flow *flow = s->ring->flow;
	uint64_t now = flow->clock(), limit;
	ssize_t n;

	if (link_is_cut(link, flow)) {
		drop_frame(s);
		return link_park(link, flow);
	}
	if (s->watched && wait->revents) {
		drop_frame(s);
		return link_break(link, flow, -ECONNRESET,
			"the destination closed channel %u in the middle of a pass",
			s->ring->channel);
	}
	s->watched = false;
	if (!s->frame) {
		enum flow_next next = next_frame(s, now, wait);

		if (next != FLOW_MORE || !s->frame) /* no frame: the channel is given up */
			return next;
	}
	flow_at("sender-write");
	n = s->io.write(s->io.ctx, s->frame + s->off, s->len - s->off);
	if (n == -EAGAIN) {
		limit = s->progress + (uint64_t)s->timeout_ms * NS_PER_MS;
		if (s->timeout_ms >= 0 && now >= limit) {
			drop_frame(s);
			return link_break(link, flow, -ETIMEDOUT,
				"channel %u took no data for %d ms", s->ring->channel,
				s->timeout_ms);
		}
		s->io.want(s->io.ctx, wait);
		if (s->timeout_ms >= 0)
			wait->until = limit;
		return FLOW_WAIT;
	}
	if (n < 0) {
		drop_frame(s);
		return link_break(link, flow, (int)n, "cannot send on channel %u: %s",
			s->ring->channel, s->io.error(s->io.ctx));
	}
	assert((size_t)n <= s->len - s->off);
	s->off += (size_t)n;
	s->progress = now;
	if (s->off == s->len)
		frame_sent(s);
	return FLOW_MORE;
}
