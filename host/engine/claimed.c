/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting what was claimed; see claimed.h. */
#include "config.h"

#include "host/engine/claim.h"
#include "host/engine/claimed.h"
#include "host/engine/gc.h"
#include "host/engine/pin.h"
#include "host/engine/savepoint.h"

/* ---- whose it is -------------------------------------------------------- */

static uint32_t
claimed_look_savepoint(const sb_job *job, const path_place *place)
{
  claim there;
  sb_status st = claim_read(&job->env, place->job, place->savepoint, &there,
                            NULL);

  if (st == SB_OK && there.kind == CLAIM_BY_JOB)
    return CLAIMED_REMOVE;
  return st == SB_OK || st == SB_NOT_FOUND ? CLAIMED_FORGET : CLAIMED_WAIT;
}

/* Pins are listed after HEAD has let go: see the rule PIN. */
static uint32_t
claimed_look_job(const sb_job *job, const path_place *place, names *keep)
{
  names none;
  uint64_t pins;
  sb_status st = claim_retire(&job->env, place->job, NULL);

  if (st == SB_MISMATCH || st == SB_NOT_FOUND)
    return CLAIMED_FORGET;
  if (st != SB_OK)
    return CLAIMED_WAIT;
  names_init(&none, job->env.host);
  st = pin_collect(&job->env, place->job, &none, keep, &pins, NULL);
  names_dispose(&none);
  return st == SB_OK ? CLAIMED_REMOVE : CLAIMED_WAIT;
}

static claimed_place *
claimed_find(const claimed *c, const path_place *place)
{
  size_t i;

  for (i = 0; i < c->count; i++)
    if (strcmp(c->places[i].place.job, place->job) == 0 &&
        strcmp(c->places[i].place.savepoint, place->savepoint) == 0)
      return &c->places[i];
  return NULL;
}

static sb_status
claimed_add(sb_job *job, claimed *c, const path_place *place, names *keep)
{
  claimed_place *places, *p;

  places = mem_realloc(job->env.host, c->places,
                       (c->count + 1) * sizeof *places);
  if (places == NULL)
    return SB_NO_MEMORY;
  c->places = places;
  p = &places[c->count++];
  p->place = *place;
  p->whole = place->savepoint[0] != '\0';
  p->verdict = p->whole ? claimed_look_savepoint(job, place)
                        : claimed_look_job(job, place, keep);
  return SB_OK;
}

/* 1 and the place, if the name is ours and not the job's own. */
static int
claimed_is(const sb_job *job, const char *name, path_place *place)
{
  return !gc_is_own(job, name) &&
         paths_locate(job->env.paths, name, place) &&
         (place->savepoint[0] != '\0' || strcmp(place->job, job->path) != 0);
}

sb_status
claimed_begin(sb_job *job, claimed *c, names *keep)
{
  path_place place;
  sb_status st = SB_OK;
  size_t i;

  memset(c, 0, sizeof *c);
  for (i = 0; st == SB_OK && i < job->view.pending.count; i++) {
    const char *name = names_at(&job->view.pending, i);

    if (!claimed_is(job, name, &place))
      continue;
    if (claimed_find(c, &place) == NULL)
      st = claimed_add(job, c, &place, keep);
    if (st == SB_OK &&
        paths_parse(job->env.paths, place.job, name).kind == PATH_METADATA)
      claimed_find(c, &place)->whole = 1;
  }
  return st;
}

uint32_t
claimed_verdict(const sb_job *job, const claimed *c, const char *name)
{
  const claimed_place *p;
  path_place place;

  if (!claimed_is(job, name, &place))
    return CLAIMED_FORGET;
  p = claimed_find(c, &place);
  return p == NULL ? CLAIMED_WAIT : p->verdict;
}

void
claimed_dispose(const sb_job *job, claimed *c)
{
  mem_free(job->env.host, c->places);
  c->places = NULL;
  c->count = 0;
}

/* ---- what is left ------------------------------------------------------- */

/* Removes what nothing needs. *needed, unless NULL: is anything needed? */
static sb_status
claimed_remove_rest(sb_job *job, names *n, const names *keep, int *needed)
{
  uint8_t *rest = mem_zalloc(job->env.host, n->count);
  sb_status st = n->status;
  size_t i;

  if (rest == NULL || st != SB_OK) {
    mem_free(job->env.host, rest);
    return SB_NO_MEMORY;
  }
  for (i = 0; i < n->count; i++) {
    rest[i] = !gc_is_named(job, names_at(n, i)) &&
              !names_has(keep, names_at(n, i));
    if (needed != NULL && !rest[i])
      *needed = 1;
  }
  names_filter(n, rest);
  mem_free(job->env.host, rest);
  st = gc_remove_names(job, n);
  return st == SB_OK && n->count != 0 ? SB_IO : st;
}

static sb_status
claimed_remove_savepoint(sb_job *job, const path_place *place,
                         const names *keep)
{
  int needed = 0;
  names n;
  sb_status st;

  names_init(&n, job->env.host);
  st = savepoint_names(&job->env, place->job, place->savepoint, &n, NULL);
  if (st == SB_OK)
    st = claimed_remove_rest(job, &n, keep, &needed);
  if (st == SB_OK && !needed)
    st = claim_remove(&job->env, place->job, place->savepoint);
  names_dispose(&n);
  return st;
}

typedef struct claimed_walk {
  sb_job *job;
  const path_place *place;
  const names *keep;
  names batch;
} claimed_walk;

static sb_status
claimed_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  claimed_walk *w = arg;
  uint32_t kind = paths_parse(w->job->env.paths, w->place->job,
                              entry->name).kind;
  sb_status st;

  (void)err;
  if (kind == PATH_SEGMENT || kind == PATH_MANIFEST || kind == PATH_METADATA)
    names_add(&w->batch, entry->name, entry->size);
  if (w->batch.count < GC_BATCH)
    return w->batch.status;
  st = claimed_remove_rest(w->job, &w->batch, w->keep, NULL);
  w->batch.count = 0;
  return st;
}

static int
claimed_upload_is_dead(void *arg, const char *name)
{
  const claimed_walk *w = arg;
  uint32_t kind = paths_parse(w->job->env.paths, w->place->job, name).kind;

  return kind == PATH_SEGMENT || kind == PATH_MANIFEST ||
         kind == PATH_METADATA;
}

static sb_status
claimed_remove_prefix(claimed_walk *w, const char *prefix)
{
  const job_env *env = &w->job->env;
  sb_status st = store_list(env->host, env->store, prefix, NULL, claimed_entry,
                            w, NULL);

  if (st == SB_OK)
    st = claimed_remove_rest(w->job, &w->batch, w->keep, NULL);
  names_dispose(&w->batch);
  names_init(&w->batch, env->host);
  if (SB_STORE_HAS(env->store, sweep))
    (void)store_sweep(env->host, env->store, prefix, claimed_upload_is_dead, w,
                      NULL, NULL);
  return st;
}

/* The claimed job is over: what nothing names is an orphan of whatever
   generation. */
static sb_status
claimed_remove_job(sb_job *job, const path_place *place, const names *keep)
{
  claimed_walk w = { job, place, keep, { .count = 0 } };
  char prefix[PATH_SIZE];
  sb_status st;

  names_init(&w.batch, job->env.host);
  st = paths_segments_prefix(job->env.paths, place->job, prefix, NULL);
  if (st == SB_OK)
    st = claimed_remove_prefix(&w, prefix);
  if (st == SB_OK)
    st = paths_checkpoints_prefix(job->env.paths, place->job, prefix, NULL);
  if (st == SB_OK)
    st = claimed_remove_prefix(&w, prefix);
  names_dispose(&w.batch);
  return st;
}

void
claimed_remove(sb_job *job, claimed *c, const names *keep)
{
  int known;
  size_t i;

  if (c->count == 0)
    return;
  (void)view_load(job, NULL);
  known = gc_knows_all(job);
  for (i = 0; i < c->count; i++) {
    claimed_place *p = &c->places[i];
    sb_status st = SB_BUSY;

    if (p->verdict != CLAIMED_REMOVE || !p->whole)
      continue;
    if (known)
      st = p->place.savepoint[0] != '\0'
             ? claimed_remove_savepoint(job, &p->place, keep)
             : claimed_remove_job(job, &p->place, keep);
    p->verdict = st == SB_OK ? CLAIMED_FORGET : CLAIMED_WAIT;
  }
}
