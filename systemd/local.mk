# systemd/: see HACKING.md
systemdsystemunit_DATA = systemd/htab-migrated.service
dist_sysusers_DATA = systemd/sysusers.d/htab-migrated.conf
dist_tmpfiles_DATA = systemd/tmpfiles.d/htab-migrated.conf
EXTRA_DIST += systemd/htab-migrated.service.in
CLEANFILES += systemd/htab-migrated.service

systemd/htab-migrated.service: systemd/htab-migrated.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && \
		sed -e 's|@sbindir[@]|$(sbindir)|g' $(srcdir)/systemd/htab-migrated.service.in >$@.tmp && \
		mv $@.tmp $@
