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
# The small ones.
noinst_PROGRAMS += word_count top_paths join sessions
example_common = example.c example.h access_log.h access_log_line.c
word_count_SOURCES = word_count.c $(example_common)
top_paths_SOURCES = top_paths.c $(example_common)
join_SOURCES = join.c $(example_common)
sessions_SOURCES = sessions.c $(example_common)
dist_noinst_SCRIPTS += verify_access_log quickstart-job.sh
EXTRA_DIST += data plugin
EXTRA_DIST += bindings/python/statebackend.py bindings/python/word_count.py \
	bindings/rust/statebackend.rs bindings/rust/word_count.rs
