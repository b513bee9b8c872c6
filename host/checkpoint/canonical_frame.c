/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a canonical savepoint out to a sink and in from a source. If key
 * groups are packed, each is a stream of its own in Snappy's framing format,
 * as snappy-java's SnappyFramedOutputStream writes it: an identifier, then
 * chunks of up to 64 KiB, packed unless that saves less than 15 %.
 */
#include "config.h"

#include <snappy-c.h>

#include "host/base/crc.h"
#include "host/checkpoint/canonical.h"

#define FRAME_PACKED 0x00u
#define FRAME_PLAIN 0x01u
#define FRAME_SKIP_FIRST 0x80u /* from here on chunks may be passed over */
#define FRAME_HEAD 8u          /* kind, length of 3 bytes, masked CRC-32C */
#define FRAME_CHUNK_MAX (CANONICAL_BLOCK + CANONICAL_BLOCK / 6 + 64)

static const uint8_t frame_identifier[] = { 0xFF, 6, 0, 0, 's', 'N', 'a',
                                            'P', 'p', 'Y' };

static uint32_t
frame_mask(uint32_t crc)
{
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* ---- output ------------------------------------------------------------ */

sb_status
canonical_out_init(canonical_out *o, const sb_host *host, int compress,
                   sb_canonical_sink *sink, void *arg, sb_error *err)
{
  memset(o, 0, sizeof *o);
  o->host = host;
  o->sink = sink;
  o->arg = arg;
  o->err = err;
  o->compress = compress;
  o->block = mem_alloc(host, CANONICAL_BLOCK);
  o->packed = mem_alloc(host, FRAME_HEAD +
                        snappy_max_compressed_length(CANONICAL_BLOCK));
  if (o->block == NULL || o->packed == NULL)
    o->status = sb_error_set(err, SB_NO_MEMORY, "could not write a canonical "
                             "savepoint: out of memory");
  return o->status;
}

void
canonical_out_dispose(canonical_out *o)
{
  if (o->host == NULL)
    return;
  mem_free(o->host, o->block);
  mem_free(o->host, o->packed);
  o->block = o->packed = NULL;
}

static void
out_give(canonical_out *o, const void *data, size_t len)
{
  if (o->status != SB_OK || len == 0)
    return;
  if (o->in_group)
    o->crc = crc32c_extend(o->crc, data, len);
  o->status = o->sink(o->arg, data, len, o->err);
  o->length += len;
}

/* One chunk: its head and body in one piece. */
static void
out_chunk(canonical_out *o)
{
  size_t len = snappy_max_compressed_length(CANONICAL_BLOCK);
  uint32_t crc = frame_mask(crc32c(o->block, o->used));
  uint8_t kind = FRAME_PACKED;

  if (snappy_compress((const char *)o->block, o->used,
                      (char *)o->packed + FRAME_HEAD, &len) != SNAPPY_OK ||
      len * 20 > o->used * 17) {
    kind = FRAME_PLAIN;
    len = o->used;
    memcpy(o->packed + FRAME_HEAD, o->block, len);
  }
  store_u32(o->packed, (uint32_t)(len + 4) << 8 | kind);
  store_u32(o->packed + 4, crc);
  out_give(o, o->packed, FRAME_HEAD + len);
}

static void
out_flush(canonical_out *o)
{
  if (o->used == 0)
    return;
  if (o->compress && o->in_group)
    out_chunk(o);
  else
    out_give(o, o->block, o->used);
  o->used = 0;
}

void
canonical_out_add(canonical_out *o, const void *data, size_t len)
{
  const uint8_t *p = data;

  while (len != 0 && o->status == SB_OK) {
    size_t part = CANONICAL_BLOCK - o->used;

    if (part > len)
      part = len;
    memcpy(o->block + o->used, p, part);
    o->used += part;
    p += part;
    len -= part;
    if (o->used == CANONICAL_BLOCK)
      out_flush(o);
  }
}

uint64_t
canonical_out_begin_group(canonical_out *o)
{
  uint64_t offset;

  out_flush(o);
  offset = o->length;
  o->in_group = 1;
  o->crc = 0;
  if (o->compress)
    out_give(o, frame_identifier, sizeof frame_identifier);
  return offset;
}

void
canonical_out_end_group(canonical_out *o)
{
  out_flush(o);
  o->in_group = 0;
}

sb_status
canonical_out_finish(canonical_out *o)
{
  out_flush(o);
  return o->status;
}

/* ---- input ------------------------------------------------------------- */

sb_status
canonical_in_init(canonical_in *in, const sb_host *host,
                  sb_canonical_source *source, void *arg, uint64_t length,
                  sb_error *err)
{
  memset(in, 0, sizeof *in);
  in->host = host;
  in->source = source;
  in->arg = arg;
  in->length = length;
  in->window = mem_alloc(host, CANONICAL_BLOCK);
  in->chunk = mem_alloc(host, FRAME_CHUNK_MAX);
  in->block = mem_alloc(host, CANONICAL_BLOCK);
  if (in->window == NULL || in->chunk == NULL || in->block == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not read a canonical "
                        "savepoint: out of memory");
  return SB_OK;
}

void
canonical_in_dispose(canonical_in *in)
{
  if (in->host == NULL)
    return;
  mem_free(in->host, in->window);
  mem_free(in->host, in->chunk);
  mem_free(in->host, in->block);
}

sb_status
canonical_in_corrupt(const canonical_in *in, sb_error *err, const char *why)
{
  return sb_error_set(err, SB_CORRUPT, "canonical savepoint is damaged at "
                      "byte %llu: %s", (unsigned long long)in->position, why);
}

void
canonical_in_seek(canonical_in *in, uint64_t offset)
{
  uint64_t start = in->position - in->window_at;

  if (offset >= start && offset - start <= in->window_end) {
    in->window_at = (size_t)(offset - start);
  } else {
    in->window_at = in->window_end = 0;
  }
  in->position = offset;
  in->crc = 0;
  in->identified = 0;
  in->block_at = in->block_end = 0;
}

static sb_status
in_fill(canonical_in *in, sb_error *err)
{
  uint64_t left = in->position < in->length ? in->length - in->position : 0;
  size_t want = left < CANONICAL_BLOCK ? (size_t)left : CANONICAL_BLOCK;
  size_t got = 0;
  sb_status status = SB_OK;

  in->window_at = in->window_end = 0;
  if (want != 0)
    status = in->source(in->arg, in->position, in->window, want, &got, err);
  if (status != SB_OK)
    return status;
  if (got == 0 || got > want)
    return canonical_in_corrupt(in, err, "it ends too early");
  in->window_end = got;
  return SB_OK;
}

/* Takes bytes from the window. */
static sb_status
in_take(canonical_in *in, void *to, size_t len, sb_error *err)
{
  uint8_t *p = to;

  while (len != 0) {
    size_t part = in->window_end - in->window_at;

    if (part == 0) {
      sb_status status = in_fill(in, err);

      if (status != SB_OK)
        return status;
      continue;
    }
    if (part > len)
      part = len;
    memcpy(p, in->window + in->window_at, part);
    in->crc = crc32c_extend(in->crc, p, part);
    in->window_at += part;
    in->position += part;
    p += part;
    len -= part;
  }
  return SB_OK;
}

static sb_status
in_skip(canonical_in *in, size_t len, sb_error *err)
{
  sb_status status = SB_OK;

  while (len != 0 && status == SB_OK) {
    size_t part = len < FRAME_CHUNK_MAX ? len : FRAME_CHUNK_MAX;

    status = in_take(in, in->chunk, part, err);
    len -= part;
  }
  return status;
}

static sb_status
in_identifier(canonical_in *in, size_t len, sb_error *err)
{
  sb_status status;

  if (len != sizeof frame_identifier - 4)
    return canonical_in_corrupt(in, err, "no Snappy stream begins here");
  status = in_take(in, in->chunk, len, err);
  if (status == SB_OK && memcmp(in->chunk, frame_identifier + 4, len) != 0)
    return canonical_in_corrupt(in, err, "no Snappy stream begins here");
  in->identified = 1;
  return status;
}

/* The data of a chunk with `len` bytes, packed or not. */
static sb_status
in_chunk_data(canonical_in *in, uint32_t kind, size_t len, sb_error *err)
{
  sb_status status;
  size_t size = 0;

  if (len < 4 || len > FRAME_CHUNK_MAX)
    return canonical_in_corrupt(in, err, "a Snappy chunk has a wrong length");
  status = in_take(in, in->chunk, len, err);
  if (status != SB_OK)
    return status;
  len -= 4;
  if (kind == FRAME_PLAIN) {
    size = len;
    if (size <= CANONICAL_BLOCK)
      memcpy(in->block, in->chunk + 4, size);
  } else if (snappy_uncompressed_length((const char *)in->chunk + 4, len,
                                        &size) != SNAPPY_OK) {
    return canonical_in_corrupt(in, err, "a Snappy chunk cannot be unpacked");
  }
  if (size > CANONICAL_BLOCK)
    return canonical_in_corrupt(in, err, "a Snappy chunk has a wrong length");
  if (kind == FRAME_PACKED &&
      snappy_uncompress((const char *)in->chunk + 4, len, (char *)in->block,
                        &size) != SNAPPY_OK)
    return canonical_in_corrupt(in, err, "a Snappy chunk cannot be unpacked");
  if (frame_mask(crc32c(in->block, size)) != load_u32(in->chunk))
    return canonical_in_corrupt(in, err,
                                "a Snappy chunk has a wrong checksum");
  in->block_at = 0;
  in->block_end = size;
  return SB_OK;
}

static sb_status
in_chunk(canonical_in *in, sb_error *err)
{
  uint8_t head[4];
  uint32_t kind;
  size_t len;
  sb_status status = in_take(in, head, sizeof head, err);

  if (status != SB_OK)
    return status;
  kind = head[0];
  len = load_u32(head) >> 8;
  if (kind == frame_identifier[0])
    return in_identifier(in, len, err);
  if (!in->identified)
    return canonical_in_corrupt(in, err, "no Snappy stream begins here");
  if (kind == FRAME_PACKED || kind == FRAME_PLAIN)
    return in_chunk_data(in, kind, len, err);
  if (kind < FRAME_SKIP_FIRST)
    return canonical_in_corrupt(in, err, "an unknown kind of Snappy chunk");
  return in_skip(in, len, err);
}

sb_status
canonical_in_read(canonical_in *in, void *to, size_t len, sb_error *err)
{
  uint8_t *p = to;

  if (!in->compressed)
    return in_take(in, to, len, err);
  while (len != 0) {
    size_t part = in->block_end - in->block_at;

    if (part == 0) {
      sb_status status = in_chunk(in, err);

      if (status != SB_OK)
        return status;
      continue;
    }
    if (part > len)
      part = len;
    memcpy(p, in->block + in->block_at, part);
    in->block_at += part;
    p += part;
    len -= part;
  }
  return SB_OK;
}

sb_status
canonical_in_end_group(canonical_in *in, sb_error *err)
{
  if (in->compressed && in->block_at != in->block_end)
    return canonical_in_corrupt(in, err, "a key group goes on after its end");
  in->identified = 0;
  return SB_OK;
}
