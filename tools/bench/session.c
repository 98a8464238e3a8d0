/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define END_MAX (WIRE_HDR_SIZE + WIRE_CONTROL_MAX)

static void count(const struct bench_session *s, struct bench_count *ret)
{
	if (s->sender)
		bench_send_count(s->send, ret);
	else
		bench_recv_count(s->recv, ret);
}

static void timers_off(struct bench_session *s)
{
	if (s->sample)
		event_free(s->sample);
	if (s->interval)
		event_free(s->interval);
	s->sample = s->interval = NULL;
}

static void finish(struct bench_session *s)
{
	struct bench_line *line = s->line;

	if (s->done)
		return;
	s->done = true;
	timers_off(s);
	s->line = NULL;
	s->ops->done(s->arg, line, s->failed ? &s->err : NULL); /* may free s */
}

/* The first reason stays. The flow is stopped first, if there is one. */
static void fail(struct bench_session *s, const struct err *err, bool tell)
{
	if (s->failed || s->done)
		return;
	s->failed = true;
	s->err = *err;
	timers_off(s);
	if (tell && s->line)
		bench_line_refuse(s->line, err->text);
	if (s->send)
		bench_send_stop(s->send);
	else if (s->recv)
		bench_recv_stop(s->recv);
	else
		finish(s);
}

static void fail_text(struct bench_session *s, int code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	fail(s, &err, true);
}

/* -- the end: results -- */

static void compare(struct bench_session *s)
{
	const struct bench_result *a = &s->mine, *b = &s->peers;
	struct err err;

	if (!s->have_mine || !s->have_peers)
		return;
	if (strcmp(a->digest, b->digest) != 0)
		err_set(&err, -EBADMSG,
			"the tables differ: %llu valid entries and digest %s here, %llu and %s at the "
			"peer; no rate is shown",
			(unsigned long long)a->table_valid, a->digest,
			(unsigned long long)b->table_valid, b->digest);
	else if (a->valid != b->valid || a->invalid != b->invalid || a->plain != b->plain ||
		a->passes != b->passes)
		err_set(&err, -EBADMSG,
			"sent and received do not agree: %llu and %llu bytes of records, %llu and %llu "
			"passes; no rate is shown",
			(unsigned long long)a->plain, (unsigned long long)b->plain,
			(unsigned long long)a->passes, (unsigned long long)b->passes);
	else if (bench_table_sick(s->table))
		err_set(&err, -EBADMSG, "the guest's check of itself failed; no rate is shown");
	else {
		finish(s);
		return;
	}
	fail(s, &err, true);
}

/* The flow is gone: read the table back, tell the peer. */
static void conclude(struct bench_session *s, const struct bench_count *c)
{
	struct json_object *o;
	struct err err;

	bench_result_get(&s->measure, c, &s->mine);
	s->mine.changes = bench_table_changes(s->table);
	if (getenv("HTAB_BENCH_SPOIL") && bench_table_spoil(s->table) < 0) {
		fail_text(s, -EIO, "the table cannot be changed as HTAB_BENCH_SPOIL wishes");
		return;
	}
	if (bench_table_digest(s->table, s->mine.digest, &s->mine.table_valid, &err) < 0) {
		fail(s, &err, true);
		return;
	}
	s->have_mine = true;
	o = json_object_new_object();
	json_object_object_add(o, "result", bench_result_to_json(&s->mine));
	bench_line_send(s->line, o);
	compare(s);
}

static void last_interval(struct bench_session *s, struct bench_count *c)
{
	const struct bench_interval *i;

	count(s, c);
	bench_measure_sample(&s->measure, c);
	timers_off(s);
	i = s->test.interval > 0 ? bench_measure_interval(&s->measure, c) : NULL;
	/* What is left behind the last full one is a line only when it says something. */
	if (i && i->entries)
		s->ops->interval(s->arg, i);
}

/* It was interrupted: what there is until now. */
static void keep(struct bench_session *s)
{
	struct bench_count c;

	s->interrupted = true;
	if (!s->send && !s->recv)
		return;
	last_interval(s, &c);
	bench_measure_end(&s->measure);
	bench_result_get(&s->measure, &c, &s->mine);
}

/* -- what the flow says -- */

static void on_ack(void *arg, uint32_t channel, uint64_t seq)
{
	struct bench_session *s = arg;
	struct json_object *o = json_object_new_object(), *a = json_object_new_array_ext(2);

	json_object_array_add(a, json_object_new_int64(channel));
	json_object_array_add(a, json_object_new_uint64(seq));
	json_object_object_add(o, "ack", a);
	bench_line_send(s->line, o);
}

static void on_end(void *arg, const struct wire_end *end)
{
	static const char hex[] = "0123456789abcdef";
	struct bench_session *s = arg;
	struct json_object *o = json_object_new_object();
	uint8_t frame[END_MAX];
	char text[2 * END_MAX + 1];
	int n = wire_pack_end(end, frame, sizeof(frame));

	for (int i = 0; i < n; i++) {
		text[2 * i] = hex[frame[i] >> 4];
		text[2 * i + 1] = hex[frame[i] & 15];
	}
	text[n > 0 ? 2 * n : 0] = '\0';
	json_object_object_add(o, "end", json_object_new_string(text));
	bench_line_send(s->line, o);
}

static void on_finished(void *arg)
{
	struct bench_session *s = arg;
	struct json_object *o = json_object_new_object();
	struct bench_count c;

	json_object_object_add(o, "finished", json_object_new_object());
	bench_line_send(s->line, o);
	last_interval(s, &c);
	s->recv = bench_recv_free(s->recv);
	conclude(s, &c);
}

static void on_failed(void *arg, const struct err *err)
{
	fail(arg, err, true);
}

static void on_stopped(void *arg)
{
	struct bench_session *s = arg;
	struct bench_count c;

	if (!s->failed)
		last_interval(s, &c);
	s->send = bench_send_free(s->send);
	s->recv = bench_recv_free(s->recv);
	if (s->failed)
		finish(s);
	else
		conclude(s, &c);
}

static const struct bench_end_ops end_ops = {
	.ack = on_ack,
	.end = on_end,
	.finished = on_finished,
	.failed = on_failed,
	.stopped = on_stopped,
};

/* -- what the peer says -- */

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_end(const char *text, struct wire_end *ret)
{
	size_t n = strlen(text) / 2, body;
	uint8_t frame[END_MAX];
	enum wire_type type;

	if (strlen(text) % 2 || n < WIRE_HDR_SIZE || n > sizeof(frame))
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		frame[i] = (uint8_t)(high << 4 | low);
	}
	if (wire_unpack_header(frame, &type, &body) < 0 || type != WIRE_END ||
		body != n - WIRE_HDR_SIZE)
		return -EBADMSG;
	return wire_unpack_end(frame + WIRE_HDR_SIZE, body, ret);
}

static int take_ack(struct bench_session *s, struct json_object *a)
{
	struct json_object *channel, *seq;

	if (!s->send || !json_object_is_type(a, json_type_array) ||
		json_object_array_length(a) != 2)
		return -EBADMSG;
	channel = json_object_array_get_idx(a, 0);
	seq = json_object_array_get_idx(a, 1);
	if (!json_object_is_type(channel, json_type_int) ||
		!json_object_is_type(seq, json_type_int) || json_object_get_int64(channel) < 0 ||
		json_object_get_int64(channel) > UINT32_MAX || json_object_get_int64(seq) < 0)
		return -EBADMSG;
	return bench_send_ack(s->send, (uint32_t)json_object_get_int64(channel),
		(uint64_t)json_object_get_int64(seq));
}

/* 0 when the message belongs here and now. */
static int take(struct bench_session *s, struct json_object *o)
{
	struct json_object *v;
	struct wire_end end;
	struct err err;

	if (json_object_object_get_ex(o, "ack", &v))
		return take_ack(s, v);
	if (json_object_object_get_ex(o, "end", &v)) {
		if (!s->recv || !json_object_is_type(v, json_type_string) ||
			parse_end(json_object_get_string(v), &end) < 0)
			return -EBADMSG;
		bench_recv_end(s->recv, &end);
		return 0;
	}
	if (json_object_object_get_ex(o, "finished", &v)) {
		if (!s->send || bench_send_finished(s->send) < 0)
			return -EBADMSG;
		bench_send_stop(s->send);
		return 0;
	}
	if (json_object_object_get_ex(o, "result", &v)) {
		if (s->have_peers || bench_result_from_json(v, &s->peers, &err) < 0)
			return -EBADMSG;
		s->have_peers = true;
		compare(s);
		return 0;
	}
	return -EBADMSG;
}

static void on_message(void *arg, struct json_object *o)
{
	struct bench_session *s = arg;
	struct json_object *v;
	const char *why;
	struct err err;

	if (s->failed)
		return;
	if (json_object_object_get_ex(o, "error", &v)) {
		why = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "?";
		if (strncmp(why, BENCH_INTERRUPT, strlen(BENCH_INTERRUPT)) == 0)
			keep(s);
		err_set(&err, -EREMOTE, "the peer says: %s", why);
		fail(s, &err, false);
	} else if (take(s, o) < 0) {
		fail_text(s, -EPROTO, "the peer sent a control message that makes no sense here");
	}
}

static void on_closed(void *arg, const struct err *err)
{
	struct bench_session *s = arg;
	struct err e = *err;

	s->line = bench_line_free(s->line);
	if (s->failed)
		return;
	err_prefix(&e, "the control connection is lost");
	fail(s, &e, false);
}

static const struct bench_line_ops line_ops = {on_message, on_closed};

/* -- timers -- */

static void on_sample(evutil_socket_t fd, short what, void *arg)
{
	struct bench_session *s = arg;
	struct bench_count c;

	count(s, &c);
	bench_measure_sample(&s->measure, &c);
}

static void on_interval(evutil_socket_t fd, short what, void *arg)
{
	struct bench_session *s = arg;
	const struct bench_interval *i;
	struct bench_count c;

	count(s, &c);
	i = bench_measure_interval(&s->measure, &c);
	if (i)
		s->ops->interval(s->arg, i);
}

static struct event *timer(
	struct bench_session *s, double seconds, void (*fn)(evutil_socket_t, short, void *))
{
	struct event *e = event_new(s->base, -1, EV_PERSIST, fn, s);
	struct timeval tv = {
		(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1000000)};

	if (e && event_add(e, &tv) < 0) {
		event_free(e);
		e = NULL;
	}
	return e;
}

int bench_session_init(struct bench_session *s, struct bench_line *line, struct stream **streams,
	const struct bench_session_ops *ops, void *arg, struct err *err)
{
	struct bench_end_config config = {
		.base = s->base,
		.test = &s->test,
		.silence_ms = s->silence_ms,
		.table = s->table,
		.measure = &s->measure,
		.ops = &end_ops,
		.arg = s,
	};
	int r = bench_measure_init(&s->measure);

	if (r < 0)
		err_set(err, r, "out of memory for a test");
	else if (s->sender)
		r = bench_send_new(&config, streams, &s->send, err);
	else
		r = bench_recv_new(&config, streams, &s->recv, err);
	if (r < 0) {
		bench_line_free(line);
		bench_measure_fini(&s->measure);
		return r;
	}
	memset(streams, 0, s->test.channels * sizeof(*streams));
	s->line = line;
	s->ops = ops;
	s->arg = arg;
	bench_line_set(line, BENCH_LINE_LARGE, &line_ops, s);
	return 0;
}

void bench_session_start(struct bench_session *s)
{
	s->sample = timer(s, BENCH_SAMPLE_MS / 1000.0, on_sample);
	if (s->test.interval > 0)
		s->interval = timer(s, s->test.interval, on_interval);
	if (!s->sample || (s->test.interval > 0 && !s->interval)) {
		fail_text(s, -ENOMEM, "out of memory for timers");
		return;
	}
	if (s->sender)
		bench_send_start(s->send);
	else
		bench_recv_start(s->recv);
}

void bench_session_cancel(struct bench_session *s, const char *why)
{
	if (s->failed || s->done || s->interrupted)
		return;
	keep(s);
	fail_text(s, -EINTR, why);
}

void bench_session_fini(struct bench_session *s)
{
	timers_off(s);
	bench_line_free(s->line);
	bench_measure_fini(&s->measure);
}
