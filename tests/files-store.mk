# Tests of the store layer, the local plugin and the filters. The program is
# tests/conformance: no directory of that name.
conformance_sources = \
	conformance.c conformance.h \
	conformance_changes.c \
	conformance_conditions.c \
	conformance_lists.c \
	conformance_objects.c \
	conformance_races.c \
	conformance_raw.c \
	conformance_streams.c

noinst_PROGRAMS += conformance
conformance_SOURCES = $(conformance_sources)
conformance_LDADD = $(core_libs) $(uninstalled_libs)

# The same for third parties, without a path into the build tree.
bin_PROGRAMS += sb-conformance
sb_conformance_SOURCES = $(conformance_sources)
sb_conformance_LDADD = $(core_libs)
sb_conformance_LDFLAGS =

check_PROGRAMS += test_local test_local_faults test_store test_filters
test_local_SOURCES = test_local.c store_fixture.c store_fixture.h
test_local_faults_SOURCES = test_local_faults.c \
	store_fixture.c store_fixture.h
# Its system calls stand in for the plugin's.
test_local_faults_LDFLAGS = $(AM_LDFLAGS) -rdynamic
test_store_SOURCES = test_store.c store_fixture.c store_fixture.h
test_filters_SOURCES = test_filters.c store_fixture.c store_fixture.h

dist_check_SCRIPTS += test-conformance.sh test-local-faults.sh
