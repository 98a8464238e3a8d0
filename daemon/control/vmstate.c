/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/limits.h"
#include "daemon/control/vmstate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/session/migration.h"
#include "daemon/server.h"
#include "proto/htab.h"
#include "proto/state.h"

struct query;

/* What is looked at. */
struct view {
	enum vmm_type request;
	const char *name;   /* in sentences */
	const char *member; /* of the answer: a list */
	size_t size_max;    /* bytes of the VMM's answer */
	/* That answer into the list: 0, or -errno with a sentence. */
	int (*decode)(struct query *q, const void *image, size_t size, struct json_object *list,
		struct err *err);
};

struct query {
	const struct view *view;
	struct server *srv;
	struct qmp_call *call;
	char vm[VM_NAME_MAX + 1];
	struct vm_uuid uuid;
	struct vmstate_ask ask;
	uint64_t seen;           /* so far, of those that are wanted */
	bool more;               /* than one answer holds */
	struct tlb_geometry tlb; /* of a BookE guest */
	uint32_t vcpus;
};

/* A whole reading, for its next page: the VMM's memory. One for each VM, for a time. */
struct reading {
	const struct view *view;
	int64_t vcpu, id;
	int fd;
	struct event *timer;
	struct vm *vm;
};

/* Is the next element, of that vCPU, one of this page? */
static bool wanted(struct query *q, int64_t vcpu)
{
	uint64_t n;

	if (q->ask.vcpu != VMSTATE_ALL && q->ask.vcpu != vcpu)
		return false;
	n = q->seen++;
	q->more = n >= (uint64_t)q->ask.start + VMSTATE_ELEMENTS_MAX;
	return !q->more && n >= (uint64_t)q->ask.start;
}

/* -- the state --------------------------------------------------------------------------------- */

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

static int decode_state(
	struct query *q, const void *image, size_t size, struct json_object *list, struct err *err)
{
	struct state_elem elem;
	struct unpack u;
	int r;

	unpack_init(&u, image, size);
	while ((r = state_next(&u, &elem)) > 0 && !q->more)
		if (wanted(q, elem.vcpu))
			json_object_array_add(list, elem_json(&elem));
	return r < 0 ? err_set(err, r, "the VMM of %s gave a malformed state image", q->vm) : 0;
}

/* -- the TLBs ---------------------------------------------------------------------------------- */

static struct json_object *hex_json(uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
	return json_object_new_string(text);
}

/* The entry of that index in its vCPU's array. */
static struct json_object *entry_json(
	const struct query *q, uint32_t vcpu, uint32_t index, const struct tlb_entry *e)
{
	struct json_object *o = json_object_new_object();
	unsigned tlbsel, esel;
	struct tlb_fields f;

	tlb_place(&q->tlb, index, &tlbsel, &esel);
	tlb_decode(e, tlbsel, &f);
	json_object_object_add(o, "vcpu", json_object_new_int64(vcpu));
	json_object_object_add(o, "tlb", json_object_new_int64(tlbsel));
	if (tlbsel == 0)
		json_object_object_add(o, "set", json_object_new_int64(index / q->tlb.ways[0]));
	json_object_object_add(o, "esel", json_object_new_int64(esel));
	json_object_object_add(o, "epn", hex_json(f.epn));
	json_object_object_add(o, "rpn", hex_json(f.rpn));
	json_object_object_add(o, "size", json_object_new_int64((int64_t)f.size));
	json_object_object_add(o, "tid", json_object_new_int64(f.tid));
	json_object_object_add(o, "ts", json_object_new_int64(f.ts));
	json_object_object_add(o, "user", json_object_new_string(f.user));
	json_object_object_add(o, "supervisor", json_object_new_string(f.supervisor));
	json_object_object_add(o, "wimge", json_object_new_string(f.wimge));
	json_object_object_add(o, "iprot", json_object_new_boolean(f.iprot));
	return o;
}

/* The records of a first pass: they name every entry, the valid ones are shown. */
static int decode_tlb(
	struct query *q, const void *image, size_t size, struct json_object *list, struct err *err)
{
	uint32_t per_vcpu = tlb_entries(&q->tlb);
	uint64_t entries = (uint64_t)per_vcpu * q->vcpus;
	struct htab_count count;
	struct htab_iter it;
	struct htab_rec rec;
	const char *why;

	if (htab_check_kind(HTAB_TLB, image, size, entries, HTAB_WIRE, &count, &why) < 0)
		return err_set(
			err, -EBADMSG, "the VMM of %s gave malformed TLB records: %s", q->vm, why);
	if (count.valid + count.invalid != entries)
		return err_set(err, -EBADMSG, "the VMM of %s gave %llu TLB entries of %llu", q->vm,
			(unsigned long long)(count.valid + count.invalid),
			(unsigned long long)entries);
	htab_iter_init_kind(&it, HTAB_TLB, image, size, entries, HTAB_WIRE);
	while (!q->more && htab_iter_next(&it, &rec) > 0) {
		for (uint32_t i = 0; i < rec.n_valid && !q->more; i++) {
			uint32_t index = rec.index + i;
			struct tlb_entry e;

			if (!wanted(q, index / per_vcpu))
				continue;
			tlb_entry_get(rec.hptes + (size_t)i * TLB_ENTRY_SIZE, &e);
			json_object_array_add(
				list, entry_json(q, index / per_vcpu, index % per_vcpu, &e));
		}
	}
	return 0;
}

/* -- asking the VMM ---------------------------------------------------------------------------- */

/* Its seals keep the VMM from taking the memory away meanwhile. */
static int decode_fd(struct query *q, int fd, struct json_object *list, struct err *err)
{
	const struct view *v = q->view;
	size_t size;
	void *map;
	int r;

	if (fd < 0 || fd_memfd_check(fd, v->size_max, &size) < 0)
		return err_set(err, -EINVAL,
			"the VMM of %s gave no sealed memory of at most %zu MiB with its %s", q->vm,
			v->size_max >> 20, v->name);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_set(err, -errno, "the %s of VM %s cannot be mapped: %s", v->name, q->vm,
			strerror(errno));
	r = v->decode(q, map, size, list, err);
	munmap(map, size);
	return r;
}

/* -- a reading that is shown by pages ---------------------------------------------------------- */

void vmstate_forget(struct vm *vm)
{
	struct reading *r = vm->reading;

	if (!r)
		return;
	vm->reading = NULL;
	event_free(r->timer);
	foreign_close(r->fd);
	free(r);
}

static void reading_cb(evutil_socket_t fd, short what, void *arg)
{
	struct reading *r = arg;

	vmstate_forget(r->vm);
}

/* fd becomes the reading's. Its number, or 0: there will be no next page. */
static int64_t keep(const struct query *q, struct vm *vm, int fd)
{
	static int64_t last;
	struct timeval tv = limit_tv(LIMIT_READING);
	struct reading *r = calloc(1, sizeof(*r));

	vmstate_forget(vm);
	if (r)
		r->timer = evtimer_new(q->srv->base, reading_cb, r);
	if (!r || !r->timer || event_add(r->timer, &tv) < 0) {
		if (r && r->timer)
			event_free(r->timer);
		free(r);
		foreign_close(fd);
		return 0;
	}
	r->view = q->view;
	r->vcpu = q->ask.vcpu;
	r->id = ++last;
	r->fd = fd;
	r->vm = vm;
	vm->reading = r;
	return r->id;
}

/* A page of the reading in fd, which is the callee's; kept: the one that it is of already. */
static void answer(struct query *q, struct vm *vm, int fd, int64_t kept)
{
	struct json_object *list = json_object_new_array(), *o;
	struct err err = {0};

	if (decode_fd(q, fd, list, &err) < 0) {
		foreign_close(fd);
		json_object_put(list);
		qmp_fail(q->call, &err);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "vm", json_object_new_string(q->vm));
	json_object_object_add(o, q->view->member, list);
	if (q->more && vm && !kept)
		kept = keep(q, vm, fd);
	else
		foreign_close(fd);
	if (q->more && kept) {
		json_object_object_add(
			o, "next", json_object_new_int64(q->ask.start + VMSTATE_ELEMENTS_MAX));
		json_object_object_add(o, "reading", json_object_new_int64(kept));
	} else if (vm && kept) {
		vmstate_forget(vm); /* that was the last page */
	}
	qmp_return(q->call, o);
}

static void reply_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct query *q = arg;
	struct err err;

	if (reply->error) {
		foreign_close(fd);
		err_set(&err, reply->error, "%s", reply->text);
		qmp_fail(q->call, &err);
	} else {
		answer(q, vms_find_uuid(q->srv->vms, &q->uuid), fd, 0);
	}
	free(q);
}

/* A further page: the guest is not needed for it. */
static int next_page(struct query *q, struct vm *vm, struct err *err)
{
	struct reading *r = vm->reading;
	int fd;

	if (!r || r->id != q->ask.reading || r->view != q->view || r->vcpu != q->ask.vcpu)
		return err_set(err, -ESTALE,
			"there is no reading %lld of the %s of VM %s to go on with: it is kept for %d s, and until the next one: ask without 'start'",
			(long long)q->ask.reading, q->view->name, q->vm, limit_s(LIMIT_READING));
	fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_set(err, -errno, "out of descriptors");
	answer(q, vm, fd, r->id);
	return 0;
}

/* Each look would lengthen the time for which the guest stands still. */
static bool in_switchover(const struct migration *m)
{
	return m && !m->incoming && !migration_is_final(m) && m->state >= MIG_PAUSE &&
		m->state != MIG_PRE_SWITCHOVER && m->state != MIG_STOPPING;
}

/* The guest may be looked at, that vCPU of it. */
static int may_look(const struct vm *vm, int64_t vcpu, const struct view *view, struct err *err)
{
	if (in_switchover(vm->migration))
		return err_set(err, -EBUSY,
			"the guest of VM %s is being handed over (step '%s'): its %s is not to be looked at now",
			vm->reg.name, migration_step(vm->migration->state), view->name);
	if (vcpu != VMSTATE_ALL && (vcpu < 0 || vcpu >= vm->reg.vcpus))
		return err_set(err, -EINVAL,
			"VM %s has vCPUs 0 to %u: Parameter 'vcpu' does not accept value %lld",
			vm->reg.name, vm->reg.vcpus - 1, (long long)vcpu);
	return 0;
}

static void look(struct server *srv, struct vm *vm, struct qmp_call *call,
	const struct vmstate_ask *ask, const struct view *view)
{
	struct query page = {.view = view, .call = call, .ask = *ask}, *q = &page;
	struct vmm_request req = {.type = view->request};
	struct err err = {0};

	q->srv = srv;
	q->uuid = vm->reg.uuid;
	q->tlb = vm->reg.tlb;
	q->vcpus = vm->reg.vcpus;
	snprintf(q->vm, sizeof(q->vm), "%s", vm->reg.name);
	if (ask->start != 0) {
		if (next_page(q, vm, &err) < 0)
			qmp_fail(call, &err);
		return;
	}
	if (may_look(vm, ask->vcpu, view, &err) == 0 && !(q = malloc(sizeof(*q))))
		err_set(&err, -ENOMEM, "out of memory");
	if (err.code) {
		qmp_fail(call, &err);
		return;
	}
	*q = page;
	vm_ask(vm, &req, -1, limit_ms(LIMIT_VMM_ANSWER), reply_cb, q);
}

void vmstate_query(
	struct server *srv, struct vm *vm, struct qmp_call *call, const struct vmstate_ask *ask)
{
	static const struct view state = {
		VMM_QUERY_STATE, "state", "elements", STATE_IMAGE_MAX, decode_state};

	look(srv, vm, call, ask, &state);
}

void vmstate_query_tlb(
	struct server *srv, struct vm *vm, struct qmp_call *call, const struct vmstate_ask *ask)
{
	static const struct view tlb = {
		VMM_QUERY_TLB, "TLB", "entries", VMM_TLB_IMAGE_MAX, decode_tlb};
	struct err err;

	if (vm->reg.mmu != MMU_BOOKE) {
		err_set(&err, -ENOTSUP,
			"VM %s has a hashed page table, no TLBs to look at: htabctl dump %s shows its table",
			vm->reg.name, vm->reg.name);
		qmp_fail(call, &err);
		return;
	}
	look(srv, vm, call, ask, &tlb);
}
