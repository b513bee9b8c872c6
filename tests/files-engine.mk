check_PROGRAMS += test_engine
test_engine_SOURCES = test_engine.c
