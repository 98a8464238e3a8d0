/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/powerkvm/vm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/htab.h"
#include "vmm/powerkvm/vm_impl.h"

static int map_memory(struct kvm_vm *vm, const struct kvm_vm_config *config)
{
	struct kvm_userspace_memory_region region = {
		.flags = config->dirty_log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.memory_size = config->memory,
	};
	int flags = MAP_SHARED | MAP_ANONYMOUS;
	void *p = mmap(NULL, config->memory, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	vm->memory = p;
	vm->memory_size = config->memory;
	if (madvise(p, config->memory, MADV_NOHUGEPAGE) < 0 && errno != EINVAL)
		return -errno;
	if (config->populate && mlock(p, config->memory) < 0)
		return -errno;
	region.userspace_addr = (uintptr_t)p;
	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

int kvm_vm_new(const struct kvm_vm_config *config, struct kvm_vm **ret_vm)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return -ENOMEM;
	vm->fd = -1;
	vm->paused = true;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0) {
		r = -errno;
		goto fail;
	}
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, (unsigned long)KVM_VM_PPC_HV);
	if (vm->fd < 0) {
		r = -errno;
		goto fail;
	}
	r = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < 0) {
		r = -errno;
		goto fail;
	}
	vm->run_size = (size_t)r;
	r = kvm_vm_allocate_htab(vm, config->order);
	if (r < 0)
		goto fail;
	r = map_memory(vm, config);
	if (r < 0)
		goto fail;
	*ret_vm = vm;
	return 0;
fail:
	kvm_vm_free(vm);
	return r;
}

struct kvm_vm *kvm_vm_free(struct kvm_vm *vm)
{
	if (!vm)
		return NULL;
	kvm_vm_end_threads(vm);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		munmap(vm->vcpus[i]->run, vm->run_size);
		close(vm->vcpus[i]->fd);
		free(vm->vcpus[i]);
	}
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	if (vm->memory)
		munmap(vm->memory, vm->memory_size);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
	return NULL;
}

int kvm_vm_fd(const struct kvm_vm *vm)
{
	return vm->fd;
}

void *kvm_vm_memory(const struct kvm_vm *vm, size_t *ret_size)
{
	*ret_size = vm->memory_size;
	return vm->memory;
}

int kvm_vm_allocate_htab(struct kvm_vm *vm, unsigned order)
{
	uint32_t arg = order;

	if (order < HTAB_ORDER_MIN || order > HTAB_ORDER_MAX)
		return -EINVAL;
	return ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, &arg) < 0 ? -errno : 0;
}

int kvm_vm_prepare_resize(struct kvm_vm *vm, unsigned order)
{
	struct kvm_ppc_resize_hpt arg = {.shift = order};
	int r;

	if (order && !htab_order_ok(order))
		return -EINVAL;
	r = ioctl(vm->fd, KVM_PPC_RESIZE_HPT_PREPARE, &arg);
	return r < 0 ? -errno : r;
}

int kvm_vm_commit_resize(struct kvm_vm *vm, unsigned order)
{
	struct kvm_ppc_resize_hpt arg = {.shift = order};

	return ioctl(vm->fd, KVM_PPC_RESIZE_HPT_COMMIT, &arg) < 0 ? -errno : 0;
}

int kvm_vm_open_htab(struct kvm_vm *vm, uint64_t flags, uint64_t start_index)
{
	struct kvm_get_htab_fd arg = {.flags = flags, .start_index = start_index};
	int fd = ioctl(vm->fd, KVM_PPC_GET_HTAB_FD, &arg);

	return fd < 0 ? -errno : fd;
}

int kvm_vm_enable_hcall(struct kvm_vm *vm, uint64_t nr)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_PPC_ENABLE_HCALL, .args = {nr, 1}};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

int kvm_vm_add_vcpu(struct kvm_vm *vm, unsigned id, struct kvm_vcpu **ret_vcpu)
{
	struct kvm_enable_cap papr = {.cap = KVM_CAP_PPC_PAPR};
	struct kvm_vcpu *vcpu;
	int r;

	if (vm->n_vcpus == KVM_VM_VCPUS_MAX)
		return -ENOSPC;
	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->state = KVM_VCPU_NO_THREAD;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0) {
		r = -errno;
		free(vcpu);
		return r;
	}
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		r = -errno;
		goto fail;
	}
	if (ioctl(vcpu->fd, KVM_ENABLE_CAP, &papr) < 0) {
		r = -errno;
		munmap(vcpu->run, vm->run_size);
		goto fail;
	}
	vm->vcpus[vm->n_vcpus++] = vcpu;
	*ret_vcpu = vcpu;
	return 0;
fail:
	close(vcpu->fd);
	free(vcpu);
	return r;
}

unsigned kvm_vm_vcpus(const struct kvm_vm *vm)
{
	return vm->n_vcpus;
}

struct kvm_vcpu *kvm_vm_vcpu(const struct kvm_vm *vm, unsigned i)
{
	assert(i < vm->n_vcpus);
	return vm->vcpus[i];
}

int kvm_vcpu_fd(const struct kvm_vcpu *vcpu)
{
	return vcpu->fd;
}

unsigned kvm_vcpu_id(const struct kvm_vcpu *vcpu)
{
	return vcpu->id;
}
