/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a source says of its first and its last pass (LAST_LAP): a destination becomes READY only
 * when the last one was of all entries, after the pause, and both are what arrived.
 */
#include <string.h>
#include <sys/socket.h>

#include "tests/integration/claim.h"

#define ENTRIES  (1u << (18 - 4))
#define FEATURES (WIRE_FEATURE_RECOVER | WIRE_FEATURE_LAST_LAP)
#define BOTH     (WIRE_LAP_PAUSED | WIRE_LAP_WHOLE)

/* What one bad source says. */
struct row {
	struct wire_last_lap lap;
	uint32_t named;    /* entries that pass 1 names */
	const char *words; /* NULL: it is a good one */
};

static uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

/* A pass of so many chunks, each of one record of invalid entries from the first on. */
static void send_pass(
	struct claim *c, uint32_t pass, unsigned chunks, uint32_t invalid, struct wire_end *end)
{
	struct wire_pass_end over = {WIRE_STREAM_HTAB, 1, pass, 0};
	uint8_t record[HTAB_HDR_SIZE];

	htab_put_header(record, HTAB_WIRE, 0, 0, (uint16_t)invalid);
	for (unsigned i = 0; i < chunks; i++) {
		struct wire_chunk chunk = {
			.stream = WIRE_STREAM_HTAB,
			.generation = 1,
			.pass = pass,
			.plain = HTAB_HDR_SIZE,
			.seq = ++end->channel[0].seq,
		};

		wire_pack_chunk(&chunk, sizeof(record), buf, sizeof(buf));
		memcpy(buf + WIRE_HDR_SIZE + WIRE_CHUNK_HDR, record, sizeof(record));
		talk_send(&c->data, buf, WIRE_HDR_SIZE + WIRE_CHUNK_HDR + sizeof(record));
		end->channel[0].digest = stream_digest(
			end->channel[0].digest, record, sizeof(record));
		end->invalid += invalid;
	}
	over.seq = end->channel[0].seq;
	talk_send(&c->data, buf, wire_pack_pass_end(&over, buf, sizeof(buf)));
}

static void send_lap(struct claim *c, const struct wire_last_lap *lap)
{
	talk_send(&c->control, buf, wire_pack_last_lap(lap, buf, sizeof(buf)));
}

/* Up to END: pass 1 of `first` entries, pass 2 of so many chunks of `last`, and the state. */
static struct wire_end send_all(struct claim *c, uint32_t first, unsigned chunks, uint32_t last)
{
	static const uint8_t image[24] = {0, 1, 0, 0, 0, 0, 0, 8};
	struct wire_end end = {
		.session = c->session.session,
		.generation = 1,
		.passes = 2,
		.state_size = sizeof(image),
		.state_digest = stream_digest(STREAM_DIGEST_INIT, image, sizeof(image)),
		.channels = 1,
		.channel[0].digest = STREAM_DIGEST_INIT,
	};

	send_pass(c, 1, first > 0, first, &end);
	talk_send(&c->control, buf, wire_pack_empty(WIRE_SWITCHOVER, buf, sizeof(buf)));
	send_pass(c, 2, chunks, last, &end);
	wire_pack_header(buf, WIRE_STATE, sizeof(image));
	memcpy(buf + WIRE_HDR_SIZE, image, sizeof(image));
	talk_send(&c->control, buf, WIRE_HDR_SIZE + sizeof(image));
	return end;
}

static void send_end(struct claim *c, const struct wire_end *end)
{
	talk_send(&c->control, buf, wire_pack_end(end, buf, sizeof(buf)));
}

/* What was written is acknowledged meanwhile. */
static unsigned answer(struct claim *c)
{
	unsigned type;

	do
		type = talk_frame(&c->control);
	while (type == WIRE_ACK);
	return type;
}

static void fails(struct claim *c, const char *words)
{
	struct json_object *q;
	unsigned type = answer(c);

	h_check(c->h, type == WIRE_REFUSE || type == WIRE_ABORT, "%s instead of a refusal",
		wire_type_name(type));
	shutdown(c->control.fd, SHUT_WR); /* the daemon waits for that, for some seconds */
	talk_ends(&c->control);
	claim_ends(c, 1, "failed"); /* LOADING was answered unseen */
	q = host_query(c->b, CLAIM_VM);
	h_check_text(c->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
	claim_free(c);
}

/*
 * protocol.md 10.1: "The session ends with ABORT when one of the two flags is clear"
 *
 * generation, pass, flags; pass 1: valid, invalid; the last lap: valid, invalid.
 */
static const struct row rows[] = {
	{{1, 2, BOTH, 0, ENTRIES, 0, 3}, ENTRIES, NULL},
	{{1, 2, WIRE_LAP_PAUSED, 0, ENTRIES, 0, 3}, ENTRIES, "was of bolted entries alone"},
	{{1, 2, WIRE_LAP_WHOLE, 0, ENTRIES, 0, 3}, ENTRIES, "began while the guest ran"},
	{{1, 2, 0, 0, ENTRIES, 0, 3}, ENTRIES, "what the guest of vm1 changed last may be missing"},
	{{2, 2, BOTH, 0, ENTRIES, 0, 3}, ENTRIES, "pass 2 of generation 2 was the last"},
	{{1, 1, BOTH, 0, ENTRIES, 0, 3}, ENTRIES, "pass 1 of generation 1 was the last"},
	{{1, 3, BOTH, 0, ENTRIES, 0, 3}, ENTRIES, "pass 3 of generation 1 was the last"},
	{{1, 2, BOTH, 1, ENTRIES - 1, 0, 3}, ENTRIES, "in pass 1, but 0 and 16384 were written"},
	{{1, 2, BOTH, 0, ENTRIES, 0, 0}, ENTRIES, "in its last pass, but 0 and 3 were written"},
	{{1, 2, BOTH, 0, ENTRIES, 1, 3}, ENTRIES, "in its last pass, but 0 and 3 were written"},
	{{1, 2, BOTH, 0, ENTRIES - 1, 0, 3}, ENTRIES - 1,
		"pass 1 named 16383 of the table's 16384 entries"},
	{{1, 2, BOTH, 0, 0, 0, 3}, 0, "pass 1 named 0 of the table's 16384 entries"},
};
#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

START_TEST(last_lap)
{
	const struct row *r = &rows[_i];
	struct vmm_request req;
	struct wire_end end;
	struct claim c;

	claim_new_with(&c, FEATURES);
	end = send_all(&c, r->named, 1, 3);
	send_lap(&c, &r->lap);
	if (r->lap.flags == BOTH) /* else it ends at once */
		send_end(&c, &end);
	if (r->words) {
		fails(&c, r->words);
		return;
	}
	fake_vmm_request(&c.vmm, VMM_SET_STATE, &req);
	fake_vmm_answer(&c.vmm, &req);
	h_check(c.h, answer(&c) == WIRE_READY, "it is not READY");
	claim_free(&c);
}
END_TEST

/* More entries than there are: the last pass names some twice. */
START_TEST(more_than_there_are)
{
	struct wire_last_lap lap = {1, 2, BOTH, 0, ENTRIES, 0, 2 * ENTRIES};
	struct wire_end end;
	struct claim c;

	claim_new_with(&c, FEATURES);
	end = send_all(&c, ENTRIES, 2, ENTRIES);
	send_lap(&c, &lap);
	send_end(&c, &end);
	fails(&c, "the last pass named 32768 entries of a table of 16384");
}
END_TEST

/*
 * protocol.md 10.1: "With the feature, END without LAST_LAP before it is refused, and so is a
 * second one."
 */
START_TEST(out_of_place)
{
	static const struct wire_last_lap good = {1, 2, BOTH, 0, ENTRIES, 0, 3};
	struct wire_end end;
	struct claim c;

	claim_new_with(&c, _i == 2 ? WIRE_FEATURE_RECOVER : FEATURES);
	end = send_all(&c, ENTRIES, 1, 3);
	if (_i == 0) {
		send_end(&c, &end);
	} else {
		send_lap(&c, &good);
		if (_i == 1)
			send_lap(&c, &good);
	}
	fails(&c, "malformed or out of order");
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("last-lap", &c);

	harness_add_loop(c, last_lap, ROWS);
	harness_add(c, more_than_there_are);
	harness_add_loop(c, out_of_place, 3);
	return harness_main(s);
}
