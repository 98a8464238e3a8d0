/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/outflow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"
#include "daemon/reader.h"
#include "daemon/sender.h"

struct outflow {
	struct outflow_config config;
	struct flow flow;
	struct sendring ring;
	struct reader reader;
	struct sender sender;
	struct htabio *htab;
	struct stream *stream;
	bool stopping, failed, stopped; /* the loop's own: what was told */
};

/* Threads are joined: nobody else touches what they used. */
static void close_all(struct outflow *o)
{
	flow_join(&o->flow);
	o->stream = stream_free(o->stream);
	o->htab = htabio_free(o->htab);
	o->flow.notify = notify_free(o->flow.notify);
}

static bool telling(const struct outflow *o)
{
	return !o->stopping && !o->failed;
}

static void report_link(struct outflow *o)
{
	struct err err;
	bool lost, down;

	link_report(&o->ring.link, &o->flow, &lost, &err, &down);
	if (lost && telling(o))
		o->config.ops->lost(o->config.arg, &err);
	if (!down)
		return;
	if (!o->stopping)
		o->stream = stream_free(o->stream);
	o->ring.down_since = o->flow.clock();
	if (telling(o))
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
	done = o->ring.done;
	parted = o->ring.parted;
	begun = o->ring.begun;
	o->ring.done = o->ring.parted = o->ring.begun = false;
	stream = o->ring.stream;
	pass = o->ring.pass;
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
	report_link(o);
	if (o->stopping && !o->stopped && flow_ended(flow)) {
		close_all(o);
		o->stopped = true;
		o->config.ops->stopped(o->config.arg); /* may free o */
	}
}

int outflow_new(const struct outflow_config *config, struct htabio *htab, struct stream *stream,
	struct outflow **ret, struct err *err)
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
	r = sendring_init(&o->ring, &o->flow, config);
	if (r < 0) {
		err_set(err, r, "out of memory for %u chunks of %zu bytes", config->ring,
			config->chunk);
		goto fail;
	}
	htabio_set_kind(htab, o->ring.kind);
	o->reader = (struct reader){
		.ring = &o->ring,
		.io = htab,
		.entries = table_entries(config->order, config->tlb_entries),
	};
	sender_init(&o->sender, &o->ring, config->file ? *config->file : flow_io_stream(stream),
		config->timeout_ms);
	o->ring.reader = flow_add(&o->flow, "htab-reader", reader_step, &o->reader);
	o->ring.sender = flow_add(&o->flow, "htab-sender", sender_step, &o->sender);
	r = notify_new(config->base, on_notify, o, &o->flow.notify);
	if (r < 0) {
		err_set(err, r, "cannot notify the event loop: %s", strerror(-r));
		goto fail;
	}
	r = flow_start(&o->flow, err);
	if (r < 0)
		goto fail;
	o->htab = htab;
	o->stream = stream;
	*ret = o;
	return 0;
fail:
	notify_free(o->flow.notify);
	sendring_fini(&o->ring);
	flow_fini(&o->flow);
	free(o);
	return r;
}

void outflow_pass(struct outflow *o, enum wire_stream stream, uint32_t pass)
{
	if (!o->stopping)
		sendring_begin(&o->ring, stream, pass);
}

void outflow_set_htab(struct outflow *o, struct htabio *htab)
{
	if (o->stopped) {
		htabio_free(htab);
		return;
	}
	htabio_set_kind(htab, o->ring.kind);
	pthread_mutex_lock(&o->flow.lock);
	assert(!o->ring.reading);
	o->reader.io = htab;
	o->reader.changes = false;
	pthread_mutex_unlock(&o->flow.lock);
	htabio_free(o->htab);
	o->htab = htab;
}

void outflow_part(struct outflow *o)
{
	if (!o->stopping)
		sendring_part(&o->ring);
}

void outflow_generation(struct outflow *o, uint32_t generation, unsigned order)
{
	if (o->stopping)
		return;
	o->reader.entries = htab_entries(order); /* the reader has nothing to read meanwhile */
	sendring_generation(&o->ring, generation, order);
}

int outflow_ack(struct outflow *o, uint32_t channel, uint64_t seq)
{
	if (channel != o->ring.channel)
		return -EBADMSG;
	return sendring_ack(&o->ring, seq);
}

void outflow_cut(struct outflow *o)
{
	link_cut(&o->ring.link, &o->flow, o->ring.sender);
}

int outflow_resume(struct outflow *o, uint64_t seq, uint32_t generation, uint32_t pass)
{
	return sendring_resume(&o->ring, seq, generation, pass);
}

void outflow_attach(struct outflow *o, struct stream *stream)
{
	uint64_t now = o->flow.clock();

	assert(!o->stream);
	o->stream = stream;
	pthread_mutex_lock(&o->flow.lock);
	o->sender.io = flow_io_stream(stream);
	o->ring.ack_time = now;
	o->ring.pass_start += now - o->ring.down_since;
	link_up(&o->ring.link);
	pthread_mutex_unlock(&o->flow.lock);
	flow_wake(&o->flow, o->ring.sender);
}

void outflow_set_bandwidth(struct outflow *o, uint64_t bytes_per_second)
{
	pthread_mutex_lock(&o->flow.lock);
	o->ring.rate = bytes_per_second;
	pthread_mutex_unlock(&o->flow.lock);
	flow_wake(&o->flow, o->ring.sender);
}

void outflow_get_stats(const struct outflow *o, struct outflow_stats *ret)
{
	struct outflow *lockable = (struct outflow *)(uintptr_t)o;

	pthread_mutex_lock(&lockable->flow.lock);
	*ret = o->ring.stats;
	if (o->ring.reading || o->ring.ending)
		ret->pass_ns = clock_ns() - o->ring.pass_start;
	pthread_mutex_unlock(&lockable->flow.lock);
}

void outflow_get_end(const struct outflow *o, struct wire_end *end)
{
	struct outflow *lockable = (struct outflow *)(uintptr_t)o;

	end->channels = 1;
	sendring_get_end(&lockable->ring, end);
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
		sendring_fini(&o->ring);
		flow_fini(&o->flow);
		free(o);
	}
	return NULL;
}
