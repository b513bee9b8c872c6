/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache: immutable byte buffers by (segment number, offset), shared by all
 * handles of a backend, kept by S3-FIFO: a small queue that newcomers must
 * leave by being asked for again, a main queue, and the ghosts of those that
 * left the small queue unasked for.
 *
 * Threads: any. Entries are never freed or moved while pinned. Runs alike for
 * like calls when there is one thread.
 */
#ifndef SB_ENGINE_CACHE_H
#define SB_ENGINE_CACHE_H

#include "host/base/mem.h"

typedef struct cache cache;
typedef struct cache_entry cache_entry;

/* Keeps nothing until cache_set_limit. NULL: no memory. */
cache *cache_new(const sb_host *host, size_t shards);

/* No entry may be pinned. `c` may be NULL. */
void cache_free(cache *c);

/* Pinned, or NULL. */
cache_entry *cache_get(cache *c, uint64_t segment, uint64_t offset);

/* `data` is host-allocated and the cache's from now on. If the place is taken
   the old entry stays and `data` is freed. With `pin` returns the pinned
   entry, or NULL if there is no memory; without, always NULL. */
cache_entry *cache_put(cache *c, uint64_t segment, uint64_t offset, void *data,
                       size_t len, int pin);
void cache_unpin(cache *c, cache_entry *e);
const void *cache_data(const cache_entry *e, size_t *len);

/* Evicts down to `bytes` as far as pins allow. */
void cache_set_limit(cache *c, size_t bytes);

/* Frees at least `bytes` if it can; returns how many it freed. */
size_t cache_shrink(cache *c, size_t bytes);

/* Bytes held, with overhead and what is pinned. */
size_t cache_used(const cache *c);

/* Forgets all of one segment; what is pinned goes when it is unpinned. */
void cache_drop(cache *c, uint64_t segment);
void cache_stats(const cache *c, uint64_t *hits, uint64_t *misses);

#endif
