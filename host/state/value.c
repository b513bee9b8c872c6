/* SPDX-License-Identifier: Apache-2.0 */
/* Value state: one record for each key and namespace. */
#include "config.h"

#include "host/state/record.h"
#include "host/state/spec.h"
#include "host/state/value.h"

struct sb_value {
  state_base base;
  sb_slice default_value; /* owned */
  int has_default;
};

static void
value_dispose(state_base *base)
{
  sb_value *state = (sb_value *)base;

  mem_free(base->context->host,
           (void *)(uintptr_t)state->default_value.data);
}

sb_status
sb_value_open_spec(sb_context *context, const sb_state_spec *spec,
                   sb_value **out, sb_error *err)
{
  sb_state_spec copy;
  state_base *base;
  sb_value *state;
  sb_status status;

  if (out == NULL)
    return state_need(NULL, "where to put the state", err);
  *out = NULL;
  status = spec_open(context, spec, SB_STATE_VALUE, sizeof *state, &base,
                     err);
  if (status != SB_OK)
    return status;
  state = (sb_value *)base;
  (void)spec_copy(spec, SB_STATE_VALUE, &copy, NULL);
  if ((copy.flags & SB_SPEC_DEFAULT) != 0 && !state->has_default) {
    const void *bytes = mem_dup(context->host, copy.default_value.data,
                                copy.default_value.len);

    if (bytes == NULL)
      return sb_fail(err, SB_NO_MEMORY,
                     "could not open state \"%s\": out of memory", copy.name);
    state->default_value = sb_slice_of(bytes, copy.default_value.len);
    state->has_default = 1;
    base->dispose = value_dispose;
  }
  *out = state;
  return SB_OK;
}

sb_status
sb_value_open(sb_context *context, const char *name, sb_value **out,
              sb_error *err)
{
  sb_state_spec spec = { .struct_size = sizeof spec };

  spec.name = name;
  return sb_value_open_spec(context, &spec, out, err);
}

int
value_default(const state_base *base, sb_slice *value)
{
  const sb_value *state = (const sb_value *)base;

  if (state->has_default)
    *value = state->default_value;
  return state->has_default;
}

sb_status
sb_value_get(sb_value *state, sb_slice *value, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_VALUE,
                                 record_alone, &place, err);

  if (status == SB_OK)
    status = state_need(value, "where to put the value", err);
  if (status != SB_OK)
    return status;
  status = record_get(&state->base, &place, value, err);
  if (status == SB_NOT_FOUND && value_default(&state->base, value))
    return SB_OK;
  return status;
}

sb_status
sb_value_put(sb_value *state, sb_slice value, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_VALUE,
                                 record_alone, &place, err);

  return status != SB_OK ? status
                         : record_put(&state->base, &place, value, err);
}

sb_status
sb_value_update(sb_value *state, sb_update_fn *fn, void *arg, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_VALUE,
                                 record_alone, &place, err);

  return status != SB_OK ? status
                         : record_update(&state->base, &place, fn, arg, err);
}

sb_status
sb_value_clear(sb_value *state, sb_error *err)
{
  sb_key place;
  sb_status status = context_use((const state_base *)state, SB_STATE_VALUE,
                                 record_alone, &place, err);

  return status != SB_OK ? status : record_remove(&state->base, &place, err);
}
