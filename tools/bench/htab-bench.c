/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>

#include "common/dial.h"
#include "tools/bench/run.h"
#include "tools/htabctl/output.h"

int main(int argc, char **argv)
{
	struct bench_opts o;
	int r, status = 0;

	signal(SIGPIPE, SIG_IGN);
	dial_expects("htab-bench -s");
	if (output_begin("htab-bench") < 0)
		return 1;
	r = bench_opts_parse(argc, argv, &o);
	if (r < 0)
		return 2;
	if (r == 0)
		status = o.server ? bench_server(&o) : bench_client(&o);
	return output_end("htab-bench") < 0 ? 1 : status;
}
