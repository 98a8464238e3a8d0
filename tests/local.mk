# tests/: see HACKING.md

# Test programs are listed by kind, wherever they are described:
#	UNIT_TESTS += tests/unit/test-NAME		one process, no sockets but pairs (Check)
#	UNIT_SHELL += tests/unit/NAME.test		the same as a shell script
#	INTEGRATION_TESTS += tests/integration/test-NAME	starts our programs, talks over sockets
# `make check` runs all kinds, `make check-unit` and `make check-integration` one of them.
UNIT_TESTS =
UNIT_SHELL =
INTEGRATION_TESTS =
TESTS += $(UNIT_TESTS) $(UNIT_SHELL) $(INTEGRATION_TESTS)
check_PROGRAMS += $(UNIT_TESTS) $(INTEGRATION_TESTS)

# Check's programs have time, however they are started.
CHECK_CFLAGS = -include $(top_srcdir)/tests/patience.h @CHECK_CFLAGS@
EXTRA_DIST += tests/patience.h

# What a test finds in its environment.
AM_TESTS_ENVIRONMENT = \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir;

check-unit:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS) $(UNIT_SHELL)'

check-integration:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(INTEGRATION_TESTS)'

.PHONY: check-unit check-integration

EXTRA_DIST += .ci/run layers daemon/layers vmm/layers tests/layers.sh tests/suites tests/delays tests/e500 tests/powernv tests/model tests/x86/boot.sh

# What the documents say of options, commands, parameters, functions and figures, README's commands,
# and that each sentence of the protocol has its test; what tools cannot print.
UNIT_SHELL += tests/unit/manual.test tests/unit/output.test tests/unit/protocol.test \
	tests/unit/figures.test tests/unit/readme.test
EXTRA_DIST += $(UNIT_SHELL)

if HAVE_CHECK
swhpt_harness = tests/unit/swhpt-harness.c tests/unit/swhpt-harness.h
UNIT_TESTS += tests/unit/test-swhpt tests/unit/test-swhpt-read tests/unit/test-swhpt-table \
	tests/unit/test-swhpt-write
tests_unit_test_swhpt_read_SOURCES = tests/unit/test-swhpt-read.c $(swhpt_harness)
tests_unit_test_swhpt_read_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_swhpt_read_LDADD = libswhpt.la $(CHECK_LIBS)
tests_unit_test_swhpt_SOURCES = tests/unit/test-swhpt.c $(swhpt_harness)
tests_unit_test_swhpt_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_swhpt_LDADD = libswhpt.la $(CHECK_LIBS)
tests_unit_test_swhpt_table_SOURCES = tests/unit/test-swhpt-table.c $(swhpt_harness)
tests_unit_test_swhpt_table_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_swhpt_table_LDADD = libswhpt.la $(CHECK_LIBS)
tests_unit_test_swhpt_write_SOURCES = tests/unit/test-swhpt-write.c $(swhpt_harness)
tests_unit_test_swhpt_write_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_swhpt_write_LDADD = libswhpt.la $(CHECK_LIBS)
endif

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-proto-htab
tests_unit_test_proto_htab_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_htab_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-hptecodec
tests_unit_test_hptecodec_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_hptecodec_LDADD = libhptecodec.la libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-onereg tests/unit/test-timebase tests/unit/test-processor \
	tests/unit/test-clocksync
tests_unit_test_processor_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_processor_LDADD = libproto.la $(CHECK_LIBS)
tests_unit_test_onereg_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_onereg_LDADD = libproto.la $(CHECK_LIBS)
tests_unit_test_clocksync_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_clocksync_LDADD = libproto.la $(CHECK_LIBS)
tests_unit_test_timebase_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_timebase_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-htabvmm-tlb
tests_unit_test_htabvmm_tlb_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_tlb_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-muldiv
tests_unit_test_muldiv_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_muldiv_LDADD = $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-tlb
tests_unit_test_tlb_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_tlb_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-hpte
tests_unit_test_hpte_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_hpte_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-proto-state
tests_unit_test_proto_state_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_state_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-proto-vmm
tests_unit_test_proto_vmm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_vmm_LDADD = libproto.la $(CHECK_LIBS)
INTEGRATION_TESTS += tests/unit/test-simvm
tests_unit_test_simvm_SOURCES = tests/unit/test-simvm.c vmm/tool/hptfile.c
tests_unit_test_simvm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_simvm_LDADD = libbase.la libproto.la $(CHECK_LIBS) $(ZSTD_LIBS)
htabvmm_harness = tests/unit/htabvmm-harness.c tests/unit/htabvmm-harness.h
UNIT_TESTS += tests/unit/test-htabvmm tests/unit/test-htabvmm-htab tests/unit/test-htabvmm-lease \
	tests/unit/test-htabvmm-state
tests_unit_test_htabvmm_SOURCES = tests/unit/test-htabvmm.c $(htabvmm_harness)
tests_unit_test_htabvmm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
tests_unit_test_htabvmm_htab_SOURCES = tests/unit/test-htabvmm-htab.c $(htabvmm_harness)
tests_unit_test_htabvmm_htab_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_htab_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
tests_unit_test_htabvmm_lease_SOURCES = tests/unit/test-htabvmm-lease.c $(htabvmm_harness)
tests_unit_test_htabvmm_lease_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_lease_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
tests_unit_test_htabvmm_state_SOURCES = tests/unit/test-htabvmm-state.c $(htabvmm_harness)
tests_unit_test_htabvmm_state_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_state_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
# Devices in the kernel, on software ones; TCE tables.
fakedev = tests/unit/fakedev.c tests/unit/fakedev.h
UNIT_TESTS += tests/unit/test-devices tests/unit/test-devices-refused \
	tests/unit/test-htabvmm-devices tests/unit/test-tce
devices_harness = tests/unit/devices-harness.c tests/unit/devices-harness.h $(fakedev)
tests_unit_test_devices_SOURCES = tests/unit/test-devices.c $(devices_harness) \
	tests/mpic-move.c tests/mpic-move.h
tests_unit_test_devices_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_devices_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
tests_unit_test_devices_refused_SOURCES = tests/unit/test-devices-refused.c $(devices_harness)
tests_unit_test_devices_refused_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_devices_refused_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
tests_unit_test_htabvmm_devices_SOURCES = tests/unit/test-htabvmm-devices.c $(fakedev) \
	$(htabvmm_harness)
tests_unit_test_htabvmm_devices_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_htabvmm_devices_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
tests_unit_test_tce_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_tce_LDADD = libhtabvmm-core.la $(CHECK_LIBS)
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
	tests/unit/test-tls-names tests/unit/test-creds \
	tests/unit/test-ktls tests/unit/test-dial tests/unit/test-qmp tests/unit/test-qmp-fds
tests_unit_test_uri_CFLAGS = $(net_test_cflags)
tests_unit_test_uri_LDADD = $(net_test_libs)
tests_unit_test_stream_SOURCES = tests/unit/test-stream.c $(net_test_harness)
tests_unit_test_stream_CFLAGS = $(net_test_cflags)
tests_unit_test_stream_LDADD = $(net_test_libs)
tests_unit_test_tls_SOURCES = tests/unit/test-tls.c $(net_test_harness)
tests_unit_test_tls_CFLAGS = $(net_test_cflags)
tests_unit_test_tls_LDADD = $(net_test_libs)
tests_unit_test_creds_SOURCES = tests/unit/test-creds.c $(net_test_harness)
tests_unit_test_creds_CFLAGS = $(net_test_cflags)
tests_unit_test_creds_LDADD = $(net_test_libs)
tests_unit_test_tls_names_CFLAGS = $(net_test_cflags)
tests_unit_test_tls_names_LDADD = libnet.la $(CHECK_LIBS) $(OPENSSL_LIBS)
tests_unit_test_ktls_SOURCES = tests/unit/test-ktls.c $(net_test_harness)
tests_unit_test_ktls_CFLAGS = $(net_test_cflags)
tests_unit_test_ktls_LDADD = $(net_test_libs)
tests_unit_test_dial_SOURCES = tests/unit/test-dial.c $(net_test_harness)
tests_unit_test_dial_CFLAGS = $(net_test_cflags)
tests_unit_test_dial_LDADD = $(net_test_libs)
UNIT_TESTS += tests/unit/test-text
tests_unit_test_text_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_text_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-foreign
tests_unit_test_foreign_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_foreign_LDADD = libbase.la libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-jsonread
tests_unit_test_jsonread_CFLAGS = $(net_test_cflags) $(JSON_CFLAGS)
tests_unit_test_jsonread_LDADD = libjsonread.la $(CHECK_LIBS)
qmp_harness = tests/unit/qmp-harness.c tests/unit/qmp-harness.h $(net_test_harness)
tests_unit_test_qmp_SOURCES = tests/unit/test-qmp.c $(qmp_harness)
tests_unit_test_qmp_CFLAGS = $(net_test_cflags) $(JSON_CFLAGS)
tests_unit_test_qmp_LDADD = libqmp.la $(net_test_libs) $(JSON_LIBS)
tests_unit_test_qmp_fds_SOURCES = tests/unit/test-qmp-fds.c $(qmp_harness)
tests_unit_test_qmp_fds_CFLAGS = $(net_test_cflags) $(JSON_CFLAGS)
tests_unit_test_qmp_fds_LDADD = libqmp.la $(net_test_libs) $(JSON_LIBS)
endif

if HAVE_CHECK
flow_test_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS) $(EVENT_CFLAGS)
flow_test_libs = libflow.la libnet.la libtestca.la libbase.la libproto.la \
	$(CHECK_LIBS) $(EVENT_LIBS) $(OPENSSL_LIBS)
EXTRA_DIST += tests/unit/flow-model.h tests/unit/flow-channel.h
UNIT_TESTS += tests/unit/test-flow-parts
tests_unit_test_flow_parts_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_parts_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-sendring
tests_unit_test_sendring_CFLAGS = $(flow_test_cflags)
tests_unit_test_sendring_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow-wake
tests_unit_test_flow_wake_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_wake_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-link
tests_unit_test_link_CFLAGS = $(flow_test_cflags)
tests_unit_test_link_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow-sim
tests_unit_test_flow_sim_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_sim_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow-channels
tests_unit_test_flow_channels_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_channels_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow-generation
tests_unit_test_flow_generation_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_generation_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow-steps
tests_unit_test_flow_steps_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_steps_LDADD = $(flow_test_libs)
UNIT_TESTS += tests/unit/test-flow
tests_unit_test_flow_SOURCES = tests/unit/test-flow.c $(net_test_harness)
tests_unit_test_flow_CFLAGS = $(flow_test_cflags)
tests_unit_test_flow_LDADD = $(flow_test_libs)
# Compiles daemon/flow/htabio.c in, with the system calls of a POWER host replaced.
UNIT_TESTS += tests/unit/test-htabio
tests_unit_test_htabio_CFLAGS = $(flow_test_cflags)
tests_unit_test_htabio_LDADD = libbase.la libproto.la $(CHECK_LIBS)
endif

# Nothing is lost, and never two: see the head of each.
if HAVE_CHECK
handover_helpers = \
	tests/integration/handover.c tests/integration/handover.h \
	tests/integration/relay.c tests/integration/relay.h
INTEGRATION_TESTS += tests/integration/test-recover
tests_integration_test_recover_SOURCES = tests/integration/test-recover.c $(handover_helpers)
tests_integration_test_recover_CFLAGS = $(integration_cflags)
tests_integration_test_recover_LDADD = libharness.la libbase.la libproto.la $(htab_migrated_LDADD)
claim_helpers = \
	tests/integration/claim.c tests/integration/claim.h \
	tests/integration/hostile.c tests/integration/hostile.h
INTEGRATION_TESTS += tests/integration/test-resume
tests_integration_test_resume_SOURCES = tests/integration/test-resume.c $(claim_helpers)
tests_integration_test_resume_CFLAGS = $(integration_cflags)
tests_integration_test_resume_LDADD = libharness.la libbase.la libproto.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-pause
tests_integration_test_pause_SOURCES = tests/integration/test-pause.c $(claim_helpers) \
	$(handover_helpers)
tests_integration_test_pause_CFLAGS = $(integration_cflags)
tests_integration_test_pause_LDADD = libharness.la libbase.la libproto.la
INTEGRATION_TESTS += tests/integration/test-strangers
tests_integration_test_strangers_SOURCES = tests/integration/test-strangers.c $(claim_helpers) \
	tests/integration/mask.c tests/integration/mask.h
tests_integration_test_strangers_CFLAGS = $(integration_cflags) $(OPENSSL_CFLAGS)
tests_integration_test_strangers_LDADD = \
	libharness.la libproto.la libbase.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-reopen
tests_integration_test_reopen_SOURCES = tests/integration/test-reopen.c $(claim_helpers) \
	$(handover_helpers)
tests_integration_test_reopen_CFLAGS = $(integration_cflags)
tests_integration_test_reopen_LDADD = libharness.la libbase.la libproto.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-time
tests_integration_test_time_SOURCES = tests/integration/test-time.c \
	tests/integration/hostile.c tests/integration/hostile.h
tests_integration_test_time_CFLAGS = $(integration_cflags)
tests_integration_test_time_LDADD = libharness.la libbase.la libproto.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-farewell
tests_integration_test_farewell_SOURCES = tests/integration/test-farewell.c \
	tests/integration/hostile.c tests/integration/hostile.h $(handover_helpers)
tests_integration_test_farewell_CFLAGS = $(integration_cflags)
tests_integration_test_farewell_LDADD = \
	libharness.la libbase.la libproto.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-handover
tests_integration_test_handover_SOURCES = tests/integration/test-handover.c $(handover_helpers)
tests_integration_test_handover_CFLAGS = \
	$(integration_cflags) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS) $(SYSTEMD_CFLAGS)
tests_integration_test_handover_LDADD = libharness.la $(htab_migrated_LDADD)
INTEGRATION_TESTS += tests/integration/test-crowd
tests_integration_test_crowd_SOURCES = tests/integration/test-crowd.c $(handover_helpers)
tests_integration_test_crowd_CFLAGS = $(integration_cflags)
tests_integration_test_crowd_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-migrations
tests_integration_test_migrations_CFLAGS = $(integration_cflags)
tests_integration_test_migrations_LDADD = libharness.la
INTEGRATION_TESTS += tests/integration/test-restart
tests_integration_test_restart_SOURCES = tests/integration/test-restart.c $(handover_helpers)
tests_integration_test_restart_CFLAGS = $(integration_cflags)
tests_integration_test_restart_LDADD = libharness.la
endif

# A vCPU's state between two KVMs; for tests/powernv/state-kvm.test.sh.
if POWER_KVM
noinst_PROGRAMS += tests/powernv/state-kvm
tests_powernv_state_kvm_SOURCES = \
	tests/powernv/state-kvm.c tests/powernv/state-kvm.h \
	tests/powernv/state-kvm-fill.c \
	tests/powernv/state-kvm-guest.S \
	tests/powernv/state-kvm-hostile.c \
	tests/powernv/state-kvm-lib.c \
	tests/powernv/state-kvm-pr.c
tests_powernv_state_kvm_LDADD = libpowerkvm.la libhtabvmm-core.la
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

# An x86 guest's TSC between two VMs: on this machine's /dev/kvm, where it has one that works, and on
# the emulated host of tests/x86/boot.sh.
if X86_64
INTEGRATION_TESTS += tests/x86/test-kvm-tsc
tests_x86_test_kvm_tsc_LDADD = libhtabvmm-core.la
endif

# The kernel's devices between two VMs; for tests/powernv/kvm-devices.test.sh.
if POWER_KVM
noinst_PROGRAMS += tests/powernv/kvm-devices
tests_powernv_kvm_devices_SOURCES = tests/powernv/kvm-devices.c
tests_powernv_kvm_devices_LDADD = libpowerkvm.la libhtabvmm-core.la
endif

# The formats: every message and its limits, and the bytes that docs/protocol.md shows.
wire_cases = tests/unit/wire-cases.c tests/unit/wire-cases.h
wire_sample = $(wire_cases) tests/unit/wire-sample.c tests/unit/wire-sample.h
if HAVE_CHECK
EXTRA_DIST += $(golden_files)
golden_harness = tests/unit/golden-harness.c tests/unit/golden-harness.h
UNIT_TESTS += tests/unit/test-wire tests/unit/test-wire-fields tests/unit/test-wire-frames \
	tests/unit/test-golden \
	tests/unit/test-golden-vmm
tests_unit_test_wire_SOURCES = tests/unit/test-wire.c $(wire_sample)
tests_unit_test_wire_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_wire_LDADD = libproto.la $(CHECK_LIBS)
tests_unit_test_wire_fields_SOURCES = tests/unit/test-wire-fields.c $(wire_sample)
tests_unit_test_wire_fields_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_wire_fields_LDADD = libproto.la $(CHECK_LIBS)
tests_unit_test_wire_frames_SOURCES = tests/unit/test-wire-frames.c $(wire_cases)
tests_unit_test_wire_frames_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_wire_frames_LDADD = libproto.la $(CHECK_LIBS)
tests_unit_test_golden_SOURCES = tests/unit/test-golden.c $(golden_harness) $(wire_cases)
tests_unit_test_golden_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_golden_LDADD = libhptecodec.la libproto.la $(CHECK_LIBS)
tests_unit_test_golden_vmm_SOURCES = tests/unit/test-golden-vmm.c $(golden_harness)
tests_unit_test_golden_vmm_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_golden_vmm_LDADD = libproto.la $(CHECK_LIBS)
UNIT_TESTS += tests/unit/test-proto-devstate
tests_unit_test_proto_devstate_SOURCES = tests/unit/test-proto-devstate.c $(golden_harness)
tests_unit_test_proto_devstate_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_proto_devstate_LDADD = libproto.la $(CHECK_LIBS)
endif
golden_files = tests/golden

# The daemon's parts that need no socket.
if HAVE_CHECK
daemon_test_cflags = $(libdaemon_la_CFLAGS) $(CHECK_CFLAGS)
daemon_test_libs = libdaemon.la libflow.la libqmp.la libnet.la libbase.la libproto.la \
	$(CHECK_LIBS) $(EVENT_LIBS) $(JSON_LIBS) $(OPENSSL_LIBS) $(SYSTEMD_LIBS)
UNIT_TESTS += tests/unit/test-converge tests/unit/test-params tests/unit/test-migration \
	tests/unit/test-limits tests/unit/test-notekey tests/unit/test-share
UNIT_TESTS += tests/unit/test-allow
tests_unit_test_allow_CFLAGS = $(daemon_test_cflags)
tests_unit_test_allow_LDADD = $(daemon_test_libs)
tests_unit_test_share_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_share_LDADD = libbase.la $(CHECK_LIBS)
tests_unit_test_notekey_CFLAGS = $(daemon_test_cflags)
tests_unit_test_notekey_LDADD = libdaemon.la libbase.la libproto.la $(CHECK_LIBS) $(OPENSSL_LIBS)
UNIT_TESTS += tests/unit/test-settings
tests_unit_test_settings_CFLAGS = $(daemon_test_cflags)
tests_unit_test_settings_LDADD = $(daemon_test_libs)
tests_unit_test_limits_CFLAGS = $(daemon_test_cflags)
tests_unit_test_limits_LDADD = libdaemon.la libbase.la libproto.la $(CHECK_LIBS)
tests_unit_test_converge_CFLAGS = $(daemon_test_cflags)
tests_unit_test_converge_LDADD = libdaemon.la $(CHECK_LIBS)
tests_unit_test_params_CFLAGS = $(daemon_test_cflags)
tests_unit_test_params_LDADD = $(daemon_test_libs)
tests_unit_test_migration_CFLAGS = $(daemon_test_cflags)
tests_unit_test_migration_LDADD = $(daemon_test_libs)
# What htabctl dump reads.
UNIT_TESTS += tests/unit/test-dumptable
tests_unit_test_dumptable_SOURCES = tests/unit/test-dumptable.c $(golden_harness) \
	tools/htabctl/dumpstat.c tools/htabctl/dumptable.c
tests_unit_test_dumptable_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS) $(ZSTD_CFLAGS)
tests_unit_test_dumptable_LDADD = libsaved.la libbase.la libproto.la $(CHECK_LIBS) $(ZSTD_LIBS)
# A guest in a file.
UNIT_TESTS += tests/unit/test-publish
tests_unit_test_publish_SOURCES = tests/unit/test-publish.c $(golden_harness)
tests_unit_test_publish_CFLAGS = $(daemon_test_cflags)
tests_unit_test_publish_LDADD = $(daemon_test_libs)
UNIT_TESTS += tests/unit/test-savefile
tests_unit_test_savefile_SOURCES = tests/unit/test-savefile.c $(golden_harness)
tests_unit_test_savefile_CFLAGS = $(daemon_test_cflags)
tests_unit_test_savefile_LDADD = $(daemon_test_libs)
# Connections to other daemons and to VMMs.
UNIT_TESTS += tests/unit/test-peer tests/unit/test-vm tests/unit/test-vm-requests
tests_unit_test_peer_SOURCES = tests/unit/test-peer.c $(net_test_harness)
tests_unit_test_peer_CFLAGS = $(daemon_test_cflags)
tests_unit_test_peer_LDADD = $(daemon_test_libs) libtestca.la
vm_harness = tests/unit/vm-harness.c tests/unit/vm-harness.h $(net_test_harness)
tests_unit_test_vm_SOURCES = tests/unit/test-vm.c $(vm_harness)
tests_unit_test_vm_CFLAGS = $(daemon_test_cflags)
tests_unit_test_vm_LDADD = $(daemon_test_libs) libtestca.la
tests_unit_test_vm_requests_SOURCES = tests/unit/test-vm-requests.c $(vm_harness)
tests_unit_test_vm_requests_CFLAGS = $(daemon_test_cflags)
tests_unit_test_vm_requests_LDADD = $(daemon_test_libs) libtestca.la
endif

# libFuzzer (--enable-fuzzing, clang): each target compiles what it looks at, with coverage.
# `make fuzz-smoke` runs each for FUZZ_RUNS inputs, from the golden files where they are its kind.
FUZZ_RUNS = 200000
if FUZZING
FUZZ_TARGETS = tests/fuzz/fuzz-htab tests/fuzz/fuzz-wire tests/fuzz/fuzz-vmm \
	tests/fuzz/fuzz-state tests/fuzz/fuzz-qmp tests/fuzz/fuzz-hptecodec tests/fuzz/fuzz-file
noinst_PROGRAMS += $(FUZZ_TARGETS)
fuzz_flags = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE
tests_fuzz_fuzz_htab_SOURCES = tests/fuzz/fuzz-htab.c proto/htab.c proto/tlb.c
tests_fuzz_fuzz_htab_CFLAGS = $(AM_CFLAGS) $(fuzz_flags)
fuzz_proto_state = proto/booke.c proto/devstate.c proto/onereg.c proto/state.c proto/tlb.c
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz-wire.c $(wire_cases) $(fuzz_proto_state) \
	proto/htab.c proto/processor.c proto/text.c proto/wire.c
tests_fuzz_fuzz_wire_CFLAGS = $(AM_CFLAGS) $(fuzz_flags)
tests_fuzz_fuzz_vmm_SOURCES = tests/fuzz/fuzz-vmm.c $(fuzz_proto_state) proto/htab.c \
	proto/processor.c proto/text.c proto/vmm.c
tests_fuzz_fuzz_vmm_CFLAGS = $(AM_CFLAGS) $(fuzz_flags)
tests_fuzz_fuzz_state_SOURCES = tests/fuzz/fuzz-state.c $(fuzz_proto_state)
tests_fuzz_fuzz_state_CFLAGS = $(AM_CFLAGS) $(fuzz_flags)
tests_fuzz_fuzz_qmp_SOURCES = tests/fuzz/fuzz-qmp.c daemon/qmp/json.c daemon/qmp/check.c \
	common/err.c common/jsonread.c proto/text.c
tests_fuzz_fuzz_qmp_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS) $(fuzz_flags)
tests_fuzz_fuzz_qmp_LDADD = $(JSON_LIBS)
tests_fuzz_fuzz_hptecodec_SOURCES = tests/fuzz/fuzz-hptecodec.c proto/hptecodec.c proto/planes.c
tests_fuzz_fuzz_hptecodec_CFLAGS = $(AM_CFLAGS) $(ZSTD_CFLAGS) $(fuzz_flags)
tests_fuzz_fuzz_hptecodec_LDADD = $(ZSTD_LIBS)
tests_fuzz_fuzz_file_SOURCES = tests/fuzz/fuzz-file.c proto/file.c proto/hpte.c proto/htab.c \
	proto/booke.c proto/devstate.c proto/onereg.c proto/processor.c proto/state.c proto/text.c proto/tlb.c \
	proto/wire.c
tests_fuzz_fuzz_file_CFLAGS = $(AM_CFLAGS) $(fuzz_flags)

fuzz-smoke: $(FUZZ_TARGETS)
	$(AM_V_at)for t in $(FUZZ_TARGETS); do \
		kind=$${t##*/fuzz-}; corpus=tests/fuzz/corpus-$$kind; \
		rm -rf $$corpus && mkdir -p $$corpus || exit 1; \
		for f in $(srcdir)/tests/golden/*.hex; do \
			name=$$(basename $$f .hex); \
			case $$kind:$$name in \
			htab:records|htab:records-tlb) lead='\000' ;; \
			hptecodec:hpte) lead='\000' ;; \
			hptecodec:records) lead='\001' ;; \
			*:hpte) continue ;; \
			file:saved-file) lead= ;; \
			*:saved-file) continue ;; \
			vmm:vmm-*|vmm:htabsock-*|state:state-image|state:state-devices) lead= ;; \
			*:vmm-*|*:htabsock-*|*:state-image|*:state-devices|*:records*|*:registers*) \
				continue ;; \
			wire:*) lead= ;; \
			*) continue ;; \
			esac; \
			bytes=$$(sed 's/#.*//; s/ *\([0-9a-f][0-9a-f]\) */\\x\1/g' $$f | tr -d '\n'); \
			env printf "$$lead$$bytes" >$$corpus/$$name || exit 1; \
		done; \
		echo "  FUZZ     $$t"; \
		$(builddir)/$$t -runs=$(FUZZ_RUNS) -seed=1 -max_len=8192 -close_fd_mask=1 \
			-artifact_prefix=tests/fuzz/ $$corpus >$$t.log 2>&1 || \
			{ tail -n 40 $$t.log; exit 1; }; \
	done
else
fuzz-smoke:
	@echo "configure with --enable-fuzzing and CC=clang for this" >&2; exit 1
endif
.PHONY: fuzz-smoke

EXTRA_DIST += tests/go-qmp/main.go
