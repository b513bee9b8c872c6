/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl diff: two checkpoints or savepoints, side A and side B, of which one
 * state at a time is scanned on both sides and merged.
 */
#ifndef SB_CLI_DIFF_H
#define SB_CLI_DIFF_H

#include "host/base/buf.h"
#include "host/cli/rows.h"

#define DIFF_A 0
#define DIFF_B 1

#define DIFF_ADDED 0
#define DIFF_REMOVED 1
#define DIFF_CHANGED 2

extern const char *const diff_words[3];

/* What the segments of a key group are: the sum of their ids' hashes. A copy
   has the id of what it was copied from. */
typedef struct diff_group {
  uint64_t low, high, count;
} diff_group;

/* One side of the state being compared. */
typedef struct diff_side {
  origin origin;
  origin_operator *o;        /* NULL: it has not got the operator, */
  const origin_state *state; /* or not the state */
  diff_group *groups;        /* of `o`, one a key group */
  sb_cursor *cursor;
  sb_row row;
  uint64_t hash;             /* of the row's key */
  int has_row;
  buf key, ns;               /* of the list being compared, */
  uint32_t key_group;        /* and its key group */
  uint64_t elements;
} diff_side;

typedef struct diff_count {
  const char *operator_id;
  sb_slice state;
  uint64_t counts[3];
} diff_count;

typedef struct diff {
  cli *c;
  rows_select select;
  diff_side sides[2];
  const manifest_state *state;
  diff_count *states;
  size_t state_count;
  uint64_t printed, total;
  progress bar;
} diff;

int diff_no_memory(void);

/* Compares key groups first..last of the current state; exit code. */
int diff_range(diff *d, uint32_t first, uint32_t last);

/* 1 when nothing more can change the outcome, or nobody listens. */
int diff_is_over(const diff *d);

#endif
