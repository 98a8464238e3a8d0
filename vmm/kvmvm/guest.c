/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/htab.h"
#include "proto/pack.h"
#include "vmm/kvmvm/kvmvm.h"
#include "vmm/kvmvm/layout.h"

#define PTEG_ENTRIES 8u
#define GROUPS_MAX   (KVMVM_SHADOW_SIZE / (PTEG_ENTRIES * HTAB_HPTE_SIZE))
#define TOUCH_VSID   0x1000100ull /* no entry of the stripes has it: theirs have 22 bits */
#define TOUCH_IN     6u           /* which of a PTEG's slots; KVM's own entries are in the last */
#define LARGE_PAGE   65536
#define LARGE_ENTRY  (0x80u * PTEG_ENTRIES + TOUCH_IN) /* --large-entry's index */
#define LARGE_AT     (16ull << 20)
#define R_RW         0x192ull /* referenced, changed, memory coherence, read and write */

#define MSR_SF       (1ull << 63)
#define MSR_VEC      (1ull << 25)
#define MSR_VSX      (1ull << 23)
#define MSR_FP       (1ull << 13)
#define MSR_ME       (1ull << 12)
#define MSR_RI       (1ull << 1)
#define MSR_LE       (1ull << 0)
#define LPCR_ILE     0x02000000ull

extern const uint8_t kvmvm_code[], kvmvm_code_end[];

/* -- what is wrong ---------------------------------------------------------------------------- */

void kvmvm_guest_sick(struct kvmvm_guest *g, const char *why)
{
	uint64_t one = 1;

	atomic_fetch_add(&g->errors, 1);
	pthread_mutex_lock(&g->lock);
	if (!g->why[0])
		snprintf(g->why, sizeof(g->why), "%s", why);
	pthread_mutex_unlock(&g->lock);
	if (write(g->sick_fd, &one, sizeof(one)) < 0)
		perror(vmm_program);
}

void kvmvm_guest_why(struct kvmvm_guest *g, char why[static KVMVM_WHY_MAX])
{
	pthread_mutex_lock(&g->lock);
	memcpy(why, g->why, sizeof(g->why));
	pthread_mutex_unlock(&g->lock);
}

static void describe_interrupt(const uint64_t *d, char *why, size_t size)
{
	snprintf(why, size, "interrupt %#llx at %#llx, MSR %#llx", (unsigned long long)d[0],
		(unsigned long long)d[1], (unsigned long long)d[2]);
}

/* What the guest's FAILED_ numbers mean; d: the details. */
static void describe(uint64_t number, const uint64_t *d, char *why, size_t size)
{
	static const char *const is_and_should[] = {
		[FAILED_MEMORY] = "the counter in memory",
		[FAILED_REGISTER] = "register number",
		[FAILED_TIMEBASE] = "the timebase went back",
		[FAILED_ENTRY_V] = "first doubleword of entry",
		[FAILED_ENTRY_R] = "second doubleword of entry",
		[FAILED_REMOVED_V] = "first doubleword of removed entry",
		[FAILED_REMOVED_R] = "second doubleword of removed entry",
		[FAILED_TOUCH] = "memory through its mapping, step",
		[FAILED_TAKEN] = "interrupts taken (0: external, 8: decrementer)",
		[FAILED_DECREMENTER] = "when the decrementer expires",
	};

	if (number == FAILED_INTERRUPT)
		describe_interrupt(d, why, size);
	else if (number == FAILED_HCALL)
		snprintf(why, size, "hypercall %#llx for entry %#llx answered %lld",
			(unsigned long long)d[0], (unsigned long long)d[2], (long long)d[1]);
	else if (number < sizeof(is_and_should) / sizeof(is_and_should[0]) && is_and_should[number])
		snprintf(why, size, "%s %#llx: it is %#llx and should be %#llx",
			is_and_should[number], (unsigned long long)d[0], (unsigned long long)d[1],
			(unsigned long long)d[2]);
	else
		snprintf(why, size, "failure %llu, which is unknown", (unsigned long long)number);
}

/* On the vCPU's thread. The guest asks for nothing: every exit means that something is wrong. */
static enum kvm_vcpu_next vcpu_exit(struct kvm_vcpu *vcpu, struct kvm_run *run, void *arg)
{
	struct kvmvm_guest *g = arg;
	char what[160], why[sizeof(g->why)];

	if (!run)
		snprintf(what, sizeof(what), "KVM_RUN: %s", strerror(-kvm_vcpu_error(vcpu)));
	else if (run->exit_reason == KVM_EXIT_PAPR_HCALL &&
		run->papr_hcall.nr == KVMVM_HCALL_FAILED)
		describe(run->papr_hcall.args[0], (const uint64_t *)run->papr_hcall.args + 2, what,
			sizeof(what));
	else if (run->exit_reason == KVM_EXIT_PAPR_HCALL)
		snprintf(what, sizeof(what), "hypercall %#llx is unknown to KVM",
			(unsigned long long)run->papr_hcall.nr);
	else
		snprintf(what, sizeof(what), "KVM exit for reason %u", run->exit_reason);
	snprintf(why, sizeof(why), "vCPU %u: %s", kvm_vcpu_id(vcpu), what);
	kvmvm_guest_sick(g, why);
	return KVM_VCPU_STOP;
}

/* -- making it -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned log2_floor(uint64_t v)
{
	return 63u - (unsigned)__builtin_clzll(v);
}

static uint8_t *block(const struct kvmvm_guest *g, unsigned cpu)
{
	return g->memory + KVMVM_BLOCKS + (size_t)cpu * KVMVM_BLOCK_SIZE;
}

static void block_put(const struct kvmvm_guest *g, unsigned cpu, unsigned field, uint64_t v)
{
	memcpy(block(g, cpu) + field, &v, sizeof(v));
}

/* While the guest writes it. */
static uint64_t block_get(const struct kvmvm_guest *g, unsigned cpu, unsigned field)
{
	return __atomic_load_n(
		(const uint64_t *)(const void *)(block(g, cpu) + field), __ATOMIC_RELAXED);
}

/* The vCPUs' stripes: every 2^shift-th PTEG is one's, the next is the next one's. */
static void fill_block(const struct kvmvm_guest *g, unsigned cpu)
{
	uint64_t groups = htab_entries(g->order) / PTEG_ENTRIES;
	unsigned cpus = g->vcpus == 1 ? 0 : log2_floor(g->vcpus - 1) + 1;
	uint64_t mine = groups >> cpus, vsid = TOUCH_VSID + cpu;
	uint64_t pages = (1ull << log2_floor(g->size)) - 1;

	if (mine > GROUPS_MAX)
		mine = GROUPS_MAX;
	block_put(g, cpu, BLOCK_CPU, cpu);
	block_put(g, cpu, BLOCK_GROUP_MASK, mine - 1);
	block_put(g, cpu, BLOCK_STRIDE_SHIFT, log2_floor(groups / mine));
	block_put(g, cpu, BLOCK_SHADOW, KVMVM_SHADOWS + (uint64_t)cpu * KVMVM_SHADOW_SIZE);
	block_put(g, cpu, BLOCK_PAGE_MASK, pages & ~0xfffull);
	block_put(g, cpu, BLOCK_TOUCH, KVMVM_TOUCHES + (uint64_t)cpu * KVMVM_TOUCH_SIZE);
	block_put(g, cpu, BLOCK_TOUCH_SLOT, (vsid & (groups - 1)) * PTEG_ENTRIES + TOUCH_IN);
	block_put(g, cpu, BLOCK_TOUCH_VSID, vsid);
	/* KVM maps no page that is larger than the host's. */
	block_put(g, cpu, BLOCK_LARGE, sysconf(_SC_PAGESIZE) >= LARGE_PAGE ? HPTE_V_LARGE : 0);
	/*
	 * A resize moves bolted entries to where the hash of their page puts them, and trusts that
	 * they were there before: resize_hpt_rehash_hpte() ends the host where two meet in a table
	 * that grows. The guest's random ones are not where a hash puts them.
	 */
	block_put(g, cpu, BLOCK_BOLTED, g->resizable ? 0 : HPTE_V_BOLTED);
	block_put(g, cpu, BLOCK_SEED, mix(be64_get(g->uuid.b + 8) + cpu + 1) | 1);
}

static int set_start(struct kvmvm_guest *g, unsigned cpu)
{
	uint64_t lpcr;
	struct kvm_one_reg reg = {.id = KVM_REG_PPC_LPCR_64, .addr = (uintptr_t)&lpcr};
	struct kvm_regs regs;

	if (ioctl(g->fds[cpu], KVM_GET_REGS, &regs) < 0)
		return -errno;
	memset(regs.gpr, 0, sizeof(regs.gpr));
	regs.pc = KVMVM_ENTRY;
	regs.msr = MSR_SF | MSR_VEC | MSR_VSX | MSR_FP | MSR_ME | MSR_RI;
	regs.gpr[31] = KVMVM_BLOCKS + (uint64_t)cpu * KVMVM_BLOCK_SIZE;
	if (BYTE_ORDER == LITTLE_ENDIAN)
		regs.msr |= MSR_LE;
	if (ioctl(g->fds[cpu], KVM_SET_REGS, &regs) < 0)
		return -errno;
	if (BYTE_ORDER != LITTLE_ENDIAN)
		return 0;
	/* Interrupts, of which there should be none, find the code in its own byte order. */
	if (ioctl(g->fds[cpu], KVM_GET_ONE_REG, &reg) < 0)
		return -errno;
	lpcr |= LPCR_ILE;
	return ioctl(g->fds[cpu], KVM_SET_ONE_REG, &reg) < 0 ? -errno : 0;
}

/* Known values, and where the guest notes what it can read of them. */
static int fill_registers(struct kvmvm_guest *g, unsigned cpu, struct err *e)
{
	block_put(g, cpu, BLOCK_EXPECTED, KVMVM_EXPECTED + (uint64_t)cpu * KVMVM_EXPECTED_SIZE);
	block_put(g, cpu, BLOCK_PENDING, kvmvm_registers_pending(g, cpu));
	return kvmvm_registers_fill(g, cpu, e);
}

static int fill_memory(struct kvmvm_guest *g, bool registers, struct err *e)
{
	size_t len = (size_t)(kvmvm_code_end - kvmvm_code);
	int r = 0;

	if (len > KVMVM_CODE_MAX)
		return err_set(e, -E2BIG, "the guest's code has %zu bytes", len);
	memcpy(g->memory, kvmvm_code, len);
	__builtin___clear_cache((char *)g->memory, (char *)g->memory + len);
	for (unsigned i = 0; i < g->vcpus && r == 0; i++) {
		fill_block(g, i);
		if (registers)
			r = fill_registers(g, i, e);
		if (r == 0 && (r = set_start(g, i)) < 0)
			err_set(e, r, "vCPU %u's registers: %s", i, strerror(-r));
	}
	return r;
}

static int add_large_entry(struct kvmvm_guest *g)
{
	uint8_t rec[HTAB_HDR_SIZE + HTAB_HPTE_SIZE];
	int fd = kvm_vm_open_htab(g->vm, HTAB_FD_WRITE, 0), r = 0;

	if (fd < 0)
		return fd;
	htab_put_header(rec, HTAB_HOST, LARGE_ENTRY, 1, 0);
	be64_put(rec + HTAB_HDR_SIZE, 2 * TOUCH_VSID << 12 | HPTE_V_LARGE | HPTE_V_VALID);
	be64_put(rec + HTAB_HDR_SIZE + 8, LARGE_AT | R_RW);
	if (write(fd, rec, sizeof(rec)) < 0)
		r = -errno;
	fd_close(fd);
	return r;
}

int kvmvm_guest_new(struct kvmvm_guest *g, const struct kvmvm_opts *o, struct err *e)
{
	const struct kvm_vm_config config = {.order = o->order, .memory = o->memory};
	const char *step = "an eventfd";
	struct kvm_vcpu *vcpu;
	struct err why;
	int r = 0;

	g->order = o->order;
	g->vcpus = o->vcpus;
	g->uuid = o->uuid;
	g->resizable = o->monitor;
	pthread_mutex_init(&g->lock, NULL);
	g->sick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->sick_fd < 0)
		r = -errno;
	if (r == 0) {
		step = "the VM and its page table";
		r = kvm_vm_new(&config, &g->vm);
	}
	if (r == 0)
		g->memory = kvm_vm_memory(g->vm, &g->size);
	for (unsigned i = 0; i < g->vcpus && r == 0; i++) {
		step = "the vCPUs";
		r = kvm_vm_add_vcpu(g->vm, i, &vcpu);
		if (r == 0)
			g->fds[i] = kvm_vcpu_fd(vcpu);
	}
	if (r == 0) {
		step = "its interrupt controller and TCE table";
		r = kvmvm_devices_new(g, o);
	}
	if (r == 0 && !o->incoming) {
		step = why.text;
		r = fill_memory(g, o->registers, &why);
	}
	if (r == 0 && !o->incoming && o->large_entry) {
		step = "an entry for a page of 16 MiB";
		r = add_large_entry(g);
	}
	for (unsigned i = 0; i < g->vcpus && r == 0; i++) {
		step = "the vCPUs' threads";
		r = kvm_vcpu_start(kvm_vm_vcpu(g->vm, i), vcpu_exit, g);
	}
	if (r < 0)
		return err_set(e, r, "cannot make a KVM guest with a table of order %u: %s: %s",
			o->order, step, strerror(-r));
	return 0;
}

/* What should be in each slot of a vCPU's stripe. */
static void fill_shadow(struct kvmvm_guest *g, unsigned cpu, const uint8_t *table)
{
	uint8_t *to = g->memory + KVMVM_SHADOWS + (size_t)cpu * KVMVM_SHADOW_SIZE;
	uint64_t groups = block_get(g, cpu, BLOCK_GROUP_MASK) + 1;
	uint64_t shift = block_get(g, cpu, BLOCK_STRIDE_SHIFT);

	for (uint64_t i = 0; i < groups * PTEG_ENTRIES; i++, to += HTAB_HPTE_SIZE) {
		uint64_t group = (i / PTEG_ENTRIES << shift) + cpu;
		const uint8_t *from = table +
			(group * PTEG_ENTRIES + i % PTEG_ENTRIES) * HTAB_HPTE_SIZE;
		uint64_t hpte[2] = {be64_get(from), be64_get(from + 8)};

		memcpy(to, hpte, sizeof(hpte));
	}
}

/* The mapping of its own is made by the guest when it begins. */
static int clear_touch(struct kvmvm_guest *g, unsigned cpu, int fd)
{
	uint8_t rec[HTAB_HDR_SIZE];

	htab_put_header(rec, HTAB_HOST, (uint32_t)block_get(g, cpu, BLOCK_TOUCH_SLOT), 0, 1);
	return write(fd, rec, sizeof(rec)) < 0 ? -errno : 0;
}

int kvmvm_guest_restart(struct kvmvm_guest *g, unsigned order)
{
	int fd = kvm_vm_open_htab(g->vm, HTAB_FD_WRITE, 0), r = fd < 0 ? fd : 0;
	uint8_t *table = NULL;

	g->order = order;
	for (unsigned i = 0; i < g->vcpus && r == 0; i++) {
		fill_block(g, i);
		r = clear_touch(g, i, fd);
		if (r == 0)
			r = set_start(g, i);
	}
	if (fd >= 0)
		fd_close(fd);
	if (r == 0)
		r = kvmvm_table(g, &table);
	for (unsigned i = 0; i < g->vcpus && r == 0; i++)
		fill_shadow(g, i, table);
	free(table);
	return r;
}

void kvmvm_guest_free(struct kvmvm_guest *g)
{
	kvmvm_devices_free(g);
	g->vm = kvm_vm_free(g->vm);
	g->sick_fd = fd_close(g->sick_fd);
	pthread_mutex_destroy(&g->lock);
}

void kvmvm_guest_arrived(struct kvmvm_guest *g)
{
	for (unsigned i = 0; i < g->vcpus; i++)
		if (block_get(g, i, BLOCK_EXPECTED))
			block_put(g, i, BLOCK_ARRIVED, 1);
}

bool kvmvm_guest_took_external(const struct kvmvm_guest *g)
{
	return block_get(g, 0, BLOCK_EXTERNALS) > 0;
}

void kvmvm_guest_taken(const struct kvmvm_guest *g, char text[static KVMVM_WHY_MAX])
{
	unsigned long long n[2] = {0};

	text[0] = 0;
	if (!block_get(g, 0, BLOCK_EXPECTED))
		return;
	for (unsigned i = 0; i < g->vcpus; i++)
		for (unsigned k = 0; k < 2; k++)
			n[k] += block_get(g, i, BLOCK_TAKEN + 8 * k);
	snprintf(text, KVMVM_WHY_MAX, "interrupts taken: %llu external and %llu decrementer", n[0],
		n[1]);
}

void kvmvm_guest_figures(const struct kvmvm_guest *g, struct vmm_figures *ret)
{
	struct vmm_figures f = {.errors = atomic_load(&g->errors)};

	for (unsigned i = 0; i < g->vcpus; i++) {
		f.counter += block_get(g, i, BLOCK_COUNTER);
		f.changes += block_get(g, i, BLOCK_CHANGES);
	}
	f.running = !kvm_vm_paused(g->vm);
	*ret = f;
}
