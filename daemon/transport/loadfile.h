/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A saved guest (proto/file.h) that is loaded: read twice through one descriptor. The first reading
 * judges every frame, every record and the digest, before any VMM hears of it; the second one
 * brings the table, and its digest has to be the first one's, or the file was changed in between.
 *
 * Blocking; any thread, one at a time.
 */
#include <stdint.h>

#include "common/err.h"
#include "daemon/transport/filepath.h"
#include "daemon/flow/flow.h"
#include "proto/file.h"

struct loadfile;

/*
 * Open and judge it. 0, or the sentence with -EBADMSG: it is no saved guest, not whole, or damaged;
 * -EOPNOTSUPP: this daemon is too old for it; -EINVAL: no regular file or no absolute path; or any
 * other -errno: it could not be read, and so nothing is known.
 */
int loadfile_open(const char *path, struct loadfile **ret, struct err *err);
/* As HEADER, OPEN and END say. */
const struct file_check *loadfile_about(const struct loadfile *f);
/*
 * A data channel with the passes: CHUNK and PASS_END frames, then its orderly end. The second
 * reading; once.
 */
struct flow_io loadfile_io(struct loadfile *f);
/*
 * The second reading's rest, after all passes were read: *ret_fd is a memfd with the machine state,
 * the caller's, or -errno with the sentence: what was read was not what was judged.
 */
int loadfile_state(struct loadfile *f, int *ret_fd, struct err *err);
struct loadfile *loadfile_free(struct loadfile *f); /* takes NULL, returns NULL */

/*
 * Is there a whole file of this session at path, safe on its disk (its directory's entry as well)?
 * 1: yes; 0: no, another one, a damaged one or none, in the directory that it should be in; -errno
 * with the sentence: cannot be told. So it is with a file that this daemon is too old for.
 */
int loadfile_is(const char *path, const struct session_id *session, const struct dir_place *place,
	struct err *err);
