/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers in RocksDB, as Flink's RocksDBCachingPriorityQueueSet and
 * KeyGroupPartitionedPriorityQueue keep them: key group and element make the
 * key, values are empty, the first 128 of each key group are kept in order in
 * memory, refilled by a seek just behind the last one taken; a heap over the
 * key groups. Every change is written through.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "bench/timers.h"

#ifdef HAVE_ROCKSDB

#include <rocksdb/c.h>

#define TIMERS_CACHE 128
#define TIMERS_ROCKS_KEY (1 + TIMERS_ELEMENT)

typedef struct peer_group {
  uint8_t keys[TIMERS_CACHE][TIMERS_ROCKS_KEY]; /* ascending, from `first` */
  uint32_t first, count;
  int complete;
  uint8_t hint[TIMERS_ROCKS_KEY + 1];
  size_t hint_len;
} peer_group;

struct timers_rocks {
  rocksdb_t *db;
  rocksdb_options_t *options;
  rocksdb_block_based_table_options_t *table;
  rocksdb_cache_t *cache;
  rocksdb_writeoptions_t *write;
  rocksdb_readoptions_t *read;
  peer_group groups[BENCH_GROUPS];
  uint32_t heap[BENCH_GROUPS], position[BENCH_GROUPS];
};

static void
peer_ok(char *err)
{
  if (err != NULL)
    bench_die("rocksdb: %s", err);
}

static void
peer_set_up(timers_rocks *r, uint64_t memory)
{
  r->options = rocksdb_options_create();
  rocksdb_options_set_create_if_missing(r->options, 1);
  rocksdb_options_increase_parallelism(r->options, 2);
  rocksdb_options_set_write_buffer_size(r->options, 64u << 20);
  rocksdb_options_set_db_write_buffer_size(r->options, memory / 3);
  rocksdb_options_set_compression(r->options, rocksdb_snappy_compression);
  r->table = rocksdb_block_based_options_create();
  r->cache = rocksdb_cache_create_lru(memory - memory / 3);
  rocksdb_block_based_options_set_block_cache(r->table, r->cache);
  rocksdb_block_based_options_set_cache_index_and_filter_blocks(r->table, 1);
  rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(
    r->table, 1);
  rocksdb_options_set_block_based_table_factory(r->options, r->table);
  r->write = rocksdb_writeoptions_create();
  rocksdb_writeoptions_disable_WAL(r->write, 1);
  r->read = rocksdb_readoptions_create();
}

timers_rocks *
timers_rocks_open(const char *dir, uint64_t memory)
{
  timers_rocks *r;
  char *err = NULL;
  uint32_t i;

  if (bench.alone)
    return NULL;
  r = calloc(1, sizeof *r);
  if (r == NULL)
    bench_die("out of memory");
  peer_set_up(r, memory);
  r->db = rocksdb_open(r->options, dir, &err);
  peer_ok(err);
  for (i = 0; i < BENCH_GROUPS; i++) {
    r->heap[i] = r->position[i] = i;
    r->groups[i].hint[0] = (uint8_t)i;
    r->groups[i].hint_len = 1;
  }
  return r;
}

void
timers_rocks_close(timers_rocks *r)
{
  if (r == NULL)
    return;
  rocksdb_close(r->db);
  rocksdb_readoptions_destroy(r->read);
  rocksdb_writeoptions_destroy(r->write);
  rocksdb_block_based_options_destroy(r->table);
  rocksdb_options_destroy(r->options);
  rocksdb_cache_destroy(r->cache);
  free(r);
}

/* ---- one key group ------------------------------------------------------ */

static void
peer_fill(timers_rocks *r, peer_group *g)
{
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(r->db, r->read);
  const char *key;
  size_t len;

  g->first = 0;
  g->hint[g->hint_len] = 0;
  rocksdb_iter_seek(iterator, (const char *)g->hint, g->hint_len + 1);
  for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
    key = rocksdb_iter_key(iterator, &len);
    if (len != TIMERS_ROCKS_KEY || (uint8_t)key[0] != g->hint[0] ||
        g->count == TIMERS_CACHE)
      break;
    memcpy(g->keys[g->count++], key, TIMERS_ROCKS_KEY);
  }
  g->complete = !rocksdb_iter_valid(iterator) || g->count < TIMERS_CACHE;
  rocksdb_iter_destroy(iterator);
}

static void
peer_check(timers_rocks *r, peer_group *g)
{
  if (!g->complete && g->count == 0)
    peer_fill(r, g);
}

static uint32_t
peer_find(const peer_group *g, const uint8_t *key)
{
  uint32_t low = g->first, high = g->first + g->count, middle;

  while (low < high) {
    middle = low + (high - low) / 2;
    if (memcmp(g->keys[middle], key, TIMERS_ROCKS_KEY) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void
peer_insert(peer_group *g, const uint8_t *key)
{
  uint32_t at = peer_find(g, key), end = g->first + g->count;

  if (g->first > 0) {
    memmove(g->keys[g->first - 1], g->keys[g->first],
            (size_t)(at - g->first) * TIMERS_ROCKS_KEY);
    g->first--;
    at--;
  } else {
    memmove(g->keys[at + 1], g->keys[at],
            (size_t)(end - at) * TIMERS_ROCKS_KEY);
  }
  memcpy(g->keys[at], key, TIMERS_ROCKS_KEY);
  g->count++;
}

static void
peer_add(timers_rocks *r, peer_group *g, const uint8_t *key)
{
  uint32_t last;
  char *err = NULL;

  peer_check(r, g);
  last = g->first + g->count - 1;
  if ((g->count < TIMERS_CACHE && g->complete) ||
      (g->count != 0 &&
       memcmp(key, g->keys[last], TIMERS_ROCKS_KEY) < 0)) {
    if (g->count == TIMERS_CACHE) {
      g->count--;
      g->complete = 0;
    }
    peer_insert(g, key);
  } else {
    g->complete = 0;
  }
  rocksdb_put(r->db, r->write, (const char *)key, TIMERS_ROCKS_KEY, "", 0,
              &err);
  peer_ok(err);
}

/* ---- all key groups ----------------------------------------------------- */

static const uint8_t *
peer_head(timers_rocks *r, uint32_t i)
{
  peer_group *g = &r->groups[r->heap[i]];

  return g->count == 0 ? NULL : g->keys[g->first] + 1;
}

/* By time, as Flink's timers compare. */
static int
peer_before(timers_rocks *r, uint32_t i, uint32_t j)
{
  const uint8_t *a = peer_head(r, i), *b = peer_head(r, j);

  if (a == NULL || b == NULL)
    return a != NULL;
  return memcmp(a, b, 8) < 0;
}

static void
peer_swap(timers_rocks *r, uint32_t i, uint32_t j)
{
  uint32_t a = r->heap[i], b = r->heap[j];

  r->heap[i] = b;
  r->heap[j] = a;
  r->position[b] = i;
  r->position[a] = j;
}

static void
peer_fix(timers_rocks *r, uint32_t group)
{
  uint32_t i = r->position[group], child;

  for (; i > 0 && peer_before(r, i, (i - 1) / 2); i = (i - 1) / 2)
    peer_swap(r, i, (i - 1) / 2);
  while ((child = 2 * i + 1) < BENCH_GROUPS) {
    if (child + 1 < BENCH_GROUPS && peer_before(r, child + 1, child))
      child++;
    if (!peer_before(r, child, i))
      break;
    peer_swap(r, i, child);
    i = child;
  }
}

void
timers_rocks_add(timers_rocks *r, uint32_t key_group,
                 const uint8_t element[TIMERS_ELEMENT])
{
  uint8_t key[TIMERS_ROCKS_KEY];
  peer_group *g = &r->groups[key_group];
  int head;

  key[0] = (uint8_t)key_group;
  memcpy(key + 1, element, TIMERS_ELEMENT);
  peer_add(r, g, key);
  head = g->count != 0 &&
         memcmp(g->keys[g->first], key, TIMERS_ROCKS_KEY) == 0;
  if (head)
    peer_fix(r, key_group);
}

int
timers_rocks_poll(timers_rocks *r, uint8_t element[TIMERS_ELEMENT])
{
  peer_group *g = &r->groups[r->heap[0]];
  const uint8_t *key;
  char *err = NULL;

  peer_check(r, g);
  if (g->count == 0)
    return 0;
  key = g->keys[g->first];
  memcpy(element, key + 1, TIMERS_ELEMENT);
  rocksdb_delete(r->db, r->write, (const char *)key, TIMERS_ROCKS_KEY, &err);
  peer_ok(err);
  g->first++;
  g->count--;
  if (g->count == 0) {
    memcpy(g->hint, key, TIMERS_ROCKS_KEY);
    g->hint_len = TIMERS_ROCKS_KEY;
    peer_check(r, g);
  }
  peer_fix(r, r->heap[0]);
  return 1;
}

#else

timers_rocks *
timers_rocks_open(const char *dir, uint64_t memory)
{
  (void)dir;
  (void)memory;
  return NULL;
}

void
timers_rocks_close(timers_rocks *r)
{
  (void)r;
}

void
timers_rocks_add(timers_rocks *r, uint32_t key_group,
                 const uint8_t element[TIMERS_ELEMENT])
{
  (void)r;
  (void)key_group;
  (void)element;
}

int
timers_rocks_poll(timers_rocks *r, uint8_t element[TIMERS_ELEMENT])
{
  (void)r;
  (void)element;
  return 0;
}

#endif
