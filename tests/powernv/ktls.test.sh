#!/bin/sh
# The kernel encrypts what is sent (kTLS): a guest on real KVM moves so, is slowed down, cut off and
# resumed on the way, and moves back without it.
# hosts: ktls
# needs: htab-migrated htab-kvmvm htabctl htab-bench tests/mkcerts tests/unit/test-ktls
# needs: tests/powernv/migrate.sh
# modules: gf128mul ghash-generic ctr gcm tls
# limit: 150
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

connections() { # that the kernel has encrypted so far
	awk '$1 == "TlsTxSw" { print $2 }' /proc/net/tls_stat
}

more() { # more BEFORE: there were connections since
	test "$(connections)" -gt "$1"
}

for m in gf128mul ghash-generic ctr gcm tls; do
	check "module $m" insmod "/t/$m.ko"
done
before=$(connections)
HTAB_EXPECT_KTLS=1
export HTAB_EXPECT_KTLS
check "streams, and what breaks them" test-ktls
cat check.out
check "by the kernel" more "$before"

check "certificates" mkcerts pki
echo '{"ktls": true}' >a.json
echo '{"ktls": false}' >b.json
echo '{"ktls": "yes"}' >c.json
check "a word is no setting" sh -c "! htab-migrated --config c.json 2>c.log &&
	grep -F \"c.json: 'ktls' expects true or false\" c.log"
port=4661
for d in a b; do
	mkdir $d
	start daemon-$d htab-migrated --config $d.json --control $d/control.sock \
		--vmm-socket $d/vmm.sock --listen tcp:127.0.0.1:$port --tls-creds pki --name host$d
	eval port_$d=$port
	port=$((port + 1))
done
for d in a b; do
	check "daemon $d is ready" see daemon-$d "ready at "
done
on_a() {
	htabctl --socket a/control.sock "$@"
}

vmm guest1 a/vmm.sock
check "the guest counts" counts_past guest1 2000
vmm guest2 b/vmm.sock --incoming
check "guest2 waits" htabctl --socket b/control.sock incoming vm1
check "parameters" on_a set --vm vm1 verify=true downtime-limit=3000 max-bandwidth=2000 \
	htab-compression=none
before=$(connections)
check "it begins" on_a migrate vm1 "tcp:127.0.0.1:$port_b" --no-wait
check "the journal says who encrypts" see daemon-a 'the kernel \(kTLS\) encrypts'
check "while the passes run it is cut" on_a pause vm1
check "both ends know" see daemon-b 'to come back'
check "no limit any more" on_a set --vm vm1 max-bandwidth=0
check "it goes on" sh -c "htabctl --socket a/control.sock --json migrate vm1 \
	tcp:127.0.0.1:$port_b --resume >migrate.json" || tail -n 20 daemon-a.log daemon-b.log
left guest1 "by kTLS"
came guest2 "$(event guest1 migrated counter)" "by kTLS"
check "by kTLS: it says so" grep -q '"ktls" *: *true' migrate.json
check "by kTLS: recovered once" grep -q '"recoveries" *: *1' migrate.json
check "by kTLS: the kernel counts connections" more "$before"

# back, from a host where it is switched off
vmm guest3 a/vmm.sock --incoming
check "guest3 waits" on_a incoming vm1
check "verify" htabctl --socket b/control.sock set --vm vm1 verify=true downtime-limit=3000
check "back" sh -c "htabctl --socket b/control.sock --json migrate vm1 \
	tcp:127.0.0.1:$port_a >migrate.json" || tail -n 20 daemon-a.log daemon-b.log
left guest2 "back"
came guest3 "$(event guest2 migrated counter)" "back"
check "back: it says so" grep -q '"ktls" *: *false' migrate.json
check "back: the journal too" see daemon-b 'OpenSSL encrypts'

# cancelled while the socket is full of what the kernel has encrypted
vmm guest4 b/vmm.sock --incoming
check "guest4 waits" htabctl --socket b/control.sock incoming vm1
check "slowly" on_a set --vm vm1 max-bandwidth=2000 htab-compression=none
check "it begins again" on_a migrate vm1 "tcp:127.0.0.1:$port_b" --no-wait
check "it runs" see daemon-a 'the kernel \(kTLS\) encrypts' 2
check "cancel" on_a cancel vm1
check "the guest counts on" counts_past guest3 $(($(counter guest3) + 1000))
guest_ends guest3
ends guest4
ends daemon-a
ends daemon-b

# htab-bench: the rates are those of an emulator
for no in '' --no-ktls; do
	start bench htab-bench -s -1 -B 127.0.0.1 -p 4670 --tls-creds pki
	check "bench $no waits" see bench '4670'
	check "bench $no" sh -c "htab-bench -c 127.0.0.1 -p 4670 --tls-creds pki --order 20 \
		--table user --compression none -n 16M -J $no >bench.json"
	tr '\n' ' ' <bench.json >bench.line
	check "bench $no: tables are equal" grep -q '"tables_equal" *: *true' bench.json
	[ -z "$no" ] && is=true || is=false
	check "bench $no: kTLS $is" grep -q "\"ktls\" *: *$is" bench.json
	echo "bench $no: $(field bench.line table_bytes_per_second) table bytes a second," \
		"$(field bench.line cpu_ns_per_table_byte_sender) ns a byte at the sender"
	check "bench $no ends" see bench '^=== bench ended with 0$'
done
echo "connections encrypted by the kernel: $(connections)"
finish
