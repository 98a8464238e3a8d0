/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON: what is taken, what is refused and where, and that pieces make no difference. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jsonread.h"

#define OUTPUT (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* out: how it is written again; NULL: as it came. */
static const struct {
	const char *in, *out;
} taken[] = {
	{"null"},
	{"true"},
	{"false"},
	{"0"},
	{"-0", "0"},
	{"7"},
	{"-1"},
	{"1234567890"},
	{"9223372036854775807"},
	{"-9223372036854775808"},
	{"9223372036854775808"},
	{"18446744073709551615"},
	{"18446744073709551616"},
	{"-9223372036854775809"},
	{"100000000000000000000000000000"},
	{"1.5"},
	{"-0.0"},
	{"0.1e1"},
	{"1e5"},
	{"1E+05"},
	{"1e-5"},
	{"1.7976931348623157e308"},
	{"1e-999"},
	{"\"\""},
	{"\"a\""},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
	{"\"\\u0041\\u00e9\\u20AC\"", "\"A\xc3\xa9\xe2\x82\xac\""},
	{"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
	{"\"\\uD800\\uDC00\\udbff\\udfff\"", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""},
	{"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""},
	{"\"\x7f\""},
	{"\"\\u0001\\u001f\""},
	{"\"// no comment /* */ # ' \""},
	{"[]"},
	{"{}"},
	{"[1,2]"},
	{" [ 1 , 2 ] ", "[1,2]"},
	{"\t\r\n{\n\"a\"\t:\r1 }\n", "{\"a\":1}"},
	{"[[],{},[{}],\"\",0,null,true]"},
	{"{\"\":0}"},
	{"{\"a\":{\"a\":1},\"A\":[{\"a\":2},{\"a\":3}]}"},
	{"{\"a\":null,\"b\":false}"},
	{"{\"a\\u0062\":1,\"a\":2}", "{\"ab\":1,\"a\":2}"},
	{"[-1]"},
	{"[1.5e3,0]"},
	{"{\"x\":1}"},
};

/* at: line and column. */
static const struct {
	const char *in, *at, *why;
} refused[] = {
	/* no value, half a value, more than one */
	{"", "1, column 1", "ends before"},
	{" \n\n ", "3, column 2", "ends before"},
	{"{", "1, column 2", "ends before"},
	{"[1,", "1, column 4", "ends before"},
	{"\"a", "1, column 3", "ends before"},
	{"\"\\u12", "1, column 6", "ends before"},
	{"tru", "1, column 4", "ends before"},
	{"{} trailing", "1, column 4", "behind the end"},
	{"{\"a\":1}{\"b\":2}", "1, column 8", "behind the end"},
	{"{}\n\n  ]", "3, column 3", "behind the end"},
	{"1 2", "1, column 3", "behind the end"},
	{"{},", "1, column 3", "behind the end"},
	{"truex", "1, column 5", "behind the end"},
	/* numbers */
	{"NaN", "1, column 1", "a value expected"},
	{"nan", "1, column 2", "null expected"},
	{"[Infinity]", "1, column 2", "a value expected"},
	{"-Infinity", "1, column 2", "a digit expected"},
	{"-", "1, column 2", "a digit expected"},
	{"[-]", "1, column 3", "a digit expected"},
	{"--1", "1, column 2", "a digit expected"},
	{"+1", "1, column 1", "a value expected"},
	{"1.", "1, column 3", "a digit expected"},
	{"[1.]", "1, column 4", "a digit expected"},
	{".5", "1, column 1", "a value expected"},
	{"1.e5", "1, column 3", "a digit expected"},
	{"1e", "1, column 3", "a digit expected"},
	{"1e+", "1, column 4", "a digit expected"},
	{"[1e-]", "1, column 5", "a digit expected"},
	{"01", "1, column 2", "begins with 0"},
	{"-01", "1, column 3", "begins with 0"},
	{"00", "1, column 2", "begins with 0"},
	{"[0x10]", "1, column 3", "',' or ']'"},
	{"[1_000]", "1, column 3", "',' or ']'"},
	{"[1 000]", "1, column 4", "',' or ']'"},
	{"[1a]", "1, column 3", "',' or ']'"},
	{"1e309", "1, column 6", "out of range"},
	{"[-1e400]", "1, column 8", "out of range"},
	/* literals */
	{"TRUE", "1, column 1", "a value expected"},
	{"True", "1, column 1", "a value expected"},
	{"[nul]", "1, column 5", "null expected"},
	{"falsy", "1, column 5", "false expected"},
	{"undefined", "1, column 1", "a value expected"},
	/* strings */
	{"'a'", "1, column 1", "a value expected"},
	{"\"a\nb\"", "1, column 3", "control character (0x0a)"},
	{"\"a\tb\"", "1, column 3", "control character (0x09)"},
	{"\"\x1b[0m\"", "1, column 2", "control character (0x1b)"},
	{"\"\\x41\"", "1, column 3", "one of"},
	{"\"\\'\"", "1, column 3", "one of"},
	{"\"\\u12g4\"", "1, column 6", "a hex digit"},
	{"\"\\u 123\"", "1, column 4", "a hex digit"},
	{"\"\\U0041\"", "1, column 3", "one of"},
	{"\"\\ud800\"", "1, column 8", "surrogate"},
	{"\"\\udc00\"", "1, column 7", "surrogate"},
	{"\"\\ud800x\"", "1, column 8", "surrogate"},
	{"\"\\ud800\\n\"", "1, column 9", "surrogate"},
	{"\"\\ud800\\ud800\"", "1, column 13", "surrogate"},
	{"\"\\ud800\\u0041\"", "1, column 13", "surrogate"},
	{"\"\\udc00\\ud800\"", "1, column 7", "surrogate"},
	{"\"a\\u0000\"", "1, column 9", "NUL in a string"},
	{"\"\xff\"", "1, column 2", "invalid UTF-8"},
	{"\"\xc3\"", "1, column 3", "invalid UTF-8"},
	{"\"\xc0\x80\"", "1, column 2", "invalid UTF-8"},
	{"\"\xe0\x80\x80\"", "1, column 3", "invalid UTF-8"},
	{"\"\xed\xa0\x80\"", "1, column 3", "invalid UTF-8"},
	{"\"\xf5\x80\x80\x80\"", "1, column 2", "invalid UTF-8"},
	{"\"\xf4\x90\x80\x80\"", "1, column 3", "invalid UTF-8"},
	{"\xef\xbb\xbf{}", "1, column 1", "a value expected"},
	{"\xff", "1, column 1", "invalid UTF-8"},
	/* arrays and objects */
	{"[1,]", "1, column 4", "a value expected"},
	{"[,1]", "1, column 2", "a value expected"},
	{"[1,,2]", "1, column 4", "a value expected"},
	{"[1 2]", "1, column 4", "',' or ']'"},
	{"[1}", "1, column 3", "',' or ']'"},
	{"]", "1, column 1", "a value expected"},
	{"{\"a\":1,}", "1, column 8", "the name of a member"},
	{"{,}", "1, column 2", "the name of a member"},
	{"{a:1}", "1, column 2", "the name of a member"},
	{"{'a':1}", "1, column 2", "the name of a member"},
	{"{1:1}", "1, column 2", "the name of a member"},
	{"{\"a\" 1}", "1, column 6", "':'"},
	{"{\"a\",1}", "1, column 5", "':'"},
	{"{\"a\":}", "1, column 6", "a value expected"},
	{"{\"a\":1 \"b\":2}", "1, column 8", "',' or '}'"},
	{"{\"a\":1]", "1, column 7", "',' or '}'"},
	{"{\"a\":=1}", "1, column 6", "a value expected"},
	/* members that could be taken for others */
	{"{\"a\":1,\"a\":2}", "1, column 10", "'a' is there twice"},
	{"{\"a\":1,\n \"\\u0061\":{\"b\":[]}}", "2, column 9", "'a' is there twice"},
	{"[{\"x\":{\"n\":1,\"m\":2,\"n\":1}}]", "1, column 22", "'n' is there twice"},
	{"{\"a\":null,\"a\":1}", "1, column 13", "'a' is there twice"},
	{"{\"downtime-limit\\u0000x\":1}", "1, column 24", "NUL in the name"},
	{"{\"a\":1,\"a\":2,\"b\":\"\\u0000\"}", "1, column 10", "'a' is there twice"},
	/* what other formats have */
	{"// comment\n{}", "1, column 1", "a value expected"},
	{"{/* comment */}", "1, column 2", "the name of a member"},
	{"{} # comment", "1, column 4", "behind the end"},
	{"{\"a\":1 // one\n}", "1, column 8", "',' or '}'"},
	{"{\n  \"\xc3\xa9\": tru\n}", "2, column 11", "true expected"},
	{"[\x0b]", "1, column 2", "unexpected byte 0x0b"},
	{"\x01", "1, column 1", "unexpected byte 0x01"},
	{"[\xc2\xa0 1]", "1, column 2", "unexpected byte 0xc2"},
};

#define N(a) ((int)(sizeof(a) / sizeof(*(a))))

START_TEST(json_is_taken_and_stays_what_it_was)
{
	const char *in = taken[_i].in, *out = taken[_i].out ? taken[_i].out : in;
	struct json_object *o;
	struct err err = {0};

	ck_assert_msg(jsonread_text(in, strlen(in), &o, &err) == 0, "%s: %s", in, err.text);
	ck_assert_str_eq(json_object_to_json_string_ext(o, OUTPUT), out);
	json_object_put(o);
}
END_TEST

START_TEST(what_is_no_json_is_refused_with_line_and_column)
{
	struct json_object *o = NULL;
	struct err err = {0};
	const char *in = refused[_i].in;
	char at[64];

	ck_assert_msg(jsonread_text(in, strlen(in), &o, &err) == -EBADMSG, "%s was taken", in);
	ck_assert_ptr_null(o);
	snprintf(at, sizeof(at), "line %s: ", refused[_i].at);
	ck_assert_msg(strncmp(err.text, at, strlen(at)) == 0 && strstr(err.text, refused[_i].why),
		"%s: %s", in, err.text);
}
END_TEST

START_TEST(a_nul_byte_is_no_json_anywhere)
{
	static const char text[] = " { \"ab\" : [ 1 , true , \"c\\n\" ] } ";
	struct json_object *o;

	for (size_t at = 0; at < sizeof(text); at++) {
		struct err err = {0};
		char buf[sizeof(text)];

		memcpy(buf, text, at);
		buf[at] = '\0';
		memcpy(buf + at + 1, text + at, sizeof(text) - 1 - at);
		ck_assert_int_eq(jsonread_text(buf, sizeof(text), &o, &err), -EBADMSG);
	}
}
END_TEST

/* Feed in two pieces; how it ends. */
static int in_pieces(const char *in, size_t at, struct json_object **ret, struct err *err)
{
	struct jsonread j;
	size_t used, len = strlen(in);
	int r;

	jsonread_init(&j, 1024);
	r = jsonread_feed(&j, in, at, &used, ret, err);
	if (r == JSONREAD_MORE) {
		ck_assert_uint_eq(used, at);
		r = jsonread_feed(&j, in + at, len - at, &used, ret, err);
	}
	if (r == JSONREAD_MORE)
		r = jsonread_feed(&j, " ", 1, &used, ret, err);
	jsonread_clear(&j);
	return r;
}

START_TEST(pieces_make_no_difference)
{
	for (int i = 0; i < N(taken); i++) {
		const char *out = taken[i].out ? taken[i].out : taken[i].in;

		for (size_t at = 0; at <= strlen(taken[i].in); at++) {
			struct json_object *o = NULL;
			struct err err = {0};

			ck_assert_int_eq(in_pieces(taken[i].in, at, &o, &err), JSONREAD_VALUE);
			ck_assert(o || strcmp(out, "null") == 0);
			ck_assert_str_eq(json_object_to_json_string_ext(o, OUTPUT), out);
			json_object_put(o);
		}
	}
}
END_TEST

START_TEST(values_follow_each_other_without_anything_between)
{
	static const char text[] = "{\"a\":1}[2]\"x\"3 4\ntrue{}";
	static const char *const want[] = {"{\"a\":1}", "[2]", "\"x\"", "3", "4", "true", "{}"};
	struct json_object *o;
	struct jsonread j;
	struct err err = {0};
	size_t used, at = 0;

	jsonread_init(&j, 64);
	for (int i = 0; i < N(want); i++) {
		ck_assert(jsonread_idle(&j));
		ck_assert_int_eq(jsonread_feed(&j, text + at, strlen(text) - at, &used, &o, &err),
			JSONREAD_VALUE);
		ck_assert_str_eq(json_object_to_json_string_ext(o, OUTPUT), want[i]);
		json_object_put(o);
		at += used;
	}
	ck_assert_uint_eq(at, strlen(text));
	jsonread_clear(&j);
}
END_TEST

START_TEST(a_fault_is_told_with_the_value_and_the_next_one_is_read)
{
	static const char text[] = "{\"id\":7,\"a\":1,\"a\":[2],\"b\":3}{}";
	struct json_object *o;
	struct jsonread j;
	struct err err = {0};
	size_t used;

	jsonread_init(&j, 64);
	ck_assert_int_eq(jsonread_feed(&j, text, strlen(text), &used, &o, &err), JSONREAD_FAULT);
	ck_assert_str_eq(err.text, "the member 'a' is there twice");
	ck_assert_str_eq(json_object_to_json_string_ext(o, OUTPUT), "{\"id\":7,\"a\":1,\"b\":3}");
	json_object_put(o);
	ck_assert_int_eq(jsonread_feed(&j, text + used, strlen(text) - used, &used, &o, &err),
		JSONREAD_VALUE);
	json_object_put(o);
	jsonread_clear(&j);
}
END_TEST

START_TEST(depth_and_length_have_limits)
{
	struct json_object *o;
	struct jsonread j;
	char text[128];
	size_t used;

	for (int more = 0; more < 2; more++) {
		int depth = JSONREAD_DEPTH_MAX + more;
		struct err err = {0};

		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		if (more) {
			ck_assert_int_eq(
				jsonread_text(text, 2 * (size_t)depth, &o, &err), -EBADMSG);
			ck_assert_str_eq(err.text, "line 1, column 33: nesting is deeper than 32");
		} else {
			ck_assert_int_eq(jsonread_text(text, 2 * (size_t)depth, &o, &err), 0);
			json_object_put(o);
		}
	}
	for (int more = 0; more < 2; more++) {
		struct err err = {0};

		strcpy(text, more ? "   [1,2, 3]" : "   [1,2,3]");
		jsonread_init(&j, 7);
		ck_assert_int_eq(jsonread_feed(&j, text, strlen(text), &used, &o, &err),
			more ? -EBADMSG : JSONREAD_VALUE);
		if (more)
			ck_assert_str_eq(err.text, "the value is longer than 7 bytes");
		else
			json_object_put(o);
		jsonread_clear(&j);
	}
}
END_TEST

/* Whatever comes back is written as JSON that is taken again, and is the same. */
START_TEST(what_is_written_is_taken_again)
{
	for (int i = 0; i < N(taken); i++) {
		struct json_object *o, *again;
		struct err err = {0};
		const char *out;

		ck_assert_int_eq(jsonread_text(taken[i].in, strlen(taken[i].in), &o, &err), 0);
		out = json_object_to_json_string_ext(o, OUTPUT);
		ck_assert_int_eq(jsonread_text(out, strlen(out), &again, &err), 0);
		ck_assert_str_eq(json_object_to_json_string_ext(again, OUTPUT), out);
		json_object_put(o);
		json_object_put(again);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jsonread");
	TCase *t = tcase_create("jsonread");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, json_is_taken_and_stays_what_it_was, 0, N(taken));
	tcase_add_loop_test(t, what_is_no_json_is_refused_with_line_and_column, 0, N(refused));
	tcase_add_test(t, a_nul_byte_is_no_json_anywhere);
	tcase_add_test(t, pieces_make_no_difference);
	tcase_add_test(t, values_follow_each_other_without_anything_between);
	tcase_add_test(t, a_fault_is_told_with_the_value_and_the_next_one_is_read);
	tcase_add_test(t, depth_and_length_have_limits);
	tcase_add_test(t, what_is_written_is_taken_again);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
