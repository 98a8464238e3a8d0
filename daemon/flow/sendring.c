/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/sendring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static int init_ring(struct sendrings *a, unsigned channel, const struct outflow_config *config)
{
	struct sendring *r = &a->ring[channel];
	int ret;

	*r = (struct sendring){
		.all = a,
		.flow = a->flow,
		.channel = channel,
		.told = config->generation,
		.digest = STREAM_DIGEST_INIT,
		.link.recovers = config->recover,
	};
	ret = ring_init(&r->ring, config->ring, codec_bound(config->codec, config->chunk),
		codec_in_place(config->codec), config->chunk);
	if (ret == 0)
		ret = codec_new(config->codec, config->order, &r->coder);
	if (ret == 0)
		codec_set_level(r->coder, config->level);
	return ret;
}

int sendrings_init(struct sendrings *a, struct flow *flow, const struct outflow_config *config)
{
	int ret = 0;

	*a = (struct sendrings){
		.flow = flow,
		.n = config->channels ? config->channels : 1,
		.generation = config->generation,
		.kind = table_kind(config->tlb_entries),
		.codec = config->codec,
		.plain_max = config->chunk,
		.file = config->file,
		.rate = config->max_bandwidth,
	};
	assert(config->chunk > HTAB_HDR_SIZE + htab_entry_size(a->kind) &&
		config->chunk <= WIRE_PLAIN_MAX);
	assert(config->generation <= WIRE_GENERATION_MAX);
	assert(a->n <= WIRE_CHANNELS_MAX && (a->n == 1 || a->kind == HTAB_HPT));
	a->order[config->generation] = (uint8_t)config->order;
	a->bucket.last = flow->clock();
	bucket_set_rate(&a->bucket, a->rate, a->bucket.last);
	if (a->n > 1 && !(a->spill = malloc(a->plain_max)))
		return -ENOMEM;
	for (unsigned k = 0; k < a->n && ret == 0; k++)
		ret = init_ring(a, k, config);
	return ret;
}

void sendrings_fini(struct sendrings *a)
{
	for (unsigned k = 0; k < a->n; k++) {
		a->ring[k].coder = codec_free(a->ring[k].coder);
		ring_fini(&a->ring[k].ring);
	}
	free(a->spill);
	a->spill = NULL;
}

struct chunk *sendring_free(struct sendring *r)
{
	struct chunk *c = NULL;

	pthread_mutex_lock(&r->flow->lock);
	if (sendring_used(r) < r->ring.size && r->filled - r->sealed < r->ring.plains)
		c = ring_records(&r->ring, r->filled + 1);
	pthread_mutex_unlock(&r->flow->lock);
	return c;
}

bool sendrings_ended(const struct sendrings *a)
{
	for (unsigned k = 0; k < a->n; k++)
		if (a->ring[k].ending)
			return false;
	return true;
}

bool sendrings_begun(const struct sendrings *a)
{
	for (unsigned k = 0; k < a->n; k++)
		if (a->ring[k].barrier)
			return false;
	return true;
}

void sendrings_wake(struct sendrings *a)
{
	for (unsigned k = 0; k < a->n; k++)
		flow_wake(a->flow, a->ring[k].sender);
}

void sendrings_begin(struct sendrings *a, enum wire_stream stream, uint32_t pass)
{
	uint64_t now = a->flow->clock();

	pthread_mutex_lock(&a->flow->lock);
	assert(!a->reading && !a->done && sendrings_ended(a) && sendrings_begun(a));
	assert(pass > a->pass);
	for (unsigned k = 0; k < a->n; k++) {
		struct sendring *r = &a->ring[k];

		if (r->told == a->generation && r->ended == a->pass)
			r->ended = pass - 1;
		r->ack_time = now;
		r->end = 0;
	}
	a->stream = stream;
	a->pass = pass;
	a->reading = true;
	a->whole = false;
	a->pass_start = now;
	if (stream != WIRE_STREAM_VERIFY) {
		a->lap.valid = a->lap.invalid = 0;
		a->lap.generation = a->generation;
		a->lap.pass = pass;
	}
	if (pass == 1)
		a->lap.first_valid = a->lap.first_invalid = 0;
	a->stats.pass_valid = a->stats.pass_invalid = a->stats.pass_plain = 0;
	a->stats.pass_ns = a->stats.pass_read = a->stats.read_ns = 0;
	a->read_end = 0;
	if (!a->meter.start)
		a->meter.start = now;
	pthread_mutex_unlock(&a->flow->lock);
	flow_wake(a->flow, a->reader);
	sendrings_wake(a); /* they watch their channels during a pass */
}

void sendrings_part(struct sendrings *a)
{
	pthread_mutex_lock(&a->flow->lock);
	assert(sendrings_begun(a));
	a->parting = true;
	pthread_mutex_unlock(&a->flow->lock);
	flow_wake(a->flow, a->reader);
}

void sendrings_generation(struct sendrings *a, uint32_t generation, uint32_t order)
{
	pthread_mutex_lock(&a->flow->lock);
	assert(!a->reading && !a->parting && sendrings_begun(a));
	assert(generation == a->generation + 1 && generation <= WIRE_GENERATION_MAX);
	a->generation = generation;
	a->order[generation] = (uint8_t)order;
	a->pass = 0;
	a->whole = a->done = false;
	for (unsigned k = 0; k < a->n; k++) {
		a->ring[k].ending = false; /* a pass that is cut off has no end */
		a->ring[k].barrier = true;
	}
	pthread_mutex_unlock(&a->flow->lock);
	sendrings_wake(a);
}

/* -- figures -- */

void sendrings_took(struct sendrings *a, uint64_t now)
{
	if (!a->busy_since) {
		a->busy_since = now;
		a->stats.bursts++;
	}
}

void sendrings_sent(struct sendring *r, const struct chunk *c, uint64_t now)
{
	struct outflow_stats *s = &r->all->stats;
	struct wire_last_lap *lap = &r->all->lap;

	if (c->meta.seq <= r->counted)
		return;
	r->counted = c->meta.seq;
	r->end = c->count.end;
	s->pass_valid += c->count.valid;
	s->pass_invalid += c->count.invalid;
	s->pass_plain += c->meta.plain;
	if (c->meta.stream == WIRE_STREAM_VERIFY)
		return;
	s->valid += c->count.valid;
	s->invalid += c->count.invalid;
	s->plain += c->meta.plain;
	lap->valid += c->count.valid;
	lap->invalid += c->count.invalid;
	if (c->meta.pass == 1) {
		lap->first_valid += c->count.valid;
		lap->first_invalid += c->count.invalid;
	}
	meter_add(&r->all->meter, now, c->count.valid + c->count.invalid);
}

static uint64_t entries(const struct sendring *r, uint64_t first, uint64_t last)
{
	uint64_t n = 0;

	for (uint64_t seq = first; seq <= last; seq++) {
		const struct chunk *c = ring_chunk(&r->ring, seq);

		n += c->count.valid + c->count.invalid;
	}
	return n;
}

void sendrings_written(struct sendring *r, uint64_t seq, uint64_t now)
{
	struct sendrings *a = r->all;
	bool busy = false;

	a->stats.acked += entries(r, r->acked + 1, seq);
	r->acked = seq;
	for (unsigned k = 0; k < a->n; k++)
		busy |= a->ring[k].acked < a->ring[k].sending;
	if (busy || !a->busy_since)
		return;
	a->stats.busy_ns += now > a->busy_since ? now - a->busy_since : 0;
	a->busy_since = 0;
}

void sendrings_get_stats(struct sendrings *a, struct outflow_stats *ret)
{
	uint64_t now;

	pthread_mutex_lock(&a->flow->lock);
	now = a->flow->clock();
	*ret = a->stats;
	if (a->reading || !sendrings_ended(a))
		ret->pass_ns = now - a->pass_start;
	if (a->busy_since && now > a->busy_since)
		ret->busy_ns += now - a->busy_since;
	ret->rate = meter_rate(&a->meter, now);
	ret->position = a->read_end;
	ret->unacked = 0;
	for (unsigned k = 0; k < a->n; k++) {
		const struct sendring *r = &a->ring[k];

		if (r->counted < r->filled && r->end < ret->position)
			ret->position = r->end;
		if (r->acked < r->sent)
			ret->unacked += entries(r, r->acked + 1, r->sent);
	}
	pthread_mutex_unlock(&a->flow->lock);
}

int sendrings_ack(struct sendrings *a, uint32_t channel, uint64_t seq)
{
	uint64_t now = a->flow->clock();
	struct sendring *r;
	bool sent, awaited;
	uint64_t used;

	if (channel >= a->n)
		return -EBADMSG;
	r = &a->ring[channel];
	pthread_mutex_lock(&a->flow->lock);
	/* Not r->sent: the answer may be here before the sender knows that its write returned. */
	sent = seq <= r->sending;
	used = sendring_used(r);
	if (sent && seq > r->acked) {
		sendrings_written(r, seq, now);
		r->ack_time = now; /* a sender that waits for it looks when it would be late */
	}
	awaited = sendring_runs_low(r, used);
	pthread_mutex_unlock(&a->flow->lock);
	if (awaited)
		flow_wake(a->flow, a->reader);
	return sent ? 0 : -EBADMSG;
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

/* Can the destination have that, by what was sent? Under the lock. */
static bool is_possible(const struct sendring *r, const struct wire_resumed_channel *c)
{
	return c->seq >= r->acked && c->seq <= r->sent && told(r, c->generation, c->pass) &&
		(c->seq == r->acked ||
			ring_chunk(&r->ring, c->seq)->meta.generation <= c->generation) &&
		(c->seq == r->filled ||
			is_after(ring_chunk(&r->ring, c->seq + 1), c->generation, c->pass));
}

int sendrings_resume(struct sendrings *a, const struct wire_resumed *resumed)
{
	bool possible = resumed->channels == a->n;

	pthread_mutex_lock(&a->flow->lock);
	for (unsigned k = 0; k < a->n && possible; k++) {
		assert(a->ring[k].link.down);
		possible = is_possible(&a->ring[k], &resumed->channel[k]);
	}
	if (possible)
		a->busy_since = 0; /* the time without a connection tells nothing about one */
	for (unsigned k = 0; k < a->n && possible; k++) {
		struct sendring *r = &a->ring[k];

		r->acked = r->sent = r->sending = resumed->channel[k].seq;
		r->told = resumed->channel[k].generation;
		r->ended = resumed->channel[k].pass;
	}
	pthread_mutex_unlock(&a->flow->lock);
	if (!possible)
		return -EBADMSG;
	flow_wake(a->flow, a->reader);
	return 0;
}

void sendrings_get_end(struct sendrings *a, struct wire_end *end)
{
	pthread_mutex_lock(&a->flow->lock);
	end->generation = a->generation;
	end->passes = a->pass;
	end->valid = a->stats.valid;
	end->invalid = a->stats.invalid;
	end->channels = a->n;
	for (unsigned k = 0; k < a->n; k++) {
		end->channel[k].seq = a->ring[k].filled; /* all were sent once */
		end->channel[k].digest = a->ring[k].digest;
	}
	pthread_mutex_unlock(&a->flow->lock);
}
