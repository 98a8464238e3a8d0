/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Compares the VERIFY stream with the table read back here, entry by entry, both normalised. Both
 * sides are streams that name every entry once, in ascending order; the one here is read as the
 * other arrives, so memory does not grow with the table. Used by the writer's thread alone, but for
 * verify_shutdown().
 */
#include "daemon/flow/htabio.h"

struct verify;

/* io reads from index 0 and becomes the verify's, on success only. */
int verify_new(struct htabio *io, uint64_t entries, struct verify **ret);
/* The next checked records (wire order); they stay the caller's until verify_step() gives 0. */
void verify_feed(struct verify *v, const void *buf, size_t len);
/* At most one read of the table. 1: call again; 0: all that was fed is compared; or -errno. */
int verify_step(struct verify *v, struct err *err);
/* 0 when every entry was compared, else -EBADMSG. */
int verify_end(const struct verify *v, struct err *err);
uint64_t verify_compared(const struct verify *v);
uint64_t verify_mismatches(const struct verify *v);
void verify_shutdown(struct verify *v); /* any thread */
struct verify *verify_free(struct verify *v);
