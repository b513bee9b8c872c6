/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that deletes objects as Flink's job manager does: what an aborted or
 * a subsumed checkpoint listed and no retained one lists, at once, and before
 * the handles hear of it. News reach them late, twice, in any order or never.
 */
#ifndef TESTS_HOST_MANAGER_H
#define TESTS_HOST_MANAGER_H

#include "snapshot_fixture.h"

#define MANAGER_HANDLES 2u
#define MANAGER_OPEN 3u
#define MANAGER_NEWS 64u

typedef struct manager_checkpoint {
  uint64_t id;
  uint32_t kind;
  int aborted;             /* but runs may still be under way */
  content at;
  uint32_t handles;
  sb_snapshot *snapshots[MANAGER_HANDLES];
  kept_part *parts[MANAGER_HANDLES];
} manager_checkpoint;

typedef struct manager {
  sb_keyed *k[MANAGER_HANDLES];
  uint32_t handles;
  content c;
  uint64_t generation, next_id;
  uint32_t retain;
  manager_checkpoint *open[MANAGER_OPEN];  /* oldest first */
  uint32_t open_count;
  manager_checkpoint *retained[3];         /* newest first */
  uint32_t retained_count;
  struct {
    uint32_t handle, what;
    uint64_t id;
  } news[MANAGER_NEWS];
  uint32_t news_count;
  sb_cursor *cursor;
  sb_view *view;
  int failures;            /* some runs fail */
  int leaves;              /* private segments may be left behind */
  unsigned completed, failed_runs;
} manager;

/* Objects that are not there though a handle or a retained part needs them. */
unsigned manager_missing(const manager *m);
void manager_discard(const manager *m, const kept_part *p);
void manager_free_checkpoint(manager *m, manager_checkpoint *c);
/* What a complete checkpoint has wrong. */
unsigned manager_wrong(manager *m, const manager_checkpoint *c);
/* Forgets all but the newest ones. */
void manager_subsume(manager *m);
/* An open one is complete, if all its parts are there. */
void manager_complete(manager *m, uint32_t at);

/* Opens on the newest retained checkpoint. */
void manager_open(manager *m, uint32_t handles, uint32_t flags);
/* Closes the handles. With `crash` nothing that they want to remove is
   removed. */
void manager_shut(manager *m, int crash);
/* Both. As many handles after a crash: what a dead attempt left is looked for
   where the subtasks of the new one have theirs, in the background. */
void manager_restart(manager *m, int crash);
/* Something happens. */
void manager_step(manager *m);

/* By hand, with one handle: a backend with a store that is watched; a
   checkpoint that has begun, its run, and both; news that arrive; the end of
   it all. */
void manager_first(manager *m);
manager_checkpoint *manager_trigger(manager *m, uint32_t kind);
void manager_run_first(manager *m, manager_checkpoint *c);
manager_checkpoint *manager_whole(manager *m, uint32_t kind);
void manager_notify(manager *m, uint32_t what, uint64_t id);
void manager_end(manager *m);

#endif
