/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htab-kvmvm: a small VMM on POWER KVM, whose guest changes its hashed page table by hypercall all
 * the time, counts, and checks itself.
 *
 *	kvmvm.c         the process: the main loop, signals, libhtabvmm's callbacks
 *	kvmvm/opts.c    its command line
 *	kvmvm/guest.c   the VM, its vCPUs and why they stop
 *	kvmvm/change.c  its table reset or resized, by the monitor's commands (monitor.h)
 *	kvmvm/registers.c  known values in every register, interrupts that wait
 *	kvmvm/memory.c  the guest's memory as a blob of the machine state
 *	kvmvm/devices.c an interrupt controller and a TCE table
 *	kvmvm/dump.c    the table as a file
 *	kvmvm/code.S    what the guest runs; kvmvm/layout.h: where in its memory
 *
 * The main thread owns everything. vCPU threads report what is wrong and stop; that is under lock.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/ident.h"
#include "vmm/htabvmm.h"
#include "vmm/powerkvm/vm.h"
#include "vmm/tool/monitor.h"
#include "vmm/tool/options.h"

#define KVMVM_EXIT_SELFCHECK 3
#define KVMVM_WHY_MAX        256 /* of a sentence about what is wrong */
#define KVMVM_SOURCE_FIRST   0x1000u
#define KVMVM_SOURCES        32u

enum kvmvm_irqchip {
	KVMVM_NO_IRQCHIP = 0,
	KVMVM_XICS,
	KVMVM_XIVE,
};

struct kvmvm_opts {
	const char *socket, *name, *dump;
	struct vm_uuid uuid;
	bool incoming;
	bool large_entry, registers, stay; /* for tests */
	unsigned order, vcpus;
	size_t memory; /* bytes */
	enum kvmvm_irqchip irqchip;
	uint64_t tces; /* entries of a TCE table; 0: none */
	const char *monitor;
};

/* 0; 1 when all is said (--help); -EINVAL after a sentence on stderr. */
int kvmvm_opts_parse(int argc, char **argv, struct kvmvm_opts *ret);

/* -- the guest -- */

struct kvmvm_devices {
	enum kvmvm_irqchip irqchip;
	int fd, tce_fd; /* -1: none */
	/* What the VMM keeps of XIVE's sources, since KVM does not give it back. */
	uint64_t shadow[2][KVMVM_SOURCES];
	uint8_t present[KVMVM_SOURCES];
	void *esb; /* XIVE's ESB pages */
	size_t esb_size;
	uint64_t *table;
	uint64_t tces;
};

struct kvmvm_guest {
	struct kvm_vm *vm;
	struct kvmvm_devices devices;
	uint8_t *memory;
	size_t size;
	unsigned order, vcpus;
	struct vm_uuid uuid;
	bool resizable;            /* it bolts only what a resize can move */
	int fds[KVM_VM_VCPUS_MAX]; /* of the vCPUs; they stay the VM's */
	int sick_fd;               /* an eventfd: something is wrong */
	atomic_uint errors;
	pthread_mutex_t lock;
	char why[KVMVM_WHY_MAX]; /* the first thing that was wrong; under lock */
};

/* A VM whose vCPUs stand. One that is not to wait for a guest from elsewhere has its own. */
int kvmvm_guest_new(struct kvmvm_guest *g, const struct kvmvm_opts *o, struct err *e);
void kvmvm_guest_free(struct kvmvm_guest *g);
/*
 * The table is another one, of that order, or was emptied: what the guest knows of its entries is
 * what there is now, and its vCPUs begin anew, at the counts that they had. vCPUs paused, no other
 * reader. 0 or a negative errno.
 */
int kvmvm_guest_restart(struct kvmvm_guest *g, unsigned order);
void kvmvm_guest_figures(const struct kvmvm_guest *g, struct vmm_figures *ret);
/*
 * It came from elsewhere and may take the interrupts that waited; and those that it has taken since
 * its start, as a sentence ("" without --registers).
 */
void kvmvm_guest_arrived(struct kvmvm_guest *g);
void kvmvm_guest_taken(const struct kvmvm_guest *g, char text[static KVMVM_WHY_MAX]);
/* Has vCPU 0 taken the external interrupt that waited for it? */
bool kvmvm_guest_took_external(const struct kvmvm_guest *g);
/* What was wrong first, "" when nothing was. */
void kvmvm_guest_why(struct kvmvm_guest *g, char why[static KVMVM_WHY_MAX]);
/* Something outside of the vCPUs is wrong. */
void kvmvm_guest_sick(struct kvmvm_guest *g, const char *why);

/* -- --registers -- */

/* Before the vCPU's registers for its start; e is a sentence. */
int kvmvm_registers_fill(struct kvmvm_guest *g, unsigned cpu, struct err *e);
/* Which interrupts wait for that vCPU until it has moved: PENDING_ of kvmvm/layout.h. */
uint64_t kvmvm_registers_pending(const struct kvmvm_guest *g, unsigned cpu);

/* -- its devices: 0 or a negative errno -- */

/* After the vCPUs; a VM that waits for a guest has them as they are made. */
int kvmvm_devices_new(struct kvmvm_guest *g, const struct kvmvm_opts *o);
void kvmvm_devices_free(struct kvmvm_guest *g);
int kvmvm_devices_add(struct kvmvm_guest *g, struct htabvmm *h);
/* Are they as they were set up, wherever that was? -EILSEQ and *why when not. vCPUs stopped. */
int kvmvm_devices_check(struct kvmvm_guest *g, char why[static KVMVM_WHY_MAX]);

/* -- its memory -- */

/*
 * Blob "memory", version 1, big-endian: u32 page size (4096), u64 bytes of memory, u32 pages, then
 * for each page that is not all zero, in ascending order, u32 its number and its content.
 */
#define KVMVM_BLOB_NAME    "memory"
#define KVMVM_BLOB_VERSION 1u
#define KVMVM_BLOB_PAGE    4096u

int kvmvm_memory_save(const void *memory, size_t size, struct htabvmm_state *state);
/*
 * Takes all of a blob, or nothing of one that is malformed (-EBADMSG) or of another size
 * (-EINVAL).
 */
int kvmvm_memory_load(void *memory, size_t size, uint32_t version, const void *data,
	size_t data_size, struct err *e);

/* -- its table -- */

/* Each entry, normalised, at 16 * its index: 2^order bytes, the caller's. vCPUs stopped. */
int kvmvm_table(struct kvmvm_guest *g, uint8_t **ret_flat);

/* Write the table, normalised, while every vCPU stands. */
int kvmvm_dump(struct kvmvm_guest *g, const char *path, struct err *e);

/* -- its table reset or resized -- */

struct kvmvm_change {
	struct wish wish; /* what is under way */
	bool ran;         /* the guest did, when the vCPUs were stopped for it */
	bool asked;       /* the library waits for the daemon */
	int wait_ms;      /* for KVM to prepare the new table; -1: it does not */
};

struct kvmvm;

/* A wish; one that comes while another is under way is refused. */
void change_wished(struct kvmvm *m, struct wish wish);
/* What the loop waits for, -1: nothing; and that time is over. */
int change_wait_ms(const struct kvmvm *m);
void change_waited(struct kvmvm *m);
/* The library's answer: htabvmm_ops.htab_answer. */
void change_answer(void *m, int error, const char *text);

/* -- the process -- */

struct kvmvm {
	struct kvmvm_opts o;
	struct kvmvm_guest guest;
	struct htabvmm *h;
	struct monitor monitor;
	struct kvmvm_change change;
	int signals;
	bool over;
	bool stays; /* --stay: what arrived does not run yet */
	int status;
};

void kvmvm_print_event(struct kvmvm *m, const char *event, const char *text);
