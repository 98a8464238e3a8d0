# tools/: see HACKING.md

# A QMP client, shared by htabctl and the integration tests; and what htabctl prints.
noinst_LTLIBRARIES += libctl.la
libctl_la_SOURCES = \
	tools/output.c tools/output.h \
	tools/progress.c tools/progress.h \
	tools/qmpclient.c tools/qmpclient.h
libctl_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
libctl_la_LIBADD = libjsonread.la libbase.la $(JSON_LIBS)

bin_PROGRAMS += htabctl
htabctl_SOURCES = \
	tools/dumpstat.c tools/dumpstat.h \
	tools/dumptable.c tools/dumptable.h \
	tools/htabctl.c tools/htabctl.h \
	tools/htabctl_dump.c \
	tools/htabctl_migrate.c \
	tools/htabctl_set.c \
	tools/htabctl_show.c
htabctl_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS) $(ZSTD_CFLAGS)
htabctl_LDADD = libctl.la libsaved.la libbase.la libproto.la $(ZSTD_LIBS)

# The data path of the daemon between software tables: the one tool that links libflow and libswhpt.
noinst_LTLIBRARIES += libbench.la
libbench_la_SOURCES = \
	tools/bench_client.c tools/bench_run.h \
	tools/bench_end.h \
	tools/bench_json.c \
	tools/bench_line.c tools/bench_line.h \
	tools/bench_measure.c tools/bench_measure.h \
	tools/bench_opts.c tools/bench_opts.h \
	tools/bench_plot.c tools/bench_plot.h \
	tools/bench_recv.c \
	tools/bench_report.c tools/bench_report.h \
	tools/bench_send.c \
	tools/bench_server.c \
	tools/bench_session.c tools/bench_session.h \
	tools/bench_table.c tools/bench_table.h \
	tools/bench_test.c tools/bench_test.h \
	tools/hptgen.c tools/hptgen.h \
	vmm/hptfile.c vmm/hptfile.h \
	vmm/simvm_guest.c vmm/simvm_tlb.c vmm/simvm.h
libbench_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS) $(OPENSSL_CFLAGS) $(ZSTD_CFLAGS)
libbench_la_LIBADD = libflow.la libctl.la libswhpt.la libhtabvmm-core.la libnet.la libbase.la \
	libproto.la $(EVENT_LIBS) $(JSON_LIBS) $(OPENSSL_LIBS) $(ZSTD_LIBS) -lm

bin_PROGRAMS += htab-bench
htab_bench_SOURCES = tools/htab-bench.c
htab_bench_CFLAGS = $(libbench_la_CFLAGS)
htab_bench_LDADD = libbench.la
