/* SPDX-License-Identifier: Apache-2.0 */
/* Map state: one record for each user key of a key and namespace. */
#include "config.h"

#include "host/state/iterator.h"
#include "host/state/record.h"
#include "host/state/spec.h"
#include "host/state/ttl.h"

struct sb_map {
  state_base base;
};

sb_status
sb_map_open_spec(sb_context *context, const sb_state_spec *spec, sb_map **out,
                 sb_error *err)
{
  state_base *base;
  sb_status status;

  if (out == NULL)
    return state_need(NULL, "where to put the state", err);
  *out = NULL;
  status = spec_open(context, spec, SB_STATE_MAP, sizeof (sb_map), &base,
                     err);
  if (status == SB_OK)
    *out = (sb_map *)base;
  return status;
}

sb_status
sb_map_open(sb_context *context, const char *name, sb_map **out,
            sb_error *err)
{
  sb_state_spec spec = { .struct_size = sizeof spec };

  spec.name = name;
  return sb_map_open_spec(context, &spec, out, err);
}

static sb_status
map_place(const sb_map *state, sb_slice subkey, sb_key *place, sb_error *err)
{
  return context_use((const state_base *)state, SB_STATE_MAP, subkey, place,
                     err);
}

sb_status
sb_map_get(sb_map *state, sb_slice subkey, sb_slice *value, sb_error *err)
{
  sb_key place;
  sb_status status = map_place(state, subkey, &place, err);

  if (status == SB_OK)
    status = state_need(value, "where to put the value", err);
  return status != SB_OK ? status
                         : record_get(&state->base, &place, value, err);
}

sb_status
sb_map_put(sb_map *state, sb_slice subkey, sb_slice value, sb_error *err)
{
  sb_key place;
  sb_status status = map_place(state, subkey, &place, err);

  return status != SB_OK ? status
                         : record_put(&state->base, &place, value, err);
}

sb_status
sb_map_put_all(sb_map *state, const sb_slice *subkeys, const sb_slice *values,
               size_t count, sb_error *err)
{
  sb_key place;
  sb_status status = map_place(state, record_alone, &place, err);
  sb_keyed *keyed = state == NULL ? NULL : state->base.context->keyed;
  size_t i;

  if (status == SB_OK && count != 0 && (subkeys == NULL || values == NULL))
    status = state_need(NULL, subkeys == NULL ? "subkeys" : "values", err);
  if (status == SB_OK && count > 1 && !state->base.nulls &&
      SB_KEYED_HAS(keyed, put_all)) {
    status = keyed->ops->put_all(keyed, &place, subkeys, values, count,
                                 ttl_stamp(&state->base), err);
    ttl_clean(&state->base);
    return status;
  }
  if (status == SB_OK)
    status = slices_check(subkeys, count, "subkey", err);
  if (status == SB_OK)
    status = slices_check(values, count, "value", err);
  for (i = 0; status == SB_OK && i < count; i++) {
    place.subkey = subkeys[i];
    status = record_put(&state->base, &place, values[i], err);
  }
  return status;
}

sb_status
sb_map_contains(sb_map *state, sb_slice subkey, int *found, sb_error *err)
{
  sb_slice value;
  sb_status status = state_need(found, "where to put the answer", err);

  if (status == SB_OK)
    status = sb_map_get(state, subkey, &value, err);
  if (status != SB_OK && status != SB_NOT_FOUND)
    return status;
  *found = status == SB_OK;
  return SB_OK;
}

sb_status
sb_map_update(sb_map *state, sb_slice subkey, sb_update_fn *fn, void *arg,
              sb_error *err)
{
  sb_key place;
  sb_status status = map_place(state, subkey, &place, err);

  return status != SB_OK ? status
                         : record_update(&state->base, &place, fn, arg, err);
}

sb_status
sb_map_remove(sb_map *state, sb_slice subkey, sb_error *err)
{
  sb_key place;
  sb_status status = map_place(state, subkey, &place, err);

  return status != SB_OK ? status : record_remove(&state->base, &place, err);
}

sb_status
sb_map_clear(sb_map *state, sb_error *err)
{
  sb_keyed *keyed;
  sb_key place;
  sb_status status = map_place(state, record_alone, &place, err);

  if (status != SB_OK)
    return status;
  keyed = state->base.context->keyed;
  return keyed->ops->clear(keyed, &place, err);
}

/* ---- all entries -------------------------------------------------------- */

sb_status
sb_map_iterate(sb_map *state, sb_iterator **out, sb_error *err)
{
  sb_status status = state_use((const state_base *)state, SB_STATE_MAP, err);

  if (out == NULL)
    return state_need(NULL, "where to put the iterator", err);
  *out = NULL;
  return status != SB_OK ? status : iterator_of(&state->base, out, err);
}

sb_status
sb_map_each(sb_map *state, sb_entry_fn *fn, void *arg, sb_error *err)
{
  sb_iterator *iterator = NULL;
  sb_row row;
  sb_status status = SB_OK;

  if (fn == NULL)
    return state_need(NULL, "the function", err);
  status = sb_map_iterate(state, &iterator, err);
  while (status == SB_OK) {
    status = sb_iterator_next(iterator, &row, err);
    if (status == SB_OK && fn(arg, row.subkey, row.value) != 0)
      break;
  }
  sb_iterator_close(iterator);
  return status == SB_END ? SB_OK : status;
}

/* Is the key there at all? That needs no entry. */
static sb_status
map_key_row(sb_map *state, sb_row *row, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_scan_options options;
  sb_cursor *cursor;
  sb_status status = context_scan_options(&state->base, &options, err);

  options.flags = SB_SCAN_KEYS;
  if (status == SB_OK)
    status = keyed->ops->scan_open(keyed, &options, &cursor, err);
  if (status != SB_OK)
    return status;
  status = keyed->ops->scan_next(keyed, cursor, row, err);
  keyed->ops->scan_close(keyed, cursor);
  return status;
}

/* The first entry; what has expired goes meanwhile. */
static sb_status
map_first_row(sb_map *state, sb_row *row, sb_error *err)
{
  sb_iterator *iterator;
  sb_status status = sb_map_iterate(state, &iterator, err);

  if (status != SB_OK)
    return status;
  status = sb_iterator_next(iterator, row, err);
  sb_iterator_close(iterator);
  return status;
}

sb_status
sb_map_is_empty(sb_map *state, int *empty, sb_error *err)
{
  sb_row row;
  sb_status status = state_need(empty, "where to put the answer", err);

  if (status == SB_OK)
    status = state_use((const state_base *)state, SB_STATE_MAP, err);
  if (status != SB_OK)
    return status;
  status = state->base.ttl_ms == 0 ? map_key_row(state, &row, err)
                                   : map_first_row(state, &row, err);
  if (status != SB_OK && status != SB_END)
    return status;
  *empty = status == SB_END;
  return SB_OK;
}
