# The s3 and minio plugins: one table, two sets of defaults.
plugin_LTLIBRARIES += sb-s3.la sb-minio.la

sb_s3_la_SOURCES = s3/s3.c s3/table.h

sb_minio_la_SOURCES = minio/minio.c s3/table.h
