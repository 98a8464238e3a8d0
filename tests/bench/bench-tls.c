/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-tls MIB: a bare TLS 1.3 stream over loopback. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "tests/bench/benchlib.h"
#include "tests/bench/tlsloop.h"

int main(int argc, char **argv)
{
	struct tlsloop_result r;

	if (argc != 2)
		bench_die("usage: bench-tls MIB");
	signal(SIGPIPE, SIG_IGN);
	tlsloop_run(bench_arg(argv[1], 1u << 20) << 20, &r);
	printf("{\"bytes\":%" PRIu64 ",\"ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 "}\n", r.bytes, r.ns,
		r.cpu_ns);
	return 0;
}
