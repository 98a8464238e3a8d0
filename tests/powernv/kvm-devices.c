/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's own devices, moved between two VMs of one process on real KVM (a POWER host): XICS,
 * XIVE and TCE tables. Every value read back is compared; what is held at the source is let go
 * again; values that no recipe lists are refused.
 *
 * usage: kvm-devices xics|xive|tce
 * Prints "PASS kvm-devices: ..." and "FAIL kvm-devices: ...". Exit status 1 after a failure, 77
 * without KVM.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/pack.h"
#include "vmm/powerkvm/vm.h"
#include "vmm/device/device.h"
#include "vmm/device/tce.h"

#define VCPUS       2u
#define SOURCES     6u
#define FIRST       0x1000u
#define MEMORY      (16u << 20)
#define ORDER       18
#define IMAGE_MAX   (1u << 20)
#define QUEUE_AT    0x100000u /* of vCPU 0, priority 6; the others' follow */
#define QUEUE_SHIFT 16
#define EISN(i)     (0x40u + (i))

struct machine {
	struct kvm_vm *vm;
	int fd; /* of the device */
	int vcpu[VCPUS];
	uint8_t *memory;
	struct lib_devices devices;
	uint64_t shadow[2][SOURCES];
	uint8_t present[SOURCES];
};

static struct machine a, b;
static int failures;
static uint8_t image[IMAGE_MAX];
static size_t image_len;
static struct err err;

__attribute__((format(printf, 2, 3))) static bool expect(bool ok, const char *format, ...)
{
	va_list ap;

	printf("%s kvm-devices: ", ok ? "PASS" : "FAIL");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	puts("");
	failures += !ok;
	return ok;
}

static void need(int r, const char *what)
{
	if (r >= 0)
		return;
	printf("FAIL kvm-devices: %s: %s\n", what, err.text[0] ? err.text : strerror(-r));
	exit(EXIT_FAILURE);
}

static void need_ioctl(int r, const char *what)
{
	need(r < 0 ? -errno : 0, what);
}

/* -- two machines ----------------------------------------------------------------------------- */

static void make(struct machine *m, uint32_t type, uint32_t cap)
{
	const struct kvm_vm_config config = {.order = ORDER, .memory = MEMORY};
	struct kvm_create_device create = {.type = type};
	int r = kvm_vm_new(&config, &m->vm);
	size_t size;

	if (r == -ENOENT || r == -ENXIO || r == -ENODEV)
		exit(77);
	need(r, "a VM");
	m->memory = kvm_vm_memory(m->vm, &size);
	for (unsigned i = 0; i < VCPUS; i++) {
		struct kvm_vcpu *vcpu;

		need(kvm_vm_add_vcpu(m->vm, i, &vcpu), "a vCPU");
		m->vcpu[i] = kvm_vcpu_fd(vcpu);
	}
	m->fd = -1;
	memset(m->present, 1, sizeof(m->present));
	if (!cap)
		return;
	need_ioctl(ioctl(kvm_vm_fd(m->vm), KVM_CREATE_DEVICE, &create), "KVM_CREATE_DEVICE");
	m->fd = (int)create.fd;
	for (unsigned i = 0; i < VCPUS; i++) {
		struct kvm_enable_cap enable = {.cap = cap, .args = {create.fd, i}};

		need_ioctl(ioctl(m->vcpu[i], KVM_ENABLE_CAP, &enable), "KVM_ENABLE_CAP");
	}
}

static void add(struct machine *m, const char *name)
{
	const struct htabvmm_device d = {
		.size = sizeof(d),
		.name = name,
		.fd = m->fd,
		.recipe = htabvmm_recipe(name),
		.first_source = FIRST,
		.source_count = SOURCES,
		.vcpu_fds = m->vcpu,
		.vcpus = VCPUS,
		.shadow = {m->shadow[0], m->shadow[1]},
		.present = m->present,
	};

	need(devices_add(&m->devices, &d, NULL, 0), "adding the device");
}

static void finish(struct machine *m)
{
	devices_free(&m->devices);
	if (m->fd >= 0)
		close(m->fd);
	m->vm = kvm_vm_free(m->vm);
}

static size_t save(struct machine *m, uint8_t *buf)
{
	struct pack k;

	pack_init(&k, buf, IMAGE_MAX);
	need(devices_hold(&m->devices, &err), "holding");
	need(devices_save(&m->devices, &k, &err), "saving");
	need(pack_end(&k), "the image");
	return k.len;
}

static int check(struct machine *m, const uint8_t *buf, size_t len)
{
	struct state_elem e;
	struct unpack u;
	int r = 0;

	devices_check_begin(&m->devices);
	unpack_init(&u, buf, len);
	while (r == 0 && (r = state_next(&u, &e)) > 0)
		r = devices_check(&m->devices, &e, &err);
	return r < 0 ? r : devices_check_end(&m->devices, &err);
}

/* The same elements with the same values; says which is not. */
static void same_image(const char *what, const uint8_t *x, size_t x_len, const uint8_t *y,
	size_t y_len, unsigned at_least)
{
	char name[STATE_NAME_MAX];
	struct state_elem e, f;
	struct unpack u, v;
	unsigned n = 0;

	unpack_init(&u, x, x_len);
	unpack_init(&v, y, y_len);
	while (state_next(&u, &e) > 0 && state_next(&v, &f) > 0) {
		n++;
		if (e.kind == f.kind && e.id == f.id && e.vcpu == f.vcpu && e.size == f.size &&
			memcmp(e.value, f.value, e.size) == 0)
			continue;
		state_describe(&e, name);
		printf("%s:", name);
		for (unsigned i = 0; i < e.size; i++)
			printf(" %02x", e.value[i]);
		printf("\n  and:");
		for (unsigned i = 0; i < f.size; i++)
			printf(" %02x", f.value[i]);
		puts("");
		expect(false, "%s: %s", what, name);
		return;
	}
	expect(u.left == 0 && v.left == 0 && n >= at_least, "%s: %u values are equal", what, n);
}

/* An element that no recipe lists, or a value twice, in front of the whole image. */
static void hostile(const char *name)
{
	static const struct {
		const char *what;
		uint16_t vcpu, space;
		uint32_t group;
		uint64_t attr;
		uint32_t size;
	} cases[] = {
		{"a source beyond the list", STATE_VM, STATE_DEVICE_ATTR, 1, FIRST + SOURCES, 8},
		{"a control attribute", STATE_VM, STATE_DEVICE_ATTR, 1, 3, 8},
		{"a register of a vCPU", 0, STATE_DEVICE_VCPU_REG, 0, KVM_REG_PPC_TB_OFFSET, 8},
		{"a vCPU that is not there", VCPUS, STATE_DEVICE_VCPU_REG, 0, KVM_REG_PPC_ICP_STATE,
			8},
		{"KVM's own priority", STATE_VM, STATE_DEVICE_ATTR, 4, 7, 24},
	};
	static uint8_t buf[IMAGE_MAX];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const uint8_t zero[STATE_DEVICE_DATA_MAX];
		struct state_device v = {.vcpu = cases[i].vcpu,
			.space = cases[i].space,
			.group = cases[i].group,
			.attr = cases[i].attr,
			.data = zero,
			.size = cases[i].size};
		struct pack k;
		int r;

		snprintf(v.name, sizeof(v.name), "%s", name);
		pack_init(&k, buf, sizeof(buf));
		state_device_put(&k, &v);
		pack_bytes(&k, image, image_len);
		r = check(&b, buf, k.len);
		expect(r == -EINVAL && strstr(err.text, name), "refused is %s: %s", cases[i].what,
			err.text);
	}
}

/* -- XICS ------------------------------------------------------------------------------------- */

static void set64(int fd, uint32_t group, uint64_t attr, uint64_t v, const char *what)
{
	need(kvm_dev_io.set_attr(fd, group, attr, &v), what);
}

static uint64_t xics_source(unsigned i)
{
	uint64_t server = i % VCPUS, priority = 3 + i;
	uint64_t flags = (i & 1 ? KVM_XICS_MASKED : 0) | (i & 2 ? KVM_XICS_LEVEL_SENSITIVE : 0);

	if (i == 0 || i == 5) /* one in a vCPU's queue, one that waits behind its mask */
		flags |= KVM_XICS_PENDING;
	return server | priority << KVM_XICS_PRIORITY_SHIFT | flags;
}

/*
 * KVM adds how far an interrupt that waits has come; one behind a mask it gives as QUEUED, which is
 * the same to it.
 */
static uint64_t xics_reads(unsigned i)
{
	uint64_t v = xics_source(i);

	if (i == 0)
		v |= KVM_XICS_PRESENTED;
	return i == 5 ? (v & ~KVM_XICS_PENDING) | KVM_XICS_QUEUED : v;
}

static uint64_t icp(unsigned vcpu)
{
	/* Priority, no interrupt, an IPI of low priority, nothing pending. */
	return (uint64_t)(0x10 + vcpu) << KVM_REG_PPC_ICP_CPPR_SHIFT |
		0xfeull << KVM_REG_PPC_ICP_MFRR_SHIFT | 0xffull << KVM_REG_PPC_ICP_PPRI_SHIFT;
}

static void test_xics(void)
{
	static uint8_t again[IMAGE_MAX];
	size_t len;

	make(&a, KVM_DEV_TYPE_XICS, KVM_CAP_IRQ_XICS);
	make(&b, KVM_DEV_TYPE_XICS, KVM_CAP_IRQ_XICS);
	for (unsigned i = 0; i < SOURCES; i++)
		if (i != 4)
			set64(a.fd, KVM_DEV_XICS_GRP_SOURCES, FIRST + i, xics_source(i),
				"a source");
	for (unsigned i = 0; i < VCPUS; i++) {
		uint64_t v = icp(i);

		need(kvm_dev_io.set_reg(a.vcpu[i], KVM_REG_PPC_ICP_STATE, &v), "ICP_STATE");
	}
	add(&a, "xics");
	add(&b, "xics");
	image_len = save(&a, image);
	hostile("xics");
	need(check(&b, image, image_len), "checking");
	need(devices_load(&b.devices, &err), "loading");
	len = save(&b, again);
	same_image("XICS at the destination", image, image_len, again, len, SOURCES - 1 + VCPUS);
	for (unsigned i = 0; i < SOURCES; i++) {
		uint64_t v = 0;
		int r = kvm_dev_io.get_attr(b.fd, KVM_DEV_XICS_GRP_SOURCES, FIRST + i, &v);

		expect(i == 4 ? r == -ENOENT : v == xics_reads(i),
			"XICS source %#x is %#" PRIx64 " (%d)", FIRST + i, v, r);
	}
	for (unsigned i = 0; i < VCPUS; i++) {
		uint64_t v = 0;

		need(kvm_dev_io.get_reg(b.vcpu[i], KVM_REG_PPC_ICP_STATE, &v), "ICP_STATE");
		expect(v == icp(i), "vCPU %u's ICP_STATE is %#" PRIx64, i, v);
	}
	need(devices_release(&a.devices, &err), "releasing");
	len = save(&a, again);
	same_image("XICS at the source, saved again", image, image_len, again, len,
		SOURCES - 1 + VCPUS);
}

/* -- XIVE ------------------------------------------------------------------------------------- */

static void *esb(struct machine *m)
{
	void *p = NULL;
	size_t size;

	need(kvm_dev_io.esb_map(m->fd, FIRST + SOURCES, &p, &size), "the ESB pages");
	return p;
}

static uint64_t xive_config(unsigned i)
{
	uint64_t priority = 6, server = i % VCPUS;

	return (uint64_t)EISN(i) << KVM_XIVE_SOURCE_EISN_SHIFT |
		server << KVM_XIVE_SOURCE_SERVER_SHIFT | priority;
}

static uint64_t queue_at(unsigned vcpu)
{
	return QUEUE_AT + ((uint64_t)vcpu << QUEUE_SHIFT);
}

/* How many events are in a vCPU's queue in the guest's memory. */
static unsigned queued(const struct machine *m, unsigned vcpu)
{
	unsigned n = 0;

	while (be32_get(m->memory + queue_at(vcpu) + n * 4) & 0x80000000u)
		n++;
	return n;
}

static void setup_xive(struct machine *m)
{
	for (unsigned i = 0; i < SOURCES; i++) {
		m->shadow[0][i] = i == 2 ? KVM_XIVE_LEVEL_SENSITIVE : 0;
		m->shadow[1][i] = xive_config(i);
		set64(m->fd, KVM_DEV_XIVE_GRP_SOURCE, FIRST + i, m->shadow[0][i], "a source");
	}
	for (unsigned i = 0; i < VCPUS; i++) {
		struct kvm_ppc_xive_eq eq = {.flags = KVM_XIVE_EQ_ALWAYS_NOTIFY,
			.qshift = QUEUE_SHIFT,
			.qaddr = queue_at(i),
			.qtoggle = 1};

		need(kvm_dev_io.set_attr(m->fd, KVM_DEV_XIVE_GRP_EQ_CONFIG, i << 3 | 6, &eq),
			"a queue");
	}
	for (unsigned i = 0; i < SOURCES; i++)
		set64(m->fd, KVM_DEV_XIVE_GRP_SOURCE_CONFIG, FIRST + i, m->shadow[1][i],
			"a source's target");
}

static unsigned pq_of(void *p, unsigned i)
{
	return kvm_dev_io.esb_load(p, FIRST + i, ESB_GET);
}

/* Priorities at which interrupts wait for a vCPU. */
static unsigned ipb(const struct machine *m, unsigned vcpu)
{
	uint8_t vp[16] = {0};

	need(kvm_dev_io.get_reg(m->vcpu[vcpu], KVM_REG_PPC_VP_STATE, vp), "VP_STATE");
	return vp[2];
}

static void test_xive_moved(void)
{
	static uint8_t again[IMAGE_MAX];
	struct kvm_ppc_xive_eq x, y;
	size_t len;

	need(check(&b, image, image_len), "checking");
	memcpy(b.memory, a.memory, MEMORY);
	need(devices_load(&b.devices, &err), "loading");
	len = save(&b, again);
	same_image("XIVE at the destination", image, image_len, again, len, 3 * SOURCES + 4);
	for (unsigned i = 0; i < VCPUS; i++) {
		memset(&x, 0, sizeof(x));
		memset(&y, 0, sizeof(y));
		need(kvm_dev_io.get_attr(a.fd, KVM_DEV_XIVE_GRP_EQ_CONFIG, i << 3 | 6, &x), "EQ");
		need(kvm_dev_io.get_attr(b.fd, KVM_DEV_XIVE_GRP_EQ_CONFIG, i << 3 | 6, &y), "EQ");
		expect(memcmp(&x, &y, sizeof(x)) == 0 && x.qaddr == queue_at(i),
			"vCPU %u's queue is at index %u, toggle %u", i, y.qindex, y.qtoggle);
	}
	expect(ipb(&a, 0) == 0x80 >> 6 && ipb(&b, 0) == ipb(&a, 0) && ipb(&b, 1) == 0,
		"an interrupt waits for vCPU 0: %#x, %#x", ipb(&a, 0), ipb(&b, 0));
	need(devices_release(&b.devices, &err), "releasing");
}

static void test_xive(void)
{
	static const unsigned want[SOURCES] = {0, 1, 0, 2, 3, 0};
	unsigned before;
	void *p, *q;

	make(&a, KVM_DEV_TYPE_XIVE, KVM_CAP_PPC_IRQ_XIVE);
	make(&b, KVM_DEV_TYPE_XIVE, KVM_CAP_PPC_IRQ_XIVE);
	setup_xive(&a);
	for (unsigned i = 0; i < SOURCES; i++)
		set64(b.fd, KVM_DEV_XIVE_GRP_SOURCE, FIRST + i, 0, "a source");
	add(&a, "xive");
	add(&b, "xive");
	p = esb(&a);
	q = esb(&b);
	/* Source 0 fires into vCPU 0's queue, and is ended; the others stand where they should. */
	kvm_dev_io.esb_load(p, FIRST, ESB_SET_PQ(0));
	kvm_dev_io.esb_trigger(p, FIRST);
	set64(a.fd, KVM_DEV_XIVE_GRP_CTRL, KVM_DEV_XIVE_EQ_SYNC, 0, "EQ_SYNC");
	expect(queued(&a, 0) == 1 && be32_get(a.memory + queue_at(0)) == (0x80000000u | EISN(0)),
		"an event is in the guest's queue");
	for (unsigned i = 0; i < SOURCES; i++)
		kvm_dev_io.esb_load(p, FIRST + i, ESB_SET_PQ(want[i]));
	image_len = save(&a, image);
	for (unsigned i = 0; i < SOURCES; i++)
		expect(pq_of(p, i) == (want[i] == 1 ? 1 : 2), "source %u is held", i);
	hostile("xive");
	/* Held: an event is remembered, and comes when the source is let go. */
	before = queued(&a, 1);
	kvm_dev_io.esb_trigger(p, FIRST + 5);
	expect(queued(&a, 1) == before && pq_of(p, 5) == 3, "an event waits at a held source");
	test_xive_moved();
	for (unsigned i = 0; i < SOURCES; i++)
		expect(pq_of(q, i) == want[i], "source %u's P and Q at the destination: %u", i,
			pq_of(q, i));
	need(devices_release(&a.devices, &err), "releasing");
	set64(a.fd, KVM_DEV_XIVE_GRP_CTRL, KVM_DEV_XIVE_EQ_SYNC, 0, "EQ_SYNC");
	for (unsigned i = 0; i < SOURCES; i++)
		expect(pq_of(p, i) == (i == 5 ? 2 : want[i]), "source %u is let go: %u", i,
			pq_of(p, i));
	expect(queued(&a, 1) == before + 1, "the event that waited came");
	/* The destination's sources work: one fires into the queue that arrived. */
	before = queued(&b, 0);
	kvm_dev_io.esb_trigger(q, FIRST);
	set64(b.fd, KVM_DEV_XIVE_GRP_CTRL, KVM_DEV_XIVE_EQ_SYNC, 0, "EQ_SYNC");
	expect(before == 1 && queued(&b, 0) == 2 &&
			be32_get(b.memory + queue_at(0) + 4) == (0x80000000u | EISN(0)),
		"the next event at the destination is the second in the queue");
}

/* -- TCE -------------------------------------------------------------------------------------- */

#define LIOBN   0x80000001u
#define ENTRIES 20000u

static int tce_table(struct machine *m)
{
	struct kvm_create_spapr_tce_64 c = {
		.liobn = LIOBN, .page_shift = 16, .offset = 0x100, .size = ENTRIES};
	int fd = ioctl(kvm_vm_fd(m->vm), KVM_CREATE_SPAPR_TCE_64, &c);

	need_ioctl(fd, "KVM_CREATE_SPAPR_TCE_64");
	return fd;
}

static uint64_t *add_tce(struct lib_tces *l, int fd)
{
	const struct htabvmm_tce t = {.size = sizeof(t),
		.fd = fd,
		.liobn = LIOBN,
		.page_shift = 16,
		.offset = 0x100,
		.entries = ENTRIES};

	need(tces_add(l, &t), "adding the table");
	return l->all[l->count - 1].table;
}

static void test_tce(void)
{
	static struct lib_tces from, to;
	uint64_t *x, *y;
	struct state_elem e;
	struct unpack u;
	struct pack k;
	unsigned n = 0;
	int fd[2];

	make(&a, 0, 0);
	make(&b, 0, 0);
	fd[0] = tce_table(&a);
	fd[1] = tce_table(&b);
	x = add_tce(&from, fd[0]);
	y = add_tce(&to, fd[1]);
	for (unsigned i = 0; i < ENTRIES; i++) {
		x[i] = i % 7 == 0 || i / 1000 == 3 ? 0 : (uint64_t)i << 16 | 3;
		y[i] = 0xdead0003;
	}
	for (unsigned i = 5000; i < 9000; i++)
		x[i] = 0x12340003;
	pack_init(&k, image, sizeof(image));
	tces_save(&from, &k);
	need(pack_end(&k), "the image");
	tces_check_begin(&to);
	unpack_init(&u, image, k.len);
	while (state_next(&u, &e) > 0) {
		need(tces_check(&to, &e, &err), "checking");
		n++;
	}
	need(tces_check_end(&to, &err), "checking");
	tces_load_begin(&to);
	unpack_init(&u, image, k.len);
	while (state_next(&u, &e) > 0)
		tces_load(&to, &e);
	expect(memcmp(x, y, ENTRIES * 8) == 0, "a table of %u entries arrives in %u elements",
		ENTRIES, n);
	tces_free(&from);
	tces_free(&to);
	close(fd[0]);
	close(fd[1]);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[1], "xics") == 0) {
		test_xics();
	} else if (argc == 2 && strcmp(argv[1], "xive") == 0) {
		test_xive();
	} else if (argc == 2 && strcmp(argv[1], "tce") == 0) {
		test_tce();
	} else {
		fprintf(stderr, "usage: kvm-devices xics|xive|tce\n");
		return 2;
	}
	finish(&a);
	finish(&b);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
