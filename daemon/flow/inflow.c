/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/inflow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"
#include "daemon/flow/receiver.h"
#include "daemon/flow/writer.h"

struct inflow {
	struct inflow_config config;
	struct flow flow;
	struct recvrings rings;
	struct receiver receiver[WIRE_CHANNELS_MAX];
	struct writer writer;
	struct htabio *htab;
	struct stream *stream[WIRE_CHANNELS_MAX];
	/* the loop's own: what was wished and told */
	bool stopping, failed, closed;
	bool finishing; /* END is here */
	bool whole;     /* and what it says holds */
	struct wire_end end;
	bool told_end; /* that one of these channels ended in order */
	bool settled;  /* all channels are closed, and that was said */
	uint32_t told_generation;
};

static void close_all(struct inflow *i)
{
	flow_join(&i->flow);
	for (unsigned k = 0; k < i->rings.n; k++)
		i->stream[k] = stream_free(i->stream[k]);
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
	uint64_t seq[WIRE_CHANNELS_MAX];
	unsigned n = recvrings_report(&i->rings, seq, marker);

	for (unsigned k = 0; k < i->rings.n && telling(i); k++)
		if (seq[k])
			i->config.ops->written(i->config.arg, k, seq[k]);
	for (unsigned k = 0; k < n && telling(i); k++)
		if (marker[k].pass)
			i->config.ops->pass_done(i->config.arg, marker[k].stream, marker[k].pass);
}

/* The writer is there by every channel. */
static void report_generation(struct inflow *i)
{
	struct marker barrier;

	pthread_mutex_lock(&i->flow.lock);
	barrier = i->rings.barrier;
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
	bool eof = false;

	pthread_mutex_lock(&i->flow.lock);
	for (unsigned k = 0; k < i->rings.n; k++)
		eof |= i->rings.ring[k].eof;
	pthread_mutex_unlock(&i->flow.lock);
	if (!eof || i->told_end || i->finishing || !telling(i))
		return;
	i->told_end = true;
	if (i->config.ops->ended)
		i->config.ops->ended(i->config.arg);
}

static void report_link(struct inflow *i, unsigned k)
{
	struct err err;
	bool lost, down;

	link_report(&i->rings.ring[k].link, &i->flow, &lost, &err, &down);
	if (lost && telling(i))
		i->config.ops->lost(i->config.arg, &err);
	if (down && !i->stopping)
		i->stream[k] = stream_free(i->stream[k]);
}

static void report_links(struct inflow *i)
{
	struct wire_resumed resumed = {0};
	bool gone = true;

	for (unsigned k = 0; k < i->rings.n; k++) {
		report_link(i, k);
		gone &= !i->stream[k];
	}
	if (!gone || i->settled || i->config.file || !telling(i) ||
		!recvrings_settled(&i->rings, &resumed))
		return;
	i->settled = true;
	i->config.ops->settled(i->config.arg, &resumed);
}

static void check_finish(struct inflow *i)
{
	struct err err;
	int r;

	if (!i->finishing || i->whole || !telling(i))
		return;
	r = recvrings_check_end(&i->rings, &i->end, &err);
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
	report_links(i);
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

static void add_actors(
	struct inflow *i, struct htabio *htab, const struct flow_io *file, struct stream *const *s)
{
	struct recvrings *a = &i->rings;

	for (unsigned k = 0; k < a->n; k++) {
		receiver_init(&i->receiver[k], &a->ring[k], file ? *file : flow_io_stream(s[k]),
			i->config.timeout_ms);
		a->ring[k].receiver = flow_add(
			&i->flow, "htab-receiver", receiver_step, &i->receiver[k]);
	}
	writer_init(&i->writer, a, htab, table_entries(i->config.order, i->config.tlb_entries),
		i->config.timeout_ms);
	a->writer = flow_add(&i->flow, "htab-writer", writer_step, &i->writer);
}

int inflow_new(const struct inflow_config *config, struct htabio *htab,
	struct stream *const *streams, struct inflow **ret, struct err *err)
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
	r = recvrings_init(&i->rings, &i->flow, config);
	if (r < 0) {
		err_set(err, r, "out of memory for %u channels of %u chunks", i->rings.n,
			config->ring);
		goto fail;
	}
	htabio_set_kind(htab, i->rings.kind);
	add_actors(i, htab, config->file, streams);
	r = notify_new(config->base, on_notify, i, &i->flow.notify);
	if (r < 0) {
		err_set(err, r, "cannot notify the event loop: %s", strerror(-r));
		goto fail;
	}
	r = flow_start(&i->flow, err);
	if (r < 0)
		goto fail;
	i->htab = htab;
	for (unsigned k = 0; k < i->rings.n && !config->file; k++)
		i->stream[k] = streams[k];
	*ret = i;
	return 0;
fail:
	notify_free(i->flow.notify);
	recvrings_fini(&i->rings);
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
	i->rings.generation = generation;
	pthread_mutex_unlock(&i->flow.lock);
	flow_wake(&i->flow, i->rings.writer);
}

void inflow_set_verify(struct inflow *i, struct htabio *htab)
{
	struct verify *v = NULL;
	int r;

	htabio_set_kind(htab, i->rings.kind);
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
	flow_wake(&i->flow, i->rings.writer);
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

void inflow_expect_lap(struct inflow *i, const struct wire_last_lap *lap)
{
	assert(!i->finishing);
	i->rings.told = *lap;
}

void inflow_cut(struct inflow *i)
{
	for (unsigned k = 0; k < i->rings.n; k++)
		link_cut(&i->rings.ring[k].link, &i->flow, i->rings.ring[k].receiver);
}

void inflow_attach(struct inflow *i, struct stream *const *streams)
{
	assert(i->settled);
	i->settled = i->told_end = false;
	pthread_mutex_lock(&i->flow.lock);
	for (unsigned k = 0; k < i->rings.n; k++) {
		i->stream[k] = streams[k];
		i->receiver[k].io = flow_io_stream(streams[k]);
		i->rings.ring[k].eof = false;
		link_up(&i->rings.ring[k].link);
	}
	pthread_mutex_unlock(&i->flow.lock);
	for (unsigned k = 0; k < i->rings.n; k++)
		flow_wake(&i->flow, i->rings.ring[k].receiver);
}

void inflow_get_stats(const struct inflow *i, struct inflow_stats *ret)
{
	struct inflow *lockable = (struct inflow *)(uintptr_t)i;

	pthread_mutex_lock(&lockable->flow.lock);
	*ret = i->rings.stats;
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
		recvrings_fini(&i->rings);
		flow_fini(&i->flow);
		free(i);
	}
	return NULL;
}
