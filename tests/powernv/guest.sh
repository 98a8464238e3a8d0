# Shared by the scenarios, on the emulated host (sh, sourced as /t/guest.sh): results, and programs
# in the background. The working directory is the scenario's own; all is killed when it ends.
# shellcheck shell=dash

failed=0

pass() { # pass NAME
	echo "PASS $SCENARIO: $1"
}

fail() { # fail NAME [REASON]
	failed=1
	echo "FAIL $SCENARIO: $1${2:+: $2}"
}

skip() { # skip NAME REASON
	echo "SKIP $SCENARIO: $1: $2"
}

check() { # check NAME COMMAND...: passes when COMMAND succeeds; its output is shown when not
	local name=$1
	shift
	if "$@" >check.out 2>&1; then
		pass "$name"
	else
		cat check.out
		fail "$name" "'$*' failed"
		return 1
	fi
}

start() { # start NAME COMMAND...: in the background, output to NAME.log, process id in NAME.pid
	local name=$1
	shift
	rm -f "$name.started" "$name.log"
	mkfifo "$name.started"
	(
		"$@" >>"$name.log" 2>&1 </dev/null &
		echo $! >"$name.pid"
		echo >"$name.started"
		rc=0
		wait $! || rc=$?
		echo "=== $name ended with $rc" >>"$name.log"
	) 2>/dev/null &
	read -r _ <>"$name.started" # <>: the open waits for nobody, so no SIGCHLD interrupts it
}

await() { # await NAME REGEX [SECONDS]: until NAME.log has a line like it; fails when NAME ended
	local rc=0 tail
	rm -f "$1.tail"
	mkfifo "$1.tail"
	tail -n +1 -f "$1.log" >"$1.tail" 2>/dev/null &
	tail=$!
	timeout "${3:-30}" grep -m1 -E "$2|^=== $1 ended with " <>"$1.tail" >"$1.seen" || rc=$?
	kill $tail
	wait $tail 2>/dev/null
	if [ $rc = 0 ] && grep -qE "$2" "$1.seen"; then
		cat "$1.seen"
		return 0
	fi
	echo "--- no '$2' from $1:"
	tail -n 30 "$1.log"
	return 1
}

stop() { # stop NAME [SIGNAL]: and wait for its end
	kill "-${2:-TERM}" "$(cat "$1.pid")" 2>/dev/null
	await "$1" "^=== $1 ended with " "${3:-30}"
}

finish() {
	exit $failed
}
