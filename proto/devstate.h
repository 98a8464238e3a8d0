/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The elements of a state image that are a kernel device's: one value of a device (STATE_DEVICE), a
 * stretch of a table of translation control entries (STATE_TCE). docs/protocol.md, section 8, has
 * the bytes.
 *
 * An element names the device and the value; whether a destination sets it is for the destination's
 * own list of what it sets, never for the element. Nothing here is an address or a descriptor.
 *
 * Pure functions over the caller's memory; any thread; nothing is allocated.
 */
#include "proto/state.h"

#define STATE_DEVICE_NAME_MAX 31    /* bytes, NUL not counted */
#define STATE_DEVICE_DATA_MAX 64u   /* bytes of one value */
#define STATE_TCE_CHUNK       4096u /* entries of a literal chunk */

/* Where a value lives. Never renumbered. */
enum state_device_space {
	STATE_DEVICE_ATTR = 1,      /* KVM_GET/SET_DEVICE_ATTR of the device */
	STATE_DEVICE_VCPU_ATTR = 2, /* the same of a vCPU */
	STATE_DEVICE_VCPU_REG = 3,  /* ONE_REG of a vCPU; the attribute is KVM's id */
	STATE_DEVICE_ESB = 4,   /* P and Q of a XIVE source: 0 to 3; the attribute is its number */
	STATE_DEVICE_CLOCK = 5, /* KVM_GET_CLOCK: host's TSC, kvmclock in ns, time of day in ns */
	STATE_DEVICE_VCPU_TSC = 6, /* a vCPU's TSC: offset, frequency in kHz */
};

struct state_device {
	char name[STATE_DEVICE_NAME_MAX + 1];
	uint16_t vcpu;  /* STATE_VM where the space has none */
	uint16_t space; /* enum state_device_space, or one that this version does not know */
	uint32_t group;
	uint64_t attr;
	const uint8_t *data; /* fields, big-endian; inside the element */
	uint32_t size;
};

/* Is this a device's name: 1 to STATE_DEVICE_NAME_MAX printable ASCII characters, no blank? */
bool state_device_name_ok(const char *name);

/* Append one. The name is a good one, size at most STATE_DEVICE_DATA_MAX. */
void state_device_put(struct pack *k, const struct state_device *d);

/* Take a STATE_DEVICE apart: 0 and *ret (data inside elem->value), or -EBADMSG. */
int state_device(const struct state_elem *elem, struct state_device *ret);

enum state_tce_form {
	STATE_TCE_LITERAL = 1, /* `count` entries follow */
	STATE_TCE_FILL = 2,    /* one entry follows, which all of them are */
};

/*
 * Entries of one table; what no chunk names is 0. A table has at least one chunk, which may be
 * empty, and its chunks are in ascending order without overlap.
 */
struct state_tce {
	uint64_t liobn;      /* the table's number; the element's id */
	uint32_t page_shift; /* log2 of the bytes that an entry maps */
	uint64_t offset;     /* of the window on the bus, in pages */
	uint64_t entries;    /* of the whole table */
	uint64_t first;      /* of this chunk */
	uint32_t count;
	uint16_t form;
	const uint8_t *data; /* big-endian u64 */
};

/* Append a chunk; data is taken as it is. */
void state_tce_put(struct pack *k, const struct state_tce *t);

/*
 * Take a STATE_TCE apart: 0 and *ret (data inside elem->value), or -EBADMSG when its form or size
 * is wrong, or the chunk is not within `entries`.
 */
int state_tce(const struct state_elem *elem, struct state_tce *ret);

/* For state_describe() and its like: what an element is called, false when it is malformed. */
bool state_device_name(const struct state_elem *elem, char *buf, size_t size);
bool state_tce_name(const struct state_elem *elem, char *buf, size_t size);
/* And its value. */
void state_device_show(const struct state_elem *elem, char *buf, size_t size);
void state_tce_show(const struct state_elem *elem, char *buf, size_t size);
