/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices moved by recipes: what a destination refuses, setting nothing; what cannot be added. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/devices-harness.h"

/* -- what a destination refuses ---------------------------------------------------------------- */

static void append(struct state_device v)
{
	struct pack k;

	pack_init(&k, image, sizeof(image));
	k.len = image_len;
	state_device_put(&k, &v);
	ck_assert_int_eq(pack_end(&k), 0);
	image_len = k.len;
}

static const uint8_t eight[STATE_DEVICE_DATA_MAX] = {0, 0, 0, 0, 0, 0, 0, 4};

static const struct hostile {
	struct state_device v;
	int error;
	const char *says;
} hostile[] = {
	{{"nvram", STATE_VM, 1, 9, 2, eight, 8}, -ENODEV, "device nvram group 9 attr 0x2"},
	{{"own", STATE_VM, 1, 8, 2, eight, 8}, -EINVAL, "device own group 8 attr 0x2"},
	{{"own", STATE_VM, 1, 9, 3, eight, 8}, -EINVAL, "device own group 9 attr 0x3"},
	/* written by the recipe, and not moved */
	{{"own", STATE_VM, 1, 9, 1, eight, 4}, -EINVAL, "device own group 9 attr 0x1"},
	{{"own", 0, 1, 9, 2, eight, 8}, -EINVAL, "vCPU 0 device own group 9 attr 0x2"},
	{{"own", STATE_VM, 2, 7, 8, eight, 8}, -EINVAL, "device own group 7 attr 0x8"},
	{{"own", 2, 2, 7, 8, eight, 8}, -EINVAL, "vCPU 2 device own group 7 attr 0x8"},
	{{"own", 0, 2, 7, 9, eight, 8}, -EINVAL, "attr 0x9"}, /* between two */
	{{"own", 0, 2, 7, 14, eight, 8}, -EINVAL, "attr 0xe"},
	{{"own", 0, 2, 7, 6, eight, 8}, -EINVAL, "attr 0x6"},
	{{"own", STATE_VM, 1, 9, 0xffffffffffffffff, eight, 8}, -EINVAL, "0xffffffffffffffff"},
	{{"own", 0, 3, 0, ICP, eight, 8}, -EINVAL, "ONE_REG 0x103000000000008c"},
	{{"own", STATE_VM, 99, 9, 2, eight, 8}, -EINVAL, "unknown space 99"},
	{{"own", STATE_VM, 1, 9, 2, eight, 4}, -EBADMSG, "its size is another"},
	{{"own", STATE_VM, 1, 9, 2, eight, 64}, -EBADMSG, "its size is another"},
	{{"own", STATE_VM, 1, 9, 2, eight, 0}, -EBADMSG, "its size is another"},
	{{"own", 0, 2, 7, 8, eight, 8}, -EEXIST, "it came before"},
	{{"xive", STATE_VM, 4, 0, 0x12, eight, 1}, -EINVAL, "source 0x12's P and Q"},
	{{"xive", STATE_VM, 4, 0, 0x11, eight + 7, 1}, -EINVAL, "more than two bits"},
	{{"xive", STATE_VM, 1, 4, 7, eight, 24}, -EINVAL, "group 4 attr 0x7"}, /* KVM's priority */
	{{"tsc", 1, 6, 0, 0, eight, 12}, -EINVAL, "a frequency of 0 kHz"},
};
#define HOSTILE ((int)(sizeof(hostile) / sizeof(hostile[0])))

START_TEST(test_hostile)
{
	const struct hostile *c = &hostile[_i];
	bool half = strstr(c->says, "more than") || strstr(c->says, "0 kHz");

	add_own();
	add("xive");
	add("tsc");
	fill_xive();
	fill_tsc(0);
	fake_put64(VM(0), 9, 2, 0); /* not sent, so that the case is the first of its kind */
	save();
	if (half) /* it stands for one that would come later */
		image_len = 0;
	append(c->v);
	fake.changes = 0;
	ck_assert_int_eq(load(), c->error);
	ck_assert_msg(strstr(err.text, c->says) != NULL, "%s", err.text);
	ck_assert_uint_eq(fake.changes, 0);
}
END_TEST

/*
 * One element fewer: said which.
 *
 * protocol.md 8.2: "A value that is not listed, a second one for the same place, or the lack of one
 * that the recipe needs, refuses the image and names the value, before anything is set."
 */
START_TEST(test_something_is_missing)
{
	unsigned total = 0, refused = 0;

	add_own();
	add("xive");
	fill_xive();
	save();
	for (unsigned skip = 0;; skip++) {
		uint8_t whole[IMAGE_MAX];
		size_t whole_len = image_len;
		struct state_elem e;
		struct unpack u;
		struct pack k;
		unsigned n = 0;
		int r;

		memcpy(whole, image, whole_len);
		pack_init(&k, image, sizeof(image));
		unpack_init(&u, whole, whole_len);
		while (state_next(&u, &e) > 0)
			if (n++ != skip)
				state_put(&k, e.kind, e.vcpu, e.id, e.value, e.size);
		if (skip == n)
			break;
		image_len = k.len;
		fake.changes = 0;
		r = load();
		total++;
		if (r < 0) {
			ck_assert_int_eq(r, -ENODATA);
			ck_assert_msg(
				strstr(err.text, "the image lacks ") == err.text, "%s", err.text);
			ck_assert_uint_eq(fake.changes, 0);
			refused++;
		}
		memcpy(image, whole, whole_len);
		image_len = whole_len;
	}
	ck_assert_uint_eq(total - refused, 1); /* the queue, which may be absent */
	image_len = 0;
	ck_assert_int_eq(load(), -ENODATA);
}
END_TEST

/* -- what cannot be added ---------------------------------------------------------------------- */

static int add_changed(int n, struct htabvmm_device *d, struct htabvmm_step *s)
{
	static const uint64_t unsorted[] = {3, 2}, twice[] = {3, 3};
	static const uint32_t servers[] = {1, 1};
	static const int fds[1] = {3};

	switch (n) {
	case 0: d->size--; break;
	case 1: d->name = NULL; break;
	case 2: d->name = ""; break;
	case 3: d->name = "a b"; break;
	case 4: d->name = "12345678901234567890123456789012"; break;
	case 5: d->recipe = NULL; break;
	case 6: d->fd = -1; break;
	case 7: d->vcpus = 0; break;
	case 8: d->vcpus = STATE_VM; break;
	case 9:
		d->sources = unsorted;
		d->source_count = 2;
		break;
	case 10:
		d->sources = twice;
		d->source_count = 2;
		break;
	case 11: d->servers = servers; break;
	case 12: d->source_count = LIB_SLOTS_MAX + 1; break;
	case 13: s->verb = 0; break;
	case 14: s->verb = 5; break;
	case 15: s->space = 0; break;
	case 16: s->space = 7; break;
	case 17: s->fields[0] = 3; break;
	case 18: s->fields[0] = 0; break;
	case 19: s->fields[0] = HTABVMM_BYTES(0); break;
	case 20: s->fields[0] = HTABVMM_BYTES(65); break;
	case 21: memset(s->fields, 8, sizeof(s->fields)); break;
	case 22: s->size = 65; break;
	case 37: s->size = 7; break; /* fewer than its fields */
	case 23: s->flags = 4; break;
	case 24: s->each = 3; break;
	case 25:
		s->scale = 0;
		s->each = HTABVMM_EACH_SOURCE;
		break;
	case 26: s->count = 2; break; /* stride 0 */
	case 27:
		s->count = LIB_SLOTS_MAX + 1;
		s->stride = 1;
		break;
	case 28: s->shadow = 3; break;
	case 29: s->shadow = 1; break; /* not of sources */
	case 30: s->space = HTABVMM_IN_XIVE_ESB; break;
	case 31:
		s->space = HTABVMM_IN_VCPU_TSC;
		s->fields[1] = 4;
		break; /* no clock before */
	case 32: s->space = HTABVMM_IN_CLOCK; break;
	case 33:
		s->space = HTABVMM_IN_VCPU;
		s->each = HTABVMM_EACH_SERVER;
		s->scale = 1;
		break;
	case 34:
		s->each = HTABVMM_EACH_SOURCE;
		s->scale = 1;
		s->shadow = 1;
		d->shadow[0] = NULL;
		break;
	case 35:
		d->vcpu_fds = fds;
		d->vcpus = 0;
		break;
	case 36:
		d->first_source = UINT64_MAX;
		d->sources = NULL;
		break;
	default: return 0;
	}
	return -EINVAL;
}

START_TEST(test_limits)
{
	struct htabvmm_step s = {
		.verb = HTABVMM_STEP_MOVE, .space = HTABVMM_IN_DEVICE, .group = 1, .fields = {8}};
	const struct htabvmm_recipe recipe = {&s, 1}, none = {&s, 0}, many = {&s, 65};
	struct htabvmm_device d = device(0, "xics");
	int want;

	d.recipe = &recipe;
	want = add_changed(_i, &d, &s);
	ck_assert_int_eq(devices_add(&from, &d, NULL, 0), want);
	if (want < 0) {
		ck_assert_uint_eq(from.count, 0);
		return;
	}
	ck_assert_int_eq(devices_add(&from, &d, NULL, 0), -EEXIST);
	d.name = "other";
	d.recipe = &none;
	ck_assert_int_eq(devices_add(&from, &d, NULL, 0), -EINVAL);
	d.recipe = &many;
	ck_assert_int_eq(devices_add(&from, &d, NULL, 0), -EINVAL);
	d.recipe = &recipe;
	for (char name[] = "b"; from.count < LIB_DEVICES_MAX; name[0]++) {
		d.name = name;
		ck_assert_int_eq(devices_add(&from, &d, NULL, 0), 0);
	}
	d.name = "last";
	ck_assert_int_eq(devices_add(&from, &d, NULL, 0), -ENOSPC);
}
END_TEST
#define LIMITS 39

START_TEST(test_recipes)
{
	static const char *const names[] = {"xics", "xive", "mpic", "tsc"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_ptr_nonnull(htabvmm_recipe(names[i]));
		add(names[i]);
	}
	ck_assert_ptr_null(htabvmm_recipe("pic"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("devices-refused");
	TCase *t = tcase_create("devices-refused");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_hostile, 0, HOSTILE);
	tcase_add_test(t, test_something_is_missing);
	tcase_add_loop_test(t, test_limits, 0, LIMITS);
	tcase_add_test(t, test_recipes);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
