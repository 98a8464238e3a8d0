/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * No SIGPIPE from what cannot be told MSG_NOSIGNAL: OpenSSL's own writes, and close() of a socket
 * whose kTLS has something left to send. Any thread, for itself; nothing else need be ignored or
 * caught.
 */
#include <signal.h>
#include <stdbool.h>

struct sigpipe {
	sigset_t old;
	bool pending; /* one was there before us: it stays */
};

void sigpipe_block(struct sigpipe *s);
/* Takes back what came meanwhile. errno stays. */
void sigpipe_unblock(const struct sigpipe *s);
