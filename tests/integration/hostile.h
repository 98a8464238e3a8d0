/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A VMM and a peer that say whatever their test wishes, in whatever order.
 *
 * Everything is said by the test itself, in one thread. What it does not look at is answered as a
 * good one would: the requests of a fake VMM while something else is waited for, PING always. The
 * guest's table is empty and its machine state a few bytes. Whatever goes wrong fails the harness.
 */
#include "proto/processor.h"
#include "proto/vmm.h"
#include "proto/wire.h"
#include "tests/integration/harness.h"

/*
 * A VMM. It has a process, which connects and serves the table, so that its connection can end
 * before the process does; the rest of it is the test.
 */
struct fake_vmm {
	struct host *host;
	struct vmm_register reg; /* what it will say of itself */
	pid_t pid;
	int pidfd, helper;
	int sock;              /* -1: not connected */
	unsigned answered[64]; /* by enum vmm_type: requests that were answered unseen */
};

/* A guest that runs; the name's last letter makes the UUID. Not yet registered. */
void fake_vmm_new(struct fake_vmm *v, struct host *host, const char *name);
/* Connect, anew perhaps, say reg and wait for REGISTERED. */
void fake_vmm_register(struct fake_vmm *v);
/* Wait for a request of that type, which is then the caller's to answer. */
void fake_vmm_request(struct fake_vmm *v, enum vmm_type type, struct vmm_request *ret);
void fake_vmm_answer(struct fake_vmm *v, const struct vmm_request *req);
void fake_vmm_reply(struct fake_vmm *v, uint32_t serial, int error, uint64_t value);
/* With a descriptor, which stays the caller's, or -1. */
void fake_vmm_reply_fd(struct fake_vmm *v, uint32_t serial, int fd);
void fake_vmm_send(struct fake_vmm *v, const void *buf, size_t len);
/* Its guest of that session runs again. */
void fake_vmm_resumed(struct fake_vmm *v, const struct session_id *session);
/* Has the daemon ended the connection, as far as can be seen now? */
bool fake_vmm_ended(struct fake_vmm *v);
/* Wait until it does. */
void fake_vmm_ends(struct fake_vmm *v);
void fake_vmm_close(struct fake_vmm *v);
/* The process dies, and with it the connection. */
void fake_vmm_kill(struct fake_vmm *v);
void fake_vmm_free(struct fake_vmm *v);

/* A connection between daemons, one end of it. */
struct talk {
	struct host *host;
	struct fake_vmm *vmm; /* answered meanwhile, or NULL */
	int fd;
	enum wire_role role; /* that HELLO said */
	uint32_t flags;      /* for OPEN */
	uint64_t features;   /* that HELLO offered */
	uint64_t ahead;      /* its clock is that of this host and so many ns (CLOCK) */
	size_t len;          /* of the last frame */
	uint8_t body[WIRE_CONTROL_MAX];
};

/* Dial the daemon, with HELLO and WELCOME. */
void talk_dial(struct talk *t, struct host *host, struct fake_vmm *vmm, enum wire_role role);
/* The same on a connection that is there. */
void talk_begin(struct talk *t, int fd, struct host *host, struct fake_vmm *vmm,
	enum wire_role role, uint64_t features);
/* Dialled, offering features. */
void talk_dial_with(struct talk *t, struct host *host, struct fake_vmm *vmm, enum wire_role role,
	uint64_t features);
/* What wire_pack_...() made. */
void talk_send(struct talk *t, const void *frame, int len);
/* The next frame's type, PING passed over; 0 at the end of the connection. */
unsigned talk_frame(struct talk *t);
/* It has to be this one. */
void talk_expect(struct talk *t, enum wire_type type);
/* Nothing but a refusal comes, and then the end. */
void talk_ends(struct talk *t);
/* Wait for a PING that comes after that moment (clock_ns()), and nothing else before. */
void talk_ping_after(struct talk *t, uint64_t moment);
/* The guest that talk_open() speaks of, to be changed; and OPEN of one. */
struct wire_open talk_guest(const struct wire_session *s, const char *name);
void talk_open_guest(struct talk *t, const struct wire_open *m);
void talk_open(struct talk *t, const struct wire_session *s, const char *name);
/* The same guest on another processor, with that mode and vCPU ids. */
void talk_open_processor(struct talk *t, const struct wire_session *s, const char *name,
	const struct processor *processor);
void talk_session(struct talk *t, enum wire_type type, const struct wire_session *s);
/* END of a session that sent nothing. */
void talk_end(struct talk *t, const struct session_id *s, uint64_t pause_age);
/* Both tables are equal. */
void talk_verified(struct talk *t);
/* After ACCEPT: the data channel that it is for. */
void talk_join(const struct talk *control, struct talk *data, const struct session_id *s);
void talk_close(struct talk *t);

/* A daemon that is migrated to. */
struct fake_dest {
	struct host *host;
	struct fake_vmm *vmm;
	int listener;
	char uri[HARNESS_PATH];
	uint64_t features;           /* that it says in WELCOME: 0, an old one's */
	uint16_t version;            /* the same */
	uint32_t flags;              /* of OPEN */
	struct wire_session session; /* that OPEN named */
	struct talk control, data;
};

void fake_dest_new(struct fake_dest *d, struct host *host, struct fake_vmm *vmm);
/* A connection of that role, up to WELCOME. */
void fake_dest_call(struct fake_dest *d, struct talk *ret, enum wire_role role);
/* The migration of its source up to JOINED. */
void fake_dest_join(struct fake_dest *d);
/* Up to END, which is the next thing on the control connection but for STATE. */
void fake_dest_end(struct fake_dest *d);
/* A connection that asks; d->session is the one that it asks about. */
void fake_dest_question(struct fake_dest *d, struct talk *ret);
/* Does another connection wait to be taken? */
bool fake_dest_called(struct fake_dest *d);
void fake_dest_free(struct fake_dest *d);
