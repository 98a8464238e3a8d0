/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/cookie.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_VERSION 1

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
	return pack_end(&k) < 0 ? -EMSGSIZE : (int)k.len;
}

int cookie_unpack_source(struct migration *m, const struct vmm_note *note)
{
	struct vm_uuid uuid;
	struct unpack u;
	struct err err;

	unpack_init(&u, note->cookie, note->cookie_len);
	if (unpack_u16(&u) != SOURCE_VERSION)
		return -EBADMSG;
	unpack_copy(&u, uuid.b, sizeof(uuid.b));
	unpack_str(&u, m->uri_text, sizeof(m->uri_text));
	unpack_str(&u, m->peer_name, sizeof(m->peer_name));
	unpack_str(&u, m->agreed.tls_hostname, sizeof(m->agreed.tls_hostname));
	unpack_str(&u, m->agreed.tls_creds, sizeof(m->agreed.tls_creds));
	if (unpack_end(&u) < 0 || !uuid_eq(&uuid, &m->uuid) ||
		uri_parse(m->uri_text, &m->uri, &err) < 0)
		return -EBADMSG;
	return 0;
}

/* The source's authenticated name; of a file, a zero byte, which no name has, and the URI. */
uint16_t cookie_pack_dest(const struct migration *m, uint8_t buf[static VMM_COOKIE_MAX])
{
	bool file = migration_is_file(m);
	const char *text = file ? m->uri_text : m->peer_name;
	size_t n = strlen(text);

	static_assert(1 + URI_MAX <= VMM_COOKIE_MAX && PEER_NAME_MAX <= VMM_COOKIE_MAX, "fits");
	buf[0] = 0;
	memcpy(buf + file, text, n);
	return (uint16_t)(file + n);
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
