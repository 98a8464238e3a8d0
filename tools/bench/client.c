/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/dial.h"
#include "proto/text.h"
#include "tools/bench/plot.h"
#include "tools/bench/report.h"
#include "tools/bench/run.h"
#include "tools/htabctl/output.h"

#define INTERRUPTED BENCH_INTERRUPT "client has terminated"

struct client {
	const struct bench_opts *o;
	struct event_base *base;
	struct uri uri;
	struct tls_creds *creds;
	struct bench_table *table;
	struct dial *dial; /* under way */
	struct event *signal[2];
	struct bench_line *control, *data; /* data: the one that is being made */
	struct stream *streams[BENCH_CHANNELS_MAX];
	unsigned joined; /* of streams */
	struct bench_session session;
	bool have_session;
	struct bench_report report;
	struct json_object *output; /* the server's */
	bool failed, over;
	struct err err;
};

static void leave(struct client *c)
{
	c->over = true;
	event_base_loopbreak(c->base);
}

static void fail(struct client *c, const struct err *err)
{
	if (!c->failed)
		c->err = *err;
	c->failed = true;
	leave(c);
}

static void fail_text(struct client *c, int code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	fail(c, &err);
}

static int dial(struct client *c, dial_cb *cb)
{
	struct err err;
	int r = dial_start(
		c->base, &c->uri, c->creds, NULL, BENCH_HANDSHAKE_MS, cb, c, &c->dial, &err);

	if (r < 0)
		fail(c, &err);
	return r;
}

static struct json_object *hello(const char *role)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "htab-bench", json_object_new_int(BENCH_PROTOCOL));
	json_object_object_add(o, "role", json_object_new_string(role));
	return o;
}

/* The server's answer: NULL after a failure. */
static struct json_object *answer(struct client *c, struct json_object *o)
{
	struct json_object *v;
	struct err err;

	if (json_object_object_get_ex(o, "ok", &v) && json_object_is_type(v, json_type_object))
		return v;
	if (json_object_object_get_ex(o, "error", &v) && json_object_is_type(v, json_type_string))
		err_set(&err, -EREMOTE, "the server refuses: %s", json_object_get_string(v));
	else
		err_set(&err, -EPROTO, "the server's answer makes no sense");
	fail(c, &err);
	return NULL;
}

static void on_closed(void *arg, const struct err *err)
{
	struct client *c = arg;
	struct err e = *err;

	err_prefix(&e, "the server");
	fail(c, &e);
}

/* -- the server's output, after a good test -- */

static void output_message(void *arg, struct json_object *o)
{
	struct client *c = arg;

	if (!json_object_object_get_ex(o, "output", &c->output)) {
		fail_text(c, -EPROTO, "the server did not send its output");
		return;
	}
	json_object_get(c->output);
	leave(c);
}

static const struct bench_line_ops output_ops = {output_message, on_closed};

static void on_interval(void *arg, const struct bench_interval *i)
{
	struct client *c = arg;

	bench_report_interval(&c->report, &c->session, i);
	if (!output_flush())
		bench_session_cancel(&c->session, "standard output takes nothing more");
}

static void on_done(void *arg, struct bench_line *line, const struct err *err)
{
	struct client *c = arg;

	c->control = line;
	if (err)
		fail(c, err);
	else if (c->o->test.want_output)
		bench_line_set(line, BENCH_LINE_LARGE, &output_ops, c);
	else
		leave(c);
}

static const struct bench_session_ops session_ops = {on_interval, on_done};

/* -- the data connections, one after the other -- */

static void data_dialled(void *arg, struct stream *stream, const struct err *err);

static void start(struct client *c)
{
	struct bench_line *control = c->control;
	struct json_object *start;
	struct err err;

	c->control = NULL;
	if (bench_session_init(&c->session, control, c->streams, &session_ops, c, &err) < 0) {
		fail(c, &err);
		return;
	}
	c->have_session = true;
	bench_report_begin(&c->report, &c->session);
	start = json_object_new_object();
	json_object_object_add(start, "start", json_object_new_object());
	bench_line_send(control, start);
	bench_session_start(&c->session);
}

static void data_message(void *arg, struct json_object *o)
{
	struct client *c = arg;
	struct stream *stream;

	if (!answer(c, o))
		return;
	stream = bench_line_take(c->data);
	c->data = NULL;
	if (!stream) {
		fail_text(c, -EPROTO, "the server sent data before the start");
		return;
	}
	c->streams[c->joined++] = stream;
	if (c->joined < c->session.test.channels)
		dial(c, data_dialled);
	else
		start(c);
}

static const struct bench_line_ops data_ops = {data_message, on_closed};

static void data_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct client *c = arg;
	struct json_object *o;

	c->dial = NULL;
	if (err) {
		fail(c, err);
		return;
	}
	if (bench_line_new(c->base, stream, BENCH_LINE_SMALL, &data_ops, c, &c->data) < 0) {
		stream_free(stream);
		fail_text(c, -ENOMEM, "out of memory for a connection");
		return;
	}
	o = hello("data");
	json_object_object_add(o, "cookie", json_object_new_string(c->report.cookie));
	json_object_object_add(o, "channel", json_object_new_int((int)c->joined));
	bench_line_send(c->data, o);
}

/* -- the control connection -- */

/* A receiver learns here how large the table is. */
static int make_table(struct client *c, struct json_object *ok)
{
	struct bench_test *t = &c->session.test;
	int64_t order = member_int(ok, "order", 0);
	struct err err;

	if (c->session.sender)
		return 0; /* made before anybody was asked */
	if (order < (int64_t)HTAB_ORDER_MIN || order > (int64_t)BENCH_ORDER_MAX) {
		fail_text(c, -EPROTO, "the server's table has an order that makes no sense");
		return -EPROTO;
	}
	t->order = (unsigned)order;
	if (bench_table_new(t->order, 0, &c->table, &err) < 0) {
		fail(c, &err);
		return err.code;
	}
	c->session.table = c->table;
	return 0;
}

static void control_message(void *arg, struct json_object *o)
{
	struct client *c = arg;
	struct json_object *ok;
	const char *cookie;

	if (c->report.cookie[0]) {
		/* Something went wrong there before the start. */
		if (answer(c, o))
			fail_text(c, -EPROTO, "the server spoke out of turn");
		return;
	}
	ok = answer(c, o);
	if (!ok)
		return;
	cookie = member_text(ok, "cookie", "");
	if (strlen(cookie) != BENCH_COOKIE_LEN) {
		fail_text(c, -EPROTO, "the server's answer makes no sense");
		return;
	}
	strcpy(c->report.cookie, cookie);
	if (make_table(c, ok) == 0)
		dial(c, data_dialled);
}

static const struct bench_line_ops control_ops = {control_message, on_closed};

static void control_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct client *c = arg;
	struct json_object *o;

	c->dial = NULL;
	if (err) {
		fail(c, err);
		return;
	}
	if (bench_line_new(c->base, stream, BENCH_LINE_SMALL, &control_ops, c, &c->control) < 0) {
		stream_free(stream);
		fail_text(c, -ENOMEM, "out of memory for a connection");
		return;
	}
	if (bench_line_watch(c->control, bench_test_silence(&c->session.test, c->o->silence_ms)) <
		0) {
		fail_text(c, -ENOMEM, "out of memory for a timer");
		return;
	}
	bench_report_connection(&c->report, stream_address(stream), stream_fd(stream),
		stream_is_tls(stream), stream_is_ktls(stream));
	o = hello("control");
	json_object_object_add(o, "test", bench_test_to_json(&c->session.test));
	bench_line_send(c->control, o);
}

/* -- all of it -- */

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct client *c = arg;

	if (c->have_session && !c->session.done)
		bench_session_cancel(&c->session, INTERRUPTED);
	else
		fail_text(c, -EINTR, INTERRUPTED);
}

static void catch_signals(struct client *c)
{
	static const int signals[] = {SIGINT, SIGTERM};

	for (unsigned i = 0; i < 2; i++) {
		c->signal[i] = evsignal_new(c->base, signals[i], on_signal, c);
		if (c->signal[i])
			event_add(c->signal[i], NULL);
	}
}

static int prepare(struct client *c, struct err *err)
{
	const struct bench_opts *o = c->o;
	struct bench_test *t = &c->session.test;
	int r = 0;

	if (o->creds)
		r = tls_creds_load(o->creds, &c->creds, err);
	if (c->creds)
		tls_creds_set_ktls(c->creds, !o->no_ktls);
	if (r == 0 && !t->reverse) {
		r = o->hpt
			? bench_table_load(o->hpt, t->dirty_rate, &c->table, err)
			: bench_table_generate(t->table, t->order, t->dirty_rate, &c->table, err);
		if (r == 0 && o->order_given && t->order != bench_table_order(c->table))
			r = err_set(err, -EINVAL,
				"%s holds a table of order %u, not of %u (--order)", o->hpt,
				bench_table_order(c->table), t->order);
		else if (r == 0)
			t->order = bench_table_order(c->table);
	}
	if (r == 0)
		r = bench_test_check(t, err);
	return r;
}

static void print_output(const struct client *c)
{
	const char *text = json_object_is_type(c->output, json_type_string)
		? json_object_get_string(c->output)
		: "";

	if (!*text)
		return;
	puts("\nServer output:");
	while (*text) {
		size_t len = strcspn(text, "\n");
		char line[512];

		snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line)),
			text);
		text_clean(line);
		puts(line);
		text += len + (text[len] == '\n');
	}
}

static void print_json(const struct client *c)
{
	struct json_object *o = bench_report_json(
		&c->report, &c->session, c->failed ? &c->err : NULL);

	if (c->output)
		json_object_object_add(o, "server_output_json", json_object_get(c->output));
	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int conclude(struct client *c)
{
	char title[256];

	bool measured = !c->failed || c->session.interrupted;
	struct err err;

	if (measured)
		bench_report_end(&c->report, &c->session);
	if (!c->failed && !c->o->json)
		print_output(c);
	if (measured && c->o->plot) {
		bench_report_title(&c->session, title, sizeof(title));
		if (bench_plot_write(c->o->plot, &c->session.measure, title, &err) < 0 &&
			!c->failed) {
			c->failed = true;
			c->err = err;
		}
	}
	if (c->o->json)
		print_json(c);
	if (c->failed)
		bench_report_error(&c->report, c->err.text);
	return c->failed ? 1 : 0;
}

int bench_client(const struct bench_opts *o)
{
	struct client c = {.o = o, .report = {.json = o->json, .hpt = o->hpt}};
	int status;

	c.uri.kind = URI_TCP;
	snprintf(c.uri.host, sizeof(c.uri.host), "%s", o->host);
	snprintf(c.uri.port, sizeof(c.uri.port), "%s", o->port);
	c.session.test = o->test;
	c.session.sender = !o->test.reverse;
	c.session.silence_ms = o->silence_ms;
	c.base = event_base_new();
	if (!c.base || prepare(&c, &c.err) < 0) {
		if (!c.base)
			err_set(&c.err, -ENOMEM, "out of memory");
		c.failed = true;
	} else {
		c.session.base = c.base;
		c.session.table = c.table;
		catch_signals(&c);
		if (dial(&c, control_dialled) == 0)
			while (!c.over && event_base_loop(c.base, EVLOOP_ONCE) == 0)
				;
	}
	status = conclude(&c);
	bench_block_signals();
	dial_cancel(c.dial);
	for (unsigned i = 0; i < 2; i++)
		if (c.signal[i])
			event_free(c.signal[i]);
	if (c.have_session)
		bench_session_fini(&c.session);
	bench_line_free(c.data);
	for (unsigned i = 0; i < BENCH_CHANNELS_MAX; i++)
		stream_free(c.streams[i]);
	bench_line_free(c.control);
	bench_table_free(c.table);
	tls_creds_unref(c.creds);
	json_object_put(c.output);
	if (c.base)
		event_base_free(c.base);
	return status;
}
