/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A migration to file:PATH: what the source does with the file where another one has a connection.
 * The file is written by the sender's thread while passes run, and by a thread of its own before
 * and after; the loop waits for none of it. Loop thread only.
 *
 *	CONNECT      the file is made, HEADER and OPEN written
 *	STATE        STATE and END
 *	END          TRAILER; all of it is on the disk, under a temporary name, and judged as a load
 *	             judges it: read once more, mostly from the page cache
 *	COMMITTING   the VMM notes a cookie with file:PATH
 *	COMMIT       the rename: from here on PATH decides, as a destination's VMM does elsewhere
 *	ASKING       a later daemon, or this one, looks what is at PATH
 */
#include "daemon/session/migration.h"

struct save;

/* May this VM be saved at uri (parsed from file:PATH)? 0 or -EINVAL with the sentence. */
int save_check(const struct vm *vm, const struct uri *uri, struct err *err);
/* MIG_CONNECT. */
void save_begin(struct migration *m);
/* MIG_STATE: m->state_fd and m->state_size are there. */
void save_state(struct migration *m);
/* MIG_COMMIT: the VMM has noted COMMITTING, or is dead. */
void save_commit(struct migration *m);
/* MIG_ASKING: what became of the file? */
void save_ask(struct migration *m);
/* MIG_STOPPING: m waits until the file is gone; again when something that used it has ended. */
void save_put_back(struct migration *m);
/* Where the sender writes. */
struct flow_io save_io(const struct migration *m);
/* Why a write failed; code 0: none did. */
const struct err *save_error(const struct migration *m);
/* Does a thread work on it? */
bool save_busy(const struct save *s);
/* A thread that still runs is left to itself. Takes NULL, returns NULL. */
struct save *save_free(struct save *s);
