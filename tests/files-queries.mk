# SPDX-License-Identifier: Apache-2.0
# Tests of what sbctl reads, compares, serves and reports.
noinst_PROGRAMS += queries_fixture
queries_fixture_SOURCES = queries_fixture.c

dist_check_SCRIPTS += test-sbctl-queries.sh test-sbctl-flink.sh \
	test-sbctl-serve.sh test-sbctl-savepoint.sh
EXTRA_DIST += flink_metadata.py golden/flink-1.20/_metadata
