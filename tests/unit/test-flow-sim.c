/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reader, senders, receivers and writer in one thread, in random order, over a model of two tables
 * and one to four channels that take and give as little as they like. An actor that waits is
 * stepped again only when it was woken or what it waits for is there: a wake-up forgotten is a
 * simulation stuck. In half of the runs channels also break, up to 30 times and at any byte, and
 * all of them are replaced.
 *
 * FLOW_SIM_SEED=N runs one seed, FLOW_SIM_RUNS=N that many.
 */
#include <check.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include "daemon/flow/reader.h"
#include "daemon/flow/receiver.h"
#include "daemon/flow/sender.h"
#include "daemon/flow/writer.h"
#include "tests/unit/flow-channel.h"
#include "tests/unit/flow-model.h"

#define RUNS            400u
#define STEPS_MAX       4000000u
#define TIMEOUT         1000 /* ms of simulated time */
#define BREAKS          30u
#define GENERATIONS_MAX 4u
#define CHANNELS_MAX    4u
#define ACTORS_MAX      (1 + CHANNELS_MAX)

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
	struct chan *chan[ACTORS_MAX]; /* that an actor waits for */
	bool asleep[ACTORS_MAX], woken[ACTORS_MAX], ended[ACTORS_MAX];
	struct flow_wait wait[ACTORS_MAX];
};

struct sim {
	uint64_t seed, random;
	struct end source, dest;
	unsigned channels;
	struct sendrings from_rings;
	struct recvrings to_rings;
	struct reader reader;
	struct sender sender[CHANNELS_MAX];
	struct receiver receiver[CHANNELS_MAX];
	struct writer writer;
	struct model from, to;
	struct htabio *read_io, *write_io, *verify_read_io;
	struct chan chan[CHANNELS_MAX];
	uint64_t ack[CHANNELS_MAX]; /* acknowledgements under way, and what they say */
	size_t capacity;            /* of each channel */
	bool stalled;               /* all of them */
	unsigned breaks; /* that are still to come; all channels are replaced after each */
	bool broken;
	unsigned recoveries;
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
	bool told; /* the destination's loop: that there is something to look at */
	bool finished;
};

static struct sim *current;
static uint64_t now;
static unsigned generations[GENERATIONS_MAX + 1]; /* runs that ended well in that one */
static unsigned forgotten;                        /* chunks that had come, and had to come again */
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

static void on_notified(struct flow *f)
{
	if (f == &current->dest.flow)
		current->told = true;
}

static void strike(struct sim *s)
{
	struct chan *c = &s->chan[rnd(s, s->channels)];

	switch (s->fault) {
	case FAULT_RESET: c->reset = true; break;
	case FAULT_CUT: c->cut = true; break;
	case FAULT_STALL: s->stalled = true; break;
	case FAULT_FLIP: chan_flip(c); break;
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

static void cut_source(struct sim *s, unsigned k)
{
	link_cut(&s->from_rings.ring[k].link, &s->source.flow, s->from_rings.ring[k].sender);
}

static void cut_dest(struct sim *s, unsigned k)
{
	link_cut(&s->to_rings.ring[k].link, &s->dest.flow, s->to_rings.ring[k].receiver);
}

/* What is in one channel is lost, or arrives first; or either end lets go of it. */
static void break_channel(struct sim *s)
{
	unsigned k = (unsigned)rnd(s, s->channels);

	s->breaks--;
	s->broken = true;
	switch (rnd(s, 4)) {
	case 0: s->chan[k].reset = true; break;
	case 1: s->chan[k].cut = true; break;
	case 2: cut_source(s, k); break;
	default: cut_dest(s, k); break;
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

static void setup_end(struct end *e, struct sim *s)
{
	flow_init(&e->flow, sim_clock);
	e->flow.wake = on_wake;
	e->flow.notified = on_notified;
	e->sim = s;
	for (unsigned i = 0; i < ACTORS_MAX; i++)
		e->wait[i] = (struct flow_wait){.fd = -1, .until = FLOW_FOREVER};
}

/* The actors of both ends, in the order of outflow.c and inflow.c. */
static void setup_actors(struct sim *s)
{
	s->reader = (struct reader){&s->from_rings, s->read_io, s->from.entries, 0};
	s->from_rings.reader = flow_add(&s->source.flow, "reader", reader_step, &s->reader);
	for (unsigned k = 0; k < s->channels; k++) {
		struct chan *c = &s->chan[k];
		struct sendring *from = &s->from_rings.ring[k];
		struct recvring *to = &s->to_rings.ring[k];

		c->random = &s->random;
		c->capacity = &s->capacity;
		c->stalled = &s->stalled;
		sender_init(&s->sender[k], from,
			(struct flow_io){NULL, chan_write, chan_want_write, chan_error, c},
			TIMEOUT);
		receiver_init(&s->receiver[k], to,
			(struct flow_io){chan_read, NULL, chan_want_read, chan_error, c}, TIMEOUT);
		from->sender = flow_add(&s->source.flow, "sender", sender_step, &s->sender[k]);
		to->receiver = flow_add(&s->dest.flow, "receiver", receiver_step, &s->receiver[k]);
		s->source.chan[from->sender] = s->dest.chan[to->receiver] = c;
	}
	writer_init(&s->writer, &s->to_rings, s->write_io, s->to.entries, TIMEOUT);
	s->to_rings.writer = flow_add(&s->dest.flow, "writer", writer_step, &s->writer);
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
	s->capacity = 1 + rnd(s, rnd(s, 2) ? CHAN_SIZE : 100);
	s->passes = 1 + (uint32_t)rnd(s, 5);
	s->breaks = rnd(s, 2) ? 1 + (unsigned)rnd(s, BREAKS) : 0;
	s->fault = rnd(s, 2) ? FAULT_NONE : (enum fault)rnd(s, FAULT_KINDS);
	if (s->breaks && (s->fault <= FAULT_STALL || s->fault == FAULT_NO_ACK))
		s->fault = FAULT_NONE; /* what is broken is mended */
	out.recover = in.recover = s->breaks > 0;
	s->fault_at = 1 + rnd(s, 400);
	s->channels = out.channels = in.channels = rnd(s, 3) ? 1 + (unsigned)rnd(s, CHANNELS_MAX)
							     : 1;
	out.ring = in.ring = 1 + (uint32_t)rnd(s, rnd(s, 2) ? 4 : 40);
	out.order = in.order = HTAB_ORDER_MIN;
	out.codec = in.codec = rnd(s, 4) ? WIRE_CODEC_NONE : WIRE_CODEC_HPTE;
	out.chunk = HTAB_READ_MIN + rnd(s, rnd(s, 2) ? 200 : 8000);
	out.max_bandwidth = rnd(s, 4) ? 0 : 1000 + rnd(s, 10000000);
	setup_end(&s->source, s);
	setup_end(&s->dest, s);
	ck_assert_int_eq(sendrings_init(&s->from_rings, &s->source.flow, &out), 0);
	ck_assert_int_eq(recvrings_init(&s->to_rings, &s->dest.flow, &in), 0);
	s->read_io = model_open(&s->from);
	s->write_io = model_open(&s->to);
	setup_actors(s);
	flow_hook = on_hook;
}

static void teardown(struct sim *s)
{
	flow_hook = NULL;
	sendrings_fini(&s->from_rings);
	recvrings_fini(&s->to_rings);
	flow_fini(&s->source.flow);
	flow_fini(&s->dest.flow);
	verify_free(s->writer.verify);
	htabio_free(s->verify_read_io);
	htabio_free(s->read_io);
	htabio_free(s->write_io);
	model_fini(&s->from);
	model_fini(&s->to);
}

/* Memory is bounded by the rings, at either end. (Each ck_assert() costs a write(2).) */
static void check_rings(const struct sim *s)
{
	for (unsigned k = 0; k < s->channels; k++) {
		const struct sendring *from = &s->from_rings.ring[k];
		const struct recvring *to = &s->to_rings.ring[k];

		if (from->filled - from->acked > from->ring.size ||
			to->received - to->reported > to->ring.size)
			ck_abort_msg("more chunks than the ring holds");
	}
}

/* Step actor id of e, when a thread would. */
static bool step(struct sim *s, struct end *e, unsigned id)
{
	struct flow_wait *wait = &e->wait[id];

	if (e->ended[id])
		return false;
	if (e->asleep[id]) {
		wait->revents = e->chan[id] ? chan_poll(e->chan[id], wait) : 0;
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
	check_rings(s);
	return true;
}

static void begin_verify(struct sim *s)
{
	struct verify *v;

	ck_assert_int_eq(verify_new(model_open(&s->to), s->to.entries, &v), 0);
	s->writer.verify = v;
	flow_wake(&s->dest.flow, s->to_rings.writer);
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
	sendrings_generation(&s->from_rings, s->generation, HTAB_ORDER_MIN + s->generation % 3);
	s->change = BARRIER;
}

/* A reset of the guest's table, from its announcement to the fd of the new one. */
static bool control_change(struct sim *s)
{
	if (s->source.flow.stop || s->pass == 0)
		return false;
	if (s->change == STAYS && !s->paused && s->generation < GENERATIONS_MAX &&
		rnd(s, 200) == 0) {
		sendrings_part(&s->from_rings);
		s->change = PARTING;
	} else if (s->change == PARTING && s->from_rings.parted) {
		s->from_rings.parted = false;
		change_table(s);
	} else if (s->change == BARRIER && s->from_rings.begun) {
		s->from_rings.begun = s->from_rings.done = false;
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
	uint32_t generation = s->to_rings.barrier.generation;

	if (generation <= s->dest_generation || s->dest.flow.stop)
		return false;
	s->dest_generation = generation;
	htabio_free(s->write_io);
	model_fini(&s->to);
	model_init(&s->to, s->entries[generation]);
	s->writer.io = s->write_io = model_open(&s->to);
	s->writer.entries = s->to.entries;
	s->to_rings.generation = generation;
	flow_wake(&s->dest.flow, s->to_rings.writer);
	return true;
}

/* The source's event loop. */
static bool control_source(struct sim *s)
{
	if (control_change(s))
		return true;
	if (s->change != STAYS)
		return false;
	if (s->from_rings.done) {
		s->from_rings.done = false;
		s->in_pass = false;
		return true;
	}
	if (s->in_pass || s->end_known || s->broken || s->source.flow.stop)
		return false;
	if (s->pass < s->passes + s->verifying) {
		s->pass++;
		s->paused = s->pass >= s->passes;
		s->in_pass = true;
		sendrings_begin(&s->from_rings,
			s->verifying ? WIRE_STREAM_VERIFY : WIRE_STREAM_HTAB, s->pass);
	} else if (!s->verifying && s->dest_generation == s->generation && rnd(s, 2)) {
		begin_verify(s);
	} else {
		sendrings_get_end(&s->from_rings, &s->end);
		s->end_known = true;
	}
	return true;
}

static bool believed(struct sim *s, struct wire_resumed lie, unsigned k, int64_t seq,
	int32_t generation, int32_t pass)
{
	struct wire_resumed_channel *c = &lie.channel[k];

	c->seq += (uint64_t)seq;
	c->generation += (uint32_t)generation;
	c->pass += (uint32_t)pass;
	return sendrings_resume(&s->from_rings, &lie) == 0;
}

/* The destination says what cannot be: nothing changes. */
static void lie(struct sim *s, const struct wire_resumed *truth)
{
	static struct sendrings before;
	unsigned k = (unsigned)rnd(s, s->channels);
	struct sendring *r = &s->from_rings.ring[k];
	const struct wire_resumed_channel *c = &truth->channel[k];
	struct wire_resumed fewer = *truth;
	int64_t sent = (int64_t)(r->sent - c->seq), acked = (int64_t)(r->acked - c->seq);
	int32_t told = (int32_t)(r->told - c->generation), ended = (int32_t)(r->ended - c->pass);

	before = s->from_rings;
	fewer.channels--;
	if (believed(s, *truth, k, sent + 1, 0, 0) || believed(s, *truth, k, INT64_MAX, 0, 0) ||
		believed(s, *truth, k, 0, told + 1, 0) ||
		believed(s, *truth, k, 0, told, ended + 1) ||
		(r->acked && believed(s, *truth, k, acked - 1, 0, 0)) ||
		sendrings_resume(&s->from_rings, &fewer) == 0 ||
		memcmp(&before, &s->from_rings, sizeof(before)))
		ck_abort_msg("a destination's lie was believed");
}

static uint64_t received(const struct sim *s)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < s->channels; k++)
		n += s->to_rings.ring[k].received;
	return n;
}

static void replace_channel(struct sim *s, unsigned k)
{
	struct sendring *from = &s->from_rings.ring[k];
	struct recvring *to = &s->to_rings.ring[k];
	bool lost, down;
	struct err err;

	chan_renew(&s->chan[k]);
	s->ack[k] = 0; /* acknowledgements under way are lost as well */
	to->eof = false;
	link_report(&from->link, &s->source.flow, &lost, &err, &down);
	link_report(&to->link, &s->dest.flow, &lost, &err, &down);
	from->ack_time = now;
	link_up(&from->link);
	link_up(&to->link);
	flow_wake(&s->source.flow, from->sender);
	flow_wake(&s->dest.flow, to->receiver);
}

/* Is every channel of both ends down? One that is not, and is not being let go, is let go. */
static bool all_down(struct sim *s, bool *did)
{
	bool down = true;

	for (unsigned k = 0; k < s->channels && !*did; k++) {
		const struct link *from = &s->from_rings.ring[k].link;
		const struct link *to = &s->to_rings.ring[k].link;

		down &= from->down && to->down;
		if (!from->down && !from->cut)
			cut_source(s, k);
		else if (!to->down && !to->cut)
			cut_dest(s, k);
		else
			continue;
		*did = true;
	}
	return down && !*did;
}

/*
 * Both loops, and RESUME and RESUMED: an end that has not noticed lets go of its channels; when all
 * that came is written, as far as it can be, others take their places.
 */
static bool control_links(struct sim *s)
{
	struct wire_resumed resumed = {0};
	uint64_t before = received(s);
	bool did = false;

	if (!s->from_rings.ring[0].link.recovers || s->source.flow.stop || s->dest.flow.stop)
		return false;
	for (unsigned k = 0; k < s->channels; k++)
		s->broken |= s->from_rings.ring[k].link.down || s->to_rings.ring[k].link.down;
	if (!s->broken || rnd(s, 4))
		return false;
	if (!all_down(s, &did))
		return did;
	if (!recvrings_settled(&s->to_rings, &resumed))
		return false;
	forgotten += (unsigned)(before - received(s));
	lie(s, &resumed);
	if (sendrings_resume(&s->from_rings, &resumed) < 0)
		ck_abort_msg("what the destination has is not what was sent");
	for (unsigned k = 0; k < s->channels; k++)
		replace_channel(s, k);
	s->broken = false;
	s->recoveries++;
	return true;
}

/* The destination's event loop, and the control connection. */
static bool control_dest(struct sim *s)
{
	struct marker marker[RING_MARKERS];
	struct err err;
	uint64_t seq[WIRE_CHANNELS_MAX] = {0};
	bool did = s->told;
	unsigned n = 0;
	int r;

	s->told = false;
	if (did) {
		n = recvrings_report(&s->to_rings, seq, marker);
		control_generation(s);
	}
	for (unsigned i = 0; i < n; i++) {
		if (marker[i].pass == 0)
			s->dest_passes = 0;
		else if (marker[i].pass != ++s->dest_passes && s->fault != FAULT_FLIP)
			ck_abort_msg("a pass's end is missing");
	}
	for (unsigned k = 0; k < s->channels; k++) {
		did |= seq[k] != 0;
		if (seq[k])
			s->ack[k] = seq[k];
		if (s->ack[k] && s->fault != FAULT_NO_ACK && !s->broken && rnd(s, 2)) {
			if (sendrings_ack(&s->from_rings, k, s->ack[k]) < 0)
				ck_abort_msg("an acknowledgement was refused");
			s->ack[k] = 0;
			did = true;
		}
	}
	if (s->end_known && !s->finished && !s->dest.flow.stop) {
		r = recvrings_check_end(&s->to_rings, &s->end, &err);
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

	for (unsigned i = 0; i < 1 + s->channels; i++) {
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

static bool acks_under_way(const struct sim *s)
{
	bool any = false;

	for (unsigned k = 0; k < s->channels; k++)
		any |= s->ack[k] != 0;
	return any && s->fault != FAULT_NO_ACK;
}

/* Who it is: the actors of the source, those of the destination, and three loops. */
static bool turn(struct sim *s, unsigned who)
{
	unsigned actors = 1 + s->channels;

	if (who < actors)
		return step(s, &s->source, who);
	if (who < 2 * actors)
		return step(s, &s->dest, who - actors);
	switch (who - 2 * actors) {
	case 0: return control_source(s);
	case 1: return control_dest(s);
	default: return control_links(s);
	}
}

static void run(struct sim *s)
{
	unsigned all = 2 * (1 + s->channels) + 3;

	for (unsigned steps = 0; !over(s); steps++) {
		unsigned first = (unsigned)rnd(s, all);
		bool did = false;

		if (steps == STEPS_MAX)
			ck_abort_msg("no end");
		for (unsigned i = 0; i < all && !did; i++)
			did = turn(s, (first + i) % all);
		if (!did && (acks_under_way(s) || s->broken))
			continue;
		if (!did && !over(s) && s->stalled && s->end_known && next_time(s) == FLOW_FOREVER)
			flow_fail(&s->source.flow, -ETIMEDOUT, "END was not answered: the loop's");
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
		ck_assert_uint_eq(s->to_rings.stats.mismatches, 0);
		if (s->verifying)
			ck_assert_uint_eq(s->to_rings.stats.verified, s->to.entries);
		ck_assert_uint_eq(s->to_rings.stats.plain >= s->from_rings.stats.plain, 1);
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
		for (unsigned id = 0; id < 1 + s->channels; id++) {
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
		ck_assert_uint_gt(forgotten, 0);
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
