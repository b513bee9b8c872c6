noinst_PROGRAMS += bench
bench_SOURCES = bench.c bench.h ours.c case_timers.c timers.h \
	timers_rocks.c case_write.c case_read.c \
	case_checkpoint.c case_memory.c case_kinds.c kinds.h kinds_ours.c \
	kinds_rocks.c case_reduce.c case_namespaces.c case_visitor.c
bench_LDADD = $(LDADD) -lm
if HAVE_ROCKSDB
bench_SOURCES += rocks.c
else
bench_SOURCES += norocks.c
endif

noinst_PROGRAMS += s3bench
s3bench_SOURCES = s3bench.c s3_sink.c s3_sink.h
dist_noinst_SCRIPTS = s3-peers.sh
s3bench_LDADD = $(LDADD) $(CURL_LIBS)
