/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/clocksync.h"

#include <errno.h>

/* What the clocks may have parted by in so long, either way round. */
static uint64_t drift(int64_t ns)
{
	uint64_t n = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

	return n / CLOCKSYNC_DRIFT;
}

void clocksync_sample(struct clocksync *c, uint64_t sent, uint64_t other, uint64_t now)
{
	uint64_t half;

	if (now < sent)
		return; /* no answer to a question of ours */
	half = (now - sent) / 2 + 1;
	if (c->known && half > c->half + drift((int64_t)(now - c->own)))
		return;
	*c = (struct clocksync){
		.known = true,
		.own = sent + (now - sent) / 2,
		.other = other,
		.half = half,
	};
}

int clocksync_own(
	const struct clocksync *c, uint64_t other, uint64_t *ret, uint64_t *ret_uncertainty)
{
	if (!c->known)
		return -ENODATA;
	*ret = c->own + (other - c->other);
	*ret_uncertainty = c->half + drift((int64_t)(other - c->other));
	return 0;
}
