/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-lap ORDER CHANGES REPETITIONS [CHUNK-KIB]: the lap of the table after the pause, through
 * the daemon's own flows over a socket pair, until everything is written at the other end; and the
 * scan of the same table in which nothing is found, which no lap can be faster than. By turns; each
 * repetition is a line.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/net.h"
#include "daemon/flow/inflow.h"
#include "daemon/flow/outflow.h"
#include "tests/bench/benchlib.h"
#include "tools/bench/table.h"
#include "vmm/swhpt/swhpt.h"

#define RING       32u
#define TIMEOUT_MS 30000

static struct event_base *base;
static struct outflow *out;
static struct inflow *in;
static struct wire_end last;
static unsigned sent, written, stopped;
static size_t chunk = WIRE_PLAIN_MAX;

static void on_failed(void *arg, const struct err *err)
{
	bench_die("%s", err->text);
}

static void on_sent(void *arg, enum wire_stream stream, uint32_t pass)
{
	sent++;
}

static void on_stopped(void *arg)
{
	stopped++;
}

static void on_written(void *arg, uint32_t channel, uint64_t seq)
{
	if (outflow_ack(out, channel, seq) < 0)
		bench_die("an acknowledgement is refused");
}

static void on_arrived(void *arg, enum wire_stream stream, uint32_t pass)
{
	written++;
}

static const struct outflow_ops out_ops = {
	.pass_done = on_sent,
	.failed = on_failed,
	.stopped = on_stopped,
};
static const struct inflow_ops in_ops = {
	.written = on_written,
	.pass_done = on_arrived,
	.failed = on_failed,
	.finished = on_stopped,
	.stopped = on_stopped,
};

static void loop_until(const unsigned *what, unsigned n)
{
	while (*what < n)
		if (event_base_loop(base, EVLOOP_ONCE) != 0)
			bench_die("the event loop has nothing to do");
}

static void start(struct bench_table *from, struct bench_table *to)
{
	unsigned order = bench_table_order(from);
	struct outflow_config o = {
		.base = base,
		.order = order,
		.generation = 1,
		.ring = RING,
		.chunk = chunk,
		.codec = WIRE_CODEC_HPTE,
		.timeout_ms = TIMEOUT_MS,
		.ops = &out_ops,
	};
	struct inflow_config i = {
		.base = base,
		.order = order,
		.generation = 1,
		.ring = RING,
		.codec = WIRE_CODEC_HPTE,
		.timeout_ms = TIMEOUT_MS,
		.ops = &in_ops,
	};
	struct htabio *r, *w;
	struct stream *a, *b;
	struct err err;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0 ||
		stream_new(fd[0], "one end", &a) < 0 || stream_new(fd[1], "the other", &b) < 0 ||
		bench_table_open(from, 0, 0, &r) < 0 ||
		bench_table_open(to, HTAB_FD_WRITE, 0, &w) < 0)
		bench_die("no socket pair, or no memory");
	if (outflow_new(&o, r, &a, &out, &err) < 0 || inflow_new(&i, w, &b, &in, &err) < 0)
		bench_die("%s", err.text);
}

/* Until nothing is left to read: twice nothing. */
static void drain(struct swhpt_fd *fd, void *buf)
{
	for (unsigned clean = 0; clean < 2;) {
		ssize_t n = swhpt_read(fd, buf, WIRE_PLAIN_MAX);

		if (n < 0)
			bench_die("the table cannot be read");
		clean = n ? 0 : clean + 1;
	}
}

/* That many valid entries change, spread evenly. */
static void change(struct swhpt *h, uint64_t n)
{
	uint64_t entries = swhpt_entries(h), done = 0;
	static uint64_t turn;

	swhpt_vcpu_enter(h);
	turn++;
	for (uint64_t i = turn % 64; done < n; i += entries / n / 2 + 1) {
		uint64_t args[SWHPT_HCALL_ARGS] = {turn & 1 ? 2 : 3, i % entries};

		if (i > 64 * entries)
			bench_die("the table has fewer than %" PRIu64 " valid entries", n);
		done += swhpt_hcall(h, H_PROTECT, args, args) == H_SUCCESS;
	}
	swhpt_vcpu_leave(h);
}

int main(int argc, char **argv)
{
	char a[BENCH_DIGEST_TEXT], b[BENCH_DIGEST_TEXT];
	struct bench_table *from, *to;
	struct swhpt_fd *scan;
	uint64_t changes, n, valid;
	unsigned order;
	struct err err;
	void *buf = malloc(WIRE_PLAIN_MAX);

	if ((argc != 4 && argc != 5) || !buf)
		bench_die("usage: bench-lap ORDER CHANGES REPETITIONS [CHUNK-KIB]");
	order = (unsigned)bench_arg(argv[1], 32);
	changes = bench_arg(argv[2], 1000000);
	n = bench_arg(argv[3], 10000);
	if (argc == 5)
		chunk = bench_arg(argv[4], WIRE_PLAIN_MAX >> 10) << 10;
	base = event_base_new();
	if (!base || bench_table_generate(HPTGEN_LINUX, order, 0, &from, &err) < 0 ||
		bench_table_new(order, 0, &to, &err) < 0)
		bench_die("no table of order %u", order);
	start(from, to);
	outflow_pass(out, WIRE_STREAM_HTAB, 1);
	loop_until(&written, 1);
	if (swhpt_open(bench_table_hpt(from), 0, 0, &scan) < 0)
		bench_die("no descriptor for the scan");
	drain(scan, buf);
	for (uint64_t i = 0; i < n; i++) {
		struct outflow_stats stats;
		uint64_t lap, clean;

		change(bench_table_hpt(from), changes);
		lap = clock_ns();
		outflow_pass(out, WIRE_STREAM_HTAB, (uint32_t)i + 2);
		loop_until(&written, (unsigned)i + 2);
		loop_until(&sent, (unsigned)i + 2);
		lap = clock_ns() - lap;
		outflow_get_stats(out, &stats);
		clean = clock_ns();
		if (swhpt_read(scan, buf, WIRE_PLAIN_MAX) != 0)
			bench_die("the table is not clean after its lap");
		clean = clock_ns() - clean;
		printf("{\"entries\":%" PRIu64 ",\"lap_ns\":%" PRIu64 ",\"read_ns\":%" PRIu64
		       ",\"scan_ns\":%" PRIu64 "}\n",
			stats.pass_valid + stats.pass_invalid, lap, stats.read_ns, clean);
	}
	outflow_get_end(out, &last);
	inflow_finish(in, &last);
	loop_until(&stopped, 1);
	outflow_stop(out);
	loop_until(&stopped, 2);
	out = outflow_free(out);
	in = inflow_free(in);
	swhpt_close(scan);
	if (bench_table_digest(from, a, &valid, &err) < 0 ||
		bench_table_digest(to, b, &valid, &err) < 0 || strcmp(a, b) != 0)
		bench_die("the tables differ");
	bench_table_free(from);
	bench_table_free(to);
	event_base_free(base);
	free(buf);
	return 0;
}
