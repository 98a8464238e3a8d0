/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/chunk.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int ring_init(struct ring *r, unsigned size, size_t payload_max)
{
	size_t stride = (CHUNK_ROOM + payload_max + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;

	assert(size >= 1 && size <= WIRE_RING_MAX);
	*r = (struct ring){.size = size, .payload_max = payload_max};
	r->chunk = calloc(size, sizeof(*r->chunk));
	r->slab = aligned_alloc(CHUNK_ALIGN, stride * size);
	if (!r->chunk || !r->slab) {
		ring_fini(r);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < size; i++)
		r->chunk[i].frame = r->slab + i * stride;
	return 0;
}

void ring_fini(struct ring *r)
{
	free(r->chunk);
	free(r->slab);
	*r = (struct ring){0};
}

int sendring_init(struct sendring *r, struct flow *flow, const struct outflow_config *config)
{
	int ret;

	*r = (struct sendring){
		.flow = flow,
		.generation = config->generation,
		.kind = table_kind(config->tlb_entries),
		.told = config->generation,
		.codec = config->codec,
		.plain_max = config->chunk,
		.file = config->file,
		.digest = STREAM_DIGEST_INIT,
		.rate = config->max_bandwidth,
		.link.recovers = config->recover,
	};
	assert(config->chunk > HTAB_HDR_SIZE + htab_entry_size(r->kind) &&
		config->chunk <= WIRE_PLAIN_MAX);
	assert(config->generation <= WIRE_GENERATION_MAX);
	r->order[config->generation] = (uint8_t)config->order;
	ret = ring_init(&r->ring, config->ring, codec_bound(config->codec, config->chunk));
	return ret < 0 ? ret : codec_new(config->codec, config->order, &r->coder);
}

void sendring_fini(struct sendring *r)
{
	r->coder = codec_free(r->coder);
	ring_fini(&r->ring);
}

void sendring_begin(struct sendring *r, enum wire_stream stream, uint32_t pass)
{
	uint64_t now = r->flow->clock();

	pthread_mutex_lock(&r->flow->lock);
	assert(!r->reading && !r->ending && !r->done && !r->barrier);
	assert(pass > r->pass);
	if (r->told == r->generation && r->ended == r->pass)
		r->ended = pass - 1;
	r->stream = stream;
	r->pass = pass;
	r->reading = true;
	r->whole = false;
	r->pass_start = r->ack_time = now;
	r->stats.pass_valid = r->stats.pass_invalid = r->stats.pass_plain = 0;
	r->stats.pass_ns = r->stats.read_ns = r->stats.last_end = 0;
	pthread_mutex_unlock(&r->flow->lock);
	flow_wake(r->flow, r->reader);
	flow_wake(r->flow, r->sender); /* it watches the channel during a pass */
}

void sendring_part(struct sendring *r)
{
	pthread_mutex_lock(&r->flow->lock);
	assert(!r->barrier);
	r->parting = true;
	pthread_mutex_unlock(&r->flow->lock);
	flow_wake(r->flow, r->reader);
}

void sendring_generation(struct sendring *r, uint32_t generation, uint32_t order)
{
	pthread_mutex_lock(&r->flow->lock);
	assert(!r->reading && !r->parting && !r->barrier);
	assert(generation == r->generation + 1 && generation <= WIRE_GENERATION_MAX);
	r->generation = generation;
	r->order[generation] = (uint8_t)order;
	r->pass = 0;
	r->whole = false;
	r->ending = r->done = false; /* a pass that is cut off has no end */
	r->barrier = true;
	pthread_mutex_unlock(&r->flow->lock);
	flow_wake(r->flow, r->sender);
}

int sendring_ack(struct sendring *r, uint64_t seq)
{
	uint64_t now = r->flow->clock();
	bool sent;

	pthread_mutex_lock(&r->flow->lock);
	/* Not r->sent: the answer may be here before the sender knows that its write returned. */
	sent = seq <= r->sending;
	if (sent && seq > r->acked) {
		r->acked = seq;
		r->ack_time = now;
	}
	pthread_mutex_unlock(&r->flow->lock);
	if (!sent)
		return -EBADMSG;
	flow_wake(r->flow, r->reader);
	flow_wake(r->flow, r->sender);
	return 0;
}

/* Did the channel carry that end of a pass (0: the beginning of that generation)? */
static bool told(const struct sendring *r, uint32_t generation, uint32_t pass)
{
	return generation < r->told || (generation == r->told && pass <= r->ended);
}

/* Is the chunk one of what follows it? */
static bool is_after(const struct chunk *c, uint32_t generation, uint32_t pass)
{
	return c->meta.generation > generation ||
		(c->meta.generation == generation && c->meta.pass > pass);
}

int sendring_resume(struct sendring *r, uint64_t seq, uint32_t generation, uint32_t pass)
{
	int ret = -EBADMSG;

	pthread_mutex_lock(&r->flow->lock);
	assert(r->link.down);
	if (seq >= r->acked && seq <= r->sent && told(r, generation, pass) &&
		(seq == r->acked || ring_chunk(&r->ring, seq)->meta.generation <= generation) &&
		(seq == r->filled || is_after(ring_chunk(&r->ring, seq + 1), generation, pass))) {
		r->acked = r->sent = r->sending = seq;
		r->told = generation;
		r->ended = pass;
		ret = 0;
	}
	pthread_mutex_unlock(&r->flow->lock);
	if (ret == 0)
		flow_wake(r->flow, r->reader);
	return ret;
}

void sendring_get_end(struct sendring *r, struct wire_end *end)
{
	assert(r->channel < WIRE_CHANNELS_MAX);
	pthread_mutex_lock(&r->flow->lock);
	end->generation = r->generation;
	end->passes = r->pass;
	end->valid = r->stats.valid;
	end->invalid = r->stats.invalid;
	end->channel[r->channel].seq = r->filled; /* all were sent once */
	end->channel[r->channel].digest = r->digest;
	pthread_mutex_unlock(&r->flow->lock);
}

int recvring_init(struct recvring *r, struct flow *flow, const struct inflow_config *config)
{
	int ret;

	*r = (struct recvring){
		.flow = flow,
		.generation = config->generation,
		.kind = table_kind(config->tlb_entries),
		.generations = config->generations,
		.codec = config->codec,
		.file = config->file,
		.digest = STREAM_DIGEST_INIT,
		.link.recovers = config->recover,
		.stats.generation = config->generation,
	};
	ret = ring_init(&r->ring, config->ring, WIRE_CHUNK_MAX - WIRE_CHUNK_HDR);
	return ret < 0 ? ret : codec_new(config->codec, config->order, &r->coder);
}

void recvring_fini(struct recvring *r)
{
	r->coder = codec_free(r->coder);
	ring_fini(&r->ring);
}

unsigned recvring_report(struct recvring *r, uint64_t *ret_seq, struct marker *ret_marker)
{
	unsigned n = 0;

	pthread_mutex_lock(&r->flow->lock);
	*ret_seq = r->written > r->reported ? r->written : 0;
	r->reported = r->written;
	while (r->markers_reported < r->markers_done)
		ret_marker[n++] = r->marker[r->markers_reported++ % RING_MARKERS];
	pthread_mutex_unlock(&r->flow->lock);
	if (n || r->file)
		flow_wake(r->flow, r->receiver); /* it may wait for room */
	return n;
}

bool recvring_settled(
	struct recvring *r, uint64_t *ret_seq, uint32_t *ret_generation, uint32_t *ret_pass)
{
	const struct marker *last;
	bool settled;

	pthread_mutex_lock(&r->flow->lock);
	settled = r->link.down && r->reported == r->received &&
		r->markers_reported == r->markers_in;
	*ret_seq = r->received;
	last = &r->marker[(r->markers_in - 1) % RING_MARKERS];
	*ret_generation = r->markers_in ? last->generation : r->generation;
	*ret_pass = r->markers_in ? last->pass : 0;
	pthread_mutex_unlock(&r->flow->lock);
	return settled;
}

/* Everything that END speaks of is written. Under the lock. */
static int compare_end(const struct recvring *r, const struct wire_end *end, struct err *err)
{
	const struct wire_end_channel *c = &end->channel[r->channel];

	if (r->stats.valid != end->valid || r->stats.invalid != end->invalid)
		return err_set(err, -EBADMSG,
			"the source sent %" PRIu64 " valid and %" PRIu64
			" invalid entries by its count, but %" PRIu64 " and %" PRIu64
			" were written here",
			end->valid, end->invalid, r->stats.valid, r->stats.invalid);
	if (r->digest != c->digest)
		return err_set(err, -EBADMSG,
			"the digest of channel %u's %" PRIu64 " chunks is %016" PRIx64
			" here and %016" PRIx64 " at the source",
			r->channel, c->seq, r->digest, c->digest);
	return 1;
}

static int check_end(const struct recvring *r, const struct wire_end *end, struct err *err)
{
	const struct wire_end_channel *c = &end->channel[r->channel];
	const struct marker *last;

	if (end->generation < r->generation || (end->generation > r->generation && !r->generations))
		return err_set(err, -EBADMSG,
			"END is of generation %u, but the table here of generation %u",
			end->generation, r->generation);
	if (end->channels != 1)
		return err_set(err, -EBADMSG, "END speaks of %u data channels, but there is 1",
			end->channels);
	if (r->received > c->seq)
		return err_set(err, -EBADMSG,
			"chunk %" PRIu64 " came on channel %u, but END says that %" PRIu64
			" was the last",
			r->received, r->channel, c->seq);
	last = &r->marker[(r->markers_done - 1) % RING_MARKERS];
	if (r->written == c->seq && r->markers_done == r->markers_in &&
		end->generation == r->generation &&
		(end->passes == 0 || (r->markers_done && last->pass >= end->passes)))
		return compare_end(r, end, err);
	if (r->eof && r->written == r->received && r->markers_done == r->markers_in)
		return err_set(err, -ECONNRESET,
			"channel %u ended after chunk %" PRIu64
			" of pass %u of generation %u, but END says that %" PRIu64
			" of pass %u of generation %u was the last",
			r->channel, r->received, r->stats.pass, r->stats.generation, c->seq,
			end->passes, end->generation);
	return 0;
}

int recvring_check_end(struct recvring *r, const struct wire_end *end, struct err *err)
{
	int ret;

	pthread_mutex_lock(&r->flow->lock);
	ret = check_end(r, end, err);
	pthread_mutex_unlock(&r->flow->lock);
	return ret;
}

const char *wire_stream_name(enum wire_stream stream)
{
	switch (stream) {
	case WIRE_STREAM_HTAB: return "HTAB";
	case WIRE_STREAM_VERIFY: return "VERIFY";
	case WIRE_STREAM_MEMORY: return "MEMORY";
	case WIRE_STREAM_TLB: return "TLB";
	}
	return "?";
}
