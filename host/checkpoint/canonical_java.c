/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Java's DataOutput and DataInput write and read: big-endian numbers, and
 * strings in its own UTF-8, where NUL takes two bytes and characters beyond
 * 16 bits are two surrogates of three bytes each.
 */
#include "config.h"

#include "host/checkpoint/canonical.h"

#define JAVA_UTF_MAX 65535u

void
java_short(buf *b, uint32_t v)
{
  buf_u8(b, (uint8_t)(v >> 8));
  buf_u8(b, (uint8_t)v);
}

void
java_int(buf *b, uint32_t v)
{
  java_short(b, v >> 16);
  java_short(b, v & 0xFFFFu);
}

void
java_long(buf *b, uint64_t v)
{
  java_int(b, (uint32_t)(v >> 32));
  java_int(b, (uint32_t)v);
}

/* One character of UTF-8, strictly; the bytes it takes, 0 if it is none. */
static size_t
java_character(const uint8_t *p, size_t left, uint32_t *c)
{
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  size_t len, i;

  if (p[0] < 0x80) {
    *c = p[0];
    return 1;
  }
  len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 0;
  if (len == 0 || p[0] >= 0xF8 || len > left)
    return 0;
  *c = p[0] & (0x7Fu >> len);
  for (i = 1; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80)
      return 0;
    *c = *c << 6 | (p[i] & 0x3Fu);
  }
  if (*c < least[len] || *c > 0x10FFFF || (*c >= 0xD800 && *c < 0xE000))
    return 0;
  return len;
}

static void
java_unit(buf *b, uint32_t unit)
{
  if (unit != 0 && unit < 0x80) {
    buf_u8(b, (uint8_t)unit);
  } else if (unit < 0x800) {
    buf_u8(b, (uint8_t)(0xC0 | unit >> 6));
    buf_u8(b, (uint8_t)(0x80 | (unit & 0x3F)));
  } else {
    buf_u8(b, (uint8_t)(0xE0 | unit >> 12));
    buf_u8(b, (uint8_t)(0x80 | (unit >> 6 & 0x3F)));
    buf_u8(b, (uint8_t)(0x80 | (unit & 0x3F)));
  }
}

sb_status
java_utf(buf *b, sb_slice utf8)
{
  const uint8_t *p = utf8.data;
  size_t start = b->len, at = 0, len;
  uint32_t c;

  java_short(b, 0);
  while (at < utf8.len) {
    len = java_character(p + at, utf8.len - at, &c);
    if (len == 0)
      return SB_INVALID;
    at += len;
    if (c >= 0x10000) {
      java_unit(b, 0xD800 + ((c - 0x10000) >> 10));
      java_unit(b, 0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      java_unit(b, c);
    }
  }
  if (b->status != SB_OK)
    return b->status;
  len = b->len - start - 2;
  if (len > JAVA_UTF_MAX)
    return SB_TOO_LARGE;
  b->data[start] = (uint8_t)(len >> 8);
  b->data[start + 1] = (uint8_t)len;
  return SB_OK;
}

void
java_text(buf *b, const char *text)
{
  (void)java_utf(b, sb_slice_of(text, strlen(text)));
}

uint32_t
java_read_short(reader *r)
{
  uint32_t high = reader_u8(r);

  return high << 8 | reader_u8(r);
}

uint32_t
java_read_int(reader *r)
{
  uint32_t high = java_read_short(r);

  return high << 16 | java_read_short(r);
}

uint64_t
java_read_long(reader *r)
{
  uint64_t high = java_read_int(r);

  return high << 32 | java_read_int(r);
}

/* One 16-bit unit; 1 if there was a whole one. */
static int
java_read_unit(const uint8_t *p, size_t left, uint32_t *unit, size_t *len)
{
  *len = p[0] < 0x80 ? 1 : (p[0] & 0xE0) == 0xC0 ? 2 :
         (p[0] & 0xF0) == 0xE0 ? 3 : 0;
  if (*len == 0 || *len > left)
    return 0;
  if ((*len > 1 && (p[1] & 0xC0) != 0x80) ||
      (*len > 2 && (p[2] & 0xC0) != 0x80))
    return 0;
  *unit = *len == 1 ? p[0] :
          *len == 2 ? (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu) :
          (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
  return 1;
}

static void
java_add_character(buf *out, uint32_t c)
{
  if (c < 0x80) {
    buf_u8(out, (uint8_t)c);
  } else if (c < 0x10000) {
    if (c < 0x800)
      buf_u8(out, (uint8_t)(0xC0 | c >> 6));
    else {
      buf_u8(out, (uint8_t)(0xE0 | c >> 12));
      buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
    }
    buf_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
  } else {
    buf_u8(out, (uint8_t)(0xF0 | c >> 18));
    buf_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3F)));
    buf_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
    buf_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
  }
}

void
java_read_utf(reader *r, buf *out)
{
  sb_slice s = reader_bytes(r, java_read_short(r));
  const uint8_t *p = s.data;
  size_t at = 0, len;
  uint32_t unit, low;

  if (r->bad)
    return;
  while (at < s.len) {
    if (!java_read_unit(p + at, s.len - at, &unit, &len)) {
      r->bad = 1;
      return;
    }
    at += len;
    if (unit >= 0xD800 && unit < 0xDC00 && at < s.len &&
        java_read_unit(p + at, s.len - at, &low, &len) && low >= 0xDC00 &&
        low < 0xE000) {
      unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
      at += len;
    }
    if (out != NULL)
      java_add_character(out, unit);
  }
}
