/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Machine state as typed, sized elements, so that hosts of either byte order and of different
 * kernels understand each other.
 *
 * A state image is elements, one after another, each:
 *
 *	u16 kind   u16 vcpu   u32 size   u64 id   value[size]
 *
 * all big-endian; vcpu is STATE_VM for what belongs to the whole machine. A value is a big-endian
 * integer of `size` bytes unless its kind says otherwise. What a destination does not know it
 * names, with state_describe(), in its refusal.
 *
 * Pure functions over the caller's memory; any thread; nothing is allocated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/pack.h"

#define STATE_HDR_SIZE      16u
#define STATE_IMAGE_MAX     (64u << 20) /* bytes of one VM's state image, blobs included */
#define STATE_VM            0xffffu
#define STATE_NAME_MAX      96 /* of a described element, NUL included */
#define STATE_SHOW_MAX      96 /* of a shown value, NUL included */
#define STATE_BLOB_NAME_MAX 63

/* Never renumbered. */
enum state_kind {
	/* id: enum state_reg; what KVM_GET_REGS gives. */
	STATE_REG = 1,
	/* id: enum state_sreg, or STATE_SREG_SLB + slot; what KVM_GET_SREGS gives. */
	STATE_SREG = 2,
	/* id: KVM's own ONE_REG id; size is the one that the id states. */
	STATE_ONE_REG = 3,
	/* A blob of the VMM's own: u32 version, u16 name length, name, data. id counts from 0. */
	STATE_BLOB = 4,
	/* id: enum state_time. */
	STATE_TIME = 5,
	/* id: enum booke_sreg (proto/booke.h); what KVM_GET_SREGS gives of a BookE vCPU. */
	STATE_BOOKE = 6,
	/* id 0: how a BookE vCPU's software TLB is set up (proto/booke.h). */
	STATE_TLB = 7,
	/* A value of a kernel device; id: its attribute. proto/devstate.h. */
	STATE_DEVICE = 9,
	/* Entries of a table of translation control entries; id: its LIOBN. proto/devstate.h. */
	STATE_TCE = 10,
};

enum state_reg {
	STATE_REG_GPR0 = 0, /* to 31 */
	STATE_REG_PC = 32,
	STATE_REG_MSR,
	STATE_REG_CR,
	STATE_REG_CTR,
	STATE_REG_LR,
	STATE_REG_XER,
	STATE_REG_SRR0,
	STATE_REG_SRR1,
	STATE_REG_PID,
	STATE_REG_SPRG0, /* to SPRG7 */
	STATE_REG_END = STATE_REG_SPRG0 + 8,
};

enum state_sreg {
	STATE_SREG_PVR = 0,     /* u32 */
	STATE_SREG_SDR1 = 1,    /* u64 */
	STATE_SREG_VCPU_ID = 2, /* u32: KVM_CREATE_VCPU's; absent: the element's vcpu */
	/* Guests with the 32-bit MMU (KVM-PR) alone: absent when all are 0. */
	STATE_SREG_SR = 0x20,   /* + n: u32, segment register 0 to 15 */
	STATE_SREG_IBAT = 0x40, /* + n: u64, 0 to 7: upper half in the lower word, as KVM has it */
	STATE_SREG_DBAT = 0x48,
	STATE_SREG_SLB = 0x100, /* + slot: 16 bytes, slbe (ESID, V) then slbv (VSID, flags) */
};

#define STATE_SRS       16u
#define STATE_BATS      8u
#define STATE_SLB_SLOTS 64u

/* How a destination sets the guest's timebase: protocol.md, "The guest's time". */
enum state_time {
	STATE_TIME_GUEST_TB = 0, /* u64: at the moment to which END's pause age counts */
	/* 1: retired; the time of day at that moment. Taken and not used. */
	STATE_TIME_REAL_NS = 1,
	STATE_TIME_HZ = 2, /* u64: what it counts in a second; absent: TIMEBASE_HZ */
	/* u64: a digest of the host's boot id: where it is the same, so is the timebase. */
	STATE_TIME_HOST = 3,
};

struct state_elem {
	uint16_t kind; /* enum state_kind, or one that this version does not know */
	uint16_t vcpu;
	uint32_t size;
	uint64_t id;
	const uint8_t *value; /* inside the iterated buffer */
};

struct state_blob {
	uint32_t version;
	char name[STATE_BLOB_NAME_MAX + 1];
	const uint8_t *data;
	size_t size;
};

/* Append one element; on overflow of *k nothing is said until pack_end(). */
void state_put(struct pack *k, enum state_kind kind, uint16_t vcpu, uint64_t id, const void *value,
	uint32_t size);
void state_put_u64(struct pack *k, enum state_kind kind, uint16_t vcpu, uint64_t id, uint64_t v);
void state_put_u32(struct pack *k, enum state_kind kind, uint16_t vcpu, uint64_t id, uint32_t v);

/* The next element: 1 and *ret_elem, 0 at the end, -EBADMSG when it is cut short or too large. */
int state_next(struct unpack *u, struct state_elem *ret_elem);

/* An integer value of 1, 2, 4 or 8 bytes: 0 and *ret, or -EBADMSG when its size is none of them. */
int state_value(const struct state_elem *elem, uint64_t *ret);

/* Is this a blob's name: 1 to STATE_BLOB_NAME_MAX printable ASCII characters, no blank? */
bool state_blob_name_ok(const char *name);

/* Take a STATE_BLOB's value apart: 0 and *ret (data inside elem->value), or -EBADMSG. */
int state_blob(const struct state_elem *elem, struct state_blob *ret);

/* "vCPU 3 register MSR", "vCPU 0 SLB slot 7", "blob memory": for a person. Always terminated. */
void state_describe(const struct state_elem *elem, char buf[static STATE_NAME_MAX]);

/* "register", "one-reg", "blob", ...; "unknown" for a kind that is none. */
const char *state_kind_name(uint16_t kind);

/* The same name without the vCPU and the kind: "MSR", "SLB7", "memory". Always terminated. */
void state_name(const struct state_elem *elem, char buf[static STATE_NAME_MAX]);

/* Its value for a person: "0x8000000000000001", "0x10000 0x280", "4096 bytes". Terminated. */
void state_show(const struct state_elem *elem, char buf[static STATE_SHOW_MAX]);
