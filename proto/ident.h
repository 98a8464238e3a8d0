/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What names a session, a VM and a kind of MMU, on the wire and on the VMM socket alike.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VM_NAME_MAX 64 /* [A-Za-z0-9._-]{1,64}, no leading dot */

/* 128 random bits that name one attempt to move one VM. All zero: none. */
struct session_id {
	uint8_t b[16];
};

struct vm_uuid {
	uint8_t b[16];
};

static inline bool session_eq(const struct session_id *a, const struct session_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool session_is_none(const struct session_id *s)
{
	static const struct session_id none;

	return session_eq(s, &none);
}

static inline bool uuid_eq(const struct vm_uuid *a, const struct vm_uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Is this a VM's name? It also names a socket file, so nothing else passes. */
static inline bool vm_name_ok(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n <= VM_NAME_MAX && s[n] == 0 && s[0] != '.';
}

/* How the guest's addresses are translated, and so what there is to stream. Never renumbered. */
enum mmu_kind {
	MMU_HPT = 1,   /* Book3S, hashed page table: passes of changed HPTEs */
	MMU_BOOKE = 2, /* BookE software TLB: passes of changed TLB entries */
};

/*
 * The destination's VMM decides a session once; RUN and DEAD are final. COMMITTING is the source's
 * only note. Never renumbered: they travel on the VMM socket and in the frozen answers.
 */
enum session_note {
	NOTE_NONE = 0,
	NOTE_LOADING = 1,
	NOTE_READY = 2,
	NOTE_RUN = 3,
	NOTE_DEAD = 4,
	NOTE_COMMITTING = 5,
};

/* "READY"; "?" for a number that is none. */
const char *session_note_name(enum session_note note);

/* A session's 32 hexadecimal digits and a NUL. */
#define SESSION_TEXT_SIZE 33
void session_format(const struct session_id *s, char buf[static SESSION_TEXT_SIZE]);
