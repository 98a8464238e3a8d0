# tests/: see HACKING.md

# Test programs are listed by kind, wherever they are described:
#	UNIT_TESTS += tests/unit/test-NAME		one process, no sockets but pairs (Check)
#	INTEGRATION_TESTS += tests/integration/test-NAME	starts our programs, talks over sockets
# `make check` runs both kinds, `make check-unit` and `make check-integration` one of them.
UNIT_TESTS =
INTEGRATION_TESTS =
TESTS += $(UNIT_TESTS) $(INTEGRATION_TESTS)
check_PROGRAMS += $(UNIT_TESTS) $(INTEGRATION_TESTS)

# What a test finds in its environment.
AM_TESTS_ENVIRONMENT = \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir;

check-unit:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS)'

check-integration:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(INTEGRATION_TESTS)'

.PHONY: check-unit check-integration

EXTRA_DIST += .ci/run tests/suites tests/powernv tests/model

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-swhpt
tests_unit_test_swhpt_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_swhpt_LDADD = libswhpt.la $(CHECK_LIBS)
endif

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-proto-htab
tests_unit_test_proto_htab_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_htab_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-proto-state
tests_unit_test_proto_state_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_state_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-proto-vmm
tests_unit_test_proto_vmm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_vmm_LDADD = libproto.la $(CHECK_LIBS)
INTEGRATION_TESTS += tests/unit/test-simvm
tests_unit_test_simvm_SOURCES = tests/unit/test-simvm.c vmm/hptfile.c
tests_unit_test_simvm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_simvm_LDADD = libbase.la libproto.la $(CHECK_LIBS) $(ZSTD_LIBS)
UNIT_TESTS += tests/unit/test-htabvmm
tests_unit_test_htabvmm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
endif

# A throw-away CA, for tests and the demonstration.
noinst_LTLIBRARIES += libtestca.la
libtestca_la_SOURCES = tests/testca.c tests/testca.h
libtestca_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
libtestca_la_LIBADD = $(OPENSSL_LIBS)
noinst_PROGRAMS += tests/mkcerts
tests_mkcerts_LDADD = libtestca.la

if HAVE_CHECK
net_test_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS)
net_test_libs = libnet.la libtestca.la $(CHECK_LIBS)
net_test_harness = tests/unit/net-harness.c tests/unit/net-harness.h
UNIT_TESTS += tests/unit/test-uri tests/unit/test-stream tests/unit/test-tls \
	tests/unit/test-dial tests/unit/test-qmp
tests_unit_test_uri_CFLAGS = $(net_test_cflags)
tests_unit_test_uri_LDADD = $(net_test_libs)
tests_unit_test_stream_SOURCES = tests/unit/test-stream.c $(net_test_harness)
tests_unit_test_stream_CFLAGS = $(net_test_cflags)
tests_unit_test_stream_LDADD = $(net_test_libs)
tests_unit_test_tls_SOURCES = tests/unit/test-tls.c $(net_test_harness)
tests_unit_test_tls_CFLAGS = $(net_test_cflags)
tests_unit_test_tls_LDADD = $(net_test_libs)
tests_unit_test_dial_SOURCES = tests/unit/test-dial.c $(net_test_harness)
tests_unit_test_dial_CFLAGS = $(net_test_cflags)
tests_unit_test_dial_LDADD = $(net_test_libs)
tests_unit_test_qmp_SOURCES = tests/unit/test-qmp.c $(net_test_harness)
tests_unit_test_qmp_CFLAGS = $(net_test_cflags) $(JSON_CFLAGS)
tests_unit_test_qmp_LDADD = libqmp.la $(net_test_libs) $(JSON_LIBS)
endif

if HAVE_CHECK
flow_test_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS) $(EVENT_CFLAGS)
flow_test_libs = libflow.la libnet.la libtestca.la libproto.la libbase.la \
	$(CHECK_LIBS) $(EVENT_LIBS) $(OPENSSL_LIBS)
EXTRA_DIST += tests/unit/flow-model.h
UNIT_TESTS += tests/unit/test-flow-sim
tests_unit_test_flow_sim_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_sim_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow-steps
tests_unit_test_flow_steps_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_steps_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow
tests_unit_test_flow_SOURCES = tests/unit/test-flow.c $(net_test_harness)
tests_unit_test_flow_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_LDADD = $(flow_test_libs)
# Compiles daemon/htabio.c in, with the system calls of a POWER host replaced.
UNIT_TESTS += tests/unit/test-htabio
tests_unit_test_htabio_CFLAGS = $(flow_test_cflags)
tests_unit_test_htabio_LDADD = libproto.la libbase.la $(CHECK_LIBS)
endif

# Nothing is lost, and never two: see the head of each.
if HAVE_CHECK
INTEGRATION_TESTS += tests/integration/test-migrations
tests_integration_test_migrations_CFLAGS = $(integration_cflags)
tests_integration_test_migrations_LDADD = libharness.la
endif

# The software HPT against the kernel's; for tests/powernv/hpt-diff.test.sh.
if POWER_KVM
noinst_PROGRAMS += tests/powernv/hpt-diff
tests_powernv_hpt_diff_SOURCES = \
	tests/powernv/hpt-diff.c tests/powernv/hpt-diff.h \
	tests/powernv/hpt-diff-guest.S \
	tests/powernv/hpt-diff-random.c
tests_powernv_hpt_diff_LDADD = libpowerkvm.la libswhpt.la
endif
