/* SPDX-License-Identifier: Apache-2.0 */
/* Folding into one record a key and namespace; see fold.h. */
#include "config.h"

#include "host/state/fold.h"
#include "host/state/record.h"
#include "host/state/spec.h"
#include "host/state/ttl.h"

static void
fold_dispose(state_base *base)
{
  buf_dispose(&((fold_state *)base)->output);
}

sb_status
fold_open(sb_context *context, const sb_state_spec *spec, uint32_t kind,
          fold_state **out, sb_error *err)
{
  sb_state_spec copy;
  state_base *base;
  fold_state *state;
  sb_status status = spec_open(context, spec, kind, sizeof *state, &base,
                               err);

  if (status != SB_OK)
    return status;
  state = (fold_state *)base;
  *out = state;
  if (base->dispose != NULL)
    return SB_OK; /* it was open: its functions stay */
  (void)spec_copy(spec, kind, &copy, NULL);
  state->add = copy.fold;
  state->merge = kind == SB_STATE_REDUCING ? copy.fold : copy.merge;
  state->result = kind == SB_STATE_REDUCING ? NULL : copy.result;
  state->arg = copy.fold_arg;
  buf_init(&state->output, context->host, (size_t)SB_VALUE_MAX);
  base->dispose = fold_dispose;
  return SB_OK;
}

/* ---- one fold ----------------------------------------------------------- */

void
fold_begin(const fold_state *state, sb_slice input, fold_step *step)
{
  step->state = state;
  step->fn = state->add;
  step->input = input;
  step->as_is = state->base.kind == SB_STATE_REDUCING;
  step->stamp = 0;
  step->err.status = SB_OK;
  step->err.system = 0;
  step->err.message[0] = '\0';
}

sb_status
fold_apply(void *arg, sb_update *u)
{
  fold_step *step = arg;
  uint64_t stamp = step->stamp;

  if (!u->exists && step->as_is) {
    u->replacement = step->input;
    u->action = SB_UPDATE_PUT;
  } else {
    sb_status status = step->fn(step->state->arg, u, step->input, &step->err);

    step->err.status = status;
    if (status != SB_OK)
      return status;
    stamp = 0;
  }
  if (step->state->base.ttl_ms != 0 &&
      (u->action == SB_UPDATE_PUT || u->action == SB_UPDATE_IN_PLACE))
    u->expires_ms = stamp != 0 ? stamp : ttl_stamp(&step->state->base);
  return SB_OK;
}

void
fold_explain(const fold_step *step, sb_status status, sb_error *err)
{
  if (status == SB_OK || err == NULL || step->err.status == SB_OK)
    return;
  *err = step->err;
  err->status = status;
  if (err->message[0] == '\0')
    (void)sb_fail(err, status, "could not fold into state \"%s\": the "
                  "function failed: %s", step->state->base.name,
                  sb_status_name(status));
}

static sb_status
fold_update(fold_state *state, const sb_key *place, fold_step *step,
            sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_status status = keyed->ops->update(keyed, place, fold_apply, step, err);

  fold_explain(step, status, err);
  ttl_clean(&state->base);
  return status;
}

sb_status
fold_add(fold_state *state, uint32_t kind, sb_slice input, sb_error *err)
{
  fold_step step;
  sb_key place;
  sb_status status = context_use((const state_base *)state, kind,
                                 record_alone, &place, err);

  if (status == SB_OK)
    status = slice_check(input, "the value", err);
  if (status != SB_OK)
    return status;
  fold_begin(state, input, &step);
  return fold_update(state, &place, &step, err);
}

sb_status
fold_get(fold_state *state, uint32_t kind, sb_slice *value, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, kind,
                                 record_alone, &place, err);

  if (status == SB_OK)
    status = state_need(value, "where to put the value", err);
  return status != SB_OK ? status
                         : record_get(&state->base, &place, value, err);
}

sb_status
fold_put(fold_state *state, uint32_t kind, sb_slice value, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, kind,
                                 record_alone, &place, err);

  return status != SB_OK ? status
                         : record_put(&state->base, &place, value, err);
}

sb_status
fold_clear(fold_state *state, uint32_t kind, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, kind,
                                 record_alone, &place, err);

  return status != SB_OK ? status : record_remove(&state->base, &place, err);
}

/* ---- results ------------------------------------------------------------ */

sb_status
fold_result(fold_state *state, sb_slice accumulator, sb_slice *result,
            sb_error *err)
{
  sb_error error = { .message = "" };
  sb_status status;

  *result = accumulator;
  if (state->result == NULL)
    return SB_OK;
  buf_clear(&state->output);
  status = state->result(state->arg, accumulator, buf_give, &state->output,
                         &error);
  if (status == SB_OK)
    status = state->output.status;
  if (status == SB_OK) {
    *result = sb_slice_of(state->output.data, state->output.len);
    return SB_OK;
  }
  if (err != NULL && error.message[0] != '\0') {
    *err = error;
    err->status = status;
    return status;
  }
  return sb_fail(err, status, "could not read state \"%s\": the result "
                 "function failed: %s", state->base.name,
                 sb_status_name(status));
}

/* ---- merging namespaces ------------------------------------------------- */

/* What the sources have, folded together. */
typedef struct fold_sum {
  fold_state *state;
  buf *value;
  int exists;
  uint64_t stamp;      /* of the only source that has something, or 0 */
  sb_error err;
} fold_sum;

static sb_status
fold_set_sum(fold_sum *sum, const void *data, size_t len)
{
  buf *b = &sum->state->base.context->writing;

  /* A replacement may be part of what it replaces. */
  buf_clear(b);
  buf_add(b, data, len);
  if (b->status != SB_OK)
    return b->status;
  buf_clear(sum->value);
  buf_add(sum->value, b->data, b->len);
  sum->exists = 1;
  return sum->value->status;
}

/* An update function that changes nothing, to see the record and its stamp. */
static sb_status
fold_sum_source(void *arg, sb_update *u)
{
  fold_sum *sum = arg;
  sb_update total = { .struct_size = sizeof total };
  sb_status status;

  if (!u->exists)
    return SB_OK;
  if (!sum->exists) {
    sum->stamp = u->expires_ms;
    return fold_set_sum(sum, u->data, u->len);
  }
  sum->stamp = 0;
  total.exists = 1;
  total.data = sum->value->data;
  total.len = sum->value->len;
  status = sum->state->merge(sum->state->arg, &total,
                             sb_slice_of(u->data, u->len), &sum->err);
  if (status == SB_OK && total.action == SB_UPDATE_PUT)
    status = slice_check(total.replacement, "the value", &sum->err);
  if (status == SB_OK && total.action == SB_UPDATE_PUT)
    return fold_set_sum(sum, total.replacement.data, total.replacement.len);
  if (total.action == SB_UPDATE_REMOVE)
    sum->exists = 0;
  return status;
}

static int
fold_is_among(sb_slice ns, sb_slice target, const sb_slice *before, size_t n)
{
  size_t i;

  if (ns.len == target.len &&
      (ns.len == 0 || memcmp(ns.data, target.data, ns.len) == 0))
    return 1;
  for (i = 0; i < n; i++)
    if (before[i].len == ns.len &&
        (ns.len == 0 || memcmp(before[i].data, ns.data, ns.len) == 0))
      return 1;
  return 0;
}

static sb_status
fold_sum_all(fold_sum *sum, sb_key place, sb_slice target,
             const sb_slice *sources, size_t count, sb_error *err)
{
  sb_keyed *keyed = sum->state->base.context->keyed;
  sb_status status = SB_OK;
  size_t i;

  for (i = 0; status == SB_OK && i < count; i++) {
    if (fold_is_among(sources[i], target, sources, i))
      continue;
    place.ns = sources[i];
    status = keyed->ops->update(keyed, &place, fold_sum_source, sum, err);
  }
  if (status != SB_OK && err != NULL && sum->err.message[0] != '\0') {
    *err = sum->err;
    err->status = status;
  }
  return status;
}

static sb_status
fold_merge_into(fold_sum *sum, const sb_key *place, sb_error *err)
{
  fold_step step;

  if (!sum->exists)
    return SB_OK;
  fold_begin(sum->state, sb_slice_of(sum->value->data, sum->value->len),
             &step);
  step.fn = sum->state->merge;
  step.as_is = 1;
  step.stamp = sum->stamp;
  return fold_update(sum->state, place, &step, err);
}

sb_status
fold_merge(fold_state *state, uint32_t kind, sb_slice target,
           const sb_slice *sources, size_t count, sb_error *err)
{
  fold_sum sum = { .state = state };
  sb_keyed *keyed;
  sb_key place;
  sb_status status = context_use((const state_base *)state, kind,
                                 record_alone, &place, err);
  size_t i;

  if (status == SB_OK && count != 0)
    status = state_need(sources, "the namespaces to merge", err);
  if (status == SB_OK)
    status = context_check_merge(target, sources, count, err);
  if (status != SB_OK)
    return status;
  if (state->merge == NULL)
    return sb_fail(err, SB_INVALID, "cannot merge namespaces of state \"%s\": "
                   "it has no merge function", state->base.name);
  keyed = state->base.context->keyed;
  sum.value = &state->output;
  buf_clear(sum.value);
  status = fold_sum_all(&sum, place, target, sources, count, err);
  place.ns = target;
  if (status == SB_OK)
    status = fold_merge_into(&sum, &place, err);
  for (i = 0; status == SB_OK && i < count; i++) {
    place.ns = sources[i];
    if (!fold_is_among(sources[i], target, NULL, 0))
      status = keyed->ops->remove(keyed, &place, err);
  }
  return status;
}
