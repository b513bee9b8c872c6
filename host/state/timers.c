/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: a queue of (time, key, namespace). An element is the time as 8 bytes,
 * big-endian with the sign bit flipped, then the length of the key as a varint,
 * the key, the namespace. So byte order is time order.
 */
#include "config.h"

#include "host/state/context.h"
#include "host/state/queue.h"

#define TIMER_TIME_LEN 8u

struct sb_timers {
  state_base base;
  sb_queue queue;
  buf record; /* the record of the timer that is being looked at */
};

static uint64_t
timer_order(int64_t time_ms)
{
  return (uint64_t)time_ms ^ UINT64_C(1) << 63;
}

static int64_t
timer_time(uint64_t order)
{
  uint64_t bits = order ^ UINT64_C(1) << 63;

  return bits <= INT64_MAX ? (int64_t)bits : -(int64_t)(UINT64_MAX - bits) - 1;
}

static void
timers_dispose(state_base *base)
{
  sb_timers *timers = (sb_timers *)base;

  queue_dispose(&timers->queue);
  buf_dispose(&timers->record);
}

static sb_status
timers_fail_memory(sb_error *err)
{
  return sb_fail(err, SB_NO_MEMORY, "could not keep timers: out of memory");
}

static sb_status
timers_open_queue(sb_timers *timers, sb_error *err)
{
  sb_context *context = timers->base.context;
  sb_queue_options options = {
    .struct_size = sizeof options,
    .key_group_first = context->key_group_first,
    .key_group_last = context->key_group_last,
  };
  sb_status status = queue_init(&timers->queue, context->keyed, context->host,
                                timers->base.id, &options, TIMER_TIME_LEN,
                                err);

  if (status != SB_OK)
    return status;
  buf_init(&timers->record, context->host, SB_KEY_MAX);
  timers->base.dispose = timers_dispose;
  return SB_OK;
}

sb_status
sb_timers_open(sb_context *context, const char *name, sb_timers **out,
               sb_error *err)
{
  state_base *base;
  sb_status status;

  if (context == NULL || out == NULL)
    return state_need(NULL, context == NULL ? "the context"
                                            : "where to put timers", err);
  *out = NULL;
  status = context_open(context, name, SB_STATE_TIMER, sizeof **out, &base,
                        err);
  if (status == SB_OK && base->dispose == NULL)
    status = timers_open_queue((sb_timers *)base, err);
  if (status == SB_OK)
    *out = (sb_timers *)base;
  return status;
}

static void
timers_put_time(uint8_t *to, uint64_t order)
{
  int i;

  for (i = 0; i < 8; i++)
    to[i] = (uint8_t)(order >> (56 - 8 * i));
}

/* The record of a timer of the current key and namespace. */
static sb_status
timers_place(sb_timers *timers, int64_t time_ms, sb_key *place, sb_error *err)
{
  uint8_t time[TIMER_TIME_LEN];
  sb_status status;
  buf *record;

  status = context_use((state_base *)timers, SB_STATE_TIMER,
                       sb_slice_of(NULL, 0), place, err);
  if (status != SB_OK)
    return status;
  record = &timers->record;
  timers_put_time(time, timer_order(time_ms));
  buf_clear(record);
  buf_add(record, time, sizeof time);
  buf_slice(record, place->key);
  buf_add(record, place->ns.data, place->ns.len);
  if (record->status == SB_TOO_LARGE)
    return sb_fail(err, SB_TOO_LARGE,
                   "cannot keep a timer: its key and namespace have %zu bytes "
                   "together", place->key.len + place->ns.len);
  if (record->status != SB_OK)
    return timers_fail_memory(err);
  place->key = sb_slice_of(record->data, record->len);
  return SB_OK;
}

sb_status
sb_timers_add(sb_timers *timers, int64_t time_ms, sb_error *err)
{
  sb_key place;
  sb_status status = timers_place(timers, time_ms, &place, err);

  if (status != SB_OK)
    return status;
  return sb_queue_add(&timers->queue, place.key_group, place.key, NULL, err);
}

sb_status
sb_timers_remove(sb_timers *timers, int64_t time_ms, sb_error *err)
{
  sb_key place;
  sb_status status = timers_place(timers, time_ms, &place, err);

  if (status != SB_OK)
    return status;
  return sb_queue_remove(&timers->queue, place.key_group, place.key, NULL,
                         err);
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
  sb_queue_element element;
  sb_status status = state_use((state_base *)timers, SB_STATE_TIMER, err);

  if (status == SB_OK)
    status = state_need(timer, "where to put the timer", err);
  if (status == SB_OK)
    status = sb_queue_peek(&timers->queue, &element, err);
  return status != SB_OK ? status : timers_decode(element.bytes, timer, err);
}

sb_status
sb_timers_poll(sb_timers *timers, int64_t until_ms, sb_timer *timer,
               sb_error *err)
{
  uint8_t until[TIMER_TIME_LEN];
  sb_queue_element element;
  sb_timer found;
  sb_status status = state_need(timer, "where to put the timer", err);

  if (status == SB_OK)
    status = sb_timers_peek(timers, &found, err);
  if (status != SB_OK)
    return status;
  if (found.time_ms > until_ms)
    return SB_END;
  /* Room for the new current key comes first: afterwards nothing can fail. */
  status = context_reserve_move(timers->base.context, found.key, found.ns,
                                err);
  timers_put_time(until, timer_order(found.time_ms));
  if (status == SB_OK)
    status = sb_queue_poll(&timers->queue, sb_slice_of(until, sizeof until),
                           &element, err);
  if (status != SB_OK)
    return status;
  context_move(timers->base.context, element.key_group, found.key, found.ns);
  *timer = found;
  return SB_OK;
}
