/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/report.h"

#include <inttypes.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/codec.h"
#include "tools/htabctl/output.h"

#define HEADING \
	"[ ID] Interval           Transfer     Bitrate         Wire         Entries/s  Passes\n"
#define RULER "- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -\n"

static void print(struct bench_report *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void print(struct bench_report *r, const char *fmt, ...)
{
	va_list ap;

	if (!r->json) {
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
		output_flush();
	}
	if (r->copy) {
		va_start(ap, fmt);
		vfprintf(r->copy, fmt, ap);
		va_end(ap);
	}
}

/* As iperf3 has it: bytes by powers of 1024, bits a second by powers of 1000; 4 figures. */
static const char *amount(char *buf, double v, double step, const char *unit)
{
	static const char prefix[] = " KMGTP";
	const char *p = prefix;

	for (; v >= step && p[1]; p++)
		v /= step;
	snprintf(buf, OUTPUT_TEXT,
		v < 9.995           ? "%4.2f %.*s%s"
			: v < 99.95 ? "%4.1f %.*s%s"
				    : "%4.0f %.*s%s",
		v, *p == ' ' ? 0 : 1, p, unit);
	return buf;
}

static void line(struct bench_report *r, double start, double end, uint64_t plain, uint64_t wire,
	uint64_t entries, uint64_t passes, const char *tail)
{
	double seconds = end > start ? end - start : 1e-9;
	char a[OUTPUT_TEXT], b[OUTPUT_TEXT], c[OUTPUT_TEXT], d[OUTPUT_TEXT];

	print(r, "[%3u] %6.2f-%-6.2f sec  %-11s  %-14s  %-11s  %-9s  %5" PRIu64 "%s\n", 0u, start,
		end, amount(a, (double)plain, 1024, "Bytes"),
		amount(b, (double)plain * 8 / seconds, 1000, "bits/sec"),
		amount(c, (double)wire, 1024, "Bytes"),
		amount(d, (double)entries / seconds, 1000, ""), passes, tail);
}

void bench_report_title(const struct bench_session *s, char *buf, size_t len)
{
	const struct bench_result *r = &s->mine;

	snprintf(buf, len,
		"htab-bench: order %u, compression %s, %" PRIu64
		" passes, %.2f s, %.1f MB/s of table",
		s->test.order, codec_name(s->test.codec), r->passes, r->seconds,
		r->seconds > 0 ? (double)r->plain / r->seconds / 1e6 : 0.0);
}

void bench_report_connection(struct bench_report *r, const char *peer, int fd, bool tls, bool ktls)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	char port[16] = "0";

	snprintf(r->peer, sizeof(r->peer), "%s", peer);
	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0 ||
		getnameinfo((struct sockaddr *)&a, len, r->local_host, sizeof(r->local_host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		r->local_host[0] = '\0';
	r->local_port = atoi(port);
	r->tls = tls;
	r->ktls = ktls;
}

void bench_report_begin(struct bench_report *r, const struct bench_session *s)
{
	const struct bench_test *t = &s->test;

	r->started = clock_real_ns();
	print(r, "%s %s\n", r->server ? "Accepted connection from" : "Connected to", r->peer);
	print(r, "[%3u] %s a table of order %u (%" PRIu64 " entries%s%s), compression %s, %s\n", 0u,
		s->sender ? "sending" : "receiving", t->order, htab_entries(t->order),
		s->sender ? ", " : "", s->sender ? (r->hpt ? r->hpt : hptgen_name[t->table]) : "",
		codec_name(t->codec),
		r->ktls          ? "TLS 1.3 (kTLS)"
			: r->tls ? "TLS 1.3"
				 : "plaintext");
}

void bench_report_interval(
	struct bench_report *r, const struct bench_session *s, const struct bench_interval *i)
{
	if (!r->heading)
		print(r, HEADING);
	r->heading = true;
	line(r, (double)i->start / NS_PER_SEC, (double)i->end / NS_PER_SEC, i->plain, i->wire,
		i->entries, i->passes, "");
}

static void print_cpu(struct bench_report *r, const char *who, const struct bench_result *x)
{
	print(r, "CPU %-9s %.1f%% (user %.1f%%, system %.1f%%), %.3f ns per table byte\n", who,
		(x->user + x->system) * 100 / x->seconds, x->user * 100 / x->seconds,
		x->system * 100 / x->seconds, (x->user + x->system) * 1e9 / (double)x->plain);
}

static void print_downtime(struct bench_report *r, const struct bench_result *from)
{
	const struct bench_downtime *d = &from->downtime;

	print(r,
		"Downtime %.3f ms: pause %.3f, last pass %.3f, switchover %.3f; %" PRIu64
		" changes were made\n",
		(double)(d->pause + d->last_pass + d->switchover) / NS_PER_MS,
		(double)d->pause / NS_PER_MS, (double)d->last_pass / NS_PER_MS,
		(double)d->switchover / NS_PER_MS, from->changes);
}

void bench_report_end(struct bench_report *r, const struct bench_session *s)
{
	const struct bench_result *from = s->sender ? &s->mine : &s->peers;
	const struct bench_result *to = s->sender ? &s->peers : &s->mine;
	const struct bench_measure *m = &s->measure;

	print(r, RULER HEADING);
	if (s->interrupted) {
		line(r, 0, s->mine.seconds, s->mine.plain, s->mine.wire,
			s->mine.valid + s->mine.invalid, s->mine.passes,
			s->sender ? "  sender" : "  receiver");
		return;
	}
	line(r, 0, from->seconds, from->plain, from->wire, from->valid + from->invalid,
		from->passes, "  sender");
	line(r, 0, to->seconds, to->plain, to->wire, to->valid + to->invalid, to->passes,
		"  receiver");
	print(r, "Table bytes per wire byte %.2f; pass %.3f ms (%.3f to %.3f)\n",
		(double)from->plain / (double)from->wire,
		(double)m->pass_sum / (double)m->passes / NS_PER_MS,
		(double)m->pass_min / NS_PER_MS, (double)m->pass_max / NS_PER_MS);
	print_cpu(r, "sender", from);
	print_cpu(r, "receiver", to);
	if (s->test.dirty_rate)
		print_downtime(r, from);
	print(r, "Both tables are equal: %" PRIu64 " valid entries, SHA-256 %.16s...\n",
		s->mine.table_valid, s->mine.digest);
}

void bench_report_error(struct bench_report *r, const char *text)
{
	if (r->copy)
		fprintf(r->copy, "htab-bench: %s\n", text);
	fprintf(stderr, "htab-bench: %s\n", text);
}
