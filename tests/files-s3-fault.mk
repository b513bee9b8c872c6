# The test server, and the s3 plugin's tests of servers and networks that do
# wrong.
check_LIBRARIES += libs3server.a
libs3server_a_SOURCES = \
	http_server.c http_server.h http_text.c \
	s3_server.c s3_server.h s3_server_private.h \
	s3_server_auth.c \
	s3_server_faults.c \
	s3_server_lists.c \
	s3_server_objects.c \
	s3_server_state.c \
	s3_server_uploads.c

noinst_PROGRAMS += s3server
s3server_SOURCES = s3_server_main.c
s3server_LDADD = libs3server.a $(S3_LIBS) $(PTHREAD_LIBS)

s3_fixture_sources = s3_certificates.c s3_fixture.c s3_fixture.h
s3_fixture_libs = libs3server.a $(top_builddir)/plugins/libs3.la $(LDADD) \
	$(S3_LIBS)

check_PROGRAMS += test_s3_faults
test_s3_faults_SOURCES = test_s3_faults.c $(s3_fixture_sources)
test_s3_faults_LDADD = $(s3_fixture_libs)
# Its resolver stands in for the system's.
test_s3_faults_LDFLAGS = $(AM_LDFLAGS) -rdynamic

check_PROGRAMS += test_s3_answers
test_s3_answers_SOURCES = test_s3_answers.c $(s3_fixture_sources)
test_s3_answers_LDADD = $(s3_fixture_libs)

check_PROGRAMS += test_s3_conditions test_s3_cures test_s3_hostile
test_s3_conditions_SOURCES = test_s3_conditions.c $(s3_fixture_sources)
test_s3_conditions_LDADD = $(s3_fixture_libs)
test_s3_cures_SOURCES = test_s3_cures.c $(s3_fixture_sources)
test_s3_cures_LDADD = $(s3_fixture_libs)
test_s3_hostile_SOURCES = test_s3_hostile.c $(s3_fixture_sources)
test_s3_hostile_LDADD = $(s3_fixture_libs)

dist_check_SCRIPTS += test-s3-server.sh test-s3-secrets.sh
# It searches their logs.
test-s3-secrets.log: test_s3_answers.log test_s3_conditions.log \
	test_s3_cures.log test_s3_faults.log test_s3_hostile.log
