/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The two programs that htab-bench is. Main thread. Both return the exit status.
 *
 *	connections   control: {"htab-bench": 1, "role": "control", "test": {...}}
 *	              data:    {"htab-bench": 1, "role": "data", "cookie": ..., "channel": N}
 *	answers       {"ok": {"cookie": ..., "order": ...}} or {"error": text}
 *
 * Once every data connection has its answer the client says {"start": {}} on the control connection;
 * bench/session.h has the rest. With want_output the server's {"output": ...} is the last message.
 */
#include <signal.h>

#include "tools/bench/opts.h"

/* At the end, before the events of signals are freed: none may kill what ends anyway. */
static inline void bench_block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int bench_client(const struct bench_opts *o);
int bench_server(const struct bench_opts *o);
