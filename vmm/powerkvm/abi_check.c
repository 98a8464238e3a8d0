/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto/htab.h and proto/onereg.h state KVM's ABI for machines that lack its headers: held against
 * the originals.
 */
#include <assert.h>
#include <linux/kvm.h>

#include "proto/htab.h"
#include "proto/onereg.h"
#include "vmm/device/recipe.h"
#include "vmm/swhpt/swhpt.h"

static_assert(HTAB_FD_BOLTED_ONLY == KVM_GET_HTAB_BOLTED_ONLY, "flag");
static_assert(HTAB_FD_WRITE == KVM_GET_HTAB_WRITE, "flag");
static_assert(HTAB_HDR_SIZE == sizeof(struct kvm_get_htab_header), "record header");
static_assert(offsetof(struct kvm_get_htab_header, index) == 0, "record header");
static_assert(offsetof(struct kvm_get_htab_header, n_valid) == 4, "record header");
static_assert(offsetof(struct kvm_get_htab_header, n_invalid) == 6, "record header");
static_assert(sizeof(((struct kvm_get_htab_header *)0)->index) == 4, "record header");
static_assert(sizeof(((struct kvm_get_htab_header *)0)->n_valid) == 2, "record header");
static_assert(sizeof(struct kvm_get_htab_fd) == 32, "argument of KVM_PPC_GET_HTAB_FD");
static_assert(offsetof(struct kvm_get_htab_fd, flags) == 0, "argument of KVM_PPC_GET_HTAB_FD");
static_assert(
	offsetof(struct kvm_get_htab_fd, start_index) == 8, "argument of KVM_PPC_GET_HTAB_FD");
static_assert(sizeof(((struct kvm_run *)0)->papr_hcall.args) / sizeof(__u64) >= SWHPT_HCALL_ARGS,
	"hypercall arguments");

#define SAME(name, nr, size, phase, policy) \
	static_assert(ONE_REG_ID(size, nr##ull) == KVM_REG_PPC_##name, #name);
#define SAME_RANGE(name, nr, count, size, phase, policy) \
	static_assert(ONE_REG_ID(size, nr##ull) == KVM_REG_PPC_##name##0, #name);
ONE_REGS(SAME)
ONE_REGS_TM(SAME)
ONE_REG_RANGES(SAME_RANGE)
#ifdef KVM_REG_PPC_DEXCR
SAME(DEXCR, 0xc6, U64, , )
#endif
#ifdef KVM_REG_PPC_HASHKEYR
SAME(HASHKEYR, 0xc7, U64, , )
#endif
#ifdef KVM_REG_PPC_HASHPKEYR
SAME(HASHPKEYR, 0xc8, U64, , )
#endif
/* vmm/device/recipe.h in the same way. */
static_assert(RECIPE_XICS_SOURCES == KVM_DEV_XICS_GRP_SOURCES, "group");
static_assert(RECIPE_XIVE_CTRL == KVM_DEV_XIVE_GRP_CTRL, "group");
static_assert(RECIPE_XIVE_RESET == KVM_DEV_XIVE_RESET, "attribute");
static_assert(RECIPE_XIVE_EQ_SYNC == KVM_DEV_XIVE_EQ_SYNC, "attribute");
static_assert(RECIPE_XIVE_SOURCE == KVM_DEV_XIVE_GRP_SOURCE, "group");
static_assert(RECIPE_XIVE_SOURCE_CONFIG == KVM_DEV_XIVE_GRP_SOURCE_CONFIG, "group");
static_assert(RECIPE_XIVE_EQ_CONFIG == KVM_DEV_XIVE_GRP_EQ_CONFIG, "group");
static_assert(RECIPE_XIVE_SOURCE_SYNC == KVM_DEV_XIVE_GRP_SOURCE_SYNC, "group");
static_assert(RECIPE_MPIC_MISC == KVM_DEV_MPIC_GRP_MISC, "group");
static_assert(RECIPE_MPIC_REGISTER == KVM_DEV_MPIC_GRP_REGISTER, "group");
static_assert(RECIPE_MPIC_IRQ_ACTIVE == KVM_DEV_MPIC_GRP_IRQ_ACTIVE, "group");
static_assert(RECIPE_REG_ICP_STATE == KVM_REG_PPC_ICP_STATE, "register");
static_assert(RECIPE_REG_VP_STATE == KVM_REG_PPC_VP_STATE, "register");
static_assert(KVM_XIVE_ESB_PAGE_OFFSET == 4, "device/kvmdev.c");
static_assert(sizeof(struct kvm_ppc_xive_eq) == 64, "queue");
static_assert(offsetof(struct kvm_ppc_xive_eq, qaddr) == 8, "queue");
static_assert(offsetof(struct kvm_ppc_xive_eq, qindex) == 20, "queue");
