/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Connections that arrived: HELLO and WELCOME, then to whom the first message says. Loop thread
 * only.
 */
#include "daemon/server.h"

#define ACCEPTED_MAX 128 /* connections that have not said yet what they are for */

/* As listener_start()'s callback: stream becomes the callee's; arg is the struct server. */
void accept_stream(void *arg, struct stream *stream, const struct err *err);
/*
 * A connected socket that was given to the daemon is one that arrived: handshake, then as
 * accept_stream(). fd becomes the callee's. 0, or -errno with a sentence.
 */
int accept_fd(struct server *srv, int fd, struct tls_creds *creds, struct err *err);
/* Close every connection that is not anybody's yet. */
void accept_close_all(struct server *srv);
