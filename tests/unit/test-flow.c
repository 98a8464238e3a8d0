/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An outflow and an inflow with their threads, over a pair of sockets, on one event loop. */
#include <check.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "daemon/flow/flow.h"
#include "daemon/flow/inflow.h"
#include "daemon/flow/outflow.h"
#include "daemon/flow/reader.h"
#include "tests/unit/flow-model.h"
#include "tests/unit/net-harness.h"

#define ORDER      18u
#define RING       4u
#define TIMEOUT_S  60 /* only a failing test waits for it */
#define EVENTS_MAX 4096u

struct fixture {
	struct event_base *base;
	struct model from, to;
	uint64_t random;
	struct outflow *out;
	struct inflow *in;
	struct wire_end end;
	/* what happened */
	char events[EVENTS_MAX]; /* a letter each, in order */
	size_t n_events;
	uint64_t written; /* chunks, of all channels */
	uint64_t seq[WIRE_CHANNELS_MAX];
	struct err out_err, in_err;
	/* how this test goes */
	bool tls;
	unsigned channels;
	enum wire_codec codec;
	bool keep_acks; /* acknowledge nothing */
	bool parting;
	uint32_t generation;
	uint32_t passes;
	bool verify;
	uint64_t stir; /* entries changed between two passes */
	void (*lie)(struct wire_end *end);
	void (*lie_lap)(struct wire_last_lap *lap);
	struct wire_last_lap lap;
	const char *until;      /* the loop ends when all of these letters were seen */
	uint64_t until_written; /* or this chunk was written, if not 0 */
	bool timed_out;
};

static struct fixture f;

static void note(char c)
{
	ck_assert_uint_lt(f.n_events, EVENTS_MAX - 1);
	f.events[f.n_events++] = c;
	if (!f.until)
		return;
	for (const char *u = f.until; *u; u++)
		if (!strchr(f.events, *u))
			return;
	event_base_loopbreak(f.base);
}

/* Another one in its place, while nobody reads it. */
static void change_table(struct model *m)
{
	uint64_t entries = htab_entries(f.generation % 2 ? ORDER + 1 : ORDER);

	model_fini(m);
	model_init(m, entries);
	model_stir(m, &f.random, 9000);
	f.parting = false;
}

/* -- the source: 'p' a pass, 'a' parted, 'g' generation begun, 'F' failed, 'S' stopped -- */

static void out_pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	note('p');
	if (f.parting) /* of a table that is gone */
		return;
	if (pass < f.passes) {
		model_stir(&f.from, &f.random, f.stir);
		outflow_pass(f.out, WIRE_STREAM_HTAB, pass + 1);
	} else if (stream == WIRE_STREAM_HTAB && f.verify) {
		inflow_set_verify(f.in, model_open(&f.to));
		outflow_set_htab(f.out, model_open(&f.from));
		f.from.asked[0] = 0;
		outflow_pass(f.out, WIRE_STREAM_VERIFY, pass + 1);
	} else {
		outflow_get_end(f.out, &f.end);
		outflow_get_lap(f.out, &f.lap);
		f.end.passes = f.lap.pass;
		if (f.lie)
			f.lie(&f.end);
		if (f.lie_lap)
			f.lie_lap(&f.lap);
		inflow_expect_lap(f.in, &f.lap);
		inflow_finish(f.in, &f.end);
	}
}

static void out_parted(void *arg)
{
	note('a');
	change_table(&f.from);
	f.generation++;
	outflow_generation(f.out, f.generation, f.generation % 2 ? ORDER : ORDER + 1);
}

static void out_generation(void *arg)
{
	note('g');
	outflow_set_htab(f.out, model_open(&f.from));
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
}

static void out_failed(void *arg, const struct err *err)
{
	f.out_err = *err;
	note('F');
}

static void out_stopped(void *arg)
{
	note('S');
}

static const struct outflow_ops out_ops = {
	.pass_done = out_pass_done,
	.parted = out_parted,
	.generation = out_generation,
	.failed = out_failed,
	.stopped = out_stopped,
};

/* -- the destination: 'P', 'G', 'e' ended, 'f', 'd' finished, 's' -- */

static void in_written(void *arg, uint32_t channel, uint64_t seq)
{
	ck_assert_uint_gt(seq, f.seq[channel]);
	f.written += seq - f.seq[channel];
	f.seq[channel] = seq;
	if (!f.keep_acks)
		ck_assert_int_eq(outflow_ack(f.out, channel, seq), 0);
	if (f.until_written && f.written >= f.until_written)
		event_base_loopbreak(f.base);
}

static void in_pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	note('P');
}

static void in_generation(void *arg, uint32_t generation, unsigned order)
{
	note('G');
	ck_assert_uint_eq(order, generation % 2 ? ORDER : ORDER + 1);
	model_fini(&f.to);
	model_init(&f.to, htab_entries(order));
	inflow_set_generation(f.in, generation, order, model_open(&f.to));
}

static void in_ended(void *arg)
{
	ck_assert_ptr_null(strchr(f.events, 'e'));
	note('e');
}

static void in_failed(void *arg, const struct err *err)
{
	f.in_err = *err;
	note('f');
}

static void in_finished(void *arg)
{
	note('d');
}

static void in_stopped(void *arg)
{
	note('s');
}

static const struct inflow_ops in_ops = {
	.written = in_written,
	.pass_done = in_pass_done,
	.generation = in_generation,
	.ended = in_ended,
	.failed = in_failed,
	.finished = in_finished,
	.stopped = in_stopped,
};

/* -- fixture -- */

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	f.timed_out = true;
	event_base_loopbreak(f.base);
}

static void loop(const char *until)
{
	struct timeval tv = {.tv_sec = TIMEOUT_S};
	struct event *timer = event_new(f.base, -1, 0, on_timeout, NULL);

	f.until = until;
	event_add(timer, &tv);
	event_base_dispatch(f.base);
	event_free(timer);
	ck_assert_msg(!f.timed_out, "waited for %s, saw %s; source: %s; destination: %s", until,
		f.events, f.out_err.text, f.in_err.text);
}

static void setup(void)
{
	memset(&f, 0, sizeof(f));
	f.base = event_base_new();
	f.random = 4711;
	f.passes = 3;
	f.channels = 1;
	f.generation = 1;
	f.stir = 500;
	model_init(&f.from, htab_entries(ORDER));
	model_init(&f.to, htab_entries(ORDER));
	model_stir(&f.from, &f.random, 9000);
}

static void start(size_t chunk, int timeout_ms)
{
	struct outflow_config out = {
		.base = f.base,
		.order = ORDER,
		.generation = 1,
		.codec = f.codec,
		.channels = f.channels,
		.ring = RING,
		.chunk = chunk,
		.timeout_ms = timeout_ms,
		.ops = &out_ops,
	};
	struct inflow_config in = {
		.base = f.base,
		.order = ORDER,
		.generation = 1,
		.codec = f.codec,
		.generations = true,
		.channels = f.channels,
		.ring = RING,
		.timeout_ms = timeout_ms,
		.ops = &in_ops,
	};
	struct tls_creds *creds = f.tls ? make_creds("creds", NULL) : NULL;
	struct stream *a[WIRE_CHANNELS_MAX], *b[WIRE_CHANNELS_MAX];
	struct err err;

	for (unsigned k = 0; k < f.channels; k++) {
		struct outcome source = {0}, dest = {0};

		connect_pair(f.base, creds, creds, "localhost", &source, &dest);
		ck_assert(source.stream && dest.stream);
		a[k] = source.stream;
		b[k] = dest.stream;
	}
	ck_assert_int_eq(outflow_new(&out, model_open(&f.from), a, &f.out, &err), 0);
	ck_assert_int_eq(inflow_new(&in, model_open(&f.to), b, &f.in, &err), 0);
	tls_creds_unref(creds);
}

/* Stop what is not over. All threads are gone afterwards. */
static void stop(void)
{
	bool finished = strchr(f.events, 'd');

	outflow_stop(f.out);
	if (!finished)
		inflow_stop(f.in);
	ck_assert_ptr_null(strchr(f.events, 'S')); /* never from inside the call */
	loop(finished ? "S" : "Ss");
	f.out = outflow_free(f.out);
	f.in = inflow_free(f.in);
}

static void teardown(void)
{
	if (f.out)
		stop();
	model_fini(&f.from);
	model_fini(&f.to);
	event_base_free(f.base);
	flow_hook = NULL;
	scratch_remove();
}

/* -- tests -- */

START_TEST(tables_are_equal_after_passes_of_changes)
{
	static const size_t chunks[] = {HTAB_READ_MIN, 100, 4096, 128u << 10, WIRE_PLAIN_MAX};
	struct outflow_stats o;
	struct inflow_stats i;

	f.tls = _i / 5 % 2;
	f.channels = (unsigned[]){1, 2, WIRE_CHANNELS_MAX}[_i / 10];
	start(chunks[_i % 5], 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("d");
	ck_assert_uint_eq(model_compare(&f.from, &f.to), 0);
	outflow_get_stats(f.out, &o);
	inflow_get_stats(f.in, &i);
	ck_assert_uint_eq(o.valid, i.valid);
	ck_assert_uint_eq(o.invalid, i.invalid);
	ck_assert_uint_eq(o.plain, i.plain);
	ck_assert_uint_eq(o.wire, i.wire);
	ck_assert_uint_eq(o.chunks, f.written);
	ck_assert_uint_ge(o.valid + o.invalid, f.from.entries);
	ck_assert_uint_gt(o.pass_ns, 0);
	ck_assert_uint_eq(i.pass, 3);
	stop();
	ck_assert_str_eq(strchr(f.events, 'd') + 1, "S");
}
END_TEST

START_TEST(verify_compares_every_entry)
{
	struct inflow_stats i;

	f.verify = true;
	f.channels = 1 + 2 * (unsigned)_i;
	start(30000, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("d");
	inflow_get_stats(f.in, &i);
	ck_assert_uint_eq(i.verified, f.to.entries);
	ck_assert_uint_eq(i.mismatches, 0);
	ck_assert_uint_eq(i.pass, 3); /* figures count the HTAB stream alone */
}
END_TEST

/* What everybody waits for at the end is the last read: those of changes are small. */
START_TEST(changes_are_read_in_small_steps)
{
	f.verify = _i == 1; /* a whole table again, by another fd, and asked[0] begins anew */
	start(_i == 2 ? 1000 : WIRE_PLAIN_MAX, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("d");
	ck_assert_uint_eq(f.from.asked[0], _i == 2 ? 1000 : WIRE_PLAIN_MAX);
	ck_assert_uint_eq(f.from.asked[1], _i == 2 ? 1000 : READER_CHANGES);
}
END_TEST

START_TEST(a_stalled_destination_stops_the_reader)
{
	struct outflow_stats o;

	f.keep_acks = true;
	f.until_written = RING;
	start(1000, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("F");
	outflow_get_stats(f.out, &o);
	ck_assert_uint_eq(o.chunks, RING);
	/* one acknowledgement, one chunk more: so it is with a ring of 4 or less */
	f.until_written = RING + 1;
	ck_assert_int_eq(outflow_ack(f.out, 0, 1), 0);
	loop("F");
	outflow_get_stats(f.out, &o);
	ck_assert_uint_eq(o.chunks, RING + 1);
	ck_assert_uint_eq(f.from.reads, RING + 1);
	/* what was never sent, on no such channel */
	ck_assert_int_eq(outflow_ack(f.out, 0, RING + 2), -EBADMSG);
	ck_assert_int_eq(outflow_ack(f.out, 1, 1), -EBADMSG);
}
END_TEST

/* Be the ring full in the middle of a pass, or the whole pass in it. */
START_TEST(silence_of_the_destination_ends_it)
{
	f.keep_acks = true;
	f.parting = true; /* nothing follows a pass */
	start(_i ? WIRE_PLAIN_MAX : 1000, 50);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop(_i ? "pF" : "F");
	ck_assert_int_eq(f.out_err.code, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(f.out_err.text, "acknowledged nothing"));
}
END_TEST

START_TEST(a_refused_entry_is_named)
{
	f.to.bad_index = 12345;
	f.to.bad_code = -EIO;
	model_set(&f.from, 12345, 0x5011, 0x3190);
	start(4096, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("f");
	ck_assert_int_eq(f.in_err.code, -EIO);
	ck_assert_str_eq(f.in_err.text,
		"the destination's VMM refused HPTE index 12345 (v=0x0000000000005051 "
		"r=0x0000000000003190): Input/output error: is the guest's memory registered, with "
		"pages of the same size?");
	ck_assert_uint_eq(f.to.hpte[12345][0], 0);
}
END_TEST

START_TEST(a_failing_read_is_told)
{
	f.from.read_code = -EIO;
	start(4096, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("F");
	ck_assert_int_eq(f.out_err.code, -EIO);
	ck_assert_ptr_nonnull(strstr(f.out_err.text, "Input/output error"));
}
END_TEST

START_TEST(a_closed_channel_is_seen_by_both_ends)
{
	f.keep_acks = true;
	f.until_written = RING;
	start(1000, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("F");
	/* the reader waits for room, the sender has nothing to send */
	inflow_stop(f.in);
	loop("sF");
	ck_assert_int_eq(f.out_err.code, -ECONNRESET);
	outflow_stop(f.out);
	loop("S");
	f.in = inflow_free(f.in);
	f.out = outflow_free(f.out);
}
END_TEST

START_TEST(an_early_end_of_the_channel_is_no_end)
{
	f.keep_acks = true;
	f.until_written = RING;
	start(1000, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("f");
	outflow_stop(f.out);
	loop("Se");
	ck_assert_ptr_null(strchr(f.events, 'f')); /* not by itself */
	f.end = (struct wire_end){
		.generation = 1, .passes = 1, .channels = 1, .channel[0].seq = RING + 1};
	inflow_finish(f.in, &f.end);
	loop("f");
	ck_assert_int_eq(f.in_err.code, -ECONNRESET);
	inflow_stop(f.in);
	loop("s");
	f.in = inflow_free(f.in);
	f.out = outflow_free(f.out);
}
END_TEST

static void lie_valid(struct wire_end *e)
{
	e->valid++;
}

static void lie_digest(struct wire_end *e)
{
	e->channel[0].digest ^= 1;
}

static void lie_generation(struct wire_end *e)
{
	e->generation--;
}

static void lie_channels(struct wire_end *e)
{
	e->channels++;
}

static void lie_earlier(struct wire_end *e)
{
	e->channel[0].seq--;
}

/* protocol.md 10.1: "Anything that differs ends the session with ABORT." */
START_TEST(what_end_says_must_hold)
{
	static const struct {
		void (*lie)(struct wire_end *end);
		const char *why;
	} lies[] = {
		{lie_valid, "valid"},
		{lie_digest, "digest"},
		{lie_generation, "generation"},
		{lie_channels, "channels"},
		{lie_earlier, "was the last"},
	};

	f.passes = 1;
	f.lie = lies[_i].lie;
	start(4096, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("f");
	ck_assert_ptr_nonnull(strstr(f.in_err.text, lies[_i].why));
}
END_TEST

static void lie_first(struct wire_last_lap *l)
{
	l->first_invalid--;
}

static void lie_last(struct wire_last_lap *l)
{
	l->valid++;
}

static void lie_pass(struct wire_last_lap *l)
{
	l->pass++;
}

START_TEST(what_is_said_of_the_last_lap_must_hold)
{
	static const struct {
		void (*lie)(struct wire_last_lap *lap);
		const char *why;
	} lies[] = {
		{lie_first, "in pass 1, but"},
		{lie_last, "in its last pass, but"},
		{lie_pass, "pass 3 of generation 1 was the last"},
	};

	f.passes = 2;
	f.stir = 100;
	f.lie_lap = lies[_i].lie;
	start(4096, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("f");
	ck_assert_ptr_nonnull(strstr(f.in_err.text, lies[_i].why));
}
END_TEST

/* -- the source's table is another one -- */

static atomic_uint hooks;
static unsigned hook_at;
static struct notify *hook_notify;

static void on_hook(const char *point)
{
	if (atomic_fetch_add(&hooks, 1) + 1 == hook_at)
		notify_post(hook_notify);
}

static void on_hook_part(void *arg)
{
	if (strpbrk(f.events, "d") || f.end.channels)
		return; /* the passes are over: no guest runs */
	f.parting = true;
	outflow_part(f.out);
}

START_TEST(a_new_generation_begins_at_any_point)
{
	struct inflow_stats i;

	f.tls = _i % 4 == 3;
	f.codec = _i % 2 ? WIRE_CODEC_HPTE : WIRE_CODEC_NONE;
	f.channels = 1 + (unsigned)_i % 3;
	hook_at = (unsigned)_i * 3 + 1;
	atomic_store(&hooks, 0);
	ck_assert_int_eq(notify_new(f.base, on_hook_part, NULL, &hook_notify), 0);
	flow_hook = on_hook;
	start(20000, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("d");
	ck_assert_uint_eq(f.end.generation, f.generation);
	ck_assert_uint_eq(model_compare(&f.from, &f.to), 0);
	inflow_get_stats(f.in, &i);
	ck_assert_uint_eq(i.generation, f.generation);
	stop();
	hook_notify = notify_free(hook_notify);
}
END_TEST

/* -- stop at any point -- */

static void on_hook_loop(void *arg)
{
	note('h');
}

START_TEST(stop_at_any_point_joins_everything)
{
	f.tls = _i % 4 == 3;
	f.channels = 1 + (unsigned)_i % 3;
	hook_at = (unsigned)_i + 1;
	atomic_store(&hooks, 0);
	ck_assert_int_eq(notify_new(f.base, on_hook_loop, NULL, &hook_notify), 0);
	flow_hook = on_hook;
	f.verify = true;
	start(20000, 20000);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("h");
	stop();
	ck_assert_ptr_null(strchr(f.events, 'F'));
	hook_notify = notify_free(hook_notify);
}
END_TEST

static void on_sealed(const char *point)
{
	if (strcmp(point, "sender-take") == 0 && atomic_fetch_add(&hooks, 1) == 0)
		notify_post(hook_notify);
}

/* A chunk that is ready waits for an hour; then it does not. */
START_TEST(bandwidth_is_kept_and_changed_at_once)
{
	struct outflow_stats o;

	f.passes = 1;
	atomic_store(&hooks, 0);
	ck_assert_int_eq(notify_new(f.base, on_hook_loop, NULL, &hook_notify), 0);
	flow_hook = on_sealed;
	start(4096, 20000);
	outflow_set_bandwidth(f.out, 1);
	outflow_pass(f.out, WIRE_STREAM_HTAB, 1);
	loop("h");
	outflow_get_stats(f.out, &o);
	ck_assert_uint_eq(o.wire, 0);
	outflow_set_bandwidth(f.out, 0);
	loop("d");
	ck_assert_uint_eq(model_compare(&f.from, &f.to), 0);
	stop();
	hook_notify = notify_free(hook_notify);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow");
	TCase *tc = tcase_create("threads");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 2 * TIMEOUT_S);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, tables_are_equal_after_passes_of_changes, 0, 30);
	tcase_add_loop_test(tc, verify_compares_every_entry, 0, 2);
	tcase_add_loop_test(tc, changes_are_read_in_small_steps, 0, 3);
	tcase_add_test(tc, a_stalled_destination_stops_the_reader);
	tcase_add_loop_test(tc, silence_of_the_destination_ends_it, 0, 2);
	tcase_add_test(tc, a_refused_entry_is_named);
	tcase_add_test(tc, a_failing_read_is_told);
	tcase_add_test(tc, a_closed_channel_is_seen_by_both_ends);
	tcase_add_test(tc, an_early_end_of_the_channel_is_no_end);
	tcase_add_loop_test(tc, what_end_says_must_hold, 0, 5);
	tcase_add_loop_test(tc, what_is_said_of_the_last_lap_must_hold, 0, 3);
	tcase_add_loop_test(tc, a_new_generation_begins_at_any_point, 0, 60);
	tcase_add_loop_test(tc, stop_at_any_point_joins_everything, 0, 100);
	tcase_add_test(tc, bandwidth_is_kept_and_changed_at_once);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
