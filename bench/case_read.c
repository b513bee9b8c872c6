/* SPDX-License-Identifier: Apache-2.0 */
/* Cases that read: get_record, batch_get, get_segment, scan. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

#define READ_BATCH 1000u
#define READ_WARM 10u /* one key in so many is read to fill the caches */

typedef struct read_run {
  ours ours;
  rocks *rocks;
  bench_random random;
  uint64_t position; /* of get_segment's walk */
} read_run;

static void
read_ours_get(ours *o, uint64_t id)
{
  uint8_t bytes[BENCH_KEY];
  sb_slice value;
  sb_error err;
  sb_key key;

  bench_key(id, bytes);
  key = ours_key(o, bytes);
  if (o->keyed->ops->get(o->keyed, &key, &value, &err) != SB_OK)
    bench_die("getting a record: %s", err.message);
  if (value.len != bench.value_size)
    bench_die("a value has %zu bytes", value.len);
}

static void
read_rocks_get(rocks *r, uint64_t id)
{
  uint8_t key[BENCH_KEY], value[65536];

  bench_key(id, key);
  if (!rocks_get(r, key, value, bench.value_size))
    bench_die("rocksdb: a key is missing");
}

static void
read_ours_random(void *arg, uint64_t first, uint64_t count)
{
  read_run *run = arg;

  (void)first;
  for (; count > 0; count--)
    read_ours_get(&run->ours, bench_next(&run->random) % bench.keys);
}

static void
read_rocks_random(void *arg, uint64_t first, uint64_t count)
{
  read_run *run = arg;

  (void)first;
  for (; count > 0; count--)
    read_rocks_get(run->rocks, bench_next(&run->random) % bench.keys);
}

/* ---- get_record --------------------------------------------------------- */

void
case_get_record(void)
{
  read_run run = { .random = { 1 } };
  bench_series our_rates = { .count = 0 }, rocks_rates = { .count = 0 };
  uint32_t round;

  ours_open(&run.ours, bench_path("get-ours"), bench.memory, NULL);
  run.rocks = rocks_open(bench_path("get-rocks"), 1u << 30);
  ours_fill(&run.ours, bench.keys);
  if (run.rocks != NULL)
    rocks_fill(run.rocks, bench.keys);
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&our_rates,
              bench_rate(read_ours_random, &run, bench.operations));
    if (run.rocks != NULL)
      bench_add(&rocks_rates,
                bench_rate(read_rocks_random, &run, bench.operations));
  }
  bench_print("get_record", bench_median(&our_rates),
              run.rocks == NULL ? NULL : ROCKS_NAME,
              bench_median(&rocks_rates), "ops/s", 1, NULL);
  ours_close(&run.ours);
  rocks_close(run.rocks);
  bench_remove_tree(bench_path("get-ours"));
  bench_remove_tree(bench_path("get-rocks"));
}

/* ---- batch_get ---------------------------------------------------------- */

typedef struct read_batch {
  sb_op ops[READ_BATCH];
  sb_op *pointers[READ_BATCH], *done[READ_BATCH];
  uint8_t keys[READ_BATCH][BENCH_KEY];
} read_batch;

static read_batch batch;

static void
read_ours_batch(read_run *run, size_t count)
{
  sb_keyed *keyed = run->ours.keyed;
  size_t i, got, left = count;
  sb_error err;
  sb_op *op;

  for (i = 0; i < count; i++) {
    op = &batch.ops[i];
    op->struct_size = sizeof *op;
    op->kind = SB_OP_GET;
    bench_key(bench_next(&run->random) % bench.keys, batch.keys[i]);
    op->key = ours_key(&run->ours, batch.keys[i]);
    batch.pointers[i] = op;
  }
  bench_check(keyed->ops->submit(keyed, batch.pointers, count, &err), &err,
              "submitting a batch");
  while (left > 0) {
    bench_check(keyed->ops->poll(keyed, batch.done, READ_BATCH, &got,
                                 SB_NO_DEADLINE, &err), &err, "polling");
    for (i = 0; i < got; i++)
      if (batch.done[i]->status != SB_OK ||
          batch.done[i]->result.len != bench.value_size)
        bench_die("a get of a batch failed: %s",
                  sb_status_name(batch.done[i]->status));
    left -= got;
  }
}

static void
read_ours_batches(void *arg, uint64_t first, uint64_t count)
{
  uint64_t n;

  (void)first;
  for (; count > 0; count -= n) {
    n = count < READ_BATCH ? count : READ_BATCH;
    read_ours_batch(arg, (size_t)n);
  }
}

void
case_batch_get(void)
{
  read_run run = { .random = { 1 } };
  bench_series batches = { .count = 0 }, singles = { .count = 0 };
  uint32_t round;

  ours_open(&run.ours, bench_path("batch-ours"), bench.memory, NULL);
  ours_fill(&run.ours, bench.keys);
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&batches, bench_rate(read_ours_batches, &run, bench.operations));
    bench_add(&singles, bench_rate(read_ours_random, &run, bench.operations));
  }
  bench_print("batch_get", bench_median(&batches), "single_get",
              bench_median(&singles), "ops/s", 1, NULL);
  ours_close(&run.ours);
  bench_remove_tree(bench_path("batch-ours"));
}

/* ---- get_segment, scan -------------------------------------------------- */

/* A handle restored from a checkpoint: all records in segments. */
static void
read_open_segments(read_run *run, const char *name)
{
  ours_times times;

  ours_open(&run->ours, bench_path("%s-ours", name), bench.memory, NULL);
  ours_fill(&run->ours, bench.keys);
  ours_checkpoint(&run->ours, &times);
  ours_close(&run->ours);
  ours_open(&run->ours, bench_path("%s-ours", name), bench.memory, NULL);
  run->rocks = rocks_open(bench_path("%s-rocks", name), 1u << 30);
  if (run->rocks != NULL) {
    rocks_fill(run->rocks, bench.keys);
    rocks_compact(run->rocks);
  }
}

static void
read_close_segments(read_run *run, const char *name)
{
  ours_close(&run->ours);
  rocks_close(run->rocks);
  bench_remove_tree(bench_path("%s-ours", name));
  bench_remove_tree(bench_path("%s-rocks", name));
}

/* Ids that the warm-up left out, each once: a record that was read is in the
   record table, and then it is no read of a segment. Neighbours in this walk
   are far apart in segments, which are in hash order. */
static uint64_t
read_walk(uint64_t position)
{
  return position / (READ_WARM - 1) * READ_WARM + 1 +
         position % (READ_WARM - 1);
}

static void
read_ours_walk(void *arg, uint64_t first, uint64_t count)
{
  read_run *run = arg;

  (void)first;
  for (; count > 0; count--)
    read_ours_get(&run->ours, read_walk(run->position++));
}

void
case_get_segment(void)
{
  read_run run = { .random = { 1 } };
  bench_series our_rates = { .count = 0 }, rocks_rates = { .count = 0 };
  sb_keyed_stats before = { .struct_size = sizeof before }, after = before;
  uint64_t id, operations;
  char extra[128];
  uint32_t round;

  read_open_segments(&run, "segment");
  for (id = 0; id < bench.keys; id += READ_WARM)
    read_ours_get(&run.ours, id);
  for (id = 0; run.rocks != NULL && id < bench.keys; id++)
    read_rocks_get(run.rocks, id);
  operations = bench.keys / READ_WARM * (READ_WARM - 1) / bench.rounds;
  (void)run.ours.keyed->ops->stats(run.ours.keyed, &before);
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&our_rates, bench_rate(read_ours_walk, &run, operations));
    if (run.rocks != NULL)
      bench_add(&rocks_rates,
                bench_rate(read_rocks_random, &run, bench.operations));
  }
  (void)run.ours.keyed->ops->stats(run.ours.keyed, &after);
  (void)snprintf(extra, sizeof extra,
                 "reads=%" PRIu64 " from_store=%" PRIu64 " from_records=%"
                 PRIu64, after.reads - before.reads,
                 after.cold_reads - before.cold_reads,
                 after.record_hits - before.record_hits);
  bench_print("get_segment", bench_median(&our_rates),
              run.rocks == NULL ? NULL : ROCKS_NAME,
              bench_median(&rocks_rates), "ops/s", 1, extra);
  read_close_segments(&run, "segment");
}

static double
read_ours_scan(ours *o)
{
  sb_scan_options options = {
    .struct_size = sizeof options,
    .state = o->state,
    .key_group_last = BENCH_GROUPS - 1,
  };
  const sb_keyed_ops *ops = o->keyed->ops;
  uint64_t start = bench_now_ns(), rows = 0;
  sb_cursor *cursor;
  sb_status status;
  sb_error err;
  sb_row row;

  bench_check(ops->scan_open(o->keyed, &options, &cursor, &err), &err,
              "opening a scan");
  while ((status = ops->scan_next(o->keyed, cursor, &row, &err)) == SB_OK)
    rows++;
  if (status != SB_END)
    bench_check(status, &err, "scanning");
  ops->scan_close(o->keyed, cursor);
  if (rows != bench.keys)
    bench_die("a scan found %llu rows", (unsigned long long)rows);
  return (double)rows / ((double)(bench_now_ns() - start) / 1e9);
}

void
case_scan(void)
{
  read_run run = { .random = { 1 } };
  bench_series our_rates = { .count = 0 }, rocks_rates = { .count = 0 };
  uint64_t start, rows;
  uint32_t round;

  read_open_segments(&run, "scan");
  for (round = 0; round < bench.rounds + 1; round++) {
    double rate = read_ours_scan(&run.ours);

    if (round > 0) /* the first fills the caches */
      bench_add(&our_rates, rate);
    if (run.rocks == NULL)
      continue;
    start = bench_now_ns();
    rows = rocks_scan(run.rocks);
    if (round > 0)
      bench_add(&rocks_rates,
                (double)rows / ((double)(bench_now_ns() - start) / 1e9));
  }
  bench_print("scan", bench_median(&our_rates),
              run.rocks == NULL ? NULL : ROCKS_NAME,
              bench_median(&rocks_rates), "rows/s", 1, NULL);
  read_close_segments(&run, "scan");
}
