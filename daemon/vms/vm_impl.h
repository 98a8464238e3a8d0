/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What vm.c, one VM, and vms.c, all of them, share. The loop's thread. */
#include <sys/socket.h>

#include "common/unixsock.h"
#include "daemon/vms/vm.h"

struct vms {
	struct event_base *base;
	struct unixsock sock;
	struct event *readable, *again;
	const struct vm_hooks *hooks;
	void *arg;
	unsigned per_user; /* VMs that one user may have registered */
	TAILQ_HEAD(, vm) list;
};

/* Is there a place for one more VM of that user? 0, or -ENOSPC with the sentence for its VMM. */
int vms_check_room(const struct vms *v, const struct vm *vm, struct err *err);

/* A connection was accepted; it has to register. NULL: out of memory, and fd is the caller's. */
struct vm *vm_new(struct vms *v, int fd, const struct ucred *cred);
/* The end of a VM; dead: its process ended before we closed our side of the connection. */
void vm_gone(struct vm *vm, bool dead);
