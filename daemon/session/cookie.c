/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session/cookie.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/server.h"

#define SOURCE_VERSION 2

static int seal(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX], size_t len)
{
	struct note_of of = {m->incoming ? NOTE_OF_DESTINATION : NOTE_OF_SOURCE, &m->session,
		&m->uuid, m->vm_name};

	return notekey_seal(&m->srv->key, &of, buf, len);
}

bool cookie_open(const struct server *srv, const struct vm *vm, struct vmm_note *note)
{
	struct note_of of = {note->note == NOTE_COMMITTING ? NOTE_OF_SOURCE : NOTE_OF_DESTINATION,
		&note->session, &vm->reg.uuid, vm->reg.name};

	return notekey_open(&srv->key, &of, note) == 0;
}

int cookie_pack_source(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX])
{
	struct pack k;

	pack_init(&k, buf, VMM_COOKIE_MAX);
	pack_u16(&k, SOURCE_VERSION);
	pack_bytes(&k, m->uuid.b, sizeof(m->uuid.b));
	pack_str(&k, m->uri_text);
	pack_str(&k, m->peer_name);
	pack_str(&k, m->agreed.tls_hostname);
	pack_str(&k, m->agreed.tls_creds);
	pack_u64(&k, m->place.fsid);
	pack_u64(&k, m->place.dev);
	pack_u64(&k, m->place.ino);
	return pack_end(&k) < 0 ? -EMSGSIZE : seal(m, buf, k.len);
}

int cookie_unpack_source(struct migration *m, const struct vmm_note *note, struct err *err)
{
	char hostname[PARAM_TEXT_MAX], creds[PARAM_TEXT_MAX], uri[URI_MAX];
	struct vm_uuid uuid;
	struct uri parsed;
	struct unpack u;
	int r;

	unpack_init(&u, note->cookie, note->cookie_len);
	if (unpack_u16(&u) != SOURCE_VERSION)
		return err_set(err, -EBADMSG, "it is of another version");
	unpack_copy(&u, uuid.b, sizeof(uuid.b));
	unpack_str(&u, uri, sizeof(uri));
	unpack_str(&u, m->peer_name, sizeof(m->peer_name));
	unpack_str(&u, hostname, sizeof(hostname));
	unpack_str(&u, creds, sizeof(creds));
	m->place.fsid = unpack_u64(&u);
	m->place.dev = unpack_u64(&u);
	m->place.ino = unpack_u64(&u);
	if (unpack_end(&u) < 0 || !uuid_eq(&uuid, &m->uuid))
		return err_set(err, -EBADMSG, "it is malformed");
	r = uri_parse(uri, &parsed, err);
	if (r == 0)
		r = params_check_text("tls-hostname", hostname, err);
	if (r == 0)
		r = params_check_text("tls-creds", creds, err);
	if (r < 0)
		return r;
	m->uri = parsed;
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", uri);
	strcpy(m->agreed.tls_hostname, hostname);
	strcpy(m->agreed.tls_creds, creds);
	return 0;
}

/* The source's authenticated name; of a file, a zero byte, which no name has, and the URI. */
int cookie_pack_dest(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX])
{
	bool file = migration_is_file(m);
	const char *text = file ? m->uri_text : m->peer_name;
	size_t n = strlen(text);

	static_assert(1 + URI_MAX + NOTEKEY_MAC <= VMM_COOKIE_MAX &&
			PEER_NAME_MAX + NOTEKEY_MAC <= VMM_COOKIE_MAX,
		"fits");
	buf[0] = 0;
	memcpy(buf + file, text, n);
	return seal(m, buf, file + n);
}

static bool unpack_file(struct migration *m, const struct vmm_note *note)
{
	char text[URI_MAX];
	struct err err;

	if (note->cookie_len < 2 || note->cookie_len > sizeof(text) || note->cookie[0])
		return false;
	memcpy(text, note->cookie + 1, note->cookie_len - 1u);
	text[note->cookie_len - 1u] = 0;
	if (uri_parse(text, &m->uri, &err) < 0 || m->uri.kind != URI_FILE)
		return false;
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", text);
	return true;
}

void cookie_unpack_dest(struct migration *m, const struct vmm_note *note)
{
	if (!unpack_file(m, note))
		snprintf(m->peer_name, sizeof(m->peer_name), "%.*s", (int)note->cookie_len,
			(const char *)note->cookie);
}
