/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/recvring.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

static int init_ring(struct recvrings *a, unsigned channel, const struct inflow_config *config)
{
	struct recvring *r = &a->ring[channel];
	int ret;

	*r = (struct recvring){
		.all = a,
		.flow = a->flow,
		.channel = channel,
		.digest = STREAM_DIGEST_INIT,
		.pos = {.generation = config->generation, .order = config->order},
		.at = {.generation = config->generation, .order = config->order},
		.link.recovers = config->recover,
	};
	ret = ring_init(&r->ring, config->ring, WIRE_CHUNK_MAX - WIRE_CHUNK_HDR,
		codec_in_place(config->codec), WIRE_PLAIN_MAX);
	return ret < 0 ? ret : codec_new(config->codec, config->order, &r->coder);
}

int recvrings_init(struct recvrings *a, struct flow *flow, const struct inflow_config *config)
{
	int ret = 0;

	*a = (struct recvrings){
		.flow = flow,
		.n = config->channels ? config->channels : 1,
		.generation = config->generation,
		.kind = table_kind(config->tlb_entries),
		.tlb_entries = config->tlb_entries,
		.generations = config->generations,
		.codec = config->codec,
		.file = config->file,
		.stats.generation = config->generation,
	};
	assert(a->n <= WIRE_CHANNELS_MAX);
	for (unsigned k = 0; k < a->n && ret == 0; k++)
		ret = init_ring(a, k, config);
	return ret;
}

void recvrings_fini(struct recvrings *a)
{
	for (unsigned k = 0; k < a->n; k++) {
		a->ring[k].coder = codec_free(a->ring[k].coder);
		ring_fini(&a->ring[k].ring);
	}
}

void recvpos_chunk(struct recvpos *p, const struct wire_chunk *c)
{
	p->open = true;
	p->stream = c->stream;
	p->pass = c->pass;
}

void recvpos_marker(struct recvpos *p, const struct marker *m)
{
	p->open = false;
	p->stream = m->stream;
	p->generation = m->generation;
	p->pass = p->ended = m->pass;
	if (!m->pass)
		p->order = m->order;
}

const struct marker *recvring_marker(const struct recvring *r)
{
	const struct marker *m = &r->marker[r->markers_done % RING_MARKERS];

	return r->markers_done < r->markers_in && m->seq == r->written ? m : NULL;
}

struct chunk *recvring_chunk(const struct recvring *r)
{
	return r->written < r->received ? ring_chunk(&r->ring, r->written + 1) : NULL;
}

unsigned recvrings_report(struct recvrings *a, uint64_t *ret_seq, struct marker *ret_marker)
{
	unsigned n = 0;

	pthread_mutex_lock(&a->flow->lock);
	for (unsigned k = 0; k < a->n; k++) {
		struct recvring *r = &a->ring[k];

		ret_seq[k] = r->written > r->reported ? r->written : 0;
		r->reported = r->written;
		r->markers_reported = r->markers_done;
	}
	while (a->over_out < a->over_in)
		ret_marker[n++] = a->over[a->over_out++ % RING_MARKERS];
	pthread_mutex_unlock(&a->flow->lock);
	for (unsigned k = 0; k < a->n && (n || a->file); k++)
		flow_wake(a->flow, a->ring[k].receiver); /* it may wait for room */
	return n;
}

/* Can the writer go on by no channel, and is all that it did reported? Under the lock. */
static bool is_idle(const struct recvrings *a)
{
	unsigned at_barrier = 0;

	for (unsigned k = 0; k < a->n; k++) {
		const struct recvring *r = &a->ring[k];
		bool marker = recvring_marker(r);

		if (!r->link.down || r->reported != r->written ||
			r->markers_reported != r->markers_done || (!marker && recvring_chunk(r)))
			return false;
		at_barrier += marker;
	}
	return at_barrier < a->n && a->over_in == a->over_out;
}

bool recvrings_settled(struct recvrings *a, struct wire_resumed *ret)
{
	bool settled;

	pthread_mutex_lock(&a->flow->lock);
	settled = is_idle(a);
	for (unsigned k = 0; k < a->n && settled; k++) {
		struct recvring *r = &a->ring[k];

		r->received = r->written;
		r->markers_in = r->markers_done;
		if (r->pos.order != r->at.order)
			codec_set_order(r->coder, r->at.order);
		r->pos = r->at;
		ret->channel[k] = (struct wire_resumed_channel){
			r->written, r->at.generation, r->at.ended};
	}
	if (settled)
		ret->channels = a->n;
	pthread_mutex_unlock(&a->flow->lock);
	return settled;
}

void recvrings_count(struct recvrings *a, const struct chunk *c)
{
	struct wire_last_lap *lap = &a->lap;

	a->stats.valid += c->count.valid;
	a->stats.invalid += c->count.invalid;
	a->stats.plain += c->meta.plain;
	if (lap->generation != c->meta.generation)
		*lap = (struct wire_last_lap){.generation = c->meta.generation};
	if (lap->pass != c->meta.pass) {
		lap->pass = c->meta.pass;
		lap->valid = lap->invalid = 0;
	}
	lap->valid += c->count.valid;
	lap->invalid += c->count.invalid;
	if (c->meta.pass == 1) {
		lap->first_valid += c->count.valid;
		lap->first_invalid += c->count.invalid;
	}
}

/* A pass may have no chunk, and so may all of them. */
static struct wire_last_lap lap_here(const struct recvrings *a, const struct wire_end *end)
{
	struct wire_last_lap lap = a->lap;

	if (lap.generation != end->generation)
		lap = (struct wire_last_lap){.generation = end->generation};
	if (lap.pass != end->passes)
		lap.valid = lap.invalid = 0;
	return lap;
}

/*
 * What cannot be: a pass 1 that leaves entries out, a last lap of more than there are; and what did
 * not arrive as it was sent.
 */
static int compare_lap(const struct recvrings *a, const struct wire_end *end, struct err *err)
{
	const struct wire_last_lap *told = &a->told, here = lap_here(a, end);
	uint64_t entries = table_entries(a->ring[0].at.order, a->tlb_entries);

	if (told->generation != end->generation || told->pass != end->passes)
		return err_set(err, -EBADMSG,
			"the source says that pass %u of generation %u was the last, and that pass %u of "
			"generation %u was",
			told->pass, told->generation, end->passes, end->generation);
	if (told->first_valid != here.first_valid || told->first_invalid != here.first_invalid)
		return err_set(err, -EBADMSG,
			"the source sent %" PRIu64 " valid and %" PRIu64
			" invalid entries in pass 1, but %" PRIu64 " and %" PRIu64
			" were written here",
			told->first_valid, told->first_invalid, here.first_valid,
			here.first_invalid);
	if (told->valid != here.valid || told->invalid != here.invalid)
		return err_set(err, -EBADMSG,
			"the source sent %" PRIu64 " valid and %" PRIu64
			" invalid entries in its last pass, but %" PRIu64 " and %" PRIu64
			" were written here",
			told->valid, told->invalid, here.valid, here.invalid);
	if (here.first_valid + here.first_invalid != entries)
		return err_set(err, -EBADMSG,
			"pass 1 named %" PRIu64 " of the table's %" PRIu64
			" entries: it has to name each of them once",
			here.first_valid + here.first_invalid, entries);
	if (here.valid + here.invalid > entries)
		return err_set(err, -EBADMSG,
			"the last pass named %" PRIu64 " entries of a table of %" PRIu64,
			here.valid + here.invalid, entries);
	return 1;
}

/* Everything that END speaks of is written. Under the lock. */
static int compare_end(const struct recvrings *a, const struct wire_end *end, struct err *err)
{
	if (a->stats.valid != end->valid || a->stats.invalid != end->invalid)
		return err_set(err, -EBADMSG,
			"the source sent %" PRIu64 " valid and %" PRIu64
			" invalid entries by its count, but %" PRIu64 " and %" PRIu64
			" were written here",
			end->valid, end->invalid, a->stats.valid, a->stats.invalid);
	for (unsigned k = 0; k < a->n; k++)
		if (a->ring[k].digest != end->channel[k].digest)
			return err_set(err, -EBADMSG,
				"the digest of channel %u's %" PRIu64 " chunks is %016" PRIx64
				" here and %016" PRIx64 " at the source",
				k, end->channel[k].seq, a->ring[k].digest, end->channel[k].digest);
	return a->told.generation ? compare_lap(a, end, err) : 1;
}

/* One channel: 1, 0 or -errno as for all of them. */
static int check_channel(const struct recvring *r, const struct wire_end *end, struct err *err)
{
	const struct wire_end_channel *c = &end->channel[r->channel];
	bool idle = r->written == r->received && r->markers_done == r->markers_in;

	if (r->received > c->seq)
		return err_set(err, -EBADMSG,
			"chunk %" PRIu64 " came on channel %u, but END says that %" PRIu64
			" was the last",
			r->received, r->channel, c->seq);
	if (idle && r->written == c->seq && r->at.generation == end->generation &&
		r->at.ended >= end->passes)
		return 1;
	if (idle && r->eof)
		return err_set(err, -ECONNRESET,
			"channel %u ended after chunk %" PRIu64
			" of pass %u of generation %u, but END says that %" PRIu64
			" of pass %u of generation %u was the last",
			r->channel, r->received, r->at.pass, r->at.generation, c->seq, end->passes,
			end->generation);
	return 0;
}

static int check_end(const struct recvrings *a, const struct wire_end *end, struct err *err)
{
	unsigned over = 0;

	if (end->generation < a->generation || (end->generation > a->generation && !a->generations))
		return err_set(err, -EBADMSG,
			"END is of generation %u, but the table here of generation %u",
			end->generation, a->generation);
	if (end->channels != a->n)
		return err_set(err, -EBADMSG, "END speaks of %u data channels, but there %s %u",
			end->channels, a->n == 1 ? "is" : "are", a->n);
	for (unsigned k = 0; k < a->n; k++) {
		int r = check_channel(&a->ring[k], end, err);

		if (r < 0)
			return r;
		over += (unsigned)r;
	}
	return over == a->n ? compare_end(a, end, err) : 0;
}

int recvrings_check_end(struct recvrings *a, const struct wire_end *end, struct err *err)
{
	int ret;

	pthread_mutex_lock(&a->flow->lock);
	ret = check_end(a, end, err);
	pthread_mutex_unlock(&a->flow->lock);
	return ret;
}
