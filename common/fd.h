/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * File descriptors: packets that carry one, sealed memory, and what kind one is.
 *
 * Everything made here is close-on-exec. Results are 0 or a negative errno unless stated otherwise;
 * fds are -1 for none. Any thread. libc alone.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Close fd unless it is -1. Returns -1: `fd = fd_close(fd)`. errno stays as it was. */
int fd_close(int fd);

/*
 * Open those of fds 0 to 2 that are closed, on /dev/null: or else the next file or socket becomes
 * standard error, and what is said there goes into it. Before anything else is opened. Bit n is set
 * when n was closed; or a negative errno.
 */
int fd_open_standard(void);

/*
 * accept4() a connection, non-blocking and close-on-exec; sa and len as there. -EAGAIN: there is
 * none (any more). Another negative errno is the socket's or the process's own, and trying again at
 * once would fail again: wait a while.
 */
int fd_accept(int sock, struct sockaddr *sa, socklen_t *len);

int fd_set_nonblock(int fd);

/*
 * Open a file for reading that somebody named. What is no regular file (a FIFO, a device) is
 * refused, and is not waited for: -EMEDIUMTYPE, or -EISDIR. The fd, or a negative errno.
 */
int fd_open_regular(const char *path);

/*
 * Send what goes at once, at least one byte, and the descriptor `fd` along with it unless that is
 * -1; fd stays the caller's. How many bytes went, or a negative errno, and no SIGPIPE.
 */
ssize_t fd_send(int sock, const void *buf, size_t len, int fd);

/*
 * Send one packet on a SOCK_SEQPACKET socket, with the descriptor `fd` unless that is -1. It goes
 * whole or not at all; fd stays the caller's. -EAGAIN: the socket is full; -EPIPE, -ECONNRESET:
 * the peer is gone (no SIGPIPE); -EMSGSIZE: too long for the socket.
 */
int fd_send_packet(int sock, const void *buf, size_t len, int fd);

/*
 * Receive one packet. Its length, 0 at the end of the connection, or a negative errno: -EAGAIN;
 * -EMSGSIZE when it is longer than cap or its descriptors did not fit; -ECONNRESET when the peer
 * closed with packets of ours unread: packets of its own may still be queued, receive on.
 * ret_fd may be NULL; *ret_fd becomes the first descriptor that came along, or -1, and the
 * caller's; others are closed. It is -1 after an error.
 */
ssize_t fd_recv_packet(int sock, void *buf, size_t cap, int *ret_fd);

/* A memfd that can be sealed; name is for /proc only. The fd, or a negative errno. */
int fd_memfd(const char *name);

/* Seal a memfd against every change. No writable mapping of it may be left (-EBUSY). */
int fd_memfd_seal(int fd);

/*
 * Is fd a memfd sealed against every change, of 1 to max bytes? 0 and *ret_size; -EINVAL when it is
 * no memfd or not sealed, -EFBIG when it is empty or larger.
 */
int fd_memfd_check(int fd, size_t max, size_t *ret_size);

/* Is fd what KVM_PPC_GET_HTAB_FD gives? A file that only looks like a table is not. */
bool fd_is_kvm_htab(int fd);

/*
 * Is fd a stream socket that listens (*ret_listens) or is connected? 0, -ENOTSOCK when it is no
 * stream socket, -ENOTCONN when it is neither.
 */
int fd_stream_socket(int fd, bool *ret_listens);

/* A pidfd for a process, or a negative errno. */
int fd_pidfd(pid_t pid);

/* The process that a pidfd stands for; 0 when it has been reaped; -EINVAL when fd is no pidfd. */
pid_t fd_pidfd_pid(int fd);
