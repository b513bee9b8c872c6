/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What coordinator.c and attempt.c share. An attempt is one checkpoint from
 * its trigger until every subtask has been told and its snapshots are freed.
 *
 * One lock, the coordinator's, guards all of it. It is never held across a
 * call of a vtable other than event_set.
 */
#ifndef SB_CHECKPOINT_ATTEMPT_H
#define SB_CHECKPOINT_ATTEMPT_H

#include <pthread.h>
#include <stdatomic.h>
#include <statebackend/checkpoint.h>
#include <statebackend/plugin.h>
#include "host/base/mem.h"
#include "host/checkpoint/canonical.h"

/* Attempts are open, then committing once all subtasks have acknowledged, then
   decided. Only the committer can decide one that is committing. */
#define ATTEMPT_OPEN 10u
#define ATTEMPT_COMMITTING 20u
#define ATTEMPT_DECIDED 30u

#define COORDINATOR_HISTORY 16u

typedef struct attempt attempt;

/* A subtask's share of an attempt; also the entry of the subtask's queue of
   notifications, so that telling needs no memory. */
typedef struct attempt_slot {
  attempt *attempt;
  struct attempt_slot *next;
  sb_keyed *keyed;
  sb_snapshot *snapshot;         /* NULL: */
  sb_canonical *canonical;       /* a canonical savepoint's */
  canonical_written *written;
  const sb_part *part;  /* once its run has succeeded */
  uint32_t begun;       /* the subtask has had its turn */
  uint32_t queued;      /* it is, or was, in the subtask's queue */
  uint32_t running;     /* snapshot_run has not returned */
  uint32_t notified;
} attempt_slot;

struct attempt {
  sb_coordinator *coordinator;
  uint64_t id;
  uint32_t references;
  uint32_t state;
  uint32_t acknowledged;
  uint32_t cancelling;  /* snapshots must not be freed: one may be cancelled */
  uint32_t timer_on;
  uint64_t timer;
  sb_status status;     /* what was decided */
  uint32_t kind;        /* SB_TRIGGER_... */
  char *savepoint;      /* its name */
  const sb_canonical_options *canonical; /* the caller's */
  void *blob;
  size_t blob_len;
  attempt_slot slots[]; /* one for each subtask */
};

typedef struct coordinator_outcome {
  uint64_t id;
  sb_status status;
  sb_error error;
} coordinator_outcome;

typedef struct coordinator_waiter {
  sb_event *event;
  struct coordinator_waiter *next;
} coordinator_waiter;

/* Notifications of one subtask, oldest first. */
typedef struct coordinator_queue {
  attempt_slot *first, *last;
  _Atomic uint32_t changed; /* the queue is worth looking at */
} coordinator_queue;

struct sb_coordinator {
  const sb_host *host;
  sb_backend *backend;
  sb_job *job;
  sb_checkpoint *restored;
  struct source_copy *copy; /* what `restored` is part of, or NULL */
  sb_checkpoint *source;    /* pinned until the first commit, else NULL */
  sb_coordinator_options options;
  char *path;           /* options.job, copied */
  char *job_id;
  uint64_t generation;
  sb_event *idle;       /* set when `tasks` comes to 0 */
  sb_event *retry;      /* cuts a committer's pause short */
  pthread_mutex_t lock; /* guards everything below */
  uint32_t locked;      /* the mutex was made */
  uint32_t closing;
  uint32_t tasks;       /* tasks and timers that still use the coordinator */
  uint32_t failures;    /* in a row */
  uint64_t last_id;     /* the highest ever given out */
  uint64_t newest;
  sb_status status;
  sb_error error;       /* why, unless status is SB_OK */
  attempt *current;
  coordinator_waiter *waiters;
  uint32_t history_count;
  coordinator_outcome history[COORDINATOR_HISTORY];
  coordinator_queue *queues; /* one for each subtask */
};

attempt *attempt_new(sb_coordinator *c, uint32_t kind);
/* Does it end in a savepoint? */
int attempt_is_savepoint(const attempt *a);
void attempt_unref(attempt *a);

/* Arms the timeout of an attempt that is current. */
sb_status attempt_start_timer(attempt *a, uint64_t delay_ms, sb_error *err);

/* Begins a slot's snapshot and hands it to the checkpoint lane. */
sb_status attempt_snapshot(attempt_slot *slot, uint32_t subtask,
                           sb_error *err);

/* Owner thread, when the slot's run is over and nobody cancels it. */
void attempt_release(attempt_slot *slot);

/* Decides an open attempt, cancels its snapshots unless it is committed, and
   tells everybody. Does nothing to one that is committing or decided. */
void attempt_decide(attempt *a, sb_status status, const sb_error *err);

/* The call's task is over; the last one lets close go on. */
void coordinator_task_done(sb_coordinator *c, attempt *a);

/* source.c: where a job without a checkpoint begins. SB_NOT_FOUND if there is
   no such source. */
sb_status source_restore(sb_coordinator *c, sb_error *err);
/* The source is not needed any more. */
void source_release(sb_coordinator *c);
void source_free(sb_coordinator *c);

/* Turns the coordinator to a final failure, unless it has one. With the
   lock held. */
void coordinator_fail(sb_coordinator *c, sb_status status,
                      const sb_error *err);

#endif
