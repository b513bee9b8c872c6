check_PROGRAMS += test_engine
test_engine_SOURCES = test_engine.c
check_PROGRAMS += test_engine_edge
test_engine_edge_SOURCES = test_engine_edge.c
