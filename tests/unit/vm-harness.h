/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the tests of VMMs' connections share: the daemon's side, and a VMM made of packets. */
#include "daemon/vms/vm.h"
#include "tests/unit/net-harness.h"

#define ANSWERS_MAX 4096
#define LONG_MS     60000

extern struct event_base *base;
extern struct vms *vms;

/* What the hooks were called with. */
extern unsigned registered, gone, events;
extern bool last_dead;
extern struct vmm_event last_event;

/* The next registration is refused. */
extern bool forbid;

/* For each test. */
void setup(void);
void teardown(void);

/* Whatever can be done now. */
void turn(void);

/* -- the VMM -- */

int vmm_connect(void);
void vmm_send(int sock, const void *buf, int len, int fd);
void vmm_reply(int sock, uint32_t serial, uint64_t value, int fd);

struct vmm_register description(const char *name, uint8_t uuid);
void send_register(int sock, const struct vmm_register *m, int pidfd);

/* A connection that sent its registration, and one that is registered. */
int vmm_start(const char *name, uint8_t uuid);
int vmm_ready(const char *name, uint8_t uuid);

/* The next message for the VMM, which is there already. *ret_fd may be left out. */
void vmm_receive(int sock, struct vmm_request *ret, int *ret_fd);

/* The daemon has closed the connection; it has said why with these words, and sock is closed. */
void vmm_ended(int sock);
void expect_refusal(int sock, const char *words);

/* -- requests -- */

/* The answers since only_vm(), in their order. */
extern struct answer {
	void *arg;
	int error;
	uint64_t value;
	bool fd;
} answers[ANSWERS_MAX];
extern unsigned n_answers;

void answer_cb(void *arg, const struct vmm_reply *reply, int fd);
void ask(struct vm *vm, int timeout_ms, void *arg);
struct vm *only_vm(void);
