# SPDX-License-Identifier: Apache-2.0
# Tests of canonical savepoints.
check_PROGRAMS += test_canonical test_canonical_store test_canonical_engine
test_canonical_SOURCES = test_canonical.c canonical_fixture.c \
	canonical_fixture.h fake_host.c fake_host.h
test_canonical_store_SOURCES = test_canonical_store.c canonical_fixture.c \
	canonical_fixture.h memstore.c memstore.h
test_canonical_engine_SOURCES = test_canonical_engine.c engine_fixture.c \
	engine_fixture.h
noinst_PROGRAMS += canonical_tool
canonical_tool_SOURCES = canonical_tool.c canonical_fixture.c \
	canonical_fixture.h
dist_check_SCRIPTS += test-canonical.sh
EXTRA_DIST += read_canonical.py
