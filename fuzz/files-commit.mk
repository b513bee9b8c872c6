# Fuzz targets of manifests, _metadata, HEAD, pins and object names.
fuzz_programs += fuzz_manifest fuzz_metadata fuzz_head
fuzz_manifest_SOURCES = fuzz_manifest.c fuzz_bounded.h fuzz_seal.h
fuzz_metadata_SOURCES = fuzz_metadata.c fuzz_bounded.h fuzz_seal.h
fuzz_head_SOURCES = fuzz_head.c fuzz_bounded.h fuzz_seal.h
EXTRA_DIST += corpus/fuzz_manifest corpus/fuzz_metadata corpus/fuzz_head
