# common/: what every program shares. libbase needs libc alone; libnet the rest.
noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	common/clock.c common/clock.h \
	common/err.c common/err.h \
	common/fd.c common/fd.h
