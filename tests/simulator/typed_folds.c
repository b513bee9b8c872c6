/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reducing and aggregating states. Two values fold into one whose seed and
 * length follow from both and from their order, so that a fold that is missed,
 * repeated or out of order shows.
 */
#include "config.h"

#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/typed.h"

enum { FOLD_ADD = 1, FOLD_MERGE = 7 };

/* The value that has these bytes; it is longer than its seed. */
static value_ref
fold_value(sb_slice bytes, uint32_t version)
{
  value_ref value = { 0, (uint32_t)bytes.len - version % 3,
                      (uint16_t)version, WRAP_NONE, 0 };

  memcpy(&value.seed, bytes.data, 8);
  return value;
}

static value_ref
fold_two(value_ref a, value_ref b, uint64_t salt)
{
  value_ref sum = a;

  sum.seed = rng_mix(a.seed * 3 + b.seed + salt);
  if (sum.seed % 3 == 0)
    sum.len = (uint32_t)(9 + (sum.seed >> 8) % FOLD_LEN);
  return sum;
}

/* The first input of an aggregate. */
static value_ref
fold_begun(value_ref input)
{
  input.seed = rng_mix(input.seed + 99);
  return input;
}

/* ---- the spec's functions ----------------------------------------------- */

static sb_status
fold_do(folding *f, sb_update *u, sb_slice input, uint64_t salt,
        sb_error *err)
{
  uint32_t version = f->t->job->versions[f->state];
  value_ref new = fold_value(input, version);
  sb_slice old = sb_slice_of(u->data, u->len);

  f->calls++;
  f->exists = u->exists != 0;
  if (f->fails)
    return sb_error_set(err, SB_INVALID, "the fold does not want to");
  if (u->exists && (u->len < 9 || input.len < 9))
    sim_fail(&f->t->job->l->s, SIM_WRONG,
             "a fold is called with %zu and %zu bytes", u->len, input.len);
  new = u->exists ? fold_two(fold_value(old, version), new, salt)
                  : fold_begun(new);
  if (u->exists && value_size(new) == u->len) {
    value_fill(new, u->data);
    u->action = SB_UPDATE_IN_PLACE;
    return SB_OK;
  }
  value_fill(new, f->bytes);
  u->replacement = sb_slice_of(f->bytes, value_size(new));
  u->action = SB_UPDATE_PUT;
  return SB_OK;
}

static sb_status
fold_add_fn(void *arg, sb_update *u, sb_slice input, sb_error *err)
{
  return fold_do(arg, u, input, FOLD_ADD, err);
}

static sb_status
fold_merge_fn(void *arg, sb_update *u, sb_slice input, sb_error *err)
{
  return fold_do(arg, u, input, FOLD_MERGE, err);
}

static void
fold_turn(const uint8_t *seed, uint8_t *result)
{
  size_t i;

  for (i = 0; i < 8; i++)
    result[i] = (uint8_t)~seed[i];
}

static sb_status
fold_result_fn(void *arg, sb_slice accumulator, sb_give_fn *give,
               void *give_arg, sb_error *err)
{
  folding *f = arg;
  uint8_t result[8];

  (void)err;
  if (accumulator.len < 9)
    sim_fail(&f->t->job->l->s, SIM_WRONG, "an accumulator of %zu bytes",
             accumulator.len);
  fold_turn(accumulator.data, result);
  return give(give_arg, result, sizeof result);
}

void
fold_spec(subtask *t, uint32_t state, sb_state_spec *spec)
{
  uint32_t kind = t->job->l->sp.states[state].kind;
  folding *f = &t->handles[state].fold;

  if (kind != SB_STATE_REDUCING && kind != SB_STATE_AGGREGATING)
    return;
  f->t = t;
  f->state = state;
  spec->fold = fold_add_fn;
  spec->fold_arg = f;
  if (kind == SB_STATE_REDUCING)
    return;
  spec->merge = fold_merge_fn;
  spec->result = fold_result_fn;
}

/* ---- calls -------------------------------------------------------------- */

static const cell *
fold_cell(const subtask *t, place at)
{
  return &t->job->m.cells[space_cell(&t->job->l->sp, at)];
}

static int
fold_is_reducing(const subtask *t, place at)
{
  return t->job->l->sp.states[at.state].kind == SB_STATE_REDUCING;
}

value_ref
fold_added(const subtask *t, place at, value_ref input)
{
  const cell *c = fold_cell(t, at);

  if (c->value.len != MODEL_ABSENT)
    return fold_two(c->value, input, FOLD_ADD);
  return fold_is_reducing(t, at) ? input : fold_begun(input);
}

void
fold_shown(const subtask *t, place at, uint8_t *result)
{
  uint8_t seed[8];

  memcpy(seed, &fold_cell(t, at)->value.seed, sizeof seed);
  fold_turn(seed, result);
}

/* It was folded into what was there, or into nothing, and either may be so
   when that had expired. */
static void
fold_set(subtask *t, place at, value_ref input, uint64_t begin)
{
  const folding *f = &t->handles[at.state].fold;
  int absent = cell_is_absent(fold_cell(t, at), subtask_now_ms(t));

  if (absent == f->exists)
    typed_wrong(t, "fold", at, f->exists ? SB_OK : SB_NOT_FOUND,
                sb_slice_of(NULL, 0));
  if (!f->exists && absent != 1)
    act_set(t, space_cell(&t->job->l->sp, at), cell_absent());
  typed_set(t, at, fold_added(t, at, input), begin);
  typed_settle(t, at, begin, 0);
}

void
fold_write(subtask *t, place at)
{
  state_handle *h = &t->handles[at.state];
  value_ref input = typed_value(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_slice bytes = typed_bytes(input, t->bytes);
  sb_error err;
  sb_status status;

  h->fold.calls = h->fold.exists = 0;
  h->fold.fails = rng_chance(&t->job->l->rng, 30);
  status = h->reducing != NULL ? sb_reducing_add(h->reducing, bytes, &err)
                               : sb_aggregating_add(h->aggregating, bytes,
                                                    &err);
  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (h->fold.fails && h->fold.calls == 1) {
    h->fold.fails = 0;
    if (status == SB_INVALID &&
        strcmp(err.message, "the fold does not want to") == 0)
      return;
    sim_fail(&t->job->l->s, SIM_WRONG, "a fold that fails gives %s: %s",
             sb_status_name(status), err.message);
  }
  h->fold.fails = 0;
  if (!job_tolerates(t->job, status, &err, "a typed add"))
    fold_set(t, at, input, begin);
}

static void
fold_get(subtask *t, place at)
{
  state_handle *h = &t->handles[at.state];
  uint64_t from = subtask_from_ms(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  int internal = h->reducing != NULL || rng_chance(&t->job->l->rng, 300);
  sb_slice value = { NULL, 0 };
  const cell *c;
  uint8_t result[8];
  sb_error err;
  sb_status status =
    h->reducing != NULL ? sb_reducing_get(h->reducing, &value, &err)
    : internal ? sb_aggregating_get_internal(h->aggregating, &value, &err)
               : sb_aggregating_get(h->aggregating, &value, &err);

  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (status != SB_NOT_FOUND && job_tolerates(t->job, status, &err,
                                              "a typed get"))
    return;
  c = fold_cell(t, at);
  if (!internal && status == SB_OK) {
    fold_shown(t, at, result);
    if (value.len != sizeof result ||
        memcmp(value.data, result, sizeof result) != 0 ||
        cell_is_absent(c, subtask_now_ms(t)) == 1 ||
        end_is_over(&t->job->l->sp, at.state, c->end_ms, from))
      typed_wrong(t, "aggregating get", at, status, value);
  } else {
    typed_check(t, "fold get", at, status, value, from);
  }
  typed_settle(t, at, begin, status == SB_OK);
}

static void
fold_put(subtask *t, place at)
{
  state_handle *h = &t->handles[at.state];
  value_ref value = typed_value(t, at.state);
  uint64_t begin = typed_stamp(t, at.state);
  sb_slice bytes = typed_bytes(value, t->bytes);
  sb_error err;
  sb_status status =
    h->reducing != NULL
      ? sb_reducing_update_internal(h->reducing, bytes, &err)
      : sb_aggregating_update_internal(h->aggregating, bytes, &err);

  batches_settled(t, space_cell(&t->job->l->sp, at), status);
  if (job_tolerates(t->job, status, &err, "update_internal"))
    return;
  typed_set(t, at, value, begin);
  typed_settle(t, at, begin, 0);
}

/* ---- merging namespaces ------------------------------------------------- */

static void
fold_merged(subtask *t, place at, const uint32_t *numbers, size_t count)
{
  uint64_t salt = fold_is_reducing(t, at) ? FOLD_ADD : FOLD_MERGE;
  value_ref sum = { 0, MODEL_ABSENT, 0, 0, 0 };
  size_t i;

  for (i = 0; i < count; i++) {
    place from = { at.state, at.key, numbers[i], 0 };
    value_ref value = fold_cell(t, from)->value;

    if (numbers[i] == at.ns || value.len == MODEL_ABSENT)
      continue;
    sum = sum.len == MODEL_ABSENT ? value : fold_two(sum, value, salt);
    act_set(t, space_cell(&t->job->l->sp, from), cell_absent());
  }
  if (sum.len == MODEL_ABSENT)
    return;
  if (fold_cell(t, at)->value.len != MODEL_ABSENT)
    sum = fold_two(fold_cell(t, at)->value, sum, salt);
  typed_set(t, at, sum, 0);
}

/* Only where nothing expires: else what was merged could not be known. */
static void
fold_merge(subtask *t, place at)
{
  life *l = t->job->l;
  const space_state *s = &l->sp.states[at.state];
  state_handle *h = &t->handles[at.state];
  sb_slice target = typed_namespace(&l->sp, at.state, at.ns);
  sb_slice sources[TYPED_SOME];
  uint32_t numbers[TYPED_SOME];
  size_t count = (size_t)rng_below(&l->rng, s->namespaces + 1), i;
  sb_error err;
  sb_status status;

  if (s->ttl_ms != 0)
    return;
  for (i = 0; i < count; i++) {
    numbers[i] = (uint32_t)rng_below(&l->rng, s->namespaces);
    sources[i] = typed_namespace(&l->sp, at.state, numbers[i]);
  }
  status = h->reducing != NULL
             ? sb_reducing_merge(h->reducing, target, sources, count, &err)
             : sb_aggregating_merge(h->aggregating, target, sources, count,
                                    &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "a merge of namespaces"))
    job_give_up(t->job, "namespaces may have been merged in part");
  fold_merged(t, at, numbers, count);
}

void
folds_step(subtask *t, place at, uint64_t pick)
{
  if (pick < 400)
    fold_get(t, at);
  else if (pick < 460)
    fold_put(t, at);
  else if (pick < 560)
    fold_merge(t, at);
  else
    fold_write(t, at);
}
