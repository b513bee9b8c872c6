sb_cli_files = \
	cli/checkpoints.c \
	cli/checkpoints.h \
	cli/cli.h \
	cli/commands.c \
	cli/configure.c \
	cli/diff.c \
	cli/diff.h \
	cli/diff_merge.c \
	cli/flink_checkpoint.c \
	cli/flink_checkpoint.h \
	cli/flink_metadata.c \
	cli/flink_metadata.h \
	cli/grid.c \
	cli/grid.h \
	cli/help.c \
	cli/html.c \
	cli/html.h \
	cli/inside.c \
	cli/inside.h \
	cli/measure.c \
	cli/metrics.c \
	cli/objects.c \
	cli/origin.c \
	cli/origin.h \
	cli/plugins.c \
	cli/print.c \
	cli/print.h \
	cli/probe.c \
	cli/progress.c \
	cli/progress.h \
	cli/read.c \
	cli/report.c \
	cli/report_figures.c \
	cli/report.h \
	cli/rows.c \
	cli/rows.h \
	cli/rows_canonical.c \
	cli/rows_print.c \
	cli/rows_select.c \
	cli/sample.c \
	cli/sample.h \
	cli/savepoints.c \
	cli/sbctl.c \
	cli/serve.c \
	cli/serve.h \
	cli/serve_answer.c \
	cli/verify.c \
	cli/verify.h \
	cli/verify_segment.c

# sbctl reads manifests and segments, so it is linked with the internal symbols.
bin_PROGRAMS += sbctl
sbctl_SOURCES = $(sb_cli_files)
sbctl_CPPFLAGS = $(AM_CPPFLAGS) $(MICROHTTPD_CFLAGS)
sbctl_LDADD = libsbcore.la $(SB_LIBS) $(MICROHTTPD_LIBS) $(PTHREAD_LIBS)
