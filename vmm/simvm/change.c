/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's table is reset or resized: what a guest's boot, or its H_RESIZE_HPT_COMMIT, does. */
#include <stdio.h>
#include <string.h>

#include "vmm/simvm/simvm.h"

/* The guest goes on, unless a migration holds it: then its end decides. */
static void over(struct simvm *m, const char *event, const char *text)
{
	bool run = m->change.ran && htabvmm_may_run(m->h) && !m->pausing;

	m->change = (struct simvm_change){0};
	simvm_print_event(m, event, text);
	if (run)
		guest_run(&m->guest);
}

/* After a reset the guest fills its table anew; after a resize the rest comes with its work. */
static void make(struct simvm *m)
{
	const struct wish *w = &m->change.wish;
	unsigned order = w->order ? w->order : swhpt_order(m->hpt);
	char text[96] = "";
	int r;

	if (m->o.stall_change)
		return;
	r = w->kind == WISH_RESET ? swhpt_reset(m->hpt, order) : swhpt_resize(m->hpt, order);
	if (r == 0 && w->kind == WISH_RESET)
		guest_fill(&m->guest, m->guest.fill);
	if (r < 0)
		snprintf(text, sizeof(text), "order %u: %s", order, strerror(-r));
	htabvmm_htab_changed(m->h, swhpt_order(m->hpt));
	over(m, r < 0 ? "htab-kept" : "htab-changed", text);
}

void change_answer(void *opaque, int error, const char *text)
{
	struct simvm *m = opaque;

	m->change.asked = false;
	if (error < 0)
		over(m, "htab-refused", text);
	else
		make(m);
}

void change_stopped(struct simvm *m)
{
	unsigned order = m->change.wish.order;
	int r;

	if (m->change.wish.kind == WISH_NONE || m->change.asked || guest_runs(&m->guest))
		return;
	r = htabvmm_htab_change(m->h, order ? order : swhpt_order(m->hpt));
	m->change.asked = r == HTABVMM_LATER;
	if (r == 0)
		make(m);
	else if (r < 0)
		over(m, "htab-refused", strerror(-r));
}

void change_wished(struct simvm *m, struct wish wish)
{
	if (m->change.wish.kind != WISH_NONE) {
		simvm_print_event(m, "htab-refused", "another change is under way");
		return;
	}
	m->change = (struct simvm_change){.wish = wish, .ran = guest_runs(&m->guest)};
	if (m->change.ran)
		guest_stop(&m->guest);
	else
		change_stopped(m);
}
