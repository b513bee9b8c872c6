# Fuzz targets of what sbctl reads of others.
fuzz_programs += fuzz_flink_metadata
fuzz_flink_metadata_SOURCES = fuzz_flink_metadata.c fuzz_bounded.h
EXTRA_DIST += corpus/fuzz_flink_metadata
