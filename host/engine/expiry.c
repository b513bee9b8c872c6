/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When records expire. A record carries one number; the state's options say
 * whether it is the time of its end or the time from which it lives ttl_ms, or
 * that the value has such a time.
 */
#include "config.h"

#include <stdlib.h>

#include "host/engine/keyed.h"
#include "host/engine/rules.h"

/* The time that counts for a state. */
static uint64_t
expiry_now(keyed *k, const state *s)
{
  if (s->flags & SB_STATE_EVENT_TIME)
    return atomic_load_explicit(&k->event_time_ms, memory_order_relaxed);
  return k->host->clock_ms(k->host);
}

static int
expiry_is_over(uint32_t time_kind, uint64_t ttl_ms, uint64_t now_ms,
               uint64_t time)
{
  if (time_kind == SB_TIME_EXPIRY)
    return time <= now_ms;
  return ttl_ms != 0 && now_ms >= time && now_ms - time >= ttl_ms;
}

int
expiry_over(keyed *k, const state *s, uint64_t expires_ms)
{
  if (expires_ms == 0 || s->time_kind == SB_TIME_VALUE)
    return 0;
  return expiry_is_over(s->time_kind, s->ttl_ms, expiry_now(k, s), expires_ms);
}

uint64_t
expiry_end(const state *s, uint64_t expires_ms)
{
  if (expires_ms == 0 || (s->flags & SB_STATE_EVENT_TIME) ||
      s->time_kind == SB_TIME_VALUE ||
      (s->time_kind == SB_TIME_STAMP && s->ttl_ms == 0))
    return 0;
  if (s->time_kind == SB_TIME_EXPIRY)
    return expires_ms;
  return expires_ms > UINT64_MAX - s->ttl_ms ? UINT64_MAX
                                             : expires_ms + s->ttl_ms;
}

/* ---- rules --------------------------------------------------------------- */

static int
rules_compare(const void *a, const void *b)
{
  const rule *r = a, *s = b;

  return r->state < s->state ? -1 : r->state > s->state;
}

static void
rules_fill(keyed *k, const state *s, uint64_t clock_ms, rule *r)
{
  r->state = s->id;
  r->kind = s->kind;
  r->flags = s->flags;
  r->schema_version = s->schema_version;
  r->time_kind = s->time_kind;
  r->time_offset = s->time_offset;
  r->ttl_ms = s->ttl_ms;
  r->now_ms = clock_ms;
  if (s->flags & SB_STATE_EVENT_TIME)
    r->now_ms = atomic_load(&k->event_time_ms);
  r->dropped_epoch = s->dropped_epoch;
  r->migrate = s->migrate;
  r->migrate_arg = s->migrate_arg;
}

sb_status
rules_take(struct keyed *k, rules *out)
{
  uint64_t clock_ms = k->host->clock_ms(k->host);
  size_t i, room;

  memset(out, 0, sizeof *out);
  keyed_lock(k);
  room = k->state_count;
  keyed_unlock(k);
  out->list = mem_alloc(k->host, (room + 1) * sizeof *out->list);
  if (out->list == NULL)
    return SB_NO_MEMORY;
  keyed_lock(k);
  for (i = 0; i < room; i++)
    rules_fill(k, k->states[i], clock_ms, &out->list[i]);
  keyed_unlock(k);
  out->count = room;
  if (room > 1)
    qsort(out->list, room, sizeof *out->list, rules_compare);
  return SB_OK;
}

void
rules_dispose(const sb_host *host, rules *all)
{
  mem_free(host, all->list);
  memset(all, 0, sizeof *all);
}

const rule *
rules_find(const rules *all, uint32_t id)
{
  size_t low = 0, high = all->count;

  while (low < high) {
    size_t mid = low + (high - low) / 2;

    if (all->list[mid].state == id)
      return &all->list[mid];
    if (all->list[mid].state < id)
      low = mid + 1;
    else
      high = mid;
  }
  return NULL;
}

int
rule_over(const rule *r, uint64_t time)
{
  return expiry_is_over(r->time_kind, r->ttl_ms, r->now_ms, time);
}

int
rule_value_time(const rule *r, sb_slice value, uint64_t *time)
{
  const uint8_t *p = value.data;
  uint64_t v = 0;
  unsigned i;

  if (value.len < 8 || value.len - 8 < r->time_offset)
    return 0;
  for (i = 0; i < 8; i++)
    v = v << 8 | p[r->time_offset + i];
  *time = v >> 63 ? 0 : v; /* before 1970 is as good as 1970 */
  return 1;
}

int
rule_next_element(sb_slice list, size_t *at, sb_slice *element,
                  sb_slice *whole)
{
  const uint8_t *p = list.data;
  uint32_t len;

  if (list.len < 4 || *at > list.len - 4)
    return 0;
  len = load_u32(p + *at);
  if (len > list.len - 4 - *at)
    return 0;
  *whole = sb_slice_of(p + *at, 4 + (size_t)len);
  *element = sb_slice_of(p + *at + 4, len);
  *at += 4 + (size_t)len;
  return 1;
}

static int
rule_list_expired(const rule *r, sb_slice list)
{
  sb_slice element, whole;
  size_t at = 0;
  uint64_t time;

  while (rule_next_element(list, &at, &element, &whole))
    if (!rule_value_time(r, element, &time) || !rule_over(r, time))
      return 0;
  return at == list.len && at != 0;
}

int
rule_expired(const rule *r, const record *rec)
{
  uint64_t time;

  if (rec->flags & (RECORD_TOMBSTONE | RECORD_CLEAR))
    return 0;
  if (r->time_kind != SB_TIME_VALUE)
    return rec->expires_ms != 0 && rule_over(r, rec->expires_ms);
  if (r->ttl_ms == 0)
    return 0;
  if (r->kind == SB_STATE_LIST)
    return rule_list_expired(r, rec->value);
  return rule_value_time(r, rec->value, &time) && rule_over(r, time);
}
