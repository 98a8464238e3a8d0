# proto/: formats and nothing else.
noinst_LTLIBRARIES += libproto.la
libproto_la_SOURCES = \
	proto/booke.c proto/booke.h \
	proto/devstate.c proto/devstate.h \
	proto/file.c proto/file.h \
	proto/hpte.c proto/hpte.h \
	proto/htab.c proto/htab.h \
	proto/ident.c proto/ident.h \
	proto/muldiv.h \
	proto/onereg.c proto/onereg.h \
	proto/pack.h \
	proto/processor.c proto/processor.h \
	proto/state.c proto/state.h \
	proto/timebase.c proto/timebase.h \
	proto/clocksync.c proto/clocksync.h \
	proto/text.c proto/text.h \
	proto/tlb.c proto/tlb.h \
	proto/vmm.c proto/vmm.h \
	proto/wire.c proto/wire.h

# The HPTE codec: apart, since libhtabvmm does without zstd.
noinst_LTLIBRARIES += libhptecodec.la
libhptecodec_la_SOURCES = \
	proto/hptecodec.c proto/hptecodec.h \
	proto/hptemodel.h \
	proto/planes.c proto/planes.h
libhptecodec_la_CFLAGS = $(AM_CFLAGS) $(ZSTD_CFLAGS)
libhptecodec_la_LIBADD = $(ZSTD_LIBS)
