/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads segments; see segment.h. Nothing that comes from the bytes is used
 * before it has been held against the checksums, the limits and what is
 * already known.
 */
#include "config.h"

#include <snappy-c.h>
#include "host/base/crc.h"
#include "host/engine/bloom.h"
#include "host/engine/segment_format.h"
#include "host/engine/separator.h"

/* A bound's word and length, and nine numbers. */
#define READER_ENTRY_LEN_MIN 18u
/* A tombstone of an empty key, its offset and tag, the trailer. */
#define READER_BLOCK_RAW_MIN (4u + 4u + BLOCK_TRAILER_LEN)

struct segment_directory {
  size_t memory;
  uint32_t count, schema_count;
  separator_table table;
  segment_schema *schemas;
  segment_partition_info *partitions;
};

void
segment_id_text(const segment_id *id, char text[33])
{
  static const char digits[] = "0123456789abcdef";
  int i;

  for (i = 0; i < 16; i++) {
    text[2 * i] = digits[id->bytes[i] >> 4];
    text[2 * i + 1] = digits[id->bytes[i] & 15];
  }
  text[32] = 0;
}

static sb_status
reader_corrupt(const segment_info *info, const char *what, sb_error *err)
{
  char id[33];

  segment_id_text(&info->id, id);
  return sb_error_set(err, SB_CORRUPT, "segment \"%s\" is damaged: %s", id,
                      what);
}

/* ---- footer ------------------------------------------------------------- */

void
segment_footer_encode(const segment_info *info, uint32_t body_crc,
                      uint8_t out[SEGMENT_FOOTER_LEN])
{
  memset(out, 0, SEGMENT_FOOTER_LEN);
  memcpy(out, info->id.bytes, sizeof info->id.bytes);
  store_u32(out + 16, SEGMENT_VERSION);
  store_u64(out + 24, info->size);
  store_u64(out + 32, info->tail_offset);
  store_u64(out + 40, info->directory_offset);
  store_u32(out + 48, info->tail_len);
  store_u32(out + 52, info->directory_len);
  store_u32(out + 56, info->key_group_count);
  store_u16(out + 60, info->key_group_first);
  store_u16(out + 62, info->key_group_last);
  store_u64(out + 64, info->epoch_min);
  store_u64(out + 72, info->epoch_max);
  store_u64(out + 80, info->generation);
  store_u64(out + 88, info->records);
  store_u64(out + 96, info->tombstones);
  store_u64(out + 104, info->raw_bytes);
  store_u64(out + 112, info->expires_min);
  store_u64(out + 120, info->expires_max);
  store_u64(out + 128, info->word_first);
  store_u64(out + 136, info->word_last);
  store_u32(out + 144, info->blocks);
  store_u32(out + 148, info->partitions);
  store_u32(out + SEGMENT_BODY_CRC_AT, body_crc);
  store_u32(out + SEGMENT_FOOTER_CRC_AT, crc32c(out, SEGMENT_FOOTER_CRC_AT));
  memcpy(out + SEGMENT_MAGIC_AT, SEGMENT_MAGIC, SEGMENT_MAGIC_LEN);
}

static void
reader_footer_decode(const uint8_t *f, segment_info *info)
{
  memset(info, 0, sizeof *info);
  memcpy(info->id.bytes, f, sizeof info->id.bytes);
  info->size = load_u64(f + 24);
  info->tail_offset = load_u64(f + 32);
  info->directory_offset = load_u64(f + 40);
  info->tail_len = load_u32(f + 48);
  info->directory_len = load_u32(f + 52);
  info->key_group_count = load_u32(f + 56);
  info->key_group_first = load_u16(f + 60);
  info->key_group_last = load_u16(f + 62);
  info->epoch_min = load_u64(f + 64);
  info->epoch_max = load_u64(f + 72);
  info->generation = load_u64(f + 80);
  info->records = load_u64(f + 88);
  info->tombstones = load_u64(f + 96);
  info->raw_bytes = load_u64(f + 104);
  info->expires_min = load_u64(f + 112);
  info->expires_max = load_u64(f + 120);
  info->word_first = load_u64(f + 128);
  info->word_last = load_u64(f + 136);
  info->blocks = load_u32(f + 144);
  info->partitions = load_u32(f + 148);
  info->crc32c = crc32c_extend(load_u32(f + SEGMENT_BODY_CRC_AT), f,
                               SEGMENT_FOOTER_LEN);
}

static int
reader_info_sane(const segment_info *i)
{
  if (i->size < SEGMENT_FOOTER_LEN || i->tail_offset >= i->size ||
      i->tail_len != i->size - i->tail_offset)
    return 0;
  if (i->directory_len > SEGMENT_DIRECTORY_LEN_MAX ||
      i->directory_offset <= i->tail_offset ||
      i->directory_offset >= i->size ||
      i->size - i->directory_offset !=
        (uint64_t)i->directory_len + SEGMENT_FOOTER_LEN)
    return 0;
  if (i->key_group_count == 0 || i->key_group_count > SB_KEY_GROUPS_MAX ||
      i->key_group_first > i->key_group_last ||
      i->key_group_last >= i->key_group_count || i->epoch_min > i->epoch_max)
    return 0;
  if (i->word_first > i->word_last ||
      i->word_first >> 48 != i->key_group_first ||
      i->word_last >> 48 != i->key_group_last)
    return 0;
  return i->blocks != 0 && i->blocks <= SEGMENT_BLOCKS_MAX &&
         i->partitions != 0 && i->partitions <= SEGMENT_PARTITIONS_MAX &&
         i->partitions <= i->blocks && i->blocks <= i->records &&
         i->tombstones <= i->records;
}

sb_status
segment_footer_read(const void *bytes, size_t len, segment_info *info,
                    sb_error *err)
{
  const uint8_t *f = bytes;
  segment_info read;

  if (len < SEGMENT_FOOTER_LEN)
    return sb_error_set(err, SB_CORRUPT, "segment of %zu bytes is too short",
                        len);
  f += len - SEGMENT_FOOTER_LEN;
  if (memcmp(f + SEGMENT_MAGIC_AT, SEGMENT_MAGIC,
             SEGMENT_MAGIC_LEN) != 0)
    return sb_error_set(err, SB_CORRUPT, "segment does not end with \"%s\": "
                        "it is damaged, no segment or of another version",
                        SEGMENT_MAGIC);
  if (crc32c(f, SEGMENT_FOOTER_CRC_AT) != load_u32(f + SEGMENT_FOOTER_CRC_AT))
    return sb_error_set(err, SB_CORRUPT, "segment's footer has a wrong "
                        "checksum");
  if (load_u32(f + 16) != SEGMENT_VERSION || load_u32(f + 20) != 0)
    return sb_error_set(err, SB_UNSUPPORTED, "segment has version %u and "
                        "flags %u, only version %u without flags can be read",
                        (unsigned)load_u32(f + 16),
                        (unsigned)load_u32(f + 20), SEGMENT_VERSION);
  reader_footer_decode(f, &read);
  if (!reader_info_sane(&read) || load_u64(f + SEGMENT_RESERVED_AT) != 0)
    return reader_corrupt(&read, "its footer contradicts itself", err);
  *info = read;
  return SB_OK;
}

/* The footer must say just what the caller's *info does. */
static sb_status
reader_match_footer(const segment_info *info, const uint8_t *footer,
                    sb_error *err)
{
  uint8_t expected[SEGMENT_FOOTER_LEN];
  segment_info read;
  sb_status status = segment_footer_read(footer, SEGMENT_FOOTER_LEN, &read,
                                         err);

  if (status != SB_OK)
    return status;
  if (memcmp(read.id.bytes, info->id.bytes, sizeof read.id.bytes) != 0)
    return reader_corrupt(info, "the object holds another segment", err);
  segment_footer_encode(info, load_u32(footer + SEGMENT_BODY_CRC_AT),
                        expected);
  if (memcmp(expected, footer, SEGMENT_FOOTER_LEN) != 0 ||
      read.crc32c != info->crc32c)
    return reader_corrupt(info, "its footer says something else than its "
                          "manifest", err);
  return SB_OK;
}

/* ---- directory ---------------------------------------------------------- */

static segment_directory *
reader_directory_new(const sb_host *host, uint32_t count,
                     uint32_t schema_count, size_t directory_len)
{
  size_t partitions_len = count * sizeof(segment_partition_info);
  size_t schemas_len = schema_count * sizeof(segment_schema);
  size_t len = sizeof(segment_directory) + partitions_len + schemas_len +
               (size_t)count * (SEGMENT_WORD_LEN + 4) + directory_len;
  segment_directory *d = mem_zalloc(host, len);
  uint8_t *p;

  if (d == NULL)
    return NULL;
  d->memory = len;
  d->count = count;
  d->schema_count = schema_count;
  d->partitions = (segment_partition_info *)(void *)(d + 1);
  p = (uint8_t *)(d->partitions + count);
  d->schemas = (segment_schema *)(void *)p;
  d->table.count = count;
  d->table.words = p + schemas_len;
  d->table.separators = d->table.words + (size_t)count * SEGMENT_WORD_LEN;
  return d;
}

/* Decodes one entry; `at` has the offset and block number it must go on from.
   The bound goes to the end of the table. */
static int
reader_entry(segment_directory *d, uint32_t i, reader *r,
             segment_partition_info *at)
{
  segment_partition_info *p = &d->partitions[i];
  uint8_t *words = (uint8_t *)(uintptr_t)d->table.words;
  uint8_t *separators = (uint8_t *)(uintptr_t)d->table.separators;
  uint64_t word = reader_u64(r), len, first, last, blocks;
  sb_slice bound = reader_slice(r);

  len = reader_varint(r);
  first = reader_varint(r);
  last = reader_varint(r);
  blocks = reader_varint(r);
  p->records = reader_varint(r);
  p->raw_bytes = reader_varint(r);
  p->stored_bytes = reader_varint(r);
  p->expires_min = reader_varint(r);
  p->expires_max = reader_varint(r);
  if (r->bad || len < SEGMENT_PARTITION_HEADER_LEN + SEGMENT_CRC_LEN ||
      len > SEGMENT_PARTITION_LEN_MAX || first > last || last > UINT16_MAX ||
      blocks == 0 || blocks > SEGMENT_PARTITION_BLOCKS_MAX ||
      p->records < blocks || p->stored_bytes > UINT32_MAX)
    return -1;
  p->offset = at->offset;
  p->len = (uint32_t)len;
  p->key_group_first = (uint16_t)first;
  p->key_group_last = (uint16_t)last;
  p->first_block = at->first_block;
  p->blocks = (uint32_t)blocks;
  store_u64(words + (size_t)i * SEGMENT_WORD_LEN, word);
  store_u32(separators + (size_t)i * 4,
            d->table.separators_len - d->count * 4);
  if (bound.len != 0)
    memcpy(separators + d->table.separators_len, bound.data, bound.len);
  d->table.separators_len += (uint32_t)bound.len;
  return 0;
}

/* Sums and ranges of all entries against the footer. */
static int
reader_entries(segment_directory *d, const segment_info *info, reader *r)
{
  segment_partition_info at = { .offset = info->tail_offset };
  uint32_t i;

  d->table.separators_len = d->count * 4;
  for (i = 0; i < d->count; i++) {
    const segment_partition_info *p = &d->partitions[i];

    if (reader_entry(d, i, r, &at) != 0)
      return -1;
    if (i == 0 ? p->key_group_first != info->key_group_first
               : p->key_group_first < at.key_group_last)
      return -1;
    at.key_group_last = p->key_group_last;
    at.offset += p->len;
    if (p->blocks > info->blocks - at.first_block ||
        p->records > info->records - at.records ||
        p->raw_bytes > info->raw_bytes - at.raw_bytes ||
        p->stored_bytes > info->tail_offset - at.stored_bytes)
      return -1;
    at.first_block += p->blocks;
    at.records += p->records;
    at.raw_bytes += p->raw_bytes;
    at.stored_bytes += p->stored_bytes;
  }
  if (reader_left(r) != 0 || at.offset != info->directory_offset ||
      at.first_block != info->blocks || at.records != info->records ||
      at.raw_bytes != info->raw_bytes ||
      at.stored_bytes != info->tail_offset ||
      at.key_group_last != info->key_group_last)
    return -1;
  if (load_u64(d->table.words) != info->word_first ||
      load_u64(d->table.words + (d->count - 1) * (size_t)SEGMENT_WORD_LEN) >
        info->word_last)
    return -1;
  return separator_check(&d->table);
}

static int
reader_schemas(segment_directory *d, reader *r)
{
  uint32_t i;

  for (i = 0; i < d->schema_count; i++) {
    d->schemas[i].state = reader_u32(r);
    d->schemas[i].version = reader_u32(r);
    if (i != 0 && d->schemas[i - 1].state >= d->schemas[i].state)
      return -1;
  }
  return 0;
}

static sb_status
reader_directory_decode(const sb_host *host, const segment_info *info,
                        const void *bytes, segment_directory **out,
                        sb_error *err)
{
  size_t len = info->directory_len - SEGMENT_CRC_LEN;
  reader r = reader_of(bytes, len);
  uint32_t count = reader_u32(&r), schema_count = reader_u32(&r);
  segment_directory *d;

  if (r.bad || count != info->partitions || schema_count > SB_STATES_MAX ||
      reader_left(&r) / 8 < schema_count ||
      (reader_left(&r) - (size_t)schema_count * 8) / READER_ENTRY_LEN_MIN <
        count)
    return reader_corrupt(info, "its directory has wrong counts", err);
  d = reader_directory_new(host, count, schema_count, len);
  if (d == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open segment: out of "
                        "memory");
  if (reader_schemas(d, &r) != 0 || reader_entries(d, info, &r) != 0) {
    mem_free(host, d);
    return reader_corrupt(info, "its directory contradicts itself", err);
  }
  *out = d;
  return SB_OK;
}

sb_status
segment_directory_open(const sb_host *host, const segment_info *info,
                       const void *bytes, size_t len,
                       segment_directory **out, sb_error *err)
{
  const uint8_t *p = bytes;
  size_t body;
  sb_status status;

  *out = NULL;
  if (len < SEGMENT_FOOTER_LEN || info->directory_len <= SEGMENT_CRC_LEN ||
      len - SEGMENT_FOOTER_LEN != info->directory_len)
    return reader_corrupt(info, "its directory has a wrong length", err);
  status = reader_match_footer(info, p + info->directory_len, err);
  if (status != SB_OK)
    return status;
  body = info->directory_len - SEGMENT_CRC_LEN;
  if (crc32c_seeded(info->id.bytes, SEGMENT_SEED_DIRECTORY, p, body) !=
      load_u32(p + body))
    return reader_corrupt(info, "its directory has a wrong checksum", err);
  return reader_directory_decode(host, info, bytes, out, err);
}

void
segment_directory_free(const sb_host *host, segment_directory *d)
{
  mem_free(host, d);
}

size_t
segment_directory_memory(const segment_directory *d)
{
  return d->memory;
}

uint32_t
segment_directory_count(const segment_directory *d)
{
  return d->count;
}

const segment_partition_info *
segment_directory_at(const segment_directory *d, uint32_t i)
{
  return &d->partitions[i];
}

uint32_t
segment_directory_find(const segment_directory *d, const record *key)
{
  return separator_find(&d->table, key);
}

sb_status
segment_directory_schema(const segment_directory *d, uint32_t state,
                         uint32_t *version)
{
  uint32_t i;

  for (i = 0; i < d->schema_count; i++) {
    if (d->schemas[i].state == state) {
      *version = d->schemas[i].version;
      return SB_OK;
    }
  }
  return SB_NOT_FOUND;
}

/* ---- partitions --------------------------------------------------------- */

void
segment_partition_view(const void *bytes, size_t len, segment_partition *p)
{
  const uint8_t *b = bytes;

  p->bytes = b;
  p->len = len;
  p->offset = load_u64(b);
  p->first_block = load_u32(b + 8);
  p->count = load_u32(b + 12);
  p->filter_len = load_u32(b + 16) & ~SEGMENT_FILTER_SPACES;
  p->filter_spaces = (load_u32(b + 16) & SEGMENT_FILTER_SPACES) != 0;
  p->separators_len = load_u32(b + 20);
  p->span = load_u32(b + 28);
  p->filter = b + SEGMENT_PARTITION_HEADER_LEN;
  p->words = p->filter + p->filter_len;
  p->locators = p->words + (size_t)p->count * SEGMENT_WORD_LEN;
  p->separators = p->locators + (size_t)p->count * SEGMENT_LOCATOR_LEN;
}

/* The lengths in a partition's header against its own. */
static int
reader_partition_shape(const segment_info *info, uint32_t index,
                       const uint8_t *b, size_t len)
{
  uint64_t offset = load_u64(b);
  uint32_t first = load_u32(b + 8), count = load_u32(b + 12);
  uint32_t filter_len = load_u32(b + 16) & ~SEGMENT_FILTER_SPACES;
  uint32_t separators_len = load_u32(b + 20);
  uint32_t span = load_u32(b + 28);
  uint64_t expected = SEGMENT_PARTITION_HEADER_LEN + SEGMENT_CRC_LEN +
                      (uint64_t)filter_len + separators_len;

  if (load_u32(b + 24) != index || count == 0 ||
      count > SEGMENT_PARTITION_BLOCKS_MAX || first > info->blocks ||
      count > info->blocks - first || filter_len % BLOOM_BLOCK_LEN != 0)
    return -1;
  expected += (uint64_t)count * (SEGMENT_WORD_LEN + SEGMENT_LOCATOR_LEN);
  if (expected != len || offset > info->tail_offset ||
      span > info->tail_offset - offset)
    return -1;
  return 0;
}

static int
reader_locators(const segment_partition *p)
{
  uint32_t i;

  for (i = 0; i < p->count; i++) {
    const uint8_t *locator = p->locators + (size_t)i * SEGMENT_LOCATOR_LEN;
    uint32_t start = load_u32(locator), raw_len = load_u32(locator + 4);
    uint32_t end = i + 1 < p->count
                     ? load_u32(locator + SEGMENT_LOCATOR_LEN)
                     : p->span;

    if ((i == 0 && start != 0) || end > p->span || end < start ||
        end - start <= SEGMENT_BLOCK_TRAILER_LEN ||
        raw_len < READER_BLOCK_RAW_MIN || raw_len > SEGMENT_BLOCK_RAW_MAX ||
        raw_len / SEGMENT_BLOCK_RATIO_MAX > end - start)
      return -1;
  }
  return 0;
}

static void
reader_table(const segment_partition *p, separator_table *t)
{
  t->words = p->words;
  t->separators = p->separators;
  t->count = p->count;
  t->separators_len = p->separators_len;
}

sb_status
segment_partition_check(const segment_info *info, uint32_t index,
                        const void *bytes, size_t len, sb_error *err)
{
  const uint8_t *b = bytes;
  separator_table table;
  segment_partition p;
  size_t body = len - SEGMENT_CRC_LEN;

  if (len < SEGMENT_PARTITION_HEADER_LEN + SEGMENT_CRC_LEN ||
      len > SEGMENT_PARTITION_LEN_MAX || index >= info->partitions)
    return reader_corrupt(info, "a partition has a wrong length", err);
  if (crc32c_seeded(info->id.bytes, SEGMENT_SEED_PARTITION + index, b, body) !=
      load_u32(b + body))
    return reader_corrupt(info, "a partition has a wrong checksum", err);
  if (reader_partition_shape(info, index, b, len) != 0)
    return reader_corrupt(info, "a partition's header is wrong", err);
  segment_partition_view(bytes, len, &p);
  reader_table(&p, &table);
  if (reader_locators(&p) != 0 || separator_check(&table) != 0 ||
      load_u64(p.words) < info->word_first ||
      load_u64(p.words + (p.count - 1) * (size_t)SEGMENT_WORD_LEN) >
        info->word_last)
    return reader_corrupt(info, "a partition's index contradicts itself", err);
  return SB_OK;
}

int
segment_partition_may_contain(const segment_partition *p, uint64_t id)
{
  if (p->filter_len == 0)
    return 1;
  return bloom_may_contain(p->filter, p->filter_len, id);
}

int
segment_partition_may_hold_space(const segment_partition *p, uint64_t id)
{
  return !p->filter_spaces || segment_partition_may_contain(p, id);
}

uint32_t
segment_partition_count(const segment_partition *p)
{
  return p->count;
}

uint32_t
segment_partition_find(const segment_partition *p, const record *key)
{
  separator_table table;

  reader_table(p, &table);
  return separator_find(&table, key);
}

void
segment_partition_at(const segment_partition *p, uint32_t i,
                     segment_block_ref *ref)
{
  const uint8_t *locator = p->locators + (size_t)i * SEGMENT_LOCATOR_LEN;
  uint32_t start = load_u32(locator);
  uint32_t end = p->span;

  if (i + 1 < p->count)
    end = load_u32(locator + SEGMENT_LOCATOR_LEN);
  ref->offset = p->offset + start;
  ref->stored_len = end - start;
  ref->raw_len = load_u32(locator + 4);
  ref->number = p->first_block + i;
}

/* ---- blocks ------------------------------------------------------------- */

static sb_status
reader_block_corrupt(const segment_info *info, const segment_block_ref *ref,
                     const char *what, sb_error *err)
{
  char id[33];

  segment_id_text(&info->id, id);
  return sb_error_set(err, SB_CORRUPT, "segment \"%s\" is damaged: block %u "
                      "at offset %llu %s", id, (unsigned)ref->number,
                      (unsigned long long)ref->offset, what);
}

sb_status
segment_block_decode(const segment_info *info, const segment_block_ref *ref,
                     const void *stored, void *raw, sb_error *err)
{
  const uint8_t *p = stored;
  size_t len, raw_len;

  if (ref->stored_len <= SEGMENT_BLOCK_TRAILER_LEN)
    return reader_block_corrupt(info, ref, "is too short", err);
  len = ref->stored_len - SEGMENT_BLOCK_TRAILER_LEN;
  if (crc32c_seeded(info->id.bytes, ref->number, p, len + 1) !=
      load_u32(p + len + 1))
    return reader_block_corrupt(info, ref, "has a wrong checksum", err);
  if (p[len] == SEGMENT_COMPRESSION_NONE && len == ref->raw_len) {
    memcpy(raw, p, len);
    return SB_OK;
  }
  raw_len = ref->raw_len;
  if (p[len] != SEGMENT_COMPRESSION_SNAPPY ||
      snappy_uncompressed_length((const char *)p, len, &raw_len) !=
        SNAPPY_OK ||
      raw_len != ref->raw_len ||
      snappy_uncompress((const char *)p, len, raw, &raw_len) != SNAPPY_OK)
    return reader_block_corrupt(info, ref, "cannot be unpacked", err);
  return SB_OK;
}
