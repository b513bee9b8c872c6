# SPDX-License-Identifier: Apache-2.0
# Tests of expiry and migration.
ttl_fixture = ttl_fixture.c ttl_fixture.h engine_fixture.c engine_fixture.h
check_PROGRAMS += test_expiry test_expiry_space test_drop_state test_migrate \
	test_times
test_expiry_SOURCES = test_expiry.c $(ttl_fixture)
test_expiry_space_SOURCES = test_expiry_space.c $(ttl_fixture)
test_drop_state_SOURCES = test_drop_state.c $(ttl_fixture)
test_migrate_SOURCES = test_migrate.c $(ttl_fixture)
test_times_SOURCES = test_times.c memstore.c memstore.h
EXTRA_DIST += golden/manifest-v2
