/* SPDX-License-Identifier: Apache-2.0 */
/* List state: elements appended without reading, read in order. */
#include "config.h"

#include "host/state/context.h"

struct sb_list {
  state_base base;
};

sb_status
sb_list_open(sb_context *context, const char *name, sb_list **out,
             sb_error *err)
{
  state_base *base;
  sb_status status = context_open(context, name, SB_STATE_LIST,
                                  sizeof (sb_list), &base, err);

  *out = (sb_list *)base;
  return status;
}

sb_status
sb_list_add(sb_list *state, sb_slice element, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_key place;
  sb_status status = context_place(&state->base, sb_slice_of(NULL, 0), &place,
                                   err);

  return status != SB_OK ? status
                         : keyed->ops->append(keyed, &place, element, 0, err);
}

sb_status
sb_list_update(sb_list *state, const sb_slice *elements, size_t count,
               sb_error *err)
{
  sb_status status = context_clear(&state->base, err);
  size_t i;

  for (i = 0; status == SB_OK && i < count; i++)
    status = sb_list_add(state, elements[i], err);
  return status;
}

/* A list too large for one value, by cursor. */
static sb_status
list_scan(sb_list *state, sb_element_fn *fn, void *arg, sb_error *err)
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
    if (status != SB_OK || fn(arg, row.value) != 0)
      break;
  }
  keyed->ops->scan_close(keyed, cursor);
  return status == SB_END ? SB_OK : status;
}

static sb_status
list_elements(sb_slice value, sb_element_fn *fn, void *arg, sb_error *err)
{
  reader r = reader_of(value.data, value.len);

  while (reader_left(&r) != 0) {
    sb_slice element = reader_bytes(&r, reader_u32(&r));

    if (r.bad)
      return sb_fail(err, SB_CORRUPT,
                     "could not read a list of %zu bytes: its last element is "
                     "cut off", value.len);
    if (fn(arg, element) != 0)
      break;
  }
  return SB_OK;
}

sb_status
sb_list_each(sb_list *state, sb_element_fn *fn, void *arg, sb_error *err)
{
  sb_keyed *keyed = state->base.context->keyed;
  sb_slice value;
  sb_key place;
  sb_status status = context_place(&state->base, sb_slice_of(NULL, 0), &place,
                                   err);

  if (status != SB_OK)
    return status;
  status = keyed->ops->get(keyed, &place, &value, err);
  if (status == SB_TOO_LARGE)
    return list_scan(state, fn, arg, err);
  return status != SB_OK ? status : list_elements(value, fn, arg, err);
}

sb_status
sb_list_clear(sb_list *state, sb_error *err)
{
  return context_clear(&state->base, err);
}
