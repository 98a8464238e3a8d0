/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htab-bench's control messages: JSON objects, one a line, over a stream on the event loop. Loop
 * thread only. What a peer sends is limited in length and depth. An empty line is a sign of life.
 */
#include <event2/event.h>
#include <json-c/json.h>
#include <stddef.h>

#include "common/stream.h"

#define BENCH_LINE_SMALL (4u << 10) /* before anybody is known */
#define BENCH_LINE_LARGE (4u << 20) /* results, with the server's output */

struct bench_line_ops {
	/* An object came; it stays the line's. May free or take the line. */
	void (*message)(void *arg, struct json_object *o);
	/* The connection ended or broke, or the peer sent no such line; comes once, the last. May
	 * free the line. */
	void (*closed)(void *arg, const struct err *err);
};

struct bench_line;

/* stream becomes the line's, on success only. max: bytes of one line. 0 or -ENOMEM. */
int bench_line_new(struct event_base *base, struct stream *stream, size_t max,
	const struct bench_line_ops *ops, void *arg, struct bench_line **ret);
/* Whom to tell from now on, and how long a line may be. */
void bench_line_set(struct bench_line *l, size_t max, const struct bench_line_ops *ops, void *arg);
/*
 * From now on signs of life are sent, and silence of the peer for so many ms comes as `closed` with
 * -ETIMEDOUT. 0 or -ENOMEM.
 */
int bench_line_watch(struct bench_line *l, uint64_t silence_ms);
/* o becomes the line's. What cannot be written now is kept; a failure comes as `closed`. */
void bench_line_send(struct bench_line *l, struct json_object *o);
/* {"error": text} */
void bench_line_refuse(struct bench_line *l, const char *text);
/* Is everything written? */
bool bench_line_flushed(const struct bench_line *l);
const char *bench_line_address(const struct bench_line *l);
bool bench_line_is_tls(const struct bench_line *l);
bool bench_line_is_ktls(const struct bench_line *l);
int bench_line_fd(const struct bench_line *l);
/*
 * The stream for other uses, between two lines: it is the caller's, the line is gone. NULL when
 * something is unread or unwritten; the line is gone then too.
 */
struct stream *bench_line_take(struct bench_line *l);
struct bench_line *bench_line_free(struct bench_line *l); /* takes NULL, returns NULL */
