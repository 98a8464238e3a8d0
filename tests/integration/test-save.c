/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest saved in a file and loaded from it: what arrives, what is refused, what is left behind,
 * and who has the guest when a daemon or a VMM is killed at any step.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/htab.h"
#include "proto/pack.h"
#include "tests/integration/saving.h"

/* -- what goes well -- */

START_TEST(saved_and_loaded)
{
	struct saving s = saving_new(&(struct saving_opts){
		.source = {.order = 22, .vcpus = 2, .rate = 20000, .dump = true},
	});
	struct guest *loaded;

	saving_save(&s);
	saving_saved(&s);
	loaded = saving_load(&s, &(struct guest_opts){.order = 22, .vcpus = 2, .dump = true});
	saving_loaded(&s, loaded);
	guest_stop(loaded);
	guest_dumps_equal(s.source, loaded);
	saving_free(&s);
}
END_TEST

/* Valid entries of a guest's dump. */
static void count_entries(struct guest *g, uint64_t *ret_bolted, uint64_t *ret_others)
{
	FILE *f = fopen(g->dump, "re");
	uint8_t hpte[HTAB_HPTE_SIZE];

	h_check(g->h, f, "%s: %m", g->dump);
	*ret_bolted = *ret_others = 0;
	while (fread(hpte, sizeof(hpte), 1, f) == 1) {
		uint64_t v = be64_get(hpte);

		if (v & HPTE_V_VALID)
			++*(v & HPTE_V_BOLTED ? ret_bolted : ret_others);
	}
	fclose(f);
}

static uint64_t entries_told(struct saving *s)
{
	struct json_object *q = host_query(s->host, SAVING_VM), *htab;
	uint64_t n = 0;

	h_check(s->h, json_object_object_get_ex(q, "htab", &htab), "no htab");
	n = (uint64_t)json_object_get_int64(json_object_object_get(htab, "entries"));
	json_object_put(q);
	return n;
}

/* Entries without the bolted bit are left behind; those with it all come. */
START_TEST(bolted_only)
{
	struct saving s = saving_new(&(struct saving_opts){
		.source = {.order = 20, .vcpus = 2, .rate = 20000, .dump = true},
	});
	uint64_t bolted, others, loaded_bolted, loaded_others, told;
	struct guest *loaded;
	struct err err;

	host_capability(s.host, "bolted-only", true);
	host_refused(s.host, &err, "migrate", "{'uri': 'unix:/nowhere'}");
	h_check(s.h, strstr(err.text, "bolted-only"), "%s", err.text);
	saving_save(&s);
	saving_saved(&s);
	told = entries_told(&s);
	loaded = saving_load(&s, &(struct guest_opts){.order = 20, .vcpus = 2, .dump = true});
	saving_loaded(&s, loaded);
	guest_stop(loaded);
	count_entries(s.source, &bolted, &others);
	count_entries(loaded, &loaded_bolted, &loaded_others);
	h_check(s.h, bolted > 100 && others > 100, "%llu and %llu entries were there",
		(unsigned long long)bolted, (unsigned long long)others);
	h_check(s.h, loaded_bolted == bolted && loaded_others == 0, "%llu and %llu arrived",
		(unsigned long long)loaded_bolted, (unsigned long long)loaded_others);
	h_check(s.h, told == bolted, "query-migrate told %llu", (unsigned long long)told);
	saving_free(&s);
}
END_TEST

START_TEST(bolted_only_is_for_page_tables)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.booke = true}});
	struct err err;

	host_capability(s.host, "bolted-only", true);
	host_refused(s.host, &err, "migrate", "{'uri': 'file:%s'}", s.path);
	h_check(s.h, strstr(err.text, "bolted"), "%s", err.text);
	saving_is_as_before(&s);
	saving_free(&s);
}
END_TEST

/* A BookE guest's TLB, in the same file format. */
START_TEST(booke)
{
	struct saving s = saving_new(&(struct saving_opts){
		.source = {.booke = true, .vcpus = 3, .rate = 20000, .dump = true},
	});
	struct guest *loaded;

	saving_save(&s);
	saving_saved(&s);
	loaded = saving_load(&s, &(struct guest_opts){.booke = true, .vcpus = 3, .dump = true});
	saving_loaded(&s, loaded);
	guest_stop(loaded);
	guest_dumps_equal(s.source, loaded);
	saving_free(&s);
}
END_TEST

/* Files need no certificates, and no address to listen at. */
START_TEST(without_credentials)
{
	struct saving s = saving_new(&(struct saving_opts){.host = {.bare = true}});

	saving_save(&s);
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

START_TEST(figures_and_events)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});
	struct json_object *q;
	struct guest *g;

	saving_save(&s);
	json_object_put(host_event(s.host, "MIGRATION_PASS", SAVING_VM, NULL, NULL));
	json_object_put(host_event(s.host, "STOP", SAVING_VM, NULL, NULL));
	saving_saved(&s);
	q = host_query(s.host, SAVING_VM);
	h_check_text(s.h, member_text(q, "uri", ""), s.path);
	h_check(s.h, member_int(member(q, "htab"), "passes", 0) >= 2, "passes: %s",
		json_object_to_json_string(q));
	h_check(s.h, member_int(member(q, "htab"), "htab-bytes", 0) > 16384 / 2 * 16, "bytes: %s",
		json_object_to_json_string(q));
	json_object_put(q);
	g = saving_load(&s, &(struct guest_opts){0});
	json_object_put(host_event(s.host, "RESUME", SAVING_VM, NULL, NULL));
	saving_loaded(&s, g);
	q = host_query(s.host, SAVING_VM);
	h_check(s.h, !strcmp(member_text(q, "direction", ""), "incoming"), "direction: %s",
		json_object_to_json_string(q));
	json_object_put(q);
	saving_free(&s);
}
END_TEST

/* The same file, again and again; a guest that was loaded can be saved over it. */
START_TEST(loaded_twice_and_saved_again)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct guest *g;

	saving_save(&s);
	saving_saved(&s);
	for (int i = 0; i < 2; i++) {
		g = saving_load(&s, &(struct guest_opts){0});
		saving_loaded(&s, g);
		if (i == 0) {
			guest_kill(g);
			json_object_put(host_event(s.host, "VM_GONE", SAVING_VM, NULL, NULL));
		}
	}
	s.source = g;
	saving_save(&s);
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* A pause that waits for a person, cancelled there: nothing is left, and it can be saved still. */
START_TEST(cancelled_before_the_switchover)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});

	host_capability(s.host, "pause-before-switchover", true);
	saving_save(&s);
	host_status(s.host, SAVING_VM, "pre-switchover");
	guest_stands(s.source);
	host_do(s.host, "migrate_cancel", "{'vm': '" SAVING_VM "'}");
	host_status(s.host, SAVING_VM, "cancelled");
	saving_is_as_before(&s);
	saving_save(&s);
	host_status(s.host, SAVING_VM, "pre-switchover");
	host_do(s.host, "migrate-continue", "{'vm': '" SAVING_VM "', 'state': 'pre-switchover'}");
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* -- what is refused: the guest runs on -- */

static void save_is_refused(struct saving *s, const char *uri, const char *words)
{
	struct err err;

	host_refused(s->host, &err, "migrate", "{'vm': '" SAVING_VM "', 'uri': '%s'}", uri);
	h_check_text(s->h, err.text, words);
}

START_TEST(nowhere_to_save)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});

	save_is_refused(&s, "file:guest", "'guest' is no absolute path");
	save_is_refused(&s, "file:/tmp/", "names a directory");
	host_capability(s.host, "verify", true);
	save_is_refused(&s, "file:/tmp/guest", "capability 'verify'");
	host_capability(s.host, "verify", false);

	h_check(s.h, mkfifo(s.path, 0600) == 0, "no FIFO");
	saving_save(&s);
	saving_fails(&s, "is a FIFO: a guest is saved in a regular file and in nothing else");
	unlink(s.path);
	h_check(s.h, symlink("/etc/passwd", s.path) == 0, "no link");
	saving_save(&s);
	saving_fails(&s, "is a symbolic link");
	unlink(s.path);
	saving_is_as_before(&s);

	snprintf(s.path, sizeof(s.path), "%s", harness_path(s.h, "none/guest"));
	saving_save(&s);
	saving_fails(&s, "cannot open the directory of ");
	snprintf(s.path, sizeof(s.path), "/dev/full");
	saving_save(&s);
	saving_fails(&s, "/dev/full is a device");
	saving_free(&s);
}
END_TEST

/* A disk that is full, at the first byte, in a pass, at the end record: as RLIMIT_FSIZE does it. */
START_TEST(disk_that_is_full)
{
	static const uint64_t limits[] = {0, 50000, 133000};
	struct saving s = saving_new(&(struct saving_opts){0});
	host_do(s.host, "migrate-set-parameters", "{'htab-compression': 'none'}");
	for (unsigned i = 0; i < 3; i++) {
		saving_limit(&s, limits[i]);
		saving_save(&s);
		saving_fails(&s, "File too large: larger files are not allowed there");
		saving_limit(&s, 0xffffffffffffffff);
		saving_is_as_before(&s);
	}
	saving_save(&s);
	saving_saved(&s);
	saving_free(&s);
}
END_TEST

/* -- what is not loaded: the VM waits as before -- */

static void load_is_refused(struct saving *s, const struct guest_opts *opts, const char *words)
{
	struct guest *g = saving_load(s, opts);

	saving_not_loaded(s, g, words);
	guest_kill(g);
	json_object_put(host_event(s->host, "VM_GONE", SAVING_VM, NULL, NULL));
}

START_TEST(guest_that_does_not_fit)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct guest *g;

	saving_save(&s);
	saving_saved(&s);
	load_is_refused(&s, &(struct guest_opts){.order = 19}, "start it with order 18");
	load_is_refused(&s, &(struct guest_opts){.vcpus = 2}, "start it with 1");
	load_is_refused(&s, &(struct guest_opts){.booke = true}, "MMU is a hashed page table");
	load_is_refused(&s, &(struct guest_opts){.uuid = "00000000-0000-4000-8000-000000000001"},
		"has UUID 00000000-0000-4000-8000-000000000001: start it with that one");
	/* that is told from the file alone: nothing was changed, and the right one is loaded */
	g = saving_load(&s, &(struct guest_opts){0});
	saving_loaded(&s, g);
	saving_free(&s);
}
END_TEST

START_TEST(no_guest_is_loaded_into_one_that_runs)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct guest *g;
	struct err err;

	saving_save(&s);
	saving_saved(&s);
	g = saving_load(&s, &(struct guest_opts){0});
	saving_loaded(&s, g);
	host_refused(s.host, &err, "migrate-incoming", "{'vm': '" SAVING_VM "', 'uri': 'file:%s'}",
		s.path);
	h_check_text(s.h, err.text, "has a guest: start its VMM as a destination");
	guest_runs(g);
	saving_free(&s);
}
END_TEST

START_TEST(what_is_said_of_a_file)
{
	struct saving s = saving_new(&(struct saving_opts){.source = {.incoming = true}});
	struct err err;

	host_refused(s.host, &err, "migrate-incoming", "{'uri': 'file:x'}");
	h_check_text(s.h, err.text, "'x' is no absolute path");
	host_refused(s.host, &err, "migrate-incoming", "{'uri': 'file:/x', 'tls-authz': 'CN=b'}");
	h_check_text(s.h, err.text, "'tls-authz' is about guests that come over the network");
	saving_load_again(&s);
	saving_not_loaded(&s, s.source, "cannot open ");
	h_check(s.h, mkfifo(s.path, 0600) == 0, "no FIFO");
	saving_load_again(&s);
	saving_not_loaded(&s, s.source, "is a FIFO");
	unlink(s.path);
	saving_free(&s);
}
END_TEST

/* One byte after another is too much for a daemon (tests/unit/test-savefile does it): some. */
static const char *const codecs[] = {"none", "zstd", "hpte"};

START_TEST(damaged_file_is_not_loaded)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct guest *g;
	struct stat st;
	int fd;

	host_do(s.host, "migrate-set-parameters", "{'htab-compression': '%s'}", codecs[_i]);
	saving_save(&s);
	saving_saved(&s);
	g = saving_wait(&s);
	fd = open(s.path, O_RDWR | O_CLOEXEC);
	h_check(s.h, fd >= 0 && fstat(fd, &st) == 0, "cannot open %s", s.path);
	for (unsigned i = 0; i < 24; i++) {
		off_t at = (st.st_size - 1) * i / 23;
		uint8_t b, other;

		h_check(s.h, pread(fd, &b, 1, at) == 1, "cannot read byte %lld", (long long)at);
		other = b ^ 0x10;
		h_check(s.h, pwrite(fd, &other, 1, at) == 1, "cannot change it");
		saving_load_again(&s);
		saving_not_loaded(&s, g, "is no whole saved guest: ");
		h_check(s.h, pwrite(fd, &b, 1, at) == 1, "cannot change it back");
	}
	for (unsigned i = 0; i < 8; i++) {
		char copy[HARNESS_PATH];

		snprintf(copy, sizeof(copy), "%s", harness_path(s.h, "save/copy"));
		saving_copy(&s, copy, (size_t)(st.st_size - 1 - st.st_size * i / 8));
		host_take_events(s.host);
		host_do(s.host, "migrate-incoming", "{'vm': '" SAVING_VM "', 'uri': 'file:%s'}",
			copy);
		saving_not_loaded(&s, g, "is no whole saved guest: at byte ");
	}
	close(fd);
	saving_load_again(&s);
	saving_loaded(&s, g);
	saving_free(&s);
}
END_TEST

/* It changes after it was judged, while the daemon is held before the table is written. */
START_TEST(file_that_changes_while_it_is_loaded)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct guest *g;
	uint8_t b;
	int fd;

	host_do(s.host, "migrate-set-parameters", "{'htab-compression': 'none'}");
	saving_save(&s);
	saving_saved(&s);
	s.host->opts.hold = "in-active";
	host_kill(s.host);
	host_restart(s.host);
	fd = open(s.path, O_RDWR | O_CLOEXEC);
	g = saving_load(&s, &(struct guest_opts){0});
	host_held(s.host, SAVING_VM, "in-active");
	/* R of an entry: a record as good as the other */
	h_check(s.h, fd >= 0 && pread(fd, &b, 1, 1000) == 1, "cannot read %s", s.path);
	b ^= 1;
	h_check(s.h, pwrite(fd, &b, 1, 1000) == 1, "cannot change it");
	close(fd);
	host_do(s.host, "x-continue", "{'vm': '" SAVING_VM "'}");
	saving_not_loaded(&s, g, "");
	saving_free(&s);
}
END_TEST

/* -- who has the guest -- */

enum has {
	GUEST, /* it runs on at the source; nothing is at the path */
	FILE_, /* it is saved */
};

static const struct strike {
	const char *step;
	enum has has;
} strikes[] = {
	{"connect", GUEST},
	{"start", GUEST},
	{"active", GUEST},
	{"pause", GUEST},
	{"last-pass", GUEST},
	{"state", GUEST},
	{"end", GUEST},
	{"committing", GUEST},
	{"commit", GUEST},
	{"release", FILE_},
};
#define STRIKES ((int)(sizeof(strikes) / sizeof(strikes[0])))

static struct saving held_at(const char *step)
{
	struct saving s = saving_new(&(struct saving_opts){
		.host = {.hold = step},
		.source = {.rate = 1000},
	});

	host_do(s.host, "migrate-set-parameters", "{'downtime-limit': 2000000}");
	saving_save(&s);
	host_held(s.host, SAVING_VM, step);
	return s;
}

START_TEST(daemon_dies)
{
	const struct strike *k = &strikes[_i];
	struct saving s = held_at(k->step);

	host_kill(s.host);
	s.host->opts.hold = NULL;
	host_restart(s.host);
	if (k->has == GUEST) {
		guest_event(s.source, "registered");
		guest_runs(s.source);
		h_check(s.h, access(s.path, F_OK) < 0, "there is a file");
		if (strcmp(k->step, "committing") != 0) /* not yet noted: nobody looks for it */
			saving_is_as_before(&s);
		saving_save(&s);
		host_status(s.host, SAVING_VM, "completed");
	}
	guest_event(s.source, "migrated");
	guest_ends(s.source, 0);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* Its guest never ran again: what is whole is not thrown away. */
START_TEST(vmm_dies)
{
	const struct strike *k = &strikes[_i];
	struct saving s = held_at(k->step);
	bool whole = !strcmp(k->step, "end") || !strcmp(k->step, "committing") ||
		!strcmp(k->step, "commit") || k->has == FILE_;
	struct json_object *q;

	guest_kill(s.source);
	json_object_put(host_event(s.host, "VM_GONE", SAVING_VM, NULL, NULL));
	saving_go_on(&s);
	saving_over(&s);
	q = host_query(s.host, SAVING_VM);
	h_check(s.h, !strcmp(member_text(q, "status", ""), whole ? "completed" : "failed"),
		"it ended as %s", json_object_to_json_string(q));
	json_object_put(q);
	if (whole) {
		saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	} else {
		h_check(s.h, saving_files(&s) == 0, "%u files are left", saving_files(&s));
	}
	saving_free(&s);
}
END_TEST

/* The path cannot be looked at: nobody resumes, until it can. */
START_TEST(directory_that_is_gone)
{
	struct saving s = held_at("release");
	char away[HARNESS_PATH];

	snprintf(away, sizeof(away), "%s", harness_path(s.h, "away"));
	host_kill(s.host);
	h_check(s.h, rename(harness_path(s.h, "save"), away) == 0, "cannot move it away");
	s.host->opts.hold = NULL;
	host_restart(s.host);
	json_object_put(host_event(s.host, "MIGRATION_UNRESOLVED", SAVING_VM, NULL, NULL));
	guest_event(s.source, "registered");
	guest_stands(s.source);
	h_check(s.h, rename(away, harness_path(s.h, "save")) == 0, "cannot move it back");
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/*
 * The directory is another one: that of a mount point whose file system is away, and in it the
 * guest. Nothing that is found there, or not, tells anything.
 */
START_TEST(file_system_that_is_away)
{
	struct saving s = held_at("release");
	char away[HARNESS_PATH];

	snprintf(away, sizeof(away), "%s", harness_path(s.h, "away"));
	host_kill(s.host);
	h_check(s.h, rename(harness_path(s.h, "save"), away) == 0, "cannot move it away");
	h_check(s.h, mkdir(harness_path(s.h, "save"), 0700) == 0, "no directory");
	s.host->opts.hold = NULL;
	host_restart(s.host);
	json_object_put(host_event(s.host, "MIGRATION_UNRESOLVED", SAVING_VM, NULL, NULL));
	guest_event(s.source, "registered");
	guest_stands(s.source);
	h_check(s.h, !s.source->resumed, "the guest runs, and is saved as well");
	h_check(s.h, rmdir(harness_path(s.h, "save")) == 0, "it made something there");
	h_check(s.h, rename(away, harness_path(s.h, "save")) == 0, "cannot move it back");
	saving_saved(&s);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

/* What is at PATH cannot be opened: that is not "nothing". */
START_TEST(path_that_cannot_be_read)
{
	struct saving s = held_at("release");
	char away[HARNESS_PATH];

	snprintf(away, sizeof(away), "%s", harness_path(s.h, "away"));
	host_kill(s.host);
	h_check(s.h, rename(s.path, away) == 0, "cannot move it away");
	/* a loop of links, and one to what is on a disk that is away */
	h_check(s.h, symlink(_i ? "/nowhere/guest" : s.path, s.path) == 0, "symlink: %m");
	s.host->opts.hold = NULL;
	host_restart(s.host);
	json_object_put(host_event(s.host, "MIGRATION_UNRESOLVED", SAVING_VM, NULL, NULL));
	guest_event(s.source, "registered");
	guest_stands(s.source);
	h_check(s.h, !s.source->resumed, "the guest runs, and is saved as well");
	h_check(s.h, rename(away, s.path) == 0, "cannot move it back");
	saving_saved(&s);
	saving_free(&s);
}
END_TEST

/* What is there is of another session: the guest is not in it. */
START_TEST(older_file_at_the_path)
{
	struct saving s = held_at("release");
	char away[HARNESS_PATH];

	snprintf(away, sizeof(away), "%s", harness_path(s.h, "save/away"));
	host_kill(s.host);
	saving_copy(&s, away, 100);
	h_check(s.h, rename(away, s.path) == 0, "cannot replace it");
	s.host->opts.hold = NULL;
	host_restart(s.host);
	guest_event(s.source, "registered");
	guest_runs(s.source);
	saving_free(&s);
}
END_TEST

static const char *const load_steps[] = {"in-prepare", "in-active", "in-finish", "in-state",
	"in-note", "in-ready", "in-run", "in-running"};
#define LOAD_STEPS ((int)(sizeof(load_steps) / sizeof(load_steps[0])))

static struct guest *held_load(struct saving *s, const char *step)
{
	struct guest *g;

	*s = saving_new(&(struct saving_opts){.source = {.rate = 1000}});
	saving_save(s);
	saving_saved(s);
	s->host->opts.hold = step;
	host_kill(s->host);
	host_restart(s->host);
	g = saving_load(s, &(struct guest_opts){0});
	host_held(s->host, SAVING_VM, step);
	return g;
}

/* It may have before this program was connected: no event is waited for. */
static void has_completed(struct saving *s)
{
	struct json_object *q;

	saving_over(s);
	q = host_query(s->host, SAVING_VM);
	h_check_text(s->h, member_text(q, "status", ""), "completed");
	json_object_put(q);
}

/* READY, it runs; before, it is loaded again. */
START_TEST(daemon_dies_loading)
{
	const char *step = load_steps[_i];
	struct saving s;
	struct guest *g = held_load(&s, step);

	host_kill(s.host);
	s.host->opts.hold = NULL;
	host_restart(s.host);
	guest_event(g, "registered");
	if (strcmp(step, "in-ready") && strcmp(step, "in-run") && strcmp(step, "in-running")) {
		guest_stands(g);
		saving_load_again(&s);
	}
	guest_runs(g);
	has_completed(&s);
	/* nobody has to close it: it may be saved */
	s.source = g;
	saving_save(&s);
	saving_saved(&s);
	saving_free(&s);
}
END_TEST

START_TEST(cancelled_loading)
{
	const char *step = load_steps[_i];
	struct saving s;
	struct guest *g = held_load(&s, step);

	if (!strcmp(step, "in-run") || !strcmp(step, "in-running")) {
		struct err err;

		host_refused(s.host, &err, "migrate_cancel", "{'vm': '" SAVING_VM "'}");
		h_check_text(s.h, err.text, "too late to cancel");
		saving_go_on(&s);
		saving_loaded(&s, g);
	} else {
		host_do(s.host, "migrate_cancel", "{'vm': '" SAVING_VM "'}");
		host_status(s.host, SAVING_VM, "cancelled");
		guest_stands(g);
		host_kill(s.host);
		s.host->opts.hold = NULL;
		host_restart(s.host);
		guest_event(g, "registered");
		saving_load_again(&s);
		saving_loaded(&s, g);
	}
	saving_free(&s);
}
END_TEST

START_TEST(vmm_dies_loading)
{
	struct saving s;
	struct guest *g = held_load(&s, load_steps[_i]);

	guest_kill(g);
	json_object_put(host_event(s.host, "VM_GONE", SAVING_VM, NULL, NULL));
	saving_go_on(&s);
	saving_over(&s);
	s.host->opts.hold = NULL;
	host_kill(s.host);
	host_restart(s.host);
	saving_loaded(&s, saving_load(&s, &(struct guest_opts){0}));
	saving_free(&s);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("save", &tc);

	harness_add(tc, saved_and_loaded);
	harness_add(tc, booke);
	harness_add(tc, bolted_only);
	harness_add(tc, bolted_only_is_for_page_tables);
	harness_add(tc, without_credentials);
	harness_add(tc, figures_and_events);
	harness_add(tc, loaded_twice_and_saved_again);
	harness_add(tc, cancelled_before_the_switchover);
	harness_add(tc, nowhere_to_save);
	harness_add(tc, disk_that_is_full);
	harness_add(tc, guest_that_does_not_fit);
	harness_add(tc, no_guest_is_loaded_into_one_that_runs);
	harness_add(tc, what_is_said_of_a_file);
	harness_add_loop(tc, damaged_file_is_not_loaded, 3);
	harness_add(tc, file_that_changes_while_it_is_loaded);
	harness_add_loop(tc, daemon_dies, STRIKES);
	harness_add_loop(tc, vmm_dies, STRIKES);
	harness_add(tc, directory_that_is_gone);
	harness_add(tc, file_system_that_is_away);
	harness_add_loop(tc, path_that_cannot_be_read, 2);
	harness_add(tc, older_file_at_the_path);
	harness_add_loop(tc, daemon_dies_loading, LOAD_STEPS);
	harness_add_loop(tc, cancelled_loading, LOAD_STEPS);
	harness_add_loop(tc, vmm_dies_loading, LOAD_STEPS);
	return harness_main(s);
}
