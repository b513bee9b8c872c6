/* SPDX-License-Identifier: Apache-2.0 */
/* Map state: one record for each user key of a key and namespace. */
#include "config.h"

#include "host/state/context.h"

struct sb_map {
  state_base base;
};

sb_status
sb_map_open(sb_context *context, const char *name, sb_map **out,
            sb_error *err)
{
  state_base *base;
  sb_status status = context_open(context, name, SB_STATE_MAP,
                                  sizeof (sb_map), &base, err);

  *out = (sb_map *)base;
  return status;
}

sb_status
sb_map_get(sb_map *state, sb_slice subkey, sb_slice *value, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, subkey, &place, err);

  return status != SB_OK ? status : keyed->ops->get(keyed, &place, value, err);
}

sb_status
sb_map_put(sb_map *state, sb_slice subkey, sb_slice value, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, subkey, &place, err);

  return status != SB_OK ? status
                         : keyed->ops->put(keyed, &place, value, 0, err);
}

sb_status
sb_map_update(sb_map *state, sb_slice subkey, sb_update_fn *fn, void *arg,
              sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, subkey, &place, err);

  return status != SB_OK ? status
                         : keyed->ops->update(keyed, &place, fn, arg, err);
}

sb_status
sb_map_remove(sb_map *state, sb_slice subkey, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, subkey, &place, err);

  return status != SB_OK ? status : keyed->ops->remove(keyed, &place, err);
}

sb_status
sb_map_each(sb_map *state, sb_entry_fn *fn, void *arg, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_scan_options options;
  sb_cursor *cursor;
  sb_row row;
  sb_status status = context_scan_options(&state->base, &options, err);

  if (status != SB_OK)
    return status;
  status = keyed->ops->scan_open(keyed, &options, &cursor, err);
  if (status != SB_OK)
    return status;
  for (;;) {
    status = keyed->ops->scan_next(keyed, cursor, &row, err);
    if (status != SB_OK || fn(arg, row.subkey, row.value) != 0)
      break;
  }
  keyed->ops->scan_close(keyed, cursor);
  return status == SB_END ? SB_OK : status;
}

sb_status
sb_map_clear(sb_map *state, sb_error *err)
{
  return context_clear(&state->base, err);
}
