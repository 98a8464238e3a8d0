/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/outflow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"
#include "daemon/flow/reader.h"
#include "daemon/flow/sender.h"

struct outflow {
	struct outflow_config config;
	struct flow flow;
	struct sendrings rings;
	struct reader reader;
	struct sender sender[WIRE_CHANNELS_MAX];
	struct htabio *htab;
	struct stream *stream[WIRE_CHANNELS_MAX];
	bool stopping, failed, stopped, parked; /* the loop's own: what was told */
	uint64_t down_since; /* what a pass's time is short of, the channels being down */
};

/* Threads are joined: nobody else touches what they used. */
static void close_all(struct outflow *o)
{
	flow_join(&o->flow);
	for (unsigned k = 0; k < o->rings.n; k++)
		o->stream[k] = stream_free(o->stream[k]);
	o->htab = htabio_free(o->htab);
	o->flow.notify = notify_free(o->flow.notify);
}

static bool telling(const struct outflow *o)
{
	return !o->stopping && !o->failed;
}

static void report_link(struct outflow *o, unsigned k)
{
	struct err err;
	bool lost, down;

	link_report(&o->rings.ring[k].link, &o->flow, &lost, &err, &down);
	if (lost && telling(o))
		o->config.ops->lost(o->config.arg, &err);
	if (down && !o->stopping)
		o->stream[k] = stream_free(o->stream[k]);
}

static void report_links(struct outflow *o)
{
	bool gone = true;

	for (unsigned k = 0; k < o->rings.n; k++) {
		report_link(o, k);
		gone &= !o->stream[k];
	}
	if (!gone || o->parked || o->config.file || !telling(o))
		return;
	o->parked = true;
	o->down_since = o->flow.clock();
	o->config.ops->parked(o->config.arg);
}

static void on_notify(void *arg)
{
	struct outflow *o = arg;
	struct flow *flow = &o->flow;
	enum wire_stream stream;
	uint32_t pass;
	struct err err;
	bool done, parted, begun, failed;

	pthread_mutex_lock(&flow->lock);
	done = o->rings.done;
	parted = o->rings.parted;
	begun = o->rings.begun;
	o->rings.done = o->rings.parted = o->rings.begun = false;
	stream = o->rings.stream;
	pass = o->rings.pass;
	failed = flow->failed;
	err = flow->err;
	pthread_mutex_unlock(&flow->lock);

	if (done && telling(o))
		o->config.ops->pass_done(o->config.arg, stream, pass);
	if (parted)
		o->htab = htabio_free(o->htab);
	if (parted && telling(o))
		o->config.ops->parted(o->config.arg);
	if (begun && telling(o))
		o->config.ops->generation(o->config.arg);
	if (failed && telling(o)) {
		o->failed = true;
		o->config.ops->failed(o->config.arg, &err);
	}
	report_links(o);
	if (o->stopping && !o->stopped && flow_ended(flow)) {
		close_all(o);
		o->stopped = true;
		o->config.ops->stopped(o->config.arg); /* may free o */
	}
}

static void add_actors(
	struct outflow *o, struct htabio *htab, const struct flow_io *file, struct stream *const *s)
{
	struct sendrings *a = &o->rings;

	o->reader = (struct reader){
		.rings = a,
		.io = htab,
		.entries = table_entries(o->config.order, o->config.tlb_entries),
	};
	a->reader = flow_add(&o->flow, "htab-reader", reader_step, &o->reader);
	for (unsigned k = 0; k < a->n; k++) {
		sender_init(&o->sender[k], &a->ring[k], file ? *file : flow_io_stream(s[k]),
			o->config.timeout_ms);
		a->ring[k].sender = flow_add(&o->flow, "htab-sender", sender_step, &o->sender[k]);
	}
}

int outflow_new(const struct outflow_config *config, struct htabio *htab,
	struct stream *const *streams, struct outflow **ret, struct err *err)
{
	struct outflow *o;
	int r;

	if (!codec_known(config->codec))
		return err_set(err, -EOPNOTSUPP, "codec %d is not known here", (int)config->codec);
	o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(err, -ENOMEM, "out of memory for a migration");
	o->config = *config;
	flow_init(&o->flow, clock_ns);
	r = sendrings_init(&o->rings, &o->flow, config);
	if (r < 0) {
		err_set(err, r, "out of memory for %u channels of %u chunks of %zu bytes",
			o->rings.n, config->ring, config->chunk);
		goto fail;
	}
	htabio_set_kind(htab, o->rings.kind);
	add_actors(o, htab, config->file, streams);
	r = notify_new(config->base, on_notify, o, &o->flow.notify);
	if (r < 0) {
		err_set(err, r, "cannot notify the event loop: %s", strerror(-r));
		goto fail;
	}
	r = flow_start(&o->flow, err);
	if (r < 0)
		goto fail;
	o->htab = htab;
	for (unsigned k = 0; k < o->rings.n && !config->file; k++)
		o->stream[k] = streams[k];
	*ret = o;
	return 0;
fail:
	notify_free(o->flow.notify);
	sendrings_fini(&o->rings);
	flow_fini(&o->flow);
	free(o);
	return r;
}

void outflow_pass(struct outflow *o, enum wire_stream stream, uint32_t pass)
{
	if (!o->stopping)
		sendrings_begin(&o->rings, stream, pass);
}

void outflow_set_htab(struct outflow *o, struct htabio *htab)
{
	if (o->stopped) {
		htabio_free(htab);
		return;
	}
	htabio_set_kind(htab, o->rings.kind);
	pthread_mutex_lock(&o->flow.lock);
	assert(!o->rings.reading);
	o->reader.io = htab;
	o->reader.changes = false;
	pthread_mutex_unlock(&o->flow.lock);
	htabio_free(o->htab);
	o->htab = htab;
}

void outflow_part(struct outflow *o)
{
	if (!o->stopping)
		sendrings_part(&o->rings);
}

void outflow_generation(struct outflow *o, uint32_t generation, unsigned order)
{
	if (o->stopping)
		return;
	/* The reader has nothing to read meanwhile, but looks how much it would read at once. */
	pthread_mutex_lock(&o->flow.lock);
	o->reader.entries = htab_entries(order);
	pthread_mutex_unlock(&o->flow.lock);
	sendrings_generation(&o->rings, generation, order);
}

int outflow_ack(struct outflow *o, uint32_t channel, uint64_t seq)
{
	return sendrings_ack(&o->rings, channel, seq);
}

void outflow_cut(struct outflow *o)
{
	for (unsigned k = 0; k < o->rings.n; k++)
		link_cut(&o->rings.ring[k].link, &o->flow, o->rings.ring[k].sender);
}

int outflow_resume(struct outflow *o, const struct wire_resumed *resumed)
{
	return sendrings_resume(&o->rings, resumed);
}

void outflow_attach(struct outflow *o, struct stream *const *streams)
{
	uint64_t now = o->flow.clock();

	assert(o->parked);
	o->parked = false;
	pthread_mutex_lock(&o->flow.lock);
	for (unsigned k = 0; k < o->rings.n; k++) {
		o->stream[k] = streams[k];
		o->sender[k].io = flow_io_stream(streams[k]);
		o->rings.ring[k].ack_time = now;
		link_up(&o->rings.ring[k].link);
	}
	o->rings.pass_start += now - o->down_since;
	pthread_mutex_unlock(&o->flow.lock);
	sendrings_wake(&o->rings);
}

void outflow_set_bandwidth(struct outflow *o, uint64_t bytes_per_second)
{
	pthread_mutex_lock(&o->flow.lock);
	o->rings.rate = bytes_per_second;
	pthread_mutex_unlock(&o->flow.lock);
	sendrings_wake(&o->rings);
}

void outflow_get_stats(const struct outflow *o, struct outflow_stats *ret)
{
	struct outflow *lockable = (struct outflow *)(uintptr_t)o;

	sendrings_get_stats(&lockable->rings, ret);
}

void outflow_get_end(const struct outflow *o, struct wire_end *end)
{
	struct outflow *lockable = (struct outflow *)(uintptr_t)o;

	sendrings_get_end(&lockable->rings, end);
}

void outflow_get_lap(struct outflow *o, struct wire_last_lap *ret)
{
	pthread_mutex_lock(&o->flow.lock);
	*ret = o->rings.lap;
	pthread_mutex_unlock(&o->flow.lock);
}

void outflow_stop(struct outflow *o)
{
	if (o->stopping)
		return;
	o->stopping = true;
	flow_halt(&o->flow);
	if (o->htab)
		htabio_shutdown(o->htab);
}

struct outflow *outflow_free(struct outflow *o)
{
	if (o) {
		assert(o->stopped);
		sendrings_fini(&o->rings);
		flow_fini(&o->flow);
		free(o);
	}
	return NULL;
}
