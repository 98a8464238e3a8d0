/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * P and Q of a XIVE source: P, an event was forwarded and not ended; Q, another came meanwhile. 01
 * is off. A held source is at 10, where nothing is forwarded and an event is remembered as 11; one
 * that is off stays off.
 */
#include <string.h>

#include "vmm/device/device.h"

enum pq {
	PQ_RESET = 0,
	PQ_OFF = 1,
	PQ_PENDING = 2,
	PQ_QUEUED = 3,
};

/* The pages are mapped when they are first needed: a source must be set before one is touched. */
static int mapped(struct lib_device *d, const struct dev_item *i, struct err *e)
{
	uint64_t last = dev_source(d, d->n_sources - 1);
	int r;

	if (d->esb)
		return 0;
	r = d->io->esb_map(d->fd, last + 1, &d->esb, &d->esb_size);
	return r < 0 ? dev_refuse(d, i, "has no pages for", r, e) : 0;
}

int esb_hold(struct lib_device *d, const struct dev_item *i, struct err *e)
{
	int r = mapped(d, i, e);
	unsigned pq;

	if (r < 0)
		return r;
	pq = d->io->esb_load(d->esb, i->attr, ESB_GET);
	if (pq != PQ_OFF) /* the state that counts is the one that this replaced */
		pq = d->io->esb_load(d->esb, i->attr, ESB_SET_PQ(PQ_PENDING));
	d->pq[i->index] = (uint8_t)pq;
	return 0;
}

void esb_release(struct lib_device *d, const struct dev_item *i)
{
	unsigned pq = d->pq[i->index], old;

	d->pq[i->index] = ESB_FREE;
	if (pq == ESB_FREE || pq == PQ_OFF)
		return;
	old = d->io->esb_load(d->esb, i->attr, ESB_SET_PQ(pq));
	if (old != PQ_QUEUED)
		return;
	/* An event came while the source was held. */
	if (pq == PQ_RESET)
		d->io->esb_trigger(d->esb, i->attr);
	else if (pq == PQ_PENDING)
		d->io->esb_load(d->esb, i->attr, ESB_SET_PQ(PQ_QUEUED));
}

int esb_set(struct lib_device *d, const struct dev_item *i, unsigned pq, struct err *e)
{
	int r = mapped(d, i, e);

	if (r == 0)
		d->io->esb_load(d->esb, i->attr, ESB_SET_PQ(pq));
	return r;
}
