/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Writes the rings' chunks into the destination's table, those of a ring in order, every record
 * validated before; a VERIFY chunk is compared with the table instead. A step is one chunk, or one
 * read for a comparison, or a barrier that every ring has come to.
 */
#include "daemon/flow/htabio.h"
#include "daemon/flow/recvring.h"
#include "daemon/flow/verify.h"

struct writer {
	struct recvrings *rings;
	struct htabio *io; /* replaced by the loop, with entries, at a generation's beginning */
	uint64_t entries;
	int timeout_ms;
	struct verify *verify; /* set by the loop, ended by the writer; under the flow's lock */
	uint64_t verified, mismatches; /* of VERIFY passes before this one */
	uint64_t digest[WIRE_CHANNELS_MAX];
	unsigned untold;  /* chunks written that the loop was not told of */
	uint64_t told_at; /* when it was told last, there being more to write */
	unsigned turn;    /* the channel that is looked at first */
	uint64_t waiting; /* since when a VERIFY chunk has nothing to be compared with; 0: it has */
	bool feeding;     /* the next chunk is being compared */
	uint64_t checked[WIRE_CHANNELS_MAX]; /* seq of the last chunk validated */
};

void writer_init(struct writer *w, struct recvrings *rings, struct htabio *io, uint64_t entries,
	int timeout_ms);
enum flow_next writer_step(void *writer, struct flow_wait *wait);
