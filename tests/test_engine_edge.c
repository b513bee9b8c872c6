/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine at its edges, over the `local` plugin with filters: limits of
 * sizes and counts, state larger than memory in one key group, failures in the
 * middle of scans and flushes, and what outlives a compaction.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <statebackend/statebackend.h>

#include "tap.h"

static char directory[64], trigger[80];
static sb_config *config;
static sb_backend *backend;
static sb_job *job;
static sb_error err;
static uint32_t groups = 16;
static uint64_t random_state = 88172645463325252ull;

static int
check_ok(sb_status status)
{
  CU_ASSERT_EQUAL(status, SB_OK);
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  return status == SB_OK;
}

static uint64_t
next_random(void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static void
fill_random(void *to, size_t len)
{
  uint8_t *p = to;
  size_t i;

  for (i = 0; i < len; i++)
    p[i] = (uint8_t)(next_random() >> 24);
}

static double
seconds(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
pause_ms(long ms)
{
  struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

  nanosleep(&t, NULL);
}

/* ---- a backend, handles, keys -------------------------------------------- */

static void
set(const char *key, const char *value)
{
  check_ok(sb_config_set(config, key, value, NULL, &err));
}

static void
begin_backend(const char *memory, uint32_t group_count)
{
  groups = group_count;
  strcpy(directory, "/tmp/sb-edge-XXXXXX");
  CU_ASSERT_FATAL(mkdtemp(directory) != NULL);
  snprintf(trigger, sizeof trigger, "%s.trigger", directory);
  check_ok(sb_config_new(&config, &err));
  set("state.backend", "local");
  set("state.backend.local.dir", directory);
  set("state.backend.local.sync", "false");
  set("state.backend.memory.size", memory);
}

static void
finish_backend(void)
{
  sb_takeover_options take;

  if (!check_ok(sb_backend_open(config, NULL, &backend, &err)))
    exit(1);
  memset(&take, 0, sizeof take);
  take.struct_size = sizeof take;
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
}

static void
open_backend(const char *memory, uint32_t group_count)
{
  begin_backend(memory, group_count);
  finish_backend();
}

static void
close_backend(void)
{
  char command[192];

  backend->ops->job_close(job);
  sb_backend_close(backend);
  sb_config_free(config);
  snprintf(command, sizeof command, "rm -rf %s %s", directory, trigger);
  CU_ASSERT_EQUAL(system(command), 0);
}

static sb_keyed *
open_range(uint32_t first, uint32_t last, const sb_checkpoint *from,
           uint32_t flags)
{
  sb_keyed_options o;
  sb_keyed *k = NULL;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.flags = flags;
  o.job = "";
  o.operator_id = "";
  o.key_group_count = groups;
  o.key_group_first = first;
  o.key_group_last = last;
  o.generation = backend->ops->job_generation(job);
  if (from != NULL) {
    o.parts = from->parts;
    o.part_count = from->info.part_count;
  }
  if (!check_ok(sb_backend_keyed(backend, &o, &k, &err)))
    exit(1);
  return k;
}

static sb_keyed *
open_all(void)
{
  return open_range(0, groups - 1, NULL, 0);
}

static uint32_t
add_state_with(sb_keyed *k, const char *name, uint32_t kind, const char *blob,
               sb_state_info *info)
{
  sb_state_options o;

  memset(&o, 0, sizeof o);
  memset(info, 0, sizeof *info);
  o.struct_size = sizeof o;
  o.kind = kind;
  o.name = sb_slice_of(name, strlen(name));
  o.blob = sb_slice_of(blob, strlen(blob));
  check_ok(k->ops->register_state(k, &o, info, &err));
  return info->id;
}

static uint32_t
add_state(sb_keyed *k, const char *name, uint32_t kind)
{
  sb_state_info info;

  return add_state_with(k, name, kind, "", &info);
}

static sb_key
key_of(uint32_t state, const void *data, size_t len)
{
  sb_key key;

  memset(&key, 0, sizeof key);
  key.state = state;
  key.key = sb_slice_of(data, len);
  key.key_group = sb_key_group(sb_hash_bytes(key.key), groups);
  return key;
}

static char key_text[32];

static sb_key
make_key(uint32_t state, unsigned i)
{
  int len = snprintf(key_text, sizeof key_text, "key-%u", i);

  return key_of(state, key_text, (size_t)len);
}

static sb_slice
text(const char *s)
{
  return sb_slice_of(s, strlen(s));
}

static int
same(sb_slice a, const void *data, size_t len)
{
  return a.len == len && (len == 0 || memcmp(a.data, data, len) == 0);
}

static sb_snapshot *
begin_snapshot(sb_keyed *k, uint64_t id)
{
  sb_snapshot_options so;
  sb_snapshot *s = NULL;

  memset(&so, 0, sizeof so);
  so.struct_size = sizeof so;
  so.kind = SB_SNAPSHOT_CHECKPOINT;
  so.checkpoint_id = id;
  check_ok(k->ops->snapshot_begin(k, &so, &s, &err));
  return s;
}

static void
commit_snapshots(sb_keyed **handles, sb_snapshot **snapshots, size_t count,
                 uint64_t id)
{
  sb_commit_options co;
  sb_part parts[4];
  size_t i;

  for (i = 0; i < count; i++) {
    const sb_part *part;

    if (!check_ok(handles[i]->ops->snapshot_run(handles[i], snapshots[i],
                                                &part, &err)))
      return;
    parts[i] = *part;
    parts[i].subtask = (uint32_t)i;
  }
  memset(&co, 0, sizeof co);
  co.struct_size = sizeof co;
  co.id = id;
  co.parts = parts;
  co.part_count = count;
  check_ok(backend->ops->commit(job, &co, &err));
  for (i = 0; i < count; i++) {
    handles[i]->ops->snapshot_free(handles[i], snapshots[i]);
    check_ok(handles[i]->ops->notify(handles[i], SB_NOTIFY_COMPLETE, id,
                                     &err));
  }
}

static void
checkpoint(uint64_t id, sb_keyed **handles, size_t count)
{
  sb_snapshot *snapshots[4];
  size_t i;

  for (i = 0; i < count; i++)
    snapshots[i] = begin_snapshot(handles[i], id);
  commit_snapshots(handles, snapshots, count, id);
}

static sb_checkpoint *
newest(void)
{
  sb_checkpoint *c = NULL;

  if (!check_ok(backend->ops->checkpoint_open(backend, "", 0, 0, &c, &err)))
    exit(1);
  return c;
}

/* Closes the handle and opens one on the newest checkpoint. */
static sb_keyed *
reopen(sb_keyed *k, uint32_t flags)
{
  sb_checkpoint *from;

  k->ops->close(k);
  from = newest();
  k = open_range(0, groups - 1, from, flags);
  backend->ops->checkpoint_close(backend, from);
  return k;
}

static sb_cursor *
open_scan(sb_keyed *k, uint32_t state, uint32_t flags, const sb_key *only)
{
  sb_scan_options o;
  sb_cursor *c = NULL;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = state;
  o.flags = flags;
  o.key_group_last = groups - 1;
  if (only != NULL) {
    o.has_ns = o.has_key = 1;
    o.ns = only->ns;
    o.key = only->key;
    o.key_group_first = o.key_group_last = only->key_group;
  }
  check_ok(k->ops->scan_open(k, &o, &c, &err));
  return c;
}

static unsigned
count_rows(sb_keyed *k, uint32_t state, uint32_t flags, const sb_key *only)
{
  sb_cursor *c = open_scan(k, state, flags, only);
  sb_status status;
  unsigned n = 0;
  sb_row row;

  while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK)
    n++;
  CU_ASSERT_EQUAL(status, SB_END);
  if (status != SB_END)
    tap_note("%s", err.message);
  k->ops->scan_close(k, c);
  return n;
}

/* Interrupts the handle when a case hangs. */
static sb_keyed *watched;
static double watch_until;
static pthread_t watcher;
static volatile int watch_over, watch_fired;

static void *
watch_main(void *arg)
{
  (void)arg;
  while (!watch_over && seconds() < watch_until)
    pause_ms(20);
  if (!watch_over) {
    watch_fired = 1;
    watched->ops->interrupt(watched);
  }
  return NULL;
}

static void
watch(sb_keyed *k, double limit)
{
  watched = k;
  watch_until = seconds() + limit;
  watch_over = watch_fired = 0;
  CU_ASSERT_EQUAL(pthread_create(&watcher, NULL, watch_main, NULL), 0);
}

static void
unwatch(void)
{
  watch_over = 1;
  pthread_join(watcher, NULL);
}

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

static void
set_trigger(int on)
{
  if (on) {
    FILE *f = fopen(trigger, "w");

    CU_ASSERT_FATAL(f != NULL);
    fclose(f);
  } else {
    CU_ASSERT_EQUAL(unlink(trigger), 0);
  }
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
    end = seconds() + 2;
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

static sb_status
add_one(void *arg, sb_update *u)
{
  static uint64_t n;

  n = 0;
  if (u->exists)
    memcpy(&n, u->data, sizeof n);
  n++;
  u->action = SB_UPDATE_PUT;
  u->replacement = sb_slice_of(&n, sizeof n);
  (*(unsigned *)arg)++;
  return SB_OK;
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
  double start;
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
    set("state.backend.filter.latency.delay", "1500ms");
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
    start = seconds();
    if (pass == 0)
      CU_ASSERT_EQUAL(k->ops->get(k, &key, &got, &err), SB_CANCELLED);
    if (pass == 1)
      CU_ASSERT_EQUAL(k->ops->scan_next(k, c, &row, &err), SB_CANCELLED);
    tap_note("pass %u came back after %.2f s", pass, seconds() - start);
    CU_ASSERT(seconds() - start < 1.2);
    pthread_join(thread, NULL);
    k->ops->scan_close(k, c);
    k->ops->close(k);
    close_backend();
  }
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
  { "scans of very many records in memory", test_scan_large },
  { "scans go on after a failed read", test_scan_retry },
  { "limits of updates through cursors", test_scan_update_limits },
  { "compaction comes to rest", test_compaction_rests },
  { "views outlive compaction", test_view_outlives_compaction },
  { "a cold large value in a batch", test_batch_large_value },
  { "order within a batch", test_batch_order },
  { "longest and empty keys, largest values", test_sizes },
  { "most states", test_many_states },
  { "most key groups", test_many_key_groups },
  { "a new blob for a restored state", test_new_blob },
  { "read-only handles", test_read_only },
  { "lists changed through cursors", test_list_walks },
  { "cancelled predecessor", test_cancelled_predecessor },
  { "failing flushes recover", test_flush_recovers },
  { "interrupted reads", test_interrupt_cursor },
  { "ranges removed under a cursor", test_remove_range },
  { "scan operations without a scan", test_scan_open_nothing },
};

static void
log_line(void *arg, uint32_t level, const char *component, const char *line)
{
  (void)arg;
  (void)level;
  tap_note("%s: %s", component, line);
}

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "edge", cases, TAP_COUNT(cases) } };

  sb_host_set_log(log_line, NULL);
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
