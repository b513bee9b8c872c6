# Calls of the s3 store where little goes wrong at the worst place.
check_PROGRAMS += test_s3_calls
test_s3_calls_SOURCES = test_s3_calls.c $(s3_fixture_sources)
test_s3_calls_LDADD = $(s3_fixture_libs)
# Its resolver stands in for the system's.
test_s3_calls_LDFLAGS = $(AM_LDFLAGS) -rdynamic
