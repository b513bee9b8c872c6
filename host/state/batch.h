/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: requests that are collected, submitted to the handle together and
 * answered in sb_context_poll. A request is one block of memory with all its
 * bytes, from when it is added until it is answered.
 */
#ifndef SB_STATE_BATCH_H
#define SB_STATE_BATCH_H

#include "host/state/fold.h"
#include "host/state/record.h"

typedef struct request request;

/* Turns what the handle returned into what the caller sees. */
typedef sb_status request_finish_fn(request *r, sb_slice *value,
                                    sb_error *err);

struct request {
  sb_op op;                  /* must come first */
  request *next;             /* in its batch */
  state_base *base;
  sb_answer_fn *answer;
  void *arg;
  request_finish_fn *finish; /* of a status of SB_OK or SB_NOT_FOUND; may be
                                NULL */
  fold_step *step;           /* of a fold, else NULL */
  buf read;                  /* what a reading update found */
  int found;
};

struct sb_batch {
  sb_context *context;
  sb_batch *previous, *next;
  request *first, *last;
  size_t count;
};

/* What a request is made of. */
typedef struct request_form {
  uint32_t kind;             /* SB_OP_... */
  uint32_t state_kind;
  state_base *base;
  const sb_place *place;
  sb_slice subkey, value;
  sb_answer_fn *answer;
  void *arg;
  request_finish_fn *finish;
  int reads;                 /* needs an answer */
} request_form;

sb_status batch_add(sb_batch *batch, const request_form *form, sb_error *err);

/* Waits for all that is pending and answers it with SB_CANCELLED; frees all
   batches. */
void batch_drain(sb_context *context);

#endif
