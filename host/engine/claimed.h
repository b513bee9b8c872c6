/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claimed: the deleter in places that this job has claimed: under another
 * job's path, and in savepoints. It deletes there only while the claim stands
 * on the store. Rules: docs/PROTOCOL.md 5. In the job's turn.
 */
#ifndef SB_ENGINE_CLAIMED_H
#define SB_ENGINE_CLAIMED_H

#include "host/engine/job_state.h"

#define CLAIMED_FORGET 0u /* not ours to delete: it leaves the list */
#define CLAIMED_WAIT 10u  /* could not find out: later */
#define CLAIMED_REMOVE 20u

typedef struct claimed_place {
  path_place place;
  uint32_t verdict;
  int whole;            /* the source itself goes, so nobody comes back to look
                           for what it left */
} claimed_place;

typedef struct claimed {
  claimed_place *places;
  size_t count;
} claimed;

/* Looks at the claims of all places that pending names are in. Adds what
   readers of claimed jobs have pinned to `keep`, unsorted. */
sb_status claimed_begin(sb_job *job, claimed *c, names *keep);
/* What to do about a name that is not one of the job's own. */
uint32_t claimed_verdict(const sb_job *job, const claimed *c,
                         const char *name);
/* Removes what sources left that nothing names, and the claims of savepoints
   that are empty then. Where that fails, pending names wait, which brings us
   here again. `keep` is sorted. */
void claimed_remove(sb_job *job, claimed *c, const names *keep);
void claimed_dispose(const sb_job *job, claimed *c);

#endif
