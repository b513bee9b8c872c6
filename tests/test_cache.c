/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block cache: what it says is what was put, the limit holds, pins hold,
 * and entries asked for again outlive those that were not.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include "host/base/buf.h"
#include "host/engine/cache.h"
#include "tests/segment_fixture.h"
#include "tests/tap.h"

#define ENTRY_LEN 1000u

static void *
bytes_of(uint64_t segment, uint64_t offset, size_t len)
{
  uint8_t *p = mem_alloc(&fixture_host, len);

  CU_ASSERT_PTR_NOT_NULL_FATAL(p);
  memset(p, (int)(segment * 31 + offset), len);
  if (len >= 16) {
    store_u64(p, segment);
    store_u64(p + 8, offset);
  }
  return p;
}

static cache_entry *
put(cache *c, uint64_t segment, uint64_t offset, int pin)
{
  return cache_put(c, segment, offset, bytes_of(segment, offset, ENTRY_LEN),
                   ENTRY_LEN, pin);
}

/* 1 if it is there, with the right bytes. */
static int
has(cache *c, uint64_t segment, uint64_t offset)
{
  cache_entry *e = cache_get(c, segment, offset);
  const uint8_t *p;
  size_t len = 0;

  if (e == NULL)
    return 0;
  p = cache_data(e, &len);
  CU_ASSERT(len >= 16);
  CU_ASSERT_EQUAL(load_u64(p), segment);
  CU_ASSERT_EQUAL(load_u64(p + 8), offset);
  CU_ASSERT_EQUAL(p[len - 1], (uint8_t)(segment * 31 + offset));
  cache_unpin(c, e);
  return 1;
}

static cache *
open_cache(size_t shards, size_t limit)
{
  cache *c = cache_new(&fixture_host, shards);

  CU_ASSERT_PTR_NOT_NULL_FATAL(c);
  cache_set_limit(c, limit);
  return c;
}

static void
close_cache(cache *c)
{
  cache_free(c);
  CU_ASSERT_EQUAL(fixture_alive, 0);
}

static void
test_basic(void)
{
  cache *c = open_cache(4, 1 << 20);
  uint64_t hits, misses;
  cache_entry *e;

  CU_ASSERT_FALSE(has(c, 1, 0));
  CU_ASSERT_PTR_NULL(put(c, 1, 0, 0));
  CU_ASSERT(has(c, 1, 0));
  CU_ASSERT_FALSE(has(c, 1, 4096));
  CU_ASSERT_FALSE(has(c, 2, 0));
  e = put(c, 2, 0, 1);
  CU_ASSERT_PTR_NOT_NULL(e);
  cache_unpin(c, e);
  CU_ASSERT(has(c, 2, 0));
  cache_stats(c, &hits, &misses);
  CU_ASSERT_EQUAL(hits, 2);
  CU_ASSERT_EQUAL(misses, 3);
  close_cache(c);
}

static void
test_twice(void)
{
  cache *c = open_cache(1, 1 << 20);
  cache_entry *a = put(c, 1, 0, 1), *b = put(c, 1, 0, 1);

  CU_ASSERT_PTR_NOT_NULL(a);
  CU_ASSERT_PTR_EQUAL(a, b);
  CU_ASSERT_PTR_NULL(put(c, 1, 0, 0));
  cache_unpin(c, a);
  cache_unpin(c, b);
  CU_ASSERT(has(c, 1, 0));
  close_cache(c);
}

static void
test_limit(void)
{
  cache *c = open_cache(8, 200000);
  uint64_t i, kept = 0;

  for (i = 0; i < 5000; i++) {
    (void)put(c, i % 7, i * 4096, 0);
    CU_ASSERT(cache_used(c) <= 200000);
  }
  for (i = 0; i < 5000; i++)
    kept += (uint64_t)has(c, i % 7, i * 4096);
  CU_ASSERT(kept > 120);
  cache_set_limit(c, 50000);
  CU_ASSERT(cache_used(c) <= 50000);
  cache_set_limit(c, 0);
  for (i = 0; i < 5000; i++)
    CU_ASSERT_FALSE(has(c, i % 7, i * 4096));
  close_cache(c);
}

/* Nothing is kept before there is a limit. */
static void
test_no_limit_yet(void)
{
  cache *c = cache_new(&fixture_host, 1);
  cache_entry *e;
  size_t len;

  CU_ASSERT_PTR_NOT_NULL_FATAL(c);
  e = put(c, 1, 0, 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(e);
  CU_ASSERT_EQUAL(load_u64(cache_data(e, &len)), 1);
  CU_ASSERT_EQUAL(len, ENTRY_LEN);
  cache_unpin(c, e);
  CU_ASSERT_FALSE(has(c, 1, 0));
  close_cache(c);
}

static void
test_pins(void)
{
  cache *c = open_cache(2, 40000);
  cache_entry *pinned[60];
  uint64_t i;
  size_t len, held;

  for (i = 0; i < 60; i++) {
    pinned[i] = put(c, 1, i, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pinned[i]);
  }
  CU_ASSERT(cache_used(c) > 60000);
  CU_ASSERT_EQUAL(cache_shrink(c, 1), 0);
  held = cache_used(c);
  for (i = 0; i < 60; i++) {
    CU_ASSERT_EQUAL(load_u64((const uint8_t *)cache_data(pinned[i], &len) + 8),
                    i);
    cache_unpin(c, pinned[i]);
  }
  CU_ASSERT(cache_used(c) < held);
  CU_ASSERT(cache_used(c) <= 40000);
  close_cache(c);
}

/* As large as the whole cache is kept, though there are shards; larger not. */
static void
test_large(void)
{
  cache *c = open_cache(16, 300000);
  size_t lens[] = { 250000, 300000 };
  cache_entry *e;
  size_t i;

  for (i = 0; i < 2; i++) {
    e = cache_put(c, 9, i, bytes_of(9, i, lens[i]), lens[i], 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    cache_unpin(c, e);
    CU_ASSERT_EQUAL(has(c, 9, i), i == 0);
  }
  CU_ASSERT_PTR_NULL(cache_put(c, 9, 2, bytes_of(9, 2, 300000), 300000, 0));
  CU_ASSERT(cache_used(c) <= 300000);
  close_cache(c);
}

static void
test_shrink(void)
{
  cache *c = open_cache(8, 1 << 20);
  uint64_t i;
  size_t used, freed;

  for (i = 0; i < 400; i++)
    (void)put(c, 1, i, 0);
  used = cache_used(c);
  freed = cache_shrink(c, 100000);
  CU_ASSERT(freed >= 100000 && freed < 110000);
  CU_ASSERT_EQUAL(cache_used(c), used - freed);
  freed = cache_shrink(c, SIZE_MAX);
  CU_ASSERT_EQUAL(cache_shrink(c, 1), 0);
  close_cache(c);
}

static void
test_drop(void)
{
  cache *c = open_cache(4, 16 << 20);
  cache_entry *e;
  uint64_t i, left = 0;
  size_t len, used;

  for (i = 0; i < 3000; i++)
    (void)put(c, i % 3, i, 0);
  e = cache_get(c, 1, 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(e);
  cache_drop(c, 1);
  for (i = 0; i < 3000; i++) {
    int there = has(c, i % 3, i);

    left += (uint64_t)there;
    CU_ASSERT(!there || i % 3 != 1);
  }
  CU_ASSERT_EQUAL(left, 2000);
  CU_ASSERT_EQUAL(load_u64(cache_data(e, &len)), 1);
  used = cache_used(c);
  cache_unpin(c, e);
  CU_ASSERT(cache_used(c) <= used - ENTRY_LEN);
  CU_ASSERT_PTR_NULL(put(c, 1, 1, 0));
  CU_ASSERT(has(c, 1, 1));
  close_cache(c);
}

/* A scan of things never asked for again does not push out what is used. */
static void
test_scan_resistance(void)
{
  cache *c = open_cache(1, 120000);
  uint64_t i, round, kept = 0;

  for (i = 0; i < 50; i++)
    (void)put(c, 1, i, 0);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < 50; i++)
      CU_ASSERT(has(c, 1, i));
  }
  for (i = 0; i < 2000; i++)
    (void)put(c, 2, i, 0);
  for (i = 0; i < 50; i++)
    kept += (uint64_t)has(c, 1, i);
  CU_ASSERT(kept >= 48);
  close_cache(c);
}

/* What comes back soon after it fell out goes to the main queue. */
static void
test_ghosts(void)
{
  cache *c = open_cache(1, 120000);
  uint64_t i, kept = 0;

  for (i = 0; i < 300; i++)
    (void)put(c, 1, i, 0);
  CU_ASSERT_FALSE(has(c, 1, 150));
  for (i = 150; i < 170; i++)
    (void)put(c, 1, i, 0);
  for (i = 0; i < 75; i++)
    (void)put(c, 2, i, 0);
  for (i = 150; i < 170; i++)
    kept += (uint64_t)has(c, 1, i);
  CU_ASSERT(kept >= 18);
  close_cache(c);
}

static uint64_t
one_run(size_t shards)
{
  cache *c = open_cache(shards, 300000);
  fixture_random random = { 11 };
  uint64_t hits, misses, i;

  for (i = 0; i < 20000; i++) {
    uint64_t offset = fixture_below(&random, 1 + fixture_below(&random, 3000));

    if (!has(c, 1, offset))
      (void)put(c, 1, offset, 0);
    if (i % 1000 == 999)
      (void)cache_shrink(c, 20000);
  }
  cache_stats(c, &hits, &misses);
  close_cache(c);
  return hits;
}

static void
test_deterministic(void)
{
  uint64_t hits = one_run(4);

  tap_note("%llu of 20000 hits", (unsigned long long)hits);
  CU_ASSERT(hits > 4000);
  CU_ASSERT_EQUAL(one_run(4), hits);
}

static void
test_no_memory(void)
{
  size_t i;
  int done = 0;

  for (i = 1; !done; i++) {
    cache *c;
    uint64_t j;

    fixture_fail_at = 0;
    c = NULL;
    fixture_fail_at = i;
    c = cache_new(&fixture_host, 2);
    if (c == NULL)
      continue;
    cache_set_limit(c, 1 << 20);
    for (j = 0; j < 300; j++) {
      void *data = mem_alloc(&fixture_host, ENTRY_LEN);
      cache_entry *e;

      if (data == NULL)
        continue;
      e = cache_put(c, 1, j, data, ENTRY_LEN, 1);
      if (e != NULL)
        cache_unpin(c, e);
    }
    done = fixture_fail_at != 0;
    CU_ASSERT(cache_used(c) <= 1 << 20);
    close_cache(c);
  }
  fixture_fail_at = 0;
  CU_ASSERT(i > 300);
}

/* ---- threads ------------------------------------------------------------ */

static void *
plain_alloc(const sb_host *host, void *old, size_t size)
{
  (void)host;
  if (size != 0)
    return realloc(old, size);
  free(old);
  return NULL;
}

static const sb_host plain_host = {
  .struct_size = sizeof(sb_host),
  .abi_version = SB_ABI_VERSION,
  .alloc = plain_alloc,
};

typedef struct worker {
  cache *c;
  uint64_t seed, wrong;
} worker;

static void
worker_step(worker *w, fixture_random *random)
{
  uint64_t segment = fixture_below(random, 4);
  uint64_t offset = fixture_below(random, 200);
  size_t len = 16 + fixture_below(random, 500);
  cache_entry *e = cache_get(w->c, segment, offset);
  uint8_t *data;

  if (e == NULL) {
    data = plain_alloc(NULL, NULL, len);
    if (data == NULL)
      return;
    store_u64(data, segment);
    store_u64(data + 8, offset);
    e = cache_put(w->c, segment, offset, data, len, 1);
    if (e == NULL)
      return;
  }
  w->wrong += load_u64(cache_data(e, &len)) != segment;
  w->wrong += load_u64((const uint8_t *)cache_data(e, NULL) + 8) != offset;
  cache_unpin(w->c, e);
}

static void *
worker_run(void *arg)
{
  worker *w = arg;
  fixture_random random = { w->seed };
  int i, steps = tap_is_slow() ? 3000 : 30000;

  for (i = 0; i < steps; i++) {
    worker_step(w, &random);
    if (i % 500 == 0)
      cache_drop(w->c, fixture_below(&random, 4));
    if (i % 700 == 0)
      (void)cache_shrink(w->c, 10000);
    if (i % 900 == 0)
      cache_set_limit(w->c, 20000 + fixture_below(&random, 60000));
  }
  return NULL;
}

static void
test_threads(void)
{
  worker workers[4];
  pthread_t threads[4];
  cache *c = cache_new(&plain_host, 3);
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL(c);
  for (i = 0; i < 4; i++) {
    workers[i] = (worker){ .c = c, .seed = i };
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, worker_run,
                                         &workers[i]), 0);
  }
  for (i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(workers[i].wrong, 0);
  }
  cache_set_limit(c, 20000);
  CU_ASSERT(cache_used(c) <= 20000);
  cache_free(c);
}

static const tap_case cases[] = {
  { "basic", test_basic },
  { "twice", test_twice },
  { "limit", test_limit },
  { "no_limit_yet", test_no_limit_yet },
  { "pins", test_pins },
  { "large", test_large },
  { "shrink", test_shrink },
  { "drop", test_drop },
  { "scan_resistance", test_scan_resistance },
  { "ghosts", test_ghosts },
  { "deterministic", test_deterministic },
  { "no_memory", test_no_memory },
  { "threads", test_threads },
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "cache", cases, TAP_COUNT(cases) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
