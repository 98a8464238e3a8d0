/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The source's way of an HPTE: htab fd -> reader -> chunk -> sender -> channel.
 *
 * An outflow owns the threads of one outgoing migration: a reader, and a sender for each channel.
 * They are told pass by pass what to do and report at each pass's end. Chunks stay in a bounded
 * ring of their channel until the destination acknowledged them; a full ring stops the reader.
 *
 * All functions and all callbacks: the event loop's thread. Threads drive the step functions of
 * reader.h and sender.h, which a seeded simulator drives as well.
 */
#include "common/stream.h"
#include "daemon/flow/flow.h"
#include "daemon/flow/htabio.h"
#include "proto/wire.h"

struct event_base;
struct outflow;

struct outflow_stats {
	uint64_t chunks; /* made */
	/* Once they are written to their channel, and once each, however often it breaks: */
	uint64_t valid, invalid; /* entries, HTAB stream only */
	uint64_t plain;          /* bytes of their records */
	uint64_t wire; /* bytes written for them, with frames, before TLS; again if sent again */
	uint64_t rate; /* entries a second, of the last second or two */
	/* Of the pass that runs, or the last: */
	uint64_t pass_valid, pass_invalid, pass_plain, pass_ns;
	uint64_t pass_read; /* entries that are in chunks, sent or not */
	uint64_t read_ns;   /* time inside htabio_read(): the scan */
	uint64_t position;  /* index before which everything is sent */
	/* What the channels and the destination take, all passes: */
	uint64_t acked;     /* entries that are written there, */
	uint64_t busy_ns;   /* in all time in which some were on their way, */
	uint64_t bursts;    /* which came as often from nothing, */
	uint64_t encode_ns; /* and the codecs' time, of all channels one after the other */
	uint64_t unacked;   /* entries sent, and not written there as far as is known */
};

struct outflow_ops {
	/* A pass was read to the table's end and its PASS_END is written to every channel. */
	void (*pass_done)(void *arg, enum wire_stream stream, uint32_t pass);
	/* After outflow_part(): the htab fd is closed. */
	void (*parted)(void *arg);
	/* After outflow_generation(): GENERATION is written to every channel. */
	void (*generation)(void *arg);
	/* Something broke; comes at most once; nothing else comes after it but stopped. */
	void (*failed)(void *arg, const struct err *err);
	/*
	 * A channel broke, with config.recover: chunks are kept until they are known to be
	 * written. May come for each of them; parked follows once all are gone.
	 */
	void (*lost)(void *arg, const struct err *err);
	/* After lost or outflow_cut(): all channels are closed, outflow_resume() may be said. */
	void (*parked)(void *arg);
	/* After outflow_stop(): all threads are joined, the htab fd and the channels are closed. */
	void (*stopped)(void *arg);
};

struct outflow_config {
	struct event_base *base;
	unsigned order;       /* of an HPT */
	uint64_t tlb_entries; /* of a BookE guest, all its vCPUs'; 0: it has an HPT */
	uint32_t generation;
	uint32_t channels; /* 1 to WIRE_CHANNELS_MAX, of a BookE guest 1; 0 is 1 */
	uint32_t ring;     /* chunks in flight on each, from ACCEPT, 1 to WIRE_RING_MAX */
	size_t chunk;      /* plain bytes of a chunk, HTAB_READ_MIN to WIRE_PLAIN_MAX */
	enum wire_codec codec;
	int level;              /* zstd's, as codec_set_level() */
	uint64_t max_bandwidth; /* bytes/s, 0: none */
	bool recover;           /* a channel that broke is lost, not failed */
	int timeout_ms;         /* a channel or destination that takes nothing for so long fails */
	/* A file in place of the one channel: what is written to it needs no acknowledgement. */
	const struct flow_io *file;
	const struct outflow_ops *ops;
	void *arg;
};

/*
 * htab and streams[config->channels] (the data channels, JOINED already; NULL with config->file)
 * become the outflow's, on success only.
 */
int outflow_new(const struct outflow_config *config, struct htabio *htab,
	struct stream *const *streams, struct outflow **ret, struct err *err);
/*
 * Read one pass from the cursor to the table's end and send it. None may be under way; pass numbers
 * grow, whatever the stream.
 */
void outflow_pass(struct outflow *o, enum wire_stream stream, uint32_t pass);
/* Change what is read from: the VERIFY pass has an fd of its own, from index 0. Between passes. */
void outflow_set_htab(struct outflow *o, struct htabio *htab);
/*
 * The guest's table goes away: close its fd, the pass under way being cut off. `parted` follows. A
 * pass_done that was on its way may come before outflow_generation(), and means nothing any more.
 */
void outflow_part(struct outflow *o);
/*
 * Once parted: what is sent from here on is another table's, of that order; generations are
 * numbered without gaps. `generation` follows; then outflow_set_htab(), and pass 1.
 */
void outflow_generation(struct outflow *o, uint32_t generation, unsigned order);
/* The destination wrote every chunk of the channel up to seq. -EBADMSG: none such was sent. */
int outflow_ack(struct outflow *o, uint32_t channel, uint64_t seq);
/*
 * Take the channels away; the table is read on until the rings are full. Nothing to those that are
 * gone already.
 */
void outflow_cut(struct outflow *o);
/*
 * After parked: what the destination has of each channel: every chunk up to seq is written there,
 * and pass is the last one whose end it knows. -EBADMSG, and nothing changed, for what cannot be.
 */
int outflow_resume(struct outflow *o, const struct wire_resumed *resumed);
/* After outflow_resume(): go on with as many others, JOINED, which become the outflow's. */
void outflow_attach(struct outflow *o, struct stream *const *streams);
void outflow_set_bandwidth(struct outflow *o, uint64_t bytes_per_second);
void outflow_get_stats(const struct outflow *o, struct outflow_stats *ret);
/* END's generation, passes (the last one's number), entries, and each channel's last chunk and
 * digest. After the last pass's pass_done. */
void outflow_get_end(const struct outflow *o, struct wire_end *end);
/* The first and the last pass of the table, flags 0; the last one's pass_done was told. */
void outflow_get_lap(struct outflow *o, struct wire_last_lap *ret);
/* Begin to stop, at any time; `stopped` follows, never from inside this call. */
void outflow_stop(struct outflow *o);
/* Only after `stopped`. Takes NULL, returns NULL. */
struct outflow *outflow_free(struct outflow *o);
