# daemon/: see HACKING.md

# The two flows of page-table entries. Needs libnet (streams), libbase and libproto.
noinst_LTLIBRARIES += libflow.la
libflow_la_SOURCES = \
	daemon/flow/bucket.c daemon/flow/bucket.h \
	daemon/flow/chunk.c daemon/flow/chunk.h \
	daemon/flow/flow.c daemon/flow/flow.h \
	daemon/flow/flow_stream.c \
	daemon/flow/htabio.c daemon/flow/htabio.h \
	daemon/flow/inflow.c daemon/flow/inflow.h \
	daemon/flow/link.c daemon/flow/link.h \
	daemon/base/meter.h \
	daemon/base/notify.c daemon/base/notify.h \
	daemon/flow/outflow.c daemon/flow/outflow.h \
	daemon/flow/reader.c daemon/flow/reader.h \
	daemon/flow/receiver.c daemon/flow/receiver.h \
	daemon/flow/recvring.c daemon/flow/recvring.h \
	daemon/flow/sender.c daemon/flow/sender.h \
	daemon/flow/sendring.c daemon/flow/sendring.h \
	daemon/flow/stripe.h \
	daemon/flow/verify.c daemon/flow/verify.h \
	daemon/flow/writer.c daemon/flow/writer.h
libflow_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS)
libflow_la_LIBADD = libsaved.la

# The daemon's own: everything but main(), so that tests can link it.
noinst_LTLIBRARIES += libdaemon.la
libdaemon_la_SOURCES = \
	daemon/net/accept.c daemon/net/accept.h \
	daemon/vms/allow.c daemon/vms/allow.h \
	daemon/dest/arrive.c \
	daemon/source/change.c daemon/source/change.h \
	daemon/control/commands.c daemon/control/commands.h \
	daemon/control/find.c daemon/control/impl.h daemon/control/query.c \
	daemon/source/connect.c \
	daemon/source/converge.c daemon/source/converge.h \
	daemon/session/cookie.c daemon/session/cookie.h \
	daemon/net/creds.c daemon/net/creds.h \
	daemon/dest/decide.c \
	daemon/dest/dest.c daemon/dest/dest.h \
	daemon/control/dumphtab.c daemon/control/dumphtab.h \
	daemon/transport/filepath.c daemon/transport/filepath.h \
	daemon/source/handover.c \
	daemon/control/incoming.c daemon/control/incoming.h \
	daemon/base/job.c daemon/base/job.h \
	daemon/base/limits.c daemon/base/limits.h \
	daemon/transport/load.c daemon/transport/load.h \
	daemon/transport/loadfile.c daemon/transport/loadfile.h \
	daemon/base/log.c daemon/base/log.h \
	daemon/session/migration.c daemon/session/migration.h \
	daemon/session/agreed.c daemon/session/agreed.h \
	daemon/session/notekey.c daemon/session/notekey.h \
	daemon/base/params.c daemon/base/params.h \
	daemon/net/peer.c daemon/net/peer.h \
	daemon/transport/save.c daemon/transport/save.h \
	daemon/transport/savefile.c daemon/transport/savefile.h \
	daemon/source/recover.c \
	daemon/source/farewell.c daemon/source/farewell.h \
	daemon/control/latesock.c daemon/control/latesock.h \
	daemon/dest/rejoin.c \
	daemon/dest/reopen.c \
	daemon/session/report.c daemon/session/report.h \
	daemon/server.c daemon/server.h \
	daemon/base/service.c daemon/base/service.h \
	daemon/settings.c daemon/settings.h \
	daemon/source/source.c daemon/source/source.h \
	daemon/source/switchover.c \
	daemon/session/unresolved.c daemon/session/unresolved.h \
	daemon/vms/vm.c daemon/vms/vm.h \
	daemon/vms/vm_impl.h daemon/vms/vms.c \
	daemon/control/vmstate.c daemon/control/vmstate.h
libdaemon_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS) $(OPENSSL_CFLAGS) $(SYSTEMD_CFLAGS)

# The QMP server; it knows nothing of migrations.
noinst_LTLIBRARIES += libqmp.la
libqmp_la_SOURCES = \
	daemon/qmp/qmp.c daemon/qmp/qmp.h \
	daemon/qmp/check.c \
	daemon/qmp/client.c daemon/qmp/client.h \
	daemon/qmp/impl.h \
	daemon/qmp/json.c
libqmp_la_CFLAGS = $(AM_CFLAGS) $(EVENT_CFLAGS) $(JSON_CFLAGS)
libqmp_la_LIBADD = libjsonread.la

sbin_PROGRAMS += htab-migrated
htab_migrated_SOURCES = daemon/main.c
htab_migrated_CFLAGS = $(libdaemon_la_CFLAGS)
htab_migrated_LDADD = libdaemon.la libflow.la libqmp.la libnet.la libbase.la libproto.la \
	$(EVENT_LIBS) $(JSON_LIBS) $(OPENSSL_LIBS) $(SYSTEMD_LIBS)
