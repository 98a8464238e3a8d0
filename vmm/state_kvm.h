/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * vCPU state between KVM and a state image. The vCPUs must be stopped. -ENOTSUP with a sentence
 * where there is no KVM for Book3S.
 */
#include <stddef.h>

#include "proto/state.h"
#include "vmm/libkvm.h"

/* Find out which registers this kernel has, so that it is not done while a guest stands still. */
void state_kvm_prepare(const struct kvm_vm *vm);

/* Append every vCPU's registers and the guest's timebase. */
int state_kvm_save(const struct kvm_vm *vm, struct pack *k, struct err *e);

/* Could this element (no blob) be applied, as far as can be told without doing it? */
int state_kvm_check(const struct kvm_vm *vm, const struct state_elem *elem, struct err *e);

/* Apply an image of checked elements, in the order that KVM needs. Blobs are passed over. */
int state_kvm_apply(const struct kvm_vm *vm, const void *image, size_t size, struct err *e);
