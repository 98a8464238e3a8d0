/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session/notekey.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"

#define LABEL   "htab-migrated note" /* so that no other use of the key says the same */
#define VERSION 1

/* -- the file -- */

static int wrong(struct err *err, const char *path, const char *why)
{
	return err_set(err, -EACCES,
		"%s, the key of the notes that VMMs keep, %s: mend that, or remove it, after which "
		"hand-overs that were under way wait for an operator",
		path, why);
}

static int read_key(int fd, const char *path, struct notekey *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return wrong(err, path, "is no regular file");
	if (st.st_uid != geteuid())
		return wrong(err, path, "belongs to another user than this daemon's");
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return wrong(err, path, "is open to others than its owner (it needs mode 0600)");
	if (st.st_size != NOTEKEY_SIZE || read(fd, ret->b, NOTEKEY_SIZE) != NOTEKEY_SIZE)
		return wrong(err, path, "has not the 32 bytes of a key");
	return 0;
}

static int write_key(int dir_fd, const char *name)
{
	struct notekey key;
	int fd, r = 0;

	if (getrandom(key.b, sizeof(key.b), 0) != sizeof(key.b))
		return -EIO;
	fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, key.b, sizeof(key.b)) != sizeof(key.b) || fsync(fd) < 0)
		r = errno ? -errno : -EIO;
	OPENSSL_cleanse(&key, sizeof(key));
	close(fd);
	return r;
}

/* By another name first: the key's has the whole key or nothing, and another daemon's stays. */
static int make_key(int dir_fd)
{
	char name[32];
	uint64_t n;
	int r;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return -EIO;
	snprintf(name, sizeof(name), ".note-key.%016llx", (unsigned long long)n);
	r = write_key(dir_fd, name);
	if (r == 0 && linkat(dir_fd, name, dir_fd, "note-key", 0) < 0 && errno != EEXIST)
		r = -errno;
	unlinkat(dir_fd, name, 0);
	return r == 0 && fsync(dir_fd) < 0 ? -errno : r;
}

static int open_key(int dir_fd)
{
	int fd = openat(dir_fd, "note-key", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int notekey_load(const char *dir, struct notekey *ret, struct err *err)
{
	char path[320];
	int dir_fd, fd, r;

	snprintf(path, sizeof(path), "%s/note-key", dir);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno,
			"cannot make the state directory %s: %s: see --state-dir", dir,
			strerror(errno));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_set(err, -errno,
			"cannot open the state directory %s: %s: see --state-dir", dir,
			strerror(errno));
	fd = open_key(dir_fd);
	r = fd == -ENOENT ? make_key(dir_fd) : 0;
	if (r < 0) {
		close(dir_fd);
		return err_set(err, r,
			"cannot make %s, the key of the notes that VMMs keep: %s: see --state-dir",
			path, strerror(-r));
	}
	if (fd == -ENOENT)
		fd = open_key(dir_fd);
	close(dir_fd);
	if (fd < 0)
		return wrong(err, path, fd == -ELOOP ? "is a symbolic link" : strerror(-fd));
	r = read_key(fd, path, ret, err);
	close(fd);
	return r;
}

/* -- cookies -- */

static int mac(const struct notekey *key, const struct note_of *of, const uint8_t *cookie,
	size_t len, uint8_t ret[static NOTEKEY_MAC])
{
	uint8_t buf[VMM_COOKIE_MAX + 256];
	struct pack k;
	size_t n;

	pack_init(&k, buf, sizeof(buf));
	pack_str(&k, LABEL);
	pack_u16(&k, VERSION);
	pack_u8(&k, (uint8_t)of->end);
	pack_bytes(&k, of->session->b, sizeof(of->session->b));
	pack_bytes(&k, of->uuid->b, sizeof(of->uuid->b));
	pack_str(&k, of->vm_name);
	pack_u16(&k, (uint16_t)len);
	pack_bytes(&k, cookie, len);
	if (pack_end(&k) < 0)
		return -EMSGSIZE;
	if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->b, sizeof(key->b), buf, k.len, ret,
		    NOTEKEY_MAC, &n) ||
		n != NOTEKEY_MAC)
		return -ENOMEM;
	return 0;
}

int notekey_seal(const struct notekey *key, const struct note_of *of,
	uint8_t cookie[static VMM_COOKIE_MAX], size_t len)
{
	int r;

	if (len + NOTEKEY_MAC > VMM_COOKIE_MAX)
		return -EMSGSIZE;
	r = mac(key, of, cookie, len, cookie + len);
	return r < 0 ? r : (int)(len + NOTEKEY_MAC);
}

int notekey_open(const struct notekey *key, const struct note_of *of, struct vmm_note *note)
{
	uint8_t want[NOTEKEY_MAC];
	uint16_t len;

	if (note->cookie_len < NOTEKEY_MAC || note->cookie_len > VMM_COOKIE_MAX)
		return -EBADMSG;
	len = (uint16_t)(note->cookie_len - NOTEKEY_MAC);
	if (mac(key, of, note->cookie, len, want) < 0 ||
		CRYPTO_memcmp(want, note->cookie + len, NOTEKEY_MAC))
		return -EBADMSG;
	note->cookie_len = len;
	return 0;
}
