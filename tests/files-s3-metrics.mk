# Tests of metrics: the host's text and exporters, sbctl's, the S3 client's.
check_PROGRAMS += test_metrics test_s3_metrics
test_metrics_SOURCES = test_metrics.c prometheus.c prometheus.h
test_metrics_LDADD = $(LDADD) -lm
test_s3_metrics_SOURCES = test_s3_metrics.c prometheus.c prometheus.h \
	faulty_host.h
test_s3_metrics_LDADD = $(top_builddir)/plugins/libs3.la $(S3_LIBS) \
	$(LDADD) -lm
dist_check_SCRIPTS += test-metrics.sh
