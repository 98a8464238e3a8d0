/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What everything is measured against: a bare TLS 1.3 stream, AES-256-GCM, SSL_write() in one
 * thread and SSL_read() in another, over TCP on loopback, and nothing else. The handshake is not
 * counted.
 */
#include <stdint.h>

struct tlsloop_result {
	uint64_t bytes;
	uint64_t ns;     /* from the first byte to the last one read */
	uint64_t cpu_ns; /* of both threads */
};

/* Exits with a sentence when something is wrong: for programs that measure. */
void tlsloop_run(uint64_t bytes, struct tlsloop_result *ret);
