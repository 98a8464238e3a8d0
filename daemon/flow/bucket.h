/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A token bucket: a frame is sent whole, once all of it is paid for. So the rate holds as an
 * average from the beginning to any frame's end, however large a part of a second a frame is. Pure
 * arithmetic; time comes from the caller, and may be a little less than it was: that counts once.
 */
#include <stdint.h>

struct bucket {
	uint64_t rate;  /* bytes/s; 0: no limit */
	int64_t tokens; /* bytes that may be sent */
	uint64_t last;  /* ns */
};

/* A change of rate counts from now on. */
void bucket_set_rate(struct bucket *b, uint64_t rate, uint64_t now);
/* May so many bytes be sent? 0: yes, they are taken. Otherwise ns to wait before asking again. */
uint64_t bucket_take(struct bucket *b, uint64_t bytes, uint64_t now);
