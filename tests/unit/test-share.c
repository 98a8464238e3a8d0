/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who makes room: the oldest of whoever has most, whatever others do. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "common/share.h"

static const struct {
	unsigned n;
	uint64_t owners[8];
	unsigned victim;
} cases[] = {
	{1, {7}, 0},
	{2, {7, 7}, 0},
	{3, {1, 7, 7}, 1},
	{4, {1, 2, 7, 7}, 2},
	{5, {7, 1, 7, 1, 7}, 0},
	{3, {1, 2, 3}, 0}, /* all have as many: the oldest of all */
	{4, {1, 2, 2, 1}, 0},
	{5, {3, 1, 2, 2, 1}, 1},
};

START_TEST(victim_is_the_oldest_of_who_has_most)
{
	ck_assert_uint_eq(share_victim(cases[_i].owners, cases[_i].n), cases[_i].victim);
}
END_TEST

/* Whoever fills every place anew, again and again, never drops another's. */
START_TEST(nobody_else_goes)
{
	uint64_t owners[64] = {1, 2, 2};

	for (unsigned i = 3; i < 64; i++)
		owners[i] = 3;
	for (unsigned turn = 0; turn < 200; turn++) {
		unsigned v = share_victim(owners, 64);

		ck_assert_uint_eq(owners[v], 3);
		for (; v < 63; v++)
			owners[v] = owners[v + 1];
		owners[63] = 3;
	}
}
END_TEST

static uint64_t owner4(const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((in_port_t)rand())};

	ck_assert_int_eq(inet_pton(AF_INET, text, &a.sin_addr), 1);
	return share_owner((struct sockaddr *)&a);
}

static uint64_t owner6(const char *text)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)rand())};

	ck_assert_int_eq(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
	return share_owner((struct sockaddr *)&a);
}

START_TEST(owner_is_the_host)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	ck_assert_uint_eq(owner4("192.0.2.1"), owner4("192.0.2.1"));
	ck_assert_uint_ne(owner4("192.0.2.1"), owner4("192.0.2.2"));
	ck_assert_uint_eq(owner4("192.0.2.1"), owner6("::ffff:192.0.2.1"));
	ck_assert_uint_eq(owner6("2001:db8::1"), owner6("2001:db8::2:3:4:5"));
	ck_assert_uint_ne(owner6("2001:db8::1"), owner6("2001:db8:0:1::1"));
	ck_assert_uint_ne(owner6("::1"), owner4("127.0.0.1"));
	ck_assert_uint_eq(share_owner((struct sockaddr *)&un), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("share");
	TCase *c = tcase_create("share");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(
		c, victim_is_the_oldest_of_who_has_most, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(c, nobody_else_goes);
	tcase_add_test(c, owner_is_the_host);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
