/* SPDX-License-Identifier: Apache-2.0 */
/* Aggregating state: values are added to an accumulator of another form. */
#include "config.h"

#include "host/state/fold.h"

sb_status
sb_aggregating_open_spec(sb_context *context, const sb_state_spec *spec,
                         sb_aggregating **out, sb_error *err)
{
  fold_state *state;
  sb_status status;

  if (out == NULL)
    return state_need(NULL, "where to put the state", err);
  *out = NULL;
  status = fold_open(context, spec, SB_STATE_AGGREGATING, &state, err);
  if (status == SB_OK)
    *out = (sb_aggregating *)state;
  return status;
}

sb_status
sb_aggregating_add(sb_aggregating *state, sb_slice value, sb_error *err)
{
  return fold_add((fold_state *)state, SB_STATE_AGGREGATING, value, err);
}

sb_status
sb_aggregating_get(sb_aggregating *state, sb_slice *result, sb_error *err)
{
  sb_slice accumulator = { NULL, 0 };
  sb_status status = state_need(result, "where to put the result", err);

  if (status == SB_OK)
    status = fold_get((fold_state *)state, SB_STATE_AGGREGATING, &accumulator,
                      err);
  if (status != SB_OK)
    return status;
  return fold_result((fold_state *)state, accumulator, result, err);
}

sb_status
sb_aggregating_get_internal(sb_aggregating *state, sb_slice *accumulator,
                            sb_error *err)
{
  return fold_get((fold_state *)state, SB_STATE_AGGREGATING, accumulator, err);
}

sb_status
sb_aggregating_update_internal(sb_aggregating *state, sb_slice accumulator,
                               sb_error *err)
{
  return fold_put((fold_state *)state, SB_STATE_AGGREGATING, accumulator, err);
}

sb_status
sb_aggregating_clear(sb_aggregating *state, sb_error *err)
{
  return fold_clear((fold_state *)state, SB_STATE_AGGREGATING, err);
}

sb_status
sb_aggregating_merge(sb_aggregating *state, sb_slice target,
                     const sb_slice *sources, size_t count, sb_error *err)
{
  return fold_merge((fold_state *)state, SB_STATE_AGGREGATING, target, sources,
                    count, err);
}
