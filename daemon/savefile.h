/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The file that a guest is saved in (proto/file.h), while it is written: a temporary one without a
 * name, then under a name of its own beside PATH, and by one rename PATH itself, whole or not at
 * all. What stood at PATH before stays until then. PATH is never anything but a regular file.
 *
 * Blocking; any thread, one at a time.
 */
#include <stdint.h>

#include "common/err.h"
#include "daemon/flow.h"
#include "proto/ident.h"

struct savefile;

/*
 * Begin a file that is to become `path` (absolute). 0, or -errno with the sentence: its directory
 * is missing or not ours to write, what is there is no regular file.
 */
int savefile_create(
	const char *path, const struct session_id *session, struct savefile **ret, struct err *err);
/* The next bytes. 0, or -errno with the sentence. */
int savefile_write(struct savefile *f, const void *buf, size_t len, struct err *err);
/* The end record; all of it is on the disk when this returns 0, under its temporary name. */
int savefile_finish(struct savefile *f, struct err *err);
/*
 * After that: what is there, read back and judged as whoever loads it will. 0; or -errno with the
 * sentence: nobody could load it, or it cannot be read now.
 */
int savefile_judge(const struct savefile *f, const struct session_id *session, struct err *err);
/*
 * Let it be PATH. 0: it is, and stays so over a crash of the host. -errno with the sentence: it is
 * not, nor will it ever be.
 */
int savefile_publish(struct savefile *f, struct err *err);
/* Undo what is there, unless it was published; f is still to be freed, which does not block. */
void savefile_abandon(struct savefile *f);
/*
 * Leave what is there under its temporary name, for a person: that, as long as f is; NULL: it has
 * none and goes.
 */
const char *savefile_leave(struct savefile *f);
struct savefile *savefile_free(struct savefile *f); /* takes NULL, returns NULL */

/* The failure of the last write through savefile_io(), code 0 for none. */
const struct err *savefile_error(const struct savefile *f);
/* A data channel that ends in the file. */
struct flow_io savefile_io(struct savefile *f);

/*
 * A daemon that wrote it is gone, and its guest goes on: remove what it may have left under the
 * temporary name. Errors are nobody's business.
 */
void savefile_sweep(const char *path, const struct session_id *session);
