/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/device/device.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)HTABVMM_IN_DEVICE == (int)STATE_DEVICE_ATTR, "one number");
static_assert((int)HTABVMM_IN_VCPU == (int)STATE_DEVICE_VCPU_ATTR, "one number");
static_assert((int)HTABVMM_IN_VCPU_REG == (int)STATE_DEVICE_VCPU_REG, "one number");
static_assert((int)HTABVMM_IN_XIVE_ESB == (int)STATE_DEVICE_ESB, "one number");
static_assert((int)HTABVMM_IN_CLOCK == (int)STATE_DEVICE_CLOCK, "one number");
static_assert((int)HTABVMM_IN_VCPU_TSC == (int)STATE_DEVICE_VCPU_TSC, "one number");

/* -- what a step stands for ------------------------------------------------------------------- */

bool dev_space_of_vcpus(enum htabvmm_space space)
{
	return space == HTABVMM_IN_VCPU || space == HTABVMM_IN_VCPU_REG ||
		space == HTABVMM_IN_VCPU_TSC;
}

uint32_t dev_numbers(const struct lib_device *d, const struct htabvmm_step *s)
{
	switch (s->each) {
	case HTABVMM_EACH_SOURCE: return d->n_sources;
	case HTABVMM_EACH_SERVER: return d->vcpus;
	case HTABVMM_EACH_NONE: break;
	}
	return 1;
}

uint64_t dev_source(const struct lib_device *d, uint32_t index)
{
	return d->sources ? d->sources[index] : d->first_source + index;
}

static uint64_t number(const struct lib_device *d, const struct htabvmm_step *s, uint32_t index)
{
	switch (s->each) {
	case HTABVMM_EACH_SOURCE: return dev_source(d, index);
	case HTABVMM_EACH_SERVER: return d->servers ? d->servers[index] : index;
	case HTABVMM_EACH_NONE: break;
	}
	return 0;
}

uint32_t dev_items(const struct lib_device *d, const struct htabvmm_step *s)
{
	return dev_numbers(d, s) * s->count * (dev_space_of_vcpus(s->space) ? d->vcpus : 1);
}

void dev_item(
	const struct lib_device *d, const struct htabvmm_step *s, uint32_t n, struct dev_item *ret)
{
	uint32_t each = dev_numbers(d, s) * s->count, rest = n % each;

	ret->step = s;
	ret->vcpu = n / each;
	ret->index = rest / s->count;
	ret->attr = s->first + number(d, s, ret->index) * s->scale + rest % s->count * s->stride;
}

/* The index of the source or server of that number: true and *ret. */
static bool find_number(
	const struct lib_device *d, const struct htabvmm_step *s, uint64_t nr, uint32_t *ret)
{
	uint32_t low = 0, high = dev_numbers(d, s);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (number(d, s, middle) < nr)
			low = middle + 1;
		else
			high = middle;
	}
	*ret = low;
	return low < dev_numbers(d, s) && number(d, s, low) == nr;
}

bool dev_find(const struct lib_device *d, const struct htabvmm_step *s, unsigned vcpu,
	uint64_t attr, uint32_t *ret_n)
{
	uint32_t each = dev_numbers(d, s) * s->count;

	for (uint32_t i = 0; i < s->count; i++) {
		uint64_t rest = attr - s->first - i * s->stride;
		uint32_t index = 0;
		bool found = rest == 0;

		if (s->each != HTABVMM_EACH_NONE)
			found = rest % s->scale == 0 && find_number(d, s, rest / s->scale, &index);
		if (found) {
			*ret_n = vcpu * each + index * s->count + i;
			return true;
		}
	}
	return false;
}

bool dev_in_use(const struct lib_device *d, const struct dev_item *i)
{
	return i->step->each != HTABVMM_EACH_SOURCE || !d->present || d->present[i->index];
}

/* -- values ----------------------------------------------------------------------------------- */

uint32_t dev_wire_size(const struct htabvmm_step *s)
{
	uint32_t n = 0;

	for (const uint8_t *f = s->fields; *f; f++)
		n += dev_field_width(*f);
	return n;
}

static void swap_fields(const struct htabvmm_step *s, uint8_t *to, const uint8_t *from)
{
	for (const uint8_t *f = s->fields; *f; f++) {
		uint32_t n = dev_field_width(*f);
		bool as_it_is = *f & DEV_FIELD_BYTES || BYTE_ORDER == BIG_ENDIAN;

		for (uint32_t i = 0; i < n; i++)
			to[i] = from[as_it_is ? i : n - 1 - i];
		to += n;
		from += n;
	}
}

void dev_swap(const struct htabvmm_step *s, uint8_t *wire, const uint8_t *kvm)
{
	swap_fields(s, wire, kvm);
}

void dev_unswap(const struct htabvmm_step *s, uint8_t *kvm, const uint8_t *wire)
{
	memset(kvm, 0, STATE_DEVICE_DATA_MAX);
	swap_fields(s, kvm, wire);
}

/* "vCPU 0 device xics ONE_REG 0x..." */
void dev_describe(
	const struct lib_device *d, const struct dev_item *i, char buf[static STATE_NAME_MAX])
{
	struct state_device v = {.vcpu = STATE_VM,
		.space = (uint16_t)i->step->space,
		.group = i->step->group,
		.attr = i->attr};
	uint8_t elem[STATE_HDR_SIZE + 64];
	struct state_elem e;
	struct unpack u;
	struct pack k;

	memcpy(v.name, d->name, sizeof(v.name));
	if (dev_space_of_vcpus(i->step->space))
		v.vcpu = (uint16_t)i->vcpu;
	pack_init(&k, elem, sizeof(elem));
	state_device_put(&k, &v);
	assert(pack_end(&k) == 0);
	unpack_init(&u, elem, k.len);
	state_next(&u, &e);
	state_describe(&e, buf);
}

int dev_refuse(const struct lib_device *d, const struct dev_item *i, const char *what, int error,
	struct err *e)
{
	char name[STATE_NAME_MAX];

	dev_describe(d, i, name);
	return err_set(e, error, "KVM %s %s: %s", what, name, strerror(-error));
}

/* -- the source ------------------------------------------------------------------------------- */

static int write_constant(const struct lib_device *d, const struct dev_item *i)
{
	alignas(8) uint8_t value[STATE_DEVICE_DATA_MAX] = {0}, wire[8];
	const struct htabvmm_step u64 = {.fields = {8}};
	const struct htabvmm_step *form = i->step->fields[0] ? i->step : &u64;
	uint32_t n = dev_field_width(form->fields[0]);

	be64_put(wire, i->step->constant);
	if (n <= 8)
		dev_unswap(
			&(struct htabvmm_step){.fields = {form->fields[0]}}, value, wire + 8 - n);
	if (i->step->space == HTABVMM_IN_VCPU_REG)
		return d->io->set_reg(d->vcpu_fds[i->vcpu], i->attr, value);
	return d->io->set_attr(i->step->space == HTABVMM_IN_VCPU ? d->vcpu_fds[i->vcpu] : d->fd,
		i->step->group, i->attr, value);
}

int dev_write_all(
	const struct lib_device *d, const struct htabvmm_step *s, const char *when, struct err *e)
{
	for (uint32_t n = 0; n < dev_items(d, s); n++) {
		struct dev_item i;
		int r;

		dev_item(d, s, n, &i);
		if (!dev_in_use(d, &i))
			continue;
		r = write_constant(d, &i);
		if (r < 0)
			return dev_refuse(d, &i, when, r, e);
	}
	return 0;
}

static int hold_esbs(struct lib_device *d, const struct htabvmm_step *s, struct err *e)
{
	int r = 0;

	for (uint32_t n = 0; n < dev_items(d, s) && r == 0; n++) {
		struct dev_item i;

		dev_item(d, s, n, &i);
		if (dev_in_use(d, &i))
			r = esb_hold(d, &i, e);
	}
	return r;
}

static int hold(struct lib_device *d, struct err *e)
{
	int r = 0;

	d->held = true;
	for (unsigned i = 0; i < d->n_steps && r == 0; i++) {
		const struct htabvmm_step *s = &d->steps[i];

		if (s->verb == HTABVMM_STEP_AT_HOLD)
			r = dev_write_all(d, s, "does not take, before the saving,", e);
		else if (s->space == HTABVMM_IN_XIVE_ESB)
			r = hold_esbs(d, s, e);
	}
	return r;
}

int devices_hold(struct lib_devices *l, struct err *e)
{
	struct err ignored;
	int r = 0;

	/* Asked once more while they are held: what came meanwhile counts. */
	r = devices_release(l, e);
	for (unsigned i = 0; i < l->count && r == 0; i++)
		r = hold(l->all[i], e);
	if (r < 0)
		devices_release(l, &ignored);
	return r;
}

static int release(struct lib_device *d, struct err *e)
{
	int first = 0;

	for (unsigned i = d->n_steps; i-- > 0;) {
		const struct htabvmm_step *s = &d->steps[i];
		struct err ignored;
		int r = 0;

		if (s->verb == HTABVMM_STEP_AT_RELEASE)
			r = dev_write_all(d, s, "does not take, before the guest runs on,",
				first ? &ignored : e);
		else if (s->space == HTABVMM_IN_XIVE_ESB)
			for (uint32_t n = 0; n < dev_items(d, s); n++) {
				struct dev_item item;

				dev_item(d, s, n, &item);
				esb_release(d, &item);
			}
		first = first ? first : r;
	}
	d->held = first < 0; /* to be tried again */
	return first;
}

int devices_release(struct lib_devices *l, struct err *e)
{
	int first = 0;

	for (unsigned i = l->count; i-- > 0;) {
		struct err ignored;

		if (l->all[i]->held) {
			int r = release(l->all[i], first ? &ignored : e);

			first = first ? first : r;
		}
	}
	return first;
}

static int read_tsc(const struct lib_device *d, const struct dev_item *i, uint8_t *value)
{
	uint64_t offset = 0;
	uint32_t khz;
	int r = d->io->get_attr(d->vcpu_fds[i->vcpu], i->step->group, i->attr, &offset);

	if (r == 0)
		r = d->io->get_khz(d->vcpu_fds[i->vcpu], &khz);
	if (r == 0) {
		memcpy(value, &offset, 8);
		memcpy(value + 8, &khz, 4);
	}
	return r;
}

/* A value as KVM has it; zeros where KVM writes nothing. */
static int read_value(const struct lib_device *d, const struct dev_item *i, uint8_t *value)
{
	const struct htabvmm_step *s = i->step;
	struct tsc_moment now;
	int r;

	memset(value, 0, STATE_DEVICE_DATA_MAX);
	if (s->shadow) {
		memcpy(value, &d->shadow[s->shadow - 1][i->index], 8);
		return 0;
	}
	switch (s->space) {
	case HTABVMM_IN_DEVICE: return d->io->get_attr(d->fd, s->group, i->attr, value);
	case HTABVMM_IN_VCPU:
		return d->io->get_attr(d->vcpu_fds[i->vcpu], s->group, i->attr, value);
	case HTABVMM_IN_VCPU_REG: return d->io->get_reg(d->vcpu_fds[i->vcpu], i->attr, value);
	case HTABVMM_IN_XIVE_ESB: value[0] = d->pq[i->index]; return 0;
	case HTABVMM_IN_VCPU_TSC: return read_tsc(d, i, value);
	case HTABVMM_IN_CLOCK:
		r = d->io->get_clock(d->fd, &now);
		if (r == 0) {
			memcpy(value, &now.host_tsc, 8);
			memcpy(value + 8, &now.clock, 8);
			memcpy(value + 16, &now.realtime, 8);
		}
		return r;
	}
	return -EINVAL;
}

static int save_item(
	const struct lib_device *d, const struct dev_item *i, struct pack *k, struct err *e)
{
	alignas(16) uint8_t value[STATE_DEVICE_DATA_MAX];
	uint8_t wire[STATE_DEVICE_DATA_MAX];
	struct state_device v = {.vcpu = STATE_VM,
		.space = (uint16_t)i->step->space,
		.group = i->step->group,
		.attr = i->attr,
		.data = wire,
		.size = dev_wire_size(i->step)};
	bool zero = true;
	int r = read_value(d, i, value);

	if ((r == -ENOENT || r == -ENXIO) && i->step->flags & HTABVMM_STEP_OPTIONAL)
		return 0;
	if (r < 0)
		return dev_refuse(d, i, "does not give", r, e);
	dev_swap(i->step, wire, value);
	for (uint32_t n = 0; n < v.size; n++)
		zero &= wire[n] == 0;
	if (zero && i->step->flags & HTABVMM_STEP_SPARSE)
		return 0;
	memcpy(v.name, d->name, sizeof(v.name));
	if (dev_space_of_vcpus(i->step->space))
		v.vcpu = (uint16_t)i->vcpu;
	state_device_put(k, &v);
	return 0;
}

static int save(const struct lib_device *d, struct pack *k, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < d->n_steps && r == 0; i++) {
		const struct htabvmm_step *s = &d->steps[i];

		for (uint32_t n = 0; s->verb == HTABVMM_STEP_MOVE && n < dev_items(d, s) && r == 0;
			n++) {
			struct dev_item item;

			dev_item(d, s, n, &item);
			if (dev_in_use(d, &item))
				r = save_item(d, &item, k, e);
		}
	}
	return r;
}

int devices_save(struct lib_devices *l, struct pack *k, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < l->count && r == 0; i++)
		r = save(l->all[i], k, e);
	return r;
}
