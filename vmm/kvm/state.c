/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/platform/ppc.h>

#include "proto/timebase.h"
#include "vmm/kvm/state_impl.h"

#define PROBE_END    0x200u /* numbers that are tried, beyond those that there are */
#define PROBE_TM_END 0x100u
#define REGS_MAX     1024u

/* -- the ids that this kernel has ------------------------------------------------------------- */

static struct {
	uint64_t id[REGS_MAX];
	unsigned n;
} probed;
static pthread_mutex_t probe_lock = PTHREAD_MUTEX_INITIALIZER;

int kvm_get_one(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

int kvm_set_one(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

uint32_t kvm_vcpu_number(const struct kvm_vm *vm, unsigned n)
{
	return vm->vcpu_ids ? vm->vcpu_ids[n] : n;
}

static bool is_moved(uint64_t id)
{
	const struct one_reg *r = one_reg_find(id);

	return !r || r->policy != ONE_REG_NEVER;
}

static void probe_range(int vcpu, uint64_t first, uint64_t end)
{
	static const uint64_t sizes[] = {ONE_REG_U32, ONE_REG_U64, ONE_REG_U128};
	alignas(16) uint8_t value[ONE_REG_SIZE_MAX];

	for (uint64_t nr = first; nr < end; nr++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			uint64_t id = ONE_REG_PPC | sizes[i] | nr;

			if (!is_moved(id) || kvm_get_one(vcpu, id, value) < 0)
				continue;
			assert(probed.n < REGS_MAX);
			probed.id[probed.n++] = id;
		}
	}
}

/* The list is the kernel's, not the VM's: it is made once. */
void state_kvm_prepare(const struct kvm_vm *vm)
{
	int vcpu = vm->vcpu_fds[0];

	pthread_mutex_lock(&probe_lock);
	if (probed.n == 0) {
		probe_range(vcpu, 1, PROBE_END);
		probe_range(vcpu, ONE_REG_TM, ONE_REG_TM + PROBE_TM_END);
	}
	pthread_mutex_unlock(&probe_lock);
}

/* The list is in the order in which it was tried: by number, then by size. */
bool state_kvm_has(uint64_t id)
{
	unsigned low = 0, high = probed.n;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		uint64_t at = probed.id[middle];

		if (ONE_REG_NR(at) < ONE_REG_NR(id) ||
			(ONE_REG_NR(at) == ONE_REG_NR(id) && at < id))
			low = middle + 1;
		else
			high = middle;
	}
	return low < probed.n && probed.id[low] == id;
}

/* -- saving ----------------------------------------------------------------------------------- */

struct saving {
	struct pack *k;
	uint16_t vcpu;
	uint32_t number; /* KVM's id of it */
	int fd;
	uint64_t msr;
};

static int refuse_get(const struct saving *s, const char *what, int error, struct err *e)
{
	return err_set(
		e, error, "KVM does not give vCPU %u's %s: %s", s->vcpu, what, strerror(-error));
}

uint64_t *state_kvm_reg(struct kvm_regs *g, uint64_t id)
{
	if (id < STATE_REG_PC)
		return (uint64_t *)&g->gpr[id];
	switch ((enum state_reg)id) {
	case STATE_REG_PC: return (uint64_t *)&g->pc;
	case STATE_REG_MSR: return (uint64_t *)&g->msr;
	case STATE_REG_CR: return (uint64_t *)&g->cr;
	case STATE_REG_CTR: return (uint64_t *)&g->ctr;
	case STATE_REG_LR: return (uint64_t *)&g->lr;
	case STATE_REG_XER: return (uint64_t *)&g->xer;
	case STATE_REG_SRR0: return (uint64_t *)&g->srr0;
	case STATE_REG_SRR1: return (uint64_t *)&g->srr1;
	case STATE_REG_PID: return (uint64_t *)&g->pid;
	case STATE_REG_SPRG0: return (uint64_t *)&g->sprg0;
	case STATE_REG_GPR0:
	case STATE_REG_END: break;
	}
	switch (id - STATE_REG_SPRG0) {
	case 1: return (uint64_t *)&g->sprg1;
	case 2: return (uint64_t *)&g->sprg2;
	case 3: return (uint64_t *)&g->sprg3;
	case 4: return (uint64_t *)&g->sprg4;
	case 5: return (uint64_t *)&g->sprg5;
	case 6: return (uint64_t *)&g->sprg6;
	case 7: return (uint64_t *)&g->sprg7;
	default: return NULL;
	}
}

static int save_regs(struct saving *s, struct err *e)
{
	struct kvm_regs g;

	if (ioctl(s->fd, KVM_GET_REGS, &g) < 0)
		return refuse_get(s, "registers", -errno, e);
	s->msr = g.msr;
	for (uint64_t id = 0; id < STATE_REG_END; id++)
		state_put_u64(s->k, STATE_REG, s->vcpu, id, *state_kvm_reg(&g, id));
	return 0;
}

static void save_slb(struct saving *s, const struct kvm_sregs *r)
{
	for (unsigned i = 0; i < STATE_SLB_SLOTS; i++) {
		uint64_t slbe = r->u.s.ppc64.slb[i].slbe;
		uint8_t value[16];

		if (!(slbe & SLBE_VALID))
			continue;
		be64_put(value, slbe);
		be64_put(value + 8, r->u.s.ppc64.slb[i].slbv);
		state_put(s->k, STATE_SREG, s->vcpu, STATE_SREG_SLB + (slbe & SLBE_SLOT), value,
			sizeof(value));
	}
}

/* KVM-PR has them in use for guests without an SLB; KVM-HV gives zeros. */
static void save_32bit_mmu(struct saving *s, const struct kvm_sregs *r)
{
	static const struct kvm_sregs none;

	if (memcmp(&r->u.s.ppc32, &none.u.s.ppc32, sizeof(none.u.s.ppc32)) == 0)
		return;
	for (unsigned i = 0; i < STATE_SRS; i++)
		state_put_u32(s->k, STATE_SREG, s->vcpu, STATE_SREG_SR + i, r->u.s.ppc32.sr[i]);
	for (unsigned i = 0; i < STATE_BATS; i++)
		state_put_u64(s->k, STATE_SREG, s->vcpu, STATE_SREG_IBAT + i, r->u.s.ppc32.ibat[i]);
	for (unsigned i = 0; i < STATE_BATS; i++)
		state_put_u64(s->k, STATE_SREG, s->vcpu, STATE_SREG_DBAT + i, r->u.s.ppc32.dbat[i]);
}

static int save_sregs(struct saving *s, struct err *e)
{
	struct kvm_sregs r;

	if (ioctl(s->fd, KVM_GET_SREGS, &r) < 0)
		return refuse_get(s, "special registers", -errno, e);
	state_put_u32(s->k, STATE_SREG, s->vcpu, STATE_SREG_PVR, r.pvr);
	state_put_u64(s->k, STATE_SREG, s->vcpu, STATE_SREG_SDR1, r.u.s.sdr1);
	if (s->number != s->vcpu)
		state_put_u32(s->k, STATE_SREG, s->vcpu, STATE_SREG_VCPU_ID, s->number);
	save_slb(s, &r);
	save_32bit_mmu(s, &r);
	return 0;
}

/* What else KVM reads is its own, and nothing to anybody else. */
static void guests_bits(const struct one_reg *r, uint8_t *be)
{
	if (r && r->policy == ONE_REG_MASK)
		be64_put(be, be64_get(be) & r->mask);
}

static int save_one_regs(struct saving *s, struct err *e)
{
	for (unsigned i = 0; i < probed.n; i++) {
		alignas(16) uint8_t value[ONE_REG_SIZE_MAX], be[ONE_REG_SIZE_MAX];
		uint64_t id = probed.id[i];
		char what[ONE_REG_NAME_MAX];
		int r;

		if (ONE_REG_NR(id) & ONE_REG_TM && !(s->msr & MSR_TS))
			continue;
		r = kvm_get_one(s->fd, id, value);
		one_reg_name(id, what);
		if (r < 0)
			return refuse_get(s, what, r, e);
		one_reg_swap(id, be, value);
		guests_bits(one_reg_find(id), be);
		state_put(s->k, STATE_ONE_REG, s->vcpu, id, be, (uint32_t)one_reg_size(id));
	}
	return 0;
}

int state_kvm_save(const struct kvm_vm *vm, uint64_t guest_tb, struct pack *k, struct err *e)
{
	uint64_t hz = __ppc_get_timebase_freq();
	int r = 0;

	state_kvm_prepare(vm);
	state_put_u64(k, STATE_TIME, STATE_VM, STATE_TIME_GUEST_TB, guest_tb);
	if (hz != TIMEBASE_HZ)
		state_put_u64(k, STATE_TIME, STATE_VM, STATE_TIME_HZ, hz);
	if (state_kvm_boot())
		state_put_u64(k, STATE_TIME, STATE_VM, STATE_TIME_HOST, state_kvm_boot());
	for (unsigned i = 0; i < vm->vcpus && r == 0; i++) {
		struct saving s = {
			.k = k,
			.vcpu = (uint16_t)i,
			.number = kvm_vcpu_number(vm, i),
			.fd = vm->vcpu_fds[i],
		};

		r = save_regs(&s, e);
		if (r == 0)
			r = save_sregs(&s, e);
		if (r == 0)
			r = save_one_regs(&s, e);
	}
	return r;
}
