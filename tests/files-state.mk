# Tests of the state layer.
state_fixture = state_fixture.c state_fixture.h
check_PROGRAMS += test_state_kinds test_state_spec test_state_ttl \
	test_state_expire test_state_walk test_state_batch test_state_faults \
	test_state_slices
test_state_kinds_SOURCES = test_state_kinds.c $(state_fixture)
test_state_spec_SOURCES = test_state_spec.c $(state_fixture)
test_state_ttl_SOURCES = test_state_ttl.c $(state_fixture)
test_state_expire_SOURCES = test_state_expire.c $(state_fixture)
test_state_walk_SOURCES = test_state_walk.c $(state_fixture)
test_state_batch_SOURCES = test_state_batch.c $(state_fixture)
test_state_faults_SOURCES = test_state_faults.c $(state_fixture)
test_state_slices_SOURCES = test_state_slices.c $(state_fixture)
