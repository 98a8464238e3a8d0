# tests/: see HACKING.md

# Test programs are listed by kind, wherever they are described:
#	UNIT_TESTS += tests/unit/test-NAME		one process, no sockets but pairs (Check)
#	INTEGRATION_TESTS += tests/integration/test-NAME	starts our programs, talks over sockets
# `make check` runs both kinds, `make check-unit` and `make check-integration` one of them.
UNIT_TESTS =
INTEGRATION_TESTS =
TESTS += $(UNIT_TESTS) $(INTEGRATION_TESTS)
check_PROGRAMS += $(UNIT_TESTS) $(INTEGRATION_TESTS)

# What a test finds in its environment.
AM_TESTS_ENVIRONMENT = \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir;

check-unit:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS)'

check-integration:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(INTEGRATION_TESTS)'

.PHONY: check-unit check-integration

if HAVE_CHECK
UNIT_TESTS += tests/unit/test-swhpt
tests_unit_test_swhpt_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_swhpt_LDADD = libswhpt.la $(CHECK_LIBS)
endif
