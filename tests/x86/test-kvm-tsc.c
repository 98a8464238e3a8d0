/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * On x86 with a working /dev/kvm: a guest's kvmclock and TSC move from one VM to another by the
 * recipe "tsc". The guest itself reads its TSC at both ends. Prints how far off it is.
 *
 * Exit status: 0, 1 after a failure, 77 and a sentence where KVM does not give what it takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "proto/pack.h"
#include "vmm/device/device.h"

#define VCPUS     2
#define MEMORY    0x10000u
#define CODE_AT   0x1000u
#define BOX_AT    0x2000u /* where the guest writes its TSC */
#define IMAGE_MAX 4096
#define AWAY_MS   50      /* how long it takes to move */
#define OFF_MAX   1000000 /* ns by which the guest's TSC may differ from what its kvmclock says */

struct machine {
	int vm, vcpu[VCPUS];
	struct kvm_run *run[VCPUS];
	uint8_t *memory;
	struct lib_devices devices;
};

static struct err err;

__attribute__((format(printf, 2, 3), noreturn)) static void quit(
	int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	puts("");
	fflush(stdout);
	exit(status);
}

static int need(int r, const char *what)
{
	if (r < 0)
		quit(77, "KVM gives no %s here: %s", what, strerror(errno));
	return r;
}

/* -- a VM in real mode ------------------------------------------------------------------------ */

/* Reads its TSC, writes it at BOX_AT and halts, for ever again. */
static const uint8_t code[] = {
	0x0f, 0x31,                   /* rdtsc */
	0x66, 0xa3, 0x00, 0x20,       /* mov [0x2000], eax */
	0x66, 0x89, 0x16, 0x04, 0x20, /* mov [0x2004], edx */
	0xf4,                         /* hlt */
	0xeb, 0xf2,                   /* jmp to the start */
};

static void make_vcpu(struct machine *m, unsigned i, int size)
{
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2};
	struct kvm_sregs sregs;

	m->vcpu[i] = need(ioctl(m->vm, KVM_CREATE_VCPU, (unsigned long)i), "vCPU");
	m->run[i] = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu[i], 0);
	need(m->run[i] == MAP_FAILED ? -1 : 0, "kvm_run");
	need(ioctl(m->vcpu[i], KVM_GET_SREGS, &sregs), "special registers");
	sregs.cs.base = sregs.cs.selector = 0;
	need(ioctl(m->vcpu[i], KVM_SET_SREGS, &sregs), "special registers");
	need(ioctl(m->vcpu[i], KVM_SET_REGS, &regs), "registers");
}

static void make(struct machine *m)
{
	int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY};
	int size;

	m->vm = need(ioctl(kvm, KVM_CREATE_VM, 0ul), "VM");
	size = need(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "kvm_run");
	close(kvm);
	m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(m->memory == MAP_FAILED ? -1 : 0, "memory");
	memcpy(m->memory + CODE_AT, code, sizeof(code));
	region.userspace_addr = (uintptr_t)m->memory;
	need(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region), "memory slot");
	for (unsigned i = 0; i < VCPUS; i++)
		make_vcpu(m, i, size);
}

static void finish(struct machine *m)
{
	devices_free(&m->devices);
	for (unsigned i = 0; i < VCPUS; i++)
		close(m->vcpu[i]);
	close(m->vm);
}

/* What a vCPU's guest reads from its TSC. */
static uint64_t guest_tsc(struct machine *m, unsigned vcpu)
{
	uint64_t tsc;
	int r;

	do
		r = ioctl(m->vcpu[vcpu], KVM_RUN, 0);
	while (r < 0 && errno == EINTR);
	need(r, "run of a vCPU");
	if (m->run[vcpu]->exit_reason != KVM_EXIT_HLT)
		quit(77, "KVM does not run a guest here: exit for reason %u",
			m->run[vcpu]->exit_reason);
	memcpy(&tsc, m->memory + BOX_AT, sizeof(tsc));
	return tsc;
}

static struct tsc_moment moment(struct machine *m)
{
	struct tsc_moment t;

	if (kvm_dev_io.get_clock(m->vm, &t) < 0)
		quit(77,
			"KVM_GET_CLOCK gives no host TSC and time of day: the host's "
			"clocksource is not its TSC");
	return t;
}

/* -- the move --------------------------------------------------------------------------------- */

static void add(struct machine *m)
{
	const struct htabvmm_device d = {
		.size = sizeof(d),
		.name = "tsc",
		.fd = m->vm,
		.recipe = htabvmm_recipe("tsc"),
		.vcpu_fds = m->vcpu,
		.vcpus = VCPUS,
	};
	int r = devices_add(&m->devices, &d, NULL, 0);

	if (r < 0)
		quit(1, "the device cannot be added: %s", strerror(-r));
}

static size_t save(struct machine *m, uint8_t *image)
{
	struct pack k;

	pack_init(&k, image, IMAGE_MAX);
	if (devices_hold(&m->devices, &err) < 0 || devices_save(&m->devices, &k, &err) < 0 ||
		pack_end(&k) < 0)
		quit(1, "%s", err.text);
	return k.len;
}

static void load(struct machine *m, const uint8_t *image, size_t len)
{
	struct state_elem e;
	struct unpack u;
	int r = 0;

	devices_check_begin(&m->devices);
	unpack_init(&u, image, len);
	while (r == 0 && (r = state_next(&u, &e)) > 0)
		r = devices_check(&m->devices, &e, &err);
	if (r < 0 || devices_check_end(&m->devices, &err) < 0 ||
		devices_load(&m->devices, &err) < 0)
		quit(1, "%s", err.text);
}

static uint64_t offset_of(const struct machine *m, unsigned i)
{
	uint64_t v = 0;

	need(kvm_dev_io.get_attr(m->vcpu[i], 0, 0, &v), "KVM_VCPU_TSC_OFFSET");
	return v;
}

static void set_offset(const struct machine *m, unsigned i, uint64_t v)
{
	need(kvm_dev_io.set_attr(m->vcpu[i], 0, 0, &v), "KVM_VCPU_TSC_OFFSET");
	if (offset_of(m, i) != v)
		quit(77, "/dev/kvm takes a TSC offset and does not keep it: it is no working KVM");
}

/* offset + TSC - kvmclock * frequency, as the kernel's document has it, in cycles. */
static int64_t origin(uint64_t offset, const struct tsc_moment *t, uint32_t khz)
{
	return (int64_t)(offset + t->host_tsc -
		(uint64_t)((unsigned __int128)t->clock * khz / TSC_KHZ_NS));
}

static int check_vcpu(struct machine *a, struct machine *b, unsigned i, uint64_t before,
	uint64_t after, const struct tsc_moment *then, const struct tsc_moment *now, uint32_t khz)
{
	int64_t off = origin(offset_of(b, i), now, khz) - origin(offset_of(a, i), then, khz);
	int64_t off_ns = off * TSC_KHZ_NS / khz;
	uint64_t passed = (after - before) / khz; /* ms */

	printf("vCPU %u: offset %" PRId64 " became %" PRId64 ", %" PRId64 " cycles (%" PRId64
	       " ns) off; its guest read %" PRIu64 ", then %" PRIu64 ": %" PRIu64 " ms\n",
		i, (int64_t)offset_of(a, i), (int64_t)offset_of(b, i), off, off_ns, before, after,
		passed);
	return after > before && passed >= AWAY_MS && off_ns > -OFF_MAX && off_ns < OFF_MAX;
}

int main(void)
{
	const struct timespec away = {.tv_nsec = AWAY_MS * 1000000L};
	static struct machine a, b;
	uint8_t image[IMAGE_MAX];
	struct tsc_moment then, now;
	uint64_t before[VCPUS], after[VCPUS];
	uint32_t khz = 0;
	size_t len;
	int ok = 1;

	make(&a);
	make(&b);
	/* One offset for all, or KVM gives no clock; a first run settles the clocks. */
	for (unsigned i = 0; i < VCPUS; i++)
		set_offset(&a, i, 1234567890123ull);
	for (unsigned i = 0; i < VCPUS; i++) {
		guest_tsc(&a, i);
		guest_tsc(&b, i);
	}
	need(kvm_dev_io.get_khz(a.vcpu[0], &khz), "frequency of the TSC");
	add(&a);
	add(&b);
	for (unsigned i = 0; i < VCPUS; i++)
		before[i] = guest_tsc(&a, i);
	then = moment(&a);
	len = save(&a, image);
	/* The pause: time that the guest's clocks have to take in. */
	clock_nanosleep(CLOCK_MONOTONIC, 0, &away, NULL);
	load(&b, image, len);
	for (unsigned i = 0; i < VCPUS; i++)
		after[i] = guest_tsc(&b, i);
	now = moment(&b);
	for (unsigned i = 0; i < VCPUS; i++)
		ok &= check_vcpu(&a, &b, i, before[i], after[i], &then, &now, khz);
	printf("kvmclock went on by %" PRId64 " ns, the host's TSC by %" PRIu64 " ns\n",
		(int64_t)(now.clock - then.clock),
		(uint64_t)((unsigned __int128)(now.host_tsc - then.host_tsc) * TSC_KHZ_NS / khz));
	finish(&a);
	finish(&b);
	quit(ok ? 0 : 1, "%s", ok ? "the TSC moved" : "the TSC did not move as it should");
}
