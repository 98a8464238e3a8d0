/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What the service manager is told while the daemon works. sd_notify() waits for a manager that is
 * behind with reading (its queue holds 10 messages on many systems); the loop must not. Loop thread
 * only.
 */

/*
 * One message in sd_notify()'s form, behind those below. 0, also when there is no manager; -EAGAIN:
 * its queue is full.
 */
int service_notify(const char *text);

/* RELOADING=1, READY=1. Where the queue is full they go before the next message that it takes. */
void service_reloading(void);
void service_ready(void);
