/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job handle knows: the HEAD it last saw as its own, what that HEAD
 * retains, and the changes of it whose outcome is not known. Shared by job.c,
 * change.c, gc.c, and the entries, which follow the job.
 *
 * Everything but `lock`, `busy` and `waiters` belongs to the holder of the
 * turn (job_enter), who may wait for the store while holding it.
 */
#ifndef SB_ENGINE_JOB_STATE_H
#define SB_ENGINE_JOB_STATE_H

#include <pthread.h>
#include "host/engine/head.h"
#include "host/engine/metadata.h"
#include "host/engine/names.h"

#define JOB_SWAPS 4u        /* tries within one call */
#define JOB_CHANGES_MAX 16u /* unresolved at a time */
#define JOB_DECIDED 16u     /* remembered outcomes of unknown commits */
#define JOB_RETAIN_MAX 1000u
#define JOB_PENDING_MAX 1000000u /* names carried on; the rest is left to gc */

/* A retained checkpoint. Shared by views, hence counted. */
typedef struct job_checkpoint {
  uint32_t refs;
  int known;             /* `names` is complete */
  metadata_ref ref;      /* ref.name is owned */
  names names;           /* all it needs, its _metadata included; sorted */
} job_checkpoint;

/* What one version of HEAD says. */
typedef struct job_view {
  job_checkpoint **retained; /* newest first */
  size_t count;
  names pending;         /* to delete; sorted */
} job_view;

/* A _metadata that was written; its swap is not known to have happened. */
typedef struct job_change {
  struct job_change *next;
  uint64_t id;           /* of its newest checkpoint */
  uint64_t removes;      /* checkpoint that it removes by hand, 0 none */
  int uncertain;         /* an attempt to swap it in may still land */
  int unknown;           /* the caller was told so */
  job_view view;         /* what holds once it is in HEAD */
  names waiting;         /* candidates that it could not decide about */
} job_change;

/* Somebody who keeps something of his own in step with the checkpoints. Called
   in the job's turn. */
typedef struct job_follower {
  /* The newest checkpoint that it has followed whole, 0 none. */
  uint64_t (*through)(void *arg);
  /* HEAD has this checkpoint; nothing was deleted since. */
  void (*committed)(void *arg, const sb_commit_options *options);
  void (*close)(void *arg);
  void *arg;
} job_follower;

typedef struct job_waiter {
  struct job_waiter *next;
  sb_event *event;
  int granted;
} job_waiter;

typedef struct job_decision {
  uint64_t id;
  int committed;
} job_decision;

struct sb_job {
  job_env env;
  void *keeper;          /* see job_set_keeper */
  char *path;            /* the path part */
  uint64_t generation, owner;
  uint32_t retain;
  int fenced;
  int committed;         /* by this generation, at least once */
  uint64_t restored;     /* id opened by this job before that; 0 none */
  head_version head;     /* ours, as last known */
  job_view view;         /* what it says */
  names waiting;         /* candidates for deletion, undecided */
  names garbage;         /* _metadata of dead attempts */
  names claimed;         /* what sources had that were claimed; candidates from
                            the next commit on */
  job_change *changes;
  metadata *newest;      /* as the take-over read it; NULL later */
  const job_follower *follower; /* or NULL */
  job_decision decided[JOB_DECIDED];
  uint32_t decided_count;

  pthread_mutex_t lock;  /* of the three below; never held over a wait */
  int busy;
  job_waiter *waiters;
};

sb_status job_enter(sb_job *job, sb_error *err);
void job_leave(sb_job *job);

/* SB_FENCED, for ever. */
sb_status job_fence(sb_job *job, sb_error *err);

/* Reads HEAD. SB_OK: it is the one before the changes (*landed NULL), or one
   of the changes has made it (*landed, adopted and freed: compare only). */
sb_status job_look(sb_job *job, job_change **landed, sb_error *err);

/* Resolves the unresolved changes as far as one read of HEAD tells: afterwards
   either there are none, or HEAD is still the one before them. */
sb_status job_settle(sb_job *job, sb_error *err);

#define JOB_REBUILD 1 /* another change was found in HEAD: build again */

/* Puts the change into HEAD. SB_OK: adopted. JOB_REBUILD: the change is dead
   and freed, as HEAD is another one of ours. SB_UNKNOWN: it stays. Others: not
   in HEAD and never to be; freed. */
sb_status job_swap(sb_job *job, job_change *change, sb_error *err);

/* change.c. Each writes a _metadata on top of job->view and adds the change to
   job->changes. */
sb_status change_commit(sb_job *job, const sb_commit_options *options,
                        job_change **out, sb_error *err);
sb_status change_remove(sb_job *job, uint64_t id, job_change **out,
                        sb_error *err);
void change_free(sb_job *job, job_change *change);

/* Tries to learn the names of every retained checkpoint. */
sb_status view_load(sb_job *job, sb_error *err);
void view_dispose(const sb_host *host, job_view *view);
/* The view of a _metadata, at its own object's place. */
sb_status view_from_metadata(const sb_host *host, const metadata *m,
                             const char *name, uint64_t length, uint32_t crc,
                             job_view *view, sb_error *err);

/* Adds what a part's manifest names: objects it needs (with sizes) and, unless
   NULL, what it dropped. */
sb_status change_part_names(const job_env *env, const sb_part *part,
                            names *needs, names *dropped, sb_error *err);
/* All that a _metadata needs but itself, unsorted. */
sb_status change_metadata_names(const job_env *env, const metadata *m,
                                names *needs, sb_error *err);

/* gc.c: deletes what is pending, as far as pins and the store allow. */
void gc_sweep(sb_job *job);
/* Gives up uploads that older generations left unfinished, as far as the store
   allows. What they would have made, nobody could commit. */
void gc_sweep_uploads(sb_job *job);

#endif
