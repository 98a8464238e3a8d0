/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMM socket's packets, pinned as test-golden.c says. */
#include <check.h>
#include <stdlib.h>

#include "proto/vmm.h"
#include "tests/unit/golden-harness.h"

static const struct request_case {
	const char *file;
	struct vmm_request m;
} request_cases[] = {
	{"vmm-registered", {.type = VMM_REGISTERED}},
	{"vmm-refused", {.type = VMM_REFUSED, .text = "name is taken"}},
	{"vmm-lease", {.type = VMM_LEASE}},
	{"vmm-open-htab", {.type = VMM_OPEN_HTAB, .serial = 1, .flags = HTAB_FD_WRITE}},
	{"vmm-pause", {.type = VMM_PAUSE, .serial = 2}},
	{"vmm-resume", {.type = VMM_RESUME, .serial = 3}},
	{"vmm-get-state", {.type = VMM_GET_STATE, .serial = 4}},
	{"vmm-set-state", {.type = VMM_SET_STATE, .serial = 5, .paused_at = 1000000000000}},
	{"vmm-reset-htab", {.type = VMM_RESET_HTAB, .serial = 6, .order = 18}},
	{"vmm-throttle", {.type = VMM_THROTTLE, .serial = 7, .percent = 20}},
	{"vmm-note", {.type = VMM_NOTE, .serial = 8, .note = NOTE_COMMITTING}},
	{"vmm-undo", {.type = VMM_UNDO, .serial = 9}},
	{"vmm-release", {.type = VMM_RELEASE, .serial = 10}},
	{"vmm-htab-answer", {.type = VMM_HTAB_ANSWER, .error = -EBUSY, .text = "try again later"}},
	{"vmm-close-htab", {.type = VMM_CLOSE_HTAB}},
	{"vmm-query-state", {.type = VMM_QUERY_STATE, .serial = 11}},
	{"vmm-query-time", {.type = VMM_QUERY_TIME, .serial = 12}},
	{"vmm-query-tlb", {.type = VMM_QUERY_TLB, .serial = 13}},
};
#define REQUEST_CASES ((int)(sizeof(request_cases) / sizeof(request_cases[0])))

static uint16_t put_cookie(uint8_t cookie[static VMM_COOKIE_MAX])
{
	struct pack k;

	pack_init(&k, cookie, VMM_COOKIE_MAX);
	pack_u16(&k, 1);
	pack_bytes(&k, uuid.b, sizeof(uuid.b));
	pack_str(&k, "tcp:hostb:4660");
	pack_str(&k, "CN=hostb");
	pack_str(&k, "");
	pack_str(&k, "");
	return (uint16_t)k.len;
}

START_TEST(vmm_request_is_its_file)
{
	struct vmm_request m = request_cases[_i].m, back;
	const char *file = request_cases[_i].file;
	static uint8_t buf[VMM_PACKET_MAX];
	struct bytes want;
	int len;

	if (m.type != VMM_REGISTERED && m.type != VMM_REFUSED && m.type != VMM_OPEN_HTAB &&
		m.type != VMM_THROTTLE && m.type != VMM_QUERY_STATE && m.type != VMM_HTAB_ANSWER &&
		m.type != VMM_CLOSE_HTAB && m.type != VMM_QUERY_TLB)
		m.session = session;
	if (m.type == VMM_NOTE)
		m.cookie_len = put_cookie(m.cookie);
	load(file, &want);
	len = vmm_pack_request(&m, buf);
	ck_assert_int_gt(len, 0);
	same(file, buf, (size_t)len, want.b, want.len);
	ck_assert_int_eq(vmm_unpack_request(want.b, want.len, &back), 0);
	len = vmm_pack_request(&back, buf);
	ck_assert_int_gt(len, 0);
	same(file, buf, (size_t)len, want.b, want.len);
}
END_TEST

START_TEST(vmm_registration_is_its_file)
{
	static struct vmm_register m, back;
	static uint8_t buf[VMM_PACKET_MAX];
	struct bytes want;
	int len;

	m = (struct vmm_register){
		.version = VMM_VERSION,
		.name = "vm1",
		.uuid = uuid,
		.mmu = MMU_HPT,
		.order = 18,
		.vcpus = 8,
		.pvr = 0x004e1202,
		.compat = 0x0f000004,
		.running = true,
		.n_notes = 1,
		.notes = {{.session = session,
			.note = NOTE_DEAD,
			.cookie_len = 8,
			.cookie = {'C', 'N', '=', 'h', 'o', 's', 't', 'a'}}},
	};
	load("vmm-register", &want);
	len = vmm_pack_register(&m, buf);
	ck_assert_int_gt(len, 0);
	same("vmm-register", buf, (size_t)len, want.b, want.len);
	ck_assert_int_eq(vmm_unpack_register(want.b, want.len, &back), 0);
	len = vmm_pack_register(&back, buf);
	same("vmm-register", buf, (size_t)len, want.b, want.len);
}
END_TEST

START_TEST(vmm_event_and_reply_are_their_files)
{
	struct vmm_event event = {VMM_EVENT_RESUMED, 0, session, "lease over"};
	struct vmm_event change = {.kind = VMM_EVENT_HTAB_CHANGE, .order = 19};
	struct vmm_reply reply = {-ECANCELED, NOTE_DEAD, "session is dead"};
	static uint8_t buf[VMM_PACKET_MAX];
	struct bytes want;
	uint32_t serial;
	uint16_t type;
	int len;

	load("vmm-event", &want);
	len = vmm_pack_event(&event, buf);
	same("vmm-event", buf, (size_t)len, want.b, want.len);
	memset(&event, 0, sizeof(event));
	ck_assert_int_eq(vmm_unpack_event(want.b, want.len, &event), 0);
	len = vmm_pack_event(&event, buf);
	same("vmm-event", buf, (size_t)len, want.b, want.len);

	load("vmm-event-htab-change", &want);
	len = vmm_pack_event(&change, buf);
	same("vmm-event-htab-change", buf, (size_t)len, want.b, want.len);
	memset(&change, 0, sizeof(change));
	ck_assert_int_eq(vmm_unpack_event(want.b, want.len, &change), 0);
	len = vmm_pack_event(&change, buf);
	same("vmm-event-htab-change", buf, (size_t)len, want.b, want.len);

	load("vmm-reply", &want);
	len = vmm_pack_reply(7, &reply, buf);
	same("vmm-reply", buf, (size_t)len, want.b, want.len);
	memset(&reply, 0, sizeof(reply));
	ck_assert_int_eq(vmm_unpack_header(want.b, want.len, &type, &serial), 0);
	ck_assert_uint_eq(type, VMM_REPLY);
	ck_assert_int_eq(vmm_unpack_reply(want.b, want.len, &reply), 0);
	len = vmm_pack_reply(serial, &reply, buf);
	same("vmm-reply", buf, (size_t)len, want.b, want.len);
}
END_TEST

START_TEST(htabsock_packets_are_their_files)
{
	static const uint64_t hpte[2] = {0x7013, 0x3194};
	struct bytes want, got;
	enum htabsock_op op;
	uint32_t count;
	int32_t result;

	load("htabsock-read", &want);
	htabsock_pack_request(got.b, HTABSOCK_READ, 4096);
	same("htabsock-read", got.b, HTABSOCK_REQ_SIZE, want.b, want.len);
	ck_assert_int_eq(htabsock_unpack_request(want.b, want.len, &op, &count), 0);
	ck_assert_int_eq(op, HTABSOCK_READ);
	ck_assert_uint_eq(count, 4096);

	load("htabsock-read-answer", &want);
	htabsock_pack_answer(got.b, 24);
	got.len = HTABSOCK_ANS_SIZE;
	add_record(&got, HTAB_WIRE, 1000, &hpte, 1, 0);
	same("htabsock-read-answer", got.b, got.len, want.b, want.len);
	ck_assert_int_eq(htabsock_unpack_answer(want.b, want.len, HTABSOCK_READ, 4096, &result), 0);
	ck_assert_int_eq(result, 24);

	load("htabsock-write", &want);
	htabsock_pack_request(got.b, HTABSOCK_WRITE, 24);
	got.len = HTABSOCK_REQ_SIZE;
	add_record(&got, HTAB_WIRE, 1000, &hpte, 1, 0);
	same("htabsock-write", got.b, got.len, want.b, want.len);
	ck_assert_int_eq(htabsock_unpack_request(want.b, want.len, &op, &count), 0);
	ck_assert_int_eq(op, HTABSOCK_WRITE);
	ck_assert_uint_eq(count, 24);

	load("htabsock-write-answer", &want);
	htabsock_pack_answer(got.b, -22);
	same("htabsock-write-answer", got.b, HTABSOCK_ANS_SIZE, want.b, want.len);
	ck_assert_int_eq(htabsock_unpack_answer(want.b, want.len, HTABSOCK_WRITE, 24, &result), 0);
	ck_assert_int_eq(result, -22);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("golden-vmm");
	TCase *t = tcase_create("golden-vmm");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, vmm_request_is_its_file, 0, REQUEST_CASES);
	tcase_add_test(t, vmm_registration_is_its_file);
	tcase_add_test(t, vmm_event_and_reply_are_their_files);
	tcase_add_test(t, htabsock_packets_are_their_files);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
