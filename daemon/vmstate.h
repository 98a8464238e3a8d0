/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * query-vm-state: the state of a VM, decoded for people. Its VMM reads it, pausing a guest that
 * runs for as long as that takes. Loop thread only.
 */
#include "daemon/qmp.h"
#include "daemon/vm.h"

/* Elements in one answer: decoding them is one turn of the loop. */
#define VMSTATE_ELEMENTS_MAX 2048u

#define VMSTATE_ALL          INT64_MIN

/* Answers call, now or later. vcpu: only that one's elements, or VMSTATE_ALL. */
void vmstate_query(struct vm *vm, struct qmp_call *call, int64_t vcpu);
