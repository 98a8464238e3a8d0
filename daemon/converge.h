/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * When to pause: the downtime predicted from what the passes measured. Pure.
 */
#include <stdint.h>

struct converge_in {
	uint32_t pass;         /* the one that just ended */
	uint64_t entries;      /* it sent */
	uint64_t table;        /* entries that there are: no more can have changed */
	uint64_t pass_ns;      /* from its start to its last byte sent */
	uint64_t scan_ns;      /* inside read(): at least a clean scan */
	uint64_t prev_pass_ns; /* the pass before: the time in which these entries changed */
	uint64_t rtt_ns;       /* of the network */
	uint64_t best_scan_ns; /* smallest scan so far, 0 for none */
	uint64_t best_rate;    /* entries a second, highest seen so far, 0 for none */
};

struct converge_out {
	uint64_t best_scan_ns, best_rate; /* to be given to the next call */
	uint64_t remaining;               /* entries expected to have changed during the pass */
	uint64_t downtime; /* ns predicted if the guest is paused now; UINT64_MAX: unknown */
};

/*
 * The pause costs one scan of the table, the entries changed since they were last read at the rate
 * measured, and two round trips. After the first pass nothing is known about the guest's changes.
 */
void converge(const struct converge_in *in, struct converge_out *ret);
