/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's table is reset (KVM_PPC_ALLOCATE_HTAB) or resized (KVM_PPC_RESIZE_HPT_PREPARE and
 * _COMMIT), with the library asked before and told after.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/kvmvm/kvmvm.h"

/* The guest goes on, unless a migration holds it: then its end decides. */
static void over(struct kvmvm *m, const char *event, const char *text)
{
	bool run = m->change.ran && htabvmm_may_run(m->h);

	m->change = (struct kvmvm_change){.wait_ms = -1};
	kvmvm_print_event(m, event, text);
	if (run)
		kvm_vm_resume(m->guest.vm);
}

static void refused(struct kvmvm *m, const char *text)
{
	if (m->change.wish.kind == WISH_RESIZE)
		kvm_vm_prepare_resize(m->guest.vm, 0);
	over(m, "htab-refused", text);
}

/* Whatever KVM does: the guest begins anew with the table that it leaves. */
static void make(struct kvmvm *m)
{
	struct kvmvm_guest *g = &m->guest;
	unsigned order = m->change.wish.order ? m->change.wish.order : g->order;
	char text[128] = "";
	int r, again;

	if (m->change.wish.kind == WISH_RESET)
		r = kvm_vm_allocate_htab(g->vm, order);
	else
		r = kvm_vm_commit_resize(g->vm, order);
	if (r < 0)
		snprintf(text, sizeof(text), "order %u: %s", order, strerror(-r));
	again = kvmvm_guest_restart(g, r < 0 ? g->order : order);
	htabvmm_htab_changed(m->h, g->order);
	if (again < 0) {
		snprintf(text, sizeof(text), "it cannot begin anew: %s", strerror(-again));
		kvmvm_guest_sick(g, text);
		return;
	}
	over(m, r < 0 ? "htab-kept" : "htab-changed", text);
}

void change_answer(void *opaque, int error, const char *text)
{
	struct kvmvm *m = opaque;

	m->change.asked = false;
	if (error < 0)
		refused(m, text);
	else
		make(m);
}

static void ask(struct kvmvm *m)
{
	unsigned order = m->change.wish.order;
	int r;

	m->change.ran = !kvm_vm_paused(m->guest.vm);
	kvm_vm_pause(m->guest.vm);
	r = htabvmm_htab_change(m->h, order ? order : m->guest.order);
	m->change.asked = r == HTABVMM_LATER;
	if (r == 0)
		make(m);
	else if (r < 0)
		refused(m, strerror(-r));
}

/* The guest runs on while KVM makes a table of the new size. */
static void prepare(struct kvmvm *m)
{
	int r = kvm_vm_prepare_resize(m->guest.vm, m->change.wish.order);

	m->change.wait_ms = r > 0 ? r : -1;
	if (r == 0)
		ask(m);
	else if (r < 0)
		over(m, "htab-kept", strerror(-r));
}

void change_wished(struct kvmvm *m, struct wish wish)
{
	if (m->change.wish.kind != WISH_NONE) {
		kvmvm_print_event(m, "htab-refused", "another change is under way");
		return;
	}
	m->change = (struct kvmvm_change){.wish = wish, .wait_ms = -1};
	if (wish.kind == WISH_RESIZE)
		prepare(m);
	else
		ask(m);
}

int change_wait_ms(const struct kvmvm *m)
{
	return m->change.wish.kind == WISH_RESIZE ? m->change.wait_ms : -1;
}

void change_waited(struct kvmvm *m)
{
	if (m->change.wish.kind == WISH_RESIZE && m->change.wait_ms >= 0)
		prepare(m);
}
