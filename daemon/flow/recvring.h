/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The destination's rings: one for each channel, between receiver, writer and loop, and what they
 * have in common.
 *
 *	reported <= written <= received <= reported + size; received <= written + plains
 *
 * The end of a pass and the beginning of a generation are barriers: the writer passes one when it
 * has come to it by every channel. What came by a channel behind a barrier that another channel has
 * not brought waits in the ring; when the channels break then, it is forgotten, and comes again.
 */
#include "common/codec.h"
#include "daemon/flow/chunk.h"
#include "daemon/flow/inflow.h"
#include "daemon/flow/link.h"

#define RING_MARKERS 16u /* barriers of which the loop has not yet been told */

/* The end of a pass, or the beginning of a generation: then pass is 0. */
struct marker {
	enum wire_stream stream;
	uint32_t generation;
	uint32_t pass;
	uint32_t order; /* of the generation that begins */
	uint64_t seq;
};

/* A place in what a channel carries: after a chunk, or after a marker. */
struct recvpos {
	uint32_t generation, order; /* that arrives */
	uint32_t pass;              /* that arrives, or arrived last */
	uint32_t ended;             /* the last one of the generation whose end came, 0: none */
	enum wire_stream stream;
	bool open; /* a chunk of `pass` came, its end did not */
};

struct recvrings;

struct recvring {
	struct recvrings *all;
	struct flow *flow;
	uint32_t channel;
	unsigned receiver; /* its id in the flow */
	struct ring ring;
	struct codec *coder; /* the receiver's */
	struct recvpos pos;  /* the receiver's; with the channel down the loop's */

	uint64_t received, written, reported; /* (lock) */
	uint64_t digest;                      /* (lock) of chunks 1 to written */
	struct recvpos at;                    /* (lock) where the writer is */
	bool eof;                             /* (lock) the channel ended between two frames */
	struct link link;
	/* Ends of passes (lock), in order; slot n % RING_MARKERS: in by the receiver, done by the
	 * writer when all before is written, reported by the loop. */
	struct marker marker[RING_MARKERS];
	uint64_t markers_in, markers_done, markers_reported;
};

struct recvrings {
	struct flow *flow;
	unsigned writer; /* its id in the flow */
	unsigned n;      /* channels */
	struct recvring ring[WIRE_CHANNELS_MAX];
	uint32_t generation; /* (lock) that the writer's table is for; the loop changes it */
	bool generations;    /* a second one was agreed upon */
	enum htab_kind kind;
	enum wire_codec codec;
	bool file; /* a ring waits for room: no source is there to keep to its size */
	/* Barriers that the writer has passed by every channel (lock), as a ring's markers. */
	struct marker over[RING_MARKERS];
	uint64_t over_in, over_out;
	struct marker barrier;     /* (lock) the last generation that the writer came to; 0: none */
	struct inflow_stats stats; /* (lock) */
	uint64_t tlb_entries;
	struct wire_last_lap lap;  /* (lock) of the table's passes, as they were written */
	struct wire_last_lap told; /* the loop's: as the source says; generation 0: it does not */
};

/*
 * Under the lock, when one more is written: a receiver that had no buffer for the next records may
 * go on. Not one by one, since each time costs a switch of threads.
 */
static inline bool recvring_runs_low(const struct recvring *r)
{
	return r->ring.plain_slab && r->received - r->written == r->ring.plains / 2;
}

int recvrings_init(struct recvrings *a, struct flow *flow, const struct inflow_config *config);
void recvrings_fini(struct recvrings *a);
/* Where a channel is after a chunk, or a marker, of it. */
void recvpos_chunk(struct recvpos *p, const struct wire_chunk *c);
void recvpos_marker(struct recvpos *p, const struct marker *m);
/*
 * Under the lock. The marker that is next on the channel, all before it being written, or NULL;
 * then, the chunk that is, or NULL.
 */
const struct marker *recvring_marker(const struct recvring *r);
struct chunk *recvring_chunk(const struct recvring *r);
/*
 * Loop: take what is to be told: ret_seq[channel] is the last chunk written, when that is news
 * (else 0); barriers that were passed go to ret_marker[RING_MARKERS], their number is returned.
 */
unsigned recvrings_report(struct recvrings *a, uint64_t *ret_seq, struct marker *ret_marker);
/*
 * Loop: are all channels down, and all that came by them written and reported, as far as it can be?
 * Then the rest is forgotten, and *ret says where each channel is; `secret` is not touched.
 */
bool recvrings_settled(struct recvrings *a, struct wire_resumed *ret);
/* Writer, under the lock: a chunk of the table is written. */
void recvrings_count(struct recvrings *a, const struct chunk *c);
/*
 * Loop: does what END says hold (and a->told)? 1: yes, and everything is written. 0: not all of it
 * has arrived.
 * Otherwise a negative errno and the sentence.
 */
int recvrings_check_end(struct recvrings *a, const struct wire_end *end, struct err *err);
