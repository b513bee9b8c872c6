# Tests of the S3 client's settings, endpoints and opening checks.
if HAVE_CUNIT
check_PROGRAMS += test_s3_settings test_s3_endpoint test_s3_check
endif
test_s3_settings_SOURCES = test_s3_settings.c faulty_host.h tap.h
test_s3_settings_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)
test_s3_endpoint_SOURCES = test_s3_endpoint.c tap.h
test_s3_endpoint_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)
test_s3_check_SOURCES = test_s3_check.c s3_server.h tap.h
test_s3_check_LDADD = libs3server.a $(top_builddir)/plugins/libs3.la \
	$(S3_LIBS) $(LDADD)
