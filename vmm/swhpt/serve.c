/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabsock (proto/vmm.h): the answering end of what stands in for an htab fd. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proto/vmm.h"
#include "vmm/swhpt/impl.h"

static int answer(int sock, int32_t result, void *records, size_t len)
{
	uint8_t head[HTABSOCK_ANS_SIZE];
	struct iovec iov[2] = {{head, sizeof(head)}, {records, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	htabsock_pack_answer(head, result);
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 1;
}

/* Any number of whole records, each handed over by a write of its own. */
static ssize_t write_records(struct swhpt_fd *fd, uint8_t *buf, size_t len)
{
	uint64_t entries = swhpt_entries(swhpt_fd_table(fd));
	struct htab_count count;
	const char *why;

	if (htab_check_convert(HTAB_HPT, buf, len, entries, HTAB_WIRE, HTAB_HOST, HTAB_UNORDERED,
		    &count, &why) < 0)
		return -EINVAL;
	return swhpt_write_records(fd, buf, len);
}

int swhpt_serve_one(struct swhpt_fd *fd, int sock, void *buf)
{
	enum htabsock_op op;
	uint32_t count;
	uint8_t *p = buf;
	ssize_t n;
	int r;

	do
		n = recv(sock, buf, HTABSOCK_PACKET_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	r = htabsock_unpack_request(buf, (size_t)n, &op, &count);
	if (r < 0)
		return r;
	if (op == HTABSOCK_WRITE) {
		n = write_records(fd, p + HTABSOCK_REQ_SIZE, count);
		return answer(sock, (int32_t)n, NULL, 0);
	}
	n = swhpt_read(fd, buf, count);
	if (n > 0)
		htab_convert(buf, (size_t)n, HTAB_HOST, HTAB_WIRE);
	return answer(sock, (int32_t)n, buf, n > 0 ? (size_t)n : 0);
}
