/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One random sequence of operations on the kernel's hashed page table and on the software one, in
 * one process; every result, errno and byte is compared. Runs on real KVM (a POWER host).
 *
 * usage: hpt-diff [--seed N] [--ops N]
 * Exit status: 0 no difference, 1 a difference (operation, seed and history are printed), 77 no
 * KVM.
 *
 * Hypercalls are made by a real guest (hpt-diff-guest.S), in batches; the software table makes each
 * while the batch is put together, so that loads and stores of the guest can be aimed at entries
 * that are there. The guest's own code and mailbox lie in one host page, mapped by one of the last
 * 16 entries of the table: operations leave those alone.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "proto/htab.h"
#include "proto/pack.h"
#include "tests/powernv/hpt-diff.h"
#include "vmm/powerkvm/vm.h"
#include "vmm/swhpt/swhpt.h"

#define GUEST_BOX       0x10000u
#define GUEST_CODE      0x18000u /* in the same host page as the mailbox */
#define BATCH_MAX       64u
#define PASSED_OVER_MAX 20u
#define BATCH_DONE      0xf0000u
#define OP_LOAD         0x10000u
#define OP_STORE        0x10001u
#define OP_SLBMTE       0x10002u
#define OP_SPIN         0x10003u
#define FDS             6u
#define READ_MAX        (320u << 10)
#define HISTORY         16u
#define TOUCH_EA        0x10000000u
#define TOUCH_VSID      0x5a5a5ull
#define TOUCH_PAGES     64u
#define TOUCH_MEMORY    (32u << 20)
#define HPTE_R_PPS      0x8000000000000003ull

extern const char hpt_diff_guest[], hpt_diff_guest_end[];

struct pair {
	int k;
	struct swhpt_fd *s; /* NULL: not open */
	bool write;
};

struct step {
	const char *what;
	uint64_t arg[6];
};

static struct {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	uint8_t *memory;
	struct swhpt *h;
	unsigned order;
	struct pair fds[FDS];
	uint64_t seed, ops, hot;
	struct step history[HISTORY];
	uint64_t steps;
	struct timespec begin;
} d;

static uint8_t kbuf[READ_MAX], sbuf[READ_MAX], wbuf[64 << 10];
static struct {
	uint64_t reads, read_bytes, writes, refused, hypercalls, touches, opens, resets, busy,
		moves, passed_over;
} count;

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - d.begin.tv_sec) +
		(double)(now.tv_nsec - d.begin.tv_nsec) / 1e9;
}

static void step(const char *what, uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
	d.history[d.steps++ % HISTORY] = (struct step){what, {a, b, c, e}};
	d.ops++;
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list ap;

	printf("hpt-diff: DIFFERENCE at operation %" PRIu64 " of seed %" PRIu64 ", order %u: ",
		d.ops, d.seed, d.order);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\nthe last operations, the oldest first:\n");
	for (uint64_t i = d.steps > HISTORY ? d.steps - HISTORY : 0; i < d.steps; i++) {
		const struct step *s = &d.history[i % HISTORY];

		printf("  %-12s %#18" PRIx64 " %#18" PRIx64 " %#18" PRIx64 " %#18" PRIx64 "\n",
			s->what, s->arg[0], s->arg[1], s->arg[2], s->arg[3]);
	}
	printf("hpt-diff: %" PRIu64 " passed, 1 failed, 0 skipped\n", d.ops - 1);
	exit(1);
}

static void compare(const char *what, int64_t kernel, int64_t software)
{
	if (kernel != software)
		fail("%s gives %" PRId64 " on the kernel's table, %" PRId64 " on ours", what,
			kernel, software);
}

static uint64_t entries(void)
{
	return swhpt_entries(d.h);
}

/* An index of an entry that may be changed, or at times one outside the table. */
static uint64_t random_index(void)
{
	switch (below(40)) {
	case 0: return entries() + below(100);
	case 1: return rnd();
	default:
		return below(3) ? (d.hot + below(600)) % (entries() - PRIVATE)
				: below(entries() - PRIVATE);
	}
}

/* An open fd, mostly one of the kind that the operation is for; NULL when none was hit. */
static struct pair *random_fd(bool write)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		struct pair *p = &d.fds[below(FDS)];

		if (p->s && (p->write == write || !below(30)))
			return p;
	}
	return NULL;
}

static void open_pair(struct pair *p, uint64_t flags, uint64_t start)
{
	int k, s;

	step("open", flags, start, 0, 0);
	k = kvm_vm_open_htab(d.vm, flags, start);
	s = swhpt_open(d.h, flags, start, &p->s);
	compare("open", k < 0 ? k : 0, s);
	p->k = k;
	p->write = flags & HTAB_FD_WRITE;
	count.opens++;
}

static void close_pair(struct pair *p)
{
	step("close", (uint64_t)(p - d.fds), 0, 0, 0);
	close(p->k);
	p->s = swhpt_close(p->s);
}

static ssize_t read_pair(struct pair *p, size_t n)
{
	ssize_t k, s;

	step("read", (uint64_t)(p - d.fds), n, 0, 0);
	k = read(p->k, kbuf, n);
	if (k < 0)
		k = -errno;
	s = swhpt_read(p->s, sbuf, n);
	compare("read", k, s);
	count.reads++;
	if (k <= 0)
		return k;
	count.read_bytes += (uint64_t)k;
	for (ssize_t i = 0; i < k; i++)
		if (kbuf[i] != sbuf[i]) {
			size_t w = (size_t)i & ~7ul;

			fail("read differs at byte %zd of %zd: kernel %016" PRIx64
			     " ours %016" PRIx64 ", before it %016" PRIx64,
				i, k, be64_get(kbuf + w), be64_get(sbuf + w),
				w ? be64_get(kbuf + w - 8) : 0);
		}
	return k;
}

static void random_open(void)
{
	struct pair *p = &d.fds[below(FDS)];
	uint64_t flags = below(12) ? below(3) ? below(2) : 2 + below(2) : 1ull << below(64);
	uint64_t start = below(2) ? 0 : below(3) ? below(entries()) : entries() - 2 + below(4);

	if (!below(20))
		start = rnd();
	if (p->s)
		close_pair(p);
	open_pair(p, flags, start);
}

static void write_pair(struct pair *p, size_t n, size_t readable)
{
	ssize_t k, s;

	step("write", (uint64_t)(p - d.fds), n, be64_get(wbuf), n >= 24 ? be64_get(wbuf + 8) : 0);
	k = write(p->k, wbuf, n);
	if (k < 0)
		k = -errno;
	s = swhpt_write_from(p->s, wbuf, n, readable);
	compare("write", k, s);
	count.writes++;
	count.refused += k < 0;
}

static void random_write(struct pair *p)
{
	size_t len, n = random_record(wbuf, random_index(), &len);

	if (!below(8)) { /* more than one record, which the kernel takes for something else */
		n = len;
		for (uint64_t more = 1 + below(3); more; more--) {
			random_record(wbuf + n, random_index(), &len);
			n += len;
		}
	} else if (!below(30)) {
		n = below(200);
		for (size_t i = 0; i < n; i++)
			wbuf[i] = (uint8_t)(below(3) ? 0 : rnd());
	}
	/* What lies behind is read by a record that is too short: let it be something. */
	be64_put(wbuf + n, rnd());
	if (write_is_safe(wbuf, n, n + 8, entries()))
		write_pair(p, n, n + 8);
}

static void random_writev(struct pair *p)
{
	struct iovec iov[8];
	int n = 1 + (int)below(8);
	size_t at = 0;
	ssize_t k, s;

	for (int i = 0; i < n; i++) {
		size_t len, want = random_record(wbuf + at, random_index(), &len);

		if (want < len)
			want = len;
		iov[i] = (struct iovec){wbuf + at, below(20) ? want : 0};
		at += len + 32;
		if (!write_is_safe(iov[i].iov_base, iov[i].iov_len, iov[i].iov_len, entries()))
			return;
	}
	step("writev", (uint64_t)(p - d.fds), (uint64_t)n, be64_get(wbuf), 0);
	k = writev(p->k, iov, n);
	if (k < 0)
		k = -errno;
	s = swhpt_writev(p->s, iov, n);
	compare("writev", k, s);
	count.writes++;
	count.refused += k < 0;
}

/* -- the guest --------------------------------------------------------------------------------- */

static uint64_t *box(unsigned i)
{
	return (uint64_t *)(void *)(d.memory + GUEST_BOX + 8 * i);
}

static uint64_t *slot(unsigned i)
{
	return box(32 + 16 * i);
}

static void run_guest(void)
{
	struct kvm_run *run;
	int r = kvm_vcpu_run(d.vcpu, &run);

	if (r < 0)
		fail("KVM_RUN: %s", strerror(-r));
	if (run->exit_reason != KVM_EXIT_PAPR_HCALL)
		fail("the guest stopped with exit reason %u", run->exit_reason);
	if (run->papr_hcall.nr != BATCH_DONE)
		fail("the guest is at hypercall %#" PRIx64
		     " (0x7000 and up: interrupt vector / 16)",
			(uint64_t)run->papr_hcall.nr);
	run->papr_hcall.ret = 0;
}

/*
 * The entry through which the hardware reaches page n of the guest's window: found, and alone.
 * For a store it has to be writable.
 */
static bool find_touched(uint64_t n, bool store, uint64_t *ret_index)
{
	uint64_t group = ((TOUCH_VSID ^ n) & (entries() / 8 - 1)) * 8, found = 0;

	for (unsigned half = 0; half < 2; half++) {
		uint64_t args[8] = {H_READ_4, group + 4 * half}, ret[8];

		swhpt_hcall(d.h, H_READ, args, ret);
		for (unsigned i = 0; i < 4; i++) {
			uint64_t pp = ret[2 * i + 1] & HPTE_R_PPS;

			if ((ret[2 * i] & ~0x78ull) != (TOUCH_VSID << 12 | HPTE_V_VALID))
				continue;
			if ((ret[2 * i + 1] & 0x0ffffffffffff000ull) < TOUCH_MEMORY ||
				(ret[2 * i + 1] & 0x0ffffffffffff000ull) >= MEMORY)
				return false;
			if (pp > 3 || (store && pp == 3))
				return false;
			found++;
			*ret_index = group + 4 * half + i;
		}
	}
	return found == 1;
}

/*
 * A load or store of the guest's, or the entry for a later one. False when there is none to make.
 */
static bool random_touch(uint64_t *op)
{
	uint64_t n = below(TOUCH_PAGES), index;
	bool store = below(2);

	if (find_touched(n, store, &index)) {
		if (!swhpt_touch(d.h, index, store ? HPTE_R_R | HPTE_R_C : HPTE_R_R))
			return false;
		op[0] = store ? OP_STORE : OP_LOAD;
		op[1] = TOUCH_EA + (n << 12);
		op[2] = rnd();
		count.touches++;
		step(store ? "store" : "load", op[1], index, 0, 0);
		return true;
	}
	op[0] = H_ENTER;
	op[1] = 0;
	op[2] = ((TOUCH_VSID ^ n) & (entries() / 8 - 1)) * 8;
	op[3] = TOUCH_VSID << 12 | (rnd() & HPTE_V_BOLTED);
	op[4] = TOUCH_MEMORY + (n << 12) + 0x10 + (rnd() & 0x182);
	return op[2] < entries() - PRIVATE;
}

/* What a hypercall is about: at times an entry in which the hardware sets bits. */
static uint64_t random_target(void)
{
	uint64_t index;

	if (below(3) || !find_touched(below(TOUCH_PAGES), false, &index) ||
		index >= entries() - PRIVATE)
		return random_index();
	return index;
}

static void random_hypercall(uint64_t *op)
{
	static const uint64_t nr[] = {H_ENTER, H_ENTER, H_ENTER, H_REMOVE, H_READ, H_PROTECT,
		H_CLEAR_REF, H_CLEAR_MOD, H_BULK_REMOVE};
	uint64_t ret[8], args[8] = {H_READ_4};

	for (unsigned i = 1; i < 9; i++)
		op[i] = rnd();
	op[0] = nr[below(sizeof(nr) / sizeof(*nr))];
	op[2] = random_target();
	/* Conditions that hold at times: from the entry as it is. */
	args[1] = op[2];
	memset(ret, 0, sizeof(ret));
	swhpt_hcall(d.h, H_READ, args, ret);
	switch (op[0]) {
	case H_ENTER:
		op[1] = below(2) ? 0 : H_EXACT;
		op[3] = random_dw0(!below(4));
		op[4] = random_dw1(op[3], !below(4));
		break;
	case H_REMOVE:
	case H_PROTECT:
		op[1] = (below(3) ? 0 : H_AVPN) | (below(6) ? 0 : H_ANDCOND) | (rnd() & 0x3f07);
		op[3] = below(2) ? ret[2 * (op[2] & 3)] & ~0x7full : rnd() & rnd() & rnd();
		break;
	case H_BULK_REMOVE:
		for (unsigned i = 1; i < 9; i += 2) {
			uint64_t type = below(30) ? 1 : below(4), flags = below(10) ? below(3) : 3;

			op[i] = type << 62 | flags << 56 | (random_target() & 0xffffffffffull);
			op[i + 1] = below(2) ? rnd() & rnd() & rnd() : ret[0] & ~0x7full;
		}
		break;
	default: op[1] = below(2) ? 0 : H_READ_4;
	}
}

static void check_hypercall(const uint64_t *op, const uint64_t *want, const uint64_t *got)
{
	for (unsigned i = 0; i < 9; i++) {
		/* An invalid entry's second doubleword is what the host left there. */
		if (op[0] == H_READ && !(i & 1) && i && !(want[i - 1] & HPTE_V_VALID) &&
			i <= (op[1] & H_READ_4 ? 8u : 2u) && want[0] == H_SUCCESS)
			continue;
		if (want[i] != got[i])
			fail("hypercall %#" PRIx64 " (%#" PRIx64 " %#" PRIx64 " %#" PRIx64
			     " %#" PRIx64 "): r%u is %#" PRIx64 " from the kernel, %#" PRIx64
			     " from ours",
				op[0], op[1], op[2], op[3], op[4], i + 3, got[i], want[i]);
	}
}

static void reset(unsigned order);

/*
 * KVM looks for a free slot with a conditional store that may fail for no reason, and then takes
 * the next one: another slot of the group is right as well. The tables differ from then on.
 */
static bool slot_was_passed_over(const uint64_t *op, const uint64_t *want, const uint64_t *got)
{
	return op[0] == H_ENTER && !(op[1] & H_EXACT) && want[0] == H_SUCCESS &&
		got[0] == H_SUCCESS && got[1] > want[1] && got[1] / 8 == want[1] / 8;
}

static void random_batch(void)
{
	static uint64_t op[BATCH_MAX][9], want[BATCH_MAX][9];
	unsigned n = 1 + (unsigned)below(below(4) ? 24 : BATCH_MAX);

	swhpt_vcpu_enter(d.h);
	for (unsigned i = 0; i < n; i++) {
		if (below(4) || !random_touch(op[i]))
			random_hypercall(op[i]);
		memcpy(slot(i), op[i], sizeof(op[i]));
		if (op[i][0] >= OP_LOAD)
			continue;
		step("hypercall", op[i][0], op[i][1], op[i][2], op[i][3]);
		want[i][0] = (uint64_t)swhpt_hcall(d.h, op[i][0], op[i] + 1, want[i] + 1);
		count.hypercalls++;
	}
	swhpt_vcpu_leave(d.h);
	*box(0) = n;
	run_guest();
	for (unsigned i = 0; i < n; i++) {
		if (op[i][0] < OP_LOAD && slot_was_passed_over(op[i], want[i], slot(i))) {
			if (++count.passed_over > PASSED_OVER_MAX)
				fail("KVM passes free slots over too often for an accident");
			reset(d.order == 18 ? 19 : 18); /* another order: nothing is left */
			return;
		}
		if (op[i][0] < OP_LOAD)
			check_hypercall(op[i], want[i], slot(i));
	}
}

static void *run_guest_thread(void *arg)
{
	run_guest();
	return arg;
}

/* While a vCPU is in the guest: writes and resets are refused, reads are not. */
static void busy(void)
{
	struct pair *p;
	pthread_t t;
	size_t len;

	swhpt_vcpu_enter(d.h);
	*box(0) = 1;
	*box(1) = *box(2) = 0;
	*slot(0) = OP_SPIN;
	if (pthread_create(&t, NULL, run_guest_thread, NULL))
		fail("no thread");
	while (!__atomic_load_n(box(1), __ATOMIC_ACQUIRE))
		sched_yield();
	step("reset", d.order, 1, 0, 0);
	compare("reset while a vCPU runs", kvm_vm_allocate_htab(d.vm, d.order),
		swhpt_reset(d.h, d.order));
	for (unsigned i = 0; i < 8; i++) {
		bool write = below(2);

		p = random_fd(write);
		if (!p)
			continue;
		if (!write)
			read_pair(p, below(2000));
		else if (random_record(wbuf, random_index(), &len))
			write_pair(p, len, len);
	}
	__atomic_store_n(box(2), 1, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	swhpt_vcpu_leave(d.h);
	count.busy++;
}

static void reset(unsigned order)
{
	step("reset", order, 0, 0, 0);
	compare("reset", kvm_vm_allocate_htab(d.vm, order), swhpt_reset(d.h, order));
	d.order = order;
	d.hot = below(entries());
	count.resets++;
}

/* As a migration would: read all, reset, write all back. */
static void move(void)
{
	static uint8_t copy[2u << 20];
	struct pair p;
	size_t len = 0, off;
	ssize_t n;
	struct htab_iter it;
	struct htab_rec rec;
	struct htab_count c;
	const char *why;

	open_pair(&p, 0, 0);
	do {
		n = read_pair(&p, 200001);
		if (n < 0 || htab_check(kbuf, (size_t)n, entries(), HTAB_HOST, &c, &why) < 0)
			fail("a read that is none");
		memcpy(copy + len, kbuf, (size_t)n);
		len += (size_t)n;
	} while (n && !htab_read_wrapped((size_t)n, 200001, c.end, entries()) &&
		len + 200001 < sizeof(copy));
	close_pair(&p);
	reset(d.order);
	open_pair(&p, HTAB_FD_WRITE, 0);
	htab_iter_init(&it, copy, len, entries(), HTAB_HOST);
	for (off = 0; htab_iter_next(&it, &rec) > 0; off += n > 0 ? (size_t)n : 0) {
		ssize_t k;

		n = HTAB_HDR_SIZE + 16 * (ssize_t)rec.n_valid;
		step("write back", rec.index, rec.n_valid, rec.n_invalid, 0);
		k = write(p.k, copy + off, (size_t)n);
		compare("write back", k < 0 ? -errno : k, swhpt_write(p.s, copy + off, (size_t)n));
		compare("write back: its count", k, n);
	}
	close_pair(&p);
	count.moves++;
}

/*
 * Write the guest's own page and nothing else into an empty table: KVM then takes the virtual real
 * mode area as set up, and does not map it when the guest runs.
 */
static void lean(void)
{
	struct pair p;

	reset(d.order);
	open_pair(&p, HTAB_FD_WRITE, 0);
	htab_put_header(wbuf, HTAB_HOST, (uint32_t)entries() - 9, 1, 0);
	be64_put(wbuf + 8, 0x4001ffffff000000ull | HPTE_V_BOLTED | HPTE_V_LARGE | HPTE_V_VALID);
	be64_put(wbuf + 16, GUEST_BOX | 0x1190); /* 64 KiB, R, C, M */
	step("write", entries() - 9, 1, 0, 0);
	compare("write", write(p.k, wbuf, 24), swhpt_write(p.s, wbuf, 24));
	close_pair(&p);
	random_batch();
}

static void random_operation(void)
{
	uint64_t x = below(10000);
	struct pair *p = random_fd(x >= 6000);

	if (x < 3)
		reset(18 + (unsigned)below(3));
	else if (x < 12)
		reset(d.order);
	else if (x < 18)
		move();
	else if (x < 24)
		lean();
	else if (x < 46)
		busy();
	else if (x < 2000)
		random_batch();
	else if (x < 2600 || !p)
		random_open();
	else if (x < 2700)
		close_pair(p);
	else if (x < 6000)
		read_pair(p, random_size());
	else if (x < 9000)
		random_write(p);
	else
		random_writev(p);
}

/* -- setting up -------------------------------------------------------------------------------- */

/* An interrupt is big-endian and makes a hypercall that tells which one: li r3, n; sc 1 */
static void put_vectors(void)
{
	for (unsigned vector = 0x100; vector < 0x2000; vector += 0x80) {
		be32_put(d.memory + vector, 0x38607000 | vector >> 4);
		be32_put(d.memory + vector + 4, 0x44000022);
	}
}

static int create(void)
{
	const struct kvm_vm_config config = {.order = 18, .memory = MEMORY, .populate = true};
	struct kvm_regs regs;
	size_t size;
	int r;

	d.order = config.order;
	r = kvm_vm_new(&config, &d.vm);
	if (r < 0)
		return r;
	if (kvm_vm_enable_hcall(d.vm, H_CLEAR_REF) < 0 ||
		kvm_vm_enable_hcall(d.vm, H_CLEAR_MOD) < 0 || kvm_vm_add_vcpu(d.vm, 0, &d.vcpu) < 0)
		return -EIO;
	d.memory = kvm_vm_memory(d.vm, &size);
	memcpy(d.memory + GUEST_CODE, hpt_diff_guest,
		(size_t)(hpt_diff_guest_end - hpt_diff_guest));
	put_vectors();
	if (ioctl(kvm_vcpu_fd(d.vcpu), KVM_GET_REGS, &regs) < 0)
		return -errno;
	regs.pc = GUEST_CODE;
	regs.msr = 1ull << 63 | 1; /* 64-bit, little-endian, real mode */
	if (ioctl(kvm_vcpu_fd(d.vcpu), KVM_SET_REGS, &regs) < 0)
		return -errno;
	r = swhpt_new(config.order, &d.h);
	if (r < 0)
		return r;
	return swhpt_add_memory(
		d.h, 0, MEMORY, (unsigned)__builtin_ctzl((unsigned long)getpagesize()));
}

/* The window of loads and stores: one segment of 256 MiB with pages of 4 KiB. */
static void give_segment(void)
{
	swhpt_vcpu_enter(d.h);
	swhpt_vcpu_leave(d.h);
	*box(0) = 1;
	slot(0)[0] = OP_SLBMTE;
	slot(0)[1] = TOUCH_VSID << 12;
	slot(0)[2] = TOUCH_EA | 1 << 27 | 1;
	run_guest();
}

static int usage(void)
{
	fprintf(stderr, "usage: hpt-diff [--seed N] [--ops N]\n");
	return 2;
}

int main(int argc, char **argv)
{
	uint64_t ops = 100000, shown = 0;
	int r;

	d.seed = 1;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--seed"))
			d.seed = strtoull(argv[i + 1], NULL, 0);
		else if (i + 1 < argc && !strcmp(argv[i], "--ops"))
			ops = strtoull(argv[i + 1], NULL, 0);
		else
			return usage();
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	clock_gettime(CLOCK_MONOTONIC, &d.begin);
	random_seed(d.seed);
	/* The kernel tells the console of each entry that it refuses: that takes its time. */
	klogctl(6, NULL, 0);
	r = create();
	if (r < 0) {
		printf("hpt-diff: no guest on KVM-HV: %s\n", strerror(-r));
		return r == -ENOENT || r == -ENODEV ? 77 : 1;
	}
	give_segment();
	d.hot = below(entries());
	while (d.ops < ops) {
		random_operation();
		if (d.ops / 10000 != shown) {
			shown = d.ops / 10000;
			printf("hpt-diff: %" PRIu64 " operations, %.1f s\n", d.ops, seconds());
		}
	}
	move();
	printf("hpt-diff: seed %" PRIu64 ", %.1f s: %" PRIu64 " hypercalls, %" PRIu64
	       " loads and stores, %" PRIu64 " reads (%" PRIu64 " bytes), %" PRIu64
	       " writes (%" PRIu64 " refused), %" PRIu64 " opens, %" PRIu64 " resets, %" PRIu64
	       " times while running, %" PRIu64 " moves, %" PRIu64 " free slots passed over\n",
		d.seed, seconds(), count.hypercalls, count.touches, count.reads, count.read_bytes,
		count.writes, count.refused, count.opens, count.resets, count.busy, count.moves,
		count.passed_over);
	printf("hpt-diff: %" PRIu64 " passed, 0 failed, 0 skipped\n", d.ops);
	for (unsigned i = 0; i < FDS; i++)
		if (d.fds[i].s)
			close_pair(&d.fds[i]);
	swhpt_free(d.h);
	kvm_vm_free(d.vm);
	return 0;
}
