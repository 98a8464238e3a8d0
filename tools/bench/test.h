/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What a test is: the client's choice, told to the server as JSON, which judges it anew. Plain
 * values; any thread.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/wire.h"
#include "tools/bench/hptgen.h"

#define BENCH_PROTOCOL     3u /* of the control messages; both ends have to agree */
#define BENCH_PORT         "4661"
#define BENCH_CHANNELS_MAX WIRE_CHANNELS_MAX
#define BENCH_ORDER        25u
#define BENCH_ORDER_MAX    32u
#define BENCH_SECONDS      10.0
#define BENCH_SECONDS_MAX  86400.0
#define BENCH_RATE_MAX     100000000ull
#define BENCH_HANDSHAKE_MS 10000
#define BENCH_COOKIE_LEN   32u
/* iperf3's --rcv-timeout, which has 120 s: ms for which a peer may say nothing. */
#define BENCH_SILENCE_MS  30000
#define BENCH_SILENCE_MIN 1000
#define BENCH_SILENCE_MAX 86400000

struct bench_test {
	bool reverse;   /* the server sends */
	double seconds; /* whole passes until then; 0: as bytes says */
	uint64_t bytes; /* of the table (plain records), whole passes; 0: as seconds says */
	unsigned channels;
	enum wire_codec codec;
	int level;              /* zstd's */
	uint64_t bandwidth;     /* bits/s on the wire, 0: no limit */
	uint64_t dirty_rate;    /* changed entries a second at the sender, 0: whole-table passes */
	unsigned order;         /* log2 of the table's bytes */
	enum hptgen_kind table; /* unless the sender has a file */
	double interval;        /* s between two lines, 0: none */
	bool want_output;       /* the server's report is sent to the client */
	bool json;              /* as JSON */
};

void bench_test_default(struct bench_test *t);
/* Is it within the limits above? 0, or -EINVAL with a sentence. */
int bench_test_check(const struct bench_test *t, struct err *err);
/*
 * For how long in ms a peer may say nothing: so long, and what it takes to make the table or to
 * read it back, when nothing else is done.
 */
uint64_t bench_test_silence(const struct bench_test *t, int silence_ms);
struct json_object *bench_test_to_json(const struct bench_test *t);
/* Every member has to be there, of its type and within its limits: 0 and *ret, or -EINVAL. */
int bench_test_from_json(struct json_object *o, struct bench_test *ret, struct err *err);
