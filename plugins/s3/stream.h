/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream, as stream.c and stream_fill.c share it: what is written is copied
 * into chunks that make up parts (stream_fill.c), which are sent while writing
 * goes on (stream.c).
 */
#ifndef PLUGINS_S3_STREAM_H
#define PLUGINS_S3_STREAM_H

#include "plugins/s3/hold.h"
#include "plugins/s3/multipart.h"

typedef struct stream_chunk {
  struct stream_chunk *next;
  size_t size, len;
  unsigned char data[];
} stream_chunk;

/* A part's bytes, filled, ready or being sent. */
typedef struct stream_part {
  s3_part part;               /* first */
  struct stream_part *next;
  stream_chunk *first, *last;
  sb_slice *slices;
  uint64_t length, held, chunks;
} stream_part;

typedef struct stream_write {
  s3_op op;
  sb_stream *stream;
  const sb_slice *body;
  uint64_t count;
  size_t offset;              /* in body[0] */
} stream_write;

typedef struct stream_end {
  s3_op op;
  sb_stream *stream;
  int abort;
} stream_end;

struct sb_stream {
  s3_upload upload;
  s3_hold hold;
  uint64_t size_hint, total;
  uint64_t credit;            /* memory granted, not used yet */
  stream_part *filling;
  stream_part *ready, *ready_last;
  stream_part *sent;          /* under way */
  uint32_t next_number, ready_count;
  stream_write *write;
  stream_end *spare;          /* made early, so that an end needs no memory */
  stream_end *end;
  s3_timer *timer;            /* of the write's deadline */
  int creating, created, completing, abandoning, ended;
  int stepping, again;
  s3_call put;
  sb_slice *put_slices;
};

static inline const sb_host *
s3_stream_host(const sb_stream *s)
{
  return s->upload.op.store->host;
}

/* stream_fill.c. Takes what can be taken of the write, or fails the stream. */
void s3_stream_fill(sb_stream *s);
/* 1 if the write has bytes left; empty slices are passed over. */
int s3_stream_write_left(stream_write *w);
/* The part that is being filled is ready. */
void s3_stream_seal(sb_stream *s);
/* The slices of a part's bytes, p->chunks of them. */
void s3_stream_part_slices(const stream_part *p, sb_slice *slices);
void s3_stream_part_free(sb_stream *s, stream_part *p);
void s3_stream_parts_free(sb_stream *s, stream_part **list);
/* The first failure, for which upload.op.error was filled. */
void s3_stream_fail(sb_stream *s, sb_status status);
/* What is not being sent will not be. upload.status is set. */
void s3_stream_drop(sb_stream *s);
sb_status s3_stream_no_memory(sb_stream *s);

#endif
