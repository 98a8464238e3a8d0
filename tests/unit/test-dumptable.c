/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What htabctl dump makes of files: of each kind, and where a damaged one breaks. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "tests/unit/golden-harness.h"
#include "tools/htabctl/dumpstat.h"
#include "tools/htabctl/dumptable.h"

#define TABLE (1u << 18)

static char path[] = "/tmp/test-dumptable-XXXXXX";
static uint8_t flat[TABLE];

static void begin(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	memset(flat, 0, sizeof(flat));
}

static void end(void)
{
	unlink(path);
}

static void put(const void *buf, size_t len)
{
	int fd = open(path, O_TRUNC | O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, buf, len), (int)len);
	close(fd);
}

static struct dumptable *get(unsigned order)
{
	struct dumptable *d = NULL;
	struct err err = {0};

	ck_assert_msg(dumptable_read(path, order, &d, &err) == 0, "%s", err.text);
	return d;
}

static void refused(const char *words)
{
	struct dumptable *d = NULL;
	struct err err = {0};

	ck_assert_int_lt(dumptable_read(path, 0, &d, &err), 0);
	ck_assert_msg(strstr(err.text, words) && strstr(err.text, path),
		"\"%s\" does not say \"%s\"", err.text, words);
}

static uint64_t valid(const struct dumptable *d)
{
	struct dumpstat s;
	uint64_t n;

	ck_assert_int_eq(dumpstat_count(d->flat, dumptable_entries(d), false, &s), 0);
	n = s.valid;
	dumpstat_fini(&s);
	return n;
}

static uint64_t hpte(const struct dumptable *d, uint64_t index)
{
	return be64_get(d->flat + index * HTAB_HPTE_SIZE);
}

/* -- a saved guest -- */

START_TEST(saved_guest_is_its_last_pass)
{
	struct dumptable *d;
	struct bytes g;

	load("saved-file", &g);
	put(g.b, g.len);
	d = get(0);
	ck_assert_int_eq(d->kind, DUMP_SAVED);
	ck_assert_int_eq(d->damage.code, 0);
	ck_assert_uint_eq(d->order, 18);
	ck_assert_uint_eq(d->passes, 3);
	ck_assert_uint_eq(valid(d), 2);
	ck_assert_uint_eq(hpte(d, 0), 0x5011);
	ck_assert_uint_eq(hpte(d, 1), 0); /* the third pass took it away */
	ck_assert_uint_eq(hpte(d, 1000), 0x7013);
	ck_assert_uint_eq(d->image_size, 48);
	ck_assert_str_eq(d->about.open.name, "vm1");
	dumptable_free(d);
}
END_TEST

/* Cut anywhere: what is before that is shown, and where it is cut is said. */
START_TEST(cut_saved_guest_breaks_where_it_is_cut)
{
	unsigned shown = 0;
	struct bytes g;

	load("saved-file", &g);
	for (size_t n = 1; n < g.len; n++) {
		struct dumptable *d = NULL;
		struct err err = {0};
		char at[64];
		int r;

		put(g.b, n);
		r = dumptable_read(path, 0, &d, &err);
		if (r < 0) /* before OPEN there is nothing to show */
			continue;
		ck_assert_int_eq(d->damage.code, -EBADMSG);
		ck_assert_uint_eq(d->damage_at, n);
		snprintf(at, sizeof(at), "at byte %zu: it ends", n);
		ck_assert_msg(strstr(d->damage.text, at) != NULL, "%s", d->damage.text);
		dumptable_free(d);
		shown++;
	}
	ck_assert_uint_gt(shown, 400);
}
END_TEST

START_TEST(changed_saved_guest_is_damaged)
{
	struct bytes g;

	load("saved-file", &g);
	for (size_t i = 0; i < g.len; i++) {
		struct dumptable *d = NULL;
		struct err err = {0};

		g.b[i] ^= 0x11;
		put(g.b, g.len);
		g.b[i] ^= 0x11;
		if (dumptable_read(path, 0, &d, &err) < 0)
			continue;
		ck_assert_msg(d->damage.code < 0, "byte %zu", i);
		dumptable_free(d);
	}
}
END_TEST

START_TEST(damaged_record_is_named)
{
	struct dumptable *d;
	struct bytes g;

	load("saved-file", &g);
	/* the third record of the first chunk holds nothing */
	memset(g.b + 41 + 61 + 32 + 64 + 4, 0, 4);
	put(g.b, g.len);
	d = get(0);
	ck_assert_uint_eq(d->damage_at, 41 + 61 + 32 + 64);
	ck_assert_ptr_nonnull(
		strstr(d->damage.text, "record 3 of chunk 1: a record holds no entries"));
	dumptable_free(d);
}
END_TEST

/* -- records -- */

static void records_in(const char *file, bool big)
{
	struct dumptable *d;
	struct bytes g;

	load(file, &g);
	put(g.b, g.len);
	d = get(0);
	ck_assert_int_eq(d->kind, DUMP_RECORDS);
	ck_assert_int_eq(d->big_endian, big);
	ck_assert_int_eq(d->damage.code, 0);
	ck_assert_uint_eq(d->records, 3);
	ck_assert_uint_eq(d->order, 18); /* they reach to its end */
	ck_assert_uint_eq(valid(d), 3);
	ck_assert_uint_eq(hpte(d, 1000), 0x7013);
	dumptable_free(d);
	d = get(25);
	ck_assert_uint_eq(d->order, 25);
	ck_assert_uint_eq(valid(d), 3);
	dumptable_free(d);
}

START_TEST(records_of_either_byte_order_are_known)
{
	records_in("records", true);
	if (BYTE_ORDER == LITTLE_ENDIAN)
		records_in("records-le", false);
}
END_TEST

START_TEST(cut_records_break_at_the_record)
{
	static const size_t starts[] = {0, 40, 64, 72};
	struct bytes g;

	load("records", &g);
	for (size_t n = 41; n < g.len; n++) {
		size_t last = n > 64 ? 2 : n > 40 ? 1 : 0;
		struct dumptable *d;

		put(g.b, n);
		d = get(0);
		if (n == 64) {
			ck_assert_int_eq(d->damage.code, 0); /* cut between two records: whole */
		} else {
			ck_assert_int_eq(d->damage.code, -EBADMSG);
			ck_assert_uint_eq(d->damage_at, starts[last]);
			ck_assert_uint_eq(d->records, last);
			ck_assert_ptr_nonnull(strstr(d->damage.text, "cut short"));
		}
		dumptable_free(d);
	}
}
END_TEST

/* -- tables -- */

static void fill(void)
{
	be64_put(flat, 0x400ea1b217001b11); /* bolted, 1 TiB */
	be64_put(flat + 8, 0x1b217194);
	for (unsigned i = 100; i < 110; i++) { /* of one segment of 256 MiB, 64 KiB pages */
		be64_put(flat + 16 * i, UINT64_C(0x1234) << 12 | 0x5);
		be64_put(flat + 16 * i + 8, (uint64_t)i << 16 | 0x1000);
	}
	be64_put(flat + 16 * 16383, UINT64_C(0x1235) << 12 | 0x5); /* 16 MiB */
	be64_put(flat + 16 * 16383 + 8, 0x4000000);
	be64_put(flat + 16 * 200, 0x40); /* not valid */
}

static void is_the_table(const struct dumptable *d)
{
	ck_assert_int_eq(d->kind, DUMP_TABLE);
	ck_assert_uint_eq(d->order, 18);
	ck_assert_int_eq(memcmp(d->flat, flat, sizeof(flat)), 0);
	ck_assert_uint_eq(valid(d), 12);
}

START_TEST(flat_table_is_known_by_its_size)
{
	struct dumptable *d;

	fill();
	put(flat, sizeof(flat));
	d = get(0);
	is_the_table(d);
	ck_assert(!d->compressed);
	dumptable_free(d);
	put(flat, sizeof(flat) - 16);
	refused("is neither a saved guest, nor a table, nor records of one");
}
END_TEST

START_TEST(compressed_table_is_inflated)
{
	static uint8_t packed[TABLE];
	struct dumptable *d;
	size_t n;

	fill();
	n = ZSTD_compress(packed, sizeof(packed), flat, sizeof(flat), 3);
	ck_assert(!ZSTD_isError(n));
	put(packed, n);
	d = get(0);
	is_the_table(d);
	ck_assert(d->compressed);
	dumptable_free(d);
	put(packed, n - 1);
	refused("the zstd stream is cut short");
	packed[n / 2] ^= 0xff;
	packed[5] ^= 0xff;
	put(packed, n);
	refused("");
}
END_TEST

START_TEST(summary_is_by_segment_and_page_size)
{
	static const struct dumpstat_row want[] = {
		{0, 28, 16, 16, 1, 10, 0, 0, 0, 0, 0},
		{0, 28, 24, 24, 1, 1, 0, 0, 0, 0, 0},
		{0, 40, 12, 12, 1, 1, 1, 0, 1, 1, 0},
	};
	struct dumpstat s;

	fill();
	ck_assert_int_eq(dumpstat_count(flat, TABLE / 16, false, &s), 0);
	ck_assert_uint_eq(s.valid, 12);
	ck_assert_uint_eq(s.n_summary, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(s.summary[i].seg_shift, want[i].seg_shift);
		ck_assert_uint_eq(s.summary[i].base_shift, want[i].base_shift);
		ck_assert_uint_eq(s.summary[i].actual_shift, want[i].actual_shift);
		ck_assert_uint_eq(s.summary[i].segments, want[i].segments);
		ck_assert_uint_eq(s.summary[i].entries, want[i].entries);
		ck_assert_uint_eq(s.summary[i].bolted, want[i].bolted);
		ck_assert_uint_eq(s.summary[i].referenced, want[i].referenced);
		ck_assert_uint_eq(s.summary[i].changed, want[i].changed);
	}
	ck_assert_uint_eq(s.n_segments, 3);
	ck_assert_uint_eq(s.segments[0].vsid, 0x1234);
	ck_assert_uint_eq(s.segments[2].vsid, 0xea1b217);
	dumpstat_fini(&s);
	ck_assert_int_eq(dumpstat_count(flat, TABLE / 16, true, &s), 0);
	ck_assert_uint_eq(s.valid, 1);
	ck_assert_uint_eq(s.n_summary, 1);
	dumpstat_fini(&s);
}
END_TEST

/* More kinds than are counted at once, and more entries than kinds. */
START_TEST(every_entry_of_a_large_table_is_counted)
{
	uint64_t entries = htab_entries(24);
	uint8_t *table = calloc(entries, 16);
	struct dumpstat s;
	uint64_t sum = 0;

	ck_assert_ptr_nonnull(table);
	for (uint64_t i = 0; i < entries; i++)
		be64_put(table + 16 * i, (i % 300000) << 12 | HPTE_V_VALID);
	ck_assert_int_eq(dumpstat_count(table, entries, false, &s), 0);
	ck_assert_uint_eq(s.valid, entries);
	ck_assert_uint_eq(s.n_segments, 300000);
	for (size_t i = 0; i < s.n_segments; i++) {
		ck_assert_uint_eq(s.segments[i].vsid, i);
		sum += s.segments[i].entries;
	}
	ck_assert_uint_eq(sum, entries);
	ck_assert_uint_eq(s.n_summary, 1);
	ck_assert_uint_eq(s.summary[0].segments, 300000);
	dumpstat_fini(&s);
	free(table);
}
END_TEST

START_TEST(what_is_none_of_them_is_refused)
{
	struct dumptable *d = NULL;
	struct err err;

	put("", 0);
	refused("is empty");
	put("x", 1);
	refused("at byte 0: a record's header is cut short");
	put("a text, and nothing else at all", 31);
	refused("is neither a saved guest, nor a table, nor records of one: at byte 0: ");
	ck_assert_int_eq(dumptable_read("/tmp", 0, &d, &err), -EINVAL);
	ck_assert_int_eq(dumptable_read("/dev/zero", 0, &d, &err), -EINVAL);
	ck_assert_int_eq(dumptable_read("/no/such/file", 0, &d, &err), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dumptable");
	TCase *t = tcase_create("dumptable");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, saved_guest_is_its_last_pass);
	tcase_add_test(t, cut_saved_guest_breaks_where_it_is_cut);
	tcase_add_test(t, changed_saved_guest_is_damaged);
	tcase_add_test(t, damaged_record_is_named);
	tcase_add_test(t, records_of_either_byte_order_are_known);
	tcase_add_test(t, cut_records_break_at_the_record);
	tcase_add_test(t, flat_table_is_known_by_its_size);
	tcase_add_test(t, compressed_table_is_inflated);
	tcase_add_test(t, summary_is_by_segment_and_page_size);
	tcase_add_test(t, every_entry_of_a_large_table_is_counted);
	tcase_add_test(t, what_is_none_of_them_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
