/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contract of the control sockets, docs/control.md. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/pair.h"

struct raw {
	struct harness *h;
	struct qmpclient *c;
};

/* Connected, greeted, not negotiated. */
static struct raw raw_open(struct harness *h, const char *path)
{
	struct raw r = {.h = h};
	struct json_object *greeting;
	struct err err = {0};

	h_check(h, qmpclient_connect(path, &r.c, &err) == 0, "%s", err.text);
	h_check(h, qmpclient_read(r.c, 10000, &greeting, &err) == 0, "greeting: %s", err.text);
	h_check(h, member(greeting, "QMP"), "greeting: %s", json_object_to_json_string(greeting));
	json_object_put(greeting);
	return r;
}

static void raw_send(struct raw *r, const char *text)
{
	struct err err = {0};

	h_check(r->h, qmpclient_send(r->c, text, strlen(text), &err) == 0, "send %s: %s", text,
		err.text);
}

/* The next object; the caller's. */
static struct json_object *raw_read(struct raw *r)
{
	struct json_object *o;
	struct err err = {0};

	h_check(r->h, qmpclient_read(r->c, HARNESS_WAIT_S * 1000, &o, &err) == 0, "read: %s",
		err.text);
	return o;
}

static void raw_returns(struct raw *r)
{
	struct json_object *o = raw_read(r);

	h_check(r->h, member(o, "return"), "no return but %s", json_object_to_json_string(o));
	json_object_put(o);
}

/* An error of that class, whose sentence says words. */
static void raw_fails(struct raw *r, const char *class, const char *words)
{
	struct json_object *o = raw_read(r), *e = member(o, "error");

	h_check(r->h, !strcmp(member_text(e, "class", ""), class), "no %s but %s", class,
		json_object_to_json_string(o));
	h_check_text(r->h, member_text(e, "desc", ""), words);
	json_object_put(o);
}

static void raw_negotiate(struct raw *r)
{
	raw_send(r, "{\"execute\": \"qmp_capabilities\"}");
	raw_returns(r);
}

static void raw_close(struct raw *r)
{
	r->c = qmpclient_free(r->c);
}

/* --- protocol ----------------------------------------------------------------------------- */

START_TEST(greeting_and_negotiation)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *o, *q, *qemu;
	struct qmpclient *c;
	struct err err = {0};
	struct raw r;

	h_check(h, qmpclient_connect(a->control, &c, &err) == 0, "%s", err.text);
	h_check(h, qmpclient_read(c, 10000, &o, &err) == 0, "%s", err.text);
	q = member(o, "QMP");
	qemu = member(member(q, "version"), "qemu");
	h_check(h,
		json_object_is_type(member(q, "capabilities"), json_type_array) && qemu &&
			member_int(qemu, "major", -1) >= 0 && member_int(qemu, "minor", -1) >= 0 &&
			member_int(qemu, "micro", -1) >= 0,
		"greeting: %s", json_object_to_json_string(o));
	json_object_put(o);
	qmpclient_free(c);

	r = raw_open(h, a->control);
	raw_send(&r, "{\"execute\": \"query-vms\"}\n");
	raw_fails(&r, "CommandNotFound", "qmp_capabilities");
	/* an event that this client must not see */
	guest_start(a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	raw_send(&r, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}}\n");
	raw_returns(&r);
	raw_send(&r, "{\"execute\": \"qmp_capabilities\"}\n");
	raw_fails(&r, "CommandNotFound", "");
	/* and one that it must */
	guest_start(a, "vm2", &(struct guest_opts){.rate = 1000});
	o = raw_read(&r);
	h_check(h,
		!strcmp(member_text(o, "event", ""), "VM_REGISTERED") &&
			!strcmp(member_text(member(o, "data"), "vm", ""), "vm2") &&
			member_int(member(o, "timestamp"), "seconds", 0) > 1000000000,
		"event: %s", json_object_to_json_string(o));
	json_object_put(o);
	raw_close(&r);
	harness_free(h);
}
END_TEST

START_TEST(id_is_echoed)
{
	static const char *const ids[] = {
		"1", "\"x\"", "null", "{\"a\":[1,2]}", "[]", "true", "-1.5"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct raw r = raw_open(h, a->control);
	char text[128];

	raw_negotiate(&r);
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct json_object *o, *id;

		snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"id\":%s}",
			i % 2 ? "query-version" : "no-such-command", ids[i]);
		raw_send(&r, text);
		o = raw_read(&r);
		h_check(h, json_object_object_get_ex(o, "id", &id), "no id in %s",
			json_object_to_json_string(o));
		h_check(h,
			!strcmp(json_object_to_json_string_ext(id, JSON_C_TO_STRING_PLAIN), ids[i]),
			"id %s came back as %s", ids[i], json_object_to_json_string(o));
		json_object_put(o);
	}
	raw_send(&r, "{\"execute\": \"query-version\"}");
	{
		struct json_object *o = raw_read(&r);

		h_check(h, !json_object_object_get_ex(o, "id", NULL), "an id that nobody sent");
		json_object_put(o);
	}
	raw_close(&r);
	harness_free(h);
}
END_TEST

/* JSON is a stream: no newlines, several commands at once, one in pieces. */
START_TEST(stream_of_json)
{
	static const char one[] = "{\"execute\":\"query-version\",\"id\":7}";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct raw r = raw_open(h, a->control);

	raw_negotiate(&r);
	raw_send(&r,
		"{\"execute\":\"query-version\"}{\"execute\":\"query-version\"}\n\n  "
		"{\"execute\":\n\"query-version\"}");
	for (int i = 0; i < 3; i++)
		raw_returns(&r);
	for (const char *p = one; *p; p++) {
		char c[2] = {*p, 0};

		raw_send(&r, c);
		if (p - one == 5) /* an answer to something else shows that the piece was read */
			host_do(a, "query-version", NULL);
	}
	raw_returns(&r);
	raw_close(&r);
	harness_free(h);
}
END_TEST

/* Each answer is one line that ends with CR LF. */
START_TEST(lines_for_people)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct raw r = {.h = h};
	struct err err = {0};
	char buf[65536];
	size_t len = 0, lines = 0;

	h_check(h, qmpclient_connect(a->control, &r.c, &err) == 0, "%s", err.text);
	raw_send(&r, "{\"execute\": \"qmp_capabilities\"}{\"execute\": \"query-commands\"}");
	while (lines < 3) {
		ssize_t n;

		harness_poll(h, qmpclient_fd(r.c), POLLIN, NULL, harness_deadline(), "an answer");
		n = recv(qmpclient_fd(r.c), buf + len, sizeof(buf) - len, 0);
		h_check(h, n > 0, "recv: %m");
		for (ssize_t i = 0; i < n; i++)
			lines += buf[len + (size_t)i] == '\n';
		len += (size_t)n;
	}
	h_check(h, lines == 3 && buf[len - 1] == '\n', "%zu lines", lines);
	for (size_t i = 0; i < len; i++)
		h_check(h, buf[i] != '\n' || (i > 0 && buf[i - 1] == '\r'), "a line without CR");
	raw_close(&r);
	harness_free(h);
}
END_TEST

START_TEST(malformed)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct raw r = raw_open(h, a->control);

	raw_negotiate(&r);
	raw_send(&r, "{\"execute\": query-version}\n");
	raw_fails(&r, "GenericError", "JSON");
	raw_send(&r, "{\"execute\": \"query-version\", \"execute\": \"query-vms\"}\n");
	raw_fails(&r, "GenericError", "twice");
	raw_send(&r, "[1, 2]\n");
	raw_fails(&r, "GenericError", "");
	raw_send(&r, "{\"execute\": 7}\n");
	raw_fails(&r, "GenericError", "");
	raw_send(&r, "{\"arguments\": {}}\n");
	raw_fails(&r, "GenericError", "execute");
	raw_send(&r, "{\"execute\": \"query-version\", \"surprise\": 1}\n");
	raw_fails(&r, "GenericError", "surprise");
	raw_send(&r, "{\"execute\": \"query-version\", \"arguments\": []}\n");
	raw_fails(&r, "GenericError", "arguments");
	raw_send(&r, "{\"execute\": \"query-version\"}\n");
	raw_returns(&r);
	raw_close(&r);
	harness_free(h);
}
END_TEST

/* Commands in the middle of what another protocol says are not heard. */
START_TEST(another_protocol)
{
	static const char *const texts[] = {"\x16\x03\x01\x02", "GET / HTTP/1.1\r\n", "}{]\n"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);

	for (unsigned i = 0; i < 3; i++) {
		struct raw r = raw_open(h, a->control);
		struct json_object *o;
		struct err err = {0};
		char text[128];

		snprintf(text, sizeof(text), "%s\n{\"execute\": \"qmp_capabilities\"}\n", texts[i]);
		raw_send(&r, text);
		raw_fails(&r, "GenericError", "JSON");
		h_check(h, qmpclient_read(r.c, HARNESS_WAIT_S * 1000, &o, &err) < 0,
			"'%s' is followed by an answer", texts[i]);
		raw_close(&r);
	}
	harness_free(h);
}
END_TEST

/* Too deep and too long: refused without harm, and the connection goes on or ends. */
static void survives(struct host *a, const char *text)
{
	struct harness *h = a->h;
	struct raw r = raw_open(h, a->control);
	struct json_object *o;
	struct err err = {0};
	int n;

	raw_negotiate(&r);
	/* the daemon may close before it has read all */
	qmpclient_send(r.c, text, strlen(text), &err);
	qmpclient_send(r.c, "\n", 1, &err);
	n = qmpclient_read(r.c, HARNESS_WAIT_S * 1000, &o, &err);
	h_check(h, n == 0 || n == -ECONNRESET || n == -EPIPE, "%s", err.text);
	if (n == 0) {
		h_check(h, member(o, "error"), "no error but %s", json_object_to_json_string(o));
		json_object_put(o);
	}
	raw_close(&r);
	host_do(a, "query-version", NULL);
}

START_TEST(too_deep_and_too_long)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	size_t n = 1 << 20;
	char *text = malloc(n + 1);

	h_check(h, text, "out of memory");
	memset(text, '[', n);
	text[n] = 0;
	survives(a, text);
	strcpy(text, "{\"execute\":\"");
	memset(text + strlen(text), 'x', n - 20);
	strcpy(text + n - 20, "\"}");
	survives(a, text);
	snprintf(text, n, "{\"execute\":\"query-version\",\"id\":%.40s1%.40s}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
		"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	survives(a, text);
	free(text);
	harness_free(h);
}
END_TEST

START_TEST(wrong_arguments)
{
	struct pair p = pair_new(&(struct pair_opts){.not_waiting = true});
	struct err err;

	host_refused(p.a, &err, "no-such-command", NULL);
	h_check(p.h, err.class == ERR_COMMAND_NOT_FOUND, "class %s", err_class_name(err.class));
	h_check_text(p.h, err.text, "no-such-command");
	host_refused(p.a, &err, "migrate", "{'uri': 7}");
	h_check_text(p.h, err.text, "uri");
	host_refused(p.a, &err, "migrate", NULL);
	h_check_text(p.h, err.text, "uri");
	host_refused(p.a, &err, "migrate", "{'uri': '%s', 'speed': 1}", p.b->uri);
	h_check_text(p.h, err.text, "speed");
	host_refused(p.a, &err, "migrate", "{'uri': '%s', 'detach': 'yes'}", p.b->uri);
	h_check_text(p.h, err.text, "detach");
	host_refused(p.a, &err, "query-status", "{'vm': 'nobody'}");
	h_check(p.h, err.class == ERR_DEVICE_NOT_FOUND, "class %s", err_class_name(err.class));
	host_refused(p.a, &err, "migrate_cancel", NULL);
	h_check(p.h, err.class == ERR_DEVICE_NOT_ACTIVE, "class %s", err_class_name(err.class));
	host_refused(p.a, &err, "resolve", "{'session': 'xyz', 'action': 'run'}");
	h_check_text(p.h, err.text, "session");
	host_refused(p.a, &err, "resolve",
		"{'session': '00112233445566778899aabbccddeeff', 'action': 'perhaps'}");
	h_check_text(p.h, err.text, "action");
	host_refused(p.a, &err, "closefd", "{'fdname': 'nothing'}");
	h_check_text(p.h, err.text, "nothing");
	pair_works_still(&p);
}
END_TEST

/* --- clients ------------------------------------------------------------------------------ */

START_TEST(client_that_stops_reading)
{
	static const char command[] = "{\"execute\":\"query-commands\"}";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	struct raw r = raw_open(h, a->control);
	uint64_t deadline = harness_deadline();
	ssize_t n;

	raw_negotiate(&r);
	do {
		harness_poll(h, qmpclient_fd(r.c), POLLOUT, NULL, deadline,
			"the end of a connection whose client does not read");
		n = send(qmpclient_fd(r.c), command, sizeof(command) - 1, MSG_NOSIGNAL);
	} while (n > 0 || errno == EAGAIN);
	h_check(h, errno == EPIPE || errno == ECONNRESET, "send: %m");
	raw_close(&r);
	host_do(a, "query-vms", NULL);
	guest_runs(g);
	harness_free(h);
}
END_TEST

START_TEST(many_clients)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct qmpclient *c[80];
	struct err err = {0};
	unsigned greeted = 0, n = sizeof(c) / sizeof(c[0]);

	for (unsigned i = 0; i < n; i++)
		h_check(h, qmpclient_connect(a->control, &c[i], &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < 63; i++) {
		struct json_object *o;

		/* the harness has one of the 64 */
		h_check(h, qmpclient_read(c[i], 10000, &o, &err) == 0, "client %u: %s", i,
			err.text);
		json_object_put(o);
		greeted++;
	}
	host_do(a, "query-version", NULL);
	for (unsigned i = 0; i < n; i++)
		qmpclient_free(c[i]);
	h_check(h, greeted == 63, "%u", greeted);
	{
		struct raw r = raw_open(h, a->control);

		raw_negotiate(&r);
		raw_close(&r);
	}
	harness_free(h);
}
END_TEST

/* --- a VM's own socket -------------------------------------------------------------------- */

START_TEST(socket_of_a_vm)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g1 = guest_start(a, "vm1", &(struct guest_opts){.rate = 1000});
	struct guest *g2 = guest_start(a, "vm2", &(struct guest_opts){.rate = 1000});
	const char *path = harness_path(h, "a/vm/vm1.qmp");
	struct json_object *o;
	struct qmpclient *c;
	struct err err = {0};
	struct stat st;

	h_check(h, qmpclient_open(path, 10000, &c, &err) == 0, "%s", err.text);
	h_check(h, qmpclient_call(c, "query-status", NULL, &o, &err) == 0, "%s", err.text);
	h_check(h, member_bool(o, "running") && !strcmp(member_text(o, "status", ""), "running"),
		"query-status: %s", json_object_to_json_string(o));
	json_object_put(o);
	h_check(h, qmpclient_call(c, "query-vms", NULL, &o, &err) == 0, "%s", err.text);
	h_check(h, json_object_array_length(o) == 1, "query-vms: %s",
		json_object_to_json_string(o));
	json_object_put(o);
	h_check(h,
		qmpclient_call(c, "query-status", harness_json(h, "{'vm': 'vm2'}"), NULL, &err) ==
			-EREMOTE,
		"the socket of vm1 serves vm2");
	/* only its own events: vm2's end is not seen, the failed migration of vm1 is */
	guest_stop(g2);
	json_object_put(host_event(a, "VM_GONE", "vm2", NULL, NULL));
	h_check(h,
		qmpclient_call(c, "migrate", harness_json(h, "{'uri': 'unix:/nowhere/at/all'}"),
			NULL, &err) == 0,
		"%s", err.text);
	do {
		h_check(h, qmpclient_event(c, HARNESS_WAIT_S * 1000, &o, &err) == 0, "%s",
			err.text);
		h_check(h, !strcmp(member_text(member(o, "data"), "vm", ""), "vm1"),
			"vm1's socket tells %s", json_object_to_json_string(o));
		snprintf(err.text, sizeof(err.text), "%s",
			member_text(member(o, "data"), "status", ""));
		json_object_put(o);
	} while (strcmp(err.text, "failed") != 0);
	qmpclient_free(c);
	guest_stop(g1);
	json_object_put(host_event(a, "VM_GONE", "vm1", NULL, NULL));
	h_check(h, stat(path, &st) < 0 && errno == ENOENT, "%s is left behind", path);
	harness_free(h);
}
END_TEST

START_TEST(vm_left_out)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *vm;
	struct err err;

	host_refused(a, &err, "query-status", NULL);
	h_check(h, err.class == ERR_DEVICE_NOT_FOUND, "class %s", err_class_name(err.class));
	guest_start(a, "vm1", &(struct guest_opts){.uuid = "01234567-89ab-cdef-0123-456789abcdef"});
	host_do(a, "query-status", NULL);
	guest_start(a, "vm2", &(struct guest_opts){.incoming = true});
	host_refused(a, &err, "query-status", NULL);
	h_check_text(h, err.text, "vm");
	host_do(a, "query-status", "{'vm': '01234567-89ab-cdef-0123-456789abcdef'}");
	h_check(h, !strcmp(host_vm_status(a, "vm1"), "running"), "vm1 does not run");
	h_check(h, !strcmp(host_vm_status(a, "vm2"), "inmigrate"), "vm2 is %s",
		host_vm_status(a, "vm2"));
	vm = host_vm(a, "vm1");
	h_check(h,
		!strcmp(member_text(vm, "mmu", ""), "hpt") && member_int(vm, "order", 0) == 18 &&
			member_int(vm, "vcpus", 0) == 1 && member_int(vm, "pid", 0) > 0 &&
			member_int(vm, "pvr", 0) > 0 && member_bool(vm, "running") &&
			!member_bool(vm, "incoming") && member(vm, "sessions") &&
			!strcmp(member_text(vm, "migration", ""), "none"),
		"query-vms: %s", json_object_to_json_string(vm));
	json_object_put(vm);
	harness_free(h);
}
END_TEST

/* A VMM that finds no daemon says so, once, and registers when there is one. */
START_TEST(vmm_without_a_daemon)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g;

	host_stop(a);
	g = guest_start(a, "vm1", &(struct guest_opts){.unregistered = true});
	guest_event(g, "unreachable");
	h_check_text(h, g->text, a->vmm);
	h_check_text(h, g->text, "is htab-migrated running here?");
	host_restart(a);
	guest_event(g, "registered");
	harness_free(h);
}
END_TEST

#define UUID_1 "01234567-89ab-cdef-0123-456789abcdef"

/* On that socket, this is refused because of the VM. */
static void not_this_vm(
	struct harness *h, struct qmpclient *c, const char *command, const char *args)
{
	struct err err = {0};

	h_check(h, qmpclient_call(c, command, harness_json(h, "%s", args), NULL, &err) == -EREMOTE,
		"%s %s is accepted", command, args);
	h_check(h, err.class == ERR_DEVICE_NOT_FOUND, "%s: class %s (%s)", command,
		err_class_name(err.class), err.text);
}

static void is_migration_of(struct host *a, const char *args, const char *vm)
{
	struct json_object *o = args ? host_ask(a, "query-migrate", "%s", args)
				     : host_ask(a, "query-migrate", NULL);

	h_check(a->h, !strcmp(member_text(o, "vm", ""), vm), "query-migrate %s: %s",
		args ? args : "", json_object_to_json_string(o));
	json_object_put(o);
}

/* A migration of vm1 is under way, and vm2 is there: no command takes one for the other. */
START_TEST(which_vm_is_meant)
{
	static const char *const commands[] = {"query-status", "query-migrate", "migrate_cancel",
		"migrate-pause", "x-continue", "query-migrate-parameters",
		"query-migrate-capabilities", "query-vm-state"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", &(struct host_opts){.hold = "connect"});
	struct guest *g1 = guest_start(a, "vm1", &(struct guest_opts){.uuid = UUID_1});
	struct guest *g2 = guest_start(a, "vm2", NULL);
	struct qmpclient *c;
	struct err err = {0};

	host_do(a, "migrate", "{'vm': 'vm1', 'uri': 'unix:/nowhere/at/all'}");
	host_held(a, "vm1", "connect");
	h_check(h, qmpclient_open(harness_path(h, "a/vm/vm1.qmp"), 10000, &c, &err) == 0, "%s",
		err.text);
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		not_this_vm(h, c, commands[i], "{'vm': 'vm2'}");
	not_this_vm(h, c, "migrate-set-parameters", "{'vm': 'vm2', 'downtime-limit': 1}");
	not_this_vm(h, c, "migrate", "{'vm': 'vm2', 'uri': 'unix:/nowhere/at/all'}");
	qmpclient_free(c);
	h_check(h, qmpclient_open(harness_path(h, "a/vm/vm2.qmp"), 10000, &c, &err) == 0, "%s",
		err.text);
	not_this_vm(h, c, "migrate_cancel", "{'vm': 'vm1'}");
	not_this_vm(h, c, "migrate_cancel", "{'vm': '" UUID_1 "'}");
	qmpclient_free(c);

	is_migration_of(a, "{'vm': 'vm1'}", "vm1");
	is_migration_of(a, "{'vm': '" UUID_1 "'}", "vm1");
	for (unsigned i = 0; i < 3; i++) {
		static const char *const no_vm[] = {
			"query-migrate", "migrate_cancel", "query-status"};

		host_refused(a, &err, no_vm[i], NULL);
		h_check_text(h, err.text, "'vm'");
	}
	host_refused(a, &err, "migrate_cancel", "{'vm': 'vm2'}");
	h_check(h, err.class == ERR_DEVICE_NOT_ACTIVE, "class %s", err_class_name(err.class));
	host_refused(a, &err, "migrate-set-capabilities",
		"{'vm': '" UUID_1 "', 'capabilities': [{'capability': 'verify', 'state': true}]}");
	h_check_text(h, err.text, "in progress");

	host_do(a, "migrate_cancel", "{'vm': '" UUID_1 "'}");
	host_status(a, "vm1", "cancelled");
	guest_stop(g1);
	json_object_put(host_event(a, "VM_GONE", "vm1", NULL, NULL));
	is_migration_of(a, "{'vm': 'vm1'}", "vm1");
	is_migration_of(a, "{'vm': '" UUID_1 "'}", "vm1");
	host_refused(a, &err, "query-migrate", NULL); /* vm1's, or vm2's that it never had? */
	h_check_text(h, err.text, "'vm'");
	host_refused(a, &err, "migrate_cancel", "{'vm': 'vm1'}");
	h_check(h, err.class == ERR_DEVICE_NOT_ACTIVE, "class %s", err_class_name(err.class));
	guest_stop(g2);
	json_object_put(host_event(a, "VM_GONE", "vm2", NULL, NULL));
	is_migration_of(a, NULL, "vm1");
	host_refused(a, &err, "query-migrate", "{'vm': 'vm2'}");
	h_check(h, err.class == ERR_DEVICE_NOT_FOUND, "class %s", err_class_name(err.class));
	harness_free(h);
}
END_TEST

/* --- settings ----------------------------------------------------------------------------- */

static int64_t parameter(struct host *a, const char *vm, const char *name)
{
	struct json_object *o = vm ? host_ask(a, "query-migrate-parameters", "{'vm': '%s'}", vm)
				   : host_ask(a, "query-migrate-parameters", NULL);
	int64_t v = member_int(o, name, -1);

	json_object_put(o);
	return v;
}

START_TEST(parameters)
{
	static const char *const bad[] = {
		"{'downtime-limit': -1}",
		"{'downtime-limit': 'soon'}",
		"{'downtime-limit': 1.5}",
		"{'on-timeout': 'panic'}",
		"{'max-bandwidth': true}",
		"{'cpu-throttle-initial': 100}",
		"{'multifd-channels': 17}",
		"{'htab-compression': 'lz4'}",
		"{'no-such-parameter': 1}",
		"{'downtime-limit': 77, 'max-passes': 0}",
	};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct err err;

	guest_start(a, "vm1", NULL);
	h_check(h, parameter(a, NULL, "downtime-limit") == 300, "the default is %lld",
		(long long)parameter(a, NULL, "downtime-limit"));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		host_refused(a, &err, "migrate-set-parameters", "%s", bad[i]);
		h_check(h, err.class == ERR_GENERIC, "class %s", err_class_name(err.class));
		h_check(h, parameter(a, NULL, "downtime-limit") == 300, "%s changed something",
			bad[i]);
	}
	host_do(a, "migrate-set-parameters", "{'downtime-limit': 111}");
	h_check(h, parameter(a, "vm1", "downtime-limit") == 111, "it does not reach a VM");
	host_do(a, "migrate-set-parameters", "{'vm': 'vm1', 'downtime-limit': 222}");
	h_check(h, parameter(a, "vm1", "downtime-limit") == 222, "it does not reach the VM");
	h_check(h, parameter(a, NULL, "downtime-limit") == 222, "the only VM's is not told");
	guest_start(a, "vm2", NULL);
	h_check(h, parameter(a, "vm2", "downtime-limit") == 111, "a new VM does not have it");
	h_check(h, parameter(a, NULL, "downtime-limit") == 111, "one VM's reaches all");
	harness_free(h);
}
END_TEST

START_TEST(capabilities)
{
	static const char *const names[] = {
		"pause-before-switchover", "auto-converge", "verify", "events"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *list;
	struct err err;

	host_refused(a, &err, "migrate-set-capabilities",
		"{'capabilities': [{'capability': 'verify', 'state': true},"
		" {'capability': 'teleport', 'state': true}]}");
	h_check_text(h, err.text, "teleport");
	host_refused(a, &err, "migrate-set-capabilities",
		"{'capabilities': [{'capability': 'verify', 'state': 'on'}]}");
	host_refused(a, &err, "migrate-set-capabilities", "{'capabilities': 'verify'}");
	list = host_ask(a, "query-migrate-capabilities", NULL);
	for (unsigned i = 0; i < 4; i++) {
		bool found = false;

		for (size_t k = 0; k < json_object_array_length(list); k++) {
			struct json_object *o = json_object_array_get_idx(list, k);

			if (!strcmp(member_text(o, "capability", ""), names[i])) {
				found = true;
				h_check(h, member_bool(o, "state") == (i == 3), "%s is %d",
					names[i], member_bool(o, "state"));
			}
		}
		h_check(h, found, "no capability %s", names[i]);
	}
	json_object_put(list);
	host_capability(a, "verify", true);
	harness_free(h);
}
END_TEST

START_TEST(what_there_is)
{
	static const char *const commands[] = {"qmp_capabilities", "query-version",
		"query-commands", "query-status", "query-vms", "query-daemon", "migrate",
		"migrate_cancel", "migrate-continue", "migrate-incoming", "migrate-set-parameters",
		"query-migrate-parameters", "migrate-set-capabilities",
		"query-migrate-capabilities", "query-migrate", "resolve", "getfd", "closefd"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *list = host_ask(a, "query-commands", NULL), *o;

	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		bool found = false;

		for (size_t k = 0; k < json_object_array_length(list); k++)
			found = found ||
				!strcmp(member_text(json_object_array_get_idx(list, k), "name", ""),
					commands[i]);
		h_check(h, found, "query-commands does not list %s", commands[i]);
	}
	json_object_put(list);
	o = host_ask(a, "query-daemon", NULL);
	h_check(h,
		!strcmp(member_text(o, "name", ""), "a") &&
			member_int(o, "pid", 0) == a->process->pid && !member_bool(o, "tls") &&
			member_int(o, "migrations", -1) == 0 &&
			member_int(o, "longest-callback-us", -1) >= 0,
		"query-daemon: %s", json_object_to_json_string(o));
	json_object_put(o);
	o = host_ask(a, "query-version", NULL);
	h_check(h, member(o, "qemu") && member(o, "htab-migrated") && member(o, "package"),
		"query-version: %s", json_object_to_json_string(o));
	json_object_put(o);
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("control", &c);

	harness_add(c, greeting_and_negotiation);
	harness_add(c, id_is_echoed);
	harness_add(c, stream_of_json);
	harness_add(c, lines_for_people);
	harness_add(c, malformed);
	harness_add(c, another_protocol);
	harness_add(c, too_deep_and_too_long);
	harness_add(c, wrong_arguments);
	harness_add(c, client_that_stops_reading);
	harness_add(c, many_clients);
	harness_add(c, socket_of_a_vm);
	harness_add(c, vm_left_out);
	harness_add(c, which_vm_is_meant);
	harness_add(c, vmm_without_a_daemon);
	harness_add(c, parameters);
	harness_add(c, capabilities);
	harness_add(c, what_there_is);
	return harness_main(s);
}
