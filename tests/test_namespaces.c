/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces: scans and removals of one, in memory and from segments, against
 * a model; what they cost on the store; that memory learns what it knows
 * whole.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "namespace_fixture.h"

static void
test_model(void)
{
  world *w = calloc(1, sizeof *w);
  unsigned round, i, wrong = 0, filler = 0;
  uint64_t baseline;
  uint32_t other;

  begin_backend("4mb", 8);
  set("state.backend.compaction.runs", "3");
  finish_backend();
  w->k = open_all();
  baseline = memory_used(w->k);
  world_open(w);
  other = add_state(w->k, "other", SB_STATE_VALUE);
  for (round = 1; round <= (tap_is_slow() ? 8u : 30u); round++) {
    for (i = 0; i < 400; i++)
      check_ok(world_change(w));
    if (round % 7 == 0)
      check_ok(world_clear_space(w, next_random() % SPACES));
    wrong += compare_all(w);
    if (round % 3 == 0)
      push_out(w, other, &filler, 2500);
    wrong += compare_all(w);
    if (round % 4 == 0)
      checkpoint(round, &w->k, 1);
    if (round % 8 == 0) {
      w->k = reopen(w->k, 0);
      world_open(w);
      other = add_state(w->k, "other", SB_STATE_VALUE);
      wrong += compare_all(w);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    if (wrong != 0)
      break;
  }
  w->k->ops->close(w->k);
  w->k = open_all();
  tap_note("%llu bytes counted at first, %llu after",
           (unsigned long long)baseline,
           (unsigned long long)memory_used(w->k));
  w->k->ops->close(w->k);
  close_backend();
  free(w);
}

/* One namespace of very many keys among small ones. */
static void
test_large_space(void)
{
  enum { MANY = 40000 };
  world w;
  sb_cursor *c;
  sb_key at;
  sb_row row;
  unsigned i, n = 0, twice = 0;
  uint8_t *seen = calloc(MANY, 1);

  memset(&w, 0, sizeof w);
  open_backend("64mb", 32);
  w.k = open_all();
  world_open(&w);
  for (i = 0; i < MANY; i++) {
    at = make_key(w.values, i);
    at.ns = text("window-1");
    check_ok(w.k->ops->put(w.k, &at, sb_slice_of(&i, sizeof i), 0, &err));
    at.ns = space_slice(2 + i % 5000);
    check_ok(w.k->ops->put(w.k, &at, sb_slice_of(&i, sizeof i), 0, &err));
  }
  c = open_space(&w, w.values, 1, 0, 0, groups - 1);
  while (w.k->ops->scan_next(w.k, c, &row, &err) == SB_OK) {
    memcpy(&i, row.value.data, sizeof i);
    twice += i >= MANY || seen[i]++ != 0;
    n++;
    if (n % 3 == 0) /* of what was just seen, and others */
      check_ok(w.k->ops->scan_remove(w.k, c, &err));
  }
  w.k->ops->scan_close(w.k, c);
  CU_ASSERT_EQUAL(n, MANY);
  CU_ASSERT_EQUAL(twice, 0);
  c = open_space(&w, w.values, 1, SB_SCAN_KEYS, 0, groups - 1);
  for (n = 0; w.k->ops->scan_next(w.k, c, &row, &err) == SB_OK; n++)
    ;
  w.k->ops->scan_close(w.k, c);
  CU_ASSERT_EQUAL(n, MANY - MANY / 3);
  c = open_space(&w, w.values, 77, 0, 0, groups - 1);
  for (n = 0; w.k->ops->scan_next(w.k, c, &row, &err) == SB_OK; n++)
    ;
  w.k->ops->scan_close(w.k, c);
  CU_ASSERT_EQUAL(n, MANY / 5000);
  w.k->ops->close(w.k);
  close_backend();
  free(seen);
}

/* Runs of a state with many namespaces, of which one has keys in a few key
   groups; nothing of it is in memory. */
typedef struct cold {
  sb_keyed *k;
  uint32_t state;
  unsigned held;  /* key groups that have keys of the namespace */
} cold;

enum { COLD_SPACES = 400, COLD_RUNS = 3, COLD_WANTED = 60 };

static sb_slice
cold_space(unsigned space)
{
  static char space_bytes[32];

  snprintf(space_bytes, sizeof space_bytes, "window-%06u", space);
  return text(space_bytes);
}

static void
cold_fill(cold *c)
{
  uint8_t held[128] = { 0 };
  unsigned run, i, n = 0;
  char bytes[300];

  for (run = 1; run <= COLD_RUNS; run++) {
    for (i = 0; i < 24000; i++) {
      sb_key at = make_key(c->state, run * 100000 + i);

      at.ns = cold_space(i % COLD_SPACES);
      if (i % COLD_SPACES == COLD_SPACES / 2)
        continue; /* the namespace that is looked for */
      fill_random(bytes, sizeof bytes);
      check_ok(c->k->ops->put(c->k, &at, sb_slice_of(bytes, sizeof bytes), 0,
                              &err));
    }
    for (i = 0; i < COLD_WANTED / COLD_RUNS; i++) {
      sb_key at = make_key(c->state, n++);

      at.ns = cold_space(COLD_SPACES / 2);
      held[at.key_group] = 1;
      check_ok(c->k->ops->put(c->k, &at, text("wanted"), 0, &err));
    }
    checkpoint(run, &c->k, 1);
  }
  for (i = 0; i < 128; i++)
    c->held += held[i];
}

static unsigned
cold_scan(const cold *c, uint32_t flags)
{
  sb_scan_options o;
  sb_cursor *cursor;
  sb_status status;
  unsigned n = 0;
  sb_row row;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = c->state;
  o.flags = flags;
  o.key_group_last = groups - 1;
  o.has_ns = 1;
  o.ns = cold_space(COLD_SPACES / 2);
  check_ok(c->k->ops->scan_open(c->k, &o, &cursor, &err));
  while ((status = c->k->ops->scan_next(c->k, cursor, &row, &err)) == SB_OK)
    n++;
  CU_ASSERT_EQUAL(status, SB_END);
  c->k->ops->scan_close(c->k, cursor);
  return n;
}

static void
open_cold(cold *c)
{
  memset(c, 0, sizeof *c);
  begin_backend("256mb", 128);
  set("state.backend.compaction.enabled", "false");
  set("state.backend.filters", "latency");
  set("state.backend.filter.latency.delay", "150ms");
  set("state.backend.filter.latency.operations", "get");
  finish_backend();
  c->k = open_all();
  c->state = add_state(c->k, "values", SB_STATE_VALUE);
  cold_fill(c);
  c->k = reopen(c->k, 0);
  c->state = add_state(c->k, "values", SB_STATE_VALUE);
}

static void
test_cold(void)
{
  const double delay = 0.15;
  uint64_t before, gets;
  double start, took;
  cold c;

  open_cold(&c);
  before = cold_reads(c.k);
  start = seconds();
  CU_ASSERT_EQUAL(cold_scan(&c, SB_SCAN_KEYS), COLD_WANTED);
  took = seconds() - start;
  gets = cold_reads(c.k) - before;
  tap_note("%u key groups in %d runs: %llu GETs, %.1f waves", c.held,
           COLD_RUNS, (unsigned long long)gets, took / delay);
  CU_ASSERT(gets <= c.held * COLD_RUNS);
  CU_ASSERT(gets > 0);
  if (!tap_is_slow())
    CU_ASSERT(took < 3.9 * delay);
  /* That brought it into memory: no GET, no wait. */
  before = cold_reads(c.k);
  CU_ASSERT_EQUAL(cold_scan(&c, 0), COLD_WANTED);
  CU_ASSERT_EQUAL(cold_reads(c.k), before);
  c.k->ops->close(c.k);
  close_backend();
}

/* The same by a view. */
static void
test_cold_view(void)
{
  const double delay = 0.15;
  uint64_t before, gets;
  double start, took;
  sb_view_cursor *cursor;
  sb_scan_options o;
  sb_status status;
  unsigned n = 0;
  sb_view *view;
  sb_row row;
  cold c;

  open_cold(&c);
  check_ok(c.k->ops->view_open(c.k, &view, &err));
  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = c.state;
  o.key_group_last = groups - 1;
  o.has_ns = 1;
  o.ns = cold_space(COLD_SPACES / 2);
  before = cold_reads(c.k);
  start = seconds();
  check_ok(c.k->ops->view_scan_open(view, &o, &cursor, &err));
  while ((status = c.k->ops->view_scan_next(cursor, &row, &err)) == SB_OK)
    n++;
  took = seconds() - start;
  gets = cold_reads(c.k) - before;
  CU_ASSERT_EQUAL(status, SB_END);
  CU_ASSERT_EQUAL(n, COLD_WANTED);
  tap_note("%u key groups in %d runs: %llu GETs, %.1f waves", c.held,
           COLD_RUNS, (unsigned long long)gets, took / delay);
  CU_ASSERT(gets <= c.held * COLD_RUNS);
  if (!tap_is_slow())
    CU_ASSERT(took < 3.9 * delay);
  c.k->ops->view_scan_close(cursor);
  c.k->ops->view_close(view);
  c.k->ops->close(c.k);
  close_backend();
}

/* What memory has learnt is forgotten when something leaves memory. */
static void
test_learning(void)
{
  enum { N = 60 };
  world w;
  unsigned i, round, filler = 0;
  uint64_t before;
  uint32_t other;
  sb_cursor *c;
  sb_row row;

  memset(&w, 0, sizeof w);
  begin_backend("4mb", 8);
  set("state.backend.compaction.enabled", "false"); /* its reads count */
  finish_backend();
  w.k = open_all();
  world_open(&w);
  other = add_state(w.k, "other", SB_STATE_VALUE);
  for (round = 0; round < 12; round++) {
    /* A key goes, a key changes; sometimes all is pushed out. */
    for (i = 0; i < N; i++) {
      sb_key at = world_key(w.values, i, 3, SUBS);

      if (i % 12 == round)
        check_ok(w.k->ops->remove(w.k, &at, &err));
      else if (round == 0 || i % 5 == round % 5)
        check_ok(w.k->ops->put(w.k, &at, world_bytes(i), 0, &err));
    }
    if (round % 3 == 1)
      push_out(&w, other, &filler, 6000);
    settle(&w);
    for (i = 0; i < 2; i++) {
      unsigned n = 0;

      before = cold_reads(w.k);
      c = open_space(&w, w.values, 3, i == 0 ? SB_SCAN_KEYS : 0, 0,
                     groups - 1);
      while (w.k->ops->scan_next(w.k, c, &row, &err) == SB_OK)
        n++;
      w.k->ops->scan_close(w.k, c);
      if (i == 1)
        CU_ASSERT_EQUAL(cold_reads(w.k), before);
      for (unsigned j = 0; j < N; j++) {
        sb_key at = world_key(w.values, j, 3, SUBS);
        sb_slice value;

        n -= w.k->ops->get(w.k, &at, &value, &err) == SB_OK;
      }
      CU_ASSERT_EQUAL(n, 0);
    }
  }
  w.k->ops->close(w.k);
  close_backend();
}

static unsigned
count_space(const world *w, uint32_t state, unsigned space, uint32_t flags,
            unsigned *expired)
{
  sb_cursor *c = open_space(w, state, space, flags, 0, groups - 1);
  unsigned n = 0;
  sb_row row;

  *expired = 0;
  while (w->k->ops->scan_next(w->k, c, &row, &err) == SB_OK) {
    *expired += (row.flags & SB_ROW_EXPIRED) != 0;
    n++;
  }
  w->k->ops->scan_close(w->k, c);
  return n;
}

static void
test_expired(void)
{
  world w;
  unsigned i, expired;
  sb_scan_options o;
  uint32_t states[3];

  memset(&w, 0, sizeof w);
  open_backend("4mb", 8);
  w.k = open_all();
  world_open(&w);
  states[0] = w.values;
  states[1] = w.maps;
  states[2] = w.lists;
  for (i = 0; i < 60; i++) {
    uint64_t expires_ms = i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : UINT64_C(1) << 50;
    sb_key at = world_key(w.values, i, 2, SUBS);

    check_ok(w.k->ops->put(w.k, &at, text("v"), expires_ms, &err));
    at = world_key(w.maps, i, 2, 1);
    check_ok(w.k->ops->put(w.k, &at, text("v"), expires_ms, &err));
    at = world_key(w.lists, i, 2, SUBS);
    check_ok(w.k->ops->append(w.k, &at, text("v"), expires_ms, &err));
  }
  for (i = 0; i < 3; i++) {
    CU_ASSERT_EQUAL(count_space(&w, states[i], 2, 0, &expired), 40);
    CU_ASSERT_EQUAL(expired, 0);
    CU_ASSERT_EQUAL(count_space(&w, states[i], 2, SB_SCAN_EXPIRED, &expired),
                    60);
    CU_ASSERT_EQUAL(expired, 20);
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    o.state = states[i];
    o.key_group_last = groups - 1;
    o.has_ns = 1;
    o.ns = space_slice(2);
    check_ok(w.k->ops->remove_range(w.k, &o, &err));
    CU_ASSERT_EQUAL(count_space(&w, states[i], 2, SB_SCAN_EXPIRED, &expired),
                    0);
  }
  w.k->ops->close(w.k);
  close_backend();
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "model", test_model },
    { "a large namespace among small ones", test_large_space },
    { "cold", test_cold },
    { "cold by a view", test_cold_view },
    { "learning", test_learning },
    { "expired", test_expired },
  };

  return run_suite(argc, argv, "namespaces", cases, TAP_COUNT(cases));
}
