# shellcheck shell=bash
# Shared by ./run and the suites (bash, sourced): variants of the build, and counting.
#
# A suite is an executable tests/suites/NAME that `./run` lists as fast or slow. It reports with
# pass, fail and skip, ends with finish, and can also be started by hand. A comment
# "# limit: SECONDS" in it changes ./run's time limit (1800).
#
# build/VARIANT is where a variant is built: gcc, clang, asan, tsan, ppc64le ...

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$top/build
jobs=$(nproc)
export HTAB_CACHE=${HTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated}
export LC_ALL=C.UTF-8
export HTAB_TEST_PATIENCE=${HTAB_TEST_PATIENCE:-2} # times as long as on an idle machine
cd "$top"

passed=0 failed=0 skipped=0

pass() { # pass NAME
	passed=$((passed + 1))
	echo "PASS $1"
}

fail() { # fail NAME [REASON]
	failed=$((failed + 1))
	echo "FAIL $1${2:+: $2}"
}

skip() { # skip NAME REASON
	skipped=$((skipped + 1))
	echo "SKIP $1: $2"
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
	exit
}

# configure_variant NAME [CONFIGURE-ARGUMENT...]: when there is need. Silent when all goes well.
configure_variant() {
	local dir=$build/$1 args
	args=$(printf '%s\n' "${@:2}")
	mkdir -p "$build"
	{
		flock 8
		if [ ! -e configure ] || [ ! -e Makefile.in ]; then
			autoreconf -fi >"$build/autoreconf.log" 2>&1 || {
				cat "$build/autoreconf.log"
				return 1
			}
		fi
	} 8>"$build/.lock"
	if [ ! -e "$dir/Makefile" ] || [ "$(cat "$dir/.arguments")" != "$args" ]; then
		rm -rf "$dir"
		mkdir -p "$dir"
		(cd "$dir" && ../../configure --quiet --enable-werror "${@:2}") || return 1
		echo "$args" >"$dir/.arguments"
	fi
}

# build_variant NAME [CONFIGURE-ARGUMENT...]: the same, and makes everything.
build_variant() {
	configure_variant "$@" && make -s -C "$build/$1" -j "$jobs"
}

# build_ppc64le: the cross build in build/ppc64le, installed into build/ppc64le-root.
build_ppc64le() {
	local root triplet=powerpc64le-linux-gnu
	root=$(tests/powernv/fetch.sh)/rootfs || return 1
	export PKG_CONFIG_SYSROOT_DIR=$root
	export PKG_CONFIG_LIBDIR=$root/usr/lib/$triplet/pkgconfig:$root/usr/share/pkgconfig
	build_variant ppc64le --host=$triplet CC="$triplet-gcc --sysroot=$root" \
		PKG_CONFIG=pkg-config --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
		--libdir="/usr/lib/$triplet" || return 1
	make -s -C "$build/ppc64le" -j "$jobs" check TESTS= || return 1
	rm -rf "$build/ppc64le-root"
	make -s -C "$build/ppc64le" install DESTDIR="$build/ppc64le-root" \
		>"$build/install.log" 2>&1 || {
		cat "$build/install.log"
		return 1
	}
}

# make_check NAME check|check-unit|check-integration [COMMAND...]: runs the test programs of
# build/NAME, in front of which COMMAND may stand, and counts what they say. Most of them wait most
# of the time: one more than there are processors.
make_check() {
	local dir=$build/$1 target=$2 status=0
	find "$dir/tests" \( -name '*.trs' -o -name '*.log' \) -delete
	"${@:3}" make -s -k -C "$dir" -j $((jobs + 1)) "$target" VERBOSE=1 || status=$?
	count_checks "$dir" $status
}

# A program with Check's summary lines counts with its checks; one that has none, or failed in
# another way than they tell (it crashed, a sanitizer spoke at its end), counts as one.
count_checks() { # count_checks DIR STATUS-OF-MAKE
	local trs log name result c f before=$failed
	while IFS= read -r -d '' trs; do
		log=${trs%.trs}.log
		name=${trs#"$1/"}
		name=${name%.trs}
		result=$(sed -n 's/^:test-result: *//p' "$trs")
		read -r c f < <(awk '/^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+$/ {
			c += $3; f += $5 + $7 } END { print c + 0, f + 0 }' "$log")
		passed=$((passed + c - f))
		[ "$f" = 0 ] || fail "$name" "$f of $c checks"
		failed=$((failed + (f > 0 ? f - 1 : 0)))
		case $result in
		PASS) [ "$c" != 0 ] || pass "$name" ;;
		SKIP) skip "$name" "$(tail -n 2 "$log" | head -n 1)" ;;
		*) [ "$f" != 0 ] || fail "$name" "$result without a failed check, see $log" ;;
		esac
	done < <(find "$1/tests" -name '*.trs' -print0 | sort -z)
	if [ "$2" != 0 ] && [ $failed = $before ]; then
		fail "make check in $1" "status $2"
	fi
}

# tsan_prefix CC: prints the command that programs built with ThreadSanitizer need in front of them,
# one word a line. Where the kernel spreads mappings wider (vm.mmap_rnd_bits) than the sanitizer
# of gcc 12 and clang 14 knows, they run only without address space randomization.
tsan_prefix() {
	local dir
	dir=$(mktemp -d)
	echo 'int main(void) { return 0; }' >"$dir/t.c"
	"$1" -fsanitize=thread -o "$dir/t" "$dir/t.c"
	# randomization fails now and then, not always
	for _ in {1..20}; do
		if ! "$dir/t" 2>"$dir/log"; then
			printf 'setarch\n-R\n'
			break
		fi
	done
	rm -rf "$dir"
}
