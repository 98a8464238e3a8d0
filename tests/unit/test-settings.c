/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration file: what it has to be, and where an error in it is. */
#include <check.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/settings.h"

static char dir[64], path[80];
static struct config config;
static struct err err;

static void setup(void)
{
	strcpy(dir, "/tmp/settings-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.json", dir);
	err = (struct err){0};
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static int parse(const char *option, const char *value)
{
	char program[] = "htab-migrated", file[] = "--config", name[32], text[128];
	char *argv[] = {program, file, path, name, text, NULL};

	snprintf(name, sizeof(name), "%s", option ? option : "");
	snprintf(text, sizeof(text), "%s", value ? value : "");
	optind = 0;
	return settings_parse(option ? 5 : 3, argv, &config, &err);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_whole_file_is_taken)
{
	static const char text[] = "{\n\t\"name\": \"h\xc3\xb6st\",\n\t\"timeout\": 7,\n"
				   "\t\"listen\": []\n}\n\n";

	write_file(text, sizeof(text) - 1);
	ck_assert_msg(parse(NULL, NULL) == 0, "%s", err.text);
	ck_assert_str_eq(config.name, "h\xc3\xb6st");
	ck_assert_int_eq(config.params.tuning.timeout, 7);
	ck_assert_int_eq(config.n_listen, 0);
}
END_TEST

static const struct {
	const char *text, *why;
} bad[] = {
	{"", "c.json: line 1, column 1: the text ends"},
	{"{\"name\": \"x\"} trailing", "c.json: line 1, column 15: text behind the end"},
	{"{\"name\": \"x\"}{\"allow\": []}", "c.json: line 1, column 14: text behind the end"},
	{"{\n \"timeout\": 1,\n \"timeout\": 2\n}",
		"c.json: line 3, column 10: the member 'timeout'"},
	{"{\"allow\": [{\"uid\": 1, \"vm\": \"a\", \"vm\": \"*\"}]}",
		"the member 'vm' is there twice"},
	{"# daemon\n{}", "c.json: line 1, column 1: unexpected '#'"},
	{"{\"timeout\": 1,}", "c.json: line 1, column 15: unexpected '}'"},
	{"{\"timeout\": 01}", "begins with 0"},
	{"{\"timeout\": NaN}", "unexpected 'N'"},
	{"{\"timeout\": 1.0}", "'timeout' expects an integer"},
	{"{\"timeout\": 18446744073709551617}", "'timeout' expects an integer"},
	{"{\"max-bandwidth\": 9223372036854775808}", "'max-bandwidth' expects an integer"},
	{"{\"allow\": [{\"uid\": 4294967297, \"vm\": \"*\"}]}", "'allow', rule 1: 'uid' expects"},
	{"{\"allow\": [{\"uid\": 18446744073709551616, \"vm\": \"*\"}]}",
		"'allow', rule 1: 'uid' expects"},
	{"{\"name\": \"a\\u0000b\"}", "a NUL in a string"},
	{"{\"name\": \"a\xff\"}", "invalid UTF-8"},
	{"{\"name\": \"a\\u001b[2J\"}", "it has a control character"},
	{"{\"name\": \"a\\u202eb\"}", "it has a control character"},
	{"{\"listen\": [\"unix:/a\\nb\"]}", "has a control character"},
	{"{\"tls-hostname\": \"a\\r\\nb\"}", "has a control character"},
	{"{\"allow\": [{\"uid\": 1, \"vm\": \"a\"}, 1]}", "'allow', rule 2: it is no object"},
	{"{\"vms-per-user\": 0}", "'vms-per-user' expects 1 to 384"},
	{"{\"vms-per-user\": 385}", "'vms-per-user' expects 1 to 384"},
	{"{\"vms-per-user\": \"1\"}", "'vms-per-user' expects 1 to 384"},
	{"{\"state-dir\": 1}", "'state-dir' expects a string"},
	{"[]", "not a JSON object"},
	{"null", "not a JSON object"},
};

START_TEST(what_is_not_one_object_is_refused)
{
	write_file(bad[_i].text, strlen(bad[_i].text));
	ck_assert_msg(parse(NULL, NULL) < 0, "%s", bad[_i].text);
	ck_assert_msg(strstr(err.text, bad[_i].why), "%s: %s", bad[_i].text, err.text);
}
END_TEST

/* The host's own daemon has a directory that outlives its runtime directory; others need none. */
START_TEST(state_directory_is_where_the_daemon_is)
{
	static const char text[] = "{}", named[] = "{\"state-dir\": \"/srv/state\"}";

	unsetenv("STATE_DIRECTORY");
	write_file(text, sizeof(text) - 1);
	ck_assert_int_eq(parse(NULL, NULL), 0);
	ck_assert_str_eq(config.state_dir, SETTINGS_STATE_DIR);
	ck_assert_int_eq(parse("--control", "/tmp/try/c.sock"), 0);
	ck_assert_str_eq(config.state_dir, "/tmp/try");
	ck_assert_int_eq(parse("--control", "c.sock"), 0);
	ck_assert_str_eq(config.state_dir, ".");
	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	ck_assert_int_eq(parse("--control", "/tmp/try/c.sock"), 0);
	ck_assert_str_eq(config.state_dir, "/var/lib/one");
	ck_assert_int_eq(parse("--state-dir", "/srv/other"), 0);
	ck_assert_str_eq(config.state_dir, "/srv/other");
	write_file(named, sizeof(named) - 1);
	ck_assert_int_eq(parse(NULL, NULL), 0);
	ck_assert_str_eq(config.state_dir, "/srv/state");
	unsetenv("STATE_DIRECTORY");
}
END_TEST

START_TEST(a_nul_byte_hides_nothing)
{
	static const char text[] = "{\"name\": \"x\"}\0{\"allow\": []}";

	write_file(text, sizeof(text) - 1);
	ck_assert_int_lt(parse(NULL, NULL), 0);
	ck_assert_msg(strstr(err.text, "column 14"), "%s", err.text);
}
END_TEST

START_TEST(a_fifo_is_not_waited_for)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_lt(parse(NULL, NULL), 0);
	ck_assert_msg(strstr(err.text, "is no regular file"), "%s", err.text);
}
END_TEST

START_TEST(a_file_without_end_is_refused)
{
	size_t len = 1024 * 1024;
	char *text = malloc(len);

	memset(text, ' ', len);
	write_file(text, len);
	free(text);
	ck_assert_int_lt(parse(NULL, NULL), 0);
	ck_assert_msg(strstr(err.text, "is longer than"), "%s", err.text);
}
END_TEST

START_TEST(an_option_that_no_answer_could_show_is_refused)
{
	write_file("{}", 2);
	ck_assert_int_lt(parse("--name", "h\xffost"), 0);
	ck_assert_msg(strstr(err.text, "--name is 'h?ost'"), "%s", err.text);
	ck_assert_int_lt(parse("--name", "h\x1b]0;ost"), 0);
	ck_assert_int_lt(parse("--control", "/tmp/a\nb"), 0);
	ck_assert_int_eq(parse("--name", "h\xc3\xb6st"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("settings");
	TCase *t = tcase_create("settings");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_whole_file_is_taken);
	tcase_add_loop_test(t, what_is_not_one_object_is_refused, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(t, state_directory_is_where_the_daemon_is);
	tcase_add_test(t, a_nul_byte_hides_nothing);
	tcase_add_test(t, a_fifo_is_not_waited_for);
	tcase_add_test(t, a_file_without_end_is_refused);
	tcase_add_test(t, an_option_that_no_answer_could_show_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
