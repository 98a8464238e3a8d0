/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The destination while its source may come back (docs/protocol.md, 6.8): what was written stays,
 * the VMM stays LOADING, and RESUME goes on from there.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "daemon/dest/dest.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"

static void cut_go(struct migration *m)
{
	/* waits for RESUME */
}

static void give_up_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = m->error;

	if (m->state == MIG_IN_CUT || m->state == MIG_IN_RESUME)
		dest_failf(m, -ETIMEDOUT,
			"the source did not come back within %lld s (recover-timeout): %s",
			(long long)m->tuning.recover_timeout, err.text);
}

static void cut(struct migration *m, const struct err *err)
{
	m->error = *err;
	m->peer = peer_free(m->peer);
	migration_drop_channels(m);
	m->answered = false;
	if (m->timer)
		event_del(m->timer);
	if (m->state == MIG_IN_ACTIVE) {
		inflow_cut(m->in);
		m->cut_at = clock_ns();
		migration_wait_for_peer(m, give_up_cb);
		log_stranger(LOG_NETWORK, SD_WARNING, "vm %s: waits for %s to come back: %s",
			m->vm_name, m->peer_name[0] ? m->peer_name : m->uri_text, m->error.text);
	}
	migration_enter(m, MIG_IN_CUT, cut_go);
}

void rejoin_broken(struct migration *m, const struct err *err)
{
	struct err e = *err;

	if (m->state == MIG_IN_RESUME || (m->state == MIG_IN_ACTIVE && migration_keeps(m)))
		cut(m, &e);
	else if (m->state != MIG_IN_CUT)
		dest_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, &e);
}

void rejoin_tuned(struct migration *m)
{
	if (m->state == MIG_IN_CUT || m->state == MIG_IN_RESUME)
		migration_wait_for_peer(m, give_up_cb);
}

int rejoin_frame(struct migration *m, enum wire_type type, size_t len)
{
	struct err err;

	if (!agreed_can_resume(&m->agreed) || m->state != MIG_IN_ACTIVE || len != 0)
		return -EBADMSG;
	if (type == WIRE_SWITCHOVER) {
		m->switched = true;
		peer_ping(m->peer); /* its clock will be needed in a moment */
		return 0;
	}
	err_set(&err, -ECANCELED, "the source paused the migration");
	cut(m, &err);
	return 0;
}

/* -- RESUME -- */

static void join_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err;

	err_set(&err, -ETIMEDOUT, "the source opened %u of %u data channels within %d s", m->joined,
		m->agreed.channels, limit_s(LIMIT_JOIN));
	rejoin_broken(m, &err);
}

static void resume_go(struct migration *m)
{
	struct wire_resumed r = m->written;
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	if (!m->down)
		return; /* what came is being written: rejoin_settled() */
	if (getrandom(m->join_secret, sizeof(m->join_secret), 0) != sizeof(m->join_secret)) {
		dest_failf(m, -EIO, "the kernel has no random numbers");
		return;
	}
	memcpy(r.secret, m->join_secret, sizeof(r.secret));
	m->answered = true;
	peer_send(m->peer, buf, wire_pack_resumed(&r, buf, sizeof(buf)));
	migration_timer(m, limit_ms(LIMIT_JOIN), join_timeout_cb);
}

void rejoin_settled(void *arg, const struct wire_resumed *resumed)
{
	struct migration *m = arg;

	m->down = true;
	m->written = *resumed;
	if (m->state == MIG_IN_RESUME && !m->held)
		resume_go(m);
}

/* May this peer resume that session? NULL, or what is said to it. */
static const char *refusal(const struct migration *m, const struct peer *p,
	const struct wire_resume *r, enum wire_refusal *code)
{
	*code = WIRE_REFUSE_DENIED;
	if (!m || !m->incoming || !agreed_can_resume(&m->agreed) || !uuid_eq(&m->uuid, &r->uuid) ||
		CRYPTO_memcmp(r->secret, m->secret, sizeof(m->secret)) ||
		strcmp(stream_peer(peer_stream(p)), m->peer_name))
		return "there is no session here that this host may resume";
	*code = WIRE_REFUSE_PROTOCOL;
	if (!(peer_features(p) & WIRE_FEATURE_RECOVER))
		return "RESUME came without its feature";
	if (m->state == MIG_IN_STOPPING || migration_is_final(m)) {
		*code = m->final == MIG_CANCELLED ? WIRE_REFUSE_CANCELLED : WIRE_REFUSE_FAILED;
		return m->error.text[0] ? m->error.text : "it was cancelled at the destination";
	}
	if (m->state == MIG_IN_READY && !m->peer)
		return NULL;
	if (m->state != MIG_IN_ACTIVE && m->state != MIG_IN_CUT && m->state != MIG_IN_RESUME)
		return "this session's passes do not run: there is nothing to resume";
	return NULL;
}

/* The newest one wins: the source knows best which of its connections are dead. */
void rejoin_resume(struct server *srv, struct peer *p, const struct wire_resume *r)
{
	struct migration *m = server_find_session(srv, &r->session);
	const struct stream *s = peer_stream(p);
	enum wire_refusal code;
	const char *why = refusal(m, p, r, &code);
	struct err err;

	if (why) {
		log_stranger(LOG_NETWORK, SD_WARNING,
			"refused to resume a migration from %s %s: %s", stream_address(s),
			stream_peer(s), why);
		peer_send_refuse(p, WIRE_REFUSE, code, why);
		peer_finish(p);
		return;
	}
	if (m->state == MIG_IN_READY) { /* what follows can only be ABORT, or COMMIT */
		m->peer = p;
		peer_set_ops(p, &dest_ops, m);
		peer_keepalive(p);
		return;
	}
	if (m->state != MIG_IN_CUT) {
		err_set(&err, -ECONNRESET, "the source came back on another connection");
		cut(m, &err);
	}
	m->peer = p;
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", stream_address(s));
	peer_set_ops(p, &dest_ops, m);
	peer_keepalive(p);
	migration_enter(m, MIG_IN_RESUME, resume_go);
}

/* -- going on -- */

static void active_go(struct migration *m)
{
	/* its frames come by themselves */
}

void rejoin_joined(struct migration *m)
{
	event_del(m->timer);
	event_del(m->limit);
	m->down = m->answered = false;
	m->recoveries++;
	m->error = (struct err){0};
	inflow_attach(m->in, m->streams);
	migration_gave_channels(m);
	log_info("vm %s: its source is back at %s", m->vm_name, m->uri_text);
	migration_enter(m, MIG_IN_ACTIVE, active_go);
}
