/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/limits.h"
#include "daemon/server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/net/accept.h"
#include "daemon/source/change.h"
#include "daemon/control/commands.h"
#include "daemon/net/creds.h"
#include "daemon/session/cookie.h"
#include "daemon/dest/dest.h"
#include "daemon/control/dumphtab.h"
#include "daemon/source/farewell.h"
#include "daemon/control/incoming.h"
#include "daemon/control/latesock.h"
#include "daemon/transport/load.h"
#include "daemon/base/log.h"
#include "daemon/net/peer.h"
#include "daemon/session/report.h"
#include "daemon/transport/save.h"
#include "daemon/base/service.h"
#include "daemon/source/source.h"
#include "daemon/control/vmstate.h"
#include "proto/processor.h"
#include "proto/text.h"

void server_event(struct server *srv, const char *vm, const char *name, struct json_object *data)
{
	if (!data)
		data = json_object_new_object();
	if (vm && !json_object_object_get_ex(data, "vm", NULL))
		json_object_object_add(data, "vm", json_object_new_string(vm));
	if (srv->qmp)
		qmp_event(srv->qmp, vm, name, data);
	else
		json_object_put(data);
}

struct migration *server_find_session(struct server *srv, const struct session_id *session)
{
	struct migration *m;

	TAILQ_FOREACH (m, &srv->migrations, link)
		if (session_eq(&m->session, session))
			return m;
	return NULL;
}

/* The migration that a person looks for: one that needs somebody, then the newest under way. */
static const struct migration *foremost(struct server *srv, unsigned *ret_n)
{
	const struct migration *m, *best = NULL;
	char why[REPORT_TEXT];

	*ret_n = 0;
	TAILQ_FOREACH (m, &srv->migrations, link) {
		if (migration_is_final(m))
			continue;
		++*ret_n;
		if (!best || report_unresolved(m, why, sizeof(why)))
			best = m;
	}
	return best;
}

/* The sentence of STATUS=. */
static void describe(struct server *srv, char *buf, size_t len)
{
	const struct migration *m;
	char text[ERR_TEXT_MAX * 2], ending[ERR_TEXT_MAX], many[32];
	unsigned n, vms = 0;

	for (struct vm *vm = srv->vms ? vms_first(srv->vms) : NULL; vm; vm = vms_next(vm))
		vms++;
	m = foremost(srv, &n);
	if (m)
		report_describe(m, text, sizeof(text));
	else if (srv->creds_error[0])
		snprintf(text, sizeof(text), "%u VMs; refuses migrations: %s", vms,
			srv->creds_error);
	else
		snprintf(text, sizeof(text), "%u VMs, no migration; %s%s", vms,
			srv->n_listeners ? "listening at " : "listening nowhere",
			srv->n_listeners ? listener_uri(srv->listeners[0]) : "");
	if (!srv->creds || !tls_creds_ending(srv->creds, ending, sizeof(ending)))
		ending[0] = 0;
	snprintf(many, sizeof(many), "%u migrations; ", n);
	snprintf(buf, len, "%s%s%s%s", n > 1 ? many : "", text, ending[0] ? "; " : "", ending);
	text_clean(buf); /* a line of its own would be another assignment */
}

static void status_cb(evutil_socket_t fd, short what, void *arg)
{
	struct timeval later = limit_tv(LIMIT_STATUS);
	struct server *srv = arg;
	char text[ERR_TEXT_MAX * 3 + 64] = "STATUS=";

	if (srv->status_due) {
		describe(srv, text + 7, sizeof(text) - 7);
		srv->status_due = service_notify(text) < 0;
		event_add(srv->status_timer, &later);
	}
}

/* At once, but not more often than LIMIT_STATUS; the last one is always told. */
void server_status(struct server *srv)
{
	if (!srv->status_timer)
		srv->status_timer = evtimer_new(srv->base, status_cb, srv);
	if (!srv->status_timer)
		return;
	srv->status_due = !srv->stopping;
	if (!event_pending(srv->status_timer, EV_TIMEOUT, NULL))
		status_cb(-1, 0, srv);
}

static int needs_tls(const char *name, struct err *err)
{
	return err_set(err, -EINVAL,
		"'%s' cannot be kept: this daemon uses no TLS ('plaintext' in its configuration, or "
		"--plaintext)",
		name);
}

int server_check_tls(const struct server *srv, const struct params *params, struct err *err)
{
	const char *name = params_tls(params);

	return name && srv->config.plaintext ? needs_tls(name, err) : 0;
}

int server_creds(struct server *srv, const char *dir, struct tls_creds **ret, struct err *err)
{
	*ret = NULL;
	if (srv->config.plaintext)
		return dir[0] ? needs_tls("tls-creds", err) : 0;
	if (dir[0])
		return creds_load(srv, dir, ret, err);
	if (!srv->creds)
		return err_set(err, -ENOKEY, "%s", srv->creds_error);
	*ret = tls_creds_ref(srv->creds);
	return 0;
}

/* -- listening -- */

bool server_listens(const struct server *srv, const char *uri)
{
	for (unsigned i = 0; i < srv->n_listeners; i++)
		if (!strcmp(listener_uri(srv->listeners[i]), uri))
			return true;
	return false;
}

static int listen_at(struct server *srv, const char *text, struct err *err)
{
	struct uri uri;
	int r = uri_parse(text, &uri, err);

	if (r < 0)
		return r;
	if (server_listens(srv, text))
		return 0;
	if (uri.kind != URI_TCP && uri.kind != URI_UNIX)
		return err_set(
			err, -ENOTSUP, "'%s' cannot be listened at: use tcp: or unix:", text);
	assert(srv->n_listeners < LISTEN_MAX);
	r = listener_start(srv->base, &uri, srv->creds, HANDSHAKES_MAX, limit_ms(LIMIT_HANDSHAKE),
		accept_stream, srv, &srv->listeners[srv->n_listeners], err);
	if (r < 0)
		return r;
	log_info("listening at %s", listener_uri(srv->listeners[srv->n_listeners]));
	srv->n_listeners++;
	return 0;
}

static int listen_all(struct server *srv, struct err *err)
{
	for (unsigned i = 0; i < srv->config.n_listen; i++) {
		int r = listen_at(srv, srv->config.listen[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Credentials anew; what is connected keeps the old ones. */
int server_load_creds(struct server *srv, struct err *err)
{
	struct tls_creds *creds;
	int r;

	if (srv->config.plaintext)
		return 0;
	r = creds_load(srv, srv->config.tls_dir, &creds, err);
	if (r < 0) {
		if (!srv->creds)
			snprintf(srv->creds_error, sizeof(srv->creds_error), "%.*s",
				(int)sizeof(srv->creds_error) - 1, err->text);
		return r;
	}
	tls_creds_unref(srv->creds);
	srv->creds = creds;
	srv->creds_error[0] = 0;
	creds_watch(srv);
	for (unsigned i = 0; i < srv->n_listeners; i++)
		listener_set_creds(srv->listeners[i], creds);
	incoming_set_creds(srv);
	return srv->n_listeners ? 0 : listen_all(srv, err);
}

/* -- VMs -- */

static int vm_allow(void *arg, struct vm *vm, struct err *err)
{
	struct server *srv = arg;

	allow_user(&srv->config.allow, vm->uid, vm->user);
	return allow_check(&srv->config.allow, vm->uid, vm->reg.name, vm->uuid_text, err);
}

static void vm_event_uuid(struct server *srv, struct vm *vm, const char *name)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "uuid", json_object_new_string(vm->uuid_text));
	server_event(srv, vm->reg.name, name, o);
}

static void take_note(struct server *srv, struct vm *vm, struct vmm_note *note)
{
	bool proven = cookie_open(srv, vm, note);
	struct migration *m = server_find_session(srv, &note->session);

	if (m &&
		(!uuid_eq(&m->uuid, &vm->reg.uuid) || (m->vm && m->vm != vm) ||
			m->incoming == (note->note == NOTE_COMMITTING))) {
		log_stranger(LOG_VMM, SD_WARNING,
			"vm %s: its VMM holds a note of a session that is another VM's",
			vm->reg.name);
		return;
	}
	if (m && !proven && !m->unproven) {
		log_stranger(LOG_VMM, SD_WARNING,
			"vm %s: its VMM holds a note of a session of this daemon's that is not "
			"the one that it was given",
			vm->reg.name);
		return;
	}
	if (note->note == NOTE_COMMITTING) {
		if (!m || migration_is_final(m))
			source_adopt(srv, vm, note, proven);
		else if (!m->incoming && m->state != MIG_STOPPING)
			source_attach(m, vm);
		/* STOPPING: adopted when that is over, by server_moved() */
	} else if (m) {
		dest_attach(m, vm, note->note);
	} else {
		dest_adopt(srv, vm, note, proven);
	}
}

/*
 * What the VMM still knows of earlier sessions is taken up where it was left: what is over first,
 * so that what is not becomes the VM's migration.
 */
static void take_notes(struct server *srv, struct vm *vm)
{
	struct migration *m;

	for (int over = 1; over >= 0; over--)
		for (uint32_t i = 0; i < vm->reg.n_notes; i++) {
			struct vmm_note note = vm->reg.notes[i];

			if (note.note != NOTE_LOADING && (note.note == NOTE_DEAD) == over)
				take_note(srv, vm, &note);
		}
	TAILQ_FOREACH (m, &srv->migrations, link)
		if (!m->incoming && !m->vm && !migration_is_final(m) &&
			uuid_eq(&m->uuid, &vm->reg.uuid) && !strcmp(m->vm_name, vm->reg.name) &&
			m->uid == vm->uid && !vm_note(vm, &m->session))
			source_vm_back(m);
}

static void vm_registered(void *arg, struct vm *vm)
{
	struct server *srv = arg;
	struct err err = {0};
	char path[sizeof(srv->vm_dir) + VM_NAME_MAX + 8];

	vm->params = srv->config.params;
	latesock_end(srv, vm->reg.name);
	snprintf(path, sizeof(path), "%s/%s.qmp", srv->vm_dir, vm->reg.name);
	if (qmp_listen(srv->qmp, path, 0600, vm->reg.name, &vm->sock, &err) < 0)
		log_stranger(LOG_VMM, SD_WARNING, "vm %s: %s", vm->reg.name, err.text);
	log_stranger(LOG_VMM, SD_INFO, "vm %s: registered by process %d of user %s%s", vm->reg.name,
		(int)vm->pid, vm->user, vm->reg.incoming ? ", waits for a guest" : "");
	vm_welcome(vm);
	vm_event_uuid(srv, vm, "VM_REGISTERED");
	take_notes(srv, vm);
	server_status(srv);
}

static void vm_gone(void *arg, struct vm *vm, bool dead)
{
	struct server *srv = arg;
	struct migration *m = vm->migration, *next;
	bool moved = m && !m->incoming && (m->state == MIG_RELEASE || m->state == MIG_COMPLETED);

	log_stranger(LOG_VMM, SD_INFO, "vm %s: its VMM (process %d) %s", vm->reg.name, (int)vm->pid,
		dead ? "ended" : "disconnected");
	dumphtab_vm_gone(vm);
	vmstate_forget(vm);
	for (m = TAILQ_FIRST(&srv->migrations); m; m = next) {
		next = TAILQ_NEXT(m, link);
		if (m->vm != vm)
			continue;
		vm_forget_asker(vm, m);
		if (m->unproven && !migration_is_final(m)) {
			/* Whatever it is comes back with the VMM that says so, or was nothing. */
			migration_free(m);
			continue;
		}
		if (m->incoming)
			dest_vm_gone(m, dead);
		else
			source_vm_gone(m, dead);
		m->vm = NULL;
		if (!dead)
			migration_watch_vmm(m, vm);
	}
	vm->migration = NULL;
	incoming_vm_gone(srv, vm);
	vm_event_uuid(srv, vm, "VM_GONE");
	if (moved && vm->sock)
		latesock_keep(srv, vm);
	else
		vm->sock = qmp_sock_free(vm->sock);
	server_status(srv);
}

static void vm_event(void *arg, struct vm *vm, const struct vmm_event *event)
{
	struct server *srv = arg;
	struct migration *m;

	switch (event->kind) {
	case VMM_EVENT_RESUMED:
		vm->reg.running = true;
		vm->stopped_by_guest = false;
		m = server_find_session(srv, &event->session);
		if (m && m->vm == vm && !m->incoming && !migration_is_final(m))
			source_vm_resumed(m);
		return;
	case VMM_EVENT_STOPPED:
		vm->reg.running = false;
		vm->stopped_by_guest = true;
		log_stranger(LOG_VMM, SD_INFO, "vm %s: its guest stopped: %s", vm->reg.name,
			event->text);
		m = vm->migration;
		if (m && !m->incoming && !migration_is_final(m))
			source_vm_stopped(m, event->text);
		return;
	case VMM_EVENT_HTAB_CHANGE: change_announced(vm, event->order); return;
	case VMM_EVENT_HTAB_CHANGED: change_made(vm, event->order); return;
	case VMM_EVENT_HTAB_RESET:
	case VMM_EVENT_DECIDED: return;
	case VMM_EVENT_COMPAT:
		if (processor_parse(event->text, &vm->reg.compat) < 0)
			log_stranger(LOG_VMM, SD_WARNING,
				"vm %s: its VMM tells a compatibility mode that is none",
				vm->reg.name);
		return;
	}
}

static const struct vm_hooks hooks = {
	.allow = vm_allow,
	.registered = vm_registered,
	.gone = vm_gone,
	.event = vm_event,
};

/* -- start and stop -- */

int server_start(struct server *srv, struct err *err)
{
	const char *hold = getenv("HTAB_MIGRATED_HOLD");
	const char *slash = strrchr(srv->config.control, '/');
	int r;

	TAILQ_INIT(&srv->migrations);
	TAILQ_INIT(&srv->accepted);
	TAILQ_INIT(&srv->addresses);
	TAILQ_INIT(&srv->farewells);
	TAILQ_INIT(&srv->late_socks);
	snprintf(srv->hold, sizeof(srv->hold), "%s", hold ? hold : "");
	snprintf(srv->vm_dir, sizeof(srv->vm_dir), "%.*s/vm",
		slash ? (int)(slash - srv->config.control) : 1, slash ? srv->config.control : ".");
	if (mkdir(srv->vm_dir, 0750) < 0 && errno != EEXIST)
		return err_set(err, -errno, "cannot make %s: %s", srv->vm_dir, strerror(errno));
	if (!srv->config.allow.n)
		log_warn("%s", ALLOW_NOBODY);
	r = notekey_load(srv->config.state_dir, &srv->key, err);
	if (r < 0)
		return r;
	r = qmp_new(srv->base, commands, srv, &srv->qmp);
	if (r < 0)
		return err_set(err, r, "out of memory");
	r = qmp_listen(srv->qmp, srv->config.control, 0600, NULL, &srv->control, err);
	if (r == 0)
		r = vms_new(srv->base, srv->config.vmm_socket, &hooks, srv, &srv->vms, err);
	if (r < 0)
		return r;
	vms_limit_users(srv->vms, srv->config.vms_per_user);
	if (srv->config.plaintext)
		return listen_all(srv, err);
	if (server_load_creds(srv, err) < 0) {
		if (srv->creds) /* they are fine: the address is not */
			return err->code;
		log_warn("no migrations until there are credentials: %s", err->text);
	}
	return 0;
}

static void stop_now(struct server *srv)
{
	event_base_loopbreak(srv->base);
}

static void stop_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	log_warn("stops with migrations that could not be put back in time");
	stop_now(arg);
}

/* What only a later daemon can finish is no reason to wait. */
static bool all_quiet(struct server *srv)
{
	struct migration *m;

	if (srv->n_dumps)
		return false;
	TAILQ_FOREACH (m, &srv->migrations, link)
		if (m->out || m->in) /* threads to be joined */
			return false;
		else if (!migration_is_final(m) && m->state != MIG_ASKING &&
			m->state != MIG_IN_READY && m->state != MIG_IN_RUNNING &&
			m->state != MIG_IN_LOST)
			return false;
	return true;
}

/*
 * A migration is over. What was open for it goes; and if its VMM noted COMMITTING while it was
 * being given up, somebody has to ask.
 */
static void over_cb(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;

	incoming_settle(srv);
	for (struct vm *vm = vms_first(srv->vms); vm; vm = vms_next(vm)) {
		bool busy = vm->migration && !migration_is_final(vm->migration);

		for (uint32_t i = 0; !busy && i < vm->reg.n_notes; i++) {
			struct vmm_note note = vm->reg.notes[i];

			if (note.note == NOTE_COMMITTING) {
				take_note(srv, vm, &note);
				break;
			}
		}
	}
}

void server_moved(struct server *srv, const struct migration *m)
{
	struct timeval now = {0};

	if (srv->stopping && all_quiet(srv))
		stop_now(srv);
	else if (!srv->stopping && migration_is_final(m))
		event_base_once(srv->base, -1, EV_TIMEOUT, over_cb, srv, &now);
	server_status(srv);
}

/* What VMMs brought along when they registered is as many as they are, and in nobody's way. */
bool server_full(struct server *srv)
{
	unsigned under_way = 0, remembered = 0;
	struct migration *m;

	TAILQ_FOREACH (m, &srv->migrations, link) {
		if (m->adopted && !migration_is_final(m))
			continue;
		under_way += !migration_is_final(m);
		remembered++;
	}
	return under_way >= MIGRATIONS_MAX || remembered >= HISTORY_MAX;
}

void server_stop(struct server *srv)
{
	struct timeval tv = limit_tv(LIMIT_STOP);
	struct migration *m;

	if (srv->stopping)
		return;
	srv->stopping = true;
	srv->status_due = false;
	service_notify("STOPPING=1\nSTATUS=cancelling what is under way");
	for (unsigned i = 0; i < srv->n_listeners; i++)
		srv->listeners[i] = listener_free(srv->listeners[i]);
	srv->n_listeners = 0;
	incoming_end(srv);
	TAILQ_FOREACH (m, &srv->migrations, link) {
		if (migration_is_final(m) || !migration_can_cancel(m))
			continue;
		if (m->incoming)
			dest_cancel(m, NULL);
		else
			source_cancel(m, NULL);
	}
	if (all_quiet(srv)) {
		stop_now(srv);
		return;
	}
	srv->stop_timer = evtimer_new(srv->base, stop_timeout_cb, srv);
	if (!srv->stop_timer || event_add(srv->stop_timer, &tv) < 0)
		stop_now(srv);
}

/* After the loop: everything that is still there goes. */
void server_end(struct server *srv)
{
	struct migration *m;

	if (srv->n_dumps) /* as below */
		_exit(1);
	accept_close_all(srv);
	TAILQ_FOREACH (m, &srv->migrations, link) {
		/* its threads cannot be joined in time: the end takes them along */
		if (m->out || m->in || save_busy(m->save) || load_busy(m->load))
			_exit(1);
		/* nothing is asked of a VMM any more: its library sees the end */
		if (m->vm)
			vm_forget_asker(m->vm, m);
		m->vm = NULL;
	}
	for (struct vm *vm = srv->vms ? vms_first(srv->vms) : NULL; vm; vm = vms_next(vm))
		vmstate_forget(vm);
	if (srv->vms)
		vms_free(srv->vms);
	while ((m = TAILQ_FIRST(&srv->migrations)))
		migration_free(m);
	farewell_end_all(srv);
	peer_end_all();
	for (unsigned i = 0; i < srv->n_listeners; i++)
		listener_free(srv->listeners[i]);
	latesock_end(srv, NULL);
	qmp_sock_free(srv->control);
	qmp_free(srv->qmp);
	tls_creds_unref(srv->creds);
	if (srv->stop_timer)
		event_free(srv->stop_timer);
	if (srv->status_timer)
		event_free(srv->status_timer);
	if (srv->creds_timer)
		event_free(srv->creds_timer);
}
