/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/qmp-harness.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct event_base *base;
struct qmp *qmp;
struct qmp_sock *shared, *vm1;
struct qmp_call *later[2];
unsigned n_later;

/* -- Commands of the tests -- */

static void run_echo(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	ck_assert_ptr_eq(opaque, &base);
	qmp_return(call, json_object_get(args));
}

static void run_vm(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	qmp_return(call, vm ? json_object_new_string(vm) : json_object_new_string("-"));
}

static void run_later(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	later[n_later++] = call;
}

static void run_fail(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct err err;

	err_set_class(&err, ERR_DEVICE_NOT_FOUND, -ENODEV, "no VM is called 'x'");
	qmp_fail(call, &err);
}

static void run_close(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	shared = qmp_sock_free(shared);
	qmp_return(call, NULL);
}

static const struct qmp_command commands[] = {
	{"echo",
		{{"s", QMP_STRING, true}, {"i", QMP_INT, true}, {"b", QMP_BOOL, true},
			{"l", QMP_LIST, true}, {"o", QMP_OBJECT, true}, {"a", QMP_ANY, true}},
		run_echo},
	{"need", {{"uri", QMP_STRING, false}, {"n", QMP_INT, false}}, run_echo},
	{"vm", {{0}}, run_vm},
	{"later", {{0}}, run_later},
	{"fail", {{0}}, run_fail},
	{"close", {{0}}, run_close},
	{0},
};

/* -- Clients -- */

void setup(void)
{
	struct err err = {0};
	char path[128];

	base = event_base_new();
	n_later = 0;
	ck_assert_int_eq(qmp_new(base, commands, &base, &qmp), 0);
	ck_assert_msg(qmp_listen(qmp, scratch_path("control", path, sizeof(path)), 0660, NULL,
			      &shared, &err) == 0,
		"%s", err.text);
	ck_assert_msg(qmp_listen(qmp, scratch_path("vm1", path, sizeof(path)), 0600, "vm1", &vm1,
			      &err) == 0,
		"%s", err.text);
}

void teardown(void)
{
	qmp = qmp_free(qmp);
	event_base_free(base);
	scratch_remove();
}

int dial_sock(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	scratch_path(name, sa.sun_path, sizeof(sa.sun_path));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

void turn(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

void put(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		ck_assert(n > 0 || errno == EAGAIN);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		turn();
	}
}

char *get(int fd)
{
	static char buf[3 * 1024 * 1024];
	size_t len = 0;
	ssize_t n;

	turn();
	while ((n = recv(fd, buf + len, sizeof(buf) - 8 - len, MSG_DONTWAIT)) > 0) {
		len += (size_t)n;
		turn();
	}
	buf[len] = '\0';
	if (n == 0 || errno == ECONNRESET)
		strcpy(buf + len, "<end>");
	return buf;
}

void expect(int fd, const char *text)
{
	ck_assert_str_eq(get(fd), text);
}

int connect_client(const char *name)
{
	int fd = dial_sock(name);

	expect(fd,
		"{\"QMP\":{\"version\":{"
		"\"htab-migrated\":{\"major\":0,\"minor\":1,\"micro\":0},"
		"\"qemu\":{\"major\":0,\"minor\":1,\"micro\":0},\"package\":\"\"},"
		"\"capabilities\":[]}}\r\n");
	return fd;
}

int client(const char *name)
{
	int fd = connect_client(name);

	put(fd, "{\"execute\":\"qmp_capabilities\"}", 30);
	expect(fd, "{\"return\":{}}\r\n");
	return fd;
}
