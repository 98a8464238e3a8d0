/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/state.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/booke.h"
#include "proto/devstate.h"
#include "proto/onereg.h"

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

/*
 * -- names and values: for each kind what its elements are called and how a value is shown --------
 */

/* A name: what stands in front of it in a sentence, and itself. */
struct name {
	const char *what; /* "register ", "" */
	char text[STATE_NAME_MAX - 16];
	bool known;
};

static void name_reg(const struct state_elem *elem, struct name *n)
{
	static const char *const names[] = {
		"PC", "MSR", "CR", "CTR", "LR", "XER", "SRR0", "SRR1", "PID"};
	uint64_t id = elem->id;

	n->what = "register ";
	n->known = id < STATE_REG_END;
	if (id < STATE_REG_PC)
		snprintf(n->text, sizeof(n->text), "GPR%u", (unsigned)id);
	else if (id < STATE_REG_SPRG0)
		snprintf(n->text, sizeof(n->text), "%s", names[id - STATE_REG_PC]);
	else if (id < STATE_REG_END)
		snprintf(n->text, sizeof(n->text), "SPRG%u", (unsigned)(id - STATE_REG_SPRG0));
}

static void name_sreg(const struct state_elem *elem, struct name *n)
{
	static const struct {
		uint64_t first, count;
		const char *what, *text;
	} rows[] = {
		{STATE_SREG_PVR, 0, "register ", "PVR"},
		{STATE_SREG_SDR1, 0, "register ", "SDR1"},
		{STATE_SREG_VCPU_ID, 0, "", "KVM vCPU id"},
		{STATE_SREG_SR, STATE_SRS, "register ", "SR"},
		{STATE_SREG_IBAT, STATE_BATS, "register ", "IBAT"},
		{STATE_SREG_DBAT, STATE_BATS, "register ", "DBAT"},
		{STATE_SREG_SLB, 0x1000, "", "SLB slot "},
	};

	n->what = "special register ";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t at = elem->id - rows[i].first;

		if (elem->id < rows[i].first || at >= (rows[i].count ? rows[i].count : 1))
			continue;
		n->known = true;
		n->what = rows[i].what;
		if (rows[i].count)
			snprintf(n->text, sizeof(n->text), "%s%u", rows[i].text, (unsigned)at);
		else
			snprintf(n->text, sizeof(n->text), "%s", rows[i].text);
	}
}

static void name_one_reg(const struct state_elem *elem, struct name *n)
{
	char name[ONE_REG_NAME_MAX];

	one_reg_name(elem->id, name);
	n->known = true;
	n->what = one_reg_find(elem->id) ? "register " : "";
	snprintf(n->text, sizeof(n->text), "%s", name);
}

static void name_blob(const struct state_elem *elem, struct name *n)
{
	struct state_blob blob;

	n->what = "blob ";
	n->known = state_blob(elem, &blob) == 0;
	if (n->known)
		snprintf(n->text, sizeof(n->text), "%s", blob.name);
}

static void name_time(const struct state_elem *elem, struct name *n)
{
	static const char *const names[] = {
		"guest timebase", "time of day", "timebase frequency", "boot of the host"};

	n->what = "";
	n->known = elem->id < sizeof(names) / sizeof(names[0]);
	if (n->known)
		snprintf(n->text, sizeof(n->text), "%s", names[elem->id]);
	else
		n->what = "time ";
}

static void name_booke(const struct state_elem *elem, struct name *n)
{
	n->what = "BookE register ";
	n->known = booke_name(elem->id, n->text, sizeof(n->text));
	if (n->known)
		n->what = "register ";
}

static void name_tlb(const struct state_elem *elem, struct name *n)
{
	n->what = elem->id == 0 ? "" : "TLB element ";
	n->known = elem->id == 0;
	snprintf(n->text, sizeof(n->text), "TLB geometry");
}

/* An integer, of 4, 8 or 16 bytes above all. */
static void show_number(const struct state_elem *elem, char *buf, size_t size)
{
	uint64_t v;

	if (state_value(elem, &v) == 0)
		snprintf(buf, size, "0x%0*llx", (int)elem->size * 2, (unsigned long long)v);
	else if (elem->size == 16)
		snprintf(buf, size, "0x%016llx%016llx", (unsigned long long)be64_get(elem->value),
			(unsigned long long)be64_get(elem->value + 8));
	else
		snprintf(buf, size, "%u bytes", elem->size);
}

static void show_pair(const struct state_elem *elem, char *buf, size_t size)
{
	snprintf(buf, size, "0x%016llx 0x%016llx", (unsigned long long)be64_get(elem->value),
		(unsigned long long)be64_get(elem->value + 8));
}

static void show_sreg(const struct state_elem *elem, char *buf, size_t size)
{
	if (elem->id >= STATE_SREG_SLB && elem->size == 16)
		show_pair(elem, buf, size);
	else
		show_number(elem, buf, size);
}

static void show_one_reg(const struct state_elem *elem, char *buf, size_t size)
{
	if (one_reg_is_pair(elem->id) && elem->size == 16)
		show_pair(elem, buf, size);
	else
		show_number(elem, buf, size);
}

static void show_blob(const struct state_elem *elem, char *buf, size_t size)
{
	struct state_blob blob;

	if (state_blob(elem, &blob) == 0)
		snprintf(buf, size, "version %u, %zu bytes", blob.version, blob.size);
	else
		snprintf(buf, size, "%u bytes", elem->size);
}

static void name_device(const struct state_elem *elem, struct name *n)
{
	n->what = "device ";
	n->known = state_device_name(elem, n->text, sizeof(n->text));
}

static void name_tce(const struct state_elem *elem, struct name *n)
{
	n->what = "TCE table ";
	n->known = state_tce_name(elem, n->text, sizeof(n->text));
}

static void show_tlb(const struct state_elem *elem, char *buf, size_t size)
{
	struct booke_tlb_config c;

	if (booke_get_tlb_config(elem, &c) == 0)
		snprintf(buf, size, "TLB0 %u entries in %u ways, TLB1 %u", c.geometry.sizes[0],
			c.geometry.ways[0], c.geometry.sizes[1]);
	else
		snprintf(buf, size, "%u bytes", elem->size);
}

static const struct kind {
	enum state_kind kind;
	const char *name;
	void (*put_name)(const struct state_elem *elem, struct name *n);
	void (*show)(const struct state_elem *elem, char *buf, size_t size);
} kinds[] = {
	{STATE_REG, "register", name_reg, show_number},
	{STATE_SREG, "special-register", name_sreg, show_sreg},
	{STATE_ONE_REG, "one-reg", name_one_reg, show_one_reg},
	{STATE_BLOB, "blob", name_blob, show_blob},
	{STATE_TIME, "time", name_time, show_number},
	{STATE_DEVICE, "device", name_device, state_device_show},
	{STATE_TCE, "tce", name_tce, state_tce_show},
	{STATE_BOOKE, "booke-register", name_booke, show_number},
	{STATE_TLB, "tlb", name_tlb, show_tlb},
};

static const struct kind *find_kind(uint16_t kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].kind == kind)
			return &kinds[i];
	return NULL;
}

const char *state_kind_name(uint16_t kind)
{
	const struct kind *k = find_kind(kind);

	return k ? k->name : "unknown";
}

void state_name(const struct state_elem *elem, char buf[static STATE_NAME_MAX])
{
	const struct kind *k = find_kind(elem->kind);
	struct name n = {0};

	if (k)
		k->put_name(elem, &n);
	if (k && n.known)
		snprintf(buf, STATE_NAME_MAX, "%s", n.text);
	else
		snprintf(buf, STATE_NAME_MAX, "%#llx", (unsigned long long)elem->id);
}

void state_show(const struct state_elem *elem, char buf[static STATE_SHOW_MAX])
{
	const struct kind *k = find_kind(elem->kind);

	if (k)
		k->show(elem, buf, STATE_SHOW_MAX);
	else
		snprintf(buf, STATE_SHOW_MAX, "%u bytes", elem->size);
}

/* What is not of the machine as such, and has its name inside. */
static bool names_itself(uint16_t kind)
{
	return kind == STATE_BLOB || kind == STATE_DEVICE || kind == STATE_TCE;
}

void state_describe(const struct state_elem *elem, char buf[static STATE_NAME_MAX])
{
	const struct kind *k = find_kind(elem->kind);
	unsigned long long id = elem->id;
	char who[16] = "machine ";
	struct name n = {0};

	if (elem->vcpu != STATE_VM)
		snprintf(who, sizeof(who), "vCPU %u ", elem->vcpu);
	else if (names_itself(elem->kind))
		who[0] = 0;
	if (k)
		k->put_name(elem, &n);
	if (!k)
		snprintf(buf, STATE_NAME_MAX, "%selement of unknown kind %u, id %#llx", who,
			elem->kind, id);
	else if (!n.known)
		snprintf(buf, STATE_NAME_MAX, "%s%s %s%#llx", who,
			names_itself(elem->kind) ? "malformed" : "unknown", n.what, id);
	else if (elem->kind == STATE_ONE_REG && one_reg_find(elem->id))
		snprintf(buf, STATE_NAME_MAX, "%s%s%s (ONE_REG %#llx)", who, n.what, n.text, id);
	else
		snprintf(buf, STATE_NAME_MAX, "%s%s%s", who, n.what, n.text);
}
