/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/net.h"
#include "common/tls.h"
#include "tests/unit/net-harness.h"

static struct event_base *base;
static struct outcome client, server;
static struct tls_creds *good;

static void setup(void)
{
	base = event_base_new();
	good = make_creds("good", NULL);
}

static void teardown(void)
{
	outcome_clear(&client);
	outcome_clear(&server);
	tls_creds_unref(good);
	event_base_free(base);
	scratch_remove();
}

/* Credentials of the CA of "good". */
static struct tls_creds *sibling(const char *name, struct testca_options o)
{
	return make_sibling("good", name, o);
}

static void says(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what), "'%s' does not say '%s'", text, what);
}

/* The client is connected already when the server refuses it: its first read tells. */
static void first_read_says(const char *what)
{
	char c;

	ck_assert_ptr_nonnull(client.stream);
	ck_assert_int_eq(stream_read_full(client.stream, &c, 1, HARNESS_TIMEOUT_MS), -EKEYREJECTED);
	says(stream_error(client.stream), what);
}

/* protocol.md 3: "Both sides MUST show a certificate that their peer's CA signed." */
START_TEST(tls_authenticates_both_sides)
{
	struct testca_options b = {
		.cn = "hostb", .dns = {"hostb", "hostb.example"}, .uri = {"htab:hostb"}};
	struct tls_creds *creds = sibling("b", b);

	connect_pair(base, good, creds, "hostb.example", &client, &server);
	ck_assert_msg(client.stream && server.stream, "%s %s", client.err.text, server.err.text);
	ck_assert(stream_is_tls(client.stream) && stream_is_tls(server.stream));
	ck_assert_str_eq(
		stream_peer(client.stream), "CN=hostb;DNS:hostb;DNS:hostb.example;URI:htab:hostb");
	ck_assert_str_eq(
		stream_peer(server.stream), "CN=localhost;DNS:localhost;IP:127.0.0.1;IP:::1");
	ck_assert(stream_peer_matches(client.stream, "hostb"));
	ck_assert(stream_peer_matches(client.stream, "CN=host?"));
	ck_assert(stream_peer_matches(client.stream, "*.example"));
	ck_assert(stream_peer_matches(client.stream, "URI:htab:*"));
	ck_assert(!stream_peer_matches(client.stream, "host"));
	ck_assert(!stream_peer_matches(client.stream, "hosta"));
	ck_assert(!stream_peer_matches(client.stream, ""));
	ck_assert(stream_peer_matches(server.stream, "127.0.0.1"));
	ck_assert(stream_peer_matches(server.stream, "::1"));
	tls_creds_unref(creds);
}
END_TEST

START_TEST(tls_checks_the_name_that_is_given)
{
	static const struct {
		const char *hostname; /* NULL: the chain alone */
		bool fits;
	} names[] = {{"localhost", true}, {"127.0.0.1", true}, {"::1", true}, {"::1%lo", true},
		{NULL, true}, {"LOCALHOST", true}, {"localhos", false}, {"127.0.0.2", false},
		{"::2", false}, {"0:0:0:0:0:0:0:1", true}};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		connect_pair(base, good, good, names[i].hostname, &client, &server);
		ck_assert_msg(!!client.stream == names[i].fits, "%s", names[i].hostname);
		ck_assert(!!server.stream == names[i].fits);
		outcome_clear(&client);
		outcome_clear(&server);
	}
}
END_TEST

START_TEST(tls_wrong_name_is_told_with_the_right_ones_and_the_remedy)
{
	struct testca_options c = {.cn = "hostc", .dns = {"hostc"}, .ip = {"192.0.2.3"}};
	struct tls_creds *creds = sibling("c", c);

	connect_pair(base, good, creds, "hostb", &client, &server);
	ck_assert_int_eq(client.err.code, -EKEYREJECTED);
	says(client.err.text, "is for 'hostc', '192.0.2.3', not 'hostb'");
	says(client.err.text, "give tls-hostname");
	ck_assert_int_lt(server.err.code, 0);
	says(server.err.text, "refused the certificate of this host");
	tls_creds_unref(creds);
}
END_TEST

/* What is in the subject is for people; OpenSSL would look there when there is no DNS name. */
START_TEST(tls_server_names_are_alternative_names_alone)
{
	struct testca_options a = {.cn = "hostb", .no_names = true};
	struct testca_options b = {.cn = "hostb", .ip = {"192.0.2.3"}};
	struct tls_creds *none = sibling("none", a), *other = sibling("other", b);

	connect_pair(base, good, none, "hostb", &client, &server);
	ck_assert_int_eq(client.err.code, -EKEYREJECTED);
	says(client.err.text, "its common name 'hostb' does not count");
	says(client.err.text, "subjectAltName 'hostb'");
	outcome_clear(&client);
	outcome_clear(&server);
	connect_pair(base, good, other, "hostb", &client, &server);
	says(client.err.text, "is for '192.0.2.3', not 'hostb'");
	tls_creds_unref(none);
	tls_creds_unref(other);
}
END_TEST

START_TEST(tls_wildcards_are_whole_labels)
{
	static const struct {
		const char *dns, *hostname;
		bool fits;
	} names[] = {{"*.example.org", "hostb.example.org", true},
		{"h*b.example.org", "hostb.example.org", false},
		{"host*.example.org", "hostb.example.org", false},
		{"*b.example.org", "hostb.example.org", false}, {"h*stb", "hostb", false},
		{"*.example.org", "a.b.example.org", false},
		{"hostb.example.org", "hostb.example.org", true}};
	char dir[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct tls_creds *c;

		snprintf(dir, sizeof(dir), "w%zu", i);
		c = sibling(dir, (struct testca_options){.dns = {names[i].dns}});
		connect_pair(base, good, c, names[i].hostname, &client, &server);
		ck_assert_msg(!!client.stream == names[i].fits, "%s for %s: %s", names[i].dns,
			names[i].hostname, client.err.text);
		outcome_clear(&client);
		outcome_clear(&server);
		tls_creds_unref(c);
	}
}
END_TEST

/* ".example.org" means a whole domain to OpenSSL: to nobody else. */
START_TEST(tls_hostname_is_no_domain)
{
	struct tls_creds *c = sibling("dot", (struct testca_options){.dns = {"hostb.example.org"}});

	connect_pair(base, good, c, ".example.org", &client, &server);
	ck_assert_ptr_null(client.stream);
	says(client.err.text, "'.example.org' is not a host name");
	tls_creds_unref(c);
}
END_TEST

/* A CA that does not look closely signs "hosta\0.evil.example" for who owns evil.example. */
START_TEST(tls_peer_with_a_nul_in_its_name_is_refused)
{
	struct testca_options o = {.cn = "hosta\0.evil.example", .cn_len = 19};
	struct tls_creds *evil = sibling("evil", o);

	connect_pair(base, evil, good, "localhost", &client, &server);
	ck_assert_ptr_null(server.stream);
	ck_assert_int_eq(server.err.code, -EKEYREJECTED);
	says(server.err.text, "has a name with a NUL");
	outcome_clear(&client);
	outcome_clear(&server);
	connect_pair(base, good, evil, "localhost", &client, &server);
	ck_assert_ptr_null(client.stream);
	says(client.err.text, "has a name with a NUL");
	tls_creds_unref(evil);
}
END_TEST

START_TEST(tls_peer_without_subject_has_its_alternative_name)
{
	struct testca_options d = {.no_subject = true, .dns = {"hostd"}};
	struct tls_creds *creds = sibling("d", d);

	connect_pair(base, good, creds, "hostd", &client, &server);
	ck_assert_msg(client.stream, "%s", client.err.text);
	ck_assert_str_eq(stream_peer(client.stream), "DNS:hostd");
	tls_creds_unref(creds);
}
END_TEST

START_TEST(tls_server_of_another_ca_is_refused_and_both_sides_know)
{
	struct tls_creds *other = make_creds("other", NULL);

	connect_pair(base, good, other, "localhost", &client, &server);
	ck_assert_int_eq(client.err.code, -EKEYREJECTED);
	says(client.err.text, "which is not a CA of ");
	says(client.err.text, "/good/ca-cert.pem");
	ck_assert_int_eq(server.err.code, -EKEYREJECTED);
	says(server.err.text, "does not know the CA");
	says(server.err.text, "/other/server-cert.pem");
	tls_creds_unref(other);
}
END_TEST

/* A client that trusts good's CA as well, and has a certificate of its own. */
static struct tls_creds *mixed(const char *name)
{
	struct tls_creds *c = make_creds(name, NULL);
	char dir[PATH_MAX], file[64];

	tls_creds_unref(c);
	snprintf(file, sizeof(file), "%s/ca-cert.pem", name);
	scratch_append("good/ca-cert.pem", file);
	ck_assert_int_eq(tls_creds_load(scratch_path(name, dir, sizeof(dir)), &c, NULL), 0);
	return c;
}

/* Of good's CA; they were loaded days ago and have ended since. */
static struct tls_creds *outlived(const char *name)
{
	struct testca_options o = {.expired = true};
	struct tls_creds *c = NULL;
	char ca[PATH_MAX], dir[PATH_MAX];
	struct err err = {0};

	o.ca_dir = scratch_path("good", ca, sizeof(ca));
	ck_assert_int_eq(testca_write(scratch_path(name, dir, sizeof(dir)), &o), 0);
	ck_assert_msg(
		tls_creds_load_at(dir, time(NULL) - 5 * 24 * 3600, &c, &err) == 0, "%s", err.text);
	return c;
}

START_TEST(tls_client_of_another_ca_learns_it_at_its_first_read)
{
	struct tls_creds *other = mixed("other");

	connect_pair(base, other, good, "localhost", &client, &server);
	ck_assert_int_eq(server.err.code, -EKEYREJECTED);
	says(server.err.text, "which is not a CA of ");
	first_read_says("does not know the CA");
	says(stream_error(client.stream), "/other/client-cert.pem");
	tls_creds_unref(other);
}
END_TEST

START_TEST(tls_client_of_another_ca_learns_it_when_its_write_fails)
{
	struct tls_creds *other = mixed("other");
	static const char zeros[4096];
	ssize_t n;

	connect_pair(base, other, good, "localhost", &client, &server);
	ck_assert_ptr_nonnull(client.stream);
	do
		n = stream_write(client.stream, zeros, sizeof(zeros));
	while (n > 0);
	ck_assert(n == -EPIPE || n == -ECONNRESET);
	says(stream_error(client.stream), "does not know the CA");
	tls_creds_unref(other);
}
END_TEST

START_TEST(tls_expired_server_is_refused_and_both_sides_know)
{
	struct tls_creds *old = outlived("old");

	connect_pair(base, good, old, "localhost", &client, &server);
	ck_assert_int_eq(client.err.code, -EKEYREJECTED);
	says(client.err.text, "('CN=localhost') expired at 2");
	ck_assert_int_eq(server.err.code, -EKEYREJECTED);
	says(server.err.text, "says that the certificate of this host has expired");
	says(server.err.text, "/old/server-cert.pem");
	tls_creds_unref(old);
}
END_TEST

START_TEST(tls_expired_client_learns_it_at_its_first_read)
{
	struct tls_creds *old = outlived("old");

	connect_pair(base, old, good, "localhost", &client, &server);
	says(server.err.text, "expired at 2");
	first_read_says("says that the certificate of this host has expired");
	says(stream_error(client.stream), "/old/client-cert.pem");
	tls_creds_unref(old);
}
END_TEST

/* -- Peers that speak something else -- */

/* One end of a socketpair through dial_fd(); the other is the test's. */
static int raw_peer(bool is_server, struct outcome *o)
{
	struct dial *d;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(dial_fd(base, fds[0], is_server, good, NULL, HARNESS_TIMEOUT_MS,
				 outcome_cb, o, &d, NULL),
		0);
	return fds[1];
}

START_TEST(tls_plaintext_peer_is_recognised)
{
	static const char *const hellos[] = {"HTABMIG1 and more", "GET / HTTP/1.0\r\n\r\n", "x",
		"\x16QMP", "\x80\x2e\x01\x03\x01"};

	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < sizeof(hellos) / sizeof(*hellos); k++) {
			int fd = raw_peer(i, &server);

			ck_assert_int_gt(send(fd, hellos[k], strlen(hellos[k]), MSG_NOSIGNAL), 0);
			shutdown(fd, SHUT_WR);
			loop_until(base, &server.count, 1);
			ck_assert_ptr_null(server.stream);
			says(server.err.text, "did not speak TLS: is it started with --plaintext?");
			outcome_clear(&server);
			close(fd);
		}
	}
}
END_TEST

START_TEST(tls_peer_that_closes_at_once_may_be_plaintext)
{
	for (int i = 0; i < 2; i++) {
		close(raw_peer(i, &server));
		loop_until(base, &server.count, 1);
		ck_assert_int_eq(server.err.code, -ECONNRESET);
		says(server.err.text, "is it started with --plaintext?");
		outcome_clear(&server);
	}
}
END_TEST

START_TEST(tls_garbage_after_a_good_beginning_is_refused)
{
	static const unsigned char garbage[] = {
		22, 3, 1, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
	int fd = raw_peer(true, &server);

	ck_assert_int_gt(send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL), 0);
	loop_until(base, &server.count, 1);
	ck_assert_int_eq(server.err.code, -EPROTO);
	says(server.err.text, "the TLS connection with unix: failed");
	close(fd);
}
END_TEST

/* -- Peers that speak TLS without end -- */

struct babbler {
	int fd;
	char cert[PATH_MAX], key[PATH_MAX];
	unsigned updates;    /* KeyUpdates between two bytes of data */
	unsigned sent, most; /* KeyUpdates in all */
};

/* A peer with a good certificate, which does as it likes. */
static void *babble(void *arg)
{
	struct babbler *b = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	ck_assert_int_eq(SSL_CTX_use_certificate_file(ctx, b->cert, SSL_FILETYPE_PEM), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, b->key, SSL_FILETYPE_PEM), 1);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, b->fd);
	if (SSL_connect(ssl) == 1)
		while (b->sent < b->most) {
			if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
				SSL_do_handshake(ssl) != 1)
				break;
			b->sent++;
			if (b->updates && b->sent % b->updates == 0 && SSL_write(ssl, "x", 1) != 1)
				break;
		}
	shutdown(b->fd, SHUT_WR);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return NULL;
}

/* What stream_read() said in the end; bytes of data before. */
static ssize_t hear(struct babbler *b, size_t *ret_bytes)
{
	struct dial *d;
	pthread_t thread;
	int fds[2];
	ssize_t n;
	char c;

	scratch_path("good/client-cert.pem", b->cert, sizeof(b->cert));
	scratch_path("good/client-key.pem", b->key, sizeof(b->key));
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	b->fd = fds[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, babble, b), 0);
	ck_assert_int_eq(dial_fd(base, fds[0], true, good, NULL, HARNESS_TIMEOUT_MS, outcome_cb,
				 &server, &d, NULL),
		0);
	loop_until(base, &server.count, 1);
	ck_assert_msg(server.stream, "%s", server.err.text);
	for (*ret_bytes = 0; (n = stream_read(server.stream, &c, 1)) > 0 || n == -EAGAIN;) {
		struct pollfd p = {stream_fd(server.stream), POLLIN, 0};

		*ret_bytes += n > 0;
		if (n < 0 && stream_pending(server.stream) == 0)
			ck_assert_int_eq(poll(&p, 1, HARNESS_TIMEOUT_MS), 1);
	}
	stream_shutdown(server.stream);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close(fds[1]);
	return n;
}

START_TEST(tls_peer_that_renews_its_key_without_end_is_ended)
{
	struct babbler b = {.updates = _i ? 50 : 0, .most = 1000000};
	size_t bytes;

	ck_assert_int_eq(hear(&b, &bytes), -EPROTO);
	says(stream_error(server.stream), "TLS records without data");
	ck_assert_uint_lt(bytes, 10);
	ck_assert_uint_lt(b.sent, b.most);
}
END_TEST

/* Some are no attack, and no byte gets lost among them. */
START_TEST(tls_key_updates_among_data_are_read_over)
{
	struct babbler b = {.updates = 5, .most = 50};
	size_t bytes;

	ck_assert_int_eq(hear(&b, &bytes), -ECONNRESET);
	ck_assert_uint_eq(bytes, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tls");
	TCase *t = tcase_create("tls");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tls_authenticates_both_sides);
	tcase_add_test(t, tls_checks_the_name_that_is_given);
	tcase_add_test(t, tls_wrong_name_is_told_with_the_right_ones_and_the_remedy);
	tcase_add_test(t, tls_server_names_are_alternative_names_alone);
	tcase_add_test(t, tls_wildcards_are_whole_labels);
	tcase_add_test(t, tls_hostname_is_no_domain);
	tcase_add_test(t, tls_peer_with_a_nul_in_its_name_is_refused);
	tcase_add_test(t, tls_peer_without_subject_has_its_alternative_name);
	tcase_add_test(t, tls_server_of_another_ca_is_refused_and_both_sides_know);
	tcase_add_test(t, tls_client_of_another_ca_learns_it_at_its_first_read);
	tcase_add_test(t, tls_client_of_another_ca_learns_it_when_its_write_fails);
	tcase_add_test(t, tls_expired_server_is_refused_and_both_sides_know);
	tcase_add_test(t, tls_expired_client_learns_it_at_its_first_read);
	tcase_add_test(t, tls_plaintext_peer_is_recognised);
	tcase_add_test(t, tls_peer_that_closes_at_once_may_be_plaintext);
	tcase_add_test(t, tls_garbage_after_a_good_beginning_is_refused);
	tcase_add_loop_test(t, tls_peer_that_renews_its_key_without_end_is_ended, 0, 2);
	tcase_add_test(t, tls_key_updates_among_data_are_read_over);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
