# SPDX-License-Identifier: Apache-2.0
snapshot_fixture = snapshot_fixture.c snapshot_fixture.h watched_store.c \
  watched_store.h engine_fixture.c engine_fixture.h
check_PROGRAMS += test_snapshots
test_snapshots_SOURCES = test_snapshots.c $(snapshot_fixture) faulty_host.h
check_PROGRAMS += test_snapshot_lives
test_snapshot_lives_SOURCES = test_snapshot_lives.c $(snapshot_fixture)
check_PROGRAMS += test_hosted
test_hosted_SOURCES = test_hosted.c host_manager.c host_manager.h \
  $(snapshot_fixture) faulty_host.h
