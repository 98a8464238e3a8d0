/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabctl dump and dump-htab: a table is the same in a VM, in a saved guest and in a file. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/integration/pair.h"
#include "tests/integration/saving.h"

/* htabctl --json dump WHAT ...: its one object, the caller's; the exit status has to be that. */
static struct json_object *dump(struct saving *s, int status, const char *what, const char *option)
{
	const char *argv[] = {
		"htabctl", "--socket", s->host->control, "--json", "dump", what, option, NULL};
	struct json_object *o;
	char *out;
	int got = harness_run(s->h, argv, &out);

	h_check(s->h, got == status, "htabctl dump %s ended with %d, not %d: %s", what, got, status,
		out);
	o = json_tokener_parse(out);
	h_check(s->h, o, "no JSON: %s", out);
	free(out);
	return o;
}

static void same_member(
	struct saving *s, struct json_object *a, struct json_object *b, const char *name)
{
	const char *x = json_object_to_json_string(member(a, name));
	const char *y = json_object_to_json_string(member(b, name));

	h_check(s->h, member(a, name) && !strcmp(x, y), "%s differs: %s and %s", name, x, y);
}

/* A guest that changes nothing: what the VM shows is what its file holds, and what is saved. */
START_TEST(vm_and_file_show_the_same)
{
	struct saving s = saving_new(&(struct saving_opts){
		.source = {.order = 20, .dump = true},
	});
	struct json_object *vm = dump(&s, 0, SAVING_VM, "--segments"), *saved, *flat, *bolted;

	h_check(s.h, member_int(vm, "order", 0) == 20, "order: %s", json_object_to_json_string(vm));
	h_check(s.h, member_int(vm, "valid", 0) > 10000, "valid: %s",
		json_object_to_json_string(vm));
	bolted = dump(&s, 0, SAVING_VM, "--bolted");
	h_check(s.h, member_int(bolted, "valid", -1) < member_int(vm, "valid", 0),
		"every entry is bolted: %s", json_object_to_json_string(bolted));
	saving_save(&s);
	saving_saved(&s);
	saved = dump(&s, 0, s.path, "--segments");
	flat = dump(&s, 0, s.source->dump, "--segments");
	h_check(s.h, !strcmp(member_text(saved, "kind", ""), "saved guest"), "kind: %s",
		member_text(saved, "kind", ""));
	h_check(s.h, !strcmp(member_text(flat, "kind", ""), "table"), "kind: %s",
		member_text(flat, "kind", ""));
	same_member(&s, vm, flat, "valid");
	same_member(&s, saved, flat, "valid");
	same_member(&s, saved, flat, "summary");
	same_member(&s, saved, flat, "by-segment");
	json_object_put(vm);
	json_object_put(bolted);
	json_object_put(saved);
	json_object_put(flat);
	saving_free(&s);
}
END_TEST

START_TEST(entries_and_state_are_shown)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct json_object *o, *hptes;

	saving_save(&s);
	saving_saved(&s);
	o = dump(&s, 0, s.path, "--limit=7");
	hptes = member(o, "hptes");
	h_check(s.h, json_object_array_length(hptes) == 7, "entries: %s",
		json_object_to_json_string(o));
	json_object_put(o);
	o = dump(&s, 0, s.path, "--state");
	h_check(s.h, json_object_array_length(member(o, "state")) > 1, "state: %s",
		json_object_to_json_string(o));
	json_object_put(o);
	saving_free(&s);
}
END_TEST

/* Files need no daemon; a damaged one is shown as far as it is good. */
START_TEST(damaged_file)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct json_object *o, *damage;
	char cut[HARNESS_PATH];
	struct stat st;

	host_do(s.host, "migrate-set-parameters", "{'htab-compression': 'none'}");
	saving_save(&s);
	saving_saved(&s);
	host_stop(s.host);
	h_check(s.h, stat(s.path, &st) == 0, "no %s", s.path);
	snprintf(cut, sizeof(cut), "%s", harness_path(s.h, "save/cut"));
	saving_copy(&s, cut, (size_t)st.st_size - 60);
	o = dump(&s, 1, cut, NULL);
	damage = member(o, "damage");
	h_check(s.h, member_int(damage, "offset", 0) == st.st_size - 60, "damage: %s",
		json_object_to_json_string(o));
	h_check(s.h, member_int(o, "valid", 0) == 8192, "valid: %s", json_object_to_json_string(o));
	json_object_put(o);
	o = dump(&s, 1, "/no/such/file", NULL);
	h_check_text(s.h, member_text(member(o, "error"), "desc", ""), "cannot open /no/such/file");
	json_object_put(o);
	saving_free(&s);
}
END_TEST

static void refused(struct saving *s, const char *what, const char *words)
{
	struct json_object *o = dump(s, 1, what, NULL);

	h_check_text(s->h, member_text(member(o, "error"), "desc", ""), words);
	json_object_put(o);
}

START_TEST(not_during_a_migration)
{
	struct saving s = saving_new(&(struct saving_opts){
		.host = {.hold = "active"},
		.source = {.rate = 1000},
	});

	refused(&s, "nobody", "nobody");
	saving_save(&s);
	host_held(s.host, SAVING_VM, "active");
	refused(&s, SAVING_VM, "is in a migration (step 'active'), which alone may read its table");
	saving_go_on(&s);
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* A client that asks for the VM's table in fd, and has no answer yet. */
static struct qmpclient *dump_begins(struct host *host, int fd)
{
	static const char text[] = "{\"execute\": \"dump-htab\", \"arguments\": "
				   "{\"vm\": \"" SAVING_VM "\", \"fdname\": \"d\"}}";
	struct harness *h = host->h;
	struct qmpclient *c;
	struct err err;

	h_check(h, qmpclient_open(host->control, 10000, &c, &err) == 0, "%s", err.text);
	h_check(h, qmpclient_getfd(c, "d", fd, &err) == 0, "%s", err.text);
	h_check(h, qmpclient_send(c, text, strlen(text), &err) == 0, "%s", err.text);
	return c;
}

/* Its answer, the caller's. */
static struct json_object *dump_ends(struct host *host, struct qmpclient *c)
{
	struct json_object *o = harness_answer(host->h, c);

	qmpclient_free(c);
	return o;
}

/* The reverse: its VMM does not answer, so that the table stays to be read. */
START_TEST(no_migration_during_a_dump)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});
	struct qmpclient *other;
	struct json_object *o;
	int fd = fd_memfd("test-dump");
	struct stat st;
	struct err err;

	process_signal(s.source->process, SIGSTOP);
	other = dump_begins(s.host, fd);
	host_refused(s.host, &err, "migrate", "{'uri': 'file:%s'}", s.path);
	h_check_text(s.h, err.text, "is being read for a client (dump-htab): try again");
	process_signal(s.source->process, SIGCONT);
	o = dump_ends(s.host, other);
	h_check(s.h,
		fstat(fd, &st) == 0 && st.st_size > 100000 &&
			member_int(member(o, "return"), "bytes", 0) == st.st_size,
		"the answer is %s, with %lld bytes", json_object_to_json_string(o),
		(long long)st.st_size);
	json_object_put(o);
	close(fd);
	saving_save(&s);
	saving_saved(&s);
	saving_free(&s);
}
END_TEST

/* A VM that waits: its table is read, and no guest arrives meanwhile, from wherever. */
START_TEST(no_guest_arrives_during_a_dump)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	int fd = fd_memfd("test-dump");
	struct qmpclient *other;
	struct json_object *o;
	struct err err;

	process_signal(p.destination->process, SIGSTOP);
	other = dump_begins(p.b, fd);
	pair_migrate(&p);
	pair_fails(&p, "is being read for a client (dump-htab): try again");
	host_refused(p.b, &err, "migrate-incoming", "{'uri': 'file:/tmp/none'}");
	h_check_text(p.h, err.text, "is being read for a client (dump-htab): try again");
	process_signal(p.destination->process, SIGCONT);
	o = dump_ends(p.b, other);
	h_check(p.h, member(o, "return"), "the answer is %s", json_object_to_json_string(o));
	json_object_put(o);
	close(fd);
	pair_migrate(&p); /* that was no use of the permission */
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

START_TEST(not_while_a_guest_arrives)
{
	static const char *const steps[] = {"in-prepare", "in-finish", "in-ready", "in-run"};
	struct pair p = pair_new(&(struct pair_opts){
		.b.hold = steps[_i],
		.source = {.rate = 1000},
	});
	int fd = fd_memfd("test-dump");
	struct json_object *o;

	pair_migrate(&p);
	host_held(p.b, PAIR_VM, steps[_i]);
	o = dump_ends(p.b, dump_begins(p.b, fd));
	h_check_text(
		p.h, member_text(member(o, "error"), "desc", ""), "which alone may read its table");
	json_object_put(o);
	close(fd);
	host_do(p.b, "x-continue", NULL);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* Its VMM dies while it is asked: an answer comes, and nothing is left. */
START_TEST(vmm_that_dies)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});
	struct qmpclient *other;
	struct json_object *o;
	int fd = fd_memfd("test-dump");
	struct err err;

	process_signal(s.source->process, SIGSTOP);
	other = dump_begins(s.host, fd);
	host_refused(s.host, &err, "migrate", "{'uri': 'file:%s'}", s.path);
	guest_kill(s.source);
	o = dump_ends(s.host, other);
	h_check(s.h, member(o, "error"), "the answer is %s", json_object_to_json_string(o));
	json_object_put(o);
	close(fd);
	saving_free(&s);
}
END_TEST

static void fd_refused(struct saving *s, int fd, const char *words)
{
	struct err err;

	h_check(s->h, qmpclient_getfd(s->host->qmp, "x", fd, &err) == 0, "%s", err.text);
	host_refused(s->host, &err, "dump-htab", "{'fdname': 'x'}");
	h_check_text(s->h, err.text, words);
}

START_TEST(descriptors_that_are_no_files)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});
	int p[2], fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	struct err err;

	h_check(s.h, fd >= 0 && pipe2(p, O_CLOEXEC) == 0, "no pipe");
	fd_refused(&s, p[1], "is no regular file that is open for writing");
	fd_refused(&s, fd, "is no regular file that is open for writing");
	host_refused(s.host, &err, "dump-htab", "{'fdname': 'x'}");
	h_check_text(s.h, err.text, "no descriptor is named 'x'");
	close(p[0]);
	close(p[1]);
	close(fd);
	guest_runs(s.source);
	saving_free(&s);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("dump", &tc);

	harness_add(tc, vm_and_file_show_the_same);
	harness_add(tc, entries_and_state_are_shown);
	harness_add(tc, damaged_file);
	harness_add(tc, not_during_a_migration);
	harness_add(tc, no_migration_during_a_dump);
	harness_add(tc, no_guest_arrives_during_a_dump);
	harness_add_loop(tc, not_while_a_guest_arrives, 4);
	harness_add(tc, vmm_that_dies);
	harness_add(tc, descriptors_that_are_no_files);
	return harness_main(s);
}
