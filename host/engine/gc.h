/* SPDX-License-Identifier: Apache-2.0 */
/* gc: the deleter. Rules and their reasons: docs/PROTOCOL.md 4. */
#ifndef SB_ENGINE_GC_H
#define SB_ENGINE_GC_H

#include "host/engine/job_state.h"

/* Objects removed in one turn of the job: commits get theirs between. */
#define GC_BATCH 1000u

/* In the job's turn. */
/* By its name: a segment, manifest or _metadata under the job's own path. */
int gc_is_own(const sb_job *job, const char *name);
/* Does a retained checkpoint name the object, or one that may become so? */
int gc_is_named(const sb_job *job, const char *name);
/* Are the names of all retained checkpoints known? */
int gc_knows_all(const sb_job *job);
/* Removes all of `n`; what failed stays in it. */
sb_status gc_remove_names(const sb_job *job, names *n);

#endif
