/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* iperf3's JSON, and an "htab" object of our own. */
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "config.h"
#include "common/clock.h"
#include "common/codec.h"
#include "tools/bench/report.h"

static void add_int(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_uint64(v));
}

static void add_real(struct json_object *o, const char *name, double v)
{
	json_object_object_add(o, name, json_object_new_double(v));
}

static void add_text(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, json_object_new_string(v));
}

static struct json_object *add_object(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_new_object();

	json_object_object_add(o, name, v);
	return v;
}

static double per(double v, double seconds)
{
	return seconds > 0 ? v / seconds : 0;
}

static double ms(uint64_t ns)
{
	return (double)ns / NS_PER_MS;
}

/* "tcp:[::1]:4660": the host, without its brackets, and the port. */
static void add_address(
	struct json_object *o, const char *uri, const char *host_name, const char *port_name)
{
	const char *p = strchr(uri, ':'), *colon = strrchr(uri, ':');
	char host[512];
	size_t n;

	if (!p || colon == p)
		return;
	p += p[1] == '[' ? 2 : 1;
	n = (size_t)(colon - p);
	if (n && p[n - 1] == ']')
		n--;
	snprintf(host, sizeof(host), "%.*s", (int)n, p);
	add_text(o, host_name, host);
	json_object_object_add(o, port_name, json_object_new_int(atoi(colon + 1)));
}

static struct json_object *start(const struct bench_report *r, const struct bench_session *s)
{
	struct json_object *o = json_object_new_object(), *v, *list;
	time_t secs = (time_t)(r->started / NS_PER_SEC);
	struct utsname u;
	char text[256];
	struct tm tm;

	list = json_object_new_array();
	if (r->started) {
		v = json_object_new_object();
		add_int(v, "socket", 0);
		add_text(v, "local_host", r->local_host);
		json_object_object_add(v, "local_port", json_object_new_int(r->local_port));
		add_address(v, r->peer, "remote_host", "remote_port");
		json_object_array_add(list, v);
	}
	json_object_object_add(o, "connected", list);
	add_text(o, "version", "htab-bench " PACKAGE_VERSION);
	if (uname(&u) == 0) {
		snprintf(text, sizeof(text), "%s %s %s", u.sysname, u.release, u.machine);
		add_text(o, "system_info", text);
	}
	v = add_object(o, "timestamp");
	gmtime_r(&secs, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	add_text(v, "time", text);
	add_int(v, "timesecs", (uint64_t)secs);
	v = add_object(o, r->server ? "accepted_connection" : "connecting_to");
	add_address(v, r->peer, "host", "port");
	add_text(o, "cookie", r->cookie);
	v = add_object(o, "test_start");
	add_text(v, "protocol", r->tls ? "TLS" : "TCP");
	add_int(v, "num_streams", s->test.channels);
	add_int(v, "blksize", WIRE_PLAIN_MAX);
	add_int(v, "omit", 0);
	add_real(v, "duration", s->test.seconds);
	add_int(v, "bytes", s->test.bytes);
	add_int(v, "blocks", 0);
	add_int(v, "reverse", s->test.reverse);
	add_int(v, "target_bitrate", s->test.bandwidth);
	return o;
}

static struct json_object *span(double from, double to, uint64_t bytes, bool sender)
{
	struct json_object *o = json_object_new_object();

	add_real(o, "start", from);
	add_real(o, "end", to);
	add_real(o, "seconds", to - from);
	add_int(o, "bytes", bytes);
	add_real(o, "bits_per_second", per((double)bytes * 8, to - from));
	json_object_object_add(o, "sender", json_object_new_boolean(sender));
	return o;
}

/* A stream's, where iperf3 has a socket's number: all channels are one stream here. */
static struct json_object *stream_span(double from, double to, uint64_t bytes, bool sender)
{
	struct json_object *o = span(from, to, bytes, sender);

	add_int(o, "socket", 0);
	return o;
}

static struct json_object *omitted(struct json_object *o)
{
	json_object_object_add(o, "omitted", json_object_new_boolean(false));
	return o;
}

static struct json_object *intervals(const struct bench_session *s)
{
	struct json_object *list = json_object_new_array();

	for (size_t n = 0; n < s->measure.n_intervals; n++) {
		const struct bench_interval *i = &s->measure.interval[n];
		double from = (double)i->start / NS_PER_SEC, to = (double)i->end / NS_PER_SEC;
		struct json_object *o = json_object_new_object(),
				   *streams = json_object_new_array();
		struct json_object *h;

		json_object_array_add(streams, omitted(stream_span(from, to, i->plain, s->sender)));
		json_object_object_add(o, "streams", streams);
		json_object_object_add(o, "sum", omitted(span(from, to, i->plain, s->sender)));
		h = add_object(o, "htab");
		add_int(h, "entries", i->entries);
		add_int(h, "wire_bytes", i->wire);
		add_int(h, "passes", i->passes);
		json_object_array_add(list, o);
	}
	return list;
}

static void add_cpu(struct json_object *o, const char *who, const struct bench_result *r)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_total", who);
	add_real(o, name, per(100 * (r->user + r->system), r->seconds));
	snprintf(name, sizeof(name), "%s_user", who);
	add_real(o, name, per(100 * r->user, r->seconds));
	snprintf(name, sizeof(name), "%s_system", who);
	add_real(o, name, per(100 * r->system, r->seconds));
}

static struct json_object *ending(const struct bench_session *s)
{
	const struct bench_result *from = s->sender ? &s->mine : &s->peers;
	const struct bench_result *to = s->sender ? &s->peers : &s->mine;
	struct json_object *o = json_object_new_object(), *streams = json_object_new_array(), *v;

	bool sent = s->sender || !s->interrupted, received = !s->sender || !s->interrupted;

	v = json_object_new_object();
	if (sent)
		json_object_object_add(
			v, "sender", stream_span(0, from->seconds, from->plain, true));
	if (received)
		json_object_object_add(
			v, "receiver", stream_span(0, to->seconds, to->plain, false));
	json_object_array_add(streams, v);
	json_object_object_add(o, "streams", streams);
	if (sent)
		json_object_object_add(o, "sum_sent", span(0, from->seconds, from->plain, true));
	if (received)
		json_object_object_add(o, "sum_received", span(0, to->seconds, to->plain, false));
	v = add_object(o, "cpu_utilization_percent");
	add_cpu(v, "host", &s->mine);
	if (!s->interrupted)
		add_cpu(v, "remote", &s->peers);
	return o;
}

static struct json_object *passes(const struct bench_measure *m)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < m->n_passes; i++) {
		const struct bench_pass *p = &m->pass[i];
		struct json_object *o = json_object_new_object();

		add_int(o, "pass", p->pass);
		add_real(o, "start_ms", ms(p->start));
		add_real(o, "ms", ms(p->ns));
		if (p->read_ns)
			add_real(o, "read_ms", ms(p->read_ns));
		add_int(o, "valid", p->valid);
		add_int(o, "invalid", p->invalid);
		add_int(o, "bytes", p->plain);
		add_int(o, "wire_bytes", p->wire);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *htab(const struct bench_report *r, const struct bench_session *s)
{
	const struct bench_result *from = s->sender || s->interrupted ? &s->mine : &s->peers;
	const struct bench_result *to = s->sender && !s->interrupted ? &s->peers : &s->mine;
	const struct bench_measure *m = &s->measure;
	struct json_object *o = json_object_new_object(), *v;

	add_int(o, "order", s->test.order);
	if (s->sender)
		add_text(o, "table", r->hpt ? r->hpt : hptgen_name[s->test.table]);
	json_object_object_add(o, "ktls", json_object_new_boolean(r->ktls));
	add_text(o, "compression", codec_name(s->test.codec));
	if (s->test.codec == WIRE_CODEC_ZSTD)
		json_object_object_add(o, "zstd_level", json_object_new_int64(s->test.level));
	add_int(o, "dirty_rate", s->test.dirty_rate);
	add_int(o, "passes", from->passes);
	if (!s->interrupted)
		add_int(o, "table_valid_entries", s->mine.table_valid);
	add_int(o, "entries", from->valid + from->invalid);
	add_int(o, "valid_entries", from->valid);
	add_int(o, "table_bytes", from->plain);
	add_int(o, "wire_bytes", from->wire);
	/* By the receiver's clock: until everything was written. */
	add_real(o, "entries_per_second", per((double)(from->valid + from->invalid), to->seconds));
	add_real(o, "table_bytes_per_second", per((double)from->plain, to->seconds));
	add_real(o, "wire_bytes_per_second", per((double)from->wire, to->seconds));
	add_real(o, "ratio", from->wire ? (double)from->plain / (double)from->wire : 0);
	if (!s->interrupted || s->sender)
		add_real(o, "cpu_ns_per_table_byte_sender",
			per((from->user + from->system) * 1e9, (double)from->plain));
	if (!s->interrupted || !s->sender)
		add_real(o, "cpu_ns_per_table_byte_receiver",
			per((to->user + to->system) * 1e9, (double)from->plain));
	v = add_object(o, "pass_ms");
	add_real(v, "min", ms(m->pass_min));
	add_real(v, "mean", per(ms(m->pass_sum), (double)m->passes));
	add_real(v, "max", ms(m->pass_max));
	json_object_object_add(o, "pass_list", passes(m));
	if (s->interrupted)
		return o; /* nothing was compared, and there was no pause */
	if (s->test.dirty_rate) {
		const struct bench_downtime *d = &from->downtime;

		v = add_object(o, "downtime");
		add_real(v, "total_ms", ms(d->pause + d->last_pass + d->switchover));
		add_real(v, "pause_ms", ms(d->pause));
		add_real(v, "last_pass_ms", ms(d->last_pass));
		add_real(v, "switchover_ms", ms(d->switchover));
		add_int(o, "changes", from->changes);
	}
	json_object_object_add(o, "tables_equal", json_object_new_boolean(true));
	add_text(o, "table_digest", s->mine.digest);
	return o;
}

struct json_object *bench_report_json(
	const struct bench_report *r, const struct bench_session *s, const struct err *err)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "start", start(r, s));
	if (err && !s->interrupted) {
		/* No rate of a test that failed. */
		json_object_object_add(o, "intervals", json_object_new_array());
		json_object_object_add(o, "end", json_object_new_object());
		add_text(o, "error", err->text);
		return o;
	}
	json_object_object_add(o, "intervals", intervals(s));
	json_object_object_add(o, "end", ending(s));
	json_object_object_add(o, "htab", htab(r, s));
	if (err)
		add_text(o, "error", err->text);
	return o;
}
