/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HTABVMM_H
#define HTABVMM_H
/*
 * libhtabvmm: live migration for a VMM of POWER KVM guests.
 *
 * A VMM describes its guest once and gives a few callbacks; the daemon htab-migrated, reached over
 * a local socket, does the rest. The library makes every KVM ioctl itself (KVM refuses them from
 * any other process), hands the guest's htab fd to the daemon, and keeps the facts that decide
 * where the guest runs: they die with this process, and so does the guest.
 *
 * Threads: none of its own. Everything here is called from one thread, the one that calls
 * htabvmm_dispatch(); callbacks come from inside it and from nowhere else. A callback may not call
 * htabvmm_dispatch() or htabvmm_free().
 * Errors: 0 or a negative errno. Ownership: stated at each function; what is kept is copied.
 * Fork: the library's fds are close-on-exec.
 *
 *	struct htabvmm *h;
 *	htabvmm_new(&config, &h);
 *	for (;;) { poll({htabvmm_fd(h), POLLIN}); htabvmm_dispatch(h); }
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define HTABVMM_SOCKET   "/run/htab-migrated/vmm.sock"
#define HTABVMM_NAME_MAX 64
#define HTABVMM_LATER    1 /* a callback's answer: htabvmm_complete() will tell */

struct htabvmm;
struct htabvmm_state;
struct htabvmm_tlb; /* htabvmm-tlb.h */

enum htabvmm_mmu {
	HTABVMM_MMU_HPT = 1,   /* Book3S: a hashed page table */
	HTABVMM_MMU_BOOKE = 2, /* BookE: a software TLB for each vCPU, config.tlbs */
};

/* What happened to the guest, told by the `event` callback. */
enum htabvmm_event {
	HTABVMM_REGISTERED,   /* the daemon knows this VM now */
	HTABVMM_REFUSED,      /* the daemon refused it; text says why; it is tried again */
	HTABVMM_DISCONNECTED, /* no daemon; the library keeps trying */
	HTABVMM_RESUMED,      /* this source guest runs on here: cancelled, failed, or lease over */
	HTABVMM_MIGRATED, /* this source guest runs elsewhere now: it must never run here again */
	HTABVMM_LOADING,  /* a guest begins to arrive */
	HTABVMM_READY,    /* it arrived whole; the next is STARTED or DEAD */
	HTABVMM_STARTED,  /* the guest that arrived runs here */
	HTABVMM_DEAD,     /* the guest that was arriving never runs here; waits for another */
	HTABVMM_UNREACHABLE, /* no connection: text says why; once for each reason, tried again */
};

/*
 * Each callback returns 0, a negative errno, or (where marked) HTABVMM_LATER. `opaque` is
 * htabvmm_config.opaque. NULL callbacks are skipped where marked optional.
 */
struct htabvmm_ops {
	/*
	 * Stop every vCPU and return when none is in the guest any more. LATER allowed. After a
	 * failure the guest runs on; resume is not called.
	 */
	int (*pause)(void *opaque);
	/*
	 * Let the vCPUs run. The same call ends a pause and starts a guest that arrived. LATER is
	 * not allowed: it returns when the vCPUs may run. After a failure no vCPU must have run.
	 */
	int (*resume)(void *opaque);
	/*
	 * Flush caches, drop disk locks: the guest may soon run elsewhere. Optional. LATER allowed.
	 * After a failure the VMM holds what it held before.
	 */
	int (*inactivate)(void *opaque);
	/*
	 * Take the locks again or for the first time, before any vCPU runs. Optional. LATER
	 * allowed. A failure at the destination makes the session dead; in an undo it
	 * may be asked again.
	 */
	int (*activate)(void *opaque);
	/* Tell the network where the guest is (gratuitous ARP), after it started. Optional. */
	void (*announce)(void *opaque);

	/*
	 * The table. Optional when config.vm_fd is a KVM VM: the library then uses
	 * KVM_PPC_GET_HTAB_FD and KVM_PPC_ALLOCATE_HTAB. A VMM that owns its table returns one end
	 * of a SOCK_SEQPACKET pair that speaks htabsock (docs/protocol.md); the fd becomes the
	 * library's. flags are KVM_GET_HTAB_BOLTED_ONLY and KVM_GET_HTAB_WRITE. What is not a
	 * socket is handed over as a kernel's htab fd. reset_htab makes the table an empty one of
	 * 2^order bytes, at the destination, before a guest's table arrives: of another order than
	 * htabvmm_config.hpt_order where the guest had it changed on the way.
	 */
	int (*open_htab)(void *opaque, uint32_t flags, uint64_t start_index, int *ret_fd);
	int (*reset_htab)(void *opaque, unsigned order);
	/*
	 * The answer to an htabvmm_htab_change() that returned HTABVMM_LATER. error 0: change the
	 * table now and call htabvmm_htab_changed(), from in here or later. -EBUSY or another
	 * errno: the migration wishes no change, leave the table as it is (a hypercall answers
	 * H_BUSY, a reset is tried later); nothing more is to be called. text is "" or a sentence.
	 * Optional for a VMM that never changes a table once its guest ran.
	 */
	void (*htab_answer)(void *opaque, int error, const char *text);

	/*
	 * The VMM's own state, with every vCPU stopped: at the switchover, and when an operator
	 * looks at it (pause, save and resume are then called one after the other). save calls
	 * htabvmm_state_blob() and, for registers that the library does not get from KVM itself,
	 * htabvmm_state_reg(). load is called once for each blob, in the order they were saved,
	 * after the library set the vCPUs' KVM state; load_reg for registers when there is no KVM.
	 * A negative errno refuses the guest. Data is valid during the call only. Optional.
	 */
	int (*save)(void *opaque, struct htabvmm_state *state);
	int (*load)(
		void *opaque, const char *name, uint32_t version, const void *data, size_t size);
	int (*load_reg)(
		void *opaque, unsigned vcpu, uint64_t one_reg_id, const void *value, size_t size);

	/*
	 * Take `percent` (0 to 99) of the vCPUs' time away. Optional. It is called with 0 when the
	 * migration ends here in any way.
	 */
	int (*throttle)(void *opaque, unsigned percent);
	/* Told after it happened. text is "" or a sentence. Optional. */
	void (*event)(void *opaque, enum htabvmm_event event, const char *text);
};

struct htabvmm_config {
	size_t size;        /* sizeof(struct htabvmm_config), for later versions */
	const char *socket; /* NULL: HTABVMM_SOCKET */
	const char *name;   /* [A-Za-z0-9._-]{1,64}, no leading dot */
	uint8_t uuid[16];
	enum htabvmm_mmu mmu;
	unsigned hpt_order; /* log2 of the table's bytes, 18 to 36; 0 for BookE */
	unsigned vcpus;     /* 1 to 2048 */
	/* KVM vCPU fds, vcpus of them; NULL without KVM. They stay the VMM's. */
	const int *vcpu_fds;
	int vm_fd;                     /* KVM VM fd, -1 without KVM. It stays the VMM's. */
	uint32_t pvr;                  /* processor version; 0 with KVM: read from vCPU 0 */
	int incoming;                  /* 1: waits for a guest; 0: has one */
	int running;                   /* its vCPUs run now */
	const struct htabvmm_ops *ops; /* must outlive the handle */
	void *opaque;
	/*
	 * KVM_CREATE_VCPU's arguments, vcpus of them; NULL: 0, 1, 2, and so on. A guest goes to a
	 * VM whose vCPUs have the same.
	 */
	const unsigned *vcpu_ids;
	/*
	 * BookE: vcpus TLBs, all configured alike; they stay the VMM's, cannot be configured anew
	 * and must outlive the handle. The library moves what is in them; open_htab and reset_htab
	 * are not called. NULL for an HPT.
	 */
	struct htabvmm_tlb *const *tlbs;
};

/*
 * Make a handle and begin to connect; there need not be a daemon yet. 0 and *ret; -EINVAL for a
 * config out of its limits; -ENOMEM, -EMFILE and the like. Free it with htabvmm_free().
 * With KVM: call it while no vCPU is in the guest, for it reads registers.
 */
int htabvmm_new(const struct htabvmm_config *config, struct htabvmm **ret);

/*
 * Close everything. A guest that is paused before COMMITTING was noted stays as it is: this is the
 * end of the VMM. Takes NULL. Returns NULL.
 */
struct htabvmm *htabvmm_free(struct htabvmm *h);

/* An epoll fd, readable when htabvmm_dispatch() has something to do. It stays the library's. */
int htabvmm_fd(const struct htabvmm *h);

/*
 * Do what is due, without blocking: messages (all that are queued are handled before the end of the
 * connection is), the lease, connecting anew. 0, or a negative errno when the handle is beyond use.
 */
int htabvmm_dispatch(struct htabvmm *h);

/*
 * The end of the callback that answered HTABVMM_LATER: 0 or a negative errno. What follows happens
 * in the next htabvmm_dispatch(), for which the fd becomes readable. -EINVAL when no callback is
 * pending.
 */
int htabvmm_complete(struct htabvmm *h, int error);

/*
 * The guest stopped or went on by the VMM's own doing (an operator's stop, a guest's shutdown).
 * 1: its vCPUs run, 0: they don't. -EBUSY while a migration holds the guest: it must not run then.
 */
int htabvmm_set_running(struct htabvmm *h, int running, const char *why);

/*
 * The guest runs as another processor now (KVM's ARCH_COMPAT, a logical PVR; 0: its host's own): a
 * VMM says so when its guest has agreed on one with it. With KVM the library knows what it was in
 * htabvmm_new(), and of a guest that arrived. -EINVAL for what is no logical PVR, -EBUSY without a
 * guest.
 */
int htabvmm_set_compat(struct htabvmm *h, uint32_t mode);

/*
 * The guest's table is about to be reset (KVM_PPC_ALLOCATE_HTAB) or resized
 * (KVM_PPC_RESIZE_HPT_COMMIT), to 2^order bytes; a reset keeps the order. A migration that is under
 * way has to let go of the table first, and sends the new one from its beginning. Two halves:
 *
 *	stop every vCPU
 *	htabvmm_htab_change(h, order)
 *	  0: change the table
 *	  HTABVMM_LATER: wait for the callback `htab_answer`, which says whether to
 *	  negative: don't change it
 *	the ioctl
 *	htabvmm_htab_changed(h, the order that the table has now)
 *	let the vCPUs run, when htabvmm_may_run() says so
 *
 * The first half returns 0 at once when there is no daemon. With one it answers HTABVMM_LATER: then
 * the answer comes from htabvmm_dispatch() within 10 s, or error 0 after that: then the migration
 * fails, and the guest stays. It is -EBUSY while a migration holds the guest or one is arriving
 * (from the pause on: try again once it resumed), and while another change is under way; -EINVAL
 * for an order out of 18 to 36 or without `htab_answer`. A VMM that was told 0 has to call the
 * second half, also when its ioctl failed (with the order that it has then): meanwhile no request
 * of the daemon is answered. The second half is -EINVAL when nothing is under way.
 */
int htabvmm_htab_change(struct htabvmm *h, unsigned order);
int htabvmm_htab_changed(struct htabvmm *h, unsigned order);

/*
 * The VMM is about to read its table by itself, through an htab fd of its own (1), or is done with
 * it (0). Every read takes changes away from all other readers of the VM, so it is -EBUSY while the
 * daemon has one, and the daemon gets none while the VMM has: a migration is then refused. It is
 * -EBUSY as well while a guest arrives, whose table is not whole, and none arrives meanwhile.
 */
int htabvmm_htab_reserve(struct htabvmm *h, int on);

/* May this process's vCPUs run? 0 from the pause on, until the resume. Any thread may ask. */
int htabvmm_may_run(const struct htabvmm *h);

/*
 * Inside `save` only. -EMSGSIZE past 64 MiB in all, -EINVAL for a bad name (1 to 63 printable ASCII
 * characters without a blank). An error also makes the saving fail.
 */
int htabvmm_state_blob(struct htabvmm_state *state, const char *name, uint32_t version,
	const void *data, size_t size);
/*
 * value: size bytes in host byte order, the size that the id states (4, 8 or 16). A VMM with KVM
 * fds needs it not: -EINVAL there, and for an id that is not KVM's for PowerPC or not of that size.
 */
int htabvmm_state_reg(struct htabvmm_state *state, unsigned vcpu, uint64_t one_reg_id,
	const void *value, size_t size);

/* -- devices in the kernel ---------------------------------------------------------------------
 *
 * A device is moved by a recipe: data that says which of its values are read at the source and set
 * at the destination, and what is written to it before and after. A VMM adds a device of its own
 * by writing another recipe. Both ends register the same devices by the same names; what arrives is
 * set only if the destination's own recipe lists it, in the order of that recipe.
 *
 * Order, the vCPUs being stopped: at the source all _AT_HOLD steps (and XIVE sources are masked),
 * then the vCPUs' registers, the values, the blobs of `save`. At the destination registers, blobs,
 * then the recipe's _AT_LOAD and _MOVE steps as they stand. If the guest runs on at the source, its
 * _AT_RELEASE steps are written in reverse order (and the masks put back) before `resume` is
 * called.
 */
enum htabvmm_verb {
	HTABVMM_STEP_MOVE = 1,       /* read at the source, set at the destination */
	HTABVMM_STEP_AT_HOLD = 2,    /* write `constant` before anything is read */
	HTABVMM_STEP_AT_RELEASE = 3, /* write it when the guest runs on here after all */
	HTABVMM_STEP_AT_LOAD = 4,    /* write it when a guest is loaded */
};

/* Where a value lives. Part of the protocol: never renumbered. */
enum htabvmm_space {
	HTABVMM_IN_DEVICE = 1,   /* KVM_GET/SET_DEVICE_ATTR of htabvmm_device.fd */
	HTABVMM_IN_VCPU = 2,     /* the same of each vCPU's fd */
	HTABVMM_IN_VCPU_REG = 3, /* KVM_GET/SET_ONE_REG of each vCPU; the attribute is KVM's id */
	HTABVMM_IN_XIVE_ESB = 4, /* P and Q of each XIVE source that was set; one byte */
	HTABVMM_IN_CLOCK = 5,    /* x86: KVM_GET/SET_CLOCK of htabvmm_device.fd, a VM's */
	HTABVMM_IN_VCPU_TSC = 6, /* x86: each vCPU's TSC offset and kHz; after an _IN_CLOCK */
};

/* How often a step is done, besides once for each vCPU in the spaces of vCPUs. */
enum htabvmm_each {
	HTABVMM_EACH_NONE = 0,
	HTABVMM_EACH_SOURCE = 1, /* for each of htabvmm_device's interrupt sources */
	HTABVMM_EACH_SERVER = 2, /* for each of its interrupt servers */
};

/* Flags of a step. */
#define HTABVMM_STEP_OPTIONAL 1u /* a value that KVM says it has not (ENOENT, ENXIO) stays behind */
#define HTABVMM_STEP_SPARSE   2u /* one that is all zero stays behind: it is what _AT_LOAD left */

#define HTABVMM_FIELDS_MAX    8
#define HTABVMM_BYTES(n)      (0x80 | (n)) /* a field of n bytes, as they are */

/*
 * The attributes of a step are first + number * scale + i * stride, with number the source's or the
 * server's (0 for _EACH_NONE) and i from 0 to count - 1.
 */
struct htabvmm_step {
	enum htabvmm_verb verb;
	enum htabvmm_space space;
	enum htabvmm_each each;
	unsigned flags;
	uint32_t group;
	uint64_t first, scale, stride;
	uint32_t count; /* 0: 1 */
	/*
	 * 1 or 2, of a value that KVM takes and never gives (_EACH_SOURCE, one field of 8 bytes):
	 * it is read from, and written to, htabvmm_device.shadow[shadow - 1][index of the source].
	 */
	unsigned shadow;
	uint64_t constant; /* what the _AT_ verbs write */
	/* The value as KVM has it: widths of its integers (1, 2, 4, 8) or _BYTES(n), ended by 0. */
	uint8_t fields[HTABVMM_FIELDS_MAX + 1];
	uint8_t size; /* bytes of KVM's value, at most 64, zeros behind the fields; 0: no more */
};

struct htabvmm_recipe {
	const struct htabvmm_step *steps;
	unsigned count; /* 1 to 64 */
};

/*
 * A recipe that the library has, or NULL:
 *	xics	sources, ICP_STATE of each vCPU. The sources are all that the device has.
 *	xive	queues, sources and their targets, VP_STATE, P and Q. shadow[0]: what
 *		KVM_DEV_XIVE_GRP_SOURCE takes (bit 0 LSI, bit 1 asserted), shadow[1]: what
 *		KVM_DEV_XIVE_GRP_SOURCE_CONFIG takes; KVM gives neither back.
 *	mpic	registers, inputs. The sources are those of the model: 0 to 79, or 0 to 195.
 *	tsc	x86: kvmclock and each vCPU's TSC; the device's fd is the VM's.
 * Static; any thread.
 */
const struct htabvmm_recipe *htabvmm_recipe(const char *name);

struct htabvmm_device {
	size_t size;      /* sizeof(struct htabvmm_device), for later versions */
	const char *name; /* 1 to 31 printable ASCII characters without a blank, once in a VM */
	int fd;           /* stays the VMM's, and open; -1 when no step needs it */
	const struct htabvmm_recipe *recipe;
	/* Interrupt sources, in ascending order; NULL: first_source and those that follow it. */
	const uint64_t *sources;
	uint64_t first_source;
	uint32_t source_count;
	/* The vCPUs' interrupt servers, one each, in ascending order; NULL: 0, 1, 2, ... */
	const uint32_t *servers;
	/* The vCPUs' fds, which stay the VMM's; NULL: those of htabvmm_config. */
	const int *vcpu_fds;
	unsigned vcpus; /* of vcpu_fds */
	/*
	 * The VMM's own, and in use until htabvmm_free(): source_count words each, read while the
	 * guest is paused and written when one is loaded. NULL where no step needs it.
	 */
	uint64_t *shadow[2];
	/* The same, bytes: 1 where the source is in use. NULL: all are. */
	uint8_t *present;
};

/*
 * Move this device with the guest, after those added before. Everything but shadow and present is
 * copied. -EINVAL for what is out of its limits or a step that cannot be; -EEXIST for a name that
 * there is; -ENOSPC past 16 devices; -EBUSY while a migration holds or brings a guest; -ENOMEM.
 */
int htabvmm_add_device(struct htabvmm *h, const struct htabvmm_device *device);

/* A table of KVM_CREATE_SPAPR_TCE_64, with what it was created with. */
struct htabvmm_tce {
	size_t size; /* sizeof(struct htabvmm_tce), for later versions */
	int fd;      /* KVM's; stays the VMM's */
	uint64_t liobn;
	uint32_t page_shift; /* 12 to 34 */
	uint64_t offset;     /* of the window on the bus, in pages of that size */
	uint64_t entries;    /* 1 to 2^24 */
};

/*
 * Move this table of an emulated device (one that is tied to a VFIO group is the hardware's). It is
 * mapped, and stays so until htabvmm_free(). Both ends have it in the same geometry. Errors as
 * above, 64 tables, and what mmap() gives.
 */
int htabvmm_add_tce(struct htabvmm *h, const struct htabvmm_tce *table);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
