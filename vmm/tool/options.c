/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/tool/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/number.h"
#include "proto/htab.h"
#include "proto/pack.h"
#include "proto/text.h"

/* -- options ---------------------------------------------------------------------------------- */

int vmm_help(const char *usage)
{
	fputs(usage, stdout);
	if (fflush(stdout) == 0)
		return 1;
	fprintf(stderr, "%s: cannot write the output: %m\n", vmm_program);
	return -EIO;
}

int vmm_refuse(const char *option, const char *value, const char *why)
{
	char text[1024]; /* a value that is longer is not shown to its end */

	snprintf(text, sizeof(text), "--%s %s: %s", option, value, why);
	text_clean(text);
	fprintf(stderr, "%s: %s\n", vmm_program, text);
	return -EINVAL;
}

int vmm_parse_number(const char *option, const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	char why[96];

	if (number_parse(s, min, max, ret) == 0)
		return 0;
	snprintf(why, sizeof(why), "it should be a number from %llu to %llu",
		(unsigned long long)min, (unsigned long long)max);
	return vmm_refuse(option, s, why);
}

int vmm_parse_name(const char *s, const char **ret)
{
	if (!vm_name_ok(s))
		return vmm_refuse(
			"name", s, "a name has 1 to 64 of A-Z a-z 0-9 . _ - and no leading dot");
	*ret = s;
	return 0;
}

int vmm_parse_uuid(const char *s, struct vm_uuid *ret)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	static const char why[] = "it should look like 01234567-89ab-cdef-0123-456789abcdef";
	struct vm_uuid u = {0};
	unsigned digits = 0;

	if (strlen(s) != sizeof(form) - 1)
		return vmm_refuse("uuid", s, why);
	for (unsigned i = 0; i < sizeof(form) - 1; i++) {
		static const char hex[] = "0123456789abcdef0123456789ABCDEF";
		const char *d = strchr(hex, s[i]);

		if (form[i] == '-' ? s[i] != '-' : !d)
			return vmm_refuse("uuid", s, why);
		if (form[i] == '-' || !d)
			continue;
		u.b[digits / 2] |= (uint8_t)(((d - hex) & 15) << (digits % 2 ? 0 : 4));
		digits++;
	}
	*ret = u;
	return 0;
}

void vmm_default_uuid(const char *name, struct vm_uuid *ret)
{
	size_t n = strlen(name);

	be64_put(ret->b, stream_digest(STREAM_DIGEST_INIT, name, n));
	be64_put(ret->b + 8, stream_digest(~STREAM_DIGEST_INIT, name, n));
	ret->b[6] = (ret->b[6] & 0x0f) | 0x80; /* version 8: made in a way of our own */
	ret->b[8] = (ret->b[8] & 0x3f) | 0x80; /* RFC 9562's variant */
}

/* -- events ----------------------------------------------------------------------------------- */

static void put_json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < ' ')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

void vmm_print_event(const char *event, const char *text, const struct vmm_figures *f)
{
	printf("{\"event\":\"%s\",\"text\":", event);
	put_json_string(text);
	printf(",\"counter\":%llu,\"changes\":%llu,\"errors\":%u,\"running\":%s}\n",
		(unsigned long long)f->counter, (unsigned long long)f->changes, f->errors,
		f->running ? "true" : "false");
	fflush(stdout);
}

const char *vmm_event_name(enum htabvmm_event event)
{
	switch (event) {
	case HTABVMM_REGISTERED: return "registered";
	case HTABVMM_REFUSED: return "refused";
	case HTABVMM_DISCONNECTED: return "disconnected";
	case HTABVMM_RESUMED: return "resumed";
	case HTABVMM_MIGRATED: return "migrated";
	case HTABVMM_LOADING: return "loading";
	case HTABVMM_READY: return "ready";
	case HTABVMM_STARTED: return "started";
	case HTABVMM_DEAD: return "dead";
	case HTABVMM_UNREACHABLE: return "unreachable";
	}
	return "?";
}
