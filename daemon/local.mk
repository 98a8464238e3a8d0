# daemon/: see HACKING.md

# The two flows of page-table entries. Needs libnet (streams), libbase and libproto.
noinst_LTLIBRARIES += libflow.la
libflow_la_SOURCES = \
	daemon/bucket.c daemon/bucket.h \
	daemon/chunk.c daemon/chunk.h \
	daemon/flow.c daemon/flow.h \
	daemon/flow_stream.c \
	daemon/htabio.c daemon/htabio.h \
	daemon/inflow.c daemon/inflow.h \
	daemon/link.c daemon/link.h \
	daemon/meter.h \
	daemon/notify.c daemon/notify.h \
	daemon/outflow.c daemon/outflow.h \
	daemon/reader.c daemon/reader.h \
	daemon/receiver.c daemon/receiver.h \
	daemon/recvring.c daemon/recvring.h \
	daemon/sender.c daemon/sender.h \
	daemon/sendring.c daemon/sendring.h \
	daemon/stripe.h \
	daemon/verify.c daemon/verify.h \
	daemon/writer.c daemon/writer.h
libflow_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
libflow_la_LIBADD = libsaved.la

# The daemon's own: everything but main(), so that tests can link it.
noinst_LTLIBRARIES += libdaemon.la
libdaemon_la_SOURCES = \
	daemon/accept.c daemon/accept.h \
	daemon/allow.c daemon/allow.h \
	daemon/arrive.c \
	daemon/change.c daemon/change.h \
	daemon/commands.c daemon/commands.h \
	daemon/commands_find.c daemon/commands_impl.h daemon/commands_query.c \
	daemon/connect.c \
	daemon/converge.c daemon/converge.h \
	daemon/cookie.c daemon/cookie.h \
	daemon/creds.c daemon/creds.h \
	daemon/decide.c \
	daemon/dest.c daemon/dest.h \
	daemon/dumphtab.c daemon/dumphtab.h \
	daemon/filepath.c daemon/filepath.h \
	daemon/handover.c \
	daemon/incoming.c daemon/incoming.h \
	daemon/job.c daemon/job.h \
	daemon/limits.c daemon/limits.h \
	daemon/load.c daemon/load.h \
	daemon/loadfile.c daemon/loadfile.h \
	daemon/log.c daemon/log.h \
	daemon/migration.c daemon/migration.h \
	daemon/agreed.c daemon/agreed.h \
	daemon/notekey.c daemon/notekey.h \
	daemon/params.c daemon/params.h \
	daemon/peer.c daemon/peer.h \
	daemon/save.c daemon/save.h \
	daemon/savefile.c daemon/savefile.h \
	daemon/recover.c \
	daemon/farewell.c daemon/farewell.h \
	daemon/latesock.c daemon/latesock.h \
	daemon/rejoin.c \
	daemon/reopen.c \
	daemon/report.c daemon/report.h \
	daemon/server.c daemon/server.h \
	daemon/service.c daemon/service.h \
	daemon/settings.c daemon/settings.h \
	daemon/source.c daemon/source.h \
	daemon/switchover.c \
	daemon/unresolved.c daemon/unresolved.h \
	daemon/vm.c daemon/vm.h \
	daemon/vm_impl.h daemon/vms.c \
	daemon/vmstate.c daemon/vmstate.h
libdaemon_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS) $(OPENSSL_CFLAGS) $(SYSTEMD_CFLAGS)

# The QMP server; it knows nothing of migrations.
noinst_LTLIBRARIES += libqmp.la
libqmp_la_SOURCES = \
	daemon/qmp.c daemon/qmp.h \
	daemon/qmp_check.c \
	daemon/qmp_client.c daemon/qmp_client.h \
	daemon/qmp_impl.h \
	daemon/qmp_json.c
libqmp_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS)
libqmp_la_LIBADD = libjsonread.la

sbin_PROGRAMS += htab-migrated
htab_migrated_SOURCES = daemon/main.c
htab_migrated_CFLAGS = $(libdaemon_la_CFLAGS)
htab_migrated_LDADD = libdaemon.la libflow.la libqmp.la libnet.la libbase.la libproto.la \
	$(EVENT_LIBS) $(JSON_LIBS) $(OPENSSL_LIBS) $(SYSTEMD_LIBS)
