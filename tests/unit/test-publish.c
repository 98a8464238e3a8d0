/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A saved guest becomes PATH on a file system that fails: what is on the disk when, and what is
 * known after each failure. The calls that matter are this program's own, and fail as told.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/transport/loadfile.h"
#include "daemon/transport/savefile.h"
#include "tests/unit/golden-harness.h"

static char dir[64], path[256];
static struct bytes golden;

/* What was called, in order: 'w' a file was synced, 'd' a directory, 'r' a rename. */
static char calls[64];
/* Their failures: an errno, and whether what failed was done all the same. */
static int rename_errno, stat_errno, unlink_errno, fsync_errno, dir_errno, truncate_errno;
static int open_errno, read_errno;
static bool rename_done;

static void called(char c)
{
	size_t n = strlen(calls);

	if (n < sizeof(calls) - 1)
		calls[n] = c;
}

static int failing(int e)
{
	errno = e;
	return -1;
}

int fsync(int fd)
{
	struct stat st;
	bool is_dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	int e = is_dir ? dir_errno : fsync_errno;

	called(is_dir ? 'd' : 'w');
	return e ? failing(e) : (int)syscall(SYS_fsync, fd);
}

int renameat(int olddir, const char *old, int newdir, const char *new)
{
	called('r');
	if (rename_errno && !rename_done)
		return failing(rename_errno);
	if (syscall(SYS_renameat2, olddir, old, newdir, new, 0) < 0)
		return -1;
	return rename_errno ? failing(rename_errno) : 0;
}

int unlinkat(int at, const char *name, int flags)
{
	return unlink_errno ? failing(unlink_errno) : (int)syscall(SYS_unlinkat, at, name, flags);
}

int ftruncate(int fd, off_t len)
{
	return truncate_errno ? failing(truncate_errno) : (int)syscall(SYS_ftruncate, fd, len);
}

/* Of a file that is read alone. */
int openat(int at, const char *name, int flags, ...)
{
	unsigned mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(ap, unsigned);
	va_end(ap);
	if (open_errno && (flags & O_ACCMODE) == O_RDONLY)
		return failing(open_errno);
	return (int)syscall(SYS_openat, at, name, flags, mode);
}

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
	return read_errno ? failing(read_errno) : syscall(SYS_pread64, fd, buf, n, at);
}

/* Of what is looked at after the rename alone. */
int fstatat(int at, const char *name, struct stat *st, int flags)
{
	if (stat_errno && strchr(calls, 'r'))
		return failing(stat_errno);
	return (int)syscall(SYS_newfstatat, at, name, st, flags);
}

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test-publish-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/guest", dir);
	load("saved-file", &golden);
	memset(calls, 0, sizeof(calls));
	rename_errno = stat_errno = unlink_errno = fsync_errno = dir_errno = truncate_errno = 0;
	open_errno = read_errno = 0;
	rename_done = false;
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.' || strstr(e->d_name, ".part");
	closedir(d);
	return n;
}

static void end(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	unlink_errno = 0;
	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

/* Whole, under its temporary name. */
static struct savefile *whole(void)
{
	struct savefile *f = NULL;
	struct err err;

	ck_assert_msg(savefile_create(path, &session, &f, &err) == 0, "%s", err.text);
	ck_assert_int_eq(savefile_write(f, golden.b, golden.len - FILE_TRAILER_SIZE, &err), 0);
	ck_assert_msg(savefile_finish(f, &err) == 0, "%s", err.text);
	return f;
}

static void gone(struct savefile *f)
{
	unlink_errno = 0;
	savefile_abandon(f);
	savefile_free(f);
}

/* Is it there for who looks? */
static int is_there(const struct savefile *f)
{
	struct err err;

	return loadfile_is(path, &session, savefile_place(f), &err);
}

/* Content first, then the name, then the directory that has it: no crash of the host parts them. */
START_TEST(all_of_it_is_on_the_disk)
{
	struct savefile *f = whole();
	struct err err;

	ck_assert_str_eq(calls, "w");
	ck_assert_int_eq(savefile_publish(f, false, &err), 1);
	ck_assert_str_eq(calls, "wrd");
	ck_assert_int_eq(is_there(f), 1);
	ck_assert_str_eq(calls, "wrdwd"); /* a later daemon cannot know that it was */
	gone(f);
}
END_TEST

/* A disk that fails: it may be there, and nobody resumes a guest for not having seen it. */
START_TEST(what_cannot_be_read_is_not_missing)
{
	int *const errnos[] = {&open_errno, &read_errno};
	struct savefile *f = whole();
	struct err err;

	ck_assert_int_eq(is_there(f), 0);
	ck_assert_int_eq(savefile_publish(f, false, &err), 1);
	*errnos[_i] = EIO;
	ck_assert_int_eq(is_there(f), -EIO);
	*errnos[_i] = 0;
	ck_assert_int_eq(is_there(f), 1);
	gone(f);
}
END_TEST

START_TEST(what_is_not_on_the_disk_is_not_whole)
{
	struct savefile *f = NULL;
	struct err err;

	ck_assert_int_eq(savefile_create(path, &session, &f, &err), 0);
	fsync_errno = EIO;
	ck_assert_int_eq(savefile_finish(f, &err), -EIO);
	gone(f);
	ck_assert_uint_eq(files(), 0);
}
END_TEST

/* NFS repeats a RENAME whose answer was lost, and is told that there is nothing to rename. */
START_TEST(failed_and_done)
{
	struct savefile *f = whole();
	struct err err;

	rename_errno = _i ? EIO : ENOENT;
	rename_done = true;
	ck_assert_int_eq(savefile_publish(f, false, &err), 1);
	ck_assert_str_eq(calls, "wrd");
	ck_assert_int_eq(is_there(f), 1);
	gone(f);
}
END_TEST

/* It was not done, and will not be: nothing is left for one that is on its way. */
START_TEST(failed_and_not_done)
{
	struct savefile *f = whole();
	struct err err;

	rename_errno = EIO;
	ck_assert_int_eq(savefile_publish(f, false, &err), 0);
	ck_assert_int_eq(err.code, -EIO);
	ck_assert_uint_eq(files(), 0);
	gone(f);
}
END_TEST

/* Nobody can tell: PATH cannot be looked at, or the temporary name does not go. */
START_TEST(failed_and_not_known)
{
	struct savefile *f = whole();
	struct err err;

	rename_errno = EIO;
	rename_done = _i == 0;
	stat_errno = _i < 2 ? EIO : 0;
	unlink_errno = _i == 2 ? EIO : 0;
	ck_assert_int_lt(savefile_publish(f, false, &err), 0);
	stat_errno = 0;
	ck_assert_int_eq(is_there(f), _i == 0);
	gone(f);
}
END_TEST

/* Its guest has ended: what there is of it is the last. */
START_TEST(the_last_one_is_not_touched)
{
	struct savefile *f = whole();
	struct err err;

	rename_errno = EIO;
	ck_assert_int_eq(savefile_publish(f, true, &err), 0);
	ck_assert_uint_eq(files(), 1);
	ck_assert_ptr_nonnull(savefile_leave(f));
	gone(f);
	ck_assert_uint_eq(files(), 1);
	end();
	begin();
	f = whole();
	dir_errno = EIO;
	ck_assert_int_lt(savefile_publish(f, true, &err), 0);
	dir_errno = 0;
	ck_assert_int_eq(is_there(f), 1);
	gone(f);
}
END_TEST

/* A crash may bring a name back that was removed: nothing can be loaded under it. */
START_TEST(directory_that_cannot_be_synced)
{
	struct savefile *f = whole();
	char other[sizeof(path) + 8];
	struct stat st;
	struct err err;

	snprintf(other, sizeof(other), "%s.back", path);
	dir_errno = EIO;
	if (_i == 1)
		truncate_errno = EIO;
	if (_i == 2)
		fsync_errno = EIO;
	ck_assert_int_eq(savefile_publish(f, false, &err), _i ? -EIO : 0);
	ck_assert_int_eq(err.code, -EIO);
	ck_assert_int_eq(access(path, F_OK), _i ? 0 : -1);
	if (_i == 1) { /* it is whole, and may be looked at again */
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq((size_t)st.st_size, golden.len);
	}
	gone(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("publish");
	TCase *t = tcase_create("publish");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, all_of_it_is_on_the_disk);
	tcase_add_loop_test(t, what_cannot_be_read_is_not_missing, 0, 2);
	tcase_add_test(t, what_is_not_on_the_disk_is_not_whole);
	tcase_add_loop_test(t, failed_and_done, 0, 2);
	tcase_add_test(t, failed_and_not_done);
	tcase_add_loop_test(t, failed_and_not_known, 0, 3);
	tcase_add_test(t, the_last_one_is_not_touched);
	tcase_add_loop_test(t, directory_that_cannot_be_synced, 0, 3);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
