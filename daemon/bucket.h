/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A token bucket that may go into debt: a frame is sent whole once nothing is owed, and what it
 * cost is owed afterwards. Pure arithmetic; time comes from the caller.
 */
#include <stdint.h>

struct bucket {
	uint64_t rate;  /* bytes/s; 0: no limit */
	int64_t tokens; /* bytes that may be sent; negative: owed */
	uint64_t last;  /* ns */
};

/* A change of rate counts from now on; what is owed stays owed, and is paid at the new rate. */
void bucket_set_rate(struct bucket *b, uint64_t rate, uint64_t now);
/* 0: send. Otherwise the ns to wait. */
uint64_t bucket_delay(struct bucket *b, uint64_t now);
void bucket_take(struct bucket *b, uint64_t bytes);
