/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What programs print for people: quantities with units and aligned tables; and whether standard
 * output took it. Plain functions; one thread.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OUTPUT_TEXT 32

/* "1.5 MiB", "12 B" */
const char *output_bytes(char buf[static OUTPUT_TEXT], uint64_t bytes);
/* "950", "12.3 k", "1.2 M" */
const char *output_count(char buf[static OUTPUT_TEXT], uint64_t n);
/* "340 ms", "12.3 s", "3 min 20 s" */
const char *output_time(char buf[static OUTPUT_TEXT], uint64_t ms);

#define TABLE_COLUMNS 12

struct table_column {
	const char *head;
	bool right; /* numbers are flush right */
};

struct table;
/* columns, which must outlive the table, end with a NULL head. NULL when out of memory. */
struct table *table_new(const struct table_column *columns);
/* The next cell, row by row; the text is copied. */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t, FILE *to);
struct table *table_free(struct table *t); /* takes NULL, returns NULL */

/* A heading and its value, the values in one column. */
void output_pair(FILE *to, const char *head, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * At the beginning of a program: a descriptor from 0 to 2 that is closed would become a file or a
 * socket of ours. 0; -EBADF after a sentence on stderr when there is no standard output.
 */
int output_begin(const char *program);
/* Give standard output what was printed. False, from the first failure on: it takes nothing. */
bool output_flush(void);
/* At its end. 0, or -EIO after a sentence on stderr when something could not be written. */
int output_end(const char *program);

/* One JSON value on one line, flushed. */
void output_json(struct json_object *o);

/* Members of objects whose peer may have left them out or given them another type. */
const char *member_text(struct json_object *o, const char *name, const char *otherwise);
int64_t member_int(struct json_object *o, const char *name, int64_t otherwise);
bool member_bool(struct json_object *o, const char *name);
struct json_object *member(struct json_object *o, const char *name); /* borrowed, or NULL */
