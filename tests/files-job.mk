# Tests of job. kill-loop.sh and stop-loop.sh take long; test-kill-loop.sh and
# test-stop-loop.sh run them on a short input.
check_PROGRAMS += test_keygroup test_state test_coordinator
test_keygroup_SOURCES = test_keygroup.c
test_state_SOURCES = test_state.c fake_host.c fake_host.h \
	fake_keyed.c fake_keyed.h
test_coordinator_SOURCES = test_coordinator.c fake_host.c fake_host.h \
	fake_keyed.c fake_keyed.h
dist_check_SCRIPTS += test-access-log.sh test-kill-loop.sh test-stop-loop.sh
EXTRA_DIST += kill-loop.sh stop-loop.sh job-functions.sh
