/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/device/kvmdev.h"

#include <endian.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* KVM_XIVE_ESB_PAGE_OFFSET, which only POWER's headers have. */
#define ESB_PAGE_OFFSET 4
#define PAGES_PER_ESB   2 /* trigger, then management */

static int get_attr(int fd, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (uintptr_t)value};

	return ioctl(fd, KVM_GET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

static int set_attr(int fd, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (uintptr_t)value};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

static int get_reg(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg r = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_GET_ONE_REG, &r) < 0 ? -errno : 0;
}

static int set_reg(int vcpu, uint64_t id, const void *value)
{
	struct kvm_one_reg r = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_SET_ONE_REG, &r) < 0 ? -errno : 0;
}

static size_t page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int esb_map(int fd, uint64_t sources, void **ret_esb, size_t *ret_size)
{
	size_t size = sources * PAGES_PER_ESB * page();
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		(off_t)(ESB_PAGE_OFFSET * page()));

	if (p == MAP_FAILED)
		return -errno;
	*ret_esb = p;
	*ret_size = size;
	return 0;
}

static void esb_unmap(void *esb, size_t size)
{
	munmap(esb, size);
}

static volatile uint64_t *esb_word(void *esb, uint64_t source, unsigned which, unsigned offset)
{
	size_t at = (source * PAGES_PER_ESB + which) * page() + offset;

	return (volatile uint64_t *)(void *)((uint8_t *)esb + at);
}

static unsigned esb_load(void *esb, uint64_t source, unsigned offset)
{
	return be64toh(*esb_word(esb, source, 1, offset)) & 3;
}

static void esb_trigger(void *esb, uint64_t source)
{
	*esb_word(esb, source, 0, 0) = 0;
}

static int get_clock(int vm, struct tsc_moment *ret)
{
	const uint32_t need = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	struct kvm_clock_data c = {0};

	if (ioctl(vm, KVM_GET_CLOCK, &c) < 0)
		return -errno;
	if ((c.flags & need) != need)
		return -ENOTSUP;
	*ret = (struct tsc_moment){c.host_tsc, c.clock, c.realtime};
	return 0;
}

static int set_clock(int vm, const struct tsc_moment *now)
{
	struct kvm_clock_data c = {
		.clock = now->clock, .realtime = now->realtime, .flags = KVM_CLOCK_REALTIME};

	return ioctl(vm, KVM_SET_CLOCK, &c) < 0 ? -errno : 0;
}

static int get_khz(int vcpu, uint32_t *ret_khz)
{
	int khz = ioctl(vcpu, KVM_GET_TSC_KHZ, 0);

	if (khz < 0)
		return -errno;
	*ret_khz = (uint32_t)khz;
	return 0;
}

static int set_khz(int vcpu, uint32_t khz)
{
	return ioctl(vcpu, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0 ? -errno : 0;
}

const struct kvm_dev_io kvm_dev_io = {
	.get_attr = get_attr,
	.set_attr = set_attr,
	.get_reg = get_reg,
	.set_reg = set_reg,
	.esb_map = esb_map,
	.esb_unmap = esb_unmap,
	.esb_load = esb_load,
	.esb_trigger = esb_trigger,
	.get_clock = get_clock,
	.set_clock = set_clock,
	.get_khz = get_khz,
	.set_khz = set_khz,
};
