/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Time. Nanoseconds everywhere; any thread.
 */
#include <stdint.h>

#define NS_PER_US  1000ull
#define NS_PER_MS  1000000ull
#define NS_PER_SEC 1000000000ull

/* Since some moment of this boot; it never goes back. For time-outs, rates and downtime. */
uint64_t clock_ns(void);

/* Since 1970 by the host's clock, which may jump. For what another host or a person will read. */
uint64_t clock_real_ns(void);
