/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fakedev.h"

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX 4096

struct fake fake;

static struct value {
	int fd;
	uint32_t group;
	uint64_t attr;
	unsigned size;
	bool writeonly;
	uint8_t b[STATE_DEVICE_DATA_MAX];
} values[VALUES_MAX];
static unsigned n_values;
static size_t trace_len;
static int esb_of[2]; /* what esb_map() gives: its address tells the end */

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.fail_fd = -1;
	fake.error = -EIO;
	n_values = 0;
	trace_len = 0;
}

void fake_new_trace(void)
{
	fake.trace[0] = 0;
	fake.changes = 0;
	trace_len = 0;
}

static struct value *find(int fd, uint32_t group, uint64_t attr)
{
	for (unsigned i = 0; i < n_values; i++)
		if (values[i].fd == fd && values[i].group == group && values[i].attr == attr)
			return &values[i];
	return NULL;
}

static struct value *put(int fd, uint32_t group, uint64_t attr, const void *value, unsigned size)
{
	struct value *v = find(fd, group, attr);

	if (!v) {
		ck_assert_uint_lt(n_values, VALUES_MAX);
		v = &values[n_values++];
	}
	*v = (struct value){.fd = fd, .group = group, .attr = attr, .size = size};
	memcpy(v->b, value, size);
	return v;
}

void fake_put(int fd, uint32_t group, uint64_t attr, const void *value, unsigned size)
{
	put(fd, group, attr, value, size);
}

void fake_put64(int fd, uint32_t group, uint64_t attr, uint64_t value)
{
	fake_put(fd, group, attr, &value, sizeof(value));
}

void fake_put32(int fd, uint32_t group, uint64_t attr, uint32_t value)
{
	fake_put(fd, group, attr, &value, sizeof(value));
}

void fake_put_writeonly(int fd, uint32_t group, uint64_t attr, unsigned size)
{
	static const uint8_t zero[STATE_DEVICE_DATA_MAX];

	put(fd, group, attr, zero, size)->writeonly = true;
}

const uint8_t *fake_get(int fd, uint32_t group, uint64_t attr)
{
	const struct value *v = find(fd, group, attr);

	ck_assert_msg(v != NULL, "fd %d group %u attr %#" PRIx64, fd, group, attr);
	return v->b;
}

uint64_t fake_get64(int fd, uint32_t group, uint64_t attr)
{
	uint64_t v;

	memcpy(&v, fake_get(fd, group, attr), sizeof(v));
	return v;
}

uint32_t fake_get32(int fd, uint32_t group, uint64_t attr)
{
	uint32_t v;

	memcpy(&v, fake_get(fd, group, attr), sizeof(v));
	return v;
}

void fake_same(int fd, int other)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_values; i++) {
		const struct value *v = &values[i];

		if (v->fd != fd || v->writeonly)
			continue;
		ck_assert_msg(memcmp(v->b, fake_get(other, v->group, v->attr), v->size) == 0,
			"group %u attr %#" PRIx64, v->group, v->attr);
		n++;
	}
	ck_assert_uint_gt(n, 0);
}

void fake_event(int end, uint64_t source)
{
	uint8_t *pq = &fake.pq[end][source];

	switch (*pq) {
	case 0: /* forwarded */
		fake.forwarded[end][source]++;
		*pq = 2;
		break;
	case 2: *pq = 3; break;
	default: break;
	}
}

/* A change: noted, and 0 or the error that it gives. */
__attribute__((format(printf, 1, 2))) static int change(const char *format, ...)
{
	va_list ap;

	if (fake.fail_at && --fake.fail_at == 0)
		return fake.error;
	va_start(ap, format);
	trace_len += (size_t)vsnprintf(
		fake.trace + trace_len, sizeof(fake.trace) - trace_len, format, ap);
	va_end(ap);
	ck_assert_uint_lt(trace_len, sizeof(fake.trace));
	fake.changes++;
	return 0;
}

static bool fails(int fd, uint64_t attr)
{
	return fake.fail_fd == fd && fake.fail_attr == attr;
}

static int get(int fd, uint32_t group, uint64_t attr, void *value)
{
	const struct value *v = find(fd, group, attr);

	if (fails(fd, attr))
		return fake.error;
	if (!v)
		return -ENXIO;
	if (v->writeonly)
		return -EINVAL;
	memcpy(value, v->b, v->size);
	return 0;
}

static int set(int fd, uint32_t group, uint64_t attr, const void *value)
{
	struct value *v = find(fd, group, attr);
	int r;

	if (fails(fd, attr))
		return fake.error;
	if (!v)
		return -ENXIO;
	if (group == FAKE_REG)
		r = change("reg %d %#" PRIx64 "; ", fd, attr);
	else
		r = change("set %d %u:%#" PRIx64 "; ", fd, group, attr);
	if (r == 0)
		memcpy(v->b, value, v->size);
	return r;
}

static int get_reg(int vcpu, uint64_t id, void *value)
{
	return get(vcpu, FAKE_REG, id, value);
}

static int set_reg(int vcpu, uint64_t id, const void *value)
{
	return set(vcpu, FAKE_REG, id, value);
}

static int end_of(int fd)
{
	return fd >= fake_fd(1, 0);
}

static int esb_map(int fd, uint64_t sources, void **ret_esb, size_t *ret_size)
{
	ck_assert_uint_le(sources, FAKE_SOURCES);
	if (fails(fd, UINT64_MAX))
		return fake.error;
	*ret_esb = &esb_of[end_of(fd)];
	*ret_size = sources;
	return 0;
}

static void esb_unmap(void *esb, size_t size)
{
	ck_assert(esb == &esb_of[0] || esb == &esb_of[1]);
}

static unsigned esb_load(void *esb, uint64_t source, unsigned offset)
{
	uint8_t *pq = &fake.pq[esb == &esb_of[1]][source];
	unsigned was = *pq;

	if (offset == ESB_GET)
		return was;
	ck_assert(offset >= ESB_SET_PQ(0) && offset <= ESB_SET_PQ(3) && offset % 0x100 == 0);
	*pq = (uint8_t)((offset - ESB_SET_PQ(0)) >> 8);
	change("esb %#" PRIx64 " %u; ", source, *pq);
	return was;
}

static void esb_trigger(void *esb, uint64_t source)
{
	change("trigger %#" PRIx64 "; ", source);
	fake_event(esb == &esb_of[1], source);
}

static int get_clock(int vm, struct tsc_moment *ret)
{
	if (fails(vm, UINT64_MAX))
		return fake.error;
	*ret = fake.clock[end_of(vm)];
	return 0;
}

/* kvmclock goes on from what is set by the time of day that has passed. */
static int set_clock(int vm, const struct tsc_moment *now)
{
	struct tsc_moment *c = &fake.clock[end_of(vm)];
	int r = change("clock; ");

	if (r == 0)
		c->clock = now->clock + (c->realtime - now->realtime);
	return r;
}

static int get_khz(int vcpu, uint32_t *ret_khz)
{
	*ret_khz = fake.khz[end_of(vcpu)];
	return 0;
}

static int set_khz(int vcpu, uint32_t khz)
{
	if (fake.khz_fixed)
		return -EINVAL;
	fake.khz[end_of(vcpu)] = khz;
	return change("khz; ");
}

const struct kvm_dev_io fake_io = {
	.get_attr = get,
	.set_attr = set,
	.get_reg = get_reg,
	.set_reg = set_reg,
	.esb_map = esb_map,
	.esb_unmap = esb_unmap,
	.esb_load = esb_load,
	.esb_trigger = esb_trigger,
	.get_clock = get_clock,
	.set_clock = set_clock,
	.get_khz = get_khz,
	.set_khz = set_khz,
};
