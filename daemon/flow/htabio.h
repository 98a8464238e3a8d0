/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The htab fd of a VM, the kernel's or what stands in for it (htabsock): one small type hides
 * which. Blocking; owned by one data thread. Replaceable in tests through struct htabio_ops.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "proto/htab.h"
#include "proto/vmm.h"

struct htabio;

struct htabio_ops {
	/* Whole records of max bytes at most, headers in host order: bytes, 0 or -errno. */
	ssize_t (*read)(void *ctx, void *buf, size_t max);
	/* Whole records (host order), already validated; all of them are written or it fails. */
	int (*write)(void *ctx, const void *buf, size_t len);
	void (*shutdown)(void *ctx); /* any thread: make the owner's call return soon */
	void (*close)(void *ctx);
};

/*
 * fd as the VMM gave it; becomes the htabio's, also on failure. A kernel fd must be an
 * anon_inode:kvm-htab, a socket a SOCK_SEQPACKET: -EINVAL with a sentence otherwise. Every
 * exchange over a socket has timeout_ms.
 */
int htabio_new(
	int fd, enum vmm_htab_kind kind, int timeout_ms, struct htabio **ret, struct err *err);
int htabio_new_ops(const struct htabio_ops *ops, void *ctx, struct htabio **ret);
/* What its records hold; HTAB_HPT unless this said otherwise, before the first read or write. */
void htabio_set_kind(struct htabio *io, enum htab_kind kind);
enum htab_kind htabio_kind(const struct htabio *io);
ssize_t htabio_read(struct htabio *io, void *buf, size_t max);
/*
 * One record per segment of writev() on the kernel's fd (KVM looks for the next header in the wrong
 * place otherwise); records longer than the socket's packet are split. When an entry is refused
 * (-EIO, -EINVAL, -EBUSY) it is looked for, entry by entry, so that htabio_error() can name it.
 */
int htabio_write(struct htabio *io, const void *buf, size_t len);
/* After a failed read or write: why, for people. Valid until the next call. */
const char *htabio_error(const struct htabio *io);
/* The count that a read() was given, as htab_read_wrapped() needs it: what max became. */
size_t htabio_read_count(const struct htabio *io, size_t max);
void htabio_shutdown(struct htabio *io);
struct htabio *htabio_free(struct htabio *io); /* takes NULL, returns NULL; closes */
