# proto/: formats and nothing else.
noinst_LTLIBRARIES += libproto.la
libproto_la_SOURCES = \
	proto/htab.c proto/htab.h \
	proto/ident.c proto/ident.h \
	proto/pack.h \
	proto/state.c proto/state.h \
	proto/vmm.c proto/vmm.h \
	proto/wire.c proto/wire.h
