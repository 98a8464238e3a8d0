/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What htab-bench prints: lines as iperf3's while a test runs, and one JSON object with iperf3's
 * members after it. Rates are in bytes of the table (plain records); what went over the wire
 * stands beside them. Main thread.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "tools/bench/session.h"

struct bench_report {
	bool json;   /* nothing is printed until the end */
	bool server; /* which end this is */
	FILE *copy;  /* NULL, or where the text goes as well */
	/* the control connection's ends, for people and programs: bench_report_connection() */
	char peer[512]; /* a URI */
	char local_host[64];
	int local_port;
	char cookie[BENCH_COOKIE_LEN + 1];
	const char *hpt; /* the table's file; NULL: made */
	bool tls, ktls;
	uint64_t started; /* ns since 1970 */
	bool heading;
};

/* What the connection tells of itself; fd is its socket. */
void bench_report_connection(struct bench_report *r, const char *peer, int fd, bool tls, bool ktls);
void bench_report_begin(struct bench_report *r, const struct bench_session *s);
void bench_report_interval(
	struct bench_report *r, const struct bench_session *s, const struct bench_interval *i);
/* After a good test, or one that was interrupted: what this end has measured so far. */
void bench_report_end(struct bench_report *r, const struct bench_session *s);
void bench_report_error(struct bench_report *r, const char *text);
/*
 * The whole as an object, the caller's. err: what went wrong, or NULL. Of a test that failed there
 * are no figures; of one that was interrupted, this end's.
 */
struct json_object *bench_report_json(
	const struct bench_report *r, const struct bench_session *s, const struct err *err);
/* One line about the test: a plot's title. */
void bench_report_title(const struct bench_session *s, char *buf, size_t len);
