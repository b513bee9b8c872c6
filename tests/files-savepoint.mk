# SPDX-License-Identifier: Apache-2.0
# Tests of claims, savepoints and rescaling.
check_PROGRAMS += test_claim test_savepoint test_rescale test_restore
test_claim_SOURCES = test_claim.c $(commit_fixture)
test_savepoint_SOURCES = test_savepoint.c $(commit_fixture)
test_rescale_SOURCES = test_rescale.c lives.c lives.h
test_restore_SOURCES = test_restore.c lives.c lives.h
