/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What people and programs are told of a migration. The loop's thread. */
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct migration;

#define REPORT_TEXT (2 * ERR_TEXT_MAX) /* for any sentence of these */

/* query-migrate's answer; the caller's. */
struct json_object *report_json(struct migration *m);
/* A sentence for STATUS= and the journal. */
void report_describe(const struct migration *m, char *buf, size_t len);
/*
 * Nobody but an operator may be able to end it: why, and by which command. false: it is not so, and
 * buf is "".
 */
bool report_unresolved(const struct migration *m, char *buf, size_t len);
