# Tests of manifests, the commit protocol and its model.
check_PROGRAMS += test_manifest test_job test_job_delete test_job_faults \
	test_job_turn
commit_fixture = job_fixture.c job_fixture.h memstore.c memstore.h
test_manifest_SOURCES = test_manifest.c memstore.c memstore.h
test_job_SOURCES = test_job.c $(commit_fixture)
test_job_delete_SOURCES = test_job_delete.c $(commit_fixture)
test_job_faults_SOURCES = test_job_faults.c $(commit_fixture)
test_job_turn_SOURCES = test_job_turn.c
dist_check_SCRIPTS += test-model.sh
EXTRA_DIST += golden/manifest-v1
