# Real servers for the s3 plugin. check-server.sh takes minutes and is a stage
# of ./check; test-s3-minio.sh is its quick part.
dist_check_SCRIPTS += test-s3-minio.sh
EXTRA_DIST += check-server.sh server-functions.sh servers
