/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of each kind of state, and what becomes of their answers. */
#include "config.h"

#include "host/state/batch.h"
#include "host/state/list.h"
#include "host/state/ttl.h"
#include "host/state/value.h"

/* ---- finishing ---------------------------------------------------------- */

static sb_status
request_finish_value(request *r, sb_slice *value, sb_error *err)
{
  (void)err;
  if (r->op.status != SB_NOT_FOUND || !value_default(r->base, value))
    return r->op.status;
  return SB_OK;
}

static sb_status
request_finish_map(request *r, sb_slice *value, sb_error *err)
{
  if (r->op.status != SB_OK)
    return r->op.status;
  return record_unwrap(r->base, *value, value, err);
}

static sb_status
request_finish_aggregating(request *r, sb_slice *value, sb_error *err)
{
  if (r->op.status != SB_OK)
    return r->op.status;
  return fold_result((fold_state *)r->base, *value, value, err);
}

/* Reading renews a list or removes it: as it is now, which may be something
   else than what was read. */
static sb_status
request_finish_list(request *r, sb_slice *value, sb_error *err)
{
  sb_slice stored = *value, ignored;
  list_count count;
  sb_status status = r->op.status;
  buf out;

  if (status != SB_OK || !r->base->stamped)
    return status;
  buf_init(&out, r->base->context->host, (size_t)SB_VALUE_MAX + 64);
  status = list_unpack(r->base, stored,
                       r->base->ttl_visibility == SB_TTL_UNLESS_CLEANED, &out,
                       &count, err);
  if (!r->base->context->read_only &&
      (count.live == 0 ||
       (r->base->ttl_update == SB_TTL_READ_WRITE && count.older != 0)))
    (void)list_get(r->base, &r->op.key, &ignored, NULL);
  buf_dispose(&r->read);
  r->read = out;
  *value = sb_slice_of(out.data, out.len);
  return status;
}

/* ---- value --------------------------------------------------------------- */

sb_status
sb_batch_value_get(sb_batch *batch, sb_value *state, const sb_place *place,
                   sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_GET, .state_kind = SB_STATE_VALUE };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  form.finish = request_finish_value;
  form.reads = 1;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_value_put(sb_batch *batch, sb_value *state, const sb_place *place,
                   sb_slice value, sb_answer_fn *answer, void *arg,
                   sb_error *err)
{
  request_form form = { .kind = SB_OP_PUT, .state_kind = SB_STATE_VALUE };

  form.base = (state_base *)state;
  form.place = place;
  form.value = value;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_value_clear(sb_batch *batch, sb_value *state, const sb_place *place,
                     sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_REMOVE, .state_kind = SB_STATE_VALUE };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

/* ---- list ---------------------------------------------------------------- */

sb_status
sb_batch_list_get(sb_batch *batch, sb_list *state, const sb_place *place,
                  sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_GET, .state_kind = SB_STATE_LIST };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  form.finish = request_finish_list;
  form.reads = 1;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_list_add(sb_batch *batch, sb_list *state, const sb_place *place,
                  sb_slice element, sb_answer_fn *answer, void *arg,
                  sb_error *err)
{
  request_form form = { .kind = SB_OP_APPEND, .state_kind = SB_STATE_LIST };

  form.base = (state_base *)state;
  form.place = place;
  form.value = element;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_list_clear(sb_batch *batch, sb_list *state, const sb_place *place,
                    sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_CLEAR, .state_kind = SB_STATE_LIST };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

/* ---- map ----------------------------------------------------------------- */

sb_status
sb_batch_map_get(sb_batch *batch, sb_map *state, const sb_place *place,
                 sb_slice subkey, sb_answer_fn *answer, void *arg,
                 sb_error *err)
{
  request_form form = { .kind = SB_OP_GET, .state_kind = SB_STATE_MAP };

  form.base = (state_base *)state;
  form.place = place;
  form.subkey = subkey;
  form.answer = answer;
  form.arg = arg;
  form.finish = request_finish_map;
  form.reads = 1;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_map_put(sb_batch *batch, sb_map *state, const sb_place *place,
                 sb_slice subkey, sb_slice value, sb_answer_fn *answer,
                 void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_PUT, .state_kind = SB_STATE_MAP };

  form.base = (state_base *)state;
  form.place = place;
  form.subkey = subkey;
  form.value = value;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_map_remove(sb_batch *batch, sb_map *state, const sb_place *place,
                    sb_slice subkey, sb_answer_fn *answer, void *arg,
                    sb_error *err)
{
  request_form form = { .kind = SB_OP_REMOVE, .state_kind = SB_STATE_MAP };

  form.base = (state_base *)state;
  form.place = place;
  form.subkey = subkey;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_map_clear(sb_batch *batch, sb_map *state, const sb_place *place,
                   sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_CLEAR, .state_kind = SB_STATE_MAP };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

/* ---- reducing ------------------------------------------------------------ */

sb_status
sb_batch_reducing_get(sb_batch *batch, sb_reducing *state,
                      const sb_place *place, sb_answer_fn *answer, void *arg,
                      sb_error *err)
{
  request_form form = { .kind = SB_OP_GET, .state_kind = SB_STATE_REDUCING };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  form.reads = 1;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_reducing_add(sb_batch *batch, sb_reducing *state,
                      const sb_place *place, sb_slice value,
                      sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_UPDATE,
                        .state_kind = SB_STATE_REDUCING };

  form.base = (state_base *)state;
  form.place = place;
  form.value = value;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_reducing_clear(sb_batch *batch, sb_reducing *state,
                        const sb_place *place, sb_answer_fn *answer, void *arg,
                        sb_error *err)
{
  request_form form = { .kind = SB_OP_REMOVE,
                        .state_kind = SB_STATE_REDUCING };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

/* ---- aggregating --------------------------------------------------------- */

sb_status
sb_batch_aggregating_get(sb_batch *batch, sb_aggregating *state,
                         const sb_place *place, sb_answer_fn *answer,
                         void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_GET,
                        .state_kind = SB_STATE_AGGREGATING };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  form.finish = request_finish_aggregating;
  form.reads = 1;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_aggregating_add(sb_batch *batch, sb_aggregating *state,
                         const sb_place *place, sb_slice value,
                         sb_answer_fn *answer, void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_UPDATE,
                        .state_kind = SB_STATE_AGGREGATING };

  form.base = (state_base *)state;
  form.place = place;
  form.value = value;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}

sb_status
sb_batch_aggregating_clear(sb_batch *batch, sb_aggregating *state,
                           const sb_place *place, sb_answer_fn *answer,
                           void *arg, sb_error *err)
{
  request_form form = { .kind = SB_OP_REMOVE,
                        .state_kind = SB_STATE_AGGREGATING };

  form.base = (state_base *)state;
  form.place = place;
  form.answer = answer;
  form.arg = arg;
  return batch_add(batch, &form, err);
}
