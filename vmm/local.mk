# vmm/: see HACKING.md

# libhtabvmm, what a VMM links. The core is apart so that tests reach what is inside.
noinst_LTLIBRARIES += libhtabvmm-core.la
libhtabvmm_core_la_SOURCES = \
	vmm/lib/htabvmm.c vmm/htabvmm.h \
	vmm/lib/conn.c \
	vmm/lib/dest.c \
	vmm/device/device.c vmm/device/device.h \
	vmm/device/add.c \
	vmm/device/load.c \
	vmm/device/esb.c \
	vmm/lib/htab.c \
	vmm/kvm/kvm.h \
	vmm/lib/query.c \
	vmm/device/kvmdev.c vmm/device/kvmdev.h \
	vmm/device/recipe.c vmm/device/recipe.h \
	vmm/lib/request.c \
	vmm/lib/session.c vmm/lib/session.h \
	vmm/lib/source.c \
	vmm/lib/state.c \
	vmm/device/tce.c vmm/device/tce.h \
	vmm/device/tsc.h \
	vmm/tlb/tlb.c vmm/tlb/tlb.h vmm/htabvmm-tlb.h \
	vmm/tlb/tlbsock.c vmm/tlb/tlbsock.h \
	vmm/lib/impl.h \
	vmm/kvm/booke.h \
	vmm/kvm/state.h
state_kvm_sources = vmm/kvm/state.c vmm/kvm/state_check.c vmm/kvm/state_impl.h vmm/kvm/state_set.c \
	vmm/kvm/state_time.c
EXTRA_libhtabvmm_core_la_SOURCES = vmm/kvm/kvm.c vmm/kvm/kvm-none.c \
	vmm/kvm/booke.c vmm/kvm/booke-none.c $(state_kvm_sources)
if POWER_KVM
libhtabvmm_core_la_SOURCES += vmm/kvm/kvm.c vmm/kvm/booke.c $(state_kvm_sources)
else
libhtabvmm_core_la_SOURCES += vmm/kvm/kvm-none.c vmm/kvm/booke-none.c
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
	vmm/tool/hptfile.c vmm/tool/hptfile.h \
	vmm/tool/monitor.c vmm/tool/monitor.h \
	vmm/simvm/simvm.c vmm/simvm/simvm.h \
	vmm/simvm/change.c \
	vmm/simvm/guest.c \
	vmm/simvm/htab.c \
	vmm/simvm/opts.c \
	vmm/simvm/state.c \
	vmm/simvm/tlb.c \
	vmm/tool/options.c vmm/tool/options.h
htab_simvm_CFLAGS = $(AM_CFLAGS) $(ZSTD_CFLAGS)
htab_simvm_LDADD = libhtabvmm-core.la libswhpt.la $(ZSTD_LIBS)

# The software HPT: for the simulated guest and for tests.
noinst_LTLIBRARIES += libswhpt.la
libswhpt_la_SOURCES = \
	vmm/swhpt/swhpt.c vmm/swhpt/swhpt.h \
	vmm/swhpt/entry.c \
	vmm/swhpt/fd.c \
	vmm/swhpt/hcall.c \
	vmm/swhpt/impl.h \
	vmm/swhpt/resize.c \
	vmm/swhpt/serve.c \
	vmm/swhpt/vec.h \
	vmm/swhpt/write.c
libswhpt_la_LIBADD = libproto.la

# Real KVM, POWER only: a wrapper for the small VMM and for tests.
if POWER_KVM
noinst_LTLIBRARIES += libpowerkvm.la
libpowerkvm_la_SOURCES = \
	vmm/powerkvm/abi_check.c \
	vmm/powerkvm/fill.c vmm/powerkvm/fill.h \
	vmm/powerkvm/throttle.c \
	vmm/powerkvm/vcpu.c \
	vmm/powerkvm/vm.c vmm/powerkvm/vm.h \
	vmm/powerkvm/vm_impl.h
libpowerkvm_la_LIBADD = libbase.la libproto.la

# A small VMM on it.
bin_PROGRAMS += htab-kvmvm
htab_kvmvm_SOURCES = \
	vmm/tool/hptfile.c vmm/tool/hptfile.h \
	vmm/kvmvm/kvmvm.c vmm/kvmvm/kvmvm.h \
	vmm/kvmvm/change.c \
	vmm/kvmvm/code.S \
	vmm/kvmvm/devices.c \
	vmm/kvmvm/dump.c \
	vmm/kvmvm/guest.c \
	vmm/kvmvm/layout.h \
	vmm/kvmvm/memory.c \
	vmm/kvmvm/opts.c \
	vmm/kvmvm/registers.c \
	vmm/tool/monitor.c vmm/tool/monitor.h \
	vmm/tool/options.c vmm/tool/options.h
htab_kvmvm_CFLAGS = $(AM_CFLAGS) $(ZSTD_CFLAGS)
htab_kvmvm_LDADD = libhtabvmm-core.la libpowerkvm.la $(ZSTD_LIBS)
endif
