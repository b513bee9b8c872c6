# Tests of the layout `entries`. read_entries.py is a reader of its own, for
# directories and S3.
check_PROGRAMS += test_entries
test_entries_SOURCES = test_entries.c entries_check.c entries_fixture.c \
	entries_fixture.h
dist_check_SCRIPTS += test-entries.sh
EXTRA_DIST += read_entries.py
