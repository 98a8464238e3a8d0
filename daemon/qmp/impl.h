/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What the modules of the QMP server share. Loop thread only.
 *
 *	qmp.c		the server: its sockets, commands of its own, events, descriptors
 *	qmp/client.c	one connection: bytes in, commands one after the other, bytes out
 *	qmp/json.c	a stream of JSON objects
 *	qmp/check.c	what a command has to look like
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/jsonread.h"
#include "common/unixsock.h"
#include "daemon/qmp/qmp.h"

#define QMP_COMMAND_MAX         (64 * 1024) /* bytes of one command */
#define QMP_CLIENTS_MAX         96
#define QMP_CLIENTS_OF_USER_MAX 64
#define QMP_UNREAD_MAX          (1024 * 1024) /* bytes that wait for a client */
#define QMP_FDS_MAX             64            /* with a name */
#define QMP_FDS_RECEIVED        16            /* with one message */

/* -- qmp/json.c */

/* Reads JSON objects from pieces of any size. */
struct qmp_json {
	struct jsonread read;
	bool skipping; /* after malformed JSON: until the next newline */
};

void qmp_json_init(struct qmp_json *j);
void qmp_json_clear(struct qmp_json *j);
/* Between two objects? */
bool qmp_json_idle(const struct qmp_json *j);
/*
 * Take bytes, until a value is complete or malformed: *ret_used of them. JSONREAD_VALUE and
 * *ret_value (which may be NULL, JSON's null), JSONREAD_MORE, or err for what the client is told:
 * JSONREAD_FAULT and *ret_value, which nobody acts on; -EPROTO when what comes is no JSON at all,
 * so that nothing after it counts; another negative errno when reading goes on behind the next
 * newline.
 */
int qmp_json_feed(struct qmp_json *j, const char *buf, size_t len, size_t *ret_used,
	struct json_object **ret_value, struct err *err);

/* -- qmp/check.c */

/* A command's parts, borrowed from its object. */
struct qmp_request {
	const char *name;
	struct json_object *args; /* NULL: none given */
};

int qmp_check_request(struct json_object *value, struct qmp_request *ret, struct err *err);
int qmp_check_args(const struct qmp_command *command, struct json_object *args, struct err *err);

/* -- qmp/client.c */

struct qmp_client;
/* fd becomes the client's. */
int qmp_client_new(struct qmp_sock *sock, int fd, uid_t uid);
/* Never inside of a callback of the client itself: those look after that. */
void qmp_client_close(struct qmp_client *c);
/* value becomes the callee's. */
void qmp_client_send(struct qmp_client *c, struct json_object *value);
bool qmp_client_negotiated(const struct qmp_client *c);
void qmp_client_set_negotiated(struct qmp_client *c);
/* The oldest descriptor that came along and was not taken: the caller's, or -1. */
int qmp_client_take_fd(struct qmp_client *c);
struct qmp_client *qmp_call_client(struct qmp_call *call);

/* -- qmp.c */

TAILQ_HEAD(qmp_clients, qmp_client);

struct qmp_named_fd {
	TAILQ_ENTRY(qmp_named_fd) link;
	int fd;
	char name[];
};

struct qmp {
	struct event_base *base;
	const struct qmp_command *commands;
	void *opaque;
	TAILQ_HEAD(, qmp_sock) socks;
	TAILQ_HEAD(, qmp_named_fd) fds;
	unsigned n_fds;
	unsigned n_clients;
};

struct qmp_sock {
	TAILQ_ENTRY(qmp_sock) link;
	struct qmp *qmp;
	struct unixsock unixsock;
	struct event *accept;
	struct event *resume; /* after a pause for want of descriptors */
	struct qmp_clients clients;
	char *vm; /* NULL: the shared socket */
};

struct json_object *qmp_greeting(void);
/* Run one command; it answers by call. */
void qmp_dispatch(struct qmp *q, struct qmp_call *call, struct json_object *value);
