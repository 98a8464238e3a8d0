/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What is measured at one end of a test: intervals, passes, the way of the figures over time, CPU.
 * Memory is bounded however long a test takes. Loop thread. Times are ns of clock_ns().
 */
#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "tools/bench/table.h"

#define BENCH_PASSES_KEPT 10000u
#define BENCH_POINTS_KEPT 4096u
#define BENCH_SAMPLE_MS   20u

/* Totals at one moment. */
struct bench_count {
	uint64_t plain; /* bytes of records */
	uint64_t wire;  /* bytes of frames, before TLS */
	uint64_t valid, invalid;
	uint32_t pass;         /* that runs, or the last */
	uint64_t pass_entries; /* valid and invalid, of that pass so far */
	uint32_t passes;       /* complete */
};

struct bench_interval {
	uint64_t start, end;
	uint64_t plain, wire, entries;
	uint32_t passes;
};

struct bench_pass {
	uint32_t pass;
	uint64_t start, ns;
	uint64_t read_ns; /* inside read(): the scan. Sender only */
	uint64_t valid, invalid, plain, wire;
};

struct bench_point {
	uint64_t at;
	uint64_t plain;
	uint32_t pass;
	uint64_t pass_entries;
};

/* The pause at the end of a test with a guest that changes its table. */
struct bench_downtime {
	uint64_t pause;      /* until every vCPU stood */
	uint64_t last_pass;  /* the last lap, until its end was written */
	uint64_t switchover; /* END, until the receiver had written and checked everything */
};

struct bench_measure {
	uint64_t start, end;
	struct bench_count last; /* at the end of the last interval */
	uint64_t last_at;
	struct bench_interval *interval;
	size_t n_intervals, cap_intervals;
	struct bench_pass *pass;
	size_t n_passes;                               /* kept */
	uint64_t passes, pass_min, pass_max, pass_sum; /* all of them; ns */
	struct bench_point *point;
	size_t n_points;
	unsigned stride, skip; /* one of so many samples is kept */
	struct bench_downtime downtime;
	uint64_t user0, system0, user, system; /* CPU of this process, ns */
};

int bench_measure_init(struct bench_measure *m);
void bench_measure_fini(struct bench_measure *m);
void bench_measure_start(struct bench_measure *m);
void bench_measure_sample(struct bench_measure *m, const struct bench_count *c);
/* Close the interval; NULL when nothing has passed, or out of memory. */
const struct bench_interval *bench_measure_interval(
	struct bench_measure *m, const struct bench_count *c);
void bench_measure_pass(struct bench_measure *m, const struct bench_pass *p);
void bench_measure_end(struct bench_measure *m);
double bench_measure_seconds(const struct bench_measure *m);

/* What the ends tell each other afterwards. */
struct bench_result {
	double seconds;
	uint64_t plain, wire, valid, invalid, passes;
	double user, system; /* s of CPU */
	uint64_t table_valid;
	char digest[BENCH_DIGEST_TEXT];
	uint64_t changes;               /* that the guest made */
	struct bench_downtime downtime; /* the sender's; 0 without a dirty rate */
};

void bench_result_get(
	const struct bench_measure *m, const struct bench_count *c, struct bench_result *ret);
struct json_object *bench_result_to_json(const struct bench_result *r);
int bench_result_from_json(struct json_object *o, struct bench_result *ret, struct err *err);
