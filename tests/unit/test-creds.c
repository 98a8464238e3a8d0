/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Directories of credentials: what is in them is checked when they are loaded, as the other end
 * would check it, and what their CA has revoked is refused.
 */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static struct tls_creds *sibling(const char *name, struct testca_options o)
{
	return make_sibling("good", name, o);
}

static void says(const char *text, const char *what)
{
	ck_assert_msg(strstr(text, what), "'%s' does not say '%s'", text, what);
}

static void load_fails(const char *dir, const char *what)
{
	struct tls_creds *c = NULL;
	struct err err = {0};
	char path[PATH_MAX];

	ck_assert_int_lt(tls_creds_load(scratch_path(dir, path, sizeof(path)), &c, &err), 0);
	ck_assert_ptr_null(c);
	ck_assert_int_lt(err.code, 0);
	says(err.text, what);
}

static void replace(const char *file, const char *text)
{
	char path[PATH_MAX];
	FILE *f = fopen(scratch_path(file, path, sizeof(path)), "w");

	fputs(text, f);
	fclose(f);
}

static void delete (const char *file)
{
	char path[PATH_MAX];

	ck_assert_int_eq(unlink(scratch_path(file, path, sizeof(path))), 0);
}

START_TEST(creds_that_are_missing_or_bad_are_named)
{
	char from[PATH_MAX], to[PATH_MAX];

	load_fails("nowhere", "/nowhere/ca-cert.pem: No such file");
	tls_creds_unref(make_creds("x", NULL));
	replace("x/server-cert.pem", "garbage");
	load_fails("x", "/x/server-cert.pem is not a certificate in PEM form");
	delete ("x/server-cert.pem");
	load_fails("x", "/x/server-cert.pem: No such file");
	delete ("x/server-key.pem");
	rename(scratch_path("good/client-key.pem", from, sizeof(from)),
		scratch_path("x/client-key.pem", to, sizeof(to)));
	load_fails("x", "/x/client-key.pem is not the key of ");
	replace("x/client-key.pem",
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
		"-----END ENCRYPTED PRIVATE KEY-----\n");
	load_fails("x", "/x/client-key.pem is not an unencrypted private key");
	delete ("x/client-key.pem");
	delete ("x/client-cert.pem");
	load_fails("x", "has no certificate of this host");
	replace("x/ca-cert.pem", "");
	load_fails("x", "has no certificate of this host");
}
END_TEST

static void copy(const char *from, const char *to)
{
	char path[PATH_MAX];

	unlink(scratch_path(to, path, sizeof(path)));
	scratch_append(from, to);
	ck_assert_int_eq(chmod(path, 0600), 0);
}

/* What the other end would refuse is told here, before any guest is on its way. */
START_TEST(creds_that_no_peer_takes_are_refused)
{
	char dir[PATH_MAX], ca[PATH_MAX];
	struct testca_options old = {.expired = true};
	struct tls_creds *c = NULL;
	struct err err = {0};

	old.ca_dir = scratch_path("good", ca, sizeof(ca));
	ck_assert_int_eq(testca_write(scratch_path("old", dir, sizeof(dir)), &old), 0);
	load_fails("old", "/old/client-cert.pem ('CN=localhost') expired at 2");
	load_fails("old", "renew it, or set the clock of this host");
	ck_assert_int_lt(tls_creds_load_at(dir, time(NULL) - 20 * 24 * 3600, &c, &err), 0);
	says(err.text, "('CN=localhost') is not valid before 2");

	tls_creds_unref(make_creds("alien", NULL));
	copy("good/ca-cert.pem", "alien/ca-cert.pem");
	load_fails("alien", "/alien/client-cert.pem ('CN=localhost') is signed by 'CN=throw-away");
	load_fails("alien", "which is not a CA of ");

	tls_creds_unref(sibling("wrong", (struct testca_options){0}));
	copy("wrong/client-cert.pem", "wrong/server-cert.pem");
	copy("wrong/client-key.pem", "wrong/server-key.pem");
	load_fails("wrong", "may not be used by a server: its extended key usage needs serverAuth");
	copy("good/server-cert.pem", "wrong/server-cert.pem");
	copy("good/server-key.pem", "wrong/server-key.pem");
	copy("good/server-cert.pem", "wrong/client-cert.pem");
	copy("good/server-key.pem", "wrong/client-key.pem");
	load_fails("wrong", "may not be used by a client: its extended key usage needs clientAuth");
}
END_TEST

START_TEST(keys_that_others_may_read_are_refused)
{
	static const struct {
		mode_t mode;
		bool fine, warned;
	} modes[] = {{0400, true, false}, {0600, true, false}, {0640, true, false},
		{0660, true, true}, {0644, false, false}, {0604, false, false},
		{0602, false, false}, {0666, false, false}};
	char key[PATH_MAX], dir[PATH_MAX];

	tls_creds_unref(make_creds("x", NULL));
	scratch_path("x/server-key.pem", key, sizeof(key));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct tls_creds *c = NULL;

		ck_assert_int_eq(chmod(key, modes[i].mode), 0);
		if (!modes[i].fine) {
			load_fails("x", "/x/server-key.pem has mode 06");
			load_fails("x", "chmod o= ");
			continue;
		}
		ck_assert_int_eq(tls_creds_load(scratch_path("x", dir, sizeof(dir)), &c, NULL), 0);
		ck_assert(!*tls_creds_warning(c) == !modes[i].warned);
		tls_creds_unref(c);
	}
}
END_TEST

/* Opening a FIFO waits for its writer, and the daemon's loop with it. */
START_TEST(creds_are_regular_files_of_sane_size)
{
	static const char *const files[] = {"ca-cert.pem", "server-cert.pem", "server-key.pem",
		"client-cert.pem", "client-key.pem", "ca-crl.pem"};
	char path[PATH_MAX], name[64];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(name, sizeof(name), "x/%s", files[i]);
		tls_creds_unref(make_creds("x", NULL));
		unlink(scratch_path(name, path, sizeof(path)));
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		load_fails("x", "is no regular file");
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_int_eq(mkdir(path, 0700), 0);
		load_fails("x", "is no regular file");
		ck_assert_int_eq(rmdir(path), 0);
		replace(name, "");
		ck_assert_int_eq(truncate(path, 1 << 30), 0);
		load_fails("x", "has more than 1048576 bytes");
		ck_assert_int_eq(unlink(path), 0);
	}
}
END_TEST

static bool tells(const struct tls_creds *c, const char *what)
{
	char text[ERR_TEXT_MAX];

	if (!tls_creds_ending(c, text, sizeof(text)))
		return false;
	says(text, what);
	return true;
}

START_TEST(creds_know_when_they_end)
{
	static const int day = 24 * 3600;
	struct tls_creds *c = sibling("short", (struct testca_options){.days = 12});
	time_t left = tls_creds_expires(c) - time(NULL);

	ck_assert_int_le(left, 12 * day);
	ck_assert_int_ge(left, 12 * day - 600);
	ck_assert(tells(c, "/short/client-cert.pem expires in 1"));
	tls_creds_unref(c);
	c = sibling("long", (struct testca_options){.days = 5000});
	left = tls_creds_expires(c) - time(NULL);
	ck_assert_int_le(left, 3650 * day); /* the CA's */
	ck_assert_int_ge(left, 3650 * day - 600);
	ck_assert(!tells(c, ""));
	tls_creds_unref(c);
}
END_TEST

static void revoke_at(const char *dir, const char *revoked, int days)
{
	char to[PATH_MAX], ca[PATH_MAX], what[PATH_MAX];

	ck_assert_int_eq(testca_revoke(scratch_path(dir, to, sizeof(to)),
				 scratch_path("good", ca, sizeof(ca)),
				 revoked ? scratch_path(revoked, what, sizeof(what)) : NULL, days),
		0);
}

static struct tls_creds *again(const char *dir)
{
	struct tls_creds *c = NULL;
	struct err err = {0};
	char path[PATH_MAX];

	ck_assert_msg(tls_creds_load(scratch_path(dir, path, sizeof(path)), &c, &err) == 0, "%s",
		err.text);
	return c;
}

START_TEST(what_the_ca_revoked_is_refused)
{
	struct tls_creds *lost = sibling("lost", (struct testca_options){0}), *strict;
	char c;

	tls_creds_unref(sibling("strict", (struct testca_options){0}));
	revoke_at("strict", "lost", 5);
	strict = again("strict");
	connect_pair(base, strict, lost, "localhost", &client, &server);
	ck_assert_int_eq(client.err.code, -EKEYREJECTED);
	says(client.err.text, "is revoked by its CA (");
	says(client.err.text, "/strict/ca-crl.pem)");
	ck_assert_ptr_null(server.stream);
	outcome_clear(&client);
	outcome_clear(&server);
	connect_pair(base, lost, strict, "localhost", &client, &server);
	ck_assert_ptr_null(server.stream);
	says(server.err.text, "is revoked by its CA (");
	ck_assert_ptr_nonnull(client.stream); /* it learns it at its first read */
	ck_assert_int_eq(stream_read_full(client.stream, &c, 1, HARNESS_TIMEOUT_MS), -EKEYREJECTED);
	says(stream_error(client.stream), "refused the certificate of this host");
	outcome_clear(&client);
	outcome_clear(&server);
	connect_pair(base, good, strict, "localhost", &client, &server);
	ck_assert(client.stream && server.stream);
	tls_creds_unref(lost);
	tls_creds_unref(strict);
}
END_TEST

/* With a list it has to be there for whoever shows a certificate, and of today. */
START_TEST(lists_of_the_revoked_are_checked)
{
	struct tls_creds *c;
	char path[300];

	tls_creds_unref(sibling("x", (struct testca_options){0}));
	revoke_at("x", "x", 5);
	load_fails("x", "/x/client-cert.pem ('CN=localhost') is revoked by its CA");
	revoke_at("x", NULL, -1);
	load_fails("x", "/x/ca-crl.pem is out of date, 'CN=throw-away CA");
	replace("x/ca-crl.pem", "garbage");
	load_fails("x", "/x/ca-crl.pem is not a list of revoked certificates in PEM form");
	ck_assert_int_eq(unlink(scratch_path("x/ca-crl.pem", path, sizeof(path))), 0);
	ck_assert_int_eq(symlink("gone.pem", path), 0);
	load_fails("x", "cannot read ");
	ck_assert_int_eq(unlink(path), 0);
	tls_creds_unref(make_creds("other", NULL));
	copy("good/ca-cert.pem", "x/ca-cert.pem");
	scratch_append("other/ca-cert.pem", "x/ca-cert.pem");
	revoke_at("x", NULL, 1);
	c = again("x");
	ck_assert(tells(c, "/x/ca-crl.pem goes out of date at 2"));
	tls_creds_unref(c);
	revoke_at("x", NULL, 5);
	c = again("x");
	ck_assert(!tells(c, ""));
	scratch_append("good/ca-cert.pem", "other/ca-cert.pem");
	tls_creds_unref(good);
	good = again("other"); /* its CA is known at x, but has no list there */
	connect_pair(base, c, good, "localhost", &client, &server);
	says(client.err.text, "/x/ca-crl.pem has no list of 'CN=throw-away CA");
	tls_creds_unref(c);
}
END_TEST

START_TEST(creds_of_one_side_serve_that_side_only)
{
	char path[PATH_MAX];
	struct tls_creds *c = make_creds("half", NULL);
	struct dial *d;
	int fds[2];

	tls_creds_unref(c);
	delete ("half/client-cert.pem");
	delete ("half/client-key.pem");
	ck_assert_int_eq(tls_creds_load(scratch_path("half", path, sizeof(path)), &c, NULL), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(dial_fd(base, fds[0], false, c, NULL, HARNESS_TIMEOUT_MS, outcome_cb,
				 &client, &d, NULL),
		0);
	loop_until(base, &client.count, 1);
	says(client.err.text, "/half/client-cert.pem and client-key.pem are missing");
	close(fds[1]);
	tls_creds_unref(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("creds");
	TCase *t = tcase_create("creds");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, creds_that_are_missing_or_bad_are_named);
	tcase_add_test(t, creds_that_no_peer_takes_are_refused);
	tcase_add_test(t, keys_that_others_may_read_are_refused);
	tcase_add_test(t, creds_are_regular_files_of_sane_size);
	tcase_add_test(t, creds_know_when_they_end);
	tcase_add_test(t, what_the_ca_revoked_is_refused);
	tcase_add_test(t, lists_of_the_revoked_are_checked);
	tcase_add_test(t, creds_of_one_side_serve_that_side_only);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
