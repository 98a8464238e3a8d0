# Shared by the scenarios that migrate htab-kvmvm (sh, sourced as /t/migrate.sh after guest.sh).
# shellcheck shell=dash

# see NAME REGEX [COUNT]: until NAME.log has COUNT such lines; prints the last of them. As await,
# but no signal of a child that ends can come between: the fifo is opened without waiting for the
# other end, and the child is waited for.
see() {
	local rc=0 tail
	rm -f "$1.see"
	mkfifo "$1.see"
	tail -n +1 -f "$1.log" >"$1.see" 2>/dev/null &
	tail=$!
	timeout 30 grep -m"${3:-1}" -E "$2|^=== $1 ended with " <>"$1.see" >"$1.seen" || rc=$?
	kill $tail
	wait $tail 2>/dev/null
	if [ $rc = 0 ] && tail -n 1 "$1.seen" | grep -E "$2"; then
		return 0
	fi
	echo "--- no '$2' from $1:"
	tail -n 30 "$1.log"
	return 1
}

field() { # field FILE NAME: the value of a JSON member whose name occurs once, of the last line
	tail -n 1 "$1" | sed -n 's/.*"'"$2"'" *: *"\{0,1\}\([^,"}]*\).*/\1/p'
}

event() { # event NAME EVENT MEMBER: of htab-kvmvm NAME's last event of that kind
	grep "\"event\":\"$2\"" "$1.log" | tail -n 1 >"$1.event"
	field "$1.event" "$3"
}

vmm() { # vmm NAME SOCKET [OPTION...]: start htab-kvmvm, which logs as NAME
	local name=$1 socket=$2
	shift 2
	start "$name" htab-kvmvm --socket "$socket" --name vm1 --vcpus 2 "$@"
	check "$name is registered" see "$name" '"event":"registered"'
}

counter() { # counter NAME: what its guest has counted to by now
	local n
	n=$(grep -c '"event":"status"' "$1.log")
	kill -USR1 "$(cat "$1.pid")" || return 1
	see "$1" '"event":"status"' $((n + 1)) >"$1.status" || return 1
	field "$1.status" counter
}

counts_past() { # counts_past NAME COUNT: wait until its guest has
	local c
	while c=$(counter "$1") && [ -n "$c" ]; do
		[ "$c" -le "$2" ] || return 0
	done
	tail -n 5 "$1.log"
	return 1
}

left() { # left NAME WHAT: after `htabctl --json migrate`, which printed migrate.json; at the source
	check "$2: completed" test "$(field migrate.json status)" = completed
	check "$2: no entry differs" test "$(field migrate.json mismatches)" = 0
	check "$2: the other end is authenticated" grep -q '"peer" *: *"CN=' migrate.json
	check "$2: the source's VMM ends well" see "$1" "^=== $1 ended with 0$"
	echo "$2: passes $(field migrate.json passes), $(field migrate.json htab-bytes) bytes," \
		"downtime $(field migrate.json downtime) ms, total $(field migrate.json total-time) ms"
}

came() { # came NAME COUNTER WHAT: at the destination; COUNTER is what the source's VMM ended with
	check "$3: it starts" see "$1" '"event":"started"'
	check "$3: the counter arrives as it was ($2)" test "$(event "$1" ready counter)" = "$2"
	check "$3: the guest counts on" counts_past "$1" $(($2 + 2000))
}

# its_time SOCKET WHAT: at the destination; how exactly the guest's timebase went on. That it never
# went back the guest checks itself.
its_time() {
	local error
	htabctl --socket "$1" --json qmp query-migrate >time.json
	error=$(field time.json time-error)
	check "$2: the error of its timebase is told, and less than a unit of 32.8 ms" \
		test "${error#-}" -le 32768000
	echo "$2: the timebase is $error ns off, of which $(field time.json time-uncertainty) ns" \
		"cannot be known"
}

ends() { # ends NAME: by SIGTERM, with status 0
	kill "$(cat "$1.pid")"
	check "$1 ends well" see "$1" "^=== $1 ended with 0$"
}

guest_ends() { # guest_ends NAME: htab-kvmvm, its guest never having found anything wrong
	ends "$1"
	check "$1 found nothing wrong" test "$(event "$1" exit errors)" = 0
}
