/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The wire between two daemons: frames and messages. docs/protocol.md is normative; this is its C.
 *
 * A frame is u32 body length, u16 type, u16 flags (0; anything else is refused), body. Everything
 * is big-endian. A connection carries one role, stated by the first frame, HELLO:
 *
 *	control   one per session, both ways, on the event loop: OPEN or RESUME, ACK, STATE, the
 *	          hand-over
 *	data      channels of a session, source to destination: JOIN, CHUNK, PASS_END
 *	question  a later daemon asks what became of a session: COMMIT again
 *
 * Numbers are never reused. The hand-over's messages (64 to 71) are frozen for all versions.
 * Pure functions over the caller's memory; any thread; no allocation.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/htab.h"
#include "proto/ident.h"
#include "proto/pack.h"

#define WIRE_MAGIC       0x687461626d696700ull /* "htabmig\0" */
#define WIRE_VERSION_MIN 1u
#define WIRE_VERSION_MAX 1u

/* Features: bits of HELLO and WELCOME. */
#define WIRE_FEATURE_RECOVER    0x1ull /* RESUME, RESUMED, PAUSE, SWITCHOVER, OPEN's flag RECOVER */
#define WIRE_FEATURE_GENERATION 0x2ull /* GENERATION, and END's from 2 on */
#define WIRE_FEATURE_TLB        0x4ull /* BookE guests: OPEN with MMU_BOOKE, stream TLB */
#define WIRE_FEATURE_PROCESSOR  0x8ull /* OPEN's flag PROCESSOR */
#define WIRE_FEATURE_CHANNELS   0x10ull /* more than one data channel */
#define WIRE_FEATURE_SENT_TIME  0x20ull /* CLOCK, STOPPED */
#define WIRE_FEATURE_LAST_LAP   0x40ull /* LAST_LAP */
#define WIRE_FEATURE_REASON     0x80ull /* REASON */
/* Those that this build offers. */
#define WIRE_FEATURES                                                                     \
	(WIRE_FEATURE_RECOVER | WIRE_FEATURE_GENERATION | WIRE_FEATURE_TLB |              \
		WIRE_FEATURE_PROCESSOR | WIRE_FEATURE_CHANNELS | WIRE_FEATURE_SENT_TIME | \
		WIRE_FEATURE_LAST_LAP | WIRE_FEATURE_REASON)

#define WIRE_HDR_SIZE       8u
#define WIRE_NAME_MAX       256u /* of a daemon's name, NUL included */
#define WIRE_TEXT_MAX       512u /* of a sentence, NUL included */
#define WIRE_SECRET_SIZE    32u
#define WIRE_CHANNELS_MAX   16u
#define WIRE_CONTROL_MAX    4096u        /* body of any message but STATE and CHUNK */
#define WIRE_STATE_MAX      (128u << 10) /* body of STATE */
#define WIRE_CHUNK_HDR      24u
#define WIRE_PLAIN_MAX      (256u << 10) /* plain record bytes of a chunk */
#define WIRE_CHUNK_MAX      (WIRE_CHUNK_HDR + WIRE_PLAIN_MAX + (WIRE_PLAIN_MAX >> 5))
#define WIRE_RING_MAX       256u  /* chunks in flight on a channel */
#define WIRE_GENERATION_MAX 1024u /* lives of the source's table in one session */

enum wire_type {
	/* every connection */
	WIRE_HELLO = 1,   /* client first: struct wire_hello */
	WIRE_WELCOME = 2, /* server: struct wire_welcome */
	WIRE_REFUSE = 3,  /* either: struct wire_refuse; then the connection is closed */

	/* control */
	WIRE_OPEN = 16,     /* source: struct wire_open */
	WIRE_ACCEPT = 17,   /* destination: struct wire_accept */
	WIRE_ACK = 18,      /* destination: struct wire_ack */
	WIRE_STATE = 19,    /* source: the next bytes of the state image */
	WIRE_VERIFIED = 20, /* destination: struct wire_verified */
	WIRE_PING = 21,     /* either: u64, answered by PONG with the same */
	WIRE_PONG = 22,
	WIRE_ABORT = 23, /* either, before COMMIT: struct wire_refuse; the session is DEAD */
	/* with the feature RECOVER */
	WIRE_RESUME = 24,     /* source, in place of OPEN: struct wire_resume */
	WIRE_RESUMED = 25,    /* destination: struct wire_resumed */
	WIRE_PAUSE = 26,      /* source: the connections end here, and the session does not */
	WIRE_SWITCHOVER = 27, /* source: with the connections the session ends from here on */
	/* with the feature SENT_TIME */
	WIRE_CLOCK = 28,   /* either, behind PONG: u64, its monotonic clock in between */
	WIRE_STOPPED = 29, /* source, before END: u64, when its guest stopped by that clock */
	/* with the feature LAST_LAP */
	WIRE_LAST_LAP = 30, /* source, before END: struct wire_last_lap */
	/* with the feature REASON */
	WIRE_REASON = 31, /* destination, before NEVER or UNKNOWN: struct wire_refuse */

	/* data */
	WIRE_JOIN = 32,     /* source: struct wire_join */
	WIRE_JOINED = 33,   /* destination: empty */
	WIRE_CHUNK = 34,    /* source: struct wire_chunk and its payload */
	WIRE_PASS_END = 35, /* source: struct wire_pass_end; a barrier over all channels */
	/* 36 and 37 are given to recovery. */
	WIRE_GENERATION = 38, /* source: struct wire_generation; a barrier over all channels */

	/* hand-over: frozen. Each but END is struct wire_session. */
	WIRE_END = 64, /* source: struct wire_end */
	WIRE_READY = 65,
	WIRE_COMMIT = 66,
	WIRE_RUNNING = 67,
	WIRE_CLOSED = 68,
	WIRE_NEVER = 69,
	WIRE_UNKNOWN = 70,
	WIRE_LOST = 71,
};

enum wire_role {
	WIRE_ROLE_CONTROL = 1,
	WIRE_ROLE_DATA = 2,
	WIRE_ROLE_QUESTION = 3,
};

/* Why a peer refuses. For programs; the sentence is for people. */
enum wire_refusal {
	WIRE_REFUSE_PROTOCOL = 1, /* malformed, or out of order */
	WIRE_REFUSE_VERSION = 2,
	WIRE_REFUSE_DENIED = 3, /* the certificate is not one that may */
	WIRE_REFUSE_NO_VM = 4,  /* no such VM here */
	WIRE_REFUSE_NOT_WAITING = 5,
	WIRE_REFUSE_MISMATCH = 6, /* order, MMU, vCPUs, ... differ */
	WIRE_REFUSE_BUSY = 7,
	WIRE_REFUSE_FAILED = 8,    /* something broke here */
	WIRE_REFUSE_CANCELLED = 9, /* somebody wished it so */
};

/* What a chunk's payload is. Memory passes (changed pages) will be a stream of their own here. */
enum wire_stream {
	WIRE_STREAM_HTAB = 1,   /* KVM htab records, to be written */
	WIRE_STREAM_VERIFY = 2, /* KVM htab records of the whole table, to be compared */
	WIRE_STREAM_MEMORY = 3, /* reserved */
	WIRE_STREAM_TLB = 4,    /* records of TLB entries, to be written */
};

enum wire_codec {
	WIRE_CODEC_NONE = 0, /* plain records, big-endian headers */
	WIRE_CODEC_ZSTD = 1, /* one zstd frame of them */
	WIRE_CODEC_HPTE = 2, /* proto/hptecodec.h */
};

struct wire_hello {
	uint16_t version_min, version_max;
	uint64_t features;
	enum wire_role role;
	char name[WIRE_NAME_MAX];
};

struct wire_welcome {
	uint16_t version;
	uint64_t features;
	char name[WIRE_NAME_MAX];
};

struct wire_refuse {
	enum wire_refusal code;
	char text[WIRE_TEXT_MAX];
};

#define WIRE_OPEN_VERIFY    0x1u /* read both tables back and compare before END */
#define WIRE_OPEN_RECOVER   0x2u /* wait for RESUME when the connections break */
#define WIRE_OPEN_PROCESSOR 0x8u /* compat and vcpu_ids follow; with the feature PROCESSOR */

struct wire_open {
	struct session_id session;
	struct vm_uuid uuid;
	char name[VM_NAME_MAX + 1]; /* the source's, for people; the VM is found by its UUID */
	enum mmu_kind mmu;
	uint32_t order; /* of an HPT; 0 for BookE */
	uint32_t vcpus;
	uint32_t pvr;
	enum wire_codec codec;
	uint32_t channels;
	uint32_t flags;          /* WIRE_OPEN_* */
	struct tlb_geometry tlb; /* of each vCPU, BookE alone */
	/* with WIRE_OPEN_PROCESSOR, else 0: proto/processor.h */
	uint32_t compat;
	uint64_t vcpu_ids;
};

struct wire_accept {
	uint8_t secret[WIRE_SECRET_SIZE]; /* binds data channels to the session */
	uint32_t ring;                    /* chunks in flight on a channel, 1 to WIRE_RING_MAX */
};

struct wire_join {
	struct session_id session;
	uint32_t channel; /* from 0 */
	uint8_t secret[WIRE_SECRET_SIZE];
};

struct wire_resume {
	struct session_id session;
	struct vm_uuid uuid;
	uint8_t secret[WIRE_SECRET_SIZE]; /* ACCEPT's */
};

struct wire_resumed_channel {
	uint64_t seq;        /* every chunk up to and with this one is written */
	uint32_t generation; /* of the table there */
	uint32_t pass;       /* the last one whose PASS_END came, 0 for none */
};

struct wire_resumed {
	uint8_t secret[WIRE_SECRET_SIZE]; /* for JOIN, until the next RESUMED */
	uint32_t channels;
	struct wire_resumed_channel channel[WIRE_CHANNELS_MAX];
};

struct wire_ack {
	uint32_t channel;
	uint64_t seq; /* every chunk up to and with this one is written */
};

struct wire_verified {
	uint64_t entries;    /* compared */
	uint64_t mismatches; /* that differ */
};

struct wire_chunk {
	enum wire_stream stream;
	enum wire_codec codec;
	uint32_t generation; /* from 1 */
	uint32_t pass;       /* from 1 in each generation */
	uint32_t plain;      /* bytes after decoding, 1 to WIRE_PLAIN_MAX */
	uint64_t seq;        /* from 1 on each channel, without gaps */
};

struct wire_pass_end {
	enum wire_stream stream;
	uint32_t generation;
	uint32_t pass;
	uint64_t seq; /* of this channel's last chunk so far, 0 for none */
};

struct wire_generation {
	uint32_t generation; /* that begins: the last one + 1, 2 to WIRE_GENERATION_MAX */
	uint32_t order;      /* of its table */
	uint64_t seq;        /* of this channel's last chunk so far, 0 for none */
};

#define WIRE_LAP_PAUSED 0x1u /* it began when no vCPU ran any more */
#define WIRE_LAP_WHOLE  0x2u /* of all entries, not of the bolted ones alone */

/* The first and the last pass of the generation that END speaks of. */
struct wire_last_lap {
	uint32_t generation, pass;           /* END's */
	uint32_t flags;                      /* WIRE_LAP_* */
	uint64_t first_valid, first_invalid; /* entries that pass 1 named: all there are */
	uint64_t valid, invalid;             /* entries that the last lap named */
};

struct wire_end_channel {
	uint64_t seq;    /* of the last chunk */
	uint64_t digest; /* stream_digest() over the plain bytes of all chunks, in order */
};

struct wire_end {
	struct session_id session;
	uint32_t generation;
	uint32_t passes;
	uint64_t pause_age;      /* ns since the vCPUs stopped, as END leaves */
	uint64_t valid, invalid; /* entries sent in HTAB chunks */
	uint64_t state_size, state_digest;
	uint32_t channels;
	struct wire_end_channel channel[WIRE_CHANNELS_MAX];
};

struct wire_session {
	struct session_id session;
	struct vm_uuid uuid;
};

/*
 * A frame's header: 0 and *ret_type, *ret_len (body bytes that follow), or -EBADMSG: a type that is
 * none, flags, or a body longer than that type's limit. hdr is WIRE_HDR_SIZE bytes.
 */
int wire_unpack_header(const uint8_t *hdr, enum wire_type *ret_type, size_t *ret_len);
void wire_pack_header(uint8_t hdr[static WIRE_HDR_SIZE], enum wire_type type, size_t len);
/* The largest body of that type in bytes; 0 with *ret_known false for a number that is none. */
size_t wire_body_max(unsigned type, bool *ret_known);

/*
 * Pack a whole frame (header and body) into buf of cap bytes: its length, or -EMSGSIZE.
 * WIRE_HDR_SIZE + WIRE_CONTROL_MAX is always enough. CHUNK packs its header alone
 * (WIRE_HDR_SIZE + WIRE_CHUNK_HDR bytes, for `payload` bytes that follow).
 * Unpack takes a body: 0 and *ret, or -EBADMSG: malformed, unknown number, out of its limits.
 */
int wire_pack_hello(const struct wire_hello *m, void *buf, size_t cap);
int wire_unpack_hello(const void *body, size_t len, struct wire_hello *ret);
int wire_pack_welcome(const struct wire_welcome *m, void *buf, size_t cap);
int wire_unpack_welcome(const void *body, size_t len, struct wire_welcome *ret);
/* type: WIRE_REFUSE or WIRE_ABORT. */
int wire_pack_refuse(enum wire_type type, const struct wire_refuse *m, void *buf, size_t cap);
int wire_unpack_refuse(const void *body, size_t len, struct wire_refuse *ret);
int wire_pack_open(const struct wire_open *m, void *buf, size_t cap);
int wire_unpack_open(const void *body, size_t len, struct wire_open *ret);
int wire_pack_accept(const struct wire_accept *m, void *buf, size_t cap);
int wire_unpack_accept(const void *body, size_t len, struct wire_accept *ret);
int wire_pack_resume(const struct wire_resume *m, void *buf, size_t cap);
int wire_unpack_resume(const void *body, size_t len, struct wire_resume *ret);
int wire_pack_resumed(const struct wire_resumed *m, void *buf, size_t cap);
int wire_unpack_resumed(const void *body, size_t len, struct wire_resumed *ret);
int wire_pack_join(const struct wire_join *m, void *buf, size_t cap);
int wire_unpack_join(const void *body, size_t len, struct wire_join *ret);
int wire_pack_ack(const struct wire_ack *m, void *buf, size_t cap);
int wire_unpack_ack(const void *body, size_t len, struct wire_ack *ret);
int wire_pack_verified(const struct wire_verified *m, void *buf, size_t cap);
int wire_unpack_verified(const void *body, size_t len, struct wire_verified *ret);
int wire_pack_chunk(const struct wire_chunk *m, size_t payload, void *buf, size_t cap);
int wire_unpack_chunk(const void *body, size_t len, struct wire_chunk *ret,
	const uint8_t **ret_payload, size_t *ret_payload_len);
int wire_pack_pass_end(const struct wire_pass_end *m, void *buf, size_t cap);
int wire_unpack_pass_end(const void *body, size_t len, struct wire_pass_end *ret);
int wire_pack_generation(const struct wire_generation *m, void *buf, size_t cap);
int wire_unpack_generation(const void *body, size_t len, struct wire_generation *ret);
int wire_pack_last_lap(const struct wire_last_lap *m, void *buf, size_t cap);
int wire_unpack_last_lap(const void *body, size_t len, struct wire_last_lap *ret);
int wire_pack_end(const struct wire_end *m, void *buf, size_t cap);
int wire_unpack_end(const void *body, size_t len, struct wire_end *ret);
/* READY to LOST. */
int wire_pack_session(enum wire_type type, const struct wire_session *m, void *buf, size_t cap);
int wire_unpack_session(const void *body, size_t len, struct wire_session *ret);
/* PING, PONG, CLOCK, STOPPED. */
int wire_pack_u64(enum wire_type type, uint64_t v, void *buf, size_t cap);
int wire_unpack_u64(const void *body, size_t len, uint64_t *ret);
/* JOINED, PAUSE, SWITCHOVER: a frame without a body. */
int wire_pack_empty(enum wire_type type, void *buf, size_t cap);

/*
 * The version two peers speak: the highest that both know. 0 and *ret, or -EPROTONOSUPPORT. The one
 * place where versions are compared.
 */
int wire_choose_version(uint16_t peer_min, uint16_t peer_max, uint16_t *ret);

/* "OPEN", ...; "?" for a number that is none. */
const char *wire_type_name(unsigned type);
