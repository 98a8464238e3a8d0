/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htab-simvm: a simulated guest on a software page table, behind the same library and socket as a
 * VMM on KVM.
 *
 *	simvm.c         the process: main loop, signals, events on stdout, libhtabvmm's callbacks
 *	simvm/opts.c    its command line
 *	simvm/change.c  its table reset or resized, by the monitor's commands (monitor.h)
 *	simvm/guest.c   vCPU threads that count and change the table
 *	simvm/tlb.c     a BookE guest: TLBs in place of the table
 *	simvm/state.c   what the guest takes along, and its check of itself
 *	simvm/htab.c    threads that answer for the table's descriptors
 *
 * The main thread owns everything; vCPU and serving threads touch the table and what is atomic.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/ident.h"
#include "vmm/htabvmm.h"
#include "vmm/tool/monitor.h"
#include "vmm/swhpt/swhpt.h"

#define SIMVM_VCPUS_MAX      64u
#define SIMVM_RATE_MAX       100000000ull
#define SIMVM_PVR            0x004e1202u /* a POWER9's, what the software table behaves as */
#define SIMVM_PVR_BOOKE      0x80210030u /* an e500v2's */
#define SIMVM_EXIT_SELFCHECK 3

enum simvm_step {
	STEP_NONE = 0,
	STEP_LOADING,
	STEP_READY,
	STEP_PAUSE,
	STEP_STATE,
	STEP_COMMITTING,
	STEP_RUN,
};

struct simvm_opts {
	const char *socket, *name, *hpt, *dump;
	struct vm_uuid uuid;
	bool incoming;
	unsigned order, max_order, vcpus;
	bool order_set;
	bool booke;
	double fill;
	uint64_t rate; /* changes a second, in all */
	bool rate_set;
	/* for tests */
	bool fail_activate, refuse_state, stall_pause, bad_fd;
	bool fail_write;
	uint64_t fail_write_at;
	bool lose;
	uint64_t lose_from;
	enum simvm_step die_at;
	bool stall_change;
	uint64_t lease_ms, change_ms; /* 0: the library's */
	const char *monitor;
};

/* 0; 1 when all is said (--help); -EINVAL after a sentence on stderr. */
int simvm_opts_parse(int argc, char **argv, struct simvm_opts *ret);

/* -- the guest -- */

struct simvm_guest;

struct simvm_vcpu {
	struct simvm_guest *guest;
	unsigned nr;
	pthread_t thread;
	bool started;
	uint64_t seed;
	/* The guest's work so far. What it does at a count follows from seed and count alone. */
	_Atomic uint64_t counter;
	_Atomic uint64_t changes; /* of the table */
	uint64_t state;           /* moves on with the counter: the guest's check of itself */
	uint64_t reg[3];          /* counter as it came through the registers */
	uint64_t tlb_digest;      /* BookE: of its TLB, as the source saw it */
};

struct simvm_guest {
	struct swhpt *hpt;                        /* NULL: BookE */
	struct htabvmm_tlb *tlb[SIMVM_VCPUS_MAX]; /* BookE: each vCPU's own */
	uint64_t pages;                           /* real pages that its mappings are for */
	double fill;
	_Atomic uint64_t rate;
	_Atomic unsigned throttle;
	struct htabvmm *vmm; /* NULL before there is one; set while every vCPU stands */
	unsigned n;
	struct simvm_vcpu vcpu[SIMVM_VCPUS_MAX];

	pthread_mutex_t lock;
	pthread_cond_t wake;
	atomic_bool run;  /* changes under lock */
	bool quit;        /* under lock */
	unsigned inside;  /* vCPUs that run; under lock */
	int stopped_fd;   /* an eventfd: the last vCPU stopped after guest_stop() */
	atomic_bool sick; /* a check failed; why is on stderr */
	bool arrived;     /* its state came from elsewhere and is to be checked */
};

int guest_new(struct simvm_guest *g, struct swhpt *hpt, const struct simvm_opts *o);
void guest_fill(struct simvm_guest *g, double fill);
/* Ask every vCPU to stop; stopped_fd becomes readable when all have. */
void guest_stop(struct simvm_guest *g);
void guest_run(struct simvm_guest *g);
bool guest_runs(struct simvm_guest *g);
/* End and join the threads. */
void guest_free(struct simvm_guest *g);
uint64_t guest_counter(const struct simvm_guest *g);
uint64_t guest_changes(const struct simvm_guest *g);
/* What a vCPU's state is at a count. */
uint64_t guest_state_at(uint64_t seed, uint64_t counter);
/* splitmix64's output function. */
uint64_t guest_mix(uint64_t z);
/* Say why, once, and be sick. */
void guest_sick(struct simvm_guest *g, unsigned vcpu, const char *why);

/* -- its table reset or resized -- */

struct simvm_change {
	struct wish wish; /* what is under way */
	bool ran;         /* the guest did, when the wish came */
	bool asked;       /* the library waits for the daemon */
};

struct simvm;

/* A wish; one that comes while another is under way is refused. */
void change_wished(struct simvm *m, struct wish wish);
/* Every vCPU stands. */
void change_stopped(struct simvm *m);
/* The library's answer: htabvmm_ops.htab_answer. */
void change_answer(void *m, int error, const char *text);

/* -- its state -- */

int guest_save(struct simvm_guest *g, struct htabvmm_state *state);
int guest_load(struct simvm_guest *g, const char *name, uint32_t version, const void *data,
	size_t size, bool keep_rate);
int guest_load_reg(
	struct simvm_guest *g, unsigned vcpu, uint64_t id, const void *value, size_t size);
/* Is what came through registers and blob one guest? Before it runs. */
bool guest_check(struct simvm_guest *g);

/* -- BookE -- */

int guest_new_tlbs(struct simvm_guest *g, unsigned vcpus);
void guest_free_tlbs(struct simvm_guest *g);
void guest_fill_tlbs(struct simvm_guest *g);
/* A change of its own TLB by a vCPU; it follows from x. */
void guest_change_tlb(struct simvm_vcpu *v, uint64_t x);
int guest_save_tlbs(struct simvm_guest *g, struct htabvmm_state *state);
int guest_load_tlbs(struct simvm_guest *g, uint32_t version, const void *data, size_t size);
/* Is its TLB what the source had? */
bool guest_check_tlb(const struct simvm_vcpu *v);
/* Every entry of every vCPU, big-endian, the invalid ones as zeros. */
int guest_dump_tlbs(struct simvm_guest *g, const char *path);

/* -- its table's descriptors -- */

struct simvm_htab;

struct simvm_htab *simvm_htab_new(struct swhpt *hpt, const struct simvm_opts *o);
struct simvm_htab *simvm_htab_free(struct simvm_htab *s);
/* A descriptor to hand over, answered by a thread of its own until it is closed. */
int simvm_htab_open(struct simvm_htab *s, uint32_t flags, uint64_t start, int *ret_fd);

/* -- the process -- */

struct simvm {
	struct simvm_opts o;
	struct swhpt *hpt;
	struct simvm_htab *htab;
	struct simvm_guest guest;
	struct htabvmm *h;
	struct monitor monitor;
	struct simvm_change change;
	int signals;
	bool pausing; /* htabvmm_complete() is to be called when every vCPU stands */
	bool over;
	bool made; /* the guest and its threads */
	int status;
};

void simvm_print_event(struct simvm *m, const char *event, const char *text);
