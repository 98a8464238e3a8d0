/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The cookies of notes: what a VMM keeps for a later daemon, opaque to itself, and gives back when
 * it registers. COMMITTING, at the source: where the destination is, and who; LOADING, at the
 * destination: whose session it is. Each ends with a MAC by this host's key (notekey.h).
 * docs/protocol.md, "Cookies", has the bytes. Loop thread only.
 */
#include "daemon/session/migration.h"

/* Of the COMMITTING note, into VMM_COOKIE_MAX bytes: its length, or -EMSGSIZE. */
int cookie_pack_source(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX]);
/* Of the LOADING note: its length, or a negative errno. */
int cookie_pack_dest(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX]);

/*
 * Was the cookie made on this host, for this note of this VM? The MAC is taken off then. What
 * follows is for such notes alone.
 */
bool cookie_open(const struct server *srv, const struct vm *vm, struct vmm_note *note);
/*
 * m is that migration again, as far as the note tells; every member has to be what migrate and
 * migrate-set-parameters would take. Or -errno with the reason, and m->uri_text is empty.
 */
int cookie_unpack_source(struct migration *m, const struct vmm_note *note, struct err *err);
void cookie_unpack_dest(struct migration *m, const struct vmm_note *note);
