/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/harness_impl.h"

/* --- the daemon --------------------------------------------------------------------------- */

/*
 * The service manager that the daemon knows: a thread, since a daemon waits when what it tells is
 * not read. It ends when its socket is shut down.
 */
struct notify {
	pthread_t thread;
	int fd;
	int ready; /* an eventfd: READY=1 came */
	pthread_mutex_t lock;
	char status[512]; /* under lock */
};

static void take_line(struct notify *n, const char *line)
{
	uint64_t one = 1;

	if (!strcmp(line, "READY=1") && write(n->ready, &one, sizeof(one)) < 0)
		abort();
	if (strncmp(line, "STATUS=", 7) != 0)
		return;
	pthread_mutex_lock(&n->lock);
	snprintf(n->status, sizeof(n->status), "%s", line + 7);
	pthread_mutex_unlock(&n->lock);
}

static void *notify_thread(void *arg)
{
	struct notify *n = arg;
	char buf[2048], *line, *rest;
	ssize_t len;

	while ((len = recv(n->fd, buf, sizeof(buf) - 1, 0)) > 0) {
		buf[len] = 0;
		rest = buf;
		while ((line = strsep(&rest, "\n")))
			take_line(n, line);
	}
	return NULL;
}

static void notify_start(struct host *host)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct notify *n = calloc(1, sizeof(*n));

	h_check(host->h, n, "out of memory");
	snprintf(a.sun_path, sizeof(a.sun_path), "%.80s/notify", host->dir);
	unlink(a.sun_path);
	pthread_mutex_init(&n->lock, NULL);
	n->ready = eventfd(0, EFD_CLOEXEC);
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	h_check(host->h,
		n->ready >= 0 && n->fd >= 0 && bind(n->fd, (struct sockaddr *)&a, sizeof(a)) == 0,
		"%s: %m", a.sun_path);
	h_check(host->h, pthread_create(&n->thread, NULL, notify_thread, n) == 0, "no thread");
	host->notify = n;
}

static void notify_stop(struct host *host)
{
	struct notify *n = host->notify;

	if (!n)
		return;
	shutdown(n->fd, SHUT_RD);
	pthread_join(n->thread, NULL);
	close(n->fd);
	close(n->ready);
	pthread_mutex_destroy(&n->lock);
	free(n);
	host->notify = NULL;
}

const char *host_says(struct host *host)
{
	static char status[512];

	pthread_mutex_lock(&host->notify->lock);
	memcpy(status, host->notify->status, sizeof(status));
	pthread_mutex_unlock(&host->notify->lock);
	return status;
}

static void connect_qmp(struct host *host)
{
	struct json_object *d, *listen;
	struct err err = {0};

	h_check(host->h, qmpclient_open(host->control, QMPCLIENT_TIMEOUT_MS, &host->qmp, &err) == 0,
		"daemon %s: %s", host->name, err.text);
	d = host_ask(host, "query-daemon", NULL);
	listen = member(d, "listen");
	host->uri[0] = 0;
	if (listen && json_object_array_length(listen) > 0)
		snprintf(host->uri, sizeof(host->uri), "%s",
			json_object_get_string(json_object_array_get_idx(listen, 0)));
	json_object_put(d);
}

static void add(const char **argv, unsigned *n, const char *option, const char *value)
{
	argv[(*n)++] = option;
	if (value)
		argv[(*n)++] = value;
}

void host_restart(struct host *host)
{
	const char *argv[32] = {"htab-migrated"}, *env[8];
	const struct host_opts *o = &host->opts;
	char hold[128], limits[256], notify[HARNESS_PATH + 24], what[64];
	unsigned n = 1, n_env = 0;

	add(argv, &n, "--control", host->control);
	add(argv, &n, "--vmm-socket", host->vmm);
	add(argv, &n, "--name", host->name);
	add(argv, &n, "--verbose", NULL);
	if (o->creds)
		add(argv, &n, "--tls-creds", o->creds);
	else if (!o->bare)
		add(argv, &n, "--plaintext", NULL);
	/* anew, it listens where its peers know it */
	add(argv, &n, "--listen",
		host->uri[0]        ? host->uri
			: o->listen ? o->listen
				    : "tcp:127.0.0.1:0");
	if (o->config)
		add(argv, &n, "--config", o->config);
	for (unsigned i = 0; i < 8 && o->extra[i]; i++)
		add(argv, &n, o->extra[i], NULL);
	snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s/notify", host->dir);
	env[n_env++] = notify;
	if (o->hold) {
		snprintf(hold, sizeof(hold), "HTAB_MIGRATED_HOLD=%s", o->hold);
		env[n_env++] = hold;
	}
	if (o->limits) {
		snprintf(limits, sizeof(limits), "HTAB_MIGRATED_LIMITS=%s", o->limits);
		env[n_env++] = limits;
	}
	for (unsigned i = 0; i < 2 && o->env[i]; i++)
		env[n_env++] = o->env[i];
	env[n_env] = NULL;

	notify_stop(host);
	notify_start(host);
	host->process = process_start_err(host->h, host->name, argv, env, false, o->err);
	snprintf(what, sizeof(what), "READY=1 of daemon %s", host->name);
	if (!harness_poll(
		    host->h, host->notify->ready, POLLIN, host->process, harness_deadline(), what))
		h_fail(host->h, "daemon %s ended before it was ready", host->name);
	connect_qmp(host);
}

void host_creds(struct host *host, const char *creds)
{
	snprintf(host->creds, sizeof(host->creds), "%s", creds);
	host->opts.creds = host->creds;
}

struct host *host_start(struct harness *h, const char *name, const struct host_opts *opts)
{
	struct host *host = calloc(1, sizeof(*host));

	h_check(h, host && h->n_hosts < HARNESS_HOSTS, "too many daemons in one test");
	host->h = h;
	if (opts)
		host->opts = *opts;
	if (opts && opts->creds)
		host_creds(host, opts->creds);
	snprintf(host->name, sizeof(host->name), "%s", name);
	snprintf(host->dir, sizeof(host->dir), "%s", harness_path(h, "%s", name));
	snprintf(host->control, sizeof(host->control), "%s", harness_path(h, "%s/c.sock", name));
	snprintf(host->vmm, sizeof(host->vmm), "%s", harness_path(h, "%s/vmm.sock", name));
	h_check(h, mkdir(host->dir, 0700) == 0, "%s: %m", host->dir);
	host->seen = json_object_new_array();
	h->hosts[h->n_hosts++] = host;
	host_restart(host);
	return host;
}

void host_kill(struct host *host)
{
	process_kill(host->process);
	host->qmp = qmpclient_free(host->qmp);
}

void host_stop(struct host *host)
{
	host->qmp = qmpclient_free(host->qmp);
	process_signal(host->process, SIGTERM);
	process_wait(host->process);
}

void host_free(struct host *host)
{
	qmpclient_free(host->qmp);
	json_object_put(host->seen);
	notify_stop(host);
	free(host);
}

/* --- commands ----------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static int execute(struct host *host, const char *command,
	const char *args, va_list ap, struct json_object **ret, struct err *err)
{
	struct json_object *o = args ? harness_json_v(host->h, args, ap) : NULL;
	int r;

	h_check(host->h, host->qmp, "daemon %s does not run", host->name);
	r = qmpclient_call(host->qmp, command, o, ret, err);
	if (r < 0 && r != -EREMOTE)
		h_fail(host->h, "daemon %s, %s: %s", host->name, command, err->text);
	return r;
}

struct json_object *host_ask(struct host *host, const char *command, const char *args, ...)
{
	struct json_object *answer;
	struct err err = {0};
	va_list ap;
	int r;

	va_start(ap, args);
	r = execute(host, command, args, ap, &answer, &err);
	va_end(ap);
	h_check(host->h, r == 0, "daemon %s refused %s: %s", host->name, command, err.text);
	return answer;
}

void host_do(struct host *host, const char *command, const char *args, ...)
{
	struct json_object *answer;
	struct err err = {0};
	va_list ap;
	int r;

	va_start(ap, args);
	r = execute(host, command, args, ap, &answer, &err);
	va_end(ap);
	h_check(host->h, r == 0, "daemon %s refused %s: %s", host->name, command, err.text);
	json_object_put(answer);
}

void host_refused(
	struct host *host, struct err *ret_err, const char *command, const char *args, ...)
{
	struct json_object *answer;
	va_list ap;
	int r;

	memset(ret_err, 0, sizeof(*ret_err));
	va_start(ap, args);
	r = execute(host, command, args, ap, &answer, ret_err);
	va_end(ap);
	h_check(host->h, r == -EREMOTE, "daemon %s did not refuse %s", host->name, command);
}

/* --- events ------------------------------------------------------------------------------- */

static bool matches(
	struct json_object *e, const char *name, const char *vm, const char *key, const char *value)
{
	struct json_object *data = member(e, "data");

	return !strcmp(member_text(e, "event", ""), name) &&
		(!vm || !strcmp(member_text(data, "vm", ""), vm)) &&
		(!key || !strcmp(member_text(data, key, ""), value));
}

void host_take_events(struct host *host)
{
	struct json_object *e;

	while (host->qmp && qmpclient_event(host->qmp, 0, &e, NULL) == 0)
		json_object_array_add(host->seen, e);
}

/* The next event of any kind, put into seen; borrowed. */
static struct json_object *next_event(struct host *host, uint64_t deadline, const char *what)
{
	uint64_t now = clock_ns();
	struct json_object *e;
	struct err err = {0};
	int r;

	h_check(host->h, host->qmp, "daemon %s does not run", host->name);
	h_check(host->h, now < deadline, "waited too long for %s", what);
	r = qmpclient_event(host->qmp, (int)((deadline - now) / NS_PER_MS + 1), &e, &err);
	h_check(host->h, r != -ETIMEDOUT, "waited too long for %s", what);
	h_check(host->h, r == 0, "waiting for %s: %s", what, err.text);
	json_object_array_add(host->seen, e);
	return e;
}

struct json_object *host_event(
	struct host *host, const char *name, const char *vm, const char *key, const char *value)
{
	uint64_t deadline = harness_deadline();
	char what[256];

	snprintf(what, sizeof(what), "event %s of %s with %s %s at %s", name, vm ? vm : "any VM",
		key ? key : "any", key ? value : "data", host->name);
	for (;;) {
		struct json_object *e = next_event(host, deadline, what);

		if (matches(e, name, vm, key, value))
			return json_object_get(e);
	}
}

void host_status(struct host *host, const char *vm, const char *status)
{
	uint64_t deadline = harness_deadline();
	char what[256];

	snprintf(what, sizeof(what), "status %s of %s at %s", status, vm, host->name);
	for (;;) {
		struct json_object *e = next_event(host, deadline, what);
		const char *s = member_text(member(e, "data"), "status", "");

		if (!matches(e, "MIGRATION", vm, NULL, NULL))
			continue;
		if (!strcmp(s, status))
			return;
		h_check(host->h,
			strcmp(s, "completed") && strcmp(s, "failed") && strcmp(s, "cancelled"),
			"%s at %s is %s instead of %s: %s", vm, host->name, s, status,
			member_text(member(e, "data"), "error-desc", "no reason"));
	}
}

void host_held(struct host *host, const char *vm, const char *step)
{
	json_object_put(host_event(host, "X_HOLD", vm, "step", step));
}

unsigned host_count(struct host *host, const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < json_object_array_length(host->seen); i++)
		n += matches(json_object_array_get_idx(host->seen, i), name, NULL, NULL, NULL);
	return n;
}

/* --- what there is ------------------------------------------------------------------------ */

struct json_object *host_query(struct host *host, const char *vm)
{
	return host_ask(host, "query-migrate", "{'vm': '%s'}", vm);
}

struct json_object *host_vm(struct host *host, const char *vm)
{
	struct json_object *vms = host_ask(host, "query-vms", NULL), *found = NULL;

	for (size_t i = 0; i < json_object_array_length(vms); i++) {
		struct json_object *o = json_object_array_get_idx(vms, i);

		if (!strcmp(member_text(o, "name", ""), vm))
			found = json_object_get(o);
	}
	json_object_put(vms);
	return found;
}

const char *host_vm_status(struct host *host, const char *vm)
{
	static char status[32];
	struct json_object *o = host_ask(host, "query-status", "{'vm': '%s'}", vm);

	snprintf(status, sizeof(status), "%s", member_text(o, "status", ""));
	json_object_put(o);
	return status;
}

void host_capability(struct host *host, const char *name, bool on)
{
	host_do(host, "migrate-set-capabilities",
		"{'capabilities': [{'capability': '%s', 'state': %s}]}", name,
		on ? "true" : "false");
}

struct json_object *harness_answer(struct harness *h, struct qmpclient *c)
{
	for (;;) {
		struct err err = {0};
		struct json_object *o;

		h_check(h, qmpclient_read(c, 30000, &o, &err) == 0, "%s", err.text);
		if (member(o, "return") || member(o, "error"))
			return o;
		json_object_put(o);
	}
}
