#!/bin/sh
# scenarios.sh NAME:LIMIT...: on an emulated host, run the scenarios /t/NAME.test.sh one after
# another, each in a directory and a session of its own; with two hosts in step with the other.
. /t/hosts

end_session() { # end_session ID: kill every process of it (busybox has no pkill)
	local stat session=$1
	for stat in /proc/[0-9]*/stat; do
		read -r stat 2>/dev/null <"$stat" || continue
		# shellcheck disable=SC2086
		set -- ${stat%% *} ${stat##*) } # pid state ppid pgrp session ...
		[ "$5" != "$session" ] || kill -KILL "$1" 2>/dev/null
	done
}

for s; do
	SCENARIO=${s%:*} limit=${s#*:}
	export SCENARIO
	[ "$HOSTS" = 1 ] || meet "=begin-$SCENARIO" >/dev/null || exit 1
	echo "=== $SCENARIO"
	mkdir -p "/tmp/$SCENARIO"
	cd "/tmp/$SCENARIO" || exit 1
	# shellcheck disable=SC2016
	setsid sh -c 'echo $$ >.session; exec timeout -k 5 '"$limit"' sh "/t/$SCENARIO.test.sh"' &
	wait $!
	rc=$?
	[ "$HOSTS" = 1 ] || meet "=end-$SCENARIO" >/dev/null || exit 1
	end_session "$(cat .session)"
	cd /t || exit 1
	echo "=== $SCENARIO ended with $rc"
done
exit 0
