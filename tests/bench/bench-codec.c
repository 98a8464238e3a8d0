/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-codec CODEC PASSES TABLE [OLD]: what a table's records become, or those of what changed
 * since OLD, and how fast, on one core: PASSES times the whole, encoding and decoding apart. What
 * is decoded is compared, chunk by chunk, before any time is taken.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"
#include "tests/bench/benchlib.h"

#define FRAME (WIRE_HDR_SIZE + WIRE_CHUNK_HDR)

struct encoded {
	uint8_t *buf; /* every chunk's payload, one behind the other */
	size_t len;
	size_t *chunk;
};

static enum wire_codec by_name(const char *name)
{
	for (int c = WIRE_CODEC_NONE; c <= WIRE_CODEC_HPTE; c++)
		if (strcmp(codec_name((enum wire_codec)c), name) == 0)
			return (enum wire_codec)c;
	bench_die("%s is no codec", name);
}

static struct codec *workspace(enum wire_codec codec, unsigned order)
{
	struct codec *c;

	if (codec_new(codec, order, &c) < 0)
		bench_die("no workspace for codec %s", codec_name(codec));
	return c;
}

static void check(const struct bench_records *r, struct codec *enc, struct codec *dec,
	uint8_t *work, struct encoded *e)
{
	const uint8_t *p = r->buf;

	for (size_t i = 0; i < r->n_chunks; i++) {
		size_t len;

		if (codec_encode(enc, p, r->chunk[i], e->buf + e->len, &len) < 0)
			bench_die("chunk %zu is not encoded", i);
		if (codec_decode(dec, e->buf + e->len, len, work, r->chunk[i]) < 0 ||
			memcmp(work, p, r->chunk[i]) != 0)
			bench_die("chunk %zu comes back as another one", i);
		e->chunk[i] = len;
		e->len += len;
		p += r->chunk[i];
	}
}

int main(int argc, char **argv)
{
	enum wire_codec codec;
	struct bench_records r;
	struct encoded e = {0};
	struct codec *enc, *dec;
	uint64_t passes, start, cpu, ns[2] = {0}, cpu_ns[2] = {0};
	unsigned order, old_order;
	uint8_t *flat, *old = NULL, *work;

	if (argc != 4 && argc != 5)
		bench_die("usage: bench-codec CODEC PASSES TABLE [OLD]");
	codec = by_name(argv[1]);
	passes = bench_arg(argv[2], 100000);
	flat = bench_flat(argv[3], &order);
	if (argc == 5) {
		old = bench_flat(argv[4], &old_order);
		if (old_order != order)
			bench_die("%s and %s are of different orders", argv[3], argv[4]);
	}
	bench_records(&r, flat, old, order);
	free(flat);
	free(old);
	enc = workspace(codec, order);
	dec = workspace(codec, order);
	work = malloc(codec_bound(codec, WIRE_PLAIN_MAX));
	e.buf = malloc(r.len + r.len / 8 + WIRE_PLAIN_MAX);
	e.chunk = calloc(r.n_chunks + 1, sizeof(*e.chunk));
	if (!work || !e.buf || !e.chunk)
		bench_die("out of memory");
	check(&r, enc, dec, work, &e);

	for (uint64_t p = 0; p < passes; p++) {
		const uint8_t *from = r.buf, *coded = e.buf;
		size_t len;

		start = clock_ns();
		cpu = bench_thread_cpu();
		for (size_t i = 0; i < r.n_chunks; from += r.chunk[i++])
			codec_encode(enc, from, r.chunk[i], work, &len);
		cpu_ns[0] += bench_thread_cpu() - cpu;
		ns[0] += clock_ns() - start;
		start = clock_ns();
		cpu = bench_thread_cpu();
		for (size_t i = 0; i < r.n_chunks; coded += e.chunk[i++])
			codec_decode(dec, coded, e.chunk[i], work, r.chunk[i]);
		cpu_ns[1] += bench_thread_cpu() - cpu;
		ns[1] += clock_ns() - start;
	}
	printf("{\"codec\":\"%s\",\"valid\":%" PRIu64 ",\"invalid\":%" PRIu64
	       ",\"plain\":%zu,\"wire\":%zu,\"passes\":%" PRIu64 ",\"encode_ns\":%" PRIu64
	       ",\"encode_cpu_ns\":%" PRIu64 ",\"decode_ns\":%" PRIu64 ",\"decode_cpu_ns\":%" PRIu64
	       "}\n",
		codec_name(codec), r.valid, r.invalid, r.len, e.len + r.n_chunks * FRAME, passes,
		ns[0], cpu_ns[0], ns[1], cpu_ns[1]);
	codec_free(enc);
	codec_free(dec);
	free(work);
	free(e.buf);
	free(e.chunk);
	bench_records_free(&r);
	return 0;
}
