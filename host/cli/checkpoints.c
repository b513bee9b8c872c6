/* SPDX-License-Identifier: Apache-2.0 */
/* sbctl checkpoints list, show and remove. */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "host/cli/checkpoints.h"

static void
checkpoints_fields(printer *out, const sb_checkpoint_info *info)
{
  time_t seconds = (time_t)(info->created_ms / 1000);
  struct tm utc;
  char text[32] = "";

  if (gmtime_r(&seconds, &utc) != NULL)
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  print_number(out, "id", info->id);
  print_number(out, "generation", info->generation);
  print_text(out, "created", text);
  print_number(out, "created_ms", info->created_ms);
  print_number(out, "parts", info->part_count);
  print_number(out, "size", info->size);
  print_text(out, "name", info->name);
}

void
checkpoints_print_list(cli *c, const char *name, const char *row,
                       sb_checkpoint_info *list, size_t count)
{
  printer *out = &c->out;
  size_t i;

  print_begin(out, stdout, cli_has(c, OPTION_JSON));
  print_list(out, name, row);
  for (i = 0; i < count; i++) {
    print_row(out);
    checkpoints_fields(out, &list[i]);
    print_row_end(out);
  }
  print_list_end(out);
  (void)print_end(out);
  c->backend->ops->list_free(c->backend, list, count);
}

int
checkpoints_list_run(cli *c)
{
  sb_checkpoint_info *list;
  size_t count;
  int code = cli_open_backend(c);

  if (code == CLI_OK)
    code = inside_list(c, &list, &count);
  if (code == CLI_OK)
    checkpoints_print_list(c, "checkpoints", "checkpoint", list, count);
  return code;
}

/* ---- show --------------------------------------------------------------- */

static void
show_parts(printer *out, const inside *in)
{
  const sb_part *part;
  uint32_t i;

  print_list(out, "parts", "part");
  for (i = 0; i < in->checkpoint->info.part_count; i++) {
    part = &in->checkpoint->parts[i];
    print_row(out);
    print_text(out, "operator", part->operator_id);
    print_number(out, "subtask", part->subtask);
    print_number(out, "key_group_first", part->key_group_first);
    print_number(out, "key_group_last", part->key_group_last);
    print_number(out, "max_parallelism", in->manifests[i]->key_group_count);
    print_number(out, "states", in->manifests[i]->state_count);
    print_number(out, "segments", in->manifests[i]->segment_count);
    print_number(out, "held", in->manifests[i]->held_count);
    print_number(out, "dropped", in->manifests[i]->dropped_count);
    print_number(out, "manifest_bytes", part->length);
    print_text(out, "manifest", part->name == NULL ? "inline" : part->name);
    print_row_end(out);
  }
  print_list_end(out);
}

static void
show_states(printer *out, const inside *in)
{
  const manifest_state *state;
  uint32_t i;
  size_t k;

  print_list(out, "states", "state");
  for (i = 0; i < in->checkpoint->info.part_count; i++)
    for (k = 0; k < in->manifests[i]->state_count; k++) {
      state = &in->manifests[i]->states[k];
      if ((state->flags & INSIDE_STATE_DROPPED) != 0)
        continue;
      print_row(out);
      print_text(out, "operator", in->manifests[i]->operator_id);
      print_number(out, "subtask", in->manifests[i]->subtask);
      print_bytes(out, "name", state->name);
      print_text(out, "kind", inside_kind(state->kind));
      print_number(out, "schema_version", state->schema_version);
      print_number(out, "blob_bytes", state->blob.len);
      print_row_end(out);
    }
  print_list_end(out);
}

static void
show_segments(printer *out, const inside *in)
{
  const manifest_segment *segment;
  uint32_t i;
  size_t k;

  print_list(out, "segments", "segment");
  for (i = 0; i < in->checkpoint->info.part_count; i++)
    for (k = 0; k < in->manifests[i]->segment_count; k++) {
      segment = &in->manifests[i]->segments[k];
      print_row(out);
      print_number(out, "subtask", in->manifests[i]->subtask);
      print_text(out, "name", segment->name);
      if (segment->root != NULL)
        print_text(out, "root", segment->root);
      print_number(out, "size", segment->info.size);
      print_number(out, "records", segment->info.records);
      print_number(out, "tombstones", segment->info.tombstones);
      print_number(out, "raw_bytes", segment->info.raw_bytes);
      print_number(out, "epoch_min", segment->info.epoch_min);
      print_number(out, "epoch_max", segment->info.epoch_max);
      print_number(out, "key_group_first", segment->key_group_first);
      print_number(out, "key_group_last", segment->key_group_last);
      print_row_end(out);
    }
  print_list_end(out);
}

int
checkpoints_show(cli *c, const origin_name *name)
{
  printer *out = &c->out;
  origin s;
  sb_error err;
  int code = cli_open_backend(c);

  if (code == CLI_OK && origin_open(c, name, &s, &err) != SB_OK)
    code = cli_fail(&err);
  if (code != CLI_OK)
    return code;
  print_begin(out, stdout, cli_has(c, OPTION_JSON));
  checkpoints_fields(out, &s.in.checkpoint->info);
  print_number(out, "blob_bytes", s.in.checkpoint->blob.len);
  show_parts(out, &s.in);
  show_states(out, &s.in);
  show_segments(out, &s.in);
  (void)print_end(out);
  origin_close(&s);
  return CLI_OK;
}

int
checkpoints_show_run(cli *c)
{
  origin_name name = { .kind = ORIGIN_CHECKPOINT };
  int code = CLI_OK;

  if (c->argument_count != 0)
    code = cli_number("ID", c->arguments[0], UINT64_MAX, &name.id);
  return code != CLI_OK ? code : checkpoints_show(c, &name);
}

/* ---- remove ------------------------------------------------------------- */

int
checkpoints_remove_run(cli *c)
{
  uint64_t id;
  sb_job *job;
  sb_error err;
  int code = cli_number("ID", c->arguments[0], UINT64_MAX, &id);

  if (code != CLI_OK)
    return code;
  if (!cli_has(c, OPTION_TAKE_OVER))
    return cli_refuse("removing a checkpoint takes the job over: a process "
                      "that runs it is fenced and stops; say --take-over if "
                      "that is wanted");
  code = cli_open_backend(c);
  if (code == CLI_OK)
    code = inside_takeover(c, &job);
  if (code != CLI_OK)
    return code;
  if (c->backend->ops->remove(job, id, &err) != SB_OK)
    code = cli_fail(&err);
  c->backend->ops->job_close(job);
  if (code != CLI_OK)
    return code;
  print_begin(&c->out, stdout, cli_has(c, OPTION_JSON));
  print_number(&c->out, "removed", id);
  (void)print_end(&c->out);
  return CLI_OK;
}
