# Tests of the store layer, the local plugin and the filters. The program is
# tests/conformance: no directory of that name.
conformance_sources = \
	conformance.c conformance.h \
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
