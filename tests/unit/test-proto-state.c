/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine-state image. */
#include <check.h>
#include <stdlib.h>

#include "proto/state.h"
#include "proto/onereg.h"

struct image {
	uint8_t buf[512];
	struct pack k;
};

static void sample(struct image *m)
{
	static const uint8_t slb[16] = {8, 1}, vr[16] = {1, 2, 3};
	uint8_t blob[64];
	struct pack b;

	pack_init(&m->k, m->buf, sizeof(m->buf));
	state_put_u64(&m->k, STATE_REG, 3, STATE_REG_MSR, 0x8000000000000001ull);
	state_put_u32(&m->k, STATE_SREG, 3, STATE_SREG_PVR, 0x4e1202);
	state_put(&m->k, STATE_SREG, 3, STATE_SREG_SLB + 7, slb, sizeof(slb));
	state_put(&m->k, STATE_ONE_REG, 0, ONE_REG_PPC | ONE_REG_U128 | 0x40, vr, sizeof(vr));
	pack_init(&b, blob, sizeof(blob));
	pack_u32(&b, 1);
	pack_str(&b, "memory");
	pack_bytes(&b, "xyz", 3);
	state_put(&m->k, STATE_BLOB, STATE_VM, 0, blob, (uint32_t)b.len);
	ck_assert_int_eq(pack_end(&m->k), 0);
}

/* Iterate everything and look at each value, in a copy that ends where it ends. */
static int walk(const void *buf, size_t len, unsigned *ret_n)
{
	uint8_t *p = malloc(len ? len : 1);
	char text[STATE_NAME_MAX];
	struct state_blob blob;
	struct state_elem e;
	struct unpack u;
	uint64_t v;
	int r;

	ck_assert_ptr_nonnull(p);
	memcpy(p, buf, len);
	unpack_init(&u, p, len);
	*ret_n = 0;
	while ((r = state_next(&u, &e)) > 0) {
		++*ret_n;
		ck_assert(e.value >= p && e.value + e.size <= p + len);
		state_value(&e, &v);
		state_describe(&e, text);
		ck_assert_uint_lt(strlen(text), STATE_NAME_MAX);
		if (state_blob(&e, &blob) == 0)
			ck_assert(blob.data + blob.size == e.value + e.size);
	}
	free(p);
	return r;
}

START_TEST(test_there_and_back)
{
	char text[STATE_NAME_MAX];
	struct state_blob blob;
	struct state_elem e;
	struct image m;
	struct unpack u;
	uint64_t v;

	sample(&m);
	unpack_init(&u, m.buf, m.k.len);
	ck_assert_int_eq(state_next(&u, &e), 1);
	ck_assert(e.kind == STATE_REG && e.vcpu == 3 && e.id == STATE_REG_MSR);
	ck_assert_int_eq(state_value(&e, &v), 0);
	ck_assert_uint_eq(v, 0x8000000000000001ull);
	state_describe(&e, text);
	ck_assert_str_eq(text, "vCPU 3 register MSR");
	ck_assert_int_eq(state_next(&u, &e), 1);
	ck_assert_int_eq(state_value(&e, &v), 0);
	ck_assert_uint_eq(v, 0x4e1202);
	ck_assert_int_eq(state_next(&u, &e), 1);
	state_describe(&e, text);
	ck_assert_str_eq(text, "vCPU 3 SLB slot 7");
	ck_assert_int_eq(state_value(&e, &v), -EBADMSG); /* 16 bytes */
	ck_assert_int_eq(state_blob(&e, &blob), -EBADMSG);
	ck_assert_int_eq(state_next(&u, &e), 1);
	state_describe(&e, text);
	ck_assert_str_eq(text, "vCPU 0 register VR0 (ONE_REG 0x1040000000000040)");
	ck_assert_int_eq(state_next(&u, &e), 1);
	ck_assert_int_eq(state_blob(&e, &blob), 0);
	ck_assert_str_eq(blob.name, "memory");
	ck_assert_uint_eq(blob.version, 1);
	ck_assert_uint_eq(blob.size, 3);
	ck_assert_int_eq(memcmp(blob.data, "xyz", 3), 0);
	state_describe(&e, text);
	ck_assert_str_eq(text, "blob memory");
	ck_assert_int_eq(state_next(&u, &e), 0);
}
END_TEST

START_TEST(test_pinned_bytes)
{
	static const uint8_t want[] = {
		0, 1, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 33, 0x80, 0, 0, 0, 0, 0, 0, 1};
	struct image m;

	sample(&m);
	ck_assert_int_eq(memcmp(m.buf, want, sizeof(want)), 0);
}
END_TEST

/* protocol.md 8: "4 | size | u32 | of the value, within the image" */
START_TEST(test_cut_at_every_byte)
{
	struct image m;
	unsigned n, whole = 0;

	sample(&m);
	for (size_t len = 0; len <= m.k.len; len++) {
		int r = walk(m.buf, len, &n);

		ck_assert(r == 0 || r == -EBADMSG);
		whole += r == 0;
		if (len == m.k.len)
			ck_assert(r == 0 && n == 5);
	}
	ck_assert_uint_eq(whole, 6); /* at the boundaries alone */
}
END_TEST

START_TEST(test_every_bit_flipped)
{
	struct image m;
	unsigned n;

	sample(&m);
	for (size_t bit = 0; bit < m.k.len * 8; bit++) {
		m.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		walk(m.buf, m.k.len, &n);
		m.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(test_blob_names)
{
	char longest[STATE_BLOB_NAME_MAX + 2];

	memset(longest, 'x', sizeof(longest));
	longest[STATE_BLOB_NAME_MAX + 1] = 0;
	ck_assert(!state_blob_name_ok(longest));
	longest[STATE_BLOB_NAME_MAX] = 0;
	ck_assert(state_blob_name_ok(longest));
	ck_assert(!state_blob_name_ok(""));
	ck_assert(!state_blob_name_ok("a b"));
	ck_assert(!state_blob_name_ok("a\n"));
	ck_assert(!state_blob_name_ok("\xc3\xa9"));
	ck_assert(!state_blob_name_ok("a\x7f"));
}
END_TEST

/* protocol.md 8: "A blob's name is 1 to 63 bytes of printable ASCII without a blank" */
START_TEST(test_blobs_that_are_none)
{
	uint8_t value[128];
	struct state_elem e = {.kind = STATE_BLOB, .vcpu = STATE_VM, .value = value};
	static const char *const names[] = {"good", "", "a b", "\x7f"};
	struct state_blob b;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct pack k;

		pack_init(&k, value, sizeof(value));
		pack_u32(&k, 1);
		pack_str(&k, names[i]);
		pack_bytes(&k, "data", 4);
		e.size = (uint32_t)k.len;
		ck_assert_int_eq(state_blob(&e, &b), i == 0 ? 0 : -EBADMSG);
		if (i > 0)
			continue;
		e.kind = STATE_SREG; /* the same bytes of another kind */
		ck_assert_int_eq(state_blob(&e, &b), -EBADMSG);
		e.kind = STATE_BLOB;
		for (e.size = 0; e.size < 10; e.size++) /* without all of its name */
			ck_assert_int_eq(state_blob(&e, &b), -EBADMSG);
	}
}
END_TEST

START_TEST(test_everything_is_described)
{
	static const uint16_t kinds[] = {
		0, STATE_REG, STATE_SREG, STATE_ONE_REG, STATE_BLOB, STATE_TIME, 6, 0xffff};
	static const uint64_t ids[] = {0, 1, 31, 32, 40, STATE_REG_SPRG0, STATE_REG_END, 0xff,
		0x100, 0x13f, 0x10ff, 0x1100, UINT64_MAX};
	char text[STATE_NAME_MAX];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (size_t j = 0; j < sizeof(ids) / sizeof(ids[0]); j++) {
			struct state_elem e = {.kind = kinds[i],
				.vcpu = 65534,
				.id = ids[j],
				.value = (const uint8_t *)""};

			memset(text, 'x', sizeof(text));
			state_describe(&e, text);
			ck_assert(memchr(text, 0, sizeof(text)) != NULL);
			ck_assert_str_ne(text, "");
		}
	}
}
END_TEST

START_TEST(test_overflow_is_said_at_the_end)
{
	uint8_t small[STATE_HDR_SIZE + 7];
	struct pack k;

	pack_init(&k, small, sizeof(small));
	state_put_u64(&k, STATE_REG, 0, 0, 1);
	ck_assert_int_eq(pack_end(&k), -EMSGSIZE);
}
END_TEST

START_TEST(test_one_reg_order)
{
	uint64_t vr = ONE_REG_PPC | ONE_REG_U128 | 0x40, vpa = ONE_REG_PPC | ONE_REG_U128 | 0x83;
	unsigned __int128 v = (unsigned __int128)0x0001020304050607ull << 64 |
		0x08090a0b0c0d0e0full;
	uint64_t pair[2] = {0x0001020304050607ull, 0x08090a0b0c0d0e0full};
	uint8_t be[16], back[16];

	one_reg_swap(vr, be, &v);
	for (uint8_t i = 0; i < 16; i++)
		ck_assert_uint_eq(be[i], i);
	one_reg_swap(vr, back, be);
	ck_assert_int_eq(memcmp(back, &v, 16), 0);
	one_reg_swap(vpa, be, pair);
	for (uint8_t i = 0; i < 16; i++)
		ck_assert_uint_eq(be[i], i);
	ck_assert(one_reg_ok(vr) && one_reg_size(vr) == 16);
	ck_assert(one_reg_ok(ONE_REG_PPC | ONE_REG_U32 | ONE_REG_TM | 0x67));
	ck_assert(!one_reg_ok(ONE_REG_PPC | 0x40));
	ck_assert(!one_reg_ok(ONE_REG_PPC | ONE_REG_U64 | 1ull << 40));
	ck_assert(!one_reg_ok(ONE_REG_U64 | 0x40));
	ck_assert(!one_reg_ok(ONE_REG_PPC | 0x00f0000000000000ull));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proto-state");
	TCase *t = tcase_create("state");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_there_and_back);
	tcase_add_test(t, test_pinned_bytes);
	tcase_add_test(t, test_cut_at_every_byte);
	tcase_add_test(t, test_every_bit_flipped);
	tcase_add_test(t, test_blob_names);
	tcase_add_test(t, test_blobs_that_are_none);
	tcase_add_test(t, test_everything_is_described);
	tcase_add_test(t, test_overflow_is_said_at_the_end);
	tcase_add_test(t, test_one_reg_order);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
