# docs/: see HACKING.md

EXTRA_DIST += docs/architecture.md docs/control.md docs/kvm.md docs/performance.md docs/protocol.md docs/state.md

dist_man_MANS += \
	docs/htab-bench.1 \
	docs/htabctl.1 \
	docs/htab-simvm.1 \
	docs/htabvmm.3 \
	docs/htabvmm-tlb.3 \
	docs/htab-migrated.json.5 \
	docs/htab-migrated.8
if POWER_KVM
dist_man_MANS += docs/htab-kvmvm.1
else
EXTRA_DIST += docs/htab-kvmvm.1
endif
