/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints, savepoints and Flink's checkpoints, open for reading; see
   origin.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/flink_checkpoint.h"
#include "host/cli/origin.h"

int
origin_options(const cli *c, origin_name *name)
{
  const char *id = c->values[OPTION_CHECKPOINT];
  const char *savepoint = c->values[OPTION_SAVEPOINT];
  const char *metadata = c->values[OPTION_METADATA];

  memset(name, 0, sizeof *name);
  if ((id != NULL) + (savepoint != NULL) + (metadata != NULL) > 1)
    return cli_usage("only one of --checkpoint, --savepoint and --metadata");
  if (savepoint != NULL) {
    name->kind = ORIGIN_SAVEPOINT;
    name->text = savepoint;
  } else if (metadata != NULL) {
    name->kind = ORIGIN_METADATA;
    name->text = metadata;
  } else if (id != NULL) {
    return cli_number("--checkpoint", id, UINT64_MAX, &name->id);
  }
  return CLI_OK;
}

int
origin_parse(const char *text, origin_name *name)
{
  memset(name, 0, sizeof *name);
  if (strncmp(text, "savepoint:", 10) == 0) {
    name->kind = ORIGIN_SAVEPOINT;
    name->text = text + 10;
    return CLI_OK;
  }
  if (strncmp(text, "metadata:", 9) == 0) {
    name->kind = ORIGIN_METADATA;
    name->text = text + 9;
    return CLI_OK;
  }
  if (strcmp(text, "newest") == 0)
    return CLI_OK;
  return cli_number("checkpoint", text, UINT64_MAX, &name->id);
}

/* ---- operators and states ----------------------------------------------- */

const origin_operator *
origin_find(const origin *s, const char *id)
{
  size_t i;

  for (i = 0; i < s->operator_count; i++)
    if (strcmp(s->operators[i].id, id) == 0)
      return &s->operators[i];
  return NULL;
}

const origin_state *
origin_find_state(const origin_operator *o, sb_slice name)
{
  size_t i;

  for (i = 0; i < o->state_count; i++)
    if (o->states[i].state->name.len == name.len &&
        memcmp(o->states[i].state->name.data, name.data, name.len) == 0)
      return &o->states[i];
  return NULL;
}

static sb_status
origin_no_memory(sb_error *err)
{
  return sb_error_set(err, SB_NO_MEMORY, "out of memory");
}

static sb_status
origin_add_states(origin_operator *o, const manifest *m, sb_error *err)
{
  origin_state *grown;
  size_t i;

  for (i = 0; i < m->state_count; i++) {
    if ((m->states[i].flags & INSIDE_STATE_DROPPED) != 0 ||
        origin_find_state(o, m->states[i].name) != NULL)
      continue;
    grown = realloc(o->states, (o->state_count + 1) * sizeof *grown);
    if (grown == NULL)
      return origin_no_memory(err);
    o->states = grown;
    memset(&grown[o->state_count], 0, sizeof *grown);
    grown[o->state_count++].state = &m->states[i];
  }
  return SB_OK;
}

static sb_status
origin_operators(origin *s, sb_error *err)
{
  uint32_t i, count = s->in.checkpoint->info.part_count;
  origin_operator *o;
  const manifest *m;
  sb_status status;

  s->operators = calloc(count + 1u, sizeof *s->operators);
  if (s->operators == NULL)
    return origin_no_memory(err);
  for (i = 0; i < count; i++) {
    m = s->in.manifests[i];
    o = (origin_operator *)(uintptr_t)origin_find(s, m->operator_id);
    if (o == NULL) {
      o = &s->operators[s->operator_count++];
      o->id = m->operator_id;
      o->key_group_count = m->key_group_count;
    }
    status = origin_add_states(o, m, err);
    if (status != SB_OK)
      return status;
  }
  return SB_OK;
}

/* ---- open and close ----------------------------------------------------- */

static sb_status
origin_open_savepoint(cli *c, const char *name, inside *in, sb_error *err)
{
  sb_restore_options options = {
    .struct_size = sizeof options,
    .mode = SB_RESTORE_NO_CLAIM,
    .job = c->job,
    .savepoint = name,
    .job_id = "sbctl",
  };
  sb_checkpoint *checkpoint;
  sb_status status;

  if (!SB_BACKEND_HAS(c->backend, restore_open))
    return sb_error_set(err, SB_UNSUPPORTED, "cannot read savepoint \"%s\": "
                        "this backend has no savepoints", name);
  status = c->backend->ops->restore_open(c->backend, &options, &checkpoint,
                                         err);
  return status != SB_OK ? status : inside_take(c, checkpoint, NULL, in, err);
}

static sb_status
origin_open_checkpoint(cli *c, uint64_t id, inside *in, sb_error *err)
{
  sb_checkpoint *checkpoint;
  sb_status status = c->backend->ops->checkpoint_open(
    c->backend, c->job, id, SB_CHECKPOINT_PIN, &checkpoint, err);

  return status != SB_OK ? status : inside_take(c, checkpoint, NULL, in, err);
}

sb_status
origin_open_any(cli *c, const origin_name *name, origin *s, sb_error *err)
{
  sb_status status;

  memset(s, 0, sizeof *s);
  s->job = c->job;
  if (name->kind == ORIGIN_SAVEPOINT)
    status = origin_open_savepoint(c, name->text, &s->in, err);
  else if (name->kind == ORIGIN_METADATA)
    status = flink_checkpoint_open(c, name->text, &s->in, err);
  else
    status = origin_open_checkpoint(c, name->id, &s->in, err);
  if (status == SB_OK && s->in.canonical == 0)
    status = origin_operators(s, err);
  if (status != SB_OK)
    origin_close(s);
  return status;
}

sb_status
origin_open(cli *c, const origin_name *name, origin *s, sb_error *err)
{
  sb_status status = origin_open_any(c, name, s, err);

  if (status != SB_OK || s->in.canonical == 0)
    return status;
  origin_close(s);
  return sb_error_set(err, SB_UNSUPPORTED, "cannot do this with \"%s\": it is "
                      "a canonical savepoint, which only get, dump and keys "
                      "can read", name->text == NULL ? "" : name->text);
}

void
origin_close(origin *s)
{
  size_t i;

  for (i = 0; i < s->operator_count; i++) {
    if (s->operators[i].keyed != NULL)
      s->operators[i].keyed->ops->close(s->operators[i].keyed);
    free(s->operators[i].states);
  }
  free(s->operators);
  inside_close(&s->in);
  memset(s, 0, sizeof *s);
}

/* ---- handles ------------------------------------------------------------ */

/* The number of a state in a handle. What is registered is what was restored:
   values come as they are. */
static sb_status
origin_register(sb_keyed *keyed, origin_state *state, sb_error *err)
{
  const manifest_state *m = state->state;
  sb_state_options options = {
    .struct_size = sizeof options,
    .kind = m->kind,
    .flags = m->flags,
    .schema_version = m->schema_version,
    .name = m->name,
    .blob = m->blob,
  };
  sb_state_info info = { .struct_size = sizeof info };
  sb_status status;

  if (SB_KEYED_HAS(keyed, state_find))
    status = keyed->ops->state_find(keyed, m->name, &info, err);
  else
    status = keyed->ops->register_state(keyed, &options, &info, err);
  state->id = info.id;
  return status;
}

sb_status
origin_keyed(origin *s, origin_operator *o, sb_error *err)
{
  const sb_checkpoint *checkpoint = s->in.checkpoint;
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .flags = SB_OPEN_READ_ONLY,
    .job = s->job,
    .operator_id = o->id,
    .key_group_count = o->key_group_count,
    .key_group_last = o->key_group_count - 1,
    .generation = checkpoint->info.generation,
    .parts = checkpoint->parts,
    .part_count = checkpoint->info.part_count,
  };
  sb_status status;
  size_t i;

  if (o->keyed != NULL)
    return SB_OK;
  status = sb_backend_keyed(s->in.backend, &options, &o->keyed, err);
  for (i = 0; status == SB_OK && i < o->state_count; i++)
    status = origin_register(o->keyed, &o->states[i], err);
  return status;
}

uint64_t
origin_records(const origin *s)
{
  uint64_t total = 0;
  uint32_t i;
  size_t k;

  for (i = 0; s->in.canonical == 0 && i < s->in.checkpoint->info.part_count;
       i++)
    for (k = 0; k < s->in.manifests[i]->segment_count; k++)
      total += s->in.manifests[i]->segments[k].info.records;
  return total;
}

int
origin_fail(const sb_error *err)
{
  int code = cli_fail(err);

  return code == CLI_NOT_FOUND ? CLI_DAMAGED : code;
}
