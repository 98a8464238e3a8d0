/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hundreds of connections that say nothing: who has something to say gets through beside them. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fd.h"
#include "tests/integration/handover.h"
#include "tests/integration/pair.h"

#define CROWD 400

static int silent_one(const char *uri)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	bool is_unix = !strncmp(uri, "unix:", 5);
	struct sockaddr *sa = is_unix ? (struct sockaddr *)&un : (struct sockaddr *)&in;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", uri + 5);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)atoi(strrchr(uri, ':') + 1));
	return connect(fd, sa, is_unix ? sizeof(un) : sizeof(in)) < 0 ? fd_close(fd) : fd;
}

static void crowd_come(struct host *host, int fds[static CROWD])
{
	for (unsigned i = 0; i < CROWD; i++) {
		fds[i] = silent_one(host->uri);
		h_check(host->h, fds[i] >= 0, "%s: %m", host->uri);
	}
}

static void crowd_goes(int fds[static CROWD])
{
	for (unsigned i = 0; i < CROWD; i++)
		fd_close(fds[i]);
}

/* In plaintext they are silent after their handshake, with TLS in it. */
START_TEST(migration)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = _i, .source = {.rate = 1000}});
	int fds[CROWD];

	crowd_come(p.b, fds);
	pair_migrate(&p);
	pair_completes(&p);
	crowd_goes(fds);
	pair_free(&p);
}
END_TEST

/* The guest is paused at both ends until the question is answered. */
START_TEST(question)
{
	struct stage s = stage_new(&(struct stage_opts){.tls = _i, .hold_a = "commit"});
	int fds[CROWD];

	stage_migrate(&s);
	host_held(s.a, STAGE_VM, "commit");
	stage_session(&s);
	stage_strike(&s, DESTINATION_DAEMON);
	crowd_come(s.b, fds);
	stage_go_on(&s);
	stage_ends(&s, AT_DESTINATION);
	crowd_goes(fds);
	stage_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("crowd", &c);

	harness_add_loop(c, migration, 2);
	harness_add_loop(c, question, 2);
	return harness_main(s);
}
