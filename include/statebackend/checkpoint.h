/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_coordinator: checkpoints of a native stream processor with many subtasks
 * in one process.
 *
 * The coordinator takes the job over, restores, triggers checkpoints, collects
 * the subtasks' parts and commits when all are there. Processing goes on while
 * snapshots run on the executor's checkpoint lane.
 *
 *   source                  subtask (owner of its keyed handle)
 *   sb_coordinator_trigger
 *     -> barrier through the queues ->
 *                           sb_coordinator_snapshot (snapshot_begin, then runs
 *                           in the background and acknowledges)
 *   sb_coordinator_done is set by the last acknowledgement: commit
 *                           sb_coordinator_notify (delivers completions)
 *
 * Threads: any, but snapshot and notify are the owner's of that keyed handle.
 */
#ifndef STATEBACKEND_CHECKPOINT_H
#define STATEBACKEND_CHECKPOINT_H

#include <statebackend/backend.h>
#include <statebackend/savepoint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sb_coordinator sb_coordinator;

typedef struct sb_coordinator_options {
  uint32_t struct_size;
  uint32_t subtasks;              /* parts a checkpoint needs */
  const char *job;                /* path part, "" for none */
  const char *job_id;
  uint32_t retain;                /* default 1 */
  uint32_t tolerable_failures;    /* aborted checkpoints in a row before
                                     sb_coordinator_status turns to failure */
  uint64_t timeout_ms;            /* of one checkpoint, 0: 600,000 */
  uint64_t restore_id;            /* 0: newest, else that one (retained) */
  /* Called when a checkpoint is committed (SB_OK), aborted (its failure) or
     the job is fenced: on a background thread, or inside the trigger,
     snapshot, abort or close that gave it up. May be NULL; must not block. */
  void (*finished)(void *arg, uint64_t id, sb_status status,
                   const sb_error *err);
  void *arg;
  /* Where a job that has no checkpoint of its own begins: a savepoint, or with
     restore_savepoint NULL the checkpoint restore_id of another job. Ignored
     once the job has a checkpoint, which it then goes on from. */
  uint32_t restore_mode;          /* SB_RESTORE_..., 0: nowhere */
  uint32_t reserved;
  const char *restore_job;        /* path part of the source's job */
  const char *restore_savepoint;
} sb_coordinator_options;

/* Takes the job over and reads what to restore: *restored is NULL for a fresh
   job, else owned by the coordinator until its close. A source that was not
   claimed stays pinned until the first commit. */
SB_EXPORT sb_status sb_coordinator_open(sb_backend *backend,
                                        const sb_host *host,
                                        const sb_coordinator_options *options,
                                        sb_coordinator **out,
                                        const sb_checkpoint **restored,
                                        sb_error *err);

/* For sb_keyed_options.generation. */
SB_EXPORT uint64_t sb_coordinator_generation(const sb_coordinator *c);

/* Starts a checkpoint: *id is its number, `blob` the caller's bytes (copied).
   SB_BUSY while another is under way; SB_FENCED when the job is lost. */
SB_EXPORT sb_status sb_coordinator_trigger(sb_coordinator *c, sb_slice blob,
                                           uint64_t *id, sb_error *err);

#define SB_TRIGGER_CHECKPOINT 10u
#define SB_TRIGGER_FULL 20u       /* shares nothing with earlier checkpoints */
#define SB_TRIGGER_SAVEPOINT 30u  /* a directory that shares nothing with
                                     any */
#define SB_TRIGGER_CANONICAL 40u  /* a savepoint that no backend is needed
                                     for: see savepoint.h */

typedef struct sb_trigger_options {
  uint32_t struct_size;
  uint32_t kind;                  /* SB_TRIGGER_... */
  const char *savepoint;          /* its name; copied */
  sb_slice blob;                  /* copied */
  const sb_canonical_options *canonical; /* or NULL; used until the last
                                     snapshot call of this checkpoint */
} sb_trigger_options;

/* The same for all kinds. Savepoints are no checkpoints: the job never
   restores them by itself, their failures are not counted, and handles hear
   nothing of one that has succeeded. */
SB_EXPORT sb_status sb_coordinator_trigger_as(
  sb_coordinator *c, const sb_trigger_options *options, uint64_t *id,
  sb_error *err);

/* Replaces the blob of a checkpoint under way, up to the last snapshot call:
   for what is known only when the barrier has passed. */
SB_EXPORT sb_status sb_coordinator_set_blob(sb_coordinator *c, uint64_t id,
                                            sb_slice blob, sb_error *err);

/* The subtask's turn, when all its barriers have arrived: begins the snapshot
   (under a millisecond) and runs it in the background. Each of `keyed`
   belongs to the checkpoint; one call per subtask. SB_CANCELLED if the
   checkpoint has been given up meanwhile: processing goes on. Any other
   failure gives it up. */
SB_EXPORT sb_status sb_coordinator_snapshot(sb_coordinator *c, uint64_t id,
                                            uint32_t subtask, sb_keyed *keyed,
                                            sb_error *err);

/* Delivers what has been decided since to a subtask's keyed handle: completed
   and aborted checkpoints. Cheap when there is nothing. */
SB_EXPORT sb_status sb_coordinator_notify(sb_coordinator *c, uint32_t subtask,
                                          sb_keyed *keyed, sb_error *err);

/* Gives a checkpoint up; its finished callback comes with SB_CANCELLED. */
SB_EXPORT void sb_coordinator_abort(sb_coordinator *c, uint64_t id);

/* Waits until checkpoint `id` is decided: SB_OK committed, else why not. */
SB_EXPORT sb_status sb_coordinator_wait(sb_coordinator *c, uint64_t id,
                                        uint64_t deadline_ns, sb_error *err);

/* SB_OK, or why no further checkpoint can succeed (SB_FENCED, ...). */
SB_EXPORT sb_status sb_coordinator_status(sb_coordinator *c, sb_error *err);

/* Id of the newest committed checkpoint, 0 if none. */
SB_EXPORT uint64_t sb_coordinator_newest(const sb_coordinator *c);

/* Orphans of dead generations; see sb_backend_ops.gc. */
SB_EXPORT sb_status sb_coordinator_gc(sb_coordinator *c, uint32_t flags,
                                      sb_gc_report *report, sb_error *err);

/* Aborts what is under way and waits for it, then notifies and frees what is
   left. Before the keyed handles are closed, and while no other thread uses
   them. A commit whose outcome is still not known then stays so: nobody is
   told. */
SB_EXPORT void sb_coordinator_close(sb_coordinator *c);

#ifdef __cplusplus
}
#endif
#endif
