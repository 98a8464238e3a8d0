/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/vm-harness.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"

struct event_base *base;
struct vms *vms;
unsigned registered, gone, events, n_answers;
bool last_dead, forbid;
struct vmm_event last_event;
struct answer answers[ANSWERS_MAX];
static char path[108];

static int allow_cb(void *arg, struct vm *vm, struct err *err)
{
	ck_assert_ptr_eq(arg, &vms);
	return forbid ? err_set(err, -EPERM, "%s is not welcome", vm->reg.name) : 0;
}

static void registered_cb(void *arg, struct vm *vm)
{
	registered++;
	vm_welcome(vm);
}

static void gone_cb(void *arg, struct vm *vm, bool dead)
{
	ck_assert(vm->registered);
	gone++;
	last_dead = dead;
}

static void event_cb(void *arg, struct vm *vm, const struct vmm_event *event)
{
	events++;
	last_event = *event;
}

static const struct vm_hooks hooks = {
	.allow = allow_cb,
	.registered = registered_cb,
	.gone = gone_cb,
	.event = event_cb,
};

void setup(void)
{
	struct err err;

	signal(SIGPIPE, SIG_IGN);
	registered = gone = events = 0;
	forbid = last_dead = false;
	base = event_base_new();
	scratch_path("vmm.sock", path, sizeof(path));
	ck_assert_msg(vms_new(base, path, &hooks, &vms, &vms, &err) == 0, "%s", err.text);
}

void teardown(void)
{
	vms = vms_free(vms);
	event_base_free(base);
	scratch_remove();
}

void turn(void)
{
	for (int i = 0; i < 16; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* -- the VMM -- */

int vmm_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

void vmm_send(int sock, const void *buf, int len, int fd)
{
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(fd_send_packet(sock, buf, (size_t)len, fd), 0);
}

struct vmm_register description(const char *name, uint8_t uuid)
{
	struct vmm_register m = {
		.version = VMM_VERSION,
		.uuid = {{uuid}},
		.mmu = MMU_HPT,
		.order = 24,
		.vcpus = 1,
		.running = true,
	};

	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

void send_register(int sock, const struct vmm_register *m, int pidfd)
{
	uint8_t buf[VMM_PACKET_MAX];

	vmm_send(sock, buf, vmm_pack_register(m, buf), pidfd);
}

int vmm_start(const char *name, uint8_t uuid)
{
	struct vmm_register m = description(name, uuid);
	int pidfd = fd_pidfd(getpid()), sock = vmm_connect();

	ck_assert_int_ge(pidfd, 0);
	send_register(sock, &m, pidfd);
	fd_close(pidfd);
	return sock;
}

void vmm_receive(int sock, struct vmm_request *ret, int *ret_fd)
{
	uint8_t buf[VMM_PACKET_MAX];
	ssize_t n;
	int fd;

	ck_assert_int_eq(fd_set_nonblock(sock), 0);
	n = fd_recv_packet(sock, buf, sizeof(buf), &fd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)n, ret), 0);
	if (ret_fd)
		*ret_fd = fd;
	else
		ck_assert_int_eq(fd, -1);
}

void vmm_ended(int sock)
{
	char c;

	ck_assert_int_eq(recv(sock, &c, 1, MSG_DONTWAIT), 0);
}

void vmm_reply(int sock, uint32_t serial, uint64_t value, int fd)
{
	struct vmm_reply m = {.value = value};
	uint8_t buf[VMM_PACKET_MAX];

	vmm_send(sock, buf, vmm_pack_reply(serial, &m, buf), fd);
}

int vmm_ready(const char *name, uint8_t uuid)
{
	unsigned before = registered;
	struct vmm_request req;
	int sock = vmm_start(name, uuid);

	loop_until(base, &registered, before + 1);
	vmm_receive(sock, &req, NULL);
	ck_assert_int_eq(req.type, VMM_REGISTERED);
	return sock;
}

void expect_refusal(int sock, const char *words)
{
	struct vmm_request req;

	turn();
	vmm_receive(sock, &req, NULL);
	ck_assert_int_eq(req.type, VMM_REFUSED);
	ck_assert_msg(strstr(req.text, words), "'%s' has no '%s'", req.text, words);
	vmm_ended(sock);
	close(sock);
}

/* -- requests -- */

void answer_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	ck_assert_uint_lt(n_answers, ANSWERS_MAX);
	answers[n_answers++] = (struct answer){arg, reply->error, reply->value, fd >= 0};
	fd_close(fd);
}

void ask(struct vm *vm, int timeout_ms, void *arg)
{
	struct vmm_request req = {.type = VMM_PAUSE, .session = {{7}}};

	vm_ask(vm, &req, -1, timeout_ms, answer_cb, arg);
}

struct vm *only_vm(void)
{
	struct err err;
	struct vm *vm = vms_find(vms, NULL, &err);

	ck_assert_ptr_nonnull(vm);
	n_answers = 0;
	return vm;
}
