/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/htabvmm.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "proto/processor.h"
#include "vmm/lib/impl.h"
#include "vmm/kvm/booke.h"
#include "vmm/kvm/state.h"

static_assert(HTABVMM_NAME_MAX == VM_NAME_MAX, "one limit");
static_assert((int)HTABVMM_MMU_HPT == (int)MMU_HPT, "one number");
static_assert((int)HTABVMM_MMU_BOOKE == (int)MMU_BOOKE, "one number");

/* The table: an HPT of KVM's or of the VMM's own, or TLBs. */
static bool table_ok(const struct htabvmm_config *c)
{
	if (c->mmu == HTABVMM_MMU_BOOKE)
		return c->hpt_order == 0 && c->tlbs;
	return c->mmu == HTABVMM_MMU_HPT && !c->tlbs && c->hpt_order >= HTAB_ORDER_MIN &&
		c->hpt_order <= HTAB_ORDER_MAX &&
		(c->vm_fd >= 0 || (c->ops->open_htab && c->ops->reset_htab));
}

static int check_config(const struct htabvmm_config *c)
{
	const char *socket_path = c->socket ? c->socket : HTABVMM_SOCKET;

	if (c->size != sizeof(*c) || !c->name || !vm_name_ok(c->name) || c->vcpus < 1 ||
		c->vcpus > VMM_VCPUS_MAX || (c->incoming && c->running) || !c->ops ||
		!c->ops->pause || !c->ops->resume)
		return -EINVAL;
	if (!socket_path[0] || strlen(socket_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	if (c->vm_fd >= 0 && !c->vcpu_fds)
		return -EINVAL;
	return table_ok(c) ? 0 : -EINVAL;
}

static int copy_config(struct htabvmm *h, const struct htabvmm_config *c)
{
	struct err ignored;

	h->addr.sun_family = AF_UNIX;
	snprintf(h->addr.sun_path, sizeof(h->addr.sun_path), "%s",
		c->socket ? c->socket : HTABVMM_SOCKET);
	snprintf(h->name, sizeof(h->name), "%s", c->name);
	memcpy(h->uuid.b, c->uuid, sizeof(h->uuid.b));
	h->pvr = c->pvr;
	h->kvm = (struct kvm_vm){.vm_fd = c->vm_fd, .vcpus = c->vcpus, .order = c->hpt_order};
	h->mmu = (enum mmu_kind)c->mmu;
	h->hpt_order = c->hpt_order;
	h->ops = c->ops;
	h->opaque = c->opaque;
	h->incoming = c->incoming;
	h->running = c->running;
	h->may_run = !c->incoming;
	h->lease = VMM_LEASE_MS * NS_PER_MS;
	h->change_ns = VMM_CHANGE_MS * NS_PER_MS;
	if (c->vcpu_ids)
		h->vcpu_ids = processor_vcpu_ids(c->vcpu_ids, c->vcpus);
	if (c->vm_fd < 0)
		return 0;
	h->kvm.vcpu_fds = calloc(c->vcpus, sizeof(int));
	if (!h->kvm.vcpu_fds)
		return -ENOMEM;
	memcpy((int *)(uintptr_t)h->kvm.vcpu_fds, c->vcpu_fds, c->vcpus * sizeof(int));
	if (c->vcpu_ids) {
		h->kvm.vcpu_ids = calloc(c->vcpus, sizeof(unsigned));
		if (!h->kvm.vcpu_ids)
			return -ENOMEM;
		memcpy((unsigned *)(uintptr_t)h->kvm.vcpu_ids, c->vcpu_ids,
			c->vcpus * sizeof(unsigned));
	}
	if (h->mmu == MMU_BOOKE)
		return h->pvr ? 0 : state_booke_pvr(&h->kvm, &h->pvr, &ignored);
	state_kvm_prepare(&h->kvm);
	h->compat = h->incoming ? state_kvm_newest_compat(&h->kvm) : state_kvm_compat(&h->kvm);
	return h->pvr ? 0 : kvm_pvr(&h->kvm, &h->pvr, &ignored);
}

/* Wake up at `at` ns of clock_ns(); 0: never. */
static void arm(struct htabvmm *h, uint64_t at)
{
	struct itimerspec t = {.it_value = {
				       .tv_sec = (time_t)(at / NS_PER_SEC),
				       .tv_nsec = (long)(at % NS_PER_SEC),
			       }};
	int r = timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &t, NULL);

	assert(r == 0);
}

static int open_fds(struct htabvmm *h)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = -1};

	h->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (h->epfd < 0)
		return -errno;
	h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (h->timer < 0 || epoll_ctl(h->epfd, EPOLL_CTL_ADD, h->timer, &ev) < 0)
		return -errno;
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->wake < 0 || epoll_ctl(h->epfd, EPOLL_CTL_ADD, h->wake, &ev) < 0)
		return -errno;
	return 0;
}

int htabvmm_new(const struct htabvmm_config *config, struct htabvmm **ret)
{
	struct htabvmm *h;
	int r = check_config(config);

	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->epfd = h->sock = h->timer = h->wake = -1;
	r = copy_config(h, config);
	if (r == 0)
		r = open_fds(h);
	if (r == 0 && h->mmu == MMU_BOOKE)
		r = tlbsocks_init(&h->tlbs, config->tlbs, config->vcpus, h->epfd);
	if (r < 0) {
		htabvmm_free(h);
		return r;
	}
	h->retry_at = clock_ns();
	arm(h, h->retry_at);
	*ret = h;
	return 0;
}

struct htabvmm *htabvmm_free(struct htabvmm *h)
{
	if (!h)
		return NULL;
	assert(!h->inside);
	for (unsigned i = 0; i < h->n_waiting; i++)
		fd_close(h->waiting[i].fd);
	tlbsocks_fini(&h->tlbs);
	fd_close(h->sock);
	fd_close(h->timer);
	fd_close(h->wake);
	fd_close(h->epfd);
	devices_free(&h->devices);
	tces_free(&h->tces);
	free((int *)(uintptr_t)h->kvm.vcpu_fds);
	free((unsigned *)(uintptr_t)h->kvm.vcpu_ids);
	free(h);
	return NULL;
}

/* A list that a migration goes by does not change. */
static bool busy(struct htabvmm *h)
{
	return source_holds(h) || h->work != WORK_NONE ||
		sessions_in(&h->sessions, SESSION_LOADING) ||
		sessions_in(&h->sessions, SESSION_READY);
}

int htabvmm_add_device(struct htabvmm *h, const struct htabvmm_device *device)
{
	if (busy(h))
		return -EBUSY;
	return devices_add(&h->devices, device, h->kvm.vcpu_fds, h->kvm.vcpus);
}

int htabvmm_add_tce(struct htabvmm *h, const struct htabvmm_tce *table)
{
	return busy(h) ? -EBUSY : tces_add(&h->tces, table);
}

int htabvmm_fd(const struct htabvmm *h)
{
	return h->epfd;
}

/* The connection ended and everything that came over it is handled. */
static void lost(struct htabvmm *h)
{
	bool registered = h->registered;

	lib_unthrottle(h);
	source_alone(h, ASK_LOST);
	if (h->sock >= 0)
		conn_close(h);
	htab_lost(h);
	dest_lost(h);
	if (registered)
		lib_tell(h, HTABVMM_DISCONNECTED, "the connection to the daemon ended");
}

static uint64_t next_wake(const struct htabvmm *h)
{
	uint64_t at = h->sock < 0 && !h->gone && h->change == CHANGE_NONE ? h->retry_at : 0;

	if (h->lease_at && (!at || h->lease_at < at))
		at = h->lease_at;
	if (h->change_at && (!at || h->change_at < at))
		at = h->change_at;
	return at;
}

static int drain(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	return 0;
}

int htabvmm_dispatch(struct htabvmm *h)
{
	bool more;
	int r;

	assert(!h->inside);
	r = drain(h->timer);
	if (r == 0)
		r = drain(h->wake);
	if (r < 0)
		return r;
	h->inside = true;
	request_continue(h);
	more = conn_receive(h);
	tlbsocks_dispatch(&h->tlbs);
	if (h->ended)
		htab_unanswered(h, "the connection to the daemon ended");
	else if (!more && h->change_at && clock_ns() >= h->change_at)
		htab_unanswered(h, "the daemon did not answer in time: its migration fails");
	/* Only now: whatever was queued counts, however late this process came to read it. */
	if (h->ended && h->sock >= 0 && !request_pending(h))
		lost(h);
	if (!more && h->lease_at && clock_ns() >= h->lease_at)
		source_alone(h, ASK_LEASE_OVER);
	/* Not with an order that is no longer the table's when this is read. */
	if (h->sock < 0 && !h->gone && h->change == CHANGE_NONE && clock_ns() >= h->retry_at)
		conn_start(h);
	arm(h, next_wake(h));
	h->inside = false;
	return 0;
}

int htabvmm_complete(struct htabvmm *h, int error)
{
	uint64_t one = 1;

	if (h->work == WORK_NONE || h->work_over || error > 0)
		return -EINVAL;
	h->work_over = true;
	h->work_error = error;
	return write(h->wake, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
}

int htabvmm_set_running(struct htabvmm *h, int running, const char *why)
{
	/* `work`: a guest that arrives is being started. */
	if (source_holds(h) || h->gone || h->incoming || h->work != WORK_NONE)
		return -EBUSY;
	if (h->running == !!running)
		return 0;
	h->running = running;
	conn_event(h, running ? VMM_EVENT_RESUMED : VMM_EVENT_STOPPED, NULL, why ? why : "");
	return 0;
}

int htabvmm_set_compat(struct htabvmm *h, uint32_t mode)
{
	char text[PROCESSOR_TEXT];

	if (!processor_compat_ok(mode))
		return -EINVAL;
	if (h->incoming || h->gone)
		return -EBUSY;
	if (mode == h->compat)
		return 0;
	h->compat = mode;
	processor_format(mode, text);
	conn_event(h, VMM_EVENT_COMPAT, NULL, text);
	return 0;
}

int htabvmm_may_run(const struct htabvmm *h)
{
	return atomic_load(&h->may_run);
}

void htabvmm_test_lease(struct htabvmm *h, uint64_t ms)
{
	h->lease = ms * NS_PER_MS;
}

void htabvmm_test_change(struct htabvmm *h, uint64_t ms)
{
	h->change_ns = ms * NS_PER_MS;
}
