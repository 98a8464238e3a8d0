# tools/: see HACKING.md

# A QMP client, shared by htabctl and the integration tests; and what htabctl prints.
noinst_LTLIBRARIES += libctl.la
libctl_la_SOURCES = \
	tools/htabctl/output.c tools/htabctl/output.h \
	tools/htabctl/progress.c tools/htabctl/progress.h \
	tools/htabctl/qmpclient.c tools/htabctl/qmpclient.h
libctl_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
libctl_la_LIBADD = libjsonread.la libbase.la $(JSON_LIBS)

bin_PROGRAMS += htabctl
htabctl_SOURCES = \
	tools/htabctl/dumpstat.c tools/htabctl/dumpstat.h \
	tools/htabctl/dumptable.c tools/htabctl/dumptable.h \
	tools/htabctl/htabctl.c tools/htabctl/htabctl.h \
	tools/htabctl/dump.c \
	tools/htabctl/migrate.c \
	tools/htabctl/set.c \
	tools/htabctl/show.c
htabctl_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(ZSTD_CFLAGS)
htabctl_LDADD = libctl.la libsaved.la libbase.la libproto.la $(ZSTD_LIBS)

# The data path of the daemon between software tables: the one tool that links libflow and libswhpt.
noinst_LTLIBRARIES += libbench.la
libbench_la_SOURCES = \
	tools/bench/client.c tools/bench/run.h \
	tools/bench/end.h \
	tools/bench/json.c \
	tools/bench/line.c tools/bench/line.h \
	tools/bench/measure.c tools/bench/measure.h \
	tools/bench/opts.c tools/bench/opts.h \
	tools/bench/plot.c tools/bench/plot.h \
	tools/bench/recv.c \
	tools/bench/report.c tools/bench/report.h \
	tools/bench/send.c \
	tools/bench/server.c \
	tools/bench/session.c tools/bench/session.h \
	tools/bench/table.c tools/bench/table.h \
	tools/bench/test.c tools/bench/test.h \
	tools/bench/hptgen.c tools/bench/hptgen.h \
	vmm/tool/hptfile.c vmm/tool/hptfile.h \
	vmm/simvm/guest.c vmm/simvm/tlb.c vmm/simvm/simvm.h
libbench_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS) $(OPENSSL_CFLAGS) $(ZSTD_CFLAGS)
libbench_la_LIBADD = libflow.la libctl.la libswhpt.la libhtabvmm-core.la libnet.la libbase.la \
	libproto.la $(EVENT_LIBS) $(JSON_LIBS) $(OPENSSL_LIBS) $(ZSTD_LIBS) -lm

bin_PROGRAMS += htab-bench
htab_bench_SOURCES = tools/bench/htab-bench.c
htab_bench_CFLAGS = $(libbench_la_CFLAGS)
htab_bench_LDADD = libbench.la
