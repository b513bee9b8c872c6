/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_coordinator: who may commit, which checkpoint is under way, who waits for
 * it and who has to be told. The work of one checkpoint is in attempt.c.
 */
#include "config.h"

#include "host/base/slice.h"
#include "host/checkpoint/attempt.h"

#define COORDINATOR_TIMEOUT_MS 600000u
#define COORDINATOR_SUBTASKS_MAX SB_KEY_GROUPS_MAX

/* ---- open --------------------------------------------------------------- */

static void
coordinator_free(sb_coordinator *c)
{
  const sb_host *host = c->host;

  source_free(c);
  if (c->job != NULL)
    c->backend->ops->job_close(c->job);
  if (c->idle != NULL)
    host->event_free(host, c->idle);
  if (c->retry != NULL)
    host->event_free(host, c->retry);
  if (c->locked)
    pthread_mutex_destroy(&c->lock);
  mem_free(host, c->queues);
  mem_free(host, c->path);
  mem_free(host, c->job_id);
  mem_free(host, c);
}

/* A caller built with an older header has a shorter struct. */
static void
coordinator_copy_options(sb_coordinator_options *copy,
                         const sb_coordinator_options *options)
{
  size_t size = options->struct_size;

  memset(copy, 0, sizeof *copy);
  memcpy(copy, options, size < sizeof *copy ? size : sizeof *copy);
}

static sb_status
coordinator_check(const sb_coordinator_options *options, sb_error *err)
{
  if (options->subtasks == 0 || options->subtasks > COORDINATOR_SUBTASKS_MAX)
    return sb_fail(err, SB_INVALID,
                   "cannot coordinate %u subtasks: 1 to %u are allowed",
                   options->subtasks, COORDINATOR_SUBTASKS_MAX);
  return SB_OK;
}

static sb_coordinator *
coordinator_new(sb_backend *backend, const sb_host *host,
                const sb_coordinator_options *options)
{
  sb_coordinator *c = mem_zalloc(host, sizeof *c);

  if (c == NULL)
    return NULL;
  c->host = host;
  c->backend = backend;
  coordinator_copy_options(&c->options, options);
  if (c->options.timeout_ms == 0)
    c->options.timeout_ms = COORDINATOR_TIMEOUT_MS;
  c->path = mem_strdup(host, options->job == NULL ? "" : options->job);
  c->job_id = mem_strdup(host, options->job_id == NULL ? ""
                                                       : options->job_id);
  c->idle = host->event_new(host);
  c->retry = host->event_new(host);
  c->queues = mem_zalloc(host, options->subtasks * sizeof *c->queues);
  c->locked = pthread_mutex_init(&c->lock, NULL) == 0;
  if (c->path == NULL || c->job_id == NULL || c->idle == NULL ||
      c->retry == NULL || c->queues == NULL || !c->locked) {
    coordinator_free(c);
    return NULL;
  }
  c->options.job = c->path;
  c->options.job_id = c->job_id;
  return c;
}

/* The newest checkpoint's id when an older one was asked for: ids go on from
   there. */
static sb_status
coordinator_read_newest(sb_coordinator *c, sb_error *err)
{
  sb_checkpoint_info *list;
  size_t count;
  sb_status status;

  status = c->backend->ops->list(c->backend, c->path, &list, &count, err);
  if (status != SB_OK)
    return status;
  if (count != 0)
    c->newest = list[0].id;
  c->backend->ops->list_free(c->backend, list, count);
  return SB_OK;
}

static sb_status
coordinator_restore(sb_coordinator *c, sb_error *err)
{
  int elsewhere = c->options.restore_mode != 0;
  uint64_t id = elsewhere ? 0 : c->options.restore_id;
  sb_status status = SB_OK;

  if (id != 0)
    status = coordinator_read_newest(c, err);
  if (status == SB_OK)
    status = c->backend->ops->checkpoint_open(c->backend, c->path, id, 0,
                                              &c->restored, err);
  if (status == SB_NOT_FOUND && elsewhere)
    return source_restore(c, err);
  if (status == SB_NOT_FOUND && id == 0)
    return SB_OK;
  if (status != SB_OK)
    return status;
  if (c->newest < c->restored->info.id)
    c->newest = c->restored->info.id;
  c->last_id = c->newest;
  return SB_OK;
}

static sb_status
coordinator_need(const void *pointer, const char *what, sb_error *err)
{
  return pointer != NULL ? SB_OK
                         : sb_fail(err, SB_INVALID, "cannot go on: %s is NULL",
                                   what);
}

sb_status
sb_coordinator_open(sb_backend *backend, const sb_host *host,
                    const sb_coordinator_options *options,
                    sb_coordinator **out, const sb_checkpoint **restored,
                    sb_error *err)
{
  sb_takeover_options takeover = { .struct_size = sizeof takeover };
  sb_coordinator *c;
  sb_status status;

  if (backend == NULL || host == NULL || options == NULL || out == NULL ||
      restored == NULL)
    return coordinator_need(NULL, "an argument", err);
  *out = NULL;
  *restored = NULL;
  status = coordinator_check(options, err);
  if (status != SB_OK)
    return status;
  c = coordinator_new(backend, host, options);
  if (c == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not take the job over: out of memory");
  takeover.job = c->path;
  takeover.job_id = c->job_id;
  takeover.retain = options->retain == 0 ? 1 : options->retain;
  status = backend->ops->takeover(backend, &takeover, &c->job, err);
  if (status == SB_OK)
    status = coordinator_restore(c, err);
  if (status != SB_OK) {
    coordinator_free(c);
    return status;
  }
  c->generation = backend->ops->job_generation(c->job);
  *out = c;
  *restored = c->restored;
  return SB_OK;
}

/* ---- what is known ------------------------------------------------------ */

uint64_t
sb_coordinator_generation(const sb_coordinator *c)
{
  return c == NULL ? 0 : c->generation;
}

static pthread_mutex_t *
coordinator_lock(const sb_coordinator *c)
{
  return (pthread_mutex_t *)&c->lock;
}

uint64_t
sb_coordinator_newest(const sb_coordinator *c)
{
  uint64_t newest;

  if (c == NULL)
    return 0;
  pthread_mutex_lock(coordinator_lock(c));
  newest = c->newest;
  pthread_mutex_unlock(coordinator_lock(c));
  return newest;
}

static sb_status
coordinator_copy(sb_error *err, sb_status status, const sb_error *why)
{
  if (status != SB_OK && err != NULL)
    *err = *why;
  return status;
}

sb_status
sb_coordinator_status(sb_coordinator *c, sb_error *err)
{
  sb_status status = coordinator_need(c, "the coordinator", err);

  if (status != SB_OK)
    return status;
  pthread_mutex_lock(&c->lock);
  status = coordinator_copy(err, c->status, &c->error);
  pthread_mutex_unlock(&c->lock);
  return status;
}

sb_status
sb_coordinator_gc(sb_coordinator *c, uint32_t flags, sb_gc_report *report,
                  sb_error *err)
{
  sb_error why;
  sb_status status = coordinator_need(c, "the coordinator", err);

  if (status == SB_OK)
    status = coordinator_need(report, "the report", err);
  if (status != SB_OK)
    return status;
  status = c->backend->ops->gc(c->job, flags, report, &why);
  if (status == SB_FENCED) {
    pthread_mutex_lock(&c->lock);
    coordinator_fail(c, status, &why);
    pthread_mutex_unlock(&c->lock);
  }
  return coordinator_copy(err, status, &why);
}

/* ---- trigger, snapshot, abort ------------------------------------------- */

static sb_status
attempt_set_blob(const sb_host *host, sb_slice blob, void **copy,
                 sb_error *err)
{
  if (blob.len > SB_BLOB_MAX)
    return sb_fail(err, SB_TOO_LARGE,
                   "cannot keep a checkpoint's blob of %zu bytes: the limit "
                   "is %u", blob.len, SB_BLOB_MAX);
  if (slice_bad(blob))
    return slice_refuse(blob, "the blob of a checkpoint", err);
  *copy = mem_dup(host, blob.data, blob.len);
  if (*copy == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not keep a checkpoint's blob: out of memory");
  return SB_OK;
}

/* Makes a new attempt the current one, with a reference for the caller. */
static sb_status
coordinator_begin(sb_coordinator *c, attempt *a, sb_error *err)
{
  sb_status status;

  pthread_mutex_lock(&c->lock);
  status = coordinator_copy(err, c->status, &c->error);
  if (status == SB_OK && c->closing)
    status = sb_fail(err, SB_CANCELLED,
                     "cannot start a checkpoint: the job is closing");
  else if (status == SB_OK && c->current != NULL)
    status = sb_fail(err, SB_BUSY,
                     "cannot start a checkpoint: %llu is under way",
                     (unsigned long long)c->current->id);
  if (status == SB_OK) {
    a->id = ++c->last_id;
    a->references++;
    c->current = a;
  }
  pthread_mutex_unlock(&c->lock);
  return status;
}

static void
coordinator_unref(sb_coordinator *c, attempt *a)
{
  pthread_mutex_lock(&c->lock);
  attempt_unref(a);
  pthread_mutex_unlock(&c->lock);
}

static sb_status
coordinator_check_trigger(const sb_coordinator *c,
                          const sb_trigger_options *options, sb_error *err)
{
  int savepoint = options->kind == SB_TRIGGER_SAVEPOINT ||
                  options->kind == SB_TRIGGER_CANONICAL;

  if (!savepoint && options->kind != SB_TRIGGER_CHECKPOINT &&
      options->kind != SB_TRIGGER_FULL)
    return sb_fail(err, SB_INVALID, "cannot start a checkpoint of kind %u",
                   options->kind);
  if (savepoint &&
      (options->savepoint == NULL || options->savepoint[0] == '\0'))
    return sb_fail(err, SB_INVALID, "a savepoint needs a name");
  if (savepoint && !SB_BACKEND_HAS(c->backend, savepoint_write))
    return sb_fail(err, SB_UNSUPPORTED, "cannot start savepoint \"%s\": the "
                   "backend has none", options->savepoint);
  return SB_OK;
}

/* The attempt's own copies of what the caller gave. */
static sb_status
attempt_keep_options(attempt *a, const sb_host *host,
                     const sb_trigger_options *options, sb_error *err)
{
  sb_status status = attempt_set_blob(host, options->blob, &a->blob, err);

  a->blob_len = status == SB_OK ? options->blob.len : 0;
  if (!attempt_is_savepoint(a) || status != SB_OK)
    return status;
  a->canonical = options->canonical;
  a->savepoint = mem_strdup(host, options->savepoint);
  if (a->savepoint == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not start a savepoint: out of memory");
  return SB_OK;
}

sb_status
sb_coordinator_trigger(sb_coordinator *c, sb_slice blob, uint64_t *id,
                       sb_error *err)
{
  sb_trigger_options options = { .struct_size = sizeof options,
                                 .kind = SB_TRIGGER_CHECKPOINT, .blob = blob };

  return sb_coordinator_trigger_as(c, &options, id, err);
}

sb_status
sb_coordinator_trigger_as(sb_coordinator *c, const sb_trigger_options *given,
                          uint64_t *id, sb_error *err)
{
  sb_trigger_options options = { .struct_size = sizeof options };
  size_t size;
  attempt *a;
  sb_status status;
  sb_error why;

  if (c == NULL || given == NULL || id == NULL)
    return coordinator_need(NULL, "an argument", err);
  size = given->struct_size;
  memcpy(&options, given, size < sizeof options ? size : sizeof options);
  status = coordinator_check_trigger(c, &options, err);
  if (status != SB_OK)
    return status;
  a = attempt_new(c, options.kind);
  if (a == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not start a checkpoint: out of memory");
  status = attempt_keep_options(a, c->host, &options, err);
  if (status == SB_OK)
    status = coordinator_begin(c, a, err);
  if (status != SB_OK) {
    coordinator_unref(c, a);
    return status;
  }
  status = attempt_start_timer(a, c->options.timeout_ms, &why);
  if (status != SB_OK)
    attempt_decide(a, status, &why);
  else
    *id = a->id;
  coordinator_unref(c, a);
  return coordinator_copy(err, status, &why);
}

/* The open attempt of this number, with a reference for the caller. */
static attempt *
coordinator_find(sb_coordinator *c, uint64_t id)
{
  attempt *a;

  pthread_mutex_lock(&c->lock);
  a = c->current;
  if (a != NULL && (a->id != id || a->state != ATTEMPT_OPEN))
    a = NULL;
  if (a != NULL)
    a->references++;
  pthread_mutex_unlock(&c->lock);
  return a;
}

static sb_status
coordinator_gone(uint64_t id, sb_error *err)
{
  return sb_fail(err, SB_CANCELLED, "checkpoint %llu is not under way",
                 (unsigned long long)id);
}

sb_status
sb_coordinator_set_blob(sb_coordinator *c, uint64_t id, sb_slice blob,
                        sb_error *err)
{
  attempt *a;
  void *copy = NULL, *old;
  sb_status status = coordinator_need(c, "the coordinator", err);

  if (status != SB_OK)
    return status;
  a = coordinator_find(c, id);
  if (a == NULL)
    return coordinator_gone(id, err);
  status = attempt_set_blob(c->host, blob, &copy, err);
  if (status == SB_OK) {
    pthread_mutex_lock(&c->lock);
    if (a->state == ATTEMPT_OPEN) {
      old = a->blob;
      a->blob = copy;
      a->blob_len = blob.len;
      copy = old;
    } else {
      status = coordinator_gone(id, err);
    }
    pthread_mutex_unlock(&c->lock);
    mem_free(c->host, copy);
  }
  coordinator_unref(c, a);
  return status;
}

sb_status
sb_coordinator_snapshot(sb_coordinator *c, uint64_t id, uint32_t subtask,
                        sb_keyed *keyed, sb_error *err)
{
  attempt *a;
  attempt_slot *slot;
  sb_status status;
  uint32_t begun;

  if (c == NULL || keyed == NULL)
    return coordinator_need(NULL, "an argument", err);
  if (subtask >= c->options.subtasks)
    return sb_fail(err, SB_INVALID, "cannot snapshot subtask %u of %u",
                   subtask, c->options.subtasks);
  a = coordinator_find(c, id);
  if (a == NULL)
    return coordinator_gone(id, err);
  slot = &a->slots[subtask];
  pthread_mutex_lock(&c->lock);
  begun = slot->begun;
  slot->begun = 1;
  pthread_mutex_unlock(&c->lock);
  if (begun) {
    status = sb_fail(err, SB_INVALID,
                     "cannot snapshot subtask %u twice for checkpoint %llu",
                     subtask, (unsigned long long)id);
  } else {
    slot->keyed = keyed;
    status = attempt_snapshot(slot, subtask, err);
  }
  coordinator_unref(c, a);
  return status;
}

void
sb_coordinator_abort(sb_coordinator *c, uint64_t id)
{
  attempt *a = c == NULL ? NULL : coordinator_find(c, id);
  sb_error err;

  if (a == NULL)
    return;
  (void)sb_fail(&err, SB_CANCELLED, "checkpoint %llu was given up",
                (unsigned long long)id);
  attempt_decide(a, SB_CANCELLED, &err);
  coordinator_unref(c, a);
}

/* ---- notify ------------------------------------------------------------- */

/* The next slot that has something to be done: to be told (*tell is set), else
   to be freed, then it is out of the queue. */
static attempt_slot *
coordinator_next(coordinator_queue *queue, int *tell)
{
  attempt_slot *slot, *previous = NULL;

  for (slot = queue->first; slot != NULL; previous = slot, slot = slot->next) {
    const attempt *a = slot->attempt;

    if (a->state != ATTEMPT_DECIDED || slot->running)
      continue;
    *tell = !slot->notified && a->status != SB_UNKNOWN &&
            a->status != SB_FENCED && a->kind != SB_TRIGGER_CANONICAL &&
            !(a->kind == SB_TRIGGER_SAVEPOINT && a->status == SB_OK);
    slot->notified = 1;
    if (*tell)
      return slot;
    if (a->cancelling != 0)
      continue;
    if (previous == NULL)
      queue->first = slot->next;
    else
      previous->next = slot->next;
    if (queue->last == slot)
      queue->last = previous;
    return slot;
  }
  return NULL;
}

static sb_status
coordinator_deliver(sb_coordinator *c, coordinator_queue *queue,
                    sb_error *err)
{
  sb_status first = SB_OK, status;
  attempt_slot *slot;
  int tell = 0;
  sb_error why;

  for (;;) {
    pthread_mutex_lock(&c->lock);
    slot = coordinator_next(queue, &tell);
    pthread_mutex_unlock(&c->lock);
    if (slot == NULL)
      return first;
    if (tell) {
      uint32_t what = slot->attempt->status == SB_OK ? SB_NOTIFY_COMPLETE
                                                     : SB_NOTIFY_ABORTED;

      status = slot->keyed->ops->notify(slot->keyed, what, slot->attempt->id,
                                        &why);
      if (first == SB_OK)
        first = coordinator_copy(err, status, &why);
    } else {
      attempt_release(slot);
      coordinator_unref(c, slot->attempt);
    }
  }
}

sb_status
sb_coordinator_notify(sb_coordinator *c, uint32_t subtask, sb_keyed *keyed,
                      sb_error *err)
{
  coordinator_queue *queue;

  if (c == NULL)
    return coordinator_need(NULL, "the coordinator", err);
  if (subtask >= c->options.subtasks)
    return sb_fail(err, SB_INVALID, "cannot notify subtask %u of %u", subtask,
                   c->options.subtasks);
  (void)keyed; /* each slot remembers the handle its snapshot came from */
  queue = &c->queues[subtask];
  if (atomic_load_explicit(&queue->changed, memory_order_relaxed) == 0 ||
      atomic_exchange(&queue->changed, 0) == 0)
    return SB_OK;
  return coordinator_deliver(c, queue, err);
}

/* ---- wait, close -------------------------------------------------------- */

static sb_status
coordinator_outcome_of(const sb_coordinator *c, uint64_t id, sb_error *err)
{
  uint32_t i;

  for (i = 0; i < COORDINATOR_HISTORY && i < c->history_count; i++)
    if (c->history[i].id == id)
      return coordinator_copy(err, c->history[i].status,
                              &c->history[i].error);
  return sb_fail(err, SB_NOT_FOUND, "checkpoint %llu is not known here",
                 (unsigned long long)id);
}

static void
coordinator_unlink(sb_coordinator *c, const coordinator_waiter *waiter)
{
  coordinator_waiter **at = &c->waiters;

  while (*at != waiter)
    at = &(*at)->next;
  *at = waiter->next;
}

sb_status
sb_coordinator_wait(sb_coordinator *c, uint64_t id, uint64_t deadline_ns,
                    sb_error *err)
{
  coordinator_waiter waiter = { .event = NULL };
  sb_status status = coordinator_need(c, "the coordinator", err);

  if (status != SB_OK)
    return status;
  waiter.event = c->host->event_new(c->host);
  if (waiter.event == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not wait for a checkpoint: out of memory");
  pthread_mutex_lock(&c->lock);
  waiter.next = c->waiters;
  c->waiters = &waiter;
  while (c->current != NULL && c->current->id == id && status == SB_OK) {
    pthread_mutex_unlock(&c->lock);
    status = c->host->event_wait(c->host, waiter.event, deadline_ns);
    pthread_mutex_lock(&c->lock);
  }
  coordinator_unlink(c, &waiter);
  if (c->current != NULL && c->current->id == id)
    status = sb_fail(err, SB_TIMEOUT, "checkpoint %llu is still under way",
                     (unsigned long long)id);
  else
    status = coordinator_outcome_of(c, id, err);
  pthread_mutex_unlock(&c->lock);
  c->host->event_free(c->host, waiter.event);
  return status;
}

void
sb_coordinator_close(sb_coordinator *c)
{
  uint64_t current;
  uint32_t tasks, i;

  if (c == NULL)
    return;
  pthread_mutex_lock(&c->lock);
  c->closing = 1;
  current = c->current == NULL ? 0 : c->current->id;
  pthread_mutex_unlock(&c->lock);
  c->host->event_set(c->host, c->retry);
  if (current != 0)
    sb_coordinator_abort(c, current);
  for (;;) {
    pthread_mutex_lock(&c->lock);
    tasks = c->tasks;
    pthread_mutex_unlock(&c->lock);
    if (tasks == 0)
      break;
    (void)c->host->event_wait(c->host, c->idle, SB_NO_DEADLINE);
  }
  for (i = 0; i < c->options.subtasks; i++)
    (void)coordinator_deliver(c, &c->queues[i], NULL);
  coordinator_free(c);
}
