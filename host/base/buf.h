/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer with a maximum. Failures stick: append as much as you
 * like, then look at `status` once. Integers are little-endian; varints are
 * LEB128 of at most 10 bytes.
 */
#ifndef SB_BASE_BUF_H
#define SB_BASE_BUF_H

#include <string.h>
#include "host/base/mem.h"

typedef struct buf {
  const sb_host *host;
  uint8_t *data;
  size_t len, cap, max;
  sb_status status; /* SB_OK, SB_NO_MEMORY or SB_TOO_LARGE; see buf_give */
} buf;

void buf_init(buf *b, const sb_host *host, size_t max);
void buf_dispose(buf *b);
/* Empties it and forgets a failure; keeps the memory. */
void buf_clear(buf *b);
/* Room for `len` more bytes, counted as appended; NULL on failure. */
void *buf_extend(buf *b, size_t len);
void buf_add(buf *b, const void *data, size_t len);
/* An sb_give_fn: the same for a caller's bytes. A length without bytes fails
   with SB_INVALID, which sticks too. */
sb_status buf_give(void *b, const void *data, size_t len);
void buf_u8(buf *b, uint8_t v);
void buf_u16(buf *b, uint16_t v);
void buf_u32(buf *b, uint32_t v);
void buf_u64(buf *b, uint64_t v);
void buf_varint(buf *b, uint64_t v);
/* varint length, then bytes */
void buf_slice(buf *b, sb_slice s);
void buf_str(buf *b, const char *s);

/* A reader over bytes. Failures stick: `bad` turns 1 and all reads give 0. */
typedef struct reader {
  const uint8_t *p, *end;
  int bad;
} reader;

reader reader_of(const void *data, size_t len);
uint8_t reader_u8(reader *r);
uint16_t reader_u16(reader *r);
uint32_t reader_u32(reader *r);
uint64_t reader_u64(reader *r);
uint64_t reader_varint(reader *r);
/* Borrowed from the bytes read. */
sb_slice reader_bytes(reader *r, size_t len);
sb_slice reader_slice(reader *r);
size_t reader_left(const reader *r);

static inline uint16_t
load_u16(const void *p)
{
  const uint8_t *b = p;
  return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t
load_u32(const void *p)
{
  const uint8_t *b = p;
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
         (uint32_t)b[3] << 24;
}

static inline uint64_t
load_u64(const void *p)
{
  return (uint64_t)load_u32(p) |
         (uint64_t)load_u32((const uint8_t *)p + 4) << 32;
}

/* Keys are short, and a call costs more than two words. What has just been
   written in words is also slow to read in wider pieces. */
static inline int
bytes_equal(const void *a, const void *b, size_t len)
{
  const uint8_t *p = a, *q = b;

  if (len < 8 || len > 16)
    return len == 0 || memcmp(p, q, len) == 0;
  return ((load_u64(p) ^ load_u64(q)) |
          (load_u64(p + len - 8) ^ load_u64(q + len - 8))) == 0;
}

static inline void
store_u16(void *p, uint16_t v)
{
  uint8_t *b = p;
  b[0] = (uint8_t)v;
  b[1] = (uint8_t)(v >> 8);
}

static inline void
store_u32(void *p, uint32_t v)
{
  store_u16(p, (uint16_t)v);
  store_u16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}

static inline void
store_u64(void *p, uint64_t v)
{
  store_u32(p, (uint32_t)v);
  store_u32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

/* By words too. The two may overlap if `to` is not behind `from`. */
static inline void
bytes_copy(void *to, const void *from, size_t len)
{
  uint8_t *p = to;
  const uint8_t *q = from;

  if (len > 32 || (len & 7) != 0) {
    if (len != 0)
      memmove(p, q, len);
    return;
  }
  for (; len != 0; p += 8, q += 8, len -= 8) {
    uint64_t word = load_u64(q);

    __asm__("" : "+r"(word));
    store_u64(p, word);
  }
}

#endif
