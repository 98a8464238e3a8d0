/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Writes a ring's chunks into the destination's table, in order, every record validated before; a
 * VERIFY chunk is compared with the table instead. A step is one chunk, or one read for a
 * comparison.
 */
#include "daemon/chunk.h"
#include "daemon/htabio.h"
#include "daemon/verify.h"

struct writer {
	struct recvring *ring;
	struct htabio *io; /* replaced by the loop, with entries, at a generation's beginning */
	uint64_t entries;
	int timeout_ms;
	struct verify *verify; /* set by the loop, ended by the writer; under the flow's lock */
	uint64_t verified, mismatches; /* of VERIFY passes before this one */
	uint64_t digest;
	uint64_t waiting; /* since when a VERIFY chunk has nothing to be compared with; 0: it has */
	bool feeding;     /* the next chunk is being compared */
	uint64_t checked; /* seq of the last chunk validated */
};

void writer_init(struct writer *w, struct recvring *ring, struct htabio *io, uint64_t entries,
	int timeout_ms);
enum flow_next writer_step(void *writer, struct flow_wait *wait);
