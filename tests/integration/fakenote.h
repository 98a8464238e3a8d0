/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Notes that a fake VMM holds when it registers, with the cookies that daemons put into them. */
#include "tests/integration/hostile.h"

/* What a source's cookie says. */
struct fake_cookie {
	const char *uri, *peer, *hostname, *creds; /* NULL: "" */
};

/* A note for reg without a cookie, to be filled in. */
struct vmm_note *fake_note_new(
	struct fake_vmm *v, const struct session_id *session, enum session_note note);
/* A source's cookie, without its MAC. */
void fake_note_cookie(struct fake_vmm *v, struct vmm_note *n, const struct fake_cookie *c);
/* Put the MAC behind it with the key of v's daemon, for a VM of that name (NULL: v's own). */
void fake_note_seal(struct fake_vmm *v, struct vmm_note *n, const char *vm_name);
/*
 * A whole note, as v's daemon would have made it: of a guest handed over to uri, or, uri NULL, of
 * one that arrived from a nameless peer.
 */
void fake_note(struct fake_vmm *v, const struct session_id *session, enum session_note note,
	const char *uri);
