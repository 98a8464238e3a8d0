/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/transport/savefile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/savedfile.h"
#include "daemon/transport/filepath.h"
#include "proto/file.h"

#define MODE        0600
#define FLUSH_BYTES (16u << 20) /* written back at once: little is left when the guest stands */

struct savefile {
	struct filepath path;
	struct dir_place place;
	char temp[NAME_MAX + 1];
	bool named; /* it has that name in the directory */
	bool left;  /* and keeps it */
	int fd;
	uint64_t len, flushed;
	EVP_MD_CTX *sha;
	struct err err; /* of the last write */
};

static int temp_name(const char *base, const struct session_id *session, char buf[NAME_MAX + 1])
{
	char id[SESSION_TEXT_SIZE];
	int n;

	session_format(session, id);
	n = snprintf(buf, NAME_MAX + 1, ".%s.%s.part", base, id);
	return n > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Nothing but a regular file, or nothing at all, may be there. */
static int check_target(const struct filepath *p, struct err *err)
{
	struct stat st;

	if (fstatat(p->dir, p->base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set(err, -errno, "cannot look at %s: %s", p->path, strerror(errno));
	}
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EEXIST,
			"%s is %s: a guest is saved in a regular file and in nothing else", p->path,
			filepath_kind(st.st_mode));
	return 0;
}

/* Without a name where the file system can do that: a killed daemon leaves nothing. */
static int open_temp(struct savefile *f, struct err *err)
{
	f->fd = openat(f->path.dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, MODE);
	if (f->fd >= 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT) {
		f->fd = openat(f->path.dir, f->temp,
			O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, MODE);
		f->named = f->fd >= 0;
	}
	if (f->fd < 0)
		return err_set(err, -errno, "cannot make a file in the directory of %s: %s",
			f->path.path, strerror(errno));
	return 0;
}

int savefile_create(
	const char *path, const struct session_id *session, struct savefile **ret, struct err *err)
{
	struct savefile *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "out of memory");
	f->fd = -1;
	r = filepath_open(&f->path, path, err);
	if (r == 0 && (r = filepath_place(&f->path, &f->place)) < 0)
		err_set(err, r, "cannot look at the directory of %s: %s", path, strerror(-r));
	if (r == 0)
		r = check_target(&f->path, err);
	if (r == 0 && temp_name(f->path.base, session, f->temp) < 0)
		r = err_set(err, -ENAMETOOLONG,
			"the name of %s is too long: %d characters are the most", path,
			NAME_MAX - (int)strlen("..part.") - SESSION_TEXT_SIZE + 1);
	if (r == 0)
		r = open_temp(f, err);
	if (r == 0) {
		f->sha = EVP_MD_CTX_new();
		if (!f->sha || EVP_DigestInit_ex(f->sha, EVP_sha256(), NULL) != 1)
			r = err_set(err, -EIO, "there is no SHA-256 for %s", path);
	}
	if (r < 0) {
		savefile_abandon(f);
		savefile_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

static int failed(struct savefile *f, int code, const char *what, struct err *err)
{
	const char *remedy = code == -ENOSPC || code == -EDQUOT ? ": make room, or save elsewhere"
		: code == -EFBIG ? ": larger files are not allowed there"
				 : "";

	return err_set(err, code, "cannot %s %s after %llu bytes: %s%s", what, f->path.path,
		(unsigned long long)f->len, strerror(-code), remedy);
}

static int write_all(struct savefile *f, const void *buf, size_t len, struct err *err)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = write(f->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return failed(f, n < 0 ? -errno : -EIO, "write", err);
		p += n;
		len -= (size_t)n;
		f->len += (uint64_t)n;
	}
	if (f->len - f->flushed >= FLUSH_BYTES) {
		/* a hint alone: fsync() tells whether it worked */
		(void)sync_file_range(f->fd, (off_t)f->flushed, (off_t)(f->len - f->flushed),
			SYNC_FILE_RANGE_WRITE);
		f->flushed = f->len;
	}
	return 0;
}

int savefile_write(struct savefile *f, const void *buf, size_t len, struct err *err)
{
	if (EVP_DigestUpdate(f->sha, buf, len) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path.path);
	return write_all(f, buf, len, err);
}

static int write_trailer(struct savefile *f, struct err *err)
{
	struct file_trailer t = {.length = f->len + FILE_TRAILER_SIZE};
	size_t before = FILE_TRAILER_SIZE - FILE_SHA256_SIZE;
	uint8_t buf[FILE_TRAILER_SIZE];
	int n = file_pack_trailer(&t, buf, sizeof(buf));

	assert(n == (int)FILE_TRAILER_SIZE);
	if (EVP_DigestUpdate(f->sha, buf, before) != 1 ||
		EVP_DigestFinal_ex(f->sha, buf + before, NULL) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path.path);
	return write_all(f, buf, sizeof(buf), err);
}

/* Its temporary name; only a rename is left for the moment when nothing should fail any more. */
static int name_it(struct savefile *f, struct err *err)
{
	char proc[64];

	if (f->named)
		return 0;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", f->fd);
	if (linkat(AT_FDCWD, proc, f->path.dir, f->temp, AT_SYMLINK_FOLLOW) < 0)
		return failed(f, -errno, "give its temporary name to", err);
	f->named = true;
	return 0;
}

int savefile_finish(struct savefile *f, struct err *err)
{
	int r = write_trailer(f, err);

	if (r == 0 && fsync(f->fd) < 0)
		r = failed(f, -errno, "write", err);
	return r < 0 ? r : name_it(f, err);
}

int savefile_judge(const struct savefile *f, const struct session_id *session, struct err *err)
{
	struct file_check check;
	struct err why;
	int r = savedfile_judge(f->fd, f->temp, &check, &why);

	if (r == 0 && !session_eq(&check.open.session, session))
		r = err_set(&why, -EBADMSG, "it holds another session");
	if (r < 0)
		return err_set(err, r,
			"the guest is not saved in %s, since nobody could load it from there: %s",
			f->path.path, why.text);
	return 0;
}

/* Is PATH that very file? 1, 0, or -errno: it cannot be told. */
static int is_path(const struct savefile *f)
{
	struct stat own, st;

	if (fstat(f->fd, &own) < 0)
		return -errno;
	if (fstatat(f->path.dir, f->path.base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return st.st_dev == own.st_dev && st.st_ino == own.st_ino;
}

static int drop_name(int dir, const char *temp)
{
	return unlinkat(dir, temp, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/*
 * A rename that failed was done all the same (NFS repeats one whose answer was lost), or was not,
 * or is on its way to a server yet: that one finds nothing once the temporary name is gone.
 */
static int after_failed_rename(struct savefile *f, bool last)
{
	int r = is_path(f);

	if (r != 0 || last)
		return r;
	r = drop_name(f->path.dir, f->temp);
	if (r < 0)
		return r;
	f->named = false;
	return is_path(f);
}

/*
 * It is PATH, and may not be after a crash of the host; or may be after one, though it was removed.
 * Cut short it is no saved guest under any name.
 */
static int take_back(struct savefile *f)
{
	if (ftruncate(f->fd, 0) < 0 || fsync(f->fd) < 0)
		return -errno;
	if (is_path(f) == 1)
		unlinkat(f->path.dir, f->path.base, 0);
	return 0;
}

int savefile_publish(struct savefile *f, bool last, struct err *err)
{
	int r;

	assert(f->named);
	if (check_target(&f->path, err) < 0)
		return 0;
	if (renameat(f->path.dir, f->temp, f->path.dir, f->path.base) < 0) {
		failed(f, -errno, "give its name to", err);
		r = after_failed_rename(f, last);
		if (r <= 0)
			return r;
	}
	f->named = false;
	if (fsync(f->path.dir) < 0) {
		r = failed(f, -errno, "keep the name of", err);
		return last || take_back(f) < 0 ? r : 0;
	}
	return 1;
}

const struct dir_place *savefile_place(const struct savefile *f)
{
	return &f->place;
}

const char *savefile_leave(struct savefile *f)
{
	f->left |= f->named;
	f->named = false;
	return f->left ? f->temp : NULL;
}

void savefile_abandon(struct savefile *f)
{
	if (f->named)
		unlinkat(f->path.dir, f->temp, 0);
	f->named = false;
	f->fd = fd_close(f->fd);
	filepath_close(&f->path);
}

struct savefile *savefile_free(struct savefile *f)
{
	if (f) {
		assert(!f->named);
		fd_close(f->fd);
		filepath_close(&f->path);
		EVP_MD_CTX_free(f->sha);
		free(f);
	}
	return NULL;
}

/* -- as a data channel -- */

static ssize_t io_read(void *ctx, void *buf, size_t len)
{
	return -EINVAL; /* nobody answers out of a file */
}

static ssize_t io_write(void *ctx, const void *buf, size_t len)
{
	struct savefile *f = ctx;
	int r = savefile_write(f, buf, len, &f->err);

	return r < 0 ? r : (ssize_t)len;
}

static void io_want(void *ctx, struct flow_wait *wait)
{
	wait->fd = -1;
	wait->events = 0;
}

static const char *io_error(void *ctx)
{
	struct savefile *f = ctx;

	return f->err.text;
}

struct flow_io savefile_io(struct savefile *f)
{
	return (struct flow_io){io_read, io_write, io_want, io_error, f};
}

const struct err *savefile_error(const struct savefile *f)
{
	return &f->err;
}

int savefile_sweep(const char *path, const struct session_id *session,
	const struct dir_place *place, struct err *err)
{
	char temp[NAME_MAX + 1];
	struct filepath p;
	int r = filepath_open(&p, path, err);

	if (r == 0)
		r = filepath_is_at(&p, place, err);
	if (r == 0 && temp_name(p.base, session, temp) == 0) {
		r = drop_name(p.dir, temp);
		if (r < 0)
			err_set(err, r, "cannot remove %s beside %s: %s", temp, path, strerror(-r));
	}
	filepath_close(&p);
	return r;
}
