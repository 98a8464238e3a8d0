/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Descriptors that strangers sent. What is behind one is theirs: close() of a file asks its file
 * system, which may be a process of theirs that does not answer (FUSE), and then waits in the
 * kernel, past SIGKILL; of a socket it may linger, and so may one that waits, unread, in a socket
 * of the AF_UNIX family. So a thread that must not wait closes none of them itself unless it knows
 * what it is.
 */

/*
 * Close fd unless it is -1. A memfd, a pipe and a KVM htab fd are closed when this returns;
 * anything else by a thread. Up to 8 threads close, and 256 descriptors
 * wait for one; more than that stay open. Returns -1: `fd = foreign_close(fd)`. errno stays as it
 * was. Any thread.
 */
int foreign_close(int fd);
/* The same of a connection of ours with a stranger, who sees its end at once. */
int foreign_hang_up(int sock);

/* Called, by whoever closes, for a descriptor that stays open. Before any thread starts. */
void foreign_set_warn(void (*warn)(void));
