/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Known values for everything of a vCPU that takes one: each follows from the register's id and the
 * vCPU's number, so that no two are the same. For htab-kvmvm --registers and for tests.
 *
 * VPAs, SLB shadows and dispatch trace logs are at KVM_FILL_AREAS in guest real memory: 64 KiB of
 * each, 4 KiB a vCPU.
 */
#include <stdint.h>

#define KVM_FILL_AREAS      0x180000u
#define KVM_FILL_AREAS_SIZE 0x30000u
#define KVM_FILL_VCPUS_MAX  16u

/* What ONE_REG `id` of that vCPU is to hold: the first bytes of value, as many as the id says. */
void kvm_fill_value(uint64_t id, unsigned cpu, uint64_t value[static 2]);

/*
 * KVM_SET_REGS and KVM_SET_SREGS of the vCPU `fd`: all registers but PC (0x2000) and MSR, which
 * gets SF and the bits of `msr`; and all slots of the SLB but three, the last first. 0 or a
 * negative errno.
 */
int kvm_fill_structs(int fd, unsigned cpu, uint64_t msr);
