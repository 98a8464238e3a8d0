/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * One migration of one VM, in either direction: its state, the table of allowed transitions, its
 * figures. migration_set() is the one function that changes the state. What is done in each state
 * is in connect.c, source.c, switchover.c, handover.c, save.c and in arrive.c, dest.c, decide.c,
 * load.c. Loop thread only.
 */
#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/dial.h"
#include "common/err.h"
#include "daemon/session/agreed.h"
#include "daemon/source/converge.h"
#include "daemon/transport/filepath.h"
#include "daemon/flow/inflow.h"
#include "daemon/flow/outflow.h"
#include "daemon/base/params.h"
#include "daemon/net/peer.h"
#include "daemon/vms/vm.h"
#include "proto/wire.h"

struct load;
struct reopen;
struct save;
struct server;

enum mig_state {
	/* the source, in the order of a migration that goes well */
	MIG_CONNECT,        /* the control connection is made */
	MIG_OPEN,           /* OPEN is sent, or about to be */
	MIG_JOIN,           /* the data channels are made, one after the other */
	MIG_START,          /* the VMM opens its htab fd */
	MIG_ACTIVE,         /* passes */
	MIG_CUT,            /* passes, their connections being gone: a recovery is waited for */
	MIG_RESUME,         /* the connections are made anew */
	MIG_PAUSE,          /* the VMM stops its vCPUs */
	MIG_PRE_SWITCHOVER, /* paused, waits for migrate-continue */
	MIG_LAST_PASS,      /* one full lap after the pause */
	MIG_VERIFY,         /* both tables are read back and compared */
	MIG_STATE,          /* the machine state is read and sent */
	MIG_END,            /* END is sent, READY awaited */
	MIG_COMMITTING,     /* the VMM runs `inactivate` and notes "committing" */
	MIG_COMMIT,         /* COMMIT is sent; only an answer about the session ends it */
	MIG_ASKING,         /* no connection: COMMIT is repeated on new ones */
	MIG_RELEASE,        /* RUNNING was answered: the VMM lets its guest go */
	MIG_UNDO,           /* NEVER was answered: the VMM takes its guest back */
	MIG_STOPPING,       /* cancelled or failed before COMMITTING: all is being put back */

	/* the destination */
	MIG_IN_PREPARE,  /* the VMM notes LOADING, empties its table, opens its htab fd */
	MIG_IN_JOIN,     /* ACCEPT is sent; the data channels are awaited */
	MIG_IN_ACTIVE,   /* passes arrive */
	MIG_IN_CUT,      /* the connections are gone: the source may come back */
	MIG_IN_RESUME,   /* RESUME came: what is whole is written, the data channels awaited */
	MIG_IN_FINISH,   /* END came; the last chunks are written and checked */
	MIG_IN_STATE,    /* the VMM sets the machine state */
	MIG_IN_NOTE,     /* the VMM notes READY */
	MIG_IN_READY,    /* READY is sent; COMMIT awaited */
	MIG_IN_RUN,      /* the VMM is asked to run the guest */
	MIG_IN_RUNNING,  /* RUNNING is said; CLOSED awaited */
	MIG_IN_STOPPING, /* cancelled or failed: the session becomes DEAD */
	MIG_IN_LOST,     /* RUN was asked and the VMM died: an operator decides */

	/* both: final */
	MIG_COMPLETED,
	MIG_FAILED,
	MIG_CANCELLED,
};
#define MIG_STATES (MIG_CANCELLED + 1)

/* Where the source is with its guest's table; daemon/source/change.h has the transitions. */
enum hpt_step {
	HPT_NONE = 0, /* no flow yet */
	HPT_READING,  /* the flow has its fd */
	HPT_PARTING,  /* the flow lets go of it: the table is about to be changed */
	HPT_AWAY,     /* the VMM changes it */
	HPT_BARRIER,  /* it is another one: GENERATION is being sent */
	HPT_OPENING,  /* the VMM opens an fd of it */
};

struct migration {
	TAILQ_ENTRY(migration) link; /* server.migrations */
	struct server *srv;
	struct vm *vm;          /* NULL when it is gone */
	bool vm_dead;           /* gone, and its process is known to have ended */
	struct event *vmm_end;  /* gone, and that is being waited for; with a pidfd of its own */
	unsigned release_tries; /* to have it let go of the session, in vain */
	char vm_name[VM_NAME_MAX + 1];
	struct vm_uuid uuid;
	uid_t uid; /* of its VMM */
	unsigned order, vcpus;
	uint64_t tlb_entries; /* of a BookE guest, all its vCPUs'; 0: it has an HPT */
	bool incoming;
	enum mig_state state;
	const char *status; /* QEMU's word, kept while stopping after a failure */
	struct session_id session;
	struct agreed agreed;
	struct tuning tuning;
	char uri_text[URI_MAX];
	struct uri uri;
	char peer_name[PEER_NAME_MAX]; /* authenticated, "" in plaintext */

	/* a step that is held: HTAB_MIGRATED_HOLD */
	void (*held)(struct migration *m);

	/* a step that only an answer ends: unresolved.h */
	uint64_t t_waits;   /* since when it is waited for, ns; 0: it is not */
	struct err overdue; /* what people were told */

	/* how it ends */
	struct err error;
	enum mig_state final;
	unsigned waits;    /* things that must end before it may go on or be final */
	unsigned vm_waits; /* those of them that are the VMM's answers */

	struct tls_creds *creds;
	int connected_fd; /* fd:NAME: the control connection before its handshake, -1 */
	struct dial *dial;
	struct peer *peer;
	/* The data channels, while they are made: then they are the flow's. */
	uint32_t joined;                           /* those in streams */
	struct peer *joining[WIRE_CHANNELS_MAX];   /* under way; the source: one */
	struct stream *streams[WIRE_CHANNELS_MAX]; /* JOINED */
	struct outflow *out;
	bool out_stopping;
	struct inflow *in;
	struct dir_place place; /* source, to file:PATH: where its directory was */
	struct save *save;      /* to file:PATH, see save.h */
	struct load *load;      /* from there, see load.h */
	struct event *timer;    /* lease, time-outs, redials: what the state says */
	struct event *limit;    /* how long the state may last */
	struct event *deadline; /* source: parameter timeout */
	uint8_t secret[WIRE_SECRET_SIZE], join_secret[WIRE_SECRET_SIZE];
	uint32_t ring; /* chunks in flight on a channel: ACCEPT */

	/* recovery, both ends */
	bool down; /* the flow has let its channels go (and written all that came) */
	struct wire_resumed written; /* destination, when down: all but the secret */
	unsigned recoveries;         /* so far */
	uint64_t cut_at;             /* of clock_ns(): since then it is interrupted */
	bool answered;               /* destination: RESUMED is said */
	bool switched;               /* destination: SWITCHOVER came */
	struct reopen *next;         /* destination: an OPEN in its place, see reopen.c */
	bool elsewhere;    /* source: the address is another one than the session began at */
	bool pass_over;    /* source: the pass ended while there was no connection */
	bool by_hand;      /* source: paused by a person, who has to resume it */
	unsigned attempts; /* source: in vain, since something was written last */
	bool over_there;   /* source: the destination said that the session has ended */

	/* source */
	bool ktls; /* the kernel encrypts what the data channels send */
	uint32_t pass;
	uint32_t generation; /* of the table; END's */
	enum hpt_step hpt;
	bool change_agreed; /* the VMM was told to change the table, and is at it */
	bool change_again;  /* it did when no fd was open: a generation is to begin */
	struct event *away; /* how long a change may take */
	bool paused;        /* the VMM was asked to pause: it has to be resumed */
	bool force;         /* switch over whatever is predicted */
	bool resumed;   /* the VMM said that its guest ran again: its copy must not be committed */
	bool adopted;   /* found in a VMM's registration, by a later daemon */
	bool forgotten; /* adopted when it was over: kept to answer its source, not to be shown */
	bool unresolved;
	bool unproven; /* its note is not one of this host's: nothing that it says is believed */
	unsigned throttle;
	unsigned redials;
	bool welcomed; /* the connection being made has its WELCOME */
	bool verify_sent;
	uint8_t cookie[VMM_COOKIE_MAX];
	uint16_t cookie_len;
	bool released;   /* the VMM let its guest go, or is dead: CLOSED may be said */
	bool unreleased; /* it is away, and was waited for long enough: CLOSED is not said */
	bool discarded;  /* an operator gave the guest up here: nothing is said any more */
	bool asked;      /* peer was asked what became of the session, and has not answered */
	int state_fd;    /* memfd with the machine state, -1 */
	uint64_t state_size, state_done, state_digest;
	struct wire_end end;
	struct wire_last_lap lap; /* source: flags alone, of the pass under way */

	/* destination */
	struct wire_open open;
	struct htabio *htab, *htab_verify; /* until the flow has them */
	void (*table_ready)(struct migration *m);
	bool asked_run; /* some daemon asked, or may have asked, the VMM to run the guest */
	bool never;     /* this guest never runs here: it may be said */
	bool closed;    /* the source said CLOSED: it asks no more */
	char reason[WIRE_TEXT_MAX]; /* source: why the answer that follows is what it is */

	/* figures; ns of clock_ns(), 0: not yet */
	uint64_t t_start, t_active, t_pause, t_verify, t_end, verify_ns, t_final;
	uint64_t downtime_ns; /* for how long the guest stood, once it is known to run */
	uint64_t t_stopped;   /* when the guest stopped; at the destination by END's pause age */
	struct converge converge;
	uint64_t rate, best_rate;   /* entries/s that left this host: of late, and at best */
	uint64_t t_state;           /* since when it is in its state */
	uint64_t spent[MIG_STATES]; /* ns in each state before it */
	struct outflow_stats out_stats;
	struct inflow_stats in_stats;
	uint64_t valid_end; /* valid entries when the whole table was read last: pass 1 or verify */
	bool valid_known;   /* and nothing has changed since, nor will */
	struct wire_verified verified;
	bool have_verified;
	/* destination: how exactly the guest's time went on, ns */
	uint64_t source_stopped; /* STOPPED, by the source's clock; 0: not told */
	bool have_time;
	int64_t time_error;
	uint64_t time_uncertainty; /* of the moment when it stopped */
};

/* Make a migration and put it in its first state; it is the VM's from now on. */
struct migration *migration_new(struct server *srv, struct vm *vm, enum mig_state first);
/* Only when final and nobody refers to it. */
struct migration *migration_free(struct migration *m);

/* Tell the world that it begins, and do `go` in its first state (unless that is held). */
void migration_begin(struct migration *m, void (*go)(struct migration *m));

/* Close the data channels that are being made. */
void migration_drop_channels(struct migration *m);
/* They are a flow's now. */
void migration_gave_channels(struct migration *m);

/* The one place where the state changes; asserts that the transition is allowed. */
void migration_set(struct migration *m, enum mig_state state);
/* The same, and do `go` in it: at once, or when a hold on that state is continued. */
void migration_enter(struct migration *m, enum mig_state state, void (*go)(struct migration *m));
bool migration_allowed(enum mig_state from, enum mig_state to);
bool migration_is_final(const struct migration *m);
/* To or from file:PATH: there is no other daemon. */
bool migration_is_file(const struct migration *m);
/* May connections that break be made anew, now and without a word from anybody? */
bool migration_keeps(const struct migration *m);
/*
 * While it is interrupted, from cut_at on: wait for as long as recover-timeout says, and then cb.
 * Again when that was changed.
 */
void migration_wait_for_peer(struct migration *m, event_callback_fn cb);
/* Is it? And for how many ms more, until recover-timeout ends it. */
bool migration_is_interrupted(const struct migration *m);
int64_t migration_patience(const struct migration *m);
/* May it still be cancelled: has the hand-over not begun? */
bool migration_can_cancel(const struct migration *m);

/*
 * Its VMM disconnected, and may live: until it is back, its process's end is told by
 * source_vm_gone() or dest_vm_gone().
 */
void migration_watch_vmm(struct migration *m, const struct vm *vm);
void migration_unwatch_vmm(struct migration *m);

const char *migration_step(enum mig_state state);
/* Its flow is gone, or never was: it reads its VM's table no more, and the VMM is told. */
void migration_htab_over(struct migration *m);
/* Timers: after ms from now, replacing what each waited for. */
void migration_timer(struct migration *m, int64_t ms, event_callback_fn cb);
void migration_limit(struct migration *m, int64_t ms, event_callback_fn cb);
void migration_away(struct migration *m, int64_t ms, event_callback_fn cb);
void migration_deadline(struct migration *m, int64_t ms, event_callback_fn cb);
/* Is this the end of a connection, and so perhaps not the cause of what happened? */
bool migration_is_cut(const struct err *err);
