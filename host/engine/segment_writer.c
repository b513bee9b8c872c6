/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes segments; see segment.h. Blocks go out as they fill; the partitions
 * are built on the side and kept until the end, when they follow as the tail.
 */
#include "config.h"

#include <snappy-c.h>
#include "host/base/crc.h"
#include "host/engine/bloom.h"
#include "host/engine/segment_format.h"
#include "host/engine/separator.h"

/* A partition closes before it grows past these. */
#define WRITER_IDS_MAX (128u << 10)
#define WRITER_SEPARATORS_MAX (1u << 20)
#define WRITER_SPAN_MAX (1u << 30)
#define WRITER_COMPRESS_MAX (16u << 20) /* larger blocks are stored as is */
#define WRITER_KEEP_SPARE (1u << 20)    /* memory kept after a large record */

/* Sums over a partition or a segment. */
typedef struct writer_sums {
  uint64_t records, tombstones, raw_bytes, stored_bytes;
  uint64_t expires_min, expires_max;
  uint16_t key_group_first, key_group_last;
  uint32_t blocks;
} writer_sums;

struct segment_writer {
  const sb_host *host;
  segment_writer_options options;
  segment_schema *schemas;
  sb_status status;            /* the first failure */
  int finished;
  uint64_t offset;             /* bytes emitted */
  uint32_t crc;                /* of them */
  writer_sums all;
  uint32_t partitions;

  block_builder builder;
  record last;                 /* slices in `builder`, or after a block in
                                  `boundary` */
  buf boundary, out;

  writer_sums part;            /* the open partition */
  uint64_t part_offset;        /* of its first block */
  int continues;               /* it begins inside a key group */
  uint64_t filterable;         /* records without no_filter */
  uint64_t group_id;           /* last one in `ids` */
  buf ids;                     /* uint64_t in the machine's order */
  buf words, locators, separator_offsets, separators;

  buf tail, directory;
};

static sb_status
writer_fail(segment_writer *w, sb_status status, sb_error *err)
{
  char id[33];

  if (w->status == SB_OK)
    w->status = status;
  segment_id_text(&w->options.id, id);
  return sb_error_set(err, status, "could not write segment \"%s\": %s", id,
                      status == SB_NO_MEMORY ? "out of memory"
                                             : "a part of it is too large");
}

static sb_status
writer_emit(segment_writer *w, const void *data, size_t len, sb_error *err)
{
  sb_status status = w->options.emit(w->options.arg, data, len, err);

  if (status != SB_OK) {
    w->status = status;
    return status;
  }
  w->crc = crc32c_extend(w->crc, data, len);
  w->offset += len;
  return SB_OK;
}

/* ---- new and free ------------------------------------------------------- */

static sb_status
writer_check_options(const segment_writer_options *o, sb_error *err)
{
  uint32_t i;

  if (o->emit == NULL || o->compression > SEGMENT_COMPRESSION_SNAPPY ||
      o->block_size < SEGMENT_BLOCK_SIZE_MIN ||
      o->block_size > SEGMENT_BLOCK_SIZE_MAX ||
      o->partition_blocks > SEGMENT_PARTITION_BLOCKS_MAX ||
      o->key_group_count == 0 || o->key_group_count > SB_KEY_GROUPS_MAX ||
      o->epoch_min > o->epoch_max || o->schema_count > SB_STATES_MAX)
    return sb_error_set(err, SB_INVALID, "cannot write segment: an option is "
                        "out of range");
  for (i = 1; i < o->schema_count; i++) {
    if (o->schemas[i - 1].state >= o->schemas[i].state)
      return sb_error_set(err, SB_INVALID, "cannot write segment: schemas are "
                          "not ascending by state");
  }
  return SB_OK;
}

sb_status
segment_writer_new(const sb_host *host, const segment_writer_options *options,
                   segment_writer **out, sb_error *err)
{
  size_t schemas_len = options->schema_count * sizeof(segment_schema);
  sb_status status = writer_check_options(options, err);
  segment_writer *w;

  *out = NULL;
  if (status != SB_OK)
    return status;
  w = mem_zalloc(host, sizeof *w);
  if (w == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not write segment: out of "
                        "memory");
  w->host = host;
  w->options = *options;
  if (w->options.partition_blocks == 0)
    w->options.partition_blocks = SEGMENT_PARTITION_BLOCKS;
  block_builder_init(&w->builder, host);
  buf_init(&w->boundary, host, SEPARATOR_LEN_MAX);
  buf_init(&w->out, host, 2 * (size_t)WRITER_COMPRESS_MAX);
  buf_init(&w->ids, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&w->words, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&w->locators, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&w->separator_offsets, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&w->separators, host, SEGMENT_PARTITION_LEN_MAX);
  buf_init(&w->tail, host, UINT32_MAX);
  buf_init(&w->directory, host, SEGMENT_DIRECTORY_LEN_MAX);
  if (schemas_len != 0) {
    w->schemas = mem_dup(host, options->schemas, schemas_len);
    if (w->schemas == NULL) {
      segment_writer_free(w);
      return sb_error_set(err, SB_NO_MEMORY, "could not write segment: out of "
                          "memory");
    }
  }
  *out = w;
  return SB_OK;
}

void
segment_writer_free(segment_writer *w)
{
  if (w == NULL)
    return;
  block_builder_dispose(&w->builder);
  buf_dispose(&w->boundary);
  buf_dispose(&w->out);
  buf_dispose(&w->ids);
  buf_dispose(&w->words);
  buf_dispose(&w->locators);
  buf_dispose(&w->separator_offsets);
  buf_dispose(&w->separators);
  buf_dispose(&w->tail);
  buf_dispose(&w->directory);
  mem_free(w->host, w->schemas);
  mem_free(w->host, w);
}

/* ---- sums --------------------------------------------------------------- */

static void
writer_count(writer_sums *s, const record *r)
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
writer_merge(writer_sums *all, const writer_sums *part)
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

/* ---- blocks ------------------------------------------------------------- */

/* Compresses into `out`. *len is 0 if it is not worth it: less than a
   sixteenth saved does not pay for unpacking. */
static sb_status
writer_compress(segment_writer *w, const uint8_t *raw, size_t raw_len,
                size_t *len)
{
  size_t room = snappy_max_compressed_length(raw_len);
  char *to;

  *len = 0;
  if (w->options.compression == SEGMENT_COMPRESSION_NONE ||
      raw_len > WRITER_COMPRESS_MAX)
    return SB_OK;
  buf_clear(&w->out);
  to = buf_extend(&w->out, room + SEGMENT_BLOCK_TRAILER_LEN);
  if (to == NULL)
    return w->out.status;
  if (snappy_compress((const char *)raw, raw_len, to, &room) == SNAPPY_OK &&
      room < raw_len - raw_len / 16)
    *len = room;
  return SB_OK;
}

static sb_status
writer_emit_block(segment_writer *w, const uint8_t *raw, size_t raw_len,
                  uint32_t number, sb_error *err)
{
  uint8_t plain[SEGMENT_BLOCK_TRAILER_LEN], *trailer = plain;
  const uint8_t *payload = raw;
  size_t packed, len;
  uint32_t crc;
  sb_status status = writer_compress(w, raw, raw_len, &packed);

  if (status != SB_OK)
    return writer_fail(w, status, err);
  len = packed != 0 ? packed : raw_len;
  if (packed != 0) {
    payload = w->out.data;
    trailer = w->out.data + packed;
  }
  trailer[0] = packed != 0 ? SEGMENT_COMPRESSION_SNAPPY
                           : SEGMENT_COMPRESSION_NONE;
  crc = crc32c_seeded(w->options.id.bytes, number, payload, len);
  store_u32(trailer + 1, crc32c_extend(crc, trailer, 1));
  if (packed != 0)
    return writer_emit(w, payload, len + SEGMENT_BLOCK_TRAILER_LEN, err);
  status = writer_emit(w, payload, len, err);
  if (status != SB_OK)
    return status;
  return writer_emit(w, trailer, SEGMENT_BLOCK_TRAILER_LEN, err);
}

/* Moves the slices of `last` out of the builder, which is about to be
   emptied. */
static sb_status
writer_keep_last(segment_writer *w)
{
  record *last = &w->last;
  uint8_t *p;

  buf_clear(&w->boundary);
  /* One more byte, so that NULL means failure. */
  p = buf_extend(&w->boundary,
                 last->ns.len + last->key.len + last->subkey.len + 1);
  if (p == NULL)
    return w->boundary.status;
  if (last->ns.len != 0)
    memcpy(p, last->ns.data, last->ns.len);
  last->ns.data = p;
  p += last->ns.len;
  if (last->key.len != 0)
    memcpy(p, last->key.data, last->key.len);
  last->key.data = p;
  p += last->key.len;
  if (last->subkey.len != 0)
    memcpy(p, last->subkey.data, last->subkey.len);
  last->subkey.data = p;
  last->value = sb_slice_of(NULL, 0);
  return SB_OK;
}

/* A large record must not leave its memory behind. */
static void
writer_trim(segment_writer *w)
{
  size_t keep = WRITER_KEEP_SPARE + 4 * (size_t)w->options.block_size;

  if (block_builder_memory(&w->builder) > keep) {
    block_builder_dispose(&w->builder);
    block_builder_init(&w->builder, w->host);
  }
  block_builder_clear(&w->builder);
  if (w->out.cap > keep) {
    buf_dispose(&w->out);
    buf_init(&w->out, w->host, 2 * (size_t)WRITER_COMPRESS_MAX);
  }
}

static sb_status
writer_close_block(segment_writer *w, sb_error *err)
{
  uint64_t offset = w->offset;
  uint32_t number = w->all.blocks + w->part.blocks;
  size_t raw_len = 0;
  const uint8_t *raw;
  uint8_t *locator = buf_extend(&w->locators, SEGMENT_LOCATOR_LEN);
  sb_status status = writer_keep_last(w);

  if (status != SB_OK)
    return writer_fail(w, status, err);
  raw = block_builder_finish(&w->builder, &raw_len);
  if (raw == NULL || locator == NULL)
    return writer_fail(w, SB_NO_MEMORY, err);
  if (number >= SEGMENT_BLOCKS_MAX)
    return writer_fail(w, SB_TOO_LARGE, err);
  status = writer_emit_block(w, raw, raw_len, number, err);
  if (status != SB_OK)
    return status;
  if (w->part.blocks == 0)
    w->part_offset = offset;
  store_u32(locator, (uint32_t)(offset - w->part_offset));
  store_u32(locator + 4, (uint32_t)raw_len);
  w->part.blocks++;
  w->part.raw_bytes += raw_len;
  w->part.stored_bytes += w->offset - offset;
  if (w->options.block != NULL)
    w->options.block(w->options.arg, offset, (uint32_t)(w->offset - offset),
                     raw, (uint32_t)raw_len);
  writer_trim(w);
  return SB_OK;
}

/* ---- partitions --------------------------------------------------------- */

/* A filter is left out where most records need none. */
static sb_status
writer_put_filter(segment_writer *w, size_t len)
{
  uint8_t *filter = buf_extend(&w->tail, len);
  size_t i;

  if (filter == NULL)
    return w->tail.status;
  memset(filter, 0, len);
  for (i = 0; i < w->ids.len; i += sizeof(uint64_t)) {
    uint64_t id;

    memcpy(&id, w->ids.data + i, sizeof id);
    bloom_add(filter, len, id);
  }
  return SB_OK;
}

static void
writer_put_partition(segment_writer *w, size_t filter_len)
{
  size_t separators_len = 0;

  if (w->separators.len != 0)
    separators_len = w->separator_offsets.len + w->separators.len;
  buf_u64(&w->tail, w->part_offset);
  buf_u32(&w->tail, w->all.blocks);
  buf_u32(&w->tail, w->part.blocks);
  buf_u32(&w->tail, (uint32_t)filter_len);
  buf_u32(&w->tail, (uint32_t)separators_len);
  buf_u32(&w->tail, w->partitions);
  buf_u32(&w->tail, (uint32_t)w->part.stored_bytes);
  if (filter_len != 0 && writer_put_filter(w, filter_len) != SB_OK)
    return;
  buf_add(&w->tail, w->words.data, w->words.len);
  buf_add(&w->tail, w->locators.data, w->locators.len);
  if (separators_len != 0) {
    buf_add(&w->tail, w->separator_offsets.data, w->separator_offsets.len);
    buf_add(&w->tail, w->separators.data, w->separators.len);
  }
}

/* The bound was put there by writer_open_partition. */
static void
writer_put_entry(segment_writer *w, uint32_t len)
{
  buf *d = &w->directory;

  buf_varint(d, len);
  buf_varint(d, w->part.key_group_first);
  buf_varint(d, w->part.key_group_last);
  buf_varint(d, w->part.blocks);
  buf_varint(d, w->part.records);
  buf_varint(d, w->part.raw_bytes);
  buf_varint(d, w->part.stored_bytes);
  buf_varint(d, w->part.expires_min);
  buf_varint(d, w->part.expires_max);
}

static sb_status
writer_close_partition(segment_writer *w, sb_error *err)
{
  size_t start = w->tail.len, filter_len = 0;
  uint32_t crc;

  if (w->filterable * 2 >= w->part.records)
    filter_len = bloom_len(w->ids.len / sizeof(uint64_t));
  writer_put_partition(w, filter_len);
  if (w->tail.status != SB_OK)
    return writer_fail(w, w->tail.status, err);
  crc = crc32c_seeded(w->options.id.bytes,
                      SEGMENT_SEED_PARTITION + w->partitions,
                      w->tail.data + start, w->tail.len - start);
  buf_u32(&w->tail, crc);
  writer_put_entry(w, (uint32_t)(w->tail.len - start));
  if (w->tail.status != SB_OK)
    return writer_fail(w, w->tail.status, err);
  if (w->directory.status != SB_OK)
    return writer_fail(w, w->directory.status, err);
  if (++w->partitions > SEGMENT_PARTITIONS_MAX ||
      w->tail.len - start > SEGMENT_PARTITION_LEN_MAX)
    return writer_fail(w, SB_TOO_LARGE, err);
  writer_merge(&w->all, &w->part);
  memset(&w->part, 0, sizeof w->part);
  w->filterable = 0;
  buf_clear(&w->ids);
  buf_clear(&w->words);
  buf_clear(&w->locators);
  buf_clear(&w->separator_offsets);
  buf_clear(&w->separators);
  return SB_OK;
}

static void
writer_open_partition(segment_writer *w, const record *first)
{
  buf *d = &w->directory;

  buf_u64(d, separator_word(first));
  if (w->partitions == 0) {
    buf_varint(d, 0);
    return;
  }
  /* The length is known afterwards; the empty table holds the bound
     meanwhile. */
  separator_encode(&w->separators, &w->last, first);
  if (w->separators.status == SB_OK)
    buf_slice(d, sb_slice_of(w->separators.data, w->separators.len));
  else
    d->status = w->separators.status;
  buf_clear(&w->separators);
}

/* Notes the bound of the block that `first` begins. */
static sb_status
writer_open_block(segment_writer *w, const record *first, sb_error *err)
{
  if (w->part.blocks == 0)
    writer_open_partition(w, first);
  buf_u64(&w->words, separator_word(first));
  buf_u32(&w->separator_offsets, (uint32_t)w->separators.len);
  if (w->part.blocks != 0)
    separator_encode(&w->separators, &w->last, first);
  if (w->words.status != SB_OK || w->separators.status != SB_OK ||
      w->separator_offsets.status != SB_OK || w->directory.status != SB_OK)
    return writer_fail(w, SB_NO_MEMORY, err);
  return SB_OK;
}

/* ---- records ------------------------------------------------------------ */

static const char *
writer_refusal(const segment_writer *w, const record *r)
{
  uint64_t hash = r->flags & RECORD_ORDERED ? 0 : record_hash(r->key);

  if (w->finished)
    return "it is finished";
  if (r->key_group >= w->options.key_group_count)
    return "key group out of range";
  if (r->flags & ~(RECORD_TOMBSTONE | RECORD_CLEAR | RECORD_ORDERED))
    return "unknown flags";
  if (r->key.len > SB_KEY_MAX || r->ns.len > SB_NAMESPACE_MAX ||
      r->subkey.len > SB_SUBKEY_MAX || r->value.len > SB_VALUE_MAX)
    return "key, namespace, subkey or value is too long";
  if ((r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) && r->value.len != 0)
    return "a tombstone has a value";
  if ((r->flags & RECORD_CLEAR) && r->subkey.len != 0)
    return "a clear marker has a subkey";
  if (r->hash != hash)
    return "hash is not the key's";
  if ((w->part.records != 0 || w->partitions != 0) &&
      record_compare(&w->last, r) >= 0)
    return "out of order";
  return NULL;
}

/* Whether the partition ends with the key group before `r`: if it is at least
   half full, or holds the rest of a key group that did not fit into one. So
   readers of some key groups seldom load a partition of others. */
static int
writer_at_boundary(const segment_writer *w, const record *r)
{
  return r->key_group != w->last.key_group &&
         (w->continues ||
          w->part.blocks + 1 >= (w->options.partition_blocks + 1) / 2);
}

/* Closes what `r` must not go into any more. */
static sb_status
writer_make_room(segment_writer *w, const record *r, sb_error *err)
{
  int partition = 0;
  sb_status status;

  if (w->builder.count != 0) {
    partition = writer_at_boundary(w, r) ||
                w->ids.len / sizeof(uint64_t) >= WRITER_IDS_MAX;
    if (!partition && w->builder.count < BLOCK_RECORDS_MAX &&
        block_builder_size_with(&w->builder, r) <= w->options.block_size)
      return SB_OK;
    status = writer_close_block(w, err);
    if (status != SB_OK)
      return status;
  }
  if (w->part.blocks == 0)
    return SB_OK;
  if (partition || w->part.blocks >= w->options.partition_blocks ||
      w->part.stored_bytes >= WRITER_SPAN_MAX ||
      w->separators.len >= WRITER_SEPARATORS_MAX) {
    w->continues = r->key_group == w->last.key_group;
    return writer_close_partition(w, err);
  }
  return SB_OK;
}

static void
writer_add_id(segment_writer *w, uint64_t id)
{
  buf_add(&w->ids, &id, sizeof id);
}

/* The record's id, after noting it and its group's for the filter. */
static uint64_t
writer_note_ids(segment_writer *w, const record *r)
{
  uint64_t hash = r->flags & RECORD_ORDERED ? record_hash(r->key) : r->hash;
  uint64_t group = record_group_id(r->state, r->ns, hash);
  uint64_t id = r->flags & RECORD_CLEAR ? record_clear_id(group)
                                        : record_id(group, r->subkey);

  if (w->ids.len == 0 || w->group_id != group)
    writer_add_id(w, group);
  w->group_id = group;
  if (id != group)
    writer_add_id(w, id);
  return id;
}

sb_status
segment_writer_add(segment_writer *w, const record *r, int no_filter,
                   sb_error *err)
{
  const char *refusal;
  sb_status status;
  uint64_t id;

  if (w->status != SB_OK)
    return sb_error_set(err, w->status, "could not write segment: an earlier "
                        "write to it failed");
  refusal = writer_refusal(w, r);
  if (refusal != NULL) {
    w->status = SB_INVALID;
    return sb_error_set(err, SB_INVALID, "cannot add record to segment: %s",
                        refusal);
  }
  status = writer_make_room(w, r, err);
  if (status == SB_OK && w->builder.count == 0)
    status = writer_open_block(w, r, err);
  if (status != SB_OK)
    return status;
  id = writer_note_ids(w, r);
  if (w->ids.status != SB_OK)
    return writer_fail(w, w->ids.status, err);
  status = block_builder_add(&w->builder, r, id, &w->last);
  if (status != SB_OK)
    return writer_fail(w, status, err);
  writer_count(&w->part, r);
  w->filterable += no_filter == 0;
  return SB_OK;
}

uint64_t
segment_writer_size(const segment_writer *w)
{
  uint64_t size = w->offset + block_builder_size(&w->builder);

  if (w->finished)
    return w->offset;
  return size + w->tail.len + w->directory.len + w->words.len +
         w->locators.len + w->separators.len +
         w->ids.len / sizeof(uint64_t) * BLOOM_BITS_PER_ID / 8 +
         SEGMENT_FOOTER_LEN;
}

size_t
segment_writer_memory(const segment_writer *w)
{
  return sizeof *w + block_builder_memory(&w->builder) + w->boundary.cap +
         w->out.cap + w->ids.cap + w->words.cap + w->locators.cap +
         w->separator_offsets.cap + w->separators.cap + w->tail.cap +
         w->directory.cap + w->options.schema_count * sizeof(segment_schema);
}

/* ---- the tail ----------------------------------------------------------- */

/* The directory's head: counts and the table of schemas. */
static sb_status
writer_put_head(segment_writer *w, buf *head)
{
  uint32_t i;

  buf_u32(head, w->partitions);
  buf_u32(head, w->options.schema_count);
  for (i = 0; i < w->options.schema_count; i++) {
    buf_u32(head, w->schemas[i].state);
    buf_u32(head, w->schemas[i].version);
  }
  return head->status;
}

static void
writer_fill_info(const segment_writer *w, uint64_t tail_offset,
                 uint64_t directory_offset, segment_info *info)
{
  memset(info, 0, sizeof *info);
  info->id = w->options.id;
  info->size = w->offset + SEGMENT_FOOTER_LEN;
  info->tail_offset = tail_offset;
  info->tail_len = (uint32_t)(info->size - tail_offset);
  info->directory_offset = directory_offset;
  info->directory_len = (uint32_t)(w->offset - directory_offset);
  info->key_group_first = w->all.key_group_first;
  info->key_group_last = w->all.key_group_last;
  info->key_group_count = w->options.key_group_count;
  info->epoch_min = w->options.epoch_min;
  info->epoch_max = w->options.epoch_max;
  info->generation = w->options.generation;
  info->records = w->all.records;
  info->tombstones = w->all.tombstones;
  info->raw_bytes = w->all.raw_bytes;
  info->expires_min = w->all.expires_min;
  info->expires_max = w->all.expires_max;
  info->blocks = w->all.blocks;
  info->partitions = w->partitions;
}

static sb_status
writer_put_tail(segment_writer *w, buf *head, segment_info *info,
                sb_error *err)
{
  uint64_t tail_offset = w->offset, directory_offset;
  uint8_t footer[SEGMENT_FOOTER_LEN];
  uint32_t crc;
  sb_status status = writer_put_head(w, head);

  if (status != SB_OK)
    return writer_fail(w, status, err);
  if (head->len + w->directory.len + SEGMENT_CRC_LEN >
        SEGMENT_DIRECTORY_LEN_MAX ||
      w->tail.len > UINT32_MAX - SEGMENT_DIRECTORY_LEN_MAX -
                      SEGMENT_FOOTER_LEN)
    return writer_fail(w, SB_TOO_LARGE, err);
  status = writer_emit(w, w->tail.data, w->tail.len, err);
  directory_offset = w->offset;
  crc = crc32c_seeded(w->options.id.bytes, SEGMENT_SEED_DIRECTORY, head->data,
                      head->len);
  crc = crc32c_extend(crc, w->directory.data, w->directory.len);
  buf_u32(&w->directory, crc);
  if (w->directory.status != SB_OK)
    return writer_fail(w, w->directory.status, err);
  if (status == SB_OK)
    status = writer_emit(w, head->data, head->len, err);
  if (status == SB_OK)
    status = writer_emit(w, w->directory.data, w->directory.len, err);
  if (status != SB_OK)
    return status;
  writer_fill_info(w, tail_offset, directory_offset, info);
  segment_footer_encode(info, w->crc, footer);
  return writer_emit(w, footer, sizeof footer, err);
}

sb_status
segment_writer_finish(segment_writer *w, segment_info *info, sb_error *err)
{
  segment_info result;
  sb_status status = SB_OK;
  buf head;

  if (w->status != SB_OK)
    return sb_error_set(err, w->status, "could not write segment: an earlier "
                        "write to it failed");
  if (w->finished || (w->part.records == 0 && w->partitions == 0))
    return sb_error_set(err, SB_INVALID, "cannot finish segment: it has no "
                        "records or is finished");
  buf_init(&head, w->host, SB_STATES_MAX * 8u + 8u);
  if (w->builder.count != 0)
    status = writer_close_block(w, err);
  if (status == SB_OK && w->part.blocks != 0)
    status = writer_close_partition(w, err);
  if (status == SB_OK)
    status = writer_put_tail(w, &head, &result, err);
  buf_dispose(&head);
  if (status != SB_OK)
    return status;
  w->finished = 1;
  result.crc32c = w->crc;
  *info = result;
  return SB_OK;
}
