/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images that are wrong, each in one way: refused, the element named, and the VM that refused it
 * takes the good one afterwards.
 */
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/onereg.h"
#include "proto/state.h"
#include "tests/powernv/state-kvm.h"

enum change {
	VALUE,  /* the element's value becomes `value`, big-endian, in its last 8 bytes */
	ADD,    /* an element more, of `size` bytes with that value */
	REMOVE, /* the element is left out */
	TWICE,
	SIZE, /* the element has `size` bytes */
	VCPU, /* the element is of vCPU `value` */
};

#define REG(id)    STATE_REG, id
#define SREG(id)   STATE_SREG, id
#define ONE(name)  STATE_ONE_REG, KVM_REG_PPC_##name
#define LACKING    STATE_ONE_REG, ONE_REG_ID(U64, 0xc6) /* DEXCR: 6.12 has it */
#define OF_HALF(v) v, true
#define NEW_REG    ONE_REG_ID(U64, 0x1ff)
#define NEW_BYTES  0x1000000000000123ull /* an id of one byte */
#define LAST_SLOT  (STATE_SREG_SLB + 5)  /* one that the good image leaves free */
#define SLBE(slot) (0x4000000008000000ull | (slot))

static const struct wrong {
	const char *what;
	enum change change;
	enum state_kind kind;
	uint64_t id;
	uint64_t value;
	bool first_half; /* of 16 bytes: the value goes there */
	uint32_t size;
	const char *says; /* in the sentence; NULL: it is taken */
} wrongs[] = {
	{"a register that there is not", ADD, REG(STATE_REG_END), 1, false, 8, "register 0x31"},
	{"a register of 4 bytes", SIZE, REG(STATE_REG_MSR), 0, false, 4, "register MSR"},
	{"no PC", REMOVE, REG(STATE_REG_PC), 0, false, 0, "lacks registers of vCPU 0"},
	{"PC twice", TWICE, REG(STATE_REG_PC), 0, false, 0, "register PC"},
	{"no PVR", REMOVE, SREG(STATE_SREG_PVR), 0, false, 0, "lacks registers of vCPU 0"},
	{"another PVR, in a mode that KVM has", VALUE, SREG(STATE_SREG_PVR), 0x004d0200, false, 0,
		NULL},
	{"a special register that there is not", ADD, SREG(7), 1, false, 4, "0x7"},
	{"PVR of 8 bytes", SIZE, SREG(STATE_SREG_PVR), 0, false, 8, "register PVR"},
	{"an SDR1", VALUE, SREG(STATE_SREG_SDR1), 0x10000, false, 0, "register SDR1"},
	{"another vCPU id", ADD, SREG(STATE_SREG_VCPU_ID), 77, false, 4, "id 77"},
	{"a segment register", ADD, SREG(STATE_SREG_SR + 15), 1, false, 4, "register SR15"},
	{"an IBAT", ADD, SREG(STATE_SREG_IBAT + 7), 1, false, 8, "register IBAT7"},
	{"a DBAT", ADD, SREG(STATE_SREG_DBAT), 1, false, 8, "register DBAT0"},
	{"SLB slot 64", ADD, SREG(STATE_SREG_SLB + 64), OF_HALF(SLBE(64)), 16, "SLB slot 64"},
	{"an SLB slot of 8 bytes", ADD, SREG(LAST_SLOT), SLBE(5), false, 8, "SLB slot 5"},
	{"an SLB slot that is not valid", ADD, SREG(LAST_SLOT), OF_HALF(5), 16, "SLB slot 5"},
	{"an SLB slot that is another's", ADD, SREG(LAST_SLOT), OF_HALF(SLBE(6)), 16, "SLB slot 5"},
	{"a register of a size that its id does not say", SIZE, ONE(DSCR), 0, false, 16, "DSCR"},
	{"an id without a size", ADD, STATE_ONE_REG, NEW_BYTES, 1, false, 1, "0x1000000000000123"},
	{"a register that no kernel has", ADD, STATE_ONE_REG, NEW_REG, 1, false, 8,
		"ONE_REG 0x10300000000001ff"},
	{"one that this kernel lacks, 0", ADD, LACKING, 0, false, 8, NULL},
	{"one that this kernel lacks", ADD, LACKING, 1, false, 8, "DEXCR"},
	{"the host's breakpoint", ADD, ONE(DEBUG_INST), 1, false, 4, "DEBUG_INST"},
	{"half of LPCR", ADD, ONE(LPCR), 0, false, 4, "LPCR"},
	{"an interrupt controller's state", ADD, ONE(ICP_STATE), 0, false, 8, "ICP_STATE"},
	{"a real mode offset", VALUE, ONE(HIOR), 0x1000, false, 0, "HIOR"},
	{"a mode of later processors", VALUE, ONE(ARCH_COMPAT), 0x0f000006, false, 0, "0xf000006"},
	{"a mode that there is not", VALUE, ONE(ARCH_COMPAT), 0x12345678, false, 0, "0x12345678"},
	{"interrupts where KVM has none (AIL 1)", VALUE, ONE(LPCR_64), 0x02800000, false, 0,
		"LPCR_64"},
	{"the host's bits of LPCR", VALUE, ONE(LPCR_64), 0x8000000003800004, false, 0, NULL},
	{"a watchpoint in the hypervisor", VALUE, ONE(DAWRX), 0x7f, false, 0, "DAWRX"},
	{"a breakpoint in the hypervisor", VALUE, ONE(CIABR), 0x1003, false, 0, "CIABR"},
	{"the host's bits of PSSCR", VALUE, ONE(PSSCR), 0x00300000, false, 0, NULL},
	{"a VPA that is not aligned", VALUE, ONE(VPA_ADDR), 0x180001, false, 0, "VPA_ADDR"},
	{"an SLB shadow without a VPA", VALUE, ONE(VPA_ADDR), 0, false, 0, "VPA_SLB"},
	{"a dispatch trace of 8 bytes", VALUE, ONE(VPA_DTL), 8, false, 0, "VPA_DTL"},
	{"a vCPU that there is not", VCPU, ONE(DSCR), CPUS, false, 0, "vCPU 2"},
	{"the machine as a vCPU", VCPU, ONE(DSCR), STATE_VM, false, 0, "DSCR"},
	{"another frequency", ADD, STATE_TIME, STATE_TIME_HZ, 33333333, false, 8, "33333333 times"},
	{"a time that there is not", ADD, STATE_TIME, 9, 0, false, 8, "0x9"},
	{"an unknown kind", ADD, (enum state_kind)999, 1, 1, false, 8, "unknown kind 999"},
};

static void put_value(uint8_t *v, uint32_t size, const struct wrong *w)
{
	uint8_t be[8];

	be64_put(be, w->value);
	if (w->first_half && size == 16)
		memcpy(v, be, 8);
	else if (size >= 8)
		memcpy(v + size - 8, be, 8);
	else
		memcpy(v, be + 8 - size, size);
}

static size_t change(uint8_t *to, const uint8_t *image, size_t size, const struct wrong *w)
{
	uint16_t vcpu = w->kind == STATE_TIME ? STATE_VM : 0;
	uint8_t value[32] = {0};
	size_t len = 0, pos = 0;
	struct elem e;

	while (image_next(image, size, &pos, &e)) {
		bool it = e.kind == w->kind && e.id == w->id && e.vcpu == vcpu;

		if (e.size > sizeof(value) || !it || w->change == ADD) {
			len = image_put(to, len, e.kind, e.vcpu, e.id, e.value, e.size);
			continue;
		}
		memcpy(value, e.value, e.size);
		if (w->change == VALUE)
			put_value(value, e.size, w);
		if (w->change == VCPU)
			e.vcpu = (uint16_t)w->value;
		if (w->change == SIZE)
			e.size = w->size;
		for (int n = w->change == REMOVE ? 0 : w->change == TWICE ? 2 : 1; n > 0; n--)
			len = image_put(to, len, e.kind, e.vcpu, e.id, value, e.size);
	}
	if (w->change == ADD) {
		put_value(value, w->size, w);
		len = image_put(to, len, (uint16_t)w->kind, vcpu, w->id, value, w->size);
	}
	return len;
}

/* A processor that is another, of a guest in no compatibility mode: two elements differ. */
static void another_processor(struct lib *to, const uint8_t *image, size_t size)
{
	static const struct wrong raw = {"", VALUE, ONE(ARCH_COMPAT), 0, false, 0, ""};
	static const struct wrong pvr = {"", VALUE, SREG(STATE_SREG_PVR), 0x004d0200, false, 0, ""};
	static uint8_t half[IMAGE_MAX], whole[IMAGE_MAX];
	size_t len = change(half, image, size, &raw);
	char why[512];

	len = change(whole, half, len, &pvr);
	say(lib_load(to, whole, len, why) < 0 && strstr(why, "PVR 0x4d0200"),
		"another processor is refused: %s", why);
}

void hostile(struct lib *to, const uint8_t *image, size_t size)
{
	uint8_t *bad = malloc(IMAGE_MAX);
	char why[512], again[512];

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *w = &wrongs[i];
		size_t len;
		int r;

		if (w->change == ADD && w->kind == STATE_ONE_REG && was_filled(w->id))
			continue; /* this kernel has it */
		len = change(bad, image, size, w);
		r = lib_load(to, bad, len, why);

		if (!w->says) {
			say(r == 0, "%s is taken: %s", w->what, why);
			continue;
		}
		say(r < 0 && strstr(why, w->says), "%s is refused: %s", w->what, why);
		r = lib_load(to, image, size, again);
		if (r < 0)
			say(false, "after %s the good image is refused: %s", w->what, again);
	}
	free(bad);
	another_processor(to, image, size);
}
