/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reader, receiver, writer and verify by single steps: what is refused, and why. */
#include <check.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "daemon/flow/reader.h"
#include "daemon/flow/receiver.h"
#include "daemon/flow/sender.h"
#include "daemon/flow/writer.h"
#include "tests/unit/flow-model.h"

#define ENTRIES 64u
#define RING    3u
#define TIMEOUT 1000

static uint64_t now;

static uint64_t test_clock(void)
{
	return now;
}

static struct flow flow;
static struct model m;
static struct htabio *io;
static struct flow_wait wait;

static void setup(void)
{
	now = 1;
	flow_init(&flow, test_clock);
	model_init(&m, ENTRIES);
	io = model_open(&m);
}

static void teardown(void)
{
	flow_fini(&flow);
	htabio_free(io);
	model_fini(&m);
}

static void expect_failure(enum flow_next next, const char *why)
{
	ck_assert_int_eq(next, FLOW_END);
	ck_assert(flow.failed);
	ck_assert_msg(
		strstr(flow.err.text, why), "\"%s\" says nothing of \"%s\"", flow.err.text, why);
}

/* -- reader -- */

static struct sendrings out;
static struct reader reader;

static void reader_setup(size_t chunk)
{
	struct outflow_config config = {.generation = 1, .ring = 100, .chunk = chunk};

	ck_assert_int_eq(sendrings_init(&out, &flow, &config), 0);
	reader = (struct reader){&out, io, ENTRIES, 0};
	out.reader = flow_add(&flow, "reader", reader_step, &reader);
	out.ring[0].sender = flow_add(&flow, "sender", reader_step, &reader);
}

/* Reads of one pass; it must be over after them. */
static uint64_t read_pass(uint32_t pass)
{
	uint64_t before = m.reads;

	out.ring[0].ending = false; /* as the sender would */
	sendrings_begin(&out, WIRE_STREAM_HTAB, pass);
	while (out.reading)
		ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_MORE);
	ck_assert(out.ring[0].ending);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
	ck_assert_uint_eq(reader.cursor, 0);
	return m.reads - before;
}

START_TEST(lap_ends_with_a_buffer_that_is_full_at_the_end_of_the_table)
{
	/* one record of 64 valid entries is 8 + 1024 bytes; KVM wants room for more than that */
	static const struct {
		size_t chunk;
		uint64_t reads;
	} cases[] = {
		{8 + 1024 + 1, 1},  /* full exactly with the last entry: no read follows */
		{8 + 1024 + 24, 1}, /* n + 24 == count: only the end tells */
		{8 + 1024 + 25, 1}, /* n + 24 < count */
		{8 + 512 + 1, 2},   /* two full buffers, the second at the end */
		{8 + 1024, 2},      /* the last entry does not fit */
	};

	for (uint64_t i = 0; i < ENTRIES; i++)
		model_set(&m, i, HPTE_V_VALID, i);
	reader_setup(cases[_i].chunk);
	ck_assert_uint_eq(read_pass(1), cases[_i].reads);
	ck_assert_uint_eq(out.stats.pass_read, ENTRIES);
	/* nothing changed: one read that gives 0 bytes is a lap, and no chunk */
	ck_assert_uint_eq(read_pass(2), 1);
	ck_assert_uint_eq(out.stats.pass_read, 0);
	model_set(&m, ENTRIES - 1, HPTE_V_VALID, 99);
	ck_assert_uint_eq(read_pass(3), 1);
	ck_assert_uint_eq(out.stats.pass_read, 1);
	ck_assert_uint_eq(out.ring[0].filled, cases[_i].reads + 1);
	sendrings_fini(&out);
}
END_TEST

/* A channel that takes everything. */
static ssize_t sink(void *ctx, const void *buf, size_t len)
{
	return (ssize_t)len;
}

static bool begin_now;

/* Between a step's look at the clock and the rest of it, others may do anything. */
static uint64_t clock_that_is_overtaken(void)
{
	uint64_t seen = now;

	if (begin_now) {
		begin_now = false;
		now += 1000;
		sendrings_begin(&out, WIRE_STREAM_HTAB, 2);
		while (out.reading)
			reader_step(&reader, &wait);
	}
	return seen;
}

START_TEST(pass_that_begins_within_a_step_takes_no_time_backwards)
{
	struct flow_io io_sink = {.write = sink};
	struct sender sender;

	reader_setup(8 + 1024);
	flow.clock = clock_that_is_overtaken;
	sender_init(&sender, &out.ring[0], io_sink, TIMEOUT);
	sendrings_begin(&out, WIRE_STREAM_HTAB, 1);
	while (out.reading)
		reader_step(&reader, &wait);
	while (!out.done)
		ck_assert_int_eq(sender_step(&sender, &wait), FLOW_MORE);
	out.done = false;
	begin_now = true; /* nothing changed: all that is sent is that it ended */
	while (!out.done)
		ck_assert_int_eq(sender_step(&sender, &wait), FLOW_MORE);
	ck_assert_uint_eq(out.stats.pass_ns, 0);
	sendrings_fini(&out);
}
END_TEST

/* Figures are of what left this host, once, however often it is sent. */
START_TEST(what_is_sent_is_counted_once)
{
	struct outflow_config c = {
		.generation = 1, .ring = 4, .chunk = 8 + 512 + 1, .recover = true};
	struct wire_resumed resumed = {.channels = 1};
	struct outflow_stats s;
	struct sender sender;

	for (uint64_t i = 0; i < ENTRIES; i++)
		model_set(&m, i, HPTE_V_VALID, i);
	ck_assert_int_eq(sendrings_init(&out, &flow, &c), 0);
	reader = (struct reader){.rings = &out, .io = io, .entries = ENTRIES};
	out.reader = flow_add(&flow, "reader", reader_step, &reader);
	sender_init(&sender, &out.ring[0], (struct flow_io){.write = sink}, TIMEOUT);
	out.ring[0].sender = flow_add(&flow, "sender", sender_step, &sender);
	read_pass(1);
	sendrings_get_stats(&out, &s);
	ck_assert_uint_eq(s.pass_read, ENTRIES);
	ck_assert_uint_eq(s.valid + s.pass_valid + s.plain + s.wire + s.position, 0);
	while (out.ring[0].sent < 1)
		ck_assert_int_eq(sender_step(&sender, &wait), FLOW_MORE);
	sendrings_get_stats(&out, &s);
	ck_assert_uint_eq(s.valid, ENTRIES / 2);
	ck_assert_uint_eq(s.position, ENTRIES / 2);
	ck_assert_uint_eq(s.unacked, ENTRIES / 2);
	while (out.ring[0].sent < 2)
		ck_assert_int_eq(sender_step(&sender, &wait), FLOW_MORE);
	now += 1000;
	ck_assert_int_eq(sendrings_ack(&out, 0, 1), 0);
	sendrings_get_stats(&out, &s);
	ck_assert_uint_eq(s.acked, ENTRIES / 2);
	ck_assert_uint_eq(s.unacked, ENTRIES / 2);
	ck_assert_uint_eq(s.busy_ns, 1000);
	/* the second one is sent again on another channel */
	out.ring[0].link.down = true;
	resumed.channel[0] = (struct wire_resumed_channel){.generation = 1, .seq = 1};
	ck_assert_int_eq(sendrings_resume(&out, &resumed), 0);
	out.ring[0].link.down = false;
	while (out.ring[0].sent < 2)
		ck_assert_int_eq(sender_step(&sender, &wait), FLOW_MORE);
	ck_assert_int_eq(sendrings_ack(&out, 0, 2), 0);
	sendrings_get_stats(&out, &s);
	ck_assert_uint_eq(s.valid, ENTRIES);
	ck_assert_uint_eq(s.pass_valid, ENTRIES);
	ck_assert_uint_eq(s.position, ENTRIES);
	ck_assert_uint_eq(s.unacked, 0);
	ck_assert_uint_eq(s.acked, ENTRIES);
	ck_assert_uint_eq(s.bursts, 2);
	ck_assert_uint_gt(s.wire, s.plain); /* twice */
	sendrings_fini(&out);
}
END_TEST

static ssize_t none(void *ctx, const void *buf, size_t len)
{
	ck_abort_msg("%zu bytes are written to a channel that was given up", len);
}

/* Nothing is acknowledged in time: the channel goes, and is not touched any more. */
START_TEST(sender_lets_go_of_a_channel_that_acknowledges_nothing)
{
	struct outflow_config c = {.generation = 1, .ring = 100, .chunk = 1000, .recover = true};
	struct sender s;
	uint64_t wire;

	ck_assert_int_eq(sendrings_init(&out, &flow, &c), 0);
	reader = (struct reader){.rings = &out, .io = io, .entries = ENTRIES};
	out.reader = flow_add(&flow, "reader", reader_step, &reader);
	sender_init(&s, &out.ring[0], (struct flow_io){.write = sink, .ctx = &s}, TIMEOUT);
	out.ring[0].sender = flow_add(&flow, "sender", sender_step, &s);
	read_pass(1);
	while (flow_step(&flow, out.ring[0].sender, &wait) == FLOW_MORE)
		;
	ck_assert(out.done && out.ring[0].ended == 1);
	wire = out.stats.wire;
	s.io.write = none;
	now += 2 * TIMEOUT * NS_PER_MS;
	ck_assert_int_eq(flow_step(&flow, out.ring[0].sender, &wait), FLOW_MORE);
	ck_assert_int_eq(flow_step(&flow, out.ring[0].sender, &wait), FLOW_WAIT);
	ck_assert(out.ring[0].link.down && !flow.failed);
	ck_assert_uint_eq(out.ring[0].ended, 1);
	ck_assert_uint_eq(out.stats.wire, wire);
	sendrings_fini(&out);
}
END_TEST

START_TEST(reader_stops_when_the_ring_is_full)
{
	for (uint64_t i = 0; i < ENTRIES; i += 2)
		model_set(&m, i, HPTE_V_VALID, i);
	reader_setup(HTAB_READ_MIN);
	out.ring[0].ring.size = 4;
	sendrings_begin(&out, WIRE_STREAM_HTAB, 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_MORE);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
	out.ring[0].sending = out.ring[0].acked = 1; /* acknowledged, but the sender still has it */
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
	out.ring[0].sent = 1;
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_MORE);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
	out.ring[0].ring.size = 100;
	sendrings_fini(&out);
}
END_TEST

START_TEST(reader_refuses_an_index_that_goes_back)
{
	for (uint64_t i = 0; i < ENTRIES; i++)
		model_set(&m, i, HPTE_V_VALID, i);
	reader_setup(100);
	sendrings_begin(&out, WIRE_STREAM_HTAB, 1);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_MORE);
	m.go_back = 1;
	expect_failure(flow_step(&flow, out.reader, &wait), "goes back");
	sendrings_fini(&out);
}
END_TEST

/* -- receiver -- */

static struct recvrings in;
static struct receiver receiver;
static struct writer writer;
static uint8_t bytes[2u << 20];
static size_t n_bytes, at;
static int channel_end; /* after the bytes: 0, or -errno */

static ssize_t bytes_read(void *ctx, void *buf, size_t len)
{
	size_t n = n_bytes - at < len ? n_bytes - at : len;

	if (n == 0)
		return channel_end;
	memcpy(buf, bytes + at, n);
	at += n;
	return (ssize_t)n;
}

static void bytes_want(void *ctx, struct flow_wait *w)
{
	w->fd = 0;
}

static const char *bytes_error(void *ctx)
{
	return "Connection reset by peer";
}

static void ring_setup(uint32_t ring)
{
	struct inflow_config config = {.generation = 2, .ring = ring};

	n_bytes = at = 0;
	channel_end = -EAGAIN;
	ck_assert_int_eq(recvrings_init(&in, &flow, &config), 0);
	receiver_init(&receiver, &in.ring[0],
		(struct flow_io){bytes_read, NULL, bytes_want, bytes_error, NULL}, TIMEOUT);
	writer_init(&writer, &in, io, ENTRIES, TIMEOUT);
	in.ring[0].receiver = flow_add(&flow, "receiver", receiver_step, &receiver);
	in.writer = flow_add(&flow, "writer", writer_step, &writer);
}

static void receiver_setup(void)
{
	ring_setup(RING);
}

static void receiver_teardown(void)
{
	writer.verify = verify_free(writer.verify);
	recvrings_fini(&in);
}

/* A chunk of one record. */
static struct wire_chunk chunk(uint64_t seq)
{
	return (struct wire_chunk){WIRE_STREAM_HTAB, WIRE_CODEC_NONE, 2, 1, 0, seq};
}

static void put_chunk(struct wire_chunk c, uint32_t index, uint16_t n_valid, uint16_t n_invalid)
{
	uint8_t *p = bytes + n_bytes;

	c.plain = HTAB_HDR_SIZE + (uint32_t)n_valid * HTAB_HPTE_SIZE;
	ck_assert_int_eq(wire_pack_chunk(&c, c.plain, p, CHUNK_ROOM), CHUNK_ROOM);
	p += CHUNK_ROOM;
	htab_put_header(p, HTAB_WIRE, index, n_valid, n_invalid);
	for (uint32_t i = 0; i < n_valid; i++) {
		be64_put(p + HTAB_HDR_SIZE + i * HTAB_HPTE_SIZE, HPTE_V_VALID | HPTE_V_HVLOCK);
		be64_put(p + HTAB_HDR_SIZE + i * HTAB_HPTE_SIZE + 8, index + i);
	}
	n_bytes += CHUNK_ROOM + c.plain;
}

static void put_pass_end(uint32_t generation, enum wire_stream stream, uint32_t pass, uint64_t seq)
{
	struct wire_pass_end e = {stream, generation, pass, seq};
	int n = wire_pack_pass_end(&e, bytes + n_bytes, sizeof(bytes) - n_bytes);

	ck_assert_int_gt(n, 0);
	n_bytes += (size_t)n;
}

/* Step until there is nothing to do. */
static enum flow_next drive(unsigned id)
{
	enum flow_next next;

	while ((next = flow_step(&flow, id, &wait)) == FLOW_MORE)
		;
	return next;
}

static void garbage(void)
{
	memset(bytes, 0x5a, 100);
	n_bytes = 100;
}

static void other_type(void)
{
	n_bytes = (size_t)wire_pack_u64(WIRE_PING, 1, bytes, sizeof(bytes));
}

static void oversized(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	be32_put(bytes, WIRE_CHUNK_MAX + 1);
}

static void no_payload(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	be32_put(bytes, WIRE_CHUNK_HDR);
}

static void long_pass_end(void)
{
	put_pass_end(2, WIRE_STREAM_HTAB, 1, 0);
	be32_put(bytes, 21);
}

static void seq_gap(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	put_chunk(chunk(3), 1, 1, 0);
}

static void old_generation(void)
{
	struct wire_chunk c = chunk(1);

	c.generation = 1;
	put_chunk(c, 0, 1, 0);
}

static void other_codec(void)
{
	struct wire_chunk c = chunk(1);

	c.codec = WIRE_CODEC_ZSTD;
	put_chunk(c, 0, 1, 0);
}

static void other_stream(void)
{
	struct wire_chunk c = chunk(1);

	c.stream = WIRE_STREAM_TLB;
	put_chunk(c, 0, 1, 0);
}

static void pass_within_pass(void)
{
	struct wire_chunk c = chunk(2);

	put_chunk(chunk(1), 0, 1, 0);
	c.pass = 2;
	put_chunk(c, 1, 1, 0);
}

static void pass_again(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	put_pass_end(2, WIRE_STREAM_HTAB, 1, 1);
	put_chunk(chunk(2), 1, 1, 0);
}

static void pass_end_lies(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	put_pass_end(2, WIRE_STREAM_HTAB, 1, 2);
}

static void too_many(void)
{
	for (uint64_t seq = 1; seq <= RING + 1; seq++)
		put_chunk(chunk(seq), 0, 1, 0);
}

static void cut_in_header(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	n_bytes = 5;
	channel_end = 0;
}

static void cut_in_payload(void)
{
	put_chunk(chunk(1), 0, 1, 0);
	n_bytes -= 1;
	channel_end = 0;
}

static void broken(void)
{
	channel_end = -ECONNRESET;
}

START_TEST(receiver_refuses)
{
	static const struct {
		void (*make)(void);
		const char *why;
	} cases[] = {
		{garbage, "no frame"},
		{other_type, "PING on data channel 0"},
		{oversized, "no frame"},
		{no_payload, "CHUNK frame of 24 bytes"},
		{long_pass_end, "PASS_END frame of 21 bytes"},
		{seq_gap, "chunk 3 came after chunk 1"},
		{old_generation, "generation 1 of its table, but 2"},
		{other_codec, "codec 1"},
		{other_stream, "stream TLB"},
		{pass_within_pass, "pass 2 in the middle of HTAB pass 1"},
		{pass_again, "pass 1 after HTAB pass 1"},
		{pass_end_lies, "chunk 2 was the last"},
		/* protocol.md 6.3: "A destination refuses a chunk beyond what it has acknowledged
		 * + ring." */
		{too_many, "may have 3 in flight"},
		{cut_in_header, "in the middle of a frame"},
		{cut_in_payload, "in the middle of a frame"},
		{broken, "Connection reset by peer"},
	};

	receiver_setup();
	cases[_i].make();
	expect_failure(drive(in.ring[0].receiver), cases[_i].why);
	receiver_teardown();
}
END_TEST

START_TEST(receiver_waits_in_a_frame_but_not_for_ever)
{
	receiver_setup();
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	ck_assert_uint_eq(wait.until, FLOW_FOREVER); /* between frames silence is no fault */
	put_chunk(chunk(1), 0, 1, 0);
	n_bytes -= 3;
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	ck_assert_uint_eq(wait.until, 1 + TIMEOUT * NS_PER_MS);
	now = wait.until;
	expect_failure(drive(in.ring[0].receiver), "sent nothing");
	receiver_teardown();
}
END_TEST

START_TEST(pass_ends_that_nobody_hears_of_are_bounded)
{
	struct marker marker[RING_MARKERS];
	uint64_t seq[WIRE_CHANNELS_MAX];

	receiver_setup();
	for (uint32_t pass = 1; pass <= 3 * RING_MARKERS; pass++)
		put_pass_end(2, WIRE_STREAM_HTAB, pass, 0);
	for (unsigned round = 0; round < 3; round++) {
		drive(in.ring[0].receiver);
		ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
		ck_assert_uint_eq(recvrings_report(&in, seq, marker), RING_MARKERS);
		ck_assert_uint_eq(marker[0].pass, round * RING_MARKERS + 1);
	}
	receiver_teardown();
}
END_TEST

START_TEST(a_channel_may_end_between_frames)
{
	receiver_setup();
	put_chunk(chunk(1), 0, 1, 0);
	channel_end = 0;
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_END);
	ck_assert(!flow.failed && in.ring[0].eof);
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	ck_assert_uint_eq(in.ring[0].written, 1);
	receiver_teardown();
}
END_TEST

/* -- writer and verify -- */

/* protocol.md 7: "A destination checks every record before it writes any byte of it" */
START_TEST(writer_validates_before_it_writes)
{
	receiver_setup();
	put_chunk(chunk(1), ENTRIES - 1, 1, 1);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	expect_failure(drive(in.writer), "past the end of the table");
	ck_assert_uint_eq(m.writes, 0);
	receiver_teardown();
}
END_TEST

static unsigned told;

static void on_told(void *arg)
{
	told++;
}

static unsigned told_of(struct event_base *base)
{
	told = 0;
	event_base_loop(base, EVLOOP_NONBLOCK);
	return told;
}

/* Who waits for an acknowledgement gets it, but not for each chunk while there is more to do. */
START_TEST(writer_tells_of_what_it_wrote)
{
	struct event_base *base = event_base_new();

	ring_setup(16);
	ck_assert_int_eq(notify_new(base, on_told, NULL, &flow.notify), 0);
	for (uint64_t seq = 1; seq <= 6; seq++)
		put_chunk(chunk(seq), (uint32_t)seq, 1, 0);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	for (unsigned step = 1; step <= 6; step++) {
		ck_assert_int_eq(flow_step(&flow, in.writer, &wait), FLOW_MORE);
		ck_assert_uint_eq(told_of(base), step == 4); /* a quarter of the ring */
	}
	ck_assert_int_eq(flow_step(&flow, in.writer, &wait), FLOW_WAIT);
	ck_assert_uint_eq(told_of(base), 1); /* the other two, since no more is there */
	ck_assert_int_eq(flow_step(&flow, in.writer, &wait), FLOW_WAIT);
	ck_assert_uint_eq(told_of(base), 0);
	/* A table that takes a second for each: the source does not wait for four of them. */
	for (uint64_t seq = 7; seq <= 9; seq++)
		put_chunk(chunk(seq), (uint32_t)seq, 1, 0);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	for (unsigned step = 1; step <= 3; step++) {
		now += NS_PER_SEC;
		ck_assert_int_eq(flow_step(&flow, in.writer, &wait), FLOW_MORE);
		ck_assert_uint_eq(told_of(base), 1);
	}
	receiver_teardown();
	flow.notify = notify_free(flow.notify);
	event_base_free(base);
}
END_TEST

static struct wire_chunk verify_chunk(uint64_t seq)
{
	struct wire_chunk c = chunk(seq);

	c.stream = WIRE_STREAM_VERIFY;
	return c;
}

static void set_verify(void)
{
	ck_assert_int_eq(verify_new(model_open(&m), ENTRIES, &writer.verify), 0);
}

START_TEST(verify_counts_what_differs)
{
	receiver_setup();
	for (uint64_t i = 0; i < 10; i++)
		model_set(&m, i, HPTE_V_VALID, i);
	model_set(&m, 3, HPTE_V_VALID, 77); /* another r */
	model_set(&m, 5, 0, 0);             /* not valid here */
	model_set(&m, 60, HPTE_V_VALID, 0); /* valid here only */
	put_chunk(verify_chunk(1), 0, 7, 0);
	put_chunk(verify_chunk(2), 7, 3, 4);
	put_chunk(verify_chunk(3), 14, 0, ENTRIES - 14);
	put_pass_end(2, WIRE_STREAM_VERIFY, 1, 3);
	set_verify();
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	ck_assert_uint_eq(in.stats.verified, ENTRIES);
	ck_assert_uint_eq(in.stats.mismatches, 3);
	ck_assert_uint_eq(in.stats.valid, 0); /* counts HTAB chunks alone */
	ck_assert_uint_eq(in.ring[0].markers_done, 1);
	ck_assert_uint_eq(m.writes, 0);
	receiver_teardown();
}
END_TEST

START_TEST(verify_refuses_gaps)
{
	receiver_setup();
	set_verify();
	put_chunk(verify_chunk(1), 0, 7, 0);
	put_chunk(verify_chunk(2), 8, 3, 4);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	expect_failure(drive(in.writer), "index 8 where 7 should be");
	receiver_teardown();
}
END_TEST

START_TEST(verify_refuses_an_early_end)
{
	receiver_setup();
	set_verify();
	put_chunk(verify_chunk(1), 0, 7, 0);
	put_pass_end(2, WIRE_STREAM_VERIFY, 1, 1);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	expect_failure(drive(in.writer), "ended at index 7 of 64");
	receiver_teardown();
}
END_TEST

/* protocol.md 9: "A destination refuses VERIFY chunks that were not agreed upon." */
START_TEST(verify_waits_for_its_table_but_not_for_ever)
{
	receiver_setup();
	put_chunk(verify_chunk(1), 0, 0, ENTRIES);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	ck_assert_uint_eq(wait.until, 1 + TIMEOUT * NS_PER_MS);
	set_verify();
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	ck_assert_uint_eq(in.stats.verified, ENTRIES);
	writer.verify = verify_free(writer.verify);
	put_chunk(verify_chunk(2), 0, 0, ENTRIES);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	now = wait.until;
	expect_failure(drive(in.writer), "not agreed upon");
	receiver_teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-steps");
	TCase *tc = tcase_create("steps");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, lap_ends_with_a_buffer_that_is_full_at_the_end_of_the_table, 0, 5);
	tcase_add_test(tc, pass_that_begins_within_a_step_takes_no_time_backwards);
	tcase_add_test(tc, reader_stops_when_the_ring_is_full);
	tcase_add_test(tc, what_is_sent_is_counted_once);
	tcase_add_test(tc, sender_lets_go_of_a_channel_that_acknowledges_nothing);
	tcase_add_test(tc, reader_refuses_an_index_that_goes_back);
	tcase_add_loop_test(tc, receiver_refuses, 0, 16);
	tcase_add_test(tc, receiver_waits_in_a_frame_but_not_for_ever);
	tcase_add_test(tc, pass_ends_that_nobody_hears_of_are_bounded);
	tcase_add_test(tc, a_channel_may_end_between_frames);
	tcase_add_test(tc, writer_validates_before_it_writes);
	tcase_add_test(tc, writer_tells_of_what_it_wrote);
	tcase_add_test(tc, verify_counts_what_differs);
	tcase_add_test(tc, verify_refuses_gaps);
	tcase_add_test(tc, verify_refuses_an_early_end);
	tcase_add_test(tc, verify_waits_for_its_table_but_not_for_ever);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
