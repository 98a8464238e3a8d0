/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that is added: everything that a recipe could ask for is possible, or it is refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/device/device.h"

static bool fields_ok(const struct htabvmm_step *s)
{
	uint32_t sum = 0;

	if (s->fields[HTABVMM_FIELDS_MAX] != 0 || s->size > STATE_DEVICE_DATA_MAX)
		return false;
	for (const uint8_t *f = s->fields; *f; f++) {
		uint32_t n = dev_field_width(*f);

		if (n == 0 || (!(*f & DEV_FIELD_BYTES) && n != 1 && n != 2 && n != 4 && n != 8))
			return false;
		sum += n;
	}
	return sum <= STATE_DEVICE_DATA_MAX && (s->size == 0 || s->size >= sum) &&
		(s->verb != HTABVMM_STEP_MOVE || sum > 0);
}

static bool same_fields(const struct htabvmm_step *s, const char *fields)
{
	return s->size == 0 && strcmp((const char *)s->fields, fields) == 0;
}

/* A space can ask for one form of the step. */
static bool space_ok(const struct lib_device *d, const struct htabvmm_step *s)
{
	bool clocked = false;

	for (const struct htabvmm_step *c = d->steps; c < s; c++)
		clocked |= c->space == HTABVMM_IN_CLOCK;
	switch (s->space) {
	case HTABVMM_IN_DEVICE: return d->fd >= 0;
	case HTABVMM_IN_VCPU:
	case HTABVMM_IN_VCPU_REG: return d->vcpus > 0;
	case HTABVMM_IN_XIVE_ESB:
		return d->fd >= 0 && s->verb == HTABVMM_STEP_MOVE && same_fields(s, "\1") &&
			s->each == HTABVMM_EACH_SOURCE && s->scale == 1 && s->first == 0 &&
			s->count == 1 && d->n_sources > 0;
	case HTABVMM_IN_CLOCK:
		return d->fd >= 0 && s->verb == HTABVMM_STEP_MOVE && same_fields(s, "\10\10\10") &&
			s->each == HTABVMM_EACH_NONE && s->count == 1;
	case HTABVMM_IN_VCPU_TSC:
		return d->vcpus > 0 && s->verb == HTABVMM_STEP_MOVE && same_fields(s, "\10\4") &&
			s->each == HTABVMM_EACH_NONE && s->count == 1 && clocked;
	}
	return false;
}

static bool step_ok(const struct lib_device *d, const struct htabvmm_step *s)
{
	if (s->verb < HTABVMM_STEP_MOVE || s->verb > HTABVMM_STEP_AT_LOAD ||
		s->each > HTABVMM_EACH_SERVER ||
		s->flags & ~(HTABVMM_STEP_OPTIONAL | HTABVMM_STEP_SPARSE) || !fields_ok(s) ||
		!space_ok(d, s))
		return false;
	if (dev_space_of_vcpus(s->space) && s->each != HTABVMM_EACH_NONE)
		return false;
	if ((s->each != HTABVMM_EACH_NONE && s->scale == 0) || (s->count > 1 && s->stride == 0))
		return false;
	if (s->each == HTABVMM_EACH_SERVER && d->vcpus == 0)
		return false;
	if (s->each == HTABVMM_EACH_SOURCE && d->n_sources == 0)
		return false;
	return s->shadow == 0 ||
		(s->shadow <= 2 && d->shadow[s->shadow - 1] && s->count == 1 &&
			s->space == HTABVMM_IN_DEVICE && s->each == HTABVMM_EACH_SOURCE &&
			same_fields(s, "\10"));
}

/* Also how many values the device has. */
static bool recipe_ok(struct lib_device *d, uint32_t *ret_slots, bool *ret_esb)
{
	uint64_t slots = 0;

	*ret_esb = false;
	for (unsigned i = 0; i < d->n_steps; i++) {
		struct htabvmm_step *s = &d->steps[i];
		uint64_t n;

		s->count = s->count ? s->count : 1;
		if (!step_ok(d, s))
			return false;
		n = (uint64_t)dev_numbers(d, s) * (dev_space_of_vcpus(s->space) ? d->vcpus : 1);
		if (n > LIB_SLOTS_MAX || s->count > LIB_SLOTS_MAX)
			return false;
		slots += n * s->count;
		if (slots > LIB_SLOTS_MAX)
			return false;
		*ret_esb |= s->space == HTABVMM_IN_XIVE_ESB;
	}
	*ret_slots = (uint32_t)slots;
	return true;
}

static void *copy(const void *p, size_t n, size_t size, int *r)
{
	void *q;

	if (!p || *r < 0)
		return NULL;
	q = malloc(n * size);
	if (!q)
		*r = -ENOMEM;
	else
		memcpy(q, p, n * size);
	return q;
}

static struct lib_device *device_free(struct lib_device *d)
{
	if (d->esb)
		d->io->esb_unmap(d->esb, d->esb_size);
	free(d->steps);
	free(d->sources);
	free(d->servers);
	free(d->vcpu_fds);
	free(d->pq);
	free(d->slots);
	free(d);
	return NULL;
}

static bool limits_ok(const struct htabvmm_device *c)
{
	if (c->size != sizeof(*c) || !c->name || !state_device_name_ok(c->name) || !c->recipe ||
		!c->recipe->steps || c->recipe->count < 1 || c->recipe->count > LIB_STEPS_MAX ||
		c->source_count > LIB_SLOTS_MAX ||
		(c->vcpu_fds && (c->vcpus < 1 || c->vcpus >= STATE_VM)))
		return false;
	if (!c->sources)
		return c->first_source <= UINT64_MAX - c->source_count;
	for (uint32_t i = 1; i < c->source_count; i++)
		if (c->sources[i] <= c->sources[i - 1])
			return false;
	return true;
}

static int make(struct lib_device *d, const struct htabvmm_device *c)
{
	uint32_t slots = 0;
	bool esb = false;
	int r = 0;

	d->steps = copy(c->recipe->steps, c->recipe->count, sizeof(*d->steps), &r);
	d->sources = copy(c->sources, c->source_count, sizeof(*d->sources), &r);
	d->servers = copy(c->servers, d->vcpus, sizeof(*d->servers), &r);
	for (unsigned i = 1; r == 0 && d->servers && i < d->vcpus; i++)
		if (d->servers[i] <= d->servers[i - 1])
			r = -EINVAL;
	if (r == 0 && !recipe_ok(d, &slots, &esb))
		r = -EINVAL;
	if (r < 0)
		return r;
	d->slots = calloc(slots, sizeof(*d->slots));
	if (esb)
		d->pq = malloc(d->n_sources);
	if (!d->slots || (esb && !d->pq))
		return -ENOMEM;
	if (esb)
		memset(d->pq, ESB_FREE, d->n_sources);
	return 0;
}

int devices_add(
	struct lib_devices *l, const struct htabvmm_device *c, const int *fds, unsigned vcpus)
{
	struct lib_device *d;
	int r = 0;

	if (!limits_ok(c))
		return -EINVAL;
	for (unsigned i = 0; i < l->count; i++)
		if (strcmp(l->all[i]->name, c->name) == 0)
			return -EEXIST;
	if (l->count == LIB_DEVICES_MAX)
		return -ENOSPC;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	snprintf(d->name, sizeof(d->name), "%s", c->name);
	d->fd = c->fd;
	d->n_steps = c->recipe->count;
	d->first_source = c->first_source;
	d->n_sources = c->source_count;
	d->shadow[0] = c->shadow[0];
	d->shadow[1] = c->shadow[1];
	d->present = c->present;
	d->io = l->io ? l->io : &kvm_dev_io;
	if (c->vcpu_fds) {
		fds = c->vcpu_fds;
		vcpus = c->vcpus;
	}
	d->vcpus = fds ? vcpus : 0;
	d->vcpu_fds = copy(fds, d->vcpus, sizeof(int), &r);
	if (r == 0)
		r = make(d, c);
	if (r < 0) {
		device_free(d);
		return r;
	}
	l->all[l->count++] = d;
	return 0;
}

void devices_free(struct lib_devices *l)
{
	while (l->count > 0) {
		l->count--;
		l->all[l->count] = device_free(l->all[l->count]);
	}
}
