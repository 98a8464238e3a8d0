/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/powernv/state-kvm.h"
#include "vmm/lib/impl.h"
#include "vmm/kvm/state.h"

struct lib {
	struct htabvmm *h;
};

static int nothing(void *opaque)
{
	return 0;
}

static int save_nothing(void *opaque, struct htabvmm_state *state)
{
	return 0;
}

static int load_nothing(
	void *opaque, const char *name, uint32_t version, const void *data, size_t size)
{
	return 0;
}

static const struct htabvmm_ops ops = {
	.pause = nothing,
	.resume = nothing,
	.save = save_nothing,
	.load = load_nothing,
};

struct lib *lib_new(int vm_fd, const int *fds, const unsigned *ids, bool incoming)
{
	struct htabvmm_config c = {
		.size = sizeof(c),
		.socket = "/nowhere/vmm.sock",
		.name = "vm1",
		.uuid = {1},
		.mmu = HTABVMM_MMU_HPT,
		.hpt_order = 18,
		.vcpus = CPUS,
		.vcpu_fds = fds,
		.vcpu_ids = ids,
		.vm_fd = vm_fd,
		.incoming = incoming,
		.ops = &ops,
	};
	struct lib *l = calloc(1, sizeof(*l));

	if (!l || htabvmm_new(&c, &l->h) < 0) {
		free(l);
		return NULL;
	}
	return l;
}

uint32_t lib_compat(const struct lib *l)
{
	return l->h->compat;
}

long lib_save(struct lib *l, uint8_t *buf, char why[static 512])
{
	struct err e = {0};
	ssize_t n;
	int fd, r;

	l->h->paused.known = false;
	r = lib_get_state(l->h, &fd, &e);
	if (r < 0) {
		snprintf(why, 512, "%s", e.text);
		return r;
	}
	n = pread(fd, buf, IMAGE_MAX, 0);
	fd_close(fd);
	return n > 0 ? n : -EIO;
}

int lib_load(struct lib *l, const uint8_t *image, size_t size, char why[static 512])
{
	int fd = fd_memfd("image"), r;
	struct err e = {0};

	if (fd < 0 || write(fd, image, size) != (ssize_t)size || fd_memfd_seal(fd) < 0)
		return -EIO;
	r = lib_set_state(l->h, fd, &e);
	snprintf(why, 512, "%s", e.text);
	fd_close(fd);
	return r;
}

uint64_t lib_timebase(struct lib *l, uint64_t *ret_now)
{
	struct err e = {0};

	if (lib_note_pause(l->h, &e) < 0)
		say(false, "the timebase: %s", e.text);
	*ret_now = l->h->paused.at;
	return l->h->paused.guest_tb;
}

int lib_start_time(
	struct lib *l, uint64_t guest_tb, uint64_t paused, int64_t *ret_error, char why[static 512])
{
	struct err e = {0};
	/* as on another host, whose timebase happens to be the same */
	struct state_kvm_tb tb = {.known = true, .guest = guest_tb};
	int r = state_kvm_start_time(&l->h->kvm, &tb, paused, ret_error, &e);

	snprintf(why, 512, "%s", e.text);
	return r;
}

/* -- images -- */

static struct state_elem elem_of(const struct elem *e)
{
	return (struct state_elem){e->kind, e->vcpu, e->size, e->id, e->value};
}

int image_next(const uint8_t *image, size_t size, size_t *pos, struct elem *ret)
{
	struct state_elem e;
	struct unpack u;

	unpack_init(&u, image + *pos, size - *pos);
	if (state_next(&u, &e) <= 0)
		return 0;
	*ret = (struct elem){e.kind, e.vcpu, e.size, e.id, e.value};
	*pos += STATE_HDR_SIZE + e.size;
	return 1;
}

void elem_name(const struct elem *e, char buf[static 96])
{
	struct state_elem s = elem_of(e);

	state_describe(&s, buf);
}

void elem_show(const struct elem *e, char buf[static 96])
{
	struct state_elem s = elem_of(e);

	state_show(&s, buf);
}

size_t image_put(uint8_t *image, size_t len, uint16_t kind, uint16_t vcpu, uint64_t id,
	const void *value, uint32_t size)
{
	struct pack k;

	pack_init(&k, image + len, IMAGE_MAX - len);
	state_put(&k, (enum state_kind)kind, vcpu, id, value, size);
	assert(pack_end(&k) == 0);
	return len + k.len;
}
