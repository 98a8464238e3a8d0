# common/: what every program shares. libbase needs libc alone; libnet the rest.
noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	common/clock.c common/clock.h \
	common/err.c common/err.h \
	common/fd.c common/fd.h

noinst_LTLIBRARIES += libnet.la
libnet_la_SOURCES = \
	common/dial.c common/dial.h \
	common/handshake.c \
	common/listener.c \
	common/net.h \
	common/resolve.c \
	common/stream.c common/stream.h \
	common/tls.c common/tls.h \
	common/tls_cert.c \
	common/tls_creds.c \
	common/unixsock.c common/unixsock.h \
	common/uri.c
libnet_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS)
libnet_la_LIBADD = libbase.la $(EVENT_LIBS) $(OPENSSL_LIBS)
