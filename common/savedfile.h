/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Read a saved guest (proto/file.h) frame by frame and judge it on the way: frames and their order,
 * records, END's counts and digests, length, SHA-256. Blocking; any thread, one at a time.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "proto/file.h"

struct savedfile;

/*
 * Begin at byte 0 of fd, a regular file that stays the caller's; path is for sentences. 0 and *ret,
 * or -ENOMEM, -EIO with the sentence.
 */
int savedfile_new(int fd, const char *path, struct savedfile **ret, struct err *err);
/*
 * The next frame: 1, and savedfile_check()->type tells which; 0: that was all, and it is whole; or
 * the sentence with -EBADMSG: it is not, from savedfile_check()->wrong_at on; -EOPNOTSUPP: this
 * program is too old for it; any other -errno: it could not be read, and so nothing is known.
 */
int savedfile_next(struct savedfile *f, struct err *err);
const struct file_check *savedfile_check(const struct savedfile *f);
/* After a CHUNK its records, check->chunk.plain bytes; after a STATE its part of the image,
 * check->body bytes. Valid until the next call. */
const uint8_t *savedfile_bytes(const struct savedfile *f);
struct savedfile *savedfile_free(struct savedfile *f); /* takes NULL, returns NULL */

/*
 * Read all of it: is it one that can be loaded? 0, and *ret says what is in it, or as
 * savedfile_next(); *ret is then as far as it came.
 */
int savedfile_judge(int fd, const char *path, struct file_check *ret, struct err *err);

/* Up to len bytes at `at`: as many as there are, or -errno (never -EBADMSG, -EOPNOTSUPP, -EINVAL or
 * -ENOENT: -EIO for those) with the sentence. */
ssize_t savedfile_pread(
	int fd, const char *path, void *buf, size_t len, uint64_t at, struct err *err);
