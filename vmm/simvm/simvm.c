/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/simvm/simvm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "vmm/tool/hptfile.h"
#include "vmm/lib/impl.h"
#include "vmm/tool/options.h"

#define EXIT_DIED 9 /* --die-at */

const char vmm_program[] = "htab-simvm";

/* -- events ----------------------------------------------------------------------------------- */

void simvm_print_event(struct simvm *m, const char *event, const char *text)
{
	struct vmm_figures f = {
		.counter = guest_counter(&m->guest),
		.changes = guest_changes(&m->guest),
		.errors = atomic_load(&m->guest.sick),
		.running = guest_runs(&m->guest),
	};

	vmm_print_event(event, text, &f);
}

static void die_at(const struct simvm *m, enum simvm_step step)
{
	if (m->o.die_at == step)
		_exit(EXIT_DIED);
}

/* -- libhtabvmm's callbacks ------------------------------------------------------------------- */

static int do_pause(void *opaque)
{
	struct simvm *m = opaque;

	die_at(m, STEP_PAUSE);
	if (!m->o.stall_pause) {
		m->pausing = true;
		guest_stop(&m->guest);
	}
	return HTABVMM_LATER;
}

static int do_resume(void *opaque)
{
	struct simvm *m = opaque;

	if (m->guest.arrived && !guest_check(&m->guest))
		return -EBADMSG;
	m->guest.arrived = false;
	guest_run(&m->guest);
	return 0;
}

static int do_inactivate(void *opaque)
{
	die_at(opaque, STEP_COMMITTING);
	return 0;
}

static int do_activate(void *opaque)
{
	struct simvm *m = opaque;

	die_at(m, STEP_RUN);
	return m->o.fail_activate ? -EIO : 0;
}

static int do_open_htab(void *opaque, uint32_t flags, uint64_t start_index, int *ret_fd)
{
	struct simvm *m = opaque;

	return simvm_htab_open(m->htab, flags, start_index, ret_fd);
}

static int do_reset_htab(void *opaque, unsigned order)
{
	struct simvm *m = opaque;

	return order > m->o.max_order ? -ENOMEM : swhpt_reset(m->hpt, order);
}

static int do_save(void *opaque, struct htabvmm_state *state)
{
	struct simvm *m = opaque;

	die_at(m, STEP_STATE);
	return guest_save(&m->guest, state);
}

static int do_load(void *opaque, const char *name, uint32_t version, const void *data, size_t size)
{
	struct simvm *m = opaque;

	die_at(m, STEP_STATE);
	if (m->o.refuse_state)
		return -EPERM;
	return guest_load(&m->guest, name, version, data, size, m->o.rate_set);
}

static int do_load_reg(
	void *opaque, unsigned vcpu, uint64_t one_reg_id, const void *value, size_t size)
{
	struct simvm *m = opaque;

	return guest_load_reg(&m->guest, vcpu, one_reg_id, value, size);
}

static int do_throttle(void *opaque, unsigned percent)
{
	struct simvm *m = opaque;

	atomic_store(&m->guest.throttle, percent);
	return 0;
}

static void do_event(void *opaque, enum htabvmm_event event, const char *text)
{
	struct simvm *m = opaque;

	if (event == HTABVMM_DEAD)
		m->guest.arrived = false;
	simvm_print_event(m, vmm_event_name(event), text);
	if (event == HTABVMM_MIGRATED)
		m->over = true;
	if (event == HTABVMM_LOADING)
		die_at(m, STEP_LOADING);
	if (event == HTABVMM_READY)
		die_at(m, STEP_READY);
}

static const struct htabvmm_ops ops = {
	.pause = do_pause,
	.resume = do_resume,
	.inactivate = do_inactivate,
	.activate = do_activate,
	.open_htab = do_open_htab,
	.reset_htab = do_reset_htab,
	.htab_answer = change_answer,
	.save = do_save,
	.load = do_load,
	.load_reg = do_load_reg,
	.throttle = do_throttle,
	.event = do_event,
};

/* -- the process ------------------------------------------------------------------------------ */

static int fail(const struct err *e)
{
	fprintf(stderr, "htab-simvm: %s\n", e->text);
	return e->code;
}

/* The table and, for a source, what is in it. */
static int make_guest(struct simvm *m)
{
	struct err e = {0};
	uint8_t *flat = NULL;
	unsigned order = m->o.order;
	uint64_t at;
	int r = 0;

	if (m->o.hpt && hptfile_read(m->o.hpt, &flat, &order, &e) < 0)
		return fail(&e);
	if (m->o.order_set && order != m->o.order)
		r = err_set(&e, -EINVAL, "%s has order %u, not %u as --order says", m->o.hpt, order,
			m->o.order);
	m->o.order = order;
	if (r == 0)
		r = swhpt_new(order, &m->hpt);
	if (r == 0)
		r = guest_new(&m->guest, m->hpt, &m->o);
	if (r == 0)
		m->htab = simvm_htab_new(m->hpt, &m->o);
	if (r < 0 || !m->htab) {
		free(flat);
		if (!e.code)
			err_set(&e, r < 0 ? r : -ENOMEM,
				"cannot make a guest with a table of order "
				"%u: %s",
				order, strerror(r < 0 ? -r : ENOMEM));
		return fail(&e);
	}
	if (flat) {
		r = swhpt_load_flat(m->hpt, flat, (size_t)1 << order, &at);
		if (r < 0)
			err_set(&e, r, "%s: entry %llu is refused: %s", m->o.hpt,
				(unsigned long long)at, strerror(-r));
	} else if (!m->o.incoming) {
		guest_fill(&m->guest, m->o.fill);
	}
	free(flat);
	return r < 0 ? fail(&e) : 0;
}

static int make_booke_guest(struct simvm *m)
{
	int r = guest_new(&m->guest, NULL, &m->o);

	if (r < 0) {
		fprintf(stderr, "htab-simvm: cannot make a BookE guest: %s\n", strerror(-r));
		return r;
	}
	if (!m->o.incoming)
		guest_fill_tlbs(&m->guest);
	return 0;
}

static int connect_daemon(struct simvm *m)
{
	struct htabvmm_config c = {
		.size = sizeof(c),
		.socket = m->o.socket,
		.name = m->o.name,
		.mmu = HTABVMM_MMU_HPT,
		.hpt_order = m->o.order,
		.vcpus = m->o.vcpus,
		.vm_fd = -1,
		.pvr = SIMVM_PVR,
		.incoming = m->o.incoming,
		.running = !m->o.incoming,
		.ops = &ops,
		.opaque = m,
	};
	struct err e;
	int r;

	if (m->o.booke) {
		c.mmu = HTABVMM_MMU_BOOKE;
		c.hpt_order = 0;
		c.tlbs = m->guest.tlb;
		c.pvr = SIMVM_PVR_BOOKE;
	}
	memcpy(c.uuid, m->o.uuid.b, sizeof(c.uuid));
	r = htabvmm_new(&c, &m->h);
	if (r < 0) {
		err_set(&e, r, "cannot prepare for %s: %s", c.socket ? c.socket : HTABVMM_SOCKET,
			strerror(-r));
		return fail(&e);
	}
	m->guest.vmm = m->h;
	if (m->o.lease_ms)
		htabvmm_test_lease(m->h, m->o.lease_ms);
	if (m->o.change_ms)
		htabvmm_test_change(m->h, m->o.change_ms);
	return 0;
}

static int catch_signals(struct simvm *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->signals < 0 ? -errno : 0;
}

static void take_signal(struct simvm *m)
{
	struct signalfd_siginfo info;

	while (read(m->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			simvm_print_event(m, "status", "");
		else
			m->over = true;
	}
}

static void vcpus_stopped(struct simvm *m)
{
	uint64_t n;

	if (read(m->guest.stopped_fd, &n, sizeof(n)) < 0)
		return;
	if (m->pausing)
		htabvmm_complete(m->h, 0);
	m->pausing = false;
	change_stopped(m);
}

static int run(struct simvm *m)
{
	struct pollfd p[4] = {
		{.fd = htabvmm_fd(m->h), .events = POLLIN},
		{.fd = m->signals, .events = POLLIN},
		{.fd = m->guest.stopped_fd, .events = POLLIN},
		{.fd = m->monitor.fd, .events = POLLIN},
	};
	struct wish wish;

	while (!m->over) {
		int r = 0;

		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			take_signal(m);
		if (p[2].revents)
			vcpus_stopped(m);
		while (p[3].revents && monitor_next(&m->monitor, &wish))
			change_wished(m, wish);
		if (p[0].revents)
			r = htabvmm_dispatch(m->h);
		if (r < 0)
			return r;
		if (atomic_load(&m->guest.sick)) {
			m->status = SIMVM_EXIT_SELFCHECK;
			return 0;
		}
	}
	return 0;
}

static int dump_hpt(struct simvm *m)
{
	unsigned order = swhpt_order(m->hpt);
	size_t len = (size_t)1 << order;
	uint8_t *flat = malloc(len);
	struct err e = {0};
	int r = flat ? swhpt_save_flat(m->hpt, flat, len) : -ENOMEM;

	if (r < 0)
		err_set(&e, r, "cannot take the table out for %s: %s", m->o.dump, strerror(-r));
	else
		hptfile_write(m->o.dump, flat, order, &e);
	free(flat);
	return e.code < 0 ? fail(&e) : 0;
}

static int dump(struct simvm *m)
{
	struct err e;
	int r;

	if (!m->o.booke)
		return dump_hpt(m);
	r = guest_dump_tlbs(&m->guest, m->o.dump);
	if (r == 0)
		return 0;
	err_set(&e, r, "cannot write %s: %s", m->o.dump, strerror(-r));
	return fail(&e);
}

/* Ends every thread before the table is read for the last time. */
static void finish(struct simvm *m)
{
	bool made = m->made;

	if (made)
		guest_free(&m->guest);
	m->htab = simvm_htab_free(m->htab);
	if (made && m->h && m->status == 0 && m->o.dump && dump(m) < 0)
		m->status = EXIT_FAILURE;
	if (made && m->h)
		simvm_print_event(m, "exit", "");
	m->h = htabvmm_free(m->h);
	m->hpt = swhpt_free(m->hpt);
	guest_free_tlbs(&m->guest);
	monitor_close(&m->monitor);
	fd_close(m->signals);
}

int main(int argc, char **argv)
{
	static struct simvm m = {.signals = -1, .monitor.fd = -1};
	int r = fd_open_standard();

	if (r < 0)
		return EXIT_FAILURE;
	r = simvm_opts_parse(argc, argv, &m.o);
	if (r != 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	r = catch_signals(&m);
	if (r == 0 && m.o.monitor)
		r = monitor_open(&m.monitor, m.o.monitor);
	if (r == 0)
		r = m.o.booke ? make_booke_guest(&m) : make_guest(&m);
	m.made = r == 0;
	if (r == 0)
		r = connect_daemon(&m);
	if (r == 0) {
		if (!m.o.incoming)
			guest_run(&m.guest);
		r = run(&m);
	}
	if (r < 0 && m.status == 0)
		m.status = EXIT_FAILURE;
	finish(&m);
	return m.status;
}
