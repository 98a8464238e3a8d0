/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP: streams of bytes and their answers, limits, answers that come later, events. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/qmp-harness.h"

/* -- Streams of bytes and their answers -- */

/* After each there is a newline and {"execute":"vm"}, which has to be answered. */
static const struct {
	const char *in, *out;
} streams[] = {
	{"", ""},
	{"{\"execute\":\"echo\"}", OK},
	{" \r\n\t{ \"execute\" : \"echo\" }", OK},
	{"{\"execute\":\"echo\"}{\"execute\":\"vm\"}", OK "{\"return\":\"-\"}\r\n"},
	{"{\"execute\":\n\"echo\",\n\"arguments\":{\"i\":\n7}}", "{\"return\":{\"i\":7}}\r\n"},
	/* ids */
	{"{\"execute\":\"echo\",\"id\":1}", "{\"return\":{},\"id\":1}\r\n"},
	{"{\"id\":\"a/b\",\"execute\":\"echo\"}", "{\"return\":{},\"id\":\"a/b\"}\r\n"},
	{"{\"execute\":\"echo\",\"id\":null}", "{\"return\":{},\"id\":null}\r\n"},
	{"{\"execute\":\"echo\",\"id\":{\"x\":[1,true]}}",
		"{\"return\":{},\"id\":{\"x\":[1,true]}}\r\n"},
	{"{\"execute\":\"fail\",\"id\":-1.5}",
		ERROR_ID("DeviceNotFound", "no VM is called 'x'", "-1.5")},
	{"{\"execute\":\"nope\",\"id\":[]}",
		ERROR_ID(N, "The command nope has not been found", "[]")},
	{"{\"execute\":7,\"id\":2}",
		ERROR_ID(G, "QMP input member 'execute' must be a string", "2")},
	/* what a command looks like */
	{"[]", ERROR(G, "QMP input must be a JSON object")},
	{"7 ", ERROR(G, "QMP input must be a JSON object")},
	{"null", ERROR(G, "QMP input must be a JSON object")},
	{"\"x\"", ERROR(G, "QMP input must be a JSON object")},
	{"{}", ERROR(G, "QMP input lacks member 'execute'")},
	{"{\"execute\":null}", ERROR(G, "QMP input member 'execute' must be a string")},
	{"{\"execute\":\"vm\",\"arguments\":[]}",
		ERROR(G, "QMP input member 'arguments' must be an object")},
	{"{\"execute\":\"vm\",\"arguments\":null}",
		ERROR(G, "QMP input member 'arguments' must be an object")},
	{"{\"execute\":\"vm\",\"control\":{}}",
		ERROR(G, "QMP input member 'control' is unexpected")},
	{"{\"exec-oob\":\"vm\"}", ERROR(G, "QMP input member 'exec-oob' is unexpected")},
	{"{\"execute\":\"\"}", ERROR(N, "The command  has not been found")},
	{"{\"execute\":\"qmp_capabilities\"}",
		ERROR(N, "Capabilities negotiation is already complete, command ignored")},
	/* arguments */
	{"{\"execute\":\"vm\",\"arguments\":{\"foo\":1}}",
		ERROR(G, "Parameter 'foo' is unexpected")},
	{"{\"execute\":\"need\"}", ERROR(G, "Parameter 'uri' is missing")},
	{"{\"execute\":\"need\",\"arguments\":{\"uri\":\"x\"}}",
		ERROR(G, "Parameter 'n' is missing")},
	{"{\"execute\":\"need\",\"arguments\":{\"uri\":5,\"n\":1}}",
		ERROR(G, "Parameter 'uri' expects a string")},
	{"{\"execute\":\"need\",\"arguments\":{\"uri\":\"x\",\"n\":1.0}}",
		ERROR(G, "Parameter 'n' expects an integer")},
	{"{\"execute\":\"echo\",\"arguments\":{\"s\":null}}",
		ERROR(G, "Parameter 's' expects a string")},
	{"{\"execute\":\"echo\",\"arguments\":{\"i\":\"7\"}}",
		ERROR(G, "Parameter 'i' expects an integer")},
	{"{\"execute\":\"echo\",\"arguments\":{\"i\":9223372036854775807}}",
		"{\"return\":{\"i\":9223372036854775807}}\r\n"},
	{"{\"execute\":\"echo\",\"arguments\":{\"i\":9223372036854775808}}",
		ERROR(G, "Parameter 'i' expects an integer")},
	{"{\"execute\":\"echo\",\"arguments\":{\"i\":99999999999999999999}}",
		ERROR(G, "Parameter 'i' expects an integer")},
	{"{\"execute\":\"echo\",\"arguments\":{\"b\":1}}",
		ERROR(G, "Parameter 'b' expects a boolean")},
	{"{\"execute\":\"echo\",\"arguments\":{\"l\":{}}}",
		ERROR(G, "Parameter 'l' expects a list")},
	{"{\"execute\":\"echo\",\"arguments\":{\"o\":[]}}",
		ERROR(G, "Parameter 'o' expects an object")},
	{"{\"execute\":\"echo\",\"arguments\":{\"a\":null,\"b\":true,\"l\":[{}],\"o\":{}}}",
		"{\"return\":{\"a\":null,\"b\":true,\"l\":[{}],\"o\":{}}}\r\n"},
	{"{\"execute\":\"echo\",\"arguments\":{\"s\":\"\\\"\\\\}{\xc3\xa9\xf0\x9f\x98\x80\"}}",
		"{\"return\":{\"s\":\"\\\"\\\\}{\xc3\xa9\xf0\x9f\x98\x80\"}}\r\n"},
	/* malformed: one error, then everything up to the newline is lost */
	{"{\"execute\" \"echo\"} {\"execute\":\"echo\"}\n",
		ERROR(G, "JSON parse error, line 1, column 12: unexpected '\\\"': ':' expected")},
	{"{'execute':'echo'}",
		ERROR(G,
			"JSON parse error, line 1, column 2: unexpected ''': the name of a member, in double quotes, expected")},
	{"{\"execute\":TRUE}",
		ERROR(G, "JSON parse error, line 1, column 12: unexpected 'T': a value expected")},
	{"{\"execute\":\"echo\",\"id\":NaN}\n{\"execute\":\"echo\"}",
		ERROR(G, "JSON parse error, line 1, column 24: unexpected 'N': a value expected")
			OK},
	{"{\"execute\":\"ec\tho\"}",
		ERROR(G,
			"JSON parse error, line 1, column 15: a control character (0x09) in a string: it is written \\\\u0009")},
	{"{\"execute\":\"\xff\"}", ERROR(G, "JSON parse error, line 1, column 13: invalid UTF-8")},
	{"{\"execute\":\"\xc3\"}", ERROR(G, "JSON parse error, line 1, column 14: invalid UTF-8")},
	{"{\"execute\":\"\xed\xa0\x80\"}",
		ERROR(G, "JSON parse error, line 1, column 14: invalid UTF-8")},
	/* where: from the command's first byte on */
	{"{\"execute\":\"echo\"}\r\n\n {\"execute\":\n \"echo\",\n  x}",
		OK ERROR(G,
			"JSON parse error, line 3, column 3: unexpected 'x': the name of a member, in double quotes, expected")},
	/* JSON that two readers could take for two things: one error, nothing is lost */
	{"{\"execute\":\"vm\\u0000x\",\"id\":3}{\"execute\":\"echo\"}",
		ERROR_ID(G, "JSON parse error, line 1, column 22: a NUL in a string", "3") OK},
	{"{\"execute\":\"echo\",\"arguments\":{\"i\\u0000x\":1},\"id\":4}",
		ERROR_ID(G, "JSON parse error, line 1, column 41: a NUL in the name of a member",
			"4")},
	{"{\"execute\":\"vm\",\"execute\":\"echo\",\"id\":5}",
		ERROR_ID(G,
			"JSON parse error, line 1, column 25: the member 'execute' is there twice",
			"5")},
	{"{\"execute\":\"echo\",\"arguments\":{\"s\":\"a\",\"s\":\"b\"},\"id\":6}",
		ERROR_ID(G, "JSON parse error, line 1, column 42: the member 's' is there twice",
			"6")},
	{"{\"execute\":\"vm\",\"id\":\"\\ud800\"}",
		ERROR_ID(G, "JSON parse error, line 1, column 29: half of a surrogate pair",
			"\"\xef\xbf\xbd\"")},
	{"{\"execute\":\"vm\",\"id\":18446744073709551616}",
		"{\"return\":\"-\",\"id\":18446744073709551616}\r\n"},
	/* the server's own */
	{"{\"execute\":\"query-version\"}",
		"{\"return\":{\"htab-migrated\":{\"major\":0,\"minor\":1,\"micro\":0},"
		"\"qemu\":{\"major\":0,\"minor\":1,\"micro\":0},\"package\":\"\"}}\r\n"},
	{"{\"execute\":\"query-commands\"}",
		"{\"return\":[{\"name\":\"qmp_capabilities\"},{\"name\":\"query-version\"},"
		"{\"name\":\"query-commands\"},{\"name\":\"getfd\"},{\"name\":\"closefd\"},"
		"{\"name\":\"echo\"},{\"name\":\"need\"},{\"name\":\"vm\"},{\"name\":\"later\"},"
		"{\"name\":\"fail\"},{\"name\":\"close\"}]}\r\n"},
	{"{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}",
		ERROR(G, "No file descriptor supplied via SCM_RIGHTS")},
	{"{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"a\"}}",
		ERROR(G, "File descriptor named 'a' not found")},
};

#define N_STREAMS (sizeof(streams) / sizeof(*streams))

static void check_split(const char *in, size_t len, size_t at, const char *out)
{
	int fd = client("control");

	put(fd, in, at);
	turn();
	put(fd, in + at, len - at);
	expect(fd, out);
	close(fd);
	turn();
}

START_TEST(qmp_answers_the_same_however_the_bytes_arrive)
{
	char in[1024], out[2048];
	size_t len;
	int fd;

	len = (size_t)snprintf(in, sizeof(in), "%s\n{\"execute\":\"vm\"}", streams[_i].in);
	snprintf(out, sizeof(out), "%s{\"return\":\"-\"}\r\n", streams[_i].out);
	for (size_t at = 0; at <= len; at++)
		check_split(in, len, at, out);
	/* and one by one */
	fd = client("control");
	for (size_t i = 0; i < len; i++)
		put(fd, in + i, 1);
	expect(fd, out);
	close(fd);
}
END_TEST

START_TEST(qmp_refuses_a_nul_byte_and_goes_on_after_the_newline)
{
	static const char in[] = "{\"execute\"\0:\"echo\"}\n{\"execute\":\"vm\"}";

	for (size_t at = 0; at < sizeof(in); at++)
		check_split(in, sizeof(in) - 1, at,
			ERROR(G,
				"JSON parse error, line 1, column 11: unexpected byte 0x00: ':' expected") "{\"return\":\"-\"}\r\n");
}
END_TEST

/* What other protocols, and people, would say here. */
static const struct {
	const char *in;
	size_t len;
	const char *out;
} strangers[] = {
#define SAYS(in, out)                   \
	{                               \
		in, sizeof(in) - 1, out \
	}
	SAYS("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		ERROR(G,
			"JSON parse error, line 1, column 1: unexpected byte 0x16: a value expected")),
	SAYS("GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		ERROR(G, "JSON parse error, line 1, column 1: unexpected 'G': a value expected")),
	SAYS("  \r\n\x01",
		ERROR(G,
			"JSON parse error, line 1, column 1: unexpected byte 0x01: a value expected")),
	SAYS("\x00",
		ERROR(G,
			"JSON parse error, line 1, column 1: unexpected byte 0x00: a value expected")),
	SAYS("\xff", ERROR(G, "JSON parse error, line 1, column 1: invalid UTF-8")),
	SAYS("}{{{]]",
		ERROR(G, "JSON parse error, line 1, column 1: unexpected '}': a value expected")),
	SAYS("nobody",
		ERROR(G, "JSON parse error, line 1, column 2: unexpected 'o': null expected")),
	SAYS("\"a\x01",
		ERROR(G,
			"JSON parse error, line 1, column 3: a control character (0x01) in a string: it is written \\\\u0001")),
	SAYS("{\"execute\":\"echo\"}\x80",
		OK ERROR(G, "JSON parse error, line 1, column 1: invalid UTF-8")),
	SAYS("{\"execute\":\"echo\"}x",
		OK ERROR(
			G, "JSON parse error, line 1, column 1: unexpected 'x': a value expected")),
	SAYS("220 mail.example\n",
		ERROR(G, "QMP input must be a JSON object") ERROR(
			G, "JSON parse error, line 1, column 1: unexpected 'm': a value expected")),
#undef SAYS
};

START_TEST(qmp_ends_a_connection_that_speaks_something_else)
{
	static const char after[] = "\n{\"execute\":\"vm\"}\n{\"execute\":\"vm\"}\n";
	char in[256], out[512];
	size_t len = strangers[_i].len;

	memcpy(in, strangers[_i].in, len);
	memcpy(in + len, after, sizeof(after) - 1);
	len += sizeof(after) - 1;
	snprintf(out, sizeof(out), "%s<end>", strangers[_i].out);
	for (size_t at = 0; at <= len; at++) {
		int fd = client("control");

		(void)!send(fd, in, at, MSG_NOSIGNAL);
		turn();
		(void)!send(fd, in + at, len - at, MSG_NOSIGNAL);
		expect(fd, out);
		close(fd);
	}
}
END_TEST

START_TEST(qmp_wants_negotiation_before_anything_else)
{
	static const char expecting[] = ERROR(
		N, "Expecting capabilities negotiation with 'qmp_capabilities'");
	static const char vm[] = "{\"execute\":\"vm\"}", nope[] = "{\"execute\":\"nope\"}";
	static const char oob[] =
		"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}";
	static const char none[] =
		"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}";
	int fd = connect_client("control");

	qmp_event(qmp, NULL, "STOP", NULL);
	put(fd, vm, strlen(vm));
	expect(fd, expecting);
	put(fd, nope, strlen(nope));
	expect(fd, expecting);
	put(fd, oob, strlen(oob));
	expect(fd, ERROR(G, "Capability \\\"oob\\\" is not available"));
	put(fd, vm, strlen(vm));
	expect(fd, expecting);
	put(fd, none, strlen(none));
	expect(fd, OK);
	put(fd, vm, strlen(vm));
	expect(fd, "{\"return\":\"-\"}\r\n");
	close(fd);
}
END_TEST

/* -- Limits -- */

static void nested(char *buf, unsigned depth)
{
	/* The object, the arguments' object and then lists: depth containers in all. */
	strcpy(buf, "{\"execute\":\"echo\",\"arguments\":{\"a\":");
	for (unsigned i = 2; i < depth; i++)
		strcat(buf, "[");
	strcat(buf, "1");
	for (unsigned i = 2; i < depth; i++)
		strcat(buf, "]");
	strcat(buf, "}}\n");
}

START_TEST(qmp_takes_a_depth_of_32_and_refuses_33)
{
	int fd = client("control");
	char buf[256];

	nested(buf, JSONREAD_DEPTH_MAX);
	put(fd, buf, strlen(buf));
	ck_assert_ptr_nonnull(strstr(get(fd), "\"return\""));
	nested(buf, JSONREAD_DEPTH_MAX + 1);
	put(fd, buf, strlen(buf));
	expect(fd, ERROR(G, "JSON parse error, line 1, column 66: nesting is deeper than 32"));
	close(fd);
}
END_TEST

START_TEST(qmp_takes_64_kib_and_refuses_one_byte_more)
{
	static const char head[] = "{\"execute\":\"vm\",\"id\":\"",
			  tail[] = "\"}\n{\"execute\":\"vm\"}";
	char *buf = malloc(QMP_COMMAND_MAX + 64);
	int fd = client("control");

	for (size_t more = 0; more < 2; more++) {
		size_t fill = QMP_COMMAND_MAX + more - strlen(head) - 2;

		memcpy(buf, head, strlen(head));
		memset(buf + strlen(head), 'x', fill);
		strcpy(buf + strlen(head) + fill, tail);
		put(fd, buf, strlen(buf));
		if (more)
			expect(fd,
				ERROR(G,
					"JSON parse error, line 1, column 65537: the value is longer than 65536 bytes") "{\"return\":\"-\"}\r\n");
		else
			ck_assert_uint_gt(strlen(get(fd)), QMP_COMMAND_MAX - 32);
	}
	free(buf);
	close(fd);
}
END_TEST

START_TEST(qmp_takes_64_clients_of_a_user_and_tells_the_next_one)
{
	int fds[QMP_CLIENTS_OF_USER_MAX], fd;

	for (int i = 0; i < QMP_CLIENTS_OF_USER_MAX; i++)
		fds[i] = connect_client(i % 2 ? "control" : "vm1");
	fd = dial_sock("control");
	expect(fd, ERROR(G, "64 control clients are connected already: end one") "<end>");
	close(fd);
	close(fds[0]);
	turn();
	fds[0] = connect_client("control");
	for (int i = 0; i < QMP_CLIENTS_OF_USER_MAX; i++)
		close(fds[i]);
}
END_TEST

/* Another user gets in all the same, and not without end. Root alone can be another user. */
START_TEST(qmp_has_places_for_others)
{
	int fds[QMP_CLIENTS_MAX], fd;
	char path[108];

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chmod(scratch(), 0755), 0);
	ck_assert_int_eq(chmod(scratch_path("control", path, sizeof(path)), 0666), 0);
	for (int i = 0; i < QMP_CLIENTS_MAX; i++) {
		if (i == QMP_CLIENTS_OF_USER_MAX)
			ck_assert_int_eq(seteuid(65534), 0);
		fds[i] = connect_client("control");
	}
	ck_assert_int_eq(seteuid(0), 0);
	fd = dial_sock("control");
	expect(fd, ERROR(G, "64 control clients are connected already: end one") "<end>");
	close(fd);
	ck_assert_int_eq(seteuid(65533), 0);
	fd = dial_sock("control");
	ck_assert_int_eq(seteuid(0), 0);
	expect(fd, ERROR(G, "96 control clients are connected already: end one") "<end>");
	close(fd);
	for (int i = 0; i < QMP_CLIENTS_MAX; i++)
		close(fds[i]);
}
END_TEST

START_TEST(qmp_disconnects_a_client_that_stops_reading_and_no_other)
{
	int slow = client("control"), other = client("control");
	char text[4096];
	size_t got = 0;

	signal(SIGPIPE, SIG_DFL);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 2048; i++) {
		qmp_event(qmp, NULL, "MIGRATION", json_object_new_string(text));
		got += strlen(get(other));
	}
	ck_assert_uint_gt(got, 2048 * sizeof(text));
	put(other, "{\"execute\":\"vm\"}", 16);
	expect(other, "{\"return\":\"-\"}\r\n");
	got = strlen(get(slow));
	ck_assert_uint_lt(got, 2048 * sizeof(text));
	ck_assert_str_eq(get(slow), "<end>");
	close(slow);
	close(other);
}
END_TEST

START_TEST(qmp_disconnects_a_client_that_only_asks)
{
	static const char ask[] = "{\"execute\":\"query-commands\"}";
	int fd = client("control");
	ssize_t n;

	for (int i = 0; i < 100000; i++) {
		n = send(fd, ask, strlen(ask), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			break;
		turn();
	}
	ck_assert(n < 0 && (errno == EPIPE || errno == ECONNRESET));
	close(fd);
}
END_TEST

/* -- Answers that come later -- */

START_TEST(qmp_answers_in_order_even_when_one_comes_later)
{
	static const char in[] = "{\"execute\":\"later\",\"id\":1}{\"execute\":\"vm\",\"id\":2}";
	int fd = client("control"), other = client("control");

	put(fd, in, strlen(in));
	expect(fd, "");
	ck_assert_uint_eq(n_later, 1);
	/* Nobody else waits, and events pass. */
	put(other, "{\"execute\":\"vm\"}", 16);
	expect(other, "{\"return\":\"-\"}\r\n");
	qmp_event(qmp, "vm1", "STOP", NULL);
	ck_assert_ptr_nonnull(strstr(get(fd), "\"STOP\""));
	qmp_return(later[0], json_object_new_int(7));
	expect(fd, "{\"return\":7,\"id\":1}\r\n{\"return\":\"-\",\"id\":2}\r\n");
	close(fd);
	close(other);
}
END_TEST

START_TEST(qmp_answer_to_a_client_that_is_gone_is_dropped)
{
	int fd = client("control");

	put(fd, "{\"execute\":\"later\",\"id\":{}}", 27);
	turn();
	ck_assert_uint_eq(n_later, 1);
	shared = qmp_sock_free(shared);
	expect(fd, "<end>");
	qmp_return(later[0], json_object_new_int(7));
	close(fd);

	fd = client("vm1");
	put(fd, "{\"execute\":\"later\"}", 19);
	close(fd);
	turn();
	ck_assert_uint_eq(n_later, 2);
	qmp_return(later[1], NULL);
	turn();
}
END_TEST

START_TEST(qmp_answers_a_client_that_has_said_its_last_word)
{
	static const char in[] = "{\"execute\":\"later\"}{\"execute\":\"vm\"}";
	int fd = client("control");

	put(fd, in, strlen(in));
	shutdown(fd, SHUT_WR);
	expect(fd, "");
	qmp_return(later[0], NULL);
	expect(fd, OK "{\"return\":\"-\"}\r\n<end>");
	close(fd);
}
END_TEST

START_TEST(qmp_command_may_close_its_own_socket)
{
	static const char in[] = "{\"execute\":\"close\"}{\"execute\":\"vm\"}";
	int fd = client("control");

	put(fd, in, strlen(in));
	expect(fd, "<end>");
	close(fd);
}
END_TEST

START_TEST(qmp_error_with_a_cut_character_is_still_utf8)
{
	struct utf8 u = {0};
	int fd = client("control");
	char name[128] = "", in[256];
	const char *out;

	for (int i = 0; i < 30; i++)
		strcat(name, "\xe2\x82\xac");
	snprintf(in, sizeof(in), "{\"execute\":\"%s\"}", name);
	put(fd, in, strlen(in));
	out = get(fd);
	ck_assert_ptr_nonnull(strstr(out, "has not been found"));
	ck_assert_uint_eq(utf8_scan(&u, out, strlen(out)), strlen(out));
	close(fd);
}
END_TEST

/* -- Events -- */

START_TEST(qmp_event_goes_to_the_shared_socket_and_to_its_vm)
{
	int all = client("control"), one = client("vm1");
	const char *text;

	qmp_event(qmp, "vm1", "STOP", NULL);
	qmp_event(qmp, "vm2", "RESUME", NULL);
	qmp_event(qmp, NULL, "OTHER", json_tokener_parse("{\"x\":1}"));
	text = get(one);
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"STOP\""));
	ck_assert_ptr_null(strstr(text, "RESUME"));
	ck_assert_ptr_null(strstr(text, "OTHER"));
	text = get(all);
	ck_assert_ptr_nonnull(strstr(text, "{\"timestamp\":{\"seconds\":"));
	ck_assert_ptr_nonnull(strstr(text, "\"microseconds\":"));
	ck_assert_ptr_nonnull(strstr(text, "},\"event\":\"STOP\"}\r\n{"));
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"RESUME\"}\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\"event\":\"OTHER\",\"data\":{\"x\":1}}\r\n"));
	put(one, "{\"execute\":\"vm\"}", 16);
	expect(one, "{\"return\":\"vm1\"}\r\n");
	close(all);
	close(one);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("qmp");
	TCase *t = tcase_create("qmp");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, qmp_answers_the_same_however_the_bytes_arrive, 0, N_STREAMS);
	tcase_add_test(t, qmp_refuses_a_nul_byte_and_goes_on_after_the_newline);
	tcase_add_loop_test(t, qmp_ends_a_connection_that_speaks_something_else, 0,
		sizeof(strangers) / sizeof(*strangers));
	tcase_add_test(t, qmp_wants_negotiation_before_anything_else);
	tcase_add_test(t, qmp_takes_a_depth_of_32_and_refuses_33);
	tcase_add_test(t, qmp_takes_64_kib_and_refuses_one_byte_more);
	tcase_add_test(t, qmp_takes_64_clients_of_a_user_and_tells_the_next_one);
	tcase_add_test(t, qmp_has_places_for_others);
	tcase_add_test(t, qmp_disconnects_a_client_that_stops_reading_and_no_other);
	tcase_add_test(t, qmp_disconnects_a_client_that_only_asks);
	tcase_add_test(t, qmp_answers_in_order_even_when_one_comes_later);
	tcase_add_test(t, qmp_answer_to_a_client_that_is_gone_is_dropped);
	tcase_add_test(t, qmp_answers_a_client_that_has_said_its_last_word);
	tcase_add_test(t, qmp_command_may_close_its_own_socket);
	tcase_add_test(t, qmp_error_with_a_cut_character_is_still_utf8);
	tcase_add_test(t, qmp_event_goes_to_the_shared_socket_and_to_its_vm);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
