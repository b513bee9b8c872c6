/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: the job's side of sb_backend_ops. One sb_job is one committer, the
 * owner of one generation. The rules it follows are docs/PROTOCOL.md.
 *
 * Threads: all functions from any thread; calls on one job wait for each
 * other.
 */
#ifndef SB_ENGINE_JOB_H
#define SB_ENGINE_JOB_H

#include <statebackend/backend.h>
#include "host/engine/paths.h"

struct names;

/* Outlives the jobs made from it; jobs copy the struct, not what it points
   to. */
typedef struct job_env {
  const sb_host *host;
  sb_store *store;
  const paths *paths;
  uint32_t store_flags; /* SB_STORE_...: numbered HEADs if MATCH is missing */
} job_env;

sb_status job_takeover(const job_env *env, const sb_takeover_options *options,
                       sb_job **out, sb_error *err);
uint64_t job_generation(sb_job *job);
/* The path part the job was taken over with. Borrowed until job_close. */
const char *job_path(sb_job *job);
/* Borrowed as well. */
const char *job_id(const sb_job *job);
/* What was claimed for the job: it deletes of it what its next checkpoint does
   not need. */
sb_status job_claim(sb_job *job, const struct names *claimed, sb_error *err);
void job_close(sb_job *job);
/* A pointer of the caller's that travels with the job. */
void job_set_keeper(sb_job *job, void *keeper);
void *job_keeper(const sb_job *job);

/* SB_OK: committed, now or by an earlier call with this id that returned
   SB_UNKNOWN. SB_FENCED: the handle is dead. SB_UNKNOWN: call again with the
   same arguments, or commit another id, which decides this one too. Others:
   not committed and never to be. */
sb_status job_commit(sb_job *job, const sb_commit_options *options,
                     sb_error *err);
sb_status job_retain(sb_job *job, uint32_t count, sb_error *err);
/* Also SB_BUSY for a checkpoint opened with job_checkpoint_open_own until this
   job has committed one of its own. */
sb_status job_remove(sb_job *job, uint64_t id, sb_error *err);
sb_status job_gc(sb_job *job, uint32_t flags, sb_gc_report *report,
                 sb_error *err);

sb_status job_list(const job_env *env, const char *job,
                   sb_checkpoint_info **out, size_t *count, sb_error *err);
void job_list_free(const job_env *env, sb_checkpoint_info *list,
                   size_t count);

sb_status job_checkpoint_open(const job_env *env, const char *job,
                              uint64_t id, uint32_t flags, sb_checkpoint **out,
                              sb_error *err);
/* For the job's own committer: no HEAD is read, and the newest checkpoint's
   _metadata is the one the take-over read. This is what makes a restore ready
   after two dependent GETs and one swap. Release as the other. */
sb_status job_checkpoint_open_own(sb_job *job, uint64_t id,
                                  sb_checkpoint **out, sb_error *err);
void job_checkpoint_close(const job_env *env, sb_checkpoint *checkpoint);

#endif
