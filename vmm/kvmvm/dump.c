/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/htab.h"
#include "proto/pack.h"
#include "vmm/tool/hptfile.h"
#include "vmm/kvmvm/kvmvm.h"

#define READ_SIZE (1u << 20)

static void put_record(uint8_t *flat, const struct htab_rec *rec)
{
	for (unsigned i = 0; i < rec->n_valid; i++) {
		const uint8_t *from = rec->hptes + i * HTAB_HPTE_SIZE;
		uint8_t *to = flat + ((size_t)rec->index + i) * HTAB_HPTE_SIZE;
		uint64_t v = be64_get(from), r = be64_get(from + 8);

		hpte_normalise(&v, &r);
		be64_put(to, v);
		be64_put(to + 8, r);
	}
}

/*
 * One read()'s worth. 1 when the table's end is reached, 0 when there is more, or a negative
 * errno.
 */
static int read_some(int fd, uint8_t *buf, uint8_t *flat, uint64_t entries)
{
	ssize_t n = read(fd, buf, READ_SIZE);
	struct htab_iter it;
	struct htab_rec rec;
	uint64_t end = 0;
	int r;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	htab_iter_init(&it, buf, (size_t)n, entries, HTAB_HOST);
	while ((r = htab_iter_next(&it, &rec)) > 0) {
		put_record(flat, &rec);
		end = (uint64_t)rec.index + rec.n_valid + rec.n_invalid;
	}
	if (r < 0)
		return r;
	return htab_read_wrapped((size_t)n, READ_SIZE, end, entries);
}

int kvmvm_table(struct kvmvm_guest *g, uint8_t **ret_flat)
{
	uint64_t entries = htab_entries(g->order);
	uint8_t *flat = calloc(entries, HTAB_HPTE_SIZE), *buf = malloc(READ_SIZE);
	int fd = kvm_vm_open_htab(g->vm, 0, 0), r = fd < 0 ? fd : 0;

	if (!flat || !buf)
		r = -ENOMEM;
	while (r == 0)
		r = read_some(fd, buf, flat, entries);
	if (fd >= 0)
		fd_close(fd);
	free(buf);
	if (r < 0) {
		free(flat);
		return r;
	}
	*ret_flat = flat;
	return 0;
}

int kvmvm_dump(struct kvmvm_guest *g, const char *path, struct err *e)
{
	uint8_t *flat = NULL;
	int r = kvmvm_table(g, &flat);

	if (r < 0)
		err_set(e, r, "cannot take the table out for %s: %s", path, strerror(-r));
	else
		r = hptfile_write(path, flat, g->order, e);
	free(flat);
	return r;
}
