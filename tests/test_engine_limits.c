/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of sizes and counts, handles that only read, lists changed through
 * cursors, snapshots cancelled, flushes that fail, reads interrupted.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

/* ---- limits -------------------------------------------------------------- */

static void
test_sizes(void)
{
  enum { LONG = 65535 };
  uint8_t *bytes = malloc(LONG + 1u), *value = malloc(1u << 20);
  uint32_t values, map, list, timers;
  sb_key key, empty;
  sb_slice got;
  sb_keyed *k;
  unsigned round;

  open_backend("4mb", 4);
  fill_random(bytes, LONG + 1u);
  fill_random(value, 1u << 20);
  k = open_all();
  values = add_state(k, "values", SB_STATE_VALUE);
  map = add_state(k, "map", SB_STATE_MAP);
  list = add_state(k, "list", SB_STATE_LIST);
  timers = add_state(k, "timers", SB_STATE_TIMER);
  key = key_of(values, bytes, LONG + 1u);
  CU_ASSERT_EQUAL(k->ops->put(k, &key, text(""), 0, &err), SB_TOO_LARGE);
  key = key_of(values, bytes, LONG);
  key.ns = sb_slice_of(bytes, LONG);
  check_ok(k->ops->put(k, &key, text("long"), 0, &err));
  key.state = map;
  key.subkey = sb_slice_of(bytes, LONG);
  check_ok(k->ops->put(k, &key, text("long"), 0, &err));
  key.subkey = text("");
  check_ok(k->ops->put(k, &key, text("no subkey"), 0, &err));
  empty = key_of(values, NULL, 0);
  check_ok(k->ops->put(k, &empty, sb_slice_of(value, 1u << 20), 0, &err));
  CU_ASSERT_EQUAL(k->ops->put(k, &empty, sb_slice_of(value, (1u << 20) + 1),
                              0, &err), SB_TOO_LARGE);
  empty.state = timers;
  check_ok(k->ops->put(k, &empty, text(""), 0, &err));
  empty.state = list;
  check_ok(k->ops->append(k, &empty, text(""), 0, &err));
  check_ok(k->ops->append(k, &empty, text(""), 0, &err));
  for (round = 0; round < 2; round++) {
    key.state = values;
    check_ok(k->ops->get(k, &key, &got, &err));
    CU_ASSERT(same(got, "long", 4));
    key.state = map;
    check_ok(k->ops->get(k, &key, &got, &err));
    CU_ASSERT(same(got, "no subkey", 9));
    key.subkey = sb_slice_of(bytes, LONG);
    check_ok(k->ops->get(k, &key, &got, &err));
    CU_ASSERT(same(got, "long", 4));
    key.subkey = text("");
    CU_ASSERT_EQUAL(count_rows(k, map, 0, NULL), 2);
    CU_ASSERT_EQUAL(count_rows(k, map, SB_SCAN_KEYS, NULL), 1);
    CU_ASSERT_EQUAL(count_rows(k, values, 0, NULL), 2);
    CU_ASSERT_EQUAL(count_rows(k, timers, 0, NULL), 1);
    CU_ASSERT_EQUAL(count_rows(k, list, 0, NULL), 2);
    empty.state = values;
    check_ok(k->ops->get(k, &empty, &got, &err));
    CU_ASSERT(same(got, value, 1u << 20));
    empty.state = timers;
    check_ok(k->ops->get(k, &empty, &got, &err));
    CU_ASSERT_EQUAL(got.len, 0);
    empty.state = list;
    check_ok(k->ops->get(k, &empty, &got, &err));
    CU_ASSERT(same(got, "\0\0\0\0\0\0\0\0", 8));
    if (round == 0) {
      checkpoint(1, &k, 1);
      k = reopen(k, 0);
      values = add_state(k, "values", SB_STATE_VALUE);
      map = add_state(k, "map", SB_STATE_MAP);
      list = add_state(k, "list", SB_STATE_LIST);
      timers = add_state(k, "timers", SB_STATE_TIMER);
    }
  }
  k->ops->close(k);
  close_backend();
  free(bytes);
  free(value);
}

/* The most states, with a manifest too large to travel in the part; runs that
   come to nothing leave no manifest behind. */
static void
test_many_states(void)
{
  sb_keyed *k;
  sb_snapshot *s;
  const sb_part *part;
  sb_state_options o;
  sb_state_info info;
  sb_slice got;
  sb_key key;
  char name[32], command[128], line[32] = "";
  unsigned i;
  FILE *f;

  open_backend("16mb", 2);
  k = open_all();
  for (i = 0; i < SB_STATES_MAX; i++) {
    snprintf(name, sizeof name, "state-%u", i);
    CU_ASSERT_EQUAL(add_state(k, name, i % 2 ? SB_STATE_MAP : SB_STATE_VALUE),
                    i);
  }
  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.kind = SB_STATE_VALUE;
  o.name = text("one too many");
  CU_ASSERT_EQUAL(k->ops->register_state(k, &o, &info, &err), SB_TOO_LARGE);
  key = make_key(SB_STATES_MAX - 2, 1);
  check_ok(k->ops->put(k, &key, text("last"), 0, &err));
  s = begin_snapshot(k, 1);
  check_ok(k->ops->snapshot_run(k, s, &part, &err));
  check_ok(k->ops->snapshot_run(k, s, &part, &err));
  CU_ASSERT(part->name != NULL);
  k->ops->snapshot_free(k, s); /* aborted */
  check_ok(k->ops->notify(k, SB_NOTIFY_ABORTED, 1, &err));
  checkpoint(2, &k, 1);
  checkpoint(3, &k, 1);
  checkpoint(4, &k, 1);
  k = reopen(k, 0);
  snprintf(name, sizeof name, "state-%u", SB_STATES_MAX - 2);
  key.state = add_state(k, name, SB_STATE_VALUE);
  check_ok(k->ops->get(k, &key, &got, &err));
  CU_ASSERT(same(got, "last", 4));
  k->ops->close(k);
  snprintf(command, sizeof command,
           "find %s -name '*.manifest' | wc -l | tr -d ' \\n'", directory);
  f = popen(command, "r");
  CU_ASSERT(f != NULL && fgets(line, sizeof line, f) != NULL);
  if (f != NULL)
    pclose(f);
  tap_note("%s manifests", line);
  CU_ASSERT_STRING_EQUAL(line, "1");
  close_backend();
}

static void
test_many_key_groups(void)
{
  sb_keyed *k, *half[2];
  sb_checkpoint *from;
  uint32_t state, i, found = 0;

  open_backend("16mb", SB_KEY_GROUPS_MAX);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < 2000; i++) {
    sb_key key = make_key(state, i);

    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  }
  checkpoint(1, &k, 1);
  k->ops->close(k);
  from = newest();
  half[0] = open_range(0, 20000, from, 0);
  half[1] = open_range(20001, groups - 1, from, 0);
  backend->ops->checkpoint_close(backend, from);
  checkpoint(2, half, 2);
  for (i = 0; i < 2; i++) {
    state = add_state(half[i], "values", SB_STATE_VALUE);
    found += count_rows(half[i], state, 0, NULL);
    half[i]->ops->close(half[i]);
  }
  CU_ASSERT_EQUAL(found, 2000);
  close_backend();
}

/* ---- states, read-only handles ------------------------------------------- */

static void
test_new_blob(void)
{
  sb_keyed *k;
  sb_state_info info;

  open_backend("4mb", 2);
  k = open_all();
  add_state_with(k, "s", SB_STATE_VALUE, "first", &info);
  checkpoint(1, &k, 1);
  k = reopen(k, 0);
  add_state_with(k, "s", SB_STATE_VALUE, "second", &info);
  CU_ASSERT_EQUAL(info.restored, 1);
  CU_ASSERT(same(info.blob, "first", 5));
  checkpoint(2, &k, 1);
  k = reopen(k, 0);
  add_state_with(k, "s", SB_STATE_VALUE, "third", &info);
  CU_ASSERT(same(info.blob, "second", 6));
  k->ops->close(k);
  close_backend();
}

static void
test_read_only(void)
{
  sb_keyed *k;
  sb_snapshot_options so;
  sb_snapshot *s;
  sb_view *view;
  sb_scan_options range;
  uint32_t state;
  sb_key key;
  sb_slice got;
  char buffer[8];
  size_t size;
  unsigned calls = 0;
  sb_cursor *c;
  sb_row row;

  open_backend("4mb", 2);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  key = make_key(state, 1);
  check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  checkpoint(1, &k, 1);
  k = reopen(k, SB_OPEN_READ_ONLY);
  state = add_state(k, "values", SB_STATE_VALUE);
  CU_ASSERT_EQUAL(k->ops->put(k, &key, text("w"), 0, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->remove(k, &key, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->clear(k, &key, &err), SB_INVALID);
  CU_ASSERT_EQUAL(k->ops->update(k, &key, add_one, &calls, &err), SB_INVALID);
  memset(&range, 0, sizeof range);
  range.struct_size = sizeof range;
  range.state = state;
  range.key_group_last = 1;
  CU_ASSERT_EQUAL(k->ops->remove_range(k, &range, &err), SB_INVALID);
  c = open_scan(k, state, 0, NULL);
  check_ok(k->ops->scan_next(k, c, &row, &err));
  CU_ASSERT_EQUAL(k->ops->scan_remove(k, c, &err), SB_INVALID);
  k->ops->scan_close(k, c);
  memset(&so, 0, sizeof so);
  so.struct_size = sizeof so;
  so.kind = SB_SNAPSHOT_CHECKPOINT;
  so.checkpoint_id = 2;
  CU_ASSERT_EQUAL(k->ops->snapshot_begin(k, &so, &s, &err), SB_INVALID);
  CU_ASSERT_PTR_NULL(s);
  check_ok(k->ops->view_open(k, &view, &err));
  check_ok(k->ops->view_get(view, &key, buffer, sizeof buffer, &size, &err));
  k->ops->view_close(view);
  check_ok(k->ops->get(k, &key, &got, &err));
  CU_ASSERT(same(got, "v", 1));
  k->ops->close(k);
  close_backend();
}

/* ---- lists --------------------------------------------------------------- */

static unsigned list_model[64][256], list_len[64];

static void
list_append(sb_keyed *k, uint32_t list, unsigned i)
{
  sb_key key = make_key(list, i);
  uint8_t element[40];
  unsigned v = (unsigned)next_random() & 0xffffff;

  memset(element, (int)(v & 0xff), sizeof element);
  memcpy(element, &v, sizeof v);
  if (list_len[i] == 256)
    return;
  check_ok(k->ops->append(k, &key, sb_slice_of(element, 4 + v % 36), 0, &err));
  list_model[i][list_len[i]++] = v;
}

/* One pass over a list through a cursor: some elements change, some go. */
static void
list_walk(sb_keyed *k, uint32_t list, unsigned i)
{
  sb_key key = make_key(list, i);
  sb_cursor *c = open_scan(k, list, 0, &key);
  unsigned at = 0, to = 0, v;
  sb_row row;

  while (k->ops->scan_next(k, c, &row, &err) == SB_OK) {
    memcpy(&v, row.value.data, sizeof v);
    if (at >= list_len[i] || v != list_model[i][at]) {
      CU_FAIL("wrong element");
      break;
    }
    switch (next_random() % 4) {
    case 0:
      check_ok(k->ops->scan_remove(k, c, &err));
      at++;
      continue;
    case 1:
      v = (unsigned)next_random() & 0xffffff;
      check_ok(k->ops->scan_update(k, c, sb_slice_of(&v, sizeof v), 0, &err));
      break;
    default:
      break;
    }
    list_model[i][to++] = v;
    at++;
  }
  CU_ASSERT_EQUAL(at, list_len[i]);
  list_len[i] = to;
  k->ops->scan_close(k, c);
}

static void
list_compare(sb_keyed *k, uint32_t list, unsigned i)
{
  sb_key key = make_key(list, i);
  sb_slice got = { NULL, 0 };
  sb_status status = k->ops->get(k, &key, &got, &err);
  const uint8_t *p = got.data, *end = p + got.len;
  unsigned n = 0, v;
  uint32_t len;

  CU_ASSERT_EQUAL(status, list_len[i] == 0 ? SB_NOT_FOUND : SB_OK);
  for (; status == SB_OK && p < end; p += 4 + len, n++) {
    memcpy(&len, p, 4);
    memcpy(&v, p + 4, 4);
    if (n >= list_len[i] || v != list_model[i][n]) {
      CU_FAIL("wrong element");
      return;
    }
  }
  if (status == SB_OK)
    CU_ASSERT_EQUAL(n, list_len[i]);
}

static void
test_list_walks(void)
{
  sb_keyed *k;
  uint32_t list, filler;
  uint64_t id = 0;
  char value[500];
  unsigned round, i, lists = 40;

  begin_backend("4mb", 4);
  set("state.backend.compaction.runs", "2");
  finish_backend();
  memset(list_len, 0, sizeof list_len);
  k = open_all();
  list = add_state(k, "list", SB_STATE_LIST);
  filler = add_state(k, "filler", SB_STATE_VALUE);
  for (round = 0; round < 24; round++) {
    for (i = 0; i < 400; i++)
      list_append(k, list, (unsigned)(next_random() % lists));
    for (i = 0; i < lists; i += 3)
      list_walk(k, list, (i + round) % lists);
    if (round % 3 == 1)
      for (i = 0; i < 3500; i++) {
        sb_key key = make_key(filler, i);

        fill_random(value, sizeof value);
        check_ok(k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0,
                             &err));
      }
    if (round % 5 == 4) {
      sb_key key = make_key(list, round % lists);

      check_ok(k->ops->clear(k, &key, &err));
      list_len[round % lists] = 0;
    }
    if (round % 4 == 2)
      checkpoint(++id, &k, 1);
    if (round % 8 == 6) {
      checkpoint(++id, &k, 1);
      k = reopen(k, 0);
      list = add_state(k, "list", SB_STATE_LIST);
      filler = add_state(k, "filler", SB_STATE_VALUE);
    }
    for (i = 0; i < lists; i++)
      list_compare(k, list, i);
  }
  k->ops->close(k);
  close_backend();
}

/* ---- snapshots and failures ---------------------------------------------- */

/* The first snapshot is cancelled after the second began, before either ran. */
static void
test_cancelled_predecessor(void)
{
  sb_keyed *k;
  sb_snapshot *s[2];
  const sb_part *part;
  uint32_t state, map;
  sb_key key;
  sb_slice got;

  open_backend("4mb", 2);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  map = add_state(k, "map", SB_STATE_MAP);
  key = make_key(map, 1);
  key.subkey = text("old");
  check_ok(k->ops->put(k, &key, text("1"), 0, &err));
  key = make_key(state, 1);
  check_ok(k->ops->put(k, &key, text("one"), 0, &err));
  s[0] = begin_snapshot(k, 1);
  key = make_key(map, 1);
  check_ok(k->ops->clear(k, &key, &err));
  key.subkey = text("new");
  check_ok(k->ops->put(k, &key, text("2"), 0, &err));
  s[1] = begin_snapshot(k, 2);
  key = make_key(map, 1);
  check_ok(k->ops->clear(k, &key, &err));
  k->ops->snapshot_cancel(k, s[0]);
  CU_ASSERT_EQUAL(k->ops->snapshot_run(k, s[0], &part, &err), SB_CANCELLED);
  CU_ASSERT_PTR_NULL(part);
  k->ops->snapshot_free(k, s[0]);
  commit_snapshots(&k, &s[1], 1, 2);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  map = add_state(k, "map", SB_STATE_MAP);
  key = make_key(state, 1);
  check_ok(k->ops->get(k, &key, &got, &err));
  CU_ASSERT(same(got, "one", 3));
  key = make_key(map, 1);
  CU_ASSERT_EQUAL(count_rows(k, map, 0, &key), 1);
  key.subkey = text("old");
  CU_ASSERT_EQUAL(k->ops->get(k, &key, &got, &err), SB_NOT_FOUND);
  key.subkey = text("new");
  check_ok(k->ops->get(k, &key, &got, &err));
  k->ops->close(k);
  close_backend();
}

/* Early flushes fail for a while: writes fail, nothing is lost. */
static void
test_flush_recovers(void)
{
  enum { N = 9000 };
  static uint8_t version[N];
  sb_keyed *k;
  uint32_t state;
  char value[600];
  unsigned i, round, failed = 0, wrong = 0;
  sb_slice got;

  begin_backend("4mb", 4);
  set("state.backend.filters", "fault");
  set("state.backend.filter.fault.operations", "put,open,write,commit");
  set("state.backend.filter.fault.rate", "1");
  set("state.backend.filter.fault.trigger", trigger);
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  memset(version, 0, sizeof version);
  watch(k, 15);
  for (round = 1; round <= 4; round++) {
    if (round % 2 == 0)
      set_trigger(1);
    for (i = 0; i < N; i++) {
      sb_key key = make_key(state, i);
      sb_status status;

      memset(value, (int)round, sizeof value);
      status = k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0, &err);
      if (status == SB_OK)
        version[i] = (uint8_t)round;
      else if (++failed % 20 == 0)
        break;
    }
    if (round % 2 == 0)
      set_trigger(0);
  }
  CU_ASSERT(failed > 0);
  checkpoint(1, &k, 1);
  unwatch();
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    sb_key key = make_key(state, i);
    sb_status status = k->ops->get(k, &key, &got, &err);

    memset(value, version[i], sizeof value);
    wrong += status != SB_OK || !same(got, value, sizeof value);
  }
  CU_ASSERT_EQUAL(wrong, 0);
  k->ops->close(k);
  close_backend();
}

static void *
interrupt_soon(void *arg)
{
  sb_keyed *k = arg;

  pause_ms(200);
  k->ops->interrupt(k);
  return NULL;
}

/* A read of a cursor that waits for a slow store comes back. */
static void
test_interrupt_cursor(void)
{
  sb_keyed *k;
  uint32_t state;
  pthread_t thread;
  sb_cursor *c;
  sb_row row;
  sb_slice got;
  sb_key key;
  unsigned pass;

  for (pass = 0; pass < 2; pass++) {
    begin_backend("4mb", 2);
    set("state.backend.filters", "latency");
    set("state.backend.filter.latency.operations", "get");
    set("state.backend.filter.latency.delay", "0ms");
    finish_backend();
    k = open_all();
    state = add_state(k, "values", SB_STATE_VALUE);
    key = make_key(state, 1);
    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
    checkpoint(1, &k, 1);
    k->ops->close(k);
    backend->ops->job_close(job);
    sb_backend_close(backend);
    set("state.backend.filter.latency.delay", "600ms");
    finish_backend();
    {
      sb_checkpoint *from = newest();

      k = open_range(0, 1, from, 0);
      backend->ops->checkpoint_close(backend, from);
    }
    state = add_state(k, "values", SB_STATE_VALUE);
    key = make_key(state, 1);
    c = open_scan(k, state, 0, NULL);
    CU_ASSERT_EQUAL(pthread_create(&thread, NULL, interrupt_soon, k), 0);
    if (pass == 0)
      CU_ASSERT_EQUAL(k->ops->get(k, &key, &got, &err), SB_CANCELLED);
    if (pass == 1)
      CU_ASSERT_EQUAL(k->ops->scan_next(k, c, &row, &err), SB_CANCELLED);
    pthread_join(thread, NULL);
    k->ops->scan_close(k, c);
    k->ops->close(k);
    close_backend();
  }
}

/* A batch that waits for a slow store comes back, and before its GETs do; what
   had been done is told so. */
static void
test_interrupt_batch(void)
{
  sb_op ops[4], *list[4], *done[4];
  sb_checkpoint *from;
  pthread_t thread;
  sb_keyed *k;
  uint32_t state;
  const char *const keys[] = { "a", "a", "b", "new" };
  double start;
  size_t n = 0, i;

  begin_backend("4mb", 2);
  set("state.backend.filters", "latency");
  set("state.backend.filter.latency.operations", "get");
  set("state.backend.filter.latency.delay", "0ms");
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < 3; i++) {
    sb_key key = key_of(state, keys[i], 1);

    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  }
  checkpoint(1, &k, 1);
  k->ops->close(k);
  backend->ops->job_close(job);
  sb_backend_close(backend);
  set("state.backend.filter.latency.delay", "1500ms");
  finish_backend();
  from = newest();
  k = open_range(0, 1, from, 0);
  backend->ops->checkpoint_close(backend, from);
  state = add_state(k, "values", SB_STATE_VALUE);
  memset(ops, 0, sizeof ops);
  for (i = 0; i < 4; i++) {
    ops[i].struct_size = sizeof ops[i];
    ops[i].kind = i == 1 ? SB_OP_PUT : SB_OP_GET; /* behind the first */
    ops[i].key = key_of(state, keys[i], strlen(keys[i]));
    list[i] = &ops[i];
  }
  ops[3].kind = SB_OP_PUT; /* done at once */
  check_ok(k->ops->submit(k, list, 4, &err));
  CU_ASSERT_EQUAL(pthread_create(&thread, NULL, interrupt_soon, k), 0);
  check_ok(k->ops->poll(k, done, 4, &n, 0, &err));
  CU_ASSERT(n == 1 && done[0] == &ops[3] && ops[3].status == SB_OK);
  start = seconds();
  check_ok(k->ops->poll(k, done, 2, &n, SB_NO_DEADLINE, &err));
  CU_ASSERT_EQUAL(n, 2);
  check_ok(k->ops->poll(k, done, 4, &n, SB_NO_DEADLINE, &err));
  CU_ASSERT_EQUAL(n, 1);
  CU_ASSERT(seconds() - start < 1.0);
  for (i = 0; i < 3; i++)
    CU_ASSERT_EQUAL(ops[i].status, SB_CANCELLED);
  CU_ASSERT_EQUAL(k->ops->poll(k, done, 4, &n, SB_NO_DEADLINE, &err),
                  SB_CANCELLED);
  pthread_join(thread, NULL);
  k->ops->close(k);
  close_backend();
}

/* Ranges go while cursors stand in them. */
static void
test_remove_range(void)
{
  enum { N = 3000 };
  sb_keyed *k;
  sb_scan_options range;
  uint32_t state;
  sb_cursor *c;
  sb_row row;
  char value[300];
  unsigned i, n = 0, kept = 0;
  sb_status status;

  begin_backend("4mb", 4);
  set("state.backend.compaction.runs", "2");
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    sb_key key = make_key(state, i);

    key.ns = text(i % 3 == 0 ? "a" : "b");
    kept += i % 3 != 0;
    fill_random(value, sizeof value);
    check_ok(k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0, &err));
    if (i == N / 2)
      checkpoint(1, &k, 1);
  }
  c = open_scan(k, state, 0, NULL);
  for (i = 0; i < 10; i++)
    check_ok(k->ops->scan_next(k, c, &row, &err));
  memset(&range, 0, sizeof range);
  range.struct_size = sizeof range;
  range.state = state;
  range.key_group_last = 3;
  range.has_ns = 1;
  range.ns = text("a");
  check_ok(k->ops->remove_range(k, &range, &err));
  checkpoint(2, &k, 1);
  while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK)
    if (same(row.ns, "b", 1))
      n++;
    else
      CU_FAIL("a removed row");
  CU_ASSERT_EQUAL(status, SB_END);
  CU_ASSERT_EQUAL(n, kept);
  k->ops->scan_close(k, c);
  CU_ASSERT_EQUAL(count_rows(k, state, 0, NULL), kept);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  CU_ASSERT_EQUAL(count_rows(k, state, 0, NULL), kept);
  k->ops->close(k);
  close_backend();
}

static void
test_scan_open_nothing(void)
{
  sb_keyed *k;
  sb_op op, *ops = &op;

  open_backend("4mb", 2);
  k = open_all();
  add_state(k, "values", SB_STATE_VALUE);
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  op.kind = SB_OP_SCAN_OPEN;
  CU_ASSERT_EQUAL(k->ops->submit(k, &ops, 1, &err), SB_INVALID);
  op.kind = SB_OP_SCAN_NEXT;
  CU_ASSERT_EQUAL(k->ops->submit(k, &ops, 1, &err), SB_INVALID);
  k->ops->close(k);
  close_backend();
}

static const tap_case cases[] = {
  { "longest and empty keys, largest values", test_sizes },
  { "most states", test_many_states },
  { "most key groups", test_many_key_groups },
  { "a new blob for a restored state", test_new_blob },
  { "read-only handles", test_read_only },
  { "lists changed through cursors", test_list_walks },
  { "cancelled predecessor", test_cancelled_predecessor },
  { "failing flushes recover", test_flush_recovers },
  { "interrupted reads", test_interrupt_cursor },
  { "interrupted batch", test_interrupt_batch },
  { "ranges removed under a cursor", test_remove_range },
  { "scan operations without a scan", test_scan_open_nothing },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "limits", cases, TAP_COUNT(cases));
}
