# tests/bench/: what `./run bench` measures with.
noinst_LTLIBRARIES += libbenchlib.la
libbenchlib_la_SOURCES = tests/bench/benchlib.c tests/bench/benchlib.h
libbenchlib_la_CFLAGS = $(libbench_la_CFLAGS)
libbenchlib_la_LIBADD = libbench.la
noinst_PROGRAMS += tests/bench/bench-codec tests/bench/bench-lap tests/bench/bench-stages \
	tests/bench/bench-tls
tests_bench_bench_codec_LDADD = libbenchlib.la
tests_bench_bench_lap_CFLAGS = $(libbench_la_CFLAGS)
tests_bench_bench_lap_LDADD = libbenchlib.la
tests_bench_bench_stages_CFLAGS = $(libbench_la_CFLAGS)
tests_bench_bench_stages_LDADD = libbenchlib.la
tests_bench_bench_tls_SOURCES = tests/bench/bench-tls.c tests/bench/tlsloop.c tests/bench/tlsloop.h
tests_bench_bench_tls_CFLAGS = $(libbench_la_CFLAGS)
tests_bench_bench_tls_LDADD = libbenchlib.la libtestca.la
EXTRA_DIST += tests/bench/bench.sh tests/bench/qemu-htab.py
