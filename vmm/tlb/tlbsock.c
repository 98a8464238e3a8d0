/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/tlb/tlbsock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/htab.h"
#include "proto/vmm.h"

struct tlbsock {
	int fd;
	bool write;
	bool changed_only; /* the first pass is over */
	uint32_t cursor;
	struct tlb_entry *told; /* what the reader knows of each entry */
};

static uint32_t entries(const struct tlbsocks *s)
{
	return s->vcpus * s->per_vcpu;
}

int tlbsocks_init(struct tlbsocks *s, struct htabvmm_tlb *const *tlbs, unsigned vcpus, int epfd)
{
	*s = (struct tlbsocks){.epfd = epfd};
	for (unsigned i = 0; i < vcpus; i++)
		if (!tlbs[i] || !tlbs[i]->configured || tlbs[i]->held ||
			tlbs[i]->mmu != tlbs[0]->mmu ||
			!tlb_geometry_eq(&tlbs[i]->geometry, &tlbs[0]->geometry))
			return -EINVAL;
	s->tlbs = calloc(vcpus, sizeof(struct htabvmm_tlb *));
	s->packet = malloc(HTABSOCK_PACKET_MAX);
	if (!s->tlbs || !s->packet) {
		tlbsocks_fini(s);
		return -ENOMEM;
	}
	memcpy(s->tlbs, tlbs, vcpus * sizeof(struct htabvmm_tlb *));
	s->vcpus = vcpus;
	s->per_vcpu = tlbs[0]->entries;
	for (unsigned i = 0; i < vcpus; i++)
		s->tlbs[i]->held = true;
	return 0;
}

static struct tlbsock *sock_free(struct tlbsock *sock)
{
	if (!sock)
		return NULL;
	fd_close(sock->fd);
	free(sock->told);
	free(sock);
	return NULL;
}

void tlbsocks_fini(struct tlbsocks *s)
{
	for (unsigned i = 0; i < TLBSOCKS_MAX; i++)
		s->sock[i] = sock_free(s->sock[i]);
	for (unsigned i = 0; i < s->vcpus; i++)
		s->tlbs[i]->held = false;
	free(s->tlbs);
	free(s->packet);
	*s = (struct tlbsocks){.epfd = -1};
}

static struct tlbsock *sock_new(const struct tlbsocks *s, uint32_t flags, uint64_t start)
{
	struct tlbsock *sock = calloc(1, sizeof(*sock));

	if (!sock)
		return NULL;
	sock->fd = -1;
	sock->write = flags & HTAB_FD_WRITE;
	/* As KVM's fd does: from past the end there is no first pass. */
	sock->changed_only = start >= entries(s);
	sock->cursor = sock->changed_only ? 0 : (uint32_t)start;
	if (!sock->write)
		sock->told = calloc(entries(s), sizeof(*sock->told));
	return sock->write || sock->told ? sock : sock_free(sock);
}

int tlbsocks_open(struct tlbsocks *s, uint32_t flags, uint64_t start_index, int *ret_fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = -1};
	struct tlbsock *sock;
	unsigned n = 0;
	int pair[2];

	if (flags & HTAB_FD_BOLTED_ONLY)
		return -EOPNOTSUPP;
	while (n < TLBSOCKS_MAX && s->sock[n])
		n++;
	if (n == TLBSOCKS_MAX)
		return -EMFILE;
	sock = sock_new(s, flags, start_index);
	if (!sock)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		sock_free(sock);
		return -errno;
	}
	sock->fd = pair[0];
	if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, sock->fd, &ev) < 0) {
		int r = -errno;

		fd_close(pair[1]);
		sock_free(sock);
		return r;
	}
	s->sock[n] = sock;
	*ret_fd = pair[1];
	return 0;
}

int tlbsocks_reset(struct tlbsocks *s)
{
	int r = 0;

	for (unsigned i = 0; i < s->vcpus && r == 0; i++)
		r = htabvmm_tlb_invalidate_all(s->tlbs[i]);
	return r;
}

int tlbsocks_flush(struct tlbsocks *s)
{
	int r = 0;

	for (unsigned i = 0; i < s->vcpus && r == 0; i++)
		r = htabvmm_tlb_flush(s->tlbs[i]);
	return r;
}

/* -- reading -- */

enum entry_news {
	NEWS_NONE,
	NEWS_VALID,
	NEWS_INVALID,
};

/* What there is to tell of an entry, and the entry. */
static enum entry_news news(
	const struct tlbsocks *s, const struct tlbsock *sock, uint32_t index, struct tlb_entry *ret)
{
	tlb_load(s->tlbs[index / s->per_vcpu], index % s->per_vcpu, ret);
	if (!tlb_valid(ret))
		*ret = (struct tlb_entry){0}; /* all invalid entries are alike */
	if (sock->changed_only && memcmp(ret, &sock->told[index], sizeof(*ret)) == 0)
		return NEWS_NONE;
	return tlb_valid(ret) ? NEWS_VALID : NEWS_INVALID;
}

/* A run of one kind from the cursor on, as far as there is room; returns how many. */
static uint16_t take_run(
	struct tlbsocks *s, struct tlbsock *sock, enum entry_news kind, uint8_t *dst, size_t room)
{
	struct tlb_entry e;
	uint16_t n = 0;

	while (sock->cursor < entries(s) && n < HTAB_RUN_MAX) {
		if (kind == NEWS_VALID && room < TLB_ENTRY_SIZE)
			break;
		if (news(s, sock, sock->cursor, &e) != kind)
			break;
		if (kind == NEWS_VALID) {
			tlb_entry_put(dst, &e);
			dst += TLB_ENTRY_SIZE;
			room -= TLB_ENTRY_SIZE;
		}
		sock->told[sock->cursor++] = e;
		n++;
	}
	return n;
}

/* As read() of KVM's fd: records of max bytes at most; a header and an entry always fit. */
static size_t read_records(struct tlbsocks *s, struct tlbsock *sock, uint8_t *buf, size_t max)
{
	size_t len = 0;

	while (sock->cursor < entries(s) && max - len > HTAB_HDR_SIZE + TLB_ENTRY_SIZE) {
		uint8_t *header = buf + len;
		uint32_t first = sock->cursor;
		uint16_t valid, invalid;
		struct tlb_entry e;

		if (news(s, sock, first, &e) == NEWS_NONE) {
			sock->cursor++;
			continue;
		}
		valid = take_run(
			s, sock, NEWS_VALID, header + HTAB_HDR_SIZE, max - len - HTAB_HDR_SIZE);
		invalid = take_run(s, sock, NEWS_INVALID, NULL, 0);
		if (valid == 0 && invalid == 0)
			continue; /* a vCPU changed it meanwhile: look again */
		htab_put_header(header, HTAB_WIRE, first, valid, invalid);
		len += HTAB_HDR_SIZE + (size_t)valid * TLB_ENTRY_SIZE;
	}
	if (sock->cursor == entries(s)) {
		sock->cursor = 0;
		sock->changed_only = true;
	}
	return len;
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int tlbsocks_save(struct tlbsocks *s, int fd)
{
	struct tlbsock *all;
	int r = 0;

	if ((uint64_t)entries(s) * (HTAB_HDR_SIZE + TLB_ENTRY_SIZE) > VMM_TLB_IMAGE_MAX)
		return -EFBIG;
	all = sock_new(s, 0, 0);
	if (!all)
		return -ENOMEM;
	while (!all->changed_only && r == 0) {
		size_t len = read_records(s, all, s->packet, HTABSOCK_RECORDS_MAX);

		r = write_all(fd, s->packet, len);
	}
	sock_free(all);
	return r;
}

/* -- writing -- */

static void write_entry(struct tlbsocks *s, uint32_t index, const struct tlb_entry *e)
{
	tlb_store(s->tlbs[index / s->per_vcpu], index % s->per_vcpu, e);
}

/* Whole records, checked before the first is written: the bytes taken or -errno. */
static int32_t write_records(struct tlbsocks *s, const uint8_t *buf, size_t len)
{
	static const struct tlb_entry none;
	struct htab_count count;
	struct htab_iter it;
	struct htab_rec rec;
	const char *why;

	if (htab_check_kind(HTAB_TLB, buf, len, entries(s), HTAB_WIRE, &count, &why) < 0)
		return -EINVAL;
	htab_iter_init_kind(&it, HTAB_TLB, buf, len, entries(s), HTAB_WIRE);
	while (htab_iter_next(&it, &rec) > 0) {
		for (uint32_t i = 0; i < rec.n_valid; i++) {
			struct tlb_entry e;

			tlb_entry_get(rec.hptes + (size_t)i * TLB_ENTRY_SIZE, &e);
			write_entry(s, rec.index + i, &e);
		}
		for (uint32_t i = 0; i < rec.n_invalid; i++)
			write_entry(s, rec.index + rec.n_valid + i, &none);
	}
	return (int32_t)len;
}

/* -- the socket -- */

/* Answer one request in the packet; false: the peer broke the protocol. */
static bool answer(struct tlbsocks *s, struct tlbsock *sock, size_t n)
{
	size_t len = HTABSOCK_ANS_SIZE;
	enum htabsock_op op;
	int32_t result;
	uint32_t count;

	if (htabsock_unpack_request(s->packet, n, &op, &count) < 0)
		return false;
	if ((op == HTABSOCK_WRITE) != sock->write) {
		result = -EBADF;
	} else if (op == HTABSOCK_READ) {
		result = (int32_t)read_records(s, sock, s->packet + HTABSOCK_ANS_SIZE, count);
		len += (size_t)result;
	} else {
		result = write_records(s, s->packet + HTABSOCK_REQ_SIZE, count);
	}
	htabsock_pack_answer(s->packet, result);
	return fd_send_packet(sock->fd, s->packet, len, -1) >= 0;
}

/* Until there is nothing; false: it is over. */
static bool serve(struct tlbsocks *s, struct tlbsock *sock)
{
	for (;;) {
		ssize_t n = fd_recv_packet(sock->fd, s->packet, HTABSOCK_PACKET_MAX, NULL);

		if (n == -EAGAIN)
			return true;
		if (n <= 0 || !answer(s, sock, (size_t)n))
			return false;
	}
}

void tlbsocks_dispatch(struct tlbsocks *s)
{
	for (unsigned i = 0; i < TLBSOCKS_MAX; i++)
		if (s->sock[i] && !serve(s, s->sock[i]))
			s->sock[i] = sock_free(s->sock[i]);
}
