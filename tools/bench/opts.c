/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/opts.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "common/codec.h"
#include "common/number.h"
#include "tools/bench/plot.h"

enum {
	OPT_GET_OUTPUT = 256,
	OPT_HPT,
	OPT_ORDER,
	OPT_TABLE,
	OPT_DIRTY_RATE,
	OPT_COMPRESSION,
	OPT_ZSTD_LEVEL,
	OPT_TLS_CREDS,
	OPT_PLAINTEXT,
	OPT_NO_KTLS,
	OPT_PLOT,
	OPT_RCV_TIMEOUT,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option options[] = {
	{"server", no_argument, NULL, 's'},
	{"client", required_argument, NULL, 'c'},
	{"one-off", no_argument, NULL, '1'},
	{"port", required_argument, NULL, 'p'},
	{"bind", required_argument, NULL, 'B'},
	{"time", required_argument, NULL, 't'},
	{"bytes", required_argument, NULL, 'n'},
	{"parallel", required_argument, NULL, 'P'},
	{"reverse", no_argument, NULL, 'R'},
	{"interval", required_argument, NULL, 'i'},
	{"json", no_argument, NULL, 'J'},
	{"bitrate", required_argument, NULL, 'b'},
	{"get-server-output", no_argument, NULL, OPT_GET_OUTPUT},
	{"hpt", required_argument, NULL, OPT_HPT},
	{"order", required_argument, NULL, OPT_ORDER},
	{"table", required_argument, NULL, OPT_TABLE},
	{"dirty-rate", required_argument, NULL, OPT_DIRTY_RATE},
	{"compression", required_argument, NULL, OPT_COMPRESSION},
	{"zstd-level", required_argument, NULL, OPT_ZSTD_LEVEL},
	{"tls-creds", required_argument, NULL, OPT_TLS_CREDS},
	{"plaintext", no_argument, NULL, OPT_PLAINTEXT},
	{"no-ktls", no_argument, NULL, OPT_NO_KTLS},
	{"plot", required_argument, NULL, OPT_PLOT},
	{"rcv-timeout", required_argument, NULL, OPT_RCV_TIMEOUT},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: htab-bench -s [-1] [OPTION]...\n"
	"       htab-bench -c HOST [OPTION]...\n"
	"Measure how fast hashed page tables move between two hosts, as iperf3 does for bytes.\n"
	"\n"
	"  -s, --server          wait for clients\n"
	"  -1, --one-off         end after one test\n"
	"  -c, --client HOST     do a test with the server there\n"
	"  -p, --port N          the server's port (" BENCH_PORT "); 0: any, which is printed\n"
	"  -B, --bind ADDRESS    where a server listens (everywhere)\n"
	"  --tls-creds DIR       certificates and keys (" BENCH_TLS_DIR ")\n"
	"  --plaintext           no TLS; both ends have to say so\n"
	"  --no-ktls             the kernel is not to encrypt what this end sends\n"
	"  --hpt FILE            the sender's table: 2^order bytes, plain or zstd\n"
	"  -i, --interval S      seconds between two lines, 0.1 to 60; 0: none (1)\n"
	"  -J, --json            one JSON object at the end, with iperf3's members\n"
	"  --plot FILE           draw entries that remain, and the rate, over time: .svg, or .png\n"
	"                        with rsvg-convert(1)\n"
	"  --rcv-timeout MS      end a test when the other end is silent for so long (30000)\n"
	"\n"
	"For a client:\n"
	"  -t, --time S          pass the table again and again for so long (10)\n"
	"  -n, --bytes N         or until so many bytes of it were passed; K, M, G, T are 1024's;\n"
	"                        not with -t\n"
	"  -P, --parallel N      data channels, 1 to 16 (1)\n"
	"  -R, --reverse         the server sends\n"
	"  -b, --bitrate N       bits a second on the wire at most, 0: no limit; K, M, G are 1000's\n"
	"  --order N             log2 of the bytes of a made table, 18 to 32 (25)\n"
	"  --table KIND          what is made: linux (as after its boot) or user (random pages)\n"
	"  --dirty-rate N        a guest changes so many entries a second: passes of changes, and a\n"
	"                        pause at the end\n"
	"  --compression NAME    none, zstd or hpte (hpte)\n"
	"  --zstd-level N        how hard zstd tries, 0 to 20 (1)\n"
	"  --get-server-output   show the server's output too\n"
	"\n"
	"Both tables are compared after every test. Exit status: 0; 1 when the test failed or they\n"
	"differ, and then no rate is printed; 2 for wrong usage.\n";

static int refuse(const char *option, const char *value, const char *why)
{
	struct err err;

	err_set(&err, -EINVAL, "%s %s: %s", option, value, why);
	fprintf(stderr, "htab-bench: %s\n", err.text);
	return -EINVAL;
}

static int parse_seconds(const char *option, const char *text, double *ret)
{
	if (number_parse_decimal(text, ret) < 0)
		return refuse(option, text, "it should be a number of seconds");
	return 0;
}

static int parse_uint(
	const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	char why[96];

	if (number_parse(text, min, max, ret) == 0)
		return 0;
	snprintf(
		why, sizeof(why), "it should be a whole number, %" PRIu64 " to %" PRIu64, min, max);
	return refuse(option, text, why);
}

static int parse_scaled(
	const char *option, const char *text, unsigned step, uint64_t max, uint64_t *ret)
{
	char why[128];

	if (number_parse_scaled(text, step, max, ret) == 0)
		return 0;
	snprintf(why, sizeof(why),
		"it should be a whole number, or one with K, M, G or T behind it, up to %" PRIu64,
		max);
	return refuse(option, text, why);
}

static int parse_codec(const char *text, enum wire_codec *ret)
{
	for (int c = WIRE_CODEC_NONE; c <= WIRE_CODEC_HPTE; c++) {
		if (codec_known((enum wire_codec)c) &&
			strcmp(codec_name((enum wire_codec)c), text) == 0) {
			*ret = (enum wire_codec)c;
			return 0;
		}
	}
	return refuse("--compression", text, "it should be none, zstd or hpte");
}

static int parse_table(const char *text, enum hptgen_kind *ret)
{
	for (int k = 0; k < HPTGEN_KINDS; k++) {
		if (strcmp(hptgen_name[k], text) == 0) {
			*ret = (enum hptgen_kind)k;
			return 0;
		}
	}
	return refuse("--table", text, "it should be linux or user");
}

static int parse_port(const char *text, const char **ret)
{
	uint64_t v;
	int r = parse_uint("--port", text, 0, 65535, &v);

	if (r == 0)
		*ret = text;
	return r;
}

/* Options that exclude others. */
struct given {
	const char *client; /* one that only a client may have; NULL: none */
	bool time, bytes, plaintext;
};

/* Those that only a client may have. */
static int parse_client(int c, const char *arg, struct bench_opts *o, struct given *given)
{
	struct bench_test *t = &o->test;
	uint64_t v = 0;
	int r = 0;

	switch (c) {
	case 't':
		given->client = "--time";
		given->time = true;
		return parse_seconds("--time", arg, &t->seconds);
	case 'n':
		given->client = "--bytes";
		given->bytes = true;
		return parse_scaled("--bytes", arg, 1024, INT64_MAX, &t->bytes);
	case 'P':
		given->client = "--parallel";
		r = parse_uint("--parallel", arg, 1, BENCH_CHANNELS_MAX, &v);
		t->channels = (unsigned)v;
		return r;
	case 'R':
		given->client = "--reverse";
		t->reverse = true;
		return 0;
	case 'b':
		given->client = "--bitrate";
		r = parse_scaled("--bitrate", arg, 1000, INT64_MAX, &t->bandwidth);
		return r == 0 && t->bandwidth > 0 && t->bandwidth < 8
			? refuse("--bitrate", arg, "it should be 0, or 8 bits a second or more")
			: r;
	case OPT_ORDER:
		given->client = "--order";
		r = parse_uint("--order", arg, HTAB_ORDER_MIN, BENCH_ORDER_MAX, &v);
		t->order = (unsigned)v;
		o->order_given = true;
		return r;
	case OPT_TABLE: given->client = "--table"; return parse_table(arg, &t->table);
	case OPT_DIRTY_RATE:
		given->client = "--dirty-rate";
		return parse_scaled("--dirty-rate", arg, 1000, BENCH_RATE_MAX, &t->dirty_rate);
	case OPT_COMPRESSION: given->client = "--compression"; return parse_codec(arg, &t->codec);
	case OPT_ZSTD_LEVEL:
		given->client = "--zstd-level";
		r = parse_uint("--zstd-level", arg, 0, CODEC_LEVEL_MAX, &v);
		t->level = (int)v;
		return r;
	case OPT_GET_OUTPUT:
		given->client = "--get-server-output";
		t->want_output = true;
		return 0;
	default: return -EINVAL; /* getopt has said why */
	}
}

static int parse_one(int c, const char *arg, struct bench_opts *o, struct given *given)
{
	struct bench_test *t = &o->test;
	uint64_t v = 0;
	int r = 0;

	switch (c) {
	case 's': o->server = true; return 0;
	case 'c': o->host = arg; return 0;
	case '1': o->once = true; return 0;
	case 'p': return parse_port(arg, &o->port);
	case 'B': o->bind = arg; return 0;
	case 'i': return parse_seconds("--interval", arg, &t->interval);
	case 'J': o->json = t->json = true; return 0;
	case OPT_HPT: o->hpt = arg; return 0;
	case OPT_TLS_CREDS: o->creds = arg; return 0;
	case OPT_NO_KTLS: o->no_ktls = true; return 0;
	case OPT_PLOT: o->plot = arg; return 0;
	case OPT_RCV_TIMEOUT:
		r = parse_uint("--rcv-timeout", arg, BENCH_SILENCE_MIN, BENCH_SILENCE_MAX, &v);
		o->silence_ms = (int)v;
		return r;
	case OPT_PLAINTEXT: given->plaintext = true; return 0;
	default: return parse_client(c, arg, o, given);
	}
}

static int complain(const char *why)
{
	fprintf(stderr, "htab-bench: %s; see htab-bench --help\n", why);
	return -EINVAL;
}

static int check(const struct bench_opts *o, const struct given *given)
{
	struct err err;

	if (o->server == (o->host != NULL))
		return complain("either -s, to wait for clients, or -c HOST, to do a test");
	if (o->server && given->client) {
		fprintf(stderr, "htab-bench: %s is the client's to say\n", given->client);
		return -EINVAL;
	}
	if (given->time && given->bytes)
		return complain("-t and -n exclude each other: one of them ends a test");
	if (!o->server && (o->once || o->bind))
		return complain("-1 and --bind are for a server");
	if (!o->server && strcmp(o->port, "0") == 0)
		return complain("port 0 is for a server");
	if (o->creds && given->plaintext)
		return complain("--tls-creds and --plaintext exclude each other");
	if (o->hpt && o->test.reverse)
		return complain("with -R the server sends: give --hpt to the server");
	if (bench_test_check(&o->test, &err) < 0) {
		fprintf(stderr, "htab-bench: %s\n", err.text);
		return -EINVAL;
	}
	if (o->plot && bench_plot_check(o->plot, &err) < 0) {
		fprintf(stderr, "htab-bench: %s\n", err.text);
		return -EINVAL;
	}
	return 0;
}

int bench_opts_parse(int argc, char **argv, struct bench_opts *ret)
{
	struct bench_opts o = {.port = BENCH_PORT, .silence_ms = BENCH_SILENCE_MS};
	struct given given = {0};
	int c, r;

	bench_test_default(&o.test);
	while ((c = getopt_long(argc, argv, "sc:1p:B:t:n:P:Ri:Jb:", options, NULL)) >= 0) {
		if (c == OPT_HELP) {
			fputs(usage, stdout);
			return 1;
		}
		if (c == OPT_VERSION) {
			puts("htab-bench " PACKAGE_VERSION);
			return 1;
		}
		r = parse_one(c, optarg, &o, &given);
		if (r < 0)
			return r;
	}
	if (optind < argc)
		return refuse("argument", argv[optind], "there are no arguments but options");
	if (given.bytes)
		o.test.seconds = 0;
	r = check(&o, &given);
	if (r < 0)
		return r;
	if (!given.plaintext && !o.creds)
		o.creds = BENCH_TLS_DIR;
	*ret = o;
	return 0;
}
