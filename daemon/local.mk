# daemon/: see HACKING.md

# The two flows of page-table entries. Needs libnet (streams), libbase and libproto.
noinst_LTLIBRARIES += libflow.la
libflow_la_SOURCES = \
	daemon/bucket.c daemon/bucket.h \
	daemon/chunk.c daemon/chunk.h \
	daemon/codec.c daemon/codec.h \
	daemon/flow.c daemon/flow.h \
	daemon/flow_stream.c \
	daemon/htabio.c daemon/htabio.h \
	daemon/inflow.c daemon/inflow.h \
	daemon/notify.c daemon/notify.h \
	daemon/outflow.c daemon/outflow.h \
	daemon/reader.c daemon/reader.h \
	daemon/receiver.c daemon/receiver.h \
	daemon/sender.c daemon/sender.h \
	daemon/verify.c daemon/verify.h \
	daemon/writer.c daemon/writer.h
libflow_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
