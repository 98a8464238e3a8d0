/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * For the tests of htab-bench: a server and its clients as programs, in a harness of their own.
 * Whatever goes wrong ends the test.
 */
#include "tests/integration/harness.h"

struct bench {
	struct harness *h;
	struct process *server;
	bool once; /* -1: it ends by itself */
	char port[8];
	const char *creds; /* NULL: plaintext */
	char *out;         /* the last client's stdout */
	char err[2048];    /* and its stderr */
};

#define BENCH_ARGS 24 /* of a command line, at most */

void bench_init(struct bench *b, bool tls);
void bench_end(struct bench *b);

/* Append to a list that ends with NULL. */
void bench_add(const char **argv, const char *arg);
/* Start the server, with more arguments and environment (NULL: none), and wait until it listens. */
void bench_server(struct bench *b, const char *const *extra, const char *const *env);
#define SERVER(b, ...) bench_server(b, (const char *const[]){__VA_ARGS__, NULL}, NULL)

struct process *bench_client(struct bench *b, const char *const *extra);
/* Its stdout and stderr to the end, and its exit status. */
int bench_client_end(struct bench *b, struct process *p);
int bench_client_run(struct bench *b, const char *const *extra);
#define CLIENT(b, ...) bench_client_run(b, (const char *const[]){__VA_ARGS__, NULL})

/* Read a program's stdout up to a line that contains `words`; that line is *line. */
void bench_read_line(struct process *p, const char *words, char *line, size_t size);
void bench_read_log(const struct process *p, char *buf, size_t size);

/* The last client's object; the caller's. */
struct json_object *bench_json(struct bench *b);
/* A number at "a.b.c". */
double bench_number(struct bench *b, struct json_object *o, const char *path);
