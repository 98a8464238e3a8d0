/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Another host's monotonic clock as it is seen from here: by questions that it answers with its
 * time, as NTP does. What is known is an interval: the answer was given between the question and
 * its arrival. Wall clocks have no part in it. All in ns. Pure; any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#define CLOCKSYNC_DRIFT 1000u /* two clocks part by no more than a ns in so many */

struct clocksync {
	bool known;
	uint64_t own, other; /* one moment, by either clock ... */
	uint64_t half;       /* ... to within so much */
};

/*
 * A question left at `sent`, its answer came at `now`, by our clock, and says `other`. The better
 * of it and what was known is kept.
 */
void clocksync_sample(struct clocksync *c, uint64_t sent, uint64_t other, uint64_t now);
/*
 * A moment of the other clock by ours, modulo 2^64, and how exactly. 0, or -ENODATA: nothing is
 * known.
 */
int clocksync_own(
	const struct clocksync *c, uint64_t other, uint64_t *ret, uint64_t *ret_uncertainty);
