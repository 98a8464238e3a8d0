/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests of KVM-PR, which runs any processor's in problem state: one with segment registers and
 * BATs, and one with an SLB. They do not run here; their state moves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/powernv/state-kvm.h"
#include "vmm/powerkvm/fill.h"

#define PVR_750    0x00080200u
#define PVR_7400   0x000c0209u
#define PVR_POWER8 0x004d0200u

struct host {
	int kvm, vm, fds[CPUS];
	struct lib *lib;
};

static const unsigned ids[CPUS] = {0, 1};

static bool need(int r, const char *what)
{
	if (r < 0)
		say(false, "%s: %s", what, strerror(errno));
	return r >= 0;
}

/* Both ends have made their vCPUs that processor's, as a VMM that emulates one does. */
static bool host_make(struct host *h, uint32_t pvr, bool incoming)
{
	struct kvm_sregs s;

	h->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (!need(h->kvm, "/dev/kvm"))
		return false;
	h->vm = ioctl(h->kvm, KVM_CREATE_VM, (unsigned long)KVM_VM_PPC_PR);
	if (!need(h->vm, "a VM of KVM-PR"))
		return false;
	for (unsigned i = 0; i < CPUS; i++) {
		h->fds[i] = ioctl(h->vm, KVM_CREATE_VCPU, (unsigned long)ids[i]);
		if (!need(h->fds[i], "a vCPU"))
			return false;
		memset(&s, 0, sizeof(s));
		s.pvr = pvr;
		if (!need(ioctl(h->fds[i], KVM_SET_SREGS, &s), "KVM_SET_SREGS"))
			return false;
	}
	h->lib = lib_new(h->vm, h->fds, ids, incoming);
	if (!h->lib)
		say(false, "libhtabvmm does not take the VM");
	return h->lib;
}

static void host_close(struct host *h)
{
	for (unsigned i = 0; i < CPUS; i++)
		close(h->fds[i]);
	close(h->vm);
	close(h->kvm);
}

/* SET takes a BAT's upper half in the high word, and GET gives it in the low one. */
static void fill_segments(int fd, unsigned cpu)
{
	struct kvm_sregs s;

	if (!need(ioctl(fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS"))
		return;
	s.u.s.sdr1 = 0x00ff0000u + cpu;
	for (unsigned i = 0; i < 16; i++)
		s.u.s.ppc32.sr[i] = 0x20000000u | (0x1000 * (i + 1) + 0x11 * cpu);
	for (unsigned i = 0; i < 8; i++) {
		s.u.s.ppc32.ibat[i] = (0x10001ffeull + i * 0x1000000) << 32 |
			(0x02000012 + i * 0x20000 + cpu * 8);
		s.u.s.ppc32.dbat[i] = (0x80001fffull + i * 0x1000000) << 32 |
			(0x0200002a + i * 0x20000 + cpu * 8);
	}
	need(ioctl(fd, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
}

/* Nothing sets a guest's timebase: it is the host's, which may not be less than the guest's was. */
static void times(const char *name, struct lib *b)
{
	uint64_t paused, tb = lib_timebase(b, &paused);
	int64_t error = INT64_MIN;
	char why[512];
	int r = lib_start_time(b, tb, paused, &error, why);

	say(r == 0 && error > -100000000 && error < 100000000,
		"%s: the host's timebase goes on, %lld ns off %s", name, (long long)error, why);
	r = lib_start_time(b, tb - (1u << 30), paused, &error, why);
	say(r == 0 && error > 1900000000 && error < 2300000000,
		"%s: a source 2 s behind, %lld ns off %s", name, (long long)error, why);
	r = lib_start_time(b, tb + (1ull << 40), paused, &error, why);
	say(r == -ERANGE && strstr(why, "would go back"), "%s: refused: %s", name, why);
}

static void moves(const char *name, uint32_t pvr, bool segments)
{
	static uint8_t before[IMAGE_MAX], after[IMAGE_MAX];
	struct host a, b;
	char why[512] = "";
	long a_size, b_size;
	unsigned n = 0;

	if (!host_make(&a, pvr, false) || !host_make(&b, pvr, true))
		return;
	for (unsigned i = 0; i < CPUS; i++) {
		/* not in a transaction: the emulated host has none, and KVM-PR would begin one */
		need(kvm_fill_structs(a.fds[i], i, 0), "known values");
		if (segments)
			fill_segments(a.fds[i], i);
		n = fill_registers(a.fds[i], i);
	}
	say(n > 60, "%s: %u registers have known values", name, n);
	a_size = lib_save(a.lib, before, why);
	say(a_size > 0, "%s: the state is read: %ld bytes %s", name, a_size, a_size < 0 ? why : "");
	if (a_size > 0) {
		int r = lib_load(b.lib, before, (size_t)a_size, why);

		say(r == 0, "%s: the state is set: %s", name, r < 0 ? why : "all of it read back");
		b_size = lib_save(b.lib, after, why);
		if (r == 0 && b_size > 0)
			compare(before, (size_t)a_size, after, (size_t)b_size);
		times(name, b.lib);
	}
	host_close(&a);
	host_close(&b);
}

void pr_guests(void)
{
	moves("a 750", PVR_750, true);
	moves("a 7400", PVR_7400, true);
	moves("a POWER8", PVR_POWER8, false);
}
