# tools/: see HACKING.md

# A QMP client, shared by htabctl and the integration tests; and what htabctl prints.
noinst_LTLIBRARIES += libctl.la
libctl_la_SOURCES = \
	tools/output.c tools/output.h \
	tools/progress.c tools/progress.h \
	tools/qmpclient.c tools/qmpclient.h
libctl_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
libctl_la_LIBADD = libbase.la $(JSON_LIBS)

bin_PROGRAMS += htabctl
htabctl_SOURCES = \
	tools/htabctl.c tools/htabctl.h \
	tools/htabctl_migrate.c \
	tools/htabctl_set.c \
	tools/htabctl_show.c
htabctl_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
htabctl_LDADD = libctl.la
