/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: one entry of state as the table, segments and merges see it, and its
 * order. Normative for segments, see docs/FORMAT-segment.md.
 */
#ifndef SB_ENGINE_RECORD_H
#define SB_ENGINE_RECORD_H

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <statebackend/base.h>
#include "host/base/buf.h"

#define RECORD_TOMBSTONE 1u /* the record is gone; value empty */
#define RECORD_CLEAR 2u     /* everything older of (namespace, key) is gone;
                               subkey and value empty; sorts first */
#define RECORD_ORDERED 4u   /* hash is 0: key bytes order (timers) */

/* A front, the clear marker of an ordered state, has no key, so it is the first
   record of its state in the key group. Its value says what is gone: everything
   older with a key below it. */
#define RECORD_FRONT (RECORD_CLEAR | RECORD_ORDERED)

typedef struct record {
  uint32_t state;       /* id in the manifest's state table */
  uint16_t key_group;
  uint16_t flags;
  uint64_t hash;        /* record_hash(key), 0 if RECORD_ORDERED */
  sb_slice ns, key, subkey, value;
  uint64_t expires_ms;  /* 0 never */
} record;

/* Keeps the compiler from moving two fields at once. */
#define RECORD_COPY(type, field)                                              \
  do {                                                                        \
    type v = from->field;                                                     \
    __asm__("" : "+r"(v));                                                    \
    to->field = v;                                                            \
  } while (0)

/* Field by field: a wide copy of fields written just before would wait until
   they have left the store buffer. */
static inline void
record_copy(record *to, const record *from)
{
  RECORD_COPY(uint32_t, state);
  RECORD_COPY(uint16_t, key_group);
  RECORD_COPY(uint16_t, flags);
  RECORD_COPY(uint64_t, hash);
  RECORD_COPY(const void *, ns.data);
  RECORD_COPY(size_t, ns.len);
  RECORD_COPY(const void *, key.data);
  RECORD_COPY(size_t, key.len);
  RECORD_COPY(const void *, subkey.data);
  RECORD_COPY(size_t, subkey.len);
  RECORD_COPY(const void *, value.data);
  RECORD_COPY(size_t, value.len);
  RECORD_COPY(uint64_t, expires_ms);
}

/* The same of a slice. */
static inline void
slice_copy(sb_slice *to, const sb_slice *from)
{
  RECORD_COPY(const void *, data);
  RECORD_COPY(size_t, len);
}

static inline uint64_t
record_hash(sb_slice key)
{
  return XXH3_64bits(key.data, key.len);
}

/* Scrambles (state, namespace, key's hash): one key with all its subkeys.
   `key_hash` is record_hash(key) also for ordered states. */
static inline uint64_t
record_group_id(uint32_t state, sb_slice ns, uint64_t key_hash)
{
  uint64_t seed = key_hash ^ (state + 1) * 0x9E3779B97F4A7C15ull;

  if (ns.len != 0)
    return XXH3_64bits_withSeed(ns.data, ns.len, seed);
  seed ^= seed >> 32;
  seed *= 0xD6E8FEB86659FD93ull;
  return seed ^ seed >> 29;
}

/* Identity of one record within its key: what filters and tags hold. */
static inline uint64_t
record_id(uint64_t group_id, sb_slice subkey)
{
  if (subkey.len == 0)
    return group_id;
  return XXH3_64bits_withSeed(subkey.data, subkey.len, group_id);
}

/* Identity of the clear marker of a key, apart from all its records. */
static inline uint64_t
record_clear_id(uint64_t group_id)
{
  return group_id ^ 0x5851F42D4C957F2Dull;
}

/* What filters hold for a namespace, not the empty one, in a key group. */
static inline uint64_t
record_space_id(const record *r)
{
  uint64_t seed = (uint64_t)r->key_group << 32 | r->state;

  return XXH3_64bits_withSeed(r->ns.data, r->ns.len,
                              seed ^ 0xA0761D6478BD642Full);
}

/* The identity of any record. */
static inline uint64_t
record_full_id(const record *r)
{
  uint64_t group = record_group_id(r->state, r->ns, record_hash(r->key));

  if (r->flags & RECORD_CLEAR)
    return record_clear_id(group);
  return record_id(group, r->subkey);
}

static inline int
slice_compare(sb_slice a, sb_slice b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n == 0 ? 0 : memcmp(a.data, b.data, n);

  if (c != 0)
    return c;
  return a.len < b.len ? -1 : a.len > b.len;
}

static inline int
slice_equal(sb_slice a, sb_slice b)
{
  return a.len == b.len && bytes_equal(a.data, b.data, a.len);
}

/* Order of (key group, state, namespace, hash, key), without subkey. */
static inline int
record_compare_key(const record *a, const record *b)
{
  int c;

  if (a->key_group != b->key_group)
    return a->key_group < b->key_group ? -1 : 1;
  if (a->state != b->state)
    return a->state < b->state ? -1 : 1;
  c = slice_compare(a->ns, b->ns);
  if (c != 0)
    return c;
  if (a->hash != b->hash)
    return a->hash < b->hash ? -1 : 1;
  return slice_compare(a->key, b->key);
}

/* The order of segments: by key, then the clear marker, then subkeys. */
static inline int
record_compare(const record *a, const record *b)
{
  int c = record_compare_key(a, b);

  if (c != 0)
    return c;
  if ((a->flags & RECORD_CLEAR) != (b->flags & RECORD_CLEAR))
    return a->flags & RECORD_CLEAR ? -1 : 1;
  return slice_compare(a->subkey, b->subkey);
}

#endif
