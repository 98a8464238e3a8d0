/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/benchlib.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "daemon/flow/reader.h"
#include "proto/htab.h"
#include "proto/pack.h"
#include "proto/wire.h"
#include "tools/bench/hptgen.h"
#include "vmm/tool/hptfile.h"

#define ORDER 25u
#define SEED  1u

void bench_die(const char *fmt, ...)
{
	va_list ap;

	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

uint64_t bench_thread_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t bench_arg(const char *text, uint64_t max)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (end == text || *end || v < 1 || v > max)
		bench_die("%s: it should be 1 to %llu", text, (unsigned long long)max);
	return v;
}

uint8_t *bench_flat(const char *name, unsigned *ret_order)
{
	struct err err;
	uint8_t *flat;

	for (int k = 0; k < HPTGEN_KINDS; k++) {
		if (strcmp(name, hptgen_name[k]) != 0)
			continue;
		flat = hptgen_make((enum hptgen_kind)k, ORDER, SEED, NULL);
		if (!flat)
			bench_die("out of memory");
		*ret_order = ORDER;
		return flat;
	}
	if (hptfile_read(name, &flat, ret_order, &err) < 0)
		bench_die("%s", err.text);
	return flat;
}

/* As an htab fd shows it: the lock bit set; an invalid entry has no content. */
static bool entry(const uint8_t *flat, uint64_t i, uint64_t *v, uint64_t *r)
{
	*v = be64_get(flat + i * HTAB_HPTE_SIZE);
	*r = be64_get(flat + i * HTAB_HPTE_SIZE + 8);
	hpte_normalise(v, r);
	return *v & HPTE_V_VALID;
}

static bool changed(const uint8_t *flat, const uint8_t *old, uint64_t i)
{
	uint64_t v, r, old_v, old_r;

	if (!old)
		return true;
	entry(flat, i, &v, &r);
	entry(old, i, &old_v, &old_r);
	return v != old_v || r != old_r;
}

/* One record from index *i on into at most `room` bytes: its length, 0 when there is none. */
static size_t record(struct bench_records *o, const uint8_t *flat, const uint8_t *old,
	uint64_t entries, uint64_t *i, uint8_t *dst, size_t room)
{
	unsigned valid = 0, invalid = 0;
	size_t n = HTAB_HDR_SIZE;
	uint64_t first, v, r;

	while (*i < entries && !changed(flat, old, *i))
		++*i;
	first = *i;
	/* KVM asks for more room than an entry takes: "nb + HPTE_SIZE < count" */
	while (*i < entries && valid < HTAB_RUN_MAX && n + HTAB_HPTE_SIZE < room &&
		changed(flat, old, *i) && entry(flat, *i, &v, &r)) {
		be64_put(dst + n, v | HPTE_V_HVLOCK);
		be64_put(dst + n + 8, r);
		n += HTAB_HPTE_SIZE;
		valid++;
		++*i;
	}
	while (*i < entries && invalid < HTAB_RUN_MAX && changed(flat, old, *i) &&
		!entry(flat, *i, &v, &r)) {
		invalid++;
		++*i;
	}
	if (!valid && !invalid)
		return 0;
	htab_put_header(dst, HTAB_WIRE, (uint32_t)first, (uint16_t)valid, (uint16_t)invalid);
	o->valid += valid;
	o->invalid += invalid;
	return n;
}

void bench_records(struct bench_records *o, const uint8_t *flat, const uint8_t *old, unsigned order)
{
	uint64_t entries = htab_entries(order), i = 0;
	size_t max = old ? READER_CHANGES / 4 : WIRE_PLAIN_MAX; /* the least there is */

	/* Every other entry valid is the worst: a header for each. */
	*o = (struct bench_records){.buf = malloc(2 * (size_t)entries * HTAB_HPTE_SIZE)};
	o->chunk = calloc(2 * entries / (max / HTAB_HPTE_SIZE - 2) + 64, sizeof(*o->chunk));
	if (!o->buf || !o->chunk)
		bench_die("out of memory");
	while (i < entries) {
		size_t len = 0;

		if (old)
			max = reader_changes(i, entries);
		while (len + HTAB_HDR_SIZE + HTAB_HPTE_SIZE < max) {
			size_t n = record(
				o, flat, old, entries, &i, o->buf + o->len + len, max - len);

			if (!n)
				break;
			len += n;
		}
		if (len)
			o->chunk[o->n_chunks++] = len;
		o->len += len;
	}
}

void bench_records_free(struct bench_records *r)
{
	free(r->buf);
	free(r->chunk);
	*r = (struct bench_records){0};
}
