/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A rule ties a user, a name and a UUID together; what is no rule is refused and says why. */
#include <check.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/vms/allow.h"

#define A     1001
#define B     1002
#define UUID1 "01234567-89ab-cdef-0123-456789abcdef"
#define UUID2 "11234567-89ab-cdef-0123-456789abcdef"

static struct allow allow;
static struct err err;

static int add(const char *json)
{
	struct json_object *o = json_tokener_parse(json);
	int r;

	ck_assert_msg(o != NULL, "%s", json);
	memset(&err, 0, sizeof(err));
	r = allow_add(&allow, o, &err);
	json_object_put(o);
	return r;
}

static void rules(const char *const *json)
{
	memset(&allow, 0, sizeof(allow));
	for (; *json; json++)
		ck_assert_msg(add(*json) == 0, "%s: %s", *json, err.text);
}

static bool may(uid_t uid, const char *name, const char *uuid)
{
	memset(&err, 0, sizeof(err));
	return allow_check(&allow, uid, name, uuid, &err) == 0;
}

static void may_not(uid_t uid, const char *name, const char *uuid, const char *why)
{
	ck_assert(!may(uid, name, uuid));
	ck_assert_msg(
		strstr(err.text, why) && strstr(err.text, name) && strstr(err.text, "'allow'"),
		"%s", err.text);
}

START_TEST(without_rules_everybody_may)
{
	memset(&allow, 0, sizeof(allow));
	ck_assert(may(A, "a-1", UUID1));
}
END_TEST

START_TEST(name_and_uuid_both_have_to_fit)
{
	rules((const char *[]){"{\"uid\": 1001, \"vm\": \"a-*\", \"uuid\": \"0123*\"}",
		"{\"uid\": 1002, \"vm\": \"b-*\", \"uuid\": [\"x\", \"11234567-*\"]}", NULL});
	ck_assert(may(A, "a-1", UUID1));
	ck_assert(may(B, "b-1", UUID2));
	may_not(B, "b-1", UUID1, "other UUIDs");
	may_not(B, "a-1", UUID2, "for that name");
	may_not(B, "a-1", UUID1, "for that name");
	may_not(A, "a-1", UUID2, "other UUIDs");
	may_not(7, "a-1", UUID1, "no rule is for this user");
	/* a name is not met by a UUID, nor the other way round */
	may_not(A, UUID1, UUID1, "for that name");
}
END_TEST

START_TEST(uuid_of_another_users_rule)
{
	rules((const char *[]){"{\"uid\": 1002, \"vm\": \"b-*\"}",
		"{\"uid\": 1001, \"vm\": \"a-1\", \"uuid\": \"" UUID1 "\"}",
		"{\"uid\": 1001, \"vm\": \"a-2\"}", NULL});
	may_not(B, "b-1", UUID1, "another user's");
	ck_assert(may(B, "b-1", UUID2));
	ck_assert(may(A, "a-2", UUID1));
	ck_assert(may(A, "a-1", UUID1));
}
END_TEST

START_TEST(pattern_of_a_uuid_has_either_case)
{
	rules((const char *[]){
		"{\"uid\": 1001, \"vm\": \"*\", \"uuid\": \"01234567-89AB-*\"}", NULL});
	ck_assert(may(A, "any", UUID1));
}
END_TEST

START_TEST(users_have_names)
{
	struct passwd *pw = getpwuid(getuid());
	char json[128], user[ALLOW_USER_MAX];

	if (!pw)
		return;
	snprintf(json, sizeof(json), "{\"user\": \"%s\", \"vm\": \"a\"}", pw->pw_name);
	rules((const char *[]){json, NULL});
	ck_assert_uint_eq(allow.rules[0].uid, getuid());
	ck_assert(may(getuid(), "a", UUID1));
	may_not(getuid(), "b", UUID1, pw->pw_name);
	memset(&allow, 0, sizeof(allow));
	allow_user(&allow, 4294967000u, user); /* nobody's */
	ck_assert_str_eq(user, "4294967000");
}
END_TEST

static const struct {
	const char *json, *says;
} bad[] = {
	{"[]", "no object"},
	{"{}", "'uid' or 'user'"},
	{"{\"uid\": 1}", "'vm'"},
	{"{\"vm\": \"a\"}", "'uid' or 'user'"},
	{"{\"uid\": 1, \"user\": \"root\", \"vm\": \"a\"}", "'uid' or 'user'"},
	{"{\"uid\": -1, \"vm\": \"a\"}", "number"},
	{"{\"uid\": 4294967295, \"vm\": \"a\"}", "number"},
	{"{\"uid\": \"1\", \"vm\": \"a\"}", "number"},
	{"{\"uid\": 1.5, \"vm\": \"a\"}", "number"},
	{"{\"user\": \"no-such-user-here\", \"vm\": \"a\"}", "no user 'no-such-user-here'"},
	{"{\"user\": 0, \"vm\": \"a\"}", "'user'"},
	{"{\"uid\": 1, \"vm\": \"\"}", "'vm'"},
	{"{\"uid\": 1, \"vm\": [\"a\"]}", "'vm'"},
	{"{\"uid\": 1, \"vm\": \"" UUID1 "\"}", "is a UUID"},
	{"{\"uid\": 1, \"vm\": \"a\", \"uuid\": []}", "'uuid'"},
	{"{\"uid\": 1, \"vm\": \"a\", \"uuid\": 5}", "'uuid'"},
	{"{\"uid\": 1, \"vm\": \"a\", \"uuid\": [\"\"]}", "'uuid'"},
	{"{\"uid\": 1, \"vm\": \"a\", \"uuid\": \"" UUID1 "0\"}", "'uuid'"},
	{"{\"uid\": 1, \"vm\": \"a\", \"group\": 5}", "'group' is unexpected"},
};

START_TEST(rule_that_is_none)
{
	memset(&allow, 0, sizeof(allow));
	ck_assert_int_eq(add(bad[_i].json), -EINVAL);
	ck_assert_msg(strstr(err.text, bad[_i].says) && strstr(err.text, "rule 1"), "%s: %s",
		bad[_i].json, err.text);
	ck_assert_uint_eq(allow.n, 0);
}
END_TEST

START_TEST(rules_are_bounded)
{
	memset(&allow, 0, sizeof(allow));
	for (int i = 0; i < ALLOW_MAX; i++)
		ck_assert_int_eq(add("{\"uid\": 1, \"vm\": \"a\"}"), 0);
	ck_assert_int_eq(add("{\"uid\": 1, \"vm\": \"a\"}"), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("allow");
	TCase *c = tcase_create("allow");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(c, without_rules_everybody_may);
	tcase_add_test(c, name_and_uuid_both_have_to_fit);
	tcase_add_test(c, uuid_of_another_users_rule);
	tcase_add_test(c, pattern_of_a_uuid_has_either_case);
	tcase_add_test(c, users_have_names);
	tcase_add_loop_test(c, rule_that_is_none, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(c, rules_are_bounded);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
