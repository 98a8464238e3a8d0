/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What others wrote, made harmless for who sees it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text.h"
#include "proto/vmm.h"
#include "proto/wire.h"

static const struct {
	const char *in, *out; /* out NULL: as it was */
} texts[] = {
	{""},
	{"a sentence, with 'quotes' and \\ \"these\"~"},
	{"h\xc3\xb6st \xe2\x82\xac \xf0\x9f\x98\x80 \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d"},
	{"\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd\xf4\x8f\xbf\xbf"},
	{"two\nlines\r\nand\ta tab", "two lines  and a tab"},
	{"\x1b[2J\x1b]0;title\x07\x7f\x08", "?[2J?]0;title???"},
	{"\xc2\x9b"
	 "31m\xc2\x80\xc2\x9f",
		"?31m??"},
	{"a\xe2\x80\xa8"
	 "b\xe2\x80\xa9"
	 "c",
		"a?b?c"},
	{"exe.\xe2\x80\xaegpj\xe2\x80\xac \xe2\x81\xa6\xe2\x81\xa9 \xe2\x80\x8e\xe2\x80\x8f\xd8\x9c",
		"exe.?gpj? ?? ???"},
	{"\xff\xfe\x80", "???"},
	{"cut \xe2\x82", "cut ??"},
	{"cut \xf0\x9f\x98", "cut ???"},
	{"\xc0\x80 \xe0\x80\x80 \xed\xa0\x80 \xf4\x90\x80\x80", "?? ??? ??? ????"},
	{"\xe2\x82\xe2\x82\xac\xc3", "??\xe2\x82\xac?"},
};

#define N_TEXTS ((int)(sizeof(texts) / sizeof(texts[0])))

START_TEST(text_is_made_harmless)
{
	const char *out = texts[_i].out ? texts[_i].out : texts[_i].in;
	struct utf8 u = {0};
	char buf[128];

	strcpy(buf, texts[_i].in);
	ck_assert_int_eq(text_is_clean(buf), !texts[_i].out);
	text_clean(buf);
	ck_assert_str_eq(buf, out);
	ck_assert(text_is_clean(buf));
	strcpy(buf, texts[_i].in);
	text_utf8(buf);
	ck_assert_uint_eq(strlen(buf), strlen(texts[_i].in));
	ck_assert(utf8_scan(&u, buf, strlen(buf)) == strlen(buf) && !u.need);
}
END_TEST

START_TEST(messages_bring_harmless_text)
{
	static const char raw[] = "\x1b[2Jno \xff";
	static const char clean[] = "?[2Jno ?";
	struct wire_refuse refuse = {.code = WIRE_REFUSE_BUSY}, r;
	struct wire_welcome welcome = {.version = 1}, w;
	struct wire_hello hello = {.version_min = 1, .version_max = 1, .role = 1}, h;
	struct vmm_reply reply = {.error = -1}, p;
	uint8_t buf[VMM_PACKET_MAX];
	int n;

	strcpy(refuse.text, raw);
	n = wire_pack_refuse(WIRE_REFUSE, &refuse, buf, sizeof(buf));
	ck_assert_int_eq(wire_unpack_refuse(buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, &r), 0);
	ck_assert_str_eq(r.text, clean);
	strcpy(welcome.name, raw);
	n = wire_pack_welcome(&welcome, buf, sizeof(buf));
	ck_assert_int_eq(
		wire_unpack_welcome(buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, &w), 0);
	ck_assert_str_eq(w.name, clean);
	strcpy(hello.name, raw);
	n = wire_pack_hello(&hello, buf, sizeof(buf));
	ck_assert_int_eq(wire_unpack_hello(buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, &h), 0);
	ck_assert_str_eq(h.name, clean);
	strcpy(reply.text, raw);
	n = vmm_pack_reply(7, &reply, buf);
	ck_assert_int_eq(vmm_unpack_reply(buf, (size_t)n, &p), 0);
	ck_assert_str_eq(p.text, clean);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("text");
	TCase *t = tcase_create("text");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, text_is_made_harmless, 0, N_TEXTS);
	tcase_add_test(t, messages_bring_harmless_text);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
