/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another table in the middle of a flow, by single steps of reader, sender, receiver, writer. */
#include <check.h>
#include <poll.h>
#include <stdio.h>

#include "daemon/flow/reader.h"
#include "daemon/flow/receiver.h"
#include "daemon/flow/sender.h"
#include "daemon/flow/writer.h"
#include "tests/unit/flow-model.h"

#define ENTRIES 64u
#define RING    4u
#define TIMEOUT 1000

static uint64_t test_clock(void)
{
	return 1;
}

static struct flow flow;
static struct model m;
static struct htabio *io;
static struct flow_wait wait;
static uint8_t bytes[64u << 10];
static size_t n_bytes, at;
static bool blocked; /* the channel takes nothing */

static ssize_t channel_read(void *ctx, void *buf, size_t len)
{
	size_t n = n_bytes - at < len ? n_bytes - at : len;

	memcpy(buf, bytes + at, n);
	at += n;
	return n ? (ssize_t)n : -EAGAIN;
}

static ssize_t channel_write(void *ctx, const void *buf, size_t len)
{
	if (blocked)
		return -EAGAIN;
	ck_assert_uint_le(n_bytes + len, sizeof(bytes));
	memcpy(bytes + n_bytes, buf, len);
	n_bytes += len;
	return (ssize_t)len;
}

static void channel_want(void *ctx, struct flow_wait *w)
{
	w->fd = 0;
}

static const char *channel_error(void *ctx)
{
	return "broken";
}

static const struct flow_io channel = {
	channel_read, channel_write, channel_want, channel_error, NULL};

/* Step until there is nothing to do. */
static enum flow_next drive(unsigned id)
{
	enum flow_next next;

	while ((next = flow_step(&flow, id, &wait)) == FLOW_MORE)
		;
	return next;
}

static void setup(void)
{
	n_bytes = at = 0;
	blocked = false;
	flow_init(&flow, test_clock);
	model_init(&m, ENTRIES);
	for (uint64_t i = 0; i < ENTRIES; i++)
		model_set(&m, i, HPTE_V_VALID, i);
	io = model_open(&m);
}

static void teardown(void)
{
	flow_fini(&flow);
	htabio_free(io);
	model_fini(&m);
}

/* -- the source ------------------------------------------------------------------------------- */

static struct sendrings out;
static struct reader reader;
static struct sender sender;

static void source_setup(size_t chunk)
{
	struct outflow_config config = {.generation = 1, .ring = RING, .chunk = chunk};

	ck_assert_int_eq(sendrings_init(&out, &flow, &config), 0);
	reader = (struct reader){&out, io, ENTRIES, 0};
	sender_init(&sender, &out.ring[0], channel, TIMEOUT);
	out.reader = flow_add(&flow, "reader", reader_step, &reader);
	out.ring[0].sender = flow_add(&flow, "sender", sender_step, &sender);
}

/* The next frame that the source wrote. */
static enum wire_type sent_frame(const uint8_t **ret_body, size_t *ret_len)
{
	enum wire_type type;

	ck_assert_uint_ge(n_bytes - at, WIRE_HDR_SIZE);
	ck_assert_int_eq(wire_unpack_header(bytes + at, &type, ret_len), 0);
	*ret_body = bytes + at + WIRE_HDR_SIZE;
	at += WIRE_HDR_SIZE + *ret_len;
	ck_assert_uint_le(at, n_bytes);
	return type;
}

/* What was read of a pass is sent, its end is not; then GENERATION, and pass 1 of the new table. */
START_TEST(a_pass_is_cut_off)
{
	struct wire_generation g;
	struct wire_chunk c;
	const uint8_t *body, *payload;
	size_t len, payload_len;
	uint64_t reads;

	source_setup(8 + 16 * 20);
	sendrings_begin(&out, WIRE_STREAM_HTAB, 5);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_MORE);
	sendrings_part(&out);
	reads = m.reads;
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
	ck_assert(out.parted && !out.reading && reader.cursor == 0);
	ck_assert_int_eq(drive(out.reader), FLOW_WAIT);
	ck_assert_uint_eq(m.reads, reads);
	reader.io = NULL; /* nothing touches it any more */
	sendrings_generation(&out, 2, 19);
	ck_assert_int_eq(drive(out.ring[0].sender), FLOW_WAIT);
	ck_assert(out.begun && !out.done);
	ck_assert_int_eq(sent_frame(&body, &len), WIRE_CHUNK);
	ck_assert_int_eq(wire_unpack_chunk(body, len, &c, &payload, &payload_len), 0);
	ck_assert(c.generation == 1 && c.pass == 5 && c.seq == 1);
	ck_assert_int_eq(sent_frame(&body, &len), WIRE_GENERATION);
	ck_assert_int_eq(wire_unpack_generation(body, len, &g), 0);
	ck_assert(g.generation == 2 && g.order == 19 && g.seq == 1);
	ck_assert_uint_eq(at, n_bytes);
	reader.io = io;
	sendrings_begin(&out, WIRE_STREAM_HTAB, 1);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_MORE);
	ck_assert_int_eq(drive(out.ring[0].sender), FLOW_WAIT);
	ck_assert_int_eq(sent_frame(&body, &len), WIRE_CHUNK);
	ck_assert_int_eq(wire_unpack_chunk(body, len, &c, &payload, &payload_len), 0);
	ck_assert(c.generation == 2 && c.pass == 1 && c.seq == 2);
	sendrings_fini(&out);
}
END_TEST

/* A reader that waits for room parts as well, and an end of pass that was not sent is dropped. */
START_TEST(it_parts_with_a_full_ring_and_a_slow_channel)
{
	const uint8_t *body;
	size_t len;

	source_setup(WIRE_PLAIN_MAX);
	blocked = true;
	sendrings_begin(&out, WIRE_STREAM_HTAB, 1);
	ck_assert_int_eq(drive(out.reader), FLOW_WAIT);
	ck_assert(out.ring[0].ending);
	ck_assert_int_eq(drive(out.ring[0].sender), FLOW_WAIT);
	out.ring[0].ring.size = 1;
	sendrings_part(&out);
	ck_assert_int_eq(drive(out.reader), FLOW_WAIT);
	ck_assert(out.parted);
	sendrings_generation(&out, 2, 18);
	blocked = false;
	ck_assert_int_eq(drive(out.ring[0].sender), FLOW_WAIT);
	ck_assert(out.begun && !out.done);
	ck_assert_int_eq(sent_frame(&body, &len), WIRE_CHUNK);
	ck_assert_int_eq(sent_frame(&body, &len), WIRE_GENERATION);
	ck_assert_uint_eq(at, n_bytes);
	out.ring[0].ring.size = RING;
	sendrings_fini(&out);
}
END_TEST

/* -- the destination -------------------------------------------------------------------------- */

static struct recvrings in;
static struct receiver receiver;
static struct writer writer;

static void dest_setup(bool generations)
{
	struct inflow_config config = {.generation = 1, .generations = generations, .ring = RING};

	ck_assert_int_eq(recvrings_init(&in, &flow, &config), 0);
	receiver_init(&receiver, &in.ring[0], channel, TIMEOUT);
	writer_init(&writer, &in, io, ENTRIES, TIMEOUT);
	in.ring[0].receiver = flow_add(&flow, "receiver", receiver_step, &receiver);
	in.writer = flow_add(&flow, "writer", writer_step, &writer);
}

/* A chunk of one entry at that index. */
static void put_chunk(
	enum wire_stream stream, uint32_t generation, uint32_t pass, uint64_t seq, uint32_t index)
{
	struct wire_chunk c = {
		stream, WIRE_CODEC_NONE, generation, pass, HTAB_HDR_SIZE + HTAB_HPTE_SIZE, seq};
	uint8_t *p = bytes + n_bytes;

	ck_assert_int_eq(wire_pack_chunk(&c, c.plain, p, CHUNK_ROOM), CHUNK_ROOM);
	p += CHUNK_ROOM;
	htab_put_header(p, HTAB_WIRE, index, 1, 0);
	be64_put(p + HTAB_HDR_SIZE, HPTE_V_VALID);
	be64_put(p + HTAB_HDR_SIZE + 8, 0x1000 + generation);
	n_bytes += CHUNK_ROOM + c.plain;
}

static void put_pass_end(enum wire_stream stream, uint32_t generation, uint32_t pass, uint64_t seq)
{
	struct wire_pass_end e = {stream, generation, pass, seq};

	n_bytes += (size_t)wire_pack_pass_end(&e, bytes + n_bytes, sizeof(bytes) - n_bytes);
}

static void put_generation(uint32_t generation, uint32_t order, uint64_t seq)
{
	struct wire_generation g = {generation, order, seq};

	n_bytes += (size_t)wire_pack_generation(&g, bytes + n_bytes, sizeof(bytes) - n_bytes);
}

static void skips(void)
{
	put_generation(3, 18, 0);
}

static void goes_back(void)
{
	put_generation(2, 18, 0);
	put_generation(2, 18, 0);
}

static void lies(void)
{
	put_chunk(WIRE_STREAM_HTAB, 1, 1, 1, 0);
	put_generation(2, 18, 2);
}

static void too_long(void)
{
	put_generation(2, 18, 0);
	be32_put(bytes, 17);
}

static void no_order(void)
{
	put_generation(2, 18, 0);
	be32_put(bytes + WIRE_HDR_SIZE + 4, 17);
}

static void after_verify(void)
{
	put_pass_end(WIRE_STREAM_VERIFY, 1, 2, 0);
	put_generation(2, 18, 0);
}

static void chunk_of_the_old(void)
{
	put_generation(2, 18, 0);
	put_chunk(WIRE_STREAM_HTAB, 1, 1, 1, 0);
}

static void chunk_of_the_next(void)
{
	put_chunk(WIRE_STREAM_HTAB, 2, 1, 1, 0);
}

static void pass_end_of_the_old(void)
{
	put_chunk(WIRE_STREAM_HTAB, 1, 1, 1, 0);
	put_generation(2, 18, 1);
	put_pass_end(WIRE_STREAM_HTAB, 1, 1, 1);
}

static void old_peer(void)
{
	put_generation(2, 18, 0);
}

START_TEST(receiver_refuses)
{
	static const struct {
		void (*make)(void);
		const char *why;
		bool not_agreed;
	} cases[] = {
		{skips, "generation 3 of its table after generation 1"},
		{goes_back, "generation 2 of its table after generation 2"},
		{lies, "chunk 2 was the last"},
		{too_long, "GENERATION frame of 17 bytes"},
		{no_order, "malformed GENERATION"},
		{after_verify, "after the one that it had compared"},
		{chunk_of_the_old, "generation 1 of its table, but 2"},
		{chunk_of_the_next, "generation 2 of its table, but 1"},
		{pass_end_of_the_old, "generation 1 of its table, but 2"},
		{old_peer, "GENERATION on data channel 0", true},
	};

	dest_setup(!cases[_i].not_agreed);
	cases[_i].make();
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_END);
	ck_assert(flow.failed);
	ck_assert_msg(strstr(flow.err.text, cases[_i].why) != NULL, "\"%s\"", flow.err.text);
	recvrings_fini(&in);
}
END_TEST

/* What came before is written to the old table, what comes after waits for the new one. */
START_TEST(writer_waits_for_the_new_table)
{
	struct marker marker[RING_MARKERS];
	struct model next;
	uint64_t seq[WIRE_CHANNELS_MAX];

	model_init(&next, 2 * ENTRIES);
	dest_setup(true);
	put_chunk(WIRE_STREAM_HTAB, 1, 1, 1, 3);
	put_generation(2, 19, 1);
	put_chunk(WIRE_STREAM_HTAB, 2, 1, 2, 2 * ENTRIES - 1); /* not in the old one */
	put_pass_end(WIRE_STREAM_HTAB, 2, 1, 2);
	ck_assert_int_eq(drive(in.ring[0].receiver), FLOW_WAIT);
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	ck_assert_uint_eq(in.ring[0].received, 2);
	ck_assert_uint_eq(in.ring[0].written, 1);
	ck_assert_uint_eq(m.hpte[3][1], 0x1001);
	ck_assert_uint_eq(in.barrier.generation, 2);
	ck_assert_uint_eq(in.barrier.order, 19);
	writer.io = NULL; /* it is not in use */
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	writer.io = model_open(&next);
	writer.entries = next.entries;
	in.generation = 2;
	ck_assert_int_eq(drive(in.writer), FLOW_WAIT);
	ck_assert_uint_eq(in.ring[0].written, 2);
	ck_assert_uint_eq(next.hpte[2 * ENTRIES - 1][1], 0x1002);
	ck_assert_uint_eq(recvrings_report(&in, seq, marker), 2);
	ck_assert(marker[0].pass == 0 && marker[1].pass == 1 && marker[1].generation == 2);
	ck_assert_uint_eq(in.stats.generation, 2);
	ck_assert_uint_eq(in.stats.pass_valid, 1);
	ck_assert_uint_eq(in.stats.valid, 2);
	ck_assert(!flow.failed);
	htabio_free(writer.io);
	model_fini(&next);
	recvrings_fini(&in);
}
END_TEST

/* END may come before the generation that it speaks of. */
START_TEST(end_waits_for_its_generation)
{
	struct wire_end end = {.generation = 2, .passes = 1, .channels = 1, .valid = 1};
	struct err err;

	dest_setup(true);
	end.channel[0].seq = 1;
	put_chunk(WIRE_STREAM_HTAB, 1, 1, 1, 3);
	put_pass_end(WIRE_STREAM_HTAB, 1, 1, 1);
	drive(in.ring[0].receiver);
	drive(in.writer);
	end.channel[0].digest = in.ring[0].digest;
	ck_assert_int_eq(recvrings_check_end(&in, &end, &err), 0); /* all but the generation */
	put_generation(2, 18, 1);
	put_pass_end(WIRE_STREAM_HTAB, 2, 1, 1);
	drive(in.ring[0].receiver);
	drive(in.writer);
	ck_assert_int_eq(recvrings_check_end(&in, &end, &err), 0);
	in.generation = 2;
	drive(in.writer);
	ck_assert_int_eq(recvrings_check_end(&in, &end, &err), 1);
	end.generation = 1; /* the table is not that one any more */
	ck_assert_int_eq(recvrings_check_end(&in, &end, &err), -EBADMSG);
	recvrings_fini(&in);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-generation");
	TCase *tc = tcase_create("steps");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_pass_is_cut_off);
	tcase_add_test(tc, it_parts_with_a_full_ring_and_a_slow_channel);
	tcase_add_loop_test(tc, receiver_refuses, 0, 10);
	tcase_add_test(tc, writer_waits_for_the_new_table);
	tcase_add_test(tc, end_waits_for_its_generation);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
