/* SPDX-License-Identifier: Apache-2.0 */
/* Framing and strings of the small objects; see envelope.h. */
#include "config.h"

#include "host/base/crc.h"
#include "host/engine/envelope.h"

#define ENVELOPE_HEADER 16u

size_t
envelope_begin(buf *b, const char magic[4], uint16_t version)
{
  size_t start = b->len;

  buf_add(b, magic, 4);
  buf_u16(b, version);
  buf_u16(b, 0);
  buf_u64(b, 0);
  return start;
}

void
envelope_end(buf *b, size_t start)
{
  if (b->status != SB_OK)
    return;
  store_u64(b->data + start + 8, b->len - start + 4);
  buf_u32(b, crc32c(b->data + start, b->len - start));
}

sb_status
envelope_open(const void *data, size_t len, const char magic[4],
              uint16_t version, const char *what, reader *body, sb_error *err)
{
  const uint8_t *p = data;

  if (len < ENVELOPE_LEN || memcmp(p, magic, 4) != 0)
    return sb_error_set(err, SB_CORRUPT, "these %zu bytes are not a %s", len,
                        what);
  if (load_u64(p + 8) != len)
    return sb_error_set(err, SB_CORRUPT, "%s of %llu bytes has %zu", what,
                        (unsigned long long)load_u64(p + 8), len);
  if (load_u32(p + len - 4) != crc32c(p, len - 4))
    return sb_error_set(err, SB_CORRUPT, "%s has a wrong checksum", what);
  if (load_u16(p + 4) != version || load_u16(p + 6) != 0)
    return sb_error_set(err, SB_UNSUPPORTED,
                        "%s has format version %u, this library reads %u",
                        what, load_u16(p + 4), version);
  *body = reader_of(p + ENVELOPE_HEADER, len - ENVELOPE_LEN);
  return SB_OK;
}

void
envelope_add_str(buf *b, const char *s)
{
  size_t len = strlen(s);

  buf_varint(b, len);
  buf_add(b, s, len + 1);
}

const char *
envelope_str(reader *r, size_t max)
{
  uint64_t len = reader_varint(r);
  sb_slice s;

  if (len > max || len >= reader_left(r))
    r->bad = 1;
  s = reader_bytes(r, r->bad ? 0 : (size_t)len + 1);
  if (r->bad)
    return "";
  if (memchr(s.data, 0, s.len) != (const char *)s.data + len) {
    r->bad = 1;
    return "";
  }
  return s.data;
}

uint32_t
envelope_u32(reader *r)
{
  uint64_t v = reader_varint(r);

  if (v > UINT32_MAX)
    r->bad = 1;
  return r->bad ? 0 : (uint32_t)v;
}

size_t
envelope_count(reader *r, size_t least)
{
  uint64_t count = reader_varint(r);

  if (count > reader_left(r) / least)
    r->bad = 1;
  return r->bad ? 0 : (size_t)count;
}
