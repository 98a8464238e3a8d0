/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's stream of hashed-page-table records: iterate, validate, split, normalise. And the same
 * records of a BookE guest's TLB entries (proto/tlb.h), which have 24 bytes in place of 16.
 *
 * The stream is what read() on an htab fd gives and write() takes (Linux,
 * Documentation/virt/kvm/api.rst 4.78 KVM_PPC_GET_HTAB_FD; arch/powerpc/kvm/book3s_64_mmu_hv.c):
 * records of an 8-byte header {u32 index, u16 n_valid, u16 n_invalid} and n_valid HPTEs of two
 * doublewords each. The HPTEs are big-endian everywhere. The header is in host byte order at the
 * fd and big-endian on our wire; enum htab_endian says which of the two a buffer holds.
 *
 * Pure functions over the caller's memory; any thread; nothing is allocated.
 */
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/tlb.h"

/* The ABI, stated once; checked against <linux/kvm.h> by vmm/powerkvm/abi_check.c on POWER. */
#define HTAB_FD_BOLTED_ONLY 0x1u /* KVM_GET_HTAB_BOLTED_ONLY */
#define HTAB_FD_WRITE       0x2u /* KVM_GET_HTAB_WRITE */

#define HTAB_HDR_SIZE       8u
#define HTAB_HPTE_SIZE      16u
#define HTAB_RUN_MAX        65535u /* n_valid and n_invalid are 16 bits wide */
#define HTAB_REC_MAX        (HTAB_HDR_SIZE + HTAB_RUN_MAX * HTAB_HPTE_SIZE) /* 1,048,568 bytes */
#define HTAB_READ_MIN       25u /* a read() of 24 bytes or less gives 0 whatever the table holds */

/* KVM_PPC_ALLOCATE_HTAB takes 18 to 46; a record's u32 index reaches 2^32 entries, order 36. */
#define HTAB_ORDER_MIN   18u
#define HTAB_ORDER_MAX   36u

#define HPTE_V_VALID     0x1ull
#define HPTE_V_SECONDARY 0x2ull
#define HPTE_V_LARGE     0x4ull
#define HPTE_V_BOLTED    0x10ull
#define HPTE_V_ABSENT    0x20ull /* the kernel's own: valid, but not in the hardware's table */
#define HPTE_V_HVLOCK    0x40ull /* the kernel's own lock, seen set in whatever read() gives */
#define HPTE_R_C         0x80ull
#define HPTE_R_R         0x100ull
#define HPTE_R_MODIFIED  (1ull << 62) /* the kernel's own mark of a change (HPTE_GR_MODIFIED) */

enum htab_endian {
	HTAB_HOST, /* as the htab fd has it */
	HTAB_WIRE, /* big-endian */
};

static inline bool htab_order_ok(uint32_t order)
{
	return order >= HTAB_ORDER_MIN && order <= HTAB_ORDER_MAX;
}

/* What the entries of a record are. */
enum htab_kind {
	HTAB_HPT = 0, /* HPTEs */
	HTAB_TLB,     /* TLB entries: no kernel's fd has them, htabsock and the wire do */
};

/* Bytes of an entry. */
static inline size_t htab_entry_size(enum htab_kind kind)
{
	return kind == HTAB_TLB ? TLB_ENTRY_SIZE : HTAB_HPTE_SIZE;
}

/* Number of entries of a table of 2^order bytes. */
static inline uint64_t htab_entries(unsigned order)
{
	return 1ull << (order - 4);
}

struct htab_rec {
	uint32_t index;
	uint16_t n_valid, n_invalid;
	const uint8_t *hptes; /* n_valid * htab_entry_size(kind) bytes inside the iterated buffer */
	enum htab_kind kind;
};

/* Bytes of the whole record: its header and its valid entries. */
static inline size_t htab_rec_size(const struct htab_rec *rec)
{
	return HTAB_HDR_SIZE + (size_t)rec->n_valid * htab_entry_size(rec->kind);
}

struct htab_iter {
	const uint8_t *p, *end;
	uint64_t entries; /* of the table that the records are for */
	enum htab_endian endian;
	enum htab_kind kind;
	const char *why; /* after an error: what is wrong with the record, a static string */
};

/* Iterate len bytes at buf, records for a table of `entries` entries. buf stays the caller's. */
void htab_iter_init_kind(struct htab_iter *it, enum htab_kind kind, const void *buf, size_t len,
	uint64_t entries, enum htab_endian endian);
static inline void htab_iter_init(struct htab_iter *it, const void *buf, size_t len,
	uint64_t entries, enum htab_endian endian)
{
	htab_iter_init_kind(it, HTAB_HPT, buf, len, entries, endian);
}

/*
 * The next record, validated: whole, inside the table, not empty, every entry with its valid bit.
 * Returns 1 and *ret_rec, 0 at the end of the buffer, -EBADMSG with it->why for anything else. The
 * kernel's own length check forgets the header, so that a record up to 8 bytes too short is read
 * past its end: nothing goes to a write fd that has not been through here.
 */
int htab_iter_next(struct htab_iter *it, struct htab_rec *ret_rec);

/* The same of a buffer that was validated before: nothing is looked at but headers. */
bool htab_iter_step(struct htab_iter *it, struct htab_rec *ret_rec);

struct htab_count {
	uint64_t records, valid, invalid;
	uint64_t end; /* index after the last record's last entry; 0 when there is none */
};

/* Validate a whole buffer and count it. Returns 0 and *ret_count, or -EBADMSG and *ret_why. */
int htab_check_kind(enum htab_kind kind, const void *buf, size_t len, uint64_t entries,
	enum htab_endian endian, struct htab_count *ret_count, const char **ret_why);
static inline int htab_check(const void *buf, size_t len, uint64_t entries, enum htab_endian endian,
	struct htab_count *ret_count, const char **ret_why)
{
	return htab_check_kind(HTAB_HPT, buf, len, entries, endian, ret_count, ret_why);
}

/*
 * Both in one pass: validate and count a whole buffer, and turn its headers from one order into the
 * other. start: records have to ascend from that index on; HTAB_UNORDERED: in any order. After an
 * error the headers before the bad record are turned, the others are not.
 */
#define HTAB_UNORDERED UINT64_MAX
int htab_check_convert(enum htab_kind kind, void *buf, size_t len, uint64_t entries,
	enum htab_endian from, enum htab_endian to, uint64_t start, struct htab_count *ret_count,
	const char **ret_why);

/* Turn the headers of a checked buffer from one order into the other, in place. */
void htab_convert_kind(
	enum htab_kind kind, void *buf, size_t len, enum htab_endian from, enum htab_endian to);
static inline void htab_convert(void *buf, size_t len, enum htab_endian from, enum htab_endian to)
{
	htab_convert_kind(HTAB_HPT, buf, len, from, to);
}

/* Write a header at dst (HTAB_HDR_SIZE bytes). */
static inline void htab_put_header(
	void *dst, enum htab_endian endian, uint32_t index, uint16_t n_valid, uint16_t n_invalid)
{
	uint8_t *p = dst;

	if (endian == HTAB_WIRE) {
		index = htobe32(index);
		n_valid = htobe16(n_valid);
		n_invalid = htobe16(n_invalid);
	}
	memcpy(p, &index, sizeof(index));
	memcpy(p + 4, &n_valid, sizeof(n_valid));
	memcpy(p + 6, &n_invalid, sizeof(n_invalid));
}

/*
 * Split: the record's first part that fits in max bytes (a header and an entry at least), written
 * to dst with a header of order endian. *rec becomes what is left; n_valid == n_invalid == 0 when
 * nothing is. Returns the part's length in bytes.
 */
size_t htab_split(struct htab_rec *rec, void *dst, size_t max, enum htab_endian endian);

/*
 * Did a read() of `count` bytes that gave these n bytes stop at the table's end? KVM scans on while
 * more than 24 bytes of the buffer are left, so n + 24 < count says so; a full buffer whose last
 * record ends at the last entry says so as well (kvm_htab_read(): "have we wrapped around").
 * `end` is htab_count.end of those n bytes.
 */
static inline bool htab_read_wrapped_kind(
	enum htab_kind kind, size_t n, size_t count, uint64_t end, uint64_t entries)
{
	return n + HTAB_HDR_SIZE + htab_entry_size(kind) < count || end == entries;
}
static inline bool htab_read_wrapped(size_t n, size_t count, uint64_t end, uint64_t entries)
{
	return htab_read_wrapped_kind(HTAB_HPT, n, count, end, entries);
}

/*
 * The one form in which tables are compared: what the kernel adds to an entry that it shows
 * (HVLOCK, ABSENT as VALID) is taken off, its change mark is cleared, an invalid entry is all zero.
 * v and r in host byte order.
 */
static inline void hpte_normalise(uint64_t *v, uint64_t *r)
{
	if (!(*v & (HPTE_V_VALID | HPTE_V_ABSENT))) {
		*v = *r = 0;
		return;
	}
	*v = (*v & ~(HPTE_V_HVLOCK | HPTE_V_ABSENT)) | HPTE_V_VALID;
	*r &= ~HPTE_R_MODIFIED;
}

/*
 * Digest of a stream of units (a chunk's decoded bytes, a STATE frame's body), used in END to catch
 * a lost, doubled or changed one. It guards against our own mistakes; TLS guards against other
 * people. With mix(d, w) = (d ^ w) * 0x9fb21c651e98df25, rotated left by 29 bits, a unit's 64-bit
 * little-endian words (the last one padded with zeros) go in turn into eight lanes, which begin as
 * d, d + 1, ... and d + 7, each by lane = mix(lane, w); then d = mix(d, length in bytes) and
 * d = mix(d, lane) for the eight in order. An empty unit changes nothing. No step loses anything:
 * units that differ in a single word never have the same digest.
 */
#define STREAM_DIGEST_LANES 8u
#define STREAM_DIGEST_INIT  0xcbf29ce484222325ull
uint64_t stream_digest(uint64_t digest, const void *unit, size_t len);
