/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * How fast something goes on now: counted by windows of a second, of which the last whole one and
 * the one under way say it. Times in ns of any one clock. Plain values.
 */
#include <stdint.h>

#include "common/clock.h"

#define METER_NS NS_PER_SEC

struct meter {
	uint64_t start, n;        /* of the window under way */
	uint64_t last_ns, last_n; /* the one before, 0: none */
};

static inline void meter_add(struct meter *m, uint64_t now, uint64_t n)
{
	if (now > m->start + METER_NS) {
		m->last_ns = now - m->start;
		m->last_n = m->n;
		m->start = now;
		m->n = 0;
	}
	m->n += n;
}

/* A second: of what is counted in a window that is late the time since counts as well. */
static inline uint64_t meter_rate(const struct meter *m, uint64_t now)
{
	uint64_t ns = now > m->start ? now - m->start : 0, n = m->n;

	if (ns < METER_NS) {
		ns += m->last_ns;
		n += m->last_n;
	}
	return ns ? (uint64_t)((double)n * NS_PER_SEC / (double)ns) : 0;
}
