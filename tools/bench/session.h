/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A test, once all connections are made: one end of it, sender or receiver. Loop thread.
 *
 *	sender -> receiver   {"end": a wire END frame in hex}
 *	receiver -> sender   {"ack": [channel, seq]}, {"finished": {}}
 *	either               {"result": {...}} at the end, {"error": text} at any time, empty lines
 *
 * The sender passes its table again and again; when that is enough both ends read their tables
 * back, tell each other what they measured and the digest of what they have, and compare.
 */
#include "tools/bench/end.h"
#include "tools/bench/line.h"

struct bench_session_ops {
	void (*interval)(void *arg, const struct bench_interval *i);
	/*
	 * The test is over; comes once. err NULL: both ends have the same table, and the results
	 * are good. The line is the callee's from now on, NULL when it is lost. May free the
	 * session.
	 */
	void (*done)(void *arg, struct bench_line *line, const struct err *err);
};

struct bench_session {
	struct event_base *base;
	struct bench_test test;
	struct bench_table *table; /* the caller's */
	bool sender;
	int silence_ms;
	struct bench_measure measure;
	struct bench_result mine, peers;
	/* bench/session.c's own */
	struct bench_line *line;
	struct bench_send *send;
	struct bench_recv *recv;
	struct event *sample, *interval;
	const struct bench_session_ops *ops;
	void *arg;
	bool have_mine, have_peers, failed, done;
	bool interrupted; /* at either end: `mine` is what there was until then */
	struct err err;
};

/* So it begins why a test was interrupted, in iperf3's words; the peer knows it by that. */
#define BENCH_INTERRUPT "interrupt - the "

/*
 * s is zeroed but for base, test, table, sender and silence_ms. line becomes the session's, also on
 * failure; streams, as many as the test's channels, on success only, and are then set to NULL. A
 * receiver is ready when this returns.
 */
int bench_session_init(struct bench_session *s, struct bench_line *line, struct stream **streams,
	const struct bench_session_ops *ops, void *arg, struct err *err);
/* The sender begins; the receiver counts time from here. */
void bench_session_start(struct bench_session *s);
/*
 * End it early, but keep what was measured: `done` follows, perhaps from inside this call; the peer
 * is told why.
 */
void bench_session_cancel(struct bench_session *s, const char *why);
/* After done. */
void bench_session_fini(struct bench_session *s);
