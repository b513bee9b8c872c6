/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of records; see block.h. The bytes of an entry: flags, key group,
 * state, the lengths, the expiry, then namespace, key, subkey and value; what
 * is empty or 0 is left out and said so in the flags.
 */
#include "config.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#include "host/engine/block.h"
#include "host/engine/segment.h"

#define BLOCK_HAS_NS 8u
#define BLOCK_HAS_SUBKEY 16u
#define BLOCK_HAS_EXPIRY 32u
#define BLOCK_FLAGS 63u
#define BLOCK_RECORD_FLAGS (RECORD_TOMBSTONE | RECORD_CLEAR | RECORD_ORDERED)
#define BLOCK_HEADER_MAX 48u
#define BLOCK_NARROW_MAX 65536u /* entries that offsets of two bytes reach */

/* Of all that is gone, only the clear marker of an ordered state has one. */
static int
block_has_value(unsigned flags)
{
  return (flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) == 0 ||
         (flags & BLOCK_RECORD_FLAGS) == RECORD_FRONT;
}

uint64_t
block_record_id(const record *r)
{
  uint64_t hash = r->flags & RECORD_ORDERED ? record_hash(r->key) : r->hash;
  uint64_t group = record_group_id(r->state, r->ns, hash);

  if (r->flags & RECORD_CLEAR)
    return record_clear_id(group);
  return record_id(group, r->subkey);
}

static uint16_t
block_tag(uint64_t id)
{
  return (uint16_t)(id >> 48);
}

/* ---- reading ------------------------------------------------------------ */

/* For bytes that block_check has seen. */
static inline uint64_t
block_varint(const uint8_t **p)
{
  uint64_t v = *(*p)++;
  unsigned shift = 7;

  if (v < 0x80)
    return v;
  v &= 0x7f;
  for (;;) {
    uint64_t b = *(*p)++;

    v |= (b & 0x7f) << shift;
    if (b < 0x80)
      return v;
    shift += 7;
  }
}

static inline uint32_t
block_offset(const block *b, uint32_t i)
{
  return b->wide ? load_u32(b->offsets + (size_t)i * 4)
                 : load_u16(b->offsets + (size_t)i * 2);
}

/* All but the hash. */
static inline void
block_decode(const block *b, uint32_t i, record *out)
{
  const uint8_t *p = b->bytes + block_offset(b, i);
  unsigned flags = *p++;

  out->flags = (uint16_t)(flags & BLOCK_RECORD_FLAGS);
  out->key_group = (uint16_t)block_varint(&p);
  out->state = (uint32_t)block_varint(&p);
  out->key.len = (size_t)block_varint(&p);
  out->ns.len = flags & BLOCK_HAS_NS ? (size_t)block_varint(&p) : 0;
  out->subkey.len = flags & BLOCK_HAS_SUBKEY ? (size_t)block_varint(&p) : 0;
  out->value.len = 0;
  if (block_has_value(flags))
    out->value.len = (size_t)block_varint(&p);
  out->expires_ms = flags & BLOCK_HAS_EXPIRY ? block_varint(&p) : 0;
  out->ns.data = p;
  p += out->ns.len;
  out->key.data = p;
  p += out->key.len;
  out->subkey.data = p;
  p += out->subkey.len;
  out->value.data = p;
}

void
block_view(const void *raw, size_t len, block *b)
{
  const uint8_t *trailer = (const uint8_t *)raw + len - BLOCK_TRAILER_LEN;
  uint32_t count = load_u16(trailer);

  b->bytes = raw;
  b->len = (uint32_t)len;
  b->count = count;
  b->wide = trailer[2] == 4;
  b->tags = trailer - (size_t)count * 2;
  b->offsets = b->tags - (size_t)count * (b->wide ? 4 : 2);
  b->entries_len = (uint32_t)(b->offsets - b->bytes);
}

void
block_at(const block *b, uint32_t i, record *out)
{
  block_decode(b, i, out);
  out->hash = out->flags & RECORD_ORDERED ? 0 : record_hash(out->key);
}

uint32_t
block_seek(const block *b, const record *key)
{
  uint32_t low = 0, high = b->count;

  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    record r;

    block_at(b, middle, &r);
    if (record_compare(&r, key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int
block_match(const block *b, uint32_t i, const record *key, record *out)
{
  block_decode(b, i, out);
  if (out->key_group != key->key_group || out->state != key->state ||
      (out->flags & RECORD_CLEAR) != (key->flags & RECORD_CLEAR) ||
      !slice_equal(out->key, key->key) || !slice_equal(out->ns, key->ns) ||
      !slice_equal(out->subkey, key->subkey))
    return 0;
  out->hash = out->flags & RECORD_ORDERED ? 0 : record_hash(out->key);
  return 1;
}

int
block_get(const block *b, const record *key, uint64_t id, record *out)
{
  uint16_t tag = block_tag(id);
  uint32_t i = 0;

#if defined(__SSE2__)
  __m128i wanted = _mm_set1_epi16((short)tag);

  for (; i + 8 <= b->count; i += 8) {
    const void *p = b->tags + (size_t)i * 2;
    __m128i equal = _mm_cmpeq_epi16(_mm_loadu_si128(p), wanted);
    /* Two bits a tag. */
    unsigned mask = (unsigned)_mm_movemask_epi8(equal) & 0x5555u;

    for (; mask != 0; mask &= mask - 1) {
      if (block_match(b, i + (uint32_t)__builtin_ctz(mask) / 2, key, out))
        return 1;
    }
  }
#endif
  for (; i < b->count; i++) {
    if (load_u16(b->tags + (size_t)i * 2) == tag &&
        block_match(b, i, key, out))
      return 1;
  }
  return 0;
}

/* ---- checking ----------------------------------------------------------- */

static inline uint64_t
block_check_varint(reader *r)
{
  const uint8_t *p = r->p;
  uint64_t v = 0;
  unsigned shift;

  if (r->end - p < 10)
    return reader_varint(r);
  for (shift = 0; shift < 63; shift += 7) {
    v |= (uint64_t)(*p & 0x7f) << shift;
    if (*p++ < 0x80) {
      r->p = p;
      return v;
    }
  }
  return reader_varint(r);
}

static int
block_check_entry(const uint8_t *bytes, size_t len)
{
  reader r = reader_of(bytes, len);
  unsigned flags = reader_u8(&r);
  uint64_t key_group = block_check_varint(&r), state = block_check_varint(&r);
  uint64_t key = block_check_varint(&r), ns = 0, subkey = 0, value = 0;

  if (flags & BLOCK_HAS_NS)
    ns = block_check_varint(&r);
  if (flags & BLOCK_HAS_SUBKEY)
    subkey = block_check_varint(&r);
  if (block_has_value(flags))
    value = block_check_varint(&r);
  if (flags & BLOCK_HAS_EXPIRY)
    (void)block_check_varint(&r);
  if (r.bad || flags > BLOCK_FLAGS || key_group >= SB_KEY_GROUPS_MAX ||
      state > UINT32_MAX || key > SB_KEY_MAX || ns > SB_NAMESPACE_MAX ||
      subkey > SB_SUBKEY_MAX || value > SB_VALUE_MAX)
    return -1;
  if (((flags & RECORD_CLEAR) && subkey != 0) ||
      ((flags & BLOCK_RECORD_FLAGS) == RECORD_FRONT && key + ns != 0))
    return -1;
  return key + ns + subkey + value == reader_left(&r) ? 0 : -1;
}

static int
block_check_shape(const void *raw, size_t len)
{
  const uint8_t *trailer;
  uint32_t count, width;

  if (len < BLOCK_TRAILER_LEN || len > SEGMENT_BLOCK_RAW_MAX)
    return -1;
  trailer = (const uint8_t *)raw + len - BLOCK_TRAILER_LEN;
  count = load_u16(trailer);
  width = trailer[2];
  if (count == 0 || (width != 2 && width != 4) || trailer[3] != 0 ||
      (len - BLOCK_TRAILER_LEN) / (2 + width) < count)
    return -1;
  return 0;
}

sb_status
block_check(const void *raw, size_t len, sb_error *err)
{
  block b;
  uint32_t i, start;

  if (block_check_shape(raw, len) != 0)
    return sb_error_set(err, SB_CORRUPT, "block of %zu bytes has no valid "
                        "trailer", len);
  block_view(raw, len, &b);
  start = block_offset(&b, 0);
  if (start != 0)
    return sb_error_set(err, SB_CORRUPT, "block does not begin with record 0");
  for (i = 0; i < b.count; i++) {
    uint32_t end = i + 1 < b.count ? block_offset(&b, i + 1) : b.entries_len;

    if (end <= start || end > b.entries_len ||
        block_check_entry(b.bytes + start, end - start) != 0)
      return sb_error_set(err, SB_CORRUPT, "record %u of block is malformed",
                          (unsigned)i);
    start = end;
  }
  return SB_OK;
}

sb_status
block_verify(const block *b, sb_error *err)
{
  record previous, r;
  uint32_t i;

  memset(&previous, 0, sizeof previous);
  for (i = 0; i < b->count; i++) {
    block_at(b, i, &r);
    if (i != 0 && record_compare(&previous, &r) >= 0)
      return sb_error_set(err, SB_CORRUPT, "record %u of block is out of "
                          "order", (unsigned)i);
    if (load_u16(b->tags + (size_t)i * 2) != block_tag(block_record_id(&r)))
      return sb_error_set(err, SB_CORRUPT, "record %u of block has a wrong "
                          "tag", (unsigned)i);
    previous = r;
  }
  return SB_OK;
}

/* ---- building ----------------------------------------------------------- */

void
block_builder_init(block_builder *b, const sb_host *host)
{
  buf_init(&b->entries, host, SEGMENT_BLOCK_RAW_MAX);
  buf_init(&b->offsets, host, BLOCK_RECORDS_MAX * 4u);
  buf_init(&b->tags, host, BLOCK_RECORDS_MAX * 2u);
  b->count = 0;
}

void
block_builder_dispose(block_builder *b)
{
  buf_dispose(&b->entries);
  buf_dispose(&b->offsets);
  buf_dispose(&b->tags);
}

void
block_builder_clear(block_builder *b)
{
  buf_clear(&b->entries);
  buf_clear(&b->offsets);
  buf_clear(&b->tags);
  b->count = 0;
}

size_t
block_builder_memory(const block_builder *b)
{
  return b->entries.cap + b->offsets.cap + b->tags.cap;
}

static size_t
block_size_of(size_t entries_len, uint32_t count)
{
  size_t width = entries_len > BLOCK_NARROW_MAX ? 4 : 2;

  return entries_len + count * (width + 2) + BLOCK_TRAILER_LEN;
}

size_t
block_builder_size(const block_builder *b)
{
  return block_size_of(b->entries.len, b->count);
}

static inline uint8_t *
block_put_varint(uint8_t *p, uint64_t v)
{
  while (v >= 0x80) {
    *p++ = (uint8_t)(v | 0x80);
    v >>= 7;
  }
  *p++ = (uint8_t)v;
  return p;
}

static size_t
block_header(const record *r, uint8_t header[BLOCK_HEADER_MAX])
{
  uint8_t *p = header + 1;

  *header = (uint8_t)((r->flags & BLOCK_RECORD_FLAGS) |
                      (r->ns.len != 0 ? BLOCK_HAS_NS : 0) |
                      (r->subkey.len != 0 ? BLOCK_HAS_SUBKEY : 0) |
                      (r->expires_ms != 0 ? BLOCK_HAS_EXPIRY : 0));
  p = block_put_varint(p, r->key_group);
  p = block_put_varint(p, r->state);
  p = block_put_varint(p, r->key.len);
  if (r->ns.len != 0)
    p = block_put_varint(p, r->ns.len);
  if (r->subkey.len != 0)
    p = block_put_varint(p, r->subkey.len);
  if (block_has_value(r->flags))
    p = block_put_varint(p, r->value.len);
  if (r->expires_ms != 0)
    p = block_put_varint(p, r->expires_ms);
  return (size_t)(p - header);
}

static size_t
block_body(const record *r)
{
  return r->ns.len + r->key.len + r->subkey.len + r->value.len;
}

size_t
block_builder_size_with(const block_builder *b, const record *r)
{
  uint8_t header[BLOCK_HEADER_MAX];
  size_t entry = block_header(r, header) + block_body(r);

  return block_size_of(b->entries.len + entry, b->count + 1);
}

static uint8_t *
block_put_slice(uint8_t *p, sb_slice *s)
{
  if (s->len != 0)
    memcpy(p, s->data, s->len);
  s->data = p;
  return p + s->len;
}

sb_status
block_builder_add(block_builder *b, const record *r, uint64_t id, record *copy)
{
  uint8_t header[BLOCK_HEADER_MAX];
  size_t header_len = block_header(r, header);
  size_t start = b->entries.len;
  uint8_t *p, *offset, *tag;

  if (b->count == BLOCK_RECORDS_MAX)
    return SB_TOO_LARGE;
  offset = buf_extend(&b->offsets, 4);
  tag = buf_extend(&b->tags, 2);
  p = buf_extend(&b->entries, header_len + block_body(r));
  if (offset == NULL || tag == NULL)
    return SB_NO_MEMORY;
  if (p == NULL)
    return b->entries.status;
  store_u32(offset, (uint32_t)start);
  store_u16(tag, block_tag(id));
  record_copy(copy, r);
  memcpy(p, header, header_len);
  p = block_put_slice(p + header_len, &copy->ns);
  p = block_put_slice(p, &copy->key);
  p = block_put_slice(p, &copy->subkey);
  (void)block_put_slice(p, &copy->value);
  b->count++;
  return SB_OK;
}

const uint8_t *
block_builder_finish(block_builder *b, size_t *len)
{
  size_t entries_len = b->entries.len;
  int wide = entries_len > BLOCK_NARROW_MAX;
  size_t size = block_builder_size(b);
  uint8_t *p = buf_extend(&b->entries, size - entries_len);
  uint32_t i;

  if (p == NULL)
    return NULL;
  for (i = 0; i < b->count; i++) {
    uint32_t offset = load_u32(b->offsets.data + (size_t)i * 4);

    if (wide)
      store_u32(p + (size_t)i * 4, offset);
    else
      store_u16(p + (size_t)i * 2, (uint16_t)offset);
  }
  p += (size_t)b->count * (wide ? 4 : 2);
  memcpy(p, b->tags.data, (size_t)b->count * 2);
  p += (size_t)b->count * 2;
  store_u16(p, (uint16_t)b->count);
  p[2] = wide ? 4 : 2;
  p[3] = 0;
  *len = size;
  return b->entries.data;
}
