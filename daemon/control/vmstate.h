/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * query-vm-state and query-vm-tlb: the state of a VM, and the TLBs of a BookE guest, decoded for
 * people. Its VMM reads them, pausing a guest that runs for as long as that takes. What does not
 * fit in one answer is kept for the next ones: all pages are of one reading. Loop thread only.
 */
#include "daemon/qmp/qmp.h"
#include "daemon/vms/vm.h"
#include "proto/state.h"

struct server;

/* Elements or TLB entries in one answer: decoding them is one turn of the loop. */
#define VMSTATE_ELEMENTS_MAX 2048u

#define VMSTATE_ALL          INT64_MIN
#define VMSTATE_START_MAX    (STATE_IMAGE_MAX / 16) /* an element has 16 bytes at least */

struct vmstate_ask {
	int64_t vcpu;    /* only what is that one's, or VMSTATE_ALL */
	int64_t start;   /* how many were shown before; 0: a new reading */
	int64_t reading; /* which one start is of, as its answer said */
};

/* Answer call, now or later. */
void vmstate_query(
	struct server *srv, struct vm *vm, struct qmp_call *call, const struct vmstate_ask *ask);
void vmstate_query_tlb(
	struct server *srv, struct vm *vm, struct qmp_call *call, const struct vmstate_ask *ask);
/* The VM goes: what is kept of it goes, too. */
void vmstate_forget(struct vm *vm);
