/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The path of file:PATH: its directory, opened once, and the name in it. Blocking; any thread.
 */
#include <sys/types.h>

#include "common/dial.h"
#include "common/err.h"

struct filepath {
	char path[URI_MAX]; /* for people */
	const char *base;   /* inside path */
	int dir;            /* -1: closed */
};

/* Is this a path that a guest can be saved in or loaded from? Does not block. 0 or -EINVAL. */
int filepath_check(const char *path, struct err *err);
/* Open its directory. 0, or -errno with the sentence; p can be closed in any case. */
int filepath_open(struct filepath *p, const char *path, struct err *err);
void filepath_close(struct filepath *p); /* also when it is closed already */
/* "a directory", "a FIFO", ...: of st_mode, for sentences. */
const char *filepath_kind(mode_t mode);
