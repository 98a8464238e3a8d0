/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/htabctl/dumptable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/savedfile.h"

#define ZSTD_FRAME  0xfd2fb528u                           /* as a little-endian u32 */
#define INFLATE_MAX (UINT64_C(1) << HTAB_ORDER_MAX)       /* bytes of a table */
#define RECORDS_ALL (UINT64_C(1) << (HTAB_ORDER_MAX - 4)) /* entries, while the order is unknown */
#define GROW        (4u << 20)
#define HOST_IS_BIG (BYTE_ORDER == BIG_ENDIAN)

/* What the file holds, in memory. */
struct content {
	const uint8_t *p;
	size_t len;
	uint8_t *inflated; /* on the heap; else p is a mapping */
};

static int make_table(struct dumptable *d, unsigned order, struct err *err)
{
	void *p;

	if (order < HTAB_ORDER_MIN || order > HTAB_ORDER_MAX)
		return err_set(err, -EINVAL, "a table of order %u cannot be: %u to %u can", order,
			HTAB_ORDER_MIN, HTAB_ORDER_MAX);
	/* only what is touched takes memory */
	p = mmap(NULL, (size_t)1 << order, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return err_set(err, -errno, "there is no memory for a table of order %u: %s", order,
			strerror(errno));
	d->flat = p;
	d->order = order;
	return 0;
}

static void damage(struct dumptable *d, uint64_t at, const struct err *err)
{
	d->damage = *err;
	d->damage_at = at;
}

/* Records that were checked: they replace what is in the table. */
static void apply(struct dumptable *d, const struct htab_rec *rec)
{
	uint64_t end = (uint64_t)rec->index + rec->n_valid + rec->n_invalid;

	d->records++;
	memcpy(d->flat + (uint64_t)rec->index * HTAB_HPTE_SIZE, rec->hptes,
		(size_t)rec->n_valid * HTAB_HPTE_SIZE);
	for (uint64_t i = (uint64_t)rec->index + rec->n_valid; i < end; i++) {
		uint8_t *hpte = d->flat + i * HTAB_HPTE_SIZE;

		if (be64_get(hpte) | be64_get(hpte + 8)) /* untouched pages stay so */
			memset(hpte, 0, HTAB_HPTE_SIZE);
	}
}

/* -- a saved guest -- */

static int apply_frame(struct dumptable *d, const struct savedfile *f, struct err *err)
{
	const struct file_check *c = savedfile_check(f);
	struct htab_iter it;
	struct htab_rec rec;
	uint8_t *image;

	switch (c->type) {
	case WIRE_OPEN:
		if (c->open.mmu != MMU_HPT)
			return err_set(err, -EOPNOTSUPP,
				"VM %s, which is saved there, has a BookE processor's TLB and no hashed page table",
				c->open.name);
		return make_table(d, c->open.order, err);
	case WIRE_PASS_END: d->passes++; break;
	case WIRE_CHUNK:
		htab_iter_init(
			&it, savedfile_bytes(f), c->chunk.plain, dumptable_entries(d), HTAB_WIRE);
		while (htab_iter_next(&it, &rec) > 0)
			apply(d, &rec);
		break;
	case WIRE_STATE:
		image = realloc(d->image, d->image_size + c->body);
		if (!image)
			return err_set(err, -ENOMEM, "out of memory for a machine state");
		d->image = image;
		memcpy(image + d->image_size, savedfile_bytes(f), c->body);
		d->image_size += c->body;
		break;
	}
	return 0;
}

static int read_saved(struct dumptable *d, int fd, const char *path, struct err *err)
{
	struct savedfile *f;
	struct err e = {0};
	int r = savedfile_new(fd, path, &f, err), failed = 0;

	if (r < 0)
		return r;
	d->kind = DUMP_SAVED;
	while ((r = savedfile_next(f, &e)) > 0 && failed == 0)
		failed = apply_frame(d, f, err);
	d->about = *savedfile_check(f);
	savedfile_free(f);
	if (failed < 0)
		return failed;
	if (r < 0 && !d->flat) { /* not even OPEN: there is nothing to show */
		*err = e;
		return r;
	}
	if (r < 0)
		damage(d, d->about.wrong_at, &e);
	return 0;
}

/* -- records -- */

struct scan {
	uint64_t good;    /* bytes of good records */
	uint64_t records; /* that are good */
	uint64_t end;     /* after the last entry that one speaks of */
	const char *why;  /* what follows is not; NULL: all are */
};

static struct scan scan_records(const struct content *in, enum htab_endian endian, uint64_t entries)
{
	struct scan s = {0};
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init(&it, in->p, in->len, entries, endian);
	while (htab_iter_next(&it, &rec) > 0) {
		uint64_t end = (uint64_t)rec.index + rec.n_valid + rec.n_invalid;

		s.records++;
		s.end = end > s.end ? end : s.end;
		s.good = (uint64_t)(it.p - in->p);
	}
	s.why = it.why;
	return s;
}

static int read_records(struct dumptable *d, const struct content *in, const char *path,
	unsigned order, struct err *err)
{
	uint64_t entries = order ? htab_entries(order) : RECORDS_ALL;
	struct scan big = scan_records(in, HTAB_WIRE, entries);
	struct scan host = HOST_IS_BIG ? big : scan_records(in, HTAB_HOST, entries);
	bool is_big = big.good >= host.good;
	const struct scan *s = is_big ? &big : &host;
	struct htab_iter it;
	struct htab_rec rec;
	struct err e;
	int r;

	if (s->records == 0)
		return err_set(err, -EBADMSG,
			"%s is neither a saved guest, nor a table, nor records of one: at byte 0: %s",
			path, s->why ? s->why : "it is empty");
	d->kind = DUMP_RECORDS;
	d->big_endian = is_big;
	while (!order || (order < HTAB_ORDER_MAX && htab_entries(order) < s->end))
		order = order ? order + 1 : HTAB_ORDER_MIN;
	r = make_table(d, order, err);
	if (r < 0)
		return r;
	htab_iter_init(&it, in->p, s->good, entries, is_big ? HTAB_WIRE : HTAB_HOST);
	while (htab_iter_next(&it, &rec) > 0)
		apply(d, &rec);
	if (s->why) {
		err_set(&e, -EBADMSG, "%s breaks at byte %" PRIu64 ": record %" PRIu64 ": %s", path,
			s->good, s->records + 1, s->why);
		damage(d, s->good, &e);
	}
	return 0;
}

/* -- a flat table -- */

static bool is_table(const struct content *in, unsigned *ret_order)
{
	for (unsigned order = HTAB_ORDER_MIN; order <= HTAB_ORDER_MAX; order++) {
		if (in->len != UINT64_C(1) << order)
			continue;
		*ret_order = order;
		/* records may happen to have that length: a table is none of them */
		return scan_records(in, HTAB_WIRE, RECORDS_ALL).why &&
			scan_records(in, HTAB_HOST, RECORDS_ALL).why;
	}
	return false;
}

static int read_table(
	struct dumptable *d, const struct content *in, unsigned order, struct err *err)
{
	int r = make_table(d, order, err);

	if (r < 0)
		return r;
	d->kind = DUMP_TABLE;
	memcpy(d->flat, in->p, in->len);
	return 0;
}

/* -- the file -- */

static int inflate(struct content *in, const char *path, struct err *err)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	ZSTD_inBuffer from = {in->p, in->len, 0};
	size_t cap = 0, done = 0, left = 1;
	uint8_t *buf = NULL;
	int r = z ? 0 : -ENOMEM;

	while (r == 0 && (from.pos < from.size || left)) {
		ZSTD_outBuffer to;
		size_t before = from.pos + done;

		if (done == cap) {
			uint8_t *more = cap < INFLATE_MAX ? realloc(buf, cap + cap / 2 + GROW)
							  : NULL;

			if (!more) {
				r = -ENOMEM;
				break;
			}
			buf = more;
			cap += cap / 2 + GROW;
		}
		to = (ZSTD_outBuffer){buf + done, cap - done, 0};
		left = ZSTD_decompressStream(z, &to, &from);
		done += to.pos;
		if (ZSTD_isError(left))
			r = err_set(err, -EBADMSG, "%s breaks at byte %zu: %s", path, from.pos,
				ZSTD_getErrorName(left));
		else if (left && from.pos + done == before)
			r = err_set(err, -EBADMSG,
				"%s breaks at byte %zu: the zstd stream is cut short", path,
				from.pos);
	}
	ZSTD_freeDCtx(z);
	if (r < 0) {
		free(buf);
		return r == -ENOMEM ? err_set(err, r, "there is no memory for what %s holds", path)
				    : r;
	}
	in->p = in->inflated = buf;
	in->len = done;
	return 0;
}

/* A damaged one may have lost either mark. */
static bool is_saved(const struct content *in)
{
	if (in->len < 2 * WIRE_HDR_SIZE)
		return false;
	return be64_get(in->p + WIRE_HDR_SIZE) == FILE_MAGIC ||
		(be32_get(in->p) < WIRE_CONTROL_MAX && be16_get(in->p + 4) == FILE_TYPE_HEADER &&
			be16_get(in->p + 6) == 0);
}

static int read_content(struct dumptable *d, int fd, struct content *in, const char *path,
	unsigned order, struct err *err)
{
	unsigned flat_order;
	uint32_t magic = 0;
	int r;

	if (is_saved(in))
		return read_saved(d, fd, path, err);
	memcpy(&magic, in->p, in->len < sizeof(magic) ? in->len : sizeof(magic));
	if (in->len >= sizeof(magic) && le32toh(magic) == ZSTD_FRAME) {
		d->compressed = true;
		r = inflate(in, path, err);
		if (r < 0)
			return r;
	}
	if (is_table(in, &flat_order))
		return read_table(d, in, flat_order, err);
	return read_records(d, in, path, order, err);
}

static int map(int fd, const char *path, struct content *ret, struct err *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no regular file", path);
	if (st.st_size == 0)
		return err_set(err, -EBADMSG, "%s is empty", path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	*ret = (struct content){.p = p, .len = (size_t)st.st_size};
	return 0;
}

static int read_fd(int fd, const char *path, unsigned order, bool records, struct dumptable **ret,
	struct err *err)
{
	struct dumptable *d = calloc(1, sizeof(*d));
	struct content in = {0}, mapped;
	int r;

	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	r = map(fd, path, &in, err);
	mapped = in;
	if (r == 0)
		r = records ? read_records(d, &in, path, order, err)
			    : read_content(d, fd, &in, path, order, err);
	if (mapped.p)
		munmap((void *)(uintptr_t)mapped.p, mapped.len);
	free(in.inflated);
	if (r < 0) {
		dumptable_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

int dumptable_read(const char *path, unsigned order, struct dumptable **ret, struct err *err)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), r;

	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	r = read_fd(fd, path, order, false, ret, err);
	close(fd);
	return r;
}

int dumptable_records(
	int fd, const char *path, unsigned order, struct dumptable **ret, struct err *err)
{
	return read_fd(fd, path, order, true, ret, err);
}

struct dumptable *dumptable_free(struct dumptable *d)
{
	if (d) {
		if (d->flat)
			munmap(d->flat, (size_t)1 << d->order);
		free(d->image);
		free(d);
	}
	return NULL;
}
