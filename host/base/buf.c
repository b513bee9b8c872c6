/* SPDX-License-Identifier: Apache-2.0 */
/* Growable buffers and bounded readers; see buf.h. */
#include "config.h"

#include "host/base/buf.h"
#include "host/base/slice.h"

void
buf_init(buf *b, const sb_host *host, size_t max)
{
  memset(b, 0, sizeof *b);
  b->host = host;
  b->max = max;
}

void
buf_dispose(buf *b)
{
  if (b->host != NULL)
    mem_free(b->host, b->data);
  memset(b, 0, sizeof *b);
}

void
buf_clear(buf *b)
{
  b->len = 0;
  b->status = SB_OK;
}

static int
buf_reserve(buf *b, size_t len)
{
  size_t cap = b->cap == 0 ? 64 : b->cap;
  uint8_t *data;

  if (b->status != SB_OK)
    return -1;
  if (len > b->max - b->len) {
    b->status = SB_TOO_LARGE;
    return -1;
  }
  if (b->data != NULL && b->len + len <= b->cap)
    return 0;
  while (cap < b->len + len)
    cap = cap > b->max / 2 ? b->max : cap * 2;
  data = mem_realloc(b->host, b->data, cap);
  if (data == NULL) {
    b->status = SB_NO_MEMORY;
    return -1;
  }
  b->data = data;
  b->cap = cap;
  return 0;
}

void *
buf_extend(buf *b, size_t len)
{
  void *p;

  if (buf_reserve(b, len) != 0)
    return NULL;
  p = b->data + b->len;
  b->len += len;
  return p;
}

void
buf_add(buf *b, const void *data, size_t len)
{
  void *p;

  if (len == 0)
    return;
  p = buf_extend(b, len);
  if (p != NULL)
    memcpy(p, data, len);
}

sb_status
buf_give(void *arg, const void *data, size_t len)
{
  buf *b = arg;

  if (!slice_bad(sb_slice_of(data, len)))
    buf_add(b, data, len);
  else if (b->status == SB_OK)
    b->status = SB_INVALID;
  return b->status;
}

void
buf_u8(buf *b, uint8_t v)
{
  buf_add(b, &v, 1);
}

void
buf_u16(buf *b, uint16_t v)
{
  uint8_t raw[2];

  store_u16(raw, v);
  buf_add(b, raw, sizeof raw);
}

void
buf_u32(buf *b, uint32_t v)
{
  uint8_t raw[4];

  store_u32(raw, v);
  buf_add(b, raw, sizeof raw);
}

void
buf_u64(buf *b, uint64_t v)
{
  uint8_t raw[8];

  store_u64(raw, v);
  buf_add(b, raw, sizeof raw);
}

void
buf_varint(buf *b, uint64_t v)
{
  uint8_t raw[10];
  size_t n = 0;

  while (v >= 0x80) {
    raw[n++] = (uint8_t)(v | 0x80);
    v >>= 7;
  }
  raw[n++] = (uint8_t)v;
  buf_add(b, raw, n);
}

void
buf_slice(buf *b, sb_slice s)
{
  buf_varint(b, s.len);
  buf_add(b, s.data, s.len);
}

void
buf_str(buf *b, const char *s)
{
  buf_slice(b, sb_slice_of(s, strlen(s)));
}

reader
reader_of(const void *data, size_t len)
{
  reader r = { data, NULL, 0 };

  r.end = len == 0 ? r.p : r.p + len;
  return r;
}

size_t
reader_left(const reader *r)
{
  return (size_t)(r->end - r->p);
}

sb_slice
reader_bytes(reader *r, size_t len)
{
  sb_slice s = { NULL, 0 };

  if (r->bad || len > reader_left(r)) {
    r->bad = 1;
    return s;
  }
  s = sb_slice_of(r->p, len);
  r->p = len == 0 ? r->p : r->p + len;
  return s;
}

uint8_t
reader_u8(reader *r)
{
  sb_slice s = reader_bytes(r, 1);

  return s.len == 1 ? *(const uint8_t *)s.data : 0;
}

uint16_t
reader_u16(reader *r)
{
  sb_slice s = reader_bytes(r, 2);

  return s.len == 2 ? load_u16(s.data) : 0;
}

uint32_t
reader_u32(reader *r)
{
  sb_slice s = reader_bytes(r, 4);

  return s.len == 4 ? load_u32(s.data) : 0;
}

uint64_t
reader_u64(reader *r)
{
  sb_slice s = reader_bytes(r, 8);

  return s.len == 8 ? load_u64(s.data) : 0;
}

uint64_t
reader_varint(reader *r)
{
  uint64_t v = 0;
  unsigned shift;

  for (shift = 0; shift < 64; shift += 7) {
    uint8_t b = reader_u8(r);

    if (r->bad || (shift == 63 && b > 1))
      break;
    v |= (uint64_t)(b & 0x7f) << shift;
    if ((b & 0x80) == 0)
      return v;
  }
  r->bad = 1;
  return 0;
}

sb_slice
reader_slice(reader *r)
{
  uint64_t len = reader_varint(r);

  if (len > reader_left(r)) {
    r->bad = 1;
    len = 0;
  }
  return reader_bytes(r, (size_t)len);
}
