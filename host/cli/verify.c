/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl checkpoints verify, savepoint verify: _metadata, manifests and every
 * byte of every segment. What several checkpoints share is read once.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/inside.h"
#include "host/cli/origin.h"
#include "host/cli/verify.h"

/* What has been found of one object. */
typedef struct verified {
  char *name;
  sb_status status;
  uint64_t records;
  char message[504];
} verified;

typedef struct verify_state {
  cli *c;
  sb_store *store;
  verified *objects;
  size_t count, capacity;
  progress bar;
  uint64_t bytes, damaged, failed;
} verify_state;

static verified *
verify_find(verify_state *state, const char *name)
{
  size_t i;

  for (i = 0; i < state->count; i++)
    if (strcmp(state->objects[i].name, name) == 0)
      return &state->objects[i];
  return NULL;
}

static verified *
verify_add(verify_state *state, const char *name)
{
  verified *grown;
  size_t capacity;

  if (state->count == state->capacity) {
    capacity = state->capacity == 0 ? 64 : state->capacity * 2;
    grown = realloc(state->objects, capacity * sizeof *grown);
    if (grown == NULL)
      return NULL;
    state->objects = grown;
    state->capacity = capacity;
  }
  grown = &state->objects[state->count];
  memset(grown, 0, sizeof *grown);
  grown->name = strdup(name);
  if (grown->name == NULL)
    return NULL;
  state->count++;
  return grown;
}

static verified *
verify_object(verify_state *state, const manifest_segment *segment)
{
  verified *found = verify_find(state, segment->name);
  sb_error err;

  if (found != NULL)
    return found;
  found = verify_add(state, segment->name);
  if (found == NULL)
    return NULL;
  found->status = verify_segment(state->store, segment, &state->bar,
                                 &found->records, &err);
  state->bytes += segment->info.size;
  if (found->status != SB_OK)
    memcpy(found->message, err.message, sizeof found->message);
  return found;
}

static void
verify_problem(verify_state *state, uint64_t id, const verified *object)
{
  if (object->status == SB_CORRUPT || object->status == SB_NOT_FOUND)
    state->damaged++;
  else
    state->failed++;
  progress_clear(&state->bar);
  if (strstr(object->message, object->name) != NULL)
    cli_warn("checkpoint %" PRIu64 ": %s", id, object->message);
  else
    cli_warn("checkpoint %" PRIu64 ", object \"%s\": %s", id, object->name,
             object->message);
}

/* The segments of one open checkpoint, and its row. */
static int
verify_segments(verify_state *state, const inside *in)
{
  uint64_t id = in->checkpoint->info.id, segments = 0, records = 0, bytes = 0;
  uint64_t before = state->damaged + state->failed;
  const manifest *m;
  verified *object;
  uint32_t i;
  size_t k;

  for (i = 0; i < in->checkpoint->info.part_count; i++) {
    m = in->manifests[i];
    for (k = 0; k < m->segment_count && !cli_interrupted(); k++) {
      if (m->segments[k].root != NULL) {
        cli_warn("checkpoint %" PRIu64 ": object \"%s\" is of another store, "
                 "not verified", id, m->segments[k].name);
        continue;
      }
      object = verify_object(state, &m->segments[k]);
      if (object == NULL)
        return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
      if (object->status != SB_OK && object->status != SB_CANCELLED)
        verify_problem(state, id, object);
      segments++;
      records += object->records;
      bytes += m->segments[k].info.size;
    }
  }
  print_row(&state->c->out);
  print_number(&state->c->out, "id", id);
  print_flag(&state->c->out, "ok", before == state->damaged + state->failed);
  print_number(&state->c->out, "parts", in->checkpoint->info.part_count);
  print_number(&state->c->out, "segments", segments);
  print_number(&state->c->out, "records", records);
  print_number(&state->c->out, "bytes", bytes);
  print_row_end(&state->c->out);
  return CLI_OK;
}

/* CLI_OK also for damage, which is counted, and for a checkpoint that the job
   has let go since it was listed. */
static int
verify_checkpoint(verify_state *state, uint64_t id)
{
  inside in;
  int code = inside_open(state->c, id, state->c->argument_count == 0, &in);

  if (code == CLI_NOT_FOUND && state->c->argument_count == 0)
    return CLI_OK;
  if (code == CLI_DAMAGED) {
    state->damaged++;
    print_row(&state->c->out);
    print_number(&state->c->out, "id", id);
    print_flag(&state->c->out, "ok", 0);
    print_row_end(&state->c->out);
    return CLI_OK;
  }
  if (code != CLI_OK)
    return code;
  code = verify_segments(state, &in);
  inside_close(&in);
  return code;
}

static void
verify_begin(verify_state *state, const char *list, const char *row,
             uint64_t total)
{
  printer *out = &state->c->out;

  progress_begin(&state->bar, "verifying", total);
  print_begin(out, stdout, cli_has(state->c, OPTION_JSON));
  print_list(out, list, row);
}

/* The exit code, if all went well so far. */
static int
verify_end(verify_state *state, int code)
{
  printer *out = &state->c->out;

  progress_end(&state->bar);
  print_list_end(out);
  print_number(out, "objects", state->count);
  print_number(out, "bytes", state->bytes);
  print_number(out, "damaged", state->damaged);
  (void)print_end(out);
  if (code == CLI_OK && state->damaged != 0)
    return CLI_DAMAGED;
  return code == CLI_OK && state->failed != 0 ? CLI_FAILED : code;
}

static int
verify_list(verify_state *state, const sb_checkpoint_info *list, size_t count)
{
  uint64_t total = 0;
  int code = CLI_OK;
  size_t i;

  for (i = 0; i < count; i++)
    total = total > list[i].size ? total : list[i].size;
  verify_begin(state, "checkpoints", "checkpoint", total);
  for (i = 0; code == CLI_OK && i < count && !cli_interrupted(); i++)
    code = verify_checkpoint(state, list[i].id);
  return verify_end(state, code);
}

/* The checkpoints to verify: the one asked for, else all. */
static int
verify_choose(cli *c, sb_checkpoint_info *list, size_t *count)
{
  uint64_t id;
  size_t i;
  int code;

  if (c->argument_count == 0 && *count != 0)
    return CLI_OK;
  if (c->argument_count == 0) { /* not to be taken for a job that is well */
    cli_warn("job \"%s\" has no checkpoint", c->job);
    return CLI_NOT_FOUND;
  }
  code = cli_number("ID", c->arguments[0], UINT64_MAX, &id);
  if (code != CLI_OK)
    return code;
  for (i = 0; i < *count; i++)
    if (list[i].id == id) {
      list[0] = list[i];
      *count = 1;
      return CLI_OK;
    }
  cli_warn("there is no checkpoint %" PRIu64, id);
  return CLI_NOT_FOUND;
}

static void
verify_dispose(verify_state *state)
{
  size_t i;

  for (i = 0; i < state->count; i++)
    free(state->objects[i].name);
  free(state->objects);
}

int
verify_run(cli *c)
{
  verify_state state = { .c = c };
  sb_checkpoint_info *list, *chosen;
  size_t count, chosen_count;
  int code = cli_open_backend(c);

  if (code == CLI_OK)
    code = inside_list(c, &list, &count);
  if (code != CLI_OK)
    return code;
  state.store = inside_store(c);
  chosen = calloc(count + 1, sizeof *chosen);
  if (chosen == NULL || state.store == NULL) {
    code = CLI_FAILED;
  } else {
    if (count != 0)
      memcpy(chosen, list, count * sizeof *chosen);
    chosen_count = count;
    code = verify_choose(c, chosen, &chosen_count);
    if (code == CLI_OK)
      code = verify_list(&state, chosen, chosen_count);
  }
  verify_dispose(&state);
  free(chosen);
  c->backend->ops->list_free(c->backend, list, count);
  return code;
}

int
savepoint_verify_run(cli *c)
{
  origin_name name = { .kind = ORIGIN_SAVEPOINT, .text = c->arguments[0] };
  verify_state state = { .c = c };
  origin s;
  sb_error err;
  int code = cli_open_backend(c);

  if (code == CLI_OK && origin_open(c, &name, &s, &err) != SB_OK)
    code = cli_fail(&err);
  if (code != CLI_OK)
    return code;
  state.store = inside_store(c);
  verify_begin(&state, "savepoints", "savepoint", s.in.checkpoint->info.size);
  code = state.store == NULL ? CLI_FAILED : verify_segments(&state, &s.in);
  code = verify_end(&state, code);
  origin_close(&s);
  verify_dispose(&state);
  return code;
}
