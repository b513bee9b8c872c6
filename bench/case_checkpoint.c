/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases around checkpoints: barrier_pause, flush, requests_per_checkpoint,
 * restore_first_record. A checkpoint of the peer is what stream processors
 * make of RocksDB: a flush of the memtable and hard links of the files.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"

#define CHECKPOINT_DIRTY 100000u /* records changed between checkpoints */
#define FLUSH_KEYS 400000u       /* fits one memtable of the peer */

/* Writes some records anew on both sides. */
static void
checkpoint_change(ours *o, rocks *r, uint64_t first, uint64_t count,
                  uint64_t counter)
{
  uint8_t key[BENCH_KEY], value[65536];
  uint64_t id;

  for (id = first; id < first + count; id++) {
    bench_value(id, counter, value, bench.value_size);
    ours_put(o, id, value, bench.value_size);
    if (r == NULL)
      continue;
    bench_key(id, key);
    rocks_put(r, key, value, bench.value_size);
  }
}

void
case_barrier_pause(void)
{
  bench_series pauses = { .count = 0 }, rocks_pauses = { .count = 0 };
  uint64_t start, dirty;
  ours_times times;
  uint32_t round;
  char extra[64];
  rocks *r;
  ours o;

  ours_open(&o, bench_path("barrier-ours"), bench.scale > 4 ? "8gb"
                                                            : bench.memory,
            NULL);
  r = rocks_open(bench_path("barrier-rocks"), 1u << 30);
  ours_fill(&o, bench.keys);
  if (r != NULL)
    rocks_fill(r, bench.keys);
  dirty = bench.keys < CHECKPOINT_DIRTY ? bench.keys : CHECKPOINT_DIRTY;
  /* The first checkpoint holds everything; it counts like the others. */
  for (round = 0; round < bench.rounds; round++) {
    ours_checkpoint(&o, &times);
    bench_add(&pauses, (double)times.begin_ns / 1e3);
    if (r != NULL) {
      start = bench_now_ns();
      rocks_checkpoint(r, bench_path("barrier-rocks-%u", round));
      bench_add(&rocks_pauses, (double)(bench_now_ns() - start) / 1e3);
      bench_remove_tree(bench_path("barrier-rocks-%u", round));
    }
    checkpoint_change(&o, r, 0, dirty, round + 1);
  }
  (void)snprintf(extra, sizeof extra, "keys=%" PRIu64, bench.keys);
  bench_print("barrier_pause", bench_median(&pauses),
              r == NULL ? NULL : ROCKS_NAME, bench_median(&rocks_pauses),
              "us", 0, extra);
  ours_close(&o);
  rocks_close(r);
  bench_remove_tree(bench_path("barrier-ours"));
  bench_remove_tree(bench_path("barrier-rocks"));
}

void
case_flush(void)
{
  bench_series our_rates = { .count = 0 }, rocks_rates = { .count = 0 };
  bench_series walls = { .count = 0 };
  uint64_t count = bench.keys < FLUSH_KEYS ? bench.keys : FLUSH_KEYS;
  double megabytes = (double)count * (BENCH_KEY + bench.value_size) / 1e6;
  ours_times times;
  uint64_t cpu;
  uint32_t round;
  char extra[64];
  rocks *r;
  ours o;

  ours_open(&o, bench_path("flush-ours"), bench.memory, NULL);
  r = rocks_open(bench_path("flush-rocks"), 1u << 30);
  if (r != NULL)
    rocks_keep_still(r); /* its threads would count as our time */
  for (round = 0; round < bench.rounds; round++) {
    checkpoint_change(&o, r, 0, count, round);
    ours_checkpoint(&o, &times);
    bench_add(&our_rates, megabytes / ((double)times.run_cpu_ns / 1e9));
    bench_add(&walls, megabytes / ((double)times.run_ns / 1e9));
    if (r == NULL)
      continue;
    cpu = bench_cpu_ns();
    rocks_flush(r);
    bench_add(&rocks_rates,
              megabytes / ((double)(bench_cpu_ns() - cpu) / 1e9));
  }
  (void)snprintf(extra, sizeof extra, "wall=%.4g", bench_median(&walls));
  bench_print("flush", bench_median(&our_rates), r == NULL ? NULL : ROCKS_NAME,
              bench_median(&rocks_rates), "MB/cpu-s", 1, extra);
  ours_close(&o);
  rocks_close(r);
  bench_remove_tree(bench_path("flush-ours"));
  bench_remove_tree(bench_path("flush-rocks"));
}

/* ---- requests ----------------------------------------------------------- */

typedef struct request_counts {
  uint64_t writes, reads;
} request_counts;

static int
request_is(const char *name, const char *const *names)
{
  size_t i;

  for (i = 0; names[i] != NULL; i++)
    if (strcmp(name, names[i]) == 0)
      return 1;
  return 0;
}

/* Counters of the stats filter. A stream counts at its commit: as long as it
   is small a store makes one request of it. */
static void
request_count(void *arg, const char *name, int64_t value)
{
  static const char *const writes[] = { "stats.put.count",
                                        "stats.commit.count",
                                        "stats.copy.count", NULL };
  static const char *const reads[] = { "stats.get.count", "stats.head.count",
                                       "stats.list.count", NULL };
  request_counts *counts = arg;

  if (request_is(name, writes))
    counts->writes += (uint64_t)value;
  else if (request_is(name, reads))
    counts->reads += (uint64_t)value;
}

static request_counts
request_now(void)
{
  request_counts counts = { 0, 0 };

  sb_host_metrics(request_count, &counts);
  return counts;
}

/* Files of a peer's checkpoint that no earlier one had: hard links of files
   that the last checkpoint had too are shared, and not copied again. */
static uint64_t
request_new_files(const char *dir, const char *earlier)
{
  char path[1024], other[1024];
  struct stat a, b;
  uint64_t count = 0;
  struct dirent *entry;
  DIR *d = opendir(dir);

  while (d != NULL && (entry = readdir(d)) != NULL) {
    if (entry->d_name[0] == '.')
      continue;
    (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    (void)snprintf(other, sizeof other, "%s/%s", earlier, entry->d_name);
    if (stat(path, &a) == 0 &&
        (stat(other, &b) != 0 || a.st_ino != b.st_ino))
      count++;
  }
  if (d != NULL)
    closedir(d);
  return count;
}

static uint64_t
request_rocks(rocks *r, uint32_t round)
{
  const char *dir = bench_path("requests-rocks-%u", round + 1);
  const char *earlier = bench_path("requests-rocks-%u", round);
  uint64_t count;

  rocks_checkpoint(r, dir);
  count = request_new_files(dir, earlier);
  bench_remove_tree(earlier);
  return count;
}

void
case_requests_per_checkpoint(void)
{
  bench_series writes = { .count = 0 }, files = { .count = 0 };
  uint64_t count = bench.keys < CHECKPOINT_DIRTY ? bench.keys
                                                 : CHECKPOINT_DIRTY;
  request_counts before, idle, none, one = { 0, 0 };
  ours_times times;
  uint32_t round;
  char extra[128];
  rocks *r;
  ours o;

  ours_open(&o, bench_path("requests-ours"), bench.memory, "stats");
  r = rocks_open(bench_path("requests-rocks"), 1u << 30);
  checkpoint_change(&o, r, 0, count, 0);
  ours_checkpoint(&o, &times);
  if (r != NULL)
    rocks_checkpoint(r, bench_path("requests-rocks-0"));
  before = request_now();
  ours_checkpoint(&o, &times);
  none = request_now();
  for (round = 0; round < bench.rounds; round++) {
    idle = request_now();
    checkpoint_change(&o, r, round, 1, round + 1);
    ours_checkpoint(&o, &times);
    one = request_now();
    bench_add(&writes, (double)(one.writes - idle.writes));
    if (r != NULL)
      bench_add(&files, (double)request_rocks(r, round));
  }
  if (one.writes == before.writes)
    bench_die("no requests were counted");
  (void)snprintf(extra, sizeof extra,
                 "nothing_changed=%" PRIu64 " reads=%" PRIu64,
                 none.writes - before.writes, one.reads - idle.reads);
  bench_print("requests_per_checkpoint", bench_median(&writes),
              r == NULL ? NULL : ROCKS_NAME, bench_median(&files), "puts", 0,
              extra);
  ours_close(&o);
  rocks_close(r);
  bench_remove_tree(bench_path("requests-ours"));
  bench_remove_tree(bench_path("requests-rocks"));
  bench_remove_tree(bench_path("requests-rocks-%u", bench.rounds));
}

/* ---- restore ------------------------------------------------------------ */

static void
restore_copy_file(const char *from, const char *to)
{
  static char buffer[1 << 20];
  int in = open(from, O_RDONLY | O_CLOEXEC);
  int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ssize_t n = 0;

  while (in >= 0 && out >= 0 && (n = read(in, buffer, sizeof buffer)) > 0)
    if (write(out, buffer, (size_t)n) != n)
      break;
  if (in < 0 || out < 0 || n != 0 || close(out) != 0)
    bench_die("could not copy '%s'", from);
  close(in);
}

/* What a download of the checkpoint is elsewhere. */
static void
restore_copy_dir(const char *from, const char *to)
{
  char a[1024], b[1024];
  struct dirent *entry;
  DIR *d = opendir(from);

  if (d == NULL || mkdir(to, 0700) != 0)
    bench_die("could not copy '%s'", from);
  while ((entry = readdir(d)) != NULL) {
    if (entry->d_name[0] == '.')
      continue;
    (void)snprintf(a, sizeof a, "%s/%s", from, entry->d_name);
    (void)snprintf(b, sizeof b, "%s/%s", to, entry->d_name);
    restore_copy_file(a, b);
  }
  closedir(d);
}

static double
restore_ours_once(const char *dir, uint64_t id)
{
  uint64_t start = bench_now_ns(), end;
  uint8_t bytes[BENCH_KEY];
  sb_slice value;
  sb_error err;
  sb_key key;
  ours o;

  ours_open(&o, dir, bench.memory, NULL);
  bench_key(id, bytes);
  key = ours_key(&o, bytes);
  bench_check(o.keyed->ops->get(o.keyed, &key, &value, &err), &err,
              "getting the first record");
  end = bench_now_ns();
  ours_close(&o);
  return (double)(end - start) / 1e6;
}

static double
restore_rocks_once(uint32_t round, uint64_t id)
{
  const char *dir = bench_path("restore-copy-%u", round);
  uint8_t key[BENCH_KEY], value[65536];
  uint64_t start = bench_now_ns(), end;
  rocks *r;

  restore_copy_dir(bench_path("restore-checkpoint"), dir);
  r = rocks_open(dir, 1u << 30);
  bench_key(id, key);
  if (!rocks_get(r, key, value, bench.value_size))
    bench_die("rocksdb: a key is missing");
  end = bench_now_ns();
  rocks_close(r);
  bench_remove_tree(dir);
  return (double)(end - start) / 1e6;
}

void
case_restore_first_record(void)
{
  bench_series our_times = { .count = 0 }, rocks_times = { .count = 0 };
  const char *dir = bench_path("restore-ours");
  ours_times times;
  int peer;
  uint32_t round;
  rocks *r;
  ours o;

  ours_open(&o, dir, bench.memory, NULL);
  ours_fill(&o, bench.keys);
  ours_checkpoint(&o, &times);
  ours_close(&o);
  r = rocks_open(bench_path("restore-rocks"), 1u << 30);
  peer = r != NULL;
  if (peer) {
    rocks_fill(r, bench.keys);
    rocks_checkpoint(r, bench_path("restore-checkpoint"));
    rocks_close(r);
  }
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&our_times, restore_ours_once(dir, round * 7919 % bench.keys));
    if (peer)
      bench_add(&rocks_times,
                restore_rocks_once(round, round * 7919 % bench.keys));
  }
  bench_print("restore_first_record", bench_median(&our_times),
              peer ? ROCKS_NAME : NULL, bench_median(&rocks_times), "ms", 0,
              NULL);
  bench_remove_tree(dir);
  bench_remove_tree(bench_path("restore-rocks"));
  bench_remove_tree(bench_path("restore-checkpoint"));
}
