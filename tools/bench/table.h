/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The table at one end: a software HPT (vmm/swhpt/swhpt.h) in this process, with a guest on it that
 * can change it, and as an htabio for the flows. Loop thread, except that an htabio belongs to the
 * flow that has it.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/flow/htabio.h"
#include "tools/bench/hptgen.h"

#define BENCH_DIGEST_TEXT 65 /* SHA-256 in hex, and a NUL */

struct bench_table;

/* An empty one for 2^order bytes whose guest, once it runs, changes `rate` entries a second. */
int bench_table_new(unsigned order, uint64_t rate, struct bench_table **ret, struct err *err);
/* From a file (vmm/tool/hptfile.h). */
int bench_table_load(const char *path, uint64_t rate, struct bench_table **ret, struct err *err);
int bench_table_generate(enum hptgen_kind kind, unsigned order, uint64_t rate,
	struct bench_table **ret, struct err *err);
struct bench_table *bench_table_free(struct bench_table *t); /* takes NULL, returns NULL */

unsigned bench_table_order(const struct bench_table *t);
struct swhpt *bench_table_hpt(struct bench_table *t); /* borrowed */
/* What VMM_OPEN_HTAB asks a VMM for: HTAB_FD_* flags, from an index. 0 or a negative errno. */
int bench_table_open(struct bench_table *t, uint64_t flags, uint64_t start, struct htabio **ret);

/* Let the guest run; ask it to stop, and `stopped` follows on the loop. */
void bench_table_run(struct bench_table *t);
int bench_table_stop(
	struct bench_table *t, struct event_base *base, void (*stopped)(void *arg), void *arg);
uint64_t bench_table_changes(const struct bench_table *t); /* made so far */
/* The guest's check of itself failed: the run says nothing. */
bool bench_table_sick(const struct bench_table *t);

/* Make one entry another: what a comparison has to find. No flow may be under way. */
int bench_table_spoil(struct bench_table *t);

/*
 * SHA-256 over index, first and second doubleword of every valid entry in normalised form, read
 * through an fd of its own, and the table's order. No flow may be under way. *ret_valid: how many.
 */
int bench_table_digest(struct bench_table *t, char ret_hex[static BENCH_DIGEST_TEXT],
	uint64_t *ret_valid, struct err *err);
