/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Migration parameters and capabilities: names, limits, all or nothing. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/session/agreed.h"
#include "daemon/base/params.h"

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
	{"switchover-timeout", "60", "1", "1000000", {"0", "-1", "1000001", "\"60\"", "1.5"}},
	{"verify-timeout", "600", "1", "1000000", {"0", "-1", "1000001", "null"}},
	{"handover-timeout", "10", "1", "1000000", {"0", "-1", "1000001", "[]"}},
	{"ready-timeout", "300", "1", "1000000", {"0", "-1", "1000001", "true"}},
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
	{"tls-hostname", "\"\"", "\"host-b.example.org\"", "\"2001:db8::17\"",
		{"true", "\"a\\u0000b\"", "\"host b\"", "\"-a\"", "\"a..b\"", "\"a\\n{}\""}},
	{"tls-authz", "\"\"", "\"CN=host*\"", "\"\"",
		{"[]", "\"a\\u0000\"", "\"a\\nb\"", "\"CN=\"", "\"IP:x\""}},
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
	ck_assert_int_eq(p.tuning.downtime_limit, 5);
	ck_assert_int_eq(p.tuning.max_passes, 7);
	ck_assert_int_eq(p.tuning.timeout, before.tuning.timeout);
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
	ck_assert_int_eq(p.tuning.timeout, 9);
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
				 "\"max-cpu-throttle\": 7, \"tls-creds\": \"b \\\"c\\\" \\u00e9\", "
				 "\"tls-hostname\": \"a\", \"tls-authz\": \"d\"}",
				 &err),
		0);
	params_default(&q);
	o = params_json(&p);
	ck_assert_int_eq(params_set(&q, o, NULL, &err), 0);
	json_object_put(o);
	ck_assert_int_eq(memcmp(&p, &q, sizeof(p)), 0);
	ck_assert_int_eq(p.tuning.on_timeout, ON_TIMEOUT_FORCE);
	ck_assert_int_eq(p.tuning.throttle_max, 7);
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

/* docs/control.md: each parameter that stays as it was when a migration began. */
START_TEST(what_may_be_changed_on_the_way)
{
	static const char *const frozen[] = {"multifd-channels", "multifd-zstd-level",
		"htab-compression", "tls-creds", "tls-hostname", "tls-authz"};
	const char *name = params[_i].name, *found;
	struct params p, q;
	bool expect = false;
	struct err err;

	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++)
		expect |= !strcmp(frozen[i], name);
	params_default(&p);
	q = p;
	ck_assert_ptr_null(params_frozen(&p, &q));
	ck_assert_int_eq(set_param(&q, name, params[_i].preset, &err), 0);
	ck_assert_ptr_null(params_frozen(&p, &q)); /* the same again is no change */
	ck_assert_int_eq(set_param(&q, name, params[_i].good, &err), 0);
	found = params_frozen(&p, &q);
	ck_assert_msg(expect == (found != NULL), "%s", name);
	if (expect)
		ck_assert_str_eq(found, name);
	/* and it is all there is besides: nothing else differs */
	q.tuning = p.tuning;
	ck_assert_msg(expect || !memcmp(&p, &q, sizeof(p)), "%s", name);
}
END_TEST

START_TEST(capabilities_are_not_changed_on_the_way)
{
	struct params p, q;
	struct err err;
	int n;

	params_default(&p);
	q = p;
	ck_assert_int_eq(params_set_capability(&q, capabilities[_i].name,
				 !capability(&p, capabilities[_i].name, &n), &err),
		0);
	ck_assert_str_eq(params_frozen(&p, &q), capabilities[_i].name);
}
END_TEST

/* -- struct agreed -- */

static struct params many_wishes(void)
{
	struct params p;

	params_default(&p);
	p.channels = 4;
	p.verify = p.recover = p.auto_converge = p.pause_before_switchover = true;
	p.zstd_level = 7;
	strcpy(p.tls_hostname, "hostb");
	strcpy(p.tls_creds, "/etc/pki");
	return p;
}

START_TEST(what_both_can_is_agreed)
{
	struct params p = many_wishes();
	struct agreed a = {0};

	agreed_wish(&a, &p, MMU_HPT);
	ck_assert(!a.settled);
	agreed_settle(&a, WIRE_FEATURE_RECOVER | WIRE_FEATURE_CHANNELS);
	ck_assert(a.settled && a.verify && a.recover && a.auto_converge);
	ck_assert(a.pause_before_switchover && !a.bolted_only && agreed_can_resume(&a));
	ck_assert_int_eq(a.codec, WIRE_CODEC_HPTE);
	ck_assert_uint_eq(a.channels, 4);
	ck_assert_int_eq(a.zstd_level, 7);
	ck_assert_str_eq(a.tls_hostname, "hostb");
	ck_assert_str_eq(a.tls_creds, "/etc/pki");
	ck_assert_uint_eq(agreed_open_flags(&a), WIRE_OPEN_VERIFY | WIRE_OPEN_RECOVER);
}
END_TEST

START_TEST(what_the_other_cannot_is_not)
{
	struct params p = many_wishes();
	struct agreed a = {0};

	agreed_wish(&a, &p, MMU_HPT);
	agreed_settle(&a, 0);
	ck_assert(a.verify && !a.recover && !agreed_can_resume(&a));
	ck_assert_uint_eq(a.channels, 1);
	ck_assert_uint_eq(agreed_open_flags(&a), WIRE_OPEN_VERIFY);
}
END_TEST

START_TEST(booke_has_one_channel_and_another_codec)
{
	struct params p = many_wishes();
	struct agreed a = {0};

	agreed_wish(&a, &p, MMU_BOOKE);
	agreed_settle(&a, WIRE_FEATURES);
	ck_assert_int_eq(a.codec, WIRE_CODEC_ZSTD);
	ck_assert_uint_eq(a.channels, 1);
	p.codec = WIRE_CODEC_NONE;
	a = (struct agreed){0};
	agreed_wish(&a, &p, MMU_BOOKE);
	ck_assert_int_eq(a.codec, WIRE_CODEC_NONE);
}
END_TEST

START_TEST(destination_goes_by_open)
{
	struct wire_open open = {.codec = WIRE_CODEC_ZSTD,
		.channels = 3,
		.flags = WIRE_OPEN_RECOVER | WIRE_OPEN_PROCESSOR};
	struct agreed a = {.channels = 1};

	agreed_accept(&a, &open, WIRE_FEATURES);
	ck_assert(a.settled && a.recover && !a.verify && agreed_can_resume(&a));
	ck_assert_int_eq(a.codec, WIRE_CODEC_ZSTD);
	ck_assert_uint_eq(a.channels, 3);
	ck_assert_uint_eq(agreed_open_flags(&a), WIRE_OPEN_RECOVER);
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
	tcase_add_loop_test(t, what_may_be_changed_on_the_way, 0, PARAMS);
	tcase_add_loop_test(t, capabilities_are_not_changed_on_the_way, 0, CAPABILITIES);
	tcase_add_test(t, what_both_can_is_agreed);
	tcase_add_test(t, what_the_other_cannot_is_not);
	tcase_add_test(t, booke_has_one_channel_and_another_codec);
	tcase_add_test(t, destination_goes_by_open);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
