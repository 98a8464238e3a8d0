/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPU threads: running, kicking out of the guest, parking. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "vmm/powerkvm/vm_impl.h"

/* What interrupts KVM_RUN. Its handler does nothing: that KVM_RUN gives EINTR is enough. */
#define KICK_SIGNAL (SIGRTMIN + 1)

static void kicked(int signal)
{
	(void)signal;
}

static void install_handler(void)
{
	struct sigaction sa = {.sa_handler = kicked}; /* no SA_RESTART */

	sigemptyset(&sa.sa_mask);
	sigaction(KICK_SIGNAL, &sa, NULL);
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_run **ret_run)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0) < 0)
		return -errno;
	*ret_run = vcpu->run;
	return 0;
}

/* Out of the guest at once, also when it is about to enter: the flag is read by KVM_RUN itself. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

/*
 * What an exit left to be done (a hypercall's result, an MMIO load's value) is completed at the
 * beginning of the next KVM_RUN. Registers are final only after that.
 */
static void complete_exit(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
	ioctl(vcpu->fd, KVM_RUN, 0);
}

/* Wait until the vCPU may run; false when its thread shall end. */
static bool wait_to_run(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;
	bool go;

	pthread_mutex_lock(&vm->lock);
	kvm_throttle_stand(vcpu);
	if ((vm->paused || vm->ending) && vcpu->state == KVM_VCPU_RUNNING) {
		pthread_mutex_unlock(&vm->lock);
		complete_exit(vcpu);
		pthread_mutex_lock(&vm->lock);
	}
	while (vm->paused && !vm->ending) {
		vcpu->state = KVM_VCPU_PARKED;
		pthread_cond_broadcast(&vm->changed);
		pthread_cond_wait(&vm->changed, &vm->lock);
	}
	go = !vm->ending;
	if (go) {
		vcpu->state = KVM_VCPU_RUNNING;
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&vm->lock);
	return go;
}

static void *vcpu_thread(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	struct kvm_run *run = vcpu->run;
	int error = 0;

	while (wait_to_run(vcpu)) {
		error = kvm_vcpu_run(vcpu, &run);
		if (error == -EINTR || error == -EAGAIN) {
			error = 0;
			continue;
		}
		if (error < 0)
			break;
		if (vcpu->exit(vcpu, run, vcpu->arg) == KVM_VCPU_STOP) {
			complete_exit(vcpu);
			break;
		}
	}
	pthread_mutex_lock(&vcpu->vm->lock);
	vcpu->error = error;
	vcpu->state = KVM_VCPU_ENDED;
	pthread_cond_broadcast(&vcpu->vm->changed);
	pthread_mutex_unlock(&vcpu->vm->lock);
	if (error < 0)
		vcpu->exit(vcpu, NULL, vcpu->arg);
	return NULL;
}

int kvm_vcpu_start(struct kvm_vcpu *vcpu, kvm_vcpu_exit_fn *exit, void *arg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct kvm_vm *vm = vcpu->vm;
	int r;

	assert(vcpu->state == KVM_VCPU_NO_THREAD);
	pthread_once(&once, install_handler);
	vcpu->exit = exit;
	vcpu->arg = arg;
	pthread_mutex_lock(&vm->lock);
	vcpu->state = KVM_VCPU_PARKED;
	r = -pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
	if (r < 0)
		vcpu->state = KVM_VCPU_NO_THREAD;
	pthread_mutex_unlock(&vm->lock);
	return r;
}

int kvm_vcpu_error(const struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;
	int r;

	pthread_mutex_lock(&vm->lock);
	r = vcpu->state == KVM_VCPU_ENDED ? vcpu->error : 1;
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static struct kvm_vcpu *find_running(struct kvm_vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpus[i]->state == KVM_VCPU_RUNNING)
			return vm->vcpus[i];
	return NULL;
}

void kvm_vm_pause(struct kvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->paused = true;
	pthread_cond_broadcast(&vm->changed); /* for those that are throttled */
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpus[i]->state == KVM_VCPU_RUNNING)
			kvm_vcpu_kick(vm->vcpus[i]);
	while (find_running(vm))
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
}

void kvm_vm_resume(struct kvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->paused = false;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

bool kvm_vm_paused(struct kvm_vm *vm)
{
	bool paused;

	pthread_mutex_lock(&vm->lock);
	paused = vm->paused;
	pthread_mutex_unlock(&vm->lock);
	return paused;
}

void kvm_vm_end_threads(struct kvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->ending = true;
	pthread_cond_broadcast(&vm->changed);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpus[i]->state == KVM_VCPU_RUNNING)
			kvm_vcpu_kick(vm->vcpus[i]);
	pthread_mutex_unlock(&vm->lock);
	kvm_throttle_end(vm);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpus[i]->state != KVM_VCPU_NO_THREAD)
			pthread_join(vm->vcpus[i]->thread, NULL);
}
