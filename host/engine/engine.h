/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: one per backend. It owns the store, the memory budget, the block
 * cache and the settings that all keyed handles of the backend share.
 */
#ifndef SB_ENGINE_ENGINE_H
#define SB_ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <statebackend/backend.h>
#include "host/engine/cache.h"
#include "host/engine/paths.h"

typedef struct engine engine;

/* Entry of sb_host.engine_open, after filters have been stacked. Takes
   ownership of `store`, on failure too. */
sb_status engine_open(const sb_host *host, sb_store *store,
                      const sb_engine_options *options,
                      const sb_config *config, sb_backend **out,
                      sb_error *err);

struct engine {
  sb_backend base; /* must come first */
  const sb_host *host;
  sb_store *store;
  paths paths;
  uint32_t compression;
  int entries;              /* the layout has entries */
  uint32_t block_size;
  uint64_t segment_size;
  uint32_t compaction_runs; /* 0: compaction is off */
  cache *cache;
  size_t memory_limit;
  atomic_size_t memory_used;   /* everything but the cache */
  atomic_uint_fast64_t next_segment;
  atomic_size_t cache_limit;
  atomic_uint handle_count;
  pthread_mutex_t lock;        /* guards jobs and claims */
  struct engine_job *jobs;     /* taken over by this backend and open */
  struct engine_claim *claims; /* of jobs that are not taken over yet */
};

/* The directory of a savepoint, without a slash at its end (PATH_SIZE bytes).
   SB_UNSUPPORTED for a backend with an engine of its own. */
sb_status engine_savepoint_directory(sb_backend *backend, const char *job,
                                     const char *name, char *out,
                                     sb_error *err);

/* The budget. Charging shrinks the cache when it must; it never fails: callers
   that can wait ask engine_has_room first. */
void engine_charge(engine *e, size_t bytes);
void engine_release(engine *e, size_t bytes);
int engine_has_room(engine *e, size_t bytes);

/* What one handle may use for records now. */
size_t engine_record_quota(engine *e);

#endif
