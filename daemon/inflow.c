/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/inflow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"
#include "daemon/receiver.h"
#include "daemon/writer.h"

struct inflow {
	struct inflow_config config;
	struct flow flow;
	struct recvring ring;
	struct receiver receiver;
	struct writer writer;
	struct htabio *htab;
	struct stream *stream;
	/* the loop's own: what was wished and told */
	bool stopping, failed, closed;
	bool finishing; /* END is here */
	bool whole;     /* and what it says holds */
	struct wire_end end;
	uint64_t told; /* last chunk reported as written */
	bool told_end; /* of this channel */
	bool settling; /* the channel is closed; settled was not said yet */
	uint32_t told_generation;
};

static void close_all(struct inflow *i)
{
	flow_join(&i->flow);
	i->stream = stream_free(i->stream);
	i->htab = htabio_free(i->htab);
	i->writer.verify = verify_free(i->writer.verify);
	i->flow.notify = notify_free(i->flow.notify);
	i->closed = true;
}

static bool telling(const struct inflow *i)
{
	return !i->stopping && !i->failed;
}

static void report_progress(struct inflow *i)
{
	struct marker marker[RING_MARKERS];
	uint64_t seq;
	unsigned n = recvring_report(&i->ring, &seq, marker);

	if (seq > i->told && telling(i)) {
		i->told = seq;
		i->config.ops->written(i->config.arg, i->ring.channel, seq);
	}
	for (unsigned k = 0; k < n && telling(i); k++)
		if (marker[k].pass)
			i->config.ops->pass_done(i->config.arg, marker[k].stream, marker[k].pass);
}

/* With more channels: once the writer is there by every one of them. */
static void report_generation(struct inflow *i)
{
	struct marker barrier;

	pthread_mutex_lock(&i->flow.lock);
	barrier = i->ring.barrier;
	pthread_mutex_unlock(&i->flow.lock);
	if (barrier.generation <= i->told_generation || !telling(i))
		return;
	i->told_generation = barrier.generation;
	/* The writer waits: what it had is not in use. */
	i->htab = htabio_free(i->htab);
	i->writer.verify = verify_free(i->writer.verify);
	i->config.ops->generation(i->config.arg, barrier.generation, barrier.order);
}

static void report_failure(struct inflow *i)
{
	struct err err;
	bool failed;

	pthread_mutex_lock(&i->flow.lock);
	failed = i->flow.failed;
	err = i->flow.err;
	pthread_mutex_unlock(&i->flow.lock);
	if (failed && telling(i)) {
		i->failed = true;
		i->config.ops->failed(i->config.arg, &err);
	}
}

static void report_end(struct inflow *i)
{
	bool eof;

	pthread_mutex_lock(&i->flow.lock);
	eof = i->ring.eof;
	pthread_mutex_unlock(&i->flow.lock);
	if (!eof || i->told_end || i->finishing || !telling(i))
		return;
	i->told_end = true;
	if (i->config.ops->ended)
		i->config.ops->ended(i->config.arg);
}

static void report_link(struct inflow *i)
{
	struct err err;
	bool lost, down;
	uint64_t seq;
	uint32_t generation, pass;

	link_report(&i->ring.link, &i->flow, &lost, &err, &down);
	if (lost && telling(i))
		i->config.ops->lost(i->config.arg, &err);
	if (down && !i->stopping) {
		i->stream = stream_free(i->stream);
		i->settling = true;
	}
	if (i->settling && telling(i) && recvring_settled(&i->ring, &seq, &generation, &pass)) {
		i->settling = false;
		i->config.ops->settled(i->config.arg, seq, generation, pass);
	}
}

static void check_finish(struct inflow *i)
{
	struct err err;
	int r;

	if (!i->finishing || i->whole || !telling(i))
		return;
	r = recvring_check_end(&i->ring, &i->end, &err);
	if (r < 0) {
		flow_fail(&i->flow, r, "%s", err.text);
	} else if (r > 0) {
		report_progress(i); /* what was written since on_notify() began */
		if (!telling(i))
			return;
		i->whole = true;
		flow_halt(&i->flow);
	}
}

static void on_notify(void *arg)
{
	struct inflow *i = arg;

	report_progress(i);
	report_generation(i);
	report_failure(i);
	report_end(i);
	report_link(i);
	check_finish(i);
	if (i->closed || !(i->stopping || (i->whole && !i->failed)) || !flow_ended(&i->flow))
		return;
	close_all(i);
	/* Either may free i. */
	if (i->stopping)
		i->config.ops->stopped(i->config.arg);
	else
		i->config.ops->finished(i->config.arg);
}

int inflow_new(const struct inflow_config *config, struct htabio *htab, struct stream *stream,
	struct inflow **ret, struct err *err)
{
	struct inflow *i;
	int r;

	if (!codec_known(config->codec))
		return err_set(err, -EOPNOTSUPP, "codec %d is not known here", (int)config->codec);
	i = calloc(1, sizeof(*i));
	if (!i)
		return err_set(err, -ENOMEM, "out of memory for a migration");
	i->config = *config;
	flow_init(&i->flow, clock_ns);
	r = recvring_init(&i->ring, &i->flow, config);
	if (r < 0) {
		err_set(err, r, "out of memory for %u chunks", config->ring);
		goto fail;
	}
	receiver_init(&i->receiver, &i->ring, config->file ? *config->file : flow_io_stream(stream),
		config->timeout_ms);
	htabio_set_kind(htab, i->ring.kind);
	writer_init(&i->writer, &i->ring, htab, table_entries(config->order, config->tlb_entries),
		config->timeout_ms);
	i->ring.receiver = flow_add(&i->flow, "htab-receiver", receiver_step, &i->receiver);
	i->ring.writer = flow_add(&i->flow, "htab-writer", writer_step, &i->writer);
	r = notify_new(config->base, on_notify, i, &i->flow.notify);
	if (r < 0) {
		err_set(err, r, "cannot notify the event loop: %s", strerror(-r));
		goto fail;
	}
	r = flow_start(&i->flow, err);
	if (r < 0)
		goto fail;
	i->htab = htab;
	i->stream = stream;
	*ret = i;
	return 0;
fail:
	notify_free(i->flow.notify);
	recvring_fini(&i->ring);
	flow_fini(&i->flow);
	free(i);
	return r;
}

void inflow_set_generation(
	struct inflow *i, uint32_t generation, unsigned order, struct htabio *htab)
{
	if (i->closed || i->stopping) {
		htabio_free(htab);
		return;
	}
	assert(!i->htab && generation == i->told_generation);
	i->htab = htab;
	i->config.order = order;
	pthread_mutex_lock(&i->flow.lock);
	i->writer.io = htab;
	i->writer.entries = htab_entries(order);
	i->ring.generation = generation;
	pthread_mutex_unlock(&i->flow.lock);
	flow_wake(&i->flow, i->ring.writer);
}

void inflow_set_verify(struct inflow *i, struct htabio *htab)
{
	struct verify *v = NULL;
	int r;

	htabio_set_kind(htab, i->ring.kind);
	r = verify_new(htab, table_entries(i->config.order, i->config.tlb_entries), &v);

	if (r < 0) {
		htabio_free(htab);
		flow_fail(&i->flow, r, "out of memory for comparing the tables");
		return;
	}
	if (i->closed || i->stopping) {
		verify_free(v);
		return;
	}
	pthread_mutex_lock(&i->flow.lock);
	assert(!i->writer.verify);
	i->writer.verify = v;
	pthread_mutex_unlock(&i->flow.lock);
	flow_wake(&i->flow, i->ring.writer);
}

void inflow_finish(struct inflow *i, const struct wire_end *end)
{
	if (i->finishing) {
		flow_fail(&i->flow, -EPROTO, "the source sent END twice");
		return;
	}
	i->end = *end;
	i->finishing = true;
	flow_notify(&i->flow);
}

void inflow_cut(struct inflow *i)
{
	link_cut(&i->ring.link, &i->flow, i->ring.receiver);
}

void inflow_attach(struct inflow *i, struct stream *stream)
{
	assert(!i->stream && !i->settling);
	i->stream = stream;
	i->told_end = false;
	pthread_mutex_lock(&i->flow.lock);
	i->receiver.io = flow_io_stream(stream);
	i->ring.eof = false;
	link_up(&i->ring.link);
	pthread_mutex_unlock(&i->flow.lock);
	flow_wake(&i->flow, i->ring.receiver);
}

void inflow_get_stats(const struct inflow *i, struct inflow_stats *ret)
{
	struct inflow *lockable = (struct inflow *)(uintptr_t)i;

	pthread_mutex_lock(&lockable->flow.lock);
	*ret = i->ring.stats;
	pthread_mutex_unlock(&lockable->flow.lock);
}

void inflow_stop(struct inflow *i)
{
	if (i->stopping || i->closed)
		return;
	i->stopping = true;
	flow_halt(&i->flow);
	if (i->htab)
		htabio_shutdown(i->htab);
	pthread_mutex_lock(&i->flow.lock);
	if (i->writer.verify)
		verify_shutdown(i->writer.verify);
	pthread_mutex_unlock(&i->flow.lock);
}

struct inflow *inflow_free(struct inflow *i)
{
	if (i) {
		assert(i->closed);
		recvring_fini(&i->ring);
		flow_fini(&i->flow);
		free(i);
	}
	return NULL;
}
