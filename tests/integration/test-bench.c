/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htab-bench: what is said of a test holds, and no rate is shown of tables that differ. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/htab.h"
#include "tests/integration/benchrun.h"
#include "tools/bench/hptgen.h"

#define ORDER 18u
#define WAYS  11
#define MIB   (1024.0 * 1024.0)

/* What holds after every good test. */
static void check_good(struct bench *b, struct json_object *o)
{
	struct json_object *htab = member(o, "htab");
	double bytes = bench_number(b, o, "htab.table_bytes"), sum = 0;
	struct json_object *list = member(htab, "pass_list");
	struct json_object *at = member(member(o, "start"), "connected");

	ck_assert_int_eq((int)json_object_array_length(at), 1);
	at = json_object_array_get_idx(at, 0);
	ck_assert_str_eq(member_text(at, "local_host", ""), "127.0.0.1");
	ck_assert_str_eq(member_text(at, "remote_host", ""), "127.0.0.1");
	h_check(b->h, bench_number(b, at, "local_port") > 0, "no port");
	h_check(b->h,
		bench_number(b, at, "remote_port") ==
			bench_number(b, o, "start.connecting_to.port"),
		"ports differ");
	h_check(b->h, member_bool(htab, "tables_equal"), "the tables differ");
	h_check(b->h, !member(o, "error"), "%s", member_text(o, "error", ""));
	h_check(b->h,
		bytes > 0 && bench_number(b, o, "end.sum_sent.bytes") == bytes &&
			bench_number(b, o, "end.sum_received.bytes") == bytes,
		"sums differ");
	h_check(b->h, bench_number(b, o, "end.sum_received.seconds") > 0, "no time");
	h_check(b->h, bench_number(b, o, "end.sum_sent.bits_per_second") > 0, "no rate");
	h_check(b->h, bench_number(b, o, "htab.ratio") > 0.9, "ratio %f",
		bench_number(b, o, "htab.ratio"));
	for (size_t i = 0; i < json_object_array_length(list); i++)
		sum += bench_number(b, json_object_array_get_idx(list, i), "bytes");
	h_check(b->h, sum == bytes, "the passes have %f bytes of %f", sum, bytes);
	h_check(b->h, bench_number(b, o, "htab.passes") == (double)json_object_array_length(list),
		"passes");
	bench_number(b, o, "end.cpu_utilization_percent.host_total");
	bench_number(b, o, "end.cpu_utilization_percent.remote_user");
	bench_number(b, o, "htab.entries_per_second");
	bench_number(b, o, "htab.table_bytes_per_second");
	bench_number(b, o, "htab.wire_bytes_per_second");
	bench_number(b, o, "htab.pass_ms.mean");
	bench_number(b, o, "start.timestamp.timesecs");
	bench_number(b, o, "start.test_start.duration");
	bench_number(b, o, "start.connecting_to.port");
	ck_assert_int_eq((int)json_object_array_length(member(member(o, "end"), "streams")), 1);
}

/* Every way a test can go, each with and without TLS. */
START_TEST(tests_are_good)
{
	static const char *const ways[WAYS][8] = {
		{"-t", "0.2"},
		{"-t", "0.2", "--compression", "none"},
		{"-n", "1M", "--compression", "zstd"},
		{"-R", "-n", "1M", "--compression", "zstd", "--zstd-level", "12"},
		{"-R", "-t", "0.2"},
		{"-R", "-n", "300k", "--compression", "none"},
		{"-n", "1M", "--table", "user"},
		{"-R", "-n", "1M", "--table", "user"},
		{"-t", "0.2", "-P", "4"},
		{"-t", "0.2", "-P", "16", "--compression", "none"},
		{"-R", "-n", "1M", "-P", "3", "--table", "user"},
	};
	const char *argv[BENCH_ARGS + 1] = {"-J", "--order", "18"};
	struct bench b;
	struct json_object *o;

	bench_init(&b, _i >= WAYS);
	SERVER(&b, "-1");
	for (const char *const *w = ways[_i % WAYS]; *w; w++)
		bench_add(argv, *w);
	ck_assert_int_eq(bench_client_run(&b, argv), 0);
	o = bench_json(&b);
	check_good(&b, o);
	ck_assert_str_eq(member_text(member(member(o, "start"), "test_start"), "protocol", ""),
		b.creds ? "TLS" : "TCP");
	json_object_put(o);
	process_wait(b.server); /* -1 */
	bench_end(&b);
}
END_TEST

START_TEST(lines_are_iperf3s)
{
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "-1");
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-t", "0.5", "-i", "0.1"), 0);
	h_check_text(b.h, b.out, "[ ID] Interval           Transfer     Bitrate");
	h_check_text(b.h, b.out, "[  0]   0.00-0.");
	h_check_text(b.h, b.out, "bits/sec");
	h_check_text(b.h, b.out, "  sender\n");
	h_check_text(b.h, b.out, "  receiver\n");
	h_check_text(b.h, b.out, "Both tables are equal");
	bench_end(&b);
}
END_TEST

/* -n: whole passes, and no more than are needed. */
START_TEST(bytes_are_respected)
{
	struct bench b;
	struct json_object *o;
	double bytes, pass;

	bench_init(&b, false);
	SERVER(&b, "-1");
	ck_assert_int_eq(CLIENT(&b, "-J", "--order", "18", "-n", "2M"), 0);
	o = bench_json(&b);
	check_good(&b, o);
	bytes = bench_number(&b, o, "htab.table_bytes");
	pass = bytes / bench_number(&b, o, "htab.passes");
	h_check(b.h, bytes >= 2 * MIB && bytes < 2 * MIB + pass, "%f bytes in passes of %f", bytes,
		pass);
	json_object_put(o);
	bench_end(&b);
}
END_TEST

/*
 * -b holds as an average, from 100 kbit/s on, where what is sent at once was half a minute's worth.
 * Slower than that is a machine's business; faster is ours.
 */
START_TEST(low_bitrates_are_averages)
{
	static const struct {
		const char *text, *channels;
		double bits;
	} rates[] = {{"100K", "1", 1e5}, {"1M", "1", 1e6}, {"1M", "8", 1e6}};
	double wire, got;
	struct json_object *o;
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "-1");
	ck_assert_int_eq(CLIENT(&b, "-J", "--order", "18", "-n", "1", "--table", "user", "-b",
				 rates[_i].text, "-P", rates[_i].channels),
		0);
	o = bench_json(&b);
	check_good(&b, o);
	wire = bench_number(&b, o, "htab.wire_bytes");
	got = wire * 8 / bench_number(&b, o, "end.sum_sent.seconds");
	h_check(b.h, got <= 1.1 * rates[_i].bits, "%f bits/s, %f bytes", got, wire);
	json_object_put(o);
	bench_end(&b);
}
END_TEST

/* -b: slower is no failure, faster is. */
START_TEST(bitrate_is_respected)
{
	struct bench b;
	struct json_object *o;
	double wire, seconds, sent;

	bench_init(&b, false);
	SERVER(&b, "-1");
	ck_assert_int_eq(
		CLIENT(&b, "-J", "--order", "18", "-n", "2M", "-b", "32M", "--compression", "none"),
		0);
	o = bench_json(&b);
	check_good(&b, o);
	wire = bench_number(&b, o, "htab.wire_bytes");
	/* what was saved up, and the last chunk, paid afterwards; either end may begin late */
	seconds = bench_number(&b, o, "end.sum_received.seconds");
	sent = bench_number(&b, o, "end.sum_sent.seconds");
	seconds = seconds > sent ? seconds : sent;
	h_check(b.h, seconds * 4e6 + 4e6 / 20 + 300e3 >= wire, "%f bytes in %f s", wire, seconds);
	h_check(b.h, bench_number(&b, o, "start.test_start.target_bitrate") == 32e6, "target");
	json_object_put(o);
	bench_end(&b);
}
END_TEST

START_TEST(dirty_guest_ends_with_a_pause)
{
	struct bench b;
	struct json_object *o, *list;

	bench_init(&b, _i == 1);
	SERVER(&b, "-1");
	if (_i == 2)
		ck_assert_int_eq(CLIENT(&b, "-J", "--order", "20", "-t", "0.5", "-R",
					 "--dirty-rate", "50000"),
			0);
	else
		ck_assert_int_eq(
			CLIENT(&b, "-J", "--order", "20", "-t", "0.5", "--dirty-rate", "50000"), 0);
	o = bench_json(&b);
	check_good(&b, o);
	h_check(b.h, bench_number(&b, o, "htab.changes") > 0, "no changes");
	h_check(b.h, bench_number(&b, o, "htab.passes") >= 2, "%f passes",
		bench_number(&b, o, "htab.passes"));
	h_check(b.h, bench_number(&b, o, "htab.downtime.total_ms") > 0, "no downtime");
	h_check(b.h,
		bench_number(&b, o, "htab.downtime.total_ms") >=
			bench_number(&b, o, "htab.downtime.last_pass_ms"),
		"downtime's parts");
	bench_number(&b, o, "htab.downtime.pause_ms");
	bench_number(&b, o, "htab.downtime.switchover_ms");
	/* changes alone after the first pass */
	list = member(member(o, "htab"), "pass_list");
	h_check(b.h,
		bench_number(&b, json_object_array_get_idx(list, 0), "bytes") >
			bench_number(&b,
				json_object_array_get_idx(list, json_object_array_length(list) - 1),
				"bytes"),
		"the last pass is as large as the first");
	json_object_put(o);
	bench_end(&b);
}
END_TEST

static const char *write_table(struct bench *b, size_t cut)
{
	const char *path = harness_path(b->h, "table.hpt");
	uint64_t valid;
	uint8_t *flat = hptgen_make(HPTGEN_USER, ORDER, 77, &valid);
	FILE *f = fopen(path, "we");

	ck_assert(flat && f);
	ck_assert_uint_gt(valid, htab_entries(ORDER) / 2);
	ck_assert_uint_eq(fwrite(flat, 1, (1u << ORDER) - cut, f), (1u << ORDER) - cut);
	ck_assert_int_eq(fclose(f), 0);
	free(flat);
	return path;
}

START_TEST(table_of_a_file)
{
	struct bench b;
	struct json_object *o;
	const char *path;

	bench_init(&b, false);
	path = write_table(&b, 0);
	if (_i == 0) {
		SERVER(&b, "-1");
		ck_assert_int_eq(CLIENT(&b, "-J", "-n", "1", "--hpt", path), 0);
	} else {
		SERVER(&b, "-1", "--hpt", path);
		ck_assert_int_eq(CLIENT(&b, "-J", "-n", "1", "-R"), 0);
	}
	o = bench_json(&b);
	check_good(&b, o);
	ck_assert_int_eq((int)bench_number(&b, o, "htab.order"), ORDER);
	ck_assert_int_eq((int)bench_number(&b, o, "htab.passes"), 1);
	json_object_put(o);
	bench_end(&b);
}
END_TEST

START_TEST(table_of_a_bad_file)
{
	struct bench b;

	bench_init(&b, false);
	SERVER(&b, "--hpt", "/nonexistent");
	ck_assert_int_eq(CLIENT(&b, "-n", "1", "--hpt", "/nonexistent"), 1);
	h_check_text(b.h, b.err, "cannot open /nonexistent: No such file");
	ck_assert_int_eq(CLIENT(&b, "-n", "1", "--hpt", write_table(&b, 1)), 1);
	h_check_text(b.h, b.err, "table.hpt holds 262143 bytes, which is no page table");
	ck_assert_int_eq(CLIENT(&b, "-n", "1", "--hpt", write_table(&b, 1u << ORDER)), 1);
	h_check_text(b.h, b.err, "table.hpt is empty");
	ck_assert_int_eq(CLIENT(&b, "-n", "1", "--hpt", "/"), 1);
	h_check_text(b.h, b.err, "/ is a directory");
	ck_assert_int_eq(CLIENT(&b, "--order", "19", "--hpt", write_table(&b, 0)), 1);
	h_check_text(b.h, b.err, "holds a table of order 18, not of 19 (--order)");
	/* the server's */
	ck_assert_int_eq(CLIENT(&b, "-n", "1", "-R"), 1);
	h_check_text(b.h, b.err, "the server refuses: ");
	h_check_text(b.h, b.err, "/nonexistent");
	bench_end(&b);
}
END_TEST

/* A PNG needs a tool, and that is said before anything is measured. */
START_TEST(plots)
{
	static const char *const no_path[] = {"PATH=/nonexistent", NULL};
	static const char *const png[] = {"htab-bench", "-c", "x", "--plot", "f.png", NULL};
	const char *svg;
	char *text = calloc(1, 1 << 20);
	struct process *p;
	struct bench b;
	FILE *f;

	bench_init(&b, false);
	p = process_start(b.h, "client", png, no_path, true);
	ck_assert_int_eq(bench_client_end(&b, p), 2);
	h_check_text(b.h, b.err, "rsvg-convert");

	svg = harness_path(b.h, "p.svg");
	SERVER(&b, "-1");
	ck_assert_int_eq(CLIENT(&b, "--order", "20", "-n", "4M", "--plot", svg), 0);
	f = fopen(svg, "re");
	ck_assert(text && f && fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	ck_assert_int_eq(strncmp(text, "<svg ", 5), 0);
	h_check_text(b.h, text, "entries that remain");
	h_check_text(b.h, text, "table bytes a second");
	h_check_text(b.h, text, "<polyline ");
	h_check_text(b.h, text, "class=\"pass\"");
	ck_assert_ptr_null(strstr(text, "nan"));
	ck_assert_ptr_null(strstr(text, "inf"));
	ck_assert_str_eq(text + strlen(text) - 7, "</svg>\n");
	free(text);
	bench_end(&b);
}
END_TEST

/* At once, and not after the test. A plot that is there already keeps what it holds until then. */
START_TEST(plot_that_cannot_be_written)
{
	const char *dir, *old;
	char text[8] = "";
	struct bench b;
	FILE *f;

	bench_init(&b, false);
	strcpy(b.port, "1"); /* nobody is asked */
	ck_assert_int_eq(CLIENT(&b, "--plot", "/nonexistent/p.svg"), 2);
	h_check_text(b.h, b.err, "cannot write /nonexistent/p.svg: No such file");
	dir = harness_path(b.h, "dir.svg");
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(CLIENT(&b, "--plot", dir), 2);
	h_check_text(b.h, b.err, "Is a directory");
	ck_assert_int_eq(CLIENT(&b, "--plot", harness_path(b.h, "new.svg")), 1);
	ck_assert_int_lt(access(harness_path(b.h, "new.svg"), F_OK), 0);
	old = harness_path(b.h, "old.svg");
	f = fopen(old, "we");
	ck_assert(f && fputs("old", f) >= 0 && fclose(f) == 0);
	ck_assert_int_eq(CLIENT(&b, "--plot", old), 1);
	f = fopen(old, "re");
	ck_assert(f && fgets(text, sizeof(text), f) && fclose(f) == 0);
	ck_assert_str_eq(text, "old");
	bench_end(&b);
}
END_TEST

START_TEST(servers_output_comes_along)
{
	struct bench b;
	struct json_object *o, *server;

	bench_init(&b, false);
	SERVER(&b, "-i", "0");
	ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1", "--get-server-output"), 0);
	h_check_text(b.h, b.out, "Server output:\nAccepted connection from tcp:127.0.0.1:");
	ck_assert_int_eq(CLIENT(&b, "-J", "--order", "18", "-n", "1", "--get-server-output"), 0);
	o = bench_json(&b);
	check_good(&b, o);
	server = member(o, "server_output_json");
	ck_assert(bench_number(&b, server, "htab.table_bytes") ==
		bench_number(&b, o, "htab.table_bytes"));
	ck_assert_str_eq(member_text(member(server, "htab"), "table_digest", "?"),
		member_text(member(o, "htab"), "table_digest", ""));
	json_object_put(o);
	bench_end(&b);
}
END_TEST

/* Tables that differ, at either end: no rate, status 1. */
START_TEST(no_rate_of_tables_that_differ)
{
	static const char *const spoil[] = {"HTAB_BENCH_SPOIL=1", NULL};
	static const char *const once[] = {"-1", NULL};
	struct json_object *o;
	struct bench b;

	bench_init(&b, false);
	bench_server(&b, once, spoil);
	b.server->any_end = true;
	if (_i == 0) {
		ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1", "-i", "0"), 1);
		ck_assert_ptr_null(strstr(b.out, "bits/sec"));
		ck_assert_ptr_null(strstr(b.out, "equal"));
	} else {
		ck_assert_int_eq(CLIENT(&b, "--order", "18", "-n", "1", "-J", "-R"), 1);
		o = bench_json(&b);
		h_check_text(b.h, member_text(o, "error", ""), "the tables differ");
		ck_assert_ptr_null(member(o, "htab"));
		ck_assert_ptr_null(member(member(o, "end"), "sum_sent"));
		json_object_put(o);
	}
	h_check_text(b.h, b.err, "the tables differ");
	process_wait(b.server);
	ck_assert_int_eq(WEXITSTATUS(b.server->status), 1);
	bench_end(&b);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("bench", &tc);

	if (harness_wants("tests_are_good"))
		tcase_add_loop_test(tc, tests_are_good, 0, 2 * WAYS);
	harness_add(tc, lines_are_iperf3s);
	harness_add(tc, bytes_are_respected);
	harness_add(tc, bitrate_is_respected);
	if (harness_wants("low_bitrates_are_averages"))
		tcase_add_loop_test(tc, low_bitrates_are_averages, 0, 3);
	if (harness_wants("dirty_guest_ends_with_a_pause"))
		tcase_add_loop_test(tc, dirty_guest_ends_with_a_pause, 0, 3);
	if (harness_wants("table_of_a_file"))
		tcase_add_loop_test(tc, table_of_a_file, 0, 2);
	harness_add(tc, table_of_a_bad_file);
	harness_add(tc, plots);
	harness_add(tc, plot_that_cannot_be_written);
	harness_add(tc, servers_output_comes_along);
	if (harness_wants("no_rate_of_tables_that_differ"))
		tcase_add_loop_test(tc, no_rate_of_tables_that_differ, 0, 2);
	return harness_main(s);
}
