/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's numbers of the devices in recipe.c, for machines whose headers lack them: held against the
 * originals in powerkvm/abi_check.c.
 */
#define RECIPE_XICS_SOURCES       1 /* KVM_DEV_XICS_GRP_SOURCES */
#define RECIPE_XIVE_CTRL          1 /* KVM_DEV_XIVE_GRP_CTRL */
#define RECIPE_XIVE_RESET         1
#define RECIPE_XIVE_EQ_SYNC       2
#define RECIPE_XIVE_SOURCE        2 /* KVM_DEV_XIVE_GRP_SOURCE */
#define RECIPE_XIVE_SOURCE_CONFIG 3
#define RECIPE_XIVE_EQ_CONFIG     4
#define RECIPE_XIVE_SOURCE_SYNC   5
#define RECIPE_MPIC_MISC          1 /* KVM_DEV_MPIC_GRP_MISC */
#define RECIPE_MPIC_REGISTER      2
#define RECIPE_MPIC_IRQ_ACTIVE    3
#define RECIPE_REG_ICP_STATE      0x103000000000008cull /* KVM_REG_PPC_ICP_STATE */
#define RECIPE_REG_VP_STATE       0x104000000000008dull /* KVM_REG_PPC_VP_STATE */
