/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/flow/chunk.h"
#include "daemon/flow/inflow.h"
#include "tools/bench/end.h"

struct bench_recv {
	struct bench_end_config config;
	struct inflow *flow;
	uint32_t passes;
	uint64_t pass_start;
	struct bench_count before; /* the pass that runs */
};

static void on_written(void *arg, uint32_t channel, uint64_t seq)
{
	struct bench_recv *r = arg;

	bench_recv_start(r); /* chunks may overtake the word on the control connection */
	r->config.ops->ack(r->config.arg, channel, seq);
}

static void on_pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	struct bench_recv *r = arg;
	struct bench_count now;
	uint64_t at;

	bench_recv_start(r);
	at = clock_ns();
	r->passes++;
	bench_recv_count(r, &now);
	bench_measure_pass(r->config.measure,
		&(struct bench_pass){
			.pass = pass,
			.start = r->pass_start - r->config.measure->start,
			.ns = at - r->pass_start,
			.valid = now.valid - r->before.valid,
			.invalid = now.invalid - r->before.invalid,
			.plain = now.plain - r->before.plain,
			.wire = now.wire - r->before.wire,
		});
	r->before = now;
	r->pass_start = at;
}

static void on_failed(void *arg, const struct err *err)
{
	struct bench_recv *r = arg;

	r->config.ops->failed(r->config.arg, err);
}

static void on_finished(void *arg)
{
	struct bench_recv *r = arg;

	bench_measure_end(r->config.measure);
	r->config.ops->finished(r->config.arg);
}

static void on_stopped(void *arg)
{
	struct bench_recv *r = arg;

	r->config.ops->stopped(r->config.arg);
}

static const struct inflow_ops flow_ops = {
	.written = on_written,
	.pass_done = on_pass_done,
	.failed = on_failed,
	.finished = on_finished,
	.stopped = on_stopped,
};

int bench_recv_new(const struct bench_end_config *config, struct stream *const *streams,
	struct bench_recv **ret, struct err *err)
{
	const struct bench_test *t = config->test;
	struct bench_recv *r = calloc(1, sizeof(*r));
	struct inflow_config flow = {
		.base = config->base,
		.order = t->order,
		.generation = 1,
		.channels = t->channels,
		.ring = ring_chunks(t->channels),
		.codec = t->codec,
		.timeout_ms = config->silence_ms,
		.ops = &flow_ops,
		.arg = r,
	};
	struct htabio *io = NULL;
	int e = r ? bench_table_open(config->table, HTAB_FD_WRITE, 0, &io) : -ENOMEM;

	if (e < 0) {
		free(r);
		return err_set(err, e, "the table cannot be opened: %s", strerror(-e));
	}
	r->config = *config;
	e = inflow_new(&flow, io, streams, &r->flow, err);
	if (e < 0) {
		htabio_free(io);
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void bench_recv_start(struct bench_recv *r)
{
	if (r->pass_start)
		return;
	bench_measure_start(r->config.measure);
	r->pass_start = r->config.measure->start;
}

void bench_recv_end(struct bench_recv *r, const struct wire_end *end)
{
	inflow_finish(r->flow, end);
}

void bench_recv_count(const struct bench_recv *r, struct bench_count *ret)
{
	struct inflow_stats stats;

	inflow_get_stats(r->flow, &stats);
	*ret = (struct bench_count){
		.plain = stats.plain,
		.wire = stats.wire,
		.valid = stats.valid,
		.invalid = stats.invalid,
		.pass = stats.pass,
		.pass_entries = stats.pass_valid + stats.pass_invalid,
		.passes = r->passes,
	};
}

void bench_recv_stop(struct bench_recv *r)
{
	inflow_stop(r->flow);
}

struct bench_recv *bench_recv_free(struct bench_recv *r)
{
	if (r) {
		inflow_free(r->flow);
		free(r);
	}
	return NULL;
}
