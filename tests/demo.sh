#!/bin/bash
# demo.sh BUILD-DIR [--json]: migrate a busy simulated guest between two daemons over mutual TLS on
# this machine. Shows progress and the result; with --json the last line is one object.
set -euo pipefail
build=$(cd "$1" && pwd)
json=
case ${2-} in
'') ;;
--json) json=1 ;;
*)
	echo "usage: ./run demo [--json]" >&2
	exit 2
	;;
esac
dir=$(mktemp -d)
pids=()
clean_up() {
	local pid
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
	[ -n "$json" ] || printf '%s\n' "$*"
}

start() { # start NAME REGEX COMMAND...: in the background; waits for a line of output like REGEX
	local name=$1 regex=$2 line fd
	shift 2
	mkfifo "$dir/$name.out"
	"$@" >"$dir/$name.out" 2>&1 &
	pids+=($!)
	exec {fd}<"$dir/$name.out"
	while read -r -t 60 line <&"$fd"; do
		printf '%s\n' "$line" >>"$dir/$name.log"
		if [[ $line =~ $regex ]]; then
			cat <&"$fd" >>"$dir/$name.log" &
			return 0
		fi
	done
	echo "demo: $name did not come up:" >&2
	cat "$dir/$name.log" >&2
	exit 1
}

ctl() { # ctl HOST ARGUMENTS...
	local host=$1
	shift
	"$build/htabctl" --socket "$dir/$host/control.sock" "$@"
}

daemon() { # daemon NAME
	mkdir -p "$dir/$1"
	start "$1" 'ready at' "$build/htab-migrated" --config "$dir/empty.json" \
		--control "$dir/$1/control.sock" --vmm-socket "$dir/$1/vmm.sock" \
		--listen tcp:127.0.0.1:0 --tls-creds "$dir/pki" --name "$1"
}

guest() { # guest HOST NAME ARGUMENTS...
	local host=$1 name=$2
	shift 2
	start "$name" '"event":"registered"' "$build/htab-simvm" --socket "$dir/$host/vmm.sock" \
		--name vm1 --order 26 --vcpus 4 "$@"
}

echo '{}' >"$dir/empty.json"
mkdir "$dir/pki"
say "1. A throw-away CA, and one certificate for both hosts."
"$build/tests/mkcerts" "$dir/pki" --cn localhost --dns localhost --ip 127.0.0.1

say "2. Two daemons, hosta and hostb, each with a directory and sockets of its own."
daemon hosta
daemon hostb
uri=$(ctl hostb --json status | jq -r '.listen[0]')

say "3. On hosta a simulated guest with 4 vCPUs, a hashed page table of 64 MiB (4 million entries,"
say "   half of them valid) and 100,000 changes to it a second. On hostb the same VM, empty, waits."
guest hosta source --fill 0.5 --dirty-rate 100000
guest hostb destination --incoming
ctl hostb incoming vm1 --from 'CN=localhost' >/dev/null

say "4. htabctl migrate vm1 $uri"
say "   Every pass sends what changed during the one before; the guest runs on meanwhile. At the"
say "   end it is paused, the rest is sent, and (for this demo) both tables are read back and"
say "   compared before the guest starts on hostb."
say ""
ctl hosta set --vm vm1 verify=true auto-converge=true >/dev/null
status=0
if [ -n "$json" ]; then
	ctl hosta --json migrate vm1 "$uri" >&2 || status=$?
else
	ctl hosta migrate vm1 "$uri" || status=$?
fi
ctl hosta --json qmp query-migrate '{"vm": "vm1"}' >"$dir/result.json"
result=$(jq -c '{status, passes: .htab.passes, "total-time": ."total-time", downtime,
	"htab-bytes": .htab."htab-bytes", "wire-bytes": .htab."wire-bytes", hptes: .htab.entries,
	mismatches: .verify.mismatches, "error-desc": ."error-desc"}
	| with_entries(select(.value != null))' "$dir/result.json")
if [ -n "$json" ]; then
	printf '%s\n' "$result"
	exit $status
fi
if [ $status = 0 ]; then
	say ""
	say "The guest runs on hostb now. It stood still for $(jq .downtime "$dir/result.json") ms, and" \
		"$(jq .verify.mismatches "$dir/result.json") of" \
		"$(jq .verify.entries "$dir/result.json") entries differ."
	say "Next: ./run check runs the tests, real KVM on an emulated POWER9 included."
else
	say ""
	say "The migration did not complete; the guest runs on at hosta. The daemons' last words:"
	tail -n 5 "$dir/hosta.log" "$dir/hostb.log"
fi
exit $status
