/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A page table counted by segments and page sizes, for htabctl dump. One thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/hpte.h"

/* Entries that are alike in segment size, page sizes and, in a list of segments, VSID. */
struct dumpstat_row {
	uint64_t vsid; /* in a list of segments */
	unsigned seg_shift, base_shift, actual_shift;
	uint64_t segments; /* different VSIDs, in a summary */
	uint64_t entries, bolted, secondary, referenced, changed, misplaced;
};

struct dumpstat {
	uint64_t valid;
	struct dumpstat_row *summary; /* by sizes */
	size_t n_summary;
	struct dumpstat_row *segments; /* by VSID and sizes */
	size_t n_segments;
};

/*
 * Count the valid entries, or the bolted ones alone, of a flat table (big-endian doublewords). 0,
 * or -ENOMEM.
 */
int dumpstat_count(const uint8_t *flat, uint64_t entries, bool bolted, struct dumpstat *ret);
void dumpstat_fini(struct dumpstat *s);
