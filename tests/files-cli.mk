# Tests of sbctl, of the man pages and of the completion.
noinst_PROGRAMS += sbctl_fixture
sbctl_fixture_SOURCES = sbctl_fixture.c

dist_check_SCRIPTS += test-sbctl.sh test-sbctl-checkpoints.sh test-man.sh \
	test-bench.sh
