/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMMs that register with notes that no daemon of this host gave them: nothing in them is dialled,
 * opened, removed or believed, and what becomes of the session is an operator's word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/fakenote.h"

#define VM      "vm1"
#define SESSION "01000000000000000000000000000000"

static const struct session_id session = {{1}}, other = {{2}};

struct scene {
	struct harness *h;
	struct host *host;
	struct fake_vmm vmm;
	struct fake_dest dest;
};

static void scene_new(struct scene *s)
{
	s->h = harness_new();
	s->host = host_start(s->h, "a", NULL);
	fake_vmm_new(&s->vmm, s->host, VM);
	s->vmm.reg.running = false;
	fake_dest_new(&s->dest, s->host, &s->vmm);
}

static void scene_free(struct scene *s)
{
	fake_dest_free(&s->dest);
	fake_vmm_free(&s->vmm);
	harness_free(s->h);
}

static void is_unresolved(struct scene *s, const char *step)
{
	struct json_object *e = host_event(s->host, "MIGRATION_UNRESOLVED", VM, "session", SESSION);
	struct json_object *q = host_query(s->host, VM);

	h_check_text(s->h, member_text(member(e, "data"), "desc", ""), "not made by a daemon");
	h_check_text(s->h, member_text(q, "error-desc", ""), "not made by a daemon");
	h_check(s->h, !strcmp(member_text(q, "step", ""), step), "it is at '%s'",
		member_text(q, "step", ""));
	h_check(s->h, !member_text(q, "uri", "")[0], "it believes '%s'", member_text(q, "uri", ""));
	json_object_put(q);
	json_object_put(e);
}

static void resolve(struct scene *s, const char *action)
{
	host_do(s->host, "resolve", "{'vm': '" VM "', 'session': '" SESSION "', 'action': '%s'}",
		action);
}

/* It was unresolved, the operator says that the guest runs on here, and that is what happens. */
static void waits_for_an_operator(struct scene *s)
{
	struct vmm_request undo;

	fake_vmm_register(&s->vmm);
	is_unresolved(s, "asking");
	resolve(s, "run");
	fake_vmm_request(&s->vmm, VMM_UNDO, &undo);
	fake_vmm_answer(&s->vmm, &undo);
	host_status(s->host, VM, "failed");
	h_check(s->h, !fake_dest_called(&s->dest), "it was dialled");
}

/* --- sources' notes -------------------------------------------------------------------------- */

/* The name goes out as SNI, and a QMP server passes over the bytes around it. */
START_TEST(control_socket_is_not_dialled)
{
	char uri[HARNESS_PATH + 8];
	struct scene s;

	scene_new(&s);
	snprintf(uri, sizeof(uri), "unix:%s", s.host->control);
	fake_note_cookie(&s.vmm, fake_note_new(&s.vmm, &session, NOTE_COMMITTING),
		&(struct fake_cookie){.uri = uri,
			.hostname = "\n{\"execute\":\"qmp_capabilities\"}\n"
				    "{\"execute\":\"migrate\",\"arguments\":{}}\n"});
	waits_for_an_operator(&s);
	scene_free(&s);
}
END_TEST

/*
 * protocol.md 16.2: "A daemon MUST NOT dial, open, look for or otherwise believe what a cookie says
 * whose MAC is not right"
 */
START_TEST(peer_is_not_dialled)
{
	struct scene s;

	scene_new(&s);
	fake_note_cookie(&s.vmm, fake_note_new(&s.vmm, &session, NOTE_COMMITTING),
		&(struct fake_cookie){.uri = s.dest.uri});
	waits_for_an_operator(&s);
	scene_free(&s);
}
END_TEST

/* Opening it would wait for its other end, for good. */
START_TEST(fifo_is_not_opened)
{
	struct scene s;
	const char *dir;

	scene_new(&s);
	dir = harness_path(s.h, "creds");
	h_check(s.h,
		mkdir(dir, 0700) == 0 && mkfifo(harness_path(s.h, "creds/ca-cert.pem"), 0600) == 0,
		"%s: %m", dir);
	fake_note_cookie(&s.vmm, fake_note_new(&s.vmm, &session, NOTE_COMMITTING),
		&(struct fake_cookie){.uri = s.dest.uri, .creds = dir});
	waits_for_an_operator(&s);
	scene_free(&s);
}
END_TEST

START_TEST(file_is_not_looked_for)
{
	char uri[HARNESS_PATH + 8];
	struct scene s;
	const char *part;
	int fd;

	scene_new(&s);
	part = harness_path(s.h, ".guest." SESSION ".part");
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL, 0600);
	h_check(s.h, fd >= 0, "%s: %m", part);
	close(fd);
	snprintf(uri, sizeof(uri), "file:%s", harness_path(s.h, "guest"));
	fake_note_cookie(&s.vmm, fake_note_new(&s.vmm, &session, NOTE_COMMITTING),
		&(struct fake_cookie){.uri = uri});
	waits_for_an_operator(&s);
	h_check(s.h, access(part, F_OK) == 0, "%s was removed", part);
	scene_free(&s);
}
END_TEST

/* A note that is another VM's, another session's or the other end's is as good as none. */
enum kind { OF_ANOTHER_VM, OF_ANOTHER_SESSION, OF_THE_OTHER_END, CHANGED, KINDS };

START_TEST(note_of_something_else)
{
	struct vmm_note *n;
	struct scene s;

	scene_new(&s);
	n = fake_note_new(&s.vmm, &session, NOTE_COMMITTING);
	fake_note_cookie(&s.vmm, n, &(struct fake_cookie){.uri = s.dest.uri});
	if (_i == OF_ANOTHER_SESSION)
		n->session = other;
	if (_i == OF_THE_OTHER_END)
		n->note = NOTE_READY;
	fake_note_seal(&s.vmm, n, _i == OF_ANOTHER_VM ? "vm2" : NULL);
	n->session = session;
	n->note = NOTE_COMMITTING;
	if (_i == CHANGED)
		n->cookie[2 + 16 + 2] ^= 1;
	waits_for_an_operator(&s);
	scene_free(&s);
}
END_TEST

/* The operator knows that the guest runs at the destination: nobody is told, who would that be? */
START_TEST(given_up_by_an_operator)
{
	struct vmm_request release;
	struct scene s;

	scene_new(&s);
	fake_note_cookie(&s.vmm, fake_note_new(&s.vmm, &session, NOTE_COMMITTING),
		&(struct fake_cookie){.uri = s.dest.uri});
	fake_vmm_register(&s.vmm);
	is_unresolved(&s, "asking");
	resolve(&s, "discard");
	fake_vmm_request(&s.vmm, VMM_RELEASE, &release);
	fake_vmm_answer(&s.vmm, &release);
	host_status(s.host, VM, "completed");
	h_check(s.h, !fake_dest_called(&s.dest), "it was dialled");
	scene_free(&s);
}
END_TEST

/* A member that no parameter takes, though the MAC is right: an older release took it. */
START_TEST(host_name_that_is_none)
{
	struct vmm_note *n;
	struct scene s;
	struct json_object *e;

	scene_new(&s);
	n = fake_note_new(&s.vmm, &session, NOTE_COMMITTING);
	fake_note_cookie(&s.vmm, n, &(struct fake_cookie){.uri = s.dest.uri, .hostname = "host b"});
	fake_note_seal(&s.vmm, n, NULL);
	fake_vmm_register(&s.vmm);
	e = host_event(s.host, "MIGRATION_UNRESOLVED", VM, "session", SESSION);
	h_check_text(s.h, member_text(member(e, "data"), "desc", ""), "host name");
	json_object_put(e);
	h_check(s.h, !fake_dest_called(&s.dest), "it was dialled");
	scene_free(&s);
}
END_TEST

/* --- destinations' notes --------------------------------------------------------------------- */

static void is_answered(struct scene *s, enum wire_type type)
{
	const struct wire_session asked = {.session = session, .uuid = s->vmm.reg.uuid};
	struct talk t;

	talk_dial(&t, s->host, &s->vmm, WIRE_ROLE_QUESTION);
	talk_session(&t, WIRE_COMMIT, &asked);
	talk_expect(&t, type);
	talk_close(&t);
}

START_TEST(ready_is_not_run)
{
	struct vmm_request dead;
	struct scene s;

	scene_new(&s);
	fake_note_new(&s.vmm, &session, NOTE_READY);
	fake_vmm_register(&s.vmm);
	is_unresolved(&s, "in-ready");
	is_answered(&s, WIRE_UNKNOWN);
	resolve(&s, "discard");
	fake_vmm_request(&s.vmm, VMM_NOTE, &dead);
	h_check(s.h, dead.note == NOTE_DEAD, "the copy is not given up");
	fake_vmm_answer(&s.vmm, &dead);
	host_status(s.host, VM, "cancelled");
	is_answered(&s, WIRE_UNKNOWN);
	scene_free(&s);
}
END_TEST

START_TEST(run_is_not_told)
{
	struct scene s;

	scene_new(&s);
	s.vmm.reg.running = true;
	fake_note_new(&s.vmm, &session, NOTE_RUN);
	fake_vmm_register(&s.vmm);
	is_unresolved(&s, "in-running");
	is_answered(&s, WIRE_UNKNOWN);
	resolve(&s, "run");
	host_status(s.host, VM, "completed");
	scene_free(&s);
}
END_TEST

/* NEVER would have the source take its guest back, which may run here. */
START_TEST(dead_is_not_never)
{
	struct scene s;

	scene_new(&s);
	fake_note_new(&s.vmm, &session, NOTE_DEAD);
	fake_vmm_register(&s.vmm);
	is_answered(&s, WIRE_UNKNOWN);
	fake_vmm_close(&s.vmm);
	s.vmm.reg.n_notes = 0;
	fake_note(&s.vmm, &session, NOTE_DEAD, NULL);
	fake_vmm_register(&s.vmm);
	is_answered(&s, WIRE_NEVER);
	scene_free(&s);
}
END_TEST

/* The VMM is gone, and another one says that it holds the session that this daemon conducts. */
START_TEST(session_of_another_process)
{
	static const struct wire_session arriving = {.session = {{1}}, .uuid = {{'1'}}};
	struct vmm_request dead;
	struct talk control;
	struct scene s;

	scene_new(&s);
	s.vmm.reg.incoming = true;
	fake_vmm_register(&s.vmm);
	host_do(s.host, "migrate-incoming", "{'vm': '" VM "'}");
	talk_dial(&control, s.host, &s.vmm, WIRE_ROLE_CONTROL);
	talk_open(&control, &arriving, VM);
	talk_expect(&control, WIRE_ACCEPT);
	talk_close(&control);
	fake_vmm_request(&s.vmm, VMM_NOTE, &dead);
	fake_vmm_reply(&s.vmm, dead.serial, -EIO, NOTE_LOADING);
	host_status(s.host, VM, "failed");
	fake_vmm_close(&s.vmm);
	fake_note_new(&s.vmm, &session, NOTE_DEAD);
	fake_vmm_register(&s.vmm);
	is_answered(&s, WIRE_UNKNOWN);
	scene_free(&s);
}
END_TEST

/* --- many of them ---------------------------------------------------------------------------- */

#define MANY 70 /* more than migrations may be under way */

/*
 * One user's VMs bring all the notes along that they can: others migrate, clients are answered, and
 * what a VM said goes with it.
 */
START_TEST(many_notes)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL), *b = host_start(h, "b", NULL);
	struct fake_vmm *vmms = calloc(MANY, sizeof(*vmms));
	struct json_object *list, *sessions, *d;
	size_t notes = 0;

	h_check(h, vmms, "out of memory");
	for (unsigned i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "many%u", i);
		fake_vmm_new(&vmms[i], b, name);
		vmms[i].reg.uuid = (struct vm_uuid){{0xaa, (uint8_t)i}};
		for (unsigned k = 0; k < VMM_NOTES_MAX; k++)
			fake_note_new(&vmms[i], &(struct session_id){{1, (uint8_t)i, (uint8_t)k}},
				NOTE_COMMITTING);
		fake_vmm_register(&vmms[i]);
	}
	list = host_ask(b, "query-vms", NULL);
	h_check(h, json_object_array_length(list) == MANY, "not all VMs are in the answer");
	for (size_t i = 0; i < MANY; i++) {
		sessions = member(json_object_array_get_idx(list, i), "sessions");
		notes += json_object_array_length(sessions);
	}
	h_check(h, notes == (size_t)MANY * VMM_NOTES_MAX, "%zu notes are in the answer", notes);
	json_object_put(list);
	list = host_ask(b, "query-vms", "{'start': 68, 'limit': 5}");
	h_check(h, json_object_array_length(list) == 2, "the last page has %zu VMs",
		json_object_array_length(list));
	h_check_text(h, member_text(json_object_array_get_idx(list, 1), "name", ""), "many69");
	json_object_put(list);
	list = host_ask(b, "query-vms", "{'vm': 'many7'}");
	h_check(h, json_object_array_length(list) == 1, "one VM is not alone");
	json_object_put(list);

	guest_start(a, "vm1", &(struct guest_opts){.rate = 1000});
	guest_start(b, "vm1", &(struct guest_opts){.incoming = true, .rate = 1000});
	host_do(b, "migrate-incoming", "{'vm': 'vm1'}");
	host_do(a, "migrate", "{'vm': 'vm1', 'uri': '%s'}", b->uri);
	host_status(a, "vm1", "completed");

	for (unsigned i = 0; i < MANY; i++) {
		fake_vmm_kill(&vmms[i]);
		json_object_put(host_event(b, "VM_GONE", vmms[i].reg.name, NULL, NULL));
	}
	d = host_ask(b, "query-daemon", NULL);
	h_check(h, member_int(d, "migrations", -1) == 0, "sessions of nobody are left");
	json_object_put(d);
	for (unsigned i = 0; i < MANY; i++)
		fake_vmm_free(&vmms[i]);
	free(vmms);
	harness_free(h);
}
END_TEST

/* --- the key --------------------------------------------------------------------------------- */

START_TEST(key_that_others_read)
{
	const char *argv[] = {"htab-migrated", "--plaintext", "--control", NULL, "--vmm-socket",
		NULL, "--listen", "tcp:127.0.0.1:0", NULL};
	struct harness *h = harness_new();
	char control[HARNESS_PATH], vmm[HARNESS_PATH];
	const char *key = harness_path(h, "note-key");
	int fd = open(key, O_WRONLY | O_CREAT, 0644);

	h_check(h, fd >= 0 && fchmod(fd, 0644) == 0, "%s: %m", key);
	close(fd);
	snprintf(control, sizeof(control), "%s", harness_path(h, "c.sock"));
	snprintf(vmm, sizeof(vmm), "%s", harness_path(h, "vmm.sock"));
	argv[3] = control;
	argv[5] = vmm;
	h_check(h, harness_run(h, argv, NULL) == 1, "it starts with a key that others may read");
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("notes", &c);

	harness_add(c, control_socket_is_not_dialled);
	harness_add(c, peer_is_not_dialled);
	harness_add(c, fifo_is_not_opened);
	harness_add(c, file_is_not_looked_for);
	harness_add_loop(c, note_of_something_else, KINDS);
	harness_add(c, given_up_by_an_operator);
	harness_add(c, host_name_that_is_none);
	harness_add(c, ready_is_not_run);
	harness_add(c, run_is_not_told);
	harness_add(c, dead_is_not_never);
	harness_add(c, session_of_another_process);
	harness_add(c, many_notes);
	harness_add(c, key_that_others_read);
	return harness_main(s);
}
