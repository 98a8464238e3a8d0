/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The source's rings: one for each channel, between reader, sender and loop, and what they have in
 * common: the table that is read, and the pass.
 *
 *	sent <= sending <= filled <= min(acked, sent) + size; acked <= sending
 *	sent <= sealed <= filled <= sealed + plains
 *	(sent and sending go back, to acked, with a channel that replaces another)
 *
 * A pass is over, and a generation begun, when every channel has carried it.
 */
#include "common/codec.h"
#include "daemon/flow/bucket.h"
#include "daemon/flow/chunk.h"
#include "daemon/flow/link.h"
#include "daemon/base/meter.h"
#include "daemon/flow/outflow.h"

struct sendrings;

struct sendring {
	struct sendrings *all;
	struct flow *flow;
	uint32_t channel;
	unsigned sender; /* its id in the flow */
	struct ring ring;
	struct codec *coder; /* the sender's */

	uint64_t filled, sealed, sending, sent, acked; /* (lock) sealed: encoded, once for all */
	uint64_t ack_time;                             /* (lock) of the last progress */
	uint64_t digest;                               /* (lock) of chunks 1 to sent */
	uint64_t counted; /* (lock) the last chunk in the figures: one that is sent again is not */
	uint64_t end;     /* (lock) index after its last entry, in this pass */
	bool ending;      /* (lock) the pass is read: its PASS_END is to be written */
	uint32_t ended;   /* (lock) the last pass whose PASS_END is written */
	bool barrier;     /* (lock) the last generation's GENERATION is to be written */
	uint32_t told;    /* (lock) the generation that the channel is in; `ended` is of that */
	struct link link;
};

struct sendrings {
	struct flow *flow;
	unsigned reader; /* its id in the flow */
	unsigned n;      /* channels */
	struct sendring ring[WIRE_CHANNELS_MAX];
	enum htab_kind kind;
	enum wire_codec codec;
	size_t plain_max;
	bool file;      /* nobody acknowledges: what is sent is acked */
	uint8_t *spill; /* the reader's, with more than one channel: as much as a chunk holds */

	uint32_t generation;
	uint8_t order[WIRE_GENERATION_MAX + 2]; /* (lock) of each generation's table */
	enum wire_stream stream;
	uint32_t pass;
	bool reading; /* (lock) the pass is being read; then its end is sent, then neither */
	bool whole;   /* (lock) it was read to the table's end; else it may be cut off */
	bool done;    /* (lock) every channel carried its end, and the loop does not know it yet */
	/*
	 * The table goes away (lock): the reader is to part from it, has parted from it and the
	 * loop does not know it yet; every channel carried GENERATION and the same.
	 */
	bool parting, parted, begun;
	uint64_t pass_start;
	struct outflow_stats stats; /* (lock) but for what sendrings_get_stats() works out */
	uint64_t read_end;          /* (lock) index up to which the pass is in chunks */
	uint64_t busy_since;        /* (lock) when something is on its way, 0: nothing */
	struct meter meter;         /* (lock) of entries sent */
	struct wire_last_lap lap;   /* (lock) of the table's passes, flags apart */
	uint64_t rate;              /* (lock) bytes/s of all channels, 0: no limit */
	struct bucket bucket;       /* (lock) */
};

/* Under the lock: of the generation told, the last pass that is over before chunk c, NULL: now. */
static inline uint32_t sendring_over(const struct sendring *r, const struct chunk *c)
{
	return c ? c->meta.pass - 1 : r->all->pass - (r->all->pass > 0 && !r->all->whole);
}

/* Under the lock: is the next PASS_END the last pass's? */
static inline bool sendring_is_last(const struct sendring *r)
{
	return r->told == r->all->generation && r->ended + 1 == r->all->pass;
}

/* Under the lock: chunks in use. One that is acknowledged early is still the sender's. */
static inline uint64_t sendring_used(const struct sendring *r)
{
	return r->filled - (r->acked < r->sent ? r->acked : r->sent);
}

/*
 * Under the lock: a reader that had no chunk, or no buffer for records, may go on. Not one by one,
 * since each time costs a switch of threads. `used` were before those that are free now.
 */
static inline bool sendring_runs_low(const struct sendring *r, uint64_t used)
{
	uint64_t low = r->ring.size * 3u / 4;

	return used > low && sendring_used(r) <= low;
}

/* The same, when one more is sealed. */
static inline bool sendring_has_plains(const struct sendring *r)
{
	return r->ring.plain_slab && r->filled - r->sealed == r->ring.plains / 2;
}

/* The reader's: the next chunk of that ring, or NULL when it is full. */
struct chunk *sendring_free(struct sendring *r);

int sendrings_init(struct sendrings *a, struct flow *flow, const struct outflow_config *config);
void sendrings_fini(struct sendrings *a);
/* Under the lock: is every channel's last pass over, every GENERATION written? */
bool sendrings_ended(const struct sendrings *a);
bool sendrings_begun(const struct sendrings *a);
/* Any thread: wake every sender. */
void sendrings_wake(struct sendrings *a);
/* Loop: begin a pass. */
void sendrings_begin(struct sendrings *a, enum wire_stream stream, uint32_t pass);
/* Loop: the reader is not to touch its table any more; a pass under way is cut off: parted. */
void sendrings_part(struct sendrings *a);
/* Loop, once parted: what comes next is another table's: GENERATION is sent, then begun. */
void sendrings_generation(struct sendrings *a, uint32_t generation, uint32_t order);
/* Under the lock: a chunk is on its way, from here on. */
void sendrings_took(struct sendrings *a, uint64_t now);
/* Under the lock: it is written to its channel, whole. */
void sendrings_sent(struct sendring *r, const struct chunk *c, uint64_t now);
/* Under the lock: chunks up to seq are known to be written. */
void sendrings_written(struct sendring *r, uint64_t seq, uint64_t now);
/* Any thread: as outflow_get_stats(). */
void sendrings_get_stats(struct sendrings *a, struct outflow_stats *ret);
/* Loop: as outflow_ack(). */
int sendrings_ack(struct sendrings *a, uint32_t channel, uint64_t seq);
/* Loop, every channel being down: as outflow_resume(). */
int sendrings_resume(struct sendrings *a, const struct wire_resumed *resumed);
/* Loop, after the last pass: END's channels, and what is counted for all. */
void sendrings_get_end(struct sendrings *a, struct wire_end *end);
