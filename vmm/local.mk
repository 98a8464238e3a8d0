# vmm/: see HACKING.md

# The software HPT: for the simulated guest and for tests.
noinst_LTLIBRARIES += libswhpt.la
libswhpt_la_SOURCES = \
	vmm/swhpt.c vmm/swhpt.h \
	vmm/swhpt_fd.c \
	vmm/swhpt_hcall.c \
	vmm/swhpt_impl.h \
	vmm/swhpt_serve.c
libswhpt_la_LIBADD = libproto.la
