/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The near elements of each key group; see queue_cache.h. A group's records
 * are appended to one block of bytes, in which the entries are sorted by
 * reference. The block is rewritten when half of it is no longer used.
 */
#include "config.h"

#include "host/state/queue_cache.h"

#define QUEUE_ENTRIES_MIN 16u   /* of a group, whatever its share */
#define QUEUE_ENTRIES_MAX 4096u
#define QUEUE_ODD 5u
#define QUEUE_AHEAD 256u         /* bytes to fetch ahead */

#define QUEUE_UNKNOWN 0u  /* nothing is known: may have the first of all */
#define QUEUE_BEYOND 1u   /* begins at its bound, or after it */
#define QUEUE_KNOWN 2u
#define QUEUE_EMPTY 3u

static uint64_t
queue_number(const uint8_t *bytes, size_t len)
{
  uint64_t number = 0;
  size_t i;

  if (len >= 8)
    return __builtin_bswap64(load_u64(bytes));
  for (i = 0; i < len; i++)
    number |= (uint64_t)bytes[i] << (56 - 8 * i);
  return number;
}

static uint64_t
queue_prefix(sb_slice record)
{
  return queue_number(record.data, record.len);
}

int
queue_cache_compare(const queue_cache *cache, sb_slice a, sb_slice b)
{
  size_t n = cache->order_len;

  if (n != 0 && a.len > n)
    a.len = n;
  if (n != 0 && b.len > n)
    b.len = n;
  return queue_bytes_compare(a, b);
}

/* ---- tournament --------------------------------------------------------- */

static sb_slice
queue_group_head(const queue_group *group)
{
  return queue_entry_record(group, group->count != 0
                                     ? queue_group_first(group)
                                     : &group->bound);
}

/* Groups whose numbers do not decide. One that begins at its bound comes before
   others that are equal: its first record may be equal too and in a lower key
   group. */
static int
queue_tie_before(const queue_cache *cache, uint32_t a, uint32_t b)
{
  uint32_t x = cache->heads[a].rank, y = cache->heads[b].rank;
  int c = 0;

  if ((x == QUEUE_BEYOND || x == QUEUE_KNOWN) &&
      (y == QUEUE_BEYOND || y == QUEUE_KNOWN))
    c = queue_cache_compare(cache, queue_group_head(&cache->groups[a]),
                            queue_group_head(&cache->groups[b]));
  if (c != 0)
    return c < 0;
  return x != y ? x < y : a < b;
}

static inline int
queue_is_before(const queue_cache *cache, uint32_t a, uint32_t b)
{
  const queue_head *x = &cache->heads[a], *y = &cache->heads[b];

  if (x->prefix != y->prefix)
    return x->prefix < y->prefix;
  if (x->more != y->more)
    return x->more < y->more;
  return queue_tie_before(cache, a, b);
}

/* The numbers of a head: as many of its first bytes as decide between groups.
   Unknown groups come first and empty ones last because of them too. */
static void
queue_head_set(const queue_cache *cache, queue_head *head, sb_slice record)
{
  const uint8_t *bytes = record.data;
  size_t len = record.len;

  if (cache->order_len != 0 && len > cache->order_len)
    len = cache->order_len;
  head->prefix = queue_number(bytes, len);
  head->more = len <= 8 ? 0 : queue_number(bytes + 8, len - 8);
}

/* Puts a group where it belongs after its head has changed. */
static void
queue_head_fix(queue_cache *cache, uint32_t index)
{
  const queue_group *group = &cache->groups[index];
  queue_head *head = &cache->heads[index];
  uint32_t i = cache->leaves + index, *winners = cache->winners;
  uint32_t winner = index;
  uint64_t prefix, more; /* of the winner */

  head->prefix = head->more = 0;
  head->rank = QUEUE_UNKNOWN;
  if (group->count != 0)
    head->rank = QUEUE_KNOWN;
  else if (group->complete)
    head->rank = QUEUE_EMPTY;
  else if (group->has_bound)
    head->rank = QUEUE_BEYOND;
  if (head->rank == QUEUE_EMPTY)
    head->prefix = head->more = UINT64_MAX;
  else if (head->rank != QUEUE_UNKNOWN)
    queue_head_set(cache, head, queue_group_head(group));
  prefix = head->prefix;
  more = head->more;
  for (; i > 1; i /= 2) {
    uint32_t other = winners[i ^ 1];
    const queue_head *o = &cache->heads[other];
    uint64_t before = (uint64_t)(o->prefix < prefix) |
                      ((uint64_t)(o->prefix == prefix) &
                       (uint64_t)(o->more < more));

    if (o->more == more && o->prefix == prefix)
      before = (uint64_t)queue_tie_before(cache, other, winner);
    /* Nobody could predict a branch here. */
    winner ^= (winner ^ other) & (0u - (uint32_t)before);
    prefix ^= (prefix ^ o->prefix) & (0u - before);
    more ^= (more ^ o->more) & (0u - before);
    winners[i / 2] = winner;
  }
}

queue_group *
queue_cache_first(const queue_cache *cache)
{
  uint32_t first = cache->winners[1];

  return cache->heads[first].rank == QUEUE_EMPTY ? NULL
                                                 : &cache->groups[first];
}

/* ---- life --------------------------------------------------------------- */

/* Places that no group stands at are those of the last one, which changes
   nothing. */
static void
queue_cache_draw(queue_cache *cache)
{
  uint32_t i;

  for (i = 0; i < cache->leaves; i++)
    cache->winners[cache->leaves + i] = i < cache->group_count
                                          ? i : cache->group_count - 1;
  for (i = cache->leaves - 1; i >= 1; i--) {
    uint32_t a = cache->winners[2 * i], b = cache->winners[2 * i + 1];

    cache->winners[i] = queue_is_before(cache, b, a) ? b : a;
  }
}

sb_status
queue_cache_init(queue_cache *cache, const sb_host *host,
                 uint32_t group_count, uint32_t order_len, uint64_t memory)
{
  memset(cache, 0, sizeof *cache);
  cache->host = host;
  cache->group_count = group_count;
  cache->order_len = order_len;
  cache->share = memory / group_count;
  for (cache->leaves = 1; cache->leaves < group_count;)
    cache->leaves *= 2;
  cache->groups = mem_zalloc(host, group_count * sizeof *cache->groups);
  cache->heads = mem_zalloc(host, group_count * sizeof *cache->heads);
  cache->winners = mem_zalloc(host,
                              2 * cache->leaves * sizeof *cache->winners);
  if (cache->groups == NULL || cache->heads == NULL ||
      cache->winners == NULL) {
    queue_cache_dispose(cache);
    return SB_NO_MEMORY;
  }
  queue_cache_draw(cache);
  return SB_OK;
}

void
queue_cache_dispose(queue_cache *cache)
{
  uint32_t i;

  for (i = 0; cache->groups != NULL && i < cache->group_count; i++) {
    mem_free(cache->host, cache->groups[i].entries);
    mem_free(cache->host, cache->groups[i].bytes);
  }
  mem_free(cache->host, cache->groups);
  mem_free(cache->host, cache->heads);
  mem_free(cache->host, cache->winners);
  memset(cache, 0, sizeof *cache);
}

void
queue_cache_forget(queue_cache *cache, uint32_t index)
{
  queue_group *group = &cache->groups[index];

  group->first = group->count = 0;
  group->has_bound = group->complete = 0;
  group->bytes_len = group->live = 0;
  queue_head_fix(cache, index);
}

/* ---- room --------------------------------------------------------------- */

static void
queue_entry_move(const queue_group *group, queue_entry *entry, uint8_t *to,
                 uint32_t *at)
{
  memcpy(to + *at, group->bytes + entry->at, entry->len);
  entry->at = *at;
  *at += entry->len;
}

/* Rewrites the bytes that are used into a block of `cap`. */
static sb_status
queue_bytes_rewrite(const queue_cache *cache, queue_group *group, uint32_t cap)
{
  uint8_t *bytes = mem_alloc(cache->host, cap);
  uint32_t i, at = 0;

  if (bytes == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < group->count; i++)
    queue_entry_move(group, &group->entries[group->first + i], bytes, &at);
  if (group->has_bound)
    queue_entry_move(group, &group->bound, bytes, &at);
  mem_free(cache->host, group->bytes);
  group->bytes = bytes;
  group->bytes_cap = cap;
  group->bytes_len = at;
  return SB_OK;
}

/* Begins the block anew with what a group without entries has in it. */
static void
queue_bytes_restart(queue_group *group)
{
  group->bytes_len = 0;
  if (!group->has_bound)
    return;
  memmove(group->bytes, group->bytes + group->bound.at, group->bound.len);
  group->bound.at = 0;
  group->bytes_len = group->bound.len;
}

static sb_status
queue_bytes_reserve(const queue_cache *cache, queue_group *group, size_t len)
{
  uint64_t cap = group->bytes_cap == 0 ? 256 : group->bytes_cap;

  if (group->count == 0) /* no more than the bound */
    queue_bytes_restart(group);
  if (group->bytes_cap - group->bytes_len >= len)
    return SB_OK;
  /* Never a power of two: the groups' blocks would share a few cache sets. */
  while (cap < 2 * (group->live + (uint64_t)len))
    cap += cap / 2 + QUEUE_ODD;
  if (cap > UINT32_MAX)
    return SB_NO_MEMORY;
  return queue_bytes_rewrite(cache, group, (uint32_t)cap);
}

/* Room for one more entry behind the last one. */
static sb_status
queue_entries_reserve(const queue_cache *cache, queue_group *group)
{
  uint32_t cap = group->cap == 0 ? 8 : group->cap + group->cap / 2 + QUEUE_ODD;
  queue_entry *entries;

  if (group->first + group->count < group->cap)
    return SB_OK;
  if (group->first > group->cap / 2) {
    memmove(group->entries, queue_group_first(group),
            group->count * sizeof *entries);
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

static int
queue_group_over(const queue_cache *cache, const queue_group *group)
{
  uint64_t used = group->live + group->count * sizeof(queue_entry);

  return group->count >= QUEUE_ENTRIES_MAX ||
         (group->count >= QUEUE_ENTRIES_MIN && used > cache->share);
}

/* ---- entries ------------------------------------------------------------ */

static int
queue_entry_compare(const queue_group *group, const queue_entry *entry,
                    uint64_t prefix, sb_slice record)
{
  if (entry->prefix != prefix)
    return entry->prefix < prefix ? -1 : 1;
  return queue_bytes_compare(queue_entry_record(group, entry), record);
}

/* The index of the first entry not below the record. */
static uint32_t
queue_group_find(const queue_group *group, uint64_t prefix, sb_slice record)
{
  const queue_entry *entries = group->entries + group->first;
  uint32_t low = 0, high = group->count;

  while (low < high) {
    uint32_t middle = low + (high - low) / 2;

    if (queue_entry_compare(group, &entries[middle], prefix, record) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int
queue_group_at(const queue_group *group, uint32_t i, uint64_t prefix,
               sb_slice record)
{
  return i < group->count &&
         queue_entry_compare(group, &group->entries[group->first + i], prefix,
                             record) == 0;
}

/* 1 if the entries are all that is stored up to and around the record. */
static int
queue_group_covers(const queue_group *group, uint64_t prefix, sb_slice record)
{
  return group->complete ||
         (group->has_bound &&
          queue_entry_compare(group, &group->bound, prefix, record) > 0);
}

int
queue_cache_has(const queue_cache *cache, uint32_t index, sb_slice record)
{
  const queue_group *group = &cache->groups[index];
  uint64_t prefix = queue_prefix(record);

  if (!queue_group_covers(group, prefix, record))
    return -1;
  return queue_group_at(group, queue_group_find(group, prefix, record), prefix,
                        record);
}

/* Field by field: an entry that is put together and then copied would make the
   copy wait for its parts. */
static void
queue_group_append(queue_group *group, uint64_t prefix, sb_slice record,
                   queue_entry *entry)
{
  uint32_t at = group->bytes_len, len = (uint32_t)record.len;

  /* What comes next in both blocks has not been used for a long time. */
  __builtin_prefetch(group->bytes + at + QUEUE_AHEAD, 1);
  __builtin_prefetch((const char *)entry + QUEUE_AHEAD, 1);
  memcpy(group->bytes + at, record.data, record.len);
  entry->prefix = prefix;
  entry->at = at;
  entry->len = len;
  group->bytes_len = at + len;
  group->live += len;
}

sb_status
queue_cache_reserve(queue_cache *cache, uint32_t index, sb_slice record,
                    int *wanted)
{
  queue_group *group = &cache->groups[index];
  sb_status status;

  *wanted = queue_group_covers(group, queue_prefix(record), record);
  if (!*wanted)
    return SB_OK;
  status = queue_entries_reserve(cache, group);
  if (status == SB_OK)
    status = queue_bytes_reserve(cache, group, record.len);
  return status;
}

/* Too many: the last quarter stays in the handle only. */
static void
queue_group_trim(queue_group *group)
{
  uint32_t keep = group->count - group->count / 4;

  if (group->has_bound)
    group->live -= group->bound.len;
  while (group->count > keep) {
    group->bound = group->entries[group->first + --group->count];
    group->live -= group->bound.len;
  }
  group->live += group->bound.len;
  group->has_bound = 1;
  group->complete = 0;
}

void
queue_cache_add(queue_cache *cache, uint32_t index, sb_slice record)
{
  queue_group *group = &cache->groups[index];
  uint64_t prefix = queue_prefix(record);
  uint32_t i = queue_group_find(group, prefix, record);
  queue_entry *at = group->entries + group->first + i;

  memmove(at + 1, at, (group->count - i) * sizeof *at);
  queue_group_append(group, prefix, record, at);
  group->count++;
  if (queue_group_over(cache, group))
    queue_group_trim(group);
  if (i == 0)
    queue_head_fix(cache, index);
}

void
queue_cache_pop(queue_cache *cache, queue_group *group)
{
  const queue_entry *entry = queue_group_first(group);

  /* Its turn comes when all other groups have had theirs: fetch what will be
     the head's successor then. */
  if (group->count > 2)
    __builtin_prefetch(group->bytes + entry[2].at);
  __builtin_prefetch((const char *)entry + QUEUE_AHEAD / 2);
  group->live -= entry->len;
  group->count--;
  group->first = group->count == 0 ? 0 : group->first + 1;
  queue_head_fix(cache, queue_cache_index(cache, group));
}

void
queue_cache_remove(queue_cache *cache, uint32_t index, sb_slice record)
{
  queue_group *group = &cache->groups[index];
  uint64_t prefix = queue_prefix(record);
  uint32_t i = queue_group_find(group, prefix, record);
  queue_entry *at;

  if (!queue_group_at(group, i, prefix, record))
    return;
  if (i == 0) {
    queue_cache_pop(cache, group);
    return;
  }
  at = group->entries + group->first + i;
  group->live -= at->len;
  group->count--;
  memmove(at, at + 1, (group->count - i) * sizeof *at);
}

/* ---- filling ------------------------------------------------------------ */

static void
queue_group_set_bound(queue_group *group, sb_slice record)
{
  if (group->has_bound)
    group->live -= group->bound.len;
  queue_group_append(group, queue_prefix(record), record, &group->bound);
  group->has_bound = 1;
}

sb_status
queue_cache_fill(queue_cache *cache, queue_group *group, sb_slice record)
{
  sb_status status = queue_entries_reserve(cache, group);

  if (status == SB_OK)
    status = queue_bytes_reserve(cache, group, record.len);
  if (status != SB_OK)
    return status;
  if (queue_group_over(cache, group)) {
    queue_group_set_bound(group, record);
    return SB_BUSY;
  }
  queue_group_append(group, queue_prefix(record), record,
                     &group->entries[group->first + group->count++]);
  return SB_OK;
}

void
queue_cache_fill_end(queue_cache *cache, queue_group *group, int complete)
{
  if (complete) {
    if (group->has_bound)
      group->live -= group->bound.len;
    group->has_bound = 0;
    group->complete = 1;
  }
  queue_head_fix(cache, queue_cache_index(cache, group));
}

void
queue_cache_fill_fail(queue_group *group)
{
  uint32_t i;

  for (i = 0; i < group->count; i++)
    group->live -= group->entries[group->first + i].len;
  group->first = group->count = 0;
}
