/* SPDX-License-Identifier: Apache-2.0 */
/* What is written to a stream, in chunks and parts; see stream.h. */
#include "config.h"

#include <string.h>

#include "plugins/s3/stream.h"

#define STREAM_CHUNK_MIN (16u << 10)
#define STREAM_CHUNK_MAX (1u << 20)
#define STREAM_GROW_PARTS 1000u /* after so many the parts get larger */

sb_status
s3_stream_no_memory(sb_stream *s)
{
  return sb_fail(&s->upload.op.error, SB_NO_MEMORY,
                 "could not put object \"%.300s\": out of memory",
                 s->upload.op.name);
}

/* ---- parts -------------------------------------------------------------- */

void
s3_stream_part_free(sb_stream *s, stream_part *p)
{
  const sb_host *host = s3_stream_host(s);
  uint64_t held = p->held;
  stream_chunk *chunk, *next;

  for (chunk = p->first; chunk != NULL; chunk = next) {
    next = chunk->next;
    s3_free(host, chunk);
  }
  s3_part_dispose(&p->part);
  s3_free(host, p->slices);
  s3_free(host, p);
  s3_hold_give(&s->hold, held);
}

void
s3_stream_parts_free(sb_stream *s, stream_part **list)
{
  stream_part *p;

  while ((p = *list) != NULL) {
    *list = p->next;
    s3_stream_part_free(s, p);
  }
}

/* Without a hint parts grow, so that 10,000 of them go further. */
static uint64_t
stream_part_size(const sb_stream *s)
{
  const s3_settings *settings = s->upload.op.store->settings;
  uint64_t size = s3_part_size(settings, s->size_hint);
  uint64_t most = settings->upload_memory / 2;
  uint32_t number;

  if (s->size_hint != 0)
    return size;
  for (number = s->next_number;
       number >= STREAM_GROW_PARTS && size * 2 <= most
       && size * 2 <= S3_PART_MAX;
       number -= STREAM_GROW_PARTS)
    size *= 2;
  return size;
}

void
s3_stream_part_slices(const stream_part *p, sb_slice *slices)
{
  const stream_chunk *chunk;

  for (chunk = p->first; chunk != NULL; chunk = chunk->next)
    *slices++ = sb_slice_of(chunk->data, chunk->len);
}

void
s3_stream_seal(sb_stream *s)
{
  stream_part *p = s->filling;

  s->filling = NULL;
  p->next = NULL;
  if (s->ready_last != NULL && s->ready != NULL)
    s->ready_last->next = p;
  else
    s->ready = p;
  s->ready_last = p;
  s->ready_count++;
  s->hold.filled = s->hold.part_left = 0;
  s3_hold_sealed(&s->hold);
}

/* ---- failing ------------------------------------------------------------ */

static void
stream_cancel_parts(sb_stream *s)
{
  stream_part *p;

  for (p = s->sent; p != NULL; p = p->next)
    s3_call_cancel(&p->part.call);
}

void
s3_stream_drop(sb_stream *s)
{
  uint64_t credit = s->credit;

  s3_hold_stop(&s->hold);
  s->credit = 0;
  s->hold.filled = s->hold.part_left = 0;
  s3_hold_give(&s->hold, credit);
  s3_stream_parts_free(s, &s->ready);
  s->ready_last = NULL;
  s->ready_count = 0;
  s3_stream_parts_free(s, &s->filling);
  stream_cancel_parts(s);
}

void
s3_stream_fail(sb_stream *s, sb_status status)
{
  if (s->upload.status != SB_OK)
    return;
  s3_upload_fail(&s->upload, status, &s->upload.op.error);
  s3_stream_drop(s);
}

/* ---- taking bytes ------------------------------------------------------- */

static size_t
stream_chunk_size(const sb_stream *s, uint64_t part_size)
{
  const stream_part *p = s->filling;
  uint64_t wish = p->length;
  uint64_t left = part_size - p->length;

  if (wish < s->write->body[0].len - s->write->offset)
    wish = s->write->body[0].len - s->write->offset;
  if (wish < STREAM_CHUNK_MIN)
    wish = STREAM_CHUNK_MIN;
  if (wish > STREAM_CHUNK_MAX)
    wish = STREAM_CHUNK_MAX;
  return (size_t)(wish < left ? wish : left);
}

/* 1: there is a chunk with room; 0: not yet; -1: no memory. */
static int
stream_room(sb_stream *s, uint64_t part_size)
{
  const sb_host *host = s3_stream_host(s);
  stream_part *p = s->filling;
  stream_chunk *chunk;
  size_t size;

  if (p->last != NULL && p->last->len < p->last->size)
    return 1;
  s->hold.part_left = part_size - p->length;
  if (s->hold.waiting)
    return 0;
  if (s->credit == 0) {
    size = stream_chunk_size(s, part_size);
    if (!s3_hold_take(&s->hold, size))
      return 0;
    s->credit = size;
  }
  size = (size_t)s->credit;
  chunk = host->alloc(host, NULL, sizeof *chunk + size);
  if (chunk == NULL)
    return -1;
  s->credit = 0;
  chunk->next = NULL;
  chunk->size = size;
  chunk->len = 0;
  if (p->last != NULL)
    p->last->next = chunk;
  else
    p->first = chunk;
  p->last = chunk;
  p->held += size;
  p->chunks++;
  return 1;
}

/* Copies what fits into the last chunk. */
static void
stream_copy(sb_stream *s)
{
  stream_write *w = s->write;
  stream_part *p = s->filling;
  stream_chunk *chunk = p->last;
  size_t len = w->body[0].len - w->offset;

  if (len > chunk->size - chunk->len)
    len = chunk->size - chunk->len;
  memcpy(chunk->data + chunk->len,
         (const unsigned char *)w->body[0].data + w->offset, len);
  chunk->len += len;
  w->offset += len;
  p->length += len;
  s->total += len;
  s->hold.filled = p->length;
}

int
s3_stream_write_left(stream_write *w)
{
  while (w->count > 0 && w->offset == w->body[0].len) {
    w->body++;
    w->count--;
    w->offset = 0;
  }
  return w->count > 0;
}

/* Too much is ready: more would only take the memory of others. */
static int
stream_is_ahead(const sb_stream *s)
{
  return (s->created || s->creating) && s->ready_count >= 2;
}

void
s3_stream_fill(sb_stream *s)
{
  while (s->upload.status == SB_OK && s->write != NULL
         && s3_stream_write_left(s->write)) {
    uint64_t part_size = stream_part_size(s);
    int room;

    if (stream_is_ahead(s))
      return;
    if (s->next_number + s->ready_count >= S3_PARTS_MAX
        || s->total >= S3_OBJECT_MAX) {
      s3_stream_fail(s, sb_fail(&s->upload.op.error, SB_TOO_LARGE,
                             "could not put object \"%.300s\": it is larger "
                             "than 10,000 parts, or 5 TiB",
                             s->upload.op.name));
      return;
    }
    if (s->filling == NULL)
      s->filling = s3_alloc(s3_stream_host(s), sizeof *s->filling);
    room = s->filling == NULL ? -1 : stream_room(s, part_size);
    if (room < 0)
      s3_stream_fail(s, s3_stream_no_memory(s));
    if (room <= 0)
      return;
    stream_copy(s);
    if (s->filling->length >= part_size)
      s3_stream_seal(s);
  }
}
