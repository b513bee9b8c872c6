/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When records expire. A record carries one number; the state's options say
 * whether it is the time of its end or the time from which it lives ttl_ms.
 */
#include "config.h"

#include "host/engine/keyed.h"

/* The time that counts for a state. */
static uint64_t
expiry_now(keyed *k, const state *s)
{
  if (s->flags & SB_STATE_EVENT_TIME)
    return atomic_load_explicit(&k->event_time_ms, memory_order_relaxed);
  return k->host->clock_ms(k->host);
}

int
expiry_over(keyed *k, const state *s, uint64_t expires_ms)
{
  uint64_t now;

  if (expires_ms == 0)
    return 0;
  now = expiry_now(k, s);
  if (s->time_kind != SB_TIME_STAMP)
    return expires_ms <= now;
  return s->ttl_ms != 0 && now >= expires_ms && now - expires_ms >= s->ttl_ms;
}
