/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A hashed page table in software that behaves as KVM-HV's on POWER9 does, to the byte and the
 * errno: the htab fds of KVM_PPC_GET_HTAB_FD, the hypercalls on the table, KVM_PPC_ALLOCATE_HTAB.
 * tests/powernv/hpt-diff runs one random sequence on this table and on the kernel's and compares.
 *
 * What is not modelled: the host's own page faults and page migration (every page of a memory slot
 * counts as present), and with them the host physical address in a removed entry's second
 * doubleword, which H_READ of an invalid entry shows.
 *
 * Threads: a vCPU thread makes hypercalls between swhpt_vcpu_enter() and swhpt_vcpu_leave(), any
 * number of them at once, while other threads read and write through fds. One swhpt_fd is used by
 * one thread at a time. Entries are locked one by one, by the kernel's lock bit.
 * Results are 0 or counts, or a negative errno. The table lives until swhpt_free() was called and
 * every fd is closed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct swhpt;
struct swhpt_fd;

/* Hypercalls on the table (PAPR; arch/powerpc/include/asm/hvcall.h). */
enum papr_hcall {
	H_REMOVE = 0x04,
	H_ENTER = 0x08,
	H_READ = 0x0c,
	H_CLEAR_MOD = 0x10,
	H_CLEAR_REF = 0x14,
	H_PROTECT = 0x18,
	H_BULK_REMOVE = 0x124,
};

#define H_SUCCESS   0
#define H_FUNCTION  (-2)
#define H_PARAMETER (-4)
#define H_PTEG_FULL (-6)
#define H_NOT_FOUND (-7)

/* Flags in a hypercall's first argument. */
#define H_EXACT   (1ull << 39)
#define H_READ_4  (1ull << 37)
#define H_AVPN    (1ull << 31)
#define H_ANDCOND (1ull << 30)

/* Registers r4 to r11: a hypercall's arguments, and its results. */
#define SWHPT_HCALL_ARGS 8u

#define SWHPT_SLOTS_MAX  32u

/* An empty table of 2^order bytes: -EINVAL for an order out of HTAB_ORDER_MIN..MAX, -ENOMEM. */
int swhpt_new(unsigned order, struct swhpt **ret_h);
struct swhpt *swhpt_free(struct swhpt *h);
unsigned swhpt_order(const struct swhpt *h);
uint64_t swhpt_entries(const struct swhpt *h);

/*
 * KVM_PPC_ALLOCATE_HTAB: the same order zeroes the table, another one replaces it; -EBUSY while a
 * vCPU runs, -EINVAL and -ENOMEM as swhpt_new(). As in the kernel the zeroed entries are not
 * reported as changes: readers have to begin anew. (An order that is refused leaves the table as it
 * is; the kernel has freed it by then.)
 */
int swhpt_reset(struct swhpt *h, unsigned order);

/*
 * KVM_PPC_RESIZE_HPT_PREPARE and _COMMIT: the table has 2^order bytes from now on, and of its
 * entries only the bolted ones, where the new size's hash puts them. -EBUSY while a vCPU runs,
 * -ENOSPC when two bolted entries would meet in one slot of a smaller table (all stays as it was),
 * -EINVAL and -ENOMEM as swhpt_new(). Readers have to begin anew, as after a reset.
 */
int swhpt_resize(struct swhpt *h, unsigned order);

/*
 * KVM_SET_USER_MEMORY_REGION: guest real addresses that have memory, in host pages of
 * 2^host_page_shift bytes. An entry for an address outside is taken and stands for emulated MMIO;
 * one for a page larger than the host's is refused. -EINVAL when base or size are no multiples of
 * the host page, -EEXIST on overlap, -ENOSPC after SWHPT_SLOTS_MAX, -EBUSY while a vCPU runs.
 */
int swhpt_add_memory(struct swhpt *h, uint64_t base, uint64_t size, unsigned host_page_shift);

/*
 * Around KVM_RUN. Entering waits for a write that is under way; as the first KVM_RUN after
 * KVM_PPC_ALLOCATE_HTAB does, it maps the memory slot at address 0 as the virtual real mode area
 * (bolted entries) unless a write brought such an entry. While a vCPU runs, writes, resets and
 * new memory get -EBUSY.
 */
void swhpt_vcpu_enter(struct swhpt *h);
void swhpt_vcpu_leave(struct swhpt *h);

/*
 * A hypercall as KVM-HV handles it: args and ret are r4 to r11 (they may be the same array), the
 * value is r3. H_FUNCTION for a number that is not in enum papr_hcall. Between enter and leave.
 */
int64_t swhpt_hcall(
	struct swhpt *h, uint64_t nr, const uint64_t *args, uint64_t ret[SWHPT_HCALL_ARGS]);

/*
 * What the hardware does on a load (rc = HPTE_R_R) or store (HPTE_R_R | HPTE_R_C) through entry
 * `index`. False when the entry is not valid: the guest would get a fault or emulated MMIO.
 */
bool swhpt_touch(struct swhpt *h, uint64_t index, uint64_t rc);

/* For tests: one entry after the other, though the processor could take several (swhpt/vec.h). */
extern bool swhpt_no_vec;

/* KVM_PPC_GET_HTAB_FD: flags HTAB_FD_*, -EINVAL for unknown ones; any start_index. */
int swhpt_open(struct swhpt *h, uint64_t flags, uint64_t start_index, struct swhpt_fd **ret_fd);
struct swhpt_fd *swhpt_close(struct swhpt_fd *fd);

/* The table that an fd was opened on. */
struct swhpt *swhpt_fd_table(const struct swhpt_fd *fd);

/* read(2), write(2) and writev(2) on an htab fd: host-order headers, big-endian HPTEs. */
ssize_t swhpt_read(struct swhpt_fd *fd, void *buf, size_t count);
ssize_t swhpt_write(struct swhpt_fd *fd, const void *buf, size_t count);
ssize_t swhpt_writev(struct swhpt_fd *fd, const struct iovec *iov, int n);

/*
 * What writev(2) does with one record in each segment: `len` bytes of whole records, each handed
 * over by a write of its own. Bytes taken, all of them unless one was refused; or the errno of the
 * first. Writes of others and vCPUs come before or after all of it.
 */
ssize_t swhpt_write_records(struct swhpt_fd *fd, const void *buf, size_t len);

/*
 * write(2) of count bytes from a buffer of which `readable` may be read. The kernel reads up to 8
 * bytes past the count for a record that is too short; past `readable` it is -EFAULT, as if the
 * memory ended there. swhpt_write() is readable == count.
 */
ssize_t swhpt_write_from(struct swhpt_fd *fd, const void *buf, size_t count, size_t readable);

/*
 * A flat table: entry i at 16 * i, two big-endian doublewords, `len` the table's size exactly
 * (-EINVAL). Loading replaces every entry as a write would (errors are write's; what came before
 * stays) and gives the index reached. Saving gives the guest's view, normalised by
 * hpte_normalise(), and takes no change away from readers.
 */
int swhpt_load_flat(struct swhpt *h, const void *flat, size_t len, uint64_t *ret_index);
int swhpt_save_flat(struct swhpt *h, void *flat, size_t len);

/*
 * Receive one htabsock request (proto/vmm.h) from a SOCK_SEQPACKET socket, carry it out on fd and
 * send the answer. buf is HTABSOCK_PACKET_MAX bytes of the caller's. Blocks as the socket does.
 * Returns 1 when a request was answered, 0 when the other end is closed, -EBADMSG for a malformed
 * request (answer nothing, close), or what recv() or sendmsg() gave.
 */
int swhpt_serve_one(struct swhpt_fd *fd, int sock, void *buf);
