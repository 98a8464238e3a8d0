/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/source/change.h"

#include <assert.h>
#include <errno.h>

#include "common/clock.h"
#include "daemon/dest/dest.h"
#include "daemon/control/dumphtab.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

/* -- a new generation -- */

/* Nothing that was learned about the old table holds for the new one. */
static void forget_figures(struct migration *m)
{
	m->pass = 0;
	converge_forget(&m->converge);
	m->valid_end = 0;
}

static void begin(struct migration *m)
{
	struct json_object *o = json_object_new_object();

	m->generation++;
	m->change_again = false;
	forget_figures(m);
	log_info("vm %s: its HPT was changed: generation %u, order %u, from pass 1", m->vm_name,
		m->generation, m->order);
	json_object_object_add(o, "generation", json_object_new_int64(m->generation));
	json_object_object_add(o, "order", json_object_new_int64(m->order));
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	server_event(m->srv, m->vm_name, "HPT_GENERATION", o);
	m->hpt = HPT_BARRIER;
	outflow_generation(m->out, m->generation, m->order);
}

static void away_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->hpt == HPT_AWAY && migration_can_cancel(m))
		source_failf(m, -ETIMEDOUT,
			"the VMM of %s announced a change of its HPT and did not make it within %d s",
			m->vm_name, limit_s(LIMIT_TABLE_CHANGE));
}

static void go_away(struct migration *m)
{
	m->hpt = HPT_AWAY;
	migration_away(m, limit_ms(LIMIT_TABLE_CHANGE), away_cb);
}

static void opened_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct htabio *io;

	if (source_open_htab(m, fd, reply, &io) < 0)
		return;
	if (m->change_again || m->change_agreed) { /* an fd of a table of another generation */
		htabio_free(io);
		vm_htab_closed(m->vm, m);
		if (m->change_agreed)
			go_away(m);
		else
			begin(m);
		return;
	}
	m->hpt = HPT_READING;
	outflow_set_htab(m->out, io);
	source_pass_one(m);
}

void change_begun(struct migration *m)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB};

	assert(m->hpt == HPT_BARRIER);
	if (m->change_agreed) {
		go_away(m);
	} else if (m->change_again) {
		begin(m);
	} else {
		m->hpt = HPT_OPENING;
		source_ask(m, &req, opened_cb);
	}
}

/* -- letting go of the old table -- */

static void agree(struct migration *m)
{
	m->change_agreed = true;
	vm_answer_change(m->vm, 0, NULL);
}

static void part(struct migration *m)
{
	m->hpt = HPT_PARTING;
	outflow_part(m->out);
}

void change_parted(struct migration *m)
{
	assert(m->hpt == HPT_PARTING);
	vm_htab_closed(m->vm, m);
	if (m->vm->changes > 0) {
		agree(m);
		go_away(m);
	} else {
		begin(m);
	}
}

void change_flow(struct migration *m)
{
	m->hpt = HPT_READING;
	if (m->change_again)
		part(m);
}

/* May the migration begin anew? If not, it is ended here, and the answer comes when it is over. */
static bool may_restart(struct migration *m)
{
	struct err err;

	if (!m->agreed.settled) /* OPEN will say which order it is */
		return true;
	if (m->save) {
		source_failf(m, -EOPNOTSUPP,
			"the guest of %s changes its HPT while it is saved, and a file has one: save it "
			"again, or set hpt-change to 'refuse'",
			m->vm_name);
		return false;
	}
	if (!(m->agreed.features & WIRE_FEATURE_GENERATION)) {
		source_failf(m, -EOPNOTSUPP,
			"the guest of %s changes its HPT, which the daemon at %s is too old to follow: "
			"migrate again, or set hpt-change to 'refuse'",
			m->vm_name, m->uri_text);
		return false;
	}
	if (m->generation < m->tuning.max_generations)
		return true;
	err_set(&err, -EAGAIN,
		"the guest of %s has changed its HPT %u times on the way and does so again: raise "
		"max-generations, or set hpt-change to 'refuse'",
		m->vm_name, m->generation - 1);
	source_stop(m, MIG_CANCELLED, WIRE_REFUSE_CANCELLED, &err);
	return false;
}

static bool before_pause(const struct migration *m)
{
	return m->state < MIG_PAUSE;
}

static void announced(struct migration *m)
{
	if (!before_pause(m)) {
		vm_answer_change(m->vm, -EBUSY,
			"the migration is at its hand-over: try again when the guest was resumed");
		return;
	}
	if (m->tuning.hpt_change == HPT_CHANGE_REFUSE) {
		vm_answer_change(m->vm, -EBUSY,
			"the guest migrates and hpt-change is 'refuse': try again later");
		return;
	}
	if (!may_restart(m))
		return;
	switch (m->hpt) {
	case HPT_READING: part(m); return;
	case HPT_PARTING: return; /* answered once parted */
	case HPT_NONE:
	case HPT_AWAY:
	case HPT_BARRIER:
	case HPT_OPENING: agree(m); return;
	}
}

/* At the destination a table changes only before a guest arrives, and after it runs. */
static void announced_incoming(struct vm *vm, const struct migration *m)
{
	if (m->state == MIG_IN_RUNNING)
		vm_answer_change(vm, 0, NULL);
	else
		vm_answer_change(vm, -EBUSY, "a guest is arriving: its table is the source's");
}

void change_announced(struct vm *vm, unsigned order)
{
	struct migration *m = vm->migration;

	log_debug("vm %s: its HPT is about to be changed to order %u", vm->reg.name, order);
	vm->changes++;
	if (vm->reg.mmu != MMU_HPT)
		vm_answer_change(vm, -EINVAL, "this VM has no hashed page table");
	else if (dumphtab_busy(vm))
		return; /* when it was read: dumphtab.c */
	else if (!m || (migration_is_final(m) && !m->out))
		vm_answer_change(vm, 0, NULL);
	else if (m->incoming)
		announced_incoming(vm, m);
	else if (m->state != MIG_STOPPING && !migration_is_final(m))
		announced(m);
	/* else: once its threads are joined, by migration_htab_over() */
}

/* -- the table was changed -- */

static void made(struct migration *m, unsigned order)
{
	bool agreed = m->change_agreed;

	m->change_agreed = false;
	if (!agreed || m->hpt == HPT_READING || m->hpt == HPT_PARTING) {
		if (migration_can_cancel(m))
			source_failf(m, -ECANCELED,
				"the HPT of %s was changed before this daemon had let go of it: it took too "
				"long, or was told not to be",
				m->vm_name);
		else
			log_err("vm %s: its HPT was changed during the hand-over", m->vm_name);
		return;
	}
	m->order = order;
	if (m->hpt == HPT_AWAY)
		begin(m);
	else
		m->change_again = m->agreed.settled;
}

void change_made(struct vm *vm, unsigned order)
{
	struct migration *m = vm->migration;

	if (vm->reg.mmu != MMU_HPT)
		return;
	vm->reg.order = order;
	if (!m || migration_is_final(m) || m->state == MIG_STOPPING)
		return;
	if (!m->incoming)
		made(m, order);
	else if (m->state != MIG_IN_RUNNING && migration_can_cancel(m))
		dest_failf(m, -ECANCELED, "the HPT of %s was changed while a guest arrived",
			m->vm_name);
}
