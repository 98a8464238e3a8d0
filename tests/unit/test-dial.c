/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/net.h"
#include "tests/unit/net-harness.h"

static struct event_base *base;
static struct outcome dialled, accepted;
static struct listener *listener;
static struct tls_creds *creds;

static void setup(void)
{
	base = event_base_new();
	creds = make_creds("creds", NULL);
}

static void teardown(void)
{
	resolve_set_fn(NULL);
	outcome_clear(&dialled);
	outcome_clear(&accepted);
	listener = listener_free(listener);
	tls_creds_unref(creds);
	event_base_free(base);
	scratch_remove();
}

static void says(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what), "'%s' does not say '%s'", text, what);
}

static struct uri parse(const char *text)
{
	struct err err = {0};
	struct uri u;

	ck_assert_msg(uri_parse(text, &u, &err) == 0, "%s", err.text);
	return u;
}

static void listen_at(const char *text, struct tls_creds *c)
{
	struct uri u = parse(text);
	struct err err = {0};

	listener = listener_free(listener);
	ck_assert_msg(listener_start(base, &u, c, 8, HARNESS_TIMEOUT_MS, outcome_cb, &accepted,
			      &listener, &err) == 0,
		"%s", err.text);
}

static struct dial *dial_to(const char *text, struct tls_creds *c, int timeout_ms)
{
	struct uri u = parse(text);
	struct err err = {0};
	struct dial *d;

	ck_assert_msg(
		dial_start(base, &u, c, NULL, timeout_ms, outcome_cb, &dialled, &d, &err) == 0,
		"%s", err.text);
	return d;
}

static int port_of(const char *uri)
{
	return atoi(strrchr(uri, ':') + 1);
}

static void exchange(void)
{
	char c = 0;

	ck_assert_msg(
		dialled.stream && accepted.stream, "%s / %s", dialled.err.text, accepted.err.text);
	ck_assert_int_eq(stream_write_full(dialled.stream, "x", 1, HARNESS_TIMEOUT_MS), 0);
	ck_assert_int_eq(stream_read_full(accepted.stream, &c, 1, HARNESS_TIMEOUT_MS), 0);
	ck_assert_int_eq(c, 'x');
}

START_TEST(dial_reaches_a_listener_by_every_kind_of_address)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
	char to[64];

	listen_at("tcp::0", _i ? creds : NULL);
	ck_assert_int_ne(port_of(listener_uri(listener)), 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(to, sizeof(to), "tcp:%s:%d", hosts[i], port_of(listener_uri(listener)));
		dial_to(to, _i ? creds : NULL, HARNESS_TIMEOUT_MS);
		loop_until(base, &dialled.count, 1);
		loop_until(base, &accepted.count, 1);
		exchange();
		ck_assert_str_eq(stream_address(dialled.stream), to);
		says(stream_address(accepted.stream), "tcp:");
		outcome_clear(&dialled);
		outcome_clear(&accepted);
	}
}
END_TEST

START_TEST(dial_reaches_a_listener_at_a_unix_socket)
{
	char path[256], uri[300];
	struct stat st;

	snprintf(uri, sizeof(uri), "unix:%s", scratch_path("sock", path, sizeof(path)));
	listen_at(uri, _i ? creds : NULL);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	dial_to(uri, _i ? creds : NULL, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 1);
	loop_until(base, &accepted.count, 1);
	exchange();
	ck_assert_str_eq(stream_address(dialled.stream), uri);
	listener = listener_free(listener);
	ck_assert_int_eq(lstat(path, &st), -1);
}
END_TEST

/* A port where nobody listens, and nobody will as long as the socket is bound. */
static int closed_port(int *ret_fd)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sa);

	*ret_fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(*ret_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(getsockname(*ret_fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

START_TEST(dial_that_is_refused_names_the_place_the_error_and_the_remedy)
{
	char uri[64], expected[200];
	int fd;

	snprintf(uri, sizeof(uri), "tcp:127.0.0.1:%d", closed_port(&fd));
	snprintf(expected, sizeof(expected),
		"cannot connect to %s: Connection refused: is htab-migrated running there?", uri);
	dial_to(uri, creds, HARNESS_TIMEOUT_MS);
	ck_assert_uint_eq(dialled.count, 0);
	loop_until(base, &dialled.count, 1);
	ck_assert_str_eq(dialled.err.text, expected);
	ck_assert_int_eq(dialled.err.code, -ECONNREFUSED);
	close(fd);

	dial_to("unix:/nonexistent/socket", NULL, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 2);
	ck_assert_str_eq(dialled.err.text,
		"cannot connect to unix:/nonexistent/socket: No such file or directory: is "
		"htab-migrated running there?");
	dial_expects("htab-bench -s"); /* for a program that is another's */
	dial_to("unix:/nonexistent/socket", NULL, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 3);
	dial_expects("htab-migrated");
	ck_assert_ptr_nonnull(strstr(dialled.err.text, ": is htab-bench -s running there?"));
}
END_TEST

/* Neither end guesses the interface. */
START_TEST(link_local_address_needs_its_interface)
{
	struct listener *l;
	struct err err = {0};
	struct uri uri;

	dial_to("tcp:[fe80::1]:1", NULL, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 1);
	ck_assert_int_eq(dialled.err.code, -EINVAL);
	ck_assert_ptr_nonnull(strstr(dialled.err.text, "as in tcp:[fe80::1%eth0]:1"));
	ck_assert_int_eq(uri_parse("tcp:[fe80::1]:1", &uri, &err), 0);
	ck_assert_int_eq(listener_start(base, &uri, NULL, 1, 1000, NULL, NULL, &l, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "%eth0"));
}
END_TEST

START_TEST(dial_to_what_cannot_be_dialled_fails_at_once)
{
	static const struct {
		const char *uri, *what;
	} bad[] = {{"fd:x", "neither tcp: nor unix:"}, {"file:/x", "neither tcp: nor unix:"},
		{"tcp::4660", "names no host"}, {"tcp:hostb:0", "no port 0"}};
	struct dial *d = NULL;
	struct err err;
	struct uri u;
	int p[2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		u = parse(bad[i].uri);
		ck_assert_int_eq(
			dial_start(base, &u, creds, NULL, 1000, outcome_cb, &dialled, &d, &err),
			-EINVAL);
		says(err.text, bad[i].what);
	}
	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(
		dial_fd(base, p[0], false, NULL, NULL, 1000, outcome_cb, &dialled, &d, &err),
		-ENOTSOCK);
	ck_assert_int_eq(fcntl(p[0], F_GETFD), -1);
	ck_assert_ptr_null(d);
	close(p[1]);
}
END_TEST

/* -- Names -- */

static int gate[2]; /* a lookup waits until it can read a byte here */

static int slow_lookup(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
	char c;

	if (read(gate[0], &c, 1) != 1)
		return EAI_SYSTEM;
	return getaddrinfo("127.0.0.1", port, hints, ret);
}

START_TEST(dial_may_be_cancelled_while_a_name_is_resolved)
{
	int i;

	ck_assert_int_eq(pipe(gate), 0);
	resolve_set_fn(slow_lookup);
	for (i = 0; i < 8; i++) {
		struct dial *d = dial_to("tcp:slow.example:1", creds, HARNESS_TIMEOUT_MS);

		event_base_loop(base, EVLOOP_NONBLOCK);
		ck_assert_ptr_null(dial_cancel(d));
	}
	/* The threads end after everything that they might have touched. */
	ck_assert_int_eq(write(gate[1], "xxxxxxxx", 8), 8);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(dialled.count, 0);
}
END_TEST

START_TEST(dial_whose_name_takes_too_long_says_so)
{
	ck_assert_int_eq(pipe(gate), 0);
	resolve_set_fn(slow_lookup);
	dial_to("tcp:slow.example:1", creds, 20);
	loop_until(base, &dialled.count, 1);
	ck_assert_int_eq(dialled.err.code, -ETIMEDOUT);
	says(dialled.err.text, "cannot connect to tcp:slow.example:1: the name was not resolved");
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
}
END_TEST

static int no_such_host(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
	return EAI_NONAME;
}

START_TEST(dial_to_an_unknown_name_says_so)
{
	resolve_set_fn(no_such_host);
	dial_to("tcp:nowhere.example:1", creds, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 1);
	says(dialled.err.text, "cannot find the host 'nowhere.example': Name or service not known");
}
END_TEST

static int refused_port;

/* An address that refuses, then the right one. */
static int two_addresses(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
	struct addrinfo *second = NULL;
	char refused[16];
	int r;

	snprintf(refused, sizeof(refused), "%d", refused_port);
	r = getaddrinfo("127.0.0.1", refused, hints, ret);
	if (r == 0)
		r = getaddrinfo("127.0.0.1", port, hints, &second);
	if (r == 0)
		(*ret)->ai_next = second;
	return r;
}

START_TEST(dial_tries_the_next_address_when_one_refuses)
{
	char to[64];
	int fd;

	refused_port = closed_port(&fd);
	resolve_set_fn(two_addresses);
	listen_at("tcp:127.0.0.1:0", NULL);
	snprintf(to, sizeof(to), "tcp:two.example:%d", port_of(listener_uri(listener)));
	dial_to(to, NULL, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 1);
	loop_until(base, &accepted.count, 1);
	exchange();
	close(fd);
}
END_TEST

/* -- Time -- */

/* Listens, never accepts. */
static int mute_server(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	return fd;
}

static int local_port(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

START_TEST(dial_to_a_server_without_an_answer_ends_in_time)
{
	int fd = mute_server();
	char to[64];

	snprintf(to, sizeof(to), "tcp:127.0.0.1:%d", local_port(fd));
	dial_to(to, creds, 20);
	loop_until(base, &dialled.count, 1);
	ck_assert_int_eq(dialled.err.code, -ETIMEDOUT);
	says(dialled.err.text, "did not finish the TLS handshake within 20 ms");
	close(fd);
}
END_TEST

START_TEST(dial_may_be_cancelled_at_any_turn_of_the_loop)
{
	char to[64];

	listen_at("tcp:127.0.0.1:0", creds);
	snprintf(to, sizeof(to), "tcp:localhost:%d", port_of(listener_uri(listener)));
	for (int turns = 0; turns < 24; turns++) {
		struct dial *d = dial_to(to, creds, HARNESS_TIMEOUT_MS);

		for (int i = 0; i < turns && !dialled.count; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		if (!dialled.count)
			dial_cancel(d);
		outcome_clear(&dialled);
	}
}
END_TEST

static int connect_raw(const char *uri)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port_of(uri)),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

START_TEST(listener_ends_a_handshake_that_takes_too_long)
{
	struct uri u = parse("tcp:127.0.0.1:0");
	int fd;

	ck_assert_int_eq(
		listener_start(base, &u, creds, 1, 20, outcome_cb, &accepted, &listener, NULL), 0);
	fd = connect_raw(listener_uri(listener));
	loop_until(base, &accepted.count, 1);
	ck_assert_int_eq(accepted.err.code, -ETIMEDOUT);
	says(accepted.err.text, "did not finish the TLS handshake");
	close(fd);
}
END_TEST

START_TEST(listener_gives_the_oldest_handshake_up_for_a_new_one)
{
	struct uri u = parse("tcp:127.0.0.1:0");
	char to[64], c;
	int fds[2];

	ck_assert_int_eq(listener_start(base, &u, creds, 2, HARNESS_TIMEOUT_MS, outcome_cb,
				 &accepted, &listener, NULL),
		0);
	snprintf(to, sizeof(to), "%s", listener_uri(listener));
	for (int i = 0; i < 2; i++)
		fds[i] = connect_raw(to);
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	/* Both places are taken, by who says nothing. */
	dial_to(to, creds, HARNESS_TIMEOUT_MS);
	loop_until(base, &accepted.count, 1);
	ck_assert_int_eq(accepted.err.code, -EBUSY);
	says(accepted.err.text, "makes room");
	loop_until(base, &dialled.count, 1);
	ck_assert_ptr_nonnull(dialled.stream);
	ck_assert_int_eq(recv(fds[0], &c, 1, 0), 0);
	ck_assert_int_lt(recv(fds[1], &c, 1, MSG_DONTWAIT), 0);
	ck_assert_int_eq(errno, EAGAIN);
	for (int i = 0; i < 2; i++)
		close(fds[i]);
}
END_TEST

START_TEST(listener_without_descriptors_waits_and_does_not_spin)
{
	struct rlimit old, limit;
	unsigned turns = 0;
	char to[64];
	int fd, top;

	listen_at("tcp:127.0.0.1:0", NULL);
	snprintf(to, sizeof(to), "%s", listener_uri(listener));
	fd = connect_raw(to);
	top = dup(fd);
	close(top);
	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	limit.rlim_cur = (rlim_t)top;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	loop_until(base, &accepted.count, 1);
	ck_assert_int_eq(accepted.err.code, -EMFILE);
	says(accepted.err.text, "raise LimitNOFILE=");
	for (int i = 0; i < 100; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(accepted.count, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (accepted.count < 2 && turns++ < 100)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_ptr_nonnull(accepted.stream);
	/* The timer and the connection, and not one turn for every microsecond in between. */
	ck_assert_uint_lt(turns, 10);
	close(fd);
}
END_TEST

START_TEST(listener_whose_socket_was_shut_down_says_so_and_does_not_spin)
{
	struct uri u = parse("fd:given");
	int fd = socket(AF_INET, SOCK_STREAM, 0), others;
	struct err err;

	ck_assert_int_eq(listen(fd, 1), 0);
	others = dup(fd);
	ck_assert_int_eq(listener_fd(base, fd, &u, NULL, 8, HARNESS_TIMEOUT_MS, outcome_cb,
				 &accepted, &listener, &err),
		0);
	ck_assert_int_eq(shutdown(others, SHUT_RDWR), 0);
	loop_until(base, &accepted.count, 1);
	ck_assert_int_eq(accepted.err.code, -EINVAL);
	says(accepted.err.text, "fd:given");
	says(accepted.err.text, "give another one");
	for (unsigned i = 0; i < 100; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(accepted.count, 1);
	ck_assert_int_eq(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 1); /* a timer */
	close(others);
}
END_TEST

START_TEST(listener_at_every_address_has_one_port_for_both_families)
{
	struct err err = {0};
	struct listener *l;
	struct uri u;
	char text[64];

	listen_at("tcp::0", NULL);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%d", port_of(listener_uri(listener)));
	u = parse(text);
	ck_assert_int_eq(listener_start(base, &u, NULL, 1, 1000, outcome_cb, &accepted, &l, &err),
		-EADDRINUSE);
	says(err.text, "choose another port");
	snprintf(text, sizeof(text), "tcp:[::1]:%d", port_of(listener_uri(listener)));
	u = parse(text);
	ck_assert_int_eq(listener_start(base, &u, NULL, 1, 1000, outcome_cb, &accepted, &l, &err),
		-EADDRINUSE);
	u = parse("tcp:192.0.2.1:0");
	ck_assert_int_eq(listener_start(base, &u, NULL, 1, 1000, outcome_cb, &accepted, &l, &err),
		-EADDRNOTAVAIL);
	u = parse("fd:x");
	ck_assert_int_eq(
		listener_start(base, &u, NULL, 1, 1000, outcome_cb, &accepted, &l, &err), -EINVAL);
}
END_TEST

START_TEST(listener_uses_new_credentials_for_later_connections)
{
	struct tls_creds *other = make_creds("other", NULL);
	char to[64];

	listen_at("tcp:127.0.0.1:0", creds);
	snprintf(to, sizeof(to), "%s", listener_uri(listener));
	listener_set_creds(listener, other);
	dial_to(to, creds, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 1);
	ck_assert_ptr_null(dialled.stream);
	dial_to(to, other, HARNESS_TIMEOUT_MS);
	loop_until(base, &dialled.count, 2);
	ck_assert_ptr_nonnull(dialled.stream);
	tls_creds_unref(other);
}
END_TEST

static void free_listener(void *arg, struct stream *s, const struct err *err)
{
	outcome_cb(arg, s, err);
	listener = listener_free(listener);
}

START_TEST(listener_may_be_freed_by_its_own_callback)
{
	struct uri u = parse("tcp:127.0.0.1:0");

	ck_assert_int_eq(listener_start(base, &u, _i ? creds : NULL, 8, HARNESS_TIMEOUT_MS,
				 free_listener, &accepted, &listener, NULL),
		0);
	dial_to(listener_uri(listener), _i ? creds : NULL, HARNESS_TIMEOUT_MS);
	loop_until(base, &accepted.count, 1);
	loop_until(base, &dialled.count, 1);
	ck_assert_ptr_nonnull(accepted.stream);
	ck_assert_ptr_null(listener);
}
END_TEST

START_TEST(listener_may_be_freed_in_the_middle_of_handshakes)
{
	int fd;

	listen_at("tcp:127.0.0.1:0", creds);
	fd = connect_raw(listener_uri(listener));
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	listener = listener_free(listener);
	ck_assert_uint_eq(accepted.count, 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dial");
	TCase *t = tcase_create("dial");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, dial_reaches_a_listener_by_every_kind_of_address, 0, 2);
	tcase_add_loop_test(t, dial_reaches_a_listener_at_a_unix_socket, 0, 2);
	tcase_add_test(t, dial_that_is_refused_names_the_place_the_error_and_the_remedy);
	tcase_add_test(t, link_local_address_needs_its_interface);
	tcase_add_test(t, dial_to_what_cannot_be_dialled_fails_at_once);
	tcase_add_test(t, dial_may_be_cancelled_while_a_name_is_resolved);
	tcase_add_test(t, dial_whose_name_takes_too_long_says_so);
	tcase_add_test(t, dial_to_an_unknown_name_says_so);
	tcase_add_test(t, dial_tries_the_next_address_when_one_refuses);
	tcase_add_test(t, dial_to_a_server_without_an_answer_ends_in_time);
	tcase_add_test(t, dial_may_be_cancelled_at_any_turn_of_the_loop);
	tcase_add_test(t, listener_ends_a_handshake_that_takes_too_long);
	tcase_add_test(t, listener_gives_the_oldest_handshake_up_for_a_new_one);
	tcase_add_test(t, listener_without_descriptors_waits_and_does_not_spin);
	tcase_add_test(t, listener_whose_socket_was_shut_down_says_so_and_does_not_spin);
	tcase_add_test(t, listener_at_every_address_has_one_port_for_both_families);
	tcase_add_test(t, listener_uses_new_credentials_for_later_connections);
	tcase_add_loop_test(t, listener_may_be_freed_by_its_own_callback, 0, 2);
	tcase_add_test(t, listener_may_be_freed_in_the_middle_of_handshakes);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
