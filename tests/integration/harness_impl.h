/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the harness' own files share. */
#include <stdarg.h>

#include "tests/integration/harness.h"

#define HARNESS_HOSTS  4
#define HARNESS_GUESTS 16

struct harness {
	char dir[64];
	struct process processes[HARNESS_PROCESSES];
	unsigned n_processes;
	struct host *hosts[HARNESS_HOSTS];
	unsigned n_hosts;
	struct guest *guests[HARNESS_GUESTS];
	unsigned n_guests;
};

struct json_object *harness_json_v(struct harness *h, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
void host_free(struct host *host);
