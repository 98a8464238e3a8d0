/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * JSON as RFC 8259 has it and nothing else, from pieces of any size: control sockets, the
 * configuration, command lines. Everything is refused that two readers could take for two things:
 * members that are there twice, NUL, lone surrogates. An integer that does not fit int64_t becomes
 * json_type_double with its own text: where an integer is expected it is refused, and where it is
 * only passed on it stays what it was. Any thread, one at a time for each reader.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/text.h"

#define JSONREAD_DEPTH_MAX 32

/* A container that is not closed yet. */
struct jsonread_level {
	struct json_object *container;
	char *name; /* of the member whose value is next; NULL: that value is dropped */
};

struct jsonread {
	size_t max;                        /* bytes of one value */
	size_t fed;                        /* bytes of the value under way */
	unsigned line, column;             /* where the next byte is, from 1 */
	unsigned error_line, error_column; /* of the last error or fault */

	int state;
	int number;          /* within a number */
	const char *literal; /* what has to come of true, false or null */
	bool is_name;
	unsigned hex_left; /* digits of \uXXXX */
	uint32_t code, high;
	struct utf8 utf8;

	char *token;
	size_t token_len, token_cap;
	struct jsonread_level level[JSONREAD_DEPTH_MAX];
	unsigned depth;
	struct err fault; /* the first; code 0: none */
	unsigned fault_line, fault_column;
};

/* What jsonread_feed() has come to. */
enum {
	JSONREAD_MORE = 0,
	JSONREAD_VALUE = 1,
	JSONREAD_FAULT = 2,
};

/* max: bytes of one value. Allocates nothing. */
void jsonread_init(struct jsonread *j, size_t max);
/* Forget a value under way and free what it took. As after jsonread_init(). */
void jsonread_clear(struct jsonread *j);
/* Between two values? */
bool jsonread_idle(const struct jsonread *j);
/* Within an object or an array? After an error: was it there? */
bool jsonread_nested(const struct jsonread *j);

/*
 * Take bytes, *ret_used of them:
 * JSONREAD_MORE	all of them, and more are needed
 * JSONREAD_VALUE	*ret_value is whole, and the caller's (NULL is JSON's null)
 * JSONREAD_FAULT	the same, but nobody should act on it: err says why, error_line and
 *			error_column where
 * -EBADMSG, -ENOMEM	no JSON, as err says: buf[*ret_used] is the first byte that is wrong;
 *			jsonread_clear() before anything else is fed
 */
int jsonread_feed(struct jsonread *j, const char *buf, size_t len, size_t *ret_used,
	struct json_object **ret_value, struct err *err);

/*
 * The one value that a text is; blanks may be around it. 0 and *ret_value, or a negative errno and
 * err, which says the line and the column. err is not NULL.
 */
int jsonread_text(const char *text, size_t len, struct json_object **ret_value, struct err *err);
