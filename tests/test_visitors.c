/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors over memory and segments while everything changes: what exists
 * throughout is seen once, also when there is more than a cursor collects at
 * once and when allocations fail.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faulty_host.h"
#include "namespace_fixture.h"

/* More in one key group than a cursor collects at once, with changes. */
static void
test_batches(void)
{
  enum { MANY = 40000 };
  world w;
  sb_cursor *c;
  unsigned i, space, wrong = 0;
  uint8_t *seen = calloc(MANY, 1);
  sb_row row;
  sb_key at;

  memset(&w, 0, sizeof w);
  open_backend("16mb", 1);
  w.k = open_all();
  world_open(&w);
  for (space = 0; space < 2; space++) {
    for (i = 0; i < MANY; i++) {
      at = make_key(w.values, i);
      at.ns = space_slice(space);
      check_ok(w.k->ops->put(w.k, &at, sb_slice_of(&i, sizeof i), 0, &err));
    }
    memset(seen, 0, MANY);
    c = open_space(&w, w.values, space, 0, 0, 0);
    while (w.k->ops->scan_next(w.k, c, &row, &err) == SB_OK) {
      memcpy(&i, row.value.data, sizeof i);
      seen[i < MANY ? i : 0]++;
      i = (unsigned)(next_random() % MANY);
      at = make_key(w.values, i);
      at.ns = space_slice(space);
      check_ok(w.k->ops->put(w.k, &at, sb_slice_of(&i, sizeof i), 0, &err));
    }
    w.k->ops->scan_close(w.k, c);
    for (i = 0; i < MANY; i++)
      wrong += seen[i] != 1;
    CU_ASSERT_EQUAL(wrong, 0);
  }
  w.k->ops->close(w.k);
  close_backend();
  free(seen);
}

/* The number that make_key was given. */
static unsigned
made_key(const sb_row *row)
{
  char copy[16] = "";

  if (row->key.len > 4 && row->key.len < sizeof copy)
    memcpy(copy, (const char *)row->key.data + 4, row->key.len - 4);
  return (unsigned)atoi(copy);
}

/* A scan of what is in memory alone gives what is there when its turn comes:
   nothing that was removed, values as they were put last, longer ones too. */
static void
test_current_rows(void)
{
  enum { MANY = 3000 };
  static uint64_t now[MANY][3];
  static uint8_t seen[MANY];
  uint32_t state;
  unsigned i, j, round, wrong = 0, rows;
  sb_keyed *k;
  sb_cursor *c;
  sb_row row;
  sb_key at;

  open_backend("16mb", 1);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (round = 0; round < 3; round++) {
    memset(now, 0, sizeof now);
    memset(seen, 0, sizeof seen);
    for (i = 0; i < MANY; i++) {
      now[i][0] = i + 1;
      at = make_key(state, i);
      check_ok(k->ops->put(k, &at, sb_slice_of(now[i], 8), 0, &err));
    }
    c = open_scan(k, state, round == 1 ? SB_SCAN_KEYS : 0, NULL);
    for (rows = 0; k->ops->scan_next(k, c, &row, &err) == SB_OK; rows++) {
      i = made_key(&row);
      wrong += i >= MANY || seen[i]++ != 0 || now[i][0] == 0;
      if (round != 1)
        wrong += memcmp(row.value.data, now[i], row.value.len) != 0 ||
                 row.value.len != (now[i][1] != 0 ? 24u : 8u);
      for (j = 0; round != 0 && j < 2; j++) {
        i = (unsigned)(next_random() % MANY);
        at = make_key(state, i);
        if (now[i][0] == 0)
          continue;
        now[i][0] = next_random() % 2 == 0 ? 0 : now[i][0] + MANY;
        now[i][1] = now[i][2] = now[i][0];
        check_ok(now[i][0] == 0
                   ? k->ops->remove(k, &at, &err)
                   : k->ops->put(k, &at, sb_slice_of(now[i], 24), 0, &err));
      }
    }
    k->ops->scan_close(k, c);
    for (i = 0; i < MANY; i++)
      wrong += now[i][0] != 0 && !seen[i];
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(rows == MANY, round == 0);
  }
  k->ops->close(k);
  close_backend();
}

/* ---- visitors ------------------------------------------------------------ */

enum { VISITED = 1500, VISITORS = 3 };

/* Even keys exist throughout; odd ones come and go. */
typedef struct visits {
  world *w;
  uint32_t other;
  unsigned filler;
  uint64_t next_id;
  unsigned now[3 * VISITED]; /* what even keys have */
} visits;

static void
visits_change(visits *v)
{
  unsigned i = next_random() % VISITED, space = next_random() % 3;
  sb_key at = world_key(v->w->values, i, space, SUBS);
  sb_keyed *k = v->w->k;

  if (i % 2 == 0) {
    v->now[space * VISITED + i] = ++v->w->next;
    check_ok(k->ops->put(k, &at, world_bytes(v->w->next), 0, &err));
  } else if (next_random() % 2 == 0) {
    check_ok(k->ops->remove(k, &at, &err));
  } else {
    check_ok(k->ops->put(k, &at, world_bytes(++v->w->next), 0, &err));
  }
  if (next_random() % 400 == 0)
    push_out(v->w, v->other, &v->filler, 1500);
  if (next_random() % 1500 == 0)
    checkpoint(++v->next_id, &k, 1);
}

static unsigned
visits_wrong(const uint8_t *seen, unsigned first, unsigned last)
{
  unsigned i, space, wrong = 0;

  for (space = first; space <= last; space++)
    for (i = 0; i < VISITED; i++)
      wrong += i % 2 == 0 ? seen[space * VISITED + i] != 1
                          : seen[space * VISITED + i] > 1;
  return wrong;
}

/* What exists throughout is seen once by each of several cursors, while all is
   written, removed, pushed out of memory, flushed and compacted. */
static void
test_visitors(void)
{
  static uint8_t seen[VISITORS][3 * VISITED];
  world *w = calloc(1, sizeof *w);
  visits *v = calloc(1, sizeof *v);
  unsigned round, i, j, at, open, wrong = 0;
  sb_cursor *c[VISITORS];

  begin_backend("4mb", 6);
  set("state.backend.compaction.runs", "3");
  finish_backend();
  w->k = open_all();
  world_open(w);
  v->w = w;
  v->other = add_state(w->k, "other", SB_STATE_VALUE);
  for (i = 0; i < VISITED; i++)
    for (j = 0; j < 3; j++) {
      sb_key place = world_key(w->values, i, j, SUBS);

      v->now[j * VISITED + i] = ++w->next;
      check_ok(w->k->ops->put(w->k, &place, world_bytes(w->next), 0, &err));
    }
  for (round = 0; round < (tap_is_slow() ? 1u : 4u) && wrong == 0; round++) {
    memset(seen, 0, sizeof seen);
    c[0] = open_scan(w->k, w->values, round % 2 ? SB_SCAN_KEYS : 0, NULL);
    c[1] = open_space(w, w->values, 1, 0, 0, groups - 1);
    c[2] = open_space(w, w->values, 2, SB_SCAN_KEYS, 0, groups - 1);
    for (open = VISITORS; open > 0;) {
      sb_status status;
      sb_row row;

      i = next_random() % VISITORS;
      if (c[i] == NULL)
        continue;
      status = w->k->ops->scan_next(w->k, c[i], &row, &err);
      if (status != SB_OK) {
        wrong += status != SB_END;
        w->k->ops->scan_close(w->k, c[i]);
        c[i] = NULL;
        open--;
        continue;
      }
      j = row.ns.len == 0 ? 0 : ((const char *)row.ns.data)[7] - '0';
      at = j * VISITED + row_key(&row);
      if (j > 2 || row_key(&row) >= VISITED)
        wrong++;
      else
        seen[i][at]++;
      if (row.value.len != 0 && row_key(&row) % 2 == 0)
        wrong += row_number(&row) != v->now[at];
      visits_change(v);
    }
    wrong += visits_wrong(seen[0], 0, 2);
    wrong += visits_wrong(seen[1], 1, 1);
    wrong += visits_wrong(seen[2], 2, 2);
  }
  CU_ASSERT_EQUAL(wrong, 0);
  w->k->ops->close(w->k);
  close_backend();
  free(v);
  free(w);
}

/* ---- failures ------------------------------------------------------------ */

/* A thread may have to let go of what it ran last. */
static long
blocks_left(faulty_host *faulty)
{
  unsigned i;

  for (i = 0; i < 200 && atomic_load(&faulty->live) != 0; i++)
    pause_ms(5);
  return atomic_load(&faulty->live);
}

static void
take_over(faulty_host *faulty)
{
  sb_takeover_options take;

  check_ok(sb_backend_open(config, &faulty->host, &backend, &err));
  memset(&take, 0, sizeof take);
  take.struct_size = sizeof take;
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
}

/* Allocation 1, 2, 3 ... of a run of changes fails; what was refused has not
   happened, and everything can be found afterwards. */
static void
test_no_memory(void)
{
  world *w = calloc(1, sizeof *w);
  faulty_host faulty;
  unsigned wrong = 0, failures = 0;
  long n, i;

  faulty_host_init(&faulty, 0);
  begin_backend("4mb", 8);
  set("state.backend.compaction.enabled", "false");
  take_over(&faulty);
  w->k = open_all();
  world_open(w);
  for (n = 1; n < (tap_is_slow() ? 60 : 300) && wrong == 0; n++) {
    /* Namespaces come and go, so that spaces are made anew. */
    if (n % 10 == 0)
      check_ok(world_clear_space(w, n / 10 % SPACES));
    atomic_store(&faulty.countdown, n % 40 + 1);
    for (i = 0; i < 60; i++)
      failures += world_change(w) != SB_OK;
    atomic_store(&faulty.countdown, 0);
    wrong += compare_all(w);
    if (n % 50 == 0)
      checkpoint((uint64_t)n, &w->k, 1);
  }
  tap_note("%u failures", failures);
  CU_ASSERT(failures > 0);
  CU_ASSERT_EQUAL(wrong, 0);
  w->k->ops->close(w->k);
  close_backend();
  CU_ASSERT_EQUAL(blocks_left(&faulty), 0);
  free(w);
}

/* A scan is asked again after each failure and still sees all, once. */
static void
test_scan_no_memory(void)
{
  world *w = calloc(1, sizeof *w);
  faulty_host faulty;
  unsigned wrong = 0, failures = 0, filler = 0;
  uint32_t other;
  long n;

  faulty_host_init(&faulty, 0);
  begin_backend("4mb", 8);
  set("state.backend.compaction.enabled", "false");
  take_over(&faulty);
  w->k = open_all();
  world_open(w);
  other = add_state(w->k, "other", SB_STATE_VALUE);
  for (n = 1; n < (tap_is_slow() ? 60 : 240) && wrong == 0; n++) {
    unsigned seen[KEYS] = { 0 }, space = (unsigned)n % SPACES, i;
    sb_cursor *c;
    sb_status status;
    sb_row row;

    for (i = 0; i < 60; i++)
      (void)world_change(w); /* a flush may have failed meanwhile */
    if (n % 10 == 0)
      push_out(w, other, &filler, 3000);
    settle(w);
    c = open_space(w, w->values, space, 0, 0, groups - 1);
    atomic_store(&faulty.countdown, n % 5 + 1);
    do {
      status = w->k->ops->scan_next(w->k, c, &row, &err);
      failures += status == SB_NO_MEMORY;
      if (status == SB_OK) {
        i = row_key(&row);
        wrong += i >= KEYS || seen[i < KEYS ? i : 0] != 0;
        seen[i < KEYS ? i : 0] = row_number(&row);
      }
    } while (status == SB_OK || status == SB_NO_MEMORY);
    atomic_store(&faulty.countdown, 0);
    w->k->ops->scan_close(w->k, c);
    wrong += status != SB_END;
    for (i = 0; i < KEYS; i++)
      wrong += seen[i] != w->value[i][space];
  }
  tap_note("%u failures", failures);
  CU_ASSERT(failures > 0);
  CU_ASSERT_EQUAL(wrong, 0);
  w->k->ops->close(w->k);
  close_backend();
  CU_ASSERT_EQUAL(blocks_left(&faulty), 0);
  free(w);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "rows are what is there when their turn comes", test_current_rows },
    { "batches", test_batches },
    { "visitors", test_visitors },
    { "no memory", test_no_memory },
    { "no memory for scans", test_scan_no_memory },
  };

  return run_suite(argc, argv, "visitors", cases, TAP_COUNT(cases));
}
