/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices moved by recipes, on software devices: what is asked of them and in which order.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mpic-move.h"
#include "tests/unit/devices-harness.h"

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

/* A source that KVM has not is left out; one that it cannot give now is not. */
START_TEST(test_xics_source_that_fails)
{
	struct pack k;

	add("xics");
	fill_xics();
	fake.fail_fd = VM(0);
	fake.fail_attr = 0x11;
	fake.error = _i == 0 ? -EBUSY : -ENOENT;
	pack_init(&k, image, sizeof(image));
	ck_assert_int_eq(devices_save(&from, &k, &err), _i == 0 ? -EBUSY : 0);
}
END_TEST

/* -- XIVE ------------------------------------------------------------------------------------- */

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
	t = next(t, "set 1016 4:0xe; set 1016 2:0x10; "); /* the one queue, then sources */
	t = next(t, "set 1016 2:0x30; set 1016 3:0x10; ");
	t = next(t, "set 1016 3:0x30; reg 1017 0x104000000000008d; reg 1018 0x104000000000008d; ");
	t = next(t, "esb 0x10 0; esb 0x11 1; esb 0x20 2; esb 0x30 3; ");
	ck_assert_str_eq(t, "");
	ck_assert_int_eq(memcmp(fake_get(VM(0), 4, 14), fake_get(VM(1), 4, 14), 64), 0);
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

int main(void)
{
	Suite *s = suite_create("devices");
	TCase *t = tcase_create("devices");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_xics);
	tcase_add_loop_test(t, test_xics_source_that_fails, 0, 2);
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
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
