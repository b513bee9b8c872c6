# Fuzz target of segments.
fuzz_programs += fuzz_segment
fuzz_segment_SOURCES = fuzz_segment.c
EXTRA_DIST += corpus/fuzz_segment
