/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * migrate-incoming from file:PATH. The whole file is judged before the VMM hears of it; then its
 * passes go through the usual receiver and writer, and the digest of this second reading is
 * compared before the machine state is set. There is no source: a guest that is READY is RUN.
 * Loop thread only.
 *
 *	IN_PREPARE   the file is judged; LOADING, an empty table, an fd to write it
 *	IN_ACTIVE    its passes
 *	IN_FINISH    END's counts and digests, the rest of the file and its digest
 *	IN_STATE, IN_NOTE, IN_READY, IN_RUN, IN_RUNNING as with a source that always says COMMIT
 */
#include "daemon/session/migration.h"

struct load;

/* Begin to load uri (parsed from file:PATH, `text`) into vm. 0, or -errno and nothing changed. */
int load_start(struct server *srv, struct vm *vm, const char *text, const struct uri *uri,
	struct err *err);
/* The VMM's table can be written. */
void load_passes(struct migration *m);
/* IN_FINISH: the table is as END says; the machine state is next. */
void load_state(struct migration *m);
/* Has the VMM been told of it? */
bool load_told(const struct migration *m);
/* IN_STOPPING: does a thread work on it, so that m has to wait for dest_stopped_one()? */
bool load_busy(const struct load *l);
/* Where the receiver reads. */
struct flow_io load_io(const struct migration *m);
struct load *load_free(struct load *l); /* takes NULL, returns NULL; a thread is left to itself */
