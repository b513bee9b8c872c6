/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB's side of bench, set up as a stream processor would: no write-ahead
 * log, a large block cache, bloom filters of 10 bits a key.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

#include <rocksdb/c.h>

struct rocks {
  rocksdb_t *db;
  rocksdb_options_t *options;
  rocksdb_block_based_table_options_t *table;
  rocksdb_cache_t *cache;
  rocksdb_writeoptions_t *write;
  rocksdb_readoptions_t *read;
};

static void
rocks_check(char *err, const char *doing)
{
  if (err != NULL)
    bench_die("rocksdb: %s: %s", doing, err);
}

rocks *
rocks_open(const char *dir, uint64_t cache_size)
{
  rocks *r;
  char *err = NULL;

  if (bench.alone)
    return NULL;
  r = calloc(1, sizeof *r);
  if (r == NULL)
    bench_die("out of memory");
  r->options = rocksdb_options_create();
  rocksdb_options_set_create_if_missing(r->options, 1);
  rocksdb_options_increase_parallelism(r->options, 2);
  rocksdb_options_set_write_buffer_size(r->options, 64u << 20);
  rocksdb_options_set_max_write_buffer_number(r->options, 4);
  rocksdb_options_set_compression(r->options, rocksdb_snappy_compression);
  r->table = rocksdb_block_based_options_create();
  r->cache = rocksdb_cache_create_lru(cache_size);
  rocksdb_block_based_options_set_block_cache(r->table, r->cache);
  rocksdb_block_based_options_set_filter_policy(
    r->table, rocksdb_filterpolicy_create_bloom_full(10));
  rocksdb_options_set_block_based_table_factory(r->options, r->table);
  r->write = rocksdb_writeoptions_create();
  rocksdb_writeoptions_disable_WAL(r->write, 1);
  r->read = rocksdb_readoptions_create();
  r->db = rocksdb_open(r->options, dir, &err);
  rocks_check(err, "opening");
  return r;
}

void
rocks_close(rocks *r)
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

void
rocks_keep_still(rocks *r)
{
  static const char *const keys[] = { "disable_auto_compactions" };
  static const char *const values[] = { "true" };
  char *err = NULL;

  rocksdb_set_options(r->db, 1, keys, values, &err);
  rocks_check(err, "setting an option");
}

void
rocks_put(rocks *r, const uint8_t *key, const uint8_t *value, uint32_t size)
{
  char *err = NULL;

  rocksdb_put(r->db, r->write, (const char *)key, BENCH_KEY,
              (const char *)value, size, &err);
  rocks_check(err, "putting");
}

int
rocks_get(rocks *r, const uint8_t *key, uint8_t *value, uint32_t size)
{
  rocksdb_pinnableslice_t *slice;
  const char *data;
  char *err = NULL;
  size_t len;

  slice = rocksdb_get_pinned(r->db, r->read, (const char *)key, BENCH_KEY,
                             &err);
  rocks_check(err, "getting");
  if (slice == NULL)
    return 0;
  data = rocksdb_pinnableslice_value(slice, &len);
  memcpy(value, data, len < size ? len : size);
  rocksdb_pinnableslice_destroy(slice);
  return 1;
}

void
rocks_add(rocks *r, const uint8_t *key)
{
  uint8_t value[65536];
  uint64_t counter;

  if (!rocks_get(r, key, value, bench.value_size))
    bench_die("rocksdb: a key is missing");
  memcpy(&counter, value, 8);
  counter++;
  memcpy(value, &counter, 8);
  rocks_put(r, key, value, bench.value_size);
}

void
rocks_fill(rocks *r, uint64_t count)
{
  uint8_t key[BENCH_KEY], value[65536];
  uint64_t id;

  for (id = 0; id < count; id++) {
    bench_key(id, key);
    bench_value(id, 0, value, bench.value_size);
    rocks_put(r, key, value, bench.value_size);
  }
}

void
rocks_flush(rocks *r)
{
  rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
  char *err = NULL;

  rocksdb_flushoptions_set_wait(options, 1);
  rocksdb_flush(r->db, options, &err);
  rocksdb_flushoptions_destroy(options);
  rocks_check(err, "flushing");
}

void
rocks_compact(rocks *r)
{
  rocks_flush(r);
  rocksdb_compact_range(r->db, NULL, 0, NULL, 0);
}

uint64_t
rocks_scan(rocks *r)
{
  rocksdb_iterator_t *iterator = rocksdb_create_iterator(r->db, r->read);
  uint64_t rows = 0;
  volatile char seen;
  size_t len;

  for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);
       rocksdb_iter_next(iterator)) {
    seen = rocksdb_iter_key(iterator, &len)[0];
    seen = rocksdb_iter_value(iterator, &len)[0];
    rows++;
  }
  (void)seen;
  rocksdb_iter_destroy(iterator);
  return rows;
}

void
rocks_checkpoint(rocks *r, const char *dir)
{
  rocksdb_checkpoint_t *checkpoint;
  char *err = NULL;

  checkpoint = rocksdb_checkpoint_object_create(r->db, &err);
  rocks_check(err, "making a checkpoint");
  rocksdb_checkpoint_create(checkpoint, dir, 0, &err);
  rocks_check(err, "making a checkpoint");
  rocksdb_checkpoint_object_destroy(checkpoint);
}
