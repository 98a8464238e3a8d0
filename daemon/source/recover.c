/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source while the passes run and their connections break, or are cut on purpose: the guest
 * runs on, ring, htab fd and pass stay as they are, and new connections go on where the destination
 * is (docs/protocol.md, 6.8). It ends before the pause: from there on a break ends the migration.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

static void resume_go(struct migration *m);

static void retry_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	m->attempts++;
	migration_enter(m, MIG_RESUME, resume_go);
}

static void cut_go(struct migration *m)
{
	if (m->by_hand || !migration_keeps(m))
		return; /* somebody has to resume it */
	migration_timer(m, limit_backoff_ms(m->attempts), retry_cb);
}

static void give_up_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = m->error;

	if (m->state == MIG_CUT || m->state == MIG_RESUME)
		source_failf(m, -ETIMEDOUT,
			"the migration was not resumed within %lld s (recover-timeout): %s",
			(long long)m->tuning.recover_timeout, err.text);
}

static void drop_connections(struct migration *m, bool by_hand)
{
	uint8_t buf[WIRE_HDR_SIZE];

	m->dial = dial_cancel(m->dial);
	migration_drop_channels(m);
	if (m->timer)
		event_del(m->timer);
	if (!m->peer)
		return;
	if (by_hand)
		peer_send(m->peer, buf, wire_pack_empty(WIRE_PAUSE, buf, sizeof(buf)));
	if (by_hand)
		peer_linger(m->peer);
	else
		peer_free(m->peer);
	m->peer = NULL;
}

static void cut(struct migration *m, const struct err *err, bool by_hand)
{
	m->error = *err;
	m->by_hand |= by_hand;
	drop_connections(m, by_hand);
	if (m->state == MIG_ACTIVE) {
		outflow_cut(m->out);
		m->cut_at = clock_ns();
		migration_wait_for_peer(m, give_up_cb);
	}
	log_warn("vm %s: its migration to %s is interrupted%s: %s", m->vm_name, m->uri_text,
		migration_keeps(m) && !m->by_hand ? "" : " until somebody resumes it",
		m->error.text);
	migration_enter(m, MIG_CUT, cut_go);
}

void recover_broken(struct migration *m, const struct err *err)
{
	struct err e = *err;

	if (m->state == MIG_RESUME || (m->state == MIG_ACTIVE && migration_keeps(m)))
		cut(m, &e, false);
	else if (m->state != MIG_CUT)
		source_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, &e);
}

void recover_tuned(struct migration *m)
{
	if (m->state == MIG_CUT || m->state == MIG_RESUME)
		migration_wait_for_peer(m, give_up_cb);
}

int recover_pause(struct migration *m, struct err *err)
{
	struct err why;

	if (m->state != MIG_ACTIVE)
		return err_set(err, -EINVAL,
			"the migration of VM %s is at step '%s': it can be paused while its passes run "
			"('active')",
			m->vm_name, migration_step(m->state));
	if (!agreed_can_resume(&m->agreed))
		return err_set(err, -EOPNOTSUPP,
			"the destination of VM %s cannot resume a migration: cancel it, or update that "
			"daemon",
			m->vm_name);
	err_set(&why, -ECANCELED, "it was paused by migrate-pause");
	cut(m, &why, true);
	return 0;
}

int recover_resume(struct migration *m, const char *uri, const char *redial, struct err *err)
{
	struct uri u;
	int fd, r;

	if (m->state != MIG_CUT)
		return err_set(err, -EINVAL,
			"Cannot resume if there is no paused migration: that of VM %s is at step '%s'",
			m->vm_name, migration_step(m->state));
	if (uri_is_file(uri))
		return err_set(err, -EINVAL, "'%s' is no address of the destination of VM %s", uri,
			m->vm_name);
	r = connect_uris(m->srv, m->vm, uri, redial, &u, &fd, err);
	if (r < 0)
		return r;
	if (m->timer)
		event_del(m->timer);
	m->uri = u;
	m->connected_fd = fd;
	m->elsewhere |= strcmp(m->uri_text, redial ? redial : uri) != 0;
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", redial ? redial : uri);
	m->by_hand = false;
	m->attempts = 1;
	migration_enter(m, MIG_RESUME, resume_go);
	return 0;
}

/* -- a recovery, up to the data channels -- */

static void step_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err;

	err_set(&err, -ETIMEDOUT, "%s did not answer within %d s (%s)", m->uri_text,
		limit_s(LIMIT_RESUME_STEP), migration_step(m->state));
	recover_broken(m, &err);
}

static void resume_go(struct migration *m)
{
	struct err err;

	if (!m->down)
		return;                       /* the sender has the channel yet: recover_parked() */
	m->creds = tls_creds_unref(m->creds); /* they may have been renewed */
	m->welcomed = false;
	if (server_creds(m->srv, m->agreed.tls_creds, &m->creds, &err) < 0)
		recover_broken(m, &err);
	else
		connect_control(m);
}

void recover_parked(void *arg)
{
	struct migration *m = arg;

	m->down = true;
	if (m->state == MIG_RESUME && !m->held)
		resume_go(m);
}

void recover_dialled(struct migration *m)
{
	migration_timer(m, limit_ms(LIMIT_RESUME_STEP), step_timeout_cb);
	peer_send_hello(m->peer, WIRE_ROLE_CONTROL, m->srv->config.name);
	peer_keepalive(m->peer);
}

static int welcome(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_resume resume = {.session = m->session, .uuid = m->uuid};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct err err;

	if (m->welcomed || peer_welcome(m->peer, body, len) < 0)
		return -EBADMSG;
	m->welcomed = true;
	if (!(peer_features(m->peer) & WIRE_FEATURE_RECOVER)) {
		err_set(&err, -EOPNOTSUPP, "the daemon at %s cannot resume a migration",
			m->uri_text);
		recover_broken(m, &err);
		return 0;
	}
	memcpy(resume.secret, m->secret, sizeof(resume.secret));
	peer_send(m->peer, buf, wire_pack_resume(&resume, buf, sizeof(buf)));
	return 0;
}

static int resumed(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_resumed r;

	if (!m->welcomed || m->dial || m->joining[0] || m->joined ||
		wire_unpack_resumed(body, len, &r) < 0)
		return -EBADMSG;
	if (outflow_resume(m->out, &r) < 0) {
		source_failf(m, -EPROTO,
			"the destination says that it has chunk %llu and the end of pass %u of the "
			"first of %u channels: what it says does not fit what was sent",
			(unsigned long long)r.channel[0].seq, r.channel[0].pass, r.channels);
		return 0;
	}
	memcpy(m->join_secret, r.secret, sizeof(m->join_secret));
	m->elsewhere = false;
	migration_timer(m, limit_ms(LIMIT_RESUME_STEP), step_timeout_cb);
	connect_data(m);
	return 0;
}

/*
 * The session is over there. Without TLS an address that is another daemon's answers so as well:
 * the operator may give a better one.
 */
static int refused(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_refuse refuse;
	struct err err;

	if (wire_unpack_refuse(body, len, &refuse) < 0)
		return -EBADMSG;
	err_set(&err, -EREMOTEIO, "the destination refused: %s", refuse.text);
	m->over_there = !m->elsewhere || m->peer_name[0];
	if (m->over_there)
		source_stop(m, refuse.code == WIRE_REFUSE_CANCELLED ? MIG_CANCELLED : MIG_FAILED,
			WIRE_REFUSE_FAILED, &err);
	else
		recover_broken(m, &err);
	return 0;
}

int recover_frame(struct migration *m, enum wire_type type, const uint8_t *body, size_t len)
{
	switch ((unsigned)type) {
	case WIRE_WELCOME: return welcome(m, body, len);
	case WIRE_RESUMED: return resumed(m, body, len);
	case WIRE_REFUSE: return refused(m, body, len);
	default: return -EBADMSG;
	}
}

/* -- going on -- */

static void active_go(struct migration *m)
{
	bool over = m->pass_over;

	m->pass_over = false;
	if (m->hpt != HPT_READING)
		return; /* a new table: its pass 1 comes by itself */
	if (m->pass == 0 && m->t_active)
		source_pass_one(m);
	else if (m->pass == 0)
		source_first_pass(m);
	else if (over)
		source_pass_over(m);
}

void recover_joined(struct migration *m)
{
	event_del(m->timer);
	event_del(m->limit);
	source_limit(m);
	m->down = false;
	m->recoveries++;
	m->error = (struct err){0};
	outflow_attach(m->out, m->streams);
	migration_gave_channels(m);
	log_info("vm %s: its migration to %s goes on", m->vm_name, m->uri_text);
	migration_enter(m, MIG_ACTIVE, active_go);
}
