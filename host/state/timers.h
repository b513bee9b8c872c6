/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What timers.c and timer_cache.c share: the record of a timer and the sorted
 * cache of the earliest timers of each key group.
 *
 * A timer's record key is its time as 8 bytes, big-endian with the sign bit
 * flipped, then the length of its key as a varint, its key, its namespace. So
 * byte order is time order.
 */
#ifndef SB_STATE_TIMERS_H
#define SB_STATE_TIMERS_H

#include "host/state/context.h"

#define TIMER_TIME_LEN 8u

typedef struct timer_entry {
  uint64_t order;  /* the time, sign flipped: the record key's first 8 bytes */
  size_t len;
  uint8_t data[];  /* the whole record key */
} timer_entry;

/* `entries` hold every stored timer below `bound`: all of them if `complete`;
   `bound` NULL and not complete: nothing is known yet. */
typedef struct timer_group {
  timer_entry **entries; /* ascending, from `first` on */
  size_t first, count, cap;
  timer_entry *bound;
  int complete;
} timer_group;

typedef struct timer_cache {
  const sb_host *host;
  timer_group *groups;
  uint32_t *heap;     /* group indices, the one with the earliest first */
  uint32_t *position; /* of each group in the heap */
  uint32_t group_count;
  size_t limit;       /* entries of one group */
} timer_cache;

sb_status timer_cache_init(timer_cache *cache, const sb_host *host,
                           uint32_t group_count);
void timer_cache_dispose(timer_cache *cache);

/* The group with the earliest timer, if there may be one at or before `order`;
   else NULL. Its `count` is 0 if it has to be filled before that is known. */
timer_group *timer_cache_earliest(const timer_cache *cache, uint64_t order);

/* 1 if the timer is known to be stored. */
int timer_cache_has(const timer_cache *cache, uint32_t group, sb_slice key);

/* In two steps, so that nothing can fail once the timer is stored: reserve
   gives NULL in *entry if the cache need not know this timer. */
sb_status timer_cache_reserve(timer_cache *cache, uint32_t group, sb_slice key,
                              timer_entry **entry);
void timer_cache_add(timer_cache *cache, uint32_t group, timer_entry *entry);
void timer_cache_unreserve(timer_cache *cache, timer_entry *entry);

void timer_cache_remove(timer_cache *cache, uint32_t group, sb_slice key);

/* Filling an empty group from its bound on, in ascending order: fill until
   `limit`, then end with the first one left out, or with NULL data if there is
   none. fail forgets what was filled. */
sb_status timer_cache_fill(timer_cache *cache, timer_group *group,
                           sb_slice key);
sb_status timer_cache_fill_end(timer_cache *cache, timer_group *group,
                               sb_slice bound);
void timer_cache_fill_fail(timer_cache *cache, timer_group *group);

static inline uint64_t
timer_order(int64_t time_ms)
{
  return (uint64_t)time_ms ^ UINT64_C(1) << 63;
}

static inline int64_t
timer_time(uint64_t order)
{
  uint64_t bits = order ^ UINT64_C(1) << 63;

  return bits <= INT64_MAX ? (int64_t)bits : -(int64_t)(UINT64_MAX - bits) - 1;
}

#endif
