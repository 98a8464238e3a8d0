/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Where a source may come in: addresses that an operator names, and sockets that a client of the
 * control socket gave by getfd. Loop thread only.
 */
#include "daemon/server.h"

/*
 * Let connections for vm in at uri: tcp: (by number: a name would be resolved on the loop, which
 * must not wait), unix:, or fd:NAME, a socket that listens or one that is connected. 0, or -errno
 * with the sentence.
 */
int incoming_listen(struct server *srv, struct vm *vm, const char *uri, struct err *err);
/* Does anything here listen for vm? */
bool incoming_listens(const struct server *srv, const struct vm *vm);
/*
 * The stream socket that getfd named for fd:NAME: the fd, now the caller's, or -errno with the
 * sentence; what is no such socket is closed.
 */
int incoming_take_socket(
	struct server *srv, const struct uri *uri, bool *ret_listens, struct err *err);
