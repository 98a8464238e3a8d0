/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/qmp/qmp.h"

#include <errno.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "config.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/qmp/client.h"

/* The process has no descriptor left. */
#define PAUSE_S 1

/* -- Versions -- */

static struct json_object *version_triple(void)
{
	struct json_object *o = json_object_new_object();
	int major = 0, minor = 0, micro = 0;

	sscanf(PACKAGE_VERSION, "%d.%d.%d", &major, &minor, &micro);
	json_object_object_add(o, "major", json_object_new_int(major));
	json_object_object_add(o, "minor", json_object_new_int(minor));
	json_object_object_add(o, "micro", json_object_new_int(micro));
	return o;
}

/* Clients look for "qemu". */
static struct json_object *version(void)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "htab-migrated", version_triple());
	json_object_object_add(o, "qemu", version_triple());
	json_object_object_add(o, "package", json_object_new_string(""));
	return o;
}

struct json_object *qmp_greeting(void)
{
	struct json_object *o = json_object_new_object(), *qmp = json_object_new_object();

	json_object_object_add(qmp, "version", version());
	json_object_object_add(qmp, "capabilities", json_object_new_array());
	json_object_object_add(o, "QMP", qmp);
	return o;
}

/* -- Descriptors -- */

static struct qmp_named_fd *find_fd(struct qmp *q, const char *name)
{
	struct qmp_named_fd *n;

	TAILQ_FOREACH (n, &q->fds, link)
		if (strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

int qmp_take_fd(struct qmp *q, const char *name)
{
	struct qmp_named_fd *n = find_fd(q, name);
	int fd;

	if (!n)
		return -ENOENT;
	fd = n->fd;
	TAILQ_REMOVE(&q->fds, n, link);
	q->n_fds--;
	free(n);
	return fd;
}

static void keep_fd(struct qmp *q, const char *name, int fd)
{
	struct qmp_named_fd *n = malloc(sizeof(*n) + strlen(name) + 1);
	int old = qmp_take_fd(q, name);

	if (old >= 0)
		foreign_close(old);
	if (!n) {
		foreign_close(fd);
		return;
	}
	n->fd = fd;
	strcpy(n->name, name);
	TAILQ_INSERT_TAIL(&q->fds, n, link);
	q->n_fds++;
}

/* -- Commands of the server's own -- */

static void fail(struct qmp_call *call, enum err_class class, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct qmp_call *call, enum err_class class, const char *fmt, ...)
{
	struct err err = {.class = class, .code = -EINVAL};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	qmp_fail(call, &err);
}

static void run_capabilities(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct qmp_client *c = qmp_call_client(call);
	struct json_object *enable;

	if (qmp_client_negotiated(c)) {
		fail(call, ERR_COMMAND_NOT_FOUND, "%s",
			"Capabilities negotiation is already complete, command ignored");
		return;
	}
	if (json_object_object_get_ex(args, "enable", &enable) &&
		json_object_array_length(enable) > 0) {
		fail(call, ERR_GENERIC, "Capability %.100s is not available",
			json_object_to_json_string(json_object_array_get_idx(enable, 0)));
		return;
	}
	qmp_client_set_negotiated(c);
	qmp_return(call, NULL);
}

static void run_version(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	qmp_return(call, version());
}

static void run_getfd(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	const char *name = json_object_get_string(json_object_object_get(args, "fdname"));
	struct qmp *q = opaque;
	int fd;

	if (!*name || (*name >= '0' && *name <= '9')) {
		fail(call, ERR_GENERIC, "%s",
			"Parameter 'fdname' expects a name not starting with a digit");
		return;
	}
	if (q->n_fds >= QMP_FDS_MAX && !find_fd(q, name)) {
		fail(call, ERR_GENERIC,
			"cannot keep the descriptor '%.64s': 64 are kept already: use closefd",
			name);
		return;
	}
	fd = qmp_client_take_fd(qmp_call_client(call));
	if (fd < 0) {
		fail(call, ERR_GENERIC, "%s", "No file descriptor supplied via SCM_RIGHTS");
		return;
	}
	keep_fd(q, name, fd);
	qmp_return(call, NULL);
}

static void run_closefd(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	const char *name = json_object_get_string(json_object_object_get(args, "fdname"));
	int fd = qmp_take_fd(opaque, name);

	if (fd < 0) {
		fail(call, ERR_GENERIC, "File descriptor named '%.64s' not found", name);
		return;
	}
	foreign_close(fd);
	qmp_return(call, NULL);
}

static void run_commands(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args);

static const struct qmp_command own_commands[] = {
	{"qmp_capabilities", {{"enable", QMP_LIST, true}}, run_capabilities},
	{"query-version", {{0}}, run_version},
	{"query-commands", {{0}}, run_commands},
	{"getfd", {{"fdname", QMP_STRING, false}}, run_getfd},
	{"closefd", {{"fdname", QMP_STRING, false}}, run_closefd},
	{0},
};

static void list_commands(struct json_object *list, const struct qmp_command *c)
{
	for (; c->name; c++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(c->name));
		json_object_array_add(list, o);
	}
}

static void run_commands(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct json_object *list = json_object_new_array();
	struct qmp *q = opaque;

	list_commands(list, own_commands);
	list_commands(list, q->commands);
	qmp_return(call, list);
}

static const struct qmp_command *find_command(const struct qmp_command *c, const char *name)
{
	for (; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

void qmp_dispatch(struct qmp *q, struct qmp_call *call, struct json_object *value)
{
	struct qmp_client *c = qmp_call_client(call);
	struct qmp_request request;
	const struct qmp_command *command;
	struct json_object *args;
	void *opaque = q;
	struct err err = {0};

	if (qmp_check_request(value, &request, &err) < 0) {
		qmp_fail(call, &err);
		return;
	}
	if (!qmp_client_negotiated(c) && strcmp(request.name, "qmp_capabilities") != 0) {
		fail(call, ERR_COMMAND_NOT_FOUND, "%s",
			"Expecting capabilities negotiation with 'qmp_capabilities'");
		return;
	}
	command = find_command(own_commands, request.name);
	if (!command) {
		command = find_command(q->commands, request.name);
		opaque = q->opaque;
	}
	if (!command) {
		fail(call, ERR_COMMAND_NOT_FOUND, "The command %.64s has not been found",
			request.name);
		return;
	}
	if (qmp_check_args(command, request.args, &err) < 0) {
		qmp_fail(call, &err);
		return;
	}
	args = request.args ? json_object_get(request.args) : json_object_new_object();
	command->run(opaque, call, c->sock->vm, args);
	json_object_put(args);
}

/* -- Events -- */

static struct json_object *event_object(const char *name, struct json_object *data)
{
	struct json_object *o = json_object_new_object(), *t = json_object_new_object();
	uint64_t ns = clock_real_ns();

	json_object_object_add(t, "seconds", json_object_new_int64((int64_t)(ns / NS_PER_SEC)));
	json_object_object_add(
		t, "microseconds", json_object_new_int64((int64_t)(ns % NS_PER_SEC / 1000)));
	json_object_object_add(o, "timestamp", t);
	json_object_object_add(o, "event", json_object_new_string(name));
	if (data)
		json_object_object_add(o, "data", data);
	return o;
}

void qmp_event(struct qmp *q, const char *vm, const char *name, struct json_object *data)
{
	struct json_object *o = event_object(name, data);
	struct qmp_client *c;
	struct qmp_sock *s;

	TAILQ_FOREACH (s, &q->socks, link) {
		if (s->vm && (!vm || strcmp(s->vm, vm) != 0))
			continue;
		TAILQ_FOREACH (c, &s->clients, link)
			if (qmp_client_negotiated(c))
				qmp_client_send(c, json_object_get(o));
	}
	json_object_put(o);
}

/* -- Sockets -- */

/* Better than silence in a backlog. */
static void refuse(int fd, unsigned clients)
{
	char text[128];
	int n = snprintf(text, sizeof(text),
		"{\"error\":{\"class\":\"GenericError\",\"desc\":"
		"\"%u control clients are connected already: end one\"}}\r\n",
		clients);

	/* Should this fail, it sees the end of the connection. */
	(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* No user takes the last places: root gets in, whatever the daemon's own user has open. */
static void take_client(struct qmp_sock *s, int fd)
{
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred);
	struct qmp_client *c;
	struct qmp_sock *o;
	unsigned own = 0;

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	TAILQ_FOREACH (o, &s->qmp->socks, link)
		TAILQ_FOREACH (c, &o->clients, link)
			own += c->uid == cred.uid;
	if (own >= QMP_CLIENTS_OF_USER_MAX || s->qmp->n_clients >= QMP_CLIENTS_MAX)
		refuse(fd, own >= QMP_CLIENTS_OF_USER_MAX ? own : s->qmp->n_clients);
	else
		qmp_client_new(s, fd, cred.uid);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_sock *s = arg;

	event_add(s->accept, NULL);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct timeval pause = {PAUSE_S, 0};
	struct qmp_sock *s = arg;
	int fd = fd_accept(listen_fd, NULL, NULL);

	if (fd < 0) {
		if (fd != -EAGAIN) {
			event_del(s->accept);
			event_add(s->resume, &pause);
		}
		return;
	}
	take_client(s, fd);
}

int qmp_listen(struct qmp *q, const char *path, unsigned mode, const char *vm,
	struct qmp_sock **ret, struct err *err)
{
	struct qmp_sock *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->qmp = q;
	TAILQ_INIT(&s->clients);
	TAILQ_INSERT_TAIL(&q->socks, s, link);
	s->vm = vm ? strdup(vm) : NULL;
	r = unixsock_listen(&s->unixsock, path, SOCK_STREAM, mode, err);
	if (r < 0) {
		s->unixsock.fd = -1;
		qmp_sock_free(s);
		return r;
	}
	s->accept = event_new(q->base, s->unixsock.fd, EV_READ | EV_PERSIST, on_accept, s);
	s->resume = evtimer_new(q->base, on_resume, s);
	if ((vm && !s->vm) || !s->accept || !s->resume || event_add(s->accept, NULL) < 0) {
		qmp_sock_free(s);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = s;
	return 0;
}

struct qmp_sock *qmp_sock_free(struct qmp_sock *s)
{
	struct qmp_client *c;

	if (!s)
		return NULL;
	while ((c = TAILQ_FIRST(&s->clients)))
		qmp_client_close(c);
	if (s->accept)
		event_free(s->accept);
	if (s->resume)
		event_free(s->resume);
	unixsock_close(&s->unixsock);
	TAILQ_REMOVE(&s->qmp->socks, s, link);
	free(s->vm);
	free(s);
	return NULL;
}

int qmp_new(
	struct event_base *base, const struct qmp_command *commands, void *opaque, struct qmp **ret)
{
	struct qmp *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->base = base;
	q->commands = commands;
	q->opaque = opaque;
	TAILQ_INIT(&q->socks);
	TAILQ_INIT(&q->fds);
	*ret = q;
	return 0;
}

struct qmp *qmp_free(struct qmp *q)
{
	struct qmp_named_fd *n;
	struct qmp_sock *s;

	if (!q)
		return NULL;
	while ((s = TAILQ_FIRST(&q->socks)))
		qmp_sock_free(s);
	while ((n = TAILQ_FIRST(&q->fds))) {
		TAILQ_REMOVE(&q->fds, n, link);
		foreign_close(n->fd);
		free(n);
	}
	free(q);
	return NULL;
}
