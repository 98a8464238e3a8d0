/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The VMM socket: what libhtabvmm and the daemon say to each other.
 *
 * One message is one SOCK_SEQPACKET packet: u16 type, u16 version or 0, u32 serial, body; all
 * big-endian, every field through proto/pack.h. The daemon's requests carry a serial that is not 0
 * and are each answered by one REPLY with the same serial, at any time later and in any order;
 * a file descriptor travels as SCM_RIGHTS of the packet that says so. The VMM's own
 * messages have serial 0.
 *
 * Bump VMM_VERSION when any of these change, and refuse in vmm_unpack_register() what is unknown.
 * Numbers are never reused. Pure functions over the caller's memory; any thread; no allocation.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/htab.h"
#include "proto/ident.h"
#include "proto/pack.h"

#define VMM_VERSION       2u
#define VMM_PACKET_MAX    (32u << 10)
#define VMM_HDR_SIZE      8u
#define VMM_TEXT_MAX      512u  /* of a sentence, NUL included */
#define VMM_COOKIE_MAX    1024u /* bytes, opaque to the VMM */
#define VMM_NOTES_MAX     16u   /* sessions that the library remembers */
#define VMM_VCPUS_MAX     2048u
#define VMM_LEASE_MS      10000u
#define VMM_CHANGE_MS     10000u /* a VMM waits so long for the answer to HTAB_CHANGE */
#define VMM_THROTTLE_MAX  99u    /* percent */
#define VMM_TLB_IMAGE_MAX (64u << 20)

enum vmm_type {
	/* VMM -> daemon, serial 0 */
	VMM_REGISTER = 1, /* struct vmm_register; with the VMM's own pidfd */
	VMM_EVENT = 2,    /* struct vmm_event */
	/* VMM -> daemon, the request's serial */
	VMM_REPLY = 3, /* struct vmm_reply; with an fd after OPEN_HTAB, GET_STATE, QUERY_* */

	/* daemon -> VMM, serial 0 */
	VMM_REGISTERED = 16, /* empty */
	VMM_REFUSED = 17,    /* str: a sentence; the daemon closes the socket after it */
	VMM_LEASE = 18,      /* session: the pause's lease begins anew */

	/* daemon -> VMM, requests */
	/*
	 * u32 HTAB_FD_* flags and VMM_HTAB_SECOND, u64 start index; value: enum vmm_htab_kind. One
	 * fd for reading at a time: it is the daemon's until CLOSE_HTAB.
	 */
	VMM_OPEN_HTAB = 32,
	VMM_PAUSE = 33,  /* session: stop the vCPUs; the lease begins */
	VMM_RESUME = 34, /* session: end the pause before COMMITTING was noted */
	/*
	 * session; the reply carries a sealed memfd with the state image. Its value is the moment
	 * of the image's guest timebase, ns of the host's CLOCK_MONOTONIC; 0: not known.
	 */
	VMM_GET_STATE = 35,
	/*
	 * session, u64: when the guest stopped, ns of this host's CLOCK_MONOTONIC; 0: not known, no
	 * time passes for it until it starts. The request carries a sealed memfd with the image.
	 */
	VMM_SET_STATE = 36,
	/*
	 * session, u32 order: the table becomes an empty one of 2^order bytes (ALLOCATE_HTAB); 0:
	 * the TLBs, which have none.
	 */
	VMM_RESET_HTAB = 37,
	VMM_THROTTLE = 38, /* u32 percent of the vCPUs' time taken away, 0 to 99 */
	/*
	 * session, u8 enum session_note, u8 zero, u16 length and cookie (COMMITTING only).
	 * Destination: LOADING, READY, RUN (activate, vCPUs start; answered when they run), DEAD.
	 * Source: COMMITTING (inactivate, note; refused once the guest ran again). The reply's
	 * value is the session's note afterwards, error 0 only when it is the one asked for.
	 */
	VMM_NOTE = 39,
	VMM_UNDO = 40,    /* session: NEVER was answered; activate and resume, forget the note */
	VMM_RELEASE = 41, /* session: source: the guest runs elsewhere; destination: forget it */
	/* One-way, serial 0: */
	VMM_HTAB_ANSWER = 42, /* u32 errno, str: to one HTAB_CHANGE; 0: no fd is left, go on */
	VMM_CLOSE_HTAB = 43,  /* empty: the daemon has closed every fd for reading that it had */
	/*
	 * empty: the state image as GET_STATE's, to be looked at. A guest that runs is paused
	 * meanwhile.
	 */
	VMM_QUERY_STATE = 44,
	/*
	 * session, after RUN: by how much the guest's timebase is ahead of where it would be had
	 * the guest never stopped, ns, an i64 as value; -ENODATA where it was not set.
	 */
	VMM_QUERY_TIME = 45,
	/*
	 * empty: all TLB entries of a BookE guest, to be looked at; it is paused meanwhile as for
	 * QUERY_STATE. The reply carries a sealed memfd of VMM_TLB_IMAGE_MAX bytes at most, with
	 * the records that a first pass would read: they name every entry of every vCPU.
	 */
	VMM_QUERY_TLB = 48,
};

/*
 * In OPEN_HTAB's flags: besides the fd that is open for reading, while no vCPU may run. What it
 * reads the other sees no more as changed; it is there to compare tables, once and whole.
 */
#define VMM_HTAB_SECOND 0x100u

enum vmm_htab_kind {
	VMM_HTAB_KERNEL = 0, /* an anon_inode:kvm-htab */
	VMM_HTAB_SOCKET = 1, /* a SOCK_SEQPACKET end that speaks htabsock, below */
};

enum vmm_event_kind {
	/*
	 * The guest of `session` runs again at the source, by lease or EOF. Without a session (all
	 * zero): its VMM let it run again after VMM_EVENT_STOPPED.
	 */
	VMM_EVENT_RESUMED = 1,
	VMM_EVENT_STOPPED = 2,    /* the guest stopped by itself (shutdown, crash); text says why */
	VMM_EVENT_HTAB_RESET = 3, /* retired: 5 and 6 are what came of it */
	VMM_EVENT_DECIDED = 4,    /* reserved: a session's note changed without a request */
	/*
	 * The table is about to be reset or resized; order: what it is to have. No vCPU runs, and
	 * the VMM waits VMM_CHANGE_MS for HTAB_ANSWER.
	 */
	VMM_EVENT_HTAB_CHANGE = 5,
	/* It was (or could not be); order: what it has now. Queued before any vCPU runs again. */
	VMM_EVENT_HTAB_CHANGED = 6,
	/* The guest runs as another processor now: text is its mode, 8 hex digits. */
	VMM_EVENT_COMPAT = 8,
};

struct vmm_note {
	struct session_id session;
	enum session_note note;
	uint16_t cookie_len;
	uint8_t cookie[VMM_COOKIE_MAX];
};

struct vmm_register {
	uint32_t version;
	char name[VM_NAME_MAX + 1];
	struct vm_uuid uuid;
	enum mmu_kind mmu;
	uint32_t order;          /* of an HPT; 0 for BookE */
	struct tlb_geometry tlb; /* of each vCPU, BookE alone */
	uint32_t vcpus;
	uint32_t pvr;
	uint32_t compat;   /* proto/processor.h */
	uint64_t vcpu_ids; /* the same */
	bool incoming;     /* waits for a guest; else it has one */
	bool running;      /* its vCPUs run now */
	uint32_t n_notes;
	struct vmm_note notes[VMM_NOTES_MAX];
};

struct vmm_event {
	enum vmm_event_kind kind;
	uint32_t order; /* HTAB_CHANGE and HTAB_CHANGED; else 0 */
	struct session_id session;
	char text[VMM_TEXT_MAX];
};

struct vmm_reply {
	int error; /* 0 or a negative errno */
	uint64_t value;
	char text[VMM_TEXT_MAX]; /* a sentence when error is not 0 */
};

/* One request or one-way message of the daemon; the fields that its type uses, the rest zero. */
struct vmm_request {
	enum vmm_type type;
	uint32_t serial;
	struct session_id session;
	uint32_t flags;       /* OPEN_HTAB */
	uint64_t start_index; /* OPEN_HTAB */
	uint32_t percent;     /* THROTTLE */
	uint64_t paused_at;   /* SET_STATE */
	uint32_t order;       /* RESET_HTAB */
	int error;            /* HTAB_ANSWER: 0 or a negative errno */
	enum session_note note;
	uint16_t cookie_len;
	uint8_t cookie[VMM_COOKIE_MAX];
	char text[VMM_TEXT_MAX]; /* REFUSED, HTAB_ANSWER */
};

/*
 * The bodies, field by field (docs/protocol.md has the tables):
 *
 *	REGISTER  str name, uuid[16], u8 mmu, u8 flags (1 incoming, 2 running), u16 zero, u32 order,
 *	          u32 vcpus, u32 pvr, for BookE u32 sizes[4] and u32 ways[4], u32 compat,
 *	          u64 vCPU ids, u32 n_notes, n_notes notes; the header has VMM_VERSION
 *	note      session[16], u8 note, u8 zero, u16 length, cookie
 *	EVENT     u16 kind, u16 order or zero, session[16], str text
 *	REPLY     u32 errno (positive, 0 to 4095), u64 value, str text
 *	REFUSED   str text
 *	LEASE, PAUSE, RESUME, GET_STATE, UNDO, RELEASE, QUERY_TIME   session[16]
 *	SET_STATE session[16], u64 paused at
 *	QUERY_STATE, QUERY_TLB   nothing
 *	RESET_HTAB session[16], u32 order
 *	OPEN_HTAB u32 flags, u64 start index
 *	HTAB_ANSWER u32 errno (positive, 0 to 4095), str text
 *	CLOSE_HTAB nothing
 *	THROTTLE  u32 percent
 *	NOTE      a note
 *
 * str is u16 length and that many bytes without a NUL. A session of zeros only EVENT may carry.
 */

/* Type and serial of a packet; 0, or -EBADMSG when it is shorter than a header. */
int vmm_unpack_header(const void *buf, size_t len, uint16_t *ret_type, uint32_t *ret_serial);

/*
 * Pack a whole packet into buf (VMM_PACKET_MAX bytes); the length, or -EMSGSIZE.
 * Unpack a whole packet of that type; 0 and *ret, or -EBADMSG (malformed, unknown number, value out
 * of its limits). For another version vmm_unpack_register() gives -EPROTONOSUPPORT and only
 * ret->version.
 */
int vmm_pack_register(const struct vmm_register *m, void *buf);
int vmm_unpack_register(const void *buf, size_t len, struct vmm_register *ret);
int vmm_pack_event(const struct vmm_event *m, void *buf);
int vmm_unpack_event(const void *buf, size_t len, struct vmm_event *ret);
int vmm_pack_reply(uint32_t serial, const struct vmm_reply *m, void *buf);
int vmm_unpack_reply(const void *buf, size_t len, struct vmm_reply *ret);
int vmm_pack_request(const struct vmm_request *m, void *buf);
int vmm_unpack_request(const void *buf, size_t len, struct vmm_request *ret);

/* "OPEN_HTAB", ...; "?" for a number that is none. For traces and refusals. */
const char *vmm_type_name(uint16_t type);

/*
 * htabsock: what stands in for the kernel's htab fd where a VMM owns its table itself. SEQPACKET,
 * the daemon asks, the VMM answers, one at a time:
 *
 *	request:  u32 op   u32 count   op READ: nothing; op WRITE: count bytes of records
 *	answer:   i32 result           READ: that many bytes of records follow, when it is positive
 *
 * Records have the wire's big-endian headers. READ answers whole records of `count` bytes at most,
 * as read() on the kernel's fd would; WRITE takes any number of whole records, as a writev() with
 * one record a segment would; its result is the number of bytes taken. A negative result is -errno.
 */
#define HTABSOCK_REQ_SIZE    8u
#define HTABSOCK_ANS_SIZE    4u
#define HTABSOCK_PACKET_MAX  (128u << 10)
#define HTABSOCK_RECORDS_MAX (HTABSOCK_PACKET_MAX - 64u) /* bytes of records in a packet */

enum htabsock_op {
	HTABSOCK_READ = 1,
	HTABSOCK_WRITE = 2,
};

void htabsock_pack_request(
	uint8_t dst[static HTABSOCK_REQ_SIZE], enum htabsock_op op, uint32_t count);
/* 0 and *ret_op, *ret_count, or -EBADMSG: unknown op, count past the limit or not what len says. */
int htabsock_unpack_request(
	const void *buf, size_t len, enum htabsock_op *ret_op, uint32_t *ret_count);
void htabsock_pack_answer(uint8_t dst[static HTABSOCK_ANS_SIZE], int32_t result);
/* asked: the count of the request. 0 and *ret_result, or -EBADMSG. */
int htabsock_unpack_answer(
	const void *buf, size_t len, enum htabsock_op op, uint32_t asked, int32_t *ret_result);
