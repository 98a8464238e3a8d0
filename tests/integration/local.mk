# tests/integration/: programs that start ours and talk to them over sockets.
if HAVE_CHECK
check_LTLIBRARIES = libharness.la
libharness_la_SOURCES = \
	tests/integration/harness.c tests/integration/harness.h \
	tests/integration/harness_guest.c \
	tests/integration/harness_host.c \
	tests/integration/harness_impl.h \
	tests/integration/pair.c tests/integration/pair.h
libharness_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(JSON_CFLAGS)
libharness_la_LIBADD = libtestca.la libctl.la libbase.la $(CHECK_LIBS) $(JSON_LIBS)
integration_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS) $(JSON_CFLAGS)

# of tools/, by one process
UNIT_TESTS += tests/unit/test-bench-parts
tests_unit_test_bench_parts_CFLAGS = $(integration_cflags) $(EVENT_CFLAGS)
tests_unit_test_bench_parts_LDADD = libbench.la $(CHECK_LIBS) $(JSON_LIBS)
UNIT_TESTS += tests/unit/test-ctl
tests_unit_test_ctl_CFLAGS = $(integration_cflags)
tests_unit_test_ctl_LDADD = libctl.la $(CHECK_LIBS) $(JSON_LIBS)

INTEGRATION_TESTS += tests/integration/test-bench tests/integration/test-bench-failures
benchrun = tests/integration/benchrun.c tests/integration/benchrun.h
tests_integration_test_bench_SOURCES = tests/integration/test-bench.c $(benchrun)
tests_integration_test_bench_CFLAGS = $(integration_cflags)
tests_integration_test_bench_LDADD = libharness.la libbench.la
tests_integration_test_bench_failures_SOURCES = \
	tests/integration/test-bench-failures.c $(benchrun)
tests_integration_test_bench_failures_CFLAGS = $(integration_cflags)
tests_integration_test_bench_failures_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-booke
tests_integration_test_booke_SOURCES = tests/integration/test-booke.c \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_booke_CFLAGS = $(integration_cflags)
tests_integration_test_booke_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-cancel
tests_integration_test_cancel_CFLAGS = $(integration_cflags) $(EVENT_CFLAGS)
tests_integration_test_cancel_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-channels
tests_integration_test_channels_SOURCES = tests/integration/test-channels.c \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_channels_CFLAGS = $(integration_cflags)
tests_integration_test_channels_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-control
tests_integration_test_control_CFLAGS = $(integration_cflags)
tests_integration_test_control_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-failures
tests_integration_test_failures_CFLAGS = $(integration_cflags)
tests_integration_test_failures_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-fd
tests_integration_test_fd_CFLAGS = $(integration_cflags)
tests_integration_test_fd_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-garbage
tests_integration_test_garbage_CFLAGS = $(integration_cflags) $(OPENSSL_CFLAGS)
tests_integration_test_garbage_LDADD = libharness.la libproto.la $(OPENSSL_LIBS)
INTEGRATION_TESTS += tests/integration/test-generation
tests_integration_test_generation_SOURCES = tests/integration/test-generation.c \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_generation_CFLAGS = $(integration_cflags) $(EVENT_CFLAGS)
tests_integration_test_generation_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-out-of-order
tests_integration_test_out_of_order_SOURCES = tests/integration/test-out-of-order.c \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_out_of_order_CFLAGS = $(integration_cflags)
tests_integration_test_out_of_order_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-hostile
fakenote = \
	tests/integration/fakenote.c tests/integration/fakenote.h \
	tests/integration/hostile.c tests/integration/hostile.h
scene = $(fakenote) tests/integration/scene.c tests/integration/scene.h
tests_integration_test_hostile_SOURCES = tests/integration/test-hostile.c $(scene)
tests_integration_test_hostile_CFLAGS = $(integration_cflags)
tests_integration_test_hostile_LDADD = libharness.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-ends
tests_integration_test_ends_SOURCES = tests/integration/test-ends.c $(scene)
tests_integration_test_ends_CFLAGS = $(integration_cflags)
tests_integration_test_ends_LDADD = libharness.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-notes
tests_integration_test_notes_SOURCES = tests/integration/test-notes.c $(fakenote)
tests_integration_test_notes_CFLAGS = $(integration_cflags)
tests_integration_test_notes_LDADD = libharness.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-incoming
tests_integration_test_incoming_CFLAGS = $(integration_cflags)
tests_integration_test_incoming_LDADD = libharness.la

INTEGRATION_TESTS += tests/integration/test-htabctl
tests_integration_test_htabctl_CFLAGS = $(integration_cflags)
tests_integration_test_htabctl_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-migrate-basic
tests_integration_test_migrate_basic_CFLAGS = $(integration_cflags)
tests_integration_test_migrate_basic_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-vmstate
tests_integration_test_vmstate_SOURCES = tests/integration/test-vmstate.c \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_vmstate_CFLAGS = $(integration_cflags)
tests_integration_test_vmstate_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-refusals
tests_integration_test_refusals_CFLAGS = $(integration_cflags)
tests_integration_test_refusals_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-dump
tests_integration_test_dump_SOURCES = tests/integration/test-dump.c \
	tests/integration/saving.c tests/integration/saving.h
tests_integration_test_dump_CFLAGS = $(integration_cflags)
tests_integration_test_dump_LDADD = libharness.la libbase.la
INTEGRATION_TESTS += tests/integration/test-log
tests_integration_test_log_CFLAGS = $(integration_cflags)
tests_integration_test_log_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-last-lap
tests_integration_test_last_lap_SOURCES = tests/integration/test-last-lap.c \
	tests/integration/claim.c tests/integration/claim.h \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_last_lap_CFLAGS = $(integration_cflags)
tests_integration_test_last_lap_LDADD = libharness.la libproto.la libbase.la
INTEGRATION_TESTS += tests/integration/test-set
tests_integration_test_set_SOURCES = tests/integration/test-set.c \
	tests/integration/saving.c tests/integration/saving.h
tests_integration_test_set_CFLAGS = $(integration_cflags)
tests_integration_test_set_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-save
tests_integration_test_save_SOURCES = tests/integration/test-save.c \
	tests/integration/saving.c tests/integration/saving.h
tests_integration_test_save_CFLAGS = $(integration_cflags)
tests_integration_test_save_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-save-judged
tests_integration_test_save_judged_SOURCES = tests/integration/test-save-judged.c \
	tests/integration/saving.c tests/integration/saving.h
tests_integration_test_save_judged_CFLAGS = $(integration_cflags)
tests_integration_test_save_judged_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-save-open
tests_integration_test_save_open_SOURCES = tests/integration/test-save-open.c \
	tests/integration/saving.c tests/integration/saving.h
tests_integration_test_save_open_CFLAGS = $(integration_cflags)
tests_integration_test_save_open_LDADD = libharness.la libproto.la $(OPENSSL_LIBS)
endif

# tests/demo.sh is what `./run demo` shows.
EXTRA_DIST += tests/demo.sh
