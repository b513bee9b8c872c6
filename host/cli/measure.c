/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl bench: what the configured backend does on this machine, measured with
 * a job of its own whose objects are removed afterwards. For comparisons with
 * others there is bench/.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/cli/inside.h"
#include "host/cli/progress.h"
#include "host/store/store.h"

#define MEASURE_GROUPS 128u
#define MEASURE_KEYS_MAX 1000000000u
#define MEASURE_OBJECTS 20u

typedef struct measure {
  cli *c;
  sb_job *job;
  sb_keyed *keyed;
  sb_checkpoint *restored;
  uint32_t state;
  uint64_t keys;
  uint8_t *value;
  size_t value_size;
  progress bar;
} measure;

static double
measure_now(void)
{
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static sb_key
measure_key(const measure *m, uint64_t *id)
{
  sb_key key = { .state = m->state, .key = sb_slice_of(id, sizeof *id) };

  key.key_group = sb_key_group(sb_hash_bytes(key.key), MEASURE_GROUPS);
  return key;
}

static sb_status
measure_open(measure *m, const char *job, sb_error *err)
{
  const sb_backend_ops *ops = m->c->backend->ops;
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .job = job,
    .operator_id = "",
    .key_group_count = MEASURE_GROUPS,
    .key_group_last = MEASURE_GROUPS - 1,
    .generation = ops->job_generation(m->job),
  };
  sb_state_options state = {
    .struct_size = sizeof state,
    .kind = SB_STATE_VALUE,
    .name = sb_slice_of("bench", 5),
  };
  sb_state_info info = { .struct_size = sizeof info };
  sb_status status;

  if (m->restored != NULL) {
    options.parts = m->restored->parts;
    options.part_count = m->restored->info.part_count;
  }
  status = sb_backend_keyed(m->c->backend, &options, &m->keyed, err);
  if (status == SB_OK)
    status = m->keyed->ops->register_state(m->keyed, &state, &info, err);
  m->state = info.id;
  return status;
}

static void
measure_close_keyed(measure *m)
{
  if (m->keyed != NULL)
    m->keyed->ops->close(m->keyed);
  m->keyed = NULL;
}

/* Puts or gets every key once; operations a second. */
static sb_status
measure_each(measure *m, int puts, double *rate, sb_error *err)
{
  const sb_keyed_ops *ops = m->keyed->ops;
  double start = measure_now();
  sb_status status = SB_OK;
  sb_slice got;
  sb_key key;
  uint64_t i;

  progress_begin(&m->bar, puts ? "putting" : "getting", m->keys);
  for (i = 0; status == SB_OK && i < m->keys; i++) {
    key = measure_key(m, &i);
    if (puts)
      status = ops->put(m->keyed, &key, sb_slice_of(m->value, m->value_size),
                        0, err);
    else
      status = ops->get(m->keyed, &key, &got, err);
    if (i % 1024 == 0) {
      progress_add(&m->bar, i == 0 ? 0 : 1024);
      if (cli_interrupted())
        status = sb_error_set(err, SB_CANCELLED, "interrupted");
    }
  }
  progress_end(&m->bar);
  *rate = (double)m->keys / (measure_now() - start);
  return status;
}

static sb_status
measure_checkpoint(measure *m, double *begin, double *run, double *commit,
                   sb_error *err)
{
  const sb_keyed_ops *ops = m->keyed->ops;
  sb_snapshot_options options = {
    .struct_size = sizeof options,
    .kind = SB_SNAPSHOT_CHECKPOINT,
    .checkpoint_id = 1,
  };
  sb_commit_options decide = { .struct_size = sizeof decide, .id = 1,
                               .part_count = 1 };
  sb_snapshot *snapshot;
  sb_status status;
  double start = measure_now();

  status = ops->snapshot_begin(m->keyed, &options, &snapshot, err);
  if (status != SB_OK)
    return status;
  *begin = measure_now() - start;
  start = measure_now();
  status = ops->snapshot_run(m->keyed, snapshot, &decide.parts, err);
  *run = measure_now() - start;
  start = measure_now();
  if (status == SB_OK)
    status = m->c->backend->ops->commit(m->job, &decide, err);
  *commit = measure_now() - start;
  if (status == SB_OK)
    status = ops->notify(m->keyed, SB_NOTIFY_COMPLETE, 1, err);
  ops->snapshot_free(m->keyed, snapshot);
  return status;
}

/* Median milliseconds of a put and a get of 1 KiB. */
static int
measure_compare(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static sb_status
measure_store(measure *m, const char *prefix, double *put, double *get,
              sb_error *err)
{
  double puts[MEASURE_OBJECTS], gets[MEASURE_OBJECTS], start;
  sb_store *store = m->c->backend->ops->store(m->c->backend);
  const sb_host *host = inside_host();
  char name[PATH_SIZE + 16], body[1024];
  sb_status status = SB_OK;
  uint64_t got;
  size_t i;

  memset(body, 'x', sizeof body);
  for (i = 0; status == SB_OK && i < MEASURE_OBJECTS; i++) {
    (void)snprintf(name, sizeof name, "%sbench-%zu", prefix, i);
    start = measure_now();
    status = store_put(host, store, name, body, sizeof body, 0, NULL, NULL, 0,
                       NULL, SB_PRIORITY_READ, err);
    puts[i] = (measure_now() - start) * 1e3;
    start = measure_now();
    if (status == SB_OK)
      status = store_get(host, store, name, 0, body, sizeof body, &got, NULL,
                         SB_PRIORITY_READ, err);
    gets[i] = (measure_now() - start) * 1e3;
  }
  if (status != SB_OK)
    return status;
  qsort(puts, MEASURE_OBJECTS, sizeof puts[0], measure_compare);
  qsort(gets, MEASURE_OBJECTS, sizeof gets[0], measure_compare);
  *put = puts[MEASURE_OBJECTS / 2];
  *get = gets[MEASURE_OBJECTS / 2];
  return SB_OK;
}

static sb_status
measure_remove_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  const job_env *env = arg;
  const char *removed[1] = { entry->name };

  return store_remove(env->host, env->store, removed, 1, NULL, err);
}

/* Everything under the scratch job's own prefixes: nobody else's. */
static sb_status
measure_clean(const job_env *env, const char *job, sb_error *err)
{
  char prefix[PATH_SIZE];
  sb_status status = paths_checkpoints_prefix(env->paths, job, prefix, err);

  if (status == SB_OK)
    status = store_list(env->host, env->store, prefix, NULL,
                        measure_remove_entry, (void *)(uintptr_t)env, err);
  if (status == SB_OK)
    status = paths_segments_prefix(env->paths, job, prefix, err);
  if (status == SB_OK)
    status = store_list(env->host, env->store, prefix, NULL,
                        measure_remove_entry, (void *)(uintptr_t)env, err);
  return status;
}

static sb_status
measure_restore(measure *m, const char *job, double *ready, sb_error *err)
{
  double start = measure_now();
  sb_status status;

  measure_close_keyed(m);
  status = m->c->backend->ops->checkpoint_open(m->c->backend, job, 0, 0,
                                               &m->restored, err);
  if (status == SB_OK)
    status = measure_open(m, job, err);
  *ready = measure_now() - start;
  return status;
}

static sb_status
measure_all(measure *m, const job_env *env, const char *job, sb_error *err)
{
  double put = 0, get = 0, puts = 0, gets = 0, cold = 0;
  double begin = 0, run = 0, commit = 0, ready = 0;
  printer *out = &m->c->out;
  char prefix[PATH_SIZE];
  sb_status status = paths_checkpoints_prefix(env->paths, job, prefix, err);

  if (status == SB_OK)
    status = measure_store(m, prefix, &put, &get, err);
  if (status == SB_OK)
    status = measure_open(m, job, err);
  if (status == SB_OK)
    status = measure_each(m, 1, &puts, err);
  if (status == SB_OK)
    status = measure_each(m, 0, &gets, err);
  if (status == SB_OK)
    status = measure_checkpoint(m, &begin, &run, &commit, err);
  if (status == SB_OK)
    status = measure_restore(m, job, &ready, err);
  if (status == SB_OK)
    status = measure_each(m, 0, &cold, err);
  if (status != SB_OK)
    return status;
  print_begin(out, stdout, cli_has(m->c, OPTION_JSON));
  print_number(out, "keys", m->keys);
  print_number(out, "value_size", m->value_size);
  print_double(out, "object_put_ms", put);
  print_double(out, "object_get_ms", get);
  print_double(out, "puts_per_second", puts);
  print_double(out, "gets_per_second", gets);
  print_double(out, "snapshot_begin_ms", begin * 1e3);
  print_double(out, "snapshot_run_ms", run * 1e3);
  print_double(out, "commit_ms", commit * 1e3);
  print_double(out, "restore_ms", ready * 1e3);
  print_double(out, "gets_per_second_restored", cold);
  (void)print_end(out);
  return SB_OK;
}

static int
measure_job(measure *m, const job_env *env, const char *job)
{
  const sb_backend_ops *ops = m->c->backend->ops;
  sb_takeover_options options = {
    .struct_size = sizeof options, .job = job, .job_id = "sbctl bench",
    .retain = 1
  };
  sb_error err, clean_err;
  sb_status status;

  status = measure_clean(env, job, &err);
  if (status == SB_OK)
    status = ops->takeover(m->c->backend, &options, &m->job, &err);
  if (status != SB_OK)
    return cli_fail(&err);
  status = measure_all(m, env, job, &err);
  measure_close_keyed(m);
  if (m->restored != NULL)
    ops->checkpoint_close(m->c->backend, m->restored);
  ops->job_close(m->job);
  if (measure_clean(env, job, &clean_err) != SB_OK)
    cli_warn("objects of job \"%s\" are left: %s", job, clean_err.message);
  return status == SB_OK ? CLI_OK : cli_fail(&err);
}

int
bench_run(cli *c)
{
  measure m = { .c = c, .keys = 100000, .value_size = 100 };
  const job_env *env;
  uint64_t size = m.value_size;
  char job[64];
  size_t i;
  int code = CLI_OK;

  if (cli_has(c, OPTION_KEYS))
    code = cli_number("--keys", c->values[OPTION_KEYS], MEASURE_KEYS_MAX,
                      &m.keys);
  if (code == CLI_OK && cli_has(c, OPTION_VALUE_SIZE))
    code = cli_number("--value-size", c->values[OPTION_VALUE_SIZE],
                      1u << 20, &size);
  if (code == CLI_OK)
    code = cli_open_backend(c);
  if (code != CLI_OK)
    return code;
  env = inside_env(c);
  if (env == NULL)
    return CLI_FAILED;
  m.value_size = (size_t)size;
  m.value = calloc(1, m.value_size + 1);
  if (m.value == NULL)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  for (i = 0; i < m.value_size / 2; i++) /* half of it compresses */
    m.value[i] = (uint8_t)env->host->random(env->host);
  (void)snprintf(job, sizeof job, "sbctl-bench-%016" PRIx64,
                 env->host->random(env->host));
  code = measure_job(&m, env, job);
  free(m.value);
  return code;
}
