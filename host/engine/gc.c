/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting what is pending, and collecting orphans by listing; see gc.h. */
#include "config.h"

#include "host/engine/claimed.h"
#include "host/engine/gc.h"
#include "host/engine/pin.h"

/* ---- removing ----------------------------------------------------------- */

/* Names of all _metadata objects that are retained, sorted. */
static void
gc_retained(const sb_job *job, names *out)
{
  size_t i;

  for (i = 0; i < job->view.count; i++)
    names_add(out, job->view.retained[i]->ref.name, 0);
  names_sort(out);
}

/* What readers' pins keep, sorted. Called after the drop of what is to be
   removed was committed: see the rule PIN. */
static sb_status
gc_pinned(sb_job *job, names *keep, uint64_t *pins, sb_error *err)
{
  names retained;
  sb_status st;

  names_init(&retained, job->env.host);
  gc_retained(job, &retained);
  st = retained.status;
  if (st != SB_OK)
    (void)sb_error_set(err, st, "no memory for the retained checkpoints");
  else
    st = pin_collect(&job->env, job->path, &retained, keep, pins, err);
  names_sort(keep);
  names_dispose(&retained);
  return st;
}

sb_status
gc_remove_names(const sb_job *job, names *n)
{
  const sb_host *host = job->env.host;
  const char **list = mem_alloc(host, n->count * sizeof *list);
  sb_status *statuses = mem_zalloc(host, n->count * sizeof *statuses);
  uint8_t *keep = mem_zalloc(host, n->count);
  sb_status st = SB_NO_MEMORY;
  size_t i;

  if (list != NULL && statuses != NULL && keep != NULL) {
    for (i = 0; i < n->count; i++)
      list[i] = names_at(n, i);
    st = store_remove(host, job->env.store, list, n->count, statuses, NULL);
    for (i = 0; i < n->count; i++)
      keep[i] = statuses[i] != SB_OK && statuses[i] != SB_NOT_FOUND;
    names_filter(n, keep);
  }
  mem_free(host, list);
  mem_free(host, statuses);
  mem_free(host, keep);
  return st;
}

int
gc_is_own(const sb_job *job, const char *name)
{
  path_info info = paths_parse(job->env.paths, job->path, name);

  return info.kind == PATH_SEGMENT || info.kind == PATH_MANIFEST ||
         info.kind == PATH_METADATA;
}

/* Pending names come from a _metadata object: they are looked at once more
   before anything is done to them. */
static void
gc_sweep_pending(sb_job *job, const claimed *places, const names *keep)
{
  names todo, rest;
  size_t i;

  names_init(&todo, job->env.host);
  names_init(&rest, job->env.host);
  for (i = 0; i < job->view.pending.count; i++) {
    const char *name = names_at(&job->view.pending, i);
    uint32_t verdict = gc_is_own(job, name)
                         ? CLAIMED_REMOVE : claimed_verdict(job, places, name);

    if (verdict == CLAIMED_WAIT || names_has(keep, name))
      names_add(&rest, name, 0);
    else if (verdict == CLAIMED_REMOVE)
      names_add(&todo, name, 0);
  }
  if (todo.status == SB_OK && rest.status == SB_OK) {
    (void)gc_remove_names(job, &todo);
    names_add_all(&rest, &todo);
  }
  /* Out of memory: all stay pending, which costs a second removal. */
  if (todo.status == SB_OK && rest.status == SB_OK) {
    names_sort(&rest);
    names_dispose(&job->view.pending);
    job->view.pending = rest;
  } else {
    names_dispose(&rest);
  }
  names_dispose(&todo);
}

void
gc_sweep(sb_job *job)
{
  claimed places = { NULL, 0 };
  names keep;
  uint64_t pins;

  if (job->view.pending.count == 0 || job->fenced)
    return;
  names_init(&keep, job->env.host);
  if (claimed_begin(job, &places, &keep) == SB_OK &&
      gc_pinned(job, &keep, &pins, NULL) == SB_OK && keep.status == SB_OK) {
    claimed_remove(job, &places, &keep);
    gc_sweep_pending(job, &places, &keep);
  }
  claimed_dispose(job, &places);
  names_dispose(&keep);
}

/* ---- uploads ------------------------------------------------------------ */

/* A live job's own uploads have its generation. */
static int
gc_upload_is_dead(void *arg, const char *name)
{
  const sb_job *job = arg;
  path_info info = paths_parse(job->env.paths, job->path, name);

  return (info.kind == PATH_SEGMENT || info.kind == PATH_MANIFEST ||
          info.kind == PATH_METADATA) && info.generation < job->generation;
}

void
gc_sweep_uploads(sb_job *job)
{
  const job_env *env = &job->env;
  char prefix[PATH_SIZE];

  if (job->generation <= 1 || job->fenced ||
      !SB_STORE_HAS(env->store, sweep))
    return;
  if (paths_segments_prefix(env->paths, job->path, prefix, NULL) == SB_OK)
    (void)store_sweep(env->host, env->store, prefix, gc_upload_is_dead, job,
                      NULL, NULL);
  if (paths_checkpoints_prefix(env->paths, job->path, prefix, NULL) == SB_OK)
    (void)store_sweep(env->host, env->store, prefix, gc_upload_is_dead, job,
                      NULL, NULL);
}

/* ---- collecting --------------------------------------------------------- */

typedef struct gc_walk {
  sb_job *job;
  uint32_t flags;
  sb_gc_report *report;
  names batch;            /* objects of older generations, with sizes */
} gc_walk;

int
gc_is_named(const sb_job *job, const char *name)
{
  const job_change *c;
  size_t i;

  for (i = 0; i < job->view.count; i++)
    if (names_has(&job->view.retained[i]->names, name))
      return 1;
  for (c = job->changes; c != NULL; c = c->next)
    if (names_has(&c->view.retained[0]->names, name))
      return 1;
  return 0;
}

int
gc_knows_all(const sb_job *job)
{
  size_t i;

  for (i = 0; i < job->view.count; i++)
    if (!job->view.retained[i]->known)
      return 0;
  return 1;
}

/* Leaves the orphans in the batch and counts them. */
static sb_status
gc_select(gc_walk *walk, const names *keep, sb_error *err)
{
  names *batch = &walk->batch;
  uint8_t *orphan = mem_zalloc(walk->job->env.host, batch->count);
  size_t i;

  if (orphan == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a collection");
  for (i = 0; i < batch->count; i++) {
    const char *name = names_at(batch, i);

    orphan[i] = !gc_is_named(walk->job, name) && !names_has(keep, name) &&
                !names_has(&walk->job->view.pending, name);
    if (orphan[i]) {
      walk->report->orphans++;
      walk->report->orphan_bytes += names_number(batch, i);
    }
  }
  names_filter(batch, orphan);
  mem_free(walk->job->env.host, orphan);
  return SB_OK;
}

/* In the job's turn. */
static sb_status
gc_batch_turn(gc_walk *walk, sb_error *err)
{
  sb_job *job = walk->job;
  uint64_t pins = 0, found;
  names keep;
  sb_status st = job_settle(job, err);

  if (st == SB_OK)
    st = view_load(job, err);
  if (st != SB_OK)
    return st;
  if (!gc_knows_all(job))
    return sb_error_set(err, SB_CORRUPT, "cannot collect: a retained "
                        "checkpoint of job \"%s\" cannot be read", job->path);
  names_init(&keep, job->env.host);
  st = gc_pinned(job, &keep, &pins, err);
  if (st == SB_OK)
    st = gc_select(walk, &keep, err);
  names_dispose(&keep);
  walk->report->pins = pins;
  found = walk->batch.count;
  if (st != SB_OK || found == 0 || walk->flags & SB_GC_DRY_RUN)
    return st;
  (void)gc_remove_names(job, &walk->batch);
  walk->report->failed += walk->batch.count;
  walk->report->removed += found - walk->batch.count;
  return SB_OK;
}

static sb_status
gc_flush(gc_walk *walk, sb_error *err)
{
  const sb_host *host = walk->job->env.host;
  sb_status st = walk->batch.status;

  if (st != SB_OK)
    return sb_error_set(err, st, "no memory for a collection");
  names_sort(&walk->batch);
  st = job_enter(walk->job, err);
  if (st != SB_OK)
    return st;
  st = walk->job->fenced ? job_fence(walk->job, err)
                         : gc_batch_turn(walk, err);
  job_leave(walk->job);
  names_dispose(&walk->batch);
  names_init(&walk->batch, host);
  return st;
}

static sb_status
gc_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  gc_walk *walk = arg;
  const sb_job *job = walk->job;
  path_info info = paths_parse(job->env.paths, job->path, entry->name);
  int data = info.kind == PATH_SEGMENT || info.kind == PATH_MANIFEST ||
             info.kind == PATH_METADATA;

  walk->report->objects += info.kind != PATH_OTHER;
  walk->report->bytes += info.kind != PATH_OTHER ? entry->size : 0;
  if (data && info.generation < job->generation)
    names_add(&walk->batch, entry->name, entry->size);
  return walk->batch.count < GC_BATCH && walk->batch.status == SB_OK
           ? SB_OK : gc_flush(walk, err);
}

static sb_status
gc_list(gc_walk *walk, const char *prefix, sb_error *err)
{
  return store_list(walk->job->env.host, walk->job->env.store, prefix, NULL,
                    gc_entry, walk, err);
}

static sb_status
gc_remove_pins(sb_job *job, sb_gc_report *report, sb_error *err)
{
  names pins;
  size_t found;
  sb_status st;

  names_init(&pins, job->env.host);
  st = pin_list(&job->env, job->path, &pins, err);
  found = pins.count;
  if (st == SB_OK && found != 0) {
    (void)gc_remove_names(job, &pins);
    report->failed += pins.count;
    report->removed += found - pins.count;
  }
  names_dispose(&pins);
  return st;
}

/* Before the walk: the predecessors' pending names, in the job's turn. */
static sb_status
gc_prepare(sb_job *job, uint32_t flags, sb_gc_report *report, sb_error *err)
{
  int dry = (flags & SB_GC_DRY_RUN) != 0;
  job_change *landed;
  size_t pending;
  sb_status st = job_enter(job, err);

  if (st != SB_OK)
    return st;
  /* HEAD is read even with nothing in doubt: who was overtaken learns it. */
  st = job->fenced ? job_fence(job, err) : job_look(job, &landed, err);
  if (st == SB_OK && (flags & SB_GC_PINS) != 0 && !dry)
    st = gc_remove_pins(job, report, err);
  if (st == SB_OK && !dry) {
    pending = job->view.pending.count;
    gc_sweep(job);
    report->removed += pending - job->view.pending.count;
    head_trim(&job->env, job->path, job->head.number);
    gc_sweep_uploads(job);
  }
  job_leave(job);
  return st;
}

sb_status
job_gc(sb_job *job, uint32_t flags, sb_gc_report *report, sb_error *err)
{
  uint32_t size = report->struct_size;
  gc_walk walk = { job, flags, report, { .count = 0 } };
  char prefix[PATH_SIZE];
  sb_status st;

  memset(report, 0, sizeof *report);
  report->struct_size = size;
  if ((flags & ~(SB_GC_DRY_RUN | SB_GC_PINS)) != 0)
    return sb_error_set(err, SB_INVALID, "unknown flags of gc");
  names_init(&walk.batch, job->env.host);
  st = gc_prepare(job, flags, report, err);
  if (st == SB_OK)
    st = paths_segments_prefix(job->env.paths, job->path, prefix, err);
  if (st == SB_OK)
    st = gc_list(&walk, prefix, err);
  if (st == SB_OK)
    st = paths_checkpoints_prefix(job->env.paths, job->path, prefix, err);
  if (st == SB_OK)
    st = gc_list(&walk, prefix, err);
  if (st == SB_OK)
    st = gc_flush(&walk, err);
  names_dispose(&walk.batch);
  return st;
}
