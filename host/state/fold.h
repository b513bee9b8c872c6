/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reducing and aggregating states share: one record a key and namespace,
 * into which the caller's functions fold.
 */
#ifndef SB_STATE_FOLD_H
#define SB_STATE_FOLD_H

#include "host/state/context.h"

typedef struct fold_state {
  state_base base;
  sb_fold_fn *add;     /* of an input */
  sb_fold_fn *merge;   /* of another value or accumulator; may be NULL */
  sb_result_fn *result;/* may be NULL */
  void *arg;
  buf output;          /* what `result` gave; folds that are being merged */
} fold_state;

struct sb_reducing {
  fold_state fold;
};

struct sb_aggregating {
  fold_state fold;
};

/* One fold, for update; fill with fold_begin. */
typedef struct fold_step {
  const fold_state *state;
  sb_fold_fn *fn;
  sb_slice input;
  int as_is;           /* the input is taken as it is if there is nothing */
  uint64_t stamp;      /* then; 0 now */
  sb_error err;
} fold_step;

sb_status fold_open(sb_context *context, const sb_state_spec *spec,
                    uint32_t kind, fold_state **out, sb_error *err);

/* Adding `input`, as the state's kind does. */
void fold_begin(const fold_state *state, sb_slice input, fold_step *step);
/* The update function; arg is a fold_step. */
sb_status fold_apply(void *arg, sb_update *u);
/* What the caller's function said, if it failed. */
void fold_explain(const fold_step *step, sb_status status, sb_error *err);

sb_status fold_add(fold_state *state, uint32_t kind, sb_slice input,
                   sb_error *err);
sb_status fold_get(fold_state *state, uint32_t kind, sb_slice *value,
                   sb_error *err);
sb_status fold_put(fold_state *state, uint32_t kind, sb_slice value,
                   sb_error *err);
sb_status fold_clear(fold_state *state, uint32_t kind, sb_error *err);
sb_status fold_merge(fold_state *state, uint32_t kind, sb_slice target,
                     const sb_slice *sources, size_t count, sb_error *err);

/* What `result` makes of an accumulator, in state->output. */
sb_status fold_result(fold_state *state, sb_slice accumulator,
                      sb_slice *result, sb_error *err);

#endif
