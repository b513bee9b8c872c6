/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: durable records in time order, of which the earliest are also kept
 * in memory (timer_cache.c). Every change goes to the keyed handle first, so
 * that a restart finds them all.
 */
#include "config.h"

#include "host/state/timers.h"

struct sb_timers {
  state_base base;
  timer_cache cache;
  buf record;  /* the record key that is being looked at */
  buf current; /* the timer that was handed out last */
};

static void
timers_dispose(state_base *base)
{
  sb_timers *timers = (sb_timers *)base;

  timer_cache_dispose(&timers->cache);
  buf_dispose(&timers->record);
  buf_dispose(&timers->current);
}

static sb_status
timers_fail_memory(sb_error *err)
{
  return sb_fail(err, SB_NO_MEMORY, "could not keep timers: out of memory");
}

sb_status
sb_timers_open(sb_context *context, const char *name, sb_timers **out,
               sb_error *err)
{
  uint32_t groups = context->key_group_last - context->key_group_first + 1;
  state_base *base;
  sb_timers *timers;
  sb_status status;

  *out = NULL;
  status = context_open(context, name, SB_STATE_TIMER, sizeof *timers, &base,
                        err);
  if (status != SB_OK)
    return status;
  timers = (sb_timers *)base;
  if (base->dispose == NULL) {
    if (timer_cache_init(&timers->cache, context->host, groups) != SB_OK)
      return timers_fail_memory(err);
    buf_init(&timers->record, context->host, SB_KEY_MAX);
    buf_init(&timers->current, context->host, SB_KEY_MAX);
    base->dispose = timers_dispose;
  }
  *out = timers;
  return SB_OK;
}

/* The record of a timer of the current key and namespace. */
static sb_status
timers_place(sb_timers *timers, int64_t time_ms, sb_key *place, sb_error *err)
{
  uint64_t order = timer_order(time_ms);
  buf *record = &timers->record;
  sb_status status;
  int shift;

  status = context_place(&timers->base, sb_slice_of(NULL, 0), place, err);
  if (status != SB_OK)
    return status;
  buf_clear(record);
  for (shift = 56; shift >= 0; shift -= 8)
    buf_u8(record, (uint8_t)(order >> shift));
  buf_slice(record, place->key);
  buf_add(record, place->ns.data, place->ns.len);
  if (record->status == SB_TOO_LARGE)
    return sb_fail(err, SB_TOO_LARGE,
                   "cannot keep a timer: its key and namespace have %zu bytes "
                   "together", place->key.len + place->ns.len);
  if (record->status != SB_OK)
    return timers_fail_memory(err);
  place->key = sb_slice_of(record->data, record->len);
  place->ns = sb_slice_of(NULL, 0);
  return SB_OK;
}

static uint32_t
timers_group(const sb_timers *timers, uint32_t key_group)
{
  return key_group - timers->base.context->key_group_first;
}

sb_status
sb_timers_add(sb_timers *timers, int64_t time_ms, sb_error *err)
{
  sb_keyed *keyed = timers->base.context->keyed;
  timer_entry *entry;
  uint32_t group;
  sb_key place;
  sb_status status = timers_place(timers, time_ms, &place, err);

  if (status != SB_OK)
    return status;
  group = timers_group(timers, place.key_group);
  if (timer_cache_has(&timers->cache, group, place.key))
    return SB_OK;
  status = timer_cache_reserve(&timers->cache, group, place.key, &entry);
  if (status != SB_OK)
    return timers_fail_memory(err);
  status = keyed->ops->put(keyed, &place, sb_slice_of(NULL, 0), 0, err);
  if (status == SB_OK)
    timer_cache_add(&timers->cache, group, entry);
  else
    timer_cache_unreserve(&timers->cache, entry);
  return status;
}

sb_status
sb_timers_remove(sb_timers *timers, int64_t time_ms, sb_error *err)
{
  sb_keyed *keyed = timers->base.context->keyed;
  sb_key place;
  sb_status status = timers_place(timers, time_ms, &place, err);

  if (status != SB_OK)
    return status;
  status = keyed->ops->remove(keyed, &place, err);
  if (status == SB_OK)
    timer_cache_remove(&timers->cache, timers_group(timers, place.key_group),
                       place.key);
  return status;
}

/* Reads rows into an empty group up to the cache's limit; the row after that
   is the group's new bound. */
static sb_status
timers_fill_rows(sb_timers *timers, timer_group *group, sb_cursor *cursor,
                 sb_error *err)
{
  sb_keyed *keyed = timers->base.context->keyed;
  timer_cache *cache = &timers->cache;
  sb_status status = SB_OK;
  sb_row row;

  while (status == SB_OK) {
    status = keyed->ops->scan_next(keyed, cursor, &row, err);
    if (status != SB_OK)
      break;
    if (row.key.len <= TIMER_TIME_LEN)
      return sb_fail(err, SB_CORRUPT, "could not read timers: a record of %zu "
                     "bytes", row.key.len);
    if (group->count == cache->limit)
      break;
    if (timer_cache_fill(cache, group, row.key) != SB_OK)
      return timers_fail_memory(err);
  }
  if (status != SB_OK && status != SB_END)
    return status;
  if (status == SB_END)
    row.key = sb_slice_of(NULL, 0);
  if (timer_cache_fill_end(cache, group, row.key) != SB_OK)
    return timers_fail_memory(err);
  return SB_OK;
}

static sb_status
timers_fill(sb_timers *timers, timer_group *group, sb_error *err)
{
  sb_context *context = timers->base.context;
  sb_keyed *keyed = context->keyed;
  sb_scan_options options = { .struct_size = sizeof options };
  sb_cursor *cursor;
  sb_status status;

  options.state = timers->base.id;
  options.key_group_first = context->key_group_first +
                            (uint32_t)(group - timers->cache.groups);
  options.key_group_last = options.key_group_first;
  if (group->bound != NULL)
    options.start = sb_slice_of(group->bound->data, group->bound->len);
  status = keyed->ops->scan_open(keyed, &options, &cursor, err);
  if (status != SB_OK)
    return status;
  status = timers_fill_rows(timers, group, cursor, err);
  keyed->ops->scan_close(keyed, cursor);
  if (status != SB_OK)
    timer_cache_fill_fail(&timers->cache, group);
  return status;
}

/* The earliest timer's record at or before `order`. */
static sb_status
timers_earliest(sb_timers *timers, uint64_t order, sb_key *place,
                sb_error *err)
{
  timer_group *group;
  const timer_entry *entry;
  sb_status status;

  for (;;) {
    group = timer_cache_earliest(&timers->cache, order);
    if (group == NULL)
      return SB_END;
    if (group->count != 0)
      break;
    status = timers_fill(timers, group, err);
    if (status != SB_OK)
      return status;
  }
  entry = group->entries[group->first];
  memset(place, 0, sizeof *place);
  place->state = timers->base.id;
  place->key_group = timers->base.context->key_group_first +
                     (uint32_t)(group - timers->cache.groups);
  place->key = sb_slice_of(entry->data, entry->len);
  return SB_OK;
}

static sb_status
timers_decode(sb_slice record, sb_timer *timer, sb_error *err)
{
  reader r = reader_of(record.data, record.len);
  uint64_t order = 0;
  unsigned i;

  for (i = 0; i < TIMER_TIME_LEN; i++)
    order = order << 8 | reader_u8(&r);
  timer->time_ms = timer_time(order);
  timer->key = reader_slice(&r);
  timer->ns = reader_bytes(&r, reader_left(&r));
  if (r.bad)
    return sb_fail(err, SB_CORRUPT, "could not read a timer of %zu bytes",
                   record.len);
  return SB_OK;
}

sb_status
sb_timers_peek(sb_timers *timers, sb_timer *timer, sb_error *err)
{
  sb_key place;
  sb_status status = timers_earliest(timers, UINT64_MAX, &place, err);

  return status != SB_OK ? status : timers_decode(place.key, timer, err);
}

sb_status
sb_timers_poll(sb_timers *timers, int64_t until_ms, sb_timer *timer,
               sb_error *err)
{
  sb_keyed *keyed = timers->base.context->keyed;
  sb_timer found;
  sb_key place;
  sb_status status;

  status = timers_earliest(timers, timer_order(until_ms), &place, err);
  if (status != SB_OK)
    return status;
  buf_clear(&timers->current);
  buf_add(&timers->current, place.key.data, place.key.len);
  if (timers->current.status != SB_OK)
    return timers_fail_memory(err);
  place.key = sb_slice_of(timers->current.data, timers->current.len);
  status = timers_decode(place.key, &found, err);
  if (status != SB_OK)
    return status;
  /* Room for the new current key comes first: afterwards nothing can fail. */
  status = context_reserve_move(timers->base.context, found.key, found.ns,
                                err);
  if (status == SB_OK)
    status = keyed->ops->remove(keyed, &place, err);
  if (status != SB_OK)
    return status;
  timer_cache_remove(&timers->cache, timers_group(timers, place.key_group),
                     place.key);
  context_move(timers->base.context, place.key_group, found.key, found.ns);
  *timer = found;
  return SB_OK;
}
