/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the tests of the pinned formats share: the golden files, and the comparison with them. */
#include "proto/htab.h"
#include "proto/ident.h"

#define BYTES_MAX 4096u

struct bytes {
	uint8_t b[BYTES_MAX];
	size_t len;
};

/* Those of all examples. */
extern const struct session_id session;
extern const struct vm_uuid uuid;

/* A file of the source tree, whole, as a string on the heap. */
char *slurp(const char *name);

/*
 * tests/golden/NAME.hex: pairs of hexadecimal digits; blanks between them, comments from # to the
 * line's end.
 */
void load(const char *name, struct bytes *ret);

/* What was packed is what that file holds, or the test fails and says where. */
void same(const char *name, const void *got, size_t len, const void *want, size_t want_len);

/* Append a record of the table. */
void add_record(struct bytes *s, enum htab_endian endian, uint32_t index,
	const uint64_t (*hptes)[2], uint16_t n_valid, uint16_t n_invalid);
