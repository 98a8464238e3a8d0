/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htab-bench when something is wrong: options, peers that die, strangers; each has its sentence. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/integration/benchrun.h"

START_TEST(bad_options)
{
	static const struct {
		const char *argv[8];
		const char *words;
	} cases[] = {
		{{"htab-bench"}, "either -s"},
		{{"htab-bench", "-s", "-c", "x"}, "either -s"},
		{{"htab-bench", "-s", "-t", "5"}, "--time is the client's to say"},
		{{"htab-bench", "-s", "-R"}, "--reverse is the client's to say"},
		{{"htab-bench", "-c", "x", "-1"}, "for a server"},
		{{"htab-bench", "-c", "x", "-p", "0"}, "port 0"},
		{{"htab-bench", "-c", "x", "-p", "66000"}, "65535"},
		{{"htab-bench", "-c", "x", "-p", "1e3"}, "65535"},
		{{"htab-bench", "-c", "x", "-t", "0"}, "either a time (-t) or a number"},
		{{"htab-bench", "-c", "x", "-t", "-1"}, "a number of seconds"},
		{{"htab-bench", "-c", "x", "-t", "100000"}, "86400"},
		{{"htab-bench", "-c", "x", "-n", "0"}, "either a time (-t) or a number"},
		{{"htab-bench", "-c", "x", "-n", "5x"}, "--bytes 5x"},
		{{"htab-bench", "-c", "x", "-n", "5kk"}, "--bytes 5kk"},
		{{"htab-bench", "-c", "x", "-n", "1M", "-t", "1"}, "-t and -n exclude"},
		{{"htab-bench", "-c", "x", "-t", "10", "-n", "1M"}, "-t and -n exclude"},
		{{"htab-bench", "-c", "x", "-t", "5s"}, "a number of seconds"},
		{{"htab-bench", "-c", "x", "-t", ""}, "a number of seconds"},
		{{"htab-bench", "-c", "x", "-n", "1.5"}, "a whole number"},
		{{"htab-bench", "-c", "x", "-P", "17"}, "1 to 16"},
		{{"htab-bench", "-c", "x", "-P", "0"}, "1 to 16"},
		{{"htab-bench", "-c", "x", "-P", "2.0"}, "1 to 16"},
		{{"htab-bench", "-c", "x", "-P", "1K"}, "1 to 16"},
		{{"htab-bench", "-c", "x", "-P", "4294967297"}, "1 to 16"},
		{{"htab-bench", "-c", "x", "-i", "0.01"}, "0.1 to 60"},
		{{"htab-bench", "-c", "x", "-i", "1x"}, "a number of seconds"},
		{{"htab-bench", "-c", "x", "-b", "7"}, "8 bits"},
		{{"htab-bench", "-c", "x", "-b", "-1"}, "--bitrate -1"},
		{{"htab-bench", "-c", "x", "-b", "1Mbit"}, "--bitrate 1Mbit"},
		{{"htab-bench", "-c", "x", "-b", "9223372036854775808"}, "--bitrate 92"},
		{{"htab-bench", "-c", "x", "--order", "17"}, "18 to 32"},
		{{"htab-bench", "-c", "x", "--order", "18.9"}, "18 to 32"},
		{{"htab-bench", "-c", "x", "--order", "20 "}, "18 to 32"},
		{{"htab-bench", "-c", "x", "--order", "0x14"}, "18 to 32"},
		{{"htab-bench", "-c", "x", "--order", ""}, "18 to 32"},
		{{"htab-bench", "-c", "x", "--order", "18446744073709551636"}, "18 to 32"},
		{{"htab-bench", "-c", "x", "--rcv-timeout", "999"}, "1000 to 86400000"},
		{{"htab-bench", "-s", "--rcv-timeout", "30s"}, "1000 to 86400000"},
		{{"htab-bench", "-s", "-p", "1.0"}, "65535"},
		{{"htab-bench", "-c", "x", "--table", "bsd"}, "linux or user"},
		{{"htab-bench", "-c", "x", "--compression", "gzip"}, "none, zstd or hpte"},
		{{"htab-bench", "-c", "x", "--compression", "g\x1b\xff"}, "--compression g??:"},
		{{"htab-bench", "-c", "x", "--zstd-level", "21"},
			"--zstd-level 21: it should be a whole number, 0 to 20"},
		{{"htab-bench", "-c", "x", "--zstd-level", "-1"}, "0 to 20"},
		{{"htab-bench", "-c", "x", "--dirty-rate", "1G"}, "up to 100000000"},
		{{"htab-bench", "-c", "x", "-R", "--hpt", "f"}, "give --hpt to the server"},
		{{"htab-bench", "-c", "x", "--plaintext", "--tls-creds", "d"}, "exclude"},
		{{"htab-bench", "-c", "x", "--plot", "f.jpg"}, ".svg or .png"},
		{{"htab-bench", "-c", "x", "more"}, "no arguments"},
		{{"htab-bench", "--no-such-option"}, "no-such-option"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench one;
		struct process *p;

		bench_init(&one, false);
		p = process_start(one.h, "client", cases[i].argv, NULL, true);
		ck_assert_int_eq(bench_client_end(&one, p), 2);
		ck_assert_str_eq(one.out, "");
		h_check_text(one.h, one.err, cases[i].words);
		bench_end(&one);
	}
}
END_TEST

/* -- what breaks -- */

START_TEST(a_server_that_dies)
{
	struct process *p;
	struct bench b;
	char line[256];

	bench_init(&b, _i & 1);
	SERVER(&b, "-i", "0");
	p = bench_client(&b,
		(const char *const[]){
			"--order", "18", "-t", "600", "-i", "0.1", _i & 2 ? "-R" : NULL, NULL});
	bench_read_line(p, "bits/sec", line, sizeof(line));
	process_kill(b.server);
	ck_assert_int_eq(bench_client_end(&b, p), 1);
	ck_assert_ptr_null(strstr(b.out, "sender\n"));
	ck_assert_ptr_nonnull(strstr(b.err, "htab-bench: "));
	bench_end(&b);
}
END_TEST

/* A client that dies, or is interrupted; the server says so and takes the next one. */
START_TEST(a_client_that_dies)
{
	struct process *p;
	struct bench b;
	char line[256];

	bench_init(&b, _i & 1);
	SERVER(&b, "-i", "0");
	p = bench_client(&b,
		(const char *const[]){
			"--order", "18", "-t", "600", "-i", "0.1", _i & 2 ? "-R" : NULL, NULL});
	bench_read_line(p, "bits/sec", line, sizeof(line));
	/* meanwhile the server is busy */
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.err, "the server is busy");
	if (_i & 4) {
		process_signal(p, SIGINT);
		ck_assert_int_eq(bench_client_end(&b, p), 1);
		h_check_text(b.h, b.err, "interrupt - the client has terminated");
	} else {
		process_kill(p);
	}
	bench_read_line(b.server, "Server listening on ", line, sizeof(line));
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 0);
	bench_read_log(b.server, b.err, sizeof(b.err));
	ck_assert_ptr_nonnull(strstr(b.err, "htab-bench: "));
	bench_end(&b);
}
END_TEST

/* One that is stopped, at either end, with either direction, is given up after --rcv-timeout. */
START_TEST(a_peer_that_falls_silent)
{
	bool client = _i & 1; /* stops */
	struct process *p;
	struct bench b;
	char line[256];

	bench_init(&b, _i & 4);
	if (client)
		SERVER(&b, "-i", "0", "--rcv-timeout", "2000");
	else
		SERVER(&b, "-i", "0");
	b.server->any_end = !client;
	p = bench_client(&b,
		(const char *const[]){"--order", "18", "-t", "600", "-i", "0.1", "--rcv-timeout",
			client ? "600000" : "2000", _i & 2 ? "-R" : NULL, NULL});
	bench_read_line(p, "bits/sec", line, sizeof(line));
	process_signal(client ? p : b.server, SIGSTOP);
	if (client) {
		bench_read_line(b.server, "Server listening on ", line, sizeof(line));
		ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 0);
	} else {
		ck_assert_int_eq(bench_client_end(&b, p), 1);
		h_check_text(b.h, b.err, " for 2"); /* 2 s, or 2000 ms by the flow */
	}
	process_signal(client ? p : b.server, SIGCONT);
	if (client)
		ck_assert_int_eq(bench_client_end(&b, p), 1);
	bench_end(&b);
}
END_TEST

/* A client that is interrupted shows what it has. */
START_TEST(results_so_far)
{
	bool json = _i & 1, reverse = _i & 2;
	const char *sum = reverse ? "end.sum_received" : "end.sum_sent";
	struct json_object *o;
	struct process *p;
	char line[256];
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "-i", "0.1");
	p = bench_client(&b,
		(const char *const[]){"--order", "18", "-t", "600", "-i", "0.1",
			json ? "-J" : "--no-ktls", reverse ? "-R" : NULL, NULL});
	bench_read_line(b.server, "bits/sec", line, sizeof(line));
	process_signal(p, _i & 4 ? SIGTERM : SIGINT);
	ck_assert_int_eq(bench_client_end(&b, p), 1);
	h_check_text(b.h, b.err, "interrupt - the client has terminated");
	if (json) {
		snprintf(line, sizeof(line), "%s.bytes", sum);
		o = bench_json(&b);
		ck_assert_str_eq(
			member_text(o, "error", ""), "interrupt - the client has terminated");
		h_check(b.h, bench_number(&b, o, line) > 0, "no bytes");
		h_check(b.h, bench_number(&b, o, "htab.passes") > 0, "no passes");
		h_check(b.h, json_object_array_length(member(o, "intervals")) > 0, "no intervals");
		ck_assert_ptr_null(member(member(o, "htab"), "tables_equal"));
		json_object_put(o);
	} else {
		h_check_text(b.h, b.out, reverse ? "  receiver\n" : "  sender\n");
	}
	bench_read_line(b.server, "Server listening on ", line, sizeof(line));
	bench_end(&b);
}
END_TEST

/* Both ends show what they have. */
START_TEST(a_server_told_to_end)
{
	struct json_object *o;
	struct process *p;
	struct bench b;
	char line[256];

	bench_init(&b, false);
	SERVER(&b, "-i", "0.1");
	b.server->any_end = true;
	p = bench_client(&b,
		(const char *const[]){
			"--order", "18", "-t", "600", "-i", "0.1", _i ? "-J" : NULL, NULL});
	bench_read_line(b.server, "bits/sec", line, sizeof(line));
	process_signal(b.server, SIGTERM);
	ck_assert_int_eq(bench_client_end(&b, p), 1);
	h_check_text(b.h, b.err, "the peer says: interrupt - the server has terminated");
	if (_i) {
		o = bench_json(&b);
		h_check(b.h, bench_number(&b, o, "end.sum_sent.bytes") > 0, "no bytes");
		json_object_put(o);
	} else {
		h_check_text(b.h, b.out, "  sender\n");
	}
	process_wait(b.server);
	ck_assert_int_eq(WEXITSTATUS(b.server->status), 1);
	bench_end(&b);
}
END_TEST

START_TEST(nobody_is_there)
{
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "-1");
	process_kill(b.server);
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.err, "Connection refused");
	ck_assert_int_eq(CLIENT(&b, "-J", "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.out, "\"error\":");
	bench_end(&b);
}
END_TEST

/* One end with TLS and the other one without; a certificate of another CA. */
START_TEST(security_does_not_fit)
{
	struct testca_options alien = {.cn = "localhost"};
	struct bench b;
	const char *good;

	bench_init(&b, true);
	good = b.creds;
	SERVER(&b, "-i", "0");
	b.creds = NULL;
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.err, "does it expect TLS");
	b.creds = harness_creds(b.h, "alien", &alien);
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.err, "certificate");
	b.creds = "/nonexistent";
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.err, "/nonexistent");
	b.creds = good;
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 0);
	bench_end(&b);
}
END_TEST

START_TEST(no_tls_is_expected)
{
	struct testca_options o = {.cn = "localhost"};
	char log[1024];
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "-i", "0");
	b.creds = harness_creds(b.h, "creds", &o);
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 1);
	h_check_text(b.h, b.err, "--plaintext");
	bench_read_log(b.server, log, sizeof(log));
	h_check_text(b.h, log, "the peer speaks TLS");
	bench_end(&b);
}
END_TEST

/* -- peers that are no htab-bench -- */

static int connect_to(struct bench *b)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(b->port)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	h_check(b->h, connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "connect: %m");
	return fd;
}

/* Say that, and read what comes until the server closes. */
static void say(struct bench *b, int fd, const char *text, char *answer, size_t size)
{
	uint64_t deadline = harness_deadline();
	size_t len = 0;
	ssize_t n = 1;

	h_check(b->h, send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send");
	while (n > 0 && len < size - 1) {
		harness_poll(b->h, fd, POLLIN, NULL, deadline, "the server's answer");
		n = recv(fd, answer + len, size - 1 - len, 0);
		len += n > 0 ? (size_t)n : 0;
	}
	answer[len] = '\0';
	close(fd);
}

#define TEST                                                                                    \
	"\"reverse\":false,\"seconds\":1.0,\"bytes\":0,\"channels\":1,\"codec\":2,\"level\":1," \
	"\"bandwidth\":0,\"dirty_rate\":0,\"table\":0,\"interval\":1.0,"                        \
	"\"want_output\":false,\"json\":false"

START_TEST(strangers)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", ""},
		{"[]\n", ""},
		{"{}garbage\n", ""},
		{"{}\n", "another version"},
		{"{\"htab-bench\":2,\"role\":\"control\"}\n", "another version"},
		{"{\"htab-bench\":3,\"role\":\"x\"}\n", "no known role"},
		{"{\"htab-bench\":3,\"role\":\"control\"}\n", "there is no test"},
		{"{\"htab-bench\":3,\"role\":\"control\",\"test\":{}}\n",
			"missing or out of range"},
		{"{\"htab-bench\":3,\"role\":\"control\",\"test\":{" TEST ",\"order\":60}}\n",
			"'order' is missing or out of range"},
		{"{\"htab-bench\":3,\"role\":\"control\",\"test\":{" TEST ",\"order\":17}}\n",
			"order 17"},
		{"{\"htab-bench\":3,\"role\":\"control\",\"test\":{" TEST ",\"order\":\"18\"}}\n",
			"'order' is missing or out of range"},
		{"{\"htab-bench\":3,\"role\":\"data\",\"cookie\":\"\",\"channel\":0}\n",
			"no test waits"},
		/* a good one, but then out of turn */
		{"{\"htab-bench\":3,\"role\":\"control\",\"test\":{" TEST ",\"order\":18}}\n{}\n",
			"makes no sense here"},
		{"{\"htab-bench\":3,\"role\":\"control\",\"test\":{" TEST
		 ",\"order\":18}}\n{\"start\":{}}\n",
			"all of its data connections"},
	};
	char answer[4096], *big = malloc(100000);
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "-i", "0");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(&b, connect_to(&b), cases[i].text, answer, sizeof(answer));
		h_check_text(b.h, answer, cases[i].words);
	}
	/* a line without an end */
	memset(big, 'x', 99999);
	big[99999] = '\0';
	ck_assert_int_gt(connect_to(&b), 0); /* one that says nothing at all */
	{
		int fd = connect_to(&b);

		ck_assert_int_gt(send(fd, big, 99999, MSG_NOSIGNAL), 0);
		harness_poll(b.h, fd, POLLIN | POLLHUP, NULL, harness_deadline(), "its end");
		close(fd);
	}
	free(big);
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1"), 0);
	bench_end(&b);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("bench-failures", &tc);

	harness_add(tc, bad_options);
	if (harness_wants("a_server_that_dies"))
		tcase_add_loop_test(tc, a_server_that_dies, 0, 4);
	if (harness_wants("a_client_that_dies"))
		tcase_add_loop_test(tc, a_client_that_dies, 0, 8);
	if (harness_wants("a_peer_that_falls_silent"))
		tcase_add_loop_test(tc, a_peer_that_falls_silent, 0, 8);
	if (harness_wants("results_so_far"))
		tcase_add_loop_test(tc, results_so_far, 0, 8);
	if (harness_wants("a_server_told_to_end"))
		tcase_add_loop_test(tc, a_server_told_to_end, 0, 2);
	harness_add(tc, nobody_is_there);
	harness_add(tc, security_does_not_fit);
	harness_add(tc, no_tls_is_expected);
	harness_add(tc, strangers);
	return harness_main(s);
}
