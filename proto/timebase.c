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

uint64_t timebase_offset(
	uint64_t guest_tb, uint64_t passed, uint64_t host_tb, uint64_t hz, int64_t *ret_error)
{
	uint64_t ticks = timebase_ticks(passed, hz);
	uint64_t exact = guest_tb + ticks - host_tb;
	uint64_t above = exact % TIMEBASE_UNIT;

	assert(hz > 0);
	if (above == 0) {
		*ret_error = 0;
		return exact;
	}
	if (above <= TIMEBASE_UNIT / 2 && above <= ticks) {
		*ret_error = timebase_ns(-(int64_t)above, hz);
		return exact - above;
	}
	*ret_error = timebase_ns((int64_t)(TIMEBASE_UNIT - above), hz);
	return exact + TIMEBASE_UNIT - above;
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
