/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions and directory of a segment being written; see segment_tail.h. */
#include "config.h"

#include "host/base/crc.h"
#include "host/engine/bloom.h"
#include "host/engine/segment_format.h"
#include "host/engine/segment_tail.h"
#include "host/engine/separator.h"

/* A partition closes before it grows past these. */
#define TAIL_IDS_MAX (128u << 10)
#define TAIL_SEPARATORS_MAX (1u << 20)
#define TAIL_SPAN_MAX (1u << 30)

void
segment_tail_init(segment_tail *t, const sb_host *host, const segment_id *id)
{
  memset(t, 0, sizeof *t);
  t->id = *id;
  buf_init(&t->bytes, host, UINT32_MAX);
  buf_init(&t->directory, host, SEGMENT_DIRECTORY_LEN_MAX);
  buf_init(&t->ids, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&t->words, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&t->locators, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&t->separator_offsets, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&t->separators, host, SEGMENT_PARTITION_LEN_MAX);
}

void
segment_tail_dispose(segment_tail *t)
{
  buf_dispose(&t->bytes);
  buf_dispose(&t->directory);
  buf_dispose(&t->ids);
  buf_dispose(&t->words);
  buf_dispose(&t->locators);
  buf_dispose(&t->separator_offsets);
  buf_dispose(&t->separators);
}

uint64_t
segment_tail_size(const segment_tail *t)
{
  return t->bytes.len + t->directory.len + t->words.len + t->locators.len +
         t->separators.len +
         t->ids.len / sizeof(uint64_t) * BLOOM_BITS_PER_ID / 8 +
         SEGMENT_FOOTER_LEN;
}

size_t
segment_tail_memory(const segment_tail *t)
{
  return t->bytes.cap + t->directory.cap + t->ids.cap + t->words.cap +
         t->locators.cap + t->separator_offsets.cap + t->separators.cap;
}

/* ---- sums --------------------------------------------------------------- */

static void
tail_count(segment_sums *s, const record *r)
{
  if (s->records++ == 0)
    s->key_group_first = r->key_group;
  s->key_group_last = r->key_group;
  if (r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR))
    s->tombstones++;
  if (r->expires_ms == 0 || (r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR))) {
    s->expires_max = UINT64_MAX;
    return;
  }
  if (s->expires_min == 0 || r->expires_ms < s->expires_min)
    s->expires_min = r->expires_ms;
  if (r->expires_ms > s->expires_max)
    s->expires_max = r->expires_ms;
}

/* Adds a partition's sums to the segment's. */
static void
tail_merge(segment_sums *all, const segment_sums *part)
{
  if (all->records == 0)
    all->key_group_first = part->key_group_first;
  all->key_group_last = part->key_group_last;
  all->records += part->records;
  all->tombstones += part->tombstones;
  all->raw_bytes += part->raw_bytes;
  all->stored_bytes += part->stored_bytes;
  if (part->expires_min != 0 &&
      (all->expires_min == 0 || part->expires_min < all->expires_min))
    all->expires_min = part->expires_min;
  if (part->expires_max > all->expires_max)
    all->expires_max = part->expires_max;
  all->blocks += part->blocks;
}

/* ---- records and blocks ------------------------------------------------- */

static void
tail_open_partition(segment_tail *t, const record *last, const record *first)
{
  buf *d = &t->directory;

  buf_u64(d, separator_word(first));
  if (t->partitions == 0) {
    t->word_first = separator_word(first);
    buf_varint(d, 0);
    return;
  }
  /* The length is known afterwards; the empty table holds the bound
     meanwhile. */
  separator_encode(&t->separators, last, first);
  if (t->separators.status == SB_OK)
    buf_slice(d, sb_slice_of(t->separators.data, t->separators.len));
  else
    d->status = t->separators.status;
  buf_clear(&t->separators);
}

sb_status
segment_tail_open_block(segment_tail *t, const record *last,
                        const record *first)
{
  if (t->part.blocks == 0)
    tail_open_partition(t, last, first);
  buf_u64(&t->words, separator_word(first));
  buf_u32(&t->separator_offsets, (uint32_t)t->separators.len);
  if (t->part.blocks != 0)
    separator_encode(&t->separators, last, first);
  if (t->words.status != SB_OK || t->separators.status != SB_OK ||
      t->separator_offsets.status != SB_OK || t->directory.status != SB_OK)
    return SB_NO_MEMORY;
  return SB_OK;
}

static void
tail_add_id(segment_tail *t, uint64_t id)
{
  buf_add(&t->ids, &id, sizeof id);
}

static void
tail_note_space(segment_tail *t, const record *r)
{
  uint64_t id = record_space_id(r);

  if (!t->spaces || t->space_id != id)
    tail_add_id(t, id);
  t->space_id = id;
  t->spaces = 1;
}

/* The record's id, after noting it and its group's for the filter. */
static uint64_t
tail_note_ids(segment_tail *t, const record *r)
{
  uint64_t hash = r->flags & RECORD_ORDERED ? record_hash(r->key) : r->hash;
  uint64_t group = record_group_id(r->state, r->ns, hash);
  uint64_t id = r->flags & RECORD_CLEAR ? record_clear_id(group)
                                        : record_id(group, r->subkey);

  if (t->ids.len == 0 || t->group_id != group)
    tail_add_id(t, group);
  if (r->ns.len != 0)
    tail_note_space(t, r);
  t->group_id = group;
  if (id != group)
    tail_add_id(t, id);
  return id;
}

sb_status
segment_tail_add(segment_tail *t, const record *r, int no_filter,
                 uint64_t *id)
{
  *id = tail_note_ids(t, r);
  if (t->ids.status != SB_OK)
    return t->ids.status;
  tail_count(&t->part, r);
  t->filterable += no_filter == 0;
  return SB_OK;
}

sb_status
segment_tail_close_block(segment_tail *t, uint64_t offset,
                         uint32_t stored_len, uint32_t raw_len)
{
  if (t->part.blocks == 0)
    t->part_offset = offset;
  buf_u32(&t->locators, (uint32_t)(offset - t->part_offset));
  buf_u32(&t->locators, raw_len);
  t->part.blocks++;
  t->part.raw_bytes += raw_len;
  t->part.stored_bytes += stored_len;
  return t->locators.status;
}

/* ---- partitions --------------------------------------------------------- */

int
segment_tail_filter_full(const segment_tail *t)
{
  return t->ids.len / sizeof(uint64_t) >= TAIL_IDS_MAX;
}

int
segment_tail_full(const segment_tail *t)
{
  return t->part.stored_bytes >= TAIL_SPAN_MAX ||
         t->separators.len >= TAIL_SEPARATORS_MAX;
}

static sb_status
tail_put_filter(segment_tail *t, size_t len)
{
  uint8_t *filter = buf_extend(&t->bytes, len);
  size_t i;

  if (filter == NULL)
    return t->bytes.status;
  memset(filter, 0, len);
  for (i = 0; i < t->ids.len; i += sizeof(uint64_t)) {
    uint64_t id;

    memcpy(&id, t->ids.data + i, sizeof id);
    bloom_add(filter, len, id);
  }
  return SB_OK;
}

static void
tail_put_partition(segment_tail *t, size_t filter_len)
{
  size_t separators_len = 0;

  if (t->separators.len != 0)
    separators_len = t->separator_offsets.len + t->separators.len;
  buf_u64(&t->bytes, t->part_offset);
  buf_u32(&t->bytes, t->all.blocks);
  buf_u32(&t->bytes, t->part.blocks);
  buf_u32(&t->bytes, (uint32_t)filter_len |
                       (filter_len != 0 && t->spaces ? SEGMENT_FILTER_SPACES
                                                     : 0));
  buf_u32(&t->bytes, (uint32_t)separators_len);
  buf_u32(&t->bytes, t->partitions);
  buf_u32(&t->bytes, (uint32_t)t->part.stored_bytes);
  if (filter_len != 0 && tail_put_filter(t, filter_len) != SB_OK)
    return;
  buf_add(&t->bytes, t->words.data, t->words.len);
  buf_add(&t->bytes, t->locators.data, t->locators.len);
  if (separators_len != 0) {
    buf_add(&t->bytes, t->separator_offsets.data, t->separator_offsets.len);
    buf_add(&t->bytes, t->separators.data, t->separators.len);
  }
}

/* The bound was put there by tail_open_partition. */
static void
tail_put_entry(segment_tail *t, uint32_t len)
{
  buf *d = &t->directory;

  buf_varint(d, len);
  buf_varint(d, t->part.key_group_first);
  buf_varint(d, t->part.key_group_last);
  buf_varint(d, t->part.blocks);
  buf_varint(d, t->part.records);
  buf_varint(d, t->part.raw_bytes);
  buf_varint(d, t->part.stored_bytes);
  buf_varint(d, t->part.expires_min);
  buf_varint(d, t->part.expires_max);
}

sb_status
segment_tail_close_partition(segment_tail *t)
{
  size_t start = t->bytes.len, filter_len = 0;
  uint32_t crc;

  /* A filter is left out where most records need none. */
  if (t->filterable * 2 >= t->part.records)
    filter_len = bloom_len(t->ids.len / sizeof(uint64_t));
  tail_put_partition(t, filter_len);
  if (t->bytes.status != SB_OK)
    return t->bytes.status;
  crc = crc32c_seeded(t->id.bytes, SEGMENT_SEED_PARTITION + t->partitions,
                      t->bytes.data + start, t->bytes.len - start);
  buf_u32(&t->bytes, crc);
  tail_put_entry(t, (uint32_t)(t->bytes.len - start));
  if (t->bytes.status != SB_OK)
    return t->bytes.status;
  if (t->directory.status != SB_OK)
    return t->directory.status;
  if (++t->partitions > SEGMENT_PARTITIONS_MAX ||
      t->bytes.len - start > SEGMENT_PARTITION_LEN_MAX)
    return SB_TOO_LARGE;
  tail_merge(&t->all, &t->part);
  memset(&t->part, 0, sizeof t->part);
  t->filterable = 0;
  t->spaces = 0;
  buf_clear(&t->ids);
  buf_clear(&t->words);
  buf_clear(&t->locators);
  buf_clear(&t->separator_offsets);
  buf_clear(&t->separators);
  return SB_OK;
}
