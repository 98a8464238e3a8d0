/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates of a throw-away CA, for shell tests and the demonstration. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/testca.h"

static int usage(FILE *f, int status)
{
	fprintf(f,
		"Usage: mkcerts DIR [--cn NAME] [--dns NAME]... [--ip ADDRESS]... [--uri URI]...\n"
		"               [--days N | --expired] [--ca DIR]\n"
		"Write ca-cert.pem, ca-key.pem, server-cert.pem, server-key.pem, client-cert.pem and\n"
		"client-key.pem into DIR. --ca: sign with the CA that was made in that directory.\n");
	return status;
}

static void add(const char **names, const char *name)
{
	for (int i = 0; i < TESTCA_NAMES_MAX; i++) {
		if (!names[i]) {
			names[i] = name;
			return;
		}
	}
	fprintf(stderr, "mkcerts: more than %d names of one kind\n", TESTCA_NAMES_MAX);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"cn", required_argument, NULL, 'n'},
		{"dns", required_argument, NULL, 'd'}, {"ip", required_argument, NULL, 'i'},
		{"uri", required_argument, NULL, 'u'}, {"expired", no_argument, NULL, 'x'},
		{"days", required_argument, NULL, 'y'}, {"ca", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'}, {0}};
	struct testca_options o = {0};
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n': o.cn = optarg; break;
		case 'd': add(o.dns, optarg); break;
		case 'i': add(o.ip, optarg); break;
		case 'u': add(o.uri, optarg); break;
		case 'x': o.expired = true; break;
		case 'y': o.days = (unsigned)atoi(optarg); break;
		case 'c': o.ca_dir = optarg; break;
		case 'h': return usage(stdout, 0);
		default: return usage(stderr, 2);
		}
	}
	if (argc - optind != 1)
		return usage(stderr, 2);
	r = testca_write(argv[optind], &o);
	if (r < 0)
		fprintf(stderr, "mkcerts: cannot write certificates into %s: %s\n", argv[optind],
			strerror(-r));
	return r < 0 ? 1 : 0;
}
