/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of credentials: read whole by us, and then parsed. OpenSSL would open whatever the path
 * names, and wait for a FIFO's writer as long as there is none.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/tls.h"

#define FILE_MAX (1024 * 1024)

/* Without this OpenSSL asks the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static int bad_file(const char *path, const char *what, struct err *err)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return err_set(err, -EINVAL, "%s is not %s in PEM form (%s)", path, what,
		why ? why : "unreadable");
}

/* Did the last object of a file just end, or is what follows none? */
static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

static int fill(int fd, const char *path, uint8_t *buf, size_t size, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, n < 0 ? -errno : -EIO, "cannot read %s: %s", path,
				n < 0 ? strerror(errno) : "it became shorter meanwhile");
		done += (size_t)n;
	}
	return 0;
}

/* A BIO of its own copy of what the file holds. */
static int read_file(const char *path, BIO **ret, mode_t *ret_mode, struct err *err)
{
	int fd = fd_open_regular(path), r = 0;
	uint8_t *buf = NULL;
	struct stat st;

	if (fd == -EMEDIUMTYPE || fd == -EISDIR)
		return err_set(err, -EINVAL, "%s is no regular file", path);
	if (fd < 0)
		return err_set(err, fd, "cannot read %s: %s", path, strerror(-fd));
	if (fstat(fd, &st) < 0)
		r = err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	else if (st.st_size > FILE_MAX)
		r = err_set(err, -EFBIG, "%s has more than %d bytes: it is no file of certificates",
			path, FILE_MAX);
	else if (!(buf = OPENSSL_malloc((size_t)st.st_size + 1)))
		r = err_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = fill(fd, path, buf, (size_t)st.st_size, err);
	fd_close(fd);
	if (r == 0) {
		*ret = BIO_new(BIO_s_secmem());
		if (!*ret || BIO_write(*ret, buf, (int)st.st_size) != (int)st.st_size) {
			BIO_free(*ret);
			r = err_set(err, -ENOMEM, "out of memory");
		}
	}
	if (buf)
		OPENSSL_clear_free(buf, (size_t)st.st_size + 1);
	if (r == 0 && ret_mode)
		*ret_mode = st.st_mode;
	return r;
}

int tls_pem_certs(const char *path, STACK_OF(X509) * *ret, struct err *err)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	BIO *bio;
	X509 *c;
	int r = certs ? read_file(path, &bio, NULL, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0) {
		sk_X509_free(certs);
		return r;
	}
	ERR_clear_error();
	while ((c = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL))) {
		if (sk_X509_push(certs, c) == 0) {
			X509_free(c);
			break;
		}
	}
	if (sk_X509_num(certs) == 0 || !at_end())
		r = bad_file(path, "a certificate", err);
	BIO_free(bio);
	if (r < 0)
		sk_X509_pop_free(certs, X509_free);
	else
		*ret = certs;
	return r;
}

int tls_pem_key(const char *path, EVP_PKEY **ret, mode_t *ret_mode, struct err *err)
{
	BIO *bio;
	int r = read_file(path, &bio, ret_mode, err);

	if (r < 0)
		return r;
	ERR_clear_error();
	*ret = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	return *ret ? 0 : bad_file(path, "an unencrypted private key", err);
}

int tls_pem_crls(const char *path, X509_STORE *store, time_t *ret_end, struct err *err)
{
	unsigned n = 0;
	time_t end = 0;
	X509_CRL *crl;
	BIO *bio;
	int r = read_file(path, &bio, NULL, err);

	if (r < 0)
		return r;
	ERR_clear_error();
	while ((crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL))) {
		time_t t = tls_cert_time(X509_CRL_get0_nextUpdate(crl));

		n += X509_STORE_add_crl(store, crl) == 1;
		if (t && (!end || t < end))
			end = t;
		X509_CRL_free(crl);
	}
	if (n == 0 || !at_end())
		r = bad_file(path, "a list of revoked certificates", err);
	BIO_free(bio);
	if (r == 0)
		*ret_end = end;
	return r;
}
