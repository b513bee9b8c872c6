man_pods += sbctl.1.pod statebackend.3.pod sb_plugin.3.pod sb-local.7.pod \
	sb-s3.7.pod sb-minio.7.pod sb-stats.7.pod sb-latency.7.pod \
	sb-fault.7.pod sb-trace.7.pod
EXTRA_DIST += refresh.sh
