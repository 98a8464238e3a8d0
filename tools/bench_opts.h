/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htab-bench's command line. Main thread.
 */
#include <stdbool.h>

#include "tools/bench_test.h"

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
	struct bench_test test;
};

/* 0; 1 when all is said (--help, --version); -EINVAL after a sentence on stderr. */
int bench_opts_parse(int argc, char **argv, struct bench_opts *ret);
/* "10", "1.5k", "2G": by powers of `step` (1000 or 1024). 0 or -EINVAL. */
int bench_opts_number(const char *text, unsigned step, uint64_t *ret);
