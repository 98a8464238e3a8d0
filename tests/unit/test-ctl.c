/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What htabctl prints: quantities, tables, progress. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/htabctl/output.h"
#include "tools/htabctl/progress.h"
#include "tools/htabctl/qmpclient.h"

START_TEST(quantities)
{
	char b[OUTPUT_TEXT];

	ck_assert_str_eq(output_bytes(b, 0), "0 B");
	ck_assert_str_eq(output_bytes(b, 1023), "1023 B");
	ck_assert_str_eq(output_bytes(b, 1024), "1.0 KiB");
	ck_assert_str_eq(output_bytes(b, (1 << 20) - 1), "1.0 MiB");
	ck_assert_str_eq(output_bytes(b, UINT64_C(64) << 20), "64.0 MiB");
	ck_assert_str_eq(output_bytes(b, UINT64_MAX), "16777216.0 TiB");
	ck_assert_str_eq(output_count(b, 999), "999");
	ck_assert_str_eq(output_count(b, 1000), "1.0 k");
	ck_assert_str_eq(output_count(b, 999999), "1.0 M");
	ck_assert_str_eq(output_count(b, 7300000), "7.3 M");
	ck_assert_str_eq(output_time(b, 0), "0 ms");
	ck_assert_str_eq(output_time(b, 999), "999 ms");
	ck_assert_str_eq(output_time(b, 1050), "1.0 s");
	ck_assert_str_eq(output_time(b, 59999), "59.9 s");
	ck_assert_str_eq(output_time(b, 200000), "3 min 20 s");
}
END_TEST

START_TEST(aligned_table)
{
	static const struct table_column columns[] = {
		{"NAME", false}, {"N", true}, {"X", false}, {0}};
	struct table *t = table_new(columns);
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(t);
	ck_assert_ptr_nonnull(f);
	table_cell(t, "a");
	table_cell(t, "%d", 1234);
	table_cell(t, "end");
	table_cell(t, "longer");
	table_cell(t, "%d", 5);
	table_cell(t, "e");
	table_print(t, f);
	fclose(f);
	ck_assert_str_eq(text,
		"NAME       N  X\n"
		"a       1234  end\n"
		"longer     5  e\n");
	free(text);
	ck_assert_ptr_null(table_free(t));
	ck_assert_ptr_null(table_free(NULL));
}
END_TEST

static bool update(struct progress *p, const char *text)
{
	struct json_object *o = json_tokener_parse(text);
	bool news;

	ck_assert_ptr_nonnull(o);
	news = progress_update(p, o);
	json_object_put(o);
	return news;
}

#define ANSWER(step, pass, sent, left, more)                                               \
	"{\"status\":\"active\",\"step\":\"" step "\"," more "\"htab\":{\"passes\":" #pass \
	",\"transferred\":" #sent ",\"remaining\":" #left ",\"rate\":1000000}}"

START_TEST(progress_of_passes)
{
	struct progress p = {0};
	char line[PROGRESS_LINE];

	ck_assert(update(&p, "{\"status\":\"setup\",\"step\":\"connect\"}"));
	progress_bar(&p, 80, line);
	ck_assert_str_eq(line, "connect");
	ck_assert(update(&p, ANSWER("active", 1, 0, 1000, )));
	ck_assert_uint_eq(progress_percent(&p), 0);
	ck_assert(!update(&p, ANSWER("active", 1, 250, 750, )));
	ck_assert_uint_eq(progress_percent(&p), 25);
	progress_bar(&p, 60, line);
	ck_assert_uint_eq(strlen(line), 60);
	ck_assert_ptr_nonnull(strstr(line, "pass 1 [#"));
	ck_assert_ptr_nonnull(strstr(line, "25%  1.0 M/s, 750 left"));
	/* a new pass counts from where the last one ended */
	ck_assert(update(&p, ANSWER("active", 2, 1000, 100, "\"expected-downtime\":40,")));
	ck_assert_uint_eq(progress_percent(&p), 0);
	ck_assert(!update(&p, ANSWER("active", 2, 1050, 50, "\"cpu-throttle-percentage\":30,")));
	ck_assert_uint_eq(progress_percent(&p), 50);
	progress_text(&p, line);
	ck_assert_str_eq(
		line, "pass 2: 1.1 k entries sent, 1.0 M/s, 50 left, vCPUs slowed by 30 %");
	ck_assert(update(&p, ANSWER("last-pass", 3, 1100, 0, )));
	progress_text(&p, line);
	ck_assert_ptr_nonnull(strstr(line, "the guest paused"));
	ck_assert(update(&p, ANSWER("commit", 3, 1100, 0, )));
	progress_text(&p, line);
	ck_assert_str_eq(line, "commit");
}
END_TEST

#define CUT(step, hand, left)                                                          \
	"{\"status\":\"postcopy-paused\",\"step\":\"" step "\",\"interrupted\":{" hand \
	"\"left\":" #left "},\"htab\":{\"passes\":2}}"

START_TEST(progress_of_what_is_interrupted)
{
	struct progress p = {0};
	char line[PROGRESS_LINE];

	update(&p, ANSWER("active", 2, 1000, 100, ));
	ck_assert(update(&p, CUT("cut", "\"by-hand\":true,", 300)));
	progress_text(&p, line);
	ck_assert_str_eq(line, "interrupted: waiting for 'htabctl migrate --resume', 300 s left");
	ck_assert(!update(&p, CUT("cut", "\"by-hand\":true,", 299)));
	progress_bar(&p, 30, line);
	ck_assert_str_eq(line, "interrupted: waiting for 'htab");
	ck_assert(update(&p, CUT("resume", "\"by-hand\":false,", 12)));
	progress_bar(&p, 80, line);
	ck_assert_str_eq(line, "interrupted: waiting for its connections, 12 s left");
	update(&p, CUT("in-cut", , 0)); /* a destination */
	progress_bar(&p, 80, line);
	ck_assert_str_eq(line, "interrupted: waiting for its connections, 0 s left");
	update(&p, ANSWER("active", 2, 1000, 100, ));
	progress_text(&p, line);
	ck_assert_ptr_eq(strstr(line, "pass 2"), line);
}
END_TEST

/* A first pass goes through the table, of which little may be used; others send what changed. */
START_TEST(progress_of_a_table_that_is_hardly_used)
{
	static const char *const half = "{\"status\":\"active\",\"step\":\"active\",\"htab\":"
					"{\"passes\":1,\"order\":18,\"transferred\":10,"
					"\"remaining\":8192}}";
	struct progress p = {0};

	update(&p, half);
	ck_assert_uint_eq(progress_percent(&p), 50);
	ck_assert_uint_eq(p.remaining, 8192);
	update(&p, ANSWER("active", 1, 20, 0, ));
	ck_assert_uint_eq(progress_percent(&p), 100);
	update(&p, ANSWER("active", 2, 20, 1000, ));
	ck_assert_uint_eq(progress_percent(&p), 0);
	update(&p, ANSWER("active", 2, 770, 250, ));
	ck_assert_uint_eq(progress_percent(&p), 75);
	/* more changed than was foreseen */
	update(&p, ANSWER("active", 2, 2020, 2000, ));
	ck_assert_uint_eq(progress_percent(&p), 50);
}
END_TEST

/* Whatever is said, the line fits. */
START_TEST(progress_in_any_width)
{
	struct progress p = {0};
	char line[PROGRESS_LINE];

	update(&p,
		ANSWER("active", 9223372036854775807, 9223372036854775807, 9223372036854775807,
			"\"expected-downtime\":9223372036854775807,"
			"\"cpu-throttle-percentage\":9223372036854775807,"));
	for (unsigned columns = 0; columns < 1000; columns++) {
		progress_bar(&p, columns, line);
		ck_assert_uint_le(strlen(line), columns);
		ck_assert_uint_lt(strlen(line), sizeof(line));
	}
	/* and nothing that an answer leaves out or has of another type does harm */
	update(&p, "{}");
	update(&p, "{\"status\":7,\"step\":[],\"htab\":3}");
	progress_bar(&p, 80, line);
	ck_assert_str_eq(line, "");
}
END_TEST

/* What a server says is shown on terminals, whoever it is. */
START_TEST(no_text_of_a_server_acts_on_a_terminal)
{
	static const char says[] =
		"{\"a\": \"\\u001b[2J\\u009b\\u202ex\", \"b\": [{\"c\": \"h\xc3\xb6st\"}]}\n"
		"{\"\\u001bx\": 1}\n";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/test-ctl-XXXXXX";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct json_object *o;
	struct qmpclient *c;
	struct err err = {0};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(qmpclient_connect(a.sun_path, &c, &err), 0);
	fd = accept(listener, NULL, NULL);
	ck_assert_int_eq(write(fd, says, sizeof(says) - 1), (ssize_t)sizeof(says) - 1);
	ck_assert_msg(qmpclient_read(c, -1, &o, &err) == 0, "%s", err.text);
	ck_assert_str_eq(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
		"{\"a\":\"?[2J??x\",\"b\":[{\"c\":\"h\xc3\xb6st\"}]}");
	json_object_put(o);
	ck_assert_int_eq(qmpclient_read(c, -1, &o, &err), -EPROTO);
	qmpclient_free(c);
	close(fd);
	close(listener);
	unlink(a.sun_path);
	rmdir(dir);
}
END_TEST

/* The daemon has no place for one more client: it says so in place of a greeting. */
START_TEST(a_server_that_refuses_is_quoted)
{
	static const char says[] =
		"{\"error\":{\"class\":\"GenericError\",\"desc\":\"64 clients are here\"}}\r\n";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/test-ctl-XXXXXX";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, status;
	struct qmpclient *c;
	struct err err = {0};
	pid_t pid;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		fd = accept(listener, NULL, NULL);
		_exit(write(fd, says, sizeof(says) - 1) == (ssize_t)sizeof(says) - 1 ? 0 : 1);
	}
	ck_assert_int_eq(qmpclient_open(a.sun_path, -1, &c, &err), -EREMOTE);
	ck_assert_str_eq(err.text, "64 clients are here");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(listener);
	unlink(a.sun_path);
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl");
	TCase *c = tcase_create("ctl");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(c, quantities);
	tcase_add_test(c, aligned_table);
	tcase_add_test(c, progress_of_passes);
	tcase_add_test(c, progress_of_what_is_interrupted);
	tcase_add_test(c, progress_of_a_table_that_is_hardly_used);
	tcase_add_test(c, progress_in_any_width);
	tcase_add_test(c, no_text_of_a_server_acts_on_a_terminal);
	tcase_add_test(c, a_server_that_refuses_is_quoted);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
