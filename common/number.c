/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*text || text[strspn(text, DIGITS)])
		return -EINVAL;
	for (; *text; text++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
			return -EINVAL;
	if (v < min || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* The length of "10" or "0.25" at the beginning; 0: there is none. */
static size_t decimal_length(const char *text)
{
	size_t whole = strspn(text, DIGITS), fraction;

	if (!whole || text[whole] != '.')
		return whole;
	fraction = strspn(text + whole + 1, DIGITS);
	return fraction ? whole + 1 + fraction : 0;
}

int number_parse_decimal(const char *text, double *ret)
{
	size_t n = decimal_length(text);

	if (!n || text[n])
		return -EINVAL;
	*ret = strtod(text, NULL);
	return 0;
}

int number_parse_scaled(const char *text, unsigned step, uint64_t max, uint64_t *ret)
{
	static const char units[] = "kmgt";
	size_t n = decimal_length(text);
	const char *unit = n && text[n] ? strchr(units, text[n] | 0x20) : NULL;
	double v = n ? strtod(text, NULL) : 0;

	if (n && !text[n])
		return number_parse(text, 0, max, ret);
	if (!unit || !*unit || text[n + 1])
		return -EINVAL;
	for (const char *u = units; u <= unit; u++)
		v *= step;
	if (v >= 0x1p63 || (uint64_t)v > max)
		return -EINVAL;
	*ret = (uint64_t)v;
	return 0;
}
