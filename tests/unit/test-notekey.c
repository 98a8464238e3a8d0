/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key of notes: made once, refused when it is not its user's alone; what its MAC covers. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/session/notekey.h"

static char dir[64], path[96];

static void setup(void)
{
	strcpy(dir, "/tmp/test-notekey.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/note-key", dir);
}

static void teardown(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left there */
}

static void refused(const char *words)
{
	struct notekey key;
	struct err err = {0};

	ck_assert_int_lt(notekey_load(dir, &key, &err), 0);
	ck_assert_msg(strstr(err.text, words) && strstr(err.text, path), "%s", err.text);
}

static void put_key(size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(write(fd, "k", 1), 1);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

START_TEST(key_is_made_once)
{
	struct notekey a, b;
	struct err err = {0};
	struct stat st;

	ck_assert_msg(notekey_load(dir, &a, &err) == 0, "%s", err.text);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_msg(notekey_load(dir, &b, &err) == 0, "%s", err.text);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_msg(notekey_load(dir, &b, &err) == 0, "%s", err.text);
	ck_assert_mem_ne(&a, &b, sizeof(a));
}
END_TEST

START_TEST(directory_is_made)
{
	char sub[96], file[128];
	struct notekey key;
	struct err err = {0};
	struct stat st;

	snprintf(sub, sizeof(sub), "%s/state", dir);
	snprintf(file, sizeof(file), "%s/note-key", sub);
	ck_assert_msg(notekey_load(sub, &key, &err) == 0, "%s", err.text);
	ck_assert_int_eq(stat(sub, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(rmdir(sub), 0);
	snprintf(sub, sizeof(sub), "%s/not/there", dir);
	ck_assert_int_lt(notekey_load(sub, &key, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "--state-dir"));
}
END_TEST

START_TEST(key_of_others_is_refused)
{
	put_key(NOTEKEY_SIZE, 0640);
	refused("mode 0600");
	put_key(NOTEKEY_SIZE, 0604);
	refused("mode 0600");
	put_key(NOTEKEY_SIZE - 1, 0600);
	refused("32 bytes");
	put_key(NOTEKEY_SIZE + 1, 0600);
	refused("32 bytes");
	unlink(path);
	ck_assert_int_eq(symlink("/dev/zero", path), 0);
	refused("symbolic link");
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0); /* and nobody waits for its other end */
	refused("no regular file");
}
END_TEST

static const struct session_id session = {{1, 2, 3}}, other_session = {{1, 2, 4}};
static const struct vm_uuid uuid = {{5}}, other_uuid = {{6}};
static const struct notekey key = {{7}}, other_key = {{8}};

START_TEST(mac_covers_everything)
{
	const struct note_of of = {NOTE_OF_SOURCE, &session, &uuid, "vm1"};
	const struct note_of others[] = {
		{NOTE_OF_DESTINATION, &session, &uuid, "vm1"},
		{NOTE_OF_SOURCE, &other_session, &uuid, "vm1"},
		{NOTE_OF_SOURCE, &session, &other_uuid, "vm1"},
		{NOTE_OF_SOURCE, &session, &uuid, "vm2"},
	};
	struct vmm_note sealed = {.cookie = "cookie"}, note;
	int len = notekey_seal(&key, &of, sealed.cookie, 6);

	ck_assert_int_eq(len, 6 + NOTEKEY_MAC);
	sealed.cookie_len = (uint16_t)len;
	note = sealed;
	ck_assert_int_eq(notekey_open(&key, &of, &note), 0);
	ck_assert_uint_eq(note.cookie_len, 6);
	ck_assert_mem_eq(note.cookie, "cookie", 6);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		note = sealed;
		ck_assert_int_eq(notekey_open(&key, &others[i], &note), -EBADMSG);
	}
	note = sealed;
	ck_assert_int_eq(notekey_open(&other_key, &of, &note), -EBADMSG);
	for (int i = 0; i < len; i++) {
		note = sealed;
		note.cookie[i] ^= 1;
		ck_assert_int_eq(notekey_open(&key, &of, &note), -EBADMSG);
		note = sealed;
		note.cookie_len = (uint16_t)i;
		ck_assert_int_eq(notekey_open(&key, &of, &note), -EBADMSG);
		ck_assert_uint_eq(note.cookie_len, i);
	}
}
END_TEST

/* No byte moves from the cookie into the MAC's place or from a name into the cookie. */
START_TEST(cookie_is_bounded)
{
	const struct note_of of = {NOTE_OF_DESTINATION, &session, &uuid, "vm1"};
	struct vmm_note note = {.session = session};

	ck_assert_int_eq(
		notekey_seal(&key, &of, note.cookie, VMM_COOKIE_MAX - NOTEKEY_MAC + 1), -EMSGSIZE);
	ck_assert_int_eq(
		notekey_seal(&key, &of, note.cookie, VMM_COOKIE_MAX - NOTEKEY_MAC), VMM_COOKIE_MAX);
	note.cookie_len = VMM_COOKIE_MAX;
	ck_assert_int_eq(notekey_open(&key, &of, &note), 0);
	ck_assert_int_eq(notekey_seal(&key, &of, note.cookie, 0), NOTEKEY_MAC);
	note.cookie_len = NOTEKEY_MAC;
	ck_assert_int_eq(notekey_open(&key, &of, &note), 0);
	ck_assert_uint_eq(note.cookie_len, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("notekey");
	TCase *file = tcase_create("file"), *cookie = tcase_create("cookie");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(file, setup, teardown);
	tcase_add_test(file, key_is_made_once);
	tcase_add_test(file, directory_is_made);
	tcase_add_test(file, key_of_others_is_refused);
	suite_add_tcase(s, file);
	tcase_add_test(cookie, mac_covers_everything);
	tcase_add_test(cookie, cookie_is_bounded);
	suite_add_tcase(s, cookie);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
