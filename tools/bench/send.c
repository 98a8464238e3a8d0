/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/flow/chunk.h"
#include "daemon/flow/outflow.h"
#include "tools/bench/end.h"

struct bench_send {
	struct bench_end_config config;
	struct outflow *flow;
	uint32_t pass; /* that runs, or the last */
	uint32_t passes;
	uint64_t pass_start, pass_wire;
	uint64_t paused_at, end_at; /* the guest was asked to stop; END was said */
	bool last;                  /* the pass that runs is the lap after the pause */
	bool over;                  /* stopping, or failed */
};

static void fail(struct bench_send *s, int code, const char *what)
{
	struct err err;

	if (s->over)
		return;
	s->over = true;
	err_set(&err, code, "%s: %s", what, strerror(-code));
	s->config.ops->failed(s->config.arg, &err);
}

static void begin_pass(struct bench_send *s)
{
	struct outflow_stats stats;

	outflow_get_stats(s->flow, &stats);
	s->pass_wire = stats.wire;
	s->pass_start = clock_ns();
	outflow_pass(s->flow, WIRE_STREAM_HTAB, ++s->pass);
}

static void say_end(struct bench_send *s)
{
	struct wire_end end = {.session = {{1}}}; /* none of anybody's, but one has to be there */

	outflow_get_end(s->flow, &end);
	s->end_at = clock_ns();
	s->config.ops->end(s->config.arg, &end);
}

static void on_guest_stopped(void *arg)
{
	struct bench_send *s = arg;

	if (s->over)
		return;
	s->config.measure->downtime.pause = clock_ns() - s->paused_at;
	s->last = true;
	begin_pass(s);
}

static void note_pass(struct bench_send *s)
{
	struct outflow_stats stats;

	outflow_get_stats(s->flow, &stats);
	s->passes++;
	bench_measure_pass(s->config.measure,
		&(struct bench_pass){
			.pass = s->pass,
			.start = s->pass_start - s->config.measure->start,
			.ns = clock_ns() - s->pass_start,
			.read_ns = stats.read_ns,
			.valid = stats.pass_valid,
			.invalid = stats.pass_invalid,
			.plain = stats.pass_plain,
			.wire = stats.wire - s->pass_wire,
		});
}

static bool enough(const struct bench_send *s)
{
	const struct bench_test *t = s->config.test;
	struct outflow_stats stats;

	outflow_get_stats(s->flow, &stats);
	if (t->bytes)
		return stats.plain >= t->bytes;
	return (double)(clock_ns() - s->config.measure->start) >= t->seconds * NS_PER_SEC;
}

static void on_pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	struct bench_send *s = arg;
	struct bench_table *table = s->config.table;
	bool dirty = s->config.test->dirty_rate > 0;
	struct htabio *io;
	int r;

	note_pass(s);
	if (s->last) {
		s->config.measure->downtime.last_pass = clock_ns() - s->pass_start;
		say_end(s);
	} else if (enough(s) && dirty) {
		s->paused_at = clock_ns();
		r = bench_table_stop(table, s->config.base, on_guest_stopped, s);
		if (r < 0)
			fail(s, r, "the guest cannot be stopped");
	} else if (enough(s)) {
		say_end(s);
	} else if (dirty) {
		begin_pass(s); /* what changed */
	} else {
		/* A new fd reads everything again. */
		r = bench_table_open(table, 0, 0, &io);
		if (r < 0) {
			fail(s, r, "the table cannot be opened");
			return;
		}
		outflow_set_htab(s->flow, io);
		begin_pass(s);
	}
}

static void on_failed(void *arg, const struct err *err)
{
	struct bench_send *s = arg;

	if (s->over)
		return;
	s->over = true;
	s->config.ops->failed(s->config.arg, err);
}

static void on_stopped(void *arg)
{
	struct bench_send *s = arg;

	s->config.ops->stopped(s->config.arg);
}

static const struct outflow_ops flow_ops = {
	.pass_done = on_pass_done,
	.failed = on_failed,
	.stopped = on_stopped,
};

int bench_send_new(const struct bench_end_config *config, struct stream *const *streams,
	struct bench_send **ret, struct err *err)
{
	const struct bench_test *t = config->test;
	struct bench_send *s = calloc(1, sizeof(*s));
	struct outflow_config flow = {
		.base = config->base,
		.order = t->order,
		.generation = 1,
		.channels = t->channels,
		.ring = ring_chunks(t->channels),
		.chunk = WIRE_PLAIN_MAX,
		.codec = t->codec,
		.level = t->level,
		.max_bandwidth = t->bandwidth / 8,
		.timeout_ms = config->silence_ms,
		.ops = &flow_ops,
		.arg = s,
	};
	struct htabio *io = NULL;
	int r = s ? bench_table_open(config->table, 0, 0, &io) : -ENOMEM;

	if (r < 0) {
		free(s);
		return err_set(err, r, "the table cannot be opened: %s", strerror(-r));
	}
	s->config = *config;
	r = outflow_new(&flow, io, streams, &s->flow, err);
	if (r < 0) {
		htabio_free(io);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void bench_send_start(struct bench_send *s)
{
	bench_measure_start(s->config.measure);
	if (s->config.test->dirty_rate)
		bench_table_run(s->config.table);
	begin_pass(s);
}

int bench_send_ack(struct bench_send *s, uint32_t channel, uint64_t seq)
{
	return outflow_ack(s->flow, channel, seq);
}

int bench_send_finished(struct bench_send *s)
{
	if (!s->end_at)
		return -EBADMSG;
	s->config.measure->downtime.switchover = clock_ns() - s->end_at;
	bench_measure_end(s->config.measure);
	return 0;
}

void bench_send_count(const struct bench_send *s, struct bench_count *ret)
{
	struct outflow_stats stats;

	outflow_get_stats(s->flow, &stats);
	*ret = (struct bench_count){
		.plain = stats.plain,
		.wire = stats.wire,
		.valid = stats.valid,
		.invalid = stats.invalid,
		.pass = s->pass,
		.pass_entries = stats.pass_valid + stats.pass_invalid,
		.passes = s->passes,
	};
}

void bench_send_stop(struct bench_send *s)
{
	s->over = true;
	outflow_stop(s->flow);
}

struct bench_send *bench_send_free(struct bench_send *s)
{
	if (s) {
		outflow_free(s->flow);
		free(s);
	}
	return NULL;
}
