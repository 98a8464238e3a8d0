/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The key by which a daemon knows its own cookies again (docs/protocol.md, "Cookies").
 *
 * VMMs keep the notes of their sessions and hand them back when they register, and a VMM is not
 * trusted: what a cookie says is dialled, opened and looked for by the daemon. So each ends with an
 * HMAC-SHA256 over itself and over what it is for. The key is made once and lies in the state
 * directory. Loop thread only; libcrypto.
 */
#include <stdint.h>

#include "common/err.h"
#include "proto/vmm.h"

#define NOTEKEY_SIZE 32u
#define NOTEKEY_MAC  32u /* bytes at the end of a cookie */

struct notekey {
	uint8_t b[NOTEKEY_SIZE];
};

enum note_end {
	NOTE_OF_SOURCE = 1, /* COMMITTING */
	NOTE_OF_DESTINATION = 2,
};

/* What a cookie is good for: the one note of one VM. */
struct note_of {
	enum note_end end;
	const struct session_id *session;
	const struct vm_uuid *uuid;
	const char *vm_name;
};

/*
 * Read the key DIR/note-key; make it, and DIR, where there is none. 0, or -errno with a sentence:
 * it cannot be made or read, is no regular file of this user's own, or others may read it.
 */
int notekey_load(const char *dir, struct notekey *ret, struct err *err);

/* Put the MAC behind a cookie of len bytes. The length of both, or -EMSGSIZE. */
int notekey_seal(const struct notekey *key, const struct note_of *of,
	uint8_t cookie[static VMM_COOKIE_MAX], size_t len);
/*
 * Was the note's cookie made with this key, for that? 0, and the note's cookie_len is without the
 * MAC; or -EBADMSG.
 */
int notekey_open(const struct notekey *key, const struct note_of *of, struct vmm_note *note);
