/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices through the whole library: when they are held, let go, checked and set. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/fakedev.h"
#include "tests/unit/htabvmm-harness.h"

#define SOURCE   0x20u
#define ENTRIES  64u
#define EQ       (1u << 3 | 6) /* vCPU 1, priority 6 */
#define VP       0x104000000000008dull
#define HELD     2
#define NOT_HELD 0

static const int fds[2][2] = {
	{fake_fd(0, 1), fake_fd(0, 2)},
	{fake_fd(1, 1), fake_fd(1, 2)},
};
static uint64_t shadow[2][2];
static uint8_t in_use[2];

static struct htabvmm_device device(int end)
{
	return (struct htabvmm_device){
		.size = sizeof(struct htabvmm_device),
		.name = "xive",
		.fd = fake_fd(end, 0),
		.recipe = htabvmm_recipe("xive"),
		.first_source = SOURCE,
		.source_count = 1,
		.vcpu_fds = fds[end],
		.vcpus = 2,
		.shadow = {&shadow[end][0], &shadow[end][1]},
		.present = &in_use[end],
	};
}

static void fill(int end)
{
	static const uint8_t zero[64];
	int fd = fake_fd(end, 0);

	for (uint32_t attr = 1; attr <= 2; attr++)
		fake_put_writeonly(fd, 1, attr, 8);
	for (uint32_t group = 2; group <= 5; group++)
		if (group != 4)
			fake_put_writeonly(fd, group, SOURCE, 8);
	for (unsigned i = 0; i < 16; i++)
		fake_put(fd, 4, i, zero, sizeof(zero));
	for (unsigned i = 0; i < 2; i++)
		fake_put(fds[end][i], FAKE_REG, VP, zero, 16);
	shadow[end][0] = end ? 0 : 1;
	shadow[end][1] = end ? 0 : 0xabcdef;
	in_use[end] = 1;
	fake.pq[end][SOURCE] = end;
}

/* A handle with a device, not yet asked for anything. */
static void start_with(int end)
{
	struct htabvmm_device d = device(end);

	start(end);
	vm.h->devices.io = &fake_io;
	ck_assert_int_eq(htabvmm_add_device(vm.h, &d), 0);
	fill(end);
}

static void paused(void)
{
	start_with(0);
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	ck_assert_uint_eq(fake.pq[0][SOURCE], NOT_HELD);
}

static int get_state(void)
{
	int fd;

	ck_assert_int_eq(ask(VMM_GET_STATE, S), 0);
	fd = rep_fd;
	rep_fd = -1;
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(fake.pq[0][SOURCE], HELD);
	return fd;
}

/* A RESUME that fails, which the library also tells by itself. */
static void resume_fails(int error)
{
	struct vmm_event event;

	send_request(
		&(struct vmm_request){.type = VMM_RESUME, .serial = ++serial, .session = S}, -1);
	dispatch();
	ck_assert(take_event(&event));
	ck_assert_int_eq(event.kind, VMM_EVENT_STOPPED);
	ck_assert(take_reply(serial));
	ck_assert_int_eq(rep.error, error);
	ck_assert(!htabvmm_may_run(vm.h));
}

/* However the source gets its guest back, the sources are let go before the vCPUs run. */
START_TEST(test_let_go)
{
	paused();
	fd_close(get_state());
	fake_event(0, SOURCE);
	ck_assert_uint_eq(fake.forwarded[0][SOURCE], 0);
	switch (_i) {
	case 0: ck_assert_int_eq(ask(VMM_RESUME, S), 0); break;
	case 1: detach(); break;
	case 2:
		ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), 0);
		ck_assert_uint_eq(fake.pq[0][SOURCE], 3); /* still held */
		ck_assert_int_eq(ask(VMM_UNDO, S), 0);
		break;
	default: /* `resume` fails, and is asked again */
		vm.resume = -EIO;
		resume_fails(-EIO);
		vm.resume = 0;
		ck_assert_int_eq(ask(VMM_RESUME, S), 0);
		break;
	}
	ck_assert(htabvmm_may_run(vm.h));
	ck_assert_uint_eq(fake.forwarded[0][SOURCE], 1);
	ck_assert_uint_eq(fake.pq[0][SOURCE], 2); /* forwarded, not ended */
	stop();
}
END_TEST

/* Looking at the state of a guest that stays here leaves nothing held; a migration's pause does. */
START_TEST(test_looked_at)
{
	start_with(0);
	if (_i == 1)
		ck_assert_int_eq(htabvmm_set_running(vm.h, 0, "stopped"), 0);
	if (_i == 2)
		ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	while (queued())
		ck_assert(take_event(&(struct vmm_event){0}));
	ck_assert_int_eq(ask(VMM_QUERY_STATE, (struct session_id){{0}}), 0);
	ck_assert_int_ge(rep_fd, 0);
	ck_assert_uint_eq(fake.pq[0][SOURCE], _i == 2 ? HELD : NOT_HELD);
	if (_i == 2)
		ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert_uint_eq(fake.pq[0][SOURCE], NOT_HELD);
	stop();
}
END_TEST

/* A guest that left: its sources never speak again. */
START_TEST(test_migrated)
{
	paused();
	fd_close(get_state());
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), 0);
	ck_assert_int_eq(ask(VMM_RELEASE, S), 0);
	ck_assert_uint_eq(fake.pq[0][SOURCE], HELD);
	stop();
}
END_TEST

/* A device that cannot be let go: the guest does not run without its interrupts. */
START_TEST(test_cannot_be_let_go)
{
	static const struct htabvmm_step steps[] = {
		{.verb = HTABVMM_STEP_AT_RELEASE, .space = HTABVMM_IN_DEVICE, .group = 1},
		{.verb = HTABVMM_STEP_MOVE, .space = HTABVMM_IN_DEVICE, .group = 2, .fields = {8}},
	};
	const struct htabvmm_recipe recipe = {steps, 2};
	struct htabvmm_device d = device(0);

	d.recipe = &recipe;
	start(false);
	vm.h->devices.io = &fake_io;
	ck_assert_int_eq(htabvmm_add_device(vm.h, &d), 0);
	fake_put64(d.fd, 2, 0, 5);
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	ck_assert_int_eq(ask(VMM_GET_STATE, S), 0);
	resume_fails(-ENXIO); /* there is no such attribute */
	ck_assert_msg(strstr(rep.text, "device xive group 1 attr 0") != NULL, "%s", rep.text);
	ck_assert_str_eq(vm.trace, "pause"); /* `resume` was not called */
	fake_put64(d.fd, 1, 0, 0);           /* asked again, it works */
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert_str_eq(fake.trace, "set 1000 1:0; ");
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

/* What fails while it is saved is named, and the guest goes on. */
START_TEST(test_cannot_be_saved)
{
	paused();
	fake.fail_fd = _i == 0 ? fake_fd(0, 0) : fds[0][1];
	fake.fail_attr = _i == 0 ? EQ : VP;
	fake.error = -EBUSY;
	ck_assert_int_eq(ask(VMM_GET_STATE, S), -EBUSY);
	ck_assert_msg(strstr(rep.text,
			      _i == 0 ? "device xive group 4 attr 0xe"
				      : "vCPU 1 device xive ONE_REG") != NULL,
		"%s", rep.text);
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert_uint_eq(fake.pq[0][SOURCE], NOT_HELD);
	stop();
}
END_TEST

/* -- the destination -------------------------------------------------------------------------- */

static uint64_t *add_table(void)
{
	struct htabvmm_tce t = {
		.size = sizeof(t), .liobn = 7, .page_shift = 16, .entries = ENTRIES};
	uint64_t *p;

	t.fd = fd_memfd("tce");
	ck_assert_int_eq(ftruncate(t.fd, ENTRIES * 8), 0);
	ck_assert_int_eq(htabvmm_add_tce(vm.h, &t), 0);
	p = mmap(NULL, ENTRIES * 8, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	ck_assert(p != MAP_FAILED);
	fd_close(t.fd);
	return p;
}

/* An image of the source's, as the library makes it. */
static int make_image(void)
{
	uint64_t *table;
	uint8_t eq[64] = {1};
	int fd;

	start_with(0);
	table = add_table();
	table[3] = 0x30003;
	fake_put(fake_fd(0, 0), 4, EQ, eq, sizeof(eq));
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	fd = get_state();
	munmap(table, ENTRIES * 8);
	stop();
	return fd;
}

START_TEST(test_arrives)
{
	int image_fd = make_image();
	uint64_t *table;

	start_with(1);
	table = add_table();
	table[5] = 99;
	ck_assert_int_eq(ask_note(NOTE_LOADING, S), 0);
	fake_new_trace();
	/* A second time, after a failure, is as the first. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, image_fd), 0);
		ck_assert_int_eq(
			memcmp(fake_get(fake_fd(0, 0), 4, EQ), fake_get(fake_fd(1, 0), 4, EQ), 64),
			0);
		ck_assert_uint_eq(shadow[1][0], 1);
		ck_assert_uint_eq(shadow[1][1], 0xabcdef);
		ck_assert_uint_eq(fake.pq[1][SOURCE], 0);
		ck_assert_uint_eq(table[3], 0x30003);
		ck_assert_uint_eq(table[5], 0);
	}
	ck_assert_int_eq(ask_note(NOTE_READY, S), 0);
	ck_assert_int_eq(ask_note(NOTE_RUN, S), 0);
	ck_assert_uint_eq(fake.pq[1][SOURCE], 0); /* as it was set */
	munmap(table, ENTRIES * 8);
	fd_close(image_fd);
	stop();
}
END_TEST

/* A destination that is not like the source: refused by name, and nothing is set. */
START_TEST(test_refused)
{
	static const char *const says[] = {
		"device xive",   /* it has none */
		"TCE table 0x7", /* it has none */
		"the image lacks device other group 1 attr 0x4",
		"KVM refuses device xive group 4 attr 0xe", /* one that KVM does not take */
	};
	static const struct htabvmm_step step = {.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.group = 1,
		.first = 4,
		.fields = {8}};
	const struct htabvmm_recipe recipe = {&step, 1};
	struct htabvmm_device d = device(1);
	int image_fd = make_image();
	uint64_t *table = NULL;

	start(true);
	vm.h->devices.io = &fake_io;
	if (_i != 0)
		ck_assert_int_eq(htabvmm_add_device(vm.h, &d), 0);
	fill(1);
	if (_i != 1)
		table = add_table();
	if (_i == 2) {
		d.name = "other";
		d.recipe = &recipe;
		ck_assert_int_eq(htabvmm_add_device(vm.h, &d), 0);
	}
	if (_i == 3) {
		fake.fail_fd = fake_fd(1, 0);
		fake.fail_attr = EQ;
	}
	ck_assert_int_eq(ask_note(NOTE_LOADING, S), 0);
	fake_new_trace();
	ck_assert_int_lt(ask_fd(VMM_SET_STATE, NOTE_NONE, S, image_fd), 0);
	ck_assert_msg(strstr(rep.text, says[_i]) != NULL, "%s", rep.text);
	ck_assert_uint_eq(fake.changes, _i == 3); /* its reset */
	ck_assert_uint_eq(vm.blob_size, _i == 3 ? 4 : 0);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL);
	if (table)
		munmap(table, ENTRIES * 8);
	fd_close(image_fd);
	stop();
}
END_TEST

START_TEST(test_when_one_can_be_added)
{
	struct htabvmm_device d = device(0);
	struct htabvmm_tce t = {.size = sizeof(t), .liobn = 7, .page_shift = 16, .entries = 1};

	paused();
	d.name = "late";
	ck_assert_int_eq(htabvmm_add_device(vm.h, &d), -EBUSY);
	ck_assert_int_eq(htabvmm_add_tce(vm.h, &t), -EBUSY);
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert_int_eq(htabvmm_add_device(vm.h, &d), 0);
	stop();
	start_with(1);
	ck_assert_int_eq(ask_note(NOTE_LOADING, S), 0);
	ck_assert_int_eq(htabvmm_add_device(vm.h, &d), -EBUSY);
	stop();
}
END_TEST

static void begin(void)
{
	setup();
	fake_reset();
}

int main(void)
{
	Suite *s = suite_create("htabvmm-devices");
	TCase *t = tcase_create("htabvmm-devices");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, begin, teardown);
	tcase_add_loop_test(t, test_let_go, 0, 4);
	tcase_add_loop_test(t, test_looked_at, 0, 3);
	tcase_add_test(t, test_migrated);
	tcase_add_test(t, test_cannot_be_let_go);
	tcase_add_loop_test(t, test_cannot_be_saved, 0, 2);
	tcase_add_test(t, test_arrives);
	tcase_add_loop_test(t, test_refused, 0, 4);
	tcase_add_test(t, test_when_one_can_be_added);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
