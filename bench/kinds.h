/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of Flink's state micro-benchmarks (flink-benchmarks, package
 * org.apache.flink.state.benchmark): keys and values of 8 bytes, 2 key groups,
 * 500,000 keys that are there, as many that are not, maps of 10 entries. Each
 * side implements one call an operation.
 */
#ifndef SB_BENCH_KINDS_H
#define SB_BENCH_KINDS_H

#include "bench/bench.h"

#define KINDS_GROUPS 2u
#define KINDS_MAP 10u    /* entries of a map */
#define KINDS_LIST 100u  /* elements of addAll */

/* What a side offers; `key` and `value` are numbers, kept as 8 bytes. Reads
   return how many values they saw. */
typedef struct kinds_side {
  void *arg;
  void (*value_put)(void *arg, uint64_t key, uint64_t value);
  uint64_t (*value_get)(void *arg, uint64_t key);
  void (*list_put)(void *arg, uint64_t key, uint64_t value); /* update */
  void (*list_add)(void *arg, uint64_t key, uint64_t value);
  void (*list_add_all)(void *arg, uint64_t key, uint64_t value);
  uint64_t (*list_get)(void *arg, uint64_t key);     /* whole, not looked at */
  uint64_t (*list_iterate)(void *arg, uint64_t key);
  void (*list_settle)(void *arg); /* before reads: compacted, as Flink does */
  void (*map_put)(void *arg, uint64_t key, uint64_t entry, uint64_t value);
  void (*map_put_all)(void *arg, uint64_t key, uint64_t value);
  uint64_t (*map_get)(void *arg, uint64_t key, uint64_t entry);
  uint64_t (*map_is_empty)(void *arg, uint64_t key);
  uint64_t (*map_entries)(void *arg, uint64_t key);
  void (*map_remove)(void *arg, uint64_t key, uint64_t entry);
  void (*reduce_add)(void *arg, uint64_t key, uint64_t value);
  void (*close)(void *arg);
} kinds_side;

kinds_side *kinds_ours(const char *dir);
/* NULL where this build has no RocksDB. */
kinds_side *kinds_rocks(const char *dir);

void kinds_bytes(uint64_t number, uint8_t out[8]);

#endif
