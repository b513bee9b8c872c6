/* SPDX-License-Identifier: Apache-2.0 */
/* Reducing state: values are folded together as they come. */
#include "config.h"

#include "host/state/fold.h"

sb_status
sb_reducing_open_spec(sb_context *context, const sb_state_spec *spec,
                      sb_reducing **out, sb_error *err)
{
  fold_state *state;
  sb_status status;

  if (out == NULL)
    return state_need(NULL, "where to put the state", err);
  *out = NULL;
  status = fold_open(context, spec, SB_STATE_REDUCING, &state, err);
  if (status == SB_OK)
    *out = (sb_reducing *)state;
  return status;
}

sb_status
sb_reducing_add(sb_reducing *state, sb_slice value, sb_error *err)
{
  return fold_add((fold_state *)state, SB_STATE_REDUCING, value, err);
}

sb_status
sb_reducing_get(sb_reducing *state, sb_slice *value, sb_error *err)
{
  return fold_get((fold_state *)state, SB_STATE_REDUCING, value, err);
}

sb_status
sb_reducing_update_internal(sb_reducing *state, sb_slice value, sb_error *err)
{
  return fold_put((fold_state *)state, SB_STATE_REDUCING, value, err);
}

sb_status
sb_reducing_clear(sb_reducing *state, sb_error *err)
{
  return fold_clear((fold_state *)state, SB_STATE_REDUCING, err);
}

sb_status
sb_reducing_merge(sb_reducing *state, sb_slice target,
                  const sb_slice *sources, size_t count, sb_error *err)
{
  return fold_merge((fold_state *)state, SB_STATE_REDUCING, target, sources,
                    count, err);
}
