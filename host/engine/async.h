/* SPDX-License-Identifier: Apache-2.0 */
/* What async.c (operations) and async_fetch.c (GETs) share. */
#ifndef SB_ENGINE_ASYNC_H
#define SB_ENGINE_ASYNC_H

#include "host/engine/reader.h"

#define ASYNC_BUCKETS 1024u /* of keys with pending operations */

/* An operation that could not be done at once. */
typedef struct pending {
  struct pending *next;     /* in its list: a piece's or ready */
  struct pending *behind;   /* the next one on the same key */
  struct pending *chain;    /* other keys in the bucket */
  uint64_t key;             /* hash of state, namespace and key */
  sb_op *op;
  uint32_t tries;
  place place;
} pending;

/* One piece of a segment somebody waits for. */
typedef struct piece {
  struct piece *next;
  need need;
  pending *waiting;
  cache_entry *pin;
  version *version;         /* keeps the segment */
  sb_status status;
  sb_error error;
  int tries;
} piece;

/* One GET for one or more pieces. */
typedef struct get_io {
  struct get_io *next;
  async *owner;
  segment *segment;
  version *version;         /* keeps it: another GET may take the pieces */
  uint64_t offset, length;
  void *buffer;
  piece *pieces;
  sb_status status;
  sb_error error;
} get_io;

struct async {
  keyed *keyed;
  pending *buckets[ASYNC_BUCKETS]; /* first of each key */
  pending *ready_first, *ready_last; /* to be tried */
  sb_op *done_first, *done_last;   /* linked by internal[2] */
  piece *queued;            /* no GET yet */
  piece *flying;            /* in a GET */
  uint64_t flying_bytes;
  uint32_t gets;
  uint64_t count;           /* operations not yet out of poll */
  uint64_t waiting;         /* of these, not yet done */
  pthread_mutex_t lock;     /* guards finished and calls */
  get_io *finished;
  uint32_t calls;           /* completions that still run */
};

/* async.c */
void async_push(pending **first, pending **last, pending *p);
/* Ends an operation and frees `p`; the next one on its key becomes ready. */
void async_finish(async *a, pending *p, sb_status status);
void async_run_ready(async *a);

/* async_fetch.c */
/* `p` waits for the piece. */
sb_status async_want(async *a, pending *p, const need *n);
/* Starts GETs for what is wanted. */
void async_dispatch(async *a);
/* Takes in finished GETs; 0 if there was none. */
int async_land(async *a);
sb_status async_wait(async *a, uint64_t deadline_ns);
/* Ends what waits for pieces; their GETs go on. */
void async_cancel_pieces(async *a);
/* Frees the pieces, which nothing waits for any more. GETs under way write
   into our buffers, so it waits for them. */
void async_end_fetches(async *a);

#endif
