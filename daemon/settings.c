/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/settings.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/jsonread.h"
#include "proto/text.h"

#define FILE_MAX (256 * 1024) /* bytes */

static const char usage[] =
	"usage: htab-migrated [--config FILE] [--control PATH] [--vmm-socket PATH] [--listen URI]...\n"
	"                     [--tls-creds DIR] [--plaintext] [--name NAME] [--state-dir DIR]\n"
	"                     [--verbose]\n"
	"Moves running POWER guests between hosts; see htab-migrated(8).\n"
	"  --config FILE      JSON configuration (" SETTINGS_FILE " if it exists)\n"
	"  --control PATH     control socket (" SETTINGS_RUN_DIR "/control.sock)\n"
	"  --vmm-socket PATH  where VMMs register (" SETTINGS_RUN_DIR "/vmm.sock)\n"
	"  --listen URI       listen for other daemons (tcp::4660); may be repeated\n"
	"  --tls-creds DIR    certificates and keys (" SETTINGS_TLS_DIR ")\n"
	"  --plaintext        no TLS: anybody on the network may read and change guests\n"
	"  --name NAME        what the other daemon calls this one (the host's name)\n"
	"  --state-dir DIR    what outlives the daemon, the key of its notes (" SETTINGS_STATE_DIR
	",\n"
	"                     with another --control the directory of that)\n";

static int copy(char *dst, size_t size, const char *what, const char *value, struct err *err)
{
	if (!value[0] || strlen(value) >= size)
		return err_set(
			err, -EINVAL, "%s is empty or longer than %zu bytes", what, size - 1);
	/* Answers, logs and terminals show it. */
	if (!text_is_clean(value))
		return err_set(err, -EINVAL,
			"%s is '%s': it has a control character or is no UTF-8", what, value);
	strcpy(dst, value);
	return 0;
}

static int add_listen(struct config *c, const char *uri, struct err *err)
{
	struct uri u;
	int r = uri_parse(uri, &u, err);

	if (r < 0)
		return r;
	if (u.kind != URI_TCP && u.kind != URI_UNIX)
		return err_set(err, -EINVAL, "'%s' cannot be listened at: use tcp: or unix:", uri);
	if (c->n_listen == LISTEN_MAX)
		return err_set(err, -EINVAL, "more than %d addresses to listen at", LISTEN_MAX);
	return copy(c->listen[c->n_listen++], URI_MAX, "listen", uri, err);
}

static int file_list(struct config *c, const char *name, struct json_object *v, struct err *err)
{
	int r = 0;

	c->listen_given |= !strcmp(name, "listen"); /* an empty list: nowhere */

	if (!json_object_is_type(v, json_type_array))
		return err_set(err, -EINVAL, "'%s' expects a list", name);
	for (size_t i = 0; r == 0 && i < json_object_array_length(v); i++) {
		struct json_object *e = json_object_array_get_idx(v, i);

		if (!strcmp(name, "allow"))
			r = allow_add(&c->allow, e, err);
		else if (json_object_is_type(e, json_type_string))
			r = add_listen(c, json_object_get_string(e), err);
		else
			r = err_set(err, -EINVAL, "'listen' expects a list of strings");
	}
	return r;
}

static int file_vms_per_user(struct config *c, struct json_object *v, struct err *err)
{
	int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;

	if (n < 1 || n > VMS_MAX)
		return err_set(err, -EINVAL, "'vms-per-user' expects 1 to %d", VMS_MAX);
	c->vms_per_user = (unsigned)n;
	return 0;
}

/* One member of the file. tls-creds names the daemon's directory here. */
static int file_member(struct config *c, const char *name, struct json_object *v, struct err *err)
{
	const struct {
		const char *name;
		char *dst;
		size_t size;
	} texts[] = {
		{"control", c->control, sizeof(c->control)},
		{"vmm-socket", c->vmm_socket, sizeof(c->vmm_socket)},
		{"state-dir", c->state_dir, sizeof(c->state_dir)},
		{"tls-creds", c->tls_dir, sizeof(c->tls_dir)},
		{"name", c->name, sizeof(c->name)},
	};
	struct json_object *one;
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(texts[i].name, name))
			continue;
		if (!json_object_is_type(v, json_type_string))
			return err_set(err, -EINVAL, "'%s' expects a string", name);
		return copy(texts[i].dst, texts[i].size, name, json_object_get_string(v), err);
	}
	if (!strcmp(name, "vms-per-user"))
		return file_vms_per_user(c, v, err);
	if (!strcmp(name, "listen") || !strcmp(name, "allow"))
		return file_list(c, name, v, err);
	if (!strcmp(name, "plaintext") || !strcmp(name, "ktls")) {
		if (!json_object_is_type(v, json_type_boolean))
			return err_set(err, -EINVAL, "'%s' expects true or false", name);
		if (!strcmp(name, "ktls"))
			c->no_ktls = !json_object_get_boolean(v);
		else
			c->plaintext = json_object_get_boolean(v);
		return 0;
	}
	one = json_object_new_object();
	json_object_object_add(one, name, json_object_get(v));
	r = params_set(&c->params, one, NULL, err);
	json_object_put(one);
	return r;
}

/* The file's text, which the caller frees. */
static int load_file(const char *path, char **ret, size_t *ret_len, struct err *err)
{
	char *text = malloc(FILE_MAX + 1);
	int fd = fd_open_regular(path), r = 0;
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		r = err_set(err, -ENOMEM, "out of memory");
	else if (fd == -EMEDIUMTYPE)
		r = err_set(err, fd, "%s is no regular file", path);
	else if (fd < 0)
		r = err_set(err, fd, "cannot open %s: %s", path, strerror(-fd));
	while (r == 0 && n > 0 && len <= FILE_MAX) {
		n = read(fd, text + len, FILE_MAX + 1 - len);
		if (n < 0)
			r = err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
		else
			len += (size_t)n;
	}
	if (r == 0 && len > FILE_MAX)
		r = err_set(err, -EFBIG, "%s is longer than %d bytes", path, FILE_MAX);
	fd_close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int read_file(struct config *c, const char *path, bool must, struct err *err)
{
	struct json_object *o = NULL;
	char *text;
	size_t len;
	int r;

	if (!must && access(path, F_OK) < 0)
		return 0;
	r = load_file(path, &text, &len, err);
	if (r < 0)
		return r;
	r = jsonread_text(text, len, &o, err);
	free(text);
	if (r < 0)
		return err_prefix(err, "%s", path);
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return err_set(err, -EINVAL, "%s: not a JSON object", path);
	}
	json_object_object_foreach(o, name, value)
	{
		r = file_member(c, name, value, err);
		if (r < 0) {
			err_prefix(err, "%s", path);
			break;
		}
	}
	json_object_put(o);
	return r;
}

enum opt {
	OPT_CONFIG = 1,
	OPT_CONTROL,
	OPT_VMM,
	OPT_LISTEN,
	OPT_TLS,
	OPT_PLAINTEXT,
	OPT_NAME,
	OPT_STATE,
	OPT_VERBOSE,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"control", required_argument, NULL, OPT_CONTROL},
	{"vmm-socket", required_argument, NULL, OPT_VMM},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"tls-creds", required_argument, NULL, OPT_TLS},
	{"plaintext", no_argument, NULL, OPT_PLAINTEXT},
	{"name", required_argument, NULL, OPT_NAME},
	{"state-dir", required_argument, NULL, OPT_STATE},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

static int take_option(struct config *c, int opt, bool *listens, struct err *err)
{
	switch ((enum opt)opt) {
	case OPT_CONFIG: return 0;
	case OPT_CONTROL: return copy(c->control, sizeof(c->control), "--control", optarg, err);
	case OPT_VMM:
		return copy(c->vmm_socket, sizeof(c->vmm_socket), "--vmm-socket", optarg, err);
	case OPT_LISTEN:
		if (!*listens)
			c->n_listen = 0; /* in place of the file's */
		*listens = true;
		return add_listen(c, optarg, err);
	case OPT_TLS: return copy(c->tls_dir, sizeof(c->tls_dir), "--tls-creds", optarg, err);
	case OPT_PLAINTEXT: c->plaintext = true; return 0;
	case OPT_NAME: return copy(c->name, sizeof(c->name), "--name", optarg, err);
	case OPT_STATE: return copy(c->state_dir, sizeof(c->state_dir), "--state-dir", optarg, err);
	case OPT_VERBOSE: c->verbose = true; return 0;
	case OPT_HELP: fputs(usage, stdout); return 1;
	case OPT_VERSION: puts(PACKAGE_STRING); return 1;
	}
	return err_set(err, -EINVAL, "unknown option; --help tells what there is");
}

static int defaults(struct config *c)
{
	memset(c, 0, sizeof(*c));
	params_default(&c->params);
	c->vms_per_user = VMS_OF_USER_MAX;
	strcpy(c->control, SETTINGS_RUN_DIR "/control.sock");
	strcpy(c->vmm_socket, SETTINGS_RUN_DIR "/vmm.sock");
	if (gethostname(c->name, sizeof(c->name) - 1) < 0)
		strcpy(c->name, "localhost");
	text_clean(c->name);
	return 0;
}

/* Who names credentials, or a peer, does not want to do without TLS. */
static int complete_tls(struct config *c, struct err *err)
{
	const char *name = c->tls_dir[0] ? "tls-creds" : params_tls(&c->params);

	if (c->plaintext && name)
		return err_set(err, -EINVAL,
			"'plaintext' and '%s' exclude each other: without TLS there are neither "
			"certificates nor names",
			name);
	if (!c->tls_dir[0])
		strcpy(c->tls_dir, SETTINGS_TLS_DIR);
	return 0;
}

/* systemd's, if it gave one; else a daemon that is not the host's own keeps all in one place. */
static void choose_state_dir(struct config *c)
{
	const char *given = getenv("STATE_DIRECTORY"), *slash = strrchr(c->control, '/');
	size_t n = given ? strcspn(given, ":") : 0;

	if (c->state_dir[0])
		return;
	if (n && given[0] == '/' && n < sizeof(c->state_dir))
		snprintf(c->state_dir, sizeof(c->state_dir), "%.*s", (int)n, given);
	else if (!strcmp(c->control, SETTINGS_RUN_DIR "/control.sock"))
		strcpy(c->state_dir, SETTINGS_STATE_DIR);
	else
		snprintf(c->state_dir, sizeof(c->state_dir), "%.*s",
			slash ? (int)(slash - c->control) + (slash == c->control) : 1,
			slash ? c->control : ".");
}

int settings_parse(int argc, char **argv, struct config *ret, struct err *err)
{
	const char *file = NULL;
	bool listens = false;
	struct config *c = ret;
	int opt, r;

	defaults(c);
	/* Twice: the file comes first, whatever the order on the command line. */
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == '?')
			return err_set(err, -EINVAL, "unknown option; --help tells what there is");
		if (opt == OPT_CONFIG)
			file = optarg;
	}
	if (optind < argc)
		return err_set(err, -EINVAL, "'%s' is unexpected; --help tells what there is",
			argv[optind]);
	r = read_file(c, file ? file : SETTINGS_FILE, file != NULL, err);
	if (r < 0)
		return r;
	optind = 0;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = take_option(c, opt, &listens, err);
		if (r)
			return r;
	}
	choose_state_dir(c);
	r = complete_tls(c, err);
	if (r == 0 && c->n_listen == 0 && !c->listen_given)
		r = add_listen(c, "tcp::" DIAL_PORT, err);
	return r;
}
