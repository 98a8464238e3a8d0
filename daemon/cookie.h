/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The cookies of notes: what a VMM keeps for a later daemon, opaque to itself, and gives back when
 * it registers. COMMITTING, at the source: where the destination is, and who; LOADING, at the
 * destination: whose session it is. docs/protocol.md, "Cookies", has the bytes. Loop thread only.
 */
#include "daemon/migration.h"

/* Of the COMMITTING note, into VMM_COOKIE_MAX bytes: its length, or -EMSGSIZE. */
int cookie_pack_source(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX]);
/* m is that migration again, as far as the note tells; or -EBADMSG: the note tells nothing. */
int cookie_unpack_source(struct migration *m, const struct vmm_note *note);

/* Of the LOADING note: its length. */
uint16_t cookie_pack_dest(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX]);
void cookie_unpack_dest(struct migration *m, const struct vmm_note *note);
