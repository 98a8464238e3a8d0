/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/unixsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(struct sockaddr_un *ret, const char *path, struct err *err)
{
	size_t len = strlen(path);

	if (!len || len >= sizeof(ret->sun_path))
		return err_set(err, -ENAMETOOLONG,
			"the socket path '%s' has %zu characters: 1 to %zu are possible", path, len,
			sizeof(ret->sun_path) - 1);
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, path, len + 1);
	return 0;
}

/* Make room for a socket file: nothing there, or a socket that nobody listens on. */
static int remove_stale(const struct sockaddr_un *sa, int type, struct err *err)
{
	struct stat st;
	int fd, r;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "cannot listen at %s: %s",
						 sa->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST,
			"cannot listen at %s: it exists and is not a socket: remove it or choose another path",
			sa->sun_path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	close(fd);
	/* A full backlog (EAGAIN) and another kind of socket (EPROTOTYPE) are alive, too. */
	if (r != -ECONNREFUSED && r != -ENOENT)
		return err_set(err, -EADDRINUSE,
			"cannot listen at %s: another process does: stop it or choose another path",
			sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot remove the stale socket %s: %s", sa->sun_path,
			strerror(errno));
	return 0;
}

int unixsock_listen(
	struct unixsock *ret, const char *path, int type, unsigned mode, struct err *err)
{
	struct unixsock u = {.fd = -1};
	struct sockaddr_un sa;
	struct stat st;
	int r;

	r = address(&sa, path, err);
	if (r < 0)
		return r;
	memcpy(u.path, path, strlen(path) + 1);
	r = remove_stale(&sa, type, err);
	if (r < 0)
		return r;
	u.fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u.fd < 0)
		return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	/* bind() takes the file's mode from the socket's and the umask can only take away from it,
	 * so the file is never open to more people than mode says. */
	if (fchmod(u.fd, mode) < 0 || bind(u.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		r = err_set(err, -errno, "cannot listen at %s: %s", u.path, strerror(errno));
		close(u.fd);
		return r;
	}
	if (chmod(path, mode) < 0 || lstat(path, &st) < 0 || listen(u.fd, SOMAXCONN) < 0) {
		r = err_set(err, -errno, "cannot listen at %s: %s", u.path, strerror(errno));
		unlink(path);
		close(u.fd);
		return r;
	}
	u.dev = st.st_dev;
	u.ino = st.st_ino;
	*ret = u;
	return 0;
}

void unixsock_close(struct unixsock *u)
{
	struct stat st;

	if (u->fd < 0)
		return;
	if (lstat(u->path, &st) == 0 && st.st_dev == u->dev && st.st_ino == u->ino)
		unlink(u->path);
	close(u->fd);
	u->fd = -1;
}
