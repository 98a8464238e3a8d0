/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records as a peer or a VMM sends them: what is taken stays the same through every form. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/htab.h"

#define PIECE_MIN (HTAB_HDR_SIZE + HTAB_HPTE_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Every record in pieces of that size: together they hold what it held. */
static void split_all(const uint8_t *buf, size_t len, uint64_t entries, size_t piece,
	const struct htab_count *want)
{
	struct htab_count got = {0}, c;
	struct htab_iter it;
	struct htab_rec rec;
	const char *why;
	uint8_t *dst = malloc(piece);

	assert(dst);
	htab_iter_init(&it, buf, len, entries, HTAB_WIRE);
	while (htab_iter_next(&it, &rec) > 0) {
		while (rec.n_valid || rec.n_invalid) {
			size_t n = htab_split(&rec, dst, piece, HTAB_WIRE);

			assert(n <= piece);
			assert(htab_check(dst, n, entries, HTAB_WIRE, &c, &why) == 0);
			got.valid += c.valid;
			got.invalid += c.invalid;
			got.end = c.end;
		}
	}
	assert(got.valid == want->valid && got.invalid == want->invalid && got.end == want->end);
	free(dst);
}

/* The same bytes as TLB entries: what is taken can be shown and told again. */
static void look_at_tlb(const uint8_t *data, size_t len, uint64_t entries)
{
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init_kind(&it, HTAB_TLB, data, len, entries, HTAB_WIRE);
	while (htab_iter_next(&it, &rec) > 0) {
		for (unsigned i = 0; i < rec.n_valid; i++) {
			const uint8_t *at = rec.hptes + (size_t)i * TLB_ENTRY_SIZE;
			uint8_t back[TLB_ENTRY_SIZE];
			struct tlb_fields f;
			struct tlb_entry e;

			tlb_entry_get(at, &e);
			for (unsigned tlbsel = 0; tlbsel < 2; tlbsel++) {
				tlb_decode(&e, tlbsel, &f);
				assert(f.size >= 1024 && (f.size & (f.size - 1)) == 0);
				assert(strlen(f.user) == 3 && strlen(f.supervisor) == 3);
				assert(strlen(f.wimge) == 5 && f.ts <= 1);
			}
			tlb_entry_put(back, &e);
			assert(memcmp(back, at, sizeof(back)) == 0);
		}
	}
}

/* First byte: the table's order and the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct htab_count count, again;
	const char *why = NULL;
	uint64_t entries;
	uint8_t *copy;
	unsigned choice;

	if (len == 0)
		return 0;
	choice = *data++;
	len--;
	entries = htab_entries(HTAB_ORDER_MIN + choice % (HTAB_ORDER_MAX - HTAB_ORDER_MIN + 1));
	look_at_tlb(data, len, entries);
	if (htab_check(data, len, entries, HTAB_WIRE, &count, &why) < 0) {
		assert(why);
		return 0;
	}
	assert(count.end <= entries);
	copy = malloc(len ? len : 1);
	assert(copy);
	if (len)
		memcpy(copy, data, len);
	htab_convert(copy, len, HTAB_WIRE, HTAB_HOST);
	assert(htab_check(copy, len, entries, HTAB_HOST, &again, &why) == 0);
	assert(memcmp(&count, &again, sizeof(count)) == 0);
	htab_convert(copy, len, HTAB_HOST, HTAB_WIRE);
	assert(len == 0 || memcmp(copy, data, len) == 0);
	free(copy);
	split_all(data, len, entries, PIECE_MIN + choice, &count);
	return 0;
}
