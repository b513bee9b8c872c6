/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl diff: what was added, removed and changed from one checkpoint or
 * savepoint to another, operator by operator and state by state. Key groups
 * whose segments are the same on both sides are not read at all.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/cli/diff.h"

#define DIFF_KEY_MAX ((size_t)64 << 20)

/* ---- which key groups can differ ---------------------------------------- */

static void
diff_add_segment(const diff_side *side, const manifest_segment *segment)
{
  XXH128_hash_t hash = XXH3_128bits(&segment->info.id,
                                    sizeof segment->info.id);
  uint32_t g;

  for (g = segment->key_group_first;
       g <= segment->key_group_last && g < side->o->key_group_count; g++) {
    side->groups[g].low += hash.low64;
    side->groups[g].high += hash.high64;
    side->groups[g].count++;
  }
}

static int
diff_find_groups(diff_side *side)
{
  const inside *in = &side->origin.in;
  uint32_t i;
  size_t k;

  free(side->groups);
  side->groups = NULL;
  if (side->o == NULL)
    return CLI_OK;
  side->groups = calloc(side->o->key_group_count, sizeof *side->groups);
  if (side->groups == NULL)
    return diff_no_memory();
  for (i = 0; i < in->checkpoint->info.part_count; i++)
    for (k = 0; k < in->manifests[i]->segment_count; k++)
      if (strcmp(in->manifests[i]->operator_id, side->o->id) == 0)
        diff_add_segment(side, &in->manifests[i]->segments[k]);
  return CLI_OK;
}

/* 1 if both sides read the state in the same way from the same segments. */
static int
diff_group_is_same(const diff *d, uint32_t g)
{
  const origin_state *a = d->sides[DIFF_A].state, *b = d->sides[DIFF_B].state;

  return a != NULL && b != NULL && a->state->id == b->state->id &&
         a->state->flags == b->state->flags &&
         a->state->schema_version == b->state->schema_version &&
         a->state->time_kind == b->state->time_kind &&
         a->state->time_offset == b->state->time_offset &&
         a->state->ttl_ms == b->state->ttl_ms &&
         memcmp(&d->sides[DIFF_A].groups[g], &d->sides[DIFF_B].groups[g],
                sizeof(diff_group)) == 0;
}

/* ---- states and operators ----------------------------------------------- */

/* The state as the two sides have it; one may be NULL. */
static int
diff_state(diff *d, const origin_state *a, const origin_state *b)
{
  const origin_state *state = a != NULL ? a : b;
  const origin_operator *o = d->sides[a != NULL ? DIFF_A : DIFF_B].o;
  sb_scan_options options;
  diff_count *grown;
  uint32_t g, first;
  int code = CLI_OK;

  grown = realloc(d->states, (d->state_count + 1) * sizeof *grown);
  if (grown == NULL)
    return diff_no_memory();
  d->states = grown;
  memset(&grown[d->state_count], 0, sizeof *grown);
  grown[d->state_count].operator_id = o->id;
  grown[d->state_count++].state = state->state->name;
  d->state = state->state;
  d->sides[DIFF_A].state = a;
  d->sides[DIFF_B].state = b;
  rows_scan_options(&d->select, o, state, &options);
  for (g = options.key_group_first;
       code == CLI_OK && g <= options.key_group_last && !diff_is_over(d);
       g++) {
    for (first = g; g <= options.key_group_last && !diff_group_is_same(d, g);)
      g++;
    if (g > first)
      code = diff_range(d, first, g - 1);
  }
  return code;
}

/* States of the operator on side `which`; those that both have are compared
   with side A. Of two kinds under one name, one was removed, one added. */
static int
diff_states(diff *d, int which)
{
  const origin_operator *mine = d->sides[which].o;
  const origin_operator *other = d->sides[!which].o;
  const origin_state *a, *b;
  size_t i;
  int code = CLI_OK;

  for (i = 0; mine != NULL && code == CLI_OK && i < mine->state_count; i++) {
    a = &mine->states[i];
    b = other == NULL ? NULL : origin_find_state(other, a->state->name);
    if (b != NULL && b->state->kind != a->state->kind)
      b = NULL;
    if (!rows_wants_state(&d->select, a->state) ||
        (which == DIFF_B && b != NULL))
      continue;
    code = which == DIFF_A ? diff_state(d, a, b) : diff_state(d, NULL, a);
  }
  return code;
}

static int
diff_operator(diff *d, const char *id)
{
  diff_side *a = &d->sides[DIFF_A], *b = &d->sides[DIFF_B];
  int code;

  if (d->select.operator_id != NULL &&
      strcmp(d->select.operator_id, id) != 0)
    return CLI_OK;
  a->o = (origin_operator *)(uintptr_t)origin_find(&a->origin, id);
  b->o = (origin_operator *)(uintptr_t)origin_find(&b->origin, id);
  if (a->o != NULL && b->o != NULL &&
      a->o->key_group_count != b->o->key_group_count)
    return cli_refuse("operator '%s' has %u key groups in one and %u in the "
                      "other: they cannot be compared", id,
                      (unsigned)a->o->key_group_count,
                      (unsigned)b->o->key_group_count);
  code = diff_find_groups(a);
  if (code == CLI_OK)
    code = diff_find_groups(b);
  if (code == CLI_OK)
    code = diff_states(d, DIFF_A);
  if (code == CLI_OK)
    code = diff_states(d, DIFF_B);
  return code;
}

static int
diff_operators(diff *d)
{
  const origin *a = &d->sides[DIFF_A].origin, *b = &d->sides[DIFF_B].origin;
  size_t i;
  int code = CLI_OK;

  for (i = 0; code == CLI_OK && i < a->operator_count; i++)
    code = diff_operator(d, a->operators[i].id);
  for (i = 0; code == CLI_OK && i < b->operator_count; i++)
    if (origin_find(a, b->operators[i].id) == NULL)
      code = diff_operator(d, b->operators[i].id);
  return code;
}

/* ---- the command -------------------------------------------------------- */

static void
diff_print_states(const diff *d)
{
  printer *out = &d->c->out;
  const diff_count *count;
  size_t i, k;

  print_list(out, "states", "state");
  for (i = 0; i < d->state_count; i++) {
    count = &d->states[i];
    print_row(out);
    print_text(out, "operator", count->operator_id);
    print_bytes(out, "name", count->state);
    for (k = 0; k < 3; k++)
      print_number(out, diff_words[k], count->counts[k]);
    print_row_end(out);
  }
  print_list_end(out);
}

/* Both are open. */
static int
diff_print(diff *d)
{
  printer *out = &d->c->out;
  int quiet = cli_has(d->c, OPTION_QUIET), code;

  if (!quiet) {
    print_begin(out, stdout, cli_has(d->c, OPTION_JSON));
    print_list(out, "differences", "changed");
  }
  progress_begin(&d->bar, "comparing",
                 origin_records(&d->sides[DIFF_A].origin) +
                 origin_records(&d->sides[DIFF_B].origin));
  code = diff_operators(d);
  progress_end(&d->bar);
  if (quiet)
    return code;
  print_list_end(out);
  if (code == CLI_OK && !cli_interrupted()) {
    diff_print_states(d);
    print_number(out, "differences_found", d->total);
    print_flag(out, "same", d->total == 0);
  }
  (void)print_end(out);
  return code;
}

static int
diff_open_side(diff *d, int which, const char *text)
{
  origin_name name;
  sb_error err;
  int code = origin_parse(text, &name);

  if (code != CLI_OK)
    return code;
  if (origin_open(d->c, &name, &d->sides[which].origin, &err) != SB_OK)
    return cli_fail(&err);
  return CLI_OK;
}

static void
diff_dispose(diff *d)
{
  int i;

  for (i = 0; i < 2; i++) {
    if (d->sides[i].origin.in.checkpoint != NULL)
      origin_close(&d->sides[i].origin);
    free(d->sides[i].groups);
    buf_dispose(&d->sides[i].key);
    buf_dispose(&d->sides[i].ns);
  }
  free(d->states);
  rows_select_dispose(&d->select);
}

int
diff_run(cli *c)
{
  diff d = { .c = c };
  int code = rows_select_init(c, &d.select), i;

  for (i = 0; i < 2; i++) {
    buf_init(&d.sides[i].key, inside_host(), DIFF_KEY_MAX);
    buf_init(&d.sides[i].ns, inside_host(), DIFF_KEY_MAX);
  }
  if (code == CLI_OK)
    code = cli_open_backend(c);
  for (i = 0; code == CLI_OK && i < 2; i++)
    code = diff_open_side(&d, i, c->arguments[i]);
  if (code == CLI_OK)
    code = diff_print(&d);
  diff_dispose(&d);
  if (code == CLI_FAILED)
    return CLI_USAGE; /* 1 says that they differ */
  return code == CLI_OK && d.total != 0 ? CLI_FAILED : code;
}
