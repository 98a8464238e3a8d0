/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX_MS 604800000 /* a week */

static const char *const names[LIMITS_N] = {
#define LIMIT_NAME(id, name, ms) name,
	LIMITS(LIMIT_NAME)
#undef LIMIT_NAME
};

static int values[LIMITS_N] = {
#define LIMIT_VALUE(id, name, ms) ms,
	LIMITS(LIMIT_VALUE)
#undef LIMIT_VALUE
};

int limit_ms(enum limit limit)
{
	return values[limit];
}

int limit_s(enum limit limit)
{
	return values[limit] / 1000;
}

struct timeval limit_tv(enum limit limit)
{
	int ms = values[limit];

	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

int limit_backoff_ms(unsigned attempts)
{
	int64_t ms = (int64_t)values[LIMIT_REDIAL] << (attempts < 5 ? attempts : 5);

	if (attempts == 0)
		return 0;
	return ms < values[LIMIT_REDIAL_MAX] ? (int)ms : values[LIMIT_REDIAL_MAX];
}

static int find(const char *name, size_t len)
{
	for (int i = 0; i < LIMITS_N; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], name, len))
			return i;
	return -1;
}

int limits_set(const char *text, struct err *err)
{
	int next[LIMITS_N];

	memcpy(next, values, sizeof(next));
	for (const char *p = text ? text : ""; *p;) {
		size_t n = strcspn(p, ","), name = strcspn(p, "=,");
		int i = find(p, name);
		char *end = NULL;
		long ms = 0;

		if (i < 0)
			return err_set(err, -EINVAL,
				"HTAB_MIGRATED_LIMITS: there is no limit '%.*s'", (int)name, p);
		errno = 0;
		if (p[name] == '=' && p[name + 1] >= '0' && p[name + 1] <= '9')
			ms = strtol(p + name + 1, &end, 10);
		if (end != p + n || errno || ms < 1 || ms > LIMIT_MAX_MS)
			return err_set(err, -EINVAL,
				"HTAB_MIGRATED_LIMITS: '%.*s' is not NAME=MILLISECONDS, 1 to %d",
				(int)n, p, LIMIT_MAX_MS);
		next[i] = (int)ms;
		p += n + (p[n] == ',');
	}
	memcpy(values, next, sizeof(values));
	return 0;
}
