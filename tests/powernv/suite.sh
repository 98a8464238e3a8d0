#!/bin/bash
# Run the scenarios of one kind on emulated POWER9 hosts, all in one boot, and count what they say.
#
# usage: suite.sh one|two|systemd|ktls [SCENARIO...]
#
# A scenario is tests/powernv/NAME.test.sh, run by the host's sh, with a header like
#	# hosts: one                      one host; two: on both of two, in step; systemd: one
#	                                  host with systemd and our package installed at /;
#	                                  ktls: one, where the kernel encrypts
#	# needs: daemon/htab-migrated tests/powernv/x.json
#	                                  programs of build/ppc64le or files of the source tree,
#	                                  laid at /t, which PATH has
#	# modules: gcm tls                of the host's kernel, laid at /t/NAME.ko
#	# limit: 60                       seconds on the host (default 60), where nothing else
#	                                  runs; what hangs is ended after four times that
#	# memory: 2g  # cpus: 2           on lines of their own; of all scenarios the most
# It sources /t/guest.sh, reports with check, pass, fail and skip, and ends with finish. HOST, PEER
# and meet are as boot.sh says. The first line after #!/bin/sh says what it shows.
#
# HTAB_PPC64LE names another build directory (its installed tree has -root behind the name).
# The whole consoles are kept in build/check/powernv-KIND/.
set -euo pipefail
. "$(dirname "$0")/../suites/lib.sh"

kind=$1
shift
ppc64le=${HTAB_PPC64LE:-$build/ppc64le}
here=tests/powernv
logs=$build/check/powernv-$kind
mkdir -p "$logs"

header() { # header FILE KEY [DEFAULT]
	local v
	v=$(sed -n "s/^# $2: *//p" "$1" | tr '\n' ' ')
	v=${v% }
	echo "${v:-${3-}}"
}

megabytes() {
	case $1 in
	*g) echo $((${1%g} * 1024)) ;;
	*m) echo "${1%m}" ;;
	esac
}

names=() files=() modules=() total=60 memory=1024 cpus=1
[ "$kind" != systemd ] || memory=2048
for f in "$here"/*.test.sh; do
	n=$(basename "$f" .test.sh)
	[ "$(header "$f" hosts)" = "$kind" ] || continue
	[ $# = 0 ] || [[ " $* " == *" $n "* ]] || continue
	files+=("$f")
	missing=''
	for need in $(header "$f" needs); do
		if [ -e "$ppc64le/$need" ]; then
			files+=("$ppc64le/$need")
		elif [ -e "$need" ]; then
			files+=("$need")
		else
			missing+=" $need"
		fi
	done
	for m in $(header "$f" modules); do
		modules+=(-M "$m")
	done
	if [ -n "$missing" ]; then
		fail "$n" "it needs$missing, which was not built"
		continue
	fi
	limit=$(($(header "$f" limit 60) * 2 * HTAB_TEST_PATIENCE))
	names+=("$n:$limit")
	total=$((total + limit))
	m=$(megabytes "$(header "$f" memory 1g)") c=$(header "$f" cpus 1)
	[ "$m" -le "$memory" ] || memory=$m
	[ "$c" -le "$cpus" ] || cpus=$c
done
[ ${#names[@]} != 0 ] || finish

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
hosts=1
[ "$kind" != two ] || hosts=2
echo "HOSTS=$hosts" >"$tmp/hosts"
files+=("$here/guest.sh" "$here/scenarios.sh" "$tmp/hosts")
mapfile -t files < <(printf '%s\n' "${files[@]}" | sort -u)
command="sh scenarios.sh ${names[*]}"
options=(-m "${memory}m" -p "$cpus" -t "$total" -l "$logs" -c "$command"
	${modules[@]+"${modules[@]}"})
[ "$kind" != two ] || options+=(-c "$command")
[ "$kind" != systemd ] || options+=(-S -i "$ppc64le-root")

status=0
"$here/boot.sh" "${options[@]}" "${files[@]}" 2>&1 | tee "$logs/output" || status=$?

# What each scenario said on each host: a count, "said nothing" and "did not end" are failures.
for n in "${names[@]%:*}"; do
	said=$(sed 's/^host[ab]: //' "$logs/output" | grep -E "^(PASS|FAIL|SKIP) $n: " || true)
	ends=$(sed 's/^host[ab]: //' "$logs/output" | grep -E "^=== $n ended with [0-9]+$" || true)
	passed=$((passed + $(grep -c '^PASS' <<<"$said" || true)))
	skipped=$((skipped + $(grep -c '^SKIP' <<<"$said" || true)))
	f=$(grep -c '^FAIL' <<<"$said" || true)
	failed=$((failed + f))
	[ "$f" = 0 ] || continue
	if [ "$(grep -c . <<<"$ends" || true)" != "$hosts" ]; then
		fail "$n" "it did not end"
	elif bad=$(grep -vE 'with 0$' <<<"$ends"); then
		case $bad in
		*'with 124'* | *'with 143'* | *'with 137'*) fail "$n" "its time was up" ;;
		*) fail "$n" "${bad#=== }" ;;
		esac
	elif [ -z "$said" ]; then
		fail "$n" "it said nothing"
	fi
done
if [ $status != 0 ] && [ "$failed" = 0 ]; then
	fail "the host" "boot.sh ended with status $status"
fi
finish
