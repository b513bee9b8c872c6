/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The space of what has expired comes back, for all kinds of times and states:
 * the live segments are within 1.3 times of what only the rest takes.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ttl_fixture.h"

/* ---- the space comes back ------------------------------------------------ */

static void
add_element(sb_keyed *k, uint32_t id, unsigned i, uint64_t in_value,
            uint64_t expires_ms)
{
  sb_key key = make_key(id, i % 100);

  check_ok(k->ops->append(k, &key, ttl_value(i, LEN, in_value), expires_ms,
                          &err));
}

static void
add_entry(sb_keyed *k, uint32_t id, unsigned i, uint64_t in_value,
          uint64_t expires_ms)
{
  sb_key key = make_key(id, i % 100);
  char subkey[16];

  key.subkey = sb_slice_of(subkey, (size_t)snprintf(subkey, sizeof subkey,
                                                    "%u", i));
  check_ok(k->ops->put(k, &key, ttl_value(i, LEN, in_value), expires_ms,
                       &err));
}

static void
add_some(sb_keyed *k, const sb_state_options *o, uint32_t id, unsigned i,
         uint64_t stamp)
{
  uint64_t in_value = o->time_kind == SB_TIME_VALUE ? stamp : UINT64_MAX;
  uint64_t ends = o->time_kind == SB_TIME_VALUE ? 0
                  : o->time_kind == SB_TIME_STAMP ? stamp : stamp + TTL;

  if (o->kind == SB_STATE_LIST)
    add_element(k, id, i, in_value, ends);
  else if (o->kind == SB_STATE_MAP)
    add_entry(k, id, i, in_value, ends);
  else
    ttl_put(k, id, i, LEN, in_value, ends);
}

/* What only the records from `first` on take. */
static uint64_t
bytes_of(const sb_state_options *o, unsigned first)
{
  uint64_t bytes;
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open("64", 4);
  k = open_all();
  id = ttl_register(k, o);
  for (i = first; i < KEYS; i++)
    add_some(k, o, id, i, now());
  ttl_commit(k);
  bytes = ttl_bytes(k);
  k->ops->close(k);
  ttl_close();
  return bytes;
}

/* Records of increasing age, over some checkpoints, die from the oldest. */
static void
shrink(uint32_t kind, uint32_t time_kind, unsigned rounds)
{
  sb_state_options o = ttl_options("s", kind);
  uint64_t alive, half;
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  o.time_kind = time_kind;
  o.ttl_ms = TTL;
  alive = bytes_of(&o, KEYS / 4 * 3);
  half = bytes_of(&o, KEYS / 2);
  ttl_open("8", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for (i = 0; i < KEYS; i++) {
    /* Neighbours in time are not neighbours in order. */
    add_some(k, &o, id, i, now() + i);
    if (rounds > 1 && (i + 1) % (KEYS / rounds) == 0)
      ttl_commit(k);
  }
  ttl_commit(k);
  forward(TTL + KEYS / 2 - 1);
  CU_ASSERT(ttl_wait_bytes(k, half * 13 / 10));
  if (time_kind != SB_TIME_VALUE) {
    CU_ASSERT(count_rows(k, id, 0, NULL) == KEYS / 2);
  }
  forward(KEYS / 4);
  CU_ASSERT(ttl_wait_bytes(k, alive * 13 / 10));
  k = ttl_reopen(k, &o);
  if (time_kind != SB_TIME_VALUE) {
    CU_ASSERT(count_rows(k, id, 0, NULL) == KEYS / 4);
  } else {
    CU_ASSERT(count_rows(k, id, 0, NULL) < KEYS / 4 * 13 / 10);
  }
  forward(KEYS);
  CU_ASSERT(ttl_wait_bytes(k, 0));
  k = ttl_reopen(k, &o);
  CU_ASSERT(count_rows(k, id, 0, NULL) == 0);
  k->ops->close(k);
  ttl_close();
}

static void
test_shrink_values(void)
{
  shrink(SB_STATE_VALUE, SB_TIME_EXPIRY, 1);
  shrink(SB_STATE_VALUE, SB_TIME_STAMP, 4);
  shrink(SB_STATE_VALUE, SB_TIME_VALUE, 4);
}

static void
test_shrink_lists(void)
{
  shrink(SB_STATE_LIST, SB_TIME_STAMP, 4);
  shrink(SB_STATE_LIST, SB_TIME_VALUE, 1);
}

static void
test_shrink_maps(void)
{
  shrink(SB_STATE_MAP, SB_TIME_EXPIRY, 4);
  shrink(SB_STATE_MAP, SB_TIME_VALUE, 1);
}

/* Segments in which all has expired go without being read. */
static void
test_unread(void)
{
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  sb_keyed_stats stats = { .struct_size = sizeof stats };
  uint32_t id;
  sb_keyed *k;
  unsigned i;

  ttl_open("8", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for (i = 0; i < KEYS; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, now());
  k = ttl_reopen(k, &o);
  forward(TTL);
  CU_ASSERT(ttl_wait_bytes(k, 0));
  check_ok(k->ops->stats(k, &stats));
  CU_ASSERT_EQUAL(stats.cold_reads, 0);
  CU_ASSERT_EQUAL(stats.compacted_bytes, 0);
  k->ops->close(k);
  ttl_close();
}

/* What lives for ever in the same segments stays, as it was. */
static void
test_mixed(void)
{
  sb_state_options o = stamped("short", SB_STATE_VALUE);
  uint32_t id, for_ever;
  uint64_t full;
  sb_keyed *k;
  unsigned i;

  ttl_open("8", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for_ever = add_state(k, "for ever", SB_STATE_VALUE);
  for (i = 0; i < KEYS; i++) {
    ttl_put(k, id, i, LEN, UINT64_MAX, now());
    ttl_put(k, for_ever, i, LEN, UINT64_MAX, 0);
  }
  ttl_commit(k);
  full = ttl_bytes(k);
  forward(TTL);
  CU_ASSERT(ttl_wait_bytes(k, full * 65 / 100));
  k = ttl_reopen(k, &o);
  for_ever = add_state(k, "for ever", SB_STATE_VALUE);
  CU_ASSERT(count_rows(k, id, 0, NULL) == 0);
  CU_ASSERT(count_rows(k, for_ever, 0, NULL) == KEYS);
  k->ops->close(k);
  ttl_close();
}

/* Records from before the state had a time to live get their stamp when they
   are rewritten. */
static void
test_unstamped(void)
{
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  uint32_t id;
  sb_keyed *k;
  unsigned i, round;

  ttl_open("3", 4);
  k = open_all();
  o.ttl_ms = 0;
  id = ttl_register(k, &o);
  for (i = 0; i < 100; i++)
    ttl_put(k, id, i, LEN, UINT64_MAX, 0);
  o.ttl_ms = TTL;
  k = ttl_reopen(k, &o);
  forward(TTL);
  CU_ASSERT(ttl_has(k, id, 1));
  for (round = 0; round < 6; round++) {
    ttl_put(k, id, 1000, LEN, UINT64_MAX, now());
    ttl_commit(k);
    pause_ms(10);
  }
  k = ttl_reopen(k, &o);
  CU_ASSERT(ttl_has(k, id, 1));
  forward(TTL);
  CU_ASSERT(!ttl_has(k, id, 1));
  k->ops->close(k);
  ttl_close();
}

/* ---- everything at random ------------------------------------------------ */

#define MODEL_KEYS 300u

typedef struct item {
  int present;
  uint64_t stamp; /* UINT64_MAX: none */
} item;

static void
model_check(sb_keyed *k, uint32_t id, const item *items, uint64_t ttl_ms)
{
  unsigned i;

  for (i = 0; i < MODEL_KEYS; i++) {
    int alive = items[i].present &&
                (ttl_ms == 0 || items[i].stamp == UINT64_MAX ||
                 now() - items[i].stamp < ttl_ms);

    if (ttl_has(k, id, i) != alive) {
      CU_FAIL("a record is there or not, wrongly");
      tap_note("record %u, expected %d", i, alive);
      return;
    }
  }
}

static void
test_random(void)
{
  static item items[MODEL_KEYS];
  sb_state_options o = stamped("s", SB_STATE_VALUE);
  unsigned step, i;
  uint32_t id;
  sb_keyed *k;

  memset(items, 0, sizeof items);
  ttl_open("2", 4);
  k = open_all();
  id = ttl_register(k, &o);
  for (step = 0; step < 3000; step++) {
    i = (unsigned)(next_random() % MODEL_KEYS);
    switch (next_random() % 40) {
    case 0:
      ttl_commit(k);
      break;
    case 1:
      if (step % 5 == 0)
        k = ttl_reopen(k, &o);
      break;
    case 2:
      forward(next_random() % (TTL / 4));
      break;
    case 3:
      model_check(k, id, items, TTL);
      break;
    case 4: {
      sb_key key = make_key(id, i);

      check_ok(k->ops->remove(k, &key, &err));
      items[i].present = 0;
      break;
    }
    default:
      ttl_put(k, id, i, LEN, UINT64_MAX, now());
      items[i].present = 1;
      items[i].stamp = now();
      break;
    }
  }
  model_check(k, id, items, TTL);
  k->ops->close(k);
  ttl_close();
}

/* ---- failures ------------------------------------------------------------ */

/* One life of a state with a time to live, in which an allocation fails. What
   a commit said is there is there. */
static int
fail_once(long n)
{
  sb_state_options o = ttl_options("s", SB_STATE_LIST);
  sb_state_info info = { .struct_size = sizeof info };
  sb_snapshot_options so = { .struct_size = sizeof so,
                             .kind = SB_SNAPSHOT_CHECKPOINT };
  const sb_part *part;
  sb_snapshot *s;
  unsigned i, round;
  uint32_t id;
  sb_keyed *k;
  int clean;

  o.time_kind = SB_TIME_VALUE;
  o.ttl_ms = TTL;
  ttl_open("2", 2);
  k = open_all();
  id = ttl_register(k, &o);
  for (i = 0; i < 60; i++)
    add_element(k, id, i, now() + (i % 2) * TTL, 0);
  ttl_commit(k);
  forward(TTL);
  atomic_store(&ttl_countdown, n);
  for (round = 0; round < 4; round++) {
    sb_key key = make_key(id, 90);

    (void)k->ops->append(k, &key, text("later"), 0, &err);
    (void)k->ops->register_state(k, &o, &info, &err);
    so.checkpoint_id = ttl_checkpoint++;
    if (k->ops->snapshot_begin(k, &so, &s, &err) != SB_OK)
      continue;
    (void)k->ops->snapshot_run(k, s, &part, &err);
    k->ops->snapshot_free(k, s);
    pause_ms(1);
  }
  clean = atomic_exchange(&ttl_countdown, 0) > 0;
  k = ttl_reopen(k, &o);
  for (i = 0; i < 60; i++)
    if (i % 2 == 1) {
      sb_key key = make_key(id, i % 100);

      CU_ASSERT(count_rows(k, id, 0, &key) >= 1);
    }
  k->ops->close(k);
  ttl_close();
  return clean;
}

static void
test_no_memory(void)
{
  long n;

  for (n = 1; n < 3000; n += n < 90 ? 1 : 11)
    if (fail_once(n))
      break;
  tap_note("clean with %ld allocations", n);
  CU_ASSERT(n > 20 && n < 3000);
}

static const tap_case cases[] = {
  { "values give their space back", test_shrink_values },
  { "lists give their space back", test_shrink_lists },
  { "maps give their space back", test_shrink_maps },
  { "dead segments go unread", test_unread },
  { "among what lives for ever", test_mixed },
  { "stamps for what has none", test_unstamped },
  { "random steps", test_random },
  { "no memory", test_no_memory },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "expiry_space", cases, TAP_COUNT(cases));
}
