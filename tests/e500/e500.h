/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What the e500v2 test is made of: VMs with a BookE guest behind libhtabvmm (vm.c), the daemon's
 * step functions between two of them (daemon.c), MPICs without a guest (mpic.c), and the test
 * (move.c). One process: the guest's memory is shared by all VMs, so that the TLB, the registers
 * and nothing else move.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/vmm.h"
#include "vmm/htabvmm-tlb.h"
#include "vmm/htabvmm.h"
#include "vmm/kvm/kvm.h"

#define RAM_SIZE (1u << 20)
#define TLB0     512u
#define TLB1     16u

/* The test is over at the first thing that is wrong. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
#define check(cond, ...)                   \
	do {                               \
		if (!(cond))               \
			fail(__VA_ARGS__); \
	} while (0)

extern uint8_t *ram;
/* A big-endian word of the guest's memory, as a vCPU sees and changes it. */
uint32_t ram_get(uint32_t address);
void ram_put(uint32_t address, uint32_t v);

/* -- vm.c -- */

enum seen {
	SEEN_ROUNDS = 1,
	SEEN_PENDING = 2,
	SEEN_CAME = 4,
};

struct vm {
	int vm_fd, vcpu_fd;
	struct kvm_run *run;
	size_t run_size;
	struct htabvmm_tlb *tlb;
	struct htabvmm *h;
	char path[64];
	pthread_t vcpu, library;
	bool quit_library; /* under lock */
	int wake[2];       /* a pipe: the library's thread looks at quit_library */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock */
	bool want, running, quit;
	unsigned seen; /* of enum seen, since the last look */
	uint64_t rounds;
};

/* A VM that waits for a guest, or has one that stands at its first instruction. */
struct vm *vm_new(const char *path, bool incoming);
struct vm *vm_free(struct vm *v);
void vm_run(struct vm *v);
/* Wait until the guest says so, rounds from now on; its FAIL ends the test, so does a minute. */
void vm_wait(struct vm *v, enum seen what);
/* The registers as state elements, the vCPU standing: bytes, in a buffer of size bytes. */
size_t vm_state(struct vm *v, void *buf, size_t size);
/* Set them, the same: 0, or an error. */
int vm_apply(struct vm *v, const void *buf, size_t size, struct err *e);

/* -- daemon.c -- */

struct move_stats {
	uint32_t passes;
	uint64_t valid, invalid, plain;
	uint64_t changed; /* valid and invalid entries of the passes after the first */
};

/* Each may be NULL. */
struct move_hooks {
	void (*between)(struct vm *source); /* two passes, while the guest runs */
	/* When the source's vCPU stands and its last lap is over; and before the guest starts. */
	void (*paused)(struct vm *source);
	void (*loaded)(struct vm *dest);
};

/* Move the guest, as the two daemons would. Each VM's library registers at its path. */
void move_guest(struct vm *source, int source_listener, struct vm *dest, int dest_listener,
	const struct move_hooks *hooks, struct move_stats *ret);
int listen_at(const char *path);

/* -- mpic.c -- */

/* Each model of KVM's MPIC, from one VM to another: registers, inputs, address. */
void mpic_moves(void);
