/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring what another job or a savepoint has: with a claim, which is on the
 * store before anything is handed out, or without one, when it stays whose it
 * was. docs/PROTOCOL.md 5.
 */
#include "config.h"

#include "host/engine/claim.h"
#include "host/engine/job_state.h"
#include "host/engine/manifest.h"
#include "host/engine/opened.h"
#include "host/engine/savepoint.h"

#define SOURCE_TRIES 8 /* while the source's committer goes on */

/* ---- checkpoints -------------------------------------------------------- */

/* A source's HEAD and what it retains. */
typedef struct source {
  head_version head;
  job_view view;
  metadata *newest;
} source;

static void
source_dispose(const job_env *env, source *s)
{
  view_dispose(env->host, &s->view);
  metadata_free(env->host, s->newest);
  s->newest = NULL;
}

static sb_status
source_check_head(const char *job, const head *h, const char *claimer,
                  sb_error *err)
{
  const char *first = claim_claimer(h->job_id);

  if (strcmp(h->job_id, claimer) == 0)
    return sb_error_set(err, SB_INVALID, "cannot claim the checkpoints of job "
                        "\"%s\": they belong to job id \"%s\" already", job,
                        claimer);
  if (first != NULL && strcmp(first, claimer) != 0)
    return sb_error_set(err, SB_BUSY, "cannot claim the checkpoints of job "
                        "\"%s\": job id \"%s\" has claimed them", job, first);
  if (h->checkpoint_id == 0)
    return sb_error_set(err, SB_NOT_FOUND, "job \"%s\" has no checkpoint%s",
                        job, first == NULL ? "" : " any more: it was claimed");
  return SB_OK;
}

/* SB_BUSY: HEAD has gone on meanwhile. */
static sb_status
source_read(const job_env *env, const char *job, const char *claimer,
            source *s, sb_error *err)
{
  const head *h = &s->head.head;
  sb_status st = head_read(env, job, &s->head, err);

  if (st == SB_OK)
    st = source_check_head(job, h, claimer, err);
  if (st != SB_OK)
    return st;
  st = metadata_read(env->host, env->store, h->metadata, h->metadata_len,
                     h->metadata_crc, &s->newest, err);
  if (st == SB_NOT_FOUND)
    return SB_CONFLICT;
  return st != SB_OK ? st
                     : view_from_metadata(env->host, s->newest, h->metadata,
                                          h->metadata_len, h->metadata_crc,
                                          &s->view, err);
}

static const metadata_ref *
source_find(const source *s, const char *job, uint64_t id, sb_error *err)
{
  size_t i;

  for (i = 0; i < s->view.count; i++)
    if (id == 0 || s->view.retained[i]->ref.id == id)
      return &s->view.retained[i]->ref;
  sb_error_set(err, SB_NOT_FOUND, "job \"%s\" retains no checkpoint %llu", job,
               (unsigned long long)id);
  return NULL;
}

/* One attempt. SB_CONFLICT, SB_UNKNOWN: read again. */
static sb_status
source_claim_once(const job_env *env, const sb_restore_options *options,
                  const char *job, source *s, sb_error *err)
{
  sb_status st = source_read(env, job, options->job_id, s, err);

  if (st != SB_OK)
    return st;
  if (source_find(s, job, options->id, err) == NULL)
    return SB_NOT_FOUND;
  if (claim_claimer(s->head.head.job_id) != NULL)
    return SB_OK;
  return claim_swap(env, job, &s->head, options->job_id, err);
}

static sb_status
source_claim(const job_env *env, const sb_restore_options *options,
             const char *job, source *s, sb_error *err)
{
  sb_status st = SB_UNKNOWN;
  int tries;

  memset(s, 0, sizeof *s);
  for (tries = 0; tries < SOURCE_TRIES; tries++) {
    st = source_claim_once(env, options, job, s, err);
    if (st != SB_CONFLICT && st != SB_UNKNOWN)
      return st;
    source_dispose(env, s);
  }
  return sb_error_set(err, SB_UNKNOWN, "it is not known whether the "
                      "checkpoints of job \"%s\" are claimed: claim them "
                      "again", job);
}

/* All that the source has, and what it was about to delete. */
static sb_status
source_names(const job_env *env, const source *s, names *out, sb_error *err)
{
  sb_status st = SB_OK;
  size_t i;

  for (i = 0; st == SB_OK && i < s->view.count; i++) {
    const metadata_ref *ref = &s->view.retained[i]->ref;
    metadata *m = NULL;

    names_add(out, ref->name, 0);
    if (i != 0)
      st = metadata_read(env->host, env->store, ref->name, ref->length,
                         ref->crc32c, &m, err);
    if (st == SB_OK)
      st = change_metadata_names(env, i == 0 ? s->newest : m, out, err);
    metadata_free(env->host, m);
    /* One that cannot be read, and is not wanted, must not be in the way. */
    if (i != 0 && (st == SB_NOT_FOUND || st == SB_CORRUPT))
      st = SB_OK;
  }
  names_add_all(out, &s->view.pending);
  if (st == SB_OK && out->status != SB_OK)
    st = sb_error_set(err, out->status, "no memory for claimed names");
  return st;
}

static sb_status
source_open_claimed(const job_env *env, const sb_restore_options *options,
                    const char *job, names *claimed, sb_checkpoint **out,
                    sb_error *err)
{
  const metadata_ref *ref;
  metadata *m = NULL;
  source s;
  sb_status st = source_claim(env, options, job, &s, err);

  if (st == SB_OK)
    st = source_names(env, &s, claimed, err);
  if (st == SB_OK) {
    ref = source_find(&s, job, options->id, err);
    if (ref == &s.view.retained[0]->ref) {
      m = s.newest;
      s.newest = NULL;
    } else {
      st = metadata_read(env->host, env->store, ref->name, ref->length,
                         ref->crc32c, &m, err);
    }
    if (st == SB_OK)
      st = opened_new(env, m, ref, NULL, out, err);
  }
  source_dispose(env, &s);
  return st;
}

static sb_status
source_open_foreign(const job_env *env, const sb_restore_options *options,
                    const char *job, sb_checkpoint **out, sb_error *err)
{
  sb_checkpoint *opened;
  sb_status st = job_checkpoint_open(env, job, options->id, SB_CHECKPOINT_PIN,
                                     &opened, err);

  if (st != SB_OK)
    return st;
  st = opened_rewrite(env, opened, NULL, MANIFEST_OWNER_FOREIGN, err);
  if (st == SB_OK)
    *out = opened;
  else
    job_checkpoint_close(env, opened);
  return st;
}

/* ---- savepoints --------------------------------------------------------- */

static sb_status
source_open_savepoint(const job_env *env, const sb_restore_options *options,
                      const char *job, names *claimed, sb_checkpoint **out,
                      sb_error *err)
{
  claim mine = { .kind = CLAIM_BY_JOB };
  const char *name = options->savepoint;
  metadata *m;
  uint64_t length;
  sb_status st;

  /* No claim is written where there is nothing to claim. */
  st = savepoint_read(env, job, name, &m, &length, err);
  metadata_free(env->host, m);
  if (st != SB_OK)
    return st;
  memcpy(mine.job_id, options->job_id, strlen(options->job_id) + 1);
  st = claim_write(env, job, name, &mine, err);
  if (st != SB_OK)
    return st;
  st = savepoint_open(env, job, name, MANIFEST_OWNER_ENGINE, out, err);
  if (st == SB_NOT_FOUND)
    (void)claim_remove(env, job, name); /* removed since the first look */
  if (st == SB_OK)
    st = savepoint_names(env, job, name, claimed, err);
  return st;
}

static sb_status
source_read_savepoint(const job_env *env, const sb_restore_options *options,
                      const char *job, sb_checkpoint **out, sb_error *err)
{
  claim there;
  sb_status st = claim_read(env, job, options->savepoint, &there, err);

  if (st == SB_OK && there.kind == CLAIM_REMOVAL)
    return sb_error_set(err, SB_BUSY, "savepoint \"%s\" is being removed",
                        options->savepoint);
  if (st == SB_OK)
    return sb_error_set(err, SB_BUSY, "savepoint \"%s\" is claimed by job id "
                        "\"%s\"", options->savepoint, there.job_id);
  if (st != SB_NOT_FOUND)
    return st;
  return savepoint_open(env, job, options->savepoint, MANIFEST_OWNER_FOREIGN,
                        out, err);
}

/* ---- both --------------------------------------------------------------- */

sb_status
source_open(const job_env *env, const sb_restore_options *options,
            names *claimed, sb_checkpoint **out, sb_error *err)
{
  const char *job = options->job == NULL ? "" : options->job;
  const char *savepoint = options->savepoint;
  int claims = options->mode == SB_RESTORE_CLAIM;
  sb_status st = SB_OK;

  *out = NULL;
  if (!claims && options->mode != SB_RESTORE_NO_CLAIM)
    return sb_error_set(err, SB_INVALID, "restore mode %u is not known",
                        options->mode);
  if (claims && (env->store_flags & SB_STORE_CREATE) == 0)
    return sb_error_set(err, SB_UNSUPPORTED, "the store does not honour "
                        "create-only puts, which claims need");
  if (claims)
    st = claim_check(options->job_id, err);
  if (st != SB_OK)
    return st;
  if (savepoint != NULL && savepoint[0] != '\0')
    st = claims ? source_open_savepoint(env, options, job, claimed, out, err)
                : source_read_savepoint(env, options, job, out, err);
  else
    st = claims ? source_open_claimed(env, options, job, claimed, out, err)
                : source_open_foreign(env, options, job, out, err);
  if (st != SB_OK) {
    job_checkpoint_close(env, *out);
    *out = NULL;
  }
  return st;
}
