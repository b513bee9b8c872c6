/* SPDX-License-Identifier: Apache-2.0 */
/* One record of a state; see record.h. */
#include "config.h"

#include "host/state/record.h"
#include "host/state/ttl.h"

/* ---- null values -------------------------------------------------------- */

sb_status
record_wrap(const state_base *base, sb_slice value, sb_slice *stored,
            sb_error *err)
{
  buf *b = &base->context->writing;

  *stored = value;
  if (!base->nulls)
    return SB_OK;
  if (slice_bad(value)) /* neither a null nor a value */
    return slice_refuse(value, "the value", err);
  buf_clear(b);
  buf_u8(b, value.data == NULL);
  buf_add(b, value.data, value.len);
  if (b->status != SB_OK)
    return sb_fail(err, b->status, "could not store a value of %zu bytes in "
                   "state \"%s\": %s", value.len, base->name,
                   b->status == SB_NO_MEMORY ? "out of memory"
                                             : "it is too large");
  *stored = sb_slice_of(b->data, b->len);
  return SB_OK;
}

sb_status
record_unwrap(const state_base *base, sb_slice stored, sb_slice *value,
              sb_error *err)
{
  const uint8_t *p = stored.data;

  *value = stored;
  if (!base->nulls)
    return SB_OK;
  if (stored.len == 0)
    return sb_fail(err, SB_CORRUPT, "could not read state \"%s\": a value has "
                   "no byte that says whether it is null", base->name);
  *value = p[0] != 0 ? sb_slice_of(NULL, 0)
                     : sb_slice_of(p + 1, stored.len - 1);
  return SB_OK;
}

/* ---- get, put, remove --------------------------------------------------- */

sb_status
record_get(state_base *base, const sb_key *place, sb_slice *value,
           sb_error *err)
{
  sb_slice stored;
  sb_status status;

  ttl_clean(base);
  status = ttl_get(base, place, &stored, err);
  return status != SB_OK ? status : record_unwrap(base, stored, value, err);
}

sb_status
record_put(state_base *base, const sb_key *place, sb_slice value,
           sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_slice stored;
  sb_status status = record_wrap(base, value, &stored, err);

  if (status == SB_OK)
    status = keyed->ops->put(keyed, place, stored, ttl_stamp(base), err);
  ttl_clean(base);
  return status;
}

sb_status
record_remove(state_base *base, const sb_key *place, sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_status status = keyed->ops->remove(keyed, place, err);

  ttl_clean(base);
  return status;
}

/* ---- update ------------------------------------------------------------- */

typedef struct record_change {
  const state_base *base;
  sb_update_fn *fn;
  void *arg;
  sb_error err;
} record_change;

/* What the caller's function sees of it. */
static sb_status
record_show(record_change *c, const sb_update *stored, sb_update *shown)
{
  sb_slice value;
  sb_status status;

  *shown = *stored;
  if (!c->base->nulls || !stored->exists)
    return SB_OK;
  status = record_unwrap(c->base, sb_slice_of(stored->data, stored->len),
                         &value, &c->err);
  shown->data = (void *)(uintptr_t)value.data;
  shown->len = value.len;
  return status;
}

static sb_status
record_take(record_change *c, sb_update *stored, const sb_update *shown)
{
  sb_status status = SB_OK;

  stored->action = shown->action;
  stored->expires_ms = shown->expires_ms;
  stored->replacement = shown->replacement;
  if (shown->action == SB_UPDATE_PUT)
    status = record_wrap(c->base, shown->replacement, &stored->replacement,
                         &c->err);
  if (c->base->ttl_ms == 0)
    return status;
  if (shown->action == SB_UPDATE_KEEP && shown->exists) {
    if (ttl_over(c->base, stored->expires_ms))
      stored->action = SB_UPDATE_REMOVE;
    else if (c->base->ttl_update == SB_TTL_READ_WRITE)
      stored->action = SB_UPDATE_IN_PLACE;
  }
  if (stored->action == SB_UPDATE_PUT || stored->action == SB_UPDATE_IN_PLACE)
    stored->expires_ms = ttl_stamp(c->base);
  return status;
}

static sb_status
record_changed(void *arg, sb_update *stored)
{
  record_change *c = arg;
  sb_update shown;
  sb_status status = record_show(c, stored, &shown);

  if (status == SB_OK)
    status = c->fn(c->arg, &shown);
  return status != SB_OK ? status : record_take(c, stored, &shown);
}

sb_status
record_update(state_base *base, const sb_key *place, sb_update_fn *fn,
              void *arg, sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  record_change change = { .base = base, .fn = fn, .arg = arg };
  sb_status status;

  if (fn == NULL)
    return state_need(NULL, "the update function", err);
  if (base->ttl_ms == 0 && !base->nulls)
    return keyed->ops->update(keyed, place, fn, arg, err);
  change.err.message[0] = '\0';
  status = keyed->ops->update(keyed, place, record_changed, &change, err);
  if (status != SB_OK && err != NULL && change.err.message[0] != '\0')
    *err = change.err;
  ttl_clean(base);
  return status;
}
