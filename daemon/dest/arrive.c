/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The destination's beginning: OPEN, what is refused, what the VMM makes ready, ACCEPT.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/flow/chunk.h"
#include "daemon/session/cookie.h"
#include "daemon/dest/dest.h"
#include "daemon/control/incoming.h"
#include "daemon/control/dumphtab.h"
#include "daemon/base/limits.h"
#include "daemon/transport/load.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "proto/processor.h"

static void join_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	dest_failf(m, -ETIMEDOUT, "the source opened %u of %u data channels within %d s", m->joined,
		m->agreed.channels, limit_s(LIMIT_JOIN));
}

static void join_go(struct migration *m)
{
	struct wire_accept accept = {0};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	accept.ring = m->ring = ring_chunks(m->agreed.channels);
	if (getrandom(m->secret, sizeof(m->secret), 0) != sizeof(m->secret)) {
		dest_failf(m, -EIO, "the kernel has no random numbers");
		return;
	}
	memcpy(accept.secret, m->secret, sizeof(accept.secret));
	memcpy(m->join_secret, m->secret, sizeof(m->join_secret));
	peer_send(m->peer, buf, wire_pack_accept(&accept, buf, sizeof(buf)));
	migration_timer(m, limit_ms(LIMIT_JOIN), join_timeout_cb);
}

/* A descriptor of the VMM's table, for writing and, when both are to be compared, for reading. */
static int take_htab(
	struct migration *m, const struct vmm_reply *reply, int fd, struct htabio **ret)
{
	struct err err;

	if (reply->error) {
		foreign_close(fd);
		return dest_failf(m, reply->error, "the VMM of %s cannot open its HPT: %s",
			m->vm_name, reply->text);
	}
	if (htabio_new(fd, (enum vmm_htab_kind)reply->value, limit_ms(LIMIT_VMM_ANSWER), ret,
		    &err) < 0)
		return dest_failf(
			m, err.code, "the VMM of %s gave what is no HPT: %s", m->vm_name, err.text);
	return 0;
}

static void verify_htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	if (take_htab(m, reply, fd, &m->htab_verify) == 0)
		m->table_ready(m);
}

static void htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct vmm_request req = {.type = VMM_OPEN_HTAB};

	if (take_htab(m, reply, fd, &m->htab) < 0)
		return;
	if (m->load)
		load_passes(m);
	else if (m->agreed.verify)
		dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), verify_htab_cb);
	else
		m->table_ready(m);
}

static void reset_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB, .flags = HTAB_FD_WRITE};
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->error)
		dest_failf(m, reply->error, "the VMM of %s gives no empty HPT of order %u: %s",
			m->vm_name, m->order, reply->text);
	else
		dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), htab_cb);
}

void dest_new_table(struct migration *m, unsigned order, void (*ready)(struct migration *m))
{
	struct vmm_request req = {.type = VMM_RESET_HTAB, .order = order};

	m->order = order;
	m->table_ready = ready;
	dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), reset_cb);
}

static void first_table(struct migration *m)
{
	migration_enter(m, MIG_IN_JOIN, join_go);
}

static void loading_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->error) {
		dest_failf(m, reply->error, "the VMM of %s does not take a guest: %s", m->vm_name,
			reply->text);
		return;
	}
	vm_set_note(m->vm, &m->session, NOTE_LOADING);
	dest_new_table(m, m->open.order, first_table);
}

/* The note carries whose session it is: a later daemon answers nobody else. */
void dest_prepare(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_LOADING};
	int r = cookie_pack_dest(m, req.cookie);
	if (r < 0) {
		dest_failf(m, r, "the note of this session cannot be made: %s", strerror(-r));
		return;
	}
	req.cookie_len = (uint16_t)r;
	dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), loading_cb);
}

static int refusal(struct err *err, enum wire_refusal *code, enum wire_refusal c, const char *text)
{
	*code = c;
	return err_set(err, -EPERM, "%s", text);
}

static const char *mmu_name(enum mmu_kind mmu)
{
	return mmu == MMU_HPT ? "a hashed page table" : "BookE's";
}

int dest_check_machine(
	const struct vm *vm, const struct wire_open *o, enum wire_refusal *code, struct err *err)
{
	const struct vmm_register *r = &vm->reg;
	const struct processor here = {.pvr = r->pvr, .compat = r->compat};
	const struct processor guest = {.pvr = o->pvr, .compat = o->compat};

	*code = WIRE_REFUSE_MISMATCH;
	if (o->mmu != r->mmu)
		return err_set(err, -EINVAL,
			"the guest's MMU is %s, that of VM %s here %s: start it as the source's",
			mmu_name(o->mmu), r->name, mmu_name(r->mmu));
	if (o->mmu == MMU_BOOKE && !tlb_geometry_eq(&o->tlb, &r->tlb))
		return err_set(err, -EINVAL,
			"the guest's TLB0 has %u entries in %u ways and its TLB1 %u, those of VM %s "
			"here %u in %u and %u: start it with the same",
			o->tlb.sizes[0], o->tlb.ways[0], o->tlb.sizes[1], r->name, r->tlb.sizes[0],
			r->tlb.ways[0], r->tlb.sizes[1]);
	if (o->mmu == MMU_BOOKE && o->codec == WIRE_CODEC_HPTE)
		return err_set(err, -EINVAL,
			"codec hpte is for hashed page tables: set codec to zstd at the source");
	if (o->order != r->order)
		return err_set(err, -EINVAL,
			"the guest's HPT has order %u, that of VM %s here %u: start it with order %u",
			o->order, r->name, r->order, o->order);
	if (o->vcpus != r->vcpus)
		return err_set(err, -EINVAL,
			"the guest has %u vCPUs, VM %s here %u: start it with %u", o->vcpus,
			r->name, r->vcpus, o->vcpus);
	if (o->flags & WIRE_OPEN_PROCESSOR && o->vcpu_ids != r->vcpu_ids)
		return err_set(err, -EINVAL,
			"the guest's vCPUs have other ids than those of VM %s here: make them with the same",
			r->name);
	if (!processor_runs(&here, &guest))
		return err_set(err, -EINVAL,
			"the guest's processor has PVR 0x%08x (compatibility mode 0x%08x), VM %s here 0x%08x (0x%08x and older): they are not compatible",
			o->pvr, o->compat, r->name, r->pvr, r->compat);
	if (o->mmu == MMU_BOOKE && o->channels != 1)
		return err_set(err, -EINVAL,
			"a BookE guest takes one channel, not %u: set multifd-channels to 1",
			o->channels);
	return 0;
}

/*
 * Is it the guest that migrate-incoming was about? The UUID alone would let whoever can register a
 * VM with another one's be given that one's guest.
 */
static int check_sender(struct peer *p, const struct wire_open *o, const struct vm *vm,
	enum wire_refusal *code, struct err *err)
{
	const struct stream *s = peer_stream(p);

	if (vm->authz[0] && !stream_peer_matches(s, vm->authz)) {
		log_stranger(LOG_NETWORK, SD_WARNING,
			"vm %s: '%s' (%s) may not send it a guest: tls-authz is '%s'", vm->reg.name,
			stream_peer(s), stream_address(s), vm->authz);
		*code = WIRE_REFUSE_DENIED;
		return err_set(err, -EPERM,
			"this host's certificate ('%.200s') is not among those that may send VM %s "
			"(tls-authz there)",
			stream_peer(s), vm->reg.name);
	}
	if (!strcmp(vm->guest, o->name))
		return 0;
	*code = WIRE_REFUSE_NOT_WAITING;
	return err_set(err, -EPERM,
		"VM %s, which has that UUID, waits here for a guest with the name '%s', not for '%s': "
		"if it is to take that one, say 'htabctl incoming %s --name %s' there",
		vm->reg.name, vm->guest, o->name, vm->reg.name, o->name);
}

/*
 * before: the session in whose place this one would be, whose peer is the same: it has ended, or
 * will. What was permitted to it is permitted to this one.
 */
static int check_open(struct server *srv, struct peer *p, const struct wire_open *o, struct vm *vm,
	const struct migration *before, enum wire_refusal *code, struct err *err)
{
	int r;

	if (!vm) {
		*code = WIRE_REFUSE_NO_VM;
		return err_set(err, -ENODEV,
			"VM %s is not known here (by its UUID): start its VMM as a destination first",
			o->name);
	}
	*code = WIRE_REFUSE_NOT_WAITING;
	if (!vm->reg.incoming)
		return err_set(
			err, -EBUSY, "VM %s runs here and does not wait for a guest", vm->reg.name);
	if (vm->migration && vm->migration != before && !migration_is_final(vm->migration)) {
		*code = WIRE_REFUSE_BUSY;
		return err_set(err, -EBUSY, "VM %s is in a migration here already (step '%s')",
			vm->reg.name, migration_step(vm->migration->state));
	}
	if (!vm->expects && !before)
		return err_set(err, -EBUSY,
			"VM %s waits here but may not take a guest yet: say 'htabctl incoming %s' there",
			vm->reg.name, vm->reg.name);
	if (dumphtab_check(vm, err) < 0) {
		*code = WIRE_REFUSE_BUSY;
		return -EBUSY;
	}
	r = check_sender(p, o, vm, code, err);
	if (r < 0)
		return r;
	if ((server_full(srv) && (!before || migration_is_final(before))) || srv->stopping) {
		*code = WIRE_REFUSE_BUSY;
		return err_set(err, -EBUSY, "this daemon takes no more migrations now");
	}
	if (server_find_session(srv, &o->session) || vm_note(vm, &o->session))
		return refusal(
			err, code, WIRE_REFUSE_PROTOCOL, "this session has been here before");
	if (o->flags & WIRE_OPEN_PROCESSOR && !(peer_features(p) & WIRE_FEATURE_PROCESSOR))
		return refusal(err, code, WIRE_REFUSE_PROTOCOL,
			"OPEN tells the processor, which was not agreed upon");
	if (o->mmu == MMU_BOOKE && !(peer_features(p) & WIRE_FEATURE_TLB))
		return refusal(err, code, WIRE_REFUSE_PROTOCOL,
			"a BookE guest was opened without the feature TLB");
	if (o->channels > 1 && !(peer_features(p) & WIRE_FEATURE_CHANNELS))
		return refusal(err, code, WIRE_REFUSE_PROTOCOL,
			"OPEN has several channels, which was not agreed upon");
	if ((o->flags & WIRE_OPEN_RECOVER) && !(peer_features(p) & WIRE_FEATURE_RECOVER))
		return refusal(
			err, code, WIRE_REFUSE_PROTOCOL, "OPEN has a flag without its feature");
	return dest_check_machine(vm, o, code, err);
}

static void begin(struct migration *m, struct peer *p, const struct wire_open *open)
{
	m->incoming = true;
	m->open = *open;
	m->session = open->session;
	agreed_accept(&m->agreed, open, peer_features(p));
	m->peer = p;
	snprintf(m->peer_name, sizeof(m->peer_name), "%s", stream_peer(peer_stream(p)));
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", stream_address(peer_stream(p)));
	incoming_begun(m);
	peer_set_ops(p, &dest_ops, m);
	peer_keepalive(p);
	log_info("vm %s: a guest begins to arrive from %s", m->vm_name, m->uri_text);
	migration_begin(m, dest_prepare);
}

static void refuse(struct peer *p, enum wire_refusal code, const struct err *err)
{
	log_stranger(LOG_NETWORK, SD_WARNING, "refused a guest from %s %s: %s",
		stream_address(peer_stream(p)), stream_peer(peer_stream(p)), err->text);
	peer_send_refuse(p, WIRE_REFUSE, code, err->text);
	peer_finish(p);
}

void dest_open(struct server *srv, struct peer *p, const struct wire_open *open)
{
	struct vm *vm = vms_find_uuid(srv->vms, &open->uuid);
	struct migration *before = vm && reopen_may(vm->migration, p) ? vm->migration : NULL;
	enum wire_refusal code = WIRE_REFUSE_BUSY;
	struct err err;

	if (!before)
		dest_open_after(srv, p, open, NULL);
	else if (check_open(srv, p, open, vm, before, &code, &err) < 0)
		refuse(p, code, &err); /* the session does not end for what cannot begin */
	else if (reopen_wait(before, p, open) < 0) {
		err_set(&err, -ENOMEM, "out of memory");
		refuse(p, code, &err);
	}
}

void dest_open_after(struct server *srv, struct peer *p, const struct wire_open *open,
	const struct migration *before)
{
	struct vm *vm = vms_find_uuid(srv->vms, &open->uuid);
	enum wire_refusal code = WIRE_REFUSE_BUSY;
	struct migration *m = NULL;
	struct err err = {0};

	if (before && before->vm != vm)
		before = NULL; /* that VM is gone, and what it was permitted */
	if (check_open(srv, p, open, vm, before, &code, &err) == 0 &&
		!(m = migration_new(srv, vm, MIG_IN_PREPARE)))
		err_set(&err, -ENOMEM, "out of memory");
	if (m)
		begin(m, p, open);
	else
		refuse(p, code, &err);
}
