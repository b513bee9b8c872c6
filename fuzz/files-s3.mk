# Fuzz target of the XML that S3 servers send.
fuzz_programs += fuzz_s3_xml
fuzz_s3_xml_SOURCES = fuzz_s3_xml.c fuzz_bounded.h
fuzz_s3_xml_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) $(LDADD)
EXTRA_DIST += corpus/fuzz_s3_xml
