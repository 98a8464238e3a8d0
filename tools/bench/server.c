/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/dial.h"
#include "tools/bench/plot.h"
#include "tools/bench/report.h"
#include "tools/bench/run.h"
#include "tools/htabctl/output.h"

#define PENDING_MAX 16u /* connections that have not yet said what they are */
#define LINGER_MS   5000

struct server;

/* A connection before it has a place. */
struct pending {
	struct server *server;
	struct bench_line *line;
	struct event *timer;
	struct pending *next;
};

/* The one test that runs. */
struct run {
	struct server *server;
	struct bench_line *line; /* the control connection, outside the session */
	struct stream *streams[BENCH_CHANNELS_MAX]; /* the data connections, before the start */
	unsigned joined;                            /* of them */
	struct bench_table *table;
	struct bench_session session;
	bool have_session;
	struct bench_report report;
	char *text; /* the copy of what was printed */
	size_t text_len;
	struct event *timer;
};

struct server {
	const struct bench_opts *o;
	struct event_base *base;
	struct tls_creds *creds;
	struct listener *listener;
	struct event *signal[2];
	struct pending *pending;
	unsigned n_pending;
	struct run *run;
	bool leaving;
	int status;
};

static void leave(struct server *v, int status)
{
	v->leaving = true;
	v->status = status;
	event_base_loopbreak(v->base);
}

static struct event *timer(
	struct event_base *base, int ms, void (*fn)(evutil_socket_t, short, void *), void *arg)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	struct event *e = event_new(base, -1, 0, fn, arg);

	if (e && event_add(e, &tv) < 0) {
		event_free(e);
		e = NULL;
	}
	return e;
}

/* -- a test -- */

static void run_free(struct run *run)
{
	struct server *v = run->server;

	if (run->timer)
		event_free(run->timer);
	if (run->report.copy)
		fclose(run->report.copy);
	free(run->text);
	if (run->have_session)
		bench_session_fini(&run->session);
	bench_line_free(run->line);
	for (unsigned i = 0; i < BENCH_CHANNELS_MAX; i++)
		stream_free(run->streams[i]);
	bench_table_free(run->table);
	free(run);
	v->run = NULL;
}

/* As iperf3 does after each test. */
static void say_listening(struct server *v)
{
	fprintf(v->o->json ? stderr : stdout, "Server listening on %s\n",
		listener_uri(v->listener));
	if (!output_flush())
		leave(v, 1); /* main() says why */
}

/* The test is over, one way or the other; status is that of a server for one test. */
static void run_over(struct run *run, int status)
{
	struct server *v = run->server;

	run_free(run);
	if (v->o->once || v->leaving)
		leave(v, status);
	else
		say_listening(v);
}

/* Before the start, or with the output on its way. */
static void run_lost(struct run *run, const char *why)
{
	bench_report_error(&run->report, why);
	if (run->line)
		bench_line_refuse(run->line, why);
	run_over(run, 1);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	run_lost(arg, "the client did not start its test in time");
}

/* The client has read the output and closed, or has not. */
static void on_lingered(evutil_socket_t fd, short what, void *arg)
{
	run_over(arg, 0);
}

static void linger_closed(void *arg, const struct err *err)
{
	run_over(arg, 0);
}

static void linger_message(void *arg, struct json_object *o)
{
}

static const struct bench_line_ops linger_ops = {linger_message, linger_closed};

static void send_output(struct run *run)
{
	struct json_object *o = json_object_new_object(), *v;

	if (run->session.test.json) {
		v = bench_report_json(&run->report, &run->session, NULL);
	} else {
		fflush(run->report.copy);
		v = json_object_new_string_len(run->text, (int)run->text_len);
	}
	json_object_object_add(o, "output", v);
	bench_line_set(run->line, BENCH_LINE_SMALL, &linger_ops, run);
	bench_line_send(run->line, o);
}

static void print_json(const struct run *run, const struct err *err)
{
	struct json_object *o = bench_report_json(&run->report, &run->session, err);

	puts(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	output_flush();
	json_object_put(o);
}

static void on_interval(void *arg, const struct bench_interval *i)
{
	struct run *run = arg;

	bench_report_interval(&run->report, &run->session, i);
}

static void on_done(void *arg, struct bench_line *line, const struct err *err)
{
	struct run *run = arg;
	const struct bench_opts *o = run->server->o;
	char title[256];
	struct err e;

	run->line = line;
	if (o->json)
		print_json(run, err);
	if (!err || run->session.interrupted)
		bench_report_end(&run->report, &run->session);
	if (err) {
		bench_report_error(&run->report, err->text);
		run_over(run, 1);
		return;
	}
	if (o->plot) {
		bench_report_title(&run->session, title, sizeof(title));
		if (bench_plot_write(o->plot, &run->session.measure, title, &e) < 0)
			bench_report_error(&run->report, e.text);
	}
	if (!run->session.test.want_output) {
		run_over(run, 0);
		return;
	}
	run->timer = timer(run->server->base, LINGER_MS, on_lingered, run);
	send_output(run);
}

static const struct bench_session_ops session_ops = {on_interval, on_done};

static void control_closed(void *arg, const struct err *err)
{
	struct run *run = arg;

	run->line = bench_line_free(run->line);
	run_lost(run, err->text);
}

static void control_message(void *arg, struct json_object *o)
{
	struct run *run = arg;
	struct bench_line *line = run->line;
	struct err err;

	if (!json_object_object_get_ex(o, "start", NULL)) {
		run_lost(run, "the client sent a control message that makes no sense here");
		return;
	}
	if (run->joined < run->session.test.channels) {
		run_lost(run, "the client has not made all of its data connections");
		return;
	}
	event_free(run->timer);
	run->timer = NULL;
	run->line = NULL;
	if (bench_session_init(&run->session, line, run->streams, &session_ops, run, &err) < 0) {
		run_lost(run, err.text);
		return;
	}
	run->have_session = true;
	bench_report_begin(&run->report, &run->session);
	bench_session_start(&run->session);
}

static const struct bench_line_ops control_ops = {control_message, control_closed};

/* -- connections -- */

/* Its line goes elsewhere, or is freed with it. */
static struct bench_line *pending_end(struct pending *p, bool keep_line)
{
	struct server *v = p->server;
	struct bench_line *line = keep_line ? p->line : NULL;

	for (struct pending **at = &v->pending; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	v->n_pending--;
	if (p->timer)
		event_free(p->timer);
	if (!keep_line)
		bench_line_free(p->line);
	free(p);
	return line;
}

static void refuse(struct pending *p, const char *why)
{
	fprintf(stderr, "htab-bench: %s: refused: %s\n", bench_line_address(p->line), why);
	bench_line_refuse(p->line, why);
	pending_end(p, false);
}

static void answer(struct bench_line *line, const struct run *run)
{
	struct json_object *o = json_object_new_object(), *ok = json_object_new_object();

	if (run) {
		json_object_object_add(ok, "cookie", json_object_new_string(run->report.cookie));
		json_object_object_add(ok, "order", json_object_new_int64(run->session.test.order));
	}
	json_object_object_add(o, "ok", ok);
	bench_line_send(line, o);
}

static int make_cookie(char *cookie)
{
	unsigned char b[BENCH_COOKIE_LEN / 2];

	if (RAND_bytes(b, sizeof(b)) != 1)
		return -EIO;
	for (size_t i = 0; i < sizeof(b); i++)
		snprintf(cookie + 2 * i, 3, "%02x", b[i]);
	return 0;
}

static int make_table(struct server *v, struct run *run, struct err *err)
{
	struct bench_test *t = &run->session.test;
	int r;

	if (!t->reverse)
		r = bench_table_new(t->order, 0, &run->table, err);
	else if (v->o->hpt)
		r = bench_table_load(v->o->hpt, t->dirty_rate, &run->table, err);
	else
		r = bench_table_generate(t->table, t->order, t->dirty_rate, &run->table, err);
	if (r < 0)
		return r;
	t->order = bench_table_order(run->table);
	return bench_test_check(t, err);
}

static struct run *run_new(struct server *v, struct json_object *test, struct err *err)
{
	struct run *run = calloc(1, sizeof(*run));
	int r = 0;

	if (!run) {
		err_set(err, -ENOMEM, "out of memory for a test");
		return NULL;
	}
	run->server = v;
	run->report = (struct bench_report){.json = v->o->json, .server = true, .hpt = v->o->hpt};
	run->session.base = v->base;
	r = bench_test_from_json(test, &run->session.test, err);
	run->session.test.interval = v->o->test.interval; /* each end has its own lines */
	run->session.silence_ms = v->o->silence_ms;
	if (r == 0)
		r = make_table(v, run, err);
	if (r == 0 && make_cookie(run->report.cookie) < 0)
		r = err_set(err, -EIO, "no random numbers for a cookie");
	if (r == 0 && run->session.test.want_output && !run->session.test.json) {
		run->report.copy = open_memstream(&run->text, &run->text_len);
		if (!run->report.copy)
			r = err_set(err, -ENOMEM, "out of memory for a test");
	}
	run->session.table = run->table;
	run->session.sender = run->session.test.reverse;
	if (r == 0)
		return run;
	run_free(run);
	return NULL;
}

static void begin_control(struct pending *p, struct json_object *o)
{
	struct server *v = p->server;
	struct json_object *test = NULL;
	struct run *run;
	struct err err;

	if (v->run) {
		refuse(p, "the server is busy with a test; try again later");
		return;
	}
	json_object_object_get_ex(o, "test", &test);
	run = json_object_is_type(test, json_type_object) ? run_new(v, test, &err) : NULL;
	if (!run) {
		refuse(p,
			json_object_is_type(test, json_type_object) ? err.text
								    : "there is no test");
		return;
	}
	v->run = run;
	bench_report_connection(&run->report, bench_line_address(p->line), bench_line_fd(p->line),
		bench_line_is_tls(p->line), bench_line_is_ktls(p->line));
	run->line = pending_end(p, true);
	run->timer = timer(v->base, BENCH_HANDSHAKE_MS, on_timeout, run);
	bench_line_set(run->line, BENCH_LINE_SMALL, &control_ops, run);
	answer(run->line, run);
	if (bench_line_watch(run->line, bench_test_silence(&run->session.test, v->o->silence_ms)) <
		0)
		run_lost(run, "out of memory for a timer");
}

static void begin_data(struct pending *p, struct json_object *o)
{
	struct run *run = p->server->run;
	int64_t channel = member_int(o, "channel", -1);
	struct bench_line *line;

	if (!run || run->have_session || channel < 0 ||
		channel >= (int64_t)run->session.test.channels || run->streams[channel] ||
		strcmp(member_text(o, "cookie", ""), run->report.cookie) != 0) {
		refuse(p, "no test waits for this data connection");
		return;
	}
	line = pending_end(p, true);
	answer(line, NULL);
	run->streams[channel] = bench_line_take(line);
	if (run->streams[channel])
		run->joined++;
	else
		run_lost(run, "the client sent data before the start");
}

static void pending_message(void *arg, struct json_object *o)
{
	struct pending *p = arg;
	const char *role = member_text(o, "role", "");

	if (member_int(o, "htab-bench", 0) != BENCH_PROTOCOL)
		refuse(p, "the other htab-bench is of another version");
	else if (strcmp(role, "control") == 0)
		begin_control(p, o);
	else if (strcmp(role, "data") == 0)
		begin_data(p, o);
	else
		refuse(p, "the connection has no known role");
}

static void pending_closed(void *arg, const struct err *err)
{
	struct pending *p = arg;

	if (err->code == -EPROTO)
		fprintf(stderr, "htab-bench: %s: %s\n", bench_line_address(p->line), err->text);
	pending_end(p, false);
}

static const struct bench_line_ops pending_ops = {pending_message, pending_closed};

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
	refuse(arg, "nothing was said for 10 s");
}

static void on_connection(void *arg, struct stream *stream, const struct err *err)
{
	struct server *v = arg;
	struct pending *p;

	if (err) {
		fprintf(stderr, "htab-bench: %s\n", err->text);
		return;
	}
	p = v->n_pending < PENDING_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p ||
		bench_line_new(v->base, stream, BENCH_LINE_SMALL, &pending_ops, p, &p->line) < 0) {
		stream_free(stream);
		free(p);
		return;
	}
	p->server = v;
	p->timer = timer(v->base, BENCH_HANDSHAKE_MS, on_silence, p);
	p->next = v->pending;
	v->pending = p;
	v->n_pending++;
}

/* -- all of it -- */

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct server *v = arg;

	v->leaving = true;
	if (v->run && v->run->have_session && !v->run->session.done)
		bench_session_cancel(&v->run->session, BENCH_INTERRUPT "server has terminated");
	else
		leave(v, 0);
}

static int start(struct server *v, struct err *err)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct uri uri = {.kind = URI_TCP};
	int r = v->o->creds ? tls_creds_load(v->o->creds, &v->creds, err) : 0;

	if (v->creds)
		tls_creds_set_ktls(v->creds, !v->o->no_ktls);
	snprintf(uri.host, sizeof(uri.host), "%s", v->o->bind ? v->o->bind : "");
	snprintf(uri.port, sizeof(uri.port), "%s", v->o->port);
	if (r == 0)
		r = listener_start(v->base, &uri, v->creds, PENDING_MAX, BENCH_HANDSHAKE_MS,
			on_connection, v, &v->listener, err);
	for (unsigned i = 0; i < 2 && r == 0; i++) {
		v->signal[i] = evsignal_new(v->base, signals[i], on_signal, v);
		if (!v->signal[i] || event_add(v->signal[i], NULL) < 0)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	return r;
}

int bench_server(const struct bench_opts *o)
{
	struct server v = {.o = o, .base = event_base_new()};
	struct err err;
	int r = v.base ? start(&v, &err) : err_set(&err, -ENOMEM, "out of memory");

	if (r < 0) {
		fprintf(stderr, "htab-bench: %s\n", err.text);
		v.status = 1;
	} else {
		say_listening(&v);
		while (!v.leaving || (v.run && v.run->have_session && !v.run->session.done))
			if (event_base_loop(v.base, EVLOOP_ONCE) != 0)
				break;
	}
	bench_block_signals();
	if (v.run)
		run_free(v.run);
	while (v.pending)
		pending_end(v.pending, false);
	for (unsigned i = 0; i < 2; i++)
		if (v.signal[i])
			event_free(v.signal[i]);
	listener_free(v.listener);
	tls_creds_unref(v.creds);
	if (v.base)
		event_base_free(v.base);
	return v.status;
}
