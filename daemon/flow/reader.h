/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Reads the source's table, pass by pass, into the chunks of its channels' rings. A step is one
 * read of the htab fd, or, with several channels, the rest of dealing out what was read; with a
 * ring full or no pass begun there is nothing to do.
 *
 * A read goes into a chunk of the channel of its first entry and stays there as far as it is that
 * channel's. What is others' is copied: of a whole table little, of scattered changes most.
 */
#include "daemon/flow/htabio.h"
#include "daemon/flow/sendring.h"
#include "daemon/flow/stripe.h"

/*
 * Bytes of a read in a pass of changes. It is not before a read is over that its entries can be
 * encoded, and what is read last is what everybody waits for after the pause: towards the table's
 * end there is less at once. (Each chunk decodes alone, so that smaller ones cost bytes.)
 */
#define READER_CHANGES (64u << 10)
static inline size_t reader_changes(uint64_t cursor, uint64_t entries)
{
	return cursor < entries - entries / 4 ? READER_CHANGES : READER_CHANGES / 4;
}

/*
 * With a limit of so many bytes a second: what takes a tenth of one, so that what follows does not
 * wait long for what is under way, and a receiver sees that something comes.
 */
#define READER_LEAST 4096u
static inline size_t reader_max(size_t chunk, uint64_t rate)
{
	uint64_t max = rate / 10 < READER_LEAST ? READER_LEAST : rate / 10;

	return rate == 0 || max > chunk ? chunk : (size_t)max;
}

struct reader {
	struct sendrings *rings;
	struct htabio *io; /* replaced by the loop between passes, under the flow's lock */
	uint64_t entries;  /* of the table; the same */
	uint64_t cursor;   /* where the next read goes on; 0 whenever a pass ended */
	bool changes;      /* the table was read to its end once: what follows is what changed */
	/* A read whose records are being dealt out. */
	bool dealing;
	bool wrapped;        /* it came to the table's end */
	size_t spilt, dealt; /* bytes in rings->spill; of them, those looked at */
	struct htab_rec rec; /* what is left of the record there that is dealt out */
	struct chunk *open[WIRE_CHANNELS_MAX]; /* meta.plain bytes and count so far */
};

enum flow_next reader_step(void *reader, struct flow_wait *wait);
