/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htab-bench's command line. Main thread.
 */
#include <stdbool.h>

#include "tools/bench/test.h"

#define BENCH_TLS_DIR "/etc/pki/htab-migrated"

struct bench_opts {
	bool server, once;
	const char *host; /* of the server */
	const char *bind; /* where a server listens; NULL: everywhere */
	const char *port;
	const char *creds; /* NULL: plaintext */
	bool no_ktls;
	const char *hpt;  /* the sender's table; NULL: a made one */
	const char *plot; /* NULL: none */
	bool json;
	bool order_given; /* test.order is what a file of `hpt` has to hold */
	int silence_ms;   /* how long the other end may say nothing */
	struct bench_test test;
};

/* 0; 1 when all is said (--help, --version); -EINVAL after a sentence on stderr. */
int bench_opts_parse(int argc, char **argv, struct bench_opts *ret);
