/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/booke.h"

#include <errno.h>
#include <stdio.h>

#include "proto/htab.h"

#define ONE(id_, size_, features_, policy_, name_)                                 \
	{                                                                          \
		.id = (id_), .count = 1, .size = (size_), .features = (features_), \
		.policy = (policy_), .name = (name_)                               \
	}
#define MANY(id_, count_, size_, features_, policy_, name_, first_)                       \
	{                                                                                 \
		.id = (id_), .count = (count_), .size = (size_), .features = (features_), \
		.policy = (policy_), .name = (name_), .first = (first_)                   \
	}
#define FSL(id_, size_, pidn_, policy_, name_)                                          \
	{                                                                               \
		.id = (id_), .count = 1, .size = (size_), .fsl = true, .pidn = (pidn_), \
		.policy = (policy_), .name = (name_)                                    \
	}

/* The sections are those of the uapi header's comments. */
static const struct booke_range ranges[] = {
	ONE(BOOKE_FEATURES, 4, 0, BOOKE_SUPERSET, "features"),
	ONE(BOOKE_IMPL_ID, 4, 0, BOOKE_SAME, "impl_id"),
	ONE(BOOKE_CSRR0, 8, BOOKE_E_BASE, BOOKE_SET, "CSRR0"),
	ONE(BOOKE_CSRR1, 4, BOOKE_E_BASE, BOOKE_SET, "CSRR1"),
	ONE(BOOKE_ESR, 4, BOOKE_E_BASE, BOOKE_SET, "ESR"),
	ONE(BOOKE_DEAR, 8, BOOKE_E_BASE, BOOKE_SET, "DEAR"),
	ONE(BOOKE_MCSR, 8, BOOKE_E_BASE, BOOKE_SPECIAL, "MCSR"),
	ONE(BOOKE_TSR, 4, BOOKE_E_BASE, BOOKE_SPECIAL, "TSR"),
	ONE(BOOKE_TCR, 4, BOOKE_E_BASE, BOOKE_SET, "TCR"),
	ONE(BOOKE_DEC, 4, BOOKE_E_BASE, BOOKE_SPECIAL, "DEC"),
	ONE(BOOKE_VRSAVE, 4, BOOKE_E_BASE, BOOKE_SET, "VRSAVE"),
	ONE(BOOKE_PIR, 4, BOOKE_E_ARCH206, BOOKE_SAME, "PIR"),
	ONE(BOOKE_MCSRR0, 8, BOOKE_E_ARCH206, BOOKE_SET, "MCSRR0"),
	ONE(BOOKE_MCSRR1, 4, BOOKE_E_ARCH206, BOOKE_SET, "MCSRR1"),
	ONE(BOOKE_DECAR, 4, BOOKE_E_ARCH206, BOOKE_SET, "DECAR"),
	ONE(BOOKE_IVPR, 8, BOOKE_E_ARCH206, BOOKE_SET, "IVPR"),
	ONE(BOOKE_EPCR, 4, BOOKE_E_64, BOOKE_SET, "EPCR"),
	ONE(BOOKE_SPRG8, 8, BOOKE_E_SPRG8, BOOKE_SET, "SPRG8"),
	ONE(BOOKE_MCIVPR, 8, BOOKE_E_MCIVPR, BOOKE_SET, "MCIVPR"),
	ONE(BOOKE_MAS0, 4, BOOKE_E_MMU, BOOKE_SET, "MAS0"),
	ONE(BOOKE_MAS1, 4, BOOKE_E_MMU, BOOKE_SET, "MAS1"),
	ONE(BOOKE_MAS2, 8, BOOKE_E_MMU, BOOKE_SET, "MAS2"),
	ONE(BOOKE_MAS7_3, 8, BOOKE_E_MMU, BOOKE_SET, "MAS7_3"),
	ONE(BOOKE_MAS4, 4, BOOKE_E_MMU, BOOKE_SET, "MAS4"),
	ONE(BOOKE_MAS6, 4, BOOKE_E_MMU, BOOKE_SET, "MAS6"),
	ONE(BOOKE_MMUCFG, 4, BOOKE_E_MMU, BOOKE_SAME, "MMUCFG"),
	MANY(BOOKE_TLBCFG, 4, 4, BOOKE_E_MMU, BOOKE_SAME, "TLBCFG", 0),
	MANY(BOOKE_TLBPS, 4, 4, BOOKE_E_MMU, BOOKE_SAME, "TLBPS", 0),
	ONE(BOOKE_DBSR, 4, BOOKE_E_DEBUG, BOOKE_SPECIAL, "DBSR"),
	MANY(BOOKE_DBCR, 3, 4, BOOKE_E_DEBUG, BOOKE_SET, "DBCR", 0),
	MANY(BOOKE_IAC, 4, 4, BOOKE_E_DEBUG, BOOKE_SET, "IAC", 1),
	MANY(BOOKE_DAC, 2, 4, BOOKE_E_DEBUG, BOOKE_SET, "DAC", 1),
	MANY(BOOKE_DVC, 2, 4, BOOKE_E_DEBUG, BOOKE_SET, "DVC", 1),
	ONE(BOOKE_DSRR0, 8, BOOKE_E_ED, BOOKE_SET, "DSRR0"),
	ONE(BOOKE_DSRR1, 4, BOOKE_E_ED, BOOKE_SET, "DSRR1"),
	ONE(BOOKE_SPRG9, 8, BOOKE_E_ED, BOOKE_SET, "SPRG9"),
	ONE(BOOKE_EPLC, 4, BOOKE_E_PD, BOOKE_SET, "EPLC"),
	ONE(BOOKE_EPSC, 4, BOOKE_E_PD, BOOKE_SET, "EPSC"),
	ONE(BOOKE_EPTCFG, 4, BOOKE_E_PT, BOOKE_SAME, "EPTCFG"),
	MANY(BOOKE_IVOR, 16, 4, BOOKE_E_IVOR, BOOKE_SET, "IVOR", 0),
	MANY(BOOKE_IVOR + 32, 3, 4, BOOKE_E_IVOR | BOOKE_E_SPE, BOOKE_SET, "IVOR", 32),
	ONE(BOOKE_IVOR + 35, 4, BOOKE_E_IVOR | BOOKE_E_PM, BOOKE_SET, "IVOR35"),
	MANY(BOOKE_IVOR + 36, 2, 4, BOOKE_E_IVOR | BOOKE_E_PC, BOOKE_SET, "IVOR", 36),
	FSL(BOOKE_FSL_FEATURES, 4, false, BOOKE_SUPERSET, "FSL features"),
	FSL(BOOKE_SVR, 4, false, BOOKE_SET, "SVR"),
	FSL(BOOKE_MCAR, 8, false, BOOKE_SET, "MCAR"),
	FSL(BOOKE_HID0, 4, false, BOOKE_SET, "HID0"),
	FSL(BOOKE_PID1, 4, true, BOOKE_SET, "PID1"),
	FSL(BOOKE_PID2, 4, true, BOOKE_SET, "PID2"),
};

#define N_RANGES (sizeof(ranges) / sizeof(ranges[0]))

const struct booke_range *booke_ranges(size_t *ret_n)
{
	*ret_n = N_RANGES;
	return ranges;
}

const struct booke_range *booke_find(uint64_t id)
{
	for (size_t i = 0; i < N_RANGES; i++)
		if (id >= ranges[i].id && id - ranges[i].id < ranges[i].count)
			return &ranges[i];
	return NULL;
}

bool booke_has(
	const struct booke_range *range, uint32_t features, uint32_t impl_id, uint32_t fsl_features)
{
	if (range->fsl && impl_id != BOOKE_IMPL_FSL)
		return false;
	if (range->pidn && !(fsl_features & BOOKE_FSL_PIDN))
		return false;
	return (features & range->features) == range->features;
}

bool booke_name(uint64_t id, char *buf, size_t size)
{
	const struct booke_range *r = booke_find(id);

	if (!r)
		return false;
	if (r->count == 1)
		snprintf(buf, size, "%s", r->name);
	else
		snprintf(buf, size, "%s%u", r->name, r->first + (unsigned)(id - r->id));
	return true;
}

bool mmu_table_ok(enum mmu_kind mmu, uint32_t order, const struct tlb_geometry *tlb)
{
	char why[TLB_TEXT_MAX];

	if (mmu == MMU_BOOKE)
		return order == 0 && tlb_geometry_check(tlb, why) == 0;
	return order >= HTAB_ORDER_MIN && order <= HTAB_ORDER_MAX;
}

void tlb_geometry_pack(struct pack *k, const struct tlb_geometry *g)
{
	for (unsigned i = 0; i < TLB_ARRAYS; i++)
		pack_u32(k, g->sizes[i]);
	for (unsigned i = 0; i < TLB_ARRAYS; i++)
		pack_u32(k, g->ways[i]);
}

void tlb_geometry_unpack(struct unpack *u, struct tlb_geometry *ret)
{
	for (unsigned i = 0; i < TLB_ARRAYS; i++)
		ret->sizes[i] = unpack_u32(u);
	for (unsigned i = 0; i < TLB_ARRAYS; i++)
		ret->ways[i] = unpack_u32(u);
}

void booke_put_tlb_config(struct pack *k, uint16_t vcpu, const struct booke_tlb_config *c)
{
	uint8_t value[BOOKE_TLB_CONFIG_SIZE];
	struct pack v;

	pack_init(&v, value, sizeof(value));
	pack_u32(&v, c->mmu);
	tlb_geometry_pack(&v, &c->geometry);
	state_put(k, STATE_TLB, vcpu, 0, value, sizeof(value));
}

int booke_get_tlb_config(const struct state_elem *elem, struct booke_tlb_config *ret)
{
	struct booke_tlb_config c;
	char why[TLB_TEXT_MAX];
	struct unpack u;
	uint32_t mmu;

	if (elem->kind != STATE_TLB || elem->id != 0)
		return -EBADMSG;
	unpack_init(&u, elem->value, elem->size);
	mmu = unpack_u32(&u);
	tlb_geometry_unpack(&u, &c.geometry);
	if (unpack_end(&u) < 0 || mmu > TLB_MMU_FSL_HV || tlb_geometry_check(&c.geometry, why) < 0)
		return -EBADMSG;
	c.mmu = (enum tlb_mmu)mmu;
	*ret = c;
	return 0;
}
