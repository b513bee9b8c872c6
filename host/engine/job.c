/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Take-over, swapping and resolving what is unknown; docs/PROTOCOL.md 3.1 is
 * the state machine that this file is.
 */
#include "config.h"

#include "host/base/slice.h"
#include "host/engine/claim.h"
#include "host/engine/job_state.h"

#define JOB_TAKEOVERS 16 /* tries against other contenders */

/* ---- turns -------------------------------------------------------------- */

sb_status
job_enter(sb_job *job, sb_error *err)
{
  const sb_host *host = job->env.host;
  job_waiter self = { NULL, NULL, 0 }, **end;
  int granted;

  (void)pthread_mutex_lock(&job->lock);
  granted = !job->busy;
  job->busy = 1;
  (void)pthread_mutex_unlock(&job->lock);
  if (granted)
    return SB_OK;
  self.event = host->event_new(host);
  if (self.event == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to wait for a job");
  (void)pthread_mutex_lock(&job->lock);
  for (end = &job->waiters; *end != NULL; end = &(*end)->next)
    continue;
  if (job->busy)
    *end = &self;
  granted = !job->busy;
  job->busy = 1;
  (void)pthread_mutex_unlock(&job->lock);
  while (!granted) {
    (void)host->event_wait(host, self.event, SB_NO_DEADLINE);
    (void)pthread_mutex_lock(&job->lock);
    granted = self.granted;
    (void)pthread_mutex_unlock(&job->lock);
  }
  host->event_free(host, self.event);
  return SB_OK;
}

void
job_leave(sb_job *job)
{
  job_waiter *next;

  (void)pthread_mutex_lock(&job->lock);
  next = job->waiters;
  if (next != NULL) {
    job->waiters = next->next;
    next->granted = 1;
    /* Set under the lock: the waiter frees the event after taking it. */
    job->env.host->event_set(job->env.host, next->event);
  } else {
    job->busy = 0;
  }
  (void)pthread_mutex_unlock(&job->lock);
}

sb_status
job_fence(sb_job *job, sb_error *err)
{
  job->fenced = 1;
  return sb_error_set(err, SB_FENCED, "job \"%s\": generation %llu has been "
                      "replaced by a newer one", job->path,
                      (unsigned long long)job->generation);
}

/* Takes the turn of a handle that is not fenced. */
static sb_status
job_begin(sb_job *job, sb_error *err)
{
  sb_status st = job_enter(job, err);

  if (st != SB_OK || !job->fenced)
    return st;
  st = job_fence(job, err);
  job_leave(job);
  return st;
}

/* ---- resolving ---------------------------------------------------------- */

static void
job_decide(sb_job *job, const job_change *change, int committed)
{
  if (!change->unknown || change->removes != 0)
    return;
  job->decided[job->decided_count++ % JOB_DECIDED] =
    (job_decision){ change->id, committed };
}

/* What `change` has seen to is no garbage any more. */
static void
job_collect(names *garbage, const job_change *change)
{
  size_t i;

  names_sort(garbage);
  names_subtract(garbage, &change->view.pending);
  names_subtract(garbage, &change->waiting);
  for (i = 0; i < change->view.count; i++)
    names_subtract(garbage, &change->view.retained[i]->names);
}

/* HEAD is known to be `now`, which `change` has written: all other changes are
   dead, since the version that they would have replaced is gone. */
static void
job_adopt(sb_job *job, job_change *change, const head_version *now)
{
  const sb_host *host = job->env.host;
  job_change *c, *next;

  job->head = *now;
  job_collect(&job->garbage, change);
  job_collect(&job->claimed, change);
  for (c = job->changes; c != NULL; c = next) {
    next = c->next;
    job_decide(job, c, c == change);
    if (c != change)
      change_free(job, c);
  }
  job->changes = NULL;
  view_dispose(host, &job->view);
  job->view = change->view;
  memset(&change->view, 0, sizeof change->view);
  names_dispose(&job->waiting);
  job->waiting = change->waiting;
  memset(&change->waiting, 0, sizeof change->waiting);
  if (change->removes == 0)
    job->committed = 1;
  change_free(job, change);
  metadata_free(host, job->newest);
  job->newest = NULL;
}

sb_status
job_look(sb_job *job, job_change **landed, sb_error *err)
{
  head_version now;
  job_change *c;
  sb_status st;

  *landed = NULL;
  st = head_read(&job->env, job->path, &now, err);
  if (st == SB_NOT_FOUND)
    return sb_error_set(err, SB_CORRUPT, "HEAD of job \"%s\" has been removed",
                        job->path);
  if (st != SB_OK)
    return st;
  if (now.head.generation != job->generation || now.head.owner != job->owner)
    return job_fence(job, err);
  if (now.head.sequence == job->head.head.sequence) {
    job->head = now;
    return SB_OK;
  }
  for (c = job->changes; c != NULL; c = c->next)
    if (strcmp(c->view.retained[0]->ref.name, now.head.metadata) == 0)
      break;
  if (c == NULL)
    return sb_error_set(err, SB_CORRUPT, "HEAD of job \"%s\" names \"%s\", "
                        "which its owner has not written", job->path,
                        now.head.metadata);
  *landed = c;
  job_adopt(job, c, &now);
  return SB_OK;
}

sb_status
job_settle(sb_job *job, sb_error *err)
{
  job_change *landed;

  return job->changes == NULL ? SB_OK : job_look(job, &landed, err);
}

static void
job_drop_change(sb_job *job, job_change *change)
{
  job_change **link = &job->changes;

  while (*link != change)
    link = &(*link)->next;
  *link = change->next;
  change_free(job, change);
}

/* ---- swapping ----------------------------------------------------------- */

static sb_status
job_try(sb_job *job, const job_change *change, head_version *now,
        sb_error *err)
{
  const metadata_ref *ref = &change->view.retained[0]->ref;
  head to = job->head.head;

  to.sequence++;
  to.nonce = job->env.host->random(job->env.host);
  to.checkpoint_id = ref->id;
  to.metadata_len = ref->length;
  to.metadata_crc = ref->crc32c;
  memcpy(to.metadata, ref->name, strlen(ref->name) + 1);
  return head_swap(&job->env, job->path, &job->head, &to, now, err);
}

/* After an attempt that did not plainly succeed or fail. SB_BUSY: not landed,
   try again. */
static sb_status
job_after_doubt(sb_job *job, job_change *change, sb_error *err)
{
  job_change *landed;
  sb_status st = job_look(job, &landed, err);

  if (st == SB_FENCED || st == SB_CORRUPT)
    return st;
  if (st != SB_OK)
    return SB_UNKNOWN;
  if (landed == NULL)
    return SB_BUSY;
  return landed == change ? SB_OK : JOB_REBUILD;
}

static sb_status
job_unknown(sb_job *job, job_change *change, sb_error *err)
{
  change->unknown = 1;
  return sb_error_set(err, SB_UNKNOWN, "it is not known whether HEAD of job "
                      "\"%s\" has changed to \"%s\"", job->path,
                      change->view.retained[0]->ref.name);
}

sb_status
job_swap(sb_job *job, job_change *change, sb_error *err)
{
  unsigned tries;

  for (tries = 0; tries < JOB_SWAPS; tries++) {
    head_version now;
    sb_status st = job_try(job, change, &now, err);

    if (st == SB_OK) {
      job_adopt(job, change, &now);
      head_trim(&job->env, job->path, now.number);
      return SB_OK;
    }
    if (st != SB_UNKNOWN && st != SB_CONFLICT) {
      if (change->uncertain)
        break;
      job_drop_change(job, change);
      return st;
    }
    /* A conflict may be an earlier attempt's doing, or this one's, repeated
       inside the store: only HEAD tells. */
    change->uncertain = 1;
    st = job_after_doubt(job, change, err);
    if (st == SB_UNKNOWN)
      break;
    if (st != SB_BUSY)
      return st;
  }
  return job_unknown(job, change, err);
}

/* ---- commit, remove, retain --------------------------------------------- */

static sb_status
job_check_commit(const sb_commit_options *options, sb_error *err)
{
  if (options->id == 0)
    return sb_error_set(err, SB_INVALID, "a checkpoint's id is at least 1");
  if (options->part_count > UINT32_MAX ||
      (options->part_count != 0 && options->parts == NULL))
    return sb_error_set(err, SB_INVALID, "checkpoint %llu has no parts",
                        (unsigned long long)options->id);
  if (options->blob.len > SB_BLOB_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "the blob of checkpoint %llu has "
                        "%zu bytes, over %u", (unsigned long long)options->id,
                        options->blob.len, SB_BLOB_MAX);
  return slice_check(options->blob, "the blob of a checkpoint", err);
}

/* An id that is not new: is it one that was decided after its commit had
   returned SB_UNKNOWN? */
static sb_status
job_known_id(const sb_job *job, uint64_t id, sb_error *err)
{
  uint32_t i, n = job->decided_count;

  for (i = 0; i < (n < JOB_DECIDED ? n : JOB_DECIDED); i++) {
    if (job->decided[i].id != id)
      continue;
    if (job->decided[i].committed)
      return SB_OK;
    return sb_error_set(err, SB_CONFLICT, "checkpoint %llu was not committed: "
                        "a later one has excluded it",
                        (unsigned long long)id);
  }
  return sb_error_set(err, SB_INVALID, "checkpoint %llu of job \"%s\" is not "
                      "newer than %llu, which is committed",
                      (unsigned long long)id, job->path,
                      (unsigned long long)job->head.head.checkpoint_id);
}

static job_change *
job_find_change(const sb_job *job, uint64_t id, uint64_t removes)
{
  job_change *c = job->changes;

  while (c != NULL && (c->id != id || c->removes != removes))
    c = c->next;
  return c;
}

static sb_status
job_room(const sb_job *job, sb_error *err)
{
  const job_change *c;
  unsigned n = 0;

  for (c = job->changes; c != NULL; c = c->next)
    n++;
  if (n < JOB_CHANGES_MAX)
    return SB_OK;
  return sb_error_set(err, SB_BUSY, "%u commits of job \"%s\" are unresolved",
                      n, job->path);
}

static sb_status
job_commit_turn(sb_job *job, const sb_commit_options *options, sb_error *err)
{
  unsigned tries;
  sb_status st = job_settle(job, err);

  if (st != SB_OK && st != SB_FENCED) {
    job_change *change = job_find_change(job, options->id, 0);

    return change == NULL ? st : job_unknown(job, change, err);
  }
  for (tries = 0; st == SB_OK && tries < JOB_SWAPS; tries++) {
    job_change *change = job_find_change(job, options->id, 0);

    if (options->id <= job->head.head.checkpoint_id)
      return job_known_id(job, options->id, err);
    if (change == NULL) {
      st = job_room(job, err);
      if (st == SB_OK)
        st = change_commit(job, options, &change, err);
      if (st != SB_OK)
        return st;
    }
    st = job_swap(job, change, err);
    if (st != JOB_REBUILD)
      return st;
    st = SB_OK;
  }
  return st != SB_OK ? st : sb_error_set(err, SB_BUSY, "could not commit "
                                         "checkpoint %llu: HEAD keeps "
                                         "changing",
                                         (unsigned long long)options->id);
}

sb_status
job_commit(sb_job *job, const sb_commit_options *options, sb_error *err)
{
  sb_status st = job_check_commit(options, err);

  if (st == SB_OK)
    st = job_begin(job, err);
  if (st != SB_OK)
    return st;
  st = job_commit_turn(job, options, err);
  if (st == SB_OK && job->follower != NULL &&
      options->id == job->head.head.checkpoint_id)
    job->follower->committed(job->follower->arg, options);
  if (st == SB_OK)
    gc_sweep(job);
  job_leave(job);
  return st;
}

static sb_status
job_check_remove(const sb_job *job, uint64_t id, sb_error *err)
{
  const job_view *view = &job->view;
  size_t i = 0;

  while (i < view->count && view->retained[i]->ref.id != id)
    i++;
  if (i == view->count)
    return sb_error_set(err, SB_NOT_FOUND, "job \"%s\" retains no checkpoint "
                        "%llu", job->path, (unsigned long long)id);
  if (i == 0)
    return sb_error_set(err, SB_INVALID, "checkpoint %llu is the newest and "
                        "cannot be removed", (unsigned long long)id);
  if (id == job->restored && !job->committed)
    return sb_error_set(err, SB_BUSY, "checkpoint %llu was restored and is in "
                        "use until the next one is committed",
                        (unsigned long long)id);
  return SB_OK;
}

static sb_status
job_remove_turn(sb_job *job, uint64_t id, sb_error *err)
{
  uint64_t newest = job->head.head.checkpoint_id;
  job_change *change = job_find_change(job, newest, id);
  int resumed = change != NULL;
  unsigned tries;
  sb_status st = job_settle(job, err);

  if (st != SB_OK)
    return st != SB_FENCED && resumed ? job_unknown(job, change, err) : st;
  for (tries = 0; tries < JOB_SWAPS; tries++) {
    st = job_check_remove(job, id, err);
    if (st == SB_NOT_FOUND && resumed)
      return SB_OK;
    change = job_find_change(job, newest, id);
    if (st == SB_OK && change == NULL) {
      st = job_room(job, err);
      if (st == SB_OK)
        st = change_remove(job, id, &change, err);
    }
    if (st != SB_OK)
      return st;
    st = job_swap(job, change, err);
    if (st != JOB_REBUILD)
      return st;
    newest = job->head.head.checkpoint_id;
  }
  return sb_error_set(err, SB_BUSY, "could not remove checkpoint %llu: HEAD "
                      "keeps changing", (unsigned long long)id);
}

sb_status
job_remove(sb_job *job, uint64_t id, sb_error *err)
{
  sb_status st = job_begin(job, err);

  if (st != SB_OK)
    return st;
  st = job_remove_turn(job, id, err);
  if (st == SB_OK)
    gc_sweep(job);
  job_leave(job);
  return st;
}

static sb_status
job_check_retain(uint32_t count, sb_error *err)
{
  if (count >= 1 && count <= JOB_RETAIN_MAX)
    return SB_OK;
  return sb_error_set(err, SB_INVALID, "cannot retain %u checkpoints: from 1 "
                      "to %u are allowed", count, JOB_RETAIN_MAX);
}

sb_status
job_retain(sb_job *job, uint32_t count, sb_error *err)
{
  sb_status st = job_check_retain(count, err);

  if (st == SB_OK)
    st = job_begin(job, err);
  if (st != SB_OK)
    return st;
  job->retain = count;
  job_leave(job);
  return SB_OK;
}

/* ---- take-over ---------------------------------------------------------- */

/* Makes this job's HEAD out of the present one (NULL: of nothing). */
static sb_status
job_take(sb_job *job, const head_version *from, const char *job_id,
         sb_error *err)
{
  head to = { 0 };

  if (from != NULL)
    to = from->head;
  to.generation++;
  to.sequence++;
  to.owner = job->owner;
  to.nonce = job->env.host->random(job->env.host);
  memcpy(to.job_id, job_id, strlen(job_id) + 1);
  return head_swap(&job->env, job->path, from, &to, &job->head, err);
}

/* One round. SB_BUSY: HEAD has changed or the outcome is not known: again. */
static sb_status
job_takeover_round(sb_job *job, const char *job_id, sb_error *err)
{
  head_version now;
  sb_status st = head_read(&job->env, job->path, &now, err);

  if (st == SB_NOT_FOUND) {
    st = head_check_fresh(&job->env, job->path, err);
    /* What speaks against it may have come after HEAD was looked for. */
    if (st == SB_MISMATCH || st == SB_CORRUPT)
      return head_read(&job->env, job->path, &now, NULL) == SB_OK ? SB_BUSY
                                                                  : st;
    if (st == SB_OK)
      st = job_take(job, NULL, job_id, err);
  } else if (st == SB_OK && now.head.owner == job->owner) {
    job->head = now; /* an earlier round's answer was lost */
    return SB_OK;
  } else if (st == SB_OK && strcmp(now.head.job_id, job_id) != 0) {
    return sb_error_set(err, SB_MISMATCH, "HEAD at \"%s\" belongs to job id "
                        "\"%s\", not \"%s\"", job->path, now.head.job_id,
                        job_id);
  } else if (st == SB_OK) {
    st = job_take(job, &now, job_id, err);
  }
  if (st == SB_CONFLICT || st == SB_UNKNOWN)
    return SB_BUSY;
  return st;
}

/* Who stalled between taking HEAD and this finds that a successor has removed
   what was named then. */
static sb_status
job_newest_missing(sb_job *job, sb_error *err)
{
  head_version now;

  if (head_read(&job->env, job->path, &now, NULL) == SB_OK &&
      now.head.owner != job->owner)
    return job_fence(job, err);
  return sb_error_set(err, SB_CORRUPT, "\"%s\", which HEAD names, is missing",
                      job->head.head.metadata);
}

static sb_status
job_load(sb_job *job, sb_error *err)
{
  const head *h = &job->head.head;
  sb_status st;

  if (h->checkpoint_id == 0)
    return SB_OK;
  st = metadata_read(job->env.host, job->env.store, h->metadata,
                     h->metadata_len, h->metadata_crc, &job->newest, err);
  if (st == SB_NOT_FOUND)
    st = job_newest_missing(job, err);
  if (st == SB_OK)
    st = view_from_metadata(job->env.host, job->newest, h->metadata,
                            h->metadata_len, h->metadata_crc, &job->view,
                            err);
  return st;
}

static sb_status
job_new(const job_env *env, const sb_takeover_options *options, sb_job **out,
        sb_error *err)
{
  sb_job *job = mem_zalloc(env->host, sizeof *job);
  char *path = mem_strdup(env->host, options->job);

  *out = NULL;
  if (job == NULL || path == NULL ||
      pthread_mutex_init(&job->lock, NULL) != 0) {
    mem_free(env->host, job);
    mem_free(env->host, path);
    return sb_error_set(err, SB_NO_MEMORY, "no memory for job \"%s\"",
                        options->job);
  }
  job->env = *env;
  job->path = path;
  job->retain = options->retain;
  job->owner = env->host->random(env->host);
  names_init(&job->view.pending, env->host);
  names_init(&job->waiting, env->host);
  names_init(&job->garbage, env->host);
  names_init(&job->claimed, env->host);
  *out = job;
  return SB_OK;
}

static sb_status
job_check_takeover(const job_env *env, const sb_takeover_options *options,
                   sb_error *err)
{
  if (options->job == NULL || options->job_id == NULL ||
      strlen(options->job_id) > HEAD_JOB_ID_MAX)
    return sb_error_set(err, SB_INVALID, "a job id has at most %u bytes",
                        HEAD_JOB_ID_MAX);
  if ((env->store_flags & (SB_STORE_CREATE | SB_STORE_MATCH)) == 0)
    return sb_error_set(err, SB_UNSUPPORTED, "the store honours neither "
                        "create-only nor match conditions, which checkpoints "
                        "need");
  if ((env->store_flags & SB_STORE_CREATE) == 0)
    return sb_error_set(err, SB_UNSUPPORTED, "the store does not honour "
                        "create-only puts, which checkpoints need");
  if (claim_claimer(options->job_id) != NULL)
    return sb_error_set(err, SB_INVALID, "\"%s\" cannot be a job id: it reads "
                        "as a claim", options->job_id);
  return job_check_retain(options->retain, err);
}

sb_status
job_takeover(const job_env *env, const sb_takeover_options *options,
             sb_job **out, sb_error *err)
{
  sb_job *job;
  sb_status st;
  int tries;

  *out = NULL;
  st = job_check_takeover(env, options, err);
  if (st == SB_OK)
    st = job_new(env, options, &job, err);
  if (st != SB_OK)
    return st;
  st = SB_BUSY;
  for (tries = 0; st == SB_BUSY && tries < JOB_TAKEOVERS; tries++)
    st = job_takeover_round(job, options->job_id, err);
  if (st == SB_BUSY)
    sb_error_set(err, st, "could not take over job \"%s\": HEAD keeps "
                 "changing or does not answer", options->job);
  job->generation = job->head.head.generation;
  if (st == SB_OK)
    st = job_load(job, err);
  if (st == SB_OK) {
    gc_sweep_uploads(job);
    *out = job;
  } else {
    job_close(job);
  }
  return st;
}

uint64_t
job_generation(sb_job *job)
{
  return job->generation;
}

const char *
job_path(sb_job *job)
{
  return job->path;
}

const char *
job_id(const sb_job *job)
{
  return job->head.head.job_id;
}

sb_status
job_claim(sb_job *job, const names *claimed, sb_error *err)
{
  sb_status st = job_enter(job, err);

  if (st != SB_OK)
    return st;
  names_add_all(&job->claimed, claimed);
  st = job->claimed.status;
  names_forgive(&job->claimed);
  if (st != SB_OK)
    sb_error_set(err, st, "no memory for claimed names");
  job_leave(job);
  return st;
}

void
job_set_keeper(sb_job *job, void *keeper)
{
  job->keeper = keeper;
}

void *
job_keeper(const sb_job *job)
{
  return job->keeper;
}

void
job_close(sb_job *job)
{
  const sb_host *host;
  job_change *c;

  if (job == NULL)
    return;
  host = job->env.host;
  if (job->follower != NULL)
    job->follower->close(job->follower->arg);
  while (job->changes != NULL) {
    c = job->changes;
    job->changes = c->next;
    change_free(job, c);
  }
  view_dispose(host, &job->view);
  names_dispose(&job->waiting);
  names_dispose(&job->garbage);
  names_dispose(&job->claimed);
  metadata_free(host, job->newest);
  (void)pthread_mutex_destroy(&job->lock);
  mem_free(host, job->path);
  mem_free(host, job);
}
