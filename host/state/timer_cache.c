/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The earliest timers of each key group, in memory, and a heap over the key
 * groups. A group knows a prefix of its timers, up to its bound; what lies
 * beyond stays in the store until the prefix is used up.
 */
#include "config.h"

#include "host/state/timers.h"

/* All groups together; a group has at least TIMER_GROUP_MIN. */
#define TIMER_ENTRIES_MAX 32768u
#define TIMER_GROUP_MIN 16u
#define TIMER_GROUP_MAX 1024u

static int
timer_compare(const timer_entry *a, uint64_t order, sb_slice key)
{
  size_t n = a->len < key.len ? a->len : key.len;
  int c;

  if (a->order != order)
    return a->order < order ? -1 : 1;
  c = memcmp(a->data, key.data, n);
  if (c != 0)
    return c;
  return a->len < key.len ? -1 : a->len > key.len;
}

static uint64_t
timer_key_order(sb_slice key)
{
  const uint8_t *bytes = key.data;
  uint64_t order = 0;
  size_t i;

  for (i = 0; i < TIMER_TIME_LEN; i++)
    order = order << 8 | bytes[i];
  return order;
}

static timer_entry *
timer_entry_new(const sb_host *host, sb_slice key)
{
  timer_entry *entry = mem_alloc(host, sizeof *entry + key.len);

  if (entry == NULL)
    return NULL;
  entry->order = timer_key_order(key);
  entry->len = key.len;
  memcpy(entry->data, key.data, key.len);
  return entry;
}

/* ---- heap --------------------------------------------------------------- */

static int
timer_group_empty(const timer_group *group)
{
  return group->count == 0 && group->complete;
}

static uint64_t
timer_group_order(const timer_group *group)
{
  if (group->count != 0)
    return group->entries[group->first]->order;
  return group->bound != NULL ? group->bound->order : 0;
}

/* Groups that must be filled come before others of the same time: their first
   timer may be at that time in a lower key group. */
static int
timer_group_before(const timer_cache *cache, uint32_t a, uint32_t b)
{
  const timer_group *x = &cache->groups[a], *y = &cache->groups[b];

  if (timer_group_empty(x) || timer_group_empty(y))
    return !timer_group_empty(x);
  if (timer_group_order(x) != timer_group_order(y))
    return timer_group_order(x) < timer_group_order(y);
  if ((x->count == 0) != (y->count == 0))
    return x->count == 0;
  return a < b;
}

static void
timer_heap_swap(timer_cache *cache, uint32_t i, uint32_t j)
{
  uint32_t a = cache->heap[i], b = cache->heap[j];

  cache->heap[i] = b;
  cache->heap[j] = a;
  cache->position[b] = i;
  cache->position[a] = j;
}

static void
timer_heap_fix(timer_cache *cache, uint32_t group)
{
  uint32_t i = cache->position[group];

  while (i > 0 && timer_group_before(cache, cache->heap[i],
                                     cache->heap[(i - 1) / 2])) {
    timer_heap_swap(cache, i, (i - 1) / 2);
    i = (i - 1) / 2;
  }
  for (;;) {
    uint32_t least = i, child = 2 * i + 1, end = child + 2;

    for (; child < end && child < cache->group_count; child++)
      if (timer_group_before(cache, cache->heap[child], cache->heap[least]))
        least = child;
    if (least == i)
      return;
    timer_heap_swap(cache, i, least);
    i = least;
  }
}

static void
timer_heap_fix_group(timer_cache *cache, const timer_group *group)
{
  timer_heap_fix(cache, (uint32_t)(group - cache->groups));
}

timer_group *
timer_cache_earliest(const timer_cache *cache, uint64_t order)
{
  timer_group *group = &cache->groups[cache->heap[0]];

  if (timer_group_empty(group) || timer_group_order(group) > order)
    return NULL;
  return group;
}

/* ---- life --------------------------------------------------------------- */

sb_status
timer_cache_init(timer_cache *cache, const sb_host *host,
                 uint32_t group_count)
{
  uint32_t i;

  memset(cache, 0, sizeof *cache);
  cache->host = host;
  cache->group_count = group_count;
  cache->limit = TIMER_ENTRIES_MAX / group_count;
  if (cache->limit < TIMER_GROUP_MIN)
    cache->limit = TIMER_GROUP_MIN;
  if (cache->limit > TIMER_GROUP_MAX)
    cache->limit = TIMER_GROUP_MAX;
  cache->groups = mem_zalloc(host, group_count * sizeof *cache->groups);
  cache->heap = mem_alloc(host, group_count * sizeof *cache->heap);
  cache->position = mem_alloc(host, group_count * sizeof *cache->position);
  if (cache->groups == NULL || cache->heap == NULL ||
      cache->position == NULL) {
    timer_cache_dispose(cache);
    return SB_NO_MEMORY;
  }
  for (i = 0; i < group_count; i++) {
    cache->heap[i] = i;
    cache->position[i] = i;
  }
  return SB_OK;
}

static void
timer_group_clear(timer_cache *cache, timer_group *group)
{
  size_t i;

  for (i = 0; i < group->count; i++)
    mem_free(cache->host, group->entries[group->first + i]);
  group->first = 0;
  group->count = 0;
}

void
timer_cache_dispose(timer_cache *cache)
{
  uint32_t i;

  for (i = 0; cache->groups != NULL && i < cache->group_count; i++) {
    timer_group_clear(cache, &cache->groups[i]);
    mem_free(cache->host, cache->groups[i].entries);
    mem_free(cache->host, cache->groups[i].bound);
  }
  mem_free(cache->host, cache->groups);
  mem_free(cache->host, cache->heap);
  mem_free(cache->host, cache->position);
  memset(cache, 0, sizeof *cache);
}

/* ---- entries ------------------------------------------------------------ */

/* The index of the first entry not below `key`. */
static size_t
timer_group_find(const timer_group *group, uint64_t order, sb_slice key)
{
  size_t low = 0, high = group->count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (timer_compare(group->entries[group->first + middle], order, key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int
timer_group_at(const timer_group *group, size_t i, uint64_t order,
               sb_slice key)
{
  return i < group->count &&
         timer_compare(group->entries[group->first + i], order, key) == 0;
}

/* Room for one more entry behind the last one. */
static sb_status
timer_group_reserve(timer_cache *cache, timer_group *group)
{
  timer_entry **entries;
  size_t cap = group->cap == 0 ? 8 : group->cap * 2;

  if (group->first + group->count < group->cap)
    return SB_OK;
  if (group->first > group->cap / 2) {
    memmove(group->entries, group->entries + group->first,
            group->count * sizeof (timer_entry *));
    group->first = 0;
    return SB_OK;
  }
  entries = mem_realloc(cache->host, group->entries, cap * sizeof *entries);
  if (entries == NULL)
    return SB_NO_MEMORY;
  group->entries = entries;
  group->cap = cap;
  return SB_OK;
}

int
timer_cache_has(const timer_cache *cache, uint32_t group, sb_slice key)
{
  const timer_group *g = &cache->groups[group];
  uint64_t order = timer_key_order(key);

  return timer_group_at(g, timer_group_find(g, order, key), order, key);
}

sb_status
timer_cache_reserve(timer_cache *cache, uint32_t group, sb_slice key,
                    timer_entry **entry)
{
  timer_group *g = &cache->groups[group];

  *entry = NULL;
  if (!g->complete &&
      (g->bound == NULL ||
       timer_compare(g->bound, timer_key_order(key), key) <= 0))
    return SB_OK;
  if (timer_group_reserve(cache, g) != SB_OK)
    return SB_NO_MEMORY;
  *entry = timer_entry_new(cache->host, key);
  return *entry == NULL ? SB_NO_MEMORY : SB_OK;
}

void
timer_cache_add(timer_cache *cache, uint32_t group, timer_entry *entry)
{
  timer_group *g = &cache->groups[group];
  timer_entry **at;
  size_t i;

  if (entry == NULL)
    return;
  i = timer_group_find(g, entry->order, sb_slice_of(entry->data, entry->len));
  at = g->entries + g->first + i;
  memmove(at + 1, at, (g->count - i) * sizeof *at);
  *at = entry;
  g->count++;
  if (g->count > cache->limit) {
    mem_free(cache->host, g->bound);
    g->bound = g->entries[g->first + --g->count];
    g->complete = 0;
  }
  timer_heap_fix(cache, group);
}

void
timer_cache_unreserve(timer_cache *cache, timer_entry *entry)
{
  mem_free(cache->host, entry);
}

void
timer_cache_remove(timer_cache *cache, uint32_t group, sb_slice key)
{
  timer_group *g = &cache->groups[group];
  uint64_t order = timer_key_order(key);
  size_t i = timer_group_find(g, order, key);
  timer_entry **at;

  if (!timer_group_at(g, i, order, key))
    return;
  at = g->entries + g->first + i;
  mem_free(cache->host, *at);
  g->count--;
  if (i == 0)
    g->first++;
  else
    memmove(at, at + 1, (g->count - i) * sizeof *at);
  if (g->count == 0)
    g->first = 0;
  timer_heap_fix(cache, group);
}

/* ---- filling ------------------------------------------------------------ */

sb_status
timer_cache_fill(timer_cache *cache, timer_group *group, sb_slice key)
{
  timer_entry *entry;

  if (timer_group_reserve(cache, group) != SB_OK)
    return SB_NO_MEMORY;
  entry = timer_entry_new(cache->host, key);
  if (entry == NULL)
    return SB_NO_MEMORY;
  group->entries[group->first + group->count++] = entry;
  return SB_OK;
}

sb_status
timer_cache_fill_end(timer_cache *cache, timer_group *group, sb_slice bound)
{
  timer_entry *entry = NULL;

  if (bound.data != NULL) {
    entry = timer_entry_new(cache->host, bound);
    if (entry == NULL)
      return SB_NO_MEMORY;
  }
  mem_free(cache->host, group->bound);
  group->bound = entry;
  group->complete = entry == NULL;
  timer_heap_fix_group(cache, group);
  return SB_OK;
}

void
timer_cache_fill_fail(timer_cache *cache, timer_group *group)
{
  timer_group_clear(cache, group);
}
