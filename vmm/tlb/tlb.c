/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/tlb/tlb.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static_assert(sizeof(struct htabvmm_tlb_entry) == sizeof(struct tlb_entry), "one struct");
static_assert(sizeof(struct htabvmm_tlb_geometry) == sizeof(struct tlb_geometry), "one struct");
static_assert((int)HTABVMM_TLB_FSL_NOHV == (int)TLB_MMU_FSL_NOHV, "one number");
static_assert((int)HTABVMM_TLB_FSL_HV == (int)TLB_MMU_FSL_HV, "one number");

/* KVM pins the array's pages: whole ones, that hold nothing else. */
#define ARRAY_ALIGN 65536u
#define WORDS       (sizeof(struct tlb_entry) / 4)

/* struct kvm_book3e_206_tlb_params, which other machines' headers lack. */
struct tlb_params {
	struct tlb_geometry geometry;
	uint32_t reserved[8];
};

typedef uint32_t __attribute__((may_alias)) word;

static int real_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int (*tlb_ioctl)(int fd, unsigned long request, void *arg) = real_ioctl;

void tlb_load(const struct htabvmm_tlb *t, uint32_t index, struct tlb_entry *ret)
{
	const word *from = (const word *)&t->array[index];
	word *to = (word *)ret;

	for (size_t i = 0; i < WORDS; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void tlb_store(struct htabvmm_tlb *t, uint32_t index, const struct tlb_entry *e)
{
	word *to = (word *)&t->array[index];
	const word *from = (const word *)e;
	uint8_t bit = (uint8_t)(1 << index % 8);

	for (size_t i = 0; i < WORDS; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	t->n_dirty += !(t->dirty[index / 8] & bit);
	t->dirty[index / 8] |= bit;
}

int htabvmm_tlb_new(int vcpu_fd, struct htabvmm_tlb **ret)
{
	struct htabvmm_tlb *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->vcpu_fd = vcpu_fd;
	*ret = t;
	return 0;
}

struct htabvmm_tlb *htabvmm_tlb_free(struct htabvmm_tlb *t)
{
	if (!t)
		return NULL;
	assert(!t->held);
	free(t->array);
	free(t->dirty);
	free(t);
	return NULL;
}

static int enable(const struct htabvmm_tlb *t, enum tlb_mmu mmu, const struct tlb_geometry *g,
	struct tlb_entry *array)
{
	struct tlb_params params = {.geometry = *g};
	struct kvm_config_tlb config = {
		.params = (uintptr_t)&params,
		.array = (uintptr_t)array,
		.mmu_type = mmu,
		.array_len = tlb_entries(g) * TLB_ENTRY_SIZE,
	};
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SW_TLB, .args = {(uintptr_t)&config}};

	return t->vcpu_fd < 0 ? 0 : tlb_ioctl(t->vcpu_fd, KVM_ENABLE_CAP, &cap);
}

int htabvmm_tlb_configure(struct htabvmm_tlb *t, enum htabvmm_tlb_mmu mmu,
	const struct htabvmm_tlb_geometry *geometry)
{
	struct tlb_geometry g;
	struct tlb_entry *array;
	size_t size, dirty_size;
	char why[TLB_TEXT_MAX];
	uint8_t *dirty;
	int r;

	memcpy(&g, geometry, sizeof(g));
	if (t->held)
		return -EBUSY;
	if (tlb_geometry_check(&g, why) < 0 || (unsigned)mmu > HTABVMM_TLB_FSL_HV)
		return -EINVAL;
	size = (tlb_entries(&g) * TLB_ENTRY_SIZE + ARRAY_ALIGN - 1) / ARRAY_ALIGN * ARRAY_ALIGN;
	dirty_size = (tlb_entries(&g) + 63) / 64 * 8;
	array = aligned_alloc(ARRAY_ALIGN, size);
	dirty = calloc(1, dirty_size);
	if (!array || !dirty) {
		free(array);
		free(dirty);
		return -ENOMEM;
	}
	memset(array, 0, size);
	r = enable(t, (enum tlb_mmu)mmu, &g, array);
	if (r < 0) {
		free(array);
		free(dirty);
		return r == -ENOTTY ? -ENOTSUP : r;
	}
	free(t->array); /* KVM has let go of it */
	free(t->dirty);
	t->array = array;
	t->dirty = dirty;
	t->dirty_size = dirty_size;
	t->n_dirty = 0;
	t->mmu = (enum tlb_mmu)mmu;
	t->geometry = g;
	t->entries = tlb_entries(&g);
	t->configured = true;
	return 0;
}

int htabvmm_tlb_geometry(const struct htabvmm_tlb *t, struct htabvmm_tlb_geometry *ret)
{
	if (!t->configured)
		return -ENXIO;
	memcpy(ret, &t->geometry, sizeof(*ret));
	return 0;
}

int htabvmm_tlb_invalidate_all(struct htabvmm_tlb *t)
{
	static const struct tlb_entry none;

	if (!t->configured)
		return -ENXIO;
	for (uint32_t i = 0; i < t->entries; i++)
		tlb_store(t, i, &none);
	return 0;
}

int htabvmm_tlb_set(struct htabvmm_tlb *t, unsigned tlbsel, unsigned esel,
	const struct htabvmm_tlb_entry *entry)
{
	struct tlb_entry e;
	uint32_t index;
	int r;

	if (!t->configured)
		return -ENXIO;
	r = tlb_index(&t->geometry, tlbsel, esel, entry->mas2, &index);
	if (r < 0)
		return r;
	memcpy(&e, entry, sizeof(e));
	tlb_store(t, index, &e);
	return 0;
}

/* KVM of Linux 6.1 throws all of its copies away whatever the bitmap says; that may change. */
int htabvmm_tlb_flush(struct htabvmm_tlb *t)
{
	struct kvm_dirty_tlb d = {.bitmap = (uintptr_t)t->dirty, .num_dirty = t->n_dirty};
	int r = 0;

	if (!t->configured)
		return -ENXIO;
	if (t->n_dirty == 0)
		return 0;
	if (t->vcpu_fd >= 0)
		r = tlb_ioctl(t->vcpu_fd, KVM_DIRTY_TLB, &d);
	if (r < 0)
		return r;
	memset(t->dirty, 0, t->dirty_size);
	t->n_dirty = 0;
	return 0;
}

int htabvmm_tlb_get(const struct htabvmm_tlb *t, unsigned tlbsel, unsigned esel, uint64_t epn,
	struct htabvmm_tlb_entry *ret)
{
	struct tlb_entry e;
	uint32_t index;
	int r;

	if (!t->configured)
		return -ENXIO;
	r = tlb_index(&t->geometry, tlbsel, esel, epn, &index);
	if (r < 0)
		return r;
	tlb_load(t, index, &e);
	memcpy(ret, &e, sizeof(*ret));
	return 0;
}

static void found(const struct htabvmm_tlb *t, uint32_t index, const struct tlb_entry *e,
	struct htabvmm_tlb_place *ret_place, struct htabvmm_tlb_entry *ret)
{
	tlb_place(&t->geometry, index, &ret_place->tlbsel, &ret_place->esel);
	ret_place->index = index;
	memcpy(ret, e, sizeof(*ret));
}

/* The first valid entry from that index on. */
static int walk(const struct htabvmm_tlb *t, uint32_t index, struct htabvmm_tlb_place *ret_place,
	struct htabvmm_tlb_entry *ret)
{
	struct tlb_entry e;

	if (!t->configured)
		return -ENXIO;
	for (; index < t->entries; index++) {
		tlb_load(t, index, &e);
		if (tlb_valid(&e)) {
			found(t, index, &e, ret_place, ret);
			return 0;
		}
	}
	return -ENOENT;
}

int htabvmm_tlb_first(const struct htabvmm_tlb *t, struct htabvmm_tlb_place *ret_place,
	struct htabvmm_tlb_entry *ret)
{
	return walk(t, 0, ret_place, ret);
}

int htabvmm_tlb_next(
	const struct htabvmm_tlb *t, struct htabvmm_tlb_place *place, struct htabvmm_tlb_entry *ret)
{
	return walk(t, place->index + 1, place, ret);
}

int htabvmm_tlb_search(const struct htabvmm_tlb *t, uint32_t mas5, uint32_t mas6, uint64_t ea,
	struct htabvmm_tlb_place *ret_place, struct htabvmm_tlb_entry *ret)
{
	const struct tlb_geometry *g = &t->geometry;
	uint32_t set;

	if (!t->configured)
		return -ENXIO;
	set = tlb_set_of(g, ea) * g->ways[0];
	for (uint32_t i = 0; i < g->ways[0] + g->sizes[1]; i++) {
		bool tlb1 = i >= g->ways[0];
		uint32_t index = tlb1 ? g->sizes[0] + i - g->ways[0] : set + i;
		struct tlb_entry e;

		tlb_load(t, index, &e);
		if (tlb_matches(&e, tlb1, mas5, mas6, ea)) {
			found(t, index, &e, ret_place, ret);
			return 0;
		}
	}
	return -ENOENT;
}
