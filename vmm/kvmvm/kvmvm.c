/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/kvmvm/kvmvm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/fd.h"

const char vmm_program[] = "htab-kvmvm";

void kvmvm_print_event(struct kvmvm *m, const char *event, const char *text)
{
	struct vmm_figures f;

	kvmvm_guest_figures(&m->guest, &f);
	vmm_print_event(event, text, &f);
}

static int fail(const struct err *e)
{
	fprintf(stderr, "%s: %s\n", vmm_program, e->text);
	return e->code;
}

/* -- libhtabvmm's callbacks ------------------------------------------------------------------- */

static int do_pause(void *opaque)
{
	struct kvmvm *m = opaque;

	kvm_vm_pause(m->guest.vm);
	return 0;
}

static int do_resume(void *opaque)
{
	struct kvmvm *m = opaque;
	char why[KVMVM_WHY_MAX];
	int r = kvmvm_devices_check(&m->guest, why);

	if (r < 0) {
		kvmvm_guest_sick(&m->guest, why);
		return r;
	}
	if (!m->stays)
		kvm_vm_resume(m->guest.vm);
	return 0;
}

static int do_reset_htab(void *opaque, unsigned order)
{
	struct kvmvm *m = opaque;
	int r = kvm_vm_allocate_htab(m->guest.vm, order);

	if (r == 0)
		m->guest.order = order;
	return r;
}

static int do_throttle(void *opaque, unsigned percent)
{
	struct kvmvm *m = opaque;

	return kvm_vm_throttle(m->guest.vm, percent);
}

static int do_save(void *opaque, struct htabvmm_state *state)
{
	struct kvmvm *m = opaque;

	return kvmvm_memory_save(m->guest.memory, m->guest.size, state);
}

static int do_load(void *opaque, const char *name, uint32_t version, const void *data, size_t size)
{
	struct kvmvm *m = opaque;
	struct err e;

	if (strcmp(name, KVMVM_BLOB_NAME) != 0)
		return -ENOTSUP;
	if (kvmvm_memory_load(m->guest.memory, m->guest.size, version, data, size, &e) < 0)
		return fail(&e);
	return 0;
}

static void do_event(void *opaque, enum htabvmm_event event, const char *text)
{
	struct kvmvm *m = opaque;

	kvmvm_print_event(m, vmm_event_name(event), text);
	if (event == HTABVMM_STARTED)
		kvmvm_guest_arrived(&m->guest);
	if (event == HTABVMM_MIGRATED)
		m->over = true;
}

static const struct htabvmm_ops ops = {
	.pause = do_pause,
	.resume = do_resume,
	.reset_htab = do_reset_htab,
	.throttle = do_throttle,
	.htab_answer = change_answer,
	.save = do_save,
	.load = do_load,
	.event = do_event,
};

/* -- the process ------------------------------------------------------------------------------ */

static int connect_daemon(struct kvmvm *m)
{
	struct htabvmm_config c = {
		.size = sizeof(c),
		.socket = m->o.socket,
		.name = m->o.name,
		.mmu = HTABVMM_MMU_HPT,
		.hpt_order = m->o.order,
		.vcpus = m->o.vcpus,
		.vcpu_fds = m->guest.fds,
		.vm_fd = kvm_vm_fd(m->guest.vm),
		.incoming = m->o.incoming,
		.running = !m->o.incoming,
		.ops = &ops,
		.opaque = m,
	};
	struct err e;
	int r;

	memcpy(c.uuid, m->o.uuid.b, sizeof(c.uuid));
	r = htabvmm_new(&c, &m->h);
	if (r == 0)
		r = kvmvm_devices_add(&m->guest, m->h);
	if (r < 0) {
		err_set(&e, r, "cannot prepare for %s: %s", c.socket ? c.socket : HTABVMM_SOCKET,
			strerror(-r));
		return fail(&e);
	}
	return 0;
}

/* Blocked in every thread; the one that kicks vCPUs is another. */
static int catch_signals(struct kvmvm *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->signals < 0 ? -errno : 0;
}

/* --stay is over: what has arrived runs, what arrives from now on runs at once. */
static void go_on(struct kvmvm *m)
{
	m->stays = false;
	if (htabvmm_may_run(m->h))
		kvm_vm_resume(m->guest.vm);
}

static void print_status(struct kvmvm *m)
{
	char text[KVMVM_WHY_MAX];

	kvmvm_guest_taken(&m->guest, text);
	kvmvm_print_event(m, "status", text);
}

static void take_signal(struct kvmvm *m)
{
	struct signalfd_siginfo info;

	while (read(m->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			print_status(m);
		else if (info.ssi_signo == SIGUSR2)
			go_on(m);
		else
			m->over = true;
	}
}

static void take_sickness(struct kvmvm *m)
{
	char why[sizeof(m->guest.why)];

	kvmvm_guest_why(&m->guest, why);
	fprintf(stderr, "%s: the guest's check of itself failed: %s\n", vmm_program, why);
	m->status = KVMVM_EXIT_SELFCHECK;
	m->over = true;
}

static int run(struct kvmvm *m)
{
	struct pollfd p[4] = {
		{.fd = htabvmm_fd(m->h), .events = POLLIN},
		{.fd = m->signals, .events = POLLIN},
		{.fd = m->guest.sick_fd, .events = POLLIN},
		{.fd = m->monitor.fd, .events = POLLIN},
	};
	struct wish wish;
	int r = 0, n;

	while (!m->over && r == 0) {
		n = poll(p, 4, change_wait_ms(m));
		if (n < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (n == 0)
			change_waited(m);
		if (p[1].revents)
			take_signal(m);
		if (p[2].revents)
			take_sickness(m);
		while (p[3].revents && monitor_next(&m->monitor, &wish))
			change_wished(m, wish);
		if (p[0].revents && !m->over)
			r = htabvmm_dispatch(m->h);
	}
	return r;
}

/* Stops the vCPUs before the table and the counters are read for the last time. */
static void finish(struct kvmvm *m)
{
	struct err e = {0};

	if (m->h) {
		kvm_vm_pause(m->guest.vm);
		/* A check may have failed since, or at the very end. */
		if (m->status == 0 && atomic_load(&m->guest.errors))
			take_sickness(m);
		if (m->status == 0 && m->o.dump && kvmvm_dump(&m->guest, m->o.dump, &e) < 0) {
			fail(&e);
			m->status = EXIT_FAILURE;
		}
		kvmvm_print_event(m, "exit", "");
	}
	m->h = htabvmm_free(m->h);
	kvmvm_guest_free(&m->guest);
	monitor_close(&m->monitor);
	fd_close(m->signals);
}

int main(int argc, char **argv)
{
	static struct kvmvm m = {.signals = -1, .guest.sick_fd = -1, .monitor.fd = -1};
	int r = fd_open_standard();
	struct err e;

	if (r < 0)
		return EXIT_FAILURE;
	r = kvmvm_opts_parse(argc, argv, &m.o);
	if (r != 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	m.stays = m.o.stay;
	r = catch_signals(&m);
	if (r == 0 && m.o.monitor)
		r = monitor_open(&m.monitor, m.o.monitor);
	if (r == 0) {
		r = kvmvm_guest_new(&m.guest, &m.o, &e);
		if (r < 0)
			fail(&e);
	}
	if (r == 0)
		r = connect_daemon(&m);
	if (r == 0) {
		if (!m.o.incoming)
			kvm_vm_resume(m.guest.vm);
		r = run(&m);
	}
	if (r < 0 && m.status == 0)
		m.status = EXIT_FAILURE;
	finish(&m);
	return m.status;
}
