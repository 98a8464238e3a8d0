/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Files with a flat page table: 2^order bytes, entry i at offset 16 * i as two big-endian
 * doublewords; plain, or compressed as one zstd stream. Any thread.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/*
 * Read a table. *ret_flat (2^*ret_order bytes, malloc'ed) is the caller's to free. What the file is
 * compressed with is seen from its content.
 */
int hptfile_read(const char *path, uint8_t **ret_flat, unsigned *ret_order, struct err *e);

/*
 * Write a table of 2^order bytes, compressed when the name ends in ".zst". The file appears
 * whole or not at all.
 */
int hptfile_write(const char *path, const uint8_t *flat, unsigned order, struct err *e);
