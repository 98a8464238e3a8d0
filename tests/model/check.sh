#!/bin/bash
# Checks handover.pml and saved.pml with Spin: see README.md here.
#	check.sh [BUILD_DIR]
# Every search is exhaustive within its bounds. BUILD_DIR keeps the verifiers, their output and the
# trails of what failed; without it they are in a temporary directory and go away at the end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

passed=0 failed=0 model=handover

pass() { # pass NAME
	passed=$((passed + 1))
	echo "PASS $1"
}

fail() { # fail NAME REASON
	failed=$((failed + 1))
	echo "FAIL $1: $2"
}

# search DIR OPTIMIZATION DEFINE...: builds a verifier in $dir/DIR and runs it; $out has its output.
search() {
	local work=$dir/$1 optimization=$2
	out=$work/out
	rm -rf "$work"
	mkdir -p "$work"
	(
		cd "$work"
		spin -a "${@:3}" "$here/$model.pml" &&
			gcc "$optimization" -w -DSAFETY -DCOLLAPSE -DMEMLIM=3072 -o pan pan.c &&
			./pan -m100000
	) >"$out" 2>&1
}

# holds NAME DIR DEFINE...: no assertion fails and no state is a wrong end, in a whole search.
holds() {
	local name=$1 status=0 states seconds
	search "$2" -O2 "${@:3}" || status=$?
	if [ $status != 0 ] || ! grep -q 'errors: 0$' "$out"; then
		fail "$name" "$(grep -m 1 -E '^pan|[Ee]rror' "$out" || echo "status $status")"
	elif grep -qE 'not completed|too small|out of memory|truncated|interrupted' "$out"; then
		fail "$name" "the search is not complete"
	else
		states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$out")
		seconds=$(sed -n 's/^pan: elapsed time \([0-9.]*\) seconds.*/\1/p' "$out")
		pass "$name ($states states, ${seconds:-0} s)"
	fi
}

# breaks NAME DIR ASSERTION DEFINE...: the assertion, of which that is a part, fails.
breaks() {
	search "$2" -O0 "${@:4}" || true
	if grep -F 'assertion violated' "$out" | grep -qF -- "$3"; then
		pass "$1"
	else
		fail "$1" "$(grep -m 1 -E '^pan|[Ee]rror' "$out" || echo "no output")"
	fi
}

reached() { # reached N NAME
	breaks "reached: $2" "reach-$1" "($1!=$1)" -DREACH="$1" -DCRASHES=3 -DCONNS=2 -DOPS=1
}

for tool in spin gcc; do
	if ! command -v $tool >/dev/null; then
		echo "SKIP model: $tool is not installed (apt-get install spin gcc)"
		echo "0 passed, 0 failed, 1 skipped"
		exit 0
	fi
done

if [ $# -gt 0 ]; then
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
else
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
fi

holds "never both: no crash, 1 connection" plain -DCRASHES=0 -DCONNS=1 -DOPS=0
holds "never both: no crash, 4 connections" wire -DCRASHES=0 -DCONNS=4 -DOPS=0
holds "never both: 3 crashes, 2 connections, no operator" few -DCRASHES=3 -DCONNS=2 -DOPS=0
holds "never both: 6 crashes, 3 connections, 2 words" many -DCRASHES=6 -DCONNS=3 -DOPS=2
holds "never both: 8 crashes, 4 connections, 3 words" most -DCRASHES=8 -DCONNS=4 -DOPS=3

reached 1 "a run completes, CLOSED included"
reached 2 "NEVER resumes the source after its note"
reached 3 "COMMIT repeated by a later daemon is answered RUNNING"
reached 4 "the source resumes by itself"
reached 5 "the operator's run at the source"
reached 6 "the operator's run at the destination"
reached 7 "the source's VMM is dead, its daemon goes on, the destination runs"
reached 8 "NEVER without a note"
reached 9 "LOST"
reached 10 "activate fails at the destination"
reached 11 "RESUMED of a VMM that is dead stops the hand-over"
reached 12 "a VMM that runs registers with a later daemon"
reached 13 "NEVER without a note, by a daemon that met the VMM when it was READY"
reached 14 "the operator starts a copy that is stale (README.md)"
reached 15 "COMMIT read from a connection that its sender has left"
reached 16 "a rest after all faults"

reached 17 "the source's VMM is dead, and so is the connection on which READY was awaited"
reached 18 "CLOSED for a VMM that died before it answered RELEASE"
reached 19 "RELEASE fails, and is asked again"
reached 20 "discard leaves a copy that is READY alone"

breaks "refuted: RESUMED replaced by closing the socket" draft-close ghost_sv_ran \
	-DDRAFT_CLOSE -DCRASHES=3
breaks "refuted: a later daemon's NEVER for a VMM that registered RUN" draft-never ghost_dv_ran \
	-DDRAFT_NEVER -DCRASHES=3
breaks "mutant: given up while the VMM's end is being judged" mutant-cancel ')||ghost_sv_ran)' \
	-DMUTANT_CANCEL -DCRASHES=3
breaks "mutant: a RUN that was never sent counts as asked" mutant-asked ghost_run \
	-DMUTANT_ASKED -DCRASHES=3
breaks "mutant: CLOSED though RELEASE was not acknowledged" mutant-release ')||(src_v==' \
	-DMUTANT_RELEASE -DCRASHES=3
breaks "mutant: COMMIT is said after discard" mutant-discard ghost_discard \
	-DMUTANT_DISCARD -DCRASHES=3
breaks "mutant: a VMM's death shows by its socket's end alone" mutant-child '&&(dst_d!=' \
	-DMUTANT_CHILD -DCRASHES=3

model=saved
holds "a file: never two, never none: 2 crashes" saved -DCRASHES=2
for reached in 1:"the directory cannot be synced, and the file is undone" \
	2:"PATH's file system is away, and the file in it" 3:"a file is found at PATH" \
	4:"a rename is late, and finds nothing"; do
	breaks "reached: ${reached#*:}" "saved-reach-${reached%%:*}" \
		"(${reached%%:*}!=${reached%%:*})" -DREACH="${reached%%:*}"
done
breaks "mutant: another directory without the file counts" saved-place spoilt -DMUTANT_PLACE
breaks "mutant: a rename that failed was not done" saved-rename spoilt -DMUTANT_RENAME
breaks "mutant: the temporary name stays while PATH is looked at" saved-late spoilt -DMUTANT_LATE

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
