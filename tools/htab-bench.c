/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>

#include "tools/bench_run.h"

int main(int argc, char **argv)
{
	struct bench_opts o;
	int r = bench_opts_parse(argc, argv, &o);

	if (r != 0)
		return r < 0 ? 2 : 0;
	signal(SIGPIPE, SIG_IGN);
	return o.server ? bench_server(&o) : bench_client(&o);
}
