/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench: this library and RocksDB in one process, one case at a time, rounds
 * of both in turn, the median of each printed. What the cases share: settings,
 * clock, keys and values, the two sides, and the printing of a result.
 */
#ifndef SB_BENCH_BENCH_H
#define SB_BENCH_BENCH_H

#include <statebackend/statebackend.h>

#define BENCH_KEY 16
#define BENCH_GROUPS 128
#define BENCH_ROUNDS_MAX 15

typedef struct bench_settings {
  const char *dir;      /* scratch, made and removed by bench */
  uint64_t keys;        /* ids of most cases */
  uint64_t operations;  /* a round of them, at most */
  uint32_t value_size;
  uint32_t rounds;
  double round_seconds; /* a round's limit */
  double scale;
  int alone;            /* our side only */
  const char *only;     /* prefix of the operations of kinds to run */
  double gigabytes;     /* resident_memory: raw state */
  double seconds;       /* resident_memory: how long */
  const char *memory;   /* of hot cases, as a setting */
  uint64_t timers;      /* of the timers case, before scaling */
} bench_settings;

extern bench_settings bench;

/* Prints why and ends the program: a benchmark has nothing to clean up that
   the next run would not. */
void bench_die(const char *format, ...) SB_PRINTF(1, 2)
  __attribute__((noreturn));
void bench_check(sb_status status, const sb_error *err, const char *doing);

uint64_t bench_now_ns(void);
uint64_t bench_cpu_ns(void);      /* of the process, all threads */
uint64_t bench_resident(void);    /* bytes, from /proc/self/statm */

/* A fast random number generator; any seed. */
typedef struct bench_random {
  uint64_t state;
} bench_random;
uint64_t bench_next(bench_random *random);

/* Key `id`: 16 bytes, all ids spread. Its key group as the library has it. */
void bench_key(uint64_t id, uint8_t key[BENCH_KEY]);
uint32_t bench_key_group(const uint8_t key[BENCH_KEY]);

/* A value whose bytes follow from (id, counter): the counter first, then one
   half that compresses and one that does not. */
void bench_value(uint64_t id, uint64_t counter, uint8_t *value, uint32_t size);

/* Operations a second of `step`, which does `count` of them from number
   `first` on; until `operations` are done or bench.round_seconds have gone. */
typedef void bench_step(void *arg, uint64_t first, uint64_t count);
double bench_rate(bench_step *step, void *arg, uint64_t operations);

/* A path below the scratch directory, from a ring of buffers. */
const char *bench_path(const char *format, ...) SB_PRINTF(1, 2);
void bench_remove_tree(const char *path);

/* ---- results ------------------------------------------------------------ */

typedef struct bench_series {
  double values[BENCH_ROUNDS_MAX];
  uint32_t count;
} bench_series;
void bench_add(bench_series *series, double value);
double bench_median(const bench_series *series);

/* One line. `higher`: a larger figure is better, and the ratio is ours/peer,
   else peer/ours, so that over 1 is always in our favour. peer NULL: none. */
void bench_print(const char *name, double ours, const char *peer,
                 double peer_value, const char *unit, int higher,
                 const char *extra);

/* ---- our side ----------------------------------------------------------- */

typedef struct ours {
  const char *dir;
  sb_config *config;
  sb_backend *backend;
  sb_job *job;
  sb_keyed *keyed;
  uint32_t state;
  uint64_t next_checkpoint;
  const sb_checkpoint *restored;
} ours;

/* Opens the local plugin in `dir` (made if missing), takes the job over,
   restores the newest checkpoint and registers one value state. */
void ours_open(ours *o, const char *dir, const char *memory,
               const char *filters);
void ours_close(ours *o);
void ours_put(ours *o, uint64_t id, const uint8_t *value, uint32_t size);
/* Makes ids [0, count) with counter 0. */
void ours_fill(ours *o, uint64_t count);
/* One whole checkpoint: begin, run, commit, notify. */
typedef struct ours_times {
  uint64_t begin_ns, run_ns, run_cpu_ns, commit_ns;
  uint64_t objects_new, bytes_new;
} ours_times;
void ours_checkpoint(ours *o, ours_times *times);
sb_key ours_key(const ours *o, const uint8_t *key);

/* ---- RocksDB ------------------------------------------------------------ */

typedef struct rocks rocks;
#define ROCKS_NAME "rocksdb"

/* NULL where this build has no RocksDB: cases then print ours alone. */
rocks *rocks_open(const char *dir, uint64_t cache_size);
void rocks_close(rocks *r);
/* From now on a flush is followed by no compaction in the background. */
void rocks_keep_still(rocks *r);
void rocks_put(rocks *r, const uint8_t *key, const uint8_t *value,
               uint32_t size);
/* The value copied into `value` of `size`; 0 if there is none. */
int rocks_get(rocks *r, const uint8_t *key, uint8_t *value, uint32_t size);
void rocks_fill(rocks *r, uint64_t count);
/* One read, one write. */
void rocks_add(rocks *r, const uint8_t *key);
/* Memtable to a file; compact: then all files into the last level. */
void rocks_flush(rocks *r);
void rocks_compact(rocks *r);
uint64_t rocks_scan(rocks *r);
/* A checkpoint as Flink's backend makes one: flush and hard links. */
void rocks_checkpoint(rocks *r, const char *dir);

/* ---- cases -------------------------------------------------------------- */

typedef struct bench_case {
  const char *name;
  void (*run)(void);
  const char *help;
} bench_case;

void case_hot_rmw(void);
void case_put_new(void);
void case_get_record(void);
void case_batch_get(void);
void case_get_segment(void);
void case_scan(void);
void case_barrier_pause(void);
void case_flush(void);
void case_requests_per_checkpoint(void);
void case_restore_first_record(void);
void case_resident_memory(void);
void case_timers(void);
void case_kinds(void);
void case_reduce(void);
void case_namespace_keys(void);
void case_visitor(void);

#endif
