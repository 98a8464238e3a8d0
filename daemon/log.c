/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static int verbose;

void log_set_verbose(int v)
{
	verbose = v;
}

void log_msg(const char *prefix, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t n = 0;
	va_list ap;
	int r;

	if (!verbose && strcmp(prefix, SD_DEBUG) == 0)
		return;
	if (getenv("JOURNAL_STREAM")) {
		n = strlen(prefix);
		memcpy(line, prefix, n);
	}
	va_start(ap, fmt);
	r = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	if (r < 0)
		return;
	n += (size_t)r < sizeof(line) - n - 1 ? (size_t)r : sizeof(line) - n - 2;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[n++] = '\n';
	/*
	 * One write, so that lines of several threads do not mix; nobody is left to tell of a
	 * failure.
	 */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
