/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/converge.h"

#include "common/clock.h"

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t scaled(uint64_t v, uint64_t mul, uint64_t div)
{
	unsigned __int128 r = (unsigned __int128)v * mul / max64(div, 1);

	return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

void converge(const struct converge_in *in, struct converge_out *ret)
{
	uint64_t send, rate = scaled(in->entries, NS_PER_SEC, in->pass_ns);

	ret->best_rate = max64(in->best_rate, rate);
	ret->best_scan_ns = in->best_scan_ns;
	ret->remaining = in->entries;
	ret->downtime = UINT64_MAX;
	if (in->pass < 2)
		return;
	if (!ret->best_scan_ns || in->scan_ns < ret->best_scan_ns)
		ret->best_scan_ns = in->scan_ns;
	/*
	 * These entries changed while the pass before ran; as many a second changed during this
	 * one.
	 */
	ret->remaining = scaled(in->entries, in->pass_ns, in->prev_pass_ns);
	if (ret->remaining > in->table)
		ret->remaining = in->table;
	send = scaled(ret->remaining, NS_PER_SEC, ret->best_rate);
	if (__builtin_add_overflow(ret->best_scan_ns + 2 * in->rtt_ns, send, &ret->downtime))
		ret->downtime = UINT64_MAX;
}
