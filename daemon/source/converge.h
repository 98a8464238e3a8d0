/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * When to pause: the downtime predicted from what the passes measured. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#define CONVERGE_UNKNOWN UINT64_MAX

/* What a pass that just ended measured. */
struct converge_in {
	uint32_t pass;
	uint64_t entries; /* it sent */
	uint64_t table;   /* entries that there are: no more can have changed */
	uint64_t pass_ns; /* from its start to its last byte sent */
	uint64_t scan_ns; /* inside read(): at least a clean scan */
	uint64_t rtt_ns;  /* of the network */
	uint64_t unacked; /* entries sent that are not written at the destination yet */
	/* Totals since the start: of entries that are, and of the time with some on the way. */
	uint64_t acked, busy_ns, bursts;
	uint64_t encode_ns; /* and of the codecs, by channel */
};

/* What is known so far; all zeros at the start. */
struct converge {
	uint64_t remaining;        /* entries expected to have changed during the last pass */
	uint64_t downtime;         /* ns predicted if the guest is paused now; CONVERGE_UNKNOWN */
	uint64_t entries, pass_ns; /* of the last pass */
	uint64_t idle_ns;          /* of the passes up to it in which nothing had changed */
	uint64_t scan_ns;          /* the shortest scan so far, 0 for none */
	uint64_t sent_rate; /* entries/s of the fastest pass: until it is known what is taken */
	uint64_t rates[2];  /* entries/s that are taken, by the last two measures, 0: none */
	struct converge_in last; /* totals when the last of them was taken */
};

/*
 * The pause costs one scan of the table (in which what is on its way arrives), the entries changed
 * since they were last read at the rate of late, and two round trips. The rate is the slower of the
 * last two that were measured: a link that slows down shows at once, and one late moment goes by.
 * What an intended limit of the bandwidth held back is no measure of the link. After the first pass
 * nothing is known about the guest's changes.
 */
void converge(struct converge *c, const struct converge_in *in);
/*
 * Is it time to pause: within limit (ns), or has nothing changed for so long that no pass makes it
 * better?
 */
bool converge_done(const struct converge *c, uint64_t limit);
/* The table is another one: what is known of the channels alone stays. */
void converge_forget(struct converge *c);
