#!/bin/bash
# bench.sh BUILD-DIR [--quick] [--json] [ROW...]: each figure beside its reference.
#
# A rate and its reference are taken by turns, REPS times; what is shown is the median of each, and
# the median of the quotients of the pairs: the machine may be busy, as long as it is equally busy
# for both. Rows: wire codec end-to-end channels rss lap stages qemu.
#	--quick   one repetition and few passes: whether it works, not how fast it is
#	--json    print the rows as JSON objects, one a line
# HTAB_DATA=DIR has real tables (*.hpt.zst); without it they are made.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd)
shift
reps=5 passes=200 mib=1024 lap_reps=31 json='' only=
known="wire codec end-to-end channels rss lap stages qemu"
for word in "$@"; do
	case $word in
	--quick) reps=1 passes=5 mib=128 lap_reps=3 ;;
	--json) json=1 ;;
	*)
		if [[ " $known " != *" $word "* ]]; then
			echo "bench: $word: there is no such row; there are $known" >&2
			exit 2
		fi
		only+=" $word"
		;;
	esac
done
out=$build/bench
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
pids=()
clean_up() {
	local pid
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
	echo "bench: $*" >&2
}

wanted() { # wanted ROW
	[ -z "$only" ] || [[ "$only " == *" $1 "* ]]
}

# Every row is an object: row, what, value, unit, reference, reference_value, ratio, goal (of the
# ratio), met, and what belongs to it.
rows=$out/rows.jsonl
: >"$rows"
row() { # row JQ-ARGUMENTS...: adds one object
	jq -nc 'def median: sort | if length == 0 then null else .[length / 2 | floor] end;
		def r3: if . == null then null elif . >= 100 then round
			else . * 1000 | round / 1000 end;
		'"${!#}" "${@:1:$#-1}" >>"$rows"
}

skip() { # skip ROW WHY
	echo "SKIP $1: $2" >&2
	row --arg row "$1" --arg why "$2" '{row: $row, what: $row, skipped: $why}'
}

tables() { # name=file, the real ones or those that are made
	local f
	if [ -n "${HTAB_DATA-}" ]; then
		for f in "$HTAB_DATA"/*.hpt.zst; do
			f=${f##*/}
			echo "${f%.hpt.zst}=$HTAB_DATA/$f"
		done
	else
		echo "linux=linux"
	fi
}
first_table=$(tables | head -n 1)
if [ -n "${HTAB_DATA-}" ] && [ ! -e "${first_table#*=}" ]; then
	echo "bench: HTAB_DATA=$HTAB_DATA has no *.hpt.zst" >&2
	exit 1
fi

tls() { # tls NAME: one run of the reference
	"$build/tests/bench/bench-tls" "$mib" >>"$out/$1.tls.jsonl"
}

codec() { # codec NAME CODEC PASSES TABLE [OLD]
	"$build/tests/bench/bench-codec" "${@:2}" >>"$out/$1.jsonl"
}

# --- bytes on the wire ----------------------------------------------------------------------------
wire_row() { # wire_row GOAL WHAT TABLE [OLD]
	say "wire: $2"
	rm -f "$out/wire.jsonl"
	codec wire hpte 1 "${@:3}"
	row --slurpfile a "$out/wire.jsonl" --arg what "$2" --argjson goal "$1" '$a[0] | {row: "wire",
		what: $what, value: .wire, unit: "bytes", reference: "plain records",
		reference_value: .plain, ratio: (.plain / .wire | r3), goal: $goal,
		met: (.plain / .wire >= $goal), entries: (.valid + .invalid)}'
}

wire() {
	local t
	while read -r t; do
		wire_row 250 "whole table ${t%%=*}" "${t#*=}"
	done < <(tables)
	if [ -n "${HTAB_DATA-}" ] && ls "$HTAB_DATA"/*iter3.hpt.zst "$HTAB_DATA"/*iter6.hpt.zst \
		>/dev/null 2>&1; then
		wire_row 20 "changes from iter3 to iter6" "$(ls "$HTAB_DATA"/*iter6.hpt.zst)" \
			"$(ls "$HTAB_DATA"/*iter3.hpt.zst)"
	else
		skip "wire, changes" "HTAB_DATA has no iter3 and iter6"
	fi
	wire_row 12 "user pages at random" user
}

# --- one core -------------------------------------------------------------------------------------
codec_rows() { # codec_rows NAME TABLE GOAL
	local rep way
	for ((rep = 1; rep <= reps; rep++)); do
		say "codec: $1, $rep of $reps"
		tls "codec-$1"
		codec "codec-$1" hpte "$passes" "$2"
	done
	for way in encode decode; do
		row --slurpfile a "$out/codec-$1.jsonl" --slurpfile t "$out/codec-$1.tls.jsonl" \
			--arg what "$way $1, one core" --arg w "$way" --argjson goal "$3" '
			[$a[] | .plain * .passes * 1000 / .[$w + "_ns"]] as $x |
			[$t[] | .bytes * 1000 / .ns] as $y |
			([range($x | length)] | map($x[.] / $y[.]) | median) as $ratio |
			{row: "codec", what: $what, value: ($x | median | r3), unit: "MB/s",
			reference: "bare TLS", reference_value: ($y | median | r3), ratio: ($ratio | r3),
			goal: $goal, met: (if $goal then $ratio >= $goal else null end),
			cpu_ns_per_byte: ([$a[] | .[$w + "_cpu_ns"] / .plain / .passes] | median | r3),
			reference_cpu_ns_per_byte: ([$t[] | .cpu_ns / .bytes] | median | r3)}'
	done
}

# --- end to end -----------------------------------------------------------------------------------
moved() { # moved NAME CLIENT-ARGUMENTS...: a server, a client, what the client says
	local name=$1 line port fd
	rm -f "$work/server"
	mkfifo "$work/server"
	"$build/htab-bench" -s -1 -B 127.0.0.1 -p 0 -i 0 --tls-creds "$work/pki" \
		>"$work/server" 2>"$out/server.log" &
	pids+=($!)
	exec {fd}<"$work/server"
	read -r -t 60 line <&"$fd"
	cat <&"$fd" >"$out/server.out" &
	port=${line##*:}
	"$build/htab-bench" -c 127.0.0.1 -p "$port" --tls-creds "$work/pki" -J -i 0 "${@:2}" \
		>"$out/client.json"
	exec {fd}<&-
	wait "${pids[-1]}"
	unset "pids[-1]"
	jq -ce 'select(.htab.tables_equal) | .htab | del(.pass_list)' "$out/client.json" \
		>>"$out/$name.jsonl"
}

end_row() { # end_row NAME WHAT GOAL REFERENCE: NAME.tls.jsonl or NAME.ref.jsonl beside NAME.jsonl
	row --slurpfile a "$out/$1.jsonl" --slurpfile t "$out/$1.tls.jsonl" --arg what "$2" \
		--argjson goal "$3" '
		[$a[] | .table_bytes_per_second / 1e6] as $x | [$t[] | .bytes * 1000 / .ns] as $y |
		([range($x | length)] | map($x[.] / $y[.]) | median) as $ratio |
		{row: "end-to-end", what: $what, value: ($x | median | r3), unit: "MB/s",
		reference: "bare TLS", reference_value: ($y | median | r3), ratio: ($ratio | r3),
		goal: $goal, met: ($ratio >= $goal), passes: $a[0].passes,
		cpu_ns_per_byte: ([$a[] | .cpu_ns_per_table_byte_sender +
			.cpu_ns_per_table_byte_receiver] | median | r3),
		reference_cpu_ns_per_byte: ([$t[] | .cpu_ns / .bytes] | median | r3)}'
}

end_to_end() {
	local rep codec name=${first_table%%=*} bytes args
	bytes=$(("$("$build/tests/bench/bench-codec" none 1 "${first_table#*=}" | jq .plain)" * passes))
	args=(-n "$bytes")
	[ -z "${HTAB_DATA-}" ] || args+=(--hpt "${first_table#*=}")
	for ((rep = 1; rep <= reps; rep++)); do
		for codec in hpte none; do
			say "end to end: $name, compression $codec, $rep of $reps"
			tls "end-$codec"
			moved "end-$codec" "${args[@]}" --compression "$codec"
		done
	done
	end_row end-hpte "codec and TLS, $name, 2 processes" 1.2
	end_row end-none "TLS without compression, $name, 2 processes" 0.9
}

channels() { # what no number of channels gets past: the cores, shared by both ends
	local rep codec n some
	local -a args
	for ((rep = 1; rep <= reps; rep++)); do
		for codec in none hpte zstd zstd-9; do # the last: encoding is nearly all there is
			args=(--compression "${codec%-*}") some=$passes
			if [ $codec = zstd-9 ]; then
				args+=(--zstd-level 9) some=$((passes > 20 ? 20 : passes))
			fi
			for n in 1 4; do
				say "channels: $codec, -P $n, $rep of $reps"
				moved "channels-$codec-$n" --table user -P "$n" "${args[@]}" \
					-n $((26000000 * some))
			done
		done
	done
	for codec in none hpte zstd zstd-9; do
		row --slurpfile a "$out/channels-$codec-4.jsonl" --argjson cores "$(nproc)" \
			--slurpfile t "$out/channels-$codec-1.jsonl" --arg codec "$codec" '
			[$a[].table_bytes_per_second / 1e6] as $x |
			[$t[].table_bytes_per_second / 1e6] as $y |
			([$a[] | .cpu_ns_per_table_byte_sender +
				.cpu_ns_per_table_byte_receiver] | median) as $cpu |
			([range($x | length)] | map($x[.] / $y[.]) | median) as $ratio |
			(if $codec == "none" then 1.0 else 1.5 end) as $goal |
			{row: "channels", what: "4 channels, compression \($codec), user pages",
			value: ($x | median | r3), unit: "MB/s", reference: "1 channel",
			reference_value: ($y | median | r3), ratio: ($ratio | r3), goal: $goal,
			met: ($ratio >= $goal), cpu_ns_per_byte: ($cpu | r3), cores: $cores,
			all_cores_busy: ($cores * 1000 / $cpu | r3)}'
	done
}

# --- memory of the daemons ------------------------------------------------------------------------
start() { # start NAME WORDS COMMAND...: in the background, until a line of output has WORDS
	local name=$1 words=$2 line fd
	mkfifo "$work/$name.out"
	"${@:3}" >"$work/$name.out" 2>&1 &
	pids+=($!)
	exec {fd}<"$work/$name.out"
	while read -r -t 120 line <&"$fd"; do
		echo "$line" >>"$out/$name.log"
		if [[ $line == *"$words"* ]]; then
			cat <&"$fd" >>"$out/$name.log" &
			return 0
		fi
	done
	echo "bench: $name did not come up; see $out/$name.log" >&2
	exit 1
}

rss_of() { # rss_of ORDER: "SOURCE DESTINATION" in KiB, the peaks of both daemons
	local order=$1 host dir uri a b first=${#pids[@]}
	for host in "a$order" "b$order"; do
		mkdir "$work/$host"
		echo '{}' >"$work/$host/empty.json"
		start "$host" 'ready at' "$build/htab-migrated" --config "$work/$host/empty.json" \
			--control "$work/$host/control.sock" --vmm-socket "$work/$host/vmm.sock" \
			--listen tcp:127.0.0.1:0 --tls-creds "$work/pki" --name "$host"
	done
	a=${pids[first]} b=${pids[first + 1]}
	uri=$("$build/htabctl" --socket "$work/b$order/control.sock" --json status | jq -r '.listen[0]')
	start "source$order" '"event":"registered"' "$build/htab-simvm" \
		--socket "$work/a$order/vmm.sock" --name vm1 --order "$order" --fill 0.3
	start "destination$order" '"event":"registered"' "$build/htab-simvm" --incoming \
		--socket "$work/b$order/vmm.sock" --name vm1 --order "$order"
	"$build/htabctl" --socket "$work/b$order/control.sock" incoming vm1 >>"$out/rss.log"
	"$build/htabctl" --socket "$work/a$order/control.sock" migrate vm1 "$uri" >>"$out/rss.log"
	rss="$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$a/status") $(
		awk '$1 == "VmHWM:" { print $2 }' "/proc/$b/status")"
	for ((; ${#pids[@]} > first; )); do
		kill "${pids[-1]}" 2>/dev/null || true
		wait "${pids[-1]}" || true
		unset "pids[-1]"
	done
}

rss_rows() {
	local order rss small large end
	local -a small large
	say "memory of the daemons: order 20"
	rss_of 20
	read -r -a small <<<"$rss"
	say "memory of the daemons: order 30"
	rss_of 30
	read -r -a large <<<"$rss"
	for end in 0 1; do
		row --argjson small "${small[end]}" --argjson large "${large[end]}" --argjson side "$end" '
			{row: "rss", what: "peak RSS of the \(["source", "destination"][$side]) daemon",
			value: ($large / 1024 | r3), unit: "MiB at order 30",
			reference: "order 20", reference_value: ($small / 1024 | r3),
			ratio: ($large / $small | r3),
			difference_mib: (($large - $small) / 1024 | r3),
			goal: "within 8 MiB, under 64 MiB",
			met: ($large - $small <= 8 * 1024 and $small - $large <= 8 * 1024 and
				$large < 64 * 1024 and $small < 64 * 1024)}'
	done
}

# --- the lap after the pause ----------------------------------------------------------------------
lap() {
	say "last lap: order 26, 10,000 changed entries"
	"$build/tests/bench/bench-lap" 26 10000 "$lap_reps" >"$out/lap.jsonl"
	row --slurpfile a "$out/lap.jsonl" '([$a[] | .lap_ns / .scan_ns] | median) as $ratio |
		{row: "lap", what: "last lap, order 26, 10,000 changes", value:
		([$a[].lap_ns / 1e6] | median | r3), unit: "ms", reference: "clean scan",
		reference_value: ([$a[].scan_ns / 1e6] | median | r3), ratio: ($ratio | r3),
		goal: 1.3,
		met: ($ratio < 1.3), less_is_better: true,
		read_ms: ([$a[].read_ns / 1e6] | median | r3)}'
}

# --- instructions ---------------------------------------------------------------------------------
stages() {
	local codec valid stage n
	if ! command -v valgrind >/dev/null; then
		skip stages "valgrind is not installed"
		return
	fi
	for codec in hpte none; do
		say "instructions: compression $codec"
		if ! valid=$(valgrind --tool=callgrind --callgrind-out-file="$work/callgrind" \
			"$build/tests/bench/bench-stages" "$codec" 20 2>"$out/callgrind.log" | jq .valid); then
			tail -n 20 "$out/callgrind.log" >&2
			exit 1
		fi
		callgrind_annotate --inclusive=yes --threshold=100 "$work/callgrind" >"$out/stages-$codec.txt"
		for stage in read check digest encode encrypt decrypt decode check_again write; do
			n=$(sed -n "s/^ *\([0-9,]*\) .*:stage_$stage\(\.[a-z.0-9]*\)\{0,1\} .*/\1/p" \
				"$out/stages-$codec.txt" | head -n 1 | tr -d ,)
			if [ -z "$n" ]; then
				echo "bench: callgrind does not tell of stage_$stage" >&2
				exit 1
			fi
			row --arg what "$stage, compression $codec" --argjson n "$n" --argjson valid "$valid" '
				{row: "stages", what: $what, value: ($n / $valid | r3),
				unit: "instructions per valid entry"}'
		done
	done
}

# --- QEMU -----------------------------------------------------------------------------------------
# The guest: programs that have 1.5 GiB in pages of 4 KiB, and sleep. That they have it is seen in
# their resident sets (in pages of 64 KiB); sleeps keep the fifos open that they wait to write to.
qemu_initrd() { # qemu_initrd BUSYBOX-CPIO
	cat >"$work/init" <<-'END'
		#!/bin/sh
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t devtmpfs dev /dev
		mount -t tmpfs tmp /tmp
		yes 'what programs keep in memory' | head -c 4194304 >/tmp/4m
		for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
			cat /tmp/4m
		done >/tmp/64m
		i=0
		while [ $i -lt 24 ]; do
			mkfifo /tmp/fifo$i
			sleep 1000000 <>/tmp/fifo$i &
			dd if=/tmp/64m of=/tmp/fifo$i bs=64M count=1 2>/dev/null &
			i=$((i + 1))
		done
		until [ "$(cat /proc/[0-9]*/stat |
			awk '$2 == "(dd)" && $3 == "S" && $24 > 900' | wc -l)" = 24 ]; do
			sleep 1
		done
		echo MEASURE ME >/dev/hvc0
		while :; do sleep 1; done
	END
	chmod +x "$work/init"
	{
		cat "$1"
		(cd "$work" && echo init | cpio --quiet -o -H newc)
	} >"$work/initrd"
}

qemu_row() {
	local dir rep n=$((reps < 3 ? reps : 3)) codec
	if ! command -v qemu-system-ppc64 >/dev/null || ! command -v python3 >/dev/null; then
		skip qemu "qemu-system-ppc64 or python3 is not installed"
		return
	fi
	dir=$("$top/tests/powernv/fetch.sh")
	qemu_initrd "$dir/busybox.cpio"
	for ((rep = 1; rep <= n; rep++)); do
		say "QEMU's own migration of a table, $rep of $n"
		if ! "$top/tests/bench/qemu-htab.py" "$dir/vmlinux" "$work/initrd" \
			"$out/qemu.console" "$work/qemu.hpt" \
			>>"$out/qemu.ref.jsonl" 2>"$out/qemu.log"; then
			echo "bench: $(tail -n 1 "$out/qemu.log")" >&2
			exit 1
		fi
		for codec in hpte none; do
			moved "qemu-$codec" --hpt "$work/qemu.hpt" --compression "$codec" \
				-n $((25000000 * passes))
		done
	done
	for codec in hpte none; do
		row --slurpfile a "$out/qemu-$codec.jsonl" --slurpfile t "$out/qemu.ref.jsonl" \
			--arg codec "$codec" '
			[$a[] | .table_bytes_per_second / 1e6] as $x |
			[$t[] | .bytes / .seconds / 1e6] as $y |
			([range($x | length)] | map($x[.] / $y[.]) | median) as $ratio |
			(if $codec == "hpte" then 10 else null end) as $goal |
			{row: "qemu", what: "table of a guest in QEMU, compression \($codec), TLS",
			value: ($x | median | r3), unit: "MB/s",
			reference: "QEMU, spapr/htab over TLS", reference_value: ($y | median | r3),
			ratio: ($ratio | r3), goal: $goal,
			met: (if $goal then $ratio >= $goal else null end),
			reference_seconds: ([$t[].seconds] | median), valid: $t[0].valid}'
	done
}

# --------------------------------------------------------------------------------------------------
mkdir "$work/pki"
"$build/tests/mkcerts" "$work/pki" --cn localhost --dns localhost --ip 127.0.0.1
if wanted wire; then wire; fi
if wanted codec; then
	codec_rows "${first_table%%=*}" "${first_table#*=}" 3.0
	codec_rows user user null
fi
if wanted end-to-end; then end_to_end; fi
if wanted channels; then channels; fi
if wanted rss; then rss_rows; fi
if wanted lap; then lap; fi
if wanted stages; then stages; fi
if wanted qemu; then qemu_row; fi

jq -s --arg reps "$reps" --arg passes "$passes" --arg data "${HTAB_DATA-}" \
	'{repetitions: ($reps | tonumber), passes: ($passes | tonumber),
	real_tables: ($data != ""), rows: .}' "$rows" >"$out/bench.json"
if [ -n "$json" ]; then
	cat "$rows"
	exit 0
fi
jq -r '.rows[] | select(.skipped | not) | [.what, "\(.value) \(.unit)", (if .reference then "\(.reference_value) (\(.reference))"
	else "" end), (.ratio // "" | tostring), (.goal // "" | tostring),
	(if .met == null then "" elif .met then "met" else "not met" end),
	(if .cpu_ns_per_byte then "\(.cpu_ns_per_byte) (\(.reference_cpu_ns_per_byte))" else "" end)] | @tsv' "$out/bench.json" |
	awk -F '\t' -v OFS='\t' 'BEGIN { print "what", "value", "reference", "ratio", "goal", "", "CPU ns/B (ref.)" }
		{ print }' |
	awk -F '\t' '{ for (i = 1; i <= NF; i++) { c[NR, i] = $i
				if (length($i) > w[i]) w[i] = length($i) } }
		END { for (r = 1; r <= NR; r++) { line = ""; for (i = 1; i <= 7; i++)
			line = line sprintf("%-" (w[i] + 2) "s", c[r, i]); sub(/ +$/, "", line); print line } }'
jq -r '.rows[] | select(.skipped) | "skipped: \(.what): \(.skipped)"' "$out/bench.json"
echo "as JSON: $out/bench.json"
