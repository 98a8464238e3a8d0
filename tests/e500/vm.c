/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM with one e500v2 vCPU, its thread, and the thread that serves libhtabvmm. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "proto/tlb.h"
#include "tests/e500/e500.h"
#include "vmm/kvm/booke.h"

#define MMIO     0xe0000000u
#define ENTRY    0x1000u
#define PATIENCE 60 /* seconds */

extern const uint8_t guest_code[], guest_code_end[], guest_vectors[], guest_vectors_end[];

uint8_t *ram;

uint32_t ram_get(uint32_t address)
{
	return be32toh(__atomic_load_n((uint32_t *)(void *)(ram + address), __ATOMIC_SEQ_CST));
}

void ram_put(uint32_t address, uint32_t v)
{
	__atomic_store_n((uint32_t *)(void *)(ram + address), htobe32(v), __ATOMIC_SEQ_CST);
}

/* -- the vCPU -- */

static void tell(struct vm *v, unsigned seen)
{
	pthread_mutex_lock(&v->lock);
	v->seen |= seen;
	v->rounds += seen == SEEN_ROUNDS;
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

static void mmio(struct vm *v)
{
	uint32_t value = 0;

	check(v->run->mmio.is_write && v->run->mmio.len == 4, "the guest reads its device");
	memcpy(&value, v->run->mmio.data, 4);
	switch (v->run->mmio.phys_addr - MMIO) {
	case 0: tell(v, SEEN_ROUNDS); return;
	case 4: tell(v, SEEN_PENDING); return;
	case 8: tell(v, SEEN_CAME); return;
	default: break;
	}
	fail("the guest's check of itself failed: %#x at device offset %#llx, in round %u", value,
		(unsigned long long)(v->run->mmio.phys_addr - MMIO), ram_get(0x8004));
}

static void run_vcpu(struct vm *v)
{
	int r;

	for (;;) {
		pthread_mutex_lock(&v->lock);
		v->run->immediate_exit = !v->want; /* once more in KVM: it completes an MMIO */
		pthread_mutex_unlock(&v->lock);
		r = ioctl(v->vcpu_fd, KVM_RUN, 0);
		if (r < 0 && errno == EINTR) {
			if (v->run->immediate_exit)
				return;
			continue;
		}
		check(r == 0, "KVM_RUN: %s", strerror(errno));
		check(v->run->exit_reason == KVM_EXIT_MMIO, "KVM_RUN ended with reason %u",
			v->run->exit_reason);
		mmio(v);
	}
}

static void *vcpu_thread(void *arg)
{
	struct vm *v = arg;

	pthread_mutex_lock(&v->lock);
	while (!v->quit) {
		if (!v->want) {
			pthread_cond_wait(&v->changed, &v->lock);
			continue;
		}
		v->running = true;
		pthread_mutex_unlock(&v->lock);
		run_vcpu(v);
		pthread_mutex_lock(&v->lock);
		v->running = false;
		pthread_cond_broadcast(&v->changed);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

void vm_run(struct vm *v)
{
	pthread_mutex_lock(&v->lock);
	v->want = true;
	v->run->immediate_exit = 0;
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

static void stop_vcpu(struct vm *v)
{
	pthread_mutex_lock(&v->lock);
	v->want = false;
	v->run->immediate_exit = 1; /* before the signal: it is seen if KVM_RUN is yet to begin */
	pthread_kill(v->vcpu, SIGUSR1);
	while (v->running)
		pthread_cond_wait(&v->changed, &v->lock);
	pthread_mutex_unlock(&v->lock);
}

void vm_wait(struct vm *v, enum seen what)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE;
	pthread_mutex_lock(&v->lock);
	if (what == SEEN_ROUNDS)
		v->seen &= ~SEEN_ROUNDS; /* new ones; the others are said once */
	while (!(v->seen & what))
		check(pthread_cond_timedwait(&v->changed, &v->lock, &until) == 0,
			"the guest said nothing (%d) for %d s, in round %u", (int)what, PATIENCE,
			ram_get(0x8004));
	v->seen &= ~what;
	pthread_mutex_unlock(&v->lock);
}

/* -- libhtabvmm -- */

static int cb_pause(void *opaque)
{
	stop_vcpu(opaque);
	return 0;
}

static int cb_resume(void *opaque)
{
	vm_run(opaque);
	return 0;
}

static const struct htabvmm_ops ops = {.pause = cb_pause, .resume = cb_resume};

static void *library_thread(void *arg)
{
	struct vm *v = arg;
	struct pollfd p[2] = {
		{.fd = htabvmm_fd(v->h), .events = POLLIN}, {.fd = v->wake[0], .events = POLLIN}};

	for (;;) {
		check(poll(p, 2, -1) >= 0 || errno == EINTR, "poll: %s", strerror(errno));
		if (p[1].revents)
			return NULL;
		check(htabvmm_dispatch(v->h) == 0, "htabvmm_dispatch() failed");
	}
}

static void start_library(struct vm *v, bool incoming)
{
	const struct htabvmm_config config = {
		.size = sizeof(config),
		.socket = v->path,
		.name = "e500",
		.uuid = {0xe5, 0},
		.mmu = HTABVMM_MMU_BOOKE,
		.vcpus = 1,
		.vcpu_fds = &v->vcpu_fd,
		.vm_fd = v->vm_fd,
		.incoming = incoming,
		.running = !incoming,
		.ops = &ops,
		.opaque = v,
		.tlbs = &v->tlb,
	};
	int r = htabvmm_new(&config, &v->h);

	check(r == 0, "htabvmm_new(): %s", strerror(-r));
	check(pipe2(v->wake, O_CLOEXEC) == 0, "pipe: %s", strerror(errno));
	check(pthread_create(&v->library, NULL, library_thread, v) == 0, "no thread");
}

/* -- the VM -- */

/* What the host maps: all of memory at 0, the device, and in vm_new() nothing else. */
static void first_entries(struct vm *v)
{
	const struct htabvmm_tlb_entry memory = {
		.mas1 = MAS1_VALID | MAS1_IPROT | MAS1_TSIZE(10), .mas7_3 = 0x15};
	const struct htabvmm_tlb_entry device = {
		.mas1 = MAS1_VALID | MAS1_IPROT | MAS1_TSIZE(2),
		.mas2 = MMIO | 0xa,
		.mas7_3 = MMIO | 0x15,
	};

	check(htabvmm_tlb_set(v->tlb, 1, 0, &memory) == 0, "TLB1 entry 0");
	check(htabvmm_tlb_set(v->tlb, 1, 1, &device) == 0, "TLB1 entry 1");
	check(htabvmm_tlb_flush(v->tlb) == 0, "KVM_DIRTY_TLB");
}

static void first_instruction(struct vm *v)
{
	struct kvm_regs regs;

	memcpy(ram + ENTRY, guest_code, (size_t)(guest_code_end - guest_code));
	memcpy(ram + 0x10000, guest_vectors, (size_t)(guest_vectors_end - guest_vectors));
	for (uint32_t page = 0x40; page < RAM_SIZE >> 12; page++)
		ram_put(page << 12, 0xcafe0000u | page);
	check(ioctl(v->vcpu_fd, KVM_GET_REGS, &regs) == 0, "KVM_GET_REGS");
	regs.pc = ENTRY;
	regs.msr = 0;
	check(ioctl(v->vcpu_fd, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
}

struct vm *vm_new(const char *path, bool incoming)
{
	static const struct htabvmm_tlb_geometry g = {.sizes = {TLB0, TLB1}, .ways = {4, TLB1}};
	struct vm *v = calloc(1, sizeof(*v));
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), r;
	struct kvm_userspace_memory_region memory = {
		.memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram};

	check(v && kvm >= 0, "/dev/kvm: %s", strerror(errno));
	snprintf(v->path, sizeof(v->path), "%s", path);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->changed, NULL);
	v->vm_fd = ioctl(kvm, KVM_CREATE_VM, 0);
	check(v->vm_fd >= 0, "KVM_CREATE_VM: %s", strerror(errno));
	r = ioctl(v->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory);
	check(r == 0, "KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
	v->vcpu_fd = ioctl(v->vm_fd, KVM_CREATE_VCPU, 0);
	check(v->vcpu_fd >= 0, "KVM_CREATE_VCPU: %s", strerror(errno));
	v->run_size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu_fd, 0);
	check(v->run != MAP_FAILED, "mmap of the vCPU: %s", strerror(errno));
	close(kvm);
	check(htabvmm_tlb_new(v->vcpu_fd, &v->tlb) == 0, "no TLB");
	r = htabvmm_tlb_configure(v->tlb, HTABVMM_TLB_FSL_NOHV, &g);
	check(r == 0, "KVM_CAP_SW_TLB: %s", strerror(-r));
	if (!incoming) {
		first_entries(v);
		first_instruction(v);
	}
	check(pthread_create(&v->vcpu, NULL, vcpu_thread, v) == 0, "no thread");
	start_library(v, incoming);
	return v;
}

struct vm *vm_free(struct vm *v)
{
	check(write(v->wake[1], "", 1) == 1, "pipe");
	pthread_join(v->library, NULL);
	v->h = htabvmm_free(v->h);
	stop_vcpu(v);
	pthread_mutex_lock(&v->lock);
	v->quit = true;
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->vcpu, NULL);
	munmap(v->run, v->run_size);
	close(v->vcpu_fd);
	close(v->vm_fd);
	v->tlb = htabvmm_tlb_free(v->tlb);
	close(v->wake[0]);
	close(v->wake[1]);
	pthread_mutex_destroy(&v->lock);
	pthread_cond_destroy(&v->changed);
	free(v);
	return NULL;
}

size_t vm_state(struct vm *v, void *buf, size_t size)
{
	const struct kvm_vm vm = {.vm_fd = v->vm_fd, .vcpu_fds = &v->vcpu_fd, .vcpus = 1};
	struct pack k;
	struct err e;

	pack_init(&k, buf, size);
	check(state_booke_save(&vm, &k, &e) == 0, "%s", e.text);
	check(pack_end(&k) == 0, "the state is larger than %zu bytes", size);
	return k.len;
}

int vm_apply(struct vm *v, const void *buf, size_t size, struct err *e)
{
	const struct kvm_vm vm = {.vm_fd = v->vm_fd, .vcpu_fds = &v->vcpu_fd, .vcpus = 1};

	return state_booke_apply(&vm, buf, size, e);
}
