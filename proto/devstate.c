/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/devstate.h"

#include <assert.h>
#include <stdio.h>

#define TCE_HDR 34u /* bytes before a chunk's entries */

bool state_device_name_ok(const char *name)
{
	return strlen(name) <= STATE_DEVICE_NAME_MAX && state_blob_name_ok(name);
}

void state_device_put(struct pack *k, const struct state_device *d)
{
	assert(state_device_name_ok(d->name) && d->size <= STATE_DEVICE_DATA_MAX);
	pack_u16(k, STATE_DEVICE);
	pack_u16(k, d->vcpu);
	pack_u32(k, (uint32_t)(2 + strlen(d->name) + 2 + 4) + d->size);
	pack_u64(k, d->attr);
	pack_str(k, d->name);
	pack_u16(k, d->space);
	pack_u32(k, d->group);
	pack_bytes(k, d->data, d->size);
}

int state_device(const struct state_elem *elem, struct state_device *ret)
{
	struct state_device d = {.vcpu = elem->vcpu, .attr = elem->id};
	struct unpack u;

	if (elem->kind != STATE_DEVICE)
		return -EBADMSG;
	unpack_init(&u, elem->value, elem->size);
	unpack_str(&u, d.name, sizeof(d.name));
	d.space = unpack_u16(&u);
	d.group = unpack_u32(&u);
	if (u.bad || !state_device_name_ok(d.name) || u.left > STATE_DEVICE_DATA_MAX)
		return -EBADMSG;
	d.data = u.p;
	d.size = (uint32_t)u.left;
	*ret = d;
	return 0;
}

static size_t tce_data_size(const struct state_tce *t)
{
	return t->form == STATE_TCE_FILL ? 8 : (size_t)t->count * 8;
}

void state_tce_put(struct pack *k, const struct state_tce *t)
{
	assert(t->form == STATE_TCE_FILL || t->count <= STATE_TCE_CHUNK);
	pack_u16(k, STATE_TCE);
	pack_u16(k, STATE_VM);
	pack_u32(k, TCE_HDR + (uint32_t)tce_data_size(t));
	pack_u64(k, t->liobn);
	pack_u32(k, t->page_shift);
	pack_u64(k, t->offset);
	pack_u64(k, t->entries);
	pack_u64(k, t->first);
	pack_u32(k, t->count);
	pack_u16(k, t->form);
	pack_bytes(k, t->data, tce_data_size(t));
}

int state_tce(const struct state_elem *elem, struct state_tce *ret)
{
	struct state_tce t = {.liobn = elem->id};
	struct unpack u;

	if (elem->kind != STATE_TCE || elem->vcpu != STATE_VM)
		return -EBADMSG;
	unpack_init(&u, elem->value, elem->size);
	t.page_shift = unpack_u32(&u);
	t.offset = unpack_u64(&u);
	t.entries = unpack_u64(&u);
	t.first = unpack_u64(&u);
	t.count = unpack_u32(&u);
	t.form = unpack_u16(&u);
	if (u.bad || (t.form != STATE_TCE_LITERAL && t.form != STATE_TCE_FILL) ||
		(t.form == STATE_TCE_LITERAL && t.count > STATE_TCE_CHUNK) || t.first > t.entries ||
		t.count > t.entries - t.first)
		return -EBADMSG;
	t.data = unpack_bytes(&u, tce_data_size(&t));
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = t;
	return 0;
}

static void name_value(const struct state_device *d, char *buf, size_t size)
{
	unsigned long long attr = d->attr;

	switch (d->space) {
	case STATE_DEVICE_ATTR:
	case STATE_DEVICE_VCPU_ATTR:
		snprintf(buf, size, "%s group %u attr %#llx", d->name, d->group, attr);
		break;
	case STATE_DEVICE_VCPU_REG: snprintf(buf, size, "%s ONE_REG %#llx", d->name, attr); break;
	case STATE_DEVICE_ESB:
		snprintf(buf, size, "%s source %#llx's P and Q", d->name, attr);
		break;
	case STATE_DEVICE_CLOCK: snprintf(buf, size, "%s clock", d->name); break;
	case STATE_DEVICE_VCPU_TSC: snprintf(buf, size, "%s TSC", d->name); break;
	default:
		snprintf(buf, size, "%s unknown space %u attr %#llx", d->name, d->space, attr);
		break;
	}
}

bool state_device_name(const struct state_elem *elem, char *buf, size_t size)
{
	struct state_device d;

	if (state_device(elem, &d) < 0)
		return false;
	name_value(&d, buf, size);
	return true;
}

bool state_tce_name(const struct state_elem *elem, char *buf, size_t size)
{
	struct state_tce t;

	if (state_tce(elem, &t) < 0)
		return false;
	snprintf(buf, size, "%#llx from entry %llu", (unsigned long long)t.liobn,
		(unsigned long long)t.first);
	return true;
}

/* The bytes as they are: fields are the recipe's to know. */
void state_device_show(const struct state_elem *elem, char *buf, size_t size)
{
	struct state_device d;
	size_t n = 0;

	if (state_device(elem, &d) < 0 || d.size == 0) {
		snprintf(buf, size, "%u bytes", elem->size);
		return;
	}
	n = (size_t)snprintf(buf, size, "0x");
	for (uint32_t i = 0; i < d.size && n + 3 <= size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%02x", d.data[i]);
}

void state_tce_show(const struct state_elem *elem, char *buf, size_t size)
{
	struct state_tce t;

	if (state_tce(elem, &t) < 0)
		snprintf(buf, size, "%u bytes", elem->size);
	else if (t.form == STATE_TCE_FILL)
		snprintf(buf, size, "%u entries, all 0x%016llx", t.count,
			(unsigned long long)be64_get(t.data));
	else
		snprintf(buf, size, "%u entries", t.count);
}
