/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A QMP server on the event loop: sockets, greeting, negotiation, commands by table, events.
 * It knows nothing of VMs but a name. Loop thread only. docs/control.md is the contract.
 */
#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "common/err.h"

struct qmp;      /* the server: all its sockets and clients */
struct qmp_sock; /* one listening socket */
struct qmp_call; /* a command that waits for its answer */

enum qmp_type {
	QMP_END = 0,
	QMP_STRING,
	QMP_INT,
	QMP_BOOL,
	QMP_LIST,
	QMP_OBJECT,
	QMP_ANY,
};

struct qmp_arg {
	const char *name;
	enum qmp_type type;
	bool optional;
};

#define QMP_ARGS_MAX 24

/*
 * A command. args are checked before run(): unknown names, missing ones and wrong types are
 * refused. run() answers call exactly once, then or later. vm is the socket's VM, or NULL on the
 * shared one.
 */
typedef void qmp_run(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args);

struct qmp_command {
	const char *name;
	struct qmp_arg args[QMP_ARGS_MAX]; /* ends with QMP_END */
	qmp_run *run;
};

/* commands: a table that ends with a NULL name; qmp_capabilities, query-commands, query-version,
 * getfd and closefd are the server's own. */
int qmp_new(struct event_base *base, const struct qmp_command *commands, void *opaque,
	struct qmp **ret);
struct qmp *qmp_free(struct qmp *q);

/* Listen on a UNIX socket (mode as given, a stale file is replaced). vm NULL: the shared one. */
int qmp_listen(struct qmp *q, const char *path, unsigned mode, const char *vm,
	struct qmp_sock **ret, struct err *err);
/* Close it, its clients, and remove its file. Takes NULL, returns NULL. */
struct qmp_sock *qmp_sock_free(struct qmp_sock *s);

/* Answer a call; value becomes the callee's, NULL is {}. A client that is gone is no matter. */
void qmp_return(struct qmp_call *call, struct json_object *value);
void qmp_fail(struct qmp_call *call, const struct err *err);

/* Send an event to every negotiated client of the shared sockets and of that VM's (vm may be NULL).
 * data becomes the callee's. */
void qmp_event(struct qmp *q, const char *vm, const char *name, struct json_object *data);

/* Take the fd that was given by getfd under that name: the fd, now the caller's, or -ENOENT. */
int qmp_take_fd(struct qmp *q, const char *name);
