/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * For the small programs of `./run bench`, each of which measures one thing and prints one JSON
 * object a line. They end at the first thing that is wrong.
 */
#include <stddef.h>
#include <stdint.h>

_Noreturn void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t bench_thread_cpu(void); /* ns */

/* A number of the command line, 1 to max. */
uint64_t bench_arg(const char *text, uint64_t max);

/*
 * A flat table (vmm/tool/hptfile.h): a file, or the name of one that tools/bench/hptgen.h makes,
 * order 25.
 */
uint8_t *bench_flat(const char *name, unsigned *ret_order);

/*
 * The records of a table as KVM's first pass gives them, or, with `old` (of the same order), those
 * of the entries that differ as a later pass does; headers big-endian, in chunks as the daemon's
 * reader fills them.
 */
struct bench_records {
	uint8_t *buf;
	size_t len;
	size_t *chunk; /* lengths */
	size_t n_chunks;
	uint64_t valid, invalid;
};

void bench_records(
	struct bench_records *r, const uint8_t *flat, const uint8_t *old, unsigned order);
void bench_records_free(struct bench_records *r);
