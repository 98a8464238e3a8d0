/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image from elsewhere is held against this VM, and nothing is set: all that is wrong with it is
 * found before the guest that waits here has changed.
 */
#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/platform/ppc.h>

#include "proto/timebase.h"
#include "vmm/kvm/state_impl.h"

#define ALL_REGS ((1ull << STATE_REG_END) - 1)

static_assert(STATE_REG_END < 64 && STATE_SREG_DBAT + STATE_BATS <= 128, "a bit for each");

int state_kvm_refuse(const struct state_elem *elem, int error, const char *why, struct err *e)
{
	char what[STATE_NAME_MAX];

	state_describe(elem, what);
	return err_set(e, error, "KVM refuses %s: %s", what, why);
}

static int unknown(const struct state_elem *elem, struct err *e)
{
	return state_kvm_refuse(elem, -ENOTSUP, "it is unknown here or of a wrong size", e);
}

static int take_reg(struct image_vcpu *v, const struct state_elem *elem, struct err *e)
{
	if (elem->id >= STATE_REG_END || elem->size != 8)
		return unknown(elem, e);
	if (v->have_regs & 1ull << elem->id)
		return state_kvm_refuse(elem, -EBADMSG, "it is there twice", e);
	v->have_regs |= 1ull << elem->id;
	*state_kvm_reg(&v->regs, elem->id) = be64_get(elem->value);
	return 0;
}

static int take_slb(struct image_vcpu *v, const struct state_elem *elem, struct err *e)
{
	uint64_t slot = elem->id - STATE_SREG_SLB, slbe;

	if (slot >= STATE_SLB_SLOTS || elem->size != 16)
		return unknown(elem, e);
	slbe = be64_get(elem->value);
	if (!(slbe & SLBE_VALID) || (slbe & SLBE_SLOT) != slot)
		return state_kvm_refuse(
			elem, -EBADMSG, "it is not valid or says that it is another slot's", e);
	if (v->have_slb & 1ull << slot)
		return state_kvm_refuse(elem, -EBADMSG, "it is there twice", e);
	v->have_slb |= 1ull << slot;
	v->sregs.u.s.ppc64.slb[v->slbs].slbe = slbe;
	v->sregs.u.s.ppc64.slb[v->slbs].slbv = be64_get(elem->value + 8);
	v->slbs++;
	return 0;
}

/* A register whose id is below STATE_SREG_SLB. */
static int take_sreg(
	struct image *m, struct image_vcpu *v, const struct state_elem *elem, struct err *e)
{
	uint64_t value = 0, id = elem->id;
	unsigned bit = (unsigned)(id >= STATE_SREG_IBAT ? id - STATE_SREG_IBAT + 48 : id);
	bool wide = id == STATE_SREG_SDR1 || id >= STATE_SREG_IBAT;

	if (id >= STATE_SREG_SLB)
		return take_slb(v, elem, e);
	if (elem->size != (wide ? 8 : 4) || (id > STATE_SREG_VCPU_ID && id < STATE_SREG_SR) ||
		(id >= STATE_SREG_SR + STATE_SRS && id < STATE_SREG_IBAT) ||
		id >= STATE_SREG_DBAT + STATE_BATS)
		return unknown(elem, e);
	if (v->have_sregs & 1ull << bit)
		return state_kvm_refuse(elem, -EBADMSG, "it is there twice", e);
	v->have_sregs |= 1ull << bit;
	state_value(elem, &value);
	if (id >= STATE_SREG_DBAT)
		v->sregs.u.s.ppc32.dbat[id - STATE_SREG_DBAT] = value;
	else if (id >= STATE_SREG_IBAT)
		v->sregs.u.s.ppc32.ibat[id - STATE_SREG_IBAT] = value;
	else if (id >= STATE_SREG_SR)
		v->sregs.u.s.ppc32.sr[id - STATE_SREG_SR] = (uint32_t)value;
	else if (id == STATE_SREG_SDR1)
		v->sregs.u.s.sdr1 = value;
	else if (id == STATE_SREG_PVR)
		v->sregs.pvr = (uint32_t)value;
	else if (value != kvm_vcpu_number(m->vm, elem->vcpu))
		return err_set(e, -EINVAL,
			"vCPU %u has id %u at the source and %u here: make the vCPUs with the same ids",
			elem->vcpu, (unsigned)value, kvm_vcpu_number(m->vm, elem->vcpu));
	return 0;
}

static bool is_zero(const struct state_elem *elem)
{
	for (uint32_t i = 0; i < elem->size; i++)
		if (elem->value[i])
			return false;
	return true;
}

static int take_one_reg(struct image_vcpu *v, const struct state_elem *elem, struct err *e)
{
	const struct one_reg *r = one_reg_find(elem->id);
	uint64_t compat = 0;

	if (r && r->policy == ONE_REG_NEVER)
		return state_kvm_refuse(elem, -ENOTSUP, "it is no part of a guest's state", e);
	if (!state_kvm_has(elem->id) && !(r && r->policy == ONE_REG_ZERO && is_zero(elem)))
		return state_kvm_refuse(
			elem, -ENOTSUP, "this host's kernel or processor does not have it", e);
	if (elem->id == KVM_REG_PPC_ARCH_COMPAT && state_value(elem, &compat) == 0)
		v->compat = (uint32_t)compat;
	return 0;
}

static int take_time(struct image *m, const struct state_elem *elem, struct err *e)
{
	uint64_t value;

	if (elem->id > STATE_TIME_HOST || elem->size != 8)
		return unknown(elem, e);
	value = be64_get(elem->value);
	if (elem->id == STATE_TIME_GUEST_TB) {
		m->guest_tb = value;
		m->has_tb = true;
	} else if (elem->id == STATE_TIME_HOST) {
		m->same_host = value != 0 && value == state_kvm_boot();
	} else if (elem->id == STATE_TIME_HZ && value != __ppc_get_timebase_freq()) {
		return err_set(e, -EINVAL,
			"the guest's timebase counts %llu times a second and this host's %llu: its time would run wrong",
			(unsigned long long)value, (unsigned long long)__ppc_get_timebase_freq());
	}
	return 0;
}

static int take(struct image *m, const struct state_elem *elem, struct err *e)
{
	switch (elem->kind) {
	case STATE_REG: return take_reg(&m->vcpus[elem->vcpu], elem, e);
	case STATE_SREG: return take_sreg(m, &m->vcpus[elem->vcpu], elem, e);
	case STATE_ONE_REG: return take_one_reg(&m->vcpus[elem->vcpu], elem, e);
	case STATE_TIME: return take_time(m, elem, e);
	default: return 0;
	}
}

/* Would KVM run the guest in that mode? Asked by setting it, and put back. */
static bool takes_compat(int vcpu, uint32_t compat)
{
	alignas(16) uint32_t was, now = compat;
	bool takes;

	if (kvm_get_one(vcpu, KVM_REG_PPC_ARCH_COMPAT, &was) < 0)
		return false;
	takes = kvm_set_one(vcpu, KVM_REG_PPC_ARCH_COMPAT, &now) == 0;
	kvm_set_one(vcpu, KVM_REG_PPC_ARCH_COMPAT, &was);
	return takes;
}

uint32_t state_kvm_compat(const struct kvm_vm *vm)
{
	alignas(16) uint32_t compat;

	return kvm_get_one(vm->vcpu_fds[0], KVM_REG_PPC_ARCH_COMPAT, &compat) < 0 ? 0 : compat;
}

/* PAPR's logical PVRs, the newest first. */
uint32_t state_kvm_newest_compat(const struct kvm_vm *vm)
{
	for (uint32_t compat = 0x0f00000f; compat >= 0x0f000003; compat--)
		if (takes_compat(vm->vcpu_fds[0], compat))
			return compat;
	return 0;
}

/* KVM runs a guest on its own processor, or as an older one that it knows. */
static int check_processor(
	const struct image *m, unsigned n, struct image_vcpu *v, uint32_t pvr, struct err *e)
{
	uint32_t compat = v->compat;

	if (compat && !takes_compat(m->vm->vcpu_fds[n], compat))
		return err_set(e, -EINVAL,
			"vCPU %u runs in compatibility mode %#x, which the KVM of this host, whose processor has PVR %#x, does not have",
			n, compat, pvr);
	if (v->sregs.pvr == pvr || compat) {
		v->sregs.pvr = pvr; /* KVM takes no other; the guest goes by the mode */
		return 0;
	}
	return err_set(e, -EINVAL,
		"the guest's processor has PVR %#x and this host's %#x: KVM runs it only on the same processor, or in a compatibility mode",
		v->sregs.pvr, pvr);
}

static int check_whole(struct image *m, struct err *e)
{
	uint32_t pvr;
	int r = kvm_pvr(m->vm, &pvr, e);

	for (unsigned i = 0; i < m->vm->vcpus && r == 0; i++) {
		struct image_vcpu *v = &m->vcpus[i];

		if (v->have_regs != ALL_REGS || !(v->have_sregs & 1ull << STATE_SREG_PVR))
			return err_set(e, -EBADMSG,
				"the image lacks registers of vCPU %u: the guest has %u vCPUs here, and all are needed",
				i, m->vm->vcpus);
		/* It is told apart from index 0 only by its own element. */
		if (!(v->have_sregs & 1ull << STATE_SREG_VCPU_ID) && kvm_vcpu_number(m->vm, i) != i)
			return err_set(e, -EINVAL,
				"vCPU %u has id %u at the source and %u here: make the vCPUs with the same ids",
				i, i, kvm_vcpu_number(m->vm, i));
		r = check_processor(m, i, v, pvr, e);
	}
	return r;
}

int image_take(struct image *m, struct err *e)
{
	struct state_elem elem;
	struct unpack u;
	int r = 0;

	m->vcpus = calloc(m->vm->vcpus, sizeof(m->vcpus[0]));
	if (!m->vcpus)
		return err_set(e, -ENOMEM, "no memory for the registers of %u vCPUs", m->vm->vcpus);
	unpack_init(&u, m->bytes, m->size);
	while (r == 0 && state_next(&u, &elem) > 0)
		r = take(m, &elem, e);
	return r == 0 ? check_whole(m, e) : r;
}

void image_free(struct image *m)
{
	free(m->vcpus);
	m->vcpus = NULL;
}
