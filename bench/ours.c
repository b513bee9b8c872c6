/* SPDX-License-Identifier: Apache-2.0 */
/* Our side of bench: the local plugin, one subtask with all key groups. */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "bench/bench.h"

static void
ours_set(ours *o, const char *key, const char *value)
{
  sb_error err;

  bench_check(sb_config_set(o->config, key, value, "bench", &err), &err, key);
}

static void
ours_open_keyed(ours *o)
{
  const sb_checkpoint *restored = o->restored;
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .job = "",
    .operator_id = "",
    .key_group_count = BENCH_GROUPS,
    .key_group_last = BENCH_GROUPS - 1,
    .generation = o->backend->ops->job_generation(o->job),
    .parts = restored == NULL ? NULL : restored->parts,
    .part_count = restored == NULL ? 0 : restored->info.part_count,
  };
  sb_state_options state = {
    .struct_size = sizeof state,
    .kind = SB_STATE_VALUE,
    .name = sb_slice_of("totals", 6),
  };
  sb_state_info info = { .struct_size = sizeof info };
  sb_error err;

  bench_check(sb_backend_keyed(o->backend, &options, &o->keyed, &err), &err,
              "opening a keyed handle");
  bench_check(o->keyed->ops->register_state(o->keyed, &state, &info, &err),
              &err, "registering a state");
  o->state = info.id;
}

void
ours_open(ours *o, const char *dir, const char *memory, const char *filters)
{
  sb_takeover_options takeover = {
    .struct_size = sizeof takeover, .job = "", .job_id = "bench", .retain = 1
  };
  sb_checkpoint *checkpoint = NULL;
  sb_error err;
  sb_status status;

  memset(o, 0, sizeof *o);
  o->dir = dir;
  (void)mkdir(dir, 0700);
  bench_check(sb_config_new(&o->config, &err), &err, "making a configuration");
  ours_set(o, "state.backend", "local");
  ours_set(o, "state.backend.local.dir", dir);
  ours_set(o, "state.backend.memory.size", memory);
  if (filters != NULL)
    ours_set(o, "state.backend.filters", filters);
  bench_check(sb_backend_open(o->config, NULL, &o->backend, &err), &err,
              "opening the backend");
  bench_check(o->backend->ops->takeover(o->backend, &takeover, &o->job, &err),
              &err, "taking the job over");
  status = o->backend->ops->checkpoint_open(o->backend, "", 0, 0, &checkpoint,
                                            &err);
  if (status != SB_NOT_FOUND)
    bench_check(status, &err, "opening the newest checkpoint");
  o->restored = checkpoint;
  o->next_checkpoint = checkpoint == NULL ? 1 : checkpoint->info.id + 1;
  ours_open_keyed(o);
}

void
ours_close(ours *o)
{
  o->keyed->ops->close(o->keyed);
  if (o->restored != NULL)
    o->backend->ops->checkpoint_close(o->backend,
                                      (sb_checkpoint *)(uintptr_t)o->restored);
  o->backend->ops->job_close(o->job);
  sb_backend_close(o->backend);
  sb_config_free(o->config);
  memset(o, 0, sizeof *o);
}

sb_key
ours_key(const ours *o, const uint8_t *key)
{
  sb_key k = { .state = o->state, .key_group = bench_key_group(key) };

  k.key = sb_slice_of(key, BENCH_KEY);
  return k;
}

void
ours_put(ours *o, uint64_t id, const uint8_t *value, uint32_t size)
{
  uint8_t bytes[BENCH_KEY];
  sb_error err;
  sb_key key;

  bench_key(id, bytes);
  key = ours_key(o, bytes);
  bench_check(o->keyed->ops->put(o->keyed, &key, sb_slice_of(value, size), 0,
                                 &err), &err, "putting a record");
}

void
ours_fill(ours *o, uint64_t count)
{
  uint8_t value[65536];
  uint64_t id;

  for (id = 0; id < count; id++) {
    bench_value(id, 0, value, bench.value_size);
    ours_put(o, id, value, bench.value_size);
  }
}

static void
ours_commit(ours *o, const sb_part *part, uint64_t id)
{
  sb_commit_options commit = {
    .struct_size = sizeof commit, .id = id, .parts = part, .part_count = 1
  };
  sb_error err;
  sb_status status;

  do
    status = o->backend->ops->commit(o->job, &commit, &err);
  while (status == SB_UNKNOWN);
  bench_check(status, &err, "committing a checkpoint");
  bench_check(o->keyed->ops->notify(o->keyed, SB_NOTIFY_COMPLETE, id, &err),
              &err, "notifying");
}

void
ours_checkpoint(ours *o, ours_times *times)
{
  sb_snapshot_options options = {
    .struct_size = sizeof options,
    .kind = SB_SNAPSHOT_CHECKPOINT,
    .checkpoint_id = o->next_checkpoint++,
  };
  sb_snapshot *snapshot;
  const sb_part *part;
  sb_error err;
  uint64_t start = bench_now_ns(), cpu;
  uint32_t i;

  memset(times, 0, sizeof *times);
  bench_check(o->keyed->ops->snapshot_begin(o->keyed, &options, &snapshot,
                                            &err),
              &err, "beginning a snapshot");
  times->begin_ns = bench_now_ns() - start;
  start = bench_now_ns();
  cpu = bench_cpu_ns();
  bench_check(o->keyed->ops->snapshot_run(o->keyed, snapshot, &part, &err),
              &err, "running a snapshot");
  times->run_ns = bench_now_ns() - start;
  times->run_cpu_ns = bench_cpu_ns() - cpu;
  for (i = 0; i < part->object_count; i++)
    if (part->objects[i].is_new) {
      times->objects_new++;
      times->bytes_new += part->objects[i].size;
    }
  start = bench_now_ns();
  ours_commit(o, part, options.checkpoint_id);
  times->commit_ns = bench_now_ns() - start;
  o->keyed->ops->snapshot_free(o->keyed, snapshot);
}
