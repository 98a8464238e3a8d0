# common/: what every program shares. libbase needs libc and libproto alone.
noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
	common/clock.c common/clock.h \
	common/err.c common/err.h \
	common/fd.c common/fd.h \
	common/foreign.c common/foreign.h \
	common/number.c common/number.h \
	common/share.c common/share.h \
	common/sigpipe.c common/sigpipe.h

# JSON that others wrote.
noinst_LTLIBRARIES += libjsonread.la
libjsonread_la_SOURCES = common/jsonread.c common/jsonread.h
libjsonread_la_CFLAGS = $(AM_CFLAGS) $(JSON_CFLAGS)
libjsonread_la_LIBADD = libbase.la libproto.la $(JSON_LIBS)

# How records travel, and the files in which guests are saved.
noinst_LTLIBRARIES += libsaved.la
libsaved_la_SOURCES = \
	common/codec.c common/codec.h \
	common/savedfile.c common/savedfile.h
libsaved_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS) $(ZSTD_CFLAGS)
libsaved_la_LIBADD = libhptecodec.la libbase.la libproto.la $(OPENSSL_LIBS) $(ZSTD_LIBS)

noinst_LTLIBRARIES += libnet.la
libnet_la_SOURCES = \
	common/dial.c common/dial.h \
	common/handshake.c \
	common/listener.c \
	common/net.h \
	common/resolve.c \
	common/stream.c common/stream.h \
	common/tls.c common/tls.h \
	common/tls_authz.c \
	common/tls_bio.c \
	common/tls_cert.c \
	common/tls_creds.c \
	common/tls_name.c \
	common/tls_pem.c \
	common/unixsock.c common/unixsock.h \
	common/uri.c
libnet_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(OPENSSL_CFLAGS)
libnet_la_LIBADD = libbase.la libproto.la $(EVENT_LIBS) $(OPENSSL_LIBS)
