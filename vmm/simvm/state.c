/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"
#include "proto/onereg.h"
#include "vmm/simvm/simvm.h"

/*
 * Blob "simvm", version 1, big-endian: u32 vCPUs, u32 fill in millionths, u64 rate, then for each
 * vCPU u64 seed, u64 counter, u64 changes, u64 state.
 */
#define BLOB_NAME    "simvm"
#define BLOB_VERSION 1u
#define BLOB_MAX     (16u + SIMVM_VCPUS_MAX * 32u)
#define MILLION      1e6

/* Registers that carry the counter, one of each size. */
#define REG_U64  (ONE_REG_PPC | ONE_REG_U64 | 0x20)  /* FPR0 */
#define REG_U128 (ONE_REG_PPC | ONE_REG_U128 | 0x40) /* VR0: counter and its complement */
#define REG_U32  (ONE_REG_PPC | ONE_REG_U32 | 0xb4)  /* VRSAVE: its lower half */

static int save_regs(struct htabvmm_state *state, unsigned nr, uint64_t counter)
{
	unsigned __int128 both = (unsigned __int128)counter << 64 | (uint64_t)~counter;
	uint32_t low = (uint32_t)counter;
	int r = htabvmm_state_reg(state, nr, REG_U64, &counter, sizeof(counter));

	if (r == 0)
		r = htabvmm_state_reg(state, nr, REG_U128, &both, sizeof(both));
	if (r == 0)
		r = htabvmm_state_reg(state, nr, REG_U32, &low, sizeof(low));
	return r;
}

int guest_save(struct simvm_guest *g, struct htabvmm_state *state)
{
	uint8_t blob[BLOB_MAX];
	struct pack k;
	int r = 0;

	pack_init(&k, blob, sizeof(blob));
	pack_u32(&k, g->n);
	pack_u32(&k, (uint32_t)(g->fill * MILLION + 0.5));
	pack_u64(&k, atomic_load(&g->rate));
	for (unsigned i = 0; i < g->n && r == 0; i++) {
		const struct simvm_vcpu *v = &g->vcpu[i];

		pack_u64(&k, v->seed);
		pack_u64(&k, atomic_load(&v->counter));
		pack_u64(&k, atomic_load(&v->changes));
		pack_u64(&k, v->state);
		r = save_regs(state, i, atomic_load(&v->counter));
	}
	if (r == 0)
		r = htabvmm_state_blob(state, BLOB_NAME, BLOB_VERSION, blob, k.len);
	return r < 0 || g->hpt ? r : guest_save_tlbs(g, state);
}

int guest_load(struct simvm_guest *g, const char *name, uint32_t version, const void *data,
	size_t size, bool keep_rate)
{
	struct unpack u;
	uint64_t rate;
	uint32_t fill;

	if (strcmp(name, "simvm-tlb") == 0)
		return guest_load_tlbs(g, version, data, size);
	if (strcmp(name, BLOB_NAME) != 0 || version != BLOB_VERSION)
		return -ENOTSUP;
	unpack_init(&u, data, size);
	if (unpack_u32(&u) != g->n)
		return -EINVAL;
	fill = unpack_u32(&u);
	rate = unpack_u64(&u);
	if (u.left != g->n * 32ul || rate > SIMVM_RATE_MAX || fill > MILLION)
		return -EBADMSG;
	g->fill = fill / MILLION;
	if (!keep_rate)
		atomic_store(&g->rate, rate);
	for (unsigned i = 0; i < g->n; i++) {
		struct simvm_vcpu *v = &g->vcpu[i];

		v->seed = unpack_u64(&u);
		atomic_store(&v->counter, unpack_u64(&u));
		atomic_store(&v->changes, unpack_u64(&u));
		v->state = unpack_u64(&u);
	}
	g->arrived = true;
	return unpack_end(&u);
}

int guest_load_reg(
	struct simvm_guest *g, unsigned vcpu, uint64_t id, const void *value, size_t size)
{
	struct simvm_vcpu *v = &g->vcpu[vcpu];
	unsigned __int128 both;
	uint32_t low;

	if (vcpu >= g->n)
		return -EINVAL;
	if (id == REG_U64) {
		memcpy(&v->reg[0], value, sizeof(v->reg[0]));
	} else if (id == REG_U128) {
		memcpy(&both, value, sizeof(both));
		v->reg[1] = (uint64_t)(both >> 64);
		if ((uint64_t)both != ~v->reg[1])
			return -EBADMSG;
	} else if (id == REG_U32) {
		memcpy(&low, value, sizeof(low));
		v->reg[2] = low;
	} else {
		return -ENOTSUP;
	}
	return 0;
}

bool guest_check(struct simvm_guest *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		struct simvm_vcpu *v = &g->vcpu[i];
		uint64_t counter = atomic_load(&v->counter);
		const char *why = NULL;

		if (v->reg[0] != counter || v->reg[1] != counter || v->reg[2] != (uint32_t)counter)
			why = "its registers and its memory hold different counters";
		else if (v->state != guest_state_at(v->seed, counter))
			why = "its counter and its state do not fit";
		else if (!g->hpt && !guest_check_tlb(v))
			why = "its TLB is not the one that it left behind";
		if (!why)
			continue;
		guest_sick(g, i, why);
		return false;
	}
	return true;
}
