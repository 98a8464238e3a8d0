/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The two programs that htab-bench is. Main thread. Both return the exit status.
 *
 *	connections   control: {"htab-bench": 1, "role": "control", "test": {...}}
 *	              data:    {"htab-bench": 1, "role": "data", "cookie": ..., "channel": 0}
 *	answers       {"ok": {"cookie": ..., "order": ...}} or {"error": text}
 *
 * Once every data connection has its answer the client says {"start": {}} on the control connection;
 * bench_session.h has the rest. With want_output the server's {"output": ...} is the last message.
 */
#include "tools/bench_opts.h"

int bench_client(const struct bench_opts *o);
int bench_server(const struct bench_opts *o);
