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
#include "daemon/transport/filepath.h"
#include "daemon/flow/flow.h"
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
 * Let it be PATH. 1: it is, and stays so over a crash of the host. 0 with the sentence: it is not,
 * nor will it ever be. -errno with the sentence: that cannot be told, see loadfile_is(). last: its
 * guest has ended, so what there is of it is not touched; then 0 says no more than "not now".
 */
int savefile_publish(struct savefile *f, bool last, struct err *err);
/* Where its directory is. */
const struct dir_place *savefile_place(const struct savefile *f);
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
 * Its guest is to go on: what was left under the temporary name goes, so that no rename which is
 * still on its way can find it. 0: nothing has that name there any more; or -errno.
 */
int savefile_sweep(const char *path, const struct session_id *session,
	const struct dir_place *place, struct err *err);
