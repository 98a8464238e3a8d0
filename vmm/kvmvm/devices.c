/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * htab-kvmvm's interrupt controller and TCE table. The guest uses neither: they are set up in a
 * pattern that follows from numbers alone, so that wherever the guest is about to run they can be
 * held against it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "vmm/kvmvm/kvmvm.h"
#include "vmm/kvmvm/layout.h"

#define QUEUE_SHIFT 16
#define QUEUE_MAX   4u /* vCPUs that have one */
#define PRIORITY    6u
#define IPB         (0x80u >> PRIORITY) /* of VP_STATE: an interrupt waits, less urgent than CPPR */
#define LIOBN       0x80000001u
#define TCE_SHIFT   16
#define ESB_GET     0x800u
#define ESB_SET_PQ  0xc00u

/* -- the pattern ------------------------------------------------------------------------------ */

/* One that was never set: what is missing at the source is missing at the destination. */
static bool in_use(unsigned source)
{
	return source % 5 != 3;
}

static uint64_t xics_source(unsigned i)
{
	uint64_t flags = (i & 1 ? KVM_XICS_MASKED : 0) | (i & 2 ? KVM_XICS_LEVEL_SENSITIVE : 0);

	return (uint64_t)(4 + i % 8) << KVM_XICS_PRIORITY_SHIFT | flags;
}

/* A source that waits for vCPU 0; and one that was masked when it came. */
#define XICS_WAITS  0u
#define XICS_MASKED 5u

/* As it is given back: how far it has come; what waits behind a mask is QUEUED, the same to KVM. */
static uint64_t xics_reads(unsigned i, bool taken)
{
	if (i == XICS_WAITS && !taken)
		return xics_source(i) | KVM_XICS_PENDING | KVM_XICS_PRESENTED;
	return i == XICS_MASKED ? xics_source(i) | KVM_XICS_QUEUED : xics_source(i);
}

static uint64_t icp(unsigned vcpu)
{
	return (uint64_t)(0x10 + vcpu % 64) << KVM_REG_PPC_ICP_CPPR_SHIFT |
		0xfeull << KVM_REG_PPC_ICP_MFRR_SHIFT | 0xffull << KVM_REG_PPC_ICP_PPRI_SHIFT;
}

static uint64_t xive_kind(unsigned i)
{
	return i & 2 ? KVM_XIVE_LEVEL_SENSITIVE : 0;
}

static uint64_t xive_target(unsigned i)
{
	return (uint64_t)(0x100 + i) << KVM_XIVE_SOURCE_EISN_SHIFT | PRIORITY;
}

/* P and Q. Nothing is at 0: no event could come. */
static unsigned xive_pq(unsigned i)
{
	return 1 + i % 3;
}

static struct kvm_ppc_xive_eq queue(unsigned vcpu)
{
	return (struct kvm_ppc_xive_eq){.flags = KVM_XIVE_EQ_ALWAYS_NOTIFY,
		.qshift = QUEUE_SHIFT,
		.qaddr = KVMVM_QUEUES + ((uint64_t)vcpu << QUEUE_SHIFT),
		.qtoggle = 1,
		.qindex = 0x10 + vcpu};
}

static uint8_t cppr(unsigned vcpu)
{
	return (uint8_t)(1 + vcpu % 6);
}

static uint64_t tce(uint64_t i)
{
	return i % 3 == 0 ? 0 : i / 64 << TCE_SHIFT | 3;
}

/* -- setting it up ---------------------------------------------------------------------------- */

static int set_attr(int fd, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (uintptr_t)value};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

static int get_attr(int fd, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (uintptr_t)value};

	return ioctl(fd, KVM_GET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

static int reg(unsigned long request, int vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg r = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, request, &r) < 0 ? -errno : 0;
}

/* A load from the page of a source, behind the one that triggers it. */
static unsigned esb(const struct kvmvm_devices *d, unsigned source, unsigned offset)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t at = (2 * (size_t)(KVMVM_SOURCE_FIRST + source) + 1) * page + offset;

	return be64toh(*(volatile uint64_t *)(void *)((uint8_t *)d->esb + at)) & 3;
}

static int setup_xics(struct kvmvm_guest *g)
{
	int r = 0;

	for (unsigned i = 0; i < KVMVM_SOURCES && r == 0; i++) {
		uint64_t v = xics_source(i);

		if (i == XICS_WAITS || i == XICS_MASKED)
			v |= KVM_XICS_PENDING;
		if (in_use(i))
			r = set_attr(g->devices.fd, KVM_DEV_XICS_GRP_SOURCES,
				KVMVM_SOURCE_FIRST + i, &v);
	}
	for (unsigned i = 0; i < g->vcpus && r == 0; i++) {
		uint64_t v = icp(i);

		r = reg(KVM_SET_ONE_REG, g->fds[i], KVM_REG_PPC_ICP_STATE, &v);
	}
	return r;
}

static int setup_xive_source(struct kvmvm_devices *d, unsigned i)
{
	int r;

	d->present[i] = 1;
	d->shadow[0][i] = xive_kind(i);
	d->shadow[1][i] = xive_target(i);
	r = set_attr(d->fd, KVM_DEV_XIVE_GRP_SOURCE, KVMVM_SOURCE_FIRST + i, &d->shadow[0][i]);
	if (r == 0)
		r = set_attr(d->fd, KVM_DEV_XIVE_GRP_SOURCE_CONFIG, KVMVM_SOURCE_FIRST + i,
			&d->shadow[1][i]);
	if (r == 0)
		esb(d, i, ESB_SET_PQ + (xive_pq(i) << 8));
	return r;
}

static int setup_xive(struct kvmvm_guest *g)
{
	int r = 0;

	for (unsigned i = 0; i < g->vcpus && i < QUEUE_MAX && r == 0; i++) {
		struct kvm_ppc_xive_eq eq = queue(i);

		r = set_attr(g->devices.fd, KVM_DEV_XIVE_GRP_EQ_CONFIG, i << 3 | PRIORITY, &eq);
	}
	for (unsigned i = 0; i < g->vcpus && r == 0; i++) {
		uint8_t vp[16] = {0xff, cppr(i), IPB};

		r = reg(KVM_SET_ONE_REG, g->fds[i], KVM_REG_PPC_VP_STATE, vp);
	}
	for (unsigned i = 0; i < KVMVM_SOURCES && r == 0; i++)
		if (in_use(i))
			r = setup_xive_source(&g->devices, i);
	return r;
}

static int map_esb(struct kvmvm_devices *d)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	d->esb_size = 2 * (KVMVM_SOURCE_FIRST + KVMVM_SOURCES) * page;
	p = mmap(NULL, d->esb_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		(off_t)(KVM_XIVE_ESB_PAGE_OFFSET * page));
	if (p == MAP_FAILED)
		return -errno;
	d->esb = p;
	return 0;
}

static int make_controller(struct kvmvm_guest *g, bool incoming)
{
	bool xive = g->devices.irqchip == KVMVM_XIVE;
	struct kvm_create_device c = {.type = xive ? KVM_DEV_TYPE_XIVE : KVM_DEV_TYPE_XICS};
	uint32_t cap = xive ? KVM_CAP_PPC_IRQ_XIVE : KVM_CAP_IRQ_XICS;
	int r = 0;

	if (ioctl(kvm_vm_fd(g->vm), KVM_CREATE_DEVICE, &c) < 0)
		return -errno;
	g->devices.fd = (int)c.fd;
	for (unsigned i = 0; i < g->vcpus; i++) {
		struct kvm_enable_cap e = {.cap = cap, .args = {c.fd, i}};

		if (ioctl(g->fds[i], KVM_ENABLE_CAP, &e) < 0)
			return -errno;
	}
	if (xive)
		r = map_esb(&g->devices);
	if (r < 0 || incoming)
		return r;
	return xive ? setup_xive(g) : setup_xics(g);
}

static int make_table(struct kvmvm_guest *g, bool incoming)
{
	struct kvm_create_spapr_tce_64 c = {
		.liobn = LIOBN, .page_shift = TCE_SHIFT, .size = g->devices.tces};
	struct kvmvm_devices *d = &g->devices;
	void *p;

	d->tce_fd = ioctl(kvm_vm_fd(g->vm), KVM_CREATE_SPAPR_TCE_64, &c);
	if (d->tce_fd < 0)
		return -errno;
	p = mmap(NULL, d->tces * 8, PROT_READ | PROT_WRITE, MAP_SHARED, d->tce_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	d->table = p;
	for (uint64_t i = 0; i < d->tces && !incoming; i++)
		d->table[i] = tce(i);
	return 0;
}

int kvmvm_devices_new(struct kvmvm_guest *g, const struct kvmvm_opts *o)
{
	int r = 0;

	g->devices = (struct kvmvm_devices){
		.irqchip = o->irqchip, .tces = o->tces, .fd = -1, .tce_fd = -1};
	if (o->irqchip != KVMVM_NO_IRQCHIP)
		r = make_controller(g, o->incoming);
	return r == 0 && o->tces ? make_table(g, o->incoming) : r;
}

void kvmvm_devices_free(struct kvmvm_guest *g)
{
	struct kvmvm_devices *d = &g->devices;

	if (d->esb)
		munmap(d->esb, d->esb_size);
	if (d->table)
		munmap(d->table, d->tces * 8);
	d->fd = fd_close(d->fd);
	d->tce_fd = fd_close(d->tce_fd);
}

int kvmvm_devices_add(struct kvmvm_guest *g, struct htabvmm *h)
{
	struct kvmvm_devices *d = &g->devices;
	const char *name = d->irqchip == KVMVM_XIVE ? "xive" : "xics";
	const struct htabvmm_device device = {
		.size = sizeof(device),
		.name = name,
		.fd = d->fd,
		.recipe = htabvmm_recipe(name),
		.first_source = KVMVM_SOURCE_FIRST,
		.source_count = KVMVM_SOURCES,
		.shadow = {d->shadow[0], d->shadow[1]},
		.present = d->irqchip == KVMVM_XIVE ? d->present : NULL,
	};
	const struct htabvmm_tce table = {
		.size = sizeof(table),
		.fd = d->tce_fd,
		.liobn = LIOBN,
		.page_shift = TCE_SHIFT,
		.entries = d->tces,
	};
	int r = 0;

	if (d->irqchip != KVMVM_NO_IRQCHIP)
		r = htabvmm_add_device(h, &device);
	return r == 0 && d->tces ? htabvmm_add_tce(h, &table) : r;
}

/* -- holding it against the pattern ----------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int wrong(char *why, int r, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(why, KVMVM_WHY_MAX, format, ap);
	va_end(ap);
	if (r < 0 && n >= 0 && n < KVMVM_WHY_MAX)
		snprintf(why + n, KVMVM_WHY_MAX - (size_t)n, ": %s", strerror(-r));
	return -EILSEQ;
}

static int check_xics(struct kvmvm_guest *g, char *why)
{
	for (unsigned i = 0; i < KVMVM_SOURCES; i++) {
		uint64_t v = 0, want = xics_reads(i, kvmvm_guest_took_external(g));
		int r = get_attr(
			g->devices.fd, KVM_DEV_XICS_GRP_SOURCES, KVMVM_SOURCE_FIRST + i, &v);

		if (in_use(i) ? r < 0 || v != want : r != -ENOENT)
			return wrong(why, r, "XICS source %u is %#llx and should be %#llx", i,
				(unsigned long long)v, (unsigned long long)want);
	}
	for (unsigned i = 0; i < g->vcpus; i++) {
		uint64_t v = 0;
		int r = reg(KVM_GET_ONE_REG, g->fds[i], KVM_REG_PPC_ICP_STATE, &v);

		if (r < 0 || v != icp(i))
			return wrong(why, r, "vCPU %u's ICP_STATE is %#llx and should be %#llx", i,
				(unsigned long long)v, (unsigned long long)icp(i));
	}
	return 0;
}

static int check_xive_source(const struct kvmvm_devices *d, unsigned i, char *why)
{
	unsigned pq;

	if (d->present[i] != in_use(i))
		return wrong(why, 0, "XIVE source %u is in use or not, and should not be so", i);
	if (!in_use(i))
		return 0;
	pq = esb(d, i, ESB_GET);
	if (pq != xive_pq(i))
		return wrong(why, 0, "XIVE source %u's P and Q are %u and should be %u", i, pq,
			xive_pq(i));
	if (d->shadow[0][i] != xive_kind(i) || d->shadow[1][i] != xive_target(i))
		return wrong(why, 0, "XIVE source %u goes to %#llx and should to %#llx", i,
			(unsigned long long)d->shadow[1][i], (unsigned long long)xive_target(i));
	return 0;
}

static int check_xive(struct kvmvm_guest *g, char *why)
{
	int r = 0;

	for (unsigned i = 0; i < g->vcpus && i < QUEUE_MAX; i++) {
		struct kvm_ppc_xive_eq eq = {0}, want = queue(i);

		r = get_attr(g->devices.fd, KVM_DEV_XIVE_GRP_EQ_CONFIG, i << 3 | PRIORITY, &eq);
		if (r < 0 || memcmp(&eq, &want, sizeof(eq)) != 0)
			return wrong(why, r, "vCPU %u's XIVE queue is at %#llx, index %u", i,
				(unsigned long long)eq.qaddr, eq.qindex);
	}
	for (unsigned i = 0; i < g->vcpus; i++) {
		uint8_t vp[16] = {0};

		r = reg(KVM_GET_ONE_REG, g->fds[i], KVM_REG_PPC_VP_STATE, vp);
		if (r < 0 || vp[1] != cppr(i) || vp[2] != IPB)
			return wrong(why, r,
				"vCPU %u's XIVE priority is %u and should be %u, %#x waits and %#x should",
				i, vp[1], cppr(i), vp[2], IPB);
	}
	r = 0;
	for (unsigned i = 0; i < KVMVM_SOURCES && r == 0; i++)
		r = check_xive_source(&g->devices, i, why);
	return r;
}

int kvmvm_devices_check(struct kvmvm_guest *g, char why[static KVMVM_WHY_MAX])
{
	struct kvmvm_devices *d = &g->devices;

	for (uint64_t i = 0; i < d->tces; i++)
		if (d->table[i] != tce(i))
			return wrong(why, 0, "TCE %llu is %#llx and should be %#llx",
				(unsigned long long)i, (unsigned long long)d->table[i],
				(unsigned long long)tce(i));
	switch (d->irqchip) {
	case KVMVM_XICS: return check_xics(g, why);
	case KVMVM_XIVE: return check_xive(g, why);
	case KVMVM_NO_IRQCHIP: break;
	}
	return 0;
}
