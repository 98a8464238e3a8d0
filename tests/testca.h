/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A throw-away certificate authority for tests and demonstrations: EC P-256 keys, files with QEMU's
 * and libvirt's names. Any thread. Its keys are worth nothing: never use them elsewhere.
 */
#include <stdbool.h>
#include <stddef.h>

#define TESTCA_NAMES_MAX 16

struct testca_options {
	const char *cn;                    /* of both certificates; NULL: "localhost" */
	size_t cn_len;                     /* of cn, if it has a NUL inside; 0: strlen(cn) */
	const char *dns[TESTCA_NAMES_MAX]; /* alternative names, up to a NULL */
	const char *ip[TESTCA_NAMES_MAX];
	const char *uri[TESTCA_NAMES_MAX];
	bool no_subject;    /* alternative names only */
	bool no_names;      /* a subject only */
	bool expired;       /* both ended yesterday */
	unsigned days;      /* both are valid for so long; 0: a year */
	const char *ca_dir; /* sign with the CA made there before; NULL: make a new one */
};

/*
 * Write ca-cert.pem, ca-key.pem, server-cert.pem, server-key.pem, client-cert.pem and
 * client-key.pem into dir, which is made if need be. Without any alternative name there are
 * DNS:localhost, IP:127.0.0.1 and IP:::1. 0 or a negative errno; bad names are -EINVAL.
 */
int testca_write(const char *dir, const struct testca_options *options);
/*
 * Write dir/ca-crl.pem by the CA that was made in ca_dir: it revokes the certificates in revoked
 * (NULL: none) and is good until days from now (negative: before).
 */
int testca_revoke(const char *dir, const char *ca_dir, const char *revoked, int days);
