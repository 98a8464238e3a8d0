/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's two models of Freescale's MPIC, each moved between two VMs of real KVM. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/e500/e500.h"
#include "tests/mpic-move.h"

#define VCPUS 2
/* Where the guest sees the registers; each model's have 256 KiB. */
#define BASE 0xf0000000u

struct mpic_vm {
	int vm_fd, vcpus[VCPUS];
	struct mpic mpic;
};

static const struct model {
	const char *name;
	uint32_t type;
	unsigned sources; /* Linux, arch/powerpc/kvm/mpic.c: max_irq */
} models[] = {
	{"2.0", KVM_DEV_TYPE_FSL_MPIC_20, 80},
	{"4.2", KVM_DEV_TYPE_FSL_MPIC_42, 196},
};

static void make(struct mpic_vm *v, const struct model *model)
{
	struct kvm_create_device d = {.type = model->type};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	check(kvm >= 0, "/dev/kvm: %s", strerror(errno));
	v->vm_fd = ioctl(kvm, KVM_CREATE_VM, 0);
	check(v->vm_fd >= 0, "KVM_CREATE_VM: %s", strerror(errno));
	close(kvm);
	check(ioctl(v->vm_fd, KVM_CREATE_DEVICE, &d) == 0, "KVM_CREATE_DEVICE of MPIC %s: %s",
		model->name, strerror(errno));
	for (unsigned i = 0; i < VCPUS; i++) {
		struct kvm_enable_cap cap = {.cap = KVM_CAP_IRQ_MPIC, .args = {d.fd, i}};

		v->vcpus[i] = ioctl(v->vm_fd, KVM_CREATE_VCPU, i);
		check(v->vcpus[i] >= 0, "KVM_CREATE_VCPU: %s", strerror(errno));
		check(ioctl(v->vcpus[i], KVM_ENABLE_CAP, &cap) == 0, "KVM_CAP_IRQ_MPIC: %s",
			strerror(errno));
	}
	v->mpic = (struct mpic){(int)d.fd, v->vcpus, VCPUS};
}

static void unmake(struct mpic_vm *v)
{
	close(v->mpic.fd);
	for (unsigned i = 0; i < VCPUS; i++)
		close(v->vcpus[i]);
	close(v->vm_fd);
}

/* The address that the guest sees, to or from KVM. */
static void address(const struct mpic_vm *v, unsigned long request, uint64_t *value)
{
	struct kvm_device_attr a = {
		.group = KVM_DEV_MPIC_GRP_MISC,
		.attr = KVM_DEV_MPIC_BASE_ADDR,
		.addr = (uintptr_t)value,
	};

	check(ioctl(v->mpic.fd, request, &a) == 0, "KVM_DEV_MPIC_BASE_ADDR: %s", strerror(errno));
}

void mpic_moves(void)
{
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		uint64_t there = BASE, here = 0;
		struct mpic_vm from, to;
		struct err e = {0};

		make(&from, &models[i]);
		make(&to, &models[i]);
		address(&from, KVM_SET_DEVICE_ATTR, &there);
		check(mpic_move(&from.mpic, &to.mpic, models[i].sources, NULL, &e) == 0,
			"MPIC %s: %s", models[i].name, e.text);
		address(&to, KVM_GET_DEVICE_ATTR, &here);
		check(here == there, "MPIC %s is at %#llx and should be at %#llx", models[i].name,
			(unsigned long long)here, (unsigned long long)there);
		unmake(&from);
		unmake(&to);
		printf("MPIC %s: %u sources\n", models[i].name, models[i].sources);
	}
}
