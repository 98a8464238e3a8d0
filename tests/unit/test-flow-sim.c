/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reader, sender, receiver and writer in one thread, in random order, over a model of two tables
 * and a channel that takes and gives as little as it likes. An actor that waits is stepped again
 * only when it was woken or what it waits for is there: a wake-up forgotten is a simulation stuck.
 * In half of the runs the channel also breaks, up to 30 times and at any byte, and is replaced.
 *
 * FLOW_SIM_SEED=N runs one seed, FLOW_SIM_RUNS=N that many.
 */
#include <check.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include "daemon/reader.h"
#include "daemon/receiver.h"
#include "daemon/sender.h"
#include "daemon/writer.h"
#include "tests/unit/flow-model.h"

#define RUNS            400u
#define STEPS_MAX       4000000u
#define CHANNEL         (64u << 10)
#define TIMEOUT         1000 /* ms of simulated time */
#define BREAKS          30u
#define GENERATIONS_MAX 4u

enum fault {
	FAULT_NONE,
	FAULT_RESET,  /* the channel, both ways */
	FAULT_CUT,    /* the channel ends, orderly as far as anyone can see */
	FAULT_STALL,  /* the channel stops to move */
	FAULT_EIO,    /* the destination refuses an entry */
	FAULT_FLIP,   /* a bit of the channel changes */
	FAULT_READ,   /* the source's table cannot be read */
	FAULT_NO_ACK, /* acknowledgements get lost for ever */
	FAULT_STOP,   /* somebody stops one end */
	FAULT_KINDS,
};

struct sim;

struct end {
	struct flow flow;
	struct sim *sim;
	unsigned id[2];
	bool asleep[2], woken[2], ended[2];
	struct flow_wait wait[2];
};

struct sim {
	uint64_t seed, random;
	struct end source, dest;
	struct sendring sendring;
	struct recvring recvring;
	struct reader reader;
	struct sender sender;
	struct receiver receiver;
	struct writer writer;
	struct model from, to;
	struct htabio *read_io, *write_io, *verify_read_io;
	/* the channel */
	uint8_t bytes[CHANNEL];
	size_t head, tail, capacity; /* counters */
	bool reset, cut, stalled;
	unsigned breaks; /* that are still to come; the channel is replaced after each */
	bool broken;
	unsigned recoveries;
	/* acknowledgements under way, and what they say */
	uint64_t ack;
	/* the control side */
	uint32_t pass, passes;
	bool in_pass, paused, verifying, end_sent, end_known;
	struct wire_end end;
	unsigned dest_passes;
	/* the source's table is replaced: its step, and each generation's entries */
	enum { STAYS, PARTING, BARRIER } change;
	uint32_t generation, dest_generation;
	uint64_t entries[GENERATIONS_MAX + 1];
	enum fault fault;
	uint64_t fault_at; /* hook number */
	uint64_t hooks;
	bool finished;
};

static struct sim *current;
static uint64_t now;
static unsigned generations[GENERATIONS_MAX + 1]; /* runs that ended well in that one */
static uint64_t *running; /* the seed, for whoever outlives the test's process */

static uint64_t sim_clock(void)
{
	return now;
}

static uint64_t rnd(struct sim *s, uint64_t n)
{
	return model_random(&s->random) % n;
}

static void on_wake(struct flow *f, unsigned id)
{
	struct end *e = f == &current->source.flow ? &current->source : &current->dest;

	e->asleep[id] = false;
	e->woken[id] = true; /* by a hook inside its own step, too */
}

static void strike(struct sim *s)
{
	switch (s->fault) {
	case FAULT_RESET: s->reset = true; break;
	case FAULT_CUT: s->cut = true; break;
	case FAULT_STALL: s->stalled = true; break;
	case FAULT_FLIP:
		if (s->head != s->tail)
			s->bytes[(s->tail + rnd(s, s->head - s->tail)) % CHANNEL] ^= (uint8_t)(1u
				<< rnd(s, 8));
		break;
	case FAULT_READ: s->from.read_code = -EIO; break;
	case FAULT_EIO:
		s->to.bad_index = rnd(s, s->to.entries);
		s->to.bad_code = -EIO;
		break;
	case FAULT_STOP: flow_halt(rnd(s, 2) ? &s->source.flow : &s->dest.flow); break;
	case FAULT_NO_ACK:
	case FAULT_NONE:
	case FAULT_KINDS: break;
	}
}

/* What is in the channel is lost, or arrives first; or either end lets go of it. */
static void break_channel(struct sim *s)
{
	s->breaks--;
	s->broken = true;
	switch (rnd(s, 4)) {
	case 0: s->reset = true; break;
	case 1: s->cut = true; break;
	case 2: link_cut(&s->sendring.link, &s->source.flow, s->sendring.sender); break;
	default: link_cut(&s->recvring.link, &s->dest.flow, s->recvring.receiver); break;
	}
}

/* Every named point of every step; the fault strikes at one of them. */
static void on_hook(const char *point)
{
	struct sim *s = current;

	if (s->breaks && !s->broken && !s->end_known && rnd(s, 100) == 0)
		break_channel(s);
	if (++s->hooks == s->fault_at)
		strike(s);
	if (!s->paused && rnd(s, 8) == 0)
		model_stir(&s->from, &s->random, rnd(s, 8));
}

/* n bytes at the channel's position `at`, around its end. */
static void put_bytes(struct sim *s, size_t at, const uint8_t *in, size_t n)
{
	size_t off = at % CHANNEL, first = n < CHANNEL - off ? n : CHANNEL - off;

	memcpy(s->bytes + off, in, first);
	memcpy(s->bytes, in + first, n - first);
}

static void get_bytes(const struct sim *s, size_t at, uint8_t *out, size_t n)
{
	size_t off = at % CHANNEL, first = n < CHANNEL - off ? n : CHANNEL - off;

	memcpy(out, s->bytes + off, first);
	memcpy(out + first, s->bytes, n - first);
}

static ssize_t channel_write(void *ctx, const void *buf, size_t len)
{
	struct sim *s = ctx;
	size_t room = s->capacity - (s->head - s->tail), n = 1 + rnd(s, len);

	if (s->reset || s->cut)
		return -ECONNRESET;
	if (s->stalled || room == 0 || rnd(s, 16) == 0)
		return -EAGAIN;
	n = n < room ? n : room;
	put_bytes(s, s->head, buf, n);
	s->head += n;
	return (ssize_t)n;
}

static ssize_t channel_read(void *ctx, void *buf, size_t len)
{
	struct sim *s = ctx;
	size_t there = s->head - s->tail, n = 1 + rnd(s, len);

	if (s->reset)
		return -ECONNRESET;
	if (there == 0 && s->cut)
		return 0;
	if (s->stalled || there == 0 || rnd(s, 16) == 0)
		return -EAGAIN;
	n = n < there ? n : there;
	get_bytes(s, s->tail, buf, n);
	s->tail += n;
	return (ssize_t)n;
}

static void source_want(void *ctx, struct flow_wait *wait)
{
	wait->fd = 0;
	wait->events = POLLOUT;
}

static void dest_want(void *ctx, struct flow_wait *wait)
{
	wait->fd = 0;
	wait->events = POLLIN;
}

static const char *channel_error(void *ctx)
{
	return "Connection reset by peer";
}

/* What poll() would say. */
static short poll_channel(const struct sim *s, const struct flow_wait *wait)
{
	short r = 0;

	if (wait->fd < 0)
		return 0;
	if (s->reset || s->cut)
		return wait->events | POLLHUP;
	if (s->stalled)
		return 0;
	if (wait->events & POLLOUT && s->head - s->tail < s->capacity)
		r |= POLLOUT;
	if (wait->events & POLLIN && s->head != s->tail)
		r |= POLLIN;
	return r;
}

static void setup_end(struct end *e, struct sim *s)
{
	flow_init(&e->flow, sim_clock);
	e->flow.wake = on_wake;
	e->sim = s;
	e->wait[0] = e->wait[1] = (struct flow_wait){.fd = -1, .until = FLOW_FOREVER};
}

static void setup(struct sim *s, uint64_t seed)
{
	struct outflow_config out = {.generation = 1};
	struct inflow_config in = {.generation = 1, .generations = true};

	memset(s, 0, sizeof(*s));
	s->seed = s->random = seed;
	current = s;
	now = 1;
	model_init(&s->from, 1 + rnd(s, 3000));
	model_init(&s->to, s->from.entries);
	s->generation = s->dest_generation = 1;
	s->entries[1] = s->from.entries;
	model_stir(&s->from, &s->random, rnd(s, 2 * s->from.entries));
	s->capacity = 1 + rnd(s, rnd(s, 2) ? CHANNEL : 100);
	s->passes = 1 + (uint32_t)rnd(s, 5);
	s->breaks = rnd(s, 2) ? 1 + (unsigned)rnd(s, BREAKS) : 0;
	s->fault = rnd(s, 2) ? FAULT_NONE : (enum fault)rnd(s, FAULT_KINDS);
	if (s->breaks && (s->fault <= FAULT_STALL || s->fault == FAULT_NO_ACK))
		s->fault = FAULT_NONE; /* what is broken is mended */
	out.recover = in.recover = s->breaks > 0;
	s->fault_at = 1 + rnd(s, 400);
	out.ring = in.ring = 1 + (uint32_t)rnd(s, rnd(s, 2) ? 4 : 40);
	out.order = in.order = HTAB_ORDER_MIN;
	out.codec = in.codec = rnd(s, 4) ? WIRE_CODEC_NONE : WIRE_CODEC_HPTE;
	out.chunk = HTAB_READ_MIN + rnd(s, rnd(s, 2) ? 200 : 8000);
	out.max_bandwidth = rnd(s, 4) ? 0 : 1000 + rnd(s, 10000000);
	setup_end(&s->source, s);
	setup_end(&s->dest, s);
	ck_assert_int_eq(sendring_init(&s->sendring, &s->source.flow, &out), 0);
	ck_assert_int_eq(recvring_init(&s->recvring, &s->dest.flow, &in), 0);
	s->read_io = model_open(&s->from);
	s->write_io = model_open(&s->to);
	s->reader = (struct reader){&s->sendring, s->read_io, s->from.entries, 0};
	sender_init(&s->sender, &s->sendring,
		(struct flow_io){NULL, channel_write, source_want, channel_error, s}, TIMEOUT);
	receiver_init(&s->receiver, &s->recvring,
		(struct flow_io){channel_read, NULL, dest_want, channel_error, s}, TIMEOUT);
	writer_init(&s->writer, &s->recvring, s->write_io, s->to.entries, TIMEOUT);
	s->sendring.reader = flow_add(&s->source.flow, "reader", reader_step, &s->reader);
	s->sendring.sender = flow_add(&s->source.flow, "sender", sender_step, &s->sender);
	s->recvring.receiver = flow_add(&s->dest.flow, "receiver", receiver_step, &s->receiver);
	s->recvring.writer = flow_add(&s->dest.flow, "writer", writer_step, &s->writer);
	flow_hook = on_hook;
}

static void teardown(struct sim *s)
{
	flow_hook = NULL;
	sendring_fini(&s->sendring);
	recvring_fini(&s->recvring);
	flow_fini(&s->source.flow);
	flow_fini(&s->dest.flow);
	verify_free(s->writer.verify);
	htabio_free(s->verify_read_io);
	htabio_free(s->read_io);
	htabio_free(s->write_io);
	model_fini(&s->from);
	model_fini(&s->to);
}

/* Step actor id of e, when a thread would. */
static bool step(struct sim *s, struct end *e, unsigned id)
{
	struct flow_wait *wait = &e->wait[id];

	if (e->ended[id])
		return false;
	if (e->asleep[id]) {
		wait->revents = poll_channel(s, wait);
		if (!wait->revents && now < wait->until)
			return false;
	} else {
		wait->revents = 0;
	}
	e->asleep[id] = e->woken[id] = false;
	switch (flow_step(&e->flow, id, wait)) {
	case FLOW_MORE: break;
	case FLOW_WAIT: e->asleep[id] = !e->woken[id]; break;
	case FLOW_END: e->ended[id] = true; break;
	}
	/* Memory is bounded by the ring, at either end. (Each ck_assert() costs a write(2).) */
	if (s->sendring.filled - s->sendring.acked > s->sendring.ring.size ||
		s->recvring.received - s->recvring.reported > s->recvring.ring.size)
		ck_abort_msg("more chunks than the ring holds");
	return true;
}

static void begin_verify(struct sim *s)
{
	struct verify *v;

	ck_assert_int_eq(verify_new(model_open(&s->to), s->to.entries, &v), 0);
	s->writer.verify = v;
	flow_wake(&s->dest.flow, s->recvring.writer);
	s->verify_read_io = model_open(&s->from);
	s->reader.io = s->verify_read_io;
	s->verifying = true;
}

/* No descriptor of the old table is in use: another one is in its place. */
static void change_table(struct sim *s)
{
	htabio_free(s->read_io);
	s->read_io = NULL;
	model_fini(&s->from);
	model_init(&s->from, 1 + rnd(s, 3000));
	model_stir(&s->from, &s->random, rnd(s, 2 * s->from.entries));
	s->entries[++s->generation] = s->from.entries;
	sendring_generation(&s->sendring, s->generation, HTAB_ORDER_MIN + s->generation % 3);
	s->change = BARRIER;
}

/* A reset of the guest's table, from its announcement to the fd of the new one. */
static bool control_change(struct sim *s)
{
	if (s->source.flow.stop || s->pass == 0)
		return false;
	if (s->change == STAYS && !s->paused && s->generation < GENERATIONS_MAX &&
		rnd(s, 200) == 0) {
		sendring_part(&s->sendring);
		s->change = PARTING;
	} else if (s->change == PARTING && s->sendring.parted) {
		s->sendring.parted = false;
		change_table(s);
	} else if (s->change == BARRIER && s->sendring.begun) {
		s->sendring.begun = s->sendring.done = false;
		s->reader.io = s->read_io = model_open(&s->from);
		s->reader.entries = s->from.entries;
		s->in_pass = false;
		s->pass = 0;
		s->change = STAYS;
	} else {
		return false;
	}
	return true;
}

/* The destination is where a generation begins: its table is another one as well. */
static bool control_generation(struct sim *s)
{
	uint32_t generation = s->recvring.barrier.generation;

	if (generation <= s->dest_generation || s->dest.flow.stop)
		return false;
	s->dest_generation = generation;
	htabio_free(s->write_io);
	model_fini(&s->to);
	model_init(&s->to, s->entries[generation]);
	s->writer.io = s->write_io = model_open(&s->to);
	s->writer.entries = s->to.entries;
	s->recvring.generation = generation;
	flow_wake(&s->dest.flow, s->recvring.writer);
	return true;
}

/* The source's event loop. */
static bool control_source(struct sim *s)
{
	if (control_change(s))
		return true;
	if (s->change != STAYS)
		return false;
	if (s->sendring.done) {
		s->sendring.done = false;
		s->in_pass = false;
		return true;
	}
	if (s->in_pass || s->end_known || s->broken || s->source.flow.stop)
		return false;
	if (s->pass < s->passes + s->verifying) {
		s->pass++;
		s->paused = s->pass >= s->passes;
		s->in_pass = true;
		sendring_begin(&s->sendring, s->verifying ? WIRE_STREAM_VERIFY : WIRE_STREAM_HTAB,
			s->pass);
	} else if (!s->verifying && s->dest_generation == s->generation && rnd(s, 2)) {
		begin_verify(s);
	} else {
		s->end.channels = 1;
		sendring_get_end(&s->sendring, &s->end);
		s->end_known = true;
	}
	return true;
}

/* The destination says what cannot be: nothing changes. */
static void lie(struct sim *s, uint64_t seq, uint32_t generation, uint32_t pass)
{
	struct sendring *r = &s->sendring, before = *r;

	if (sendring_resume(r, r->sent + 1, generation, pass) == 0 ||
		sendring_resume(r, UINT64_MAX, generation, pass) == 0 ||
		sendring_resume(r, seq, r->told + 1, pass) == 0 ||
		sendring_resume(r, seq, r->told, r->ended + 1) == 0 ||
		(r->acked && sendring_resume(r, r->acked - 1, generation, pass) == 0) ||
		memcmp(&before, r, sizeof(before)))
		ck_abort_msg("a destination's lie was believed");
}

/*
 * Both loops, and RESUME and RESUMED: an end that has not noticed lets go of the channel; when all
 * that came is written, another one takes its place.
 */
static bool control_links(struct sim *s)
{
	struct link *from = &s->sendring.link, *to = &s->recvring.link;
	bool lost, down;
	struct err err;
	uint64_t seq;
	uint32_t generation, pass;

	if (!from->recovers || s->source.flow.stop || s->dest.flow.stop)
		return false;
	s->broken |= from->down || to->down;
	if (!s->broken || rnd(s, 4))
		return false;
	if (!from->down && !from->cut) {
		link_cut(from, &s->source.flow, s->sendring.sender);
		return true;
	}
	if (!to->down && !to->cut) {
		link_cut(to, &s->dest.flow, s->recvring.receiver);
		return true;
	}
	if (!from->down || !recvring_settled(&s->recvring, &seq, &generation, &pass))
		return false;
	lie(s, seq, generation, pass);
	if (sendring_resume(&s->sendring, seq, generation, pass) < 0)
		ck_abort_msg("what the destination has is not what was sent");
	s->head = s->tail = 0;
	s->ack = 0; /* acknowledgements under way are lost as well */
	s->reset = s->cut = s->broken = s->recvring.eof = false;
	link_report(from, &s->source.flow, &lost, &err, &down);
	link_report(to, &s->dest.flow, &lost, &err, &down);
	s->sendring.ack_time = now;
	link_up(from);
	link_up(to);
	flow_wake(&s->source.flow, s->sendring.sender);
	flow_wake(&s->dest.flow, s->recvring.receiver);
	s->recoveries++;
	return true;
}

/* The destination's event loop, and the control connection. */
static bool control_dest(struct sim *s)
{
	struct marker marker[RING_MARKERS];
	struct err err;
	uint64_t seq;
	unsigned n = recvring_report(&s->recvring, &seq, marker);
	bool did = seq || n;
	int r;

	did |= control_generation(s);
	for (unsigned i = 0; i < n; i++) {
		if (marker[i].pass == 0)
			s->dest_passes = 0;
		else if (marker[i].pass != ++s->dest_passes && s->fault != FAULT_FLIP)
			ck_abort_msg("a pass's end is missing");
	}
	if (seq)
		s->ack = seq;
	if (s->ack && s->fault != FAULT_NO_ACK && !s->broken && rnd(s, 2)) {
		if (sendring_ack(&s->sendring, s->ack) < 0)
			ck_abort_msg("an acknowledgement was refused");
		s->ack = 0;
		did = true;
	}
	if (s->end_known && !s->finished && !s->dest.flow.stop) {
		r = recvring_check_end(&s->recvring, &s->end, &err);
		if (r < 0)
			flow_fail(&s->dest.flow, r, "%s", err.text);
		s->finished = r > 0;
		did |= r != 0;
	}
	return did;
}

/* The earliest time that anybody waits for. */
static uint64_t next_time(const struct sim *s)
{
	uint64_t t = FLOW_FOREVER;

	for (unsigned i = 0; i < 2; i++) {
		if (!s->source.ended[i] && s->source.wait[i].until < t)
			t = s->source.wait[i].until;
		if (!s->dest.ended[i] && s->dest.wait[i].until < t)
			t = s->dest.wait[i].until;
	}
	return t;
}

static bool over(const struct sim *s)
{
	return s->finished || s->source.flow.stop || s->dest.flow.stop;
}

static void run(struct sim *s)
{
	for (unsigned steps = 0; !over(s); steps++) {
		unsigned first = (unsigned)rnd(s, 7);
		bool did = false;

		if (steps == STEPS_MAX)
			ck_abort_msg("no end");
		for (unsigned i = 0; i < 7 && !did; i++) {
			switch ((first + i) % 7) {
			case 0: did = step(s, &s->source, 0); break;
			case 1: did = step(s, &s->source, 1); break;
			case 2: did = step(s, &s->dest, 0); break;
			case 3: did = step(s, &s->dest, 1); break;
			case 4: did = control_source(s); break;
			case 5: did = control_dest(s); break;
			case 6: did = control_links(s); break;
			default: break;
			}
		}
		if (!did && ((s->ack && s->fault != FAULT_NO_ACK) || s->broken))
			continue;
		if (!did && !over(s)) {
			if (next_time(s) == FLOW_FOREVER || next_time(s) <= now)
				ck_abort_msg("stuck: a wake-up was forgotten");
			now = next_time(s);
		}
	}
}

static void check_outcome(struct sim *s)
{
	const struct flow *bad = s->source.flow.failed ? &s->source.flow : &s->dest.flow;

	if (s->finished) {
		ck_assert_uint_eq(model_compare(&s->from, &s->to), 0);
		ck_assert_uint_eq(s->dest_passes, s->pass);
		ck_assert_uint_eq(s->dest_generation, s->generation);
		generations[s->generation]++;
		ck_assert_uint_eq(s->recvring.stats.mismatches, 0);
		if (s->verifying)
			ck_assert_uint_eq(s->recvring.stats.verified, s->to.entries);
		ck_assert_uint_eq(s->recvring.stats.plain >= s->sendring.stats.plain, 1);
		return;
	}
	ck_assert_msg(s->fault != FAULT_NONE, "failed without a reason: %s", bad->err.text);
	if (s->fault == FAULT_STOP && !s->source.flow.failed && !s->dest.flow.failed)
		return;
	ck_assert(bad->failed);
	ck_assert_int_lt(bad->err.code, 0);
	ck_assert_uint_gt(strlen(bad->err.text), 10);
	if (s->fault == FAULT_EIO) {
		char index[64];

		snprintf(index, sizeof(index), "index %" PRIu64 " (v=", s->to.bad_index);
		if (!strstr(bad->err.text, index)) /* a cleared entry has no v to show */
			ck_assert_msg(
				strstr(bad->err.text, "HPTE indexes") != NULL, "%s", bad->err.text);
	}
}

/* Whatever happened: all actors end at their next step. */
static void check_stop(struct sim *s)
{
	struct end *end[2] = {&s->source, &s->dest};

	for (unsigned e = 0; e < 2; e++) {
		flow_halt(&end[e]->flow);
		for (unsigned id = 0; id < 2; id++) {
			ck_assert(end[e]->ended[id] || !end[e]->asleep[id]);
			ck_assert_int_eq(flow_step(&end[e]->flow, id, &end[e]->wait[id]), FLOW_END);
		}
	}
}

static unsigned recoveries; /* in all runs */

static void run_seed(uint64_t seed, unsigned *outcomes)
{
	static struct sim s;

	setup(&s, seed);
	run(&s);
	check_outcome(&s);
	check_stop(&s);
	outcomes[s.finished ? FAULT_NONE : s.fault]++;
	recoveries += s.finished ? s.recoveries : 0;
	teardown(&s);
}

START_TEST(seeds_random_flows_end_equal_or_in_a_named_failure)
{
	const char *one = getenv("FLOW_SIM_SEED"), *many = getenv("FLOW_SIM_RUNS");
	uint64_t first = one ? strtoull(one, NULL, 0) : 1;
	uint64_t runs = one ? 1 : many ? strtoull(many, NULL, 0) : RUNS;
	unsigned outcomes[FAULT_KINDS] = {0};

	for (uint64_t seed = first; seed < first + runs; seed++) {
		*running = seed;
		run_seed(seed, outcomes);
	}
	if (!one && runs >= RUNS) {
		for (unsigned i = 0; i < FAULT_KINDS; i++)
			ck_assert_msg(outcomes[i] > 0, "no run ended by fault %u", i);
		ck_assert_uint_gt(recoveries, runs / 2);
		for (unsigned i = 1; i <= GENERATIONS_MAX; i++)
			ck_assert_msg(generations[i] > 0, "none ended in generation %u", i);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-sim");
	TCase *tc = tcase_create("seeds");
	SRunner *runner;
	int failed;

	running = mmap(
		NULL, sizeof(*running), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (running == MAP_FAILED)
		return EXIT_FAILURE;
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, seeds_random_flows_end_equal_or_in_a_named_failure);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (failed)
		fprintf(stderr, "again: FLOW_SIM_SEED=%" PRIu64 " test-flow-sim\n", *running);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
