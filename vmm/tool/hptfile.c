/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/tool/hptfile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "common/fd.h"
#include "proto/htab.h"

#define CHUNK      (1u << 20)
#define ZSTD_LEVEL 1
#define ZSTD_MAGIC "\x28\xb5\x2f\xfd"

struct buffer {
	uint8_t *p;
	size_t len, cap;
};

/* Room for n bytes more. */
static int grow(struct buffer *b, size_t n)
{
	size_t cap = b->cap ? b->cap : CHUNK;
	uint8_t *p;

	if (n <= b->cap - b->len)
		return 0;
	while (cap - b->len < n)
		cap *= 2;
	if (cap > 2ull << HTAB_ORDER_MAX)
		return -EFBIG;
	p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

static int read_plain(FILE *f, struct buffer *b)
{
	for (;;) {
		int r = grow(b, CHUNK);
		size_t n;

		if (r < 0)
			return r;
		n = fread(b->p + b->len, 1, CHUNK, f);
		b->len += n;
		if (n < CHUNK)
			return ferror(f) ? -errno : 0;
	}
}

/* 0, or what is wrong: -EBADMSG, *ret_why being zstd's words; -EPIPE: it ends too early. */
static int decompress(const struct buffer *in, struct buffer *out, const char **ret_why)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer src = {in->p, in->len, 0};
	size_t left = 1;
	int r = d ? 0 : -ENOMEM;

	/* What is decoded may be more than what was asked for at once. */
	while (r == 0 && (src.pos < src.size || left != 0)) {
		size_t before = src.pos;
		ZSTD_outBuffer dst;

		r = grow(out, CHUNK);
		if (r < 0)
			break;
		dst = (ZSTD_outBuffer){out->p + out->len, CHUNK, 0};
		left = ZSTD_decompressStream(d, &dst, &src);
		out->len += dst.pos;
		if (ZSTD_isError(left)) {
			*ret_why = ZSTD_getErrorName(left);
			r = -EBADMSG;
		} else if (left != 0 && dst.pos == 0 && src.pos == before) {
			r = -EPIPE;
		}
	}
	ZSTD_freeDStream(d);
	return r;
}

static int check_size(const char *path, size_t len, unsigned *ret_order, struct err *e)
{
	for (unsigned order = HTAB_ORDER_MIN; order <= HTAB_ORDER_MAX; order++) {
		if (len != 1ull << order)
			continue;
		*ret_order = order;
		return 0;
	}
	if (len == 0)
		return err_set(e, -EINVAL, "%s is empty: a page table has at least 2^%u bytes",
			path, HTAB_ORDER_MIN);
	return err_set(e, -EINVAL,
		"%s holds %zu bytes, which is no page table: it should be a "
		"power of two from 2^%u to 2^%u",
		path, len, HTAB_ORDER_MIN, HTAB_ORDER_MAX);
}

static int complain(const char *path, int r, const char *why, struct err *e)
{
	switch (r) {
	case -EISDIR: return err_set(e, r, "%s is a directory: a page table is a file", path);
	case -EMEDIUMTYPE: return err_set(e, r, "%s is no regular file", path);
	case -EFBIG:
		return err_set(e, r, "%s holds more than the 2^%u bytes of the largest page table",
			path, HTAB_ORDER_MAX);
	case -EBADMSG:
		return err_set(
			e, r, "%s is damaged, or not zstd's as its beginning says: %s", path, why);
	case -EPIPE:
		return err_set(
			e, r, "%s is cut off: its zstd data goes on where the file ends", path);
	default: return err_set(e, r, "cannot read %s: %s", path, strerror(-r));
	}
}

int hptfile_read(const char *path, uint8_t **ret_flat, unsigned *ret_order, struct err *e)
{
	struct buffer raw = {0}, flat = {0};
	int fd = fd_open_regular(path), r;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
	const char *why = "";

	if (fd == -EISDIR || fd == -EMEDIUMTYPE)
		return complain(path, fd, why, e);
	if (!f)
		return err_set(e, fd < 0 ? fd : -ENOMEM, "cannot open %s: %s", path,
			strerror(fd < 0 ? -fd : ENOMEM));
	r = read_plain(f, &raw);
	fclose(f);
	if (r == 0 && raw.len >= 4 && memcmp(raw.p, ZSTD_MAGIC, 4) == 0) {
		r = decompress(&raw, &flat, &why);
		free(raw.p);
		raw = flat;
	}
	if (r < 0)
		complain(path, r, why, e);
	else
		r = check_size(path, raw.len, ret_order, e);
	if (r < 0) {
		free(raw.p);
		return r;
	}
	*ret_flat = raw.p;
	return 0;
}

static int write_zstd(FILE *f, const uint8_t *flat, size_t len)
{
	size_t cap = ZSTD_CStreamOutSize(), left = 1;
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_inBuffer src = {flat, len, 0};
	void *buf = malloc(cap);
	int r = c && buf ? 0 : -ENOMEM;

	if (r == 0)
		ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	while (r == 0 && left != 0) {
		ZSTD_outBuffer dst = {buf, cap, 0};

		left = ZSTD_compressStream2(c, &dst, &src, ZSTD_e_end);
		if (ZSTD_isError(left) || fwrite(buf, 1, dst.pos, f) != dst.pos)
			r = -EIO;
	}
	free(buf);
	ZSTD_freeCCtx(c);
	return r;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

int hptfile_write(const char *path, const uint8_t *flat, unsigned order, struct err *e)
{
	size_t len = (size_t)1 << order;
	char *part;
	FILE *f;
	int r = 0;

	if (asprintf(&part, "%s.part", path) < 0)
		return err_set(e, -ENOMEM, "no memory to write %s", path);
	f = fopen(part, "wbe");
	if (!f)
		r = -errno;
	else if (ends_in(path, ".zst"))
		r = write_zstd(f, flat, len);
	else if (fwrite(flat, 1, len, f) != len)
		r = -errno;
	if (f && fclose(f) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(part, path) < 0)
		r = -errno;
	if (r < 0) {
		err_set(e, r, "cannot write %s: %s", path, strerror(-r));
		unlink(part);
	}
	free(part);
	return r;
}
