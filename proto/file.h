/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A saved guest: one file that holds the frames of a migration, in the order of a session, between
 * a header and an end record (docs/protocol.md, "The saved file").
 *
 *	HEADER  OPEN  { CHUNK... PASS_END }...  STATE...  END  TRAILER
 *
 * HEADER and TRAILER are frames as well, of types that no connection carries. TRAILER has the
 * file's length and a SHA-256 of everything before that digest; nothing follows it. What is here
 * judges frames and their order; SHA-256 is the caller's, as this directory needs no library.
 *
 * Pure functions over the caller's memory; any thread; nothing is allocated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/htab.h"
#include "proto/state.h"
#include "proto/wire.h"

#define FILE_MAGIC       0x6874616273617665ull /* "htabsave" */
#define FILE_VERSION     1u
#define FILE_FEATURES    UINT64_C(0) /* bits that this build can load; none are defined yet */
#define FILE_SHA256_SIZE 32u
#define FILE_WHY_MAX     256u

/* Types of frames beside those of the wire, which never uses them. */
#define FILE_TYPE_HEADER  128u
#define FILE_TYPE_TRAILER 129u

#define FILE_TRAILER_SIZE (WIRE_HDR_SIZE + 8u + FILE_SHA256_SIZE)
#define FILE_BODY_MAX     WIRE_CHUNK_MAX /* of any frame */

struct file_header {
	uint16_t version;
	uint64_t features;        /* that a reader has to know */
	uint64_t saved_ns;        /* since 1970, when the save began; for people */
	char name[WIRE_NAME_MAX]; /* of the daemon that saved; for people */
};

struct file_trailer {
	uint64_t length; /* of the whole file, this record included */
	uint8_t sha256[FILE_SHA256_SIZE];
};

/* A frame: its length, or -EMSGSIZE. */
int file_pack_header(const struct file_header *m, void *buf, size_t cap);
/* A body: 0, or -EBADMSG. */
int file_unpack_header(const void *body, size_t len, struct file_header *ret);
/* FILE_TRAILER_SIZE bytes; the digest goes over all of them but the last FILE_SHA256_SIZE, too. */
int file_pack_trailer(const struct file_trailer *m, void *buf, size_t cap);
int file_unpack_trailer(const void *body, size_t len, struct file_trailer *ret);

/* "HEADER", "CHUNK", ...; "?" for a number that is none of a file's. */
const char *file_type_name(unsigned type);

enum file_place {
	FILE_AT_HEADER, /* HEADER is next */
	FILE_AT_OPEN,
	FILE_AT_PASS,  /* CHUNK or PASS_END; STATE once a pass has ended */
	FILE_AT_STATE, /* STATE or END */
	FILE_AT_TRAILER,
	FILE_AT_END, /* nothing may follow */
};

/* A file that is judged frame by frame, from its first byte on. */
struct file_check {
	enum file_place place;
	uint64_t offset; /* of the frame that is next, or under way, in bytes */
	unsigned type;   /* of the frame whose header was taken last */
	size_t body;     /* and its body's bytes */

	struct file_header header;
	struct wire_open open;
	struct wire_end end;
	struct file_trailer trailer;
	uint64_t passes_at; /* where the first CHUNK or PASS_END begins */
	uint64_t state_at;  /* where the first STATE begins */

	/* what END has to say */
	uint64_t seq, digest, valid, invalid;
	uint32_t pass; /* that ended last, or is under way when in_pass */
	bool in_pass;
	uint64_t state_size, state_digest;

	/* the state image's element that is under way */
	uint8_t elem[STATE_HDR_SIZE];
	size_t elem_got;
	uint64_t elem_left; /* bytes of its value to come */

	/* the last CHUNK */
	struct wire_chunk chunk;
	const uint8_t *payload;
	size_t payload_len;
	struct htab_count count;

	/* after an error */
	uint64_t wrong_at; /* the byte where it shows */
	char why[FILE_WHY_MAX];
};

/* What OPEN says of the records: of what they are, and of how many entries the table is. */
static inline enum htab_kind file_records_kind(const struct wire_open *o)
{
	return o->mmu == MMU_BOOKE ? HTAB_TLB : HTAB_HPT;
}

static inline uint64_t file_records_entries(const struct wire_open *o)
{
	return o->mmu == MMU_BOOKE ? (uint64_t)tlb_entries(&o->tlb) * o->vcpus
				   : htab_entries(o->order);
}

void file_check_init(struct file_check *c);
/*
 * The next frame's header (WIRE_HDR_SIZE bytes): 0, and c->body bytes of its body come next; or
 * -EBADMSG (-EOPNOTSUPP: a later version's) with c->why and c->wrong_at.
 */
int file_check_frame(struct file_check *c, const uint8_t *hdr);
/*
 * That body, c->body bytes. As file_check_frame(); or 1: it was a CHUNK, whose payload_len bytes at
 * c->payload (inside body) decode to c->chunk.plain bytes, for file_check_records().
 */
int file_check_body(struct file_check *c, const uint8_t *body);
/* The decoded records of that CHUNK; plain NULL: it cannot be decoded. As file_check_frame(). */
int file_check_records(struct file_check *c, const uint8_t *plain);
/*
 * The file ends, `extra` bytes after the last whole frame: 0 when that is as it should be. The
 * digest of c->trailer is still to be compared.
 */
int file_check_eof(struct file_check *c, uint64_t extra);
