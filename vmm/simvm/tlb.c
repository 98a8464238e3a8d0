/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/htab.h"
#include "proto/pack.h"
#include "vmm/tlb/tlb.h"
#include "vmm/simvm/simvm.h"

/*
 * Blob "simvm-tlb", version 1, big-endian: u32 vCPUs, then for each vCPU u64 the digest of its TLB.
 */
#define BLOB_NAME    "simvm-tlb"
#define BLOB_VERSION 1u

#define PERMS        0x15u /* SX SW SR */

static const struct htabvmm_tlb_geometry e500v2 = {.sizes = {512, 16}, .ways = {4, 16}};

int guest_new_tlbs(struct simvm_guest *g, unsigned vcpus)
{
	int r = 0;

	for (unsigned i = 0; i < vcpus && r == 0; i++) {
		r = htabvmm_tlb_new(-1, &g->tlb[i]);
		if (r == 0)
			r = htabvmm_tlb_configure(g->tlb[i], HTABVMM_TLB_FSL_NOHV, &e500v2);
	}
	return r;
}

void guest_free_tlbs(struct simvm_guest *g)
{
	for (unsigned i = 0; i < SIMVM_VCPUS_MAX; i++)
		g->tlb[i] = htabvmm_tlb_free(g->tlb[i]);
}

/*
 * One tlbwe, all of it said by x: mostly 4 KiB pages in TLB0, now and then a page of 4 KiB to 256
 * MiB in TLB1, and as often as the wished share leaves room for an invalidation.
 */
void guest_change_tlb(struct simvm_vcpu *v, uint64_t x)
{
	struct simvm_guest *g = v->guest;
	bool tlb1 = (x & 31) == 0;
	unsigned esel = (unsigned)(x >> 5) % (tlb1 ? e500v2.ways[1] : e500v2.ways[0]);
	unsigned size = tlb1 ? 2 + 2 * ((unsigned)(x >> 9) % 9) : 2;
	uint64_t mask = ~((1ull << (10 + size)) - 1);
	struct htabvmm_tlb_entry e = {
		.mas1 = MAS1_VALID | MAS1_TSIZE(size) | MAS1_TID(x >> 56),
		.mas2 = x >> 13 & 0xfffff000u & mask,
		.mas7_3 = (x >> 17 & 0xffffff000ull & mask) | PERMS,
	};

	if ((double)(x >> 48) / 65536.0 >= g->fill)
		e.mas1 &= ~MAS1_VALID;
	htabvmm_tlb_set(g->tlb[v->nr], tlb1, esel, &e);
}

void guest_fill_tlbs(struct simvm_guest *g)
{
	for (unsigned i = 0; i < g->n; i++)
		for (unsigned n = 0; n < 2 * (e500v2.sizes[0] + e500v2.sizes[1]); n++)
			guest_change_tlb(&g->vcpu[i], guest_mix(g->vcpu[i].seed + n));
}

static void entry_bytes(const struct htabvmm_tlb *t, uint32_t i, uint8_t bytes[TLB_ENTRY_SIZE])
{
	struct tlb_entry e;

	tlb_load(t, i, &e);
	if (!tlb_valid(&e))
		e = (struct tlb_entry){0};
	tlb_entry_put(bytes, &e);
}

static uint64_t digest(const struct htabvmm_tlb *t)
{
	uint64_t d = STREAM_DIGEST_INIT;
	uint8_t bytes[TLB_ENTRY_SIZE];

	for (uint32_t i = 0; i < t->entries; i++) {
		entry_bytes(t, i, bytes);
		d = stream_digest(d, bytes, sizeof(bytes));
	}
	return d;
}

int guest_save_tlbs(struct simvm_guest *g, struct htabvmm_state *state)
{
	uint8_t blob[4 + 8 * SIMVM_VCPUS_MAX];
	struct pack k;

	pack_init(&k, blob, sizeof(blob));
	pack_u32(&k, g->n);
	for (unsigned i = 0; i < g->n; i++)
		pack_u64(&k, digest(g->tlb[i]));
	return htabvmm_state_blob(state, BLOB_NAME, BLOB_VERSION, blob, k.len);
}

int guest_load_tlbs(struct simvm_guest *g, uint32_t version, const void *data, size_t size)
{
	struct unpack u;

	if (version != BLOB_VERSION || !g->tlb[0])
		return -ENOTSUP;
	unpack_init(&u, data, size);
	if (unpack_u32(&u) != g->n)
		return -EINVAL;
	for (unsigned i = 0; i < g->n; i++)
		g->vcpu[i].tlb_digest = unpack_u64(&u);
	return unpack_end(&u);
}

bool guest_check_tlb(const struct simvm_vcpu *v)
{
	return digest(v->guest->tlb[v->nr]) == v->tlb_digest;
}

int guest_dump_tlbs(struct simvm_guest *g, const char *path)
{
	FILE *f = fopen(path, "we");
	uint8_t bytes[TLB_ENTRY_SIZE];
	int r = 0;

	if (!f)
		return -errno;
	for (unsigned i = 0; i < g->n && r == 0; i++) {
		for (uint32_t n = 0; n < g->tlb[i]->entries && r == 0; n++) {
			entry_bytes(g->tlb[i], n, bytes);
			r = fwrite(bytes, sizeof(bytes), 1, f) == 1 ? 0 : -EIO;
		}
	}
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r;
}
