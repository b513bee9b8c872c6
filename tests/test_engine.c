/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine over the `local` plugin: each state kind, memory pressure,
 * snapshots, restore, rescale, batches and views, against plain arrays. The
 * random and faulty cases are in the simulator.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/statebackend.h>

#include "tap.h"

#define GROUPS 16u
#define KEYS 20000u

static char directory[64];
static sb_config *config;
static sb_backend *backend;
static sb_job *job;
static sb_error err;

static int
check_ok(sb_status status)
{
  CU_ASSERT_EQUAL(status, SB_OK);
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  return status == SB_OK;
}

static void
open_backend(const char *memory)
{
  static const char *none[] = { NULL };
  sb_takeover_options take;

  (void)none;
  strcpy(directory, "/tmp/sb-engine-XXXXXX");
  CU_ASSERT_FATAL(mkdtemp(directory) != NULL);
  check_ok(sb_config_new(&config, &err));
  check_ok(sb_config_set(config, "state.backend", "local", NULL, &err));
  check_ok(sb_config_set(config, "state.backend.local.dir", directory, NULL,
                         &err));
  check_ok(sb_config_set(config, "state.backend.local.sync", "false", NULL,
                         &err));
  check_ok(sb_config_set(config, "state.backend.memory.size", memory, NULL,
                         &err));
  check_ok(sb_config_set(config, "state.backend.compaction.runs", "3", NULL,
                         &err));
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
close_backend(void)
{
  char command[128];

  backend->ops->job_close(job);
  sb_backend_close(backend);
  sb_config_free(config);
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CU_ASSERT_EQUAL(system(command), 0);
}

static sb_keyed *
open_keyed(uint32_t first, uint32_t last, const sb_checkpoint *from)
{
  sb_keyed_options o;
  sb_keyed *k = NULL;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.job = "";
  o.operator_id = "";
  o.key_group_count = GROUPS;
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

static uint32_t
add_state(sb_keyed *k, const char *name, uint32_t kind)
{
  sb_state_options o;
  sb_state_info info;

  memset(&o, 0, sizeof o);
  memset(&info, 0, sizeof info);
  o.struct_size = sizeof o;
  o.kind = kind;
  o.name = sb_slice_of(name, strlen(name));
  check_ok(k->ops->register_state(k, &o, &info, &err));
  return info.id;
}

static char key_text[32];

static sb_key
make_key(uint32_t state, unsigned i)
{
  sb_key key;
  int len = snprintf(key_text, sizeof key_text, "key-%u", i);

  memset(&key, 0, sizeof key);
  key.state = state;
  key.key = sb_slice_of(key_text, (size_t)len);
  key.key_group = sb_key_group(sb_hash_bytes(key.key), GROUPS);
  return key;
}

static int
in_range(const sb_key *key, uint32_t first, uint32_t last)
{
  return key->key_group >= first && key->key_group <= last;
}

/* Commits one checkpoint of the handles. */
static void
checkpoint(uint64_t id, sb_keyed **handles, size_t count)
{
  sb_snapshot *snapshots[4];
  sb_part parts[4];
  sb_snapshot_options so;
  sb_commit_options co;
  size_t i;

  memset(&so, 0, sizeof so);
  so.struct_size = sizeof so;
  so.kind = SB_SNAPSHOT_CHECKPOINT;
  so.checkpoint_id = id;
  for (i = 0; i < count; i++) {
    const sb_part *part;

    check_ok(handles[i]->ops->snapshot_begin(handles[i], &so, &snapshots[i],
                                             &err));
    if (!check_ok(handles[i]->ops->snapshot_run(handles[i], snapshots[i],
                                                &part, &err)))
      exit(1);
    parts[i] = *part;
    parts[i].subtask = (uint32_t)i;
  }
  memset(&co, 0, sizeof co);
  co.struct_size = sizeof co;
  co.id = id;
  co.parts = parts;
  co.part_count = count;
  co.blob = sb_slice_of("blob", 4);
  check_ok(backend->ops->commit(job, &co, &err));
  for (i = 0; i < count; i++) {
    handles[i]->ops->snapshot_free(handles[i], snapshots[i]);
    check_ok(handles[i]->ops->notify(handles[i], SB_NOTIFY_COMPLETE, id,
                                     &err));
  }
}

static sb_checkpoint *
newest(void)
{
  sb_checkpoint *c = NULL;

  if (!check_ok(backend->ops->checkpoint_open(backend, "", 0, 0, &c, &err)))
    exit(1);
  return c;
}

static unsigned model[KEYS];

static void
put_round(sb_keyed *k, uint32_t state, unsigned round)
{
  char value[128];
  unsigned i;

  for (i = round % 3; i < KEYS; i += 1 + round % 4) {
    sb_key key = make_key(state, i);
    int len = snprintf(value, sizeof value, "%u-%u-%060d", i, round, 7);

    if (!check_ok(k->ops->put(k, &key, sb_slice_of(value, (size_t)len),
                              0, &err)))
      return;
    model[i] = round;
  }
}

static void
compare_all(sb_keyed *k, uint32_t state, uint32_t first, uint32_t last)
{
  char value[128];
  unsigned i, wrong = 0;

  for (i = 0; i < KEYS; i++) {
    sb_key key = make_key(state, i);
    sb_slice got;
    sb_status status;
    int len = snprintf(value, sizeof value, "%u-%u-%060d", i, model[i], 7);

    if (!in_range(&key, first, last))
      continue;
    status = k->ops->get(k, &key, &got, &err);
    if (model[i] == 0)
      wrong += status != SB_NOT_FOUND;
    else
      wrong += status != SB_OK || got.len != (size_t)len ||
               memcmp(got.data, value, got.len) != 0;
    if (status != SB_OK && status != SB_NOT_FOUND && wrong < 4)
      tap_note("%s", err.message);
  }
  CU_ASSERT_EQUAL(wrong, 0);
}

static unsigned
count_scan(sb_keyed *k, uint32_t state)
{
  sb_scan_options o;
  sb_cursor *c;
  sb_row row;
  unsigned n = 0;
  sb_status status;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.state = state;
  o.key_group_last = GROUPS - 1;
  check_ok(k->ops->scan_open(k, &o, &c, &err));
  while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK)
    n++;
  CU_ASSERT_EQUAL(status, SB_END);
  k->ops->scan_close(k, c);
  return n;
}

static void
test_pressure(void)
{
  sb_keyed *k, *half[2];
  sb_keyed_stats stats;
  sb_checkpoint *from;
  uint32_t state;
  unsigned round, present = 0, i;

  open_backend("4mb");
  memset(model, 0, sizeof model);
  k = open_keyed(0, GROUPS - 1, NULL);
  state = add_state(k, "values", SB_STATE_VALUE);
  for (round = 1; round <= 12; round++) {
    put_round(k, state, round);
    if (round % 3 == 0)
      checkpoint(round, &k, 1);
    compare_all(k, state, 0, GROUPS - 1);
  }
  for (i = 0; i < KEYS; i++)
    present += model[i] != 0;
  CU_ASSERT_EQUAL(count_scan(k, state), present);
  k->ops->stats(k, &stats);
  tap_note("early=%llu evicted=%llu compactions=%llu cold=%llu segments=%llu",
           (unsigned long long)stats.early_flushes,
           (unsigned long long)stats.evicted_bytes,
           (unsigned long long)stats.compactions,
           (unsigned long long)stats.cold_reads,
           (unsigned long long)stats.segments);
  CU_ASSERT(stats.early_flushes > 0 && stats.evicted_bytes > 0);
  CU_ASSERT(stats.compactions > 0 && stats.cold_reads > 0);
  k->ops->close(k);

  from = newest();
  CU_ASSERT_EQUAL(from->info.id, 12);
  half[0] = open_keyed(0, 6, from);
  half[1] = open_keyed(7, GROUPS - 1, from);
  backend->ops->checkpoint_close(backend, from);
  compare_all(half[0], add_state(half[0], "values", SB_STATE_VALUE), 0, 6);
  compare_all(half[1], add_state(half[1], "values", SB_STATE_VALUE), 7,
              GROUPS - 1);
  checkpoint(13, half, 2);
  half[0]->ops->close(half[0]);
  half[1]->ops->close(half[1]);
  from = newest();
  k = open_keyed(0, GROUPS - 1, from);
  backend->ops->checkpoint_close(backend, from);
  compare_all(k, add_state(k, "values", SB_STATE_VALUE), 0, GROUPS - 1);
  k->ops->close(k);
  close_backend();
}

static void
test_lists_and_maps(void)
{
  sb_keyed *k;
  uint32_t list, map;
  sb_slice got;
  unsigned round, i;
  uint64_t id = 0;
  char text[32];

  open_backend("4mb");
  k = open_keyed(0, GROUPS - 1, NULL);
  list = add_state(k, "list", SB_STATE_LIST);
  map = add_state(k, "map", SB_STATE_MAP);
  for (round = 0; round < 50; round++) {
    for (i = 0; i < 200; i++) {
      sb_key key = make_key(list, i);
      int len = snprintf(text, sizeof text, "%u/%u", i, round);

      if (round == 30 && i % 2 == 0)
        check_ok(k->ops->clear(k, &key, &err));
      check_ok(k->ops->append(k, &key, sb_slice_of(text, (size_t)len), 0,
                              &err));
      key = make_key(map, i);
      if (round == 30 && i % 2 == 0)
        check_ok(k->ops->clear(k, &key, &err));
      key.subkey = sb_slice_of(text, (size_t)len);
      check_ok(k->ops->put(k, &key, sb_slice_of("v", 1), 0, &err));
    }
    if (round % 10 == 9)
      checkpoint(++id, &k, 1);
  }
  for (i = 0; i < 200; i++) {
    sb_key key = make_key(list, i);
    unsigned n = 0, from = i % 2 == 0 ? 30 : 0;
    const uint8_t *p;

    if (!check_ok(k->ops->get(k, &key, &got, &err)))
      continue;
    for (p = got.data; p < (const uint8_t *)got.data + got.len; n++) {
      uint32_t len;
      int want = snprintf(text, sizeof text, "%u/%u", i, from + n);

      memcpy(&len, p, 4);
      if (len != (uint32_t)want || memcmp(p + 4, text, len) != 0) {
        CU_FAIL("wrong element");
        break;
      }
      p += 4 + len;
    }
    CU_ASSERT_EQUAL(n, 50 - from);
  }
  CU_ASSERT_EQUAL(count_scan(k, list), 100 * 50 + 100 * 20);
  CU_ASSERT_EQUAL(count_scan(k, map), 100 * 50 + 100 * 20);
  k->ops->close(k);
  close_backend();
}

static void
test_batches(void)
{
  enum { N = 1000 };
  sb_keyed *k;
  sb_checkpoint *from;
  sb_op *ops, **all;
  char (*keys)[32], value[128];
  uint32_t state;
  size_t done = 0, i, wrong = 0;

  open_backend("16mb");
  memset(model, 0, sizeof model);
  k = open_keyed(0, GROUPS - 1, NULL);
  state = add_state(k, "values", SB_STATE_VALUE);
  put_round(k, state, 4);
  checkpoint(1, &k, 1);
  k->ops->close(k);
  from = newest();
  k = open_keyed(0, GROUPS - 1, from);
  backend->ops->checkpoint_close(backend, from);
  state = add_state(k, "values", SB_STATE_VALUE);
  ops = calloc(N, sizeof *ops);
  all = calloc(N, sizeof *all);
  keys = calloc(N, sizeof *keys);
  for (i = 0; i < N; i++) {
    ops[i].struct_size = sizeof *ops;
    ops[i].kind = SB_OP_GET;
    ops[i].key = make_key(state, (unsigned)(i * 17 % KEYS));
    strcpy(keys[i], key_text);
    ops[i].key.key.data = keys[i];
    all[i] = &ops[i];
  }
  check_ok(k->ops->submit(k, all, N, &err));
  while (done < N) {
    sb_op *out[64];
    size_t n;

    if (!check_ok(k->ops->poll(k, out, 64, &n, SB_NO_DEADLINE, &err)))
      break;
    for (i = 0; i < n; i++) {
      unsigned at = (unsigned)((size_t)(out[i] - ops) * 17 % KEYS);
      int len = snprintf(value, sizeof value, "%u-%u-%060d", at, model[at], 7);

      if (model[at] == 0)
        wrong += out[i]->status != SB_NOT_FOUND;
      else
        wrong += out[i]->status != SB_OK ||
                 out[i]->result.len != (size_t)len ||
                 memcmp(out[i]->result.data, value, (size_t)len) != 0;
    }
    done += n;
  }
  CU_ASSERT_EQUAL(done, N);
  CU_ASSERT_EQUAL(wrong, 0);
  free(ops);
  free(all);
  free(keys);
  k->ops->close(k);
  close_backend();
}

static void
test_view(void)
{
  sb_keyed *k;
  sb_view *view;
  uint32_t state;
  sb_key key;
  char buffer[16];
  size_t size = 0;

  open_backend("16mb");
  k = open_keyed(0, GROUPS - 1, NULL);
  state = add_state(k, "values", SB_STATE_VALUE);
  key = make_key(state, 1);
  check_ok(k->ops->put(k, &key, sb_slice_of("old", 3), 0, &err));
  check_ok(k->ops->view_open(k, &view, &err));
  check_ok(k->ops->put(k, &key, sb_slice_of("newer", 5), 0, &err));
  check_ok(k->ops->view_get(view, &key, buffer, sizeof buffer, &size, &err));
  CU_ASSERT(size == 3 && memcmp(buffer, "old", 3) == 0);
  key = make_key(state, 2);
  CU_ASSERT_EQUAL(k->ops->view_get(view, &key, buffer, sizeof buffer, &size,
                                   &err), SB_NOT_FOUND);
  k->ops->view_close(view);
  k->ops->close(k);
  close_backend();
}

static const tap_case cases[] = {
  { "memory pressure, checkpoints, rescale", test_pressure },
  { "lists and maps", test_lists_and_maps },
  { "batches of cold reads", test_batches },
  { "views", test_view },
};

int
main(int argc, char **argv)
{
  const tap_suite suites[] = { { "engine", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
