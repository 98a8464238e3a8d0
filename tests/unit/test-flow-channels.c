/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several channels by single steps: which one an entry goes by, and barriers over all of them. */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/flow/reader.h"
#include "daemon/flow/receiver.h"
#include "daemon/flow/writer.h"
#include "tests/unit/flow-model.h"

#define ENTRIES 3000u
#define N       3u
#define TIMEOUT 1000

static uint64_t test_clock(void)
{
	return 1;
}

static struct flow flow;
static struct model m;
static struct htabio *io;
static struct flow_wait wait;
static uint64_t seed;

static void setup(void)
{
	flow_init(&flow, test_clock);
	model_init(&m, ENTRIES);
	seed = 1;
	model_stir(&m, &seed, ENTRIES / 2);
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
static int owner[ENTRIES];      /* the channel that an entry goes by, -1: not known yet */
static unsigned named[ENTRIES]; /* how often, in this pass */
static uint64_t taken[N];       /* last chunk */

static void source_setup(uint32_t ring, size_t chunk)
{
	struct outflow_config config = {
		.order = HTAB_ORDER_MIN,
		.generation = 1,
		.channels = N,
		.ring = ring,
		.chunk = chunk,
	};

	ck_assert_int_eq(sendrings_init(&out, &flow, &config), 0);
	reader = (struct reader){&out, io, ENTRIES, 0};
	out.reader = flow_add(&flow, "reader", reader_step, &reader);
	for (unsigned k = 0; k < N; k++)
		out.ring[k].sender = flow_add(&flow, "sender", reader_step, &reader);
	memset(owner, -1, sizeof(owner));
	memset(taken, 0, sizeof(taken));
	memset(named, 0, sizeof(named));
}

static void look(unsigned channel, const struct chunk *c)
{
	struct htab_iter it;
	struct htab_rec rec;
	uint64_t end = 0, valid = 0, invalid = 0;
	int r;

	ck_assert_uint_eq(c->meta.seq, ++taken[channel]);
	ck_assert_uint_le(c->meta.plain, out.plain_max);
	ck_assert_uint_gt(c->meta.plain, 0);
	htab_iter_init(&it, c->plain, c->meta.plain, ENTRIES, HTAB_WIRE);
	while ((r = htab_iter_next(&it, &rec)) > 0) {
		ck_assert_uint_ge(rec.index, end); /* they ascend, as a pass does */
		end = (uint64_t)rec.index + rec.n_valid + rec.n_invalid;
		valid += rec.n_valid;
		invalid += rec.n_invalid;
		for (uint64_t i = rec.index; i < end; i++) {
			if (owner[i] < 0)
				owner[i] = (int)channel;
			ck_assert_int_eq(owner[i], (int)channel);
			named[i]++;
		}
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(c->count.valid, valid);
	ck_assert_uint_eq(c->count.invalid, invalid);
}

/* What is in a ring is sent and acknowledged. */
static void drain(unsigned channel)
{
	struct sendring *r = &out.ring[channel];

	while (r->acked < r->filled) {
		look(channel, ring_chunk(&r->ring, r->acked + 1));
		r->acked++;
		r->sealed = r->sending = r->sent = r->acked;
	}
}

static void drain_all(void)
{
	for (unsigned k = 0; k < N; k++)
		drain(k);
}

/* Rings are emptied one at a time, and only when the reader can do no more. */
static void read_pass(uint32_t pass)
{
	unsigned next = 0;

	memset(named, 0, sizeof(named));
	sendrings_begin(&out, WIRE_STREAM_HTAB, pass);
	while (out.reading)
		if (flow_step(&flow, out.reader, &wait) == FLOW_WAIT)
			drain(next++ % N);
	drain_all();
	for (unsigned k = 0; k < N; k++) {
		ck_assert(out.ring[k].ending);
		out.ring[k].ending = false; /* as its sender would */
	}
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
}

static void all_named_once(void)
{
	unsigned used[N] = {0};

	for (unsigned i = 0; i < ENTRIES; i++) {
		ck_assert_uint_eq(named[i], 1);
		used[owner[i]]++;
	}
	for (unsigned k = 0; k < N; k++)
		ck_assert_uint_gt(used[k], ENTRIES / N / 2);
}

START_TEST(an_entry_keeps_its_channel)
{
	static const size_t chunks[] = {HTAB_READ_MIN, 100, 1000, 20000, WIRE_PLAIN_MAX};
	bool changed[ENTRIES];

	source_setup(1 + (uint32_t)_i % 3, chunks[_i / 3]);
	read_pass(1);
	all_named_once();
	ck_assert_uint_eq(out.stats.pass_read, ENTRIES);
	for (uint32_t pass = 2; pass < 6; pass++) {
		model_stir(&m, &seed, 10u << (2 * pass));
		memcpy(changed, m.dirty, sizeof(changed));
		read_pass(pass);
		for (unsigned i = 0; i < ENTRIES; i++)
			ck_assert_uint_eq(named[i], changed[i]);
	}
	sendrings_fini(&out);
}
END_TEST

/* The order of the table: one channel, though there are more. */
START_TEST(verify_goes_by_the_first)
{
	source_setup(2, 1000);
	sendrings_begin(&out, WIRE_STREAM_VERIFY, 1);
	while (out.reading)
		if (flow_step(&flow, out.reader, &wait) == FLOW_WAIT)
			drain(0);
	drain_all();
	for (unsigned i = 0; i < ENTRIES; i++)
		ck_assert_int_eq(owner[i], 0);
	sendrings_fini(&out);
}
END_TEST

/* A table that goes away while what was read of it waits for room in some ring. */
START_TEST(parting_drops_what_waits)
{
	source_setup(1, 8000);
	sendrings_begin(&out, WIRE_STREAM_HTAB, 1);
	for (unsigned k = 0; !reader.dealing;
		k++) { /* there is room where it reads, and no other */
		ck_assert(out.reading);
		drain(k % N);
		flow_step(&flow, out.reader, &wait);
	}
	sendrings_part(&out);
	ck_assert_int_eq(flow_step(&flow, out.reader, &wait), FLOW_WAIT);
	ck_assert(out.parted && !out.reading && !reader.dealing);
	drain_all();
	memset(owner, -1, sizeof(owner)); /* another table, another deal */
	out.parted = false;
	sendrings_generation(&out, 2, HTAB_ORDER_MIN);
	for (unsigned k = 0; k < N; k++)
		out.ring[k].barrier = false; /* as its sender would */
	htabio_free(io);
	reader.io = io = model_open(&m);
	reader.changes = false;
	read_pass(1);
	all_named_once();
	sendrings_fini(&out);
}
END_TEST

/* -- the destination -------------------------------------------------------------------------- */

#define CHANNELS 2u

static struct recvrings in;
static struct receiver receiver[CHANNELS];
static struct writer writer;

struct bytes {
	uint8_t b[4096];
	size_t n, at;
};

static struct bytes bytes[CHANNELS];

static ssize_t bytes_read(void *ctx, void *buf, size_t len)
{
	struct bytes *b = ctx;
	size_t n = b->n - b->at < len ? b->n - b->at : len;

	if (n == 0)
		return -EAGAIN;
	memcpy(buf, b->b + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

static void bytes_want(void *ctx, struct flow_wait *w)
{
	w->fd = 0;
}

static const char *bytes_error(void *ctx)
{
	return "";
}

static void dest_setup(void)
{
	struct inflow_config config = {
		.order = HTAB_ORDER_MIN,
		.generation = 1,
		.generations = true,
		.channels = CHANNELS,
		.ring = 4,
		.recover = true,
	};

	memset(bytes, 0, sizeof(bytes));
	ck_assert_int_eq(recvrings_init(&in, &flow, &config), 0);
	for (unsigned k = 0; k < CHANNELS; k++) {
		receiver_init(&receiver[k], &in.ring[k],
			(struct flow_io){bytes_read, NULL, bytes_want, bytes_error, &bytes[k]},
			TIMEOUT);
		in.ring[k].receiver = flow_add(&flow, "receiver", receiver_step, &receiver[k]);
	}
	writer_init(&writer, &in, io, ENTRIES, TIMEOUT);
	in.writer = flow_add(&flow, "writer", writer_step, &writer);
}

/* A chunk that makes one entry empty. */
static void put_chunk(unsigned k, uint32_t generation, uint32_t pass, uint64_t seq, uint32_t index)
{
	struct wire_chunk c = {
		WIRE_STREAM_HTAB, WIRE_CODEC_NONE, generation, pass, HTAB_HDR_SIZE, seq};
	uint8_t *p = bytes[k].b + bytes[k].n;

	ck_assert_int_eq(wire_pack_chunk(&c, HTAB_HDR_SIZE, p, CHUNK_ROOM), CHUNK_ROOM);
	htab_put_header(p + CHUNK_ROOM, HTAB_WIRE, index, 0, 1);
	bytes[k].n += CHUNK_ROOM + HTAB_HDR_SIZE;
}

static void put_end(
	unsigned k, enum wire_stream stream, uint32_t generation, uint32_t pass, uint64_t seq)
{
	struct wire_pass_end e = {stream, generation, pass, seq};
	int n = wire_pack_pass_end(&e, bytes[k].b + bytes[k].n, 64);

	ck_assert_int_gt(n, 0);
	bytes[k].n += (size_t)n;
}

static void put_generation(unsigned k, uint32_t generation, uint32_t order, uint64_t seq)
{
	struct wire_generation g = {generation, order, seq};
	int n = wire_pack_generation(&g, bytes[k].b + bytes[k].n, 64);

	ck_assert_int_gt(n, 0);
	bytes[k].n += (size_t)n;
}

static enum flow_next drive(unsigned id)
{
	enum flow_next next;

	while ((next = flow_step(&flow, id, &wait)) == FLOW_MORE)
		;
	return next;
}

/* Everybody does what can be done; how many barriers were passed, the last is *ret. */
static unsigned drive_all(struct marker *ret)
{
	struct marker marker[RING_MARKERS];
	uint64_t seq[WIRE_CHANNELS_MAX];
	unsigned n;

	for (unsigned k = 0; k < CHANNELS; k++)
		drive(in.ring[k].receiver);
	drive(in.writer);
	n = recvrings_report(&in, seq, marker);
	if (n)
		*ret = marker[n - 1];
	return n;
}

START_TEST(a_pass_ends_when_every_channel_says_so)
{
	struct marker last;

	dest_setup();
	put_chunk(0, 1, 1, 1, 5);
	put_end(0, WIRE_STREAM_HTAB, 1, 1, 1);
	put_chunk(0, 1, 2, 2, 6);
	put_chunk(1, 1, 1, 1, 7);
	ck_assert_uint_eq(drive_all(&last), 0);
	ck_assert_uint_eq(in.ring[0].written, 1); /* what is behind the barrier waits */
	ck_assert_uint_eq(in.ring[0].received, 2);
	ck_assert_uint_eq(in.ring[1].written, 1);
	put_end(1, WIRE_STREAM_HTAB, 1, 1, 1);
	ck_assert_uint_eq(drive_all(&last), 1);
	ck_assert(last.pass == 1 && last.generation == 1);
	ck_assert_uint_eq(in.ring[0].written, 2);
	ck_assert(!flow.failed);
	recvrings_fini(&in);
}
END_TEST

/* The channels break with something behind a barrier: it is forgotten, and taken when it comes. */
START_TEST(what_cannot_be_written_comes_again)
{
	struct wire_resumed r = {0};
	struct marker last;
	size_t behind;

	dest_setup();
	put_chunk(0, 1, 1, 1, 5);
	behind = bytes[0].n;
	put_end(0, WIRE_STREAM_HTAB, 1, 1, 1);
	put_generation(0, 2, 19, 1); /* on one channel alone */
	put_chunk(1, 1, 1, 1, 7);
	ck_assert_uint_eq(drive_all(&last), 0);
	ck_assert(!recvrings_settled(&in, &r)); /* the channels are there */
	for (unsigned k = 0; k < CHANNELS; k++)
		link_cut(&in.ring[k].link, &flow, in.ring[k].receiver);
	drive_all(&last);
	ck_assert(recvrings_settled(&in, &r));
	ck_assert_uint_eq(r.channels, CHANNELS);
	for (unsigned k = 0; k < CHANNELS; k++) {
		ck_assert_uint_eq(r.channel[k].seq, 1);
		ck_assert_uint_eq(r.channel[k].generation, 1);
		ck_assert_uint_eq(r.channel[k].pass, 0);
		in.ring[k].link = (struct link){.recovers = true};
	}
	bytes[0].at = behind;
	put_end(1, WIRE_STREAM_HTAB, 1, 1, 1);
	ck_assert_uint_eq(drive_all(&last), 1);
	ck_assert_uint_eq(last.pass, 1);
	ck_assert_uint_eq(in.barrier.generation, 0); /* the other's GENERATION is missing yet */
	put_generation(1, 2, 19, 1);
	drive_all(&last);
	ck_assert_uint_eq(in.barrier.generation, 2);
	ck_assert_uint_eq(in.barrier.order, 19);
	ck_assert(!flow.failed);
	recvrings_fini(&in);
}
END_TEST

/* A pass that was cut off may have its end on some channels: it has not ended. */
START_TEST(a_pass_cut_off_has_no_end)
{
	struct marker last;

	dest_setup();
	put_end(0, WIRE_STREAM_HTAB, 1, 1, 0);
	put_generation(0, 2, 19, 0);
	put_generation(1, 2, 19, 0);
	ck_assert_uint_eq(drive_all(&last), 0);
	ck_assert_uint_eq(in.barrier.generation, 2);
	in.generation = 2; /* the loop brings its table */
	put_end(0, WIRE_STREAM_HTAB, 2, 1, 0);
	put_end(1, WIRE_STREAM_HTAB, 2, 1, 0);
	ck_assert_uint_eq(drive_all(&last), 2);
	ck_assert(last.generation == 2 && last.pass == 1);
	ck_assert(!flow.failed);
	recvrings_fini(&in);
}
END_TEST

static void other_pass(void)
{
	put_end(0, WIRE_STREAM_HTAB, 1, 1, 0);
	put_end(1, WIRE_STREAM_HTAB, 1, 2, 0);
}

static void other_stream(void)
{
	put_end(0, WIRE_STREAM_HTAB, 1, 1, 0);
	put_end(1, WIRE_STREAM_VERIFY, 1, 1, 0);
}

static void other_order(void)
{
	put_generation(0, 2, 19, 0);
	put_generation(1, 2, 20, 0);
}

START_TEST(channels_have_to_agree)
{
	static void (*const cases[])(void) = {other_pass, other_stream, other_order};
	struct marker last;

	dest_setup();
	cases[_i]();
	drive_all(&last);
	in.generation = in.barrier.generation ? in.barrier.generation : 1;
	drive_all(&last);
	ck_assert(flow.failed);
	ck_assert_msg(strstr(flow.err.text, "do not agree"), "%s", flow.err.text);
	recvrings_fini(&in);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-channels");
	TCase *tc = tcase_create("steps");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, an_entry_keeps_its_channel, 0, 15);
	tcase_add_test(tc, verify_goes_by_the_first);
	tcase_add_test(tc, parting_drops_what_waits);
	tcase_add_test(tc, a_pass_ends_when_every_channel_says_so);
	tcase_add_test(tc, what_cannot_be_written_comes_again);
	tcase_add_test(tc, a_pass_cut_off_has_no_end);
	tcase_add_loop_test(tc, channels_have_to_agree, 0, 3);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
