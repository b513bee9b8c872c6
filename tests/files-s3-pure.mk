# Tests of the S3 plugin's signer, digests and XML.
check_PROGRAMS += test_s3_sign test_s3_digest test_s3_xml
test_s3_sign_SOURCES = test_s3_sign.c fake_host.c fake_host.h
test_s3_sign_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)
test_s3_digest_SOURCES = test_s3_digest.c fake_host.c fake_host.h
test_s3_digest_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)
test_s3_xml_SOURCES = test_s3_xml.c fake_host.c fake_host.h
test_s3_xml_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)
