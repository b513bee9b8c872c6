/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The near elements of a queue: of each key group a prefix of its records in
 * order, up to a bound, and a tournament of the key groups. What lies beyond
 * the bounds is in the keyed handle only.
 */
#ifndef SB_STATE_QUEUE_CACHE_H
#define SB_STATE_QUEUE_CACHE_H

#include "host/base/buf.h"

typedef struct queue_entry {
  uint64_t prefix;     /* the record's first 8 bytes as a number */
  uint32_t at, len;    /* the record, in the group's bytes */
} queue_entry;

/* The entries are all stored records below `bound`: all there are if
   `complete`; without a bound and not complete nothing is known yet. */
typedef struct queue_group {
  queue_entry *entries; /* ascending, from `first` on */
  uint32_t first, count, cap;
  uint8_t has_bound, complete;
  queue_entry bound;    /* no stored record lies between the last entry and
                           it, but it need not be stored itself */
  uint8_t *bytes;
  uint32_t bytes_len, bytes_cap;
  uint32_t live;        /* bytes of the entries and the bound */
  uint64_t batch;       /* the last batch that was taken from it, */
  uint64_t failed;      /* and the last one that could not be */
} queue_group;

/* Where a group stands among the others. */
typedef struct queue_head {
  uint64_t prefix, more; /* the first 16 bytes of its first record or bound */
  uint32_t rank;         /* QUEUE_UNKNOWN ... */
} queue_head;

typedef struct queue_cache {
  const sb_host *host;
  queue_group *groups;
  queue_head *heads;
  uint32_t *winners;    /* a tournament: [1] is the group that comes first of
                           all, [i] the better of [2i] and [2i + 1], and the
                           groups stand from [leaves] on */
  uint32_t group_count, leaves;
  uint32_t order_len;   /* bytes that order groups; 0: all */
  uint64_t share;       /* bytes of one group */
} queue_cache;

sb_status queue_cache_init(queue_cache *cache, const sb_host *host,
                           uint32_t group_count, uint32_t order_len,
                           uint64_t memory);
void queue_cache_dispose(queue_cache *cache);

static inline int
queue_bytes_compare(sb_slice a, sb_slice b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n == 0 ? 0 : memcmp(a.data, b.data, n);

  if (c != 0)
    return c;
  return a.len < b.len ? -1 : a.len > b.len;
}

static inline sb_slice
queue_entry_record(const queue_group *group, const queue_entry *entry)
{
  return sb_slice_of(group->bytes + entry->at, entry->len);
}

static inline const queue_entry *
queue_group_first(const queue_group *group)
{
  return &group->entries[group->first];
}

static inline uint32_t
queue_cache_index(const queue_cache *cache, const queue_group *group)
{
  return (uint32_t)(group - cache->groups);
}

/* The group that has the first record of all, or NULL if there is none. Its
   `count` is 0 if it has to be filled before that is known. */
queue_group *queue_cache_first(const queue_cache *cache);

/* The order of two records, without their key groups. */
int queue_cache_compare(const queue_cache *cache, sb_slice a, sb_slice b);

/* 1: the record is stored, 0: it is not, -1: not known. */
int queue_cache_has(const queue_cache *cache, uint32_t group, sb_slice record);

/* In two steps, so that nothing can fail once the record is stored: reserve
   says in *wanted if the cache is to have it. */
sb_status queue_cache_reserve(queue_cache *cache, uint32_t group,
                              sb_slice record, int *wanted);
void queue_cache_add(queue_cache *cache, uint32_t group, sb_slice record);

void queue_cache_remove(queue_cache *cache, uint32_t group, sb_slice record);

/* Takes the first entry of a group, which must have one. Its bytes stay until
   the group is added to or filled. */
void queue_cache_pop(queue_cache *cache, queue_group *group);

/* Filling a group without entries, in ascending order from its bound on: fill
   until it says SB_BUSY, which makes that record the bound, or fill_end when
   there are no more. fail forgets what was filled. */
sb_status queue_cache_fill(queue_cache *cache, queue_group *group,
                           sb_slice record);
void queue_cache_fill_end(queue_cache *cache, queue_group *group,
                          int complete);
void queue_cache_fill_fail(queue_group *group);

/* Forgets all that is known of a group. */
void queue_cache_forget(queue_cache *cache, uint32_t group);

#endif
