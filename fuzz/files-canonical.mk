# Fuzz target of canonical savepoints.
fuzz_programs += fuzz_canonical
fuzz_canonical_SOURCES = fuzz_canonical.c fuzz_bounded.h fuzz_seal.h
EXTRA_DIST += corpus/fuzz_canonical
