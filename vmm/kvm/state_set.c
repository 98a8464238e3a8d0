/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Setting a checked image. KVM takes some values and keeps only a part, so everything is read back:
 * a guest that would go on with other registers than it had is refused.
 */
#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/kvm/state_impl.h"

/* -- what KVM takes as a struct --------------------------------------------------------------- */

static int set_regs(const struct image *m, unsigned n, struct err *e)
{
	struct kvm_regs *want = &m->vcpus[n].regs, got;
	int fd = m->vm->vcpu_fds[n];

	if (ioctl(fd, KVM_SET_REGS, want) < 0 || ioctl(fd, KVM_GET_REGS, &got) < 0)
		return err_set(
			e, -errno, "KVM refuses vCPU %u's registers: %s", n, strerror(errno));
	for (uint64_t id = 0; id < STATE_REG_END; id++) {
		struct state_elem elem = {.kind = STATE_REG, .vcpu = (uint16_t)n, .id = id};

		/* KVM_SET_REGS leaves PID as it is (book3s.c): ONE_REG PID sets it, below. */
		if (id != STATE_REG_PID && *state_kvm_reg(&got, id) != *state_kvm_reg(want, id))
			return state_kvm_refuse(&elem, -EINVAL, "it keeps another value", e);
	}
	return 0;
}

/* GET gives a BAT's upper half in the low word; SET takes it in the high one (book3s_pr.c). */
static void swap_bats(struct kvm_sregs *s)
{
	for (unsigned i = 0; i < STATE_BATS; i++) {
		uint64_t ibat = s->u.s.ppc32.ibat[i], dbat = s->u.s.ppc32.dbat[i];

		s->u.s.ppc32.ibat[i] = ibat << 32 | ibat >> 32;
		s->u.s.ppc32.dbat[i] = dbat << 32 | dbat >> 32;
	}
}

static const uint64_t *find_slb(const struct kvm_sregs *s, uint64_t slot)
{
	for (unsigned i = 0; i < STATE_SLB_SLOTS; i++) {
		uint64_t slbe = s->u.s.ppc64.slb[i].slbe;

		if (slbe & SLBE_VALID && (slbe & SLBE_SLOT) == slot)
			return (const uint64_t *)&s->u.s.ppc64.slb[i].slbe;
	}
	return NULL;
}

/* Which SREG element differs: 1 and *ret_id, or 0. */
static int sregs_differ(const struct kvm_sregs *a, const struct kvm_sregs *b, uint64_t *ret_id)
{
	for (unsigned i = 0; i < STATE_SLB_SLOTS; i++) {
		const uint64_t *x = find_slb(a, i), *y = find_slb(b, i);

		*ret_id = STATE_SREG_SLB + i;
		if ((x == NULL) != (y == NULL) || (x && memcmp(x, y, 16) != 0))
			return 1;
	}
	for (unsigned i = 0; i < STATE_SRS; i++) {
		*ret_id = STATE_SREG_SR + i;
		if (a->u.s.ppc32.sr[i] != b->u.s.ppc32.sr[i])
			return 1;
	}
	for (unsigned i = 0; i < STATE_BATS; i++) {
		*ret_id = STATE_SREG_IBAT + i;
		if (a->u.s.ppc32.ibat[i] != b->u.s.ppc32.ibat[i])
			return 1;
		*ret_id = STATE_SREG_DBAT + i;
		if (a->u.s.ppc32.dbat[i] != b->u.s.ppc32.dbat[i])
			return 1;
	}
	*ret_id = STATE_SREG_SDR1;
	return a->u.s.sdr1 != b->u.s.sdr1;
}

static int set_sregs(const struct image *m, unsigned n, struct err *e)
{
	struct state_elem elem = {.kind = STATE_SREG, .vcpu = (uint16_t)n};
	struct kvm_sregs set = m->vcpus[n].sregs, got;
	int fd = m->vm->vcpu_fds[n];

	swap_bats(&set);
	if (ioctl(fd, KVM_SET_SREGS, &set) < 0 || ioctl(fd, KVM_GET_SREGS, &got) < 0)
		return err_set(e, -errno, "KVM refuses vCPU %u's special registers and SLB: %s", n,
			strerror(errno));
	if (sregs_differ(&m->vcpus[n].sregs, &got, &elem.id))
		return state_kvm_refuse(&elem, -EINVAL,
			"it keeps another value: this host's processor or KVM does not have it", e);
	return 0;
}

static int set_structs(const struct image *m,
	int (*set)(const struct image *m, unsigned n, struct err *e), struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->vm->vcpus && r == 0; i++)
		r = set(m, i, e);
	return r;
}

/* -- registers by id -------------------------------------------------------------------------- */

/* Does KVM keep what it was given? Both in the image's order. */
static bool keeps(const struct one_reg *r, const uint8_t *want, const uint8_t *got, uint32_t size)
{
	if (!r || r->policy == ONE_REG_ANEW || r->policy == ONE_REG_BLIND)
		return true; /* what is not known here cannot be judged */
	if (r->policy == ONE_REG_MASK)
		return ((be64_get(want) ^ be64_get(got)) & r->mask) == 0;
	return memcmp(want, got, size) == 0;
}

static int set_one_reg(const struct image *m, const struct state_elem *elem, struct err *e)
{
	alignas(16) uint8_t value[ONE_REG_SIZE_MAX], got[ONE_REG_SIZE_MAX];
	const struct one_reg *reg = one_reg_find(elem->id);
	int fd = m->vm->vcpu_fds[elem->vcpu], r;

	if (!state_kvm_has(elem->id))
		return 0; /* checked: 0, and may be left out */
	one_reg_swap(elem->id, value, elem->value);
	r = kvm_set_one(fd, elem->id, value);
	if (r < 0)
		return state_kvm_refuse(elem, r, strerror(-r), e);
	r = kvm_get_one(fd, elem->id, value);
	if (r < 0)
		return state_kvm_refuse(elem, r, strerror(-r), e);
	one_reg_swap(elem->id, got, value);
	if (!keeps(reg, elem->value, got, elem->size))
		return state_kvm_refuse(elem, -EINVAL,
			"it keeps another value: this host's processor or KVM does not have all of it",
			e);
	return 0;
}

static int set_phase(const struct image *m, enum one_reg_phase phase, struct err *e)
{
	struct state_elem elem;
	struct unpack u;
	int r = 0;

	unpack_init(&u, m->bytes, m->size);
	while (r == 0 && state_next(&u, &elem) > 0) {
		const struct one_reg *reg;

		if (elem.kind != STATE_ONE_REG)
			continue;
		reg = one_reg_find(elem.id);
		if ((reg ? reg->phase : ONE_REG_SPR) != phase)
			continue;
		if (phase == ONE_REG_TMS && !(m->vcpus[elem.vcpu].regs.msr & MSR_TS))
			continue;
		r = set_one_reg(m, &elem, e);
	}
	return r;
}

/*
 * The areas that the guest shares with KVM, taken back in the reverse of the order in which KVM
 * lets them be registered: of an image that failed, KVM must not write into the guest's memory any
 * more, and with them registered it does not take another VPA_ADDR of 0.
 */
static void clear_areas(const struct kvm_vm *vm)
{
	static const uint64_t ids[] = {
		KVM_REG_PPC_VPA_DTL, KVM_REG_PPC_VPA_SLB, KVM_REG_PPC_VPA_ADDR};

	for (unsigned n = 0; n < vm->vcpus; n++) {
		for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
			alignas(16) uint8_t zero[ONE_REG_SIZE_MAX] = {0};

			if (state_kvm_has(ids[i]))
				kvm_set_one(vm->vcpu_fds[n], ids[i], zero);
		}
	}
}

int state_kvm_apply(const struct kvm_vm *vm, const void *image, size_t size,
	struct state_kvm_tb *ret, struct err *e)
{
	struct image m = {.vm = vm, .bytes = image, .size = size};
	int r = image_take(&m, e);
	bool changed = r == 0;

	if (changed)
		clear_areas(vm);
	for (enum one_reg_phase phase = 0; phase < ONE_REG_PHASES && r == 0; phase++) {
		if (phase == ONE_REG_FP)
			r = set_structs(&m, set_regs, e);
		else if (phase == ONE_REG_SPR)
			r = set_structs(&m, set_sregs, e);
		if (r == 0)
			r = set_phase(&m, phase, e);
	}
	if (changed && r < 0)
		clear_areas(vm);
	*ret = (struct state_kvm_tb){m.has_tb, m.same_host, m.guest_tb};
	image_free(&m);
	return r;
}
