/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * TLS for tests that write their own frames: a connection to a daemon with any certificate, whose
 * plain end is a descriptor. A thread carries the bytes; it ends with the connection.
 */
#include "tests/integration/harness.h"

/* Connect to uri (tcp:127.0.0.1:PORT) with the client's certificate of a harness_creds() directory,
 * which the daemon there has to take. The descriptor is the caller's. */
int mask_dial(struct harness *h, const char *uri, const char *creds);
