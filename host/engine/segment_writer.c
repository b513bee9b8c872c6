/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes segments; see segment.h. Blocks go out as they fill; the tail grows
 * on the side, see segment_tail.h, and follows at the end.
 */
#include "config.h"

#include <snappy-c.h>
#include "host/base/crc.h"
#include "host/engine/segment_format.h"
#include "host/engine/segment_tail.h"
#include "host/engine/separator.h"

#define WRITER_COMPRESS_MAX (16u << 20) /* larger blocks are stored as is */
#define WRITER_KEEP_SPARE (1u << 20)    /* memory kept after a large record */

struct segment_writer {
  const sb_host *host;
  segment_writer_options options;
  segment_schema *schemas;
  sb_status status;            /* the first failure */
  int finished;
  uint64_t offset;             /* bytes emitted */
  uint32_t crc;                /* of them */

  block_builder builder;
  record last;                 /* slices in `builder`, or after a block in
                                  `boundary` */
  buf boundary, out;

  segment_tail tail;
  int continues;               /* its partition begins inside a key group */
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
  segment_tail_init(&w->tail, host, &w->options.id);
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
  segment_tail_dispose(&w->tail);
  mem_free(w->host, w->schemas);
  mem_free(w->host, w);
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
  uint32_t number = w->tail.all.blocks + w->tail.part.blocks;
  size_t raw_len = 0;
  const uint8_t *raw;
  sb_status status = writer_keep_last(w);

  if (status != SB_OK)
    return writer_fail(w, status, err);
  raw = block_builder_finish(&w->builder, &raw_len);
  if (raw == NULL)
    return writer_fail(w, SB_NO_MEMORY, err);
  if (number >= SEGMENT_BLOCKS_MAX)
    return writer_fail(w, SB_TOO_LARGE, err);
  status = writer_emit_block(w, raw, raw_len, number, err);
  if (status != SB_OK)
    return status;
  status = segment_tail_close_block(&w->tail, offset,
                                    (uint32_t)(w->offset - offset),
                                    (uint32_t)raw_len);
  if (status != SB_OK)
    return writer_fail(w, status, err);
  if (w->options.block != NULL)
    w->options.block(w->options.arg, offset, (uint32_t)(w->offset - offset),
                     raw, (uint32_t)raw_len);
  writer_trim(w);
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
  if ((r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) && r->value.len != 0 &&
      r->flags != RECORD_FRONT)
    return "a tombstone has a value";
  if ((r->flags & RECORD_CLEAR) && r->subkey.len != 0)
    return "a clear marker has a subkey";
  if (r->flags == RECORD_FRONT && r->key.len + r->ns.len != 0)
    return "a front has a key";
  if (r->hash != hash)
    return "hash is not the key's";
  if ((w->tail.part.records != 0 || w->tail.partitions != 0) &&
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
          w->tail.part.blocks + 1 >= (w->options.partition_blocks + 1) / 2);
}

/* Closes what `r` must not go into any more. */
static sb_status
writer_make_room(segment_writer *w, const record *r, sb_error *err)
{
  int partition = 0;
  sb_status status;

  if (w->builder.count != 0) {
    partition = writer_at_boundary(w, r) ||
                segment_tail_filter_full(&w->tail);
    if (!partition && w->builder.count < BLOCK_RECORDS_MAX &&
        block_builder_size_with(&w->builder, r) <= w->options.block_size)
      return SB_OK;
    status = writer_close_block(w, err);
    if (status != SB_OK)
      return status;
  }
  if (w->tail.part.blocks == 0)
    return SB_OK;
  if (!partition && w->tail.part.blocks < w->options.partition_blocks &&
      !segment_tail_full(&w->tail))
    return SB_OK;
  w->continues = r->key_group == w->last.key_group;
  status = segment_tail_close_partition(&w->tail);
  return status == SB_OK ? SB_OK : writer_fail(w, status, err);
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
  if (status != SB_OK)
    return status;
  if (w->builder.count == 0)
    status = segment_tail_open_block(&w->tail, &w->last, r);
  if (status == SB_OK)
    status = segment_tail_add(&w->tail, r, no_filter, &id);
  if (status == SB_OK)
    status = block_builder_add(&w->builder, r, id, &w->last);
  return status == SB_OK ? SB_OK : writer_fail(w, status, err);
}

uint64_t
segment_writer_size(const segment_writer *w)
{
  if (w->finished)
    return w->offset;
  return w->offset + block_builder_size(&w->builder) +
         segment_tail_size(&w->tail);
}

size_t
segment_writer_memory(const segment_writer *w)
{
  return sizeof *w + block_builder_memory(&w->builder) + w->boundary.cap +
         w->out.cap + segment_tail_memory(&w->tail) +
         w->options.schema_count * sizeof(segment_schema);
}

/* ---- the tail ----------------------------------------------------------- */

/* The directory's head: counts and the table of schemas. */
static sb_status
writer_put_head(segment_writer *w, buf *head)
{
  uint32_t i;

  buf_u32(head, w->tail.partitions);
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
  const segment_sums *all = &w->tail.all;

  memset(info, 0, sizeof *info);
  info->id = w->options.id;
  info->size = w->offset + SEGMENT_FOOTER_LEN;
  info->tail_offset = tail_offset;
  info->tail_len = (uint32_t)(info->size - tail_offset);
  info->directory_offset = directory_offset;
  info->directory_len = (uint32_t)(w->offset - directory_offset);
  info->key_group_first = all->key_group_first;
  info->key_group_last = all->key_group_last;
  info->key_group_count = w->options.key_group_count;
  info->word_first = w->tail.word_first;
  info->word_last = separator_word(&w->last);
  info->epoch_min = w->options.epoch_min;
  info->epoch_max = w->options.epoch_max;
  info->generation = w->options.generation;
  info->records = all->records;
  info->tombstones = all->tombstones;
  info->raw_bytes = all->raw_bytes;
  info->expires_min = all->expires_min;
  info->expires_max = all->expires_max;
  info->blocks = all->blocks;
  info->partitions = w->tail.partitions;
}

static sb_status
writer_put_tail(segment_writer *w, buf *head, segment_info *info,
                sb_error *err)
{
  buf *bytes = &w->tail.bytes, *directory = &w->tail.directory;
  uint64_t tail_offset = w->offset, directory_offset;
  uint8_t footer[SEGMENT_FOOTER_LEN];
  uint32_t crc;
  sb_status status = writer_put_head(w, head);

  if (status != SB_OK)
    return writer_fail(w, status, err);
  if (head->len + directory->len + SEGMENT_CRC_LEN >
        SEGMENT_DIRECTORY_LEN_MAX ||
      bytes->len > UINT32_MAX - SEGMENT_DIRECTORY_LEN_MAX -
                     SEGMENT_FOOTER_LEN)
    return writer_fail(w, SB_TOO_LARGE, err);
  status = writer_emit(w, bytes->data, bytes->len, err);
  directory_offset = w->offset;
  crc = crc32c_seeded(w->options.id.bytes, SEGMENT_SEED_DIRECTORY, head->data,
                      head->len);
  crc = crc32c_extend(crc, directory->data, directory->len);
  buf_u32(directory, crc);
  if (directory->status != SB_OK)
    return writer_fail(w, directory->status, err);
  if (status == SB_OK)
    status = writer_emit(w, head->data, head->len, err);
  if (status == SB_OK)
    status = writer_emit(w, directory->data, directory->len, err);
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
  if (w->finished || (w->tail.part.records == 0 && w->tail.partitions == 0))
    return sb_error_set(err, SB_INVALID, "cannot finish segment: it has no "
                        "records or is finished");
  buf_init(&head, w->host, SB_STATES_MAX * 8u + 8u);
  if (w->builder.count != 0)
    status = writer_close_block(w, err);
  if (status == SB_OK && w->tail.part.blocks != 0) {
    status = segment_tail_close_partition(&w->tail);
    if (status != SB_OK)
      (void)writer_fail(w, status, err);
  }
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
