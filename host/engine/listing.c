/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading checkpoints: what is retained, and opening one. All of it starts
 * from HEAD. docs/PROTOCOL.md 3.1 (6) and 4.2.
 */
#include "config.h"

#include "host/engine/claim.h"
#include "host/engine/job_state.h"
#include "host/engine/opened.h"
#include "host/engine/pin.h"

#define LISTING_TRIES 8 /* while the committer goes on */

/* HEAD and the view that its _metadata gives. An empty view if nothing is
   committed; SB_NOT_FOUND if there is no job. */
typedef struct listing {
  head_version head;
  job_view view;
} listing;

static void
listing_dispose(const job_env *env, listing *l)
{
  view_dispose(env->host, &l->view);
}

static sb_status
listing_read_once(const job_env *env, const char *job, listing *l,
                  sb_error *err)
{
  const head *h = &l->head.head;
  metadata *m = NULL;
  sb_status st = head_read(env, job, &l->head, err);

  if (st != SB_OK || h->checkpoint_id == 0)
    return st;
  st = metadata_read(env->host, env->store, h->metadata, h->metadata_len,
                     h->metadata_crc, &m, err);
  if (st == SB_NOT_FOUND)
    return SB_BUSY;
  if (st == SB_OK)
    st = view_from_metadata(env->host, m, h->metadata, h->metadata_len,
                            h->metadata_crc, &l->view, err);
  metadata_free(env->host, m);
  return st;
}

/* A _metadata that is gone was replaced since HEAD was read, unless HEAD has
   not changed. */
static sb_status
listing_read(const job_env *env, const char *job, listing *l, sb_error *err)
{
  uint64_t nonce = 0;
  sb_status st = SB_BUSY;
  int tries;

  memset(l, 0, sizeof *l);
  for (tries = 0; st == SB_BUSY && tries < LISTING_TRIES; tries++) {
    st = listing_read_once(env, job, l, err);
    if (st == SB_BUSY && tries != 0 && l->head.head.nonce == nonce)
      return sb_error_set(err, SB_CORRUPT, "\"%s\", which HEAD names, is "
                          "missing", l->head.head.metadata);
    nonce = l->head.head.nonce;
  }
  if (st == SB_BUSY)
    sb_error_set(err, st, "job \"%s\" commits too fast to be read", job);
  return st;
}

static const metadata_ref *
listing_find(const job_view *view, uint64_t id)
{
  size_t i;

  for (i = 0; i < view->count; i++)
    if (id == 0 || view->retained[i]->ref.id == id)
      return &view->retained[i]->ref;
  return NULL;
}

/* ---- list --------------------------------------------------------------- */

sb_status
job_list(const job_env *env, const char *job, sb_checkpoint_info **out,
         size_t *count, sb_error *err)
{
  sb_checkpoint_info *list;
  listing l;
  sb_status st;
  size_t i;

  *out = NULL;
  *count = 0;
  st = listing_read(env, job, &l, err);
  if (st == SB_NOT_FOUND)
    return SB_OK;
  list = st == SB_OK ? mem_zalloc(env->host, l.view.count * sizeof *list)
                     : NULL;
  for (i = 0; list != NULL && i < l.view.count; i++) {
    const metadata_ref *ref = &l.view.retained[i]->ref;
    char *name = mem_strdup(env->host, ref->name);

    if (name == NULL) {
      job_list_free(env, list, i);
      list = NULL;
    } else {
      opened_info(ref, name, &list[i]);
    }
  }
  if (st == SB_OK && list == NULL)
    st = sb_error_set(err, SB_NO_MEMORY, "no memory for a list of "
                      "checkpoints");
  if (st == SB_OK) {
    *out = list;
    *count = l.view.count;
  }
  listing_dispose(env, &l);
  return st;
}

void
job_list_free(const job_env *env, sb_checkpoint_info *list, size_t count)
{
  size_t i;

  for (i = 0; list != NULL && i < count; i++)
    mem_free(env->host, (char *)list[i].name);
  mem_free(env->host, list);
}

/* ---- opening ------------------------------------------------------------ */

static sb_status
opened_read(const job_env *env, const metadata_ref *ref, const char *pin_name,
            sb_checkpoint **out, sb_error *err)
{
  metadata *m;
  sb_status st = metadata_read(env->host, env->store, ref->name, ref->length,
                               ref->crc32c, &m, err);

  return st == SB_OK ? opened_new(env, m, ref, pin_name, out, err) : st;
}

static sb_status
listing_absent(const char *job, const head *h, uint64_t id, sb_error *err)
{
  if (claim_claimer(h->job_id) != NULL)
    return sb_error_set(err, SB_NOT_FOUND, "job \"%s\" has no such "
                        "checkpoint: all were %s", job, h->job_id);
  if (id == 0)
    return sb_error_set(err, SB_NOT_FOUND, "job \"%s\" has no checkpoint",
                        job);
  return sb_error_set(err, SB_NOT_FOUND, "job \"%s\" retains no checkpoint "
                      "%llu", job, (unsigned long long)id);
}

/* Is `ref` retained by the HEAD of now? SB_BUSY if not. */
static sb_status
listing_recheck(const job_env *env, const char *job, const listing *before,
                const metadata_ref *ref, sb_error *err)
{
  head_version now;
  listing l;
  sb_status st = head_read(env, job, &now, err);
  size_t i;

  if (st != SB_OK || now.head.nonce == before->head.head.nonce)
    return st;
  st = listing_read(env, job, &l, err);
  if (st != SB_OK)
    return st;
  st = SB_BUSY;
  for (i = 0; i < l.view.count; i++)
    if (strcmp(l.view.retained[i]->ref.name, ref->name) == 0)
      st = SB_OK;
  listing_dispose(env, &l);
  return st;
}

/* One attempt; SB_BUSY: what was chosen has gone meanwhile. */
static sb_status
listing_open_once(const job_env *env, const char *job, uint64_t id,
                  uint32_t flags, sb_checkpoint **out, sb_error *err)
{
  char pin_name[PATH_SIZE] = "";
  const metadata_ref *ref;
  listing l;
  sb_status st = listing_read(env, job, &l, err);

  if (st != SB_OK)
    return st;
  ref = listing_find(&l.view, id);
  if (ref == NULL) {
    st = listing_absent(job, &l.head.head, id, err);
  } else {
    if (flags & SB_CHECKPOINT_PIN)
      st = pin_put(env, job, ref, pin_name, err);
    if (st == SB_OK && flags & SB_CHECKPOINT_PIN)
      st = listing_recheck(env, job, &l, ref, err);
    if (st == SB_OK) {
      st = opened_read(env, ref, pin_name, out, err);
      st = st == SB_NOT_FOUND ? SB_BUSY : st;
    }
    if (st != SB_OK)
      pin_remove(env, pin_name);
  }
  listing_dispose(env, &l);
  return st;
}

sb_status
job_checkpoint_open(const job_env *env, const char *job, uint64_t id,
                    uint32_t flags, sb_checkpoint **out, sb_error *err)
{
  sb_status st = SB_BUSY;
  int tries;

  *out = NULL;
  if ((flags & ~SB_CHECKPOINT_PIN) != 0)
    return sb_error_set(err, SB_INVALID, "unknown flags of checkpoint_open");
  for (tries = 0; st == SB_BUSY && tries < LISTING_TRIES; tries++)
    st = listing_open_once(env, job, id, flags, out, err);
  if (st == SB_BUSY)
    sb_error_set(err, st, "checkpoints of job \"%s\" go faster than they can "
                 "be opened", job);
  return st;
}

static sb_status
listing_open_own(sb_job *job, uint64_t id, sb_checkpoint **out, sb_error *err)
{
  const metadata_ref *ref = listing_find(&job->view, id);
  metadata *m = job->newest;
  sb_status st;

  if (ref == NULL)
    return listing_absent(job->path, &job->head.head, id, err);
  if (m != NULL && ref->id == m->id) {
    job->newest = NULL;
    st = opened_new(&job->env, m, ref, NULL, out, err);
  } else {
    st = opened_read(&job->env, ref, NULL, out, err);
  }
  if (st == SB_OK && !job->committed)
    job->restored = ref->id;
  return st;
}

sb_status
job_checkpoint_open_own(sb_job *job, uint64_t id, sb_checkpoint **out,
                        sb_error *err)
{
  sb_status st;

  *out = NULL;
  st = job_enter(job, err);
  if (st != SB_OK)
    return st;
  st = job->fenced ? job_fence(job, err)
                   : listing_open_own(job, id, out, err);
  job_leave(job);
  return st;
}
