/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/net.h"

static const struct {
	const char *text;
	struct uri uri;
	const char *again; /* as uri_format() writes it; NULL: as it was */
} good[] = {
	{"tcp:hostb:4660", {URI_TCP, "hostb", "4660", ""}, NULL},
	{"tcp:hostb", {URI_TCP, "hostb", "4660", ""}, "tcp:hostb:4660"},
	{"tcp:host-b.example_net:1", {URI_TCP, "host-b.example_net", "1", ""}, NULL},
	{"tcp:192.0.2.1:65535", {URI_TCP, "192.0.2.1", "65535", ""}, NULL},
	{"tcp:[::1]:4660", {URI_TCP, "::1", "4660", ""}, NULL},
	{"tcp:[::1]", {URI_TCP, "::1", "4660", ""}, "tcp:[::1]:4660"},
	{"tcp:[fe80::1%eth0]:7", {URI_TCP, "fe80::1%eth0", "7", ""}, NULL},
	{"tcp:[::ffff:192.0.2.1]:7", {URI_TCP, "::ffff:192.0.2.1", "7", ""}, NULL},
	{"tcp::4660", {URI_TCP, "", "4660", ""}, NULL},
	{"tcp:*:4660", {URI_TCP, "", "4660", ""}, "tcp::4660"},
	{"tcp:", {URI_TCP, "", "4660", ""}, "tcp::4660"},
	{"tcp::0", {URI_TCP, "", "0", ""}, NULL},
	{"tcp:h:007", {URI_TCP, "h", "7", ""}, "tcp:h:7"},
	{"unix:/run/x.sock", {URI_UNIX, "", "", "/run/x.sock"}, NULL},
	{"unix:a:b", {URI_UNIX, "", "", "a:b"}, NULL},
	{"fd:name", {URI_FD, "", "", "name"}, NULL},
	{"file:/var/tmp/vm1", {URI_FILE, "", "", "/var/tmp/vm1"}, NULL},
};

static const struct {
	const char *text;
	const char *says;
} bad[] = {
	{"", "write tcp:HOST:PORT"},
	{"hostb:4660", "write tcp:HOST:PORT"},
	{"exec:cat", "write tcp:HOST:PORT"},
	{"TCP:hostb", "write tcp:HOST:PORT"},
	{"tcp:hostb:", "the port ''"},
	{"tcp:hostb:x", "the port 'x'"},
	{"tcp:hostb:-1", "the port '-1'"},
	{"tcp:hostb: 1", "the port ' 1'"},
	{"tcp:hostb:65536", "the port '65536'"},
	{"tcp:hostb:000001", "the port '000001'"},
	{"tcp:::1:4660", "too many colons"},
	{"tcp:[::1:4660", "']'"},
	{"tcp:[::1]4660", "']'"},
	{"tcp:[]:4660", "neither a host name nor an address"},
	{"tcp:[hostb]:4660", "neither a host name nor an address"},
	{"tcp://hostb:4660", "neither a host name nor an address"},
	{"tcp:host b:4660", "neither a host name nor an address"},
	{"tcp:host\n:4660", "has a control character"},
	{"unix:/run/\x1b[2J", "has a control character"},
	{"file:/a\xff", "is no UTF-8"},
	{"file:/a\xe2\x80\xae", "has a control character"},
	{"unix:", "give a path"},
	{"file:", "give a path"},
	{"fd:", "give the name of a descriptor"},
};

START_TEST(uri_that_is_right_is_taken_apart_and_written_again)
{
	char buf[URI_MAX];
	struct uri u;
	struct err err = {0};

	ck_assert_msg(uri_parse(good[_i].text, &u, &err) == 0, "%s", err.text);
	ck_assert_int_eq(u.kind, good[_i].uri.kind);
	ck_assert_str_eq(u.host, good[_i].uri.host);
	ck_assert_str_eq(u.port, good[_i].uri.port);
	ck_assert_str_eq(u.path, good[_i].uri.path);
	ck_assert_str_eq(
		uri_format(&u, buf, sizeof(buf)), good[_i].again ? good[_i].again : good[_i].text);
}
END_TEST

START_TEST(uri_that_is_wrong_is_refused_with_the_reason)
{
	struct uri u = {.port = "untouched"};
	struct err err = {0};

	ck_assert_int_eq(uri_parse(bad[_i].text, &u, &err), -EINVAL);
	ck_assert_int_eq(err.code, -EINVAL);
	ck_assert_msg(strstr(err.text, bad[_i].says), "%s", err.text);
	ck_assert_str_eq(u.port, "untouched");
}
END_TEST

START_TEST(uri_that_is_too_long_is_refused)
{
	char text[2 * URI_MAX];
	struct uri u;

	for (size_t len = 100; len < sizeof(text); len++) {
		memset(text, 'a', len);
		text[len] = '\0';
		memcpy(text, "unix:", 5);
		ck_assert_int_eq(uri_parse(text, &u, NULL), len - 5 <= 107 ? 0 : -EINVAL);
		memcpy(text, "file:", 5);
		ck_assert_int_eq(uri_parse(text, &u, NULL), len - 5 <= 255 ? 0 : -EINVAL);
		memcpy(text, "tcp:a", 5);
		ck_assert_int_eq(uri_parse(text, &u, NULL), len - 4 <= 255 ? 0 : -EINVAL);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("uri");
	TCase *t = tcase_create("uri");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, uri_that_is_right_is_taken_apart_and_written_again, 0,
		sizeof(good) / sizeof(*good));
	tcase_add_loop_test(
		t, uri_that_is_wrong_is_refused_with_the_reason, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(t, uri_that_is_too_long_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
