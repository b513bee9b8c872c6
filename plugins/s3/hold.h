/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_hold: the memory that streams hold back. All streams of a store together
 * have upload-memory bytes. Who asks for more waits until parts have been
 * sent. While somebody waits, one stream, the one whose part is the fullest,
 * is served before all others until its part is full: so parts get ready to
 * send instead of all streams sitting on a bit of one. Only when nothing is
 * being sent, so that no memory would ever come back, it may go over the
 * limit, by a part at most. If it does not write for a while, the turn passes
 * on: a thread may write several streams in any order.
 *
 * Network thread only.
 */
#ifndef PLUGINS_S3_HOLD_H
#define PLUGINS_S3_HOLD_H

#include "plugins/s3/call.h"

#define S3_HOLD_IDLE_MS 100u

typedef struct s3_hold s3_hold;
struct s3_hold {
  s3_store *store;
  /* Of the stream. `granted`: what it waited for is charged to it now.
     `press`: memory is short and nothing is being sent: send what there is,
     but do not leave. */
  void (*granted)(s3_hold *hold);
  void (*press)(s3_hold *hold);
  uint64_t filled, part_left; /* of the part that is being filled */
  uint64_t sending;           /* its calls that will give memory back */
  /* ---- hold.c's ---- */
  uint64_t held, want, active_ns;
  int joined, waiting;
  s3_hold *next, *previous;
};

/* 0, or -1 without memory. */
int s3_hold_join(s3_hold *hold);
/* Gives back all it has and forgets it. Also of one that never joined. */
void s3_hold_leave(s3_hold *hold);

/* 1: charged. 0: it waits, and `granted` will be called. */
int s3_hold_take(s3_hold *hold, uint64_t bytes);
/* Does not wait any more; `granted` will not be called. */
void s3_hold_stop(s3_hold *hold);
void s3_hold_give(s3_hold *hold, uint64_t bytes);
/* A call was started (1) or has ended (-1) whose memory comes back. */
void s3_hold_sends(s3_hold *hold, int change);
/* Its part is full: the turn passes on. */
void s3_hold_sealed(s3_hold *hold);
/* 1 if somebody waits for memory. */
int s3_hold_is_short(const s3_store *store);

#endif
