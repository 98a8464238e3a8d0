/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The progress of a migration, made from successive answers to query-migrate: one line that is
 * drawn again and again on a terminal, or a line for each pass elsewhere. Plain values, one thread.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_LINE 256

struct progress {
	bool begun;
	char status[24];
	char step[24];
	uint64_t pass;
	uint64_t before;      /* entries transferred when this pass was first seen */
	uint64_t slots;       /* of the table, in the first pass; 0: a later one */
	uint64_t transferred; /* entries */
	uint64_t remaining;   /* entries of this pass */
	uint64_t rate;        /* entries/s */
	uint64_t downtime;    /* ms, predicted */
	uint64_t throttle;    /* percent */
	bool interrupted;     /* the connections are gone: */
	bool by_hand;         /* somebody has to resume it, */
	uint64_t left;        /* within so many s */
};

/* Take a new answer in. True when a pass or a step has begun: the time for a line in a log. */
bool progress_update(struct progress *p, struct json_object *query_migrate);

/* How much of this pass is done, in percent. */
unsigned progress_percent(const struct progress *p);

/* A line of at most `columns` columns, without newline. */
void progress_bar(const struct progress *p, unsigned columns, char buf[static PROGRESS_LINE]);
/* The same for a log: no bar. */
void progress_text(const struct progress *p, char buf[static PROGRESS_LINE]);
