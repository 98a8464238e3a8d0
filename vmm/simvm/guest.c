/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "proto/htab.h"
#include "proto/pack.h"
#include "vmm/simvm/simvm.h"

#define SLICE_MS   4u                    /* between two looks at what is due */
#define BACKLOG_MS 100u                  /* what could not be done in that time is let go */
#define TRIES_MAX  8                     /* to find something to change */
#define GAMMA      0x9e3779b97f4a7c15ull /* splitmix64's step */
#define RAM_BASE   (16ull << 20)
#define RAM_MIN    (4ull << 30)
#define RAM_SHIFT  24u
#define PAGE_SHIFT 12u
#define SEG_SHIFT  16u /* a 256 MiB segment's pages */
#define VSID_BASE  0x1000ull
/* Linux scatters the VSIDs of 256 MiB segments in this way, and so the groups of a large table. */
#define VSID_MULTIPLIER 12538073ull
#define VSID_MODULUS    ((1ull << 37) - 1)
#define PP_RW           2u
#define R_WIMG_M        0x10ull
#define PTEG_ENTRIES    8u

uint64_t guest_state_at(uint64_t seed, uint64_t counter)
{
	return seed + counter * GAMMA;
}

uint64_t guest_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void guest_sick(struct simvm_guest *g, unsigned vcpu, const char *why)
{
	uint64_t one = 1;

	if (atomic_exchange(&g->sick, true))
		return;
	fprintf(stderr, "htab-simvm: the guest's check of itself failed: vCPU %u: %s\n", vcpu, why);
	if (write(g->stopped_fd, &one, sizeof(one)) < 0)
		perror("htab-simvm: eventfd");
}

/* -- changes ---------------------------------------------------------------------------------- */

/* Map the guest's page of that number as Linux would: the hash says in which group. */
static bool map_page(struct simvm_guest *g, uint64_t page, uint64_t extra_v)
{
	uint64_t groups = swhpt_entries(g->hpt) / PTEG_ENTRIES;
	uint64_t vsid = (VSID_BASE + (page >> SEG_SHIFT)) * VSID_MULTIPLIER % VSID_MODULUS;
	uint64_t index = page & ((1ull << SEG_SHIFT) - 1);
	uint64_t vpn = vsid << SEG_SHIFT | index, hash = vsid ^ index;
	uint64_t v = vpn >> 11 << 7 | HPTE_V_VALID | extra_v;
	uint64_t r = RAM_BASE + (page % g->pages << PAGE_SHIFT);

	r |= HPTE_R_R | HPTE_R_C | R_WIMG_M | PP_RW;
	for (int secondary = 0; secondary < 2; secondary++) {
		uint64_t group = (secondary ? ~hash : hash) & (groups - 1);
		uint64_t args[SWHPT_HCALL_ARGS] = {
			0, group * PTEG_ENTRIES, v | (secondary ? HPTE_V_SECONDARY : 0), r};

		if (swhpt_hcall(g->hpt, H_ENTER, args, args) == H_SUCCESS)
			return true;
	}
	return false;
}

static bool hcall(struct simvm_guest *g, uint64_t nr, uint64_t flags, uint64_t slot)
{
	uint64_t args[SWHPT_HCALL_ARGS] = {flags, slot};

	return swhpt_hcall(g->hpt, nr, args, args) == H_SUCCESS;
}

/* One attempt, all of it said by x. True when an entry changed. */
static bool attempt(struct simvm_guest *g, uint64_t x)
{
	uint64_t entries = swhpt_entries(g->hpt);
	uint64_t slot = (x >> 8) & (entries - 1);
	/* As many insertions as removals that find an entry, once it is as full as wished. */
	double fill = g->fill > 0.01 ? g->fill : 0.01;
	bool insert = (double)(x >> 48) / 65536.0 < fill / (1 + fill);

	switch (x & 7) {
	case 0:
	case 1:
		return insert ? map_page(g, (x >> 8) & (4 * entries - 1), 0)
			      : hcall(g, H_REMOVE, 0, slot);
	case 2:
	case 3:
	case 4: return hcall(g, H_PROTECT, x >> 46 & 3, slot);
	case 5:
	case 6: return hcall(g, H_CLEAR_REF, 0, slot) && swhpt_touch(g->hpt, slot, HPTE_R_R);
	default:
		return hcall(g, H_CLEAR_MOD, 0, slot) &&
			swhpt_touch(g->hpt, slot, HPTE_R_R | HPTE_R_C);
	}
}

/* One step of the guest: it counts, and changes the table. */
static void step(struct simvm_vcpu *v, bool change)
{
	uint64_t x;

	v->state += GAMMA;
	atomic_fetch_add_explicit(&v->counter, 1, memory_order_relaxed);
	if (!change)
		return;
	x = guest_mix(v->state);
	if (!v->guest->hpt) {
		guest_change_tlb(v, x);
		atomic_fetch_add_explicit(&v->changes, 1, memory_order_relaxed);
		return;
	}
	for (int i = 0; i < TRIES_MAX; i++, x = guest_mix(x + GAMMA)) {
		/* In an empty or a very full table one kind of change remains. */
		if (!attempt(v->guest, i == TRIES_MAX - 1 ? x & ~7ull : x))
			continue;
		atomic_fetch_add_explicit(&v->changes, 1, memory_order_relaxed);
		return;
	}
}

void guest_fill(struct simvm_guest *g, double fill)
{
	uint64_t want = (uint64_t)((double)swhpt_entries(g->hpt) * fill), done = 0;

	swhpt_vcpu_enter(g->hpt);
	for (uint64_t page = 0; done < want && page < 4 * want; page++)
		done += map_page(g, page, page < want / 4 ? HPTE_V_BOLTED : 0);
	swhpt_vcpu_leave(g->hpt);
}

/* -- threads ---------------------------------------------------------------------------------- */

static bool running(struct simvm_guest *g)
{
	return atomic_load_explicit(&g->run, memory_order_relaxed);
}

/* Between two slices; the lock is held before and after. */
static void sleep_slice(struct simvm_guest *g)
{
	uint64_t at = clock_ns() + SLICE_MS * NS_PER_MS;
	struct timespec t = {
		.tv_sec = (time_t)(at / NS_PER_SEC),
		.tv_nsec = (long)(at % NS_PER_SEC),
	};

	pthread_cond_timedwait(&g->wake, &g->lock, &t);
}

static void run_slices(struct simvm_vcpu *v)
{
	struct simvm_guest *g = v->guest;
	uint64_t last = clock_ns();
	double due = 0;

	while (running(g)) {
		uint64_t now;
		double rate = (double)atomic_load(&g->rate) / g->n *
			(100 - atomic_load(&g->throttle)) / 100;

		pthread_mutex_lock(&g->lock);
		if (running(g))
			sleep_slice(g);
		pthread_mutex_unlock(&g->lock);
		now = clock_ns();
		due += rate * (double)(now - last) / NS_PER_SEC;
		if (due > rate * BACKLOG_MS / 1000 + 1)
			due = rate * BACKLOG_MS / 1000 + 1;
		last = now;
		step(v, false);
		for (; due >= 1 && running(g); due--)
			step(v, true);
		if (v->state != guest_state_at(v->seed, atomic_load(&v->counter)))
			guest_sick(g, v->nr, "its counter and its state do not fit");
	}
}

static void *vcpu_thread(void *arg)
{
	struct simvm_vcpu *v = arg;
	struct simvm_guest *g = v->guest;
	uint64_t one = 1;

	pthread_mutex_lock(&g->lock);
	for (;;) {
		while (!running(g) && !g->quit)
			pthread_cond_wait(&g->wake, &g->lock);
		if (g->quit)
			break;
		g->inside++;
		pthread_mutex_unlock(&g->lock);
		if (g->hpt)
			swhpt_vcpu_enter(g->hpt);
		run_slices(v);
		if (g->hpt)
			swhpt_vcpu_leave(g->hpt);
		pthread_mutex_lock(&g->lock);
		g->inside--;
		if (g->inside == 0 && !running(g) && write(g->stopped_fd, &one, sizeof(one)) < 0)
			perror("htab-simvm: eventfd");
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

/* None at address 0: KVM would map that, and only the guest shall change the table. */
static int add_memory(struct simvm_guest *g)
{
	uint64_t ram = swhpt_entries(g->hpt) << PAGE_SHIFT;

	if (ram < RAM_MIN)
		ram = RAM_MIN;
	g->pages = ram >> PAGE_SHIFT;
	return swhpt_add_memory(g->hpt, RAM_BASE, ram, RAM_SHIFT);
}

int guest_new(struct simvm_guest *g, struct swhpt *hpt, const struct simvm_opts *o)
{
	pthread_condattr_t monotonic;
	int r;

	g->hpt = hpt;
	g->fill = o->fill;
	g->rate = o->rate;
	g->n = o->vcpus;
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	g->stopped_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->stopped_fd < 0)
		return -errno;
	r = hpt ? add_memory(g) : guest_new_tlbs(g, o->vcpus);
	for (unsigned i = 0; i < g->n && r == 0; i++) {
		struct simvm_vcpu *v = &g->vcpu[i];

		v->guest = g;
		v->nr = i;
		v->seed = guest_mix(be64_get(o->uuid.b + 8) + i * GAMMA);
		v->state = v->seed;
		r = -pthread_create(&v->thread, NULL, vcpu_thread, v);
		v->started = r == 0;
	}
	return r;
}

void guest_stop(struct simvm_guest *g)
{
	uint64_t one = 1;

	pthread_mutex_lock(&g->lock);
	atomic_store(&g->run, false);
	pthread_cond_broadcast(&g->wake);
	if (g->inside == 0 && write(g->stopped_fd, &one, sizeof(one)) < 0)
		perror("htab-simvm: eventfd");
	pthread_mutex_unlock(&g->lock);
}

void guest_run(struct simvm_guest *g)
{
	if (g->vmm && !htabvmm_may_run(g->vmm)) {
		guest_sick(g, 0, "it shall run though it may not");
		return;
	}
	pthread_mutex_lock(&g->lock);
	atomic_store(&g->run, true);
	pthread_cond_broadcast(&g->wake);
	pthread_mutex_unlock(&g->lock);
}

bool guest_runs(struct simvm_guest *g)
{
	return running(g);
}

void guest_free(struct simvm_guest *g)
{
	pthread_mutex_lock(&g->lock);
	atomic_store(&g->run, false);
	g->quit = true;
	pthread_cond_broadcast(&g->wake);
	pthread_mutex_unlock(&g->lock);
	for (unsigned i = 0; i < g->n; i++) {
		if (g->vcpu[i].started)
			pthread_join(g->vcpu[i].thread, NULL);
		g->vcpu[i].started = false;
	}
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	g->stopped_fd = fd_close(g->stopped_fd);
}

uint64_t guest_counter(const struct simvm_guest *g)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < g->n; i++)
		sum += atomic_load_explicit(&g->vcpu[i].counter, memory_order_relaxed);
	return sum;
}

uint64_t guest_changes(const struct simvm_guest *g)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < g->n; i++)
		sum += atomic_load_explicit(&g->vcpu[i].changes, memory_order_relaxed);
	return sum;
}
