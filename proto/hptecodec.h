/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The HPTE codec: a chunk's records (proto/htab.h, big-endian headers), lossless, each chunk alone.
 *
 * Where an entry stands says most of what is in it. Its PTEG is hash(VSID) XOR page number, so a
 * VSID and the index give the page, and the page mostly gives the real page: mappings run in
 * parallel. Each of a PTEG's eight slots goes on, row by row, with the mapping that it had; a
 * record whose header and entries do all that costs a part of one number. What differs goes into
 * byte planes, one statistic each, and these through zstd. docs/protocol.md, 6.6, is normative.
 *
 * A workspace is one thread's. The functions are pure but for it.
 */
#include <stddef.h>
#include <stdint.h>

struct hptecodec;

/* For tables of 2^order bytes. About 1 MiB; NULL: out of memory. hptecodec_free() ends it. */
struct hptecodec *hptecodec_new(unsigned order);
/* From the next chunk on: another order. */
void hptecodec_set_order(struct hptecodec *c, unsigned order);
struct hptecodec *hptecodec_free(struct hptecodec *c); /* takes NULL, returns NULL */

/* Most bytes that `plain` bytes become. */
static inline size_t hptecodec_bound(size_t plain)
{
	return plain + 1;
}

/*
 * Encode plain bytes (1 to WIRE_PLAIN_MAX) at src into dst, which has hptecodec_bound(plain) bytes
 * and does not overlap. Any bytes are taken; those that are no whole records are stored. Returns
 * the length.
 */
size_t hptecodec_encode(struct hptecodec *c, const void *src, size_t plain, void *dst);

/*
 * Decode len bytes into exactly plain bytes at dst; no overlap. 0, or -EBADMSG for anything that an
 * encoder does not write; dst is then undefined. The records are checked by nobody yet.
 */
int hptecodec_decode(struct hptecodec *c, const void *src, size_t len, void *dst, size_t plain);
