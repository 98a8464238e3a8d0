/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/transport/loadfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/savedfile.h"
#include "daemon/transport/filepath.h"

struct loadfile {
	struct filepath path;
	int fd;
	EVP_MD_CTX *sha;
	struct file_check check;
	uint64_t at; /* of the second reading */
	struct err err;
};

static int sha_begin(struct loadfile *f, struct err *err)
{
	if (EVP_DigestInit_ex(f->sha, EVP_sha256(), NULL) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path.path);
	return 0;
}

static int sha_add(struct loadfile *f, const void *buf, size_t len, struct err *err)
{
	if (EVP_DigestUpdate(f->sha, buf, len) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path.path);
	return 0;
}

/* The next bytes of the second reading. */
static ssize_t read_at(struct loadfile *f, void *buf, size_t len, uint64_t at, struct err *err)
{
	return savedfile_pread(f->fd, f->path.path, buf, len, at, err);
}

static int compare_digest(struct loadfile *f, struct err *err)
{
	uint8_t sha[FILE_SHA256_SIZE];

	if (EVP_DigestFinal_ex(f->sha, sha, NULL) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path.path);
	if (memcmp(sha, f->check.trailer.sha256, sizeof(sha)))
		return err_set(err, -EBADMSG, "%s changed while it was loaded", f->path.path);
	return 0;
}

static int open_it(struct loadfile *f, const char *path, struct err *err)
{
	struct stat st;
	int r = filepath_open(&f->path, path, err);

	if (r < 0)
		return r;
	/* Without waiting for the other end of a FIFO, or for a tape to be put in. */
	f->fd = openat(f->path.dir, f->path.base, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (f->fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(f->fd, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL,
			"%s is %s: a guest is loaded from a regular file and from nothing else",
			path, filepath_kind(st.st_mode));
	f->sha = EVP_MD_CTX_new();
	return f->sha ? 0 : err_set(err, -ENOMEM, "out of memory for %s", path);
}

static int open_and_judge(const char *path, struct loadfile **ret, struct err *err)
{
	struct loadfile *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "out of memory for %s", path);
	f->fd = -1;
	*ret = f;
	r = open_it(f, path, err);
	return r < 0 ? r : savedfile_judge(f->fd, f->path.path, &f->check, err);
}

int loadfile_open(const char *path, struct loadfile **ret, struct err *err)
{
	struct loadfile *f = NULL;
	int r = open_and_judge(path, &f, err);

	if (r < 0) {
		loadfile_free(f);
		return r;
	}
	f->at = f->check.passes_at;
	*ret = f;
	return 0;
}

const struct file_check *loadfile_about(const struct loadfile *f)
{
	return &f->check;
}

/* -- the second reading -- */

/* Begin the digest anew, with what stands before the passes. */
static int rewind_it(struct loadfile *f)
{
	uint8_t buf[2 * (WIRE_HDR_SIZE + WIRE_CONTROL_MAX)];
	size_t len = (size_t)f->check.passes_at;
	ssize_t n = read_at(f, buf, len, 0, &f->err);
	int r;

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)len)
		return err_set(
			&f->err, -EBADMSG, "%s became shorter while it was loaded", f->path.path);
	r = sha_begin(f, &f->err);
	return r < 0 ? r : sha_add(f, buf, len, &f->err);
}

static ssize_t io_read(void *ctx, void *buf, size_t len)
{
	struct loadfile *f = ctx;
	uint64_t left = f->check.state_at - f->at;
	ssize_t n;
	int r;

	if (f->at == f->check.passes_at && (r = rewind_it(f)) < 0)
		return r;
	if (len > left)
		len = (size_t)left;
	n = read_at(f, buf, len, f->at, &f->err);
	if (n < 0)
		return n;
	if (n < (ssize_t)len)
		return err_set(
			&f->err, -EBADMSG, "%s became shorter while it was loaded", f->path.path);
	r = sha_add(f, buf, len, &f->err);
	if (r < 0)
		return r;
	f->at += (uint64_t)n;
	return n;
}

static ssize_t io_write(void *ctx, const void *buf, size_t len)
{
	return -EINVAL; /* nobody answers a file */
}

static void io_want(void *ctx, struct flow_wait *wait)
{
	wait->fd = -1;
	wait->events = 0;
}

static const char *io_error(void *ctx)
{
	struct loadfile *f = ctx;

	return f->err.text;
}

struct flow_io loadfile_io(struct loadfile *f)
{
	return (struct flow_io){io_read, io_write, io_want, io_error, f};
}

/* The next bytes of the second reading, all of them. */
static int again(struct loadfile *f, void *buf, size_t len, struct err *err)
{
	ssize_t n = read_at(f, buf, len, f->at, err);

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)len)
		return err_set(
			err, -EBADMSG, "%s became shorter while it was loaded", f->path.path);
	f->at += len;
	return 0;
}

/* What stands between the passes and the digest; STATE's bodies go into the memfd. */
static int read_rest(struct loadfile *f, int memfd, struct err *err)
{
	uint64_t end = f->check.trailer.length - FILE_SHA256_SIZE;
	uint8_t buf[WIRE_HDR_SIZE + WIRE_STATE_MAX];

	while (f->at < end) {
		size_t body;
		int r = again(f, buf, WIRE_HDR_SIZE, err);

		if (r < 0)
			return r;
		body = be32_get(buf);
		if (be16_get(buf + 4) == FILE_TYPE_TRAILER)
			body -= FILE_SHA256_SIZE;
		if (body > WIRE_STATE_MAX || body > end - f->at)
			return err_set(
				err, -EBADMSG, "%s changed while it was loaded", f->path.path);
		r = again(f, buf + WIRE_HDR_SIZE, body, err);
		if (r == 0)
			r = sha_add(f, buf, WIRE_HDR_SIZE + body, err);
		if (r < 0)
			return r;
		if (be16_get(buf + 4) == WIRE_STATE &&
			write(memfd, buf + WIRE_HDR_SIZE, body) != (ssize_t)body)
			return err_set(err, -ENOMEM,
				"there is no memory for the machine state in %s", f->path.path);
	}
	return 0;
}

int loadfile_state(struct loadfile *f, int *ret_fd, struct err *err)
{
	struct stat st;
	int fd, r;

	if (f->at != f->check.state_at)
		return err_set(err, -EBADMSG,
			"the passes in %s end at byte %" PRIu64 ", and were read to byte %" PRIu64,
			f->path.path, f->check.state_at, f->at);
	fd = fd_memfd("htab-migrated-state");
	if (fd < 0)
		return err_set(
			err, fd, "there is no memory for the machine state in %s", f->path.path);
	r = read_rest(f, fd, err);
	if (r == 0)
		r = compare_digest(f, err);
	if (r == 0 && (fstat(f->fd, &st) < 0 || (uint64_t)st.st_size != f->check.trailer.length))
		r = err_set(err, -EBADMSG, "%s became longer while it was loaded", f->path.path);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

struct loadfile *loadfile_free(struct loadfile *f)
{
	if (f) {
		fd_close(f->fd);
		filepath_close(&f->path);
		EVP_MD_CTX_free(f->sha);
		free(f);
	}
	return NULL;
}

/* Nothing has that name: a symbolic link to what is away is not nothing. */
static bool is_missing(const struct loadfile *f)
{
	struct stat st;

	return fstatat(f->path.dir, f->path.base, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int loadfile_is(const char *path, const struct session_id *session, const struct dir_place *place,
	struct err *err)
{
	struct loadfile *f = NULL;
	int r = open_and_judge(path, &f, err);

	if (r == 0 && session_eq(&f->check.open.session, session)) {
		r = 1;
		if (fsync(f->fd) < 0 || fsync(f->path.dir) < 0)
			r = err_set(err, -errno, "cannot keep %s on its disk: %s", path,
				strerror(errno));
	} else if (f && f->path.dir >= 0 &&
		(r == 0 || r == -EBADMSG || r == -EINVAL || (r == -ENOENT && is_missing(f)))) {
		r = filepath_is_at(&f->path, place, err);
	}
	loadfile_free(f);
	return r;
}
