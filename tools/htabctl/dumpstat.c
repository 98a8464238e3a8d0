/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/htabctl/dumpstat.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/pack.h"

static int compare(const void *a, const void *b)
{
	const struct dumpstat_row *x = a, *y = b;

	if (x->seg_shift != y->seg_shift)
		return x->seg_shift < y->seg_shift ? -1 : 1;
	if (x->base_shift != y->base_shift)
		return x->base_shift < y->base_shift ? -1 : 1;
	if (x->actual_shift != y->actual_shift)
		return x->actual_shift < y->actual_shift ? -1 : 1;
	if (x->vsid != y->vsid)
		return x->vsid < y->vsid ? -1 : 1;
	return 0;
}

static void add(struct dumpstat_row *to, const struct dumpstat_row *from)
{
	to->entries += from->entries;
	to->bolted += from->bolted;
	to->secondary += from->secondary;
	to->referenced += from->referenced;
	to->changed += from->changed;
	to->misplaced += from->misplaced;
}

static struct dumpstat_row row_of(const struct hpte *h)
{
	return (struct dumpstat_row){
		.vsid = h->vsid,
		.seg_shift = h->seg_shift,
		.base_shift = h->base_shift,
		.actual_shift = h->actual_shift,
		.segments = 1,
		.entries = 1,
		.bolted = h->bolted,
		.secondary = h->secondary,
		.referenced = h->r,
		.changed = h->c,
		.misplaced = h->misplaced,
	};
}

/* Sorted rows: those that are alike become one. The number that is left. */
static size_t merge(struct dumpstat_row *row, size_t n)
{
	size_t kept = 0;

	qsort(row, n, sizeof(*row), compare);
	for (size_t i = 0; i < n; i++) {
		if (kept && compare(&row[kept - 1], &row[i]) == 0)
			add(&row[kept - 1], &row[i]);
		else
			row[kept++] = row[i];
	}
	return kept;
}

#define FOLD 65536u /* entries after which rows that are alike are made one */

/* By VSID and sizes. Neighbours in a table are seldom alike, but there are few kinds in all. */
static int count_segments(const uint8_t *flat, uint64_t entries, uint64_t mask, struct dumpstat *s)
{
	size_t cap = FOLD * 2, n = 0;
	struct dumpstat_row *row = malloc(cap * sizeof(*row));

	for (uint64_t i = 0; row && i < entries; i++) {
		const uint8_t *p = flat + i * HTAB_HPTE_SIZE;
		struct hpte h;

		if ((be64_get(p) & mask) != mask)
			continue;
		hpte_decode(be64_get(p), be64_get(p + 8), i, entries, &h);
		row[n++] = row_of(&h);
		s->valid++;
		if (n < cap)
			continue;
		n = merge(row, n);
		if (n > cap - FOLD) {
			struct dumpstat_row *more = realloc(row, 2 * cap * sizeof(*row));

			if (!more)
				free(row);
			row = more;
			cap *= 2;
		}
	}
	if (!row)
		return -ENOMEM;
	s->segments = row;
	s->n_segments = merge(row, n);
	return 0;
}

int dumpstat_count(const uint8_t *flat, uint64_t entries, bool bolted, struct dumpstat *ret)
{
	struct dumpstat s = {0};
	int r = count_segments(flat, entries, HPTE_V_VALID | (bolted ? HPTE_V_BOLTED : 0), &s);

	if (r < 0)
		return r;
	s.summary = malloc((s.n_segments + 1) * sizeof(*s.summary));
	if (!s.summary) {
		dumpstat_fini(&s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s.n_segments; i++) {
		struct dumpstat_row row = s.segments[i], *last;

		row.vsid = 0;
		last = s.n_summary ? &s.summary[s.n_summary - 1] : NULL;
		if (last && compare(last, &row) == 0) {
			last->segments++;
			add(last, &row);
		} else {
			s.summary[s.n_summary++] = row;
		}
	}
	*ret = s;
	return 0;
}

void dumpstat_fini(struct dumpstat *s)
{
	free(s->summary);
	free(s->segments);
	*s = (struct dumpstat){0};
}
