/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of jobs share: a store in memory, a host, parts with manifests
 * that name objects which exist, and the check that whatever is listed can be
 * read whole.
 */
#ifndef TESTS_JOB_FIXTURE_H
#define TESTS_JOB_FIXTURE_H

#include "host/engine/job.h"
#include "host/engine/manifest.h"
#include "tests/memstore.h"

#define FIXTURE_BOTH (SB_STORE_CREATE | SB_STORE_MATCH)
#define FIXTURE_NAMES 16
#define FIXTURE_PARTS 4

typedef struct fixture {
  memhost host;
  memstore *store;
  paths paths;
  job_env env;
  uint64_t sequence; /* of segments made */
  const char *job, *job_id; /* whose: "j" and "id" at first */
} fixture;

void fixture_init(fixture *f, uint32_t store_flags, uint64_t seed);
/* Fails the test if memory has leaked. */
void fixture_dispose(fixture *f);

/* A part in the making: names that its manifest will have. */
typedef struct fixture_part {
  char segments[FIXTURE_NAMES][PATH_SIZE];
  char held[FIXTURE_NAMES][PATH_SIZE];
  char dropped[FIXTURE_NAMES][PATH_SIZE];
  size_t segment_count, held_count, dropped_count;
  int named; /* the manifest is an object of its own */
} fixture_part;

/* Puts a new segment on the store; its name is the answer, valid until the
   next 64 calls. */
const char *fixture_segment(fixture *f, uint64_t generation);
void fixture_add(fixture_part *p, const char *segment);
void fixture_hold(fixture_part *p, const char *segment);
void fixture_drop(fixture_part *p, const char *segment);

/* Commits `count` parts; the blob is the id. */
sb_status fixture_commit(fixture *f, sb_job *job, uint64_t id,
                         const fixture_part *parts, size_t count,
                         sb_error *err);
/* One part with one new segment each time. */
sb_status fixture_commit_new(fixture *f, sb_job *job, uint64_t id);
sb_job *fixture_takeover(fixture *f, uint32_t retain);

/* Adds the segments of a part that was read. */
void fixture_restore(fixture *f, const sb_part *part, fixture_part *to);
/* All that an opened checkpoint names must be there; the blob is its id. */
void fixture_check(fixture *f, const sb_checkpoint *c);

/* Ids retained according to HEAD, newest first; the count is the answer.
   Checks that each can be opened and that all it names is there. */
size_t fixture_list(fixture *f, uint64_t *ids, size_t max);
/* All that is on the store is needed by what is listed, or is HEAD. */
int fixture_no_orphans(fixture *f);

#endif
