/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine at its edges: scans of more than a cursor collects at once,
 * failures in the middle of them, key groups of many segments, views that
 * outlive compaction, batches of cold and large values, updates.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

/* ---- scans --------------------------------------------------------------- */

/* More records in memory than a cursor collects at once. */
static void
test_scan_large(void)
{
  enum { N = 45000 };
  sb_keyed *k;
  uint32_t values, map;
  sb_key key;
  unsigned i;
  uint8_t *seen = calloc(N, 1), missing = 0;
  sb_cursor *c;
  sb_row row;

  open_backend("64mb", 1);
  k = open_all();
  values = add_state(k, "values", SB_STATE_VALUE);
  map = add_state(k, "map", SB_STATE_MAP);
  for (i = 0; i < N; i++) {
    char sub[16];

    key = make_key(values, i);
    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
    snprintf(sub, sizeof sub, "%08u", (i * 7919u) % N);
    key = key_of(map, "k", 1);
    key.subkey = text(sub);
    check_ok(k->ops->put(k, &key, text("v"), 0, &err));
  }
  CU_ASSERT_EQUAL(count_rows(k, values, 0, NULL), N);
  key = key_of(map, "k", 1);
  c = open_scan(k, map, 0, &key);
  while (k->ops->scan_next(k, c, &row, &err) == SB_OK) {
    char sub[16];

    memcpy(sub, row.subkey.data, 8);
    sub[8] = '\0';
    seen[atoi(sub)]++;
  }
  k->ops->scan_close(k, c);
  for (i = 0; i < N; i++)
    missing |= seen[i] != 1;
  CU_ASSERT_EQUAL(missing, 0);
  free(seen);
  k->ops->close(k);
  close_backend();
}

/* A read fails in the middle of a scan; the next call goes on. */
static void
test_scan_retry(void)
{
  enum { N = 6000 };
  sb_keyed *k;
  uint32_t state;
  sb_cursor *c;
  sb_status status;
  sb_row row;
  char value[400];
  unsigned i, n = 0, failures = 0;

  begin_backend("4mb", 4);
  set("state.backend.filters", "fault");
  set("state.backend.filter.fault.operations", "get");
  set("state.backend.filter.fault.rate", "0.5");
  set("state.backend.filter.fault.seed", "7");
  set("state.backend.filter.fault.trigger", trigger);
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    sb_key key = make_key(state, i);

    fill_random(value, sizeof value);
    check_ok(k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0, &err));
  }
  checkpoint(1, &k, 1);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  c = open_scan(k, state, 0, NULL);
  set_trigger(1);
  for (;;) {
    status = k->ops->scan_next(k, c, &row, &err);
    if (status == SB_OK) {
      n++;
    } else if (sb_status_retryable(status) && failures < 10000) {
      failures++;
    } else {
      break;
    }
  }
  set_trigger(0);
  CU_ASSERT_EQUAL(status, SB_END);
  CU_ASSERT(failures > 0);
  tap_note("%u rows, %u failures", n, failures);
  CU_ASSERT_EQUAL(n, N);
  k->ops->scan_close(k, c);
  k->ops->close(k);
  close_backend();
}

static void
test_scan_update_limits(void)
{
  size_t size = 2u << 20;
  char *large = calloc(1, size);
  sb_keyed *k;
  uint32_t state, list;
  sb_cursor *c;
  sb_key key;
  sb_row row;

  open_backend("4mb", 4);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  list = add_state(k, "list", SB_STATE_LIST);
  key = make_key(state, 1);
  check_ok(k->ops->put(k, &key, text("small"), 0, &err));
  key = make_key(list, 1);
  check_ok(k->ops->append(k, &key, text("small"), 0, &err));
  CU_ASSERT_EQUAL(k->ops->append(k, &key, sb_slice_of(large, size), 0, &err),
                  SB_TOO_LARGE);
  c = open_scan(k, state, 0, NULL);
  check_ok(k->ops->scan_next(k, c, &row, &err));
  CU_ASSERT_EQUAL(k->ops->scan_update(k, c, sb_slice_of(large, size), 0,
                                      &err), SB_TOO_LARGE);
  k->ops->scan_close(k, c);
  c = open_scan(k, list, 0, NULL);
  check_ok(k->ops->scan_next(k, c, &row, &err));
  CU_ASSERT_EQUAL(k->ops->scan_update(k, c, sb_slice_of(large, size), 0,
                                      &err), SB_TOO_LARGE);
  k->ops->scan_close(k, c);
  k->ops->close(k);
  close_backend();
  free(large);
}

/* ---- compaction ---------------------------------------------------------- */

/* One key group that is many segments large: compaction must come to rest, and
   writing must not wait for it for ever. */
static void
test_compaction_rests(void)
{
  enum { N = 14000 };
  sb_keyed *k;
  sb_keyed_stats before, after;
  uint32_t state;
  char value[1000];
  unsigned i;
  double end;
  sb_status status = SB_OK;

  begin_backend("4mb", 1);
  set("state.backend.compaction.runs", "2");
  set("state.backend.segment.size", "1mb");
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  watch(k, 20);
  for (i = 0; i < N && status == SB_OK; i++) {
    sb_key key = make_key(state, i);

    fill_random(value, sizeof value);
    status = k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0, &err);
  }
  unwatch();
  CU_ASSERT_EQUAL(watch_fired, 0);
  tap_note("%u of %u records written", i, (unsigned)N);
  end = seconds() + 8;
  do {
    k->ops->stats(k, &before);
    pause_ms(1500);
    k->ops->stats(k, &after);
  } while (before.compacted_bytes != after.compacted_bytes &&
           seconds() < end);
  CU_ASSERT_EQUAL(before.compacted_bytes, after.compacted_bytes);
  tap_note("%llu compactions of %llu bytes, %llu segments",
           (unsigned long long)after.compactions,
           (unsigned long long)after.compacted_bytes,
           (unsigned long long)after.segments);
  k->ops->close(k);
  close_backend();
}

/* What a view reads stays while later checkpoints drop it. */
static void
test_view_outlives_compaction(void)
{
  enum { N = 3000 };
  static char first[N][600];
  sb_keyed *k;
  sb_keyed_stats stats;
  sb_view *view;
  uint32_t state;
  uint64_t id = 0;
  char value[600];
  unsigned i, round, wrong = 0;
  double end;

  begin_backend("4mb", 1);
  set("state.backend.compaction.runs", "2");
  finish_backend();
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    sb_key key = make_key(state, i);

    fill_random(first[i], sizeof first[i]);
    check_ok(k->ops->put(k, &key, sb_slice_of(first[i], sizeof first[i]), 0,
                         &err));
  }
  check_ok(k->ops->view_open(k, &view, &err));
  checkpoint(++id, &k, 1); /* writes the view's records */
  for (round = 0; round < 6; round++) {
    for (i = 0; i < N; i++) {
      sb_key key = make_key(state, i);

      fill_random(value, sizeof value);
      check_ok(k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0,
                           &err));
    }
    checkpoint(++id, &k, 1);
    end = seconds() + 0.5;
    do {
      pause_ms(10);
      k->ops->stats(k, &stats);
    } while (stats.segments > 1 && seconds() < end);
  }
  CU_ASSERT(stats.compactions > 0);
  for (i = 0; i < N; i++) {
    sb_key key = make_key(state, i);
    size_t size = 0;
    sb_status status = k->ops->view_get(view, &key, value, sizeof value, &size,
                                        &err);

    if (status != SB_OK && wrong == 0)
      tap_note("%s: %s", sb_status_name(status), err.message);
    wrong += status != SB_OK || size != sizeof value ||
             memcmp(value, first[i], size) != 0;
  }
  CU_ASSERT_EQUAL(wrong, 0);
  k->ops->view_close(view);
  k->ops->close(k);
  close_backend();
}

/* ---- batches ------------------------------------------------------------- */

static sb_status
run_one(sb_keyed *k, sb_op *op, double limit)
{
  sb_op *done = NULL;
  size_t n = 0;
  const sb_host *host = sb_host_default();
  uint64_t deadline = host->monotonic_ns(host) + (uint64_t)(limit * 1e9);

  if (!check_ok(k->ops->submit(k, &op, 1, &err)))
    return SB_INVALID;
  while (n == 0 && host->monotonic_ns(host) < deadline)
    if (!check_ok(k->ops->poll(k, &done, 1, &n, deadline, &err)))
      return SB_INVALID;
  return n == 0 ? SB_TIMEOUT : op->status;
}

/* Values that are larger than what the block cache may hold just then. */
static void
test_batch_large_value(void)
{
  enum { SIZE = 1000000, N = 5000 };
  sb_keyed *k;
  uint32_t state;
  uint8_t *large = malloc(SIZE);
  char value[600];
  sb_op op;
  unsigned i;
  sb_key key;
  sb_slice got;
  sb_status status;

  open_backend("4mb", 2);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  fill_random(large, SIZE);
  key = key_of(state, "large", 5);
  check_ok(k->ops->put(k, &key, sb_slice_of(large, SIZE), 0, &err));
  for (i = 0; i < N; i++) {
    key = make_key(state, i);
    fill_random(value, sizeof value);
    check_ok(k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0, &err));
  }
  checkpoint(1, &k, 1);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < N; i++) {
    key = make_key(state, i);
    check_ok(k->ops->get(k, &key, &got, &err));
  }
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  op.kind = SB_OP_GET;
  op.key = key_of(state, "large", 5);
  watch(k, 10);
  status = run_one(k, &op, 3);
  CU_ASSERT_EQUAL(status, SB_OK);
  CU_ASSERT(status == SB_OK && same(op.result, large, SIZE));
  unwatch();
  k->ops->close(k);
  close_backend();
  free(large);
}

/* Reads, writes and updates of cold keys in one batch, each key in order, and a
   handle closed with others pending. */
static void
test_batch_order(void)
{
  enum { KEYS = 400, EACH = 5 };
  static sb_op ops[KEYS * EACH];
  static char keys[KEYS][32];
  sb_op *all[KEYS * EACH], *done[64];
  sb_keyed *k;
  uint32_t state;
  unsigned i, j, calls = 0, wrong = 0;
  uint64_t one = 100;
  size_t out = 0, n;

  open_backend("4mb", 4);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (i = 0; i < KEYS; i++) {
    sb_key key = make_key(state, i);

    check_ok(k->ops->put(k, &key, sb_slice_of(&one, sizeof one), 0, &err));
  }
  checkpoint(1, &k, 1);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  memset(ops, 0, sizeof ops);
  for (i = 0; i < KEYS; i++)
    for (j = 0; j < EACH; j++) {
      static const uint32_t kinds[EACH] = {
        SB_OP_PREFETCH, SB_OP_UPDATE, SB_OP_UPDATE, SB_OP_GET, SB_OP_REMOVE };
      sb_op *op = &ops[i * EACH + j];

      op->struct_size = sizeof *op;
      op->kind = kinds[j];
      op->key = make_key(state, i);
      strcpy(keys[i], key_text);
      op->key.key.data = keys[i];
      op->update = add_one;
      op->update_arg = &calls;
      all[i * EACH + j] = op;
    }
  check_ok(k->ops->submit(k, all, KEYS * EACH, &err));
  while (out < KEYS * EACH) {
    if (!check_ok(k->ops->poll(k, done, 64, &n, SB_NO_DEADLINE, &err)))
      break;
    for (i = 0; i < n; i++)
      if (done[i]->kind == SB_OP_GET) {
        uint64_t v = 0;

        if (done[i]->status == SB_OK)
          memcpy(&v, done[i]->result.data, sizeof v);
        wrong += v != 102;
      }
    out += n;
  }
  CU_ASSERT_EQUAL(calls, 2 * KEYS);
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT_EQUAL(count_rows(k, state, 0, NULL), 0);
  k = reopen(k, 0);
  state = add_state(k, "values", SB_STATE_VALUE);
  check_ok(k->ops->submit(k, all, KEYS * EACH, &err));
  k->ops->close(k);
  close_backend();
}

/* ---- updates ------------------------------------------------------------- */

/* What the callback is to do: a part of the value it sees, or `put`. */
typedef struct edge_change {
  uint32_t action;
  size_t from, len;
  const char *put;
  uint64_t expires_ms;
  sb_status status;
} edge_change;

static sb_status
edge_apply(void *arg, sb_update *u)
{
  const edge_change *e = arg;

  u->action = e->action;
  u->replacement = e->put != NULL
                     ? text(e->put)
                     : sb_slice_of((char *)u->data + e->from, e->len);
  if (e->action == SB_UPDATE_IN_PLACE)
    ((char *)u->data)[0] = 'X';
  u->expires_ms = e->expires_ms;
  return e->status;
}

/* Longer, shorter and as long as it was, parts of itself, with and without a
   time, of this epoch and of one that was frozen. */
static void
test_update_replaces(void)
{
  static const struct {
    edge_change change;
    const char *then;
  } steps[] = {
    { { SB_UPDATE_PUT, 0, 0, "12345678", 0, SB_OK }, "12345678" },
    { { SB_UPDATE_PUT, 0, 0, "abcdefgh", 0, SB_OK }, "abcdefgh" },
    { { SB_UPDATE_PUT, 2, 4, NULL, 0, SB_OK }, "cdef" },
    { { SB_UPDATE_IN_PLACE, 0, 0, NULL, 0, SB_OK }, "Xdef" },
    { { SB_UPDATE_KEEP, 0, 0, NULL, 0, SB_OK }, "Xdef" },
    { { SB_UPDATE_PUT, 1, 3, NULL, UINT64_MAX, SB_OK }, "def" },
    { { SB_UPDATE_IN_PLACE, 0, 0, NULL, UINT64_MAX, SB_OK }, "Xef" },
    { { SB_UPDATE_IN_PLACE, 0, 0, NULL, 0, SB_OK }, "Xef" },
    { { SB_UPDATE_PUT, 0, 0, "a longer one than before", 0, SB_OK },
      "a longer one than before" },
    { { SB_UPDATE_PUT, 0, 0, "not this one", 0, SB_IO },
      "a longer one than before" },
    { { 77, 0, 0, "nor this", 0, SB_OK }, "a longer one than before" },
  };
  sb_keyed *k;
  uint32_t state, round;
  size_t i;

  open_backend("16mb", 1);
  k = open_all();
  state = add_state(k, "values", SB_STATE_VALUE);
  for (round = 0; round < 2; round++)
    for (i = 0; i < TAP_COUNT(steps); i++) {
      edge_change change = steps[i].change;
      sb_key key = key_of(state, "k", 1);
      sb_view *view = NULL;
      sb_status status;
      sb_slice value;

      if (round == 1)
        check_ok(k->ops->view_open(k, &view, &err));
      status = k->ops->update(k, &key, edge_apply, &change, &err);
      if (change.status != SB_OK)
        CU_ASSERT_EQUAL(status, change.status);
      CU_ASSERT_EQUAL(status == SB_OK,
                      change.status == SB_OK && change.action != 77);
      check_ok(k->ops->get(k, &key, &value, &err));
      CU_ASSERT_EQUAL(value.len, strlen(steps[i].then));
      if (value.len == strlen(steps[i].then))
        CU_ASSERT_EQUAL(memcmp(value.data, steps[i].then, value.len), 0);
      if (view != NULL)
        k->ops->view_close(view);
    }
  k->ops->close(k);
  close_backend();
}

/* Whatever it is told, a hint changes nothing. */
static void
test_prefetch(void)
{
  static const uint32_t kinds[] = { SB_STATE_VALUE, SB_STATE_LIST,
                                    SB_STATE_MAP, SB_STATE_TIMER };
  static const uint8_t zeros[SB_KEY_MAX];
  sb_keyed *k;
  sb_key key;
  size_t i;

  open_backend("16mb", 1);
  k = open_all();
  for (i = 0; i < TAP_COUNT(kinds); i++) {
    char name[2] = { (char)('a' + i), '\0' };

    key = key_of(add_state(k, name, kinds[i]), "k", 1);
    k->ops->prefetch(k, &key);
    key.ns = text("space");
    k->ops->prefetch(k, &key);
    key.key = sb_slice_of(zeros, sizeof zeros);
    k->ops->prefetch(k, &key);
    key.key_group = UINT32_MAX;
    k->ops->prefetch(k, &key);
    CU_ASSERT_EQUAL(count_rows(k, key.state, 0, NULL), 0);
  }
  key.key_group = 0;
  key.state = UINT32_MAX;
  k->ops->prefetch(k, &key);
  k->ops->close(k);
  close_backend();
}

static const tap_case cases[] = {
  { "scans of very many records in memory", test_scan_large },
  { "scans go on after a failed read", test_scan_retry },
  { "limits of updates through cursors", test_scan_update_limits },
  { "compaction comes to rest", test_compaction_rests },
  { "views outlive compaction", test_view_outlives_compaction },
  { "a cold large value in a batch", test_batch_large_value },
  { "order within a batch", test_batch_order },
  { "updates that replace a value", test_update_replaces },
  { "hints change nothing", test_prefetch },
};

int
main(int argc, char **argv)
{
  return run_suite(argc, argv, "edge", cases, TAP_COUNT(cases));
}
