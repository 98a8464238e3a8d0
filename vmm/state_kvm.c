/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/state_kvm.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/platform/ppc.h>

#include "common/clock.h"
#include "vmm/onereg.h"

static_assert(ONE_REG_PPC == KVM_REG_PPC, "KVM's number");
static_assert(ONE_REG_U32 == KVM_REG_SIZE_U32, "KVM's number");
static_assert(ONE_REG_U64 == KVM_REG_SIZE_U64, "KVM's number");
static_assert(ONE_REG_U128 == KVM_REG_SIZE_U128, "KVM's number");
static_assert((KVM_REG_PPC_TM & 0xffffffffu) == ONE_REG_TM, "KVM's number");

#define SLB_SLOTS   64u
#define SLBE_VALID  0x08000000ull /* SLB_ESID_V */
#define SLBE_SLOT   0xfffull
#define MSR_TS      0x0000000600000000ull /* a transaction is suspended or active */
#define ONE_REG_END 0x100u                /* numbers that are probed */
#define TM_REG_END  0x6bu
#define REGS_MAX    1024u
#define TB_UNIT     (1ull << 24) /* of TB_OFFSET */

/*
 * What is not simply read there and set here. KVM has no call that lists registers and none that
 * says which can be set, so each exception is stated: any register that is not in here and that
 * the destination cannot set makes it refuse the guest.
 */
enum policy {
	POLICY_MUST = 0,
	POLICY_NEVER, /* not the guest's: not moved */
	POLICY_ZERO,  /* may be left out where it cannot be set, if it has its reset value, zero */
};

static const struct exception {
	uint64_t id;
	enum policy policy;
} exceptions[] = {
	/* KVM's own breakpoint instruction: a constant of the host's kernel. */
	{KVM_REG_PPC_DEBUG_INST, POLICY_NEVER},
	/* The lower half of LPCR_64. */
	{KVM_REG_PPC_LPCR, POLICY_NEVER},
	/* The interrupt controllers' state is of use only together with their devices'. */
	{KVM_REG_PPC_ICP_STATE, POLICY_NEVER},
	{KVM_REG_PPC_VP_STATE, POLICY_NEVER},
	/* Only nested hypervisors have one. */
	{KVM_REG_PPC_PTCR, POLICY_ZERO},
	/* Real mode offset: KVM-HV shows 0 and takes nothing else. */
	{KVM_REG_PPC_HIOR, POLICY_ZERO},
	/* POWER7's; later processors have DAWR. */
	{KVM_REG_PPC_DABR, POLICY_ZERO},
	{KVM_REG_PPC_DABRX, POLICY_ZERO},
	/* POWER8's, gone in POWER9. */
	{KVM_REG_PPC_SPMC1, POLICY_ZERO},
	{KVM_REG_PPC_SPMC2, POLICY_ZERO},
	{KVM_REG_PPC_MMCRS, POLICY_ZERO},
	{KVM_REG_PPC_CSIGR, POLICY_ZERO},
	{KVM_REG_PPC_TACR, POLICY_ZERO},
	{KVM_REG_PPC_TCSCR, POLICY_ZERO},
	{KVM_REG_PPC_ACOP, POLICY_ZERO},
	{KVM_REG_PPC_WORT, POLICY_ZERO},
	/* POWER9's thread number; POWER10's performance monitor and second watchpoint. */
	{KVM_REG_PPC_TIDR, POLICY_ZERO},
	{KVM_REG_PPC_MMCR3, POLICY_ZERO},
	{KVM_REG_PPC_SIER2, POLICY_ZERO},
	{KVM_REG_PPC_SIER3, POLICY_ZERO},
	{KVM_REG_PPC_DAWR1, POLICY_ZERO},
	{KVM_REG_PPC_DAWRX1, POLICY_ZERO},
};

static enum policy policy_of(uint64_t id)
{
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
		if (exceptions[i].id == id)
			return exceptions[i].policy;
	return POLICY_MUST;
}

/* KVM needs its registers in this order (a set that comes later takes what earlier ones say). */
enum phase {
	PHASE_REGS,
	PHASE_FP, /* FP, VMX, VSX and their status */
	PHASE_SREGS,
	PHASE_SPR,
	PHASE_TM,
	PHASE_VPA,
	PHASE_VPA_REST, /* KVM refuses them before VPA_ADDR */
	PHASE_TB,
	PHASE_DPDES,
	PHASES,
};

static enum phase one_reg_phase(uint64_t id)
{
	if (ONE_REG_NR(id) & ONE_REG_TM)
		return PHASE_TM;
	if (ONE_REG_NR(id) >= ONE_REG_NR(KVM_REG_PPC_FPR0) &&
		ONE_REG_NR(id) <= ONE_REG_NR(KVM_REG_PPC_VSCR))
		return PHASE_FP;
	switch (id) {
	case KVM_REG_PPC_VPA_ADDR: return PHASE_VPA;
	case KVM_REG_PPC_VPA_SLB:
	case KVM_REG_PPC_VPA_DTL: return PHASE_VPA_REST;
	case KVM_REG_PPC_TB_OFFSET: return PHASE_TB;
	case KVM_REG_PPC_DPDES: return PHASE_DPDES;
	default: return PHASE_SPR;
	}
}

/* -- the ids that this kernel has ------------------------------------------------------------- */

static struct {
	uint64_t id[REGS_MAX];
	unsigned n;
} probed;
static pthread_mutex_t probe_lock = PTHREAD_MUTEX_INITIALIZER;

static int get_one(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

static int set_one(int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

static void probe_range(int vcpu, uint64_t first, uint64_t end)
{
	static const uint64_t sizes[] = {ONE_REG_U32, ONE_REG_U64, ONE_REG_U128};
	alignas(16) uint8_t value[ONE_REG_SIZE_MAX];

	for (uint64_t nr = first; nr < end; nr++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			uint64_t id = ONE_REG_PPC | sizes[i] | nr;

			if (policy_of(id) == POLICY_NEVER || get_one(vcpu, id, value) < 0)
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
		probe_range(vcpu, 1, ONE_REG_END);
		probe_range(vcpu, ONE_REG_TM, ONE_REG_TM + TM_REG_END);
	}
	pthread_mutex_unlock(&probe_lock);
}

/* -- saving ----------------------------------------------------------------------------------- */

struct saving {
	struct pack *k;
	uint16_t vcpu;
	int fd;
	uint64_t msr;
};

static int refuse_get(const struct saving *s, const char *what, int error, struct err *e)
{
	return err_set(
		e, error, "KVM does not give vCPU %u's %s: %s", s->vcpu, what, strerror(-error));
}

static uint64_t *reg_field(struct kvm_regs *g, uint64_t id)
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
		state_put_u64(s->k, STATE_REG, s->vcpu, id, *reg_field(&g, id));
	return 0;
}

static int save_sregs(struct saving *s, struct err *e)
{
	struct kvm_sregs r;

	if (ioctl(s->fd, KVM_GET_SREGS, &r) < 0)
		return refuse_get(s, "special registers", -errno, e);
	state_put_u32(s->k, STATE_SREG, s->vcpu, STATE_SREG_PVR, r.pvr);
	state_put_u64(s->k, STATE_SREG, s->vcpu, STATE_SREG_SDR1, r.u.s.sdr1);
	for (unsigned i = 0; i < SLB_SLOTS; i++) {
		uint64_t slbe = r.u.s.ppc64.slb[i].slbe;
		uint8_t value[16];

		if (!(slbe & SLBE_VALID))
			continue;
		be64_put(value, slbe);
		be64_put(value + 8, r.u.s.ppc64.slb[i].slbv);
		state_put(s->k, STATE_SREG, s->vcpu, STATE_SREG_SLB + (slbe & SLBE_SLOT), value,
			sizeof(value));
	}
	return 0;
}

static int save_one_regs(struct saving *s, struct err *e)
{
	for (unsigned i = 0; i < probed.n; i++) {
		alignas(16) uint8_t value[ONE_REG_SIZE_MAX], be[ONE_REG_SIZE_MAX];
		uint64_t id = probed.id[i];
		char what[32];
		int r;

		if (ONE_REG_NR(id) & ONE_REG_TM && !(s->msr & MSR_TS))
			continue;
		r = get_one(s->fd, id, value);
		snprintf(what, sizeof(what), "ONE_REG %#llx", (unsigned long long)id);
		if (r < 0)
			return refuse_get(s, what, r, e);
		one_reg_swap(id, be, value);
		state_put(s->k, STATE_ONE_REG, s->vcpu, id, be, (uint32_t)one_reg_size(id));
	}
	return 0;
}

/* Which value the guest's timebase has now: it counts on, wherever the guest is. */
static int save_time(const struct kvm_vm *vm, struct pack *k, struct err *e)
{
	uint64_t offset, real, tb;
	int r = get_one(vm->vcpu_fds[0], KVM_REG_PPC_TB_OFFSET, &offset);

	if (r < 0)
		return err_set(e, r, "KVM does not give the timebase offset: %s", strerror(-r));
	real = clock_real_ns();
	tb = __ppc_get_timebase() + offset;
	state_put_u64(k, STATE_TIME, STATE_VM, STATE_TIME_GUEST_TB, tb);
	state_put_u64(k, STATE_TIME, STATE_VM, STATE_TIME_REAL_NS, real);
	return 0;
}

int state_kvm_save(const struct kvm_vm *vm, struct pack *k, struct err *e)
{
	int r = save_time(vm, k, e);

	state_kvm_prepare(vm);
	for (unsigned i = 0; i < vm->vcpus && r == 0; i++) {
		struct saving s = {.k = k, .vcpu = (uint16_t)i, .fd = vm->vcpu_fds[i]};

		r = save_regs(&s, e);
		if (r == 0)
			r = save_sregs(&s, e);
		if (r == 0)
			r = save_one_regs(&s, e);
	}
	return r;
}

/* -- checking --------------------------------------------------------------------------------- */

static int refuse_elem(const struct state_elem *elem, int error, const char *why, struct err *e)
{
	char what[STATE_NAME_MAX];

	state_describe(elem, what);
	return err_set(e, error, "KVM refuses %s: %s", what, why);
}

static int check_sreg(const struct kvm_vm *vm, const struct state_elem *elem, struct err *e)
{
	uint64_t v;

	if (elem->id >= STATE_SREG_SLB && elem->id < STATE_SREG_SLB + SLB_SLOTS)
		return elem->size == 16 ? 0 : refuse_elem(elem, -EBADMSG, "its size is not 16", e);
	if (elem->id == STATE_SREG_SDR1 && elem->size == 8)
		return 0;
	if (elem->id == STATE_SREG_PVR && elem->size == 4) {
		uint32_t pvr;
		int r = kvm_pvr(vm, &pvr, e);

		if (r < 0)
			return r;
		state_value(elem, &v);
		if (v == pvr)
			return 0;
		return err_set(e, -EINVAL,
			"the guest's processor has PVR %#x and this host's %#x: "
			"KVM runs it only on the same processor",
			(unsigned)v, pvr);
	}
	return refuse_elem(elem, -ENOTSUP, "it is unknown here or of a wrong size", e);
}

int state_kvm_check(const struct kvm_vm *vm, const struct state_elem *elem, struct err *e)
{
	switch (elem->kind) {
	case STATE_REG:
		if (elem->id >= STATE_REG_END || elem->size != 8)
			break;
		return 0;
	case STATE_TIME:
		if (elem->id > STATE_TIME_REAL_NS || elem->size != 8)
			break;
		return 0;
	case STATE_SREG: return check_sreg(vm, elem, e);
	case STATE_ONE_REG:
		if (policy_of(elem->id) == POLICY_NEVER)
			break;
		return 0;
	default: break;
	}
	return refuse_elem(elem, -ENOTSUP, "it is unknown here or of a wrong size", e);
}

/* -- applying --------------------------------------------------------------------------------- */

struct applying {
	const struct kvm_vm *vm;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	unsigned slbs;
	uint64_t guest_tb, real_ns;
	bool have_tb, have_real, have_offset;
	uint64_t offset; /* one for all vCPUs, whose timebases must not differ */
};

/* The offset with which the guest's timebase is where it would be had the guest never moved. */
static uint64_t tb_offset(struct applying *a, uint64_t saved)
{
	uint64_t now, passed;

	if (!a->have_tb || !a->have_real)
		return saved;
	if (a->have_offset)
		return a->offset;
	now = clock_real_ns();
	/* Hosts whose clocks differ: stand still rather than go back. */
	passed = now > a->real_ns ? now - a->real_ns : 0;
	passed = (uint64_t)((unsigned __int128)passed * __ppc_get_timebase_freq() / NS_PER_SEC);
	a->offset = a->guest_tb + passed - __ppc_get_timebase();
	/*
	 * KVM rounds up to a multiple of TB_UNIT: on the same host, or one whose timebase is the
	 * same, the offset that there was is better than one a unit ahead at each move.
	 */
	if (a->offset - saved < TB_UNIT || saved - a->offset < TB_UNIT)
		a->offset = saved;
	a->have_offset = true;
	return a->offset;
}

static int apply_one_reg(struct applying *a, const struct state_elem *elem, struct err *e)
{
	alignas(16) uint8_t value[ONE_REG_SIZE_MAX];
	bool zero = true;
	int r;

	one_reg_swap(elem->id, value, elem->value);
	if (elem->id == KVM_REG_PPC_TB_OFFSET) {
		uint64_t offset = tb_offset(a, be64_get(elem->value));

		memcpy(value, &offset, sizeof(offset));
	}
	for (unsigned i = 0; i < elem->size; i++)
		zero &= elem->value[i] == 0;
	r = set_one(a->vm->vcpu_fds[elem->vcpu], elem->id, value);
	if (r == 0 || (zero && policy_of(elem->id) == POLICY_ZERO))
		return 0;
	return refuse_elem(elem, r, strerror(-r), e);
}

/* One element in its phase; registers that KVM takes as a struct are gathered there. */
static int apply_elem(
	struct applying *a, const struct state_elem *elem, enum phase phase, struct err *e)
{
	uint64_t v = 0;

	switch (elem->kind) {
	case STATE_REG:
		if (phase == PHASE_REGS && state_value(elem, &v) == 0)
			*reg_field(&a->regs, elem->id) = v;
		return 0;
	case STATE_SREG:
		if (phase != PHASE_SREGS)
			return 0;
		if (elem->id == STATE_SREG_PVR) {
			state_value(elem, &v);
			a->sregs.pvr = (uint32_t)v;
		} else if (elem->id == STATE_SREG_SDR1) {
			state_value(elem, &v);
			a->sregs.u.s.sdr1 = v;
		} else if (a->slbs < SLB_SLOTS) {
			a->sregs.u.s.ppc64.slb[a->slbs].slbe = be64_get(elem->value);
			a->sregs.u.s.ppc64.slb[a->slbs].slbv = be64_get(elem->value + 8);
			a->slbs++;
		}
		return 0;
	case STATE_ONE_REG: return phase == one_reg_phase(elem->id) ? apply_one_reg(a, elem, e) : 0;
	default: return 0;
	}
}

static bool gathers(enum phase phase, const struct state_elem *elem)
{
	return (phase == PHASE_REGS && elem->kind == STATE_REG) ||
		(phase == PHASE_SREGS && elem->kind == STATE_SREG);
}

static int begin_struct(struct applying *a, enum phase phase, uint16_t vcpu, struct err *e)
{
	int fd = a->vm->vcpu_fds[vcpu];
	int r = phase == PHASE_REGS ? ioctl(fd, KVM_GET_REGS, &a->regs)
				    : ioctl(fd, KVM_GET_SREGS, &a->sregs);

	if (r < 0)
		return err_set(e, -errno, "KVM does not give vCPU %u's registers: %s", vcpu,
			strerror(errno));
	if (phase == PHASE_SREGS) {
		/* The image's SLB replaces all of it: what it lacks is invalid. */
		memset(&a->sregs.u.s.ppc64, 0, sizeof(a->sregs.u.s.ppc64));
		a->slbs = 0;
	}
	return 0;
}

static int end_struct(struct applying *a, enum phase phase, uint16_t vcpu, struct err *e)
{
	int fd = a->vm->vcpu_fds[vcpu];
	int r = phase == PHASE_REGS ? ioctl(fd, KVM_SET_REGS, &a->regs)
				    : ioctl(fd, KVM_SET_SREGS, &a->sregs);

	if (r < 0)
		return err_set(e, -errno, "KVM refuses vCPU %u's %s: %s", vcpu,
			phase == PHASE_REGS ? "registers" : "special registers and SLB",
			strerror(errno));
	return 0;
}

static int apply_phase(
	struct applying *a, const void *image, size_t size, enum phase phase, struct err *e)
{
	struct state_elem elem;
	struct unpack u;
	int vcpu = -1, r = 0;

	unpack_init(&u, image, size);
	while (r == 0 && state_next(&u, &elem) > 0) {
		if (gathers(phase, &elem) && elem.vcpu != vcpu) {
			if (vcpu >= 0)
				r = end_struct(a, phase, (uint16_t)vcpu, e);
			if (r == 0)
				r = begin_struct(a, phase, elem.vcpu, e);
			vcpu = elem.vcpu;
		}
		if (r == 0)
			r = apply_elem(a, &elem, phase, e);
	}
	if (r == 0 && vcpu >= 0)
		r = end_struct(a, phase, (uint16_t)vcpu, e);
	return r;
}

static void find_time(struct applying *a, const void *image, size_t size)
{
	struct state_elem elem;
	struct unpack u;

	unpack_init(&u, image, size);
	while (state_next(&u, &elem) > 0) {
		if (elem.kind != STATE_TIME)
			continue;
		if (elem.id == STATE_TIME_GUEST_TB)
			a->have_tb = state_value(&elem, &a->guest_tb) == 0;
		else
			a->have_real = state_value(&elem, &a->real_ns) == 0;
	}
}

int state_kvm_apply(const struct kvm_vm *vm, const void *image, size_t size, struct err *e)
{
	struct applying a = {.vm = vm};
	int r = 0;

	find_time(&a, image, size);
	for (enum phase phase = 0; phase < PHASES && r == 0; phase++)
		r = apply_phase(&a, image, size, phase, e);
	return r;
}
