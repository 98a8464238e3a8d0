/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/powernv/state-kvm.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/onereg.h"
#include "proto/state.h"
#include "vmm/powerkvm/vm.h"

#define MEMORY    (4u << 20)
#define GUEST_MAX 0x4000u
#define HCALL     0xf0000u
#define LPCR_ILE  0x02000000ull
#define DEXCR     ONE_REG_ID(U64, 0xc6) /* not in 6.1's header */
#define FSCR_TAR  0x100ull
#define MSR_GUEST 0x8000000002802000ull /* SF, VEC, VSX, FP */

extern const uint8_t state_kvm_guest[], state_kvm_guest_cpu0[], state_kvm_guest_cpu1[],
	state_kvm_guest_end[];

static const unsigned ids[CPUS] = {0, 5};
static unsigned passed, failed;

void say(bool ok, const char *fmt, ...)
{
	const char *name = getenv("SCENARIO");
	va_list ap;

	passed += ok;
	failed += !ok;
	printf("%s %s: ", ok ? "PASS" : "FAIL", name ? name : "state-kvm");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* -- VMs -------------------------------------------------------------------------------------- */

struct host {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[CPUS];
	int fds[CPUS];
	uint8_t *memory;
	struct lib *lib;
};

static struct host host_new(bool incoming)
{
	const struct kvm_vm_config config = {.order = 18, .memory = MEMORY};
	struct host h = {0};
	int r = kvm_vm_new(&config, &h.vm);
	size_t size;

	if (r < 0) {
		say(false, "a VM: %s", strerror(-r));
		exit(1);
	}
	for (unsigned i = 0; i < CPUS; i++) {
		r = kvm_vm_add_vcpu(h.vm, ids[i], &h.vcpus[i]);
		if (r < 0) {
			say(false, "vCPU %u: %s", ids[i], strerror(-r));
			exit(1);
		}
		h.fds[i] = kvm_vcpu_fd(h.vcpus[i]);
	}
	h.memory = kvm_vm_memory(h.vm, &size);
	h.lib = lib_new(kvm_vm_fd(h.vm), h.fds, ids, incoming);
	if (!h.lib) {
		say(false, "libhtabvmm does not take the VM");
		exit(1);
	}
	return h;
}

/* -- every element ---------------------------------------------------------------------------- */

/* The one element that is not what it was. */
static bool is_exception(const struct elem *e)
{
	return e->kind == STATE_TIME && e->id == STATE_TIME_GUEST_TB; /* it goes on */
}

static bool same(const struct elem *a, const struct elem *b)
{
	return a->kind == b->kind && a->vcpu == b->vcpu && a->id == b->id && a->size == b->size &&
		(is_exception(a) || memcmp(a->value, b->value, a->size) == 0);
}

void compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	size_t a_pos = 0, b_pos = 0;
	unsigned n = 0, differ = 0;
	char name[96], x[96], y[96];
	struct elem ea, eb;

	while (image_next(a, a_size, &a_pos, &ea)) {
		if (!image_next(b, b_size, &b_pos, &eb)) {
			differ++;
			break;
		}
		n++;
		if (same(&ea, &eb))
			continue;
		differ++;
		elem_name(&ea, name);
		elem_show(&ea, x);
		elem_show(&eb, y);
		say(false, "%s was %s and is %s", name, x, y);
	}
	say(differ == 0 && n > 0 && a_pos == a_size && b_pos == b_size,
		"%u elements read back at the destination are what they were", n);
}

/* Does the page say of that register that it is tested on this kernel? */
static bool is_claimed(const char *line)
{
	return strstr(line, "| real kernel |") ||
		(was_filled(KVM_REG_PPC_TFHAR) && strstr(line, "| real kernel, TM |")) ||
		(was_filled(DEXCR) && strstr(line, "| real kernel, 6.12 |"));
}

/* The page says of each register how it is tested: what it calls tested here was. */
static void compare_page(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned rows = 0, claimed = 0;
	char line[256], name[64];
	uint64_t id;

	if (!f) {
		say(false, "%s cannot be opened", path);
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		const struct one_reg *r;

		if (sscanf(line, "| `%" SCNx64 "` | %63s", &id, name) != 2)
			continue;
		rows++;
		r = one_reg_find(id);
		if (!is_claimed(line)) {
			if (was_filled(id))
				say(false, "%s was tested, and docs/state.md does not know it",
					name);
			continue;
		}
		claimed++;
		for (unsigned n = 0; r && n < r->count; n++)
			if (!was_filled(id + n))
				say(false, "%s (%u) was not tested, as docs/state.md says", name,
					n);
	}
	say(rows > 100, "docs/state.md names %u registers, %u of them as tested here", rows,
		claimed);
	fclose(f);
}

static void every_element(const char *page)
{
	static uint8_t before[IMAGE_MAX], after[IMAGE_MAX];
	struct host a = host_new(false), b = host_new(true);
	long a_size, b_size;
	unsigned n = 0;
	char why[512];
	int r;

	say(lib_compat(a.lib) == 0, "the guest runs as no older processor");
	say(lib_compat(b.lib) == 0x0f000005, "KVM takes guests as POWER9 and older (%#x)",
		lib_compat(b.lib));
	for (unsigned i = 0; i < CPUS; i++) {
		fill_structs(a.fds[i], i);
		n = fill_registers(a.fds[i], i);
	}
	say(n > 150, "%u registers have known values", n);
	compare_page(page);
	a_size = lib_save(a.lib, before, why);
	say(a_size > 0, "the state is read: %ld bytes %s", a_size, a_size < 0 ? why : "");
	r = lib_load(b.lib, before, (size_t)a_size, why);
	say(r == 0, "the state is set: %s", r < 0 ? why : "all of it read back");
	b_size = lib_save(b.lib, after, why);
	say(b_size > 0, "the state is read again");
	if (r == 0 && b_size > 0)
		compare(before, (size_t)a_size, after, (size_t)b_size);
	/* Into a VM that has them already: areas that are registered do not stand in the way. */
	r = lib_load(b.lib, before, (size_t)a_size, why);
	say(r == 0, "and a second time: %s", r < 0 ? why : "the same");
	hostile(b.lib, before, (size_t)a_size);
	r = lib_load(b.lib, before, (size_t)a_size, why);
	b_size = lib_save(b.lib, after, why);
	if (a_size > 0 && b_size > 0)
		compare(before, (size_t)a_size, after, (size_t)b_size);
	kvm_vm_free(a.vm);
	kvm_vm_free(b.vm);
}

/* -- a guest that looks for itself ------------------------------------------------------------ */

static void set_one(int fd, uint64_t id, uint64_t set)
{
	uint64_t v;
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&v};

	if (ioctl(fd, KVM_GET_ONE_REG, &reg) < 0)
		say(false, "ONE_REG %#" PRIx64 " is not given: %m", id);
	v |= set;
	if (ioctl(fd, KVM_SET_ONE_REG, &reg) < 0)
		say(false, "ONE_REG %#" PRIx64 " is not set: %m", id);
}

static void start_at(int fd, const uint8_t *code)
{
	struct kvm_regs regs;

	ioctl(fd, KVM_GET_REGS, &regs);
	regs.pc = (uint64_t)(code - state_kvm_guest);
	regs.msr = MSR_GUEST | (BYTE_ORDER == LITTLE_ENDIAN);
	ioctl(fd, KVM_SET_REGS, &regs);
	set_one(fd, KVM_REG_PPC_FSCR, FSCR_TAR);
	if (BYTE_ORDER == LITTLE_ENDIAN)
		set_one(fd, KVM_REG_PPC_LPCR_64, LPCR_ILE);
}

/*
 * Until the guest's hypercall: what it says. Its result reaches the registers with the next
 * KVM_RUN, which enters the guest no more.
 */
static bool run(struct kvm_vcpu *vcpu, uint64_t said[static 3])
{
	struct kvm_run *run, *again;
	int r;

	while ((r = kvm_vcpu_run(vcpu, &run)) == -EINTR)
		;
	if (r < 0 || run->exit_reason != KVM_EXIT_PAPR_HCALL || run->papr_hcall.nr != HCALL) {
		say(false, "vCPU %u ended with %d, exit %u", kvm_vcpu_id(vcpu), r,
			r < 0 ? 0 : run->exit_reason);
		return false;
	}
	for (unsigned i = 0; i < 3; i++)
		said[i] = run->papr_hcall.args[i];
	run->papr_hcall.ret = 0;
	run->immediate_exit = 1;
	kvm_vcpu_run(vcpu, &again);
	run->immediate_exit = 0;
	return true;
}

static uint64_t tb_offset(int fd)
{
	uint64_t v = 0;
	struct kvm_one_reg reg = {.id = KVM_REG_PPC_TB_OFFSET, .addr = (uintptr_t)&v};

	ioctl(fd, KVM_GET_ONE_REG, &reg);
	return v;
}

static bool make_guest(struct host *a, uint64_t offset)
{
	uint64_t said[3];

	memcpy(a->memory, state_kvm_guest, (size_t)(state_kvm_guest_end - state_kvm_guest));
	__builtin___clear_cache((char *)a->memory, (char *)a->memory + GUEST_MAX);
	start_at(a->fds[0], state_kvm_guest_cpu0);
	start_at(a->fds[1], state_kvm_guest_cpu1);
	for (unsigned i = 0; i < CPUS; i++)
		set_one(a->fds[i], KVM_REG_PPC_TB_OFFSET, offset);
	for (unsigned i = 0; i < CPUS; i++)
		if (!run(a->vcpus[i], said))
			return false;
	return true;
}

/* The guest stands still for `more` ns longer than it really did, as by a host far away. */
static void move_time(
	struct host *a, struct host *b, uint64_t guest_tb, uint64_t paused, uint64_t more)
{
	uint64_t tb, at;
	char why[512];
	int64_t error = INT64_MIN, off, ticks = (int64_t)(more / 1000 * 512);

	if (lib_start_time(b->lib, guest_tb, paused - more, &error, why) < 0)
		say(false, "the start's timebase: %s", why);
	tb = lib_timebase(b->lib, &at);
	off = (int64_t)(tb_offset(b->fds[0]) - tb_offset(a->fds[0]));
	say((int64_t)(tb - guest_tb) >= ticks - (1 << 24),
		"the timebase was %#" PRIx64 " and goes on at %#" PRIx64, guest_tb, tb);
	say(tb_offset(b->fds[0]) == tb_offset(b->fds[1]), "the offset is one for both vCPUs");
	if (more == 0)
		say(off == 0 && llabs(error) < 1000000,
			"the offset stays on the same host; the error is %" PRId64 " ns", error);
	else
		say(llabs(off - ticks) <= 1 << 23,
			"the offset grew by %" PRId64 " ticks for %" PRId64
			"; the error is %" PRId64 " ns",
			off, ticks, error);
}

static void one_move(uint64_t offset, uint64_t more)
{
	static uint8_t image[IMAGE_MAX];
	struct host a = host_new(false), b = host_new(true);
	uint64_t said[3], guest_tb, paused;
	char why[512];
	long size;

	if (!make_guest(&a, offset))
		return;
	guest_tb = lib_timebase(a.lib, &paused);
	size = lib_save(a.lib, image, why);
	if (size < 0 || lib_load(b.lib, image, (size_t)size, why) < 0) {
		say(false, "the guest's state: %s", why);
		return;
	}
	memcpy(b.memory, a.memory, MEMORY);
	__builtin___clear_cache((char *)b.memory, (char *)b.memory + GUEST_MAX);
	move_time(&a, &b, guest_tb, paused, more);
	for (unsigned i = 0; i < CPUS; i++)
		if (run(b.vcpus[i], said))
			say(said[0] == 0,
				"vCPU %u finds itself as it was (%" PRIu64 ", %#" PRIx64
				", %#" PRIx64 ")",
				i, said[0], said[1], said[2]);
	kvm_vm_free(a.vm);
	kvm_vm_free(b.vm);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "--pr") == 0) {
		pr_guests();
	} else {
		every_element(argc > 1 ? argv[1] : "docs/state.md");
		one_move(0, 0);
		one_move(0x123456ull << 24, 0);
		one_move(0, 1000000000);
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}
