/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resident_memory: a state many times the budget, read-modify-write of keys in
 * an order with no locality, checkpoints on the way, and the process's
 * resident memory sampled throughout. What each value must be is known
 * without a table that would itself take memory: round after round visits
 * every key once in the same scattered order, so a key's counter is the number
 * of rounds that have passed it.
 */
#include "config.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"

#define MEMORY_BUDGET_MB 256
#define MEMORY_SLACK_MB 64
#define MEMORY_CHECKPOINT_NS 5000000000u
#define MEMORY_STEP 999999937u /* a prime: position to id and back */

static atomic_int memory_sampling;
static atomic_uint_fast64_t memory_peak;

static void *
memory_sample(void *arg)
{
  struct timespec pause = { 0, 20000000 };
  uint64_t now;

  (void)arg;
  while (atomic_load(&memory_sampling)) {
    now = bench_resident();
    if (now > atomic_load(&memory_peak))
      atomic_store(&memory_peak, now);
    (void)nanosleep(&pause, NULL);
  }
  return NULL;
}

static uint64_t
memory_id(uint64_t position, uint64_t count)
{
  return (uint64_t)((unsigned __int128)position * MEMORY_STEP % count);
}

/* The position that memory_id gives `id` for: the inverse of the step modulo
   count. */
static uint64_t
memory_inverse(uint64_t count)
{
  int64_t old_r = (int64_t)(MEMORY_STEP % count), r = (int64_t)count;
  int64_t old_s = 1, s = 0, q, next;

  while (r != 0) {
    q = old_r / r;
    next = old_r - q * r;
    old_r = r;
    r = next;
    next = old_s - q * s;
    old_s = s;
    s = next;
  }
  if (old_r != 1)
    return 0;
  return (uint64_t)(old_s < 0 ? old_s + (int64_t)count : old_s);
}

typedef struct memory_expect {
  uint64_t id, counter;
  uint8_t value[65536];
  int wrong;
} memory_expect;

static sb_status
memory_update(void *arg, sb_update *update)
{
  memory_expect *expect = arg;

  bench_value(expect->id, expect->counter, expect->value, bench.value_size);
  if (!update->exists || update->len != bench.value_size ||
      memcmp(update->data, expect->value, bench.value_size) != 0)
    expect->wrong = 1;
  bench_value(expect->id, expect->counter + 1, expect->value,
              bench.value_size);
  update->action = SB_UPDATE_PUT;
  update->replacement = sb_slice_of(expect->value, bench.value_size);
  return SB_OK;
}

/* Updates for bench.seconds; returns how many. */
static uint64_t
memory_churn(ours *o, uint64_t count, uint64_t *wrong, uint64_t *checkpoints)
{
  static memory_expect expect;
  uint64_t done = 0, start = bench_now_ns(), now = start, last = start;
  uint8_t bytes[BENCH_KEY];
  ours_times times;
  sb_error err;
  sb_key key;

  while ((double)(now - start) < bench.seconds * 1e9) {
    expect.id = memory_id(done % count, count);
    expect.counter = done / count;
    expect.wrong = 0;
    bench_key(expect.id, bytes);
    key = ours_key(o, bytes);
    bench_check(o->keyed->ops->update(o->keyed, &key, memory_update, &expect,
                                      &err), &err, "updating a record");
    *wrong += (uint64_t)expect.wrong;
    done++;
    if (done % 256 == 0)
      now = bench_now_ns();
    if (now - last > MEMORY_CHECKPOINT_NS) {
      ours_checkpoint(o, &times);
      ++*checkpoints;
      last = now = bench_now_ns();
    }
  }
  return done;
}

/* Every row against what it must be after `done` updates. */
static uint64_t
memory_verify(ours *o, uint64_t count, uint64_t done)
{
  static uint8_t value[65536];
  sb_scan_options options = {
    .struct_size = sizeof options,
    .state = o->state,
    .key_group_last = BENCH_GROUPS - 1,
  };
  uint64_t inverse = memory_inverse(count), rows = 0, wrong = 0, id, position;
  sb_cursor *cursor;
  sb_status status;
  sb_error err;
  sb_row row;

  bench_check(o->keyed->ops->scan_open(o->keyed, &options, &cursor, &err),
              &err, "opening a scan");
  while ((status = o->keyed->ops->scan_next(o->keyed, cursor, &row, &err)) ==
         SB_OK) {
    rows++;
    if (row.key.len != BENCH_KEY || row.value.len != bench.value_size) {
      wrong++;
      continue;
    }
    memcpy(&id, (const uint8_t *)row.key.data + 8, 8);
    position = (uint64_t)((unsigned __int128)id * inverse % count);
    bench_value(id, done / count + (position < done % count ? 1 : 0), value,
                bench.value_size);
    wrong += memcmp(value, row.value.data, bench.value_size) != 0;
  }
  if (status != SB_END)
    bench_check(status, &err, "scanning");
  o->keyed->ops->scan_close(o->keyed, cursor);
  return wrong + (rows > count ? rows - count : count - rows);
}

/* As many keys as make the raw size, and prime to the step. */
static uint64_t
memory_count(void)
{
  uint64_t count = (uint64_t)(bench.gigabytes * 1e9 /
                              (BENCH_KEY + bench.value_size));

  while (memory_inverse(count) == 0)
    count++;
  return count;
}

void
case_resident_memory(void)
{
  uint64_t count = memory_count(), wrong = 0, checkpoints = 0, done;
  double limit = MEMORY_BUDGET_MB + MEMORY_SLACK_MB, peak;
  sb_keyed_stats stats = { .struct_size = sizeof stats };
  char budget[32], extra[256];
  pthread_t sampler;
  ours o;

  (void)snprintf(budget, sizeof budget, "%dmb", MEMORY_BUDGET_MB);
  atomic_store(&memory_sampling, 1);
  if (pthread_create(&sampler, NULL, memory_sample, NULL) != 0)
    bench_die("could not start a thread");
  ours_open(&o, bench_path("memory-ours"), budget, NULL);
  ours_fill(&o, count);
  done = memory_churn(&o, count, &wrong, &checkpoints);
  wrong += memory_verify(&o, count, done);
  (void)o.keyed->ops->stats(o.keyed, &stats);
  ours_close(&o);
  atomic_store(&memory_sampling, 0);
  (void)pthread_join(sampler, NULL);
  bench_remove_tree(bench_path("memory-ours"));
  peak = (double)atomic_load(&memory_peak) / (1 << 20);
  (void)snprintf(extra, sizeof extra,
                 "wrong=%" PRIu64 " keys=%" PRIu64 " updates=%" PRIu64
                 " ops/s=%.4g checkpoints=%" PRIu64 " early_flushes=%" PRIu64
                 " compactions=%" PRIu64 " cold_reads=%" PRIu64,
                 wrong, count, done, (double)done / bench.seconds, checkpoints,
                 stats.early_flushes, stats.compactions, stats.cold_reads);
  bench_print("resident_memory", peak, "limit", limit, "MiB", 0, extra);
  if (wrong != 0 || peak > limit)
    bench_die("resident_memory: %" PRIu64 " wrong values, peak %.0f MiB of "
              "%.0f", wrong, peak, limit);
}
