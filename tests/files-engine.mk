check_PROGRAMS += test_engine
test_engine_SOURCES = test_engine.c
check_PROGRAMS += test_engine_edge
test_engine_edge_SOURCES = test_engine_edge.c engine_fixture.c \
  engine_fixture.h
check_PROGRAMS += test_one_key
test_one_key_SOURCES = test_one_key.c engine_fixture.c engine_fixture.h
check_PROGRAMS += test_engine_limits
test_engine_limits_SOURCES = test_engine_limits.c engine_fixture.c \
  engine_fixture.h
check_PROGRAMS += test_slices
test_slices_SOURCES = test_slices.c engine_fixture.c engine_fixture.h
check_PROGRAMS += test_lists
test_lists_SOURCES = test_lists.c engine_fixture.c engine_fixture.h
