/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/net-harness.h"

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void outcome_cb(void *arg, struct stream *s, const struct err *err)
{
	struct outcome *o = arg;

	ck_assert(!s == !!err);
	stream_free(o->stream);
	o->stream = s;
	if (err)
		o->err = *err;
	o->count++;
}

void outcome_clear(struct outcome *o)
{
	stream_free(o->stream);
	*o = (struct outcome){0};
}

static void on_too_long(evutil_socket_t fd, short what, void *arg)
{
	ck_abort_msg("nothing happened");
}

void loop_until(struct event_base *base, const unsigned *counter, unsigned n)
{
	struct timeval tv = {HARNESS_TIMEOUT_MS / 1000, 0};
	struct event *guard = evtimer_new(base, on_too_long, NULL);

	ck_assert_int_eq(event_add(guard, &tv), 0);
	while (*counter < n)
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	event_free(guard);
}

static char directory[64];

const char *scratch(void)
{
	if (!*directory) {
		snprintf(directory, sizeof(directory), "/tmp/htab-test-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(directory));
	}
	return directory;
}

const char *scratch_path(const char *name, char *buf, size_t len)
{
	snprintf(buf, len, "%s/%s", scratch(), name);
	return buf;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void scratch_remove(void)
{
	if (*directory)
		nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*directory = '\0';
}

struct tls_creds *make_creds(const char *name, const struct testca_options *o)
{
	char dir[PATH_MAX];
	struct tls_creds *c = NULL;
	struct err err = {0};

	scratch_path(name, dir, sizeof(dir));
	ck_assert_int_eq(testca_write(dir, o), 0);
	ck_assert_msg(tls_creds_load(dir, &c, &err) == 0, "%s", err.text);
	return c;
}

struct tls_creds *make_sibling(const char *of, const char *name, struct testca_options o)
{
	char ca[PATH_MAX];

	o.ca_dir = scratch_path(of, ca, sizeof(ca));
	return make_creds(name, &o);
}

void scratch_append(const char *from, const char *to)
{
	char path[PATH_MAX], buf[8192];
	FILE *f = fopen(scratch_path(from, path, sizeof(path)), "re");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	f = fopen(scratch_path(to, path, sizeof(path)), "ae");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(buf, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

void connect_pair(struct event_base *base, struct tls_creds *client, struct tls_creds *server,
	const char *hostname, struct outcome *c, struct outcome *s)
{
	struct dial *dc, *ds;
	struct err err;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(dial_fd(base, fds[0], false, client, hostname, HARNESS_TIMEOUT_MS,
				 outcome_cb, c, &dc, &err),
		0);
	ck_assert_int_eq(dial_fd(base, fds[1], true, server, NULL, HARNESS_TIMEOUT_MS, outcome_cb,
				 s, &ds, &err),
		0);
	loop_until(base, &c->count, 1);
	loop_until(base, &s->count, 1);
}
