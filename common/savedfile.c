/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/savedfile.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/codec.h"

struct savedfile {
	int fd;
	EVP_MD_CTX *sha;
	struct codec *codec; /* once OPEN was read */
	struct file_check check;
	uint8_t frame[WIRE_HDR_SIZE + FILE_BODY_MAX];
	uint8_t plain[FILE_BODY_MAX];
	char path[];
};

ssize_t savedfile_pread(
	int fd, const char *path, void *buf, size_t len, uint64_t at, struct err *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) { /* -EIO: what says that the file is damaged is ours alone */
			bool ours = errno == EBADMSG || errno == EOPNOTSUPP || errno == EINVAL ||
				errno == ENOENT;

			return err_set(err, ours ? -EIO : -errno,
				"cannot read %s at byte %" PRIu64 ": %s", path, at + done,
				strerror(errno));
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int savedfile_new(int fd, const char *path, struct savedfile **ret, struct err *err)
{
	struct savedfile *f = calloc(1, sizeof(*f) + strlen(path) + 1);

	if (!f)
		return err_set(err, -ENOMEM, "out of memory for %s", path);
	strcpy(f->path, path);
	f->fd = fd;
	file_check_init(&f->check);
	f->sha = EVP_MD_CTX_new();
	if (!f->sha || EVP_DigestInit_ex(f->sha, EVP_sha256(), NULL) != 1) {
		savedfile_free(f);
		return err_set(err, -EIO, "there is no SHA-256 for %s", path);
	}
	*ret = f;
	return 0;
}

static int bad(const struct savedfile *f, int code, struct err *err)
{
	return err_set(err, code, "%s is no whole saved guest: at byte %" PRIu64 ": %s", f->path,
		f->check.wrong_at, f->check.why);
}

static int judge_records(struct savedfile *f)
{
	struct file_check *c = &f->check;
	uint8_t *plain = f->plain;

	if (codec_decode(f->codec, c->payload, c->payload_len, plain, c->chunk.plain) < 0)
		plain = NULL;
	return file_check_records(c, plain);
}

static int judge_body(struct savedfile *f, struct err *err)
{
	struct file_check *c = &f->check;
	int r = file_check_body(c, f->frame + WIRE_HDR_SIZE);

	if (r > 0)
		r = judge_records(f);
	if (r < 0)
		return bad(f, r, err);
	if (c->type == WIRE_OPEN)
		r = codec_new(c->open.codec, c->open.order, &f->codec);
	if (r < 0)
		return err_set(err, r, "%s cannot be read: there is no codec '%s' here", f->path,
			codec_name(c->open.codec));
	return 0;
}

/* One frame: 1; 0 at the file's end. */
static int next_frame(struct savedfile *f, struct err *err)
{
	struct file_check *c = &f->check;
	uint64_t at = c->offset;
	ssize_t n = savedfile_pread(f->fd, f->path, f->frame, WIRE_HDR_SIZE, at, err);
	size_t hashed;
	int r;

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)WIRE_HDR_SIZE) {
		r = file_check_eof(c, (uint64_t)n);
		return r < 0 ? bad(f, r, err) : 0;
	}
	r = file_check_frame(c, f->frame);
	if (r < 0)
		return bad(f, r, err);
	n = savedfile_pread(
		f->fd, f->path, f->frame + WIRE_HDR_SIZE, c->body, at + WIRE_HDR_SIZE, err);
	if (n < 0)
		return (int)n;
	if (n < (ssize_t)c->body)
		return bad(f, file_check_eof(c, WIRE_HDR_SIZE + (uint64_t)n), err);
	r = judge_body(f, err);
	if (r < 0)
		return r;
	hashed = WIRE_HDR_SIZE + c->body;
	if (c->type == FILE_TYPE_TRAILER)
		hashed -= FILE_SHA256_SIZE;
	if (EVP_DigestUpdate(f->sha, f->frame, hashed) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path);
	return 1;
}

static int compare_digest(struct savedfile *f, struct err *err)
{
	struct file_check *c = &f->check;
	uint8_t sha[FILE_SHA256_SIZE];

	if (EVP_DigestFinal_ex(f->sha, sha, NULL) != 1)
		return err_set(err, -EIO, "there is no SHA-256 for %s", f->path);
	if (memcmp(sha, c->trailer.sha256, sizeof(sha)) == 0)
		return 0;
	c->wrong_at = c->offset - FILE_SHA256_SIZE;
	snprintf(c->why, sizeof(c->why), "its SHA-256 is not the one that it was saved with");
	return bad(f, -EBADMSG, err);
}

int savedfile_next(struct savedfile *f, struct err *err)
{
	int r = next_frame(f, err);

	return r == 0 ? compare_digest(f, err) : r;
}

int savedfile_judge(int fd, const char *path, struct file_check *ret, struct err *err)
{
	struct savedfile *s;
	int r = savedfile_new(fd, path, &s, err);

	if (r < 0)
		return r;
	while ((r = savedfile_next(s, err)) > 0)
		;
	*ret = *savedfile_check(s);
	savedfile_free(s);
	return r;
}

const struct file_check *savedfile_check(const struct savedfile *f)
{
	return &f->check;
}

const uint8_t *savedfile_bytes(const struct savedfile *f)
{
	return f->check.type == WIRE_CHUNK ? f->plain : f->frame + WIRE_HDR_SIZE;
}

struct savedfile *savedfile_free(struct savedfile *f)
{
	if (f) {
		EVP_MD_CTX_free(f->sha);
		codec_free(f->codec);
		free(f);
	}
	return NULL;
}
