/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* One QMP connection, as its own module and the server's list see it. Loop thread only. */
#include "daemon/qmp/impl.h"

struct qmp_client {
	TAILQ_ENTRY(qmp_client) link;
	struct qmp *qmp;
	struct qmp_sock *sock;
	int fd;
	uid_t uid;
	struct event *readable; /* pending only while there is nothing else to do */
	struct event *writable;
	struct event *kick; /* go on with commands that were read, or close */
	struct evbuffer *out;
	struct qmp_json json;
	struct qmp_call *call; /* the command under way: one at a time keeps answers in order */
	bool negotiated;
	bool eof;    /* nothing comes any more; answers may still be wanted */
	bool doomed; /* to be closed by the loop */
	bool closed; /* only kept because of: */
	bool busy;   /* process() is on the stack */

	int fds[QMP_FDS_RECEIVED];
	unsigned n_fds;
	bool fds_offered; /* a command has run since they came */

	size_t used, len; /* of in */
	char in[];
};
