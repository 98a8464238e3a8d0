/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The path of file:PATH: its directory, opened once, and the name in it. Blocking; any thread.
 */
#include <stdint.h>
#include <sys/types.h>

#include "common/dial.h"
#include "common/err.h"

struct filepath {
	char path[URI_MAX]; /* for people */
	const char *base;   /* inside path */
	int dir;            /* -1: closed */
};

/*
 * Which directory of which file system. What stands at a directory's path later may be another one:
 * the mount point of a file system that is away.
 */
struct dir_place {
	uint64_t fsid, dev, ino;
};

/* Is this a path that a guest can be saved in or loaded from? Does not block. 0 or -EINVAL. */
int filepath_check(const char *path, struct err *err);
/* Open its directory. 0, or -errno with the sentence; p can be closed in any case. */
int filepath_open(struct filepath *p, const char *path, struct err *err);
/* Which directory is it? 0 or -errno. */
int filepath_place(const struct filepath *p, struct dir_place *ret);
/* Is it that one? 0, or -errno with the sentence: -ESTALE: it is another one. */
int filepath_is_at(const struct filepath *p, const struct dir_place *place, struct err *err);
void filepath_close(struct filepath *p); /* also when it is closed already */
/* "a directory", "a FIFO", ...: of st_mode, for sentences. */
const char *filepath_kind(mode_t mode);
