/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Elements of a state image that are a kernel device's: pinned bytes, cuts, flips, names. */
#include <check.h>
#include <stdlib.h>

#include "proto/devstate.h"
#include "tests/unit/golden-harness.h"

static const uint8_t eq[24] = {
	0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0x23};
static const uint8_t source[8] = {0, 0, 2, 5, 0, 0, 0, 1}, icp[8] = {0x10, 0, 0, 0, 0xfe, 0xff};
static const uint8_t pq[1] = {2}, tsc[12] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0x26, 0x25, 0xa0};
static const uint8_t clocks[24] = {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0x17,
	0x97, 0x9c, 0xfe, 0x36, 0x2a, 0, 0};
static const uint8_t words[16] = {0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 0, 0, 2, 0, 1};

static const struct {
	struct state_device d;
	const char *says;
} devices[] = {
	{{"xics", STATE_VM, STATE_DEVICE_ATTR, 1, 0x1000, source, 8},
		"device xics group 1 attr 0x1000"},
	{{"xics", 0, STATE_DEVICE_VCPU_REG, 0, 0x103000000000008c, icp, 8},
		"vCPU 0 device xics ONE_REG 0x103000000000008c"},
	{{"xive", STATE_VM, STATE_DEVICE_ATTR, 4, 6, eq, 24}, "device xive group 4 attr 0x6"},
	{{"xive", STATE_VM, STATE_DEVICE_ESB, 0, 0x1000, pq, 1},
		"device xive source 0x1000's P and Q"},
	{{"tsc", STATE_VM, STATE_DEVICE_CLOCK, 0, 0, clocks, 24}, "device tsc clock"},
	{{"tsc", 1, STATE_DEVICE_VCPU_TSC, 0, 0, tsc, 12}, "vCPU 1 device tsc TSC"},
};
#define DEVICES (sizeof(devices) / sizeof(devices[0]))

static const struct state_tce tces[] = {
	{0x80000001, 16, 0x1000, 0x10000, 0, 0, STATE_TCE_LITERAL, words},
	{0x80000001, 16, 0x1000, 0x10000, 5, 2, STATE_TCE_LITERAL, words},
	{0x80000001, 16, 0x1000, 0x10000, 0x100, 0x80, STATE_TCE_FILL, words},
};
#define TCES (sizeof(tces) / sizeof(tces[0]))

static void image(struct bytes *s)
{
	struct pack k;

	pack_init(&k, s->b, BYTES_MAX);
	for (size_t i = 0; i < DEVICES; i++)
		state_device_put(&k, &devices[i].d);
	for (size_t i = 0; i < TCES; i++)
		state_tce_put(&k, &tces[i]);
	ck_assert_int_eq(pack_end(&k), 0);
	s->len = k.len;
}

START_TEST(test_image_is_its_file)
{
	char text[STATE_NAME_MAX];
	struct bytes got, want;
	struct state_device d;
	struct state_elem e;
	struct state_tce t;
	struct unpack u;

	load("state-devices", &want);
	image(&got);
	same("state-devices", got.b, got.len, want.b, want.len);
	unpack_init(&u, want.b, want.len);
	for (size_t i = 0; i < DEVICES; i++) {
		ck_assert_int_eq(state_next(&u, &e), 1);
		ck_assert_int_eq(state_device(&e, &d), 0);
		ck_assert_int_eq(state_tce(&e, &t), -EBADMSG);
		ck_assert_str_eq(d.name, devices[i].d.name);
		ck_assert_uint_eq(d.vcpu, devices[i].d.vcpu);
		ck_assert_uint_eq(d.space, devices[i].d.space);
		ck_assert_uint_eq(d.group, devices[i].d.group);
		ck_assert_uint_eq(d.attr, devices[i].d.attr);
		ck_assert_uint_eq(d.size, devices[i].d.size);
		ck_assert_int_eq(memcmp(d.data, devices[i].d.data, d.size), 0);
		state_describe(&e, text);
		ck_assert_str_eq(text, devices[i].says);
	}
	for (size_t i = 0; i < TCES; i++) {
		ck_assert_int_eq(state_next(&u, &e), 1);
		ck_assert_int_eq(state_tce(&e, &t), 0);
		ck_assert_int_eq(state_device(&e, &d), -EBADMSG);
		ck_assert_uint_eq(t.liobn, tces[i].liobn);
		ck_assert_uint_eq(t.page_shift, tces[i].page_shift);
		ck_assert_uint_eq(t.offset, tces[i].offset);
		ck_assert_uint_eq(t.entries, tces[i].entries);
		ck_assert_uint_eq(t.first, tces[i].first);
		ck_assert_uint_eq(t.count, tces[i].count);
		ck_assert_uint_eq(t.form, tces[i].form);
		ck_assert_int_eq(
			memcmp(t.data, words, t.form == STATE_TCE_FILL ? 8 : t.count * 8), 0);
	}
	state_describe(&e, text);
	ck_assert_str_eq(text, "TCE table 0x80000001 from entry 256");
	ck_assert_int_eq(state_next(&u, &e), 0);
}
END_TEST

/* Every element, in a copy that ends where its value does: nothing outside is touched. */
static void look(const struct state_elem *elem, uint32_t size)
{
	struct state_elem e = *elem;
	uint8_t *copy = malloc(size ? size : 1);
	char text[STATE_NAME_MAX];
	struct state_device d;
	struct state_tce t;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, elem->value, size);
	e.value = copy;
	e.size = size;
	if (state_device(&e, &d) == 0) {
		ck_assert(state_device_name_ok(d.name));
		ck_assert(d.data >= copy && d.data + d.size == copy + size);
	}
	if (state_tce(&e, &t) == 0) {
		ck_assert_uint_le(t.first + t.count, t.entries);
		ck_assert_uint_le(t.first, t.entries);
		ck_assert(t.data >= copy && t.data <= copy + size);
	}
	state_describe(&e, text);
	ck_assert_uint_lt(strlen(text), STATE_NAME_MAX);
	free(copy);
}

START_TEST(test_cut_at_every_byte)
{
	struct state_elem e;
	struct state_tce t;
	struct bytes s;
	struct unpack u;

	image(&s);
	unpack_init(&u, s.b, s.len);
	while (state_next(&u, &e) > 0) {
		for (uint32_t size = 0; size <= e.size; size++) {
			struct state_elem cut = e;

			look(&e, size);
			cut.size = size;
			if (e.kind == STATE_TCE) /* its size follows from its form and count */
				ck_assert_int_eq(
					state_tce(&cut, &t), size == e.size ? 0 : -EBADMSG);
		}
	}
}
END_TEST

START_TEST(test_every_bit_flipped)
{
	struct state_elem e;
	struct bytes s;
	struct unpack u;

	image(&s);
	for (size_t bit = 0; bit < s.len * 8; bit++) {
		s.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		unpack_init(&u, s.b, s.len);
		while (state_next(&u, &e) > 0)
			look(&e, e.size);
		s.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

/* protocol.md 8.2: "name | str | 1 to 31 bytes of printable ASCII without a blank" */
START_TEST(test_names)
{
	char longest[STATE_DEVICE_NAME_MAX + 2], text[STATE_NAME_MAX];
	struct state_device d = {"", 65534, 99, UINT32_MAX, UINT64_MAX, pq, 1};
	struct state_elem e;
	struct bytes s;
	struct unpack u;
	struct pack k;

	memset(longest, 'x', sizeof(longest));
	longest[STATE_DEVICE_NAME_MAX + 1] = 0;
	ck_assert(!state_device_name_ok(longest));
	longest[STATE_DEVICE_NAME_MAX] = 0;
	ck_assert(state_device_name_ok(longest));
	ck_assert(!state_device_name_ok(""));
	ck_assert(!state_device_name_ok("a b"));
	/* The longest that can be said of one is said whole. */
	memcpy(d.name, longest, sizeof(d.name));
	for (uint16_t space = 0; space < 8; space++) {
		d.space = space;
		pack_init(&k, s.b, BYTES_MAX);
		state_device_put(&k, &d);
		unpack_init(&u, s.b, k.len);
		ck_assert_int_eq(state_next(&u, &e), 1);
		state_describe(&e, text);
		ck_assert_ptr_nonnull(strstr(text, longest));
		if (space != STATE_DEVICE_CLOCK && space != STATE_DEVICE_VCPU_TSC)
			ck_assert_msg(strstr(text, "0xffffffffffffffff") != NULL, "%s", text);
	}
}
END_TEST

/*
 * A value of another size than any device's, and a chunk of too many entries.
 *
 * protocol.md 8.2: "data | to the end of the value | at most 64 bytes: fields, each big-endian"
 * protocol.md 8.3: "count | u32 | within the table; 0: none"
 * protocol.md 8.3: "form | u16 | 1: count entries follow, 4096 at most; 2: one follows, which all
 * of them are"
 */
START_TEST(test_too_large)
{
	static uint8_t big[STATE_TCE_CHUNK * 8 + 64];
	struct state_elem e = {.kind = STATE_DEVICE, .vcpu = STATE_VM, .value = big};
	struct state_device d;
	struct state_tce t;
	struct pack k;

	pack_init(&k, big, sizeof(big));
	pack_str(&k, "x");
	pack_u16(&k, STATE_DEVICE_ATTR);
	pack_u32(&k, 1);
	e.size = (uint32_t)k.len + STATE_DEVICE_DATA_MAX;
	ck_assert_int_eq(state_device(&e, &d), 0);
	e.size++;
	ck_assert_int_eq(state_device(&e, &d), -EBADMSG);

	e.kind = STATE_TCE;
	for (uint32_t more = 0; more < 2; more++) {
		pack_init(&k, big, sizeof(big));
		pack_u32(&k, 16);
		pack_u64(&k, 0);
		pack_u64(&k, 1 << 20);
		pack_u64(&k, 0);
		pack_u32(&k, STATE_TCE_CHUNK + more);
		pack_u16(&k, STATE_TCE_LITERAL);
		e.size = (uint32_t)k.len + (STATE_TCE_CHUNK + more) * 8;
		ck_assert_int_eq(state_tce(&e, &t), more ? -EBADMSG : 0);
	}
	e.vcpu = 0; /* a vCPU has none */
	ck_assert_int_eq(state_tce(&e, &t), -EBADMSG);
}
END_TEST

/* The bytes of a good one, of another kind or a vCPU, without a field, or of no form. */
START_TEST(test_elements_that_are_none)
{
	static uint8_t value[256];
	struct state_elem e = {.kind = STATE_DEVICE, .vcpu = STATE_VM, .value = value};
	struct state_device d;
	struct state_tce t;
	struct pack k;

	pack_init(&k, value, sizeof(value));
	pack_str(&k, "xics");
	pack_u16(&k, STATE_DEVICE_ATTR);
	pack_u32(&k, 1);
	for (e.size = 0; e.size < k.len; e.size++)
		ck_assert_int_eq(state_device(&e, &d), -EBADMSG);
	ck_assert_int_eq(state_device(&e, &d), 0);
	e.kind = STATE_BLOB;
	ck_assert_int_eq(state_device(&e, &d), -EBADMSG);

	for (uint16_t form = 0; form < 4; form++) {
		bool good = form == STATE_TCE_LITERAL || form == STATE_TCE_FILL;

		pack_init(&k, value, sizeof(value));
		pack_u32(&k, 16);
		pack_u64(&k, 0);
		pack_u64(&k, 100);
		pack_u64(&k, 0);
		pack_u32(&k, 1); /* one entry in either form */
		pack_u16(&k, form);
		pack_u64(&k, 0);
		e = (struct state_elem){.kind = STATE_TCE,
			.vcpu = STATE_VM,
			.value = value,
			.size = (uint32_t)k.len};
		ck_assert_int_eq(state_tce(&e, &t), good ? 0 : -EBADMSG);
		e.kind = STATE_DEVICE;
		ck_assert_int_eq(state_tce(&e, &t), -EBADMSG);
		e.kind = STATE_TCE;
		e.vcpu = 0;
		ck_assert_int_eq(state_tce(&e, &t), -EBADMSG);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proto-devstate");
	TCase *t = tcase_create("proto-devstate");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_image_is_its_file);
	tcase_add_test(t, test_cut_at_every_byte);
	tcase_add_test(t, test_every_bit_flipped);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_too_large);
	tcase_add_test(t, test_elements_that_are_none);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
