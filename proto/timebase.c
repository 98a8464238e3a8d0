/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/timebase.h"

#include <assert.h>
#include <errno.h>

#include "proto/muldiv.h"

#define NS 1000000000ull

uint64_t timebase_ticks(uint64_t ns, uint64_t hz)
{
	return mul_div(ns, hz, NS);
}

int64_t timebase_ns(int64_t ticks, uint64_t hz)
{
	uint64_t magnitude = ticks < 0 ? 0 - (uint64_t)ticks : (uint64_t)ticks;
	uint64_t ns = mul_div(magnitude, NS, hz);

	if (ns > INT64_MAX)
		return ticks < 0 ? INT64_MIN : INT64_MAX;
	return ticks < 0 ? -(int64_t)ns : (int64_t)ns;
}

/* Ticks from b to a, either way round. */
static int64_t ticks_between(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

uint64_t timebase_offset(uint64_t guest_tb, uint64_t passed, uint64_t host_tb, uint64_t was,
	uint64_t hz, int64_t *ret_error)
{
	uint64_t ticks = timebase_ticks(passed, hz);
	uint64_t exact = guest_tb + ticks - host_tb, offset;
	int64_t from_was = ticks_between(exact, was), unit = (int64_t)TIMEBASE_UNIT;
	uint64_t above = exact % TIMEBASE_UNIT;

	assert(hz > 0);
	if (was % TIMEBASE_UNIT == 0 && from_was >= -unit && from_was <= unit &&
		ticks_between(host_tb + was, guest_tb) >= 0)
		offset = was;
	else if (above <= TIMEBASE_UNIT / 2 && above <= ticks)
		offset = exact - above;
	else
		offset = exact - above + TIMEBASE_UNIT;
	*ret_error = timebase_ns(ticks_between(offset, exact), hz);
	return offset;
}

int timebase_paused_at(uint64_t now, uint64_t age, uint64_t rtt, uint64_t opened, uint64_t *ret)
{
	uint64_t session = now > opened ? now - opened : 0;
	uint64_t most = session + session / 1000 + PAUSE_AGE_MARGIN;

	if (age > most)
		return -EBADMSG;
	age += rtt / 2 < most ? rtt / 2 : most;
	*ret = age < now ? now - age : 1;
	return 0;
}
