/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Devices in the kernel, moved by recipes (htabvmm.h says what those are).
 *
 *	device/recipe.c      the recipes that the library has
 *	device/add.c  adding a device
 *	device/device.c      what a step stands for; holding, reading, releasing: the source
 *	device/load.c checking what arrives and setting it: the destination
 *	device/esb.c         the masks of XIVE sources
 *	device/kvmdev.c      ioctls and pages, which tests replace
 *
 * The library's thread, while no vCPU runs. Functions return 0 or a negative errno, with a
 * sentence.
 */
#include <stdbool.h>

#include "common/err.h"
#include "proto/devstate.h"
#include "vmm/htabvmm.h"
#include "vmm/device/kvmdev.h"

#define LIB_DEVICES_MAX 16
#define LIB_STEPS_MAX   64
#define LIB_SLOTS_MAX   (1u << 20) /* values that one device can have */

/* A recipe's step done once. */
struct dev_item {
	const struct htabvmm_step *step;
	unsigned index; /* of the source or the server; 0 */
	unsigned vcpu;  /* index, in the spaces of vCPUs; else 0 */
	uint64_t attr;
};

struct lib_device {
	char name[STATE_DEVICE_NAME_MAX + 1];
	int fd;
	struct htabvmm_step *steps;
	unsigned n_steps;
	uint64_t *sources; /* NULL: first_source and on */
	uint64_t first_source;
	uint32_t n_sources;
	uint32_t *servers; /* NULL: 0, 1, 2, ... */
	int *vcpu_fds;
	unsigned vcpus;
	uint64_t *shadow[2]; /* the VMM's */
	uint8_t *present;    /* the VMM's, or NULL */
	const struct kvm_dev_io *io;

	bool held;
	/* XIVE's ESB pages, when a step needs them; P and Q as they were, or ESB_FREE. */
	void *esb;
	size_t esb_size;
	uint8_t *pq;

	/* While an image is checked and set: each value's place in it, by step and item. */
	const uint8_t **slots;
	struct tsc_moment clock[2]; /* the source's, ours */
};

#define ESB_FREE 0xffu

struct lib_devices {
	struct lib_device *all[LIB_DEVICES_MAX];
	unsigned count;
	const struct kvm_dev_io *io; /* NULL: kvm_dev_io */
};

/* Copy a device into the list; fds and vcpus are what counts when device->vcpu_fds is NULL. */
int devices_add(
	struct lib_devices *l, const struct htabvmm_device *device, const int *fds, unsigned vcpus);
void devices_free(struct lib_devices *l);

/* Before anything is read. After a failure everything is released. */
int devices_hold(struct lib_devices *l, struct err *e);
/* Before the guest runs on here. What was not held is let alone. Tries all, and tells the first. */
int devices_release(struct lib_devices *l, struct err *e);
/* Append every value to an image. Held. */
int devices_save(struct lib_devices *l, struct pack *k, struct err *e);

/* For each image: begin, every STATE_DEVICE element, end. Then load, while the image is there. */
void devices_check_begin(struct lib_devices *l);
int devices_check(struct lib_devices *l, const struct state_elem *elem, struct err *e);
int devices_check_end(struct lib_devices *l, struct err *e);
int devices_load(struct lib_devices *l, struct err *e);

/* -- inside: device/device.c -- */

/* The sources or servers that a step is done for: 1 for neither. */
uint32_t dev_numbers(const struct lib_device *d, const struct htabvmm_step *s);
/* How often a step is done, and the n-th of that. */
uint32_t dev_items(const struct lib_device *d, const struct htabvmm_step *s);
void dev_item(
	const struct lib_device *d, const struct htabvmm_step *s, uint32_t n, struct dev_item *ret);
/* Which of a step's items has that attribute (and vCPU): true and *ret_n. */
bool dev_find(const struct lib_device *d, const struct htabvmm_step *s, unsigned vcpu,
	uint64_t attr, uint32_t *ret_n);
/* A source that the VMM says is not in use takes part in nothing. */
bool dev_in_use(const struct lib_device *d, const struct dev_item *i);
uint64_t dev_source(const struct lib_device *d, uint32_t index);
/* Does the space belong to vCPUs? */
bool dev_space_of_vcpus(enum htabvmm_space space);
/* Bytes of a field. */
#define DEV_FIELD_BYTES 0x80 /* HTABVMM_BYTES() */
static inline uint32_t dev_field_width(uint8_t field)
{
	return field & ~(unsigned)DEV_FIELD_BYTES;
}

/* Bytes of a step's value in an image. */
uint32_t dev_wire_size(const struct htabvmm_step *s);
/* A value between KVM's form (host order) and the image's. */
void dev_swap(const struct htabvmm_step *s, uint8_t *wire, const uint8_t *kvm);
void dev_unswap(const struct htabvmm_step *s, uint8_t *kvm, const uint8_t *wire);
/* Do an _AT_ step. */
int dev_write_all(
	const struct lib_device *d, const struct htabvmm_step *s, const char *when, struct err *e);
/* "vCPU 0 device xics ONE_REG 0x103000000000008c" */
void dev_describe(
	const struct lib_device *d, const struct dev_item *i, char buf[static STATE_NAME_MAX]);
/* "KVM `what` that value: why" */
int dev_refuse(const struct lib_device *d, const struct dev_item *i, const char *what, int error,
	struct err *e);

/* -- inside: device/esb.c -- */
int esb_hold(struct lib_device *d, const struct dev_item *i, struct err *e);
void esb_release(struct lib_device *d, const struct dev_item *i);
int esb_set(struct lib_device *d, const struct dev_item *i, unsigned pq, struct err *e);
