/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "proto/vmm.h"
#include "vmm/simvm/simvm.h"

#define SERVERS_MAX 8 /* descriptors handed out and not yet closed */

struct server {
	struct simvm_htab *all;
	pthread_t thread;
	bool used;
	atomic_bool over; /* the thread only has to be joined */
	int sock;
	struct swhpt_fd *fd;
	uint8_t *buf;
};

struct simvm_htab {
	struct swhpt *hpt;
	const struct simvm_opts *opts;
	atomic_bool lost; /* the entry that is to be lost is */
	struct server servers[SERVERS_MAX];
};

struct simvm_htab *simvm_htab_new(struct swhpt *hpt, const struct simvm_opts *o)
{
	struct simvm_htab *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->hpt = hpt;
	s->opts = o;
	return s;
}

static void reap(struct server *v)
{
	if (!v->used)
		return;
	pthread_join(v->thread, NULL);
	swhpt_close(v->fd);
	fd_close(v->sock);
	free(v->buf);
	v->used = false;
}

struct simvm_htab *simvm_htab_free(struct simvm_htab *s)
{
	if (!s)
		return NULL;
	for (unsigned i = 0; i < SERVERS_MAX; i++) {
		if (s->servers[i].used)
			shutdown(s->servers[i].sock, SHUT_RDWR);
		reap(&s->servers[i]);
	}
	free(s);
	return NULL;
}

/* Would this packet write the entry that is to fail? For tests. */
static bool hits(const struct server *v, const void *packet, size_t len)
{
	const struct simvm_opts *o = v->all->opts;
	enum htabsock_op op;
	struct htab_iter it;
	struct htab_rec rec;
	uint32_t count;

	if (htabsock_unpack_request(packet, len, &op, &count) < 0 || op != HTABSOCK_WRITE)
		return false;
	htab_iter_init(&it, (const uint8_t *)packet + HTABSOCK_REQ_SIZE, count,
		swhpt_entries(v->all->hpt), HTAB_WIRE);
	while (htab_iter_next(&it, &rec) > 0)
		if (o->fail_write_at >= rec.index &&
			o->fail_write_at - rec.index < (uint64_t)rec.n_valid + rec.n_invalid)
			return true;
	return false;
}

/* Answer EIO for the packet that is next, if it is the one. 1 when it was. */
static int fail_one(struct server *v)
{
	uint8_t answer[HTABSOCK_ANS_SIZE];
	ssize_t n;

	n = recv(v->sock, v->buf, HTABSOCK_PACKET_MAX, MSG_PEEK);
	if (n <= 0 || !hits(v, v->buf, (size_t)n))
		return 0;
	n = recv(v->sock, v->buf, HTABSOCK_PACKET_MAX, 0);
	if (n <= 0)
		return 0;
	htabsock_pack_answer(answer, -EIO);
	return fd_send_packet(v->sock, answer, sizeof(answer), -1) < 0 ? 0 : 1;
}

/* The first valid entry from `from` on is no more. */
static int remove_valid(struct swhpt *hpt, uint64_t from)
{
	uint8_t buf[HTAB_READ_MIN];
	struct swhpt_fd *fd;
	struct htab_iter it;
	struct htab_rec rec = {0};
	ssize_t n;
	int r = swhpt_open(hpt, 0, from, &fd);

	if (r < 0)
		return r;
	do {
		n = swhpt_read(fd, buf, sizeof(buf));
		htab_iter_init(&it, buf, n > 0 ? (size_t)n : 0, swhpt_entries(hpt), HTAB_HOST);
		while (htab_iter_next(&it, &rec) > 0 && rec.n_valid == 0)
			;
	} while (n > 0 && rec.n_valid == 0);
	swhpt_close(fd);
	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	r = swhpt_open(hpt, HTAB_FD_WRITE, 0, &fd);
	if (r < 0)
		return r;
	htab_put_header(buf, HTAB_HOST, rec.index, 0, 1);
	n = swhpt_write(fd, buf, HTAB_HDR_SIZE);
	swhpt_close(fd);
	return n < 0 ? (int)n : 0;
}

/* Lose an entry before the packet that is next, when that is the first that reads. */
static void lose_one(struct server *v)
{
	struct simvm_htab *s = v->all;
	enum htabsock_op op;
	uint32_t count;
	ssize_t n = recv(v->sock, v->buf, HTABSOCK_PACKET_MAX, MSG_PEEK);

	if (n <= 0 || htabsock_unpack_request(v->buf, (size_t)n, &op, &count) < 0 ||
		op != HTABSOCK_READ || atomic_exchange(&s->lost, true))
		return;
	if (remove_valid(s->hpt, s->opts->lose_from) < 0)
		fprintf(stderr, "htab-simvm: --lose-entry: there is no entry to lose\n");
}

static void *serve(void *arg)
{
	struct server *v = arg;
	int r;

	do {
		if (v->all->opts->lose)
			lose_one(v);
		r = v->all->opts->fail_write ? fail_one(v) : 0;
		if (r == 0)
			r = swhpt_serve_one(v->fd, v->sock, v->buf);
	} while (r > 0);
	shutdown(v->sock, SHUT_RDWR);
	atomic_store(&v->over, true);
	return NULL;
}

static struct server *free_server(struct simvm_htab *s)
{
	for (unsigned i = 0; i < SERVERS_MAX; i++)
		if (s->servers[i].used && atomic_load(&s->servers[i].over))
			reap(&s->servers[i]);
	for (unsigned i = 0; i < SERVERS_MAX; i++)
		if (!s->servers[i].used)
			return &s->servers[i];
	return NULL;
}

static int regular_file(int *ret_fd)
{
	FILE *f = tmpfile();

	*ret_fd = f ? fcntl(fileno(f), F_DUPFD_CLOEXEC, 3) : -1;
	if (f)
		fclose(f);
	return *ret_fd < 0 ? -EIO : 0;
}

int simvm_htab_open(struct simvm_htab *s, uint32_t flags, uint64_t start, int *ret_fd)
{
	struct server *v = free_server(s);
	int pair[2] = {-1, -1}, r;

	if (s->opts->bad_fd)
		return regular_file(ret_fd);
	if (!v)
		return -EMFILE;
	*v = (struct server){.all = s, .sock = -1};
	v->buf = malloc(HTABSOCK_PACKET_MAX);
	if (!v->buf)
		return -ENOMEM;
	r = swhpt_open(s->hpt, flags, start, &v->fd);
	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = -errno;
	v->sock = pair[0];
	if (r == 0)
		r = -pthread_create(&v->thread, NULL, serve, v);
	if (r < 0) {
		if (v->fd)
			swhpt_close(v->fd);
		fd_close(pair[0]);
		fd_close(pair[1]);
		free(v->buf);
		return r;
	}
	v->used = true;
	*ret_fd = pair[1];
	return 0;
}
