/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/qmp/client.h"
#include "common/foreign.h"

#define INPUT_MAX    (16 * 1024) /* bytes of one read */
#define COMMANDS_MAX 32          /* in one go, then others have their turn */
#define IOVECS_MAX   16
#define JSON_FLAGS   (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

struct qmp_call {
	struct qmp_client *client; /* NULL: gone */
	struct json_object *id;
	bool has_id; /* null is an id, too */
};

/* -- Life -- */

static void close_fds(struct qmp_client *c)
{
	for (unsigned i = 0; i < c->n_fds; i++)
		foreign_close(c->fds[i]);
	c->n_fds = 0;
}

static void client_free(struct qmp_client *c)
{
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	if (c->kick)
		event_free(c->kick);
	if (c->out)
		evbuffer_free(c->out);
	qmp_json_clear(&c->json);
	free(c);
}

void qmp_client_close(struct qmp_client *c)
{
	if (c->closed)
		return;
	c->closed = true;
	TAILQ_REMOVE(&c->sock->clients, c, link);
	c->qmp->n_clients--;
	event_del(c->readable);
	event_del(c->writable);
	event_del(c->kick);
	close_fds(c);
	foreign_hang_up(c->fd);
	if (c->call)
		c->call->client = NULL;
	c->sock = NULL;
	c->qmp = NULL;
	if (!c->busy)
		client_free(c);
}

/* -- Output -- */

/*
 * What is sent is UTF-8 whatever got into a string of it; a byte that is none is always within one.
 */
static const char *encode(struct json_object *value, char **ret_copy)
{
	const char *text = json_object_to_json_string_ext(value, JSON_FLAGS);
	struct utf8 u = {0};
	size_t len = text ? strlen(text) : 0;

	if (utf8_scan(&u, text, len) == len && !u.need)
		return text;
	*ret_copy = strdup(text);
	if (*ret_copy)
		text_utf8(*ret_copy);
	return *ret_copy;
}

void qmp_client_send(struct qmp_client *c, struct json_object *value)
{
	char *copy = NULL;
	const char *text = encode(value, &copy);
	size_t len = text ? strlen(text) : 0;

	if (!c->closed && !c->doomed) {
		/* Closing is left to the loop: this may be called for an event to everybody. */
		if (!text || evbuffer_get_length(c->out) + len + 2 > QMP_UNREAD_MAX ||
			evbuffer_add(c->out, text, len) < 0 ||
			evbuffer_add(c->out, "\r\n", 2) < 0) {
			c->doomed = true;
			event_active(c->kick, EV_TIMEOUT, 0);
		} else {
			event_add(c->writable, NULL);
		}
	}
	free(copy);
	json_object_put(value);
}

/* sendmsg() as evbuffer_write() would raise SIGPIPE. */
static ssize_t send_some(struct qmp_client *c)
{
	struct evbuffer_iovec v[IOVECS_MAX];
	struct iovec iov[IOVECS_MAX];
	struct msghdr msg = {.msg_iov = iov};
	int n = evbuffer_peek(c->out, -1, NULL, v, IOVECS_MAX);

	if (n > IOVECS_MAX)
		n = IOVECS_MAX;
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){v[i].iov_base, v[i].iov_len};
	msg.msg_iovlen = (size_t)n;
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The client said all that it had to say, and has all its answers. */
static bool finished(const struct qmp_client *c)
{
	return c->eof && !c->call && c->used == c->len && evbuffer_get_length(c->out) == 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_client *c = arg;
	ssize_t n = send_some(c);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		qmp_client_close(c);
		return;
	}
	if (n > 0)
		evbuffer_drain(c->out, (size_t)n);
	if (evbuffer_get_length(c->out) > 0)
		event_add(c->writable, NULL);
	else if (finished(c))
		qmp_client_close(c);
}

/* -- Commands -- */

static void answer(struct qmp_call *call, const char *key, struct json_object *value)
{
	struct qmp_client *c = call->client;
	struct json_object *o;

	if (!c) {
		json_object_put(value);
		json_object_put(call->id);
		free(call);
		return;
	}
	assert(c->call == call);
	c->call = NULL;
	o = json_object_new_object();
	json_object_object_add(o, key, value);
	if (call->has_id)
		json_object_object_add(o, "id", call->id);
	free(call);
	qmp_client_send(c, o);
	/* Later commands waited for this answer. */
	if (!c->closed)
		event_active(c->kick, EV_TIMEOUT, 0);
}

void qmp_return(struct qmp_call *call, struct json_object *value)
{
	answer(call, "return", value ? value : json_object_new_object());
}

static struct json_object *error_object(const struct err *err)
{
	struct json_object *e = json_object_new_object();
	json_object_object_add(e, "class", json_object_new_string(err_class_name(err->class)));
	json_object_object_add(e, "desc", json_object_new_string(err->text));
	return e;
}

void qmp_fail(struct qmp_call *call, const struct err *err)
{
	answer(call, "error", error_object(err));
}

struct qmp_client *qmp_call_client(struct qmp_call *call)
{
	return call->client;
}

bool qmp_client_negotiated(const struct qmp_client *c)
{
	return c->negotiated;
}

void qmp_client_set_negotiated(struct qmp_client *c)
{
	c->negotiated = true;
}

/* Malformed JSON has no id to answer to; value: NULL, or one that is whole. */
static void complain(struct qmp_client *c, const struct err *err, struct json_object *value)
{
	struct json_object *o = json_object_new_object(), *id;

	json_object_object_add(o, "error", error_object(err));
	if (json_object_is_type(value, json_type_object) &&
		json_object_object_get_ex(value, "id", &id))
		json_object_object_add(o, "id", json_object_get(id));
	qmp_client_send(c, o);
}

static void run_command(struct qmp_client *c, struct json_object *value)
{
	struct qmp_call *call = calloc(1, sizeof(*call));

	if (!call) {
		c->doomed = true;
		event_active(c->kick, EV_TIMEOUT, 0);
		return;
	}
	call->client = c;
	c->call = call;
	if (json_object_is_type(value, json_type_object))
		call->has_id = json_object_object_get_ex(value, "id", &call->id);
	json_object_get(call->id);
	c->fds_offered = true;
	qmp_dispatch(c->qmp, call, value);
}

/* One command, or one complaint. False when there is nothing to do now. */
static bool step(struct qmp_client *c)
{
	struct json_object *value = NULL;
	struct err err = {0};
	size_t used;
	int r;

	if (c->closed || c->doomed || c->call || c->used == c->len)
		return false;
	r = qmp_json_feed(&c->json, c->in + c->used, c->len - c->used, &used, &value, &err);
	c->used += used;
	if (r < 0 || r == JSONREAD_FAULT)
		complain(c, &err, value);
	else if (r == JSONREAD_VALUE)
		run_command(c, value);
	if (r == -EPROTO) {
		/* What else it says is not listened to; it still gets its answer. */
		c->eof = true;
		c->used = c->len;
	}
	json_object_put(value);
	return true;
}

static void process(struct qmp_client *c)
{
	unsigned n = 0;

	if (c->busy)
		return;
	/* A command may close this very client, by its socket. */
	c->busy = true;
	while (n < COMMANDS_MAX && step(c))
		n++;
	c->busy = false;
	if (c->closed) {
		client_free(c);
		return;
	}
	if (c->doomed || finished(c)) {
		qmp_client_close(c);
		return;
	}
	if (c->call)
		return;
	if (c->used < c->len) {
		event_active(c->kick, EV_TIMEOUT, 0);
		return;
	}
	/* Descriptors that no command took. They come with a command's first byte, or before it. */
	if (c->fds_offered && qmp_json_idle(&c->json))
		close_fds(c);
	if (!c->eof)
		event_add(c->readable, NULL);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	process(arg);
}

/* -- Input -- */

static void keep_fds(struct qmp_client *c, struct msghdr *msg)
{
	struct cmsghdr *m;
	unsigned n;

	for (m = CMSG_FIRSTHDR(msg); m; m = CMSG_NXTHDR(msg, m)) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		/* As in QEMU, newer ones replace those that nobody asked for. */
		close_fds(c);
		n = (unsigned)((m->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		assert(n <= QMP_FDS_RECEIVED);
		memcpy(c->fds, CMSG_DATA(m), n * sizeof(int));
		c->n_fds = n;
		c->fds_offered = false;
	}
}

int qmp_client_take_fd(struct qmp_client *c)
{
	int fd;

	if (!c->n_fds)
		return -1;
	fd = c->fds[0];
	c->n_fds--;
	memmove(c->fds, c->fds + 1, c->n_fds * sizeof(int));
	return fd;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * QMP_FDS_RECEIVED)];
	} control;
	struct qmp_client *c = arg;
	struct iovec iov = {c->in, INPUT_MAX};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			event_add(c->readable, NULL);
		else
			qmp_client_close(c);
		return;
	}
	keep_fds(c, &msg);
	c->used = 0;
	c->len = (size_t)n;
	c->eof = n == 0;
	process(c);
}

int qmp_client_new(struct qmp_sock *sock, int fd, uid_t uid)
{
	struct qmp_client *c = calloc(1, sizeof(*c) + INPUT_MAX);

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	c->uid = uid;
	qmp_json_init(&c->json);
	c->readable = event_new(sock->qmp->base, fd, EV_READ, on_readable, c);
	c->writable = event_new(sock->qmp->base, fd, EV_WRITE, on_writable, c);
	c->kick = evtimer_new(sock->qmp->base, on_kick, c);
	c->out = evbuffer_new();
	if (!c->readable || !c->writable || !c->kick || !c->out ||
		event_add(c->readable, NULL) < 0) {
		client_free(c);
		close(fd);
		return -ENOMEM;
	}
	c->sock = sock;
	c->qmp = sock->qmp;
	c->qmp->n_clients++;
	TAILQ_INSERT_TAIL(&sock->clients, c, link);
	qmp_client_send(c, qmp_greeting());
	return 0;
}
