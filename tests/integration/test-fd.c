/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fd: URIs: sockets that a client of the control socket made and gave away. Every one that is not
 * used is refused with a sentence and closed.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/pair.h"

/* Give host a copy of fd under that name; ours is closed. */
static void give(struct host *host, const char *name, int fd)
{
	struct err err;

	h_check(host->h, fd >= 0, "no descriptor to give");
	if (qmpclient_getfd(host->qmp, name, fd, &err) < 0)
		h_fail(host->h, "getfd: %s", err.text);
	close(fd);
}

static struct sockaddr_un unix_address(struct harness *h, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s", harness_path(h, "%s", name));

	h_check(h, n < (int)sizeof(a.sun_path), "the path of '%s' is too long", name);
	return a;
}

static int listening(struct harness *h, const char *name)
{
	struct sockaddr_un a = unix_address(h, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	h_check(h, bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 8) == 0,
		"cannot listen: %m");
	return fd;
}

static int connected(struct harness *h, const char *name)
{
	struct sockaddr_un a = unix_address(h, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	h_check(h, connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "cannot connect: %m");
	return fd;
}

/* To the port where a daemon listens. */
static int connected_tcp(struct host *to)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(strrchr(to->uri, ':') + 1)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	h_check(to->h, connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "cannot connect: %m");
	return fd;
}

static void migrate_fd(struct pair *p, const char *redial)
{
	host_take_events(p->a);
	host_do(p->a, "migrate", "{'vm': '" PAIR_VM "', 'uri': 'fd:mig', 'redial-uri': '%s'}",
		redial);
}

/* The source's daemon takes a connection; tls-hostname is the redial URI's host. */
START_TEST(connected_socket_moves_a_guest)
{
	struct pair p = pair_new(
		&(struct pair_opts){.tls = _i == 1, .verify = true, .source = {.rate = 1000}});
	struct json_object *q;

	give(p.a, "mig", connected_tcp(p.b));
	migrate_fd(&p, p.b->uri);
	pair_completes(&p);
	q = host_query(p.a, PAIR_VM);
	ck_assert_str_eq(member_text(q, "uri", ""), p.b->uri);
	json_object_put(q);
	pair_free(&p);
}
END_TEST

/* Both ends are given the ends of a socketpair: neither daemon has dialled. */
START_TEST(socketpair_moves_a_guest)
{
	struct pair p = pair_new(
		&(struct pair_opts){.tls = _i == 1, .not_waiting = true, .source = {.rate = 1000}});
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	give(p.a, "mig", fd[0]);
	give(p.b, "mig", fd[1]);
	host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'uri': 'fd:mig'}");
	migrate_fd(&p, p.b->uri);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* A socket that listens, and goes away with its VM. */
START_TEST(listening_socket_takes_a_guest)
{
	struct pair p = pair_new(
		&(struct pair_opts){.tls = _i == 1, .not_waiting = true, .source = {.rate = 1000}});

	give(p.b, "l", listening(p.h, "sock"));
	host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'uri': 'fd:l'}");
	give(p.a, "mig", connected(p.h, "sock"));
	host_do(p.a, "migrate", "{'vm': '" PAIR_VM "', 'uri': 'fd:mig', 'redial-uri': 'unix:%s'}",
		harness_path(p.h, "sock"));
	pair_completes(&p);
	guest_kill(p.destination);
	json_object_put(host_event(p.b, "VM_GONE", PAIR_VM, NULL, NULL));
	ck_assert_uint_le(process_fds(p.b->process), p.fds_b);
	pair_free(&p);
}
END_TEST

/* One that is replaced is closed; one of its VM alone does not fill the daemon's list. */
START_TEST(a_listening_socket_is_replaced)
{
	struct pair p = pair_new(&(struct pair_opts){.not_waiting = true});

	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "sock%d", i);
		give(p.b, "l", listening(p.h, name));
		host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'uri': 'fd:l'}");
		ck_assert_uint_eq(process_fds(p.b->process), p.fds_b + 1);
	}
	pair_free(&p);
}
END_TEST

/* What is refused leaves no descriptor behind. */
static void refused_here(
	struct pair *p, struct host *host, const char *command, const char *args, const char *words)
{
	unsigned before = host == p->a ? p->fds_a : p->fds_b;
	uint64_t deadline = harness_deadline();
	struct err err;

	host_refused(host, &err, command, "%s", args);
	h_check_text(p->h, err.text, words);
	/* A thread closes it. */
	while (process_fds(host->process) != before) {
		h_check(p->h, clock_ns() < deadline, "%u descriptors after \"%s\", before it %u",
			process_fds(host->process), err.text, before);
		host_do(host, "query-vms", NULL);
	}
}

START_TEST(refusals)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 100}});
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	static const char good[] = "{'vm': '" PAIR_VM
				   "', 'uri': 'fd:x', 'redial-uri': 'unix:/nowhere'}";

	/* without a descriptor, or with one that stays named */
	refused_here(&p, p.a, "migrate", good, "getfd");
	refused_here(&p, p.a, "migrate", "{'uri': 'fd:x'}", "redial-uri");
	refused_here(
		&p, p.a, "migrate", "{'uri': 'unix:/x', 'redial-uri': 'unix:/y'}", "redial-uri");
	refused_here(&p, p.a, "migrate", "{'uri': 'fd:x', 'redial-uri': 'fd:y'}", "tcp:");
	refused_here(&p, p.a, "migrate", "{'uri': 'fd:x', 'redial-uri': 'file:/y'}", "tcp:");
	refused_here(&p, p.a, "migrate", "{'uri': 'fd:x', 'redial-uri': 'tcp::4660'}", "no host");
	refused_here(&p, p.b, "migrate-incoming", "{'uri': 'fd:x'}", "getfd");
	/* with one that is not what it has to be */
	give(p.a, "x", dup(udp));
	refused_here(&p, p.a, "migrate", good, "no stream socket");
	give(p.a, "x", dup(STDIN_FILENO));
	refused_here(&p, p.a, "migrate", good, "no stream socket");
	give(p.a, "x", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	refused_here(&p, p.a, "migrate", good, "connected");
	give(p.a, "x", listening(p.h, "sock"));
	refused_here(&p, p.a, "migrate", good, "listens");
	give(p.b, "x", udp);
	refused_here(&p, p.b, "migrate-incoming", "{'uri': 'fd:x'}", "no stream socket");
	give(p.b, "x", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	refused_here(&p, p.b, "migrate-incoming", "{'uri': 'fd:x'}", "connected");
	pair_works_still(&p);
}
END_TEST

/* The peer of a given connection hangs up, and says nothing useful: all is as before. */
START_TEST(given_connection_is_dead)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 100}});
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	give(p.a, "mig", fd[0]);
	close(fd[1]);
	migrate_fd(&p, p.b->uri);
	pair_fails(&p, "unix:");
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	give(p.b, "mig", fd[0]);
	host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'uri': 'fd:mig'}");
	close(fd[1]);
	pair_works_still(&p);
}
END_TEST

/* A socket whose close() would wait for an hour: nobody reads what is left in it. */
static int lingering(int listener)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct linger linger = {.l_onoff = 1, .l_linger = 3600};
	static const char fill[65536];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, len), 0);
	while (send(fd, fill, sizeof(fill), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

START_TEST(closing_what_was_given_holds_nobody)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 100}});
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err err;

	h_check(p.h, listen(listener, 64) == 0, "listen: %m");
	/* by name, by another of that name, by a command that uses it and fails, by nobody */
	give(p.a, "one", lingering(listener));
	host_do(p.a, "closefd", "{'fdname': 'one'}");
	give(p.a, "two", lingering(listener));
	give(p.a, "two", lingering(listener));
	host_refused(p.a, &err, "dump-htab", "{'vm': '" PAIR_VM "', 'fdname': 'two'}");
	give(p.a, "mig", lingering(listener));
	migrate_fd(&p, p.b->uri);
	host_do(p.a, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	json_object_put(host_event(p.a, "MIGRATION", PAIR_VM, "status", "cancelled"));
	host_do(p.a, "query-vms", NULL);
	close(listener);
	pair_free(&p);
}
END_TEST

/* The connection leads to the destination, the redial URI nowhere. */
START_TEST(redial_uri_is_wrong)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 100}});

	give(p.a, "mig", connected_tcp(p.b));
	migrate_fd(&p, "unix:/nowhere/at/all");
	pair_fails(&p, "/nowhere/at/all");
	pair_works_still(&p);
}
END_TEST

/* With TLS, the name on the certificate is the redial URI's. */
START_TEST(redial_host_is_checked)
{
	struct pair p = pair_new(&(struct pair_opts){
		.creds_a = CREDS_GOOD, .creds_b = CREDS_NAMED, .source = {.rate = 100}});

	give(p.a, "mig", connected_tcp(p.b));
	migrate_fd(&p, p.b->uri);
	pair_fails(&p, "127.0.0.1");
	pair_stays(&p);
}
END_TEST

/* A cancel before the connection is used closes it. */
START_TEST(cancelled_before_it_is_used)
{
	struct pair p = pair_new(
		&(struct pair_opts){.a = {.hold = "connect"}, .source = {.rate = 100}});

	give(p.a, "mig", connected_tcp(p.b));
	migrate_fd(&p, p.b->uri);
	host_held(p.a, PAIR_VM, "connect");
	host_do(p.a, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	host_status(p.a, PAIR_VM, "cancelled");
	pair_stays(&p);
}
END_TEST

START_TEST(htabctl_gives_descriptors)
{
	struct pair p = pair_new(
		&(struct pair_opts){.not_waiting = true, .source = {.rate = 1000}});
	char n[16], l[16];
	int lfd = listening(p.h, "sock"), fd;
	char uri[HARNESS_PATH + 8];

	lfd = dup(lfd); /* without close-on-exec: htabctl inherits it */
	snprintf(l, sizeof(l), "%d", lfd);
	ck_assert_int_eq(harness_run(p.h,
				 (const char *[]){"htabctl", "--socket", p.b->control, "incoming",
					 PAIR_VM, "--listen", "fd:l", "--fd", l, NULL},
				 NULL),
		0);
	close(lfd);
	fd = dup(connected(p.h, "sock"));
	snprintf(n, sizeof(n), "%d", fd);
	snprintf(uri, sizeof(uri), "unix:%s", harness_path(p.h, "sock"));
	ck_assert_int_eq(harness_run(p.h,
				 (const char *[]){"htabctl", "--socket", p.a->control, "migrate",
					 PAIR_VM, "unix:/x", "--fd", n, NULL},
				 NULL),
		2);
	ck_assert_int_eq(harness_run(p.h,
				 (const char *[]){"htabctl", "--socket", p.a->control, "migrate",
					 PAIR_VM, "fd:m", "--fd", n, "--redial-uri", uri, NULL},
				 NULL),
		0);
	close(fd);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("fd", &c);

	if (harness_wants("connected_socket_moves_a_guest"))
		tcase_add_loop_test(c, connected_socket_moves_a_guest, 0, 2);
	if (harness_wants("socketpair_moves_a_guest"))
		tcase_add_loop_test(c, socketpair_moves_a_guest, 0, 2);
	if (harness_wants("listening_socket_takes_a_guest"))
		tcase_add_loop_test(c, listening_socket_takes_a_guest, 0, 2);
	harness_add(c, a_listening_socket_is_replaced);
	harness_add(c, refusals);
	harness_add(c, given_connection_is_dead);
	harness_add(c, closing_what_was_given_holds_nobody);
	harness_add(c, redial_uri_is_wrong);
	harness_add(c, redial_host_is_checked);
	harness_add(c, cancelled_before_it_is_used);
	harness_add(c, htabctl_gives_descriptors);
	return harness_main(s);
}
