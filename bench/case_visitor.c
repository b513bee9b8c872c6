/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Case visitor: how much slower updates become while every record is visited,
 * by the owner itself (ten updates, then one record) and, at one point in time,
 * by another thread. The visits are checked: each record is seen once.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

#define VISIT_EVERY 10u

typedef struct visit_run {
  ours ours;
  bench_random random;
  sb_cursor *cursor;   /* the owner's, NULL: none */
  uint8_t *seen;
  uint64_t rows;
  _Atomic uint64_t passes;
} visit_run;

static sb_status
visit_touch(void *arg, sb_update *update)
{
  uint64_t counter;

  (void)arg;
  memcpy(&counter, update->data, 8);
  counter++;
  memcpy(update->data, &counter, 8);
  update->action = SB_UPDATE_IN_PLACE;
  return SB_OK;
}

static sb_scan_options
visit_all(const visit_run *run)
{
  return (sb_scan_options){ .struct_size = sizeof (sb_scan_options),
                            .state = run->ours.state,
                            .key_group_last = BENCH_GROUPS - 1 };
}

static void
visit_see(visit_run *run, const sb_row *row)
{
  uint64_t id;

  memcpy(&id, (const uint8_t *)row->key.data + 8, 8);
  if (id >= bench.keys || run->seen[id]++ != 0)
    bench_die("record %llu was seen twice", (unsigned long long)id);
  run->rows++;
}

static void
visit_pass_ends(visit_run *run)
{
  if (run->rows != bench.keys)
    bench_die("%llu of %llu records were seen", (unsigned long long)run->rows,
              (unsigned long long)bench.keys);
  memset(run->seen, 0, bench.keys);
  run->rows = 0;
  run->passes++;
}

/* The owner's next record; a new pass after the last one. */
static void
visit_one(visit_run *run)
{
  sb_keyed *keyed = run->ours.keyed;
  sb_scan_options all = visit_all(run);
  sb_error err;
  sb_status status;
  sb_row row;

  status = keyed->ops->scan_next(keyed, run->cursor, &row, &err);
  if (status == SB_OK) {
    visit_see(run, &row);
    return;
  }
  if (status != SB_END)
    bench_die("visiting a record: %s", err.message);
  visit_pass_ends(run);
  keyed->ops->scan_close(keyed, run->cursor);
  bench_check(keyed->ops->scan_open(keyed, &all, &run->cursor, &err), &err,
              "opening a scan");
}

static void
visit_step(void *arg, uint64_t first, uint64_t count)
{
  visit_run *run = arg;
  sb_keyed *keyed = run->ours.keyed;
  uint8_t bytes[BENCH_KEY];
  sb_error err;
  sb_key key;
  uint64_t i;

  for (i = first; i < first + count; i++) {
    bench_key(bench_next(&run->random) % bench.keys, bytes);
    key = ours_key(&run->ours, bytes);
    bench_check(keyed->ops->update(keyed, &key, visit_touch, NULL, &err), &err,
                "updating a record");
    if (run->cursor != NULL && i % VISIT_EVERY == 0)
      visit_one(run);
  }
}

typedef struct visit_other {
  visit_run *run;
  sb_view *view;
} visit_other;

static void *
visit_thread(void *arg)
{
  visit_other *other = arg;
  const sb_keyed_ops *ops = other->run->ours.keyed->ops;
  sb_scan_options all = visit_all(other->run);
  sb_view_cursor *cursor;
  sb_error err;
  sb_status status;
  sb_row row;

  bench_check(ops->view_scan_open(other->view, &all, &cursor, &err), &err,
              "opening a view's scan");
  while ((status = ops->view_scan_next(cursor, &row, &err)) == SB_OK)
    visit_see(other->run, &row);
  if (status != SB_END)
    bench_die("visiting a view: %s", err.message);
  ops->view_scan_close(cursor);
  visit_pass_ends(other->run);
  return NULL;
}

/* Updates a second while another thread reads a point in time, until that has
   been read whole. */
static double
visit_beside(visit_run *run)
{
  const sb_keyed_ops *ops = run->ours.keyed->ops;
  uint64_t start = bench_now_ns(), done = 0;
  visit_other other = { run, NULL };
  uint64_t passes = run->passes;
  pthread_t thread;
  sb_error err;

  bench_check(ops->view_open(run->ours.keyed, &other.view, &err), &err,
              "opening a view");
  if (pthread_create(&thread, NULL, visit_thread, &other) != 0)
    bench_die("could not start a thread");
  while (run->passes == passes) {
    visit_step(run, 0, 1000);
    done += 1000;
  }
  (void)pthread_join(thread, NULL);
  ops->view_close(other.view);
  return (double)done * 1e9 / (double)(bench_now_ns() - start);
}

void
case_visitor(void)
{
  visit_run run = { .random = { 1 } };
  bench_series plain = { .count = 0 }, visited = { .count = 0 },
               beside = { .count = 0 };
  sb_scan_options all;
  uint32_t round;
  sb_error err;

  ours_open(&run.ours, bench_path("visitor"), bench.memory, NULL);
  ours_fill(&run.ours, bench.keys);
  run.seen = calloc(bench.keys, 1);
  if (run.seen == NULL)
    bench_die("out of memory");
  all = visit_all(&run);
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&plain, bench_rate(visit_step, &run, bench.operations));
    bench_check(run.ours.keyed->ops->scan_open(run.ours.keyed, &all,
                                               &run.cursor, &err),
                &err, "opening a scan");
    bench_add(&visited, bench_rate(visit_step, &run,
                                   bench.keys * VISIT_EVERY));
    run.ours.keyed->ops->scan_close(run.ours.keyed, run.cursor);
    run.cursor = NULL;
    memset(run.seen, 0, bench.keys);
    run.rows = 0;
    bench_add(&beside, visit_beside(&run));
  }
  bench_print("visitor_by_owner", bench_median(&visited), "no_visitor",
              bench_median(&plain), "ops/s", 1, NULL);
  bench_print("visitor_by_thread", bench_median(&beside), "no_visitor",
              bench_median(&plain), "ops/s", 1, NULL);
  free(run.seen);
  ours_close(&run.ours);
  bench_remove_tree(bench_path("visitor"));
}
