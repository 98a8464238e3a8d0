/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/foreign.h"

#define SEALS        (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define FDS_MAX      253 /* SCM_MAX_FD: as many as one packet can carry */
#define KVM_HTAB     "anon_inode:kvm-htab"
#define PROC_FD_SIZE 64

int fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

int fd_open_standard(void)
{
	int closed = 0;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", O_RDWR) != fd) /* the lowest that is free */
			return -EBADF;
		closed |= 1 << fd;
	}
	return closed;
}

int fd_accept(int sock, struct sockaddr *sa, socklen_t *len)
{
	int fd = accept4(sock, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EINVAL: /* it listens no more: whoever gave it shut it down */ return -errno;
	default: return -EAGAIN; /* among them what became of the connection itself */
	}
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EMEDIUMTYPE;
	if (r < 0)
		fd_close(fd);
	return r < 0 ? r : fd;
}

ssize_t fd_send(int sock, const void *buf, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int fd_send_packet(int sock, const void *buf, size_t len, int fd)
{
	ssize_t n = fd_send(sock, buf, len, fd);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* The first descriptor of a received packet, or -1; the others are closed. */
static int take_fds(struct msghdr *msg)
{
	struct cmsghdr *c;
	int first = -1;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				foreign_close(fd);
		}
	}
	return first;
}

ssize_t fd_recv_packet(int sock, void *buf, size_t cap, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = cap};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;
	int fd;

	if (ret_fd)
		*ret_fd = -1;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fd = take_fds(&msg);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		foreign_close(fd);
		return -EMSGSIZE;
	}
	if (ret_fd)
		*ret_fd = fd;
	else
		foreign_close(fd);
	return n;
}

int fd_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int fd_memfd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int fd_memfd_check(int fd, size_t max, size_t *ret_size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 1 || (uint64_t)st.st_size > max)
		return -EFBIG;
	*ret_size = (size_t)st.st_size;
	return 0;
}

bool fd_is_kvm_htab(int fd)
{
	char path[PROC_FD_SIZE], target[sizeof(KVM_HTAB) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	return n == (ssize_t)strlen(KVM_HTAB) && memcmp(target, KVM_HTAB, (size_t)n) == 0;
}

int fd_pidfd(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

pid_t fd_pidfd_pid(int fd)
{
	char path[PROC_FD_SIZE], line[128];
	pid_t pid = -EINVAL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return -EINVAL;
	while (fgets(line, sizeof(line), f)) {
		long v;

		if (sscanf(line, "Pid:\t%ld", &v) == 1)
			pid = v > 0 ? (pid_t)v : 0;
	}
	fclose(f);
	return pid;
}

int fd_stream_socket(int fd, bool *ret_listens)
{
	struct sockaddr_storage sa;
	socklen_t salen = sizeof(sa), len = sizeof(int);
	int type, listens;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return -ENOTSOCK;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
		return -errno;
	if (!listens && getpeername(fd, (struct sockaddr *)&sa, &salen) < 0)
		return -ENOTCONN;
	*ret_listens = listens;
	return 0;
}
