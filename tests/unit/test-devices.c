/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices moved by recipes, on software devices: what is asked of them and in which order, what a
 * destination refuses, and that nothing is set then.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mpic-move.h"
#include "tests/unit/fakedev.h"

#define IMAGE_MAX (64u << 10)
#define SOURCES   4
#define VCPUS     2
#define ICP       0x103000000000008cull
#define VP        0x104000000000008dull

static struct lib_devices from, to;
static struct err err;
static uint8_t image[IMAGE_MAX];
static size_t image_len;

static const int vcpu_fds[2][VCPUS] = {
	{fake_fd(0, 1), fake_fd(0, 2)},
	{fake_fd(1, 1), fake_fd(1, 2)},
};
#define VM(end)   fake_fd(end, 0)
#define CPU(e, n) vcpu_fds[e][n]

static const uint64_t source_list[SOURCES] = {0x10, 0x11, 0x20, 0x30};
static uint64_t shadow[2][2][SOURCES];
static uint8_t present[2][SOURCES];

static void setup(void)
{
	fake_reset();
	memset(&from, 0, sizeof(from));
	memset(&to, 0, sizeof(to));
	memset(shadow, 0, sizeof(shadow));
	memset(present, 1, sizeof(present));
	from.io = to.io = &fake_io;
	err = (struct err){0};
}

static void teardown(void)
{
	devices_free(&from);
	devices_free(&to);
}

static struct htabvmm_device device(int end, const char *name)
{
	return (struct htabvmm_device){
		.size = sizeof(struct htabvmm_device),
		.name = name,
		.fd = VM(end),
		.recipe = htabvmm_recipe(name),
		.sources = source_list,
		.source_count = SOURCES,
		.vcpu_fds = vcpu_fds[end],
		.vcpus = VCPUS,
		.shadow = {shadow[end][0], shadow[end][1]},
		.present = present[end],
	};
}

static void add(const char *name)
{
	struct htabvmm_device a = device(0, name), b = device(1, name);

	ck_assert_int_eq(devices_add(&from, &a, NULL, 0), 0);
	ck_assert_int_eq(devices_add(&to, &b, NULL, 0), 0);
}

static void save(void)
{
	struct pack k;

	pack_init(&k, image, sizeof(image));
	ck_assert_int_eq(devices_hold(&from, &err), 0);
	ck_assert_int_eq(devices_save(&from, &k, &err), 0);
	ck_assert_int_eq(pack_end(&k), 0);
	image_len = k.len;
}

/* As libstate.c does: everything is checked before anything is set. */
static int load(void)
{
	uint8_t *copy = malloc(image_len ? image_len : 1);
	struct state_elem e;
	struct unpack u;
	int r = 0;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, image, image_len);
	devices_check_begin(&to);
	unpack_init(&u, copy, image_len);
	while (r == 0 && (r = state_next(&u, &e)) > 0)
		r = devices_check(&to, &e, &err);
	if (r == 0)
		r = devices_check_end(&to, &err);
	if (r == 0) {
		fake_new_trace();
		r = devices_load(&to, &err);
	}
	free(copy);
	return r;
}

/* Is it there, after `after` in the trace? Returns where it ends. */
static const char *next(const char *after, const char *what)
{
	const char *p = strstr(after, what);

	ck_assert_msg(p != NULL, "'%s' is not in '%s'", what, after);
	return p + strlen(what);
}

/* -- XICS ------------------------------------------------------------------------------------- */

static void fill_xics(void)
{
	for (int end = 0; end < 2; end++) {
		for (unsigned i = 0; i < SOURCES; i++)
			if (i != 2)
				fake_put64(
					VM(end), 1, source_list[i], end ? 0 : 0x500000000ull + i);
		for (unsigned i = 0; i < VCPUS; i++)
			fake_put64(CPU(end, i), FAKE_REG, ICP, end ? 0 : 0xff00000000ff0000 + i);
	}
}

START_TEST(test_xics)
{
	const char *t;

	add("xics");
	fill_xics();
	save();
	ck_assert_uint_eq(fake.changes, 0); /* nothing is written at the source */
	ck_assert_int_eq(load(), 0);
	fake_same(VM(0), VM(1));
	fake_same(CPU(0, 0), CPU(1, 0));
	fake_same(CPU(0, 1), CPU(1, 1));
	ck_assert_uint_eq(fake.changes, SOURCES - 1 + VCPUS); /* one source does not exist */
	t = next(fake.trace, "set 1016 1:0x10; set 1016 1:0x11; set 1016 1:0x30; ");
	next(t, "reg 1017 0x103000000000008c; reg 1018 0x103000000000008c; ");
}
END_TEST

/* -- XIVE ------------------------------------------------------------------------------------- */

struct eq {
	uint32_t flags, qshift;
	uint64_t qaddr;
	uint32_t qtoggle, qindex;
	uint8_t pad[40];
};

static void fill_xive(void)
{
	static const uint8_t vp[2][16] = {{0xff, 1, 2, 3, 4, 5, 6, 7, 0xaa}, {8, 9}};
	static const uint8_t zero[64];
	const struct eq eq = {1, 16, 0x10000, 1, 0x123, {0}};

	for (int end = 0; end < 2; end++) {
		fake_put_writeonly(VM(end), 1, 1, 8);
		fake_put_writeonly(VM(end), 1, 2, 8);
		for (unsigned i = 0; i < SOURCES; i++)
			for (uint32_t group = 2; group <= 5; group++)
				if (group != 4)
					fake_put_writeonly(VM(end), group, source_list[i], 8);
		for (unsigned i = 0; i < VCPUS * 8; i++)
			fake_put(VM(end), 4, i, end == 0 && i == 13 ? (const void *)&eq : zero, 64);
		for (unsigned i = 0; i < VCPUS; i++)
			fake_put(CPU(end, i), FAKE_REG, VP, end ? zero : vp[i], 16);
	}
	for (unsigned i = 0; i < SOURCES; i++) {
		shadow[0][0][i] = i & 1;
		shadow[0][1][i] = (uint64_t)i << 33 | i;
		fake.pq[0][source_list[i]] = (uint8_t)i;
		fake.pq[1][source_list[i]] = 1;
	}
}

START_TEST(test_xive_hold_order)
{
	const char *t = fake.trace;

	add("xive");
	fill_xive();
	save();
	t = next(t, "set 1000 5:0x10; set 1000 5:0x11; set 1000 5:0x20; set 1000 5:0x30; ");
	t = next(t, "esb 0x10 2; esb 0x20 2; esb 0x30 2; "); /* 0x11 is off, and stays so */
	t = next(t, "set 1000 1:0x2; ");
	ck_assert_str_eq(t, "");
}
END_TEST

START_TEST(test_xive)
{
	static const uint8_t wire_eq[] = {
		0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0x23};
	const char *t;

	add("xive");
	fill_xive();
	save();
	ck_assert_ptr_nonnull(memmem(image, image_len, wire_eq, sizeof(wire_eq)));
	ck_assert_int_eq(load(), 0);
	t = next(fake.trace, "set 1016 1:0x1; ");         /* reset */
	t = next(t, "set 1016 4:0xd; set 1016 2:0x10; "); /* the one queue, then sources */
	t = next(t, "set 1016 2:0x30; set 1016 3:0x10; ");
	t = next(t, "set 1016 3:0x30; reg 1017 0x104000000000008d; reg 1018 0x104000000000008d; ");
	t = next(t, "esb 0x10 0; esb 0x11 1; esb 0x20 2; esb 0x30 3; ");
	ck_assert_str_eq(t, "");
	ck_assert_int_eq(memcmp(fake_get(VM(0), 4, 13), fake_get(VM(1), 4, 13), 64), 0);
	ck_assert_int_eq(
		memcmp(fake_get(CPU(0, 0), FAKE_REG, VP), fake_get(CPU(1, 0), FAKE_REG, VP), 8), 0);
	ck_assert_uint_eq(fake_get(CPU(1, 0), FAKE_REG, VP)[8], 0); /* KVM's rest stays behind */
	ck_assert_int_eq(memcmp(shadow[0], shadow[1], sizeof(shadow[0])), 0);
	for (unsigned i = 0; i < SOURCES; i++)
		ck_assert_uint_eq(fake_get64(VM(1), 3, source_list[i]), shadow[0][1][i]);
}
END_TEST

START_TEST(test_xive_sources_in_use)
{
	add("xive");
	fill_xive();
	present[0][1] = present[0][2] = 0;
	save();
	ck_assert_ptr_null(strstr(fake.trace, "5:0x11;"));
	ck_assert_ptr_null(strstr(fake.trace, "esb 0x20"));
	ck_assert_int_eq(load(), 0);
	for (unsigned i = 0; i < SOURCES; i++)
		ck_assert_uint_eq(present[1][i], present[0][i]);
	ck_assert_ptr_null(strstr(fake.trace, ":0x11;"));
}
END_TEST

/* The migration ends here: the masks are as they were, and no event is lost. */
START_TEST(test_xive_released)
{
	static const uint8_t before[SOURCES] = {0, 1, 2, 3};

	add("xive");
	fill_xive();
	save();
	for (unsigned i = 0; _i == 1 && i < SOURCES; i++)
		fake_event(0, source_list[i]);
	ck_assert_uint_eq(fake.forwarded[0][0x10], 0); /* held */
	if (_i == 2)                                   /* asked once more in the same pause */
		save();
	ck_assert_int_eq(devices_release(&from, &err), 0);
	for (unsigned i = 0; i < SOURCES; i++) {
		uint8_t want = before[i];

		if (_i == 1 && i != 1)
			want = i == 0 ? 2 : 3; /* forwarded at last, or remembered */
		ck_assert_uint_eq(fake.pq[0][source_list[i]], want);
		ck_assert_uint_eq(fake.forwarded[0][source_list[i]], _i == 1 && i == 0);
	}
	fake.changes = 0;
	ck_assert_int_eq(devices_release(&from, &err), 0); /* once */
	ck_assert_uint_eq(fake.changes, 0);
}
END_TEST

/* Whatever fails while it is held, everything is let go. */
START_TEST(test_xive_hold_fails)
{
	add("xive");
	fill_xive();
	fake.error = -EBUSY;
	switch (_i) {
	case 0: /* a source that was never set */
		fake.fail_fd = VM(0);
		fake.fail_attr = 0x30;
		break;
	case 1: /* the sync of the queues: the 4 syncs and 3 masks come before */
		fake.fail_at = 8;
		break;
	default: /* no pages */
		fake.fail_fd = VM(0);
		fake.fail_attr = UINT64_MAX;
		break;
	}
	ck_assert_int_eq(devices_hold(&from, &err), -EBUSY);
	ck_assert_msg(strstr(err.text, "device xive") != NULL, "%s", err.text);
	ck_assert_msg(strstr(err.text, strerror(EBUSY)) != NULL, "%s", err.text);
	for (unsigned i = 0; i < SOURCES; i++)
		ck_assert_uint_eq(fake.pq[0][source_list[i]], i);
}
END_TEST

/* -- MPIC ------------------------------------------------------------------------------------- */

#define MPIC_SOURCES 80

static void fill_mpic(int end)
{
	uint32_t mix = end ? 0 : 0x01020304;

	fake_put32(VM(end), 2, 0x1020, end ? 0 : 0x20000000);
	fake_put32(VM(end), 2, 0x10e0, 0xffff & mix);
	for (unsigned i = 0; i < 4; i++)
		fake_put32(VM(end), 2, 0x10a0 + i * 0x10, mix * i);
	for (unsigned i = 0; i < MPIC_SOURCES; i++) {
		fake_put32(VM(end), 2, 0x10000 + i * 0x20, mix * i);
		fake_put32(VM(end), 2, 0x10010 + i * 0x20, mix + i);
		fake_put32(VM(end), 2, 0x10018 + i * 0x20, mix ^ i);
		fake_put32(VM(end), 3, i, end ? 0 : i & 1);
	}
	for (unsigned i = 0; i < VCPUS; i++)
		fake_put32(VM(end), 2, 0x20080 + i * 0x1000, end ? 0 : i + 5);
	fake_put64(VM(end), 1, 0, end ? 0 : 0xe0040000);
}

START_TEST(test_mpic)
{
	const char *t;

	for (int end = 0; end < 2; end++) {
		struct htabvmm_device d = device(end, "mpic");

		d.sources = NULL;
		d.source_count = MPIC_SOURCES;
		d.present = NULL;
		ck_assert_int_eq(devices_add(end ? &to : &from, &d, NULL, 0), 0);
		fill_mpic(end);
	}
	save();
	ck_assert_uint_eq(fake.changes, 0);
	ck_assert_int_eq(load(), 0);
	fake_same(VM(0), VM(1));
	t = next(fake.trace, "set 1016 2:0x1020; set 1016 2:0x1020; "); /* reset, then itself */
	t = next(t, "2:0x10010; ");                                     /* where it goes */
	t = next(t, "2:0x10000; ");                                     /* lets it through */
	t = next(t, "2:0x20080; set 1016 2:0x21080; ");
	t = next(t, "3:0; ");
	next(t, "1:0; ");
}
END_TEST

/* What a host with a real one runs. */
START_TEST(test_mpic_move)
{
	const struct mpic a = {VM(0), vcpu_fds[0], VCPUS}, b = {VM(1), vcpu_fds[1], VCPUS};

	fill_mpic(0);
	fill_mpic(1);
	for (unsigned i = 0; i < MPIC_SOURCES; i++)
		fake_put32(VM(0), 3, i, 0);
	if (_i == 1) { /* it sees what is wrong */
		fake.fail_fd = VM(1);
		fake.fail_attr = 0x10020;
	}
	ck_assert_int_eq(mpic_move(&a, &b, MPIC_SOURCES, &fake_io, &err), _i == 1 ? -EIO : 0);
	ck_assert(_i == 0 || strstr(err.text, "device mpic group 2 attr 0x10020"));
}
END_TEST

/* -- TSC -------------------------------------------------------------------------------------- */

START_TEST(test_tsc_formula)
{
	const struct tsc_moment at = {1000000, 5000, 0};
	struct tsc_moment here = at;

	/* The same host, at once. */
	ck_assert_uint_eq(tsc_offset(77, &at, &here, 2500000), 77);
	/* The same host a second later: the guest's TSC follows the host's. */
	here.host_tsc += 2500000000ull;
	here.clock += 1000000000ull;
	ck_assert_uint_eq(tsc_offset(77, &at, &here, 2500000), 77);
	/* Another host, whose TSC began later: offset + TSC is the same as it would be there. */
	here.host_tsc = 5;
	ck_assert_uint_eq(tsc_offset(77, &at, &here, 2500000) + here.host_tsc,
		77 + at.host_tsc + 2500000000ull);
	/* A host whose clock is behind, and a year at 5 GHz. */
	here.clock = at.clock - 1000;
	ck_assert_uint_eq(tsc_offset(0, &at, &here, 1000000) + here.host_tsc, at.host_tsc - 1000);
	here.clock = at.clock + 31536000000000000ull;
	ck_assert_uint_eq(tsc_offset(0, &at, &here, 5000000) + here.host_tsc,
		at.host_tsc + 157680000000000000ull);
}
END_TEST

static void fill_tsc(unsigned faster)
{
	for (int end = 0; end < 2; end++)
		for (unsigned i = 0; i < VCPUS; i++)
			fake_put64(CPU(end, i), 0, 0, end ? 0 : 0ull - 1000 * (i + 1));
	fake.clock[0] = (struct tsc_moment){50000000, 7000000, 1700000000000000000};
	fake.clock[1] = (struct tsc_moment){123, 0, 1700000000000000000 + 3000000};
	fake.khz[0] = 2000000;
	fake.khz[1] = 2000000 + 500000 * faster;
}

START_TEST(test_tsc)
{
	add("tsc");
	fill_tsc((unsigned)_i);
	save();
	ck_assert_int_eq(load(), 0);
	/* 3 ms passed: 6,000,000 cycles of the guest. */
	ck_assert_uint_eq(fake.clock[1].clock, 7000000 + 3000000);
	for (unsigned i = 0; i < VCPUS; i++)
		ck_assert_uint_eq(fake_get64(CPU(1, i), 0, 0) + 123,
			fake_get64(CPU(0, i), 0, 0) + 50000000 + 6000000);
	ck_assert_uint_eq(fake.khz[1], 2000000);
	ck_assert(_i == 0 || strstr(fake.trace, "khz; "));
}
END_TEST

START_TEST(test_tsc_frequency_refused)
{
	add("tsc");
	fill_tsc(0);
	fake.khz[1]++;
	fake.khz_fixed = true;
	save();
	ck_assert_int_eq(load(), -EINVAL);
	ck_assert_msg(strstr(err.text, "vCPU 0 device tsc TSC") != NULL, "%s", err.text);
}
END_TEST

START_TEST(test_tsc_without_a_steady_clock)
{
	struct pack k;

	add("tsc");
	fill_tsc(0);
	fake.fail_fd = VM(0);
	fake.fail_attr = UINT64_MAX;
	fake.error = -ENOTSUP;
	pack_init(&k, image, sizeof(image));
	ck_assert_int_eq(devices_save(&from, &k, &err), -ENOTSUP);
	ck_assert_msg(strstr(err.text, "device tsc clock") != NULL, "%s", err.text);
}
END_TEST

/* -- a VMM's own ------------------------------------------------------------------------------ */

static const struct htabvmm_step own_steps[] = {
	{.verb = HTABVMM_STEP_AT_HOLD,
		.space = HTABVMM_IN_DEVICE,
		.group = 9,
		.first = 1,
		.constant = 0x1234,
		.fields = {4}},
	{.verb = HTABVMM_STEP_AT_RELEASE,
		.space = HTABVMM_IN_DEVICE,
		.group = 9,
		.first = 1,
		.constant = 0x99,
		.fields = {4}},
	{.verb = HTABVMM_STEP_AT_LOAD,
		.space = HTABVMM_IN_VCPU,
		.group = 7,
		.first = 0,
		.constant = 5},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_VCPU,
		.group = 7,
		.first = 8,
		.stride = 2,
		.count = 3,
		.fields = {1, 1, 2, 4}},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.group = 9,
		.first = 2,
		.flags = HTABVMM_STEP_SPARSE,
		.fields = {8}},
};
static const struct htabvmm_recipe own = {own_steps, 5};

static void add_own(void)
{
	for (int end = 0; end < 2; end++) {
		struct htabvmm_device d = device(end, "own");

		d.recipe = &own;
		ck_assert_int_eq(devices_add(end ? &to : &from, &d, NULL, 0), 0);
		fake_put32(VM(end), 9, 1, 0);
		fake_put64(VM(end), 9, 2, 0);
		for (unsigned i = 0; i < VCPUS; i++) {
			fake_put64(CPU(end, i), 7, 0, 0);
			for (unsigned a = 8; a < 14; a += 2)
				fake_put64(CPU(end, i), 7, a,
					end ? 0 : 0x0102030405060708ull * (a - i));
		}
	}
}

START_TEST(test_own_recipe)
{
	add_own();
	save();
	ck_assert_uint_eq(fake_get32(VM(0), 9, 1), 0x1234);
	ck_assert_int_eq(load(), 0);
	for (unsigned i = 0; i < VCPUS; i++) {
		ck_assert_uint_eq(fake_get64(CPU(1, i), 7, 0), 5);
		for (unsigned a = 8; a < 14; a += 2)
			ck_assert_uint_eq(fake_get64(CPU(1, i), 7, a), fake_get64(CPU(0, i), 7, a));
	}
	ck_assert_int_eq(devices_release(&from, &err), 0);
	ck_assert_uint_eq(fake_get32(VM(0), 9, 1), 0x99);
}
END_TEST

START_TEST(test_release_fails)
{
	add_own();
	save();
	fake.fail_at = 1;
	ck_assert_int_eq(devices_release(&from, &err), -EIO);
	ck_assert_msg(strstr(err.text, "device own group 9 attr 0x1") != NULL, "%s", err.text);
}
END_TEST

START_TEST(test_kvm_does_not_give)
{
	struct pack k;

	add_own();
	fake.fail_fd = CPU(0, 1);
	fake.fail_attr = 10;
	fake.error = _i == 0 ? -ENXIO : -EBUSY; /* not optional */
	pack_init(&k, image, sizeof(image));
	ck_assert_int_eq(devices_save(&from, &k, &err), fake.error);
	ck_assert_msg(
		strstr(err.text, "vCPU 1 device own group 7 attr 0xa") != NULL, "%s", err.text);
}
END_TEST

START_TEST(test_kvm_does_not_take)
{
	add_own();
	save();
	fake.fail_fd = CPU(1, 1);
	fake.fail_attr = _i == 0 ? 0 : 12;
	fake.error = -EBUSY;
	ck_assert_int_eq(load(), -EBUSY);
	ck_assert_msg(strstr(err.text, "vCPU 1 device own group 7 attr ") != NULL, "%s", err.text);
}
END_TEST

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

/* One element fewer: said which. */
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
#define LIMITS 38

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
	Suite *s = suite_create("devices");
	TCase *t = tcase_create("devices");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_xics);
	tcase_add_test(t, test_xive_hold_order);
	tcase_add_test(t, test_xive);
	tcase_add_test(t, test_xive_sources_in_use);
	tcase_add_loop_test(t, test_xive_released, 0, 3);
	tcase_add_loop_test(t, test_xive_hold_fails, 0, 3);
	tcase_add_test(t, test_mpic);
	tcase_add_loop_test(t, test_mpic_move, 0, 2);
	tcase_add_test(t, test_tsc_formula);
	tcase_add_loop_test(t, test_tsc, 0, 2);
	tcase_add_test(t, test_tsc_frequency_refused);
	tcase_add_test(t, test_tsc_without_a_steady_clock);
	tcase_add_test(t, test_own_recipe);
	tcase_add_test(t, test_release_fails);
	tcase_add_loop_test(t, test_kvm_does_not_give, 0, 2);
	tcase_add_loop_test(t, test_kvm_does_not_take, 0, 2);
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
