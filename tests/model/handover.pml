/*
 * The hand-over of one session S, from step 1's END to step 6's CLOSED: see README.md here.
 *
 * Every process is a table: each option of its loop is one step, "state and event -> action and
 * state", and its state is a global, so that a crash can come between any two steps and take it.
 * What is volatile in a process is reset where it crashes, in World. Ghosts (ghost_*) are read
 * by assertions alone.
 *
 * It begins with the guest paused at the source, the destination LOADING and one connection up.
 * Bounds: spin -DCRASHES=n and so on, see below.
 */
#ifndef CRASHES
#define CRASHES 2	/* of all four processes together; daemons restart, VMMs do not */
#endif
#ifndef CONNS
#define CONNS 2		/* connections: the first one and those made later; each may break */
#endif
#ifndef OPS
#define OPS 1		/* words of the operator */
#endif
#ifndef REACH
#define REACH 0		/* the REACHED(n) which is to fail, to show that it can be reached */
#endif

/* Two rules of the first draft, which Spin refutes: see README.md. */
#ifdef DRAFT_CLOSE
#define MAY_CLOSE 1	/* a VMM which cannot queue RESUMED closes its socket, and runs */
#else
#define MAY_CLOSE 0	/* it stays paused */
#endif
#ifdef DRAFT_NEVER
#define RAN_COUNTS 0	/* a daemon answers only for what it asked itself */
#else
#define RAN_COUNTS 1	/* a note RUN in a registration counts as asked */
#endif

/* Rules that a daemon once broke; each mutant shows that the assertions see it. */
#ifdef MUTANT_CANCEL
#define MAY_GIVE_UP 1	/* also while the VMM's end is being judged */
#else
#define MAY_GIVE_UP (src_v != V_GONE)
#endif
#ifdef MUTANT_ASKED
#define UNSENT_COUNTS 1	/* a RUN that found the socket's other end gone was asked for */
#else
#define UNSENT_COUNTS 0
#endif
#ifdef MUTANT_RELEASE
#define UNHEARD_COUNTS 1	/* RELEASE that failed, or was not answered, let the guest go */
#else
#define UNHEARD_COUNTS 0
#endif
#ifdef MUTANT_DISCARD
#define DISCARD_ASKS 1	/* after it COMMIT is said once more, so as to say CLOSED */
#else
#define DISCARD_ASKS 0
#endif
#ifdef MUTANT_CHILD
#define DEATH_SHOWS 0	/* a child holds the VMM's socket, and its end is waited for */
#else
#define DEATH_SHOWS 1	/* the pidfd says it */
#endif

#define NONE 255
#define REACHED(n, when) assert(REACH != n || !(when))

/* On the wire. The first seven are the protocol's; CANCEL is a hint that may be lost. */
mtype:wire = { END, READY, COMMIT, RUNNING, CLOSED, NEVER, UNKNOWN, CANCEL };
/* On the source's VMM socket: requests, what the VMM tells, registrations with their notes. */
mtype:src = { NOTE, RESUME, RELEASE, ACK, REFUSED, RESUMED, RELEASED, FAILED, REG_RUNS,
	REG_COOKIE };
/* On the destination's VMM socket. */
mtype:dst = { MAKE_READY, RUN, KILL, FORGET, IS_READY, IS_RUN, IS_DEAD, IS_OTHER,
	REG_LOADING, REG_READY, REG_RUN, REG_DEAD, REG_OTHER };

/* Source daemon. */
mtype:src_d = { S_LAP, S_END, S_NOTE, S_ASK, S_CLOSE, S_GIVE, S_UNDO, S_ABORT, S_OVER, S_NEW,
	S_DOWN };
/* Source VMM: its note for S. GO, INACT and ACT are the middle of a handler: no message is read. */
mtype:src_v = { V_PAUSED, V_INACT, V_COMMITTING, V_ACT, V_GO, V_RUNS, V_RELEASED, V_GONE };
/* Destination daemon, and what this very process knows of its VMM. */
mtype:dst_d = { D_IDLE, D_WAIT, D_DOWN };
mtype:know = { K_NOTHING, K_NOTRUN, K_ASKED, K_DEAD };
/* Destination VMM: its note for S. ACT and START are the middle of a handler. */
mtype:dst_v = { N_LOADING, N_READY, N_ACT, N_START, N_RUN, N_DEAD, N_FORGOT, N_GONE };
/* A VMM's socket as its VMM sees it. */
mtype:sock = { UP, HUP, OFF };

mtype:src_d src_d = S_LAP;
mtype:src_v src_v = V_PAUSED;
mtype:dst_d dst_d = D_IDLE;
mtype:dst_v dst_v = N_LOADING;
mtype:know know = K_NOTRUN;

mtype:sock sv_sock = UP, dv_sock = UP;
chan s2v = [4] of { mtype:src };
chan v2s = [4] of { mtype:src };
chan d2v = [4] of { mtype:dst };
chan v2d = [4] of { mtype:dst };

/* Connections. One that is broken takes nothing more; what it holds may still be read. */
chan to_d[CONNS] = [2] of { mtype:wire };
chan to_s[CONNS] = [2] of { mtype:wire };
bool broken[CONNS];
byte conns = 1;		/* made so far */
byte cur = 0;		/* the source daemon's */
bool asked;		/* COMMIT sent on it, not answered yet */
byte answer_to = NONE;	/* the connection whose question the destination's daemon is asking */

bool sv_runs, dv_runs;		/* a vCPU is in the guest */
bool sv_active = true, dv_active;	/* disk locks held */

bool ghost_sv_ran, ghost_dv_ran;	/* since the pause */
bool ghost_dead;			/* a note DEAD was made */
bool ghost_op_src, ghost_op_dst;	/* the operator said run */
bool ghost_discard;			/* the operator said discard, at the source */
bool ghost_later_sd;			/* the source daemon is not the first */
bool ghost_later_dd;
bool ghost_noted;			/* the source's VMM had noted */
bool ghost_lease;			/* it resumed by itself */
bool ghost_commit;			/* COMMIT was sent before the operator's discard */
bool ghost_run;				/* RUN was queued to the destination's VMM */

#define FLUSH(ch) do :: len(ch) > 0 -> ch?_ :: else -> break od
#define LOSE_OR_KEEP(ch) if :: FLUSH(ch) :: len(ch) > 0 -> skip fi
#define TELL(i, ch, m) if :: broken[i] -> skip :: else -> assert(len(ch[i]) < 2); ch[i]!m fi

#define SV_IDLE (src_v == V_PAUSED || src_v == V_COMMITTING || src_v == V_RUNS || \
	src_v == V_RELEASED)
#define DV_IDLE (dst_v == N_LOADING || dst_v == N_READY || dst_v == N_RUN || dst_v == N_DEAD || \
	dst_v == N_FORGOT)
/* Pidfd first, then the socket to its end: nothing can be queued between the two. */
#define SV_GONE_DRAINED (DEATH_SHOWS && src_v == V_GONE && len(v2s) == 0)
#define DV_GONE_DRAINED (DEATH_SHOWS && dst_v == N_GONE && len(v2d) == 0)

/* ---- Source daemon ---- */

#define HEARD(m) (cur != NONE && to_s[cur]?[m])
#define CUT (cur == NONE || (broken[cur] && len(to_s[cur]) == 0))

inline ask_sv(m)
{
	if
	:: sv_sock == UP && src_v != V_GONE -> assert(len(s2v) < 4); s2v!m
	:: else -> skip	/* EPIPE */
	fi
}

/* Step 6. What a later daemon may not find any more is forgotten last. */
inline say_closed()
{
	assert(src_v == V_RELEASED || src_v == V_GONE);
	TELL(cur, to_d, CLOSED); cur = NONE; asked = false; src_d = S_OVER
}

inline hang_up()
{
	if
	:: cur != NONE -> broken[cur] = true; FLUSH(to_s[cur]); cur = NONE
	:: else -> skip
	fi;
	asked = false
}

active proctype SourceDaemon()
{
end:	do
	/* Step 1. The VMM may have resumed by now: the daemon may have slept. */
	:: atomic { src_d == S_LAP -> TELL(cur, to_d, END); src_d = S_END }

	/* Anything that fails before step 3: the guest goes on here. A VMM that died without
	   RESUMED leaves the destination's copy as the only one: once END was sent nothing is given
	   up while it is not known whether it did. */
	:: atomic { src_d == S_LAP || (src_d == S_END && MAY_GIVE_UP) ->	/* cancel */
		assert(src_d == S_LAP || src_v != V_GONE || ghost_sv_ran);
		ask_sv(RESUME); src_d = S_ABORT }
	:: atomic { src_d == S_END && (HEARD(NEVER) || HEARD(UNKNOWN)) && src_v != V_GONE ->
		to_s[cur]?_; ask_sv(RESUME); src_d = S_ABORT }
	:: atomic { src_d == S_END && (HEARD(NEVER) || HEARD(UNKNOWN)) && SV_GONE_DRAINED ->
		to_s[cur]?_; hang_up(); src_d = S_ASK }
	:: atomic { src_d == S_END && CUT && SV_GONE_DRAINED -> REACHED(17, true); src_d = S_ASK }
	:: atomic { src_d == S_END && CUT && MAY_GIVE_UP ->
		assert(src_v != V_GONE || ghost_sv_ran);
		ask_sv(RESUME); src_d = S_ABORT }
	:: atomic { (src_d == S_LAP || src_d == S_END) && v2s?[RESUMED] ->
		v2s?RESUMED; src_d = S_ABORT }
	:: atomic { src_d == S_ABORT -> TELL(cur, to_d, CANCEL); hang_up(); src_d = S_OVER }

	/* Step 3. */
	:: atomic { src_d == S_END && HEARD(READY) ->
		to_s[cur]?READY; ask_sv(NOTE); src_d = S_NOTE }
	:: atomic { src_d == S_NOTE && v2s?[ACK] -> v2s?ACK; src_d = S_ASK }
	:: atomic { src_d == S_NOTE && v2s?[REFUSED] -> v2s?REFUSED; src_d = S_ABORT }
	:: atomic { src_d == S_NOTE && v2s?[RESUMED] ->
		v2s?RESUMED;
		REACHED(11, src_v == V_GONE);
		src_d = S_ABORT }
	:: atomic { src_d == S_NOTE && SV_GONE_DRAINED -> src_d = S_ASK }

	/* Step 4, on any connection, as often as it takes. */
	:: atomic { src_d == S_ASK && cur != NONE && !asked && !broken[cur] ->
		TELL(cur, to_d, COMMIT); asked = true; ghost_commit = true }
	:: atomic { src_d == S_ASK && HEARD(UNKNOWN) -> to_s[cur]?UNKNOWN; asked = false }
	:: atomic { src_d == S_ASK && CUT && conns < CONNS && dst_d != D_DOWN ->
		hang_up(); cur = conns; conns++ }
	:: atomic { src_d == S_ASK && HEARD(NEVER) ->
		to_s[cur]?NEVER; hang_up(); ask_sv(RESUME); src_d = S_UNDO }

	/* Step 6. The VMM has let its guest go, or is dead, before the destination forgets. */
	:: atomic { src_d == S_ASK && HEARD(RUNNING) ->
		to_s[cur]?RUNNING; ask_sv(RELEASE); src_d = S_CLOSE;
		REACHED(3, ghost_later_sd) }
	:: atomic { src_d == S_CLOSE && v2s?[RELEASED] -> v2s?RELEASED; say_closed() }
	:: atomic { src_d == S_CLOSE && SV_GONE_DRAINED -> REACHED(18, true); say_closed() }
	:: atomic { (src_d == S_CLOSE || src_d == S_GIVE) && v2s?[FAILED] ->
		v2s?FAILED; REACHED(19, true); ask_sv(RELEASE) }
	:: atomic { UNHEARD_COUNTS && src_d == S_CLOSE -> say_closed() }

	/* The operator's discard. Nothing that is said could not start a copy that is READY. */
	:: atomic { src_d == S_GIVE && v2s?[RELEASED] ->
		v2s?RELEASED; REACHED(20, dst_v == N_READY); src_d = S_OVER }
	:: atomic { src_d == S_GIVE && SV_GONE_DRAINED -> src_d = S_OVER }

	/* NEVER, or the operator's run: done when the VMM says so. */
	:: atomic { src_d == S_UNDO && v2s?[FAILED] -> v2s?FAILED; ask_sv(RESUME) }
	:: atomic { src_d == S_UNDO && v2s?[RESUMED] -> v2s?RESUMED; src_d = S_OVER }
	:: atomic { src_d == S_UNDO && SV_GONE_DRAINED -> src_d = S_OVER }

	/* A daemon that has started knows what its VMM registers. */
	:: atomic { src_d == S_NEW && v2s?[REG_COOKIE] -> v2s?REG_COOKIE; src_d = S_ASK }
	:: atomic { src_d == S_NEW && v2s?[REG_RUNS] -> v2s?REG_RUNS; src_d = S_OVER }
	:: atomic { (src_d == S_ABORT || src_d == S_OVER) && len(v2s) > 0 -> v2s?_ }
	od
}

/* ---- Source VMM ---- */

inline tell_sd(m)
{
	if
	:: sv_sock == UP -> assert(len(v2s) < 4); v2s!m
	:: else -> skip
	fi
}

active proctype SourceVmm()
{
end:	do
	/* The lease has expired: at any time before the note. RESUMED is queued first. */
	:: atomic { src_v == V_PAUSED -> tell_sd(RESUMED); ghost_lease = true; src_v = V_GO }
	:: atomic { MAY_CLOSE && src_v == V_PAUSED && sv_sock == UP ->
		sv_sock = OFF; FLUSH(s2v); src_v = V_GO }
	/* The socket has closed, and every message in it is handled. */
	:: atomic { SV_IDLE && sv_sock == HUP && len(s2v) == 0 ->
		sv_sock = OFF;
		if
		:: src_v == V_PAUSED -> ghost_lease = true; src_v = V_GO
		:: else -> skip
		fi }

	:: atomic { src_v == V_GO ->
		assert(sv_active);
		assert(!dv_runs);				/* never both */
		assert(!ghost_dv_ran || ghost_op_src);		/* nor one after the other */
		sv_runs = true; ghost_sv_ran = true; src_v = V_RUNS;
		REACHED(4, ghost_lease);
		REACHED(2, ghost_noted && !ghost_op_src);
		REACHED(5, ghost_op_src) }

	/* Step 3. */
	:: atomic { SV_IDLE && s2v?[NOTE] ->
		s2v?NOTE;
		if
		:: src_v == V_PAUSED -> sv_active = false; src_v = V_INACT
		:: else -> tell_sd(REFUSED)
		fi }
	:: atomic { src_v == V_INACT -> ghost_noted = true; src_v = V_COMMITTING; tell_sd(ACK) }
	:: atomic { src_v == V_INACT ->	/* inactivate failed */
		assert(!dv_active); sv_active = true;
		tell_sd(REFUSED); tell_sd(RESUMED); src_v = V_GO }

	:: atomic { SV_IDLE && s2v?[RESUME] ->
		s2v?RESUME;
		if
		:: src_v == V_PAUSED -> tell_sd(RESUMED); src_v = V_GO
		:: src_v == V_COMMITTING -> src_v = V_ACT
		:: else -> assert(src_v == V_RUNS)
		fi }
	:: atomic { src_v == V_ACT ->
		assert(!dv_active); sv_active = true; tell_sd(RESUMED); src_v = V_GO }
	:: atomic { src_v == V_ACT ->	/* activate failed */
		tell_sd(FAILED); src_v = V_COMMITTING }

	:: atomic { SV_IDLE && s2v?[RELEASE] ->
		s2v?RELEASE;
		assert(src_v == V_COMMITTING);
		assert(ghost_dv_ran || ghost_discard);		/* never none */
		if
		:: src_v = V_RELEASED; tell_sd(RELEASED)
		:: tell_sd(FAILED)	/* and is asked again */
		fi }

	/* Registers with the daemon, and its notes. */
	:: atomic { (src_v == V_RUNS || src_v == V_COMMITTING) && sv_sock == OFF &&
		src_d != S_DOWN && !MAY_CLOSE ->	/* the draft's VMM dies before it is back */
		sv_sock = UP;
		if
		:: src_v == V_RUNS -> tell_sd(REG_RUNS)
		:: else -> tell_sd(REG_COOKIE)
		fi }
	od
}

/* ---- Destination daemon ---- */

inline ask_dv(m, i)
{
	assert(len(d2v) < 4); d2v!m; answer_to = i; dst_d = D_WAIT
}

inline answer(m)
{
	if
	:: answer_to != NONE -> TELL(answer_to, to_s, m)
	:: else -> skip
	fi;
	answer_to = NONE; dst_d = D_IDLE
}

#define DV_HERE (know != K_NOTHING && dst_v != N_GONE && dv_sock == UP)
/* Without a note: only a process that knows S, has not asked for RUN, and has the pidfd. */
#define CAN_SAY_NEVER (know == K_DEAD || (know == K_NOTRUN && dst_v == N_GONE))

/* What arrives on connection i, which its sender may have left. */
inline serve(i)
{
	if
	:: to_d[i]?[END] -> to_d[i]?END;	/* step 1 */
		if
		:: DV_HERE -> ask_dv(MAKE_READY, i)
		:: DV_HERE -> ask_dv(KILL, i)		/* the digests differ */
		:: else -> answer_to = i; answer(UNKNOWN)
		fi
	:: to_d[i]?[COMMIT] -> to_d[i]?COMMIT;	/* step 4 */
		REACHED(15, i != conns - 1);
		if
		:: CAN_SAY_NEVER ->
			REACHED(8, know == K_NOTRUN);
			REACHED(13, know == K_NOTRUN && ghost_later_dd);
			answer_to = i; answer(NEVER)
		:: know == K_NOTRUN && dst_v == N_GONE && dv_sock == UP ->
			/* its end is not seen yet: RUN finds nobody, and that is known */
			if
			:: UNSENT_COUNTS -> know = K_ASKED
			:: else -> skip
			fi;
			answer_to = i; dst_d = D_WAIT
		:: !CAN_SAY_NEVER && DV_HERE -> know = K_ASKED; ghost_run = true; ask_dv(RUN, i)
		:: !CAN_SAY_NEVER && !DV_HERE -> answer_to = i; answer(UNKNOWN)
		fi
	:: to_d[i]?[CANCEL] -> to_d[i]?CANCEL;
		if
		:: DV_HERE -> ask_dv(KILL, NONE)
		:: else -> skip
		fi
	:: to_d[i]?[CLOSED] -> to_d[i]?CLOSED;	/* step 6 */
		if
		:: DV_HERE -> ask_dv(FORGET, NONE)
		:: else -> skip
		fi
	fi
}

active proctype DestinationDaemon()
{
end:	do
	:: atomic { dst_d == D_IDLE && len(v2d) == 0 && len(to_d[0]) > 0 -> serve(0) }
#if CONNS > 1
	:: atomic { dst_d == D_IDLE && len(v2d) == 0 && len(to_d[1]) > 0 -> serve(1) }
#endif
#if CONNS > 2
	:: atomic { dst_d == D_IDLE && len(v2d) == 0 && len(to_d[2]) > 0 -> serve(2) }
#endif
#if CONNS > 3
	:: atomic { dst_d == D_IDLE && len(v2d) == 0 && len(to_d[3]) > 0 -> serve(3) }
#endif

	:: atomic { dst_d == D_WAIT && v2d?[IS_READY] -> v2d?IS_READY; answer(READY) }	/* step 2 */
	:: atomic { dst_d == D_WAIT && v2d?[IS_RUN] -> v2d?IS_RUN; answer(RUNNING) }	/* step 5 */
	:: atomic { dst_d == D_WAIT && v2d?[IS_DEAD] -> v2d?IS_DEAD; know = K_DEAD; answer(NEVER) }
	:: atomic { dst_d == D_WAIT && v2d?[IS_OTHER] -> v2d?IS_OTHER; answer(UNKNOWN) }
	:: atomic { dst_d == D_WAIT && DV_GONE_DRAINED ->
		if
		:: CAN_SAY_NEVER -> answer(NEVER)
		:: else ->	/* LOST, but of what was never asked to run */
			assert(know != K_ASKED || ghost_run);
			REACHED(9, true); answer(UNKNOWN)
		fi }

	/* A registration, to a daemon that has started. A copy half loaded is of no use. */
	:: atomic { dst_d == D_IDLE && v2d?[REG_LOADING] ->
		v2d?REG_LOADING; know = K_NOTRUN;
		if
		:: DV_HERE -> ask_dv(KILL, NONE)
		:: else -> skip
		fi }
	:: atomic { dst_d == D_IDLE && v2d?[REG_READY] -> v2d?REG_READY; know = K_NOTRUN }
	:: atomic { dst_d == D_IDLE && v2d?[REG_DEAD] -> v2d?REG_DEAD; know = K_DEAD }
	:: atomic { dst_d == D_IDLE && v2d?[REG_RUN] ->
		v2d?REG_RUN;
		if
		:: RAN_COUNTS -> know = K_ASKED
		:: else -> know = K_NOTRUN
		fi }
	:: atomic { dst_d == D_IDLE && v2d?[REG_OTHER] -> v2d?REG_OTHER; know = K_ASKED }
	od
}

/* ---- Destination VMM ---- */

inline tell_dd(m)
{
	if
	:: dv_sock == UP -> assert(len(v2d) < 4); v2d!m
	:: else -> skip
	fi
}

inline tell_note(loading, ready, runs, dead, other)
{
	if
	:: dst_v == N_LOADING -> tell_dd(loading)
	:: dst_v == N_READY -> tell_dd(ready)
	:: dst_v == N_RUN -> tell_dd(runs)
	:: dst_v == N_DEAD -> tell_dd(dead)
	:: else -> tell_dd(other)
	fi
}

active proctype DestinationVmm()
{
end:	do
	/* Time-out, or a cancel at this end. */
	:: atomic { (dst_v == N_LOADING || dst_v == N_READY) -> ghost_dead = true; dst_v = N_DEAD }

	:: atomic { DV_IDLE && d2v?[MAKE_READY] ->	/* step 1 */
		d2v?MAKE_READY;
		if
		:: dst_v == N_LOADING -> dst_v = N_READY
		:: else -> skip
		fi;
		tell_note(IS_OTHER, IS_READY, IS_RUN, IS_DEAD, IS_OTHER) }
	:: atomic { DV_IDLE && d2v?[KILL] ->
		d2v?KILL;
		if
		:: dst_v == N_LOADING || dst_v == N_READY -> ghost_dead = true; dst_v = N_DEAD
		:: else -> skip
		fi;
		tell_note(IS_OTHER, IS_OTHER, IS_RUN, IS_DEAD, IS_OTHER) }
	:: atomic { DV_IDLE && d2v?[FORGET] ->		/* step 6 */
		d2v?FORGET;
		if
		:: dst_v == N_RUN -> dst_v = N_FORGOT
		:: else -> skip
		fi;
		tell_dd(IS_OTHER);
		REACHED(1, src_v == V_RELEASED) }

	/* Step 4: activate, then the note RUN, then the vCPUs, then the answer. */
	:: atomic { DV_IDLE && d2v?[RUN] ->
		d2v?RUN;
		if
		:: dst_v == N_READY -> dst_v = N_ACT
		:: else -> tell_note(IS_OTHER, IS_OTHER, IS_RUN, IS_DEAD, IS_OTHER)
		fi }
	:: atomic { dst_v == N_ACT -> assert(!sv_active); dv_active = true; dst_v = N_START }
	:: atomic { dst_v == N_ACT ->	/* activate failed, and holds nothing */
		ghost_dead = true; dst_v = N_DEAD; tell_dd(IS_DEAD); REACHED(10, true) }
	:: atomic { dst_v == N_START ->
		assert(dv_active);
		assert(!ghost_dead);				/* a DEAD session never runs */
		/* discard starts nothing, unless COMMIT was on its way or a person says run */
		assert(!ghost_discard || ghost_commit || ghost_op_dst);
		assert(!sv_runs);				/* never both */
		assert(!ghost_sv_ran || ghost_op_dst);		/* never a stale copy */
		dv_runs = true; ghost_dv_ran = true; dst_v = N_RUN; tell_dd(IS_RUN);
		REACHED(6, ghost_op_dst);
		REACHED(7, src_v == V_GONE && !ghost_op_dst);
		REACHED(14, ghost_sv_ran && ghost_op_dst) }

	/* The socket has closed, and every message in it is handled. */
	:: atomic { DV_IDLE && dv_sock == HUP && len(d2v) == 0 -> dv_sock = OFF }
	:: atomic { DV_IDLE && dv_sock == OFF && dst_d == D_IDLE ->
		dv_sock = UP;
		REACHED(12, dst_v == N_RUN && ghost_later_dd);
		tell_note(REG_LOADING, REG_READY, REG_RUN, REG_DEAD, REG_OTHER) }
	od
}

/* ---- The operator, truthful: a VMM said to be dead is dead, and stays so ---- */

active proctype Operator()
{
	byte ops = OPS;

end:	do
	:: atomic { ops > 0 && src_d == S_ASK && src_v == V_COMMITTING && sv_sock == UP &&
		(dst_v == N_GONE || (dst_v == N_READY && !ghost_commit)) ->
		ops--; hang_up();
		if
		:: dst_v == N_GONE -> ghost_op_src = true; ask_sv(RESUME); src_d = S_UNDO
		:: ghost_discard = true; ask_sv(RELEASE); src_d = S_GIVE;
			if
			:: DISCARD_ASKS && conns < CONNS ->
				TELL(conns, to_d, COMMIT); conns++
			:: else -> skip
			fi
		fi }
	:: atomic { ops > 0 && dst_d == D_IDLE && len(v2d) == 0 && DV_HERE && know != K_DEAD &&
		src_v == V_GONE ->
		ops--;
		if
		:: ghost_op_dst = true; know = K_ASKED; ghost_run = true; ask_dv(RUN, NONE)
		:: ask_dv(KILL, NONE)
		fi }
	od
}

/* ---- What starts daemons again ---- */

active proctype ServiceManager()
{
end:	do
	:: atomic { src_d == S_DOWN -> ghost_later_sd = true; src_d = S_NEW }
	:: atomic { dst_d == D_DOWN -> ghost_later_dd = true; dst_d = D_IDLE }
	od
}

/* ---- Faults ---- */

inline break_conn(i)
{
	broken[i] = true; LOSE_OR_KEEP(to_d[i]); LOSE_OR_KEEP(to_s[i])
}

/* What a dead daemon had sent may still arrive; what it had not read is gone. */
inline crash_sd()
{
	if
	:: cur != NONE -> broken[cur] = true; FLUSH(to_s[cur]); LOSE_OR_KEEP(to_d[cur]); cur = NONE
	:: else -> skip
	fi;
	asked = false; FLUSH(v2s);
	if
	:: sv_sock == UP && src_v != V_GONE -> sv_sock = HUP
	:: else -> skip
	fi;
	src_d = S_DOWN
}

inline crash_dd()
{
	broken[0] = true; FLUSH(to_d[0]); LOSE_OR_KEEP(to_s[0]);
#if CONNS > 1
	if
	:: conns > 1 -> broken[1] = true; FLUSH(to_d[1]); LOSE_OR_KEEP(to_s[1])
	:: else -> skip
	fi;
#endif
#if CONNS > 2
	if
	:: conns > 2 -> broken[2] = true; FLUSH(to_d[2]); LOSE_OR_KEEP(to_s[2])
	:: else -> skip
	fi;
#endif
#if CONNS > 3
	if
	:: conns > 3 -> broken[3] = true; FLUSH(to_d[3]); LOSE_OR_KEEP(to_s[3])
	:: else -> skip
	fi;
#endif
	answer_to = NONE; know = K_NOTHING; FLUSH(v2d);
	if
	:: dv_sock == UP && dst_v != N_GONE -> dv_sock = HUP
	:: else -> skip
	fi;
	dst_d = D_DOWN
}

/* At rest: one runs; or no copy can; or the source is out of connections to ask on. */
#define COPIES_GONE ((src_v == V_GONE || src_v == V_RELEASED) && \
	(dst_v == N_GONE || dst_v == N_DEAD))
#define OUT_OF_CONNS (src_v == V_COMMITTING && conns == CONNS && CUT)

active proctype World()
{
	byte crashes = CRASHES;

	do
	:: atomic { crashes > 0 && src_d != S_DOWN -> crashes--; crash_sd() }
	:: atomic { crashes > 0 && dst_d != D_DOWN -> crashes--; crash_dd() }
	:: atomic { crashes > 0 && src_v != V_GONE && src_v != V_RELEASED ->
		crashes--; FLUSH(s2v); sv_runs = false; sv_active = false; src_v = V_GONE }
	:: atomic { crashes > 0 && dst_v != N_GONE ->
		crashes--; FLUSH(d2v); dv_runs = false; dv_active = false; dst_v = N_GONE }
	:: atomic { !broken[0] -> break_conn(0) }
#if CONNS > 1
	:: atomic { conns > 1 && !broken[1] -> break_conn(1) }
#endif
#if CONNS > 2
	:: atomic { conns > 2 && !broken[2] -> break_conn(2) }
#endif
#if CONNS > 3
	:: atomic { conns > 3 && !broken[3] -> break_conn(3) }
#endif
	:: atomic { crashes = 0; break }
	od;
	timeout -> REACHED(16, true);
	assert((sv_runs != dv_runs) || COPIES_GONE || OUT_OF_CONNS);
	/* nobody waits for ever for a VMM; the draft's does not come back */
	assert(MAY_CLOSE || (src_d != S_NOTE && src_d != S_UNDO && src_d != S_CLOSE &&
		src_d != S_GIVE && dst_d != D_WAIT))
}
