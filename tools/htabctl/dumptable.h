/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A page table out of a file, for htabctl dump: a saved guest, a flat table (plain, or one zstd
 * stream), or records as KVM's htab fd gives them, headers in either byte order. What kind it is
 * is seen from the content. What a damaged file holds before it breaks is kept. One thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/file.h"

enum dump_kind {
	DUMP_SAVED,   /* a saved guest: the table after its last pass, and its machine's state */
	DUMP_TABLE,   /* 2^order bytes, entry i at 16 * i */
	DUMP_RECORDS, /* the table after all of them */
};

struct dumptable {
	enum dump_kind kind;
	unsigned order;
	uint8_t *flat; /* 2^order bytes, big-endian doublewords */
	uint64_t records, passes;
	bool compressed, big_endian; /* a zstd stream; the records' headers */
	struct file_check about;     /* DUMP_SAVED: as far as it was read */
	uint8_t *image;              /* DUMP_SAVED: the machine state, image_size bytes */
	size_t image_size;
	/* What breaks: code 0 for nothing. The rest is what stands before that. */
	struct err damage;
	uint64_t damage_at; /* byte, after decompression */
};

/*
 * Read it. order 0: as it follows from the content. 0 and *ret, also when d->damage says where the
 * file breaks; -errno with the sentence when nothing of it can be told.
 */
int dumptable_read(const char *path, unsigned order, struct dumptable **ret, struct err *err);
/* The same of a file that is open and holds records with big-endian headers. */
int dumptable_records(
	int fd, const char *path, unsigned order, struct dumptable **ret, struct err *err);
struct dumptable *dumptable_free(struct dumptable *d); /* takes NULL, returns NULL */

static inline uint64_t dumptable_entries(const struct dumptable *d)
{
	return htab_entries(d->order);
}
