/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments from bytes nobody vouches for. The first byte says what the rest
 * is: an object as it stands, or one of its parts, whose checksums are then
 * made right, as no fuzzer would ever guess them.
 */
#include "config.h"

#include <stdlib.h>
#include "host/base/crc.h"
#include "host/engine/segment_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that may be allocated for an input of some length. */
#define FUZZ_MEMORY(len) ((len) * 64 + (1u << 20))

static size_t fuzz_memory_max;

static void *
fuzz_alloc(const sb_host *host, void *old, size_t size)
{
  (void)host;
  if (size == 0) {
    free(old);
    return NULL;
  }
  if (size > fuzz_memory_max)
    abort();
  return realloc(old, size);
}

static const sb_host fuzz_host = {
  .struct_size = sizeof(sb_host),
  .abi_version = SB_ABI_VERSION,
  .alloc = fuzz_alloc,
};

static void
fuzz_block(const void *raw, size_t len)
{
  record r, got;
  block b;
  uint32_t i;

  if (block_check(raw, len, NULL) != SB_OK)
    return;
  block_view(raw, len, &b);
  for (i = 0; i < b.count; i++) {
    block_at(&b, i, &r);
    if (block_get(&b, &r, block_record_id(&r), &got) &&
        (!slice_equal(r.key, got.key) || !slice_equal(r.subkey, got.subkey)))
      abort();
    if (block_seek(&b, &r) > b.count)
      abort();
  }
  if (block_verify(&b, NULL) != SB_OK)
    return;
  for (i = 0; i < b.count; i++) {
    block_at(&b, i, &r);
    if (block_seek(&b, &r) != i ||
        !block_get(&b, &r, block_record_id(&r), &got))
      abort();
  }
}

static void
fuzz_stored(const segment_info *info, const segment_block_ref *ref,
            const uint8_t *stored)
{
  void *raw = mem_alloc(&fuzz_host, ref->raw_len);

  if (raw == NULL)
    return;
  if (segment_block_decode(info, ref, stored, raw, NULL) == SB_OK)
    fuzz_block(raw, ref->raw_len);
  mem_free(&fuzz_host, raw);
}

static void
fuzz_key(record *r, const uint8_t *data, size_t len)
{
  memset(r, 0, sizeof *r);
  r->key = sb_slice_of(data, len < 16 ? len : 16);
  r->hash = record_hash(r->key);
  if (len > 16) {
    r->key_group = data[16];
    r->state = len > 17 ? data[17] % 8 : 0;
    r->ns = sb_slice_of(data + 16, data[16] % 3 == 0 ? 1 : 0);
  }
}

/* `object`: where the blocks are, or NULL. */
static void
fuzz_partition(const segment_info *info, uint32_t index, const uint8_t *bytes,
               size_t len, const uint8_t *object)
{
  segment_partition p;
  segment_block_ref ref;
  record key;
  uint32_t i;

  if (segment_partition_check(info, index, bytes, len, NULL) != SB_OK)
    return;
  segment_partition_view(bytes, len, &p);
  fuzz_key(&key, bytes, len);
  (void)segment_partition_may_contain(&p, load_u64(bytes));
  if (segment_partition_find(&p, &key) >= segment_partition_count(&p))
    abort();
  for (i = 0; i < segment_partition_count(&p); i++) {
    segment_partition_at(&p, i, &ref);
    if (ref.offset > info->tail_offset ||
        ref.stored_len > info->tail_offset - ref.offset ||
        ref.raw_len > SEGMENT_BLOCK_RAW_MAX || ref.number >= info->blocks)
      abort();
    if (object != NULL)
      fuzz_stored(info, &ref, object + ref.offset);
  }
}

static void
fuzz_directory(const segment_info *info, const uint8_t *bytes, size_t len,
               const uint8_t *object)
{
  segment_directory *d;
  record key;
  uint32_t i;

  if (segment_directory_open(&fuzz_host, info, bytes, len, &d, NULL) != SB_OK)
    return;
  fuzz_key(&key, bytes, len);
  if (segment_directory_find(d, &key) >= segment_directory_count(d))
    abort();
  for (i = 0; i < segment_directory_count(d); i++) {
    const segment_partition_info *p = segment_directory_at(d, i);

    if (p->offset < info->tail_offset || p->offset > info->directory_offset ||
        p->len > info->directory_offset - p->offset)
      abort();
    if (object != NULL)
      fuzz_partition(info, i, object + p->offset, p->len, object);
  }
  segment_directory_free(&fuzz_host, d);
}

static void
fuzz_object(const uint8_t *data, size_t size)
{
  segment_info info;

  if (segment_footer_read(data, size, &info, NULL) != SB_OK ||
      info.size != size)
    return;
  fuzz_directory(&info, data + info.directory_offset,
                 size - info.directory_offset, data);
}

/* Directory and footer; *info follows from the footer. */
static void
fuzz_tail(uint8_t *data, size_t size)
{
  uint8_t *footer;
  segment_info info;

  if (size < SEGMENT_FOOTER_LEN + SEGMENT_CRC_LEN)
    return;
  footer = data + size - SEGMENT_FOOTER_LEN;
  store_u32(footer + SEGMENT_FOOTER_CRC_AT,
            crc32c(footer, SEGMENT_FOOTER_CRC_AT));
  memcpy(footer + SEGMENT_MAGIC_AT, SEGMENT_MAGIC, SEGMENT_MAGIC_LEN);
  size -= SEGMENT_FOOTER_LEN + SEGMENT_CRC_LEN;
  if (segment_footer_read(footer, SEGMENT_FOOTER_LEN, &info, NULL) != SB_OK)
    return;
  store_u32(data + size, crc32c_seeded(info.id.bytes, SEGMENT_SEED_DIRECTORY,
                                       data, size));
  fuzz_directory(&info, data, size + SEGMENT_FOOTER_LEN + SEGMENT_CRC_LEN,
                 NULL);
}

static void
fuzz_one_partition(uint8_t *data, size_t size)
{
  segment_info info = { .tail_offset = 1u << 20, .blocks = 1000,
                        .partitions = 1, .word_last = UINT64_MAX };

  if (size < SEGMENT_CRC_LEN)
    return;
  size -= SEGMENT_CRC_LEN;
  store_u32(data + size, crc32c_seeded(info.id.bytes, SEGMENT_SEED_PARTITION,
                                       data, size));
  fuzz_partition(&info, 0, data, size + SEGMENT_CRC_LEN, NULL);
}

/* Two bytes of raw length, then a stored block. */
static void
fuzz_one_stored(uint8_t *data, size_t size)
{
  segment_info info = { .blocks = 1 };
  segment_block_ref ref = { 0 };

  if (size < 2 + SEGMENT_BLOCK_TRAILER_LEN + 1)
    return;
  ref.raw_len = load_u16(data);
  ref.stored_len = (uint32_t)(size - 2);
  data += 2;
  size -= 2 + SEGMENT_CRC_LEN;
  store_u32(data + size, crc32c_seeded(info.id.bytes, 0, data, size));
  fuzz_stored(&info, &ref, data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  uint8_t *copy;

  if (size == 0)
    return 0;
  fuzz_memory_max = FUZZ_MEMORY(size);
  copy = malloc(size);
  if (copy == NULL)
    return 0;
  /* A block of its own, so that a sanitizer sees one byte too far. */
  memcpy(copy, data + 1, size - 1);
  copy = realloc(copy, size - 1 + (size == 1));
  switch (data[0] % 5) {
  case 0:
    fuzz_object(copy, size - 1);
    break;
  case 1:
    fuzz_tail(copy, size - 1);
    break;
  case 2:
    fuzz_one_partition(copy, size - 1);
    break;
  case 3:
    fuzz_one_stored(copy, size - 1);
    break;
  default:
    fuzz_block(copy, size - 1);
    break;
  }
  free(copy);
  return 0;
}
