/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/devices-harness.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct lib_devices from, to;
struct err err;
uint8_t image[IMAGE_MAX];
size_t image_len;

const int vcpu_fds[2][VCPUS] = {
	{fake_fd(0, 1), fake_fd(0, 2)},
	{fake_fd(1, 1), fake_fd(1, 2)},
};

const uint64_t source_list[SOURCES] = {0x10, 0x11, 0x20, 0x30};
uint64_t shadow[2][2][SOURCES];
uint8_t present[2][SOURCES];

void setup(void)
{
	fake_reset();
	memset(&from, 0, sizeof(from));
	memset(&to, 0, sizeof(to));
	memset(shadow, 0, sizeof(shadow));
	memset(present, 1, sizeof(present));
	from.io = to.io = &fake_io;
	err = (struct err){0};
}

void teardown(void)
{
	devices_free(&from);
	devices_free(&to);
}

struct htabvmm_device device(int end, const char *name)
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

void add(const char *name)
{
	struct htabvmm_device a = device(0, name), b = device(1, name);

	ck_assert_int_eq(devices_add(&from, &a, NULL, 0), 0);
	ck_assert_int_eq(devices_add(&to, &b, NULL, 0), 0);
}

void save(void)
{
	struct pack k;

	pack_init(&k, image, sizeof(image));
	ck_assert_int_eq(devices_hold(&from, &err), 0);
	ck_assert_int_eq(devices_save(&from, &k, &err), 0);
	ck_assert_int_eq(pack_end(&k), 0);
	image_len = k.len;
}

/* As lib/state.c does: everything is checked before anything is set. */
int load(void)
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
const char *next(const char *after, const char *what)
{
	const char *p = strstr(after, what);

	ck_assert_msg(p != NULL, "'%s' is not in '%s'", what, after);
	return p + strlen(what);
}

/* -- devices of both ends -- */

struct eq {
	uint32_t flags, qshift;
	uint64_t qaddr;
	uint32_t qtoggle, qindex;
	uint8_t pad[40];
};

void fill_xive(void)
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
			fake_put(VM(end), 4, i, end == 0 && i == 14 ? (const void *)&eq : zero, 64);
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

void fill_tsc(unsigned faster)
{
	for (int end = 0; end < 2; end++)
		for (unsigned i = 0; i < VCPUS; i++)
			fake_put64(CPU(end, i), 0, 0, end ? 0 : 0ull - 1000 * (i + 1));
	fake.clock[0] = (struct tsc_moment){50000000, 7000000, 1700000000000000000};
	fake.clock[1] = (struct tsc_moment){123, 0, 1700000000000000000 + 3000000};
	fake.khz[0] = 2000000;
	fake.khz[1] = 2000000 + 500000 * faster;
}

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

void add_own(void)
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
