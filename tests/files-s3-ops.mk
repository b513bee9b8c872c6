# Tests of the S3 plugin's operations; s3_fixture is of files-s3-fault.mk.
check_PROGRAMS += test_s3_ops test_s3_uploads
test_s3_ops_SOURCES = test_s3_ops.c store_fixture.c store_fixture.h \
	$(s3_fixture_sources)
test_s3_ops_LDADD = $(s3_fixture_libs)
test_s3_uploads_SOURCES = test_s3_uploads.c $(s3_fixture_sources)
test_s3_uploads_LDADD = $(s3_fixture_libs)
