/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * state-kvm: two VMs in one process, whose state goes from one to the other through libhtabvmm as a
 * migration's does; every element is compared.
 *
 *	state-kvm.c          the VMs, the guest, what is tested
 *	state-kvm-fill.c     known values in every register that takes one
 *	state-kvm-pr.c       guests of KVM-PR, whose processor is a 32-bit one
 *	state-kvm-hostile.c  images that are wrong, each refused by name
 *	state-kvm-lib.c      libhtabvmm's side (its struct kvm_vm is not vmm/powerkvm/vm.h's)
 *	state-kvm-guest.S    what the guest runs
 *
 * A test reports PASS and FAIL lines, as the scenarios do; main() counts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUS      2u
#define IMAGE_MAX (1u << 20)

/* One element of an image, its value in the image's order. */
struct elem {
	uint16_t kind, vcpu;
	uint32_t size;
	uint64_t id;
	const uint8_t *value;
};

void say(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* -- state-kvm-lib.c -- */

struct lib; /* a handle of libhtabvmm on one VM */

struct lib *lib_new(int vm_fd, const int *fds, const unsigned *ids, bool incoming);
/* The mode that the library registers: proto/processor.h. */
uint32_t lib_compat(const struct lib *l);
/* What GET_STATE gives: the image, in buf of IMAGE_MAX bytes; its length, or -errno. */
long lib_save(struct lib *l, uint8_t *buf, char why[static 512]);
/* What SET_STATE does: 0 or -errno with the sentence. */
int lib_load(struct lib *l, const uint8_t *image, size_t size, char why[static 512]);
/* The guest's timebase now, as the library reads it at a pause. */
uint64_t lib_timebase(struct lib *l, uint64_t *ret_now);
/*
 * As RUN does before the vCPUs start, on another host than the source's. paused: ns of
 * CLOCK_MONOTONIC. 0 or -errno with the sentence.
 */
int lib_start_time(struct lib *l, uint64_t guest_tb, uint64_t paused, int64_t *ret_error,
	char why[static 512]);
/* The next element: 1, 0 at the end. *pos begins at 0. */
int image_next(const uint8_t *image, size_t size, size_t *pos, struct elem *ret);
void elem_name(const struct elem *e, char buf[static 96]);
void elem_show(const struct elem *e, char buf[static 96]);
/* Append an element; the new length. */
size_t image_put(uint8_t *image, size_t len, uint16_t kind, uint16_t vcpu, uint64_t id,
	const void *value, uint32_t size);

/* -- state-kvm-fill.c -- */

/*
 * Give every register of vCPU `fd` that KVM lets one set a value that is its own. The number of
 * registers that keep one; why not is said.
 */
unsigned fill_registers(int fd, unsigned cpu);
void fill_structs(int fd, unsigned cpu);
/* Does this kernel give the registers of transactional memory? */
bool has_tm(int fd);
/* Has `fill` given that register a value other than it had? */
bool was_filled(uint64_t id);

/* -- state-kvm.c -- */

/* Every element of two images, but the one that differs. */
void compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);

/* -- state-kvm-pr.c -- */

void pr_guests(void);

/* -- state-kvm-hostile.c -- */

void hostile(struct lib *to, const uint8_t *image, size_t size);
