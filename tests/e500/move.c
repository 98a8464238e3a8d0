/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The e500v2 host's /init: a BookE guest on real KVM moves from VM to VM while it changes its TLB.
 * Prints PASS or FAIL for each claim, as the suites count them, and powers the host off.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/booke.h"
#include "proto/tlb.h"
#include "tests/e500/e500.h"

#define ROUNDS    20
#define STATE_MAX (64u << 10)

static const char *claim;
static unsigned passed;

static void power_off(void) __attribute__((noreturn));
static void power_off(void)
{
	fflush(NULL);
	sync();
	reboot(RB_AUTOBOOT); /* -no-reboot ends the emulator */
	for (;;)
		pause();
}

void fail(const char *fmt, ...)
{
	va_list ap;

	printf("FAIL %s: ", claim);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n%u passed, 1 failed, 0 skipped\n", passed);
	power_off();
}

static void passes(void)
{
	printf("%u interrupts in %u rounds, %llu ms since the host's start\n", ram_get(0x8008),
		ram_get(0x8004), (unsigned long long)(clock_ns() / NS_PER_MS));
	printf("PASS %s\n", claim);
	passed++;
}

/* -- both sides of a move, compared -- */

static uint8_t state_there[STATE_MAX], state_here[STATE_MAX];
static size_t len_there, len_here;
static unsigned moves;
static struct tlb_entry tlb_there[TLB0 + TLB1];

static void read_tlb(struct vm *v, struct tlb_entry *all)
{
	struct htabvmm_tlb_place p;
	struct htabvmm_tlb_entry e;
	int r;

	memset(all, 0, sizeof(*all) * (TLB0 + TLB1));
	for (r = htabvmm_tlb_first(v->tlb, &p, &e); r == 0; r = htabvmm_tlb_next(v->tlb, &p, &e))
		memcpy(&all[p.index], &e, sizeof(e));
	check(r == -ENOENT, "the walk over the TLB: %s", strerror(-r));
}

static void on_paused(struct vm *v)
{
	read_tlb(v, tlb_there);
	len_there = vm_state(v, state_there, sizeof(state_there));
}

/*
 * A page that the host maps for the guest that has arrived and stands: each time another size, in
 * another entry of TLB1.
 */
static void host_maps(struct vm *v, unsigned nr)
{
	unsigned tsize = 2 + nr % 4 * 2;
	const struct htabvmm_tlb_entry none = {0};
	const struct htabvmm_tlb_entry e = {
		.mas1 = MAS1_VALID | MAS1_IPROT | MAS1_TSIZE(tsize),
		.mas2 = 0x70000000,
		.mas7_3 = 0xc0000 | 0x15,
	};
	struct htabvmm_tlb_place p;
	struct htabvmm_tlb_entry back;

	check(htabvmm_tlb_set(v->tlb, 1, 10 + nr % 4, &e) == 0, "set");
	check(htabvmm_tlb_set(v->tlb, 1, 10 + (nr + 3) % 4, &none) == 0, "set");
	check(htabvmm_tlb_search(v->tlb, 0, 0, 0x70000abc, &p, &back) == 0 && p.tlbsel == 1 &&
			p.esel == 10 + nr % 4,
		"the host's entry is not found");
	ram_put(0x8018, 0xcafe00c0);
}

/* DEC counts on by itself; with it TSR may get its bit, never lose it. */
static void compare_element(const struct state_elem *there, const struct state_elem *here)
{
	char name[STATE_NAME_MAX], a[STATE_SHOW_MAX], b[STATE_SHOW_MAX];

	state_describe(there, name);
	state_show(there, a);
	state_show(here, b);
	check(there->kind == here->kind && there->id == here->id && there->size == here->size,
		"the elements are others from %s on", name);
	if (there->kind == STATE_BOOKE && there->id == BOOKE_DEC)
		return;
	if (there->kind == STATE_BOOKE && there->id == BOOKE_TSR) {
		check((be32_get(there->value) & ~be32_get(here->value)) == 0, "%s was %s and is %s",
			name, a, b);
		return;
	}
	check(memcmp(there->value, here->value, here->size) == 0, "%s was %s and is %s", name, a,
		b);
}

static void on_loaded(struct vm *v)
{
	static struct tlb_entry tlb_here[TLB0 + TLB1];
	struct state_elem there, here;
	unsigned elements = 0;
	struct unpack a, b;

	read_tlb(v, tlb_here);
	for (unsigned i = 0; i < TLB0 + TLB1; i++)
		check(memcmp(&tlb_there[i], &tlb_here[i], sizeof(tlb_here[i])) == 0,
			"TLB entry %u: MAS1 %08x MAS2 %llx there, %08x %llx here", i,
			tlb_there[i].mas1, (unsigned long long)tlb_there[i].mas2, tlb_here[i].mas1,
			(unsigned long long)tlb_here[i].mas2);
	len_here = vm_state(v, state_here, sizeof(state_here));
	unpack_init(&a, state_there, len_there);
	unpack_init(&b, state_here, len_here);
	while (state_next(&a, &there) > 0) {
		check(state_next(&b, &here) > 0, "there are fewer elements");
		compare_element(&there, &here);
		elements++;
	}
	check(state_next(&b, &here) == 0 && elements > 80, "%u elements", elements);
	host_maps(v, moves);
}

/* -- the test -- */

static struct vm *now_at;
static int listener;

static void on_between(struct vm *v)
{
	vm_wait(v, SEEN_ROUNDS);
}

static void move(const struct move_hooks *hooks, struct move_stats *ret)
{
	char path[64];
	struct vm *dest;
	int l;

	snprintf(path, sizeof(path), "/vmm-%u", ++moves);
	l = listen_at(path);
	dest = vm_new(path, true);
	move_guest(now_at, listener, dest, l, hooks, ret);
	vm_free(now_at);
	close(listener);
	listener = l;
	now_at = dest;
}

static void moves_while_it_maps(void)
{
	static const struct move_hooks hooks = {on_between, on_paused, on_loaded};
	uint64_t changed = 0, plain = 0;
	struct move_stats s;

	claim = "a BookE guest moves while it changes its TLB, entry by entry and register by register";
	for (unsigned i = 0; i < ROUNDS; i++) {
		vm_wait(now_at, SEEN_ROUNDS);
		move(&hooks, &s);
		check(s.changed > 0, "no entry changed during move %u", i);
		vm_wait(now_at, SEEN_ROUNDS);
		changed += s.changed;
		plain += s.plain;
	}
	printf("%u moves, %llu changed entries, %llu bytes of records, guest's round %u\n", ROUNDS,
		(unsigned long long)changed, (unsigned long long)plain, ram_get(0x8004));
	passes();
}

static void pending_tick_survives(void)
{
	static const struct move_hooks hooks = {NULL, on_paused, on_loaded};
	struct move_stats s;
	uint32_t ticks;

	claim = "a pending decrementer interrupt is delivered after the move, once";
	for (unsigned i = 0; i < ROUNDS; i++) {
		ram_put(0x8000, 1);
		vm_wait(now_at, SEEN_PENDING);
		ticks = ram_get(0x8008);
		move(&hooks, &s);
		ram_put(0x8000, 2);
		vm_wait(now_at, SEEN_CAME);
		check(ram_get(0x8008) > ticks, "no interrupt came");
		ram_put(0x8000, 0);
		vm_wait(now_at, SEEN_ROUNDS);
	}
	passes();
}

static void ticks_go_on(void)
{
	uint32_t ticks = ram_get(0x8008);

	claim = "the decrementer goes on ticking";
	for (int i = 0; ram_get(0x8008) < ticks + 3; i++) {
		check(i < 1000, "%u interrupts in %u rounds, and no more come", ram_get(0x8008),
			ram_get(0x8004));
		vm_wait(now_at, SEEN_ROUNDS);
	}
	check(ram_get(0x8014) == 15, "TLB1's four sizes were not all used");
	passes();
}

/*
 * Each register that KVM does not set, changed by a bit, or with one more.
 *
 * protocol.md 8.4: "KVM does not set it, and a destination where it is different refuses the image."
 */
static void on_loaded_with_others(struct vm *v)
{
	unsigned refused = 0;
	struct state_elem e;
	struct unpack u;
	struct err err;

	len_here = vm_state(v, state_here, sizeof(state_here));
	unpack_init(&u, state_here, len_here);
	while (state_next(&u, &e) > 0) {
		const struct booke_range *r = e.kind == STATE_BOOKE ? booke_find(e.id) : NULL;
		uint8_t *value = state_here + (e.value - state_here);

		if (!r || (r->policy != BOOKE_SAME && r->policy != BOOKE_SUPERSET))
			continue;
		value[0] ^= 0x80;
		check(vm_apply(v, state_here, len_here, &err) == -EINVAL &&
				strstr(err.text, "cannot be set"),
			"register %#llx was taken", (unsigned long long)e.id);
		value[0] ^= 0x80;
		refused++;
	}
	check(refused >= 5, "%u registers were tried", refused);
	check(vm_apply(v, state_here, len_here, &err) == 0, "%s", err.text);
}

static void another_processor_is_refused(void)
{
	static const struct move_hooks hooks = {NULL, NULL, on_loaded_with_others};
	struct move_stats s;

	claim = "a state of another processor is refused, register by register";
	move(&hooks, &s);
	vm_wait(now_at, SEEN_ROUNDS);
	passes();
}

static void mpic_keeps_its_registers(void)
{
	claim = "KVM's MPIC, both models, moves with every register, input and its address";
	mpic_moves();
	passes();
}

static void setup(void)
{
	static const struct {
		const char *path, *type;
	} mounts[] = {{"/dev", "devtmpfs"}, {"/proc", "proc"}, {"/sys", "sysfs"}};
	struct sigaction sa = {.sa_handler = SIG_DFL};

	claim = "the host";
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].path, 0755);
		mount(mounts[i].type, mounts[i].path, mounts[i].type, 0, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &sa, NULL);
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(ram != MAP_FAILED, "no memory");
}

static void on_signal(int nr)
{
	/* KVM_RUN returns EINTR */
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	setup();
	sigaction(SIGUSR1, &sa, NULL);
	listener = listen_at("/vmm-0");
	now_at = vm_new("/vmm-0", false);
	vm_run(now_at);
	vm_wait(now_at, SEEN_ROUNDS);
	moves_while_it_maps();
	pending_tick_survives();
	ticks_go_on();
	another_processor_is_refused();
	mpic_keeps_its_registers();
	printf("%u passed, 0 failed, 0 skipped\n", passed);
	power_off();
}
