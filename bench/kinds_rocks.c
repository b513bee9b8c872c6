/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB's side of the state kinds, laid out as Flink's backend does: a
 * database for each state; key group, key, void namespace and user key make
 * the key; list elements are merge operands joined by commas.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "bench/kinds.h"

#ifdef HAVE_ROCKSDB

#include <rocksdb/c.h>

#define KINDS_KEY 10u /* key group, 8 bytes of key, void namespace */

typedef struct kinds_rocks_side {
  kinds_side side;
  rocksdb_t *value, *list, *map, *reduce;
  rocksdb_writeoptions_t *write;
  rocksdb_readoptions_t *read;
} kinds_rocks_side;

static void
rocks_ok(char *err)
{
  if (err != NULL)
    bench_die("rocksdb: %s", err);
}

static void
rocks_key(uint64_t key, uint8_t out[KINDS_KEY + 8])
{
  kinds_bytes(key, out + 1);
  out[0] = (uint8_t)sb_key_group((int32_t)(key ^ key >> 32), KINDS_GROUPS);
  out[9] = 0;
}

static void
rocks_entry(uint64_t key, uint64_t entry, uint8_t out[KINDS_KEY + 8])
{
  rocks_key(key, out);
  kinds_bytes(entry, out + KINDS_KEY);
}

/* ---- merging lists ------------------------------------------------------ */

static char *
list_join(const char *first, size_t first_len, const char *const *parts,
          const size_t *lens, int count, size_t *len)
{
  size_t size = first == NULL ? 0 : first_len + 1, at = 0;
  char *out;
  int i;

  for (i = 0; i < count; i++)
    size += lens[i] + 1;
  out = malloc(size + 1);
  if (out == NULL)
    return NULL;
  if (first != NULL) {
    memcpy(out, first, first_len);
    out[first_len] = ',';
    at = first_len + 1;
  }
  for (i = 0; i < count; i++) {
    memcpy(out + at, parts[i], lens[i]);
    at += lens[i];
    out[at++] = ',';
  }
  *len = at - 1;
  return out;
}

static char *
list_full_merge(void *state, const char *key, size_t key_len,
                const char *existing, size_t existing_len,
                const char *const *operands, const size_t *lens, int count,
                unsigned char *success, size_t *new_len)
{
  char *out = list_join(existing, existing_len, operands, lens, count,
                        new_len);

  (void)state;
  (void)key;
  (void)key_len;
  *success = out != NULL;
  return out;
}

static char *
list_partial_merge(void *state, const char *key, size_t key_len,
                   const char *const *operands, const size_t *lens, int count,
                   unsigned char *success, size_t *new_len)
{
  return list_full_merge(state, key, key_len, NULL, 0, operands, lens, count,
                         success, new_len);
}

static const char *
list_name(void *state)
{
  (void)state;
  return "append";
}

static void
list_nothing(void *state)
{
  (void)state;
}

/* ---- opening ------------------------------------------------------------ */

static rocksdb_t *
rocks_new(const char *dir, const char *name, int lists)
{
  rocksdb_block_based_table_options_t *table =
    rocksdb_block_based_options_create();
  rocksdb_options_t *options = rocksdb_options_create();
  char *err = NULL;
  rocksdb_t *db;

  rocksdb_options_set_create_if_missing(options, 1);
  rocksdb_options_increase_parallelism(options, 2);
  rocksdb_options_set_write_buffer_size(options, 64u << 20);
  rocksdb_options_set_max_write_buffer_number(options, 4);
  rocksdb_options_set_compression(options, rocksdb_snappy_compression);
  rocksdb_block_based_options_set_block_cache(
    table, rocksdb_cache_create_lru((size_t)256 << 20));
  rocksdb_block_based_options_set_filter_policy(
    table, rocksdb_filterpolicy_create_bloom_full(10));
  rocksdb_options_set_block_based_table_factory(options, table);
  if (lists)
    rocksdb_options_set_merge_operator(
      options, rocksdb_mergeoperator_create(NULL, list_nothing,
                                            list_full_merge,
                                            list_partial_merge, NULL,
                                            list_name));
  db = rocksdb_open(options, bench_path("%s-%s", dir, name), &err);
  rocks_ok(err);
  return db;
}

/* ---- values and reducing ------------------------------------------------ */

static void
rocks_value_put(void *arg, uint64_t key, uint64_t value)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8], v[8];
  char *err = NULL;

  rocks_key(key, k);
  kinds_bytes(value, v);
  rocksdb_put(r->value, r->write, (char *)k, KINDS_KEY, (char *)v, 8, &err);
  rocks_ok(err);
}

/* Bytes of a value, copied out as a deserializer would read them. */
static size_t
rocks_read(kinds_rocks_side *r, rocksdb_t *db, const uint8_t *key,
           size_t key_len, uint64_t *first)
{
  rocksdb_pinnableslice_t *slice;
  const char *data;
  char *err = NULL;
  size_t len = 0;

  slice = rocksdb_get_pinned(db, r->read, (const char *)key, key_len, &err);
  rocks_ok(err);
  if (slice == NULL)
    return 0;
  data = rocksdb_pinnableslice_value(slice, &len);
  if (len >= 8)
    memcpy(first, data, 8);
  rocksdb_pinnableslice_destroy(slice);
  return len;
}

static uint64_t
rocks_value_get(void *arg, uint64_t key)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8];
  uint64_t value;

  rocks_key(key, k);
  return rocks_read(r, r->value, k, KINDS_KEY, &value) != 0;
}

static void
rocks_reduce_add(void *arg, uint64_t key, uint64_t value)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8];
  uint64_t sum = 0;
  char *err = NULL;

  rocks_key(key, k);
  (void)rocks_read(r, r->reduce, k, KINDS_KEY, &sum);
  sum += value;
  rocksdb_put(r->reduce, r->write, (char *)k, KINDS_KEY, (char *)&sum, 8,
              &err);
  rocks_ok(err);
}

/* ---- lists -------------------------------------------------------------- */

static void
rocks_list_put(void *arg, uint64_t key, uint64_t value)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8], v[8];
  char *err = NULL;

  rocks_key(key, k);
  kinds_bytes(value, v);
  rocksdb_put(r->list, r->write, (char *)k, KINDS_KEY, (char *)v, 8, &err);
  rocks_ok(err);
}

static void
rocks_list_add(void *arg, uint64_t key, uint64_t value)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8], v[8];
  char *err = NULL;

  rocks_key(key, k);
  kinds_bytes(value, v);
  rocksdb_merge(r->list, r->write, (char *)k, KINDS_KEY, (char *)v, 8, &err);
  rocks_ok(err);
}

static void
rocks_list_add_all(void *arg, uint64_t key, uint64_t value)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8], v[KINDS_LIST * 9];
  char *err = NULL;
  unsigned i;

  rocks_key(key, k);
  for (i = 0; i < KINDS_LIST; i++) {
    kinds_bytes(value + i, v + 9u * i);
    v[9 * i + 8] = ',';
  }
  rocksdb_merge(r->list, r->write, (char *)k, KINDS_KEY, (char *)v,
                sizeof v - 1, &err);
  rocks_ok(err);
}

static uint64_t
rocks_list_get(void *arg, uint64_t key)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8];
  uint64_t value;

  rocks_key(key, k);
  return rocks_read(r, r->list, k, KINDS_KEY, &value) / 8;
}

static uint64_t
rocks_list_iterate(void *arg, uint64_t key)
{
  kinds_rocks_side *r = arg;
  rocksdb_pinnableslice_t *slice;
  uint8_t k[KINDS_KEY + 8];
  uint64_t value, seen = 0;
  volatile uint64_t sink;
  const char *data;
  char *err = NULL;
  size_t len = 0, at;

  rocks_key(key, k);
  slice = rocksdb_get_pinned(r->list, r->read, (char *)k, KINDS_KEY, &err);
  rocks_ok(err);
  if (slice == NULL)
    return 0;
  data = rocksdb_pinnableslice_value(slice, &len);
  for (at = 0; at + 8 <= len; at += 9) {
    memcpy(&value, data + at, 8);
    sink = value;
    seen++;
  }
  (void)sink;
  rocksdb_pinnableslice_destroy(slice);
  return seen;
}

static void
rocks_settle(void *arg)
{
  kinds_rocks_side *r = arg;

  rocksdb_compact_range(r->list, NULL, 0, NULL, 0);
}

/* ---- maps --------------------------------------------------------------- */

/* Flink writes a flag for null before each value. */
static void
rocks_map_put(void *arg, uint64_t key, uint64_t entry, uint64_t value)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8], v[9];
  char *err = NULL;

  rocks_entry(key, entry, k);
  v[0] = 0;
  kinds_bytes(value, v + 1);
  rocksdb_put(r->map, r->write, (char *)k, sizeof k, (char *)v, 9, &err);
  rocks_ok(err);
}

static void
rocks_map_put_all(void *arg, uint64_t key, uint64_t value)
{
  kinds_rocks_side *r = arg;
  rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
  uint8_t k[KINDS_KEY + 8], v[9];
  char *err = NULL;
  uint64_t i;

  v[0] = 0;
  for (i = 0; i < KINDS_MAP; i++) {
    rocks_entry(key, i, k);
    kinds_bytes(value + i, v + 1);
    rocksdb_writebatch_put(batch, (char *)k, sizeof k, (char *)v, 9);
  }
  rocksdb_write(r->map, r->write, batch, &err);
  rocksdb_writebatch_destroy(batch);
  rocks_ok(err);
}

static uint64_t
rocks_map_get(void *arg, uint64_t key, uint64_t entry)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8];
  uint64_t value;

  rocks_entry(key, entry, k);
  return rocks_read(r, r->map, k, sizeof k, &value) != 0;
}

static uint64_t
rocks_map_walk(kinds_rocks_side *r, uint64_t key, uint64_t most)
{
  rocksdb_iterator_t *it = rocksdb_create_iterator(r->map, r->read);
  uint8_t k[KINDS_KEY + 8];
  volatile uint64_t sink;
  uint64_t seen = 0, value;
  size_t len;

  rocks_key(key, k);
  for (rocksdb_iter_seek(it, (char *)k, KINDS_KEY);
       seen < most && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
    const char *at = rocksdb_iter_key(it, &len);

    if (len < KINDS_KEY || memcmp(at, k, KINDS_KEY) != 0)
      break;
    memcpy(&value, at + KINDS_KEY, 8);
    sink = value;
    at = rocksdb_iter_value(it, &len);
    memcpy(&value, at + 1, 8);
    sink = value;
    seen++;
  }
  (void)sink;
  rocksdb_iter_destroy(it);
  return seen;
}

static uint64_t
rocks_map_entries(void *arg, uint64_t key)
{
  return rocks_map_walk(arg, key, UINT64_MAX);
}

static uint64_t
rocks_map_is_empty(void *arg, uint64_t key)
{
  return rocks_map_walk(arg, key, 1);
}

static void
rocks_map_remove(void *arg, uint64_t key, uint64_t entry)
{
  kinds_rocks_side *r = arg;
  uint8_t k[KINDS_KEY + 8];
  char *err = NULL;

  rocks_entry(key, entry, k);
  rocksdb_delete(r->map, r->write, (char *)k, sizeof k, &err);
  rocks_ok(err);
}

static void
rocks_side_close(void *arg)
{
  kinds_rocks_side *r = arg;

  rocksdb_close(r->value);
  rocksdb_close(r->list);
  rocksdb_close(r->map);
  rocksdb_close(r->reduce);
  rocksdb_writeoptions_destroy(r->write);
  rocksdb_readoptions_destroy(r->read);
  free(r);
}

kinds_side *
kinds_rocks(const char *dir)
{
  kinds_rocks_side *r;

  if (bench.alone)
    return NULL;
  r = calloc(1, sizeof *r);
  if (r == NULL)
    bench_die("out of memory");
  r->write = rocksdb_writeoptions_create();
  rocksdb_writeoptions_disable_WAL(r->write, 1);
  r->read = rocksdb_readoptions_create();
  r->value = rocks_new(dir, "value", 0);
  r->list = rocks_new(dir, "list", 1);
  r->map = rocks_new(dir, "map", 0);
  r->reduce = rocks_new(dir, "reduce", 0);
  r->side = (kinds_side){
    .arg = r,
    .value_put = rocks_value_put,
    .value_get = rocks_value_get,
    .list_put = rocks_list_put,
    .list_add = rocks_list_add,
    .list_add_all = rocks_list_add_all,
    .list_get = rocks_list_get,
    .list_iterate = rocks_list_iterate,
    .list_settle = rocks_settle,
    .map_put = rocks_map_put,
    .map_put_all = rocks_map_put_all,
    .map_get = rocks_map_get,
    .map_is_empty = rocks_map_is_empty,
    .map_entries = rocks_map_entries,
    .map_remove = rocks_map_remove,
    .reduce_add = rocks_reduce_add,
    .close = rocks_side_close,
  };
  return &r->side;
}

#else

kinds_side *
kinds_rocks(const char *dir)
{
  (void)dir;
  return NULL;
}

#endif
