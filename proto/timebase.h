/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The guest's time across a migration: when it stood still, and how its timebase goes on.
 *
 * A timebase is a count of 64 bits; all that is done with it is modulo 2^64. KVM gives a guest the
 * host's timebase and an offset, a multiple of TIMEBASE_UNIT (set_one_reg rounds up,
 * arch/powerpc/kvm/book3s_hv.c), so the guest's cannot be set exactly. Pure; any thread.
 */
#include <stdint.h>

#define TIMEBASE_HZ      512000000u   /* of every processor with a hashed page table since POWER6 */
#define TIMEBASE_UNIT    (1ull << 24) /* ticks of an offset: 32.8 ms */
#define PAUSE_AGE_MARGIN 1000000000ull /* ns */

/* ns in ticks of `hz`, UINT64_MAX where they are more; and back, signed. */
uint64_t timebase_ticks(uint64_t ns, uint64_t hz);
int64_t timebase_ns(int64_t ticks, uint64_t hz);

/*
 * The offset with which a guest goes on whose timebase was guest_tb `passed` ns ago, on a host
 * whose timebase is host_tb now. It is the multiple of TIMEBASE_UNIT that is nearest, but for two
 * things. An offset that is within a unit of the one that the guest had at its source, `was`, is
 * that one: hosts whose timebases are the same, or one host, are then exact, whatever was measured.
 * And none puts the guest's timebase back below guest_tb. *ret_error: ns by which the guest's
 * timebase is ahead of (or, negative, behind) where it would be, as measured, had it never moved.
 */
uint64_t timebase_offset(uint64_t guest_tb, uint64_t passed, uint64_t host_tb, uint64_t was,
	uint64_t hz, int64_t *ret_error);

/*
 * When the guest stopped, by this host's CLOCK_MONOTONIC: END came now, its pause age is another
 * host's word, rtt the round trip to it (0: not known), opened when its OPEN came; all ns. A guest
 * stops after OPEN, so an age that is more than PAUSE_AGE_MARGIN and 1/1000 (clocks that run at
 * different rates) longer than that is refused: -EBADMSG. 0 and *ret, which is never 0 nor past
 * now.
 */
int timebase_paused_at(uint64_t now, uint64_t age, uint64_t rtt, uint64_t opened, uint64_t *ret);
