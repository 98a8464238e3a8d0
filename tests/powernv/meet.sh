#!/bin/sh
# meet NAME [VALUE]: on an emulated host, wait until the other host has come to meet NAME too,
# and print the other's VALUE. It goes over the console, not over the hosts' network, so it works
# when that is down. Fails when the other host has ended or waits for another meeting (names that
# begin with = excepted: they wait on). One meeting at a time on each host.
set -eu
read -r token </t/.token
printf '### %s meet %s %s\n' "$token" "$1" "${2-}" >/dev/hvc0
while read -r word name value; do
	case $word in
	meet-"$token") [ "$name" != "$1" ] || break ;;
	gone-"$token") [ "$name" != "$1" ] || exit 1 ;;
	esac
done </dev/hvc0
printf '%s\n' "$value"
