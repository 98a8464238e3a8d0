/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/htabctl/qmpclient.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/jsonread.h"
#include "proto/text.h"

#define BUFFER 65536

struct event {
	STAILQ_ENTRY(event) link;
	struct json_object *object;
};

struct qmpclient {
	int fd;
	int64_t last_id;
	struct jsonread json;
	char buf[BUFFER];
	size_t begin, end; /* bytes of buf that are not parsed yet */
	STAILQ_HEAD(, event) events;
	unsigned n_events;
};

static const char *text_of(struct json_object *o, const char *member)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, member, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return json_object_get_string(v);
}

static enum err_class class_of(const char *name)
{
	static const enum err_class all[] = {
		ERR_GENERIC,
		ERR_COMMAND_NOT_FOUND,
		ERR_DEVICE_NOT_FOUND,
		ERR_DEVICE_NOT_ACTIVE,
	};

	for (size_t i = 0; name && i < sizeof(all) / sizeof(all[0]); i++) {
		if (!strcmp(name, err_class_name(all[i])))
			return all[i];
	}
	return ERR_GENERIC;
}

/* --- bytes --------------------------------------------------------------------------- */

static uint64_t deadline_after(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* For poll(): rounded up, so that nothing spins through the last millisecond. */
static int left_ms(uint64_t deadline)
{
	uint64_t now = clock_ns();

	if (deadline == UINT64_MAX)
		return -1;
	return now < deadline ? (int)((deadline - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

/* 0 when the socket is ready, -ETIMEDOUT, or -errno. */
static int wait_for(const struct qmpclient *c, short what, uint64_t deadline, struct err *err)
{
	struct pollfd p = {.fd = c->fd, .events = what};

	for (;;) {
		int n = poll(&p, 1, left_ms(deadline));

		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, -ETIMEDOUT, "the daemon did not answer in time");
		if (errno != EINTR)
			return err_set(err, -errno, "poll: %m");
	}
}

static int send_all(struct qmpclient *c, const void *buf, size_t len, int fd, struct err *err)
{
	uint64_t deadline = deadline_after(QMPCLIENT_TIMEOUT_MS);
	const char *p = buf;

	while (len > 0) {
		ssize_t n = fd_send(c->fd, p, len, fd);
		int r;

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			fd = -1;
			continue;
		}
		if (n != -EAGAIN)
			return err_set(err, (int)n, "the connection to the daemon is lost: %s",
				strerror((int)-n));
		r = wait_for(c, POLLOUT, deadline, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int qmpclient_send(struct qmpclient *c, const void *buf, size_t len, struct err *err)
{
	return send_all(c, buf, len, -1, err);
}

static int fill(struct qmpclient *c, uint64_t deadline, struct err *err)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->buf, sizeof(c->buf), 0);
		int r;

		if (n > 0) {
			c->begin = 0;
			c->end = (size_t)n;
			return 0;
		}
		if (n == 0)
			return err_set(err, -ECONNRESET, "the daemon closed the connection");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return err_set(err, -errno, "the connection to the daemon is lost: %m");
		r = wait_for(c, POLLIN, deadline, err);
		if (r < 0)
			return r;
	}
}

/*
 * Whoever answers at the socket: what he says is shown on terminals. False when the name of a
 * member is not to be shown.
 */
static bool clean(struct json_object *o)
{
	bool ok = true;

	if (json_object_is_type(o, json_type_string) && !text_is_clean(json_object_get_string(o))) {
		char *text = strdup(json_object_get_string(o));

		if (text)
			text_clean(text);
		json_object_set_string(o, text ? text : "?");
		free(text);
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			ok = clean(json_object_array_get_idx(o, i)) && ok;
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, name, value)
			ok = clean(value) && text_is_clean(name) && ok;
	}
	return ok;
}

int qmpclient_read(struct qmpclient *c, int timeout_ms, struct json_object **ret, struct err *err)
{
	uint64_t deadline = deadline_after(timeout_ms);

	for (;;) {
		struct json_object *o = NULL;
		struct err why = {.text = "no object"};
		size_t used = 0;
		int r;

		r = jsonread_feed(&c->json, c->buf + c->begin, c->end - c->begin, &used, &o, &why);
		c->begin += used;
		if (r == JSONREAD_MORE) {
			r = fill(c, deadline, err);
			if (r < 0)
				return r;
			continue;
		}
		if (r != JSONREAD_VALUE || !json_object_is_type(o, json_type_object) || !clean(o)) {
			json_object_put(o);
			jsonread_clear(&c->json);
			return err_set(
				err, -EPROTO, "what answered does not speak QMP: %s", why.text);
		}
		*ret = o;
		return 0;
	}
}

/* --- messages ------------------------------------------------------------------------ */

static int keep_event(struct qmpclient *c, struct json_object *o, struct err *err)
{
	struct event *e;

	e = c->n_events < QMPCLIENT_EVENTS_MAX ? calloc(1, sizeof(*e)) : NULL;
	if (!e) {
		json_object_put(o);
		return err_set(err, -ENOBUFS, "too many events (%u) at once", c->n_events);
	}
	e->object = o;
	STAILQ_INSERT_TAIL(&c->events, e, link);
	c->n_events++;
	return 0;
}

int qmpclient_event(struct qmpclient *c, int timeout_ms, struct json_object **ret, struct err *err)
{
	struct event *e = STAILQ_FIRST(&c->events);
	uint64_t deadline = deadline_after(timeout_ms);

	if (e) {
		STAILQ_REMOVE_HEAD(&c->events, link);
		c->n_events--;
		*ret = e->object;
		free(e);
		return 0;
	}
	for (;;) {
		struct json_object *o;
		int r;

		r = qmpclient_read(c, left_ms(deadline), &o, err);
		if (r < 0)
			return r;
		if (json_object_object_get_ex(o, "event", NULL)) {
			*ret = o;
			return 0;
		}
		json_object_put(o); /* the late answer of a call that timed out */
	}
}

/* The answer to the last request. */
static int answer(struct qmpclient *c, struct json_object **ret, struct err *err)
{
	uint64_t deadline = deadline_after(QMPCLIENT_TIMEOUT_MS);

	for (;;) {
		struct json_object *o, *v;
		int r;

		r = qmpclient_read(c, left_ms(deadline), &o, err);
		if (r < 0)
			return r;
		if (json_object_object_get_ex(o, "event", NULL)) {
			r = keep_event(c, o, err);
			if (r < 0)
				return r;
			continue;
		}
		/* without an id: an error about what could not be parsed */
		if (json_object_object_get_ex(o, "id", &v) &&
			json_object_get_int64(v) != c->last_id) {
			json_object_put(o);
			continue;
		}
		if (json_object_object_get_ex(o, "return", &v)) {
			if (ret)
				*ret = json_object_get(v);
			json_object_put(o);
			return 0;
		}
		if (json_object_object_get_ex(o, "error", &v) && text_of(v, "desc")) {
			r = err_set_class(err, class_of(text_of(v, "class")), -EREMOTE, "%s",
				text_of(v, "desc"));
			json_object_put(o);
			return r;
		}
		json_object_put(o);
		return err_set(err, -EPROTO, "the daemon's answer is neither return nor error");
	}
}

static int request_fd(struct qmpclient *c, struct json_object *request, int fd,
	struct json_object **ret, struct err *err)
{
	const char *text;
	size_t len;
	int r;

	json_object_object_add(request, "id", json_object_new_int64(++c->last_id));
	text = json_object_to_json_string_length(request, JSON_C_TO_STRING_PLAIN, &len);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	r = send_all(c, text, len, fd, err);
	if (r == 0)
		r = qmpclient_send(c, "\n", 1, err);
	return r < 0 ? r : answer(c, ret, err);
}

int qmpclient_request(
	struct qmpclient *c, struct json_object *request, struct json_object **ret, struct err *err)
{
	return request_fd(c, request, -1, ret, err);
}

int qmpclient_getfd(struct qmpclient *c, const char *name, int fd, struct err *err)
{
	struct json_object *request = json_object_new_object(), *args = json_object_new_object();
	int r;

	json_object_object_add(args, "fdname", json_object_new_string(name));
	json_object_object_add(request, "execute", json_object_new_string("getfd"));
	json_object_object_add(request, "arguments", args);
	r = request_fd(c, request, fd, NULL, err);
	json_object_put(request);
	return r;
}

int qmpclient_call(struct qmpclient *c, const char *command, struct json_object *args,
	struct json_object **ret, struct err *err)
{
	struct json_object *request = json_object_new_object();
	int r;

	json_object_object_add(request, "execute", json_object_new_string(command));
	if (args)
		json_object_object_add(request, "arguments", args);
	r = qmpclient_request(c, request, ret, err);
	json_object_put(request);
	return r;
}

/* --- the connection ------------------------------------------------------------------ */

int qmpclient_connect(const char *path, struct qmpclient **ret, struct err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct qmpclient *c;
	int r;

	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s: the path of a socket has %zu bytes at most",
			path, sizeof(a.sun_path) - 1);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	STAILQ_INIT(&c->events);
	jsonread_init(&c->json, QMPCLIENT_MESSAGE_MAX);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		r = err_set(err, -errno, "socket: %m");
		goto fail;
	}
	strcpy(a.sun_path, path);
	if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		r = err_set(err, -errno, "cannot reach the daemon at %s: %m", path);
		goto fail;
	}
	r = fd_set_nonblock(c->fd);
	if (r < 0) {
		err_set(err, r, "%s: %s", path, strerror(-r));
		goto fail;
	}
	*ret = c;
	return 0;
fail:
	qmpclient_free(c);
	return r;
}

int qmpclient_open(const char *path, int timeout_ms, struct qmpclient **ret, struct err *err)
{
	struct json_object *greeting, *refusal;
	struct qmpclient *c;
	int r;

	r = qmpclient_connect(path, &c, err);
	if (r < 0)
		return r;
	r = qmpclient_read(c, timeout_ms, &greeting, err);
	if (r == 0) {
		if (json_object_object_get_ex(greeting, "error", &refusal) &&
			text_of(refusal, "desc"))
			r = err_set_class(err, class_of(text_of(refusal, "class")), -EREMOTE, "%s",
				text_of(refusal, "desc"));
		else if (!json_object_object_get_ex(greeting, "QMP", NULL))
			r = err_set(err, -EPROTO, "%s does not greet as a QMP server does", path);
		json_object_put(greeting);
	}
	if (r == 0)
		r = qmpclient_call(c, "qmp_capabilities", NULL, NULL, err);
	if (r < 0) {
		qmpclient_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct qmpclient *qmpclient_free(struct qmpclient *c)
{
	struct event *e;

	if (!c)
		return NULL;
	while ((e = STAILQ_FIRST(&c->events))) {
		STAILQ_REMOVE_HEAD(&c->events, link);
		json_object_put(e->object);
		free(e);
	}
	fd_close(c->fd);
	jsonread_clear(&c->json);
	free(c);
	return NULL;
}

int qmpclient_fd(const struct qmpclient *c)
{
	return c->fd;
}
