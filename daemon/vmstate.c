/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/vmstate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/fd.h"
#include "daemon/migration.h"
#include "daemon/server.h"
#include "proto/state.h"

struct query {
	struct qmp_call *call;
	char vm[VM_NAME_MAX + 1];
	int64_t vcpu;
};

static struct json_object *elem_json(const struct state_elem *elem)
{
	struct json_object *o = json_object_new_object();
	char name[STATE_NAME_MAX], value[STATE_SHOW_MAX], id[24];

	state_name(elem, name);
	state_show(elem, value);
	snprintf(id, sizeof(id), "0x%llx", (unsigned long long)elem->id);
	if (elem->vcpu != STATE_VM)
		json_object_object_add(o, "vcpu", json_object_new_int(elem->vcpu));
	json_object_object_add(o, "kind", json_object_new_string(state_kind_name(elem->kind)));
	json_object_object_add(o, "id", json_object_new_string(id));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "value", json_object_new_string(value));
	return o;
}

/* The image as a list: 0 and *ret, or -errno with a sentence. */
static int decode(const struct query *q, const void *image, size_t size, struct json_object **ret,
	struct err *err)
{
	struct json_object *list = json_object_new_array();
	struct state_elem elem;
	struct unpack u;
	unsigned n = 0;
	int r;

	unpack_init(&u, image, size);
	while ((r = state_next(&u, &elem)) > 0) {
		if (q->vcpu != VMSTATE_ALL && elem.vcpu != q->vcpu)
			continue;
		if (n++ == VMSTATE_ELEMENTS_MAX) {
			r = err_set(err, -E2BIG,
				"the state of VM %s has more than %u elements: ask for one vCPU at a time, by 'vcpu'",
				q->vm, VMSTATE_ELEMENTS_MAX);
			break;
		}
		json_object_array_add(list, elem_json(&elem));
	}
	if (r == -EBADMSG)
		err_set(err, r, "the VMM of %s gave a malformed state image", q->vm);
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	*ret = list;
	return 0;
}

/* Its seals keep the VMM from taking the memory away meanwhile. */
static int decode_fd(const struct query *q, int fd, struct json_object **ret, struct err *err)
{
	size_t size;
	void *map;
	int r;

	if (fd < 0 || fd_memfd_check(fd, STATE_IMAGE_MAX, &size) < 0)
		return err_set(err, -EINVAL,
			"the VMM of %s gave no sealed memory of at most %u MiB with its state",
			q->vm, STATE_IMAGE_MAX >> 20);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_set(err, -errno, "the state of VM %s cannot be mapped: %s", q->vm,
			strerror(errno));
	r = decode(q, map, size, ret, err);
	munmap(map, size);
	return r;
}

static void state_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct json_object *list = NULL;
	struct query *q = arg;
	struct err err = {0};

	if (reply->error)
		err_set(&err, reply->error, "%s", reply->text);
	else
		decode_fd(q, fd, &list, &err);
	fd_close(fd);
	if (list) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "vm", json_object_new_string(q->vm));
		json_object_object_add(o, "elements", list);
		qmp_return(q->call, o);
	} else {
		qmp_fail(q->call, &err);
	}
	free(q);
}

/* Each look would lengthen the time for which the guest stands still. */
static bool in_switchover(const struct migration *m)
{
	return m && !m->incoming && !migration_is_final(m) && m->state >= MIG_PAUSE &&
		m->state != MIG_PRE_SWITCHOVER && m->state != MIG_STOPPING;
}

void vmstate_query(struct vm *vm, struct qmp_call *call, int64_t vcpu)
{
	struct vmm_request req = {.type = VMM_QUERY_STATE};
	struct err err = {0};
	struct query *q;

	if (in_switchover(vm->migration))
		err_set(&err, -EBUSY,
			"the guest of VM %s is being handed over (step '%s'): its state is not to be looked at now",
			vm->reg.name, migration_step(vm->migration->state));
	else if (vcpu != VMSTATE_ALL && (vcpu < 0 || vcpu >= vm->reg.vcpus))
		err_set(&err, -EINVAL,
			"VM %s has vCPUs 0 to %u: Parameter 'vcpu' does not accept value %lld",
			vm->reg.name, vm->reg.vcpus - 1, (long long)vcpu);
	q = err.code ? NULL : calloc(1, sizeof(*q));
	if (!q) {
		if (!err.code)
			err_set(&err, -ENOMEM, "out of memory");
		qmp_fail(call, &err);
		return;
	}
	q->call = call;
	q->vcpu = vcpu;
	snprintf(q->vm, sizeof(q->vm), "%s", vm->reg.name);
	vm_ask(vm, &req, -1, VMM_TIMEOUT_MS, state_cb, q);
}
