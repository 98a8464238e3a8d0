/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The two ends of a test's data path: the daemon's own outflow and inflow over software tables.
 * What they tell each other besides (acknowledgements, END) goes through the callbacks to
 * bench/session.c. Loop thread.
 */
#include <event2/event.h>

#include "common/stream.h"
#include "tools/bench/measure.h"
#include "tools/bench/table.h"
#include "tools/bench/test.h"

struct bench_end_ops {
	void (*ack)(void *arg, uint32_t channel, uint64_t seq); /* receiver: to be told */
	void (*end)(void *arg, const struct wire_end *end);     /* sender: to be told */
	void (*finished)(void *arg); /* receiver: what END said holds; its flow is gone */
	/* Comes at most once, and nothing after it but stopped. */
	void (*failed)(void *arg, const struct err *err);
	void (*stopped)(void *arg); /* after bench_*_stop() */
};

struct bench_end_config {
	struct event_base *base;
	const struct bench_test *test;
	int silence_ms;            /* of a peer or a channel: what fails it */
	struct bench_table *table; /* has to outlive the end */
	struct bench_measure *measure;
	const struct bench_end_ops *ops;
	void *arg;
};

/* -- bench/send.c -- */

struct bench_send;
/* streams, as many as the test's channels, become the sender's, on success only. */
int bench_send_new(const struct bench_end_config *config, struct stream *const *streams,
	struct bench_send **ret, struct err *err);
void bench_send_start(struct bench_send *s);
int bench_send_ack(struct bench_send *s, uint32_t channel, uint64_t seq);
/* The receiver has everything: the time of the test is over. -EBADMSG: END was not said yet. */
int bench_send_finished(struct bench_send *s);
void bench_send_count(const struct bench_send *s, struct bench_count *ret);
void bench_send_stop(struct bench_send *s);
struct bench_send *bench_send_free(struct bench_send *s); /* after stopped; takes NULL */

/* -- bench/recv.c -- */

struct bench_recv;
int bench_recv_new(const struct bench_end_config *config, struct stream *const *streams,
	struct bench_recv **ret, struct err *err);
/* Time counts from here, at the latest. */
void bench_recv_start(struct bench_recv *r);
void bench_recv_end(struct bench_recv *r, const struct wire_end *end);
void bench_recv_count(const struct bench_recv *r, struct bench_count *ret);
void bench_recv_stop(struct bench_recv *r);
struct bench_recv *bench_recv_free(struct bench_recv *r); /* after finished or stopped */
