# vmm/: see HACKING.md

# libhtabvmm, what a VMM links. The core is apart so that tests reach what is inside.
noinst_LTLIBRARIES += libhtabvmm-core.la
libhtabvmm_core_la_SOURCES = \
	vmm/htabvmm.c vmm/htabvmm.h \
	vmm/libconn.c \
	vmm/libdest.c \
	vmm/libdevice.c vmm/libdevice.h \
	vmm/libdevice_add.c \
	vmm/libdevice_load.c \
	vmm/libesb.c \
	vmm/libhtab.c \
	vmm/libkvm.h \
	vmm/libquery.c \
	vmm/libkvmdev.c vmm/libkvmdev.h \
	vmm/librecipe.c vmm/librecipe.h \
	vmm/librequest.c \
	vmm/libsession.c vmm/libsession.h \
	vmm/libsource.c \
	vmm/libstate.c \
	vmm/libtce.c vmm/libtce.h \
	vmm/libtsc.h \
	vmm/libtlb.c vmm/libtlb.h vmm/htabvmm-tlb.h \
	vmm/libtlbsock.c vmm/libtlbsock.h \
	vmm/libvmm.h \
	vmm/state_booke.h \
	vmm/state_kvm.h
state_kvm_sources = vmm/state_kvm.c vmm/state_kvm_check.c vmm/state_kvm_impl.h vmm/state_kvm_set.c \
	vmm/state_kvm_time.c
EXTRA_libhtabvmm_core_la_SOURCES = vmm/libkvm.c vmm/libkvm-none.c \
	vmm/state_booke.c vmm/state_booke-none.c $(state_kvm_sources)
if POWER_KVM
libhtabvmm_core_la_SOURCES += vmm/libkvm.c vmm/state_booke.c $(state_kvm_sources)
else
libhtabvmm_core_la_SOURCES += vmm/libkvm-none.c vmm/state_booke-none.c
endif
libhtabvmm_core_la_LIBADD = libbase.la libproto.la

lib_LTLIBRARIES += libhtabvmm.la
libhtabvmm_la_SOURCES =
libhtabvmm_la_LIBADD = libhtabvmm-core.la
libhtabvmm_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 \
	-Wl,--version-script=$(srcdir)/vmm/libhtabvmm.map
libhtabvmm_la_DEPENDENCIES = libhtabvmm-core.la vmm/libhtabvmm.map
include_HEADERS += vmm/htabvmm.h vmm/htabvmm-tlb.h
pkgconfig_DATA += vmm/libhtabvmm.pc
EXTRA_DIST += vmm/libhtabvmm.map

# A simulated guest, which goes through the same library as a real VMM.
bin_PROGRAMS += htab-simvm
htab_simvm_SOURCES = \
	vmm/hptfile.c vmm/hptfile.h \
	vmm/monitor.c vmm/monitor.h \
	vmm/simvm.c vmm/simvm.h \
	vmm/simvm_change.c \
	vmm/simvm_guest.c \
	vmm/simvm_htab.c \
	vmm/simvm_opts.c \
	vmm/simvm_state.c \
	vmm/simvm_tlb.c \
	vmm/vmmcommon.c vmm/vmmcommon.h
htab_simvm_CFLAGS = $(AM_CFLAGS) $(ZSTD_CFLAGS)
htab_simvm_LDADD = libhtabvmm-core.la libswhpt.la $(ZSTD_LIBS)

# The software HPT: for the simulated guest and for tests.
noinst_LTLIBRARIES += libswhpt.la
libswhpt_la_SOURCES = \
	vmm/swhpt.c vmm/swhpt.h \
	vmm/swhpt_entry.c \
	vmm/swhpt_fd.c \
	vmm/swhpt_hcall.c \
	vmm/swhpt_impl.h \
	vmm/swhpt_resize.c \
	vmm/swhpt_serve.c \
	vmm/swhpt_vec.h \
	vmm/swhpt_write.c
libswhpt_la_LIBADD = libproto.la

# Real KVM, POWER only: a wrapper for the small VMM and for tests.
if POWER_KVM
noinst_LTLIBRARIES += libpowerkvm.la
libpowerkvm_la_SOURCES = \
	vmm/kvm_abi_check.c \
	vmm/kvm_fill.c vmm/kvm_fill.h \
	vmm/kvm_throttle.c \
	vmm/kvm_vcpu.c \
	vmm/kvm_vm.c vmm/kvm_vm.h \
	vmm/kvm_vm_impl.h
libpowerkvm_la_LIBADD = libbase.la libproto.la

# A small VMM on it.
bin_PROGRAMS += htab-kvmvm
htab_kvmvm_SOURCES = \
	vmm/hptfile.c vmm/hptfile.h \
	vmm/kvmvm.c vmm/kvmvm.h \
	vmm/kvmvm_change.c \
	vmm/kvmvm_code.S \
	vmm/kvmvm_devices.c \
	vmm/kvmvm_dump.c \
	vmm/kvmvm_guest.c \
	vmm/kvmvm_layout.h \
	vmm/kvmvm_memory.c \
	vmm/kvmvm_opts.c \
	vmm/kvmvm_registers.c \
	vmm/monitor.c vmm/monitor.h \
	vmm/vmmcommon.c vmm/vmmcommon.h
htab_kvmvm_CFLAGS = $(AM_CFLAGS) $(ZSTD_CFLAGS)
htab_kvmvm_LDADD = libhtabvmm-core.la libpowerkvm.la $(ZSTD_LIBS)
endif
