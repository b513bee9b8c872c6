/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block cache; see cache.h. The algorithm is S3-FIFO (Yang et al., "FIFO
 * queues are all you need for cache eviction", SOSP 2023), in bytes.
 *
 * The limit is one for all shards, so that an entry may be as large as the
 * whole cache; a shard that holds more than its share is emptied first. Locks:
 * a shard's, never two at once.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include "host/engine/cache.h"

#define CACHE_SHARDS_MAX 256u
#define CACHE_BUCKETS_MIN 64u
#define CACHE_FREQUENCY_MAX 3u
#define CACHE_PROMOTE 2u         /* uses that lead from small to main */
#define CACHE_SMALL_SHARE 10u    /* small queue: one part in so many */
#define CACHE_ALLOC_OVERHEAD 32u /* of the allocator, for entry and data */
#define CACHE_DROP_STEP 256u     /* buckets looked at under one lock */

/* `state` counts pins; this bit says that the entry is in no table any more
   and the last to unpin frees it. */
#define CACHE_DOOMED 0x80000000u

struct cache_entry {
  cache_entry *chain;            /* next in the bucket */
  cache_entry *newer, *older;    /* neighbours in the queue */
  uint64_t segment, offset, hash;
  void *data;
  size_t len;
  _Atomic uint32_t state;
  uint8_t frequency, in_main;    /* guarded by the shard's lock */
};

typedef struct cache_queue {
  cache_entry *newest, *oldest;
  size_t bytes, count;
} cache_queue;

/* A ghost is forgotten when another takes its slot, or when as many have
   come after it as there are entries in the main queue. */
typedef struct cache_ghost {
  uint32_t print, time;
} cache_ghost;

typedef struct cache_shard {
  pthread_mutex_t lock;          /* guards all of the shard */
  cache_entry **buckets;
  cache_ghost *ghosts;           /* as many as buckets */
  size_t mask, count;
  cache_queue small, main;
  uint32_t ghost_time;
  uint64_t hits, misses;
} cache_shard;

struct cache {
  const sb_host *host;
  cache_shard *shards;
  size_t shard_count;
  atomic_size_t used, limit;
  atomic_size_t next;            /* shard at which the next shrink begins */
};

static uint64_t
cache_hash(uint64_t segment, uint64_t offset)
{
  uint64_t h = segment * 0x9E3779B97F4A7C15ull ^ offset;

  h = (h ^ h >> 32) * 0xD6E8FEB86659FD93ull;
  h = (h ^ h >> 32) * 0xD6E8FEB86659FD93ull;
  return h ^ h >> 32;
}

static cache_shard *
cache_shard_of(cache *c, uint64_t hash)
{
  return &c->shards[(hash >> 48) % c->shard_count];
}

static size_t
cache_cost(const cache_entry *e)
{
  return sizeof *e + e->len + CACHE_ALLOC_OVERHEAD;
}

static size_t
cache_table_cost(size_t buckets)
{
  return buckets * (sizeof(cache_entry *) + sizeof(cache_ghost));
}

/* ---- queues and tables; the shard's lock is held ------------------------ */

static void
cache_push(cache_queue *q, cache_entry *e)
{
  e->newer = NULL;
  e->older = q->newest;
  if (q->newest != NULL)
    q->newest->newer = e;
  else
    q->oldest = e;
  q->newest = e;
  q->bytes += cache_cost(e);
  q->count++;
}

static void
cache_pull(cache_queue *q, cache_entry *e)
{
  if (e->newer != NULL)
    e->newer->older = e->older;
  else
    q->newest = e->older;
  if (e->older != NULL)
    e->older->newer = e->newer;
  else
    q->oldest = e->newer;
  q->bytes -= cache_cost(e);
  q->count--;
}

static cache_entry *
cache_find(const cache_shard *s, uint64_t segment, uint64_t offset,
           uint64_t hash)
{
  cache_entry *e = s->buckets[hash & s->mask];

  while (e != NULL && (e->segment != segment || e->offset != offset))
    e = e->chain;
  return e;
}

static void
cache_unlink(cache_shard *s, cache_entry *e)
{
  cache_entry **at = &s->buckets[e->hash & s->mask];

  while (*at != e)
    at = &(*at)->chain;
  *at = e->chain;
  cache_pull(e->in_main ? &s->main : &s->small, e);
  s->count--;
}

static void
cache_remember(cache_shard *s, const cache_entry *e)
{
  cache_ghost *ghost = &s->ghosts[e->hash & s->mask];

  ghost->print = (uint32_t)(e->hash >> 16) | 1;
  ghost->time = s->ghost_time++;
}

/* Whether the place left the small queue not long ago; asked once. */
static int
cache_recall(cache_shard *s, uint64_t hash)
{
  cache_ghost *ghost = &s->ghosts[hash & s->mask];

  if (ghost->print != ((uint32_t)(hash >> 16) | 1) ||
      s->ghost_time - ghost->time > s->main.count + CACHE_BUCKETS_MIN)
    return 0;
  ghost->print = 0;
  return 1;
}

/* Doubles the table when it is full. Without memory the chains get longer. */
static void
cache_grow(cache *c, cache_shard *s)
{
  size_t old = s->mask + 1, buckets = old * 2, i;
  cache_entry **table;
  cache_ghost *ghosts;

  if (s->count < old)
    return;
  table = mem_zalloc(c->host, buckets * sizeof *table);
  ghosts = mem_zalloc(c->host, buckets * sizeof *ghosts);
  if (table == NULL || ghosts == NULL) {
    mem_free(c->host, table);
    mem_free(c->host, ghosts);
    return;
  }
  for (i = 0; i < old; i++) {
    cache_entry *e = s->buckets[i], *next;

    for (; e != NULL; e = next) {
      next = e->chain;
      e->chain = table[e->hash & (buckets - 1)];
      table[e->hash & (buckets - 1)] = e;
    }
    /* The higher half of ghosts starts empty: a ghost moves only if its
       missing bit were known. */
    ghosts[i] = s->ghosts[i];
  }
  mem_free(c->host, s->buckets);
  mem_free(c->host, s->ghosts);
  s->buckets = table;
  s->ghosts = ghosts;
  s->mask = buckets - 1;
  atomic_fetch_add(&c->used,
                   cache_table_cost(buckets) - cache_table_cost(old));
}

/* ---- eviction ----------------------------------------------------------- */

/* Returns the bytes freed. Nobody else may hold the entry. */
static size_t
cache_release(cache *c, cache_entry *e)
{
  size_t cost = cache_cost(e);

  mem_free(c->host, e->data);
  mem_free(c->host, e);
  atomic_fetch_sub(&c->used, cost);
  return cost;
}

static int
cache_pinned(cache_entry *e)
{
  return atomic_load_explicit(&e->state, memory_order_acquire) != 0;
}

/* One step of S3-FIFO on the oldest of one queue; 1 and *victim, unlinked, if
   it has to go. */
static int
cache_step(cache_shard *s, cache_entry **victim)
{
  size_t all = s->small.bytes + s->main.bytes;
  int small = s->small.count != 0 &&
              (s->main.count == 0 ||
               s->small.bytes >= all / CACHE_SMALL_SHARE);
  cache_entry *e = small ? s->small.oldest : s->main.oldest;

  if (small && (e->frequency >= CACHE_PROMOTE || cache_pinned(e))) {
    cache_pull(&s->small, e);
    e->in_main = 1;
    e->frequency = 0;
    cache_push(&s->main, e);
    return 0;
  }
  if (!small && (e->frequency != 0 || cache_pinned(e))) {
    cache_pull(&s->main, e);
    e->frequency -= e->frequency != 0;
    cache_push(&s->main, e);
    return 0;
  }
  if (small)
    cache_remember(s, e);
  cache_unlink(s, e);
  *victim = e;
  return 1;
}

/* Takes one entry out. NULL: everything left is pinned. Each pass over the
   queues wears down the frequencies, so a few passes are enough. */
static cache_entry *
cache_evict_one(cache_shard *s)
{
  size_t steps = s->count * (CACHE_FREQUENCY_MAX + 2);
  cache_entry *victim = NULL;

  for (; s->count != 0 && steps != 0; steps--) {
    if (cache_step(s, &victim))
      return victim;
  }
  return NULL;
}

/* Evicts from one shard while it holds more than `keep` bytes and the cache
   more than `target`; frees outside the lock. */
static size_t
cache_evict_shard(cache *c, cache_shard *s, size_t keep, size_t target)
{
  size_t freed = 0;

  while (atomic_load(&c->used) > target) {
    cache_entry *e = NULL;

    pthread_mutex_lock(&s->lock);
    if (s->small.bytes + s->main.bytes > keep)
      e = cache_evict_one(s);
    pthread_mutex_unlock(&s->lock);
    if (e == NULL)
      break;
    freed += cache_release(c, e);
  }
  return freed;
}

/* Brings `used` down to `target` as far as pins allow: first each shard to
   its share, then whatever can go. */
static size_t
cache_evict(cache *c, size_t target, size_t first)
{
  size_t share = target / c->shard_count, freed = 0, i;
  int pass;

  for (pass = 0; pass < 2; pass++) {
    for (i = 0; i < c->shard_count; i++) {
      cache_shard *s = &c->shards[(first + i) % c->shard_count];

      if (atomic_load(&c->used) <= target)
        return freed;
      freed += cache_evict_shard(c, s, pass == 0 ? share : 0, target);
    }
  }
  return freed;
}

static void
cache_trim(cache *c, size_t first)
{
  size_t limit = atomic_load(&c->limit);

  if (atomic_load(&c->used) > limit)
    (void)cache_evict(c, limit, first);
}

/* ---- new and free ------------------------------------------------------- */

static int
cache_shard_init(cache *c, cache_shard *s)
{
  s->mask = CACHE_BUCKETS_MIN - 1;
  s->buckets = mem_zalloc(c->host, CACHE_BUCKETS_MIN * sizeof *s->buckets);
  s->ghosts = mem_zalloc(c->host, CACHE_BUCKETS_MIN * sizeof *s->ghosts);
  if (s->buckets == NULL || s->ghosts == NULL ||
      pthread_mutex_init(&s->lock, NULL) != 0) {
    mem_free(c->host, s->buckets);
    mem_free(c->host, s->ghosts);
    return -1;
  }
  atomic_fetch_add(&c->used, cache_table_cost(CACHE_BUCKETS_MIN));
  return 0;
}

cache *
cache_new(const sb_host *host, size_t shards)
{
  cache *c = mem_zalloc(host, sizeof *c);

  if (c == NULL)
    return NULL;
  if (shards == 0)
    shards = 1;
  if (shards > CACHE_SHARDS_MAX)
    shards = CACHE_SHARDS_MAX;
  c->host = host;
  c->shards = mem_zalloc(host, shards * sizeof *c->shards);
  if (c->shards == NULL) {
    cache_free(c);
    return NULL;
  }
  for (; c->shard_count < shards; c->shard_count++) {
    if (cache_shard_init(c, &c->shards[c->shard_count]) != 0) {
      cache_free(c);
      return NULL;
    }
  }
  atomic_fetch_add(&c->used, sizeof *c + shards * sizeof *c->shards);
  return c;
}

void
cache_free(cache *c)
{
  size_t i;

  if (c == NULL)
    return;
  for (i = 0; i < c->shard_count; i++) {
    cache_shard *s = &c->shards[i];
    size_t bucket;

    for (bucket = 0; bucket <= s->mask; bucket++) {
      while (s->buckets[bucket] != NULL) {
        cache_entry *e = s->buckets[bucket];

        s->buckets[bucket] = e->chain;
        (void)cache_release(c, e);
      }
    }
    mem_free(c->host, s->buckets);
    mem_free(c->host, s->ghosts);
    pthread_mutex_destroy(&s->lock);
  }
  mem_free(c->host, c->shards);
  mem_free(c->host, c);
}

/* ---- use ---------------------------------------------------------------- */

cache_entry *
cache_get(cache *c, uint64_t segment, uint64_t offset)
{
  uint64_t hash = cache_hash(segment, offset);
  cache_shard *s = cache_shard_of(c, hash);
  cache_entry *e;

  pthread_mutex_lock(&s->lock);
  e = cache_find(s, segment, offset, hash);
  if (e != NULL) {
    atomic_fetch_add_explicit(&e->state, 1, memory_order_relaxed);
    e->frequency += e->frequency < CACHE_FREQUENCY_MAX;
    s->hits++;
  } else {
    s->misses++;
  }
  pthread_mutex_unlock(&s->lock);
  return e;
}

static cache_entry *
cache_entry_new(cache *c, void *data, size_t len, int pin)
{
  cache_entry *e = mem_zalloc(c->host, sizeof *e);

  if (e == NULL)
    return NULL;
  e->data = data;
  e->len = len;
  atomic_init(&e->state, pin ? 1u : 0u);
  return e;
}

/* The lock is held and the place is free. */
static void
cache_insert(cache *c, cache_shard *s, cache_entry *e)
{
  cache_entry **at;

  cache_grow(c, s);
  at = &s->buckets[e->hash & s->mask];
  e->chain = *at;
  *at = e;
  s->count++;
  e->in_main = (uint8_t)cache_recall(s, e->hash);
  cache_push(e->in_main ? &s->main : &s->small, e);
}

/* An entry that could never be kept lives outside the table until unpinned. */
static cache_entry *
cache_put_doomed(cache *c, cache_entry *e, int pin)
{
  atomic_fetch_add(&c->used, cache_cost(e));
  if (!pin) {
    (void)cache_release(c, e);
    return NULL;
  }
  atomic_store(&e->state, CACHE_DOOMED | 1u);
  return e;
}

cache_entry *
cache_put(cache *c, uint64_t segment, uint64_t offset, void *data, size_t len,
          int pin)
{
  uint64_t hash = cache_hash(segment, offset);
  cache_shard *s = cache_shard_of(c, hash);
  cache_entry *e = cache_entry_new(c, data, len, pin), *old;

  if (e == NULL) {
    mem_free(c->host, data);
    return NULL;
  }
  e->segment = segment;
  e->offset = offset;
  e->hash = hash;
  if (cache_cost(e) > atomic_load(&c->limit))
    return cache_put_doomed(c, e, pin);
  pthread_mutex_lock(&s->lock);
  old = cache_find(s, segment, offset, hash);
  if (old == NULL) {
    atomic_fetch_add(&c->used, cache_cost(e));
    cache_insert(c, s, e);
  } else if (pin) {
    atomic_fetch_add_explicit(&old->state, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock(&s->lock);
  if (old != NULL) {
    mem_free(c->host, data);
    mem_free(c->host, e);
    return pin ? old : NULL;
  }
  cache_trim(c, (size_t)(s - c->shards));
  return pin ? e : NULL;
}

void
cache_unpin(cache *c, cache_entry *e)
{
  uint64_t hash = e->hash;
  uint32_t before = atomic_fetch_sub_explicit(&e->state, 1,
                                              memory_order_acq_rel);

  /* From here on `e` may be gone, unless it is doomed and this was the last
     pin. */
  if (before == (CACHE_DOOMED | 1u))
    (void)cache_release(c, e);
  else if (before == 1)
    cache_trim(c, (size_t)(cache_shard_of(c, hash) - c->shards));
}

const void *
cache_data(const cache_entry *e, size_t *len)
{
  if (len != NULL)
    *len = e->len;
  return e->data;
}

void
cache_set_limit(cache *c, size_t bytes)
{
  atomic_store(&c->limit, bytes);
  cache_trim(c, 0);
}

/* Takes from all shards alike, in small rounds. */
size_t
cache_shrink(cache *c, size_t bytes)
{
  size_t freed = 0, idle = 0;
  size_t first = atomic_fetch_add(&c->next, 1);

  while (freed < bytes && idle < c->shard_count) {
    cache_shard *s = &c->shards[first++ % c->shard_count];
    cache_entry *e;

    pthread_mutex_lock(&s->lock);
    e = cache_evict_one(s);
    pthread_mutex_unlock(&s->lock);
    idle = e == NULL ? idle + 1 : 0;
    if (e != NULL)
      freed += cache_release(c, e);
  }
  return freed;
}

size_t
cache_used(const cache *c)
{
  return atomic_load_explicit(&c->used, memory_order_relaxed);
}

/* Dooms entries of the segment in some buckets; those nobody holds are put on
   *gone. Entries of a growing table only move to buckets further on, so a
   walk by index misses none. */
static size_t
cache_drop_some(cache_shard *s, uint64_t segment, size_t bucket,
                cache_entry **gone)
{
  size_t end = bucket + CACHE_DROP_STEP;

  for (; bucket <= s->mask && bucket < end; bucket++) {
    cache_entry *e = s->buckets[bucket], *next;

    for (; e != NULL; e = next) {
      next = e->chain;
      if (e->segment != segment)
        continue;
      cache_unlink(s, e);
      if (atomic_fetch_or(&e->state, CACHE_DOOMED) == 0) {
        e->chain = *gone;
        *gone = e;
      }
    }
  }
  return bucket;
}

void
cache_drop(cache *c, uint64_t segment)
{
  size_t i;

  for (i = 0; i < c->shard_count; i++) {
    cache_shard *s = &c->shards[i];
    size_t bucket = 0;
    int more = 1;

    while (more) {
      cache_entry *gone = NULL;

      pthread_mutex_lock(&s->lock);
      bucket = cache_drop_some(s, segment, bucket, &gone);
      more = bucket <= s->mask;
      pthread_mutex_unlock(&s->lock);
      while (gone != NULL) {
        cache_entry *e = gone;

        gone = e->chain;
        (void)cache_release(c, e);
      }
    }
  }
}

void
cache_stats(const cache *c, uint64_t *hits, uint64_t *misses)
{
  size_t i;

  *hits = 0;
  *misses = 0;
  for (i = 0; i < c->shard_count; i++) {
    cache_shard *s = &c->shards[i];

    pthread_mutex_lock(&s->lock);
    *hits += s->hits;
    *misses += s->misses;
    pthread_mutex_unlock(&s->lock);
  }
}
