/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's insides for sbctl, see inside.h. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <statebackend/savepoint.h>

#include "host/cli/flink_checkpoint.h"
#include "host/engine/head.h"

sb_store *
inside_store(cli *c)
{
  sb_store *store = c->backend->ops->store(c->backend);

  if (store == NULL)
    cli_warn("this backend has no object store");
  return store;
}

/* sbctl opens one backend, so there is one of each. */
static sb_host inside_host_table;
static paths inside_paths;
static int inside_has_paths;

static sb_status
inside_engine_open(const sb_host *host, sb_store *store,
                   const sb_engine_options *options, const sb_config *config,
                   sb_backend **out, sb_error *err)
{
  if (!inside_has_paths && options != NULL &&
      paths_init(&inside_paths, host, options, NULL) == SB_OK)
    inside_has_paths = 1;
  return sb_host_default()->engine_open(host, store, options, config, out,
                                        err);
}

const sb_host *
inside_host(void)
{
  if (inside_host_table.struct_size == 0) {
    inside_host_table = *sb_host_default();
    inside_host_table.engine_open = inside_engine_open;
  }
  return &inside_host_table;
}

void
inside_forget(void)
{
  if (inside_has_paths)
    paths_dispose(&inside_paths, inside_host());
  inside_has_paths = 0;
}

const job_env *
inside_env(cli *c)
{
  static job_env env;

  if (!inside_has_paths) {
    cli_warn("this backend keeps its objects in a way of its own");
    return NULL;
  }
  env.host = inside_host();
  env.store = inside_store(c);
  env.paths = &inside_paths;
  if (env.store == NULL)
    return NULL;
  env.store_flags = env.store->ops->info(env.store)->flags;
  return &env;
}

int
inside_list(cli *c, sb_checkpoint_info **list, size_t *count)
{
  sb_error err;

  if (c->backend->ops->list(c->backend, c->job, list, count, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

static sb_status
inside_read(inside *in, sb_store *store, sb_error *err)
{
  const sb_host *host = inside_host();
  uint32_t i, count = in->checkpoint->info.part_count;
  sb_status status = SB_OK;
  sb_error why;

  in->manifests = calloc(count + 1u, sizeof *in->manifests);
  if (in->manifests == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "out of memory");
  for (i = 0; status == SB_OK && i < count; i++) {
    if (sb_canonical_is_part(&in->checkpoint->parts[i])) {
      in->canonical++;
      continue;
    }
    status = manifest_read(host, store, &in->checkpoint->parts[i],
                           &in->manifests[i], &why);
    if (status != SB_OK)
      (void)sb_error_set(err, status, "checkpoint %" PRIu64 ", subtask %u: "
                         "%.400s", in->checkpoint->info.id,
                         in->checkpoint->parts[i].subtask, why.message);
  }
  return status;
}

sb_status
inside_take(cli *c, sb_checkpoint *checkpoint, flink_checkpoint *flink,
            inside *in, sb_error *err)
{
  sb_store *store = c->backend->ops->store(c->backend);
  sb_status status;

  memset(in, 0, sizeof *in);
  in->backend = c->backend;
  in->checkpoint = checkpoint;
  in->flink = flink;
  if (store == NULL)
    status = sb_error_set(err, SB_UNSUPPORTED,
                          "this backend has no object store");
  else
    status = inside_read(in, store, err);
  if (status != SB_OK)
    inside_close(in);
  return status;
}

int
inside_open(cli *c, uint64_t id, int may_be_gone, inside *in)
{
  sb_checkpoint *checkpoint;
  sb_status status;
  sb_error err;

  memset(in, 0, sizeof *in);
  status = c->backend->ops->checkpoint_open(
    c->backend, c->job, id, SB_CHECKPOINT_PIN, &checkpoint, &err);
  if (status == SB_NOT_FOUND && may_be_gone)
    return CLI_NOT_FOUND;
  if (status == SB_OK)
    status = inside_take(c, checkpoint, NULL, in, &err);
  if (status == SB_OK && in->canonical != 0) {
    inside_close(in);
    status = sb_error_set(&err, SB_CORRUPT, "checkpoint %" PRIu64 " has a "
                          "canonical part", id);
  }
  return status == SB_OK ? CLI_OK : cli_fail(&err);
}

void
inside_close(inside *in)
{
  uint32_t i;

  for (i = 0; in->manifests != NULL && i < in->checkpoint->info.part_count;
       i++)
    manifest_free(inside_host(), in->manifests[i]);
  free(in->manifests);
  if (in->flink != NULL)
    flink_checkpoint_free(in->flink);
  else if (in->checkpoint != NULL)
    in->backend->ops->checkpoint_close(in->backend, in->checkpoint);
  memset(in, 0, sizeof *in);
}

const char *
inside_kind(uint32_t kind)
{
  static const struct { uint32_t kind; const char *name; } kinds[] = {
    { SB_STATE_VALUE, "value" },       { SB_STATE_LIST, "list" },
    { SB_STATE_MAP, "map" },           { SB_STATE_REDUCING, "reducing" },
    { SB_STATE_AGGREGATING, "aggregating" }, { SB_STATE_TIMER, "timer" },
  };
  size_t i;

  for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (kinds[i].kind == kind)
      return kinds[i].name;
  return "unknown";
}

/* The id that HEAD has for the job: a take-over must name the same. */
static int
inside_job_id(cli *c, head_version *version, const char **job_id)
{
  const job_env *env = inside_env(c);
  sb_error err;

  if (env == NULL)
    return CLI_FAILED;
  if (head_read(env, c->job, version, &err) != SB_OK)
    return cli_fail(&err);
  *job_id = version->head.job_id;
  return CLI_OK;
}

int
inside_takeover(cli *c, sb_job **job)
{
  sb_takeover_options options = { .struct_size = sizeof options };
  static head_version version;
  sb_checkpoint_info *list;
  size_t count;
  sb_error err;
  int code = inside_job_id(c, &version, &options.job_id);

  if (code == CLI_OK)
    code = inside_list(c, &list, &count);
  if (code != CLI_OK)
    return code;
  c->backend->ops->list_free(c->backend, list, count);
  options.job = c->job;
  options.retain = count == 0 ? 1 : (uint32_t)count; /* drops none */
  if (c->backend->ops->takeover(c->backend, &options, job, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}
