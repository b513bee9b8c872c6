# One module a plugin: sb-NAME.la from NAME/*.c. The filters share what is in
# filter/.
plugin_LTLIBRARIES += sb-local.la
sb_local_la_SOURCES = \
	local/local.c local/local.h \
	local/store.c \
	local/op.c \
	local/path.c \
	local/file.c \
	local/object.c \
	local/list.c \
	local/lock.c \
	local/meta.c

filter_files = filter/filter.c filter/filter.h

plugin_LTLIBRARIES += sb-stats.la sb-latency.la sb-fault.la sb-trace.la
sb_stats_la_SOURCES = stats/stats.c $(filter_files)
sb_latency_la_SOURCES = latency/latency.c $(filter_files)
sb_latency_la_LIBADD = -lm
sb_fault_la_SOURCES = fault/fault.c $(filter_files)
sb_trace_la_SOURCES = trace/trace.c $(filter_files)
