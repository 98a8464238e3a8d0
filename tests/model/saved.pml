/*
 * The hand-over to a file, from the COMMITTING note on: PATH stands for the destination's VMM, and
 * one rename decides: see README.md here. What is not the file system's is as in handover.pml.
 *
 * The file system may be away at any time: its mount point is another directory then, and what
 * holds a descriptor of it gets errors. It may fail at any time. A rename that failed was done, was
 * not, or is still on its way to a server and is done later, if its source is there then.
 */
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef REACH
#define REACH 0
#endif

#ifdef MUTANT_PLACE
#define PLACE_COUNTS 0	/* a directory without the file is enough to know */
#else
#define PLACE_COUNTS 1	/* it has to be the one that the note names */
#endif
#ifdef MUTANT_RENAME
#define ERROR_IS_NO 1	/* a rename that failed was not done */
#else
#define ERROR_IS_NO 0
#endif
#ifdef MUTANT_LATE
#define TAKEN_AWAY 0	/* looking is enough */
#else
#define TAKEN_AWAY 1	/* first the temporary name goes: a late rename finds nothing */
#endif

#define REACHED(n, when) assert(REACH != n || !(when))

mtype:daemon = { D_COMMIT, D_LOOK, D_RELEASE, D_UNDO, D_OVER, D_DOWN };
mtype:vmm = { V_COMMITTING, V_RUNS, V_RELEASED, V_GONE };

mtype:daemon d = D_COMMIT;
mtype:vmm v = V_COMMITTING;

bool away;		/* the file system */
bool temp = true;	/* the file has its temporary name */
bool path;		/* it is PATH */
bool spoilt;		/* it is not whole any more */
bool late;		/* a rename is on its way */
byte steps;		/* of the file system's moves */

#define WHOLE (path && !spoilt)

active proctype Daemon()
{
end:	do
	/* The first daemon, by its descriptors. */
	:: atomic { d == D_COMMIT && !away ->
		temp = false; path = true;
		if
		:: d = D_RELEASE
		/* its directory cannot be synced: the file is cut short, and that is synced */
		:: spoilt = true; path = false; d = D_UNDO; REACHED(1, true)
		:: d = D_LOOK
		fi }
	:: atomic { d == D_COMMIT ->	/* an error */
		if
		:: !away -> temp = false; path = true
		:: late = true
		:: skip
		fi;
		if
		:: ERROR_IS_NO -> temp = false; d = D_UNDO
		:: else -> d = D_LOOK
		fi }

	/* What is at PATH? Any daemon, as often as it takes. */
	:: atomic { d == D_LOOK && away ->
		if
		:: !PLACE_COUNTS -> d = D_UNDO
		:: else -> REACHED(2, path)
		fi }
	:: atomic { d == D_LOOK && !away && WHOLE -> d = D_RELEASE; REACHED(3, true) }
	:: atomic { d == D_LOOK && !away && !WHOLE && TAKEN_AWAY && temp -> temp = false }
	:: atomic { d == D_LOOK && !away && !WHOLE && (!temp || !TAKEN_AWAY) ->
		REACHED(4, late);
		d = D_UNDO }

	:: atomic { d == D_RELEASE && v == V_COMMITTING ->
		assert(WHOLE);				/* never none */
		v = V_RELEASED; d = D_OVER }
	:: atomic { d == D_UNDO && v == V_COMMITTING ->
		assert(!WHOLE);				/* never two */
		v = V_RUNS; d = D_OVER }
	:: atomic { (d == D_RELEASE || d == D_UNDO) && v != V_COMMITTING -> d = D_OVER }
	od
}

active proctype FileSystem()
{
end:	do
	:: atomic { steps < 4 -> steps++; away = !away }
	:: atomic { late && !away ->
		late = false;
		if
		:: temp -> temp = false; path = true; assert(v != V_RUNS)	/* never two */
		:: else -> skip
		fi }
	:: late -> late = false
	od
}

/* A daemon that starts knows its VMM's note. */
active proctype World()
{
	byte crashes = CRASHES;

end:	do
	:: atomic { crashes > 0 && d != D_DOWN -> crashes--; d = D_DOWN }
	:: atomic { crashes > 0 && v == V_COMMITTING -> crashes--; v = V_GONE }
	:: atomic { d == D_DOWN ->
		if
		:: v == V_COMMITTING -> d = D_LOOK
		:: else -> d = D_OVER
		fi }
	:: atomic { timeout -> assert(v != V_COMMITTING || away); break }
	od
}
