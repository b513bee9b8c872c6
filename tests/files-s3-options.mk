# Tests that see each of the S3 plugin's options on the wire or in the store;
# s3_fixture is of files-s3-fault.mk.
options_files = options_fixture.c options_fixture.h $(s3_fixture_sources)

check_PROGRAMS += test_s3_options test_s3_options_time \
	test_s3_options_place test_s3_options_state \
	test_s3_options_credentials
test_s3_options_SOURCES = test_s3_options.c prometheus.c prometheus.h \
	$(options_files)
test_s3_options_LDADD = $(s3_fixture_libs)
test_s3_options_time_SOURCES = test_s3_options_time.c $(options_files)
test_s3_options_time_LDADD = $(s3_fixture_libs)
test_s3_options_place_SOURCES = test_s3_options_place.c options_proxy.c \
	options_proxy.h $(options_files)
test_s3_options_place_LDADD = $(s3_fixture_libs)
test_s3_options_state_SOURCES = test_s3_options_state.c $(options_files)
test_s3_options_state_LDADD = $(s3_fixture_libs)
test_s3_options_credentials_SOURCES = test_s3_options_credentials.c \
	$(options_files)
test_s3_options_credentials_LDADD = $(s3_fixture_libs)

# test-s3-secrets.sh searches these logs too.
test-s3-secrets.log: test_s3_options.log test_s3_options_time.log \
	test_s3_options_place.log test_s3_options_state.log \
	test_s3_options_credentials.log
