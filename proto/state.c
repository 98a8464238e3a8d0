/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/state.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

/* The number of a ONE_REG id without its architecture and size. */
#define ONE_REG_NUMBER(id) ((id)&0xffffffffull)

void state_put(struct pack *k, enum state_kind kind, uint16_t vcpu, uint64_t id, const void *value,
	uint32_t size)
{
	assert(size <= STATE_IMAGE_MAX);
	pack_u16(k, (uint16_t)kind);
	pack_u16(k, vcpu);
	pack_u32(k, size);
	pack_u64(k, id);
	pack_bytes(k, value, size);
}

void state_put_u64(struct pack *k, enum state_kind kind, uint16_t vcpu, uint64_t id, uint64_t v)
{
	uint8_t value[8];

	be64_put(value, v);
	state_put(k, kind, vcpu, id, value, sizeof(value));
}

void state_put_u32(struct pack *k, enum state_kind kind, uint16_t vcpu, uint64_t id, uint32_t v)
{
	uint8_t value[4];

	be32_put(value, v);
	state_put(k, kind, vcpu, id, value, sizeof(value));
}

int state_next(struct unpack *u, struct state_elem *ret_elem)
{
	struct state_elem e;

	if (u->bad)
		return -EBADMSG;
	if (u->left == 0)
		return 0;
	e.kind = unpack_u16(u);
	e.vcpu = unpack_u16(u);
	e.size = unpack_u32(u);
	e.id = unpack_u64(u);
	if (e.size > STATE_IMAGE_MAX)
		u->bad = true;
	e.value = unpack_bytes(u, e.size);
	if (!e.value)
		return -EBADMSG;
	*ret_elem = e;
	return 1;
}

int state_value(const struct state_elem *elem, uint64_t *ret)
{
	switch (elem->size) {
	case 1: *ret = elem->value[0]; return 0;
	case 2: *ret = be16_get(elem->value); return 0;
	case 4: *ret = be32_get(elem->value); return 0;
	case 8: *ret = be64_get(elem->value); return 0;
	default: return -EBADMSG;
	}
}

bool state_blob_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > STATE_BLOB_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

int state_blob(const struct state_elem *elem, struct state_blob *ret)
{
	struct state_blob b;
	struct unpack u;

	if (elem->kind != STATE_BLOB)
		return -EBADMSG;
	unpack_init(&u, elem->value, elem->size);
	b.version = unpack_u32(&u);
	unpack_str(&u, b.name, sizeof(b.name));
	if (u.bad || !state_blob_name_ok(b.name))
		return -EBADMSG;
	b.data = u.p;
	b.size = u.left;
	*ret = b;
	return 0;
}

/* "register MSR" and the like, without the vCPU. */
static void describe_reg(uint64_t id, char *buf, size_t size)
{
	static const char *const names[] = {
		"PC", "MSR", "CR", "CTR", "LR", "XER", "SRR0", "SRR1", "PID"};

	if (id < STATE_REG_PC)
		snprintf(buf, size, "register GPR%u", (unsigned)id);
	else if (id < STATE_REG_SPRG0)
		snprintf(buf, size, "register %s", names[id - STATE_REG_PC]);
	else if (id < STATE_REG_END)
		snprintf(buf, size, "register SPRG%u", (unsigned)(id - STATE_REG_SPRG0));
	else
		snprintf(buf, size, "unknown register %#llx", (unsigned long long)id);
}

static void describe_sreg(uint64_t id, char *buf, size_t size)
{
	if (id == STATE_SREG_PVR)
		snprintf(buf, size, "register PVR");
	else if (id == STATE_SREG_SDR1)
		snprintf(buf, size, "register SDR1");
	else if (id >= STATE_SREG_SLB && id - STATE_SREG_SLB < 0x1000)
		snprintf(buf, size, "SLB slot %u", (unsigned)(id - STATE_SREG_SLB));
	else
		snprintf(buf, size, "unknown special register %#llx", (unsigned long long)id);
}

static void describe_one_reg(uint64_t id, char *buf, size_t size)
{
	uint64_t n = ONE_REG_NUMBER(id);
	const char *kind = NULL;
	unsigned first = 0;

	if (n >= 0x20 && n < 0x40) {
		kind = "FPR";
		first = 0x20;
	} else if (n >= 0x40 && n < 0x60) {
		kind = "VR";
		first = 0x40;
	} else if (n >= 0x60 && n < 0x80) {
		kind = "VSR";
		first = 0x60;
	}
	if (kind)
		snprintf(buf, size, "register %s%u (ONE_REG %#llx)", kind, (unsigned)(n - first),
			(unsigned long long)id);
	else
		snprintf(buf, size, "ONE_REG %#llx", (unsigned long long)id);
}

void state_describe(const struct state_elem *elem, char buf[static STATE_NAME_MAX])
{
	char what[STATE_NAME_MAX - 16], who[16] = "machine ";
	struct state_blob blob;

	if (elem->vcpu != STATE_VM)
		snprintf(who, sizeof(who), "vCPU %u ", elem->vcpu);
	switch (elem->kind) {
	case STATE_REG: describe_reg(elem->id, what, sizeof(what)); break;
	case STATE_SREG: describe_sreg(elem->id, what, sizeof(what)); break;
	case STATE_ONE_REG: describe_one_reg(elem->id, what, sizeof(what)); break;
	case STATE_BLOB:
		if (elem->vcpu == STATE_VM)
			who[0] = 0;
		if (state_blob(elem, &blob) == 0)
			snprintf(what, sizeof(what), "blob %s", blob.name);
		else
			snprintf(what, sizeof(what), "malformed blob %llu",
				(unsigned long long)elem->id);
		break;
	case STATE_TIME:
		if (elem->id == STATE_TIME_GUEST_TB)
			snprintf(what, sizeof(what), "guest timebase");
		else if (elem->id == STATE_TIME_REAL_NS)
			snprintf(what, sizeof(what), "time of day");
		else
			snprintf(what, sizeof(what), "unknown time %#llx",
				(unsigned long long)elem->id);
		break;
	default:
		snprintf(what, sizeof(what), "element of unknown kind %u, id %#llx", elem->kind,
			(unsigned long long)elem->id);
		break;
	}
	snprintf(buf, STATE_NAME_MAX, "%s%s", who, what);
}
