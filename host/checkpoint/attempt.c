/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One checkpoint under way: its snapshots in the background, the commit when
 * the last of them is done, and the decision.
 */
#include "config.h"

#include <stdio.h>

#include "host/checkpoint/attempt.h"
#include "host/engine/engine.h"
#include "host/store/store.h"

#define ATTEMPT_RETRY_FIRST_NS 10000000u
#define ATTEMPT_RETRY_MAX_NS 1000000000u

static void attempt_decide_from(attempt *a, uint32_t state, sb_status status,
                                const sb_error *err);

attempt *
attempt_new(sb_coordinator *c, uint32_t kind)
{
  uint32_t count = c->options.subtasks, i;
  attempt *a = mem_zalloc(c->host, sizeof *a + count * sizeof a->slots[0]);

  if (a == NULL)
    return NULL;
  a->coordinator = c;
  a->kind = kind;
  a->references = 1;
  a->state = ATTEMPT_OPEN;
  for (i = 0; i < count; i++)
    a->slots[i].attempt = a;
  return a;
}

int
attempt_is_savepoint(const attempt *a)
{
  return a->kind == SB_TRIGGER_SAVEPOINT || a->kind == SB_TRIGGER_CANONICAL;
}

/* "checkpoint" or "savepoint", for messages. */
static const char *
attempt_noun(const attempt *a)
{
  return attempt_is_savepoint(a) ? "savepoint" : "checkpoint";
}

void
attempt_unref(attempt *a)
{
  const sb_host *host = a->coordinator->host;

  if (--a->references != 0)
    return;
  mem_free(host, a->blob);
  mem_free(host, a->savepoint);
  mem_free(host, a);
}

/* ---- decision ----------------------------------------------------------- */

void
coordinator_fail(sb_coordinator *c, sb_status status, const sb_error *err)
{
  if (c->status != SB_OK)
    return;
  c->status = status;
  c->error = *err;
}

static void
attempt_record(attempt *a, sb_status status, const sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  coordinator_outcome *outcome;
  coordinator_waiter *waiter;

  a->state = ATTEMPT_DECIDED;
  a->status = status;
  a->cancelling++;
  c->current = NULL;
  if (status == SB_OK && !attempt_is_savepoint(a)) {
    c->newest = a->id;
    c->failures = 0;
  } else if (status == SB_FENCED) {
    coordinator_fail(c, status, err);
  } else if (!attempt_is_savepoint(a) && status != SB_OK &&
             status != SB_CANCELLED && status != SB_UNKNOWN &&
             ++c->failures > c->options.tolerable_failures) {
    coordinator_fail(c, status, err);
  }
  outcome = &c->history[c->history_count++ % COORDINATOR_HISTORY];
  outcome->id = a->id;
  outcome->status = status;
  outcome->error = *err;
  for (waiter = c->waiters; waiter != NULL; waiter = waiter->next)
    c->host->event_set(c->host, waiter->event);
}

/* What a savepoint's snapshot has made, it removes when it was cancelled. */
static void
attempt_cancel_snapshots(attempt *a)
{
  sb_coordinator *c = a->coordinator;
  uint32_t i;

  for (i = 0; i < c->options.subtasks; i++) {
    attempt_slot *slot = &a->slots[i];
    uint32_t cancel;

    pthread_mutex_lock(&c->lock);
    cancel = slot->running ||
             (slot->queued && a->kind == SB_TRIGGER_SAVEPOINT);
    pthread_mutex_unlock(&c->lock);
    if (cancel && slot->canonical != NULL)
      sb_canonical_cancel(slot->canonical);
    else if (cancel)
      slot->keyed->ops->snapshot_cancel(slot->keyed, slot->snapshot);
  }
}

static void
attempt_stop_timer(attempt *a, uint64_t timer)
{
  sb_coordinator *c = a->coordinator;

  if (c->host->timer_stop(c->host, timer) == SB_OK)
    coordinator_task_done(c, a);
}

/* The outcome of a commit that was given up is not known: nobody is told. */
static void
attempt_decide_from(attempt *a, uint32_t state, sb_status status,
                    const sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  const sb_error none = { .status = SB_OK };
  uint32_t timer_on, i;

  pthread_mutex_lock(&c->lock);
  if (a->state != state) {
    pthread_mutex_unlock(&c->lock);
    return;
  }
  attempt_record(a, status, status == SB_OK ? &none : err);
  c->tasks++;
  timer_on = a->timer_on;
  a->timer_on = 0;
  pthread_mutex_unlock(&c->lock);

  if (timer_on)
    attempt_stop_timer(a, a->timer);
  if (status != SB_OK && status != SB_UNKNOWN)
    attempt_cancel_snapshots(a);
  pthread_mutex_lock(&c->lock);
  a->cancelling--;
  pthread_mutex_unlock(&c->lock);
  for (i = 0; i < c->options.subtasks; i++)
    atomic_store(&c->queues[i].changed, 1);
  if (status != SB_UNKNOWN && c->options.finished != NULL)
    c->options.finished(c->options.arg, a->id, status,
                        status == SB_OK ? NULL : err);
  coordinator_task_done(c, a);
}

void
attempt_decide(attempt *a, sb_status status, const sb_error *err)
{
  attempt_decide_from(a, ATTEMPT_OPEN, status, err);
}

void
coordinator_task_done(sb_coordinator *c, attempt *a)
{
  pthread_mutex_lock(&c->lock);
  attempt_unref(a);
  if (--c->tasks == 0)
    c->host->event_set(c->host, c->idle);
  pthread_mutex_unlock(&c->lock);
}

/* ---- timeout ------------------------------------------------------------ */

static void
attempt_timed_out(void *arg)
{
  attempt *a = arg;
  sb_coordinator *c = a->coordinator;
  uint32_t acknowledged;
  sb_error err;

  pthread_mutex_lock(&c->lock);
  acknowledged = a->acknowledged;
  pthread_mutex_unlock(&c->lock);
  (void)sb_fail(&err, SB_TIMEOUT,
                "%s %llu is not done after %llu ms: %u of %u subtasks have "
                "acknowledged", attempt_noun(a), (unsigned long long)a->id,
                (unsigned long long)c->options.timeout_ms, acknowledged,
                c->options.subtasks);
  attempt_decide(a, SB_TIMEOUT, &err);
  coordinator_task_done(c, a);
}

sb_status
attempt_start_timer(attempt *a, uint64_t delay_ms, sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  uint32_t late;
  sb_status status;

  pthread_mutex_lock(&c->lock);
  a->references++;
  c->tasks++;
  pthread_mutex_unlock(&c->lock);
  status = c->host->timer_start(c->host, delay_ms, attempt_timed_out, a,
                                &a->timer, err);
  if (status != SB_OK) {
    coordinator_task_done(c, a);
    return status;
  }
  pthread_mutex_lock(&c->lock);
  late = a->state == ATTEMPT_DECIDED;
  a->timer_on = !late;
  pthread_mutex_unlock(&c->lock);
  if (late)
    attempt_stop_timer(a, a->timer);
  return SB_OK;
}

/* ---- commit ------------------------------------------------------------- */

/* Pauses between two calls of commit; 0 if the coordinator is closing. */
static int
attempt_pause(attempt *a, uint64_t *delay_ns)
{
  sb_coordinator *c = a->coordinator;
  const sb_host *host = c->host;
  uint32_t closing;

  pthread_mutex_lock(&c->lock);
  closing = c->closing;
  pthread_mutex_unlock(&c->lock);
  if (closing)
    return 0;
  (void)host->event_wait(host, c->retry, host->monotonic_ns(host) + *delay_ns);
  *delay_ns *= 2;
  if (*delay_ns > ATTEMPT_RETRY_MAX_NS)
    *delay_ns = ATTEMPT_RETRY_MAX_NS;
  return 1;
}

static sb_status
attempt_commit_once(attempt *a, const sb_part *parts, sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  sb_commit_options options = { .struct_size = sizeof options };

  options.id = a->id;
  options.parts = parts;
  options.part_count = c->options.subtasks;
  options.blob = sb_slice_of(a->blob, a->blob_len);
  return c->backend->ops->commit(c->job, &options, err);
}

static sb_status
attempt_write_once(attempt *a, const sb_part *parts, sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  sb_savepoint_options options = { .struct_size = sizeof options };

  options.job = c->path;
  options.name = a->savepoint;
  options.id = a->id;
  options.parts = parts;
  options.part_count = c->options.subtasks;
  options.blob = sb_slice_of(a->blob, a->blob_len);
  return c->backend->ops->savepoint_write(c->backend, &options, err);
}

/* Repeats the commit as long as its outcome is not known: only a definite
   answer may reach anybody. */
static sb_status
attempt_commit_parts(attempt *a, const sb_part *parts, sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  uint64_t delay_ns = ATTEMPT_RETRY_FIRST_NS;
  sb_status status;

  for (;;) {
    status = attempt_is_savepoint(a) ? attempt_write_once(a, parts, err)
                                     : attempt_commit_once(a, parts, err);
    if (status != SB_UNKNOWN)
      return status;
    c->host->log(c->host, SB_LOG_WARN, "checkpoint", err->message);
    if (!attempt_pause(a, &delay_ns))
      return SB_UNKNOWN;
  }
}

static void
attempt_commit(attempt *a)
{
  sb_coordinator *c = a->coordinator;
  uint32_t count = c->options.subtasks, i;
  sb_part *parts = mem_alloc(c->host, count * sizeof *parts);
  sb_status status;
  sb_error err;

  if (parts == NULL) {
    status = sb_fail(&err, SB_NO_MEMORY,
                     "could not commit %s %llu: out of memory",
                     attempt_noun(a), (unsigned long long)a->id);
  } else {
    for (i = 0; i < count; i++)
      parts[i] = *a->slots[i].part;
    status = attempt_commit_parts(a, parts, &err);
  }
  mem_free(c->host, parts);
  if (status == SB_OK && !attempt_is_savepoint(a))
    source_release(c);
  attempt_decide_from(a, ATTEMPT_COMMITTING, status, &err);
}

/* ---- snapshots ---------------------------------------------------------- */

/* A failure may be the work of a successor that has cleaned up behind us: ask
   the store who owns the job before calling it a failure of ours. */
static sb_status
attempt_explain(attempt *a, sb_status status, sb_error *err)
{
  sb_coordinator *c = a->coordinator;
  sb_gc_report report = { .struct_size = sizeof report };
  sb_error why;

  if (status == SB_CANCELLED || status == SB_NO_MEMORY ||
      c->backend->ops->gc(c->job, SB_GC_DRY_RUN, &report, &why) != SB_FENCED)
    return status;
  *err = why;
  return SB_FENCED;
}

static sb_status
attempt_run_canonical(attempt_slot *slot, const sb_part **part, sb_error *err)
{
  attempt *a = slot->attempt;
  sb_coordinator *c = a->coordinator;
  char directory[PATH_SIZE];
  sb_status status;

  status = engine_savepoint_directory(c->backend, c->path, a->savepoint,
                                      directory, err);
  if (status != SB_OK)
    return status;
  return canonical_write_part(c->host, c->backend->ops->store(c->backend),
                              slot->canonical, directory, &slot->written, part,
                              err);
}

static void
attempt_run(void *arg)
{
  attempt_slot *slot = arg;
  attempt *a = slot->attempt;
  sb_coordinator *c = a->coordinator;
  const sb_part *part = NULL;
  uint32_t last = 0, decided;
  sb_status status;
  sb_error err;

  if (slot->canonical != NULL)
    status = attempt_run_canonical(slot, &part, &err);
  else
    status = slot->keyed->ops->snapshot_run(slot->keyed, slot->snapshot, &part,
                                            &err);
  pthread_mutex_lock(&c->lock);
  slot->running = 0;
  slot->part = part;
  decided = a->state == ATTEMPT_DECIDED;
  if (status == SB_OK && !decided &&
      ++a->acknowledged == c->options.subtasks) {
    a->state = ATTEMPT_COMMITTING;
    last = 1;
  }
  pthread_mutex_unlock(&c->lock);

  if (decided)
    atomic_store(&c->queues[slot - a->slots].changed, 1);
  else if (last)
    attempt_commit(a);
  else if (status != SB_OK) {
    status = attempt_explain(a, status, &err);
    attempt_decide(a, status, &err);
  }
  coordinator_task_done(c, a);
}

/* Into the subtask's queue, unless the attempt has been decided meanwhile. */
static int
attempt_enqueue(attempt_slot *slot, coordinator_queue *queue)
{
  attempt *a = slot->attempt;
  sb_coordinator *c = a->coordinator;
  int open;

  pthread_mutex_lock(&c->lock);
  open = a->state == ATTEMPT_OPEN;
  if (open) {
    slot->running = 1;
    slot->queued = 1;
    if (queue->last == NULL)
      queue->first = slot;
    else
      queue->last->next = slot;
    queue->last = slot;
    a->references += 2; /* the queue's and the task's */
    c->tasks++;
  }
  pthread_mutex_unlock(&c->lock);
  return open;
}

/* The objects of a canonical part in a savepoint that will never be one. */
static void
attempt_remove_written(const attempt_slot *slot)
{
  const attempt *a = slot->attempt;
  sb_coordinator *c = a->coordinator;
  char directory[PATH_SIZE], name[PATH_SIZE];
  const char *list[1] = { name };
  uint32_t i;

  if (slot->part == NULL ||
      engine_savepoint_directory(c->backend, c->path, a->savepoint, directory,
                                 NULL) != SB_OK)
    return;
  for (i = 0; i < slot->part->object_count; i++)
    if ((size_t)snprintf(name, sizeof name, "%s/%s", directory,
                         slot->part->objects[i].name) < sizeof name)
      (void)store_remove(c->host, c->backend->ops->store(c->backend), list, 1,
                         NULL, NULL);
}

void
attempt_release(attempt_slot *slot)
{
  sb_status status = slot->attempt->status;

  if (slot->snapshot != NULL)
    slot->keyed->ops->snapshot_free(slot->keyed, slot->snapshot);
  if (slot->written != NULL && status != SB_OK && status != SB_UNKNOWN)
    attempt_remove_written(slot);
  canonical_written_free(slot->written);
  sb_canonical_close(slot->canonical);
  slot->snapshot = NULL;
  slot->written = NULL;
  slot->canonical = NULL;
}

static sb_status
attempt_begin(attempt_slot *slot, sb_error *err)
{
  static const struct { uint32_t trigger, snapshot; } kinds[] = {
    { SB_TRIGGER_CHECKPOINT, SB_SNAPSHOT_CHECKPOINT },
    { SB_TRIGGER_FULL, SB_SNAPSHOT_FULL },
    { SB_TRIGGER_SAVEPOINT, SB_SNAPSHOT_SAVEPOINT },
  };
  const attempt *a = slot->attempt;
  sb_snapshot_options options = { .struct_size = sizeof options };
  size_t i = 0;

  if (a->kind == SB_TRIGGER_CANONICAL)
    return sb_canonical_open(slot->keyed, a->coordinator->host, a->canonical,
                             &slot->canonical, err);
  while (kinds[i].trigger != a->kind)
    i++;
  options.kind = kinds[i].snapshot;
  options.checkpoint_id = a->id;
  options.savepoint = a->savepoint;
  return slot->keyed->ops->snapshot_begin(slot->keyed, &options,
                                          &slot->snapshot, err);
}

sb_status
attempt_snapshot(attempt_slot *slot, uint32_t subtask, sb_error *err)
{
  attempt *a = slot->attempt;
  sb_coordinator *c = a->coordinator;
  sb_status status;
  sb_error why;

  status = attempt_begin(slot, &why);
  if (status != SB_OK)
    goto fail;
  if (!attempt_enqueue(slot, &c->queues[subtask])) {
    attempt_release(slot);
    return sb_fail(err, SB_CANCELLED, "%s %llu was given up", attempt_noun(a),
                   (unsigned long long)a->id);
  }
  status = c->host->execute(c->host, SB_LANE_CHECKPOINT, attempt_run, slot,
                            &why);
  if (status == SB_OK)
    return SB_OK;
  pthread_mutex_lock(&c->lock);
  slot->running = 0;
  pthread_mutex_unlock(&c->lock);
  attempt_decide(a, status, &why);
  coordinator_task_done(c, a);
  goto out;
fail:
  attempt_decide(a, status, &why);
out:
  if (err != NULL)
    *err = why;
  return status;
}
