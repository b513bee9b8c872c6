# Tests of credentials and their sources.
creds_files = credentials_fixture.c credentials_fixture.h \
	credentials_service.c credentials_service.h \
	http_stub.c http_stub.h faulty_host.h tap.h
creds_libs = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)

if HAVE_CUNIT
check_PROGRAMS += test_s3_credentials test_s3_keys test_s3_sources \
	test_s3_roles test_s3_metadata test_s3_profiles
endif
test_s3_credentials_SOURCES = test_s3_credentials.c $(creds_files)
test_s3_credentials_LDADD = $(creds_libs)
test_s3_keys_SOURCES = test_s3_keys.c $(creds_files)
test_s3_keys_CPPFLAGS = $(AM_CPPFLAGS) \
	-DTEST_CREDENTIALS_OBJECTS='"$(abs_builddir)/.libs"'
test_s3_keys_LDADD = $(creds_libs)
test_s3_sources_SOURCES = test_s3_sources.c $(creds_files)
test_s3_sources_LDADD = $(creds_libs)
test_s3_roles_SOURCES = test_s3_roles.c $(creds_files)
test_s3_roles_LDADD = $(creds_libs)
test_s3_metadata_SOURCES = test_s3_metadata.c $(creds_files)
test_s3_metadata_LDADD = $(creds_libs)
test_s3_profiles_SOURCES = test_s3_profiles.c $(creds_files)
test_s3_profiles_LDADD = $(creds_libs)

# A provider in a shared object, for CUSTOM.
check_LTLIBRARIES += credentials_object.la
credentials_object_la_SOURCES = credentials_object.c
credentials_object_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
credentials_object_la_LIBADD =
