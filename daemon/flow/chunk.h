/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Chunks and the ring that they live in: memory for a whole migration, allocated at its start. The
 * source's rings are in sendring.h, the destination's in recvring.h.
 *
 * A chunk's buffer holds a whole CHUNK frame. Without a codec its records are read behind the room
 * for both headers, sent from there, received there and written from there; no copies. With one
 * they are needed from the read to the encoder, and from the decoder to the write, alone: a few
 * buffers take turns, which stay in a processor's cache. Chunk seq lives in slot (seq - 1) % size
 * of its channel's ring, and its records in (seq - 1) % plains of those buffers, so a ring is no
 * more than a few sequence numbers.
 *
 * In all three, fields marked (lock) are guarded by the flow's lock; a chunk belongs to one actor
 * at a time, as the sequence numbers say.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/htab.h"
#include "proto/wire.h"

#define CHUNK_ROOM  (WIRE_HDR_SIZE + WIRE_CHUNK_HDR)
#define CHUNK_ALIGN 64u
/* A destination's: chunks in flight, 8 MiB shared out among the channels, and at least of each. */
#define RINGS_CHUNKS 32u
#define RING_CHUNKS  8u
/* Of each channel, where a codec makes the payload: chunks whose records are in memory. */
#define RING_PLAINS 8u

static inline uint32_t ring_chunks(uint32_t channels)
{
	return RINGS_CHUNKS / channels < RING_CHUNKS ? RING_CHUNKS : RINGS_CHUNKS / channels;
}

struct chunk {
	struct wire_chunk meta;
	uint8_t *frame; /* CHUNK_ROOM, then the payload */
	uint8_t *plain; /* the records, while they are needed: ring_records() */
	size_t len;     /* of the frame, once it is sealed or received */
	struct htab_count count;
};

static inline uint8_t *chunk_payload(const struct chunk *c)
{
	return c->frame + CHUNK_ROOM;
}

struct ring {
	unsigned size;
	unsigned plains; /* chunks that may have records at a time */
	size_t payload_max, plain_max;
	struct chunk *chunk;
	uint8_t *slab, *plain_slab;
};

/* in_place: the records are the payload; else they have up to plain_max bytes. 0 or -ENOMEM. */
int ring_init(struct ring *r, unsigned size, size_t payload_max, bool in_place, size_t plain_max);
void ring_fini(struct ring *r);

static inline struct chunk *ring_chunk(const struct ring *r, uint64_t seq)
{
	return &r->chunk[(seq - 1) % r->size];
}

/* The same, with a buffer for its records: the one of chunk seq - plains, which is done with it. */
struct chunk *ring_records(const struct ring *r, uint64_t seq);

/* The stream whose records are written; each kind of table has its own. */
static inline enum wire_stream table_stream(enum htab_kind kind)
{
	return kind == HTAB_TLB ? WIRE_STREAM_TLB : WIRE_STREAM_HTAB;
}

/* Kind and entries of the table that a flow's config speaks of. */
static inline enum htab_kind table_kind(uint64_t tlb_entries)
{
	return tlb_entries ? HTAB_TLB : HTAB_HPT;
}

static inline uint64_t table_entries(unsigned order, uint64_t tlb_entries)
{
	return tlb_entries ? tlb_entries : htab_entries(order);
}

/* "HTAB", "VERIFY", ...; for sentences. */
const char *wire_stream_name(enum wire_stream stream);
