/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The ioctls and the mapped pages of KVM's devices, in one struct so that tests replace them. All
 * return 0 or a negative errno; values are in host order, of the size that the attribute has. The
 * library's thread only. Numbers are those of <linux/kvm.h>, which every architecture shares.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/device/tsc.h"

/* Loads from a source's ESB page: each returns the P (2) and Q (1) that there were. */
#define ESB_GET       0x800u
#define ESB_SET_PQ(n) (0xc00u + ((n) << 8))

struct kvm_dev_io {
	int (*get_attr)(int fd, uint32_t group, uint64_t attr, void *value);
	int (*set_attr)(int fd, uint32_t group, uint64_t attr, const void *value);
	int (*get_reg)(int vcpu, uint64_t id, void *value);
	int (*set_reg)(int vcpu, uint64_t id, const void *value);
	/* Map the ESB pages of sources 0 to `sources` - 1 of a XIVE device. */
	int (*esb_map)(int fd, uint64_t sources, void **ret_esb, size_t *ret_size);
	void (*esb_unmap)(void *esb, size_t size);
	/* The source must have been set, or the process gets SIGBUS. */
	unsigned (*esb_load)(void *esb, uint64_t source, unsigned offset);
	void (*esb_trigger)(void *esb, uint64_t source);
	/* -ENOTSUP when KVM does not give all three for one moment. */
	int (*get_clock)(int vm, struct tsc_moment *ret);
	/* Set kvmclock to now.clock as of now.realtime. */
	int (*set_clock)(int vm, const struct tsc_moment *now);
	int (*get_khz)(int vcpu, uint32_t *ret_khz);
	int (*set_khz)(int vcpu, uint32_t khz);
};

extern const struct kvm_dev_io kvm_dev_io;
