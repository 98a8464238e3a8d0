/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/kvm/booke.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/clock.h"

static_assert(sizeof(struct tlb_entry) == sizeof(struct kvm_book3e_206_tlb_entry), "KVM's struct");
static_assert(
	sizeof(struct kvm_book3e_206_tlb_params) == sizeof(struct tlb_geometry) + 32, "KVM's");
static_assert((int)TLB_MMU_FSL_NOHV == KVM_MMU_FSL_BOOKE_NOHV, "KVM's number");
static_assert((int)TLB_MMU_FSL_HV == KVM_MMU_FSL_BOOKE_HV, "KVM's number");
static_assert(BOOKE_E_BASE == KVM_SREGS_E_BASE, "KVM's bit");
static_assert(BOOKE_E_ARCH206 == KVM_SREGS_E_ARCH206, "KVM's bit");
static_assert(BOOKE_E_64 == KVM_SREGS_E_64, "KVM's bit");
static_assert(BOOKE_E_SPRG8 == KVM_SREGS_E_SPRG8, "KVM's bit");
static_assert(BOOKE_E_MCIVPR == KVM_SREGS_E_MCIVPR, "KVM's bit");
static_assert(BOOKE_E_IVOR == KVM_SREGS_E_IVOR, "KVM's bit");
static_assert(BOOKE_E_MMU == KVM_SREGS_E_ARCH206_MMU, "KVM's bit");
static_assert(BOOKE_E_DEBUG == KVM_SREGS_E_DEBUG, "KVM's bit");
static_assert(BOOKE_E_ED == KVM_SREGS_E_ED, "KVM's bit");
static_assert(BOOKE_E_SPE == KVM_SREGS_E_SPE, "KVM's bit");
static_assert(BOOKE_E_PD == KVM_SREGS_E_PD, "KVM's bit");
static_assert(BOOKE_E_PC == KVM_SREGS_E_PC, "KVM's bit");
static_assert(BOOKE_E_PT == KVM_SREGS_E_PT, "KVM's bit");
static_assert(BOOKE_E_PM == KVM_SREGS_E_PM, "KVM's bit");
static_assert(BOOKE_IMPL_FSL == KVM_SREGS_E_IMPL_FSL, "KVM's number");
static_assert(BOOKE_FSL_PIDN == KVM_SREGS_E_FSL_PIDn, "KVM's bit");

#define TSR_DIS   0x08000000u /* a decrementer interrupt is pending */
#define SETTLE_NS (5 * NS_PER_MS)
#define ID_END    0x210u /* of enum booke_sreg */

/* -- where an element's register is -- */

#define SREG(id, field)                                     \
	{                                                   \
		(id), offsetof(struct kvm_sregs, u.e.field) \
	}

static const struct place {
	uint16_t id; /* of a range */
	size_t offset;
} places[] = {
	SREG(BOOKE_FEATURES, features),
	SREG(BOOKE_IMPL_ID, impl_id),
	SREG(BOOKE_CSRR0, csrr0),
	SREG(BOOKE_CSRR1, csrr1),
	SREG(BOOKE_ESR, esr),
	SREG(BOOKE_DEAR, dear),
	SREG(BOOKE_MCSR, mcsr),
	SREG(BOOKE_TSR, tsr),
	SREG(BOOKE_TCR, tcr),
	SREG(BOOKE_DEC, dec),
	SREG(BOOKE_VRSAVE, vrsave),
	SREG(BOOKE_PIR, pir),
	SREG(BOOKE_MCSRR0, mcsrr0),
	SREG(BOOKE_MCSRR1, mcsrr1),
	SREG(BOOKE_DECAR, decar),
	SREG(BOOKE_IVPR, ivpr),
	SREG(BOOKE_EPCR, epcr),
	SREG(BOOKE_SPRG8, sprg8),
	SREG(BOOKE_MCIVPR, mcivpr),
	SREG(BOOKE_MAS0, mas0),
	SREG(BOOKE_MAS1, mas1),
	SREG(BOOKE_MAS2, mas2),
	SREG(BOOKE_MAS7_3, mas7_3),
	SREG(BOOKE_MAS4, mas4),
	SREG(BOOKE_MAS6, mas6),
	SREG(BOOKE_MMUCFG, mmucfg),
	SREG(BOOKE_TLBCFG, tlbcfg),
	SREG(BOOKE_TLBPS, tlbps),
	SREG(BOOKE_DBSR, dbsr),
	SREG(BOOKE_DBCR, dbcr),
	SREG(BOOKE_IAC, iac),
	SREG(BOOKE_DAC, dac),
	SREG(BOOKE_DVC, dvc),
	SREG(BOOKE_DSRR0, dsrr0),
	SREG(BOOKE_DSRR1, dsrr1),
	SREG(BOOKE_SPRG9, sprg9),
	SREG(BOOKE_EPLC, eplc),
	SREG(BOOKE_EPSC, epsc),
	SREG(BOOKE_EPTCFG, eptcfg),
	SREG(BOOKE_IVOR, ivor_low),
	SREG(BOOKE_IVOR + 32, ivor_high[0]),
	SREG(BOOKE_IVOR + 35, ivor_high[3]),
	SREG(BOOKE_IVOR + 36, ivor_high[4]),
	SREG(BOOKE_FSL_FEATURES, impl.fsl.features),
	SREG(BOOKE_SVR, impl.fsl.svr),
	SREG(BOOKE_MCAR, impl.fsl.mcar),
	SREG(BOOKE_HID0, impl.fsl.hid0),
	SREG(BOOKE_PID1, impl.fsl.pid1),
	SREG(BOOKE_PID2, impl.fsl.pid2),
};

static uint8_t *sreg_at(struct kvm_sregs *s, const struct booke_range *range, uint64_t id)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (places[i].id == range->id)
			return (uint8_t *)s + places[i].offset + (id - range->id) * range->size;
	assert(!"every range has its place");
	return NULL;
}

static uint64_t sreg_get(struct kvm_sregs *s, const struct booke_range *range, uint64_t id)
{
	uint64_t v64;
	uint32_t v32;

	if (range->size == 8) {
		memcpy(&v64, sreg_at(s, range, id), sizeof(v64));
		return v64;
	}
	memcpy(&v32, sreg_at(s, range, id), sizeof(v32));
	return v32;
}

static void sreg_set(struct kvm_sregs *s, const struct booke_range *range, uint64_t id, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;

	if (range->size == 8)
		memcpy(sreg_at(s, range, id), &v, sizeof(v));
	else
		memcpy(sreg_at(s, range, id), &v32, sizeof(v32));
}

static bool sregs_have(const struct kvm_sregs *s, const struct booke_range *range)
{
	return booke_has(range, s->u.e.features, s->u.e.impl_id, s->u.e.impl.fsl.features);
}

/* The guest's own breakpoints; KVM gives DBCR by no call. */
static const uint64_t one_regs[] = {
	KVM_REG_PPC_IAC1, KVM_REG_PPC_IAC2, KVM_REG_PPC_DAC1, KVM_REG_PPC_DAC2};

#define ONE_REGS (sizeof(one_regs) / sizeof(one_regs[0]))

static __u64 *reg_at(struct kvm_regs *g, uint64_t id)
{
	__u64 *const named[] = {&g->pc, &g->msr, &g->cr, &g->ctr, &g->lr, &g->xer, &g->srr0,
		&g->srr1, &g->pid, &g->sprg0, &g->sprg1, &g->sprg2, &g->sprg3, &g->sprg4, &g->sprg5,
		&g->sprg6, &g->sprg7};

	static_assert(sizeof(named) / sizeof(named[0]) == STATE_REG_END - STATE_REG_PC, "all");
	return id < STATE_REG_PC ? &g->gpr[id] : named[id - STATE_REG_PC];
}

static int refuse_kvm(unsigned vcpu, const char *what, int error, struct err *e)
{
	return err_set(e, error, "KVM refuses to %s of vCPU %u: %s", what, vcpu, strerror(-error));
}

static int ask(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

/* -- saving -- */

int state_booke_pvr(const struct kvm_vm *vm, uint32_t *ret_pvr, struct err *e)
{
	struct kvm_sregs s;
	int r = ask(vm->vcpu_fds[0], KVM_GET_SREGS, &s);

	if (r < 0)
		return refuse_kvm(0, "give the PVR", r, e);
	*ret_pvr = s.pvr;
	return 0;
}

/*
 * A decrementer that has just run out shows neither a count nor TSR[DIS] until the host's timer has
 * fired (seen: up to 3 ms). One that stands shows the same for good; that costs these 5 ms.
 */
static int get_settled(int fd, struct kvm_sregs *ret)
{
	uint64_t until = clock_ns() + SETTLE_NS;
	int r;

	for (;;) {
		memset(ret, 0, sizeof(*ret));
		r = ask(fd, KVM_GET_SREGS, ret);
		if (r < 0 || ret->u.e.dec != 0 || ret->u.e.tsr & TSR_DIS || clock_ns() >= until)
			return r;
		sched_yield();
	}
}

static void save_sregs(struct kvm_sregs *s, uint16_t vcpu, struct pack *k)
{
	const struct booke_range *range;
	size_t n;

	state_put_u32(k, STATE_SREG, vcpu, STATE_SREG_PVR, s->pvr);
	range = booke_ranges(&n);
	for (; n > 0; n--, range++) {
		if (!sregs_have(s, range))
			continue;
		for (uint64_t id = range->id; id < (uint64_t)range->id + range->count; id++) {
			if (range->size == 8)
				state_put_u64(k, STATE_BOOKE, vcpu, id, sreg_get(s, range, id));
			else
				state_put_u32(
					k, STATE_BOOKE, vcpu, id, (uint32_t)sreg_get(s, range, id));
		}
	}
}

static int save_vcpu(int fd, uint16_t vcpu, struct pack *k, struct err *e)
{
	struct kvm_sregs s;
	struct kvm_regs g;
	int r = ask(fd, KVM_GET_REGS, &g);

	if (r < 0)
		return refuse_kvm(vcpu, "give the registers", r, e);
	for (uint64_t id = 0; id < STATE_REG_END; id++)
		state_put_u64(k, STATE_REG, vcpu, id, *reg_at(&g, id));
	r = get_settled(fd, &s);
	if (r < 0)
		return refuse_kvm(vcpu, "give the special registers", r, e);
	save_sregs(&s, vcpu, k);
	for (size_t i = 0; i < ONE_REGS; i++) {
		uint64_t v;
		struct kvm_one_reg reg = {.id = one_regs[i], .addr = (uintptr_t)&v};

		r = ask(fd, KVM_GET_ONE_REG, &reg);
		if (r < 0)
			return refuse_kvm(vcpu, "give a debug register", r, e);
		state_put_u64(k, STATE_ONE_REG, vcpu, one_regs[i], v);
	}
	return 0;
}

int state_booke_save(const struct kvm_vm *vm, struct pack *k, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < vm->vcpus && r == 0; i++)
		r = save_vcpu(vm->vcpu_fds[i], (uint16_t)i, k, e);
	return r;
}

/* -- an image from elsewhere -- */

/* One vCPU as the image has it, begun as it is here. */
struct vcpu {
	unsigned nr;
	struct kvm_regs regs;
	struct kvm_sregs here, sregs;
	uint64_t one_reg[ONE_REGS];
	bool has_reg[STATE_REG_END], has_pvr, has_one_reg[ONE_REGS], has_sreg[ID_END];
};

static int refuse_elem(const struct state_elem *elem, int error, const char *why, struct err *e)
{
	char what[STATE_NAME_MAX];

	state_describe(elem, what);
	return err_set(e, error, "KVM refuses %s: %s", what, why);
}

static int refuse_value(const struct state_elem *elem, uint64_t there, uint64_t here, struct err *e)
{
	char why[96];

	snprintf(why, sizeof(why), "it is %#llx there and %#llx here, and cannot be set",
		(unsigned long long)there, (unsigned long long)here);
	return refuse_elem(elem, -EINVAL, why, e);
}

static int take_booke(struct vcpu *v, const struct state_elem *elem, struct err *e)
{
	const struct booke_range *range = booke_find(elem->id);
	uint64_t value, here;

	if (!range || elem->size != range->size)
		return refuse_elem(elem, -ENOTSUP, "it is unknown here or of a wrong size", e);
	if (!sregs_have(&v->here, range))
		return refuse_elem(elem, -ENOTSUP, "this host's processor or KVM lacks it", e);
	if (v->has_sreg[elem->id])
		return refuse_elem(elem, -EBADMSG, "it is there twice", e);
	v->has_sreg[elem->id] = true;
	state_value(elem, &value);
	here = sreg_get(&v->here, range, elem->id);
	if (range->policy == BOOKE_SAME && value != here)
		return refuse_value(elem, value, here, e);
	if (range->policy == BOOKE_SUPERSET && value & ~here)
		return refuse_value(elem, value, here, e);
	sreg_set(&v->sregs, range, elem->id, value);
	return 0;
}

static int take_one_reg(struct vcpu *v, const struct state_elem *elem, struct err *e)
{
	for (size_t i = 0; i < ONE_REGS; i++) {
		if (elem->id != one_regs[i] || elem->size != 8)
			continue;
		v->has_one_reg[i] = true;
		return state_value(elem, &v->one_reg[i]);
	}
	return refuse_elem(elem, -ENOTSUP, "it is no register of a BookE guest", e);
}

static int take_elem(struct vcpu *v, const struct state_elem *elem, struct err *e)
{
	uint64_t value = 0;

	switch (elem->kind) {
	case STATE_REG:
		if (elem->id >= STATE_REG_END || elem->size != 8)
			break;
		state_value(elem, &value);
		*reg_at(&v->regs, elem->id) = value;
		v->has_reg[elem->id] = true;
		return 0;
	case STATE_SREG:
		if (elem->id != STATE_SREG_PVR || elem->size != 4)
			break;
		state_value(elem, &value);
		v->has_pvr = true;
		return value == v->here.pvr ? 0 : refuse_value(elem, value, v->here.pvr, e);
	case STATE_ONE_REG: return take_one_reg(v, elem, e);
	case STATE_BOOKE: return take_booke(v, elem, e);
	case STATE_TIME: break;
	default: return 0;
	}
	return refuse_elem(elem, -ENOTSUP, "it is unknown here or of a wrong size", e);
}

/* What the guest's own processor has must all be there. */
static int check_whole(const struct vcpu *v, struct err *e)
{
	const struct booke_range *range;
	bool whole = v->has_pvr && v->has_sreg[BOOKE_FEATURES] && v->has_sreg[BOOKE_IMPL_ID];
	size_t n;

	for (size_t i = 0; i < STATE_REG_END; i++)
		whole &= v->has_reg[i];
	for (size_t i = 0; i < ONE_REGS; i++)
		whole &= v->has_one_reg[i];
	range = booke_ranges(&n);
	for (; n > 0; n--, range++)
		for (unsigned i = 0; i < range->count && sregs_have(&v->sregs, range); i++)
			whole &= v->has_sreg[range->id + i];
	if (whole)
		return 0;
	return err_set(e, -EBADMSG, "the image lacks registers of vCPU %u", v->nr);
}

static int take_vcpu(
	struct vcpu *v, int fd, unsigned nr, const void *image, size_t size, struct err *e)
{
	struct state_elem elem;
	struct unpack u;
	int r;

	*v = (struct vcpu){.nr = nr};
	r = ask(fd, KVM_GET_SREGS, &v->here);
	if (r == 0)
		r = ask(fd, KVM_GET_REGS, &v->regs);
	if (r < 0)
		return refuse_kvm(nr, "give the registers", r, e);
	v->sregs = v->here;
	unpack_init(&u, image, size);
	while (r == 0 && state_next(&u, &elem) > 0)
		if (elem.vcpu == nr || elem.kind == STATE_TIME)
			r = take_elem(v, &elem, e);
	return r == 0 ? check_whole(v, e) : r;
}

/*
 * Only these bits of update_special set what may change by itself. TSR before DEC, in a call of its
 * own: KVM sets DEC first, and a tick that falls in between is overwritten (seen: 15 of 400).
 */
static int set_vcpu(struct vcpu *v, int fd, struct err *e)
{
	struct kvm_sregs *s = &v->sregs;
	int r = ask(fd, KVM_SET_REGS, &v->regs);

	if (r < 0)
		return refuse_kvm(v->nr, "take the registers", r, e);
	s->u.e.features = v->here.u.e.features;
	s->u.e.update_special = KVM_SREGS_E_UPDATE_MCSR | KVM_SREGS_E_UPDATE_TSR |
		KVM_SREGS_E_UPDATE_DBSR;
	r = ask(fd, KVM_SET_SREGS, s);
	if (r == 0) {
		s->u.e.update_special = KVM_SREGS_E_UPDATE_DEC;
		r = ask(fd, KVM_SET_SREGS, s);
	}
	if (r < 0)
		return refuse_kvm(v->nr, "take the special registers", r, e);
	for (size_t i = 0; i < ONE_REGS; i++) {
		struct kvm_one_reg reg = {.id = one_regs[i], .addr = (uintptr_t)&v->one_reg[i]};

		r = ask(fd, KVM_SET_ONE_REG, &reg);
		if (r < 0)
			return refuse_kvm(v->nr, "take a debug register", r, e);
	}
	return 0;
}

int state_booke_apply(const struct kvm_vm *vm, const void *image, size_t size, struct err *e)
{
	struct vcpu *all = calloc(vm->vcpus, sizeof(*all));
	int r = 0;

	if (!all)
		return err_set(e, -ENOMEM, "out of memory for the state of %u vCPUs", vm->vcpus);
	for (unsigned i = 0; i < vm->vcpus && r == 0; i++)
		r = take_vcpu(&all[i], vm->vcpu_fds[i], i, image, size, e);
	for (unsigned i = 0; i < vm->vcpus && r == 0; i++)
		r = set_vcpu(&all[i], vm->vcpu_fds[i], e);
	free(all);
	return r;
}
