/* SPDX-License-Identifier: Apache-2.0 */
/* Cases that write: hot_rmw, put_new. */
#include "config.h"

#include <string.h>

#include "bench/bench.h"

typedef struct write_run {
  ours ours;
  rocks *rocks;
  bench_random random;
  uint64_t next_ours, next_rocks;
} write_run;

static sb_status
write_increment(void *arg, sb_update *update)
{
  uint64_t counter;

  if (!update->exists || update->len < 8)
    return SB_NOT_FOUND;
  memcpy(&counter, update->data, 8);
  counter++;
  memcpy(update->data, &counter, 8);
  update->action = SB_UPDATE_IN_PLACE;
  (void)arg;
  return SB_OK;
}

static void
write_ours_rmw(void *arg, uint64_t first, uint64_t count)
{
  write_run *run = arg;
  sb_keyed *keyed = run->ours.keyed;
  uint8_t bytes[BENCH_KEY];
  sb_error err;
  sb_key key;

  (void)first;
  for (; count > 0; count--) {
    bench_key(bench_next(&run->random) % bench.keys, bytes);
    key = ours_key(&run->ours, bytes);
    if (keyed->ops->update(keyed, &key, write_increment, NULL, &err) != SB_OK)
      bench_die("updating a record: %s", err.message);
  }
}

static void
write_rocks_rmw(void *arg, uint64_t first, uint64_t count)
{
  write_run *run = arg;
  uint8_t key[BENCH_KEY];

  (void)first;
  for (; count > 0; count--) {
    bench_key(bench_next(&run->random) % bench.keys, key);
    rocks_add(run->rocks, key);
  }
}

static void
write_ours_new(void *arg, uint64_t first, uint64_t count)
{
  write_run *run = arg;
  uint8_t value[65536];

  (void)first;
  bench_value(1, 0, value, bench.value_size);
  for (; count > 0; count--)
    ours_put(&run->ours, run->next_ours++, value, bench.value_size);
}

static void
write_rocks_new(void *arg, uint64_t first, uint64_t count)
{
  write_run *run = arg;
  uint8_t key[BENCH_KEY], value[65536];

  (void)first;
  bench_value(1, 0, value, bench.value_size);
  for (; count > 0; count--) {
    bench_key(run->next_rocks++, key);
    rocks_put(run->rocks, key, value, bench.value_size);
  }
}

static void
write_case(const char *name, int fill, bench_step *our_step,
           bench_step *rocks_step)
{
  write_run run = { .random = { 1 } };
  bench_series our_rates = { .count = 0 }, rocks_rates = { .count = 0 };
  uint32_t round;

  ours_open(&run.ours, bench_path("%s-ours", name), bench.memory, NULL);
  run.rocks = rocks_open(bench_path("%s-rocks", name), 1u << 30);
  if (fill) {
    ours_fill(&run.ours, bench.keys);
    if (run.rocks != NULL)
      rocks_fill(run.rocks, bench.keys);
  }
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&our_rates, bench_rate(our_step, &run, bench.operations));
    if (run.rocks != NULL)
      bench_add(&rocks_rates, bench_rate(rocks_step, &run, bench.operations));
  }
  bench_print(name, bench_median(&our_rates),
              run.rocks == NULL ? NULL : ROCKS_NAME,
              bench_median(&rocks_rates), "ops/s", 1, NULL);
  ours_close(&run.ours);
  rocks_close(run.rocks);
  bench_remove_tree(bench_path("%s-ours", name));
  bench_remove_tree(bench_path("%s-rocks", name));
}

void
case_hot_rmw(void)
{
  write_case("hot_rmw", 1, write_ours_rmw, write_rocks_rmw);
}

void
case_put_new(void)
{
  write_case("put_new", 0, write_ours_new, write_rocks_new);
}
