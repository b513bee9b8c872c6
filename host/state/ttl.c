/* SPDX-License-Identifier: Apache-2.0 */
/* Time to live of states; see ttl.h. */
#include "config.h"

#include "host/state/ttl.h"

static uint64_t
ttl_now(const state_base *base)
{
  const sb_context *context = base->context;

  if (base->ttl_time == SB_TTL_EVENT)
    return context->time_ms;
  return context->host->clock_ms(context->host);
}

uint64_t
ttl_stamp(const state_base *base)
{
  uint64_t now;

  if (base->ttl_ms == 0)
    return 0;
  now = ttl_now(base);
  return now == 0 ? 1 : now; /* 0 would be never */
}

int
ttl_over(const state_base *base, uint64_t stamp)
{
  uint64_t now;

  if (base->ttl_ms == 0 || stamp == 0)
    return 0;
  now = ttl_now(base);
  return now >= stamp && now - stamp >= base->ttl_ms;
}

void
ttl_put_stamp(uint8_t *to, uint64_t stamp)
{
  int i;

  for (i = 0; i < 8; i++)
    to[i] = (uint8_t)(stamp >> (56 - 8 * i));
}

uint64_t
ttl_split(sb_slice element, sb_slice *rest)
{
  const uint8_t *p = element.data;
  uint64_t stamp = 0;
  int i;

  *rest = element;
  if (element.len < TTL_STAMP_LEN)
    return 0;
  for (i = 0; i < 8; i++)
    stamp = stamp << 8 | p[i];
  *rest = sb_slice_of(p + TTL_STAMP_LEN, element.len - TTL_STAMP_LEN);
  return stamp;
}

/* ---- reading one record ------------------------------------------------- */

typedef struct ttl_reading {
  const state_base *base;
  int found;
} ttl_reading;

static sb_status
ttl_read(void *arg, sb_update *u)
{
  ttl_reading *r = arg;
  buf *copy = &r->base->context->reading;
  uint64_t now;

  if (!u->exists)
    return SB_OK;
  r->found = 1;
  buf_clear(copy);
  buf_add(copy, u->data, u->len);
  if (copy->status != SB_OK)
    return copy->status;
  if (ttl_over(r->base, u->expires_ms)) {
    r->found = r->base->ttl_visibility == SB_TTL_UNLESS_CLEANED;
    u->action = SB_UPDATE_REMOVE;
    return SB_OK;
  }
  now = ttl_stamp(r->base);
  if (r->base->ttl_update == SB_TTL_READ_WRITE && u->expires_ms != now) {
    u->expires_ms = now;
    u->action = SB_UPDATE_IN_PLACE;
  }
  return SB_OK;
}

sb_status
ttl_get(const state_base *base, const sb_key *place, sb_slice *value,
        sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  ttl_reading reading = { base, 0 };
  sb_status status;

  if (base->plain)
    return keyed->ops->get(keyed, place, value, err);
  status = keyed->ops->update(keyed, place, ttl_read, &reading, err);
  if (status != SB_OK)
    return status;
  if (!reading.found)
    return SB_NOT_FOUND;
  *value = sb_slice_of(base->context->reading.data,
                       base->context->reading.len);
  return SB_OK;
}

/* ---- clean-up ----------------------------------------------------------- */

void
ttl_stop(state_base *base)
{
  sb_keyed *keyed = base->context->keyed;

  if (base->cleaner != NULL)
    keyed->ops->scan_close(keyed, base->cleaner);
  base->cleaner = NULL;
}

static sb_status
ttl_start(state_base *base)
{
  const sb_context *context = base->context;
  sb_scan_options options = { .struct_size = sizeof options };

  if (base->cleaner != NULL)
    return SB_OK;
  options.flags = SB_SCAN_EXPIRED;
  options.state = base->id;
  options.key_group_first = context->key_group_first;
  options.key_group_last = context->key_group_last;
  return context->keyed->ops->scan_open(context->keyed, &options,
                                        &base->cleaner, NULL);
}

void
ttl_clean_some(state_base *base)
{
  sb_keyed *keyed = base->context->keyed;
  sb_status status = ttl_start(base);
  uint32_t i;

  for (i = 0; status == SB_OK && i < base->cleanup; i++) {
    sb_slice rest;
    sb_row row;
    int over;

    status = keyed->ops->scan_next(keyed, base->cleaner, &row, NULL);
    if (status != SB_OK)
      break;
    over = ttl_over(base, base->stamped ? ttl_split(row.value, &rest)
                                        : row.expires_ms);
    if (over)
      status = keyed->ops->scan_remove(keyed, base->cleaner, NULL);
  }
  if (status != SB_OK)
    ttl_stop(base);
}
