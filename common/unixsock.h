/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Listening UNIX sockets with a file: made with the right mode from the first moment, a stale file
 * replaced, removed when they end. Any thread; the umask is neither read nor changed.
 */
#include <sys/types.h>

#include "common/err.h"

struct unixsock {
	int fd; /* listening, non-blocking, close-on-exec */
	dev_t dev;
	ino_t ino;
	char path[108];
};

/*
 * type: SOCK_STREAM or SOCK_SEQPACKET. A socket file that nobody serves is replaced; -EADDRINUSE
 * when somebody does, -EEXIST when the file is something else. The directory has to exist.
 */
int unixsock_listen(
	struct unixsock *ret, const char *path, int type, unsigned mode, struct err *err);
/* Close it and remove the file, unless another has taken its place. */
void unixsock_close(struct unixsock *u);
