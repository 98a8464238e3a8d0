/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhtabvmm's TLB: its operations on a software array, what KVM is asked, the daemon's table. */
#include <check.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/htab.h"
#include "proto/vmm.h"
#include "vmm/tlb/tlbsock.h"

#define VALID(n) ((struct htabvmm_tlb_entry){0, MAS1_VALID | MAS1_TSIZE(2), (uint64_t)(n) << 12, n})

static const struct htabvmm_tlb_geometry e500v2 = {.sizes = {512, 16}, .ways = {4, 16}};
static const struct htabvmm_tlb_geometry tiny = {.sizes = {8, 3}, .ways = {2, 3}};

static struct htabvmm_tlb *new_tlb(const struct htabvmm_tlb_geometry *g)
{
	struct htabvmm_tlb *t;

	ck_assert_int_eq(htabvmm_tlb_new(-1, &t), 0);
	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_NOHV, g), 0);
	return t;
}

/* -- the operations -- */

START_TEST(test_configure)
{
	struct htabvmm_tlb_geometry g = e500v2, back = {{7}, {7}};
	struct htabvmm_tlb_entry e = VALID(1);
	struct htabvmm_tlb_place p;
	struct htabvmm_tlb *t;

	ck_assert_int_eq(htabvmm_tlb_new(-1, &t), 0);
	ck_assert_int_eq(htabvmm_tlb_geometry(t, &back), -ENXIO);
	ck_assert_int_eq(htabvmm_tlb_set(t, 1, 0, &e), -ENXIO);
	ck_assert_int_eq(htabvmm_tlb_get(t, 1, 0, 0, &e), -ENXIO);
	ck_assert_int_eq(htabvmm_tlb_first(t, &p, &e), -ENXIO);
	ck_assert_int_eq(htabvmm_tlb_search(t, 0, 0, 0, &p, &e), -ENXIO);
	ck_assert_int_eq(htabvmm_tlb_flush(t), -ENXIO);
	ck_assert_int_eq(htabvmm_tlb_invalidate_all(t), -ENXIO);
	ck_assert_uint_eq(back.sizes[0], 7);

	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_NOHV, &g), 0);
	ck_assert_int_eq(htabvmm_tlb_set(t, 1, 3, &e), 0);
	/* A bad geometry changes nothing. */
	g.sizes[1] = g.ways[1] = 0;
	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_NOHV, &g), -EINVAL);
	ck_assert_int_eq(htabvmm_tlb_configure(t, (enum htabvmm_tlb_mmu)2, &e500v2), -EINVAL);
	ck_assert_int_eq(htabvmm_tlb_geometry(t, &back), 0);
	ck_assert_uint_eq(back.sizes[1], 16);
	ck_assert_int_eq(htabvmm_tlb_first(t, &p, &e), 0);
	/* Another geometry is another, empty, array. */
	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_NOHV, &tiny), 0);
	ck_assert_int_eq(htabvmm_tlb_first(t, &p, &e), -ENOENT);
	ck_assert_ptr_null(htabvmm_tlb_free(t));
	ck_assert_ptr_null(htabvmm_tlb_free(NULL));
}
END_TEST

START_TEST(test_set_get_walk)
{
	struct htabvmm_tlb *t = new_tlb(&tiny);
	struct htabvmm_tlb_entry e, back;
	struct htabvmm_tlb_place p;

	ck_assert_int_eq(htabvmm_tlb_first(t, &p, &back), -ENOENT);
	/* EPN 6 is set 2 of 4. */
	e = VALID(6);
	ck_assert_int_eq(htabvmm_tlb_set(t, 0, 1, &e), 0);
	ck_assert_int_eq(htabvmm_tlb_get(t, 0, 1, 6 << 12 | 0xabc, &back), 0);
	ck_assert_mem_eq(&back, &e, sizeof(e));
	ck_assert_int_eq(htabvmm_tlb_get(t, 0, 1, 10 << 12, &back), 0); /* the same set */
	ck_assert_uint_eq(back.mas2, e.mas2);
	ck_assert_int_eq(htabvmm_tlb_get(t, 0, 0, 6 << 12, &back), 0);
	ck_assert_uint_eq(back.mas1, 0);
	e = VALID(9);
	ck_assert_int_eq(htabvmm_tlb_set(t, 1, 2, &e), 0);
	ck_assert_int_eq(htabvmm_tlb_set(t, 1, 3, &e), -EINVAL);
	ck_assert_int_eq(htabvmm_tlb_set(t, 0, 2, &e), -EINVAL);
	ck_assert_int_eq(htabvmm_tlb_set(t, 2, 0, &e), -EINVAL);
	ck_assert_int_eq(htabvmm_tlb_get(t, 2, 0, 0, &back), -EINVAL);

	ck_assert_int_eq(htabvmm_tlb_first(t, &p, &back), 0);
	ck_assert_uint_eq(p.index, 5);
	ck_assert_uint_eq(p.tlbsel, 0);
	ck_assert_uint_eq(p.esel, 1);
	ck_assert_int_eq(htabvmm_tlb_next(t, &p, &back), 0);
	ck_assert_uint_eq(p.index, 10);
	ck_assert_uint_eq(p.tlbsel, 1);
	ck_assert_uint_eq(p.esel, 2);
	ck_assert_uint_eq(back.mas7_3, 9);
	ck_assert_int_eq(htabvmm_tlb_next(t, &p, &back), -ENOENT);
	ck_assert_uint_eq(p.index, 10);
	ck_assert_int_eq(htabvmm_tlb_invalidate_all(t), 0);
	ck_assert_int_eq(htabvmm_tlb_first(t, &p, &back), -ENOENT);
	htabvmm_tlb_free(t);
}
END_TEST

START_TEST(test_search)
{
	struct htabvmm_tlb *t = new_tlb(&e500v2);
	struct htabvmm_tlb_entry e = VALID(0x50003), back;
	struct htabvmm_tlb_place p;

	e.mas1 |= MAS1_TID(7);
	ck_assert_int_eq(htabvmm_tlb_set(t, 0, 2, &e), 0);
	e = VALID(0x40000);
	e.mas1 = MAS1_VALID | MAS1_TS | MAS1_TSIZE(10);
	ck_assert_int_eq(htabvmm_tlb_set(t, 1, 5, &e), 0);

	ck_assert_int_eq(htabvmm_tlb_search(t, 0, MAS6_SPID(7), 0x50003456, &p, &back), 0);
	ck_assert_uint_eq(p.index, 3 * 4 + 2);
	ck_assert_int_eq(htabvmm_tlb_search(t, 0, MAS6_SPID(6), 0x50003456, &p, &back), -ENOENT);
	ck_assert_int_eq(htabvmm_tlb_search(t, 0, MAS6_SPID(7), 0x50004456, &p, &back), -ENOENT);
	ck_assert_int_eq(
		htabvmm_tlb_search(t, 0, MAS6_SPID(7) | MAS6_SAS, 0x400abcde, &p, &back), 0);
	ck_assert_uint_eq(p.index, 512 + 5);
	ck_assert_int_eq(htabvmm_tlb_search(t, 0, MAS6_SPID(7), 0x400abcde, &p, &back), -ENOENT);
	htabvmm_tlb_free(t);
}
END_TEST

/* -- what KVM is asked -- */

static struct {
	int enable, dirty, fail;
	struct kvm_config_tlb config;
	uint32_t sizes[4];
	struct kvm_dirty_tlb d;
	uint8_t bitmap[72];
} kvm;

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	ck_assert_int_eq(fd, 77);
	if (kvm.fail)
		return kvm.fail;
	if (request == (unsigned long)KVM_ENABLE_CAP) {
		struct kvm_enable_cap *cap = arg;

		ck_assert_uint_eq(cap->cap, KVM_CAP_SW_TLB);
		ck_assert_uint_eq(cap->flags, 0);
		kvm.config = *(struct kvm_config_tlb *)(uintptr_t)cap->args[0];
		memcpy(kvm.sizes, (void *)(uintptr_t)kvm.config.params, sizeof(kvm.sizes));
		kvm.enable++;
	} else {
		ck_assert_uint_eq(request, (unsigned long)KVM_DIRTY_TLB);
		kvm.d = *(struct kvm_dirty_tlb *)arg;
		memcpy(kvm.bitmap, (void *)(uintptr_t)kvm.d.bitmap, sizeof(kvm.bitmap));
		kvm.dirty++;
	}
	return 0;
}

START_TEST(test_kvm)
{
	struct htabvmm_tlb_entry e = VALID(1);
	struct htabvmm_tlb *t;

	memset(&kvm, 0, sizeof(kvm));
	tlb_ioctl = fake_ioctl;
	ck_assert_int_eq(htabvmm_tlb_new(77, &t), 0);
	kvm.fail = -ENOTTY;
	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_NOHV, &e500v2), -ENOTSUP);
	kvm.fail = -EINVAL;
	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_HV, &e500v2), -EINVAL);
	kvm.fail = 0;
	ck_assert_int_eq(htabvmm_tlb_configure(t, HTABVMM_TLB_FSL_NOHV, &e500v2), 0);
	ck_assert_uint_eq(kvm.config.array_len, 528 * 24);
	ck_assert_uint_eq(kvm.config.mmu_type, 0);
	ck_assert_uint_eq(kvm.config.array & 4095, 0);
	ck_assert_uint_eq(kvm.sizes[0], 512);

	/* Nothing changed: KVM is not asked. */
	ck_assert_int_eq(htabvmm_tlb_flush(t), 0);
	ck_assert_int_eq(kvm.dirty, 0);
	ck_assert_int_eq(htabvmm_tlb_set(t, 0, 1, &e), 0);
	ck_assert_int_eq(htabvmm_tlb_set(t, 0, 1, &e), 0);
	ck_assert_int_eq(htabvmm_tlb_set(t, 1, 15, &e), 0);
	kvm.fail = -EFAULT;
	ck_assert_int_eq(htabvmm_tlb_flush(t), -EFAULT);
	kvm.fail = 0;
	ck_assert_int_eq(htabvmm_tlb_flush(t), 0); /* it was kept */
	ck_assert_int_eq(kvm.dirty, 1);
	ck_assert_uint_eq(kvm.d.num_dirty, 2);
	for (unsigned i = 0; i < 576; i++)
		ck_assert_int_eq(kvm.bitmap[i / 8] >> i % 8 & 1, i == 4 + 1 || i == 512 + 15);
	ck_assert_int_eq(htabvmm_tlb_flush(t), 0);
	ck_assert_int_eq(kvm.dirty, 1);
	htabvmm_tlb_free(t);
}
END_TEST

/* -- the daemon's table -- */

struct table {
	struct htabvmm_tlb *tlb[2];
	struct tlbsocks socks;
	uint8_t packet[HTABSOCK_PACKET_MAX];
};

static void table_init(struct table *f)
{
	for (int i = 0; i < 2; i++)
		f->tlb[i] = new_tlb(&tiny);
	ck_assert_int_eq(tlbsocks_init(&f->socks, f->tlb, 2, epoll_create1(EPOLL_CLOEXEC)), 0);
}

static void table_fini(struct table *f)
{
	close(f->socks.epfd);
	tlbsocks_fini(&f->socks);
	for (int i = 0; i < 2; i++)
		htabvmm_tlb_free(f->tlb[i]);
}

static int open_table(struct table *f, uint32_t flags, uint64_t start)
{
	int fd = -1;

	ck_assert_int_eq(tlbsocks_open(&f->socks, flags, start, &fd), 0);
	return fd;
}

/* READ of count bytes: the result; records are in f->packet behind the answer's header. */
static int read_table(struct table *f, int fd, uint32_t count)
{
	uint8_t req[HTABSOCK_REQ_SIZE];
	int32_t result;
	ssize_t n;

	htabsock_pack_request(req, HTABSOCK_READ, count);
	ck_assert_int_ge(fd_send_packet(fd, req, sizeof(req), -1), 0);
	tlbsocks_dispatch(&f->socks);
	n = fd_recv_packet(fd, f->packet, sizeof(f->packet), NULL);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(
		htabsock_unpack_answer(f->packet, (size_t)n, HTABSOCK_READ, count, &result), 0);
	return result;
}

static int write_table(struct table *f, int fd, const void *records, size_t len)
{
	int32_t result;
	ssize_t n;

	htabsock_pack_request(f->packet, HTABSOCK_WRITE, (uint32_t)len);
	memcpy(f->packet + HTABSOCK_REQ_SIZE, records, len);
	ck_assert_int_ge(fd_send_packet(fd, f->packet, HTABSOCK_REQ_SIZE + len, -1), 0);
	tlbsocks_dispatch(&f->socks);
	n = fd_recv_packet(fd, f->packet, sizeof(f->packet), NULL);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(htabsock_unpack_answer(
				 f->packet, (size_t)n, HTABSOCK_WRITE, (uint32_t)len, &result),
		0);
	return result;
}

/* The records of an answer are "index valid invalid" each. */
static void expect(const struct table *f, int len, const char *want)
{
	char got[256] = "";
	struct htab_iter it;
	struct htab_rec rec;
	int r;

	htab_iter_init_kind(
		&it, HTAB_TLB, f->packet + HTABSOCK_ANS_SIZE, (size_t)len, 22, HTAB_WIRE);
	while ((r = htab_iter_next(&it, &rec)) > 0)
		sprintf(got + strlen(got), "%u %u %u;", rec.index, rec.n_valid, rec.n_invalid);
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(got, want);
}

START_TEST(test_passes)
{
	struct htabvmm_tlb_entry e = VALID(6), none = {.mas2 = 6 << 12};
	struct table f;
	int fd, other;

	table_init(&f);
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[0], 0, 1, &e), 0); /* 5 */
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[1], 1, 2, &e), 0); /* 21, the last */
	fd = open_table(&f, 0, 0);
	/* Pass 1 names everything. */
	expect(&f, read_table(&f, fd, 1000), "0 0 5;5 1 15;21 1 0;");
	ck_assert_int_eq(read_table(&f, fd, 1000), 0);
	/* Then what changed, once for each reader. */
	e.mas7_3++;
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[0], 0, 1, &e), 0);
	expect(&f, read_table(&f, fd, 1000), "5 1 0;");
	ck_assert_int_eq(read_table(&f, fd, 1000), 0);
	other = open_table(&f, 0, 0);
	expect(&f, read_table(&f, other, 1000), "0 0 5;5 1 15;21 1 0;");
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[0], 0, 1, &none), 0);
	expect(&f, read_table(&f, fd, 1000), "5 0 1;");
	expect(&f, read_table(&f, other, 1000), "5 0 1;");
	/* What an invalid entry holds is no news. */
	none.mas8 = 5;
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[0], 0, 1, &none), 0);
	ck_assert_int_eq(read_table(&f, fd, 1000), 0);
	/* A small buffer: whole records, and the cursor goes on. */
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(htabvmm_tlb_set(f.tlb[1], 1, i, &e), 0);
	expect(&f, read_table(&f, fd, 8 + 2 * 24), "19 2 0;");
	expect(&f, read_table(&f, fd, 8 + 2 * 24), "21 1 0;");
	ck_assert_int_eq(read_table(&f, fd, 32), 0);
	close(fd);
	close(other);
	table_fini(&f);
}
END_TEST

START_TEST(test_write)
{
	const struct tlb_entry e = {0, MAS1_VALID, 0x6000, 0x7000};
	uint8_t rec[HTAB_HDR_SIZE + TLB_ENTRY_SIZE];
	struct htabvmm_tlb_entry back;
	struct table f;
	int fd;

	table_init(&f);
	fd = open_table(&f, HTAB_FD_WRITE, 0);
	htab_put_header(rec, HTAB_WIRE, 11 + 5, 1, 5);
	tlb_entry_put(rec + HTAB_HDR_SIZE, &e);
	ck_assert_int_eq(write_table(&f, fd, rec, sizeof(rec)), sizeof(rec));
	ck_assert_int_eq(htabvmm_tlb_get(f.tlb[1], 0, 1, 0x6000, &back), 0);
	ck_assert_uint_eq(back.mas7_3, 0x7000);
	ck_assert_uint_eq(f.tlb[0]->n_dirty, 0);
	ck_assert_uint_eq(f.tlb[1]->n_dirty, 6); /* for KVM_DIRTY_TLB */
	/* Out of the table, or not valid: nothing is written. */
	htab_put_header(rec, HTAB_WIRE, 21, 1, 1);
	ck_assert_int_eq(write_table(&f, fd, rec, sizeof(rec)), -EINVAL);
	htab_put_header(rec, HTAB_WIRE, 0, 1, 0);
	rec[HTAB_HDR_SIZE + 4] = 0;
	ck_assert_int_eq(write_table(&f, fd, rec, sizeof(rec)), -EINVAL);
	ck_assert_uint_eq(f.tlb[0]->n_dirty, 0);
	/* A reader does not write, a writer does not read. */
	ck_assert_int_eq(read_table(&f, fd, 100), -EBADF);
	close(fd);
	tlbsocks_dispatch(&f.socks);
	ck_assert_int_eq(tlbsocks_flush(&f.socks), 0);
	ck_assert_uint_eq(f.tlb[1]->n_dirty, 0);
	ck_assert_int_eq(tlbsocks_reset(&f.socks), 0);
	ck_assert_int_eq(htabvmm_tlb_get(f.tlb[1], 0, 1, 0x6000, &back), 0);
	ck_assert_uint_eq(back.mas1, 0);
	table_fini(&f);
}
END_TEST

START_TEST(test_save)
{
	struct htabvmm_tlb_entry e = VALID(6);
	struct htabvmm_tlb_geometry large = {.sizes = {65536, 64}, .ways = {16, 64}};
	struct htabvmm_tlb *many[32];
	struct tlbsocks s;
	struct table f;
	int fd = fd_memfd("tlb"), reader;
	ssize_t n;

	table_init(&f);
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[0], 0, 1, &e), 0); /* 5 */
	ck_assert_int_eq(htabvmm_tlb_set(f.tlb[1], 1, 2, &e), 0); /* 21, the last */
	reader = open_table(&f, 0, 0);
	expect(&f, read_table(&f, reader, 1000), "0 0 5;5 1 15;21 1 0;");
	ck_assert_int_eq(tlbsocks_save(&f.socks, fd), 0);
	n = pread(fd, f.packet + HTABSOCK_ANS_SIZE, 1000, 0);
	expect(&f, (int)n, "0 0 5;5 1 15;21 1 0;");        /* all of it, again */
	ck_assert_int_eq(read_table(&f, reader, 1000), 0); /* a reader is not disturbed */
	close(reader);
	ck_assert_int_eq(tlbsocks_save(&f.socks, -1), -EBADF);
	table_fini(&f);
	close(fd);

	/* More than one packet; and more than there may be. */
	for (int i = 0; i < 32; i++)
		many[i] = new_tlb(&large);
	for (unsigned i = 0; i < 65536; i++) {
		e = (struct htabvmm_tlb_entry)VALID(i >> 4);
		ck_assert_int_eq(htabvmm_tlb_set(many[0], 0, i % 16, &e), 0);
	}
	fd = fd_memfd("tlb");
	ck_assert_int_eq(tlbsocks_init(&s, many, 1, -1), 0);
	ck_assert_int_eq(tlbsocks_save(&s, fd), 0);
	ck_assert_int_gt(lseek(fd, 0, SEEK_END), 65536 * TLB_ENTRY_SIZE);
	tlbsocks_fini(&s);
	ck_assert_int_eq(tlbsocks_init(&s, many, 32, -1), 0);
	ck_assert_int_eq(tlbsocks_save(&s, fd), -EFBIG);
	tlbsocks_fini(&s);
	close(fd);
	for (int i = 0; i < 32; i++)
		htabvmm_tlb_free(many[i]);
}
END_TEST

START_TEST(test_limits)
{
	struct htabvmm_tlb *pair[2];
	struct tlbsocks s;
	struct table f;
	int fd[TLBSOCKS_MAX], one;

	table_init(&f);
	ck_assert_int_eq(tlbsocks_open(&f.socks, HTAB_FD_BOLTED_ONLY, 0, &one), -EOPNOTSUPP);
	for (unsigned i = 0; i < TLBSOCKS_MAX; i++)
		fd[i] = open_table(&f, 0, 0);
	ck_assert_int_eq(tlbsocks_open(&f.socks, 0, 0, &one), -EMFILE);
	/* Garbage ends one descriptor, and the others go on. */
	ck_assert_int_ge(fd_send_packet(fd[0], "x", 1, -1), 0);
	tlbsocks_dispatch(&f.socks);
	ck_assert_int_eq(fd_recv_packet(fd[0], f.packet, sizeof(f.packet), NULL), 0);
	ck_assert_int_gt(read_table(&f, fd[1], 1000), 0);
	close(fd[0]);
	fd[0] = open_table(&f, 0, 0);
	for (unsigned i = 0; i < TLBSOCKS_MAX; i++)
		close(fd[i]);
	/* Held: not to be configured anew, not to be had twice. */
	ck_assert_int_eq(htabvmm_tlb_configure(f.tlb[0], HTABVMM_TLB_FSL_NOHV, &tiny), -EBUSY);
	ck_assert_int_eq(tlbsocks_init(&s, f.tlb, 2, -1), -EINVAL);
	table_fini(&f);
	/* All alike. */
	pair[0] = new_tlb(&tiny);
	pair[1] = new_tlb(&e500v2);
	ck_assert_int_eq(tlbsocks_init(&s, pair, 2, -1), -EINVAL);
	ck_assert(!pair[0]->held);
	for (int i = 0; i < 2; i++)
		htabvmm_tlb_free(pair[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("htabvmm-tlb");
	TCase *t = tcase_create("tlb");
	SRunner *sr;
	int failed;

	tcase_add_test(t, test_configure);
	tcase_add_test(t, test_set_get_walk);
	tcase_add_test(t, test_search);
	tcase_add_test(t, test_kvm);
	tcase_add_test(t, test_passes);
	tcase_add_test(t, test_write);
	tcase_add_test(t, test_save);
	tcase_add_test(t, test_limits);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
