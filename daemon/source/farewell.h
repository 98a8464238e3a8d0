/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The source's last word about a session that it gave up before COMMITTING: ABORT, said until the
 * destination is known to have heard it. On the session's own connection when there is one; else,
 * and when that one ends without an answer, on new ones (RESUME, ABORT). Without it a destination
 * that lost SWITCHOVER, or a cancel, with its connection would keep its VM for `recover-timeout`.
 * Loop thread only; the migration is not needed any more.
 */
#include "daemon/session/migration.h"

struct farewell;

/* peer: the session's control connection, or NULL; it becomes the farewell's. text is copied. */
void farewell_say(struct migration *m, struct peer *peer, enum wire_refusal code, const char *text);
/* The loop has ended. */
void farewell_end_all(struct server *srv);
