/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A QMP client on a UNIX socket, blocking with a time limit: for htabctl and for tests.
 *
 * One thread at a time for each client. Every wait is a poll() with a limit in milliseconds; -1 is
 * none. Events that come while an answer is waited for are kept, up to QMPCLIENT_EVENTS_MAX, and
 * handed out by qmpclient_event() in their order.
 *
 * Strings that the server sends come with text_clean() done to them: people see them.
 *
 * Errors, with a sentence in *err: -EREMOTE when the server answered with an error (err->class and
 * err->text are the server's); -ETIMEDOUT; -EPROTO when it does not speak QMP; anything else says
 * that the connection could not be made or was lost.
 */
#include <json-c/json.h>
#include <stddef.h>

#include "common/err.h"

#define QMPCLIENT_TIMEOUT_MS  30000
#define QMPCLIENT_EVENTS_MAX  65536
#define QMPCLIENT_MESSAGE_MAX (16u << 20)

struct qmpclient;

/* Connect, read the greeting, negotiate. */
int qmpclient_open(const char *path, int timeout_ms, struct qmpclient **ret, struct err *err);
/* Connect and nothing else: the greeting is the first object to read. */
int qmpclient_connect(const char *path, struct qmpclient **ret, struct err *err);
/* Takes NULL, returns NULL. */
struct qmpclient *qmpclient_free(struct qmpclient *c);

/*
 * Execute a command and wait QMPCLIENT_TIMEOUT_MS at most for its answer. args (NULL: none) becomes
 * the callee's. *ret (which may be NULL) is the "return" value and the caller's.
 */
int qmpclient_call(struct qmpclient *c, const char *command, struct json_object *args,
	struct json_object **ret, struct err *err);
/* The same with a whole request, an object. Its id is replaced; it stays the caller's. */
int qmpclient_request(struct qmpclient *c, struct json_object *request, struct json_object **ret,
	struct err *err);

/* getfd: give the daemon fd, which stays the caller's, under that name. */
int qmpclient_getfd(struct qmpclient *c, const char *name, int fd, struct err *err);

/* The next event: kept, or waited for. *ret is the caller's. -ETIMEDOUT: none came. */
int qmpclient_event(struct qmpclient *c, int timeout_ms, struct json_object **ret, struct err *err);

/*
 * The level below, for tests: bytes as they are, and the next object of whatever kind that is read
 * from the socket. *ret is the caller's.
 */
int qmpclient_send(struct qmpclient *c, const void *buf, size_t len, struct err *err);
int qmpclient_read(struct qmpclient *c, int timeout_ms, struct json_object **ret, struct err *err);

/* To poll for POLLIN; qmpclient_event() with no time has to say -ETIMEDOUT first. */
int qmpclient_fd(const struct qmpclient *c);
