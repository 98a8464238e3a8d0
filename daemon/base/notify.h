/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * From a data thread to the event loop: "look at what we share". Posts are coalesced; fn runs on
 * the loop's thread, never from inside notify_post(). An eventfd, so that libevent need not know
 * of threads.
 */
struct event_base;
struct notify;

int notify_new(struct event_base *base, void (*fn)(void *arg), void *arg, struct notify **ret);
void notify_post(struct notify *n); /* any thread */
/* Loop thread, when nobody can post any more; also from inside fn. Takes NULL, returns NULL. */
struct notify *notify_free(struct notify *n);
