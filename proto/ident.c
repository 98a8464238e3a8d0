/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/ident.h"

const char *session_note_name(enum session_note note)
{
	switch (note) {
	case NOTE_NONE: return "NONE";
	case NOTE_LOADING: return "LOADING";
	case NOTE_READY: return "READY";
	case NOTE_RUN: return "RUN";
	case NOTE_DEAD: return "DEAD";
	case NOTE_COMMITTING: return "COMMITTING";
	}
	return "?";
}

void session_format(const struct session_id *s, char buf[static SESSION_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < sizeof(s->b); i++) {
		buf[2 * i] = digits[s->b[i] >> 4];
		buf[2 * i + 1] = digits[s->b[i] & 15];
	}
	buf[2 * sizeof(s->b)] = 0;
}
