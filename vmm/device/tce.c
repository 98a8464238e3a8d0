/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/device/tce.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILL_MIN      4u /* a run of so many is worth a chunk of its own */
#define PAGE_SHIFT_LO 12
#define PAGE_SHIFT_HI 34

static size_t table_size(uint64_t entries)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (entries * 8 + page - 1) & ~(page - 1);
}

int tces_add(struct lib_tces *l, const struct htabvmm_tce *c)
{
	struct stat st;
	void *p;

	if (c->size != sizeof(*c) || c->page_shift < PAGE_SHIFT_LO ||
		c->page_shift > PAGE_SHIFT_HI || c->entries == 0 ||
		c->entries > LIB_TCE_ENTRIES_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < l->count; i++)
		if (l->all[i].liobn == c->liobn)
			return -EEXIST;
	if (l->count == LIB_TCES_MAX)
		return -ENOSPC;
	if (fstat(c->fd, &st) < 0)
		return -errno;
	/* KVM's has no size; a file that is too short would raise SIGBUS. */
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < c->entries * 8)
		return -EINVAL;
	p = mmap(NULL, table_size(c->entries), PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	l->all[l->count++] = (struct lib_tce){.liobn = c->liobn,
		.offset = c->offset,
		.entries = c->entries,
		.page_shift = c->page_shift,
		.table = p};
	return 0;
}

void tces_free(struct lib_tces *l)
{
	while (l->count > 0) {
		struct lib_tce *t = &l->all[--l->count];

		munmap(t->table, table_size(t->entries));
	}
}

/* -- saving ----------------------------------------------------------------------------------- */

/* How many entries from `at` on are like it. */
static uint64_t run(const struct lib_tce *t, uint64_t at)
{
	uint64_t n = 1;

	while (at + n < t->entries && t->table[at + n] == t->table[at])
		n++;
	return n;
}

static void put(const struct lib_tce *t, enum state_tce_form form, uint64_t first, uint64_t count,
	struct pack *k)
{
	struct state_tce c = {.liobn = t->liobn,
		.page_shift = t->page_shift,
		.offset = t->offset,
		.entries = t->entries,
		.first = first,
		.count = (uint32_t)count,
		.form = (uint16_t)form};
	uint8_t data[STATE_TCE_CHUNK * 8];
	uint64_t n = form == STATE_TCE_FILL ? 1 : count;

	for (uint64_t i = 0; i < n; i++)
		be64_put(data + i * 8, t->table[first + i]);
	c.data = data;
	state_tce_put(k, &c);
}

/* From an entry that is not 0: one chunk. Returns where it ends. */
static uint64_t put_chunk(const struct lib_tce *t, uint64_t first, struct pack *k)
{
	uint64_t n = run(t, first), end;

	if (n >= FILL_MIN) {
		put(t, STATE_TCE_FILL, first, n, k);
		return first + n;
	}
	for (end = first + n; end < t->entries && end - first < STATE_TCE_CHUNK; end += n) {
		n = run(t, end);
		if (n >= FILL_MIN)
			break;
	}
	if (end - first > STATE_TCE_CHUNK)
		end = first + STATE_TCE_CHUNK;
	put(t, STATE_TCE_LITERAL, first, end - first, k);
	return end;
}

void tces_save(const struct lib_tces *l, struct pack *k)
{
	for (unsigned i = 0; i < l->count; i++) {
		const struct lib_tce *t = &l->all[i];

		/* Says that there is this table, also when it is empty. */
		put(t, STATE_TCE_LITERAL, 0, 0, k);
		for (uint64_t at = 0; at < t->entries && !k->overflow;)
			at = t->table[at] ? put_chunk(t, at, k) : at + run(t, at);
	}
}

/* -- loading ---------------------------------------------------------------------------------- */

static struct lib_tce *find(struct lib_tces *l, uint64_t liobn)
{
	for (unsigned i = 0; i < l->count; i++)
		if (l->all[i].liobn == liobn)
			return &l->all[i];
	return NULL;
}

void tces_check_begin(struct lib_tces *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		l->all[i].came = false;
		l->all[i].next = 0;
	}
}

static int refuse(const struct state_elem *elem, int error, const char *why, struct err *e)
{
	char what[STATE_NAME_MAX];

	state_describe(elem, what);
	return err_set(e, error, "cannot take %s: %s", what, why);
}

int tces_check(struct lib_tces *l, const struct state_elem *elem, struct err *e)
{
	struct state_tce c;
	struct lib_tce *t;

	if (state_tce(elem, &c) < 0)
		return refuse(elem, -EBADMSG, "it is malformed", e);
	t = find(l, c.liobn);
	if (!t)
		return refuse(elem, -ENODEV, "this VMM has no such table", e);
	if (c.page_shift != t->page_shift || c.offset != t->offset || c.entries != t->entries)
		return err_set(e, -EINVAL,
			"cannot take TCE table %#llx: it has %llu entries of 2^%u bytes from page "
			"%llu, and the one here %llu of 2^%u from %llu",
			(unsigned long long)c.liobn, (unsigned long long)c.entries, c.page_shift,
			(unsigned long long)c.offset, (unsigned long long)t->entries, t->page_shift,
			(unsigned long long)t->offset);
	if (c.first < t->next)
		return refuse(elem, -EEXIST, "its entries came before", e);
	t->next = c.first + c.count;
	t->came = true;
	return 0;
}

int tces_check_end(const struct lib_tces *l, struct err *e)
{
	for (unsigned i = 0; i < l->count; i++)
		if (!l->all[i].came)
			return err_set(e, -ENODATA,
				"the image lacks TCE table %#llx, which this VMM has",
				(unsigned long long)l->all[i].liobn);
	return 0;
}

void tces_load_begin(struct lib_tces *l)
{
	for (unsigned i = 0; i < l->count; i++)
		for (uint64_t n = 0; n < l->all[i].entries; n++)
			if (l->all[i].table[n])
				l->all[i].table[n] = 0;
}

void tces_load(struct lib_tces *l, const struct state_elem *elem)
{
	struct state_tce c;
	struct lib_tce *t;
	int r = state_tce(elem, &c);

	assert(r == 0);
	t = find(l, c.liobn);
	assert(t && c.first + c.count <= t->entries);
	for (uint32_t i = 0; i < c.count; i++)
		t->table[c.first + i] = be64_get(
			c.data + (c.form == STATE_TCE_FILL ? 0 : i * (size_t)8));
}
