/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Reads the source's table, pass by pass, into the chunks of a ring. A step is one read of the htab
 * fd; with the ring full or no pass begun there is nothing to do.
 */
#include "daemon/chunk.h"
#include "daemon/htabio.h"

/*
 * Bytes of a read in a pass of changes. It is not before a read is over that its entries can be
 * encoded, and what is read last is what everybody waits for after the pause.
 */
#define READER_CHANGES (64u << 10)

struct reader {
	struct sendring *ring;
	struct htabio *io; /* replaced by the loop between passes, under the flow's lock */
	uint64_t entries;  /* of the table; the same */
	uint64_t cursor;   /* where the next read goes on; 0 whenever a pass ended */
	bool changes;      /* the table was read to its end once: what follows is what changed */
};

enum flow_next reader_step(void *reader, struct flow_wait *wait);
