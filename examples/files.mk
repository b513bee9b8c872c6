# The job and its checker.
noinst_PROGRAMS += access_log
access_log_SOURCES = \
	access_log.c access_log.h \
	access_log_checkpoint.c \
	access_log_dump.c \
	access_log_line.c \
	access_log_queue.c \
	access_log_sink.c \
	access_log_source.c \
	access_log_state.c \
	access_log_subtask.c
dist_noinst_SCRIPTS += verify_access_log quickstart-job.sh
EXTRA_DIST += data plugin
