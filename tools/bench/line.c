/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/line.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/jsonread.h"

#define READ_STEP    4096u
#define READS_A_TURN 64 /* so that one peer does not hold the loop */
#define BEAT_MS      250
#define OUTPUT_MAX   (8u << 20) /* a peer that reads nothing for so long is lost */

struct bench_line {
	struct stream *stream;
	struct event *readable, *writable, *again, *beat;
	uint64_t silence, heard; /* ns */
	size_t max;
	const struct bench_line_ops *ops;
	void *arg;
	char *in, *out;
	size_t in_begin, in_len, in_cap, out_len, out_cap; /* in_begin: of the line under way */
	bool spoken;                                       /* the peer said something */
	bool *gone; /* inside a callback: set when it ended the line */
	bool closed;
};

static int grow(char **buf, size_t *cap, size_t need)
{
	size_t n = *cap ? *cap : READ_STEP;
	char *p;

	if (need <= *cap)
		return 0;
	while (n < need)
		n *= 2;
	p = realloc(*buf, n);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*cap = n;
	return 0;
}

/* May free l. */
static void fail(struct bench_line *l, int code, const char *text)
{
	struct err err;

	if (l->closed)
		return;
	l->closed = true;
	event_del(l->readable);
	event_del(l->writable);
	event_del(l->again);
	if (l->beat)
		event_del(l->beat);
	err_set(&err, code, "%s", text);
	l->ops->closed(l->arg, &err);
}

static void flush(struct bench_line *l)
{
	while (l->out_len && !l->closed) {
		ssize_t n = stream_write(l->stream, l->out, l->out_len);

		if (n == -EAGAIN) {
			if (stream_want(l->stream) & STREAM_WANT_WRITE)
				event_add(l->writable, NULL);
			return;
		}
		if (n < 0) {
			/* Told from the loop, never from inside bench_line_send(). */
			event_active(l->readable, EV_READ, 0);
			l->out_len = 0;
			return;
		}
		memmove(l->out, l->out + n, l->out_len - (size_t)n);
		l->out_len -= (size_t)n;
	}
}

/* One line without its end. False when the line is gone or closed. */
static bool deliver(struct bench_line *l, const char *text, size_t len)
{
	struct json_object *o = NULL;
	struct err err = {0};
	bool gone = false;

	l->gone = &gone;
	if (jsonread_text(text, len, &o, &err) == 0 && json_object_is_type(o, json_type_object))
		l->ops->message(l->arg, o);
	else
		fail(l, -EBADMSG, "the peer does not speak htab-bench's protocol");
	json_object_put(o);
	if (gone)
		return false;
	l->gone = NULL;
	return !l->closed;
}

/* The lines that are whole; no newline is before `fresh`. False when l is gone or closed. */
static bool split(struct bench_line *l, size_t fresh)
{
	char *end;

	while ((end = memchr(l->in + fresh, '\n', l->in_len - fresh))) {
		const char *begin = l->in + l->in_begin;
		size_t len = (size_t)(end - begin);
		char *text;
		bool ok;

		fresh = l->in_begin += len + 1;
		if (len == 0) /* a sign of life */
			continue;
		text = malloc(len);
		if (!text) {
			fail(l, -ENOMEM, "out of memory for a message");
			return false;
		}
		memcpy(text, begin, len);
		ok = deliver(l, text, len);
		free(text);
		if (!ok)
			return false;
	}
	l->in_len -= l->in_begin;
	memmove(l->in, l->in + l->in_begin, l->in_len);
	l->in_begin = 0;
	if (l->in_len >= l->max) {
		fail(l, -EMSGSIZE, "the peer sent a line that is too long");
		return false;
	}
	return true;
}

/* A handshake, or an alert. */
static bool is_tls_record(const struct bench_line *l)
{
	return !l->spoken && !stream_is_tls(l->stream) && l->in_len >= 2 &&
		(l->in[0] == 0x16 || l->in[0] == 0x15) && l->in[1] == 3;
}

/* n: 0, or what reading failed with. */
static void lost(struct bench_line *l, int n)
{
	if (!l->spoken && !stream_is_tls(l->stream) && (n == 0 || n == -ECONNRESET))
		fail(l, -EPIPE,
			"the peer closed the connection before it said a word: does it expect TLS, "
			"while this end was started with --plaintext?");
	else if (n == 0)
		fail(l, -EPIPE, "the peer closed the connection");
	else
		fail(l, n, stream_error(l->stream));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct timeval now = {0};
	struct bench_line *l = arg;

	for (unsigned i = 0; i < READS_A_TURN; i++) {
		ssize_t n;

		if (grow(&l->in, &l->in_cap, l->in_len + READ_STEP) < 0) {
			fail(l, -ENOMEM, "out of memory for a message");
			return;
		}
		n = stream_read(l->stream, l->in + l->in_len, READ_STEP);
		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			lost(l, (int)n);
			return;
		}
		l->heard = clock_ns();
		l->in_len += (size_t)n;
		if (is_tls_record(l)) {
			fail(l, -EPROTO,
				"the peer speaks TLS, and this end was started with --plaintext");
			return;
		}
		l->spoken = true;
		if (!split(l, l->in_len - (size_t)n))
			return;
	}
	if (stream_pending(l->stream)) /* what TLS has read is in no poll */
		event_add(l->again, &now);
	flush(l);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	flush(arg);
}

int bench_line_new(struct event_base *base, struct stream *stream, size_t max,
	const struct bench_line_ops *ops, void *arg, struct bench_line **ret)
{
	struct bench_line *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->readable = event_new(base, stream_fd(stream), EV_READ | EV_PERSIST, on_readable, l);
	l->writable = event_new(base, stream_fd(stream), EV_WRITE, on_writable, l);
	l->again = evtimer_new(base, on_readable, l);
	if (!l->readable || !l->writable || !l->again || event_add(l->readable, NULL) < 0) {
		bench_line_free(l);
		return -ENOMEM;
	}
	l->stream = stream;
	bench_line_set(l, max, ops, arg);
	/* What came with the handshake is in no poll. */
	if (stream_pending(stream))
		event_active(l->readable, EV_READ, 0);
	*ret = l;
	return 0;
}

void bench_line_set(struct bench_line *l, size_t max, const struct bench_line_ops *ops, void *arg)
{
	l->max = max;
	l->ops = ops;
	l->arg = arg;
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct bench_line *l = arg;
	char text[64];

	if (clock_ns() - l->heard >= l->silence) {
		snprintf(text, sizeof(text), "the peer was silent for %.3g s",
			(double)l->silence / NS_PER_SEC);
		fail(l, -ETIMEDOUT, text);
	} else if (l->out_len == 0 && grow(&l->out, &l->out_cap, 1) == 0) {
		l->out[l->out_len++] = '\n';
		flush(l);
	}
}

int bench_line_watch(struct bench_line *l, uint64_t silence_ms)
{
	struct timeval tv = {.tv_usec = BEAT_MS * 1000};

	l->silence = silence_ms * NS_PER_MS;
	l->heard = clock_ns();
	if (!l->beat)
		l->beat = event_new(event_get_base(l->readable), -1, EV_PERSIST, on_beat, l);
	return l->beat && event_add(l->beat, &tv) == 0 ? 0 : -ENOMEM;
}

void bench_line_send(struct bench_line *l, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t len = text ? strlen(text) : 0;

	if (!l->closed && text && l->out_len + len < OUTPUT_MAX &&
		grow(&l->out, &l->out_cap, l->out_len + len + 1) == 0) {
		memcpy(l->out + l->out_len, text, len);
		l->out[l->out_len + len] = '\n';
		l->out_len += len + 1;
		flush(l);
	} else if (!l->closed) {
		stream_shutdown(l->stream); /* comes back as `closed` */
	}
	json_object_put(o);
}

void bench_line_refuse(struct bench_line *l, const char *text)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "error", json_object_new_string(text));
	bench_line_send(l, o);
}

bool bench_line_flushed(const struct bench_line *l)
{
	return l->out_len == 0;
}

const char *bench_line_address(const struct bench_line *l)
{
	return stream_address(l->stream);
}

bool bench_line_is_tls(const struct bench_line *l)
{
	return stream_is_tls(l->stream);
}

bool bench_line_is_ktls(const struct bench_line *l)
{
	return stream_is_ktls(l->stream);
}

int bench_line_fd(const struct bench_line *l)
{
	return stream_fd(l->stream);
}

struct stream *bench_line_take(struct bench_line *l)
{
	struct stream *s = NULL;

	if (l->in_begin == l->in_len && !l->out_len && !l->closed) {
		s = l->stream;
		l->stream = NULL;
	}
	bench_line_free(l);
	return s;
}

struct bench_line *bench_line_free(struct bench_line *l)
{
	if (!l)
		return NULL;
	if (l->gone)
		*l->gone = true;
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	if (l->again)
		event_free(l->again);
	if (l->beat)
		event_free(l->beat);
	stream_free(l->stream);
	free(l->in);
	free(l->out);
	free(l);
	return NULL;
}
