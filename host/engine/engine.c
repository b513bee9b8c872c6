/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's backend table, settings and memory budget; see engine.h. */
#include "config.h"

#include "host/engine/entries.h"
#include "host/engine/job.h"
#include "host/engine/keyed.h"
#include "host/engine/savepoint.h"
#include "host/store/store.h"

#define MEMORY_SIZE "state.backend.memory.size"
#define BLOCK_SIZE "state.backend.block.size"
#define SEGMENT_SIZE "state.backend.segment.size"
#define COMPACTION_RUNS "state.backend.compaction.runs"
#define COMPACTION_ENABLED "state.backend.compaction.enabled"
#define CACHE_DIR "state.backend.cache.dir"
#define CACHE_SHARDS 16u

/* ---- the budget ---------------------------------------------------------- */

/* The cache gets what nothing else uses. Its limit moves in steps, so that
   most charges touch only the counter. */
static void
engine_balance(engine *e)
{
  size_t used = atomic_load_explicit(&e->memory_used, memory_order_relaxed);
  size_t free_bytes = used < e->memory_limit ? e->memory_limit - used : 0;
  size_t limit = atomic_load_explicit(&e->cache_limit, memory_order_relaxed);

  if (free_bytes >= limit && free_bytes - limit < e->memory_limit / 32)
    return;
  atomic_store_explicit(&e->cache_limit, free_bytes, memory_order_relaxed);
  cache_set_limit(e->cache, free_bytes);
}

void
engine_charge(engine *e, size_t bytes)
{
  atomic_fetch_add_explicit(&e->memory_used, bytes, memory_order_relaxed);
  engine_balance(e);
}

void
engine_release(engine *e, size_t bytes)
{
  atomic_fetch_sub_explicit(&e->memory_used, bytes, memory_order_relaxed);
  engine_balance(e);
}

int
engine_has_room(engine *e, size_t bytes)
{
  size_t used = atomic_load_explicit(&e->memory_used, memory_order_relaxed);

  return used + bytes <= e->memory_limit - e->memory_limit / 16;
}

size_t
engine_record_quota(engine *e)
{
  uint32_t handles = atomic_load_explicit(&e->handle_count,
                                          memory_order_relaxed);

  return e->memory_limit / 8 * 5 / (handles == 0 ? 1 : handles);
}

/* ---- the backend table --------------------------------------------------- */

static job_env
engine_env(engine *e)
{
  job_env env = { e->host, e->store, &e->paths, store_info(e->store)->flags };

  return env;
}

/* What was claimed for a job id that no job of this backend has yet. */
typedef struct engine_claim {
  struct engine_claim *next;
  char *job_id;
  names names;
} engine_claim;

static void
engine_claim_free(engine *e, engine_claim *claim)
{
  if (claim == NULL)
    return;
  names_dispose(&claim->names);
  mem_free(e->host, claim->job_id);
  mem_free(e->host, claim);
}

static void
engine_free(engine *e)
{
  while (e->claims != NULL) {
    engine_claim *claim = e->claims;

    e->claims = claim->next;
    engine_claim_free(e, claim);
  }
  store_close(e->store);
  cache_free(e->cache);
  paths_dispose(&e->paths, e->host);
  pthread_mutex_destroy(&e->lock);
  mem_free(e->host, e);
}

static void
engine_close(sb_backend *base)
{
  engine_free((engine *)base);
}

static sb_status
engine_probe(sb_backend *base, sb_probe *probe, sb_error *err)
{
  engine *e = (engine *)base;

  return store_probe(e->host, e->store, e->paths.base, probe, err);
}

static sb_status
engine_open_keyed(sb_backend *base, const sb_keyed_options *options,
                  sb_keyed **out, sb_error *err)
{
  return keyed_open((engine *)base, options, out, err);
}

static sb_store *
engine_store(sb_backend *base)
{
  return ((engine *)base)->store;
}

/* The jobs this backend commits: what it restores they know already. */
typedef struct engine_job {
  struct engine_job *next;
  engine *engine;
  sb_job *job;
} engine_job;

/* Hands over the claims that were made for the job before it was taken
   over. */
static sb_status
engine_give_claims(engine *e, sb_job *job, sb_error *err)
{
  engine_claim **at, *claim;
  sb_status st = SB_OK;

  for (;;) {
    pthread_mutex_lock(&e->lock);
    for (at = &e->claims; *at != NULL; at = &(*at)->next)
      if (strcmp((*at)->job_id, job_id(job)) == 0)
        break;
    claim = *at;
    if (claim != NULL)
      *at = claim->next;
    pthread_mutex_unlock(&e->lock);
    if (claim == NULL || st != SB_OK)
      break;
    st = job_claim(job, &claim->names, err);
    engine_claim_free(e, claim);
  }
  return st;
}

static sb_status
engine_takeover(sb_backend *base, const sb_takeover_options *options,
                sb_job **out, sb_error *err)
{
  engine *e = (engine *)base;
  job_env env = engine_env(e);
  engine_job *kept = mem_zalloc(e->host, sizeof *kept);
  sb_status status;

  *out = NULL;
  if (kept == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not take the job over: no memory");
  status = job_takeover(&env, options, out, err);
  if (status == SB_OK && e->entries) {
    status = entries_follow(e, *out, err);
    if (status != SB_OK)
      job_close(*out);
  }
  if (status == SB_OK) {
    status = engine_give_claims(e, *out, err);
    if (status != SB_OK)
      job_close(*out);
  }
  if (status != SB_OK) {
    *out = NULL;
    mem_free(e->host, kept);
    return status;
  }
  kept->engine = e;
  kept->job = *out;
  job_set_keeper(*out, kept);
  pthread_mutex_lock(&e->lock);
  kept->next = e->jobs;
  e->jobs = kept;
  pthread_mutex_unlock(&e->lock);
  return SB_OK;
}

static void
engine_job_close(sb_job *job)
{
  engine_job *kept = job_keeper(job), **at;
  engine *e = kept->engine;

  pthread_mutex_lock(&e->lock);
  for (at = &e->jobs; *at != kept; at = &(*at)->next)
    ;
  *at = kept->next;
  pthread_mutex_unlock(&e->lock);
  mem_free(e->host, kept);
  job_close(job);
}

/* The newest take-over of that path in this backend, or NULL. */
static sb_job *
engine_own_job(engine *e, const char *path)
{
  const engine_job *kept;
  sb_job *job = NULL;

  pthread_mutex_lock(&e->lock);
  for (kept = e->jobs; kept != NULL && job == NULL; kept = kept->next)
    if (strcmp(job_path(kept->job), path) == 0)
      job = kept->job;
  pthread_mutex_unlock(&e->lock);
  return job;
}

static sb_status
engine_list(sb_backend *base, const char *job, sb_checkpoint_info **out,
            size_t *count, sb_error *err)
{
  job_env env = engine_env((engine *)base);

  return job_list(&env, job, out, count, err);
}

static void
engine_list_free(sb_backend *base, sb_checkpoint_info *list, size_t count)
{
  job_env env = engine_env((engine *)base);

  job_list_free(&env, list, count);
}

static sb_status
engine_checkpoint_open(sb_backend *base, const char *job, uint64_t id,
                       uint32_t flags, sb_checkpoint **out, sb_error *err)
{
  engine *e = (engine *)base;
  job_env env = engine_env(e);
  sb_job *own = flags & SB_CHECKPOINT_PIN
                  ? NULL : engine_own_job(e, job == NULL ? "" : job);

  if (own != NULL && flags == 0)
    return job_checkpoint_open_own(own, id, out, err);
  return job_checkpoint_open(&env, job, id, flags, out, err);
}

static void
engine_checkpoint_close(sb_backend *base, sb_checkpoint *checkpoint)
{
  job_env env = engine_env((engine *)base);

  job_checkpoint_close(&env, checkpoint);
}

/* The open job with that id, with the lock held. */
static sb_job *
engine_job_with_id(engine *e, const char *id)
{
  const engine_job *kept;

  for (kept = e->jobs; kept != NULL; kept = kept->next)
    if (strcmp(job_id(kept->job), id) == 0)
      return kept->job;
  return NULL;
}

/* The claimer is to delete what it claimed: it learns of it now, or when it is
   taken over. Takes `claimed`. */
static sb_status
engine_keep_claim(engine *e, const char *id, names *claimed, sb_error *err)
{
  engine_claim *claim = mem_zalloc(e->host, sizeof *claim);
  sb_job *job;
  sb_status st = SB_NO_MEMORY;

  if (claim != NULL)
    claim->job_id = mem_strdup(e->host, id);
  if (claim == NULL || claim->job_id == NULL)
    goto fail;
  claim->names = *claimed;
  memset(claimed, 0, sizeof *claimed);
  pthread_mutex_lock(&e->lock);
  job = engine_job_with_id(e, id);
  if (job == NULL) {
    claim->next = e->claims;
    e->claims = claim;
  }
  pthread_mutex_unlock(&e->lock);
  if (job == NULL)
    return SB_OK;
  st = job_claim(job, &claim->names, err);
  engine_claim_free(e, claim);
  return st;
fail:
  engine_claim_free(e, claim);
  return sb_error_set(err, st, "no memory for a claim of job id \"%s\"", id);
}

static sb_status
engine_restore_open(sb_backend *base, const sb_restore_options *options,
                    sb_checkpoint **out, sb_error *err)
{
  engine *e = (engine *)base;
  job_env env = engine_env(e);
  names claimed;
  sb_status st;

  names_init(&claimed, e->host);
  st = source_open(&env, options, &claimed, out, err);
  if (st == SB_OK && options->mode == SB_RESTORE_CLAIM) {
    st = engine_keep_claim(e, options->job_id, &claimed, err);
    if (st != SB_OK) {
      job_checkpoint_close(&env, *out);
      *out = NULL;
    }
  }
  names_dispose(&claimed);
  return st;
}

static sb_status
engine_savepoint_write(sb_backend *base, const sb_savepoint_options *options,
                       sb_error *err)
{
  job_env env = engine_env((engine *)base);

  return savepoint_write(&env, options, err);
}

static sb_status
engine_savepoint_list(sb_backend *base, const char *job,
                      sb_checkpoint_info **out, size_t *count, sb_error *err)
{
  job_env env = engine_env((engine *)base);

  return savepoint_list(&env, job, out, count, err);
}

static sb_status
engine_savepoint_remove(sb_backend *base, const char *job, const char *name,
                        sb_error *err)
{
  job_env env = engine_env((engine *)base);

  return savepoint_remove(&env, job, name, err);
}

static const sb_backend_ops engine_ops;

static sb_status
engine_savepoint_copy(sb_backend *base, const sb_savepoint_copy *options,
                      sb_error *err)
{
  sb_backend *source = options->from == NULL ? base : options->from;
  job_env env = engine_env((engine *)base), from;

  if (source->ops != &engine_ops)
    return sb_error_set(err, SB_UNSUPPORTED, "cannot copy a savepoint from a "
                        "backend that has an engine of its own");
  from = engine_env((engine *)source);
  return savepoint_copy(&env, &from, options, err);
}

static const sb_backend_ops engine_ops = {
  .struct_size = sizeof(sb_backend_ops),
  .abi_version = SB_ABI_VERSION,
  .close = engine_close,
  .probe = engine_probe,
  .open_keyed = engine_open_keyed,
  .store = engine_store,
  .takeover = engine_takeover,
  .job_generation = job_generation,
  .job_close = engine_job_close,
  .commit = job_commit,
  .list = engine_list,
  .list_free = engine_list_free,
  .checkpoint_open = engine_checkpoint_open,
  .checkpoint_close = engine_checkpoint_close,
  .retain = job_retain,
  .remove = job_remove,
  .gc = job_gc,
  .restore_open = engine_restore_open,
  .savepoint_write = engine_savepoint_write,
  .savepoint_list = engine_savepoint_list,
  .savepoint_remove = engine_savepoint_remove,
  .savepoint_copy = engine_savepoint_copy,
};

sb_status
engine_savepoint_directory(sb_backend *backend, const char *job,
                           const char *name, char *out, sb_error *err)
{
  sb_status st;

  if (backend->ops != &engine_ops)
    return sb_error_set(err, SB_UNSUPPORTED, "cannot write into a savepoint "
                        "of a backend that has an engine of its own");
  st = paths_savepoint_prefix(&((engine *)backend)->paths, job, name, out,
                              err);
  if (st == SB_OK)
    out[strlen(out) - 1] = '\0';
  return st;
}

/* ---- open ---------------------------------------------------------------- */

/* A setting that a host without options leaves 0. */
static uint64_t
engine_setting(const sb_host *host, const sb_config *config, const char *key,
               uint64_t fallback)
{
  int64_t value = host->config_int(config, key);

  return value > 0 ? (uint64_t)value : fallback;
}

static void
engine_settings(engine *e, const sb_config *config)
{
  const sb_host *host = e->host;

  e->memory_limit = engine_setting(host, config, MEMORY_SIZE, 256u << 20);
  e->block_size = (uint32_t)engine_setting(host, config, BLOCK_SIZE, 4096);
  e->segment_size = engine_setting(host, config, SEGMENT_SIZE, 64u << 20);
  e->compaction_runs = (uint32_t)engine_setting(host, config, COMPACTION_RUNS,
                                                6);
  if (host->config_string(config, COMPACTION_ENABLED) != NULL &&
      host->config_int(config, COMPACTION_ENABLED) == 0)
    e->compaction_runs = 0;
  /* Tails and buffers of a segment must be small against the budget. */
  if (e->segment_size > e->memory_limit / 4)
    e->segment_size = e->memory_limit / 4;
}

/* Options that are known and not built: refused rather than ignored. */
static sb_status
engine_check(const sb_host *host, const sb_engine_options *options,
             const sb_config *config, sb_error *err)
{
  const char *dir = host->config_string(config, CACHE_DIR);

  if (options->layout > 1)
    return sb_error_set(err, SB_UNSUPPORTED, "layout %u is not known",
                        options->layout);
  if (dir != NULL && dir[0] != '\0')
    return sb_error_set(err, SB_UNSUPPORTED, "the local disk tier (" CACHE_DIR
                        ") is not supported by this version: leave it out");
  return SB_OK;
}

sb_status
engine_open(const sb_host *host, sb_store *store,
            const sb_engine_options *options, const sb_config *config,
            sb_backend **out, sb_error *err)
{
  sb_status status = engine_check(host, options, config, err);
  engine *e = status == SB_OK ? mem_zalloc(host, sizeof *e) : NULL;

  *out = NULL;
  if (e == NULL) {
    store_close(store);
    return status != SB_OK ? status
                           : sb_error_set(err, SB_NO_MEMORY, "could not open "
                                          "the backend: no memory");
  }
  e->base.ops = &engine_ops;
  e->host = host;
  e->store = store;
  e->compression = options->compression;
  e->entries = options->layout == 1;
  e->next_segment = 1;
  pthread_mutex_init(&e->lock, NULL);
  engine_settings(e, config);
  status = paths_init(&e->paths, host, options, err);
  if (status != SB_OK)
    goto fail;
  e->cache = cache_new(host, CACHE_SHARDS);
  if (e->cache == NULL) {
    status = sb_error_set(err, SB_NO_MEMORY,
                          "could not open the backend: no memory");
    goto fail;
  }
  engine_balance(e);
  *out = &e->base;
  return SB_OK;
fail:
  engine_free(e);
  return status;
}
