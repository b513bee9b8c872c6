/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl savepoint: list, show, create, copy and remove. */
#include "config.h"

#include <string.h>

#include "host/cli/checkpoints.h"

/* Opens the backend and sees whether it has savepoints. */
static int
savepoint_open(cli *c)
{
  int code = cli_open_backend(c);

  if (code == CLI_OK && !(SB_BACKEND_HAS(c->backend, savepoint_list) &&
                          SB_BACKEND_HAS(c->backend, savepoint_copy) &&
                          SB_BACKEND_HAS(c->backend, savepoint_remove))) {
    cli_warn("this backend has no savepoints");
    return CLI_FAILED;
  }
  return code;
}

int
savepoint_list_run(cli *c)
{
  sb_checkpoint_info *list;
  size_t count;
  sb_error err;
  int code = savepoint_open(c);

  if (code == CLI_OK && c->backend->ops->savepoint_list(
                          c->backend, c->job, &list, &count, &err) != SB_OK)
    code = cli_fail(&err);
  if (code == CLI_OK)
    checkpoints_print_list(c, "savepoints", "savepoint", list, count);
  return code;
}

int
savepoint_show_run(cli *c)
{
  origin_name name = { .kind = ORIGIN_SAVEPOINT, .text = c->arguments[0] };

  return checkpoints_show(c, &name);
}

static int
savepoint_done(cli *c, const char *what)
{
  print_begin(&c->out, stdout, cli_has(c, OPTION_JSON));
  print_text(&c->out, what, c->arguments[0]);
  (void)print_end(&c->out);
  return CLI_OK;
}

/* Copies from `from`, which may be c->backend. */
static int
savepoint_copy(cli *c, sb_backend *from)
{
  const char *from_job = c->values[OPTION_FROM_JOB];
  sb_savepoint_copy options = {
    .struct_size = sizeof options,
    .from = from,
    .from_job = from_job == NULL ? c->job : from_job,
    .from_savepoint = c->values[OPTION_SAVEPOINT],
    .job = c->job,
    .name = c->arguments[0],
  };
  sb_error err;
  int code = CLI_OK;

  if (c->values[OPTION_CHECKPOINT] != NULL)
    code = cli_number("--checkpoint", c->values[OPTION_CHECKPOINT],
                      UINT64_MAX, &options.from_id);
  if (code == CLI_OK &&
      c->backend->ops->savepoint_copy(c->backend, &options, &err) != SB_OK)
    code = cli_fail(&err);
  return code == CLI_OK ? savepoint_done(c, "created") : code;
}

int
savepoint_create_run(cli *c)
{
  int code = savepoint_open(c);

  return code == CLI_OK ? savepoint_copy(c, c->backend) : code;
}

/* The backend of --from-config, with a configuration of its own. */
static int
savepoint_open_from(const char *file, sb_config **config, sb_backend **from)
{
  sb_error err;

  if (sb_config_new(config, &err) != SB_OK)
    return cli_fail(&err);
  if (sb_config_load(*config, file, &err) != SB_OK) {
    (void)cli_fail(&err);
    return CLI_CONFIG;
  }
  if (sb_backend_open(*config, inside_host(), from, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

int
savepoint_copy_run(cli *c)
{
  const char *file = c->values[OPTION_FROM_CONFIG];
  sb_config *config = NULL;
  sb_backend *from = NULL;
  int code;

  if (cli_has(c, OPTION_SAVEPOINT) == cli_has(c, OPTION_CHECKPOINT))
    return cli_usage("'savepoint copy' wants --savepoint or --checkpoint, to "
                     "copy from");
  code = savepoint_open(c);
  if (code == CLI_OK && file != NULL)
    code = savepoint_open_from(file, &config, &from);
  if (code == CLI_OK)
    code = savepoint_copy(c, from == NULL ? c->backend : from);
  if (from != NULL)
    sb_backend_close(from);
  sb_config_free(config);
  return code;
}

int
savepoint_remove_run(cli *c)
{
  sb_error err;
  int code = savepoint_open(c);

  if (code == CLI_OK && c->backend->ops->savepoint_remove(
                          c->backend, c->job, c->arguments[0], &err) != SB_OK)
    code = cli_fail(&err);
  return code == CLI_OK ? savepoint_done(c, "removed") : code;
}
