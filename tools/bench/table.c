/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/table.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/htab.h"
#include "proto/pack.h"
#include "vmm/tool/hptfile.h"
#include "vmm/simvm/simvm.h"

#define DIGEST_STEP (256u << 10)
#define FILL        0.5 /* what the guest keeps to, by as many insertions as removals */
#define SEED        1

struct bench_table {
	struct swhpt *hpt;
	struct simvm_guest guest;
	bool has_guest;
	struct event *stopping;
	void (*stopped)(void *arg);
	void *arg;
};

/* -- as an htabio -- */

static ssize_t io_read(void *ctx, void *buf, size_t max)
{
	return swhpt_read(ctx, buf, max);
}

static int io_write(void *ctx, const void *buf, size_t len)
{
	ssize_t n = swhpt_write_records(ctx, buf, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

static void io_close(void *ctx)
{
	swhpt_close(ctx);
}

static const struct htabio_ops io_ops = {
	.read = io_read,
	.write = io_write,
	.close = io_close,
};

int bench_table_open(struct bench_table *t, uint64_t flags, uint64_t start, struct htabio **ret)
{
	struct swhpt_fd *fd;
	int r = swhpt_open(t->hpt, flags, start, &fd);

	if (r < 0)
		return r;
	r = htabio_new_ops(&io_ops, fd, ret);
	if (r < 0)
		swhpt_close(fd);
	return r;
}

/* -- making one -- */

int bench_table_new(unsigned order, uint64_t rate, struct bench_table **ret, struct err *err)
{
	struct simvm_opts o = {.vcpus = 1, .fill = FILL, .rate = rate, .uuid = {.b = {SEED}}};
	struct bench_table *t = calloc(1, sizeof(*t));
	int r = t ? swhpt_new(order, &t->hpt) : -ENOMEM;

	if (r == 0) {
		r = guest_new(&t->guest, t->hpt, &o);
		t->has_guest = true;
	}
	if (r < 0) {
		bench_table_free(t);
		return err_set(err, r, "cannot make a table of order %u: %s", order, strerror(-r));
	}
	*ret = t;
	return 0;
}

/* flat is freed. */
static int fill(
	uint8_t *flat, unsigned order, uint64_t rate, struct bench_table **ret, struct err *err)
{
	struct bench_table *t = NULL;
	uint64_t index = 0;
	int r = bench_table_new(order, rate, &t, err);

	if (r == 0) {
		r = swhpt_load_flat(t->hpt, flat, (size_t)1 << order, &index);
		if (r < 0)
			err_set(err, r, "entry %" PRIu64 " of the table is not taken: %s", index,
				strerror(-r));
	}
	free(flat);
	if (r < 0) {
		bench_table_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

int bench_table_load(const char *path, uint64_t rate, struct bench_table **ret, struct err *err)
{
	unsigned order;
	uint8_t *flat;
	int r = hptfile_read(path, &flat, &order, err);

	if (r < 0)
		return r;
	r = fill(flat, order, rate, ret, err);
	return r < 0 ? err_prefix(err, "%s", path) : 0;
}

int bench_table_generate(enum hptgen_kind kind, unsigned order, uint64_t rate,
	struct bench_table **ret, struct err *err)
{
	uint8_t *flat = hptgen_make(kind, order, SEED, NULL);

	if (!flat)
		return err_set(err, -ENOMEM, "out of memory for a table of order %u", order);
	return fill(flat, order, rate, ret, err);
}

struct bench_table *bench_table_free(struct bench_table *t)
{
	if (!t)
		return NULL;
	if (t->stopping)
		event_free(t->stopping);
	if (t->has_guest)
		guest_free(&t->guest);
	swhpt_free(t->hpt);
	free(t);
	return NULL;
}

unsigned bench_table_order(const struct bench_table *t)
{
	return swhpt_order(t->hpt);
}

struct swhpt *bench_table_hpt(struct bench_table *t)
{
	return t->hpt;
}

/* -- its guest -- */

void bench_table_run(struct bench_table *t)
{
	guest_run(&t->guest);
}

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
	struct bench_table *t = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
	event_free(t->stopping);
	t->stopping = NULL;
	t->stopped(t->arg);
}

int bench_table_stop(
	struct bench_table *t, struct event_base *base, void (*stopped)(void *arg), void *arg)
{
	t->stopping = event_new(base, t->guest.stopped_fd, EV_READ | EV_PERSIST, on_stopped, t);
	if (!t->stopping || event_add(t->stopping, NULL) < 0)
		return -ENOMEM;
	t->stopped = stopped;
	t->arg = arg;
	guest_stop(&t->guest);
	return 0;
}

uint64_t bench_table_changes(const struct bench_table *t)
{
	return guest_changes(&t->guest);
}

bool bench_table_sick(const struct bench_table *t)
{
	return atomic_load(&t->guest.sick);
}

/* -- comparing -- */

int bench_table_spoil(struct bench_table *t)
{
	uint8_t record[HTAB_HDR_SIZE + HTAB_HPTE_SIZE];
	uint64_t index = swhpt_entries(t->hpt) / 2;
	struct swhpt_fd *fd;
	ssize_t n;
	int r = swhpt_open(t->hpt, HTAB_FD_WRITE, 0, &fd);

	if (r < 0)
		return r;
	htab_put_header(record, HTAB_HOST, (uint32_t)index, 1, 0);
	be64_put(record + HTAB_HDR_SIZE, 0xdead00ull << 12 | HPTE_V_VALID);
	be64_put(record + HTAB_HDR_SIZE + 8, 0xbeefull << 12 | HPTE_R_R);
	n = swhpt_write(fd, record, sizeof(record));
	swhpt_close(fd);
	return n == (ssize_t)sizeof(record) ? 0 : -EIO;
}

static bool digest_records(
	EVP_MD_CTX *md, const void *buf, size_t len, uint64_t entries, uint64_t *valid)
{
	struct htab_iter it;
	struct htab_rec rec;
	bool ok = true;
	int r;

	htab_iter_init(&it, buf, len, entries, HTAB_HOST);
	while (ok && (r = htab_iter_next(&it, &rec)) > 0) {
		for (unsigned i = 0; i < rec.n_valid && ok; i++) {
			const uint8_t *p = rec.hptes + (size_t)i * HTAB_HPTE_SIZE;
			uint64_t v = be64_get(p), g = be64_get(p + 8);
			uint8_t unit[24];

			hpte_normalise(&v, &g);
			be64_put(unit, rec.index + i);
			be64_put(unit + 8, v);
			be64_put(unit + 16, g);
			ok = EVP_DigestUpdate(md, unit, sizeof(unit)) == 1;
		}
		*valid += rec.n_valid;
	}
	return ok && r == 0;
}

int bench_table_digest(struct bench_table *t, char ret_hex[static BENCH_DIGEST_TEXT],
	uint64_t *ret_valid, struct err *err)
{
	uint64_t entries = swhpt_entries(t->hpt), valid = 0, reached = 0;
	uint8_t sum[EVP_MAX_MD_SIZE], order = (uint8_t)swhpt_order(t->hpt);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t *buf = malloc(DIGEST_STEP);
	struct swhpt_fd *fd = NULL;
	bool ok = md && buf && swhpt_open(t->hpt, 0, 0, &fd) == 0 &&
		EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(md, &order, 1) == 1;

	while (ok && reached < entries) {
		ssize_t n = swhpt_read(fd, buf, DIGEST_STEP);
		struct htab_count c;
		const char *why;

		ok = n > 0 && htab_check(buf, (size_t)n, entries, HTAB_HOST, &c, &why) == 0 &&
			digest_records(md, buf, (size_t)n, entries, &valid);
		if (ok)
			reached = c.end;
	}
	ok = ok && EVP_DigestFinal_ex(md, sum, NULL) == 1;
	swhpt_close(fd);
	EVP_MD_CTX_free(md);
	free(buf);
	if (!ok)
		return err_set(err, -EIO, "the table cannot be read back for comparing");
	for (unsigned i = 0; i < 32; i++)
		snprintf(ret_hex + (size_t)2 * i, 3, "%02x", sum[i]);
	*ret_valid = valid;
	return 0;
}
