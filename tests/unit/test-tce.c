/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables of translation control entries: there and back, what is sent, what is refused. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "vmm/device/tce.h"

#define ENTRIES   10000u
#define IMAGE_MAX (1u << 20)
#define LIOBN     0x80000001u

static struct lib_tces from, to;
static uint8_t image[IMAGE_MAX];
static size_t image_len;
static struct err err;

static int memory(uint64_t entries)
{
	int fd = fd_memfd("tce");

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(entries * 8)), 0);
	return fd;
}

static struct htabvmm_tce geometry(void)
{
	return (struct htabvmm_tce){.size = sizeof(struct htabvmm_tce),
		.fd = -1,
		.liobn = LIOBN,
		.page_shift = 16,
		.offset = 0x1000,
		.entries = ENTRIES};
}

static uint64_t *add(struct lib_tces *l, struct htabvmm_tce c)
{
	c.fd = memory(c.entries);
	ck_assert_int_eq(tces_add(l, &c), 0);
	fd_close(c.fd); /* the mapping keeps it */
	return l->all[l->count - 1].table;
}

static void setup(void)
{
	memset(&from, 0, sizeof(from));
	memset(&to, 0, sizeof(to));
	err = (struct err){0};
}

static void teardown(void)
{
	tces_free(&from);
	tces_free(&to);
}

static unsigned save(void)
{
	struct state_elem e;
	struct unpack u;
	struct pack k;
	unsigned n = 0;

	pack_init(&k, image, sizeof(image));
	tces_save(&from, &k);
	ck_assert_int_eq(pack_end(&k), 0);
	image_len = k.len;
	unpack_init(&u, image, image_len);
	while (state_next(&u, &e) > 0)
		n++;
	return n;
}

static int load(void)
{
	struct state_elem e;
	struct unpack u;
	int r = 0;

	tces_check_begin(&to);
	unpack_init(&u, image, image_len);
	while (r == 0 && (r = state_next(&u, &e)) > 0)
		r = tces_check(&to, &e, &err);
	if (r == 0)
		r = tces_check_end(&to, &err);
	if (r < 0)
		return r;
	tces_load_begin(&to);
	unpack_init(&u, image, image_len);
	while (state_next(&u, &e) > 0)
		tces_load(&to, &e);
	return 0;
}

/* Every shape of a table: (value of entry i) */
static uint64_t shape(int which, uint64_t i)
{
	switch (which) {
	case 0: return 0;
	case 1: return 0x10003;                                   /* one run */
	case 2: return i << 16 | 3;                               /* all differ */
	case 3: return i % 5 ? i << 16 | 3 : 0;                   /* single holes */
	case 4: return i / 10 % 2 ? 0 : 0x20001;                  /* runs and holes */
	case 5: return i == ENTRIES - 1 ? 0xffffffffffffffff : 0; /* the last alone */
	case 6: return i == 0;                                    /* the first alone */
	case 7: return i ? (i / 2) << 16 | 3 : 0; /* pairs, one of them over a chunk's end */
	default: return (i * 0x9e3779b97f4a7c15ull >> 61) << 16; /* all of it, mixed */
	}
}
#define SHAPES 9

START_TEST(test_there_and_back)
{
	uint64_t *x = add(&from, geometry()), *y = add(&to, geometry());
	unsigned n;

	for (uint64_t i = 0; i < ENTRIES; i++) {
		x[i] = shape(_i, i);
		y[i] = ~i; /* of an earlier guest */
	}
	n = save();
	ck_assert_int_eq(load(), 0);
	for (uint64_t i = 0; i < ENTRIES; i++)
		ck_assert_uint_eq(y[i], shape(_i, i));
	if (_i < 2)
		ck_assert_uint_eq(n, 1 + (unsigned)_i); /* it says that there is one; a run */
	if (_i == 2 || _i == 3)                         /* literals, holes and all */
		ck_assert_uint_eq(n, 1 + (ENTRIES + STATE_TCE_CHUNK - 1) / STATE_TCE_CHUNK);
}
END_TEST

START_TEST(test_several)
{
	struct htabvmm_tce g = geometry();
	uint64_t *x[3], *y[3];

	for (unsigned i = 0; i < 3; i++) {
		g.liobn = LIOBN + i;
		g.entries = 100 + i;
		x[i] = add(&from, g);
		x[i][i] = 7;
	}
	for (unsigned i = 3; i-- > 0;) { /* in another order */
		g.liobn = LIOBN + i;
		g.entries = 100 + i;
		y[i] = add(&to, g);
	}
	save();
	ck_assert_int_eq(load(), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(memcmp(x[i], y[i], (100 + i) * 8), 0);
}
END_TEST

static void put(struct state_tce c)
{
	struct pack k;

	pack_init(&k, image, sizeof(image));
	k.len = image_len;
	state_tce_put(&k, &c);
	ck_assert_int_eq(pack_end(&k), 0);
	image_len = k.len;
}

static const uint8_t words[64];
#define CHUNK(first_, count_)                                                                  \
	{                                                                                      \
		.liobn = LIOBN, .page_shift = 16, .offset = 0x1000, .entries = ENTRIES,        \
		.first = (first_), .count = (count_), .form = STATE_TCE_LITERAL, .data = words \
	}

static const struct hostile {
	struct state_tce c[2];
	int error;
	const char *says;
} hostile[] = {
	{{CHUNK(0, 4), {.liobn = 5, .page_shift = 16, .entries = 1, .form = STATE_TCE_LITERAL}},
		-ENODEV, "no such table"},
	{{CHUNK(10, 4), CHUNK(13, 1)}, -EEXIST, "came before"},
	{{CHUNK(10, 4), CHUNK(0, 0)}, -EEXIST, "came before"},
	{{CHUNK(10, 4), CHUNK(ENTRIES, 1)}, -EBADMSG, "malformed"},
	{{CHUNK(10, 4), CHUNK(ENTRIES - 1, 2)}, -EBADMSG, "malformed"},
	{{CHUNK(10, 4), CHUNK(UINT64_MAX, 1)}, -EBADMSG, "malformed"},
	{{CHUNK(10, 4),
		 {.liobn = LIOBN,
			 .page_shift = 12,
			 .offset = 0x1000,
			 .entries = ENTRIES,
			 .first = 20,
			 .form = STATE_TCE_LITERAL}},
		-EINVAL, "2^12"},
	{{CHUNK(10, 4),
		 {.liobn = LIOBN,
			 .page_shift = 16,
			 .offset = 0,
			 .entries = ENTRIES,
			 .first = 20,
			 .form = STATE_TCE_LITERAL}},
		-EINVAL, "from page 0"},
	{{CHUNK(10, 4),
		 {.liobn = LIOBN,
			 .page_shift = 16,
			 .offset = 0x1000,
			 .entries = ENTRIES + 1,
			 .first = 20,
			 .form = STATE_TCE_LITERAL}},
		-EINVAL, "10001 entries"},
};
#define HOSTILE ((int)(sizeof(hostile) / sizeof(hostile[0])))

/*
 * protocol.md 8.3: "LIOBN, page shift, window and size are those of the destination's table, or the
 * image is refused."
 */
START_TEST(test_hostile)
{
	uint64_t *y = add(&to, geometry());

	y[11] = 99;
	image_len = 0;
	put(hostile[_i].c[0]);
	ck_assert_int_eq(load(), 0);
	ck_assert_uint_eq(y[11], 0);
	y[11] = 99;
	put(hostile[_i].c[1]);
	ck_assert_int_eq(load(), hostile[_i].error);
	ck_assert_msg(strstr(err.text, hostile[_i].says) != NULL, "%s", err.text);
	ck_assert_uint_eq(y[11], 99); /* nothing was changed */
}
END_TEST

START_TEST(test_missing)
{
	add(&to, geometry());
	image_len = 0;
	ck_assert_int_eq(load(), -ENODATA);
	ck_assert_msg(strstr(err.text, "TCE table 0x80000001") != NULL, "%s", err.text);
}
END_TEST

START_TEST(test_limits)
{
	struct htabvmm_tce g = geometry();
	int want = -EINVAL;

	g.fd = memory(ENTRIES);
	switch (_i) {
	case 0: g.size++; break;
	case 1: g.page_shift = 11; break;
	case 2: g.page_shift = 35; break;
	case 3: g.entries = 0; break;
	case 4: g.entries = LIB_TCE_ENTRIES_MAX + 1; break;
	case 5: g.entries = ENTRIES + 1; break; /* beyond the file's end */
	case 6:
		fd_close(g.fd);
		g.fd = -1;
		want = -EBADF;
		break;
	default: want = 0; break;
	}
	ck_assert_int_eq(tces_add(&from, &g), want);
	ck_assert_uint_eq(from.count, want == 0);
	if (want == 0) {
		ck_assert_int_eq(tces_add(&from, &g), -EEXIST);
		for (; from.count < LIB_TCES_MAX; g.entries = 1) {
			g.liobn++;
			ck_assert_int_eq(tces_add(&from, &g), 0);
		}
		g.liobn++;
		ck_assert_int_eq(tces_add(&from, &g), -ENOSPC);
	}
	fd_close(g.fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tce");
	TCase *t = tcase_create("tce");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_there_and_back, 0, SHAPES);
	tcase_add_test(t, test_several);
	tcase_add_loop_test(t, test_hostile, 0, HOSTILE);
	tcase_add_test(t, test_missing);
	tcase_add_loop_test(t, test_limits, 0, 8);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
