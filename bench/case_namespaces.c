/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Case namespace_keys: the keys of one namespace of a hundred keys, in a state
 * that has keys / 100 such namespaces, against a state that has only those.
 */
#include "config.h"

#include <string.h>

#include "bench/bench.h"

#define SPACE_KEYS 100u

typedef struct space_run {
  ours ours;
  uint32_t state;
  uint64_t spaces;   /* namespaces of the state */
  bench_random random;
} space_run;

static sb_slice
space_name(uint64_t number, uint8_t bytes[8])
{
  memcpy(bytes, &number, 8);
  return sb_slice_of(bytes, 8);
}

static uint32_t
space_register(const ours *o, const char *name)
{
  sb_state_options options = {
    .struct_size = sizeof options,
    .kind = SB_STATE_VALUE,
    .name = sb_slice_of(name, strlen(name)),
  };
  sb_state_info info = { .struct_size = sizeof info };
  sb_error err;

  bench_check(o->keyed->ops->register_state(o->keyed, &options, &info, &err),
              &err, "registering a state");
  return info.id;
}

static void
space_fill(const space_run *run)
{
  const sb_keyed_ops *ops = run->ours.keyed->ops;
  uint8_t bytes[BENCH_KEY], name[8];
  uint64_t i;
  sb_error err;
  sb_key key;

  for (i = 0; i < run->spaces * SPACE_KEYS; i++) {
    bench_key(i, bytes);
    key = ours_key(&run->ours, bytes);
    key.state = run->state;
    key.ns = space_name(i % run->spaces, name);
    bench_check(ops->put(run->ours.keyed, &key, sb_slice_of(bytes, 8), 0,
                         &err), &err, "putting a record");
  }
}

static void
space_step(void *arg, uint64_t first, uint64_t count)
{
  space_run *run = arg;
  sb_keyed *keyed = run->ours.keyed;
  sb_scan_options options = {
    .struct_size = sizeof options, .flags = SB_SCAN_KEYS, .has_ns = 1
  };
  uint8_t name[8];
  sb_cursor *cursor;
  uint64_t seen;
  sb_error err;
  sb_row row;

  (void)first;
  options.state = run->state;
  options.key_group_last = BENCH_GROUPS - 1;
  for (; count > 0; count--) {
    options.ns = space_name(bench_next(&run->random) % run->spaces, name);
    bench_check(keyed->ops->scan_open(keyed, &options, &cursor, &err), &err,
                "opening a scan");
    for (seen = 0; keyed->ops->scan_next(keyed, cursor, &row, &err) == SB_OK;)
      seen++;
    keyed->ops->scan_close(keyed, cursor);
    if (seen != SPACE_KEYS)
      bench_die("a namespace has %llu keys", (unsigned long long)seen);
  }
}

static void
space_measure(const char *name, space_run *many, space_run *single)
{
  bench_series a = { .count = 0 }, b = { .count = 0 };
  uint32_t round;

  for (round = 0; round < bench.rounds; round++) {
    bench_add(&a, bench_rate(space_step, many, bench.operations / 100 + 1));
    bench_add(&b, bench_rate(space_step, single, bench.operations / 100 + 1));
  }
  bench_print(name, bench_median(&a), "alone", bench_median(&b), "scans/s", 1,
              NULL);
}

void
case_namespace_keys(void)
{
  space_run many = { .random = { 1 } }, single = { .random = { 1 } };
  ours_times times;

  ours_open(&many.ours, bench_path("spaces"), bench.memory, NULL);
  many.state = space_register(&many.ours, "many");
  many.spaces = bench.keys / SPACE_KEYS + 1;
  space_fill(&many);
  single.ours = many.ours;
  single.state = space_register(&single.ours, "single");
  single.spaces = 1;
  space_fill(&single);
  space_measure("namespace_keys_hot", &many, &single);
  ours_checkpoint(&many.ours, &times);
  space_measure("namespace_keys_after_checkpoint", &many, &single);
  ours_close(&many.ours);
  bench_remove_tree(bench_path("spaces"));
}
