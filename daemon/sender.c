/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/sender.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/codec.h"

void sender_init(struct sender *s, struct sendring *ring, struct flow_io io, int timeout_ms)
{
	*s = (struct sender){
		.ring = ring,
		.io = io,
		.timeout_ms = timeout_ms,
		.digest = STREAM_DIGEST_INIT,
	};
	s->bucket.last = ring->flow->clock();
	bucket_set_rate(&s->bucket, ring->rate, s->bucket.last);
}

/* Make a frame of a chunk. */
static int seal(struct sender *s, struct chunk *c)
{
	uint8_t *plain = chunk_plain(c);
	size_t len;
	int r;

	s->digest = stream_digest(s->digest, plain, c->meta.plain);
	r = codec_encode(s->ring->coder, plain, c->meta.plain, &len);
	if (r < 0)
		return r;
	r = wire_pack_chunk(&c->meta, len, c->frame, CHUNK_ROOM);
	if (r < 0)
		return r;
	assert(r == (int)CHUNK_ROOM);
	c->len = CHUNK_ROOM + len;
	s->chunk = c;
	s->frame = c->frame;
	s->len = c->len;
	s->off = 0;
	return 0;
}

/* Nothing to send: what could still go wrong while we wait for acknowledgements? Under the lock. */
static bool watch(struct sender *s, uint64_t now, struct flow_wait *wait)
{
	struct sendring *ring = s->ring;
	uint64_t limit = ring->ack_time + (uint64_t)s->timeout_ms * NS_PER_MS;

	if (!ring->reading || ring->filled == ring->acked)
		return true;
	/* In the middle of a pass a destination has no reason to hang up. */
	s->io.want(s->io.ctx, wait);
	wait->events = POLLRDHUP;
	s->watched = true;
	if (s->timeout_ms < 0 || ring->filled - ring->acked < ring->ring.size)
		return true;
	wait->until = limit;
	return now < limit;
}

/* Choose the next frame: FLOW_MORE, or FLOW_WAIT with *wait. */
static enum flow_next next_frame(struct sender *s, uint64_t now, struct flow_wait *wait)
{
	struct sendring *ring = s->ring;
	struct flow *flow = ring->flow;
	struct wire_pass_end m;
	bool chunk, ending, alive = true;
	uint64_t delay = 0, acked;
	int r = 0;

	pthread_mutex_lock(&flow->lock);
	if (ring->rate != s->bucket.rate)
		bucket_set_rate(&s->bucket, ring->rate, now);
	chunk = ring->sending < ring->filled;
	ending = !chunk && ring->ending;
	if (chunk)
		delay = bucket_delay(&s->bucket, now);
	if (chunk && delay == 0)
		ring->sending++;
	if (!chunk && !ending)
		alive = watch(s, now, wait);
	m = (struct wire_pass_end){ring->stream, ring->generation, ring->pass, ring->sent};
	acked = ring->acked;
	pthread_mutex_unlock(&flow->lock);

	if (!alive)
		return flow_fail(flow, -ETIMEDOUT,
			"the destination acknowledged nothing after chunk %" PRIu64
			" of channel %u for %d ms",
			acked, ring->channel, s->timeout_ms);
	if (delay) {
		wait->until = now + delay;
		return FLOW_WAIT;
	}
	if (!chunk && !ending)
		return FLOW_WAIT;
	s->progress = now;
	if (chunk) {
		flow_at("sender-take");
		r = seal(s, ring_chunk(&ring->ring, ring->sending));
		bucket_take(&s->bucket, s->len);
	} else {
		s->chunk = NULL;
		r = wire_pack_pass_end(&m, s->pass_end, sizeof(s->pass_end));
		s->frame = s->pass_end;
		s->len = r < 0 ? 0 : (size_t)r;
		s->off = 0;
	}
	if (r < 0)
		return flow_fail(
			flow, r, "cannot encode chunk %" PRIu64 ": %s", m.seq + 1, strerror(-r));
	return FLOW_MORE;
}

static void frame_sent(struct sender *s, uint64_t now)
{
	struct sendring *ring = s->ring;
	bool chunk = s->chunk;

	flow_at("sender-sent");
	pthread_mutex_lock(&ring->flow->lock);
	if (ring->stream == WIRE_STREAM_HTAB)
		ring->stats.wire += s->len;
	if (chunk) {
		ring->sent = s->chunk->meta.seq;
		ring->digest = s->digest;
		if (ring->file)
			ring->acked = ring->sent;
		if (ring->acked < ring->sent && ring->ack_time < now)
			ring->ack_time = now;
	} else {
		ring->ending = false;
		ring->done = true;
		ring->stats.pass_ns = now - ring->pass_start;
	}
	pthread_mutex_unlock(&ring->flow->lock);
	s->frame = NULL;
	if (chunk)
		flow_wake(ring->flow, ring->reader);
	else
		flow_notify(ring->flow);
}

enum flow_next sender_step(void *sender, struct flow_wait *wait)
{
	struct sender *s = sender;
	struct flow *flow = s->ring->flow;
	uint64_t now = flow->clock(), limit;
	ssize_t n;

	if (s->watched && wait->revents)
		return flow_fail(flow, -ECONNRESET,
			"the destination closed channel %u in the middle of a pass",
			s->ring->channel);
	s->watched = false;
	if (!s->frame) {
		enum flow_next next = next_frame(s, now, wait);

		if (next != FLOW_MORE)
			return next;
	}
	flow_at("sender-write");
	n = s->io.write(s->io.ctx, s->frame + s->off, s->len - s->off);
	if (n == -EAGAIN) {
		limit = s->progress + (uint64_t)s->timeout_ms * NS_PER_MS;
		if (s->timeout_ms >= 0 && now >= limit)
			return flow_fail(flow, -ETIMEDOUT, "channel %u took no data for %d ms",
				s->ring->channel, s->timeout_ms);
		s->io.want(s->io.ctx, wait);
		if (s->timeout_ms >= 0)
			wait->until = limit;
		return FLOW_WAIT;
	}
	if (n < 0)
		return flow_fail(flow, (int)n, "cannot send on channel %u: %s", s->ring->channel,
			s->io.error(s->io.ctx));
	assert((size_t)n <= s->len - s->off);
	s->off += (size_t)n;
	s->progress = now;
	if (s->off == s->len)
		frame_sent(s, now);
	return FLOW_MORE;
}
