/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Text that others wrote, before a terminal, a journal or a JSON string shows it. Pure functions;
 * any thread.
 */
#include <stdbool.h>
#include <stddef.h>

/* Checks UTF-8 (RFC 3629) a byte at a time. All zero: between two characters. */
struct utf8 {
	unsigned char need;   /* bytes of the character still to come */
	unsigned char lo, hi; /* what the next of them may be */
};

/* How many bytes of buf are right; *u stands behind them. */
size_t utf8_scan(struct utf8 *u, const char *buf, size_t len);

/* Put '?' for every byte that is no UTF-8, such as the cut end of a sentence. The length stays. */
void text_utf8(char *text);

/*
 * The same, and ' ' for tabs and newlines, '?' for every character that would act on what shows
 * the text: C0, DEL, C1, line and paragraph separators, and those that turn the direction of
 * writing. The text becomes shorter or stays as long.
 */
void text_clean(char *text);
/* Does text_clean() leave it as it is? */
bool text_is_clean(const char *text);
