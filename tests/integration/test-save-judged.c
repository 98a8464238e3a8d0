/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is saved is judged as a load will judge it before it is published: what became bad on its
 * way is put nowhere, and the guest goes on.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/saving.h"

/* Written whole, but for the end record. */
static struct saving held_at_end(void)
{
	struct saving s = saving_new(&(struct saving_opts){
		.host = {.hold = "end"},
		.source = {.rate = 1000},
	});

	saving_save(&s);
	host_held(s.host, SAVING_VM, "end");
	return s;
}

/* The daemon's descriptor of the file that it writes, which has no name yet, in /proc. */
static void unnamed_file(struct saving *s, char *ret, size_t size)
{
	char dir[64], target[HARNESS_PATH];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", s->host->process->pid);
	d = opendir(dir);
	h_check(s->h, d, "%s: %m", dir);
	while (!found && (e = readdir(d))) {
		ssize_t n;

		snprintf(ret, size, "%s/%.20s", dir, e->d_name);
		n = readlink(ret, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = 0;
		found = strstr(target, "/save/") && strlen(target) > strlen("/save/");
	}
	closedir(d);
	h_check(s->h, found, "the daemon writes no file");
}

/* One bit turns in what was written: in a header, in a table, in the state. */
static void turn_a_bit(struct saving *s, unsigned nth)
{
	char path[128];
	struct stat st;
	uint8_t byte;
	off_t at;
	int fd;

	unnamed_file(s, path, sizeof(path));
	fd = open(path, O_RDWR | O_CLOEXEC);
	h_check(s->h, fd >= 0 && fstat(fd, &st) == 0, "%s: %m", path);
	at = nth == 0 ? 9 : nth == 1 ? st.st_size / 2 : st.st_size - 90;
	h_check(s->h, pread(fd, &byte, 1, at) == 1, "%s: %m", path);
	byte ^= 0x10;
	h_check(s->h, pwrite(fd, &byte, 1, at) == 1, "%s: %m", path);
	close(fd);
}

/* What nobody could load is not published: the guest goes on, and an older file stays. */
START_TEST(damaged_on_its_way)
{
	struct saving s = held_at_end();

	turn_a_bit(&s, (unsigned)_i);
	saving_go_on(&s);
	saving_fails(&s, "since nobody could load it from there");
	saving_is_as_before(&s);
	saving_save(&s);
	host_held(s.host, SAVING_VM, "end");
	saving_go_on(&s);
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* The same, and there is no other copy any more: for a person, whatever it is worth. */
START_TEST(damaged_and_the_only_one)
{
	struct saving s = held_at_end();

	turn_a_bit(&s, 1);
	guest_kill(s.source);
	json_object_put(host_event(s.host, "VM_GONE", SAVING_VM, NULL, NULL));
	saving_go_on(&s);
	saving_over(&s);
	h_check(s.h, access(s.path, F_OK) < 0, "what nobody can load is at its path");
	h_check(s.h, saving_files(&s) == 1, "%u files are left", saving_files(&s));
	saving_free(&s);
}
END_TEST

static int64_t total_time(struct saving *s)
{
	struct json_object *q = host_query(s->host, SAVING_VM);
	int64_t ms = member_int(q, "total-time", 0);

	json_object_put(q);
	return ms;
}

/* Its guest is in the file alone, which is not whole yet: no limit ends that, nor publishes it. */
START_TEST(late_and_the_only_one)
{
	struct saving s = saving_new(&(struct saving_opts){.host = {.hold = "end"}});
	struct json_object *q;

	host_do(s.host, "migrate-set-parameters", "{'switchover-timeout': 1}");
	saving_save(&s);
	host_held(s.host, SAVING_VM, "end");
	guest_kill(s.source);
	json_object_put(host_event(s.host, "VM_GONE", SAVING_VM, NULL, NULL));
	while (total_time(&s) < 1500)
		poll(NULL, 0, 50);
	q = host_query(s.host, SAVING_VM);
	if (!strcmp(member_text(q, "step", ""),
		    "end")) { /* else a slow machine's limit came first */
		saving_go_on(&s);
		host_status(s.host, SAVING_VM, "completed");
		saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	}
	json_object_put(q);
	saving_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("save-judged", &c);

	harness_add_loop(c, damaged_on_its_way, 3);
	harness_add(c, damaged_and_the_only_one);
	harness_add(c, late_and_the_only_one);
	return harness_main(s);
}
