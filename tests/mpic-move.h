/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's MPIC, moved from one VM to another by its recipe: for a program on a host that has it
 * (BookE), and for the unit tests with a software one.
 */
#include "vmm/device/device.h"

struct mpic {
	int fd; /* of the device, connected to the vCPUs */
	const int *vcpus;
	unsigned n_vcpus;
};

/*
 * Give `from` known registers and inputs, save it, load it into `to`, which is as it was made, and
 * compare what KVM gives of both with what was set. `sources`: 80 for KVM_DEV_TYPE_FSL_MPIC_20, 196
 * for _42; io: NULL for KVM itself. 0, or a negative errno and a sentence.
 */
int mpic_move(const struct mpic *from, const struct mpic *to, unsigned sources,
	const struct kvm_dev_io *io, struct err *e);
