/* SPDX-License-Identifier: Apache-2.0 */
/* Case reduce: adding to reducing state, against reading and writing a value
   that holds the same sum. */
#include "config.h"

#include <string.h>

#include "bench/kinds.h"

typedef struct reduce_run {
  kinds_side *side;
  bench_random random;
  uint64_t keys;
} reduce_run;

static void
reduce_by_fold(void *arg, uint64_t first, uint64_t count)
{
  reduce_run *run = arg;

  for (; count > 0; count--, first++)
    run->side->reduce_add(run->side->arg,
                          bench_next(&run->random) % run->keys, first);
}

static void
reduce_by_value(void *arg, uint64_t first, uint64_t count)
{
  reduce_run *run = arg;

  for (; count > 0; count--, first++) {
    uint64_t key = bench_next(&run->random) % run->keys;
    uint64_t old = run->side->value_get(run->side->arg, key);

    run->side->value_put(run->side->arg, key, old + first);
  }
}

void
case_reduce(void)
{
  reduce_run run = { .random = { 1 }, .keys = bench.keys };
  bench_series folded = { .count = 0 }, written = { .count = 0 };
  const kinds_side *s;
  uint32_t round;
  uint64_t key;

  run.side = kinds_ours("reduce");
  s = run.side;
  for (key = 0; key < run.keys; key++) {
    s->value_put(s->arg, key, key);
    s->reduce_add(s->arg, key, key);
  }
  for (round = 0; round < bench.rounds; round++) {
    bench_add(&folded, bench_rate(reduce_by_fold, &run, bench.operations));
    bench_add(&written, bench_rate(reduce_by_value, &run, bench.operations));
  }
  bench_print("reduce", bench_median(&folded), "get_put",
              bench_median(&written), "ops/s", 1, NULL);
  s->close(s->arg);
}
