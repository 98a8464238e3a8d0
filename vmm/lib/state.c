/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "vmm/lib/impl.h"
#include "proto/onereg.h"
#include "vmm/kvm/booke.h"
#include "vmm/kvm/state.h"

/* What `save` fills in. */
struct htabvmm_state {
	struct pack pack;
	unsigned vcpus;
	bool kvm; /* registers come from KVM */
	uint64_t blobs;
	int error; /* the first one */
};

static int failed(struct htabvmm_state *state, int error)
{
	if (!state->error)
		state->error = error;
	return error;
}

int htabvmm_state_blob(struct htabvmm_state *state, const char *name, uint32_t version,
	const void *data, size_t size)
{
	struct pack *k = &state->pack;
	size_t n;

	if (!name || !state_blob_name_ok(name))
		return failed(state, -EINVAL);
	n = 4 + 2 + strlen(name);
	if (size > STATE_IMAGE_MAX - n)
		return failed(state, -EMSGSIZE);
	pack_u16(k, STATE_BLOB);
	pack_u16(k, STATE_VM);
	pack_u32(k, (uint32_t)(n + size));
	pack_u64(k, state->blobs++);
	pack_u32(k, version);
	pack_str(k, name);
	pack_bytes(k, data, size);
	return pack_end(k) < 0 ? failed(state, -EMSGSIZE) : 0;
}

int htabvmm_state_reg(struct htabvmm_state *state, unsigned vcpu, uint64_t one_reg_id,
	const void *value, size_t size)
{
	uint8_t be[ONE_REG_SIZE_MAX];

	if (state->kvm || vcpu >= state->vcpus || !one_reg_ok(one_reg_id) ||
		size != one_reg_size(one_reg_id))
		return failed(state, -EINVAL);
	one_reg_swap(one_reg_id, be, value);
	state_put(&state->pack, STATE_ONE_REG, (uint16_t)vcpu, one_reg_id, be, (uint32_t)size);
	return pack_end(&state->pack) < 0 ? failed(state, -EMSGSIZE) : 0;
}

int lib_note_pause(struct htabvmm *h, struct err *e)
{
	uint64_t before = clock_ns();
	int r = 0;

	h->paused.guest_tb = 0;
	h->paused.known = h->kvm.vm_fd >= 0 && h->mmu == MMU_HPT; /* BookE's is the host's */
	if (h->paused.known)
		r = state_kvm_timebase(&h->kvm, &h->paused.guest_tb, e);
	if (r < 0)
		h->paused.known = false;
	/* The middle of the two reads of the clock between which the timebase was read. */
	h->paused.at = before + (clock_ns() - before) / 2;
	return r;
}

static void put_tlb(struct htabvmm *h, struct pack *k)
{
	const struct htabvmm_tlb *t = h->tlbs.tlbs[0];
	const struct booke_tlb_config c = {t->mmu, t->geometry};

	for (unsigned i = 0; i < h->kvm.vcpus; i++)
		booke_put_tlb_config(k, (uint16_t)i, &c);
}

static int save(struct htabvmm *h, void *map, size_t *ret_len, struct err *e)
{
	struct htabvmm_state state = {.vcpus = h->kvm.vcpus, .kvm = h->kvm.vm_fd >= 0};
	int r = devices_hold(&h->devices, e);

	pack_init(&state.pack, map, STATE_IMAGE_MAX);
	if (h->mmu == MMU_BOOKE)
		put_tlb(h, &state.pack);
	if (state.kvm && r == 0 && !h->paused.known)
		r = lib_note_pause(h, e);
	if (state.kvm && r == 0 && h->mmu == MMU_BOOKE)
		r = state_booke_save(&h->kvm, &state.pack, e);
	else if (state.kvm && r == 0)
		r = state_kvm_save(&h->kvm, h->paused.guest_tb, &state.pack, e);
	if (r == 0)
		r = devices_save(&h->devices, &state.pack, e);
	if (r < 0)
		return r;
	tces_save(&h->tces, &state.pack);
	if (h->ops->save)
		r = h->ops->save(h->opaque, &state);
	if (r >= 0 && state.error)
		r = state.error;
	if (r >= 0)
		r = pack_end(&state.pack);
	if (r == -EMSGSIZE)
		return err_set(e, r, "the state of VM '%s' is larger than %u MiB", h->name,
			STATE_IMAGE_MAX >> 20);
	if (r < 0)
		return err_set(e, r, "VM '%s' could not save its state: %s", h->name, strerror(-r));
	if (state.pack.len == 0)
		return err_set(e, -ENODATA, "VM '%s' has no state to save", h->name);
	*ret_len = state.pack.len;
	return 0;
}

int lib_get_state(struct htabvmm *h, int *ret_fd, struct err *e)
{
	int fd = fd_memfd("htab-state"), r = 0;
	size_t len = 0;
	void *map;

	if (fd < 0)
		return err_set(
			e, fd, "VM '%s' got no memory for its state: %s", h->name, strerror(-fd));
	/* Pages come with their first use: nothing is copied and nothing grows. */
	if (ftruncate(fd, STATE_IMAGE_MAX) < 0)
		r = -errno;
	map = r < 0 ? MAP_FAILED
		    : mmap(NULL, STATE_IMAGE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		r = r < 0 ? r : -errno;
		fd_close(fd);
		return err_set(
			e, r, "VM '%s' got no memory for its state: %s", h->name, strerror(-r));
	}
	r = save(h, map, &len, e);
	munmap(map, STATE_IMAGE_MAX);
	if (r == 0 && (ftruncate(fd, (off_t)len) < 0 || fd_memfd_seal(fd) < 0))
		r = err_set(e, -EIO, "VM '%s' could not seal its state", h->name);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int refuse_elem(
	struct htabvmm *h, const struct state_elem *elem, int error, const char *why, struct err *e)
{
	char what[STATE_NAME_MAX];

	state_describe(elem, what);
	return err_set(e, error, "VM '%s' refuses %s: %s", h->name, what, why);
}

static int check_tlb(struct htabvmm *h, const struct state_elem *elem, struct err *e)
{
	struct booke_tlb_config c;
	const struct htabvmm_tlb *t;

	if (h->mmu != MMU_BOOKE)
		return refuse_elem(h, elem, -ENOTSUP, "this guest has a hashed page table", e);
	if (booke_get_tlb_config(elem, &c) < 0)
		return refuse_elem(h, elem, -EBADMSG, "it is malformed", e);
	t = h->tlbs.tlbs[0];
	if (c.mmu != t->mmu || !tlb_geometry_eq(&c.geometry, &t->geometry))
		return refuse_elem(h, elem, -EINVAL, "it is another than that of this VM", e);
	return 0;
}

static int check_elem(
	struct htabvmm *h, const struct state_elem *elem, uint64_t *blobs, struct err *e)
{
	struct state_blob blob;

	switch (elem->kind) {
	case STATE_BLOB:
		if (elem->vcpu != STATE_VM || elem->id != *blobs || state_blob(elem, &blob) < 0)
			return refuse_elem(h, elem, -EBADMSG, "it is malformed", e);
		if (!h->ops->load)
			return refuse_elem(h, elem, -ENOTSUP, "this VMM takes none", e);
		++*blobs;
		return 0;
	case STATE_REG:
	case STATE_SREG:
	case STATE_ONE_REG:
	case STATE_BOOKE:
	case STATE_TLB:
		if (elem->vcpu >= h->kvm.vcpus)
			return refuse_elem(h, elem, -EINVAL, "there is no such vCPU here", e);
		break;
	case STATE_TIME:
		if (elem->vcpu != STATE_VM)
			return refuse_elem(h, elem, -EBADMSG, "it is malformed", e);
		break;
	case STATE_DEVICE: return devices_check(&h->devices, elem, e);
	case STATE_TCE: return tces_check(&h->tces, elem, e);
	default: return refuse_elem(h, elem, -ENOTSUP, "it is of a kind unknown here", e);
	}
	if (elem->kind == STATE_ONE_REG &&
		(!one_reg_ok(elem->id) || elem->size != one_reg_size(elem->id)))
		return refuse_elem(h, elem, -EBADMSG, "its size is not what its id states", e);
	if (elem->kind == STATE_TLB)
		return check_tlb(h, elem, e);
	if (elem->kind == STATE_BOOKE && h->mmu != MMU_BOOKE)
		return refuse_elem(h, elem, -ENOTSUP, "this guest has a hashed page table", e);
	if (h->kvm.vm_fd >= 0)
		return 0; /* state_kvm_apply() checks it before it changes anything */
	if (elem->kind != STATE_ONE_REG || !h->ops->load_reg)
		return refuse_elem(h, elem, -ENOTSUP, "this VMM has no KVM to take it", e);
	return 0;
}

/* Everything that can be told before anything changes. */
static int check_image(struct htabvmm *h, const void *image, size_t size, struct err *e)
{
	struct state_elem elem;
	uint64_t blobs = 0;
	struct unpack u;
	int r;

	devices_check_begin(&h->devices);
	tces_check_begin(&h->tces);
	unpack_init(&u, image, size);
	while ((r = state_next(&u, &elem)) > 0) {
		r = check_elem(h, &elem, &blobs, e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return err_set(e, r, "VM '%s' got a malformed state image: an element is cut short",
			h->name);
	r = devices_check_end(&h->devices, e);
	return r < 0 ? r : tces_check_end(&h->tces, e);
}

static int load_elem(struct htabvmm *h, const struct state_elem *elem, struct err *e)
{
	alignas(16) uint8_t value[ONE_REG_SIZE_MAX];
	struct state_blob blob;
	int r = 0;

	if (elem->kind == STATE_BLOB && state_blob(elem, &blob) == 0) {
		r = h->ops->load(h->opaque, blob.name, blob.version, blob.data, blob.size);
	} else if (elem->kind == STATE_ONE_REG && h->kvm.vm_fd < 0) {
		one_reg_swap(elem->id, value, elem->value);
		r = h->ops->load_reg(h->opaque, elem->vcpu, elem->id, value, elem->size);
	} else if (elem->kind == STATE_TCE) {
		tces_load(&h->tces, elem);
	}
	return r < 0 ? refuse_elem(h, elem, r, strerror(-r), e) : 0;
}

/*
 * Registers before blobs, wherever they stand in the image, and the kernel's devices last: an
 * interrupt controller asks for the vCPUs and for the memory that its queues are in.
 */
static int apply(struct htabvmm *h, const void *image, size_t size, struct err *e)
{
	struct state_elem elem;
	struct unpack u;
	int r = 0;

	if (h->kvm.vm_fd >= 0 && h->mmu == MMU_BOOKE)
		r = state_booke_apply(&h->kvm, image, size, e);
	else if (h->kvm.vm_fd >= 0)
		r = state_kvm_apply(&h->kvm, image, size, &h->arrived, e);
	if (r == 0)
		tces_load_begin(&h->tces);
	for (int blobs = 0; blobs < 2 && r == 0; blobs++) {
		unpack_init(&u, image, size);
		while (r == 0 && state_next(&u, &elem) > 0)
			if ((elem.kind == STATE_BLOB) == blobs)
				r = load_elem(h, &elem, e);
	}
	if (r == 0)
		r = devices_load(&h->devices, e);
	return r;
}

int lib_set_state(struct htabvmm *h, int fd, struct err *e)
{
	size_t size;
	void *map;
	int r = fd_memfd_check(fd, STATE_IMAGE_MAX, &size);

	if (r == -EFBIG)
		return err_set(e, r,
			"VM '%s' got a state image that is empty or larger than %u MiB", h->name,
			STATE_IMAGE_MAX >> 20);
	if (r < 0)
		return err_set(e, r, "VM '%s' got a state image that is no sealed memfd", h->name);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_set(e, -errno, "VM '%s' cannot map the state image: %s", h->name,
			strerror(errno));
	r = check_image(h, map, size, e);
	if (r == 0)
		r = apply(h, map, size, e);
	munmap(map, size);
	return r;
}
