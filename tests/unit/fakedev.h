/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's devices in software, behind device/kvmdev.h's functions: values by descriptor, XIVE's ESB
 * pages, clocks. What is asked of them is written down in order, and any call can be made to fail.
 * One of each at a time; descriptors are numbers that the test invents.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/device/device.h"

#define FAKE_TRACE_MAX (64u << 10)
#define FAKE_SOURCES   64

extern struct fake {
	char trace
		[FAKE_TRACE_MAX]; /* "set 7 1:0x10; trigger 7 0x10; ": each change, none of the reads */
	unsigned changes;         /* how many */
	/* The call that fails: the n-th change from now on (1: the next), or 0. */
	unsigned fail_at;
	/* The attribute or register that cannot be read or set, with fail_fd; -1: none. */
	int fail_fd;
	uint64_t fail_attr;
	int error; /* negative errno of both */
	/* By descriptor of the device: the sources' P and Q, and what was forwarded. */
	uint8_t pq[2][FAKE_SOURCES];
	unsigned forwarded[2][FAKE_SOURCES];
	struct tsc_moment clock[2];
	uint32_t khz[2];
	bool khz_fixed; /* set_khz() fails */
} fake;

extern const struct kvm_dev_io fake_io;

/* Two of everything: ours is 0, the other end's 1. Descriptors: fake_fd(end, n), n up to 15. */
#define fake_fd(end, n) (1000 + (end)*16 + (n))

/* Nothing is there any more. */
void fake_reset(void);
/* Nothing has been changed yet. */
void fake_new_trace(void);

/* Let there be a value, of `size` bytes in host order; what was never put gives -ENXIO. */
void fake_put(int fd, uint32_t group, uint64_t attr, const void *value, unsigned size);
void fake_put64(int fd, uint32_t group, uint64_t attr, uint64_t value);
void fake_put32(int fd, uint32_t group, uint64_t attr, uint32_t value);
/* It can be set, and not read (-EINVAL). */
void fake_put_writeonly(int fd, uint32_t group, uint64_t attr, unsigned size);
/* What was put or set last; the test fails when there is none. */
uint64_t fake_get64(int fd, uint32_t group, uint64_t attr);
uint32_t fake_get32(int fd, uint32_t group, uint64_t attr);
const uint8_t *fake_get(int fd, uint32_t group, uint64_t attr);
/* Do all values of a descriptor equal those of another? */
void fake_same(int fd, int other);

/* An event at a source. */
void fake_event(int end, uint64_t source);

/* The group of a register. */
#define FAKE_REG 0xffffffffu
