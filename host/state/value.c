/* SPDX-License-Identifier: Apache-2.0 */
/* Value state: one record for each key and namespace. */
#include "config.h"

#include "host/state/context.h"

struct sb_value {
  state_base base;
};

static const sb_slice value_no_subkey = { NULL, 0 };

sb_status
sb_value_open(sb_context *context, const char *name, sb_value **out,
              sb_error *err)
{
  state_base *base;
  sb_status status = context_open(context, name, SB_STATE_VALUE,
                                  sizeof (sb_value), &base, err);

  *out = (sb_value *)base;
  return status;
}

sb_status
sb_value_get(sb_value *state, sb_slice *value, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, value_no_subkey, &place, err);

  return status != SB_OK ? status : keyed->ops->get(keyed, &place, value, err);
}

sb_status
sb_value_put(sb_value *state, sb_slice value, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, value_no_subkey, &place, err);

  return status != SB_OK ? status
                         : keyed->ops->put(keyed, &place, value, 0, err);
}

sb_status
sb_value_update(sb_value *state, sb_update_fn *fn, void *arg, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, value_no_subkey, &place, err);

  return status != SB_OK ? status
                         : keyed->ops->update(keyed, &place, fn, arg, err);
}

sb_status
sb_value_clear(sb_value *state, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, value_no_subkey, &place, err);

  return status != SB_OK ? status : keyed->ops->remove(keyed, &place, err);
}
