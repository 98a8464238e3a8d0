/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/fakenote.h"

#include "daemon/session/notekey.h"

struct vmm_note *fake_note_new(
	struct fake_vmm *v, const struct session_id *session, enum session_note note)
{
	struct vmm_note *n = &v->reg.notes[v->reg.n_notes++];

	*n = (struct vmm_note){.session = *session, .note = note};
	return n;
}

void fake_note_cookie(struct fake_vmm *v, struct vmm_note *n, const struct fake_cookie *c)
{
	struct pack k;

	pack_init(&k, n->cookie, sizeof(n->cookie)); /* as daemon/session/cookie.c has it */
	pack_u16(&k, 2);
	pack_bytes(&k, v->reg.uuid.b, sizeof(v->reg.uuid.b));
	pack_str(&k, c->uri ? c->uri : "");
	pack_str(&k, c->peer ? c->peer : "");
	pack_str(&k, c->hostname ? c->hostname : "");
	pack_str(&k, c->creds ? c->creds : "");
	for (int i = 0; i < 3; i++) /* no directory */
		pack_u64(&k, 0);
	h_check(v->host->h, pack_end(&k) == 0, "the cookie is too long");
	n->cookie_len = (uint16_t)k.len;
}

void fake_note_seal(struct fake_vmm *v, struct vmm_note *n, const char *vm_name)
{
	struct note_of of = {n->note == NOTE_COMMITTING ? NOTE_OF_SOURCE : NOTE_OF_DESTINATION,
		&n->session, &v->reg.uuid, vm_name ? vm_name : v->reg.name};
	struct notekey key;
	struct err err;
	int len;

	h_check(v->host->h, notekey_load(v->host->dir, &key, &err) == 0, "%s", err.text);
	len = notekey_seal(&key, &of, n->cookie, n->cookie_len);
	h_check(v->host->h, len > 0, "the cookie is too long");
	n->cookie_len = (uint16_t)len;
}

void fake_note(struct fake_vmm *v, const struct session_id *session, enum session_note note,
	const char *uri)
{
	struct vmm_note *n = fake_note_new(v, session, note);

	if (uri)
		fake_note_cookie(v, n, &(struct fake_cookie){.uri = uri});
	fake_note_seal(v, n, NULL);
}
