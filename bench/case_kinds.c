/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All kinds of state in the shapes of Flink's micro-benchmarks, both sides in
 * turn, one line an operation and the geometric mean of the ratios. Each has
 * stores of its own.
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "bench/kinds.h"

#define KINDS_SETUP 500000u

typedef struct kinds_run {
  kinds_side *side;
  uint64_t setup;  /* keys that are there */
  bench_random random;
  uint64_t fresh;  /* the next key that is not */
} kinds_run;

typedef struct kinds_case {
  const char *name;
  bench_step *step;
  uint64_t entries; /* an operation counts as so many */
  int settle;       /* lists are compacted before */
} kinds_case;

void
kinds_bytes(uint64_t number, uint8_t out[8])
{
  number = __builtin_bswap64(number);
  memcpy(out, &number, 8);
}

static uint64_t
kinds_old(kinds_run *run)
{
  return bench_next(&run->random) % run->setup;
}

static uint64_t
kinds_new(kinds_run *run)
{
  return run->setup + run->fresh++;
}

#define KINDS_STEP(name, call)                                                \
  static void kinds_##name(void *arg, uint64_t first, uint64_t count)         \
  {                                                                           \
    kinds_run *run = arg;                                                     \
    const kinds_side *s = run->side;                                          \
    uint64_t i;                                                               \
                                                                              \
    for (i = first; i < first + count; i++)                                   \
      (void)(call);                                                           \
  }

KINDS_STEP(value_update, s->value_put(s->arg, kinds_old(run), i))
KINDS_STEP(value_add, s->value_put(s->arg, kinds_new(run), i))
KINDS_STEP(value_get, s->value_get(s->arg, kinds_old(run)))
KINDS_STEP(list_update, s->list_put(s->arg, kinds_old(run), i))
KINDS_STEP(list_add, s->list_put(s->arg, kinds_new(run), i))
KINDS_STEP(list_append, s->list_add(s->arg, kinds_old(run), i))
KINDS_STEP(list_get, s->list_get(s->arg, kinds_old(run)))
KINDS_STEP(list_iterate, s->list_iterate(s->arg, kinds_old(run)))
KINDS_STEP(list_add_all, s->list_add_all(s->arg, kinds_old(run), i))
KINDS_STEP(map_update, s->map_put(s->arg, kinds_old(run), i % KINDS_MAP, i))
KINDS_STEP(map_add, s->map_put(s->arg, kinds_new(run), i % KINDS_MAP, i))
KINDS_STEP(map_get, s->map_get(s->arg, kinds_old(run), i % KINDS_MAP))
KINDS_STEP(map_contains, s->map_get(s->arg, kinds_old(run), KINDS_MAP + i % 9))
KINDS_STEP(map_is_empty, s->map_is_empty(s->arg, kinds_old(run)))
KINDS_STEP(map_entries, s->map_entries(s->arg, kinds_old(run)))
KINDS_STEP(map_put_all, s->map_put_all(s->arg, kinds_old(run), i))
KINDS_STEP(map_remove, s->map_remove(s->arg, kinds_old(run), i % KINDS_MAP))
KINDS_STEP(reduce_add, s->reduce_add(s->arg, kinds_old(run), i))

static const kinds_case kinds_cases[] = {
  { "value_get", kinds_value_get, 1, 0 },
  { "value_update", kinds_value_update, 1, 0 },
  { "value_add", kinds_value_add, 1, 0 },
  { "list_get", kinds_list_get, 1, 1 },
  { "list_get_iterate", kinds_list_iterate, 1, 1 },
  { "list_append", kinds_list_append, 1, 0 },
  { "list_update", kinds_list_update, 1, 0 },
  { "list_add", kinds_list_add, 1, 0 },
  { "list_add_all", kinds_list_add_all, 1, 0 },
  { "map_get", kinds_map_get, 1, 0 },
  { "map_contains", kinds_map_contains, 1, 0 },
  { "map_is_empty", kinds_map_is_empty, 1, 0 },
  { "map_entries", kinds_map_entries, KINDS_MAP, 0 },
  { "map_update", kinds_map_update, 1, 0 },
  { "map_add", kinds_map_add, 1, 0 },
  { "map_put_all", kinds_map_put_all, 1, 0 },
  { "map_remove", kinds_map_remove, 1, 0 },
  { "reduce_add", kinds_reduce_add, 1, 0 },
};
#define KINDS_COUNT (sizeof kinds_cases / sizeof kinds_cases[0])

/* Puts keys into the state that a case is about, as its name says. */
static void
kinds_fill(const kinds_run *run, const char *name)
{
  const kinds_side *s = run->side;
  uint64_t key;

  for (key = 0; key < run->setup; key++) {
    if (strncmp(name, "value_", 6) == 0)
      s->value_put(s->arg, key, key);
    else if (strncmp(name, "list_", 5) == 0)
      s->list_add(s->arg, key, key);
    else if (strncmp(name, "map_", 4) == 0)
      s->map_put_all(s->arg, key, key);
    else
      s->reduce_add(s->arg, key, key);
  }
}

static void
kinds_start(kinds_run *run, kinds_side *side, const char *name)
{
  uint64_t setup = (uint64_t)(KINDS_SETUP * bench.scale);

  *run = (kinds_run){
    .side = side, .setup = setup == 0 ? 1 : setup, .random = { 1 }
  };
  if (side != NULL)
    kinds_fill(run, name);
}

static void
kinds_end(kinds_run *run, const char *dir)
{
  if (run->side != NULL)
    run->side->close(run->side->arg);
  bench_remove_tree(bench_path("%s", dir));
}

static void
kinds_measure(kinds_run *run, const kinds_case *c, bench_series *out)
{
  uint64_t operations = bench.operations / 4 / c->entries + 1;

  if (c->settle)
    run->side->list_settle(run->side->arg);
  bench_add(out, (double)c->entries * bench_rate(c->step, run, operations));
}

/* One operation on new stores, as each of Flink's benchmarks has its own: what
   an earlier one left to be written would be counted with this one. Returns
   the ratio. */
static double
kinds_compare(const kinds_case *c)
{
  bench_series a = { .count = 0 }, b = { .count = 0 };
  kinds_run own, peer;
  char name[64];
  uint32_t round;

  kinds_start(&own, kinds_ours("kinds-ours"), c->name);
  kinds_start(&peer, kinds_rocks("kinds-rocks"), c->name);
  for (round = 0; round < bench.rounds; round++) {
    kinds_measure(&own, c, &a);
    if (peer.side != NULL)
      kinds_measure(&peer, c, &b);
  }
  snprintf(name, sizeof name, "kinds_%s", c->name);
  bench_print(name, bench_median(&a), peer.side == NULL ? NULL : ROCKS_NAME,
              bench_median(&b), "ops/s", 1, NULL);
  kinds_end(&own, "kinds-ours");
  kinds_end(&peer, "kinds-rocks");
  return peer.side == NULL ? 0 : bench_median(&a) / bench_median(&b);
}

void
case_kinds(void)
{
  double sum = 0;
  uint32_t count = 0;
  size_t i;

  for (i = 0; i < KINDS_COUNT; i++) {
    double ratio;

    if (strncmp(kinds_cases[i].name, bench.only, strlen(bench.only)) != 0)
      continue;
    ratio = kinds_compare(&kinds_cases[i]);
    if (ratio > 0) {
      sum += log(ratio);
      count++;
    }
  }
  if (count > 0)
    bench_print("kinds_mean", exp(sum / count), NULL, 0, "times rocksdb", 1,
                NULL);
}
