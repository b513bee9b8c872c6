/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: all are added in random order, then all are taken in time order, one
 * by one, each checked not to be earlier than the one before. Both sides have
 * the same memory, which grows with the number of timers: 64 MiB for ten
 * million of them.
 */
#include "config.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/timers.h"
#include <statebackend/queue.h>

#define TIMERS_FULL 10000000u
#define TIMERS_MEMORY (64u << 20)
#define TIMERS_MEMORY_MIN (8u << 20)

typedef struct timers_result {
  double add, poll; /* a second */
  double add_cpu, poll_cpu; /* nanoseconds of all threads for each */
  double peak;      /* MiB over what the process had before */
  uint64_t wrong;
} timers_result;

static atomic_int timers_sampling;
static atomic_uint_fast64_t timers_peak;

static void *
timers_sample(void *arg)
{
  struct timespec pause = { 0, 10000000 };
  uint64_t now;

  while (atomic_load(&timers_sampling)) {
    now = bench_resident();
    if (now > atomic_load(&timers_peak))
      atomic_store(&timers_peak, now);
    (void)nanosleep(&pause, NULL);
  }
  return arg;
}

static uint64_t
timers_start_sampling(pthread_t *sampler)
{
  uint64_t before = bench_resident();

  atomic_store(&timers_peak, before);
  atomic_store(&timers_sampling, 1);
  if (pthread_create(sampler, NULL, timers_sample, NULL) != 0)
    bench_die("could not start a thread");
  return before;
}

static double
timers_stop_sampling(pthread_t sampler, uint64_t before)
{
  atomic_store(&timers_sampling, 0);
  (void)pthread_join(sampler, NULL);
  return (double)(atomic_load(&timers_peak) - before) / (1 << 20);
}

/* Timer `id`: a time within an hour after `start`, in milliseconds. */
static uint32_t
timers_element(uint64_t id, uint8_t element[TIMERS_ELEMENT])
{
  bench_random random = { id };
  uint64_t time = UINT64_C(1) << 63 | (UINT64_C(1700000000000) +
                                       bench_next(&random) % 3600000);
  int i;

  for (i = 0; i < 8; i++)
    element[i] = (uint8_t)(time >> (56 - 8 * i));
  element[8] = BENCH_KEY;
  bench_key(id, element + 9);
  element[9 + BENCH_KEY] = 0;
  return bench_key_group(element + 9);
}

typedef struct timers_clock {
  uint64_t wall, cpu;
} timers_clock;

static timers_clock
timers_start(void)
{
  timers_clock clock = { bench_now_ns(), bench_cpu_ns() };

  return clock;
}

static void
timers_stop(const timers_clock *start, uint64_t count, double *rate,
            double *cpu)
{
  *cpu = (double)(bench_cpu_ns() - start->cpu) / (double)count;
  *rate = (double)count / ((double)(bench_now_ns() - start->wall) / 1e9);
}

/* ---- ours --------------------------------------------------------------- */

static sb_queue *
timers_open(ours *o)
{
  sb_state_options state = { .struct_size = sizeof state };
  sb_queue_options options = { .struct_size = sizeof options };
  sb_queue *queue;
  sb_error err;

  state.kind = SB_STATE_TIMER;
  state.name = sb_slice_of("timers", 6);
  options.state = &state;
  options.key_group_last = BENCH_GROUPS - 1;
  bench_check(sb_queue_open(o->keyed, sb_host_default(), &options, NULL,
                            &queue, &err), &err, "opening a queue");
  return queue;
}

/* A thousand at a time, as a processor fires them when its clock moves on. */
#define TIMERS_BATCH 1000

static void
timers_ours_poll(sb_queue *queue, uint64_t count, timers_result *result)
{
  static sb_queue_element got[TIMERS_BATCH];
  uint8_t last[8] = { 0 };
  sb_status status;
  sb_error err;
  uint64_t done = 0;
  size_t n, i;

  while ((status = sb_queue_poll_batch(queue, sb_slice_of(NULL, 0), got,
                                       TIMERS_BATCH, &n, &err)) == SB_OK) {
    for (i = 0; i < n; i++) {
      result->wrong += memcmp(last, got[i].bytes.data, 8) > 0;
      memcpy(last, got[i].bytes.data, 8);
    }
    done += n;
  }
  if (status != SB_END)
    bench_check(status, &err, "polling");
  result->wrong += done > count ? done - count : count - done;
}

static void
timers_ours(uint64_t count, uint64_t memory, timers_result *result,
            sb_keyed_stats *stats)
{
  uint8_t element[TIMERS_ELEMENT];
  char budget[32];
  uint64_t i, before;
  timers_clock start;
  uint32_t group;
  sb_queue *queue;
  pthread_t sampler;
  sb_error err;
  ours o;

  (void)snprintf(budget, sizeof budget, "%" PRIu64, memory);
  before = timers_start_sampling(&sampler);
  ours_open(&o, bench_path("timers-ours"), budget, NULL);
  queue = timers_open(&o);
  start = timers_start();
  for (i = 0; i < count; i++) {
    group = timers_element(i, element);
    bench_check(sb_queue_add(queue, group,
                             sb_slice_of(element, TIMERS_ELEMENT), NULL, &err),
                &err, "adding a timer");
  }
  timers_stop(&start, count, &result->add, &result->add_cpu);
  start = timers_start();
  timers_ours_poll(queue, count, result);
  timers_stop(&start, count, &result->poll, &result->poll_cpu);
  stats->struct_size = sizeof *stats;
  (void)o.keyed->ops->stats(o.keyed, stats);
  sb_queue_close(queue);
  ours_close(&o);
  result->peak = timers_stop_sampling(sampler, before);
  bench_remove_tree(bench_path("timers-ours"));
}

/* ---- RocksDB ------------------------------------------------------------ */

static int
timers_theirs(uint64_t count, uint64_t memory, timers_result *result)
{
  uint8_t element[TIMERS_ELEMENT], last[8] = { 0 };
  uint64_t i, before;
  timers_clock start;
  pthread_t sampler;
  timers_rocks *r;
  uint32_t group;

  before = timers_start_sampling(&sampler);
  r = timers_rocks_open(bench_path("timers-rocksdb"), memory);
  start = timers_start();
  for (i = 0; i < count && r != NULL; i++) {
    group = timers_element(i, element);
    timers_rocks_add(r, group, element);
  }
  timers_stop(&start, count, &result->add, &result->add_cpu);
  start = timers_start();
  for (i = 0; r != NULL && timers_rocks_poll(r, element); i++) {
    result->wrong += memcmp(last, element, 8) > 0;
    memcpy(last, element, 8);
  }
  timers_stop(&start, count, &result->poll, &result->poll_cpu);
  result->wrong += r != NULL && i != count;
  timers_rocks_close(r);
  result->peak = timers_stop_sampling(sampler, before);
  bench_remove_tree(bench_path("timers-rocksdb"));
  return r != NULL;
}

static double
timers_both(const timers_result *r)
{
  return 1 / (1 / r->add + 1 / r->poll);
}

void
case_timers(void)
{
  uint64_t count = (uint64_t)((double)bench.timers * bench.scale);
  uint64_t memory = (uint64_t)((double)TIMERS_MEMORY * (double)count /
                               TIMERS_FULL);
  sb_keyed_stats stats = { .struct_size = 0 };
  timers_result us, them;
  const char *peer;
  char extra[512];

  memset(&us, 0, sizeof us);
  memset(&them, 0, sizeof them);
  if (memory < TIMERS_MEMORY_MIN)
    memory = TIMERS_MEMORY_MIN;
  peer = timers_theirs(count, memory, &them) ? ROCKS_NAME : NULL;
  timers_ours(count, memory, &us, &stats);
  (void)snprintf(extra, sizeof extra,
                 "timers=%" PRIu64 " budget=%.3gMiB wrong=%" PRIu64
                 " peak=%.0fMiB peer_peak=%.0fMiB early_flushes=%" PRIu64
                 " compactions=%" PRIu64 " rewritten=%.2g stall_ms=%" PRIu64
                 " reads=%" PRIu64 " cpu_ns=%.0f+%.0f peer_cpu_ns=%.0f+%.0f",
                 count, (double)memory / (1 << 20), us.wrong + them.wrong,
                 us.peak, them.peak, stats.early_flushes, stats.compactions,
                 (double)stats.compacted_bytes /
                   (double)(stats.flushed_bytes + 1),
                 stats.stall_ns / 1000000, stats.cold_reads, us.add_cpu,
                 us.poll_cpu,
                 them.add_cpu, them.poll_cpu);
  bench_print("timers_add", us.add, peer, them.add, "timers/s", 1, NULL);
  bench_print("timers_poll", us.poll, peer, them.poll, "timers/s", 1, NULL);
  bench_print("timers", timers_both(&us), peer, timers_both(&them),
              "timers/s", 1, extra);
  if (us.wrong + them.wrong != 0)
    bench_die("timers: %" PRIu64 " out of order or lost",
              us.wrong + them.wrong);
}
