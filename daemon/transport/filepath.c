/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/transport/filepath.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "common/fd.h"

int filepath_check(const char *path, struct err *err)
{
	const char *base = strrchr(path, '/');

	if (path[0] != '/')
		return err_set(err, -EINVAL,
			"'%s' is no absolute path: the daemon has a working directory of its own",
			path);
	base++;
	if (!base[0] || !strcmp(base, ".") || !strcmp(base, ".."))
		return err_set(err, -EINVAL, "'%s' names a directory, not a file", path);
	if (strlen(path) >= URI_MAX)
		return err_set(
			err, -EINVAL, "'%.40s...' is longer than %d characters", path, URI_MAX - 1);
	return 0;
}

int filepath_open(struct filepath *p, const char *path, struct err *err)
{
	char dir[URI_MAX];
	int r;

	p->dir = -1;
	r = filepath_check(path, err);
	if (r < 0)
		return r;
	snprintf(p->path, sizeof(p->path), "%s", path);
	p->base = strrchr(p->path, '/') + 1;
	snprintf(dir, sizeof(dir), "%.*s", (int)(p->base - p->path), p->path);
	p->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return err_set(
			err, -errno, "cannot open the directory of %s: %s", path, strerror(errno));
	return 0;
}

int filepath_place(const struct filepath *p, struct dir_place *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(p->dir, &fs) < 0 || fstat(p->dir, &st) < 0)
		return -errno;
	*ret = (struct dir_place){.dev = st.st_dev, .ino = st.st_ino};
	static_assert(sizeof(fs.f_fsid) == sizeof(ret->fsid), "two ints");
	memcpy(&ret->fsid, &fs.f_fsid, sizeof(ret->fsid));
	return 0;
}

int filepath_is_at(const struct filepath *p, const struct dir_place *place, struct err *err)
{
	struct dir_place now;
	int r = filepath_place(p, &now);

	if (r < 0)
		return err_set(
			err, r, "cannot look at the directory of %s: %s", p->path, strerror(-r));
	if (now.fsid != place->fsid || now.dev != place->dev || now.ino != place->ino)
		return err_set(err, -ESTALE,
			"the directory of %s is not the one in which the guest was saved: mount its "
			"file system",
			p->path);
	return 0;
}

void filepath_close(struct filepath *p)
{
	p->dir = fd_close(p->dir);
}

const char *filepath_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "a regular file";
	case S_IFDIR: return "a directory";
	case S_IFLNK: return "a symbolic link";
	case S_IFIFO: return "a FIFO";
	case S_IFSOCK: return "a socket";
	case S_IFBLK:
	case S_IFCHR: return "a device";
	default: return "no regular file";
	}
}
