/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What our own VMMs are told by a person or a test: lines from a FIFO.
 *
 *	reset            the guest's page table becomes empty, of the same size
 *	reset ORDER      and of 2^ORDER bytes
 *	resize ORDER     it gets that size and keeps its bolted entries
 *
 * Main thread. Errors are a sentence on stderr.
 */
#include <stdbool.h>
#include <stddef.h>

#define MONITOR_LINE_MAX 64u

struct monitor {
	int fd; /* to poll for POLLIN; -1: none */
	char line[MONITOR_LINE_MAX];
	size_t len;
	bool long_line; /* the rest of it is passed over */
};

enum wish_kind {
	WISH_NONE = 0,
	WISH_RESET,
	WISH_RESIZE,
};

struct wish {
	enum wish_kind kind;
	unsigned order; /* 0: as it is */
};

/* path: a FIFO, made when it is not there. 0 or a negative errno, after a sentence. */
int monitor_open(struct monitor *m, const char *path);
/* The next line's wish; false when there is none. A line that is none is told on stderr. */
bool monitor_next(struct monitor *m, struct wish *ret);
void monitor_close(struct monitor *m);
