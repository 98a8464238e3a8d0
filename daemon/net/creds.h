/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* The daemon's certificates, as long as they are good: what is told before they are not. Loop. */
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/dial.h"
#include "common/err.h"

struct server;

/* tls_creds_load() with the daemon's settings; what is not good in them is in the journal. */
int creds_load(const struct server *srv, const char *dir, struct tls_creds **ret, struct err *err);
/* From now on srv->creds are looked at each day. */
void creds_watch(struct server *srv);
/* When the first of srv->creds ends, "2026-12-13T10:00:00Z" in buf. */
const char *creds_end(const struct server *srv, char *buf, size_t len);
/* Sentences about what is not good in them, into a list of the caller's. */
void creds_warnings(const struct server *srv, struct json_object *list);
