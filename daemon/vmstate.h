/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * query-vm-state and query-vm-tlb: the state of a VM, and the TLBs of a BookE guest, decoded for
 * people. Its VMM reads them, pausing a guest that runs for as long as that takes. Loop thread
 * only.
 */
#include "daemon/qmp.h"
#include "daemon/vm.h"

/* Elements or TLB entries in one answer: decoding them is one turn of the loop. */
#define VMSTATE_ELEMENTS_MAX 2048u

#define VMSTATE_ALL          INT64_MIN

/* Answer call, now or later. vcpu: only what is that one's, or VMSTATE_ALL. */
void vmstate_query(struct vm *vm, struct qmp_call *call, int64_t vcpu);
void vmstate_query_tlb(struct vm *vm, struct qmp_call *call, int64_t vcpu);
