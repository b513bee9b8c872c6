noinst_PROGRAMS += bench
bench_SOURCES = bench.c bench.h ours.c case_write.c case_read.c \
	case_checkpoint.c case_memory.c
if HAVE_ROCKSDB
bench_SOURCES += rocks.c
else
bench_SOURCES += norocks.c
endif
