/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the tests of streams share: directories of certificates, a loop that gives up, pairs. */
#include <event2/event.h>
#include <stdbool.h>

#include "common/dial.h"
#include "tests/testca.h"

/* Long enough for the slowest sanitizer; only a failing test waits for it. */
#define HARNESS_TIMEOUT_MS 20000

/* What a dial or listener called back with; several of a listener's: the last. */
struct outcome {
	unsigned count;
	struct stream *stream;
	struct err err;
};

void outcome_cb(void *arg, struct stream *s, const struct err *err);
void outcome_clear(struct outcome *o);

/* Run the loop until *counter is at least n; the test fails after HARNESS_TIMEOUT_MS. */
void loop_until(struct event_base *base, const unsigned *counter, unsigned n);

/* A scratch directory of the test, removed with all in it by scratch_remove(). */
const char *scratch(void);
const char *scratch_path(const char *name, char *buf, size_t len);
void scratch_remove(void);

/* Credentials made with these options in the scratch directory's NAME. */
struct tls_creds *make_creds(const char *name, const struct testca_options *o);

/* The same, of the CA that was made for `of`. */
struct tls_creds *make_sibling(const char *of, const char *name, struct testca_options o);
/* What a scratch file has to another's end. */
void scratch_append(const char *from, const char *to);

/* Both ends of a socketpair, each through dial_fd(), until both have called back. */
void connect_pair(struct event_base *base, struct tls_creds *client, struct tls_creds *server,
	const char *hostname, struct outcome *c, struct outcome *s);
