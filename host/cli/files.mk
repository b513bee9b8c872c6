sb_cli_files = \
	cli/checkpoints.c \
	cli/cli.h \
	cli/commands.c \
	cli/configure.c \
	cli/grid.c \
	cli/grid.h \
	cli/help.c \
	cli/inside.c \
	cli/inside.h \
	cli/measure.c \
	cli/metrics.c \
	cli/objects.c \
	cli/plugins.c \
	cli/print.c \
	cli/print.h \
	cli/probe.c \
	cli/progress.c \
	cli/progress.h \
	cli/read.c \
	cli/rows.c \
	cli/rows.h \
	cli/rows_select.c \
	cli/sample.c \
	cli/sample.h \
	cli/sbctl.c \
	cli/verify.c \
	cli/verify.h \
	cli/verify_segment.c

# sbctl reads manifests and segments, so it is linked with the internal symbols.
bin_PROGRAMS += sbctl
sbctl_SOURCES = $(sb_cli_files)
sbctl_LDADD = libsbcore.la $(SB_LIBS) $(PTHREAD_LIBS)
