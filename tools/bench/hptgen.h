/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Page tables to measure with, when there is no real one at hand: the same bytes for the same kind,
 * order and seed, everywhere. Any thread.
 *
 * A table of 2^order bytes is that of a guest with 2^(order + 7) bytes of memory (order 25: 4 GiB).
 */
#include <stddef.h>
#include <stdint.h>

enum hptgen_kind {
	/*
	 * A Linux guest that has booted: all its memory in one linear mapping, a 1 TiB segment of
	 * 4 KiB pages, bolted; and 30,000 entries more (order 25) in runs, in 256 MiB segments.
	 */
	HPTGEN_LINUX,
	/*
	 * The hard one: the linear mapping, and a third of the valid entries are pages of 200
	 * processes' segments whose real page numbers are uniform below 2^20 (order 25).
	 */
	HPTGEN_USER,
};

#define HPTGEN_KINDS 2
extern const char *const hptgen_name[HPTGEN_KINDS]; /* "linux", "user" */

/*
 * A flat table as in vmm/tool/hptfile.h, 2^order bytes, malloc'ed: the caller's to free. NULL: out
 * of memory. *ret_valid (may be NULL) is the number of valid entries.
 */
uint8_t *hptgen_make(enum hptgen_kind kind, unsigned order, uint64_t seed, uint64_t *ret_valid);
