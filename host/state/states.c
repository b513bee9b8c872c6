/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a handle: what they are, and dropping one. */
#include "config.h"

#include "host/state/iterator.h"
#include "host/state/spec.h"
#include "host/state/ttl.h"
#include "host/state/visitor.h"

static void
states_describe(const sb_context *context, const sb_state_info *info,
                sb_state_description *d)
{
  spec_stored stored;
  const state_base *base = context_named(context, info->name);

  spec_read(info, &stored);
  d->kind = info->kind;
  d->name = info->name;
  d->key_type = stored.types[0];
  d->namespace_type = stored.types[1];
  d->subkey_type = stored.types[2];
  d->value_type = stored.types[3];
  d->schema_version = base != NULL ? base->schema_version
                                   : stored.schema_version;
  d->restored = info->restored;
  d->open = base != NULL;
  d->ttl_ms = info->ttl_ms;
}

/* Numbers of the handle whose states were dropped do not count. */
static sb_status
states_find(sb_keyed *keyed, uint32_t index, sb_state_info *info,
            sb_error *err)
{
  uint32_t number, found = 0;
  sb_status status;

  for (number = 0;; number++) {
    status = keyed->ops->state_at(keyed, number, info, err);
    if (status != SB_OK && status != SB_NOT_FOUND)
      return status;
    if (status == SB_OK && found++ == index)
      return SB_OK;
  }
}

sb_status
sb_context_state_at(sb_context *context, uint32_t index,
                    sb_state_description *state, sb_error *err)
{
  sb_state_description d = { .struct_size = sizeof d };
  sb_state_info info = { .struct_size = sizeof info };
  sb_status status;
  size_t size;

  if (context == NULL || state == NULL)
    return state_need(NULL, context == NULL ? "the context" : "the state",
                      err);
  if (!SB_KEYED_HAS(context->keyed, state_at))
    return sb_fail(err, SB_UNSUPPORTED, "cannot list states: the backend has "
                   "no way to");
  status = states_find(context->keyed, index, &info, err);
  if (status != SB_OK)
    return status;
  states_describe(context, &info, &d);
  size = state->struct_size < sizeof d ? state->struct_size : sizeof d;
  d.struct_size = state->struct_size;
  memcpy(state, &d, size);
  return SB_OK;
}

static void
states_close_source(sb_iterator *it, iterator_source *source)
{
  sb_keyed *keyed = it->context->keyed;

  keyed->ops->scan_close(keyed, source->cursor);
  source->cursor = NULL;
  source->at_end = 1;
  it->has_row = 0;
}

/* A state goes: its cursors must not be used again, what is over it ends. */
static void
states_close_cursors(sb_context *context, uint32_t id)
{
  sb_keyed *keyed = context->keyed;
  sb_visitor *v;
  sb_iterator *it;
  size_t i;

  for (it = context->iterators; it != NULL; it = it->next)
    for (i = 0; i < it->count; i++)
      if (it->sources[i].state == id && it->sources[i].cursor != NULL)
        states_close_source(it, &it->sources[i]);
  for (v = context->visitors; v != NULL; v = v->next) {
    if (v->base->id != id || v->cursor == NULL)
      continue;
    keyed->ops->scan_close(keyed, v->cursor);
    v->cursor = NULL;
    v->count = 0;
  }
}

sb_status
sb_context_drop_state(sb_context *context, const char *name, sb_error *err)
{
  state_base *base;
  uint32_t id = 0;
  sb_status status;

  if (context == NULL)
    return state_need(NULL, "the context", err);
  if (!SB_KEYED_HAS(context->keyed, drop_state))
    return sb_fail(err, SB_UNSUPPORTED, "cannot drop a state: the backend has "
                   "no way to");
  status = context_lookup(context, name, &id, err);
  if (status != SB_OK)
    return status;
  base = context_named(context, sb_slice_of(name, strlen(name)));
  if (context->pending != 0)
    return sb_fail(err, SB_BUSY, "could not drop state \"%s\": %zu requests "
                   "are pending", name, context->pending);
  if (base != NULL)
    ttl_stop(base);
  states_close_cursors(context, id);
  status = context->keyed->ops->drop_state(context->keyed, id, err);
  if (status == SB_OK && base != NULL)
    base->kind = 0;
  return status;
}
