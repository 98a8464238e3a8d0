/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The destination's way of an HPTE: channel -> receiver -> chunk -> writer -> htab fd.
 *
 * An inflow owns the threads of one incoming migration: a receiver for each channel and one
 * writer, which owns the htab write fd. Every record is validated before it is written. A VERIFY
 * stream is compared, entry by entry in normalised form, with the table read back.
 *
 * All functions and all callbacks: the event loop's thread.
 */
#include "common/stream.h"
#include "daemon/flow/flow.h"
#include "daemon/flow/htabio.h"
#include "proto/wire.h"

struct event_base;
struct inflow;

struct inflow_stats {
	uint64_t valid, invalid; /* entries written */
	uint64_t plain, wire;    /* bytes, HTAB stream only */
	uint32_t generation;     /* of the source's table that arrives now */
	uint32_t pass;           /* the HTAB pass that arrives now, or the last */
	uint64_t pass_valid, pass_invalid;
	uint64_t verified, mismatches; /* entries of the VERIFY stream: compared, different */
};

struct inflow_ops {
	/* Every chunk up to seq is written: to be acknowledged. Coalesced. */
	void (*written)(void *arg, uint32_t channel, uint64_t seq);
	/*
	 * A pass's PASS_END was reached on every channel and all before it is written or
	 * compared.
	 */
	void (*pass_done)(void *arg, enum wire_stream stream, uint32_t pass);
	/*
	 * The source's table is another one now, of that order; all of the old one that was sent is
	 * written and the write fd is closed: make the table empty, inflow_set_generation().
	 */
	void (*generation)(void *arg, uint32_t generation, unsigned order);
	/*
	 * Something broke; comes at most once; nothing comes after it but finished or stopped. The
	 * orderly end of a channel between two frames is not a failure by itself. When the source
	 * gives up, its ABORT on the control connection may come before or after.
	 */
	void (*failed)(void *arg, const struct err *err);
	/*
	 * A channel broke, with config.recover: what came whole is kept. May come for each of them;
	 * settled follows once all are gone. (An orderly end is not told.)
	 */
	void (*lost)(void *arg, const struct err *err);
	/*
	 * The source closed a channel in order, between two frames, and inflow_finish() was not
	 * called: it should be, soon. Once. Optional.
	 */
	void (*ended)(void *arg);
	/*
	 * All channels are closed, after lost, inflow_cut() or their end, and what came by them is
	 * written, or forgotten where another channel's end of a pass or beginning of a generation
	 * was missing: of each channel, every chunk up to seq, and pass is the last one of the
	 * generation whose end came (0: none yet). `secret` is zero.
	 */
	void (*settled)(void *arg, const struct wire_resumed *resumed);
	/* After inflow_finish(): what END said holds; threads are joined, the htab fd is closed. */
	void (*finished)(void *arg);
	/* After inflow_stop(): threads joined, everything closed. */
	void (*stopped)(void *arg);
};

struct inflow_config {
	struct event_base *base;
	unsigned order;       /* of an HPT */
	uint64_t tlb_entries; /* of a BookE guest, all its vCPUs'; 0: it has an HPT */
	uint32_t generation;  /* the first */
	bool generations;     /* that more may follow was agreed upon */
	uint32_t channels;    /* 1 to WIRE_CHANNELS_MAX, of a BookE guest 1; 0 is 1 */
	uint32_t ring;        /* of each, as ACCEPTed: more chunks in flight are a protocol error */
	enum wire_codec codec;
	bool recover;   /* a channel that broke is lost, not failed */
	int timeout_ms; /* silence in the middle of a frame that ends it */
	/* A file in place of the one channel: it is read no faster than its chunks are written. */
	const struct flow_io *file;
	const struct inflow_ops *ops;
	void *arg;
};

/*
 * htab (open for writing) and streams[config->channels] (JOINED; NULL with config->file) become the
 * inflow's, on success only.
 */
int inflow_new(const struct inflow_config *config, struct htabio *htab,
	struct stream *const *streams, struct inflow **ret, struct err *err);
/* After `generation`, with what that said. htab, open for writing, becomes the inflow's. */
void inflow_set_generation(
	struct inflow *i, uint32_t generation, unsigned order, struct htabio *htab);
/*
 * What one VERIFY pass is compared with, open for reading from index 0. Becomes the inflow's. It is
 * read when the VERIFY stream arrives; a stream with nothing to compare it with fails after
 * timeout_ms.
 */
void inflow_set_verify(struct inflow *i, struct htabio *htab);
/*
 * END arrived (generation, passes, valid, invalid, channels and channel are looked at): when
 * every channel's chunks up to END's last one are written, pass end.passes or a later one is
 * complete, and counts and digests agree, the threads end, the fds are closed, and `finished`
 * comes; else `failed`.
 */
void inflow_finish(struct inflow *i, const struct wire_end *end);
/* Before that: what the source says of its first and last pass, which has to hold as well. */
void inflow_expect_lap(struct inflow *i, const struct wire_last_lap *lap);
/* Take the channels away; nothing to those that are gone already. */
void inflow_cut(struct inflow *i);
/* After settled: go on with as many others, which become the inflow's. */
void inflow_attach(struct inflow *i, struct stream *const *streams);
void inflow_get_stats(const struct inflow *i, struct inflow_stats *ret);
void inflow_stop(struct inflow *i);
struct inflow *inflow_free(struct inflow *i); /* after finished or stopped; takes NULL */
