/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/receiver.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "common/clock.h"
#include "common/codec.h"

#define PASS_END_BODY   20u /* the longest frame but CHUNK that a data channel may carry */
#define GENERATION_BODY 16u

static_assert(WIRE_HDR_SIZE + PASS_END_BODY <= WIRE_HDR_SIZE + WIRE_CHUNK_HDR, "fits in head");

static void expect_frame(struct receiver *r)
{
	r->state = RECEIVER_HEADER;
	r->got = 0;
	r->want = WIRE_HDR_SIZE;
}

void receiver_init(struct receiver *r, struct recvring *ring, struct flow_io io, int timeout_ms)
{
	*r = (struct receiver){
		.ring = ring,
		.io = io,
		.timeout_ms = timeout_ms,
	};
	expect_frame(r);
}

static enum flow_next have_header(struct receiver *r)
{
	struct flow *flow = r->ring->flow;
	bool generations = r->ring->all->generations;
	enum wire_type type;

	if (wire_unpack_header(r->head, &type, &r->body) < 0)
		return flow_fail(flow, -EBADMSG,
			"the source sent no frame on channel %u but %08" PRIx32 " %08" PRIx32,
			r->ring->channel, be32_get(r->head), be32_get(r->head + 4));
	if (type == WIRE_CHUNK && r->body > WIRE_CHUNK_HDR) {
		r->state = RECEIVER_CHUNK;
		r->want = WIRE_HDR_SIZE + WIRE_CHUNK_HDR;
	} else if (type == WIRE_PASS_END && r->body == PASS_END_BODY) {
		r->state = RECEIVER_PASS_END;
		r->want = WIRE_HDR_SIZE + PASS_END_BODY;
	} else if (type == WIRE_GENERATION && r->body == GENERATION_BODY && generations) {
		r->state = RECEIVER_BARRIER;
		r->want = WIRE_HDR_SIZE + GENERATION_BODY;
	} else if (type == WIRE_CHUNK || type == WIRE_PASS_END ||
		(type == WIRE_GENERATION && generations)) {
		return flow_fail(flow, -EBADMSG,
			"the source sent a %s frame of %zu bytes on channel %u, which is too short "
			"or too long",
			wire_type_name(type), r->body, r->ring->channel);
	} else {
		return flow_fail(flow, -EPROTO,
			"the source sent %s on data channel %u, which carries CHUNK and PASS_END%s only",
			wire_type_name(type), r->ring->channel,
			generations ? " and GENERATION" : "");
	}
	return FLOW_MORE;
}

/* Generation, stream and pass of a CHUNK or PASS_END that belongs to chunk seq. */
static enum flow_next check_pass(
	struct receiver *r, uint32_t generation, enum wire_stream stream, uint32_t pass)
{
	struct flow *flow = r->ring->flow;
	const struct recvpos *at = &r->ring->pos;

	if (stream != table_stream(r->ring->all->kind) && stream != WIRE_STREAM_VERIFY)
		return flow_fail(flow, -EPROTO,
			"the source sent stream %s (%d), which does not belong to this guest",
			wire_stream_name(stream), (int)stream);
	if (generation != at->generation)
		return flow_fail(flow, -EPROTO,
			"the source sent generation %" PRIu32 " of its table, but %" PRIu32
			" was begun",
			generation, at->generation);
	if (at->open ? pass != at->pass || stream != at->stream : pass <= at->pass)
		return flow_fail(flow, -EPROTO,
			"the source sent %s pass %" PRIu32 " %s %s pass %" PRIu32,
			wire_stream_name(stream), pass, at->open ? "in the middle of" : "after",
			wire_stream_name(at->stream), at->pass);
	return FLOW_MORE;
}

static enum flow_next have_chunk_header(struct receiver *r)
{
	struct recvring *ring = r->ring;
	struct flow *flow = ring->flow;
	const uint8_t *payload;
	uint64_t reported;

	/* Only the fixed part is looked at; the payload is not here yet. */
	if (wire_unpack_chunk(r->head + WIRE_HDR_SIZE, r->body, &r->meta, &payload, &r->payload) <
		0)
		return flow_fail(flow, -EBADMSG,
			"the source sent a malformed CHUNK after chunk %" PRIu64 " of channel %u",
			ring->received, ring->channel);
	if (r->meta.codec != ring->all->codec)
		return flow_fail(flow, -EPROTO,
			"chunk %" PRIu64 " is encoded by codec %d, but codec %d was agreed upon",
			r->meta.seq, (int)r->meta.codec, (int)ring->all->codec);
	if (r->meta.stream == WIRE_STREAM_VERIFY && ring->channel != 0)
		return flow_fail(flow, -EPROTO,
			"the source sent a chunk to be compared on channel %u: those go by channel 0",
			ring->channel);
	if (r->meta.seq != ring->received + 1)
		return flow_fail(flow, -EPROTO,
			"chunk %" PRIu64 " came after chunk %" PRIu64 " on channel %u", r->meta.seq,
			ring->received, ring->channel);
	pthread_mutex_lock(&flow->lock);
	reported = ring->reported;
	pthread_mutex_unlock(&flow->lock);
	if (r->meta.seq > reported + ring->ring.size)
		return flow_fail(flow, -EPROTO,
			"chunk %" PRIu64 " came on channel %u when %" PRIu64
			" were acknowledged: the source may have %u in flight",
			r->meta.seq, ring->channel, reported, ring->ring.size);
	if (check_pass(r, r->meta.generation, r->meta.stream, r->meta.pass) == FLOW_END)
		return FLOW_END;
	assert(r->payload <= ring->ring.payload_max);
	r->state = RECEIVER_PAYLOAD;
	r->got = 0;
	r->want = r->payload;
	return FLOW_MORE;
}

/* Is there a buffer for the records of the next chunk? */
static bool has_plain(struct receiver *r)
{
	struct recvring *ring = r->ring;
	bool room;

	pthread_mutex_lock(&ring->flow->lock);
	room = ring->received - ring->written < ring->ring.plains;
	pthread_mutex_unlock(&ring->flow->lock);
	return room;
}

static enum flow_next have_payload(struct receiver *r)
{
	struct recvring *ring = r->ring;
	struct flow *flow = ring->flow;
	struct inflow_stats *s = &ring->all->stats;
	struct chunk *c;

	if (!has_plain(r))
		return FLOW_WAIT;
	c = ring_records(&ring->ring, r->meta.seq);
	c->meta = r->meta;
	c->len = CHUNK_ROOM + r->payload;
	if (codec_decode(ring->coder, chunk_payload(c), r->payload, c->plain, r->meta.plain) < 0)
		return flow_fail(flow, -EBADMSG,
			"chunk %" PRIu64 " of channel %u cannot be decoded", r->meta.seq,
			ring->channel);
	flow_at("receiver-chunk");
	recvpos_chunk(&ring->pos, &r->meta);
	pthread_mutex_lock(&flow->lock);
	ring->received = r->meta.seq;
	if (r->meta.stream != WIRE_STREAM_VERIFY)
		s->wire += c->len;
	if (r->meta.stream != WIRE_STREAM_VERIFY && s->generation == r->meta.generation &&
		s->pass < r->meta.pass) {
		s->pass = r->meta.pass;
		s->pass_valid = s->pass_invalid = 0;
	}
	pthread_mutex_unlock(&flow->lock);
	flow_wake(flow, ring->all->writer);
	expect_frame(r);
	return FLOW_MORE;
}

static enum flow_next have_pass_end(struct receiver *r)
{
	struct recvring *ring = r->ring;
	struct wire_pass_end end, *m = &end;

	if (wire_unpack_pass_end(r->head + WIRE_HDR_SIZE, r->body, m) < 0)
		return flow_fail(ring->flow, -EBADMSG,
			"the source sent a malformed PASS_END after chunk %" PRIu64
			" of channel %u",
			ring->received, ring->channel);
	if (check_pass(r, m->generation, m->stream, m->pass) == FLOW_END)
		return FLOW_END;
	if (m->seq != ring->received)
		return flow_fail(ring->flow, -EPROTO,
			"PASS_END of pass %" PRIu32 " says that chunk %" PRIu64
			" was the last on channel %u, but chunk %" PRIu64 " was",
			m->pass, m->seq, ring->channel, ring->received);
	r->marker = (struct marker){
		.stream = m->stream,
		.generation = m->generation,
		.pass = m->pass,
		.seq = m->seq,
	};
	r->state = RECEIVER_MARK;
	return FLOW_MORE;
}

/* The source's table is another one from here on. A pass under way is cut off. */
static enum flow_next have_generation(struct receiver *r)
{
	struct recvring *ring = r->ring;
	struct wire_generation m;

	if (wire_unpack_generation(r->head + WIRE_HDR_SIZE, r->body, &m) < 0)
		return flow_fail(ring->flow, -EBADMSG,
			"the source sent a malformed GENERATION after chunk %" PRIu64
			" of channel %u",
			ring->received, ring->channel);
	if (m.generation != ring->pos.generation + 1)
		return flow_fail(ring->flow, -EPROTO,
			"the source began generation %" PRIu32
			" of its table after generation %" PRIu32,
			m.generation, ring->pos.generation);
	if (ring->pos.stream == WIRE_STREAM_VERIFY)
		return flow_fail(ring->flow, -EPROTO,
			"the source began generation %" PRIu32
			" of its table after the one that it had compared",
			m.generation);
	if (m.seq != ring->received)
		return flow_fail(ring->flow, -EPROTO,
			"GENERATION %" PRIu32 " says that chunk %" PRIu64
			" was the last on channel %u, but chunk %" PRIu64 " was",
			m.generation, m.seq, ring->channel, ring->received);
	r->marker = (struct marker){
		.stream = WIRE_STREAM_HTAB,
		.generation = m.generation,
		.order = m.order,
		.seq = m.seq,
	};
	r->state = RECEIVER_MARK;
	return FLOW_MORE;
}

static enum flow_next mark(struct receiver *r)
{
	struct recvring *ring = r->ring;
	struct flow *flow = ring->flow;
	const struct marker *m = &r->marker;
	struct inflow_stats *s = &ring->all->stats;
	bool room;

	pthread_mutex_lock(&flow->lock);
	room = ring->markers_in - ring->markers_reported < RING_MARKERS;
	if (room) {
		ring->marker[ring->markers_in++ % RING_MARKERS] = *m;
		if (m->stream != WIRE_STREAM_VERIFY)
			s->wire += WIRE_HDR_SIZE + r->body;
		if (m->stream != WIRE_STREAM_VERIFY &&
			(s->generation < m->generation ||
				(s->generation == m->generation && s->pass < m->pass))) {
			s->generation = m->generation;
			s->pass = m->pass;
			s->pass_valid = s->pass_invalid = 0;
		}
	}
	pthread_mutex_unlock(&flow->lock);
	if (!room)
		return FLOW_WAIT;
	flow_at(m->pass ? "receiver-pass-end" : "receiver-generation");
	if (!m->pass) /* all of the old table is decoded */
		codec_set_order(ring->coder, m->order);
	recvpos_marker(&ring->pos, m);
	flow_wake(flow, ring->all->writer);
	expect_frame(r);
	return FLOW_MORE;
}

/* All that was wanted is here. */
static enum flow_next complete(struct receiver *r)
{
	switch (r->state) {
	case RECEIVER_HEADER: return have_header(r);
	case RECEIVER_CHUNK: return have_chunk_header(r);
	case RECEIVER_PAYLOAD: return have_payload(r);
	case RECEIVER_PASS_END: return have_pass_end(r);
	case RECEIVER_BARRIER: return have_generation(r);
	case RECEIVER_MARK: break;
	}
	return mark(r);
}

/* The channel gave nothing: its end, an error, or wait. */
static enum flow_next nothing(struct receiver *r, ssize_t n, uint64_t now, struct flow_wait *wait)
{
	struct recvring *ring = r->ring;
	struct flow *flow = ring->flow;
	bool between = r->state == RECEIVER_HEADER && r->got == 0;
	uint64_t limit = r->progress + (uint64_t)r->timeout_ms * NS_PER_MS;

	if (n == -EAGAIN) {
		r->io.want(r->io.ctx, wait);
		if (between || r->timeout_ms < 0)
			return FLOW_WAIT;
		wait->until = limit;
		if (now < limit)
			return FLOW_WAIT;
		expect_frame(r);
		return link_break(&ring->link, flow, -ETIMEDOUT,
			"the source sent nothing on channel %u for %d ms, in the middle of a frame",
			ring->channel, r->timeout_ms);
	}
	expect_frame(r);
	if (n < 0)
		return link_break(&ring->link, flow, (int)n,
			"channel %u broke after chunk %" PRIu64 ": %s", ring->channel,
			ring->received, r->io.error(r->io.ctx));
	if (!between)
		return link_break(&ring->link, flow, -EPIPE,
			"channel %u ended in the middle of a frame, after chunk %" PRIu64,
			ring->channel, ring->received);
	pthread_mutex_lock(&flow->lock);
	ring->eof = true;
	pthread_mutex_unlock(&flow->lock);
	/* END tells whether anything is missing: until then it is no failure. */
	return link_end(&ring->link, flow);
}

/* Is there room in the ring for what comes next? */
static bool has_room(struct receiver *r)
{
	struct recvring *ring = r->ring;
	bool room;

	pthread_mutex_lock(&ring->flow->lock);
	room = ring->received < ring->reported + ring->ring.size;
	pthread_mutex_unlock(&ring->flow->lock);
	return room;
}

enum flow_next receiver_step(void *receiver, struct flow_wait *wait)
{
	struct receiver *r = receiver;
	uint64_t now = r->ring->flow->clock();
	uint8_t *to = r->head;
	ssize_t n;

	if (link_is_cut(&r->ring->link, r->ring->flow)) {
		expect_frame(r); /* half a frame is none */
		return link_park(&r->ring->link, r->ring->flow);
	}
	if (r->state == RECEIVER_MARK)
		return mark(r);
	if (r->got == r->want) /* it waited for a buffer */
		return complete(r);
	if (r->ring->all->file && r->state == RECEIVER_HEADER && !has_room(r))
		return FLOW_WAIT;
	if (r->state == RECEIVER_PAYLOAD)
		to = chunk_payload(ring_chunk(&r->ring->ring, r->meta.seq));
	flow_at("receiver-read");
	n = r->io.read(r->io.ctx, to + r->got, r->want - r->got);
	if (n <= 0)
		return nothing(r, n, now, wait);
	assert((size_t)n <= r->want - r->got);
	r->progress = now;
	r->got += (size_t)n;
	return r->got == r->want ? complete(r) : FLOW_MORE;
}
