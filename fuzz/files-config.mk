# fuzz_programs += fuzz_x; fuzz_x_SOURCES = fuzz_x.c; EXTRA_DIST += corpus/fuzz_x
