/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/benchrun.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (64u << 20)

void bench_add(const char **argv, const char *arg)
{
	int n = 0;

	while (argv[n])
		n++;
	ck_assert_int_lt(n, BENCH_ARGS);
	argv[n] = arg;
}

static void add_security(const struct bench *b, const char **argv)
{
	bench_add(argv, b->creds ? "--tls-creds" : "--plaintext");
	if (b->creds)
		bench_add(argv, b->creds);
}

/* Read stdout up to a line that contains `words`; the rest of that line goes to *line. */
void bench_read_line(struct process *p, const char *words, char *line, size_t size)
{
	uint64_t deadline = harness_deadline();
	size_t n = 0;

	for (;;) {
		char c;

		h_check(p->h,
			harness_poll(p->h, p->out, POLLIN, NULL, deadline, words) &&
				read(p->out, &c, 1) == 1,
			"%s ended before it said \"%s\"", p->name, words);
		if (c != '\n') {
			line[n] = c;
			n += n + 1 < size;
			continue;
		}
		line[n] = '\0';
		n = 0;
		if (strstr(line, words))
			return;
	}
}

void bench_server(struct bench *b, const char *const *extra, const char *const *env)
{
	const char *argv[BENCH_ARGS + 1] = {"htab-bench", "-s", "-B", "127.0.0.1", "-p", "0"};
	char line[256];

	add_security(b, argv);
	for (; extra && *extra; extra++) {
		bench_add(argv, *extra);
		b->once |= strcmp(*extra, "-1") == 0;
	}
	b->server = process_start(b->h, "server", argv, env, true);
	bench_read_line(b->server, "Server listening on tcp:127.0.0.1:", line, sizeof(line));
	snprintf(b->port, sizeof(b->port), "%.5s", strrchr(line, ':') + 1);
}

void bench_init(struct bench *b, bool tls)
{
	*b = (struct bench){.h = harness_new()};
	if (tls)
		b->creds = harness_creds(b->h, "localhost", NULL);
}

void bench_end(struct bench *b)
{
	if (b->once)
		process_wait(b->server);
	free(b->out);
	harness_free(b->h);
}

struct process *bench_client(struct bench *b, const char *const *extra)
{
	const char *argv[BENCH_ARGS + 1] = {"htab-bench", "-c", "127.0.0.1", "-p", b->port};

	add_security(b, argv);
	for (; extra && *extra; extra++)
		bench_add(argv, *extra);
	return process_start(b->h, "client", argv, NULL, true);
}

void bench_read_log(const struct process *p, char *buf, size_t size)
{
	FILE *f = fopen(p->log, "re");
	size_t n = f ? fread(buf, 1, size - 1, f) : 0;

	buf[n] = '\0';
	if (f)
		fclose(f);
}

/* Its stdout to the end, its stderr, and its exit status. */
int bench_client_end(struct bench *b, struct process *p)
{
	size_t len = 0, cap = 1 << 16;
	uint64_t deadline = harness_deadline();
	ssize_t n = 1;

	free(b->out);
	b->out = malloc(cap);
	ck_assert_ptr_nonnull(b->out);
	while (n > 0) {
		if (len ==
			cap - 1) { /* a line for each pass: thousands of them, of a small table */
			cap *= 2;
			ck_assert_uint_le(cap, OUTPUT_MAX);
			b->out = realloc(b->out, cap);
			ck_assert_ptr_nonnull(b->out);
		}
		harness_poll(b->h, p->out, POLLIN, NULL, deadline, "the client's output");
		n = read(p->out, b->out + len, cap - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	b->out[len] = '\0';
	p->any_end = true;
	process_wait(p);
	bench_read_log(p, b->err, sizeof(b->err));
	return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 128 + WTERMSIG(p->status);
}

int bench_client_run(struct bench *b, const char *const *extra)
{
	return bench_client_end(b, bench_client(b, extra));
}

struct json_object *bench_json(struct bench *b)
{
	struct json_object *o = json_tokener_parse(b->out);

	h_check(b->h, o, "no JSON: %s%s", b->out, b->err);
	return o;
}

/* A number at "a.b.c". */
double bench_number(struct bench *b, struct json_object *o, const char *path)
{
	char copy[128], *save;
	struct json_object *v = o;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strtok_r(copy, ".", &save); name; name = strtok_r(NULL, ".", &save))
		v = member(v, name);
	h_check(b->h,
		json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double),
		"%s is no number", path);
	return json_object_get_double(v);
}
