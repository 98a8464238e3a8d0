/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What a migration goes by from its beginning to its end, whatever is set meanwhile: what its VM's
 * parameters were when it began, less what the other daemon cannot do. At the source it is wished
 * when the migration begins and settled once, right before OPEN (or the file's OPEN) is made from
 * it; at the destination it is what OPEN said. What may change on the way is struct tuning.
 *
 * Plain values, no I/O.
 */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/params.h"
#include "proto/wire.h"

struct agreed {
	bool settled;      /* OPEN says it, or said it: nothing here changes any more */
	uint64_t features; /* WIRE_FEATURE_* of both daemons; of a file none */
	enum wire_codec codec;
	uint32_t channels; /* data channels, 1 to WIRE_CHANNELS_MAX */
	bool verify;       /* both tables are compared before the guest changes hands */
	bool recover;      /* connections that break do not end the session */

	/* the source's alone */
	int zstd_level;
	bool bolted_only; /* to a file */
	bool pause_before_switchover;
	bool auto_converge;
	char tls_creds[PARAM_TEXT_MAX]; /* the directory, "": the daemon's */
	char tls_hostname[PARAM_TEXT_MAX];
};

/* The source, when it begins: what its VM's parameters ask for. */
void agreed_wish(struct agreed *a, const struct params *p, enum mmu_kind mmu);
/* The source, once: what is left of that where both daemons know `features`. */
void agreed_settle(struct agreed *a, uint64_t features);
/* The destination, once: what OPEN says, of a source with which it shares `features`. */
void agreed_accept(struct agreed *a, const struct wire_open *open, uint64_t features);
/* Both daemons can resume a session whose connections are gone. */
bool agreed_can_resume(const struct agreed *a);
/* OPEN's flags VERIFY and RECOVER. */
uint32_t agreed_open_flags(const struct agreed *a);
