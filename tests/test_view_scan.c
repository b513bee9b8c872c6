/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans of views: what was there when the view was opened, whatever the owner
 * does meanwhile, for all kinds of state, with every bound, on other threads,
 * and with failures in between.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "faulty_host.h"

/* ---- a small world and its model ----------------------------------------- */

enum { KEYS = 40, SPACES = 6, SUBS = 5, ELEMENTS = 12 };

/* Numbers written, 0 for nothing. Namespace 0 is the empty one. */
typedef struct model {
  unsigned values[KEYS][SPACES];
  unsigned maps[KEYS][SPACES][SUBS];
  unsigned lists[KEYS][SPACES][ELEMENTS];
  unsigned list_len[KEYS][SPACES];
  unsigned timers[KEYS];
} model;

typedef struct world {
  sb_keyed *k;
  uint32_t values, maps, lists, timers;
  model now;
  unsigned next;
} world;

static char place_text[3][64];

static sb_key
world_key(uint32_t state, unsigned key, unsigned space, const unsigned *sub)
{
  int len = snprintf(place_text[0], 64, "key-%u", key);
  sb_key at = key_of(state, place_text[0], (size_t)len);

  if (space != 0) {
    len = snprintf(place_text[1], 64, "space-%u", space);
    at.ns = sb_slice_of(place_text[1], (size_t)len);
  }
  if (sub != NULL) {
    len = snprintf(place_text[2], 64, "sub-%u", *sub);
    at.subkey = sb_slice_of(place_text[2], (size_t)len);
  }
  return at;
}

static sb_slice
world_value(unsigned number)
{
  static char bytes[300];

  memset(bytes, 'v', sizeof bytes);
  memcpy(bytes, &number, sizeof number);
  return sb_slice_of(bytes, 40 + number % 200);
}

static unsigned
number_of(sb_slice value)
{
  unsigned number = 0;

  if (value.len >= sizeof number)
    memcpy(&number, value.data, sizeof number);
  CU_ASSERT_EQUAL(value.len, 40 + number % 200);
  return number;
}

static void
world_states(world *w)
{
  w->values = add_state(w->k, "values", SB_STATE_VALUE);
  w->maps = add_state(w->k, "maps", SB_STATE_MAP);
  w->lists = add_state(w->k, "lists", SB_STATE_LIST);
  w->timers = add_state(w->k, "timers", SB_STATE_TIMER);
}

static void
world_put(world *w, unsigned *cell, const sb_key *at)
{
  if (next_random() % 4 == 0) {
    *cell = 0;
    check_ok(w->k->ops->remove(w->k, at, &err));
    return;
  }
  *cell = ++w->next;
  check_ok(w->k->ops->put(w->k, at, world_value(*cell), 0, &err));
}

static void
world_change_list(world *w, unsigned key, unsigned space)
{
  unsigned *len = &w->now.list_len[key][space];
  sb_key at = world_key(w->lists, key, space, NULL);

  if (*len == ELEMENTS) {
    *len = 0;
    check_ok(w->k->ops->clear(w->k, &at, &err));
    return;
  }
  w->now.lists[key][space][(*len)++] = ++w->next;
  check_ok(w->k->ops->append(w->k, &at, world_value(w->next), 0, &err));
}

static void
world_change(world *w)
{
  unsigned key = next_random() % KEYS, space = next_random() % SPACES;
  unsigned sub = next_random() % SUBS;
  sb_key at;

  switch (next_random() % 8) {
  case 0:
  case 1:
    at = world_key(w->values, key, space, NULL);
    world_put(w, &w->now.values[key][space], &at);
    break;
  case 2:
  case 3:
  case 4:
    at = world_key(w->maps, key, space, &sub);
    world_put(w, &w->now.maps[key][space][sub], &at);
    break;
  case 5:
    at = world_key(w->timers, key, 0, NULL);
    world_put(w, &w->now.timers[key], &at);
    break;
  case 6:
    if (next_random() % 4 == 0) {
      memset(w->now.maps[key][space], 0, sizeof w->now.maps[key][space]);
      at = world_key(w->maps, key, space, NULL);
      check_ok(w->k->ops->clear(w->k, &at, &err));
    }
    break;
  default:
    world_change_list(w, key, space);
    break;
  }
}

/* Changes that a model does not follow, so that memory must be written out. */
static void
world_churn(world *w, unsigned count)
{
  while (count-- > 0)
    world_change(w);
}

/* ---- comparing ----------------------------------------------------------- */

static unsigned
parse(sb_slice name, const char *prefix)
{
  char copy[64];
  size_t len = strlen(prefix);

  if (name.len < len || name.len >= sizeof copy)
    return 9999;
  memcpy(copy, name.data, name.len);
  copy[name.len] = '\0';
  return strncmp(copy, prefix, len) == 0 ? (unsigned)atoi(copy + len) : 9999;
}

typedef struct scan {
  sb_view *view;
  sb_scan_options options;
  unsigned failures; /* that were got over */
  unsigned rows;
  unsigned wrong;
} scan;

typedef void row_fn(void *arg, const sb_row *row, scan *s);

static sb_status
view_scan(sb_keyed *k, scan *s, row_fn *fn, void *arg)
{
  sb_view_cursor *c = NULL;
  sb_error local;
  sb_status status;
  sb_row row;

  s->options.struct_size = sizeof s->options;
  s->options.key_group_last = groups - 1;
  status = k->ops->view_scan_open(s->view, &s->options, &c, &local);
  while (status == SB_OK || (status == SB_NO_MEMORY && c != NULL)) {
    status = k->ops->view_scan_next(c, &row, &local);
    s->failures += status == SB_NO_MEMORY;
    s->rows += status == SB_OK;
    if (status == SB_OK)
      fn(arg, &row, s);
  }
  k->ops->view_scan_close(c);
  return status;
}

typedef struct expected {
  const model *m;
  uint32_t kind;
  model seen;
} expected;

static void
see(expected *e, const sb_row *row, scan *s)
{
  unsigned key = parse(row->key, "key-"), space = 0, number, *cell;

  number = number_of(row->value);
  if (row->ns.len != 0)
    space = parse(row->ns, "space-");
  if (key >= KEYS || space >= SPACES) {
    s->wrong++;
    return;
  }
  if (e->kind == SB_STATE_VALUE) {
    cell = &e->seen.values[key][space];
  } else if (e->kind == SB_STATE_TIMER) {
    cell = &e->seen.timers[key];
  } else if (e->kind == SB_STATE_MAP) {
    unsigned sub = parse(row->subkey, "sub-");

    cell = &e->seen.maps[key][space][sub < SUBS ? sub : 0];
  } else {
    unsigned at = e->seen.list_len[key][space]++;

    cell = &e->seen.lists[key][space][at < ELEMENTS ? at : 0];
  }
  s->wrong += *cell != 0;
  *cell = number;
}

static void
see_row(void *arg, const sb_row *row, scan *s)
{
  see(arg, row, s);
}

static unsigned
differences(const expected *e)
{
  unsigned key, space, i, wrong = 0;
  const model *m = e->m, *s = &e->seen;

  if (e->kind == SB_STATE_VALUE)
    return memcmp(m->values, s->values, sizeof m->values) != 0;
  if (e->kind == SB_STATE_MAP)
    return memcmp(m->maps, s->maps, sizeof m->maps) != 0;
  if (e->kind == SB_STATE_TIMER)
    return memcmp(m->timers, s->timers, sizeof m->timers) != 0;
  for (key = 0; key < KEYS; key++)
    for (space = 0; space < SPACES; space++) {
      wrong += m->list_len[key][space] != s->list_len[key][space];
      for (i = 0; i < m->list_len[key][space]; i++)
        wrong += m->lists[key][space][i] != s->lists[key][space][i];
    }
  return wrong;
}

/* Scans one state whole. Returns how much was wrong. */
static unsigned
compare_state(const world *w, const model *m, sb_view *view, uint32_t state,
              uint32_t kind)
{
  expected e;
  scan s;
  sb_status status;

  memset(&e, 0, sizeof e);
  memset(&s, 0, sizeof s);
  e.m = m;
  e.kind = kind;
  s.view = view;
  s.options.state = state;
  status = view_scan(w->k, &s, see_row, &e);
  return s.wrong + differences(&e) + (status != SB_END);
}

typedef struct job_arg {
  const world *w;
  const model *m;
  sb_view *view;
  unsigned wrong;
} job_arg;

static void *
compare_all(void *arg)
{
  job_arg *j = arg;
  const world *w = j->w;

  j->wrong += compare_state(w, j->m, j->view, w->values, SB_STATE_VALUE);
  j->wrong += compare_state(w, j->m, j->view, w->maps, SB_STATE_MAP);
  j->wrong += compare_state(w, j->m, j->view, w->lists, SB_STATE_LIST);
  j->wrong += compare_state(w, j->m, j->view, w->timers, SB_STATE_TIMER);
  return NULL;
}

/* ---- cases --------------------------------------------------------------- */

/* Several views at once, each scanned twice on threads of their own, while the
   owner writes, flushes and compacts. */
static void
test_point_in_time(void)
{
  enum { VIEWS = 4 };
  world *w = calloc(1, sizeof *w);
  model *models = calloc(VIEWS, sizeof *models);
  unsigned round, i, wrong = 0;

  begin_backend("4mb", 8);
  set("state.backend.compaction.runs", "2");
  finish_backend();
  w->k = open_all();
  world_states(w);
  for (round = 0; round < 6; round++) {
    job_arg jobs[2 * VIEWS];
    pthread_t threads[2 * VIEWS];
    sb_view *views[VIEWS];

    for (i = 0; i < VIEWS; i++) {
      world_churn(w, 1500);
      models[i] = w->now;
      check_ok(w->k->ops->view_open(w->k, &views[i], &err));
    }
    for (i = 0; i < 2 * VIEWS; i++) {
      jobs[i] = (job_arg){ w, &models[i / 2], views[i / 2], 0 };
      CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL, compare_all,
                                     &jobs[i]), 0);
    }
    world_churn(w, 3000);
    if (round % 2 == 0)
      checkpoint(round + 1, &w->k, 1);
    for (i = 0; i < 2 * VIEWS; i++) {
      pthread_join(threads[i], NULL);
      wrong += jobs[i].wrong;
    }
    for (i = 0; i < VIEWS; i++)
      w->k->ops->view_close(views[i]);
  }
  CU_ASSERT_EQUAL(wrong, 0);
  w->k->ops->close(w->k);
  close_backend();
  free(models);
  free(w);
}

static void
count_row(void *arg, const sb_row *row, scan *s)
{
  (void)s;
  *(unsigned *)arg += number_of(row->value);
}

static void
count_key(void *arg, const sb_row *row, scan *s)
{
  s->wrong += row->subkey.len != 0 || row->value.len != 0;
  (*(unsigned *)arg)++;
}

static void
sum_maps(const model *m, unsigned key, unsigned space, unsigned first,
         unsigned last, unsigned *sum, unsigned *keys)
{
  unsigned i, any = 0;

  for (i = first; i <= last; i++) {
    *sum += m->maps[key][space][i];
    any |= m->maps[key][space][i];
  }
  *keys += any != 0;
}

/* Every bound, on the map: sums of what is in range. */
static void
test_bounds(void)
{
  world *w = calloc(1, sizeof *w);
  unsigned i, sum = 0, keys = 0, rows = 0, total = 0;
  sb_view *view;
  char ns[16];
  scan s;

  open_backend("4mb", 8);
  w->k = open_all();
  world_states(w);
  world_churn(w, 6000);
  checkpoint(1, &w->k, 1);
  world_churn(w, 3000);
  check_ok(w->k->ops->view_open(w->k, &view, &err));

  /* one namespace */
  memset(&s, 0, sizeof s);
  s.view = view;
  s.options.state = w->maps;
  s.options.has_ns = 1;
  snprintf(ns, sizeof ns, "space-3");
  s.options.ns = text(ns);
  for (i = 0; i < KEYS; i++)
    sum_maps(&w->now, i, 3, 0, SUBS - 1, &sum, &keys);
  CU_ASSERT_EQUAL(view_scan(w->k, &s, count_row, &total), SB_END);
  CU_ASSERT_EQUAL(total, sum);
  s.options.flags = SB_SCAN_KEYS;
  CU_ASSERT_EQUAL(view_scan(w->k, &s, count_key, &rows), SB_END);
  CU_ASSERT_EQUAL(rows, keys);
  CU_ASSERT_EQUAL(s.wrong, 0);
  CU_ASSERT(keys > 0);

  /* the empty namespace */
  s.options.ns = text("");
  for (i = keys = rows = 0; i < KEYS; i++)
    sum_maps(&w->now, i, 0, 0, SUBS - 1, &sum, &keys);
  CU_ASSERT_EQUAL(view_scan(w->k, &s, count_key, &rows), SB_END);
  CU_ASSERT_EQUAL(rows, keys);

  /* one key, some subkeys */
  s.options.flags = 0;
  s.options.has_key = 1;
  s.options.start = text("sub-1");
  s.options.end = text("sub-4");
  for (i = 0; i < KEYS; i++) {
    sb_key at = world_key(w->maps, i, 2, NULL);

    sum = total = 0;
    sum_maps(&w->now, i, 2, 1, 3, &sum, &keys);
    s.options.ns = at.ns;
    s.options.key = at.key;
    CU_ASSERT_EQUAL(view_scan(w->k, &s, count_row, &total), SB_END);
    CU_ASSERT_EQUAL(total, sum);
  }

  /* a namespace that nothing is in */
  memset(&s.options, 0, sizeof s.options);
  s.options.state = w->maps;
  s.options.has_ns = 1;
  s.options.ns = text("space-none");
  s.rows = 0;
  CU_ASSERT_EQUAL(view_scan(w->k, &s, count_row, &total), SB_END);
  CU_ASSERT_EQUAL(s.rows, 0);
  w->k->ops->view_close(view);
  w->k->ops->close(w->k);
  close_backend();
  free(w);
}

static void
count_expired(void *arg, const sb_row *row, scan *s)
{
  (void)s;
  *(unsigned *)arg += (row->flags & SB_ROW_EXPIRED) != 0;
}

static void
test_expired(void)
{
  sb_keyed *k;
  uint32_t state;
  unsigned i, expired = 0;
  uint64_t later = UINT64_C(1) << 50;
  sb_view *view;
  scan s;

  open_backend("4mb", 4);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < 90; i++) {
    sb_key at = make_key(state, i);

    check_ok(k->ops->put(k, &at, world_value(i),
                         i % 3 == 0 ? 0 : i % 3 == 1 ? later : 1, &err));
  }
  check_ok(k->ops->view_open(k, &view, &err));
  memset(&s, 0, sizeof s);
  s.view = view;
  s.options.state = state;
  CU_ASSERT_EQUAL(view_scan(k, &s, count_expired, &expired), SB_END);
  CU_ASSERT_EQUAL(s.rows, 60);
  CU_ASSERT_EQUAL(expired, 0);
  k->ops->view_close(view);
  k->ops->close(k);
  close_backend();
}

static void
test_misuse(void)
{
  sb_keyed *k;
  sb_view_cursor *c;
  sb_scan_options o;
  sb_view *view;
  uint32_t state;
  sb_row row;

  open_backend("4mb", 4);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  check_ok(k->ops->view_open(k, &view, &err));
  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = state + 1;
  CU_ASSERT_EQUAL(k->ops->view_scan_open(view, &o, &c, &err), SB_INVALID);
  CU_ASSERT_PTR_NULL(c);
  o.state = state;
  o.flags = 64;
  CU_ASSERT_EQUAL(k->ops->view_scan_open(view, &o, &c, &err), SB_INVALID);
  o.flags = 0;
  o.has_key = 1;
  CU_ASSERT_EQUAL(k->ops->view_scan_open(view, &o, &c, &err), SB_INVALID);
  o.has_key = 0;
  o.key_group_last = 1000; /* more than there are: all */
  check_ok(k->ops->view_scan_open(view, &o, &c, &err));
  CU_ASSERT_EQUAL(k->ops->view_scan_next(c, &row, &err), SB_END);
  CU_ASSERT_EQUAL(k->ops->view_scan_next(c, &row, &err), SB_END);
  k->ops->interrupt(k);
  CU_ASSERT_EQUAL(k->ops->view_scan_next(c, &row, &err), SB_CANCELLED);
  k->ops->view_scan_close(c);
  k->ops->view_scan_close(NULL);
  k->ops->view_close(view);
  k->ops->close(k);
  close_backend();
}

/* A thread may have to let go of what it ran last. */
static long
blocks_left(faulty_host *faulty)
{
  unsigned i;

  for (i = 0; i < 200 && atomic_load(&faulty->live) != 0; i++)
    pause_ms(5);
  return atomic_load(&faulty->live);
}

/* Allocation 1, 2, 3 ... fails; the cursor is asked again and goes on. */
static void
test_no_memory(void)
{
  world *w = calloc(1, sizeof *w);
  unsigned wrong = 0, failures = 0;
  faulty_host faulty;
  sb_takeover_options take;
  long n;

  faulty_host_init(&faulty, 0);
  begin_backend("4mb", 2);
  check_ok(sb_backend_open(config, &faulty.host, &backend, &err));
  memset(&take, 0, sizeof take);
  take.struct_size = sizeof take;
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
  w->k = open_all();
  world_states(w);
  world_churn(w, 4000);
  checkpoint(1, &w->k, 1);
  w->k = reopen(w->k, 0);
  world_states(w);
  world_churn(w, 500);
  for (n = 1; n < 4000; n += n < 100 ? 1 : 37) {
    expected e;
    sb_view *view;
    scan s;
    sb_status status;

    check_ok(w->k->ops->view_open(w->k, &view, &err));
    memset(&e, 0, sizeof e);
    memset(&s, 0, sizeof s);
    e.m = &w->now;
    e.kind = SB_STATE_MAP;
    s.view = view;
    s.options.state = w->maps;
    atomic_store(&faulty.countdown, n);
    status = view_scan(w->k, &s, see_row, &e);
    if (status == SB_NO_MEMORY) {
      failures++; /* of open */
    } else {
      wrong += s.wrong + differences(&e) + (status != SB_END);
      failures += s.failures;
    }
    if (atomic_load(&faulty.countdown) > 0)
      n = 4000;
    atomic_store(&faulty.countdown, 0);
    w->k->ops->view_close(view);
    world_churn(w, 10);
  }
  tap_note("%u failures", failures);
  CU_ASSERT(failures > 10);
  CU_ASSERT_EQUAL(wrong, 0);
  w->k->ops->close(w->k);
  close_backend();
  CU_ASSERT_EQUAL(blocks_left(&faulty), 0);
  free(w);
}

static void
ignore_row(void *arg, const sb_row *row, scan *s)
{
  (void)arg;
  (void)row;
  (void)s;
}

/* A cold scan of many small key groups waits for few GETs one after the
   other. */
static void
test_read_ahead(void)
{
  enum { N = 20000, RUNS = 3 };
  char value[200];
  sb_view *view;
  uint32_t state;
  double start, took;
  sb_keyed *k;
  unsigned i;
  scan s;

  begin_backend("64mb", 64);
  set("state.backend.compaction.enabled", "false");
  set("state.backend.filters", "latency");
  set("state.backend.filter.latency.delay", "50ms");
  set("state.backend.filter.latency.operations", "get");
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    sb_key at = make_key(state, i);

    fill_random(value, sizeof value);
    check_ok(k->ops->put(k, &at, sb_slice_of(value, sizeof value), 0, &err));
    if (i % (N / RUNS) == N / RUNS - 1)
      checkpoint(i, &k, 1);
  }
  checkpoint(N, &k, 1);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  check_ok(k->ops->view_open(k, &view, &err));
  memset(&s, 0, sizeof s);
  s.view = view;
  s.options.state = state;
  start = seconds();
  CU_ASSERT_EQUAL(view_scan(k, &s, ignore_row, NULL), SB_END);
  took = seconds() - start;
  CU_ASSERT_EQUAL(s.rows, N);
  tap_note("%.1f waits", took / 0.05);
  if (!tap_is_slow())
    CU_ASSERT(took < 20 * 0.05);
  k->ops->view_close(view);
  k->ops->close(k);
  close_backend();
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "point in time", test_point_in_time },
    { "bounds", test_bounds },
    { "expired", test_expired },
    { "misuse", test_misuse },
    { "read ahead", test_read_ahead },
    { "no memory", test_no_memory },
  };

  return run_suite(argc, argv, "view scan", cases, TAP_COUNT(cases));
}
