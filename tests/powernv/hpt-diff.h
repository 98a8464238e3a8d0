/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What hpt-diff does next: one seeded sequence of entries, records and sizes. One thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY  (64ull << 20) /* the guest's, from address 0 */
#define PRIVATE 16u           /* entries at the table's end, one of which maps the guest's code */

void random_seed(uint64_t seed);
uint64_t rnd(void);
uint64_t below(uint64_t n);

/* First doubleword of an entry; `odd` ones have what KVM drops, ignores or refuses. */
uint64_t random_dw0(bool odd);
/* Second doubleword for that first one. */
uint64_t random_dw1(uint64_t v, bool odd);
/*
 * A record at p (8 KiB), at times with something wrong with it. Returns the number of bytes to
 * write, *ret_len is the record's length.
 */
size_t random_record(uint8_t *p, uint64_t index, size_t *ret_len);
/* A count for read(). */
size_t random_size(void);

/* Does a write() of these n bytes leave the private entries alone, and read no further? */
bool write_is_safe(const uint8_t *p, size_t n, size_t readable, uint64_t entries);
