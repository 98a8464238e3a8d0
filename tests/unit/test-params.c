/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Migration parameters and capabilities: names, limits, all or nothing. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/params.h"

static int set(struct params *p, const char *json, struct err *err)
{
	struct json_object *o = json_tokener_parse(json);
	int r;

	ck_assert_msg(o != NULL, "%s", json);
	memset(err, 0, sizeof(*err));
	r = params_set(p, o, NULL, err);
	json_object_put(o);
	return r;
}

/* QEMU's names where QEMU has the thing, and the defaults of docs/control.md. */
static const struct {
	const char *name, *preset, *good, *good_again;
	const char *bad[6];
} params[] = {
	{"downtime-limit", "300", "0", "2000000", {"-1", "2000001", "\"300\"", "1.5", "true"}},
	{"max-bandwidth", "0", "1", "9223372036854775807", {"-1", "\"1G\"", "null"}},
	{"max-passes", "30", "2", "1000000", {"1", "0", "-2", "1000001", "[]"}},
	{"timeout", "0", "1", "1000000", {"-1", "1000001", "{}"}},
	{"recover-timeout", "300", "1", "1000000", {"0", "-1", "1000001", "\"5\""}},
	{"on-timeout", "\"cancel\"", "\"force\"", "\"cancel\"",
		{"\"Cancel\"", "\"\"", "\"forces\"", "1", "null"}},
	{"hpt-change", "\"restart\"", "\"refuse\"", "\"restart\"",
		{"\"Restart\"", "\"\"", "\"cancel\"", "0", "null"}},
	{"max-generations", "16", "1", "1024", {"0", "1025", "-1", "\"2\""}},
	{"cpu-throttle-initial", "20", "1", "99", {"0", "100", "-1", "\"20\""}},
	{"cpu-throttle-increment", "10", "1", "99", {"0", "100"}},
	{"max-cpu-throttle", "99", "1", "99", {"0", "100"}},
	{"multifd-channels", "1", "4", "16", {"0", "17", "-1"}},
	{"multifd-zstd-level", "1", "20", "0", {"-1", "21", "\"9\""}},
	{"htab-compression", "\"hpte\"", "\"none\"", "\"zstd\"",
		{"\"lz4\"", "\"\"", "\"nonesuch-and-far-too-long\"", "0"}},
	{"tls-creds", "\"\"", "\"/etc/pki\"", "\"\"", {"1", "null", "\"a\\u0000b\""}},
	{"tls-hostname", "\"\"", "\"hostb\"", "\"\"", {"true", "\"a\\u0000b\""}},
	{"tls-authz", "\"\"", "\"CN=host*\"", "\"\"", {"[]", "\"a\\u0000\""}},
};
#define PARAMS ((int)(sizeof(params) / sizeof(params[0])))

/* What a parameter is now, as JSON text. */
static const char *shown(const struct params *p, const char *name)
{
	struct json_object *o = params_json(p), *v;
	static char text[512];

	ck_assert_msg(json_object_object_get_ex(o, name, &v), "%s", name);
	snprintf(text, sizeof(text), "%s",
		json_object_to_json_string_ext(
			v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

static int set_param(struct params *p, const char *name, const char *value, struct err *err)
{
	char json[512];

	snprintf(json, sizeof(json), "{\"%s\": %s}", name, value);
	return set(p, json, err);
}

START_TEST(parameter_keeps_its_limits)
{
	const char *name = params[_i].name;
	struct params p;
	struct err err;

	params_default(&p);
	ck_assert_str_eq(shown(&p, name), params[_i].preset);
	ck_assert_int_eq(set_param(&p, name, params[_i].good, &err), 0);
	ck_assert_str_eq(shown(&p, name), params[_i].good);
	ck_assert_int_eq(set_param(&p, name, params[_i].good_again, &err), 0);
	ck_assert_str_eq(shown(&p, name), params[_i].good_again);
	for (int i = 0; i < 6 && params[_i].bad[i]; i++) {
		struct params before = p;

		ck_assert_msg(set_param(&p, name, params[_i].bad[i], &err) == -EINVAL, "%s: %s",
			name, params[_i].bad[i]);
		ck_assert_int_eq(memcmp(&p, &before, sizeof(p)), 0);
		/* One sentence that names the thing. */
		ck_assert_msg(strstr(err.text, name) != NULL, "%s", err.text);
		ck_assert_int_eq(err.code, -EINVAL);
	}
}
END_TEST

START_TEST(text_keeps_its_length)
{
	static const char *const names[] = {"tls-creds", "tls-hostname", "tls-authz"};
	char value[PARAM_TEXT_MAX + 3];
	struct params p;
	struct err err;

	params_default(&p);
	for (size_t i = 0; i < 3; i++) {
		memset(value, 'x', sizeof(value));
		value[0] = '"';
		strcpy(value + PARAM_TEXT_MAX, "\"");
		ck_assert_int_eq(set_param(&p, names[i], value, &err), 0);
		ck_assert_str_eq(shown(&p, names[i]), value);
		value[PARAM_TEXT_MAX] = 'x';
		strcpy(value + PARAM_TEXT_MAX + 1, "\"");
		ck_assert_int_eq(set_param(&p, names[i], value, &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "255"));
	}
	ck_assert_uint_eq(strlen(p.tls_creds), PARAM_TEXT_MAX - 1);
}
END_TEST

START_TEST(table_is_complete)
{
	struct json_object *o;
	struct params p;

	params_default(&p);
	o = params_json(&p);
	ck_assert_int_eq(json_object_object_length(o), PARAMS);
	json_object_put(o);
}
END_TEST

START_TEST(all_or_nothing)
{
	struct params p, before;
	struct err err;

	params_default(&p);
	before = p;
	ck_assert_int_eq(
		set(&p, "{\"downtime-limit\": 5, \"max-passes\": 7, \"timeout\": -1}", &err),
		-EINVAL);
	ck_assert_int_eq(memcmp(&p, &before, sizeof(p)), 0);
	ck_assert_int_eq(set(&p, "{\"downtime-limit\": 5, \"surprise\": 1}", &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "surprise"));
	ck_assert_int_eq(memcmp(&p, &before, sizeof(p)), 0);
	ck_assert_int_eq(set(&p, "{\"downtime-limit\": 5, \"max-passes\": 7}", &err), 0);
	ck_assert_int_eq(p.downtime_limit, 5);
	ck_assert_int_eq(p.max_passes, 7);
	ck_assert_int_eq(p.timeout, before.timeout);
	ck_assert_int_eq(set(&p, "{}", &err), 0);
}
END_TEST

START_TEST(member_of_somebody_else_is_skipped)
{
	struct json_object *o = json_tokener_parse("{\"vm\": \"vm1\", \"timeout\": 9}");
	struct err err = {0};
	struct params p;

	params_default(&p);
	ck_assert_int_eq(params_set(&p, o, NULL, &err), -EINVAL);
	ck_assert_int_eq(params_set(&p, o, "vm", &err), 0);
	ck_assert_int_eq(p.timeout, 9);
	json_object_put(o);
}
END_TEST

START_TEST(names_are_case_sensitive_and_whole)
{
	static const char *const wrong[] = {"{\"Timeout\": 1}", "{\"timeou\": 1}",
		"{\"timeouts\": 1}", "{\"\": 1}", "{\"max_passes\": 5}"};
	struct params p;
	struct err err;

	params_default(&p);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(set(&p, wrong[i], &err) == -EINVAL, "%s", wrong[i]);
}
END_TEST

START_TEST(json_makes_the_same_again)
{
	struct json_object *o;
	struct params p, q;
	struct err err;

	params_default(&p);
	ck_assert_int_eq(set(&p,
				 "{\"downtime-limit\": 1, \"max-bandwidth\": 2, \"max-passes\": 3, "
				 "\"timeout\": 4, \"on-timeout\": \"force\", "
				 "\"cpu-throttle-initial\": 5, \"cpu-throttle-increment\": 6, "
				 "\"max-cpu-throttle\": 7, \"tls-creds\": \"a\", "
				 "\"tls-hostname\": \"b \\\"c\\\" \\u00e9\", \"tls-authz\": \"d\"}",
				 &err),
		0);
	params_default(&q);
	o = params_json(&p);
	ck_assert_int_eq(params_set(&q, o, NULL, &err), 0);
	json_object_put(o);
	ck_assert_int_eq(memcmp(&p, &q, sizeof(p)), 0);
	ck_assert_int_eq(p.on_timeout, ON_TIMEOUT_FORCE);
	ck_assert_int_eq(p.throttle_max, 7);
}
END_TEST

/* -- capabilities -- */

static const struct {
	const char *name;
	bool preset;
} capabilities[] = {
	{"pause-before-switchover", false},
	{"auto-converge", false},
	{"verify", false},
	{"htab-recover", false},
	{"bolted-only", false},
	{"events", true},
};
#define CAPABILITIES ((int)(sizeof(capabilities) / sizeof(capabilities[0])))

static bool capability(const struct params *p, const char *name, int *ret_n)
{
	struct json_object *list = params_capabilities(p), *v;
	bool state = false, found = false;

	*ret_n = (int)json_object_array_length(list);
	for (int i = 0; i < *ret_n; i++) {
		struct json_object *o = json_object_array_get_idx(list, (size_t)i);

		ck_assert(json_object_object_get_ex(o, "capability", &v));
		if (strcmp(json_object_get_string(v), name))
			continue;
		ck_assert(!found && json_object_object_get_ex(o, "state", &v));
		state = json_object_get_boolean(v);
		found = true;
	}
	ck_assert_msg(found, "%s", name);
	json_object_put(list);
	return state;
}

START_TEST(capability_is_set_and_shown)
{
	const char *name = capabilities[_i].name;
	struct err err = {0};
	struct params p;
	int n;

	params_default(&p);
	ck_assert_int_eq(capability(&p, name, &n), capabilities[_i].preset);
	ck_assert_int_eq(n, CAPABILITIES);
	ck_assert_int_eq(params_set_capability(&p, name, true, &err), 0);
	ck_assert(capability(&p, name, &n));
	ck_assert_int_eq(params_set_capability(&p, name, false, &err), 0);
	ck_assert(!capability(&p, name, &n));
	/* As a member, in the configuration file. */
	ck_assert_int_eq(set_param(&p, name, "true", &err), 0);
	ck_assert(capability(&p, name, &n));
	ck_assert_int_eq(set_param(&p, name, "1", &err), -EINVAL);
	ck_assert_int_eq(set_param(&p, name, "\"true\"", &err), -EINVAL);
	ck_assert(capability(&p, name, &n));
}
END_TEST

START_TEST(capability_that_is_none_is_refused)
{
	struct params p, before;
	struct err err = {0};

	params_default(&p);
	before = p;
	ck_assert_int_eq(params_set_capability(&p, "postcopy-ram", true, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "postcopy-ram"));
	ck_assert_int_eq(memcmp(&p, &before, sizeof(p)), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("params");
	TCase *t = tcase_create("params");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, parameter_keeps_its_limits, 0, PARAMS);
	tcase_add_test(t, text_keeps_its_length);
	tcase_add_test(t, table_is_complete);
	tcase_add_test(t, all_or_nothing);
	tcase_add_test(t, member_of_somebody_else_is_skipped);
	tcase_add_test(t, names_are_case_sensitive_and_whole);
	tcase_add_test(t, json_makes_the_same_again);
	tcase_add_loop_test(t, capability_is_set_and_shown, 0, CAPABILITIES);
	tcase_add_test(t, capability_that_is_none_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
