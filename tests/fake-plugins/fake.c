/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that opens, counts and closes, and misbehaves as asked. */
#include "config.h"

#include <string.h>
#include <time.h>
#include "tests/fake-plugins/fake.h"

#define FAKE_MODE "state.backend.fake.mode"

typedef struct fake_backend {
  sb_backend base;
  const sb_host *host;
  fake_counters *counters;
} fake_backend;

static void
fake_sleep(fake_counters *counters)
{
  struct timespec t = { 0, atomic_load(&counters->slow_ms) * 1000000l };

  (void)nanosleep(&t, NULL);
}

static void
fake_close(sb_backend *backend)
{
  fake_backend *fake = (fake_backend *)backend;

  fake_sleep(fake->counters);
  atomic_fetch_add(&fake->counters->backend_closes, 1);
  atomic_fetch_sub(&fake->counters->open_now, 1);
  fake->host->alloc(fake->host, fake, 0);
}

static sb_status
fake_probe(sb_backend *backend, sb_probe *probe, sb_error *err)
{
  (void)backend;
  (void)probe;
  return sb_fail(err, SB_UNSUPPORTED, "a fake cannot probe");
}

static sb_status
fake_open_keyed(sb_backend *backend, const sb_keyed_options *options,
                sb_keyed **out, sb_error *err)
{
  (void)options;
  *out = NULL;
  atomic_fetch_add(&((fake_backend *)backend)->counters->keyed_opens, 1);
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no keyed handles");
}

static sb_store *
fake_no_store(sb_backend *backend)
{
  (void)backend;
  return NULL;
}

static sb_status
fake_takeover(sb_backend *backend, const sb_takeover_options *options,
              sb_job **out, sb_error *err)
{
  (void)backend;
  (void)options;
  *out = NULL;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no jobs");
}

static uint64_t
fake_generation(sb_job *job)
{
  (void)job;
  return 0;
}

static void
fake_job_close(sb_job *job)
{
  (void)job;
}

static sb_status
fake_commit(sb_job *job, const sb_commit_options *options, sb_error *err)
{
  (void)job;
  (void)options;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no jobs");
}

static sb_status
fake_list(sb_backend *backend, const char *job, sb_checkpoint_info **out,
          size_t *count, sb_error *err)
{
  (void)backend;
  (void)job;
  (void)count;
  *out = NULL;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no checkpoints");
}

static void
fake_list_free(sb_backend *backend, sb_checkpoint_info *list, size_t count)
{
  (void)backend;
  (void)list;
  (void)count;
}

static sb_status
fake_checkpoint_open(sb_backend *backend, const char *job, uint64_t id,
                     uint32_t flags, sb_checkpoint **out, sb_error *err)
{
  (void)backend;
  (void)job;
  (void)id;
  (void)flags;
  *out = NULL;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no checkpoints");
}

static void
fake_checkpoint_close(sb_backend *backend, sb_checkpoint *checkpoint)
{
  (void)backend;
  (void)checkpoint;
}

static sb_status
fake_retain(sb_job *job, uint32_t count, sb_error *err)
{
  (void)job;
  (void)count;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no jobs");
}

static sb_status
fake_remove(sb_job *job, uint64_t id, sb_error *err)
{
  (void)job;
  (void)id;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no jobs");
}

static sb_status
fake_gc(sb_job *job, uint32_t flags, sb_gc_report *report, sb_error *err)
{
  (void)job;
  (void)flags;
  (void)report;
  return sb_fail(err, SB_UNSUPPORTED, "a fake has no jobs");
}

#define FAKE_BACKEND_OPS \
  .close = fake_close, \
  .probe = fake_probe, \
  .open_keyed = fake_open_keyed, \
  .store = fake_no_store, \
  .takeover = fake_takeover, \
  .job_generation = fake_generation, \
  .job_close = fake_job_close, \
  .commit = fake_commit, \
  .list = fake_list, \
  .list_free = fake_list_free, \
  .checkpoint_open = fake_checkpoint_open, \
  .checkpoint_close = fake_checkpoint_close, \
  .retain = fake_retain, \
  .remove = fake_remove

static const sb_backend_ops fake_ops = {
  .struct_size = sizeof (sb_backend_ops),
  .abi_version = SB_ABI_VERSION,
  FAKE_BACKEND_OPS,
  .gc = fake_gc,
};

static const sb_backend_ops fake_ops_without_gc = {
  .struct_size = sizeof (sb_backend_ops),
  .abi_version = SB_ABI_VERSION,
  FAKE_BACKEND_OPS,
};

static const sb_backend_ops fake_ops_of_major_2 = {
  .struct_size = sizeof (sb_backend_ops),
  .abi_version = 2,
};

static sb_status
fake_open_engine(const sb_host *host, const sb_config *config,
                 sb_backend **out, sb_error *err)
{
  sb_engine_options options = {
    .struct_size = sizeof options,
    .base_path = "",
    .state_prefix = "state",
    .checkpoint_prefix = "checkpoints",
    .savepoint_prefix = "savepoints",
    .extension = ".state",
    .part_size = 8 << 20,
  };
  fake_store *store = fake_store_new(host, NULL, "fake");

  if (store == NULL)
    return sb_fail(err, SB_NO_MEMORY, "no memory for a fake store");
  return host->engine_open(host, &store->base, &options, config, out, err);
}

static sb_status
fake_open(const sb_host *host, const sb_config *config, sb_backend **out,
          sb_error *err)
{
  fake_counters *counters = host->lookup(host, FAKE_COUNTERS);
  const char *mode = host->config_string(config, FAKE_MODE);
  fake_backend *fake;
  int now, most;

  atomic_fetch_add(&counters->opens, 1);
  fake_sleep(counters);
  if (strcmp(mode, "engine") == 0)
    return fake_open_engine(host, config, out, err);
  if (strcmp(mode, "silent") == 0)
    return SB_DENIED;
  if (strcmp(mode, "positive") == 0)
    return 7;
  if (strcmp(mode, "null") == 0)
    return SB_OK;
  if (strcmp(mode, "fail") == 0)
    return sb_fail(err, SB_DENIED, "the fake fails as asked");
  fake = host->alloc(host, NULL, sizeof *fake);
  if (fake == NULL)
    return sb_fail(err, SB_NO_MEMORY, "no memory for a fake");
  fake->base.ops = strcmp(mode, "no-gc") == 0 ? &fake_ops_without_gc
                 : strcmp(mode, "major") == 0 ? &fake_ops_of_major_2
                 : &fake_ops;
  fake->host = host;
  fake->counters = counters;
  now = atomic_fetch_add(&counters->open_now, 1) + 1;
  most = atomic_load(&counters->open_most);
  while (now > most &&
         !atomic_compare_exchange_weak(&counters->open_most, &most, now))
    continue;
  *out = &fake->base;
  return SB_OK;
}

static const sb_option fake_options[] = {
  { FAKE_MODE, SB_TYPE_ENUM, 0, "ok", 0, 0,
    "ok|fail|silent|positive|null|no-gc|major|engine", "What to do." },
  { "state.backend.fake.size", SB_TYPE_SIZE, 0, "1kb", 0, 0, NULL,
    "Makes a difference." },
  { "state.backend.fake.ratio", SB_TYPE_DOUBLE, 0, "0.5", 0, 1, NULL,
    "A number." },
};

static const char *const fake_prefixes[] = { "state.backend.fake.", NULL };

static const sb_plugin fake_plugin = {
  .struct_size = sizeof (sb_plugin),
  .abi_version = SB_ABI_VERSION,
  .name = "fake",
  .version = "1",
  .description = "a backend for tests",
  .kind = SB_KIND_BACKEND,
  .option_size = sizeof (sb_option),
  .options = fake_options,
  .option_count = sizeof fake_options / sizeof fake_options[0],
  .prefixes = fake_prefixes,
  .open = fake_open,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &fake_plugin;
}
