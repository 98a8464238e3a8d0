/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The destination's side: every value has to be one that a recipe here lists, once, and nothing
 * that a recipe needs may be missing. Only then is anything set.
 */
#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "vmm/device/device.h"

#define PQ_MAX 3

static int refuse(const struct state_elem *elem, int error, const char *why, struct err *e)
{
	char what[STATE_NAME_MAX];

	state_describe(elem, what);
	return err_set(e, error, "cannot take %s: %s", what, why);
}

static struct lib_device *find_device(const struct lib_devices *l, const char *name)
{
	for (unsigned i = 0; i < l->count; i++)
		if (strcmp(l->all[i]->name, name) == 0)
			return l->all[i];
	return NULL;
}

void devices_check_begin(struct lib_devices *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct lib_device *d = l->all[i];
		uint32_t n = 0;

		for (unsigned s = 0; s < d->n_steps; s++)
			n += dev_items(d, &d->steps[s]);
		memset(d->slots, 0, n * sizeof(*d->slots));
	}
}

static int check_value(const struct state_elem *elem, const struct state_device *v, struct err *e)
{
	if (v->space == STATE_DEVICE_ESB && v->data[0] > PQ_MAX)
		return refuse(elem, -EINVAL, "it is more than two bits", e);
	if (v->space == STATE_DEVICE_VCPU_TSC && be32_get(v->data + 8) == 0)
		return refuse(elem, -EINVAL, "a frequency of 0 kHz", e);
	return 0;
}

int devices_check(struct lib_devices *l, const struct state_elem *elem, struct err *e)
{
	struct state_device v;
	struct lib_device *d;
	uint32_t base = 0, n;

	if (state_device(elem, &v) < 0)
		return refuse(elem, -EBADMSG, "it is malformed", e);
	d = find_device(l, v.name);
	if (!d)
		return refuse(elem, -ENODEV, "this VMM has no such device", e);
	for (unsigned i = 0; i < d->n_steps; i++) {
		const struct htabvmm_step *s = &d->steps[i];
		bool vcpus = dev_space_of_vcpus(s->space);

		if (s->verb == HTABVMM_STEP_MOVE && (unsigned)s->space == v.space &&
			s->group == v.group && (vcpus ? v.vcpu < d->vcpus : v.vcpu == STATE_VM) &&
			dev_find(d, s, vcpus ? v.vcpu : 0, v.attr, &n)) {
			if (v.size != dev_wire_size(s))
				return refuse(elem, -EBADMSG, "its size is another here", e);
			if (d->slots[base + n])
				return refuse(elem, -EEXIST, "it came before", e);
			d->slots[base + n] = v.data;
			return check_value(elem, &v, e);
		}
		base += dev_items(d, s);
	}
	return refuse(elem, -EINVAL, "it is not among what this VMM sets of that device", e);
}

/* Of a source that is not in use at either end nothing comes; of one in use everything. */
static bool source_came(const struct lib_device *d, uint32_t index)
{
	uint32_t base = 0;

	for (unsigned i = 0; i < d->n_steps; i++) {
		const struct htabvmm_step *s = &d->steps[i];

		if (s->verb == HTABVMM_STEP_MOVE && s->each == HTABVMM_EACH_SOURCE)
			for (uint32_t n = 0; n < s->count; n++)
				if (d->slots[base + index * s->count + n])
					return true;
		base += dev_items(d, s);
	}
	return false;
}

static int check_all_there(const struct lib_device *d, struct err *e)
{
	char name[STATE_NAME_MAX];
	uint32_t base = 0;

	for (unsigned i = 0; i < d->n_steps; i++) {
		const struct htabvmm_step *s = &d->steps[i];
		uint32_t items = dev_items(d, s);

		for (uint32_t n = 0; s->verb == HTABVMM_STEP_MOVE && n < items; n++) {
			struct dev_item item;

			if (d->slots[base + n] ||
				s->flags & (HTABVMM_STEP_OPTIONAL | HTABVMM_STEP_SPARSE))
				continue;
			dev_item(d, s, n, &item);
			if (s->each == HTABVMM_EACH_SOURCE && d->present &&
				!source_came(d, item.index))
				continue;
			dev_describe(d, &item, name);
			return err_set(e, -ENODATA,
				"the image lacks %s, which this VMM's recipe needs", name);
		}
		base += items;
	}
	return 0;
}

int devices_check_end(struct lib_devices *l, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < l->count && r == 0; i++)
		r = check_all_there(l->all[i], e);
	return r;
}

/* -- setting ---------------------------------------------------------------------------------- */

static int set_clock(struct lib_device *d, const uint8_t *value)
{
	int r;

	memcpy(&d->clock[0].host_tsc, value, 8);
	memcpy(&d->clock[0].clock, value + 8, 8);
	memcpy(&d->clock[0].realtime, value + 16, 8);
	r = d->io->set_clock(d->fd, &d->clock[0]);
	return r < 0 ? r : d->io->get_clock(d->fd, &d->clock[1]);
}

static int set_tsc(const struct lib_device *d, const struct dev_item *i, const uint8_t *value)
{
	int fd = d->vcpu_fds[i->vcpu], r;
	uint32_t khz, here;
	uint64_t offset;

	memcpy(&offset, value, 8);
	memcpy(&khz, value + 8, 4);
	r = d->io->get_khz(fd, &here);
	if (r == 0 && here != khz)
		r = d->io->set_khz(fd, khz);
	if (r < 0)
		return r;
	offset = tsc_offset(offset, &d->clock[0], &d->clock[1], khz);
	return d->io->set_attr(fd, i->step->group, i->attr, &offset);
}

static int set_value(
	struct lib_device *d, const struct dev_item *i, const uint8_t *wire, struct err *e)
{
	alignas(16) uint8_t value[STATE_DEVICE_DATA_MAX];
	const struct htabvmm_step *s = i->step;
	int r = -EINVAL;

	dev_unswap(s, value, wire);
	switch (s->space) {
	case HTABVMM_IN_DEVICE: r = d->io->set_attr(d->fd, s->group, i->attr, value); break;
	case HTABVMM_IN_VCPU:
		r = d->io->set_attr(d->vcpu_fds[i->vcpu], s->group, i->attr, value);
		break;
	case HTABVMM_IN_VCPU_REG: r = d->io->set_reg(d->vcpu_fds[i->vcpu], i->attr, value); break;
	case HTABVMM_IN_XIVE_ESB: return esb_set(d, i, value[0], e);
	case HTABVMM_IN_CLOCK: r = set_clock(d, value); break;
	case HTABVMM_IN_VCPU_TSC: r = set_tsc(d, i, value); break;
	}
	return r < 0 ? dev_refuse(d, i, "refuses", r, e) : 0;
}

static int load_step(struct lib_device *d, const struct htabvmm_step *s,
	const uint8_t *const *slots, struct err *e)
{
	int r = 0;

	for (uint32_t n = 0; n < dev_items(d, s) && r == 0; n++) {
		struct dev_item item;

		if (!slots[n])
			continue;
		dev_item(d, s, n, &item);
		r = set_value(d, &item, slots[n], e);
	}
	return r;
}

/* What the VMM keeps of its sources is now what arrived. */
static void take_over(struct lib_device *d)
{
	uint32_t base = 0;

	for (uint32_t n = 0; d->present && n < d->n_sources; n++)
		d->present[n] = source_came(d, n);
	for (unsigned i = 0; i < d->n_steps; i++) {
		const struct htabvmm_step *s = &d->steps[i];

		for (uint32_t n = 0; s->shadow && n < dev_items(d, s); n++)
			if (d->slots[base + n])
				d->shadow[s->shadow - 1][n] = be64_get(d->slots[base + n]);
		base += dev_items(d, s);
	}
}

static int load(struct lib_device *d, struct err *e)
{
	uint32_t base = 0;
	int r = 0;

	for (unsigned i = 0; i < d->n_steps && r == 0; i++) {
		const struct htabvmm_step *s = &d->steps[i];

		if (s->verb == HTABVMM_STEP_AT_LOAD)
			r = dev_write_all(d, s, "does not take, before the loading,", e);
		else if (s->verb == HTABVMM_STEP_MOVE)
			r = load_step(d, s, d->slots + base, e);
		base += dev_items(d, s);
	}
	if (r == 0)
		take_over(d);
	return r;
}

int devices_load(struct lib_devices *l, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < l->count && r == 0; i++)
		r = load(l->all[i], e);
	return r;
}
