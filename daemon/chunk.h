/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Chunks and the two rings that they live in: memory for a whole migration, allocated at its start.
 *
 * A chunk's buffer holds a whole CHUNK frame: records are read behind the room for both headers,
 * sent from there, received there and written from there; no copies. Chunk seq lives in slot
 * (seq - 1) % size of its channel's ring, so a ring is no more than a few sequence numbers:
 *
 *	source:       sent <= sending <= filled <= min(acked, sent) + size; acked <= sending
 *	              (sent and sending go back, to acked, with a channel that replaces another)
 *	destination:  reported <= written <= received <= reported + size
 *
 * Fields marked (lock) are guarded by the flow's lock; a chunk belongs to one actor at a time, as
 * the sequence numbers say.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/codec.h"
#include "daemon/flow.h"
#include "daemon/inflow.h"
#include "daemon/link.h"
#include "daemon/outflow.h"
#include "proto/wire.h"

#define CHUNK_ROOM   (WIRE_HDR_SIZE + WIRE_CHUNK_HDR)
#define CHUNK_ALIGN  64u
#define RING_MARKERS 16u /* passes whose end the loop has not yet been told */

struct chunk {
	struct wire_chunk meta;
	uint8_t *frame; /* CHUNK_ROOM, then the payload */
	size_t len;     /* of the frame, once it is sealed or received */
	struct htab_count count;
};

static inline uint8_t *chunk_plain(const struct chunk *c)
{
	return c->frame + CHUNK_ROOM;
}

struct ring {
	unsigned size;
	size_t payload_max;
	struct chunk *chunk;
	uint8_t *slab;
};

int ring_init(struct ring *r, unsigned size, size_t payload_max);
void ring_fini(struct ring *r);

static inline struct chunk *ring_chunk(const struct ring *r, uint64_t seq)
{
	return &r->chunk[(seq - 1) % r->size];
}

/* The source's ring of one channel: between reader, sender and loop. */
struct sendring {
	struct flow *flow;
	unsigned reader, sender; /* ids in the flow */
	struct ring ring;
	uint32_t channel;
	uint32_t generation;
	enum htab_kind kind;
	enum wire_codec codec;
	struct codec *coder; /* the sender's */
	size_t plain_max;
	bool file; /* nobody acknowledges: what is sent is acked */

	uint64_t filled, sending, sent, acked; /* (lock) */
	uint64_t ack_time;                     /* (lock) of the last progress */
	uint64_t digest;                       /* (lock) of chunks 1 to sent */
	/* The pass (lock): reading, then ending (its PASS_END is to be written), then neither. */
	bool reading, ending;
	bool done;      /* (lock) ended, and the loop does not know it yet */
	uint32_t ended; /* (lock) the last pass whose PASS_END is written */
	/*
	 * The table goes away (lock): the reader is to part from it, has parted from it and the
	 * loop does not know it yet; GENERATION is to be sent, was sent and the same.
	 */
	bool parting, parted, barrier, begun;
	bool whole;    /* (lock) the pass was read to the table's end; else it may be cut off */
	uint32_t told; /* (lock) the generation that the channel is in; `ended` is of that */
	uint8_t order[WIRE_GENERATION_MAX + 2]; /* (lock) of each generation's table */
	enum wire_stream stream;
	uint32_t pass;
	uint64_t pass_start;
	struct link link;
	uint64_t down_since;        /* the loop's: what a pass's time is short of */
	struct outflow_stats stats; /* (lock) */
	uint64_t rate;              /* (lock) bytes/s, 0: no limit */
};

/* Under the lock: of the generation told, the last pass that is over before chunk c, NULL: now. */
static inline uint32_t sendring_over(const struct sendring *r, const struct chunk *c)
{
	return c ? c->meta.pass - 1 : r->pass - (r->pass > 0 && !r->whole);
}

/* Under the lock: is the next PASS_END the last pass's? */
static inline bool sendring_is_last(const struct sendring *r)
{
	return r->told == r->generation && r->ended + 1 == r->pass;
}

int sendring_init(struct sendring *r, struct flow *flow, const struct outflow_config *config);
void sendring_fini(struct sendring *r);
/* Loop: begin a pass. */
void sendring_begin(struct sendring *r, enum wire_stream stream, uint32_t pass);
/* Loop: the reader is not to touch its table any more; a pass under way is cut off: parted. */
void sendring_part(struct sendring *r);
/* Loop, once parted: what comes next is another table's: GENERATION is sent, then begun. */
void sendring_generation(struct sendring *r, uint32_t generation, uint32_t order);
/* Loop: as outflow_ack(). */
int sendring_ack(struct sendring *r, uint64_t seq);
/* Loop, the channel being down: as outflow_resume(). */
int sendring_resume(struct sendring *r, uint64_t seq, uint32_t generation, uint32_t pass);
/* Loop, after the last pass: this channel's part of END, and what is counted for all. */
void sendring_get_end(struct sendring *r, struct wire_end *end);

/* The end of a pass, or the beginning of a generation: then pass is 0. */
struct marker {
	enum wire_stream stream;
	uint32_t generation;
	uint32_t pass;
	uint32_t order; /* of the generation that begins */
	uint64_t seq;
};

/* The destination's ring of one channel: between receiver, writer and loop. */
struct recvring {
	struct flow *flow;
	unsigned receiver, writer; /* ids in the flow */
	struct ring ring;
	uint32_t channel;
	uint32_t generation; /* (lock) that the writer's table is for; the loop changes it */
	bool generations;    /* a second one was agreed upon */
	enum htab_kind kind;
	enum wire_codec codec;
	struct codec *coder; /* the receiver's */
	bool file;           /* it waits for room: no source is there to keep to the ring's size */

	uint64_t received, written, reported; /* (lock) */
	uint64_t digest;                      /* (lock) of chunks 1 to written */
	bool eof;                             /* (lock) the channel ended between two frames */
	struct link link;
	/* Ends of passes (lock), in order; slot n % RING_MARKERS: in by the receiver, done by the
	 * writer when all before is written, reported by the loop. */
	struct marker marker[RING_MARKERS];
	uint64_t markers_in, markers_done, markers_reported;
	struct marker barrier;     /* (lock) the last generation that the writer came to; 0: none */
	struct inflow_stats stats; /* (lock) */
};

int recvring_init(struct recvring *r, struct flow *flow, const struct inflow_config *config);
void recvring_fini(struct recvring *r);
/*
 * Loop: take what is to be told: *ret_seq is the last chunk written, when that is news (else 0);
 * markers that were reached go to ret_marker[RING_MARKERS], their number is returned.
 */
unsigned recvring_report(struct recvring *r, uint64_t *ret_seq, struct marker *ret_marker);
/* Loop: is the channel down, and all that came by it written and reported? */
bool recvring_settled(
	struct recvring *r, uint64_t *ret_seq, uint32_t *ret_generation, uint32_t *ret_pass);
/*
 * Loop: does what END says hold? 1: yes, and everything is written. 0: not all of it has arrived.
 * Otherwise a negative errno and the sentence.
 */
int recvring_check_end(struct recvring *r, const struct wire_end *end, struct err *err);

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
