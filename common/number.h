/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Numbers as people write them in options and commands: decimal digits and nothing before or behind
 * them; no sign, space, exponent or 0x. 0 and *ret, or -EINVAL, also for what is out of range. Any
 * thread. libc alone.
 */
#include <stdint.h>

/* "18", not "18.9". */
int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* "10", "0.25". */
int number_parse_decimal(const char *text, double *ret);
/* "10", "2G", "1.5k": K, M, G and T are powers of `step`; a fraction is one of a unit. */
int number_parse_scaled(const char *text, unsigned step, uint64_t max, uint64_t *ret);
