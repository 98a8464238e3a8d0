/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the tests of QMP share: a server with commands of the tests, and clients of it. */
#include "daemon/qmp/impl.h"
#include "tests/unit/net-harness.h"

#define ERROR(class, desc) "{\"error\":{\"class\":\"" class "\",\"desc\":\"" desc "\"}}\r\n"
#define ERROR_ID(class, desc, id) \
	"{\"error\":{\"class\":\"" class "\",\"desc\":\"" desc "\"},\"id\":" id "}\r\n"
#define G  "GenericError"
#define N  "CommandNotFound"
#define OK "{\"return\":{}}\r\n"

extern struct event_base *base;
extern struct qmp *qmp;
extern struct qmp_sock *shared, *vm1; /* "control", and "vm1" of the VM with that name */

/* Calls of the command "later", which the test answers. */
extern struct qmp_call *later[2];
extern unsigned n_later;

/* For each test: the server with both sockets. */
void setup(void);
void teardown(void);

/* A connection to the socket of that name; one that has the greeting; one that has negotiated. */
int dial_sock(const char *name);
int connect_client(const char *name);
int client(const char *name);

/* Let the server do all that it can do now. */
void turn(void);

/* Send all of it, and let the server take it. */
void put(int fd, const void *data, size_t len);

/* Whatever came up to now, as text; "<end>" when the server closed. Valid until the next get(). */
char *get(int fd);
void expect(int fd, const char *text);
