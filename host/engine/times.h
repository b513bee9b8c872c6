/* SPDX-License-Identifier: Apache-2.0 */
/*
 * times: what a segment holds of each state and when it expires. A segment is
 * counted while it is written; the result, a few bytes a state, goes with it
 * through manifests, so that how much of a segment has expired, or belongs to
 * dropped states, is known without reading it. Bytes: docs/FORMAT-manifest.md.
 */
#ifndef SB_ENGINE_TIMES_H
#define SB_ENGINE_TIMES_H

#include "host/base/buf.h"
#include "host/engine/record.h"
#include "host/engine/rules.h"

#define TIMES_STATES_MAX 64u /* listed: the largest ones */
#define TIMES_PARTS 16u      /* of equal bytes, between the points in time */

/* One state of a segment. Bytes are of records as they are in blocks, about;
   times are what records carry: the end or a stamp, as the kind says. */
typedef struct times_entry {
  uint32_t state;
  uint32_t kind, offset;      /* SB_TIME_..., time_offset, as written with */
  uint64_t bytes;
  uint64_t timed;             /* of records, or elements, with a time */
  uint64_t marks;             /* of tombstones and clear markers */
  uint64_t at[TIMES_PARTS + 1]; /* ascending; the first and the last are the
                                   least and the greatest time; 0 if !timed */
} times_entry;

/* ---- reading ------------------------------------------------------------ */

/* 1 also for empty ones. */
int times_valid(sb_slice times);

/* 1: each state of the segment is listed. */
int times_complete(sb_slice times);

/* What of a segment is dead by the rules. */
typedef struct times_sum {
  uint64_t bytes;             /* listed */
  uint64_t dead;              /* expired, or of dropped states; about */
  int all_dead;               /* exactly: no record counts any more, but for
                                 what tombstones and markers hide */
} times_sum;

void times_add_up(sb_slice times, const rules *all, times_sum *sum);

/* 0 only if the segment has no record of the state. */
int times_may_have(sb_slice times, uint32_t state);

/* ---- counting ----------------------------------------------------------- */

typedef struct times_counter times_counter;

/* `all` is used until it is freed. */
sb_status times_counter_new(const sb_host *host, const rules *all,
                            times_counter **out);
void times_counter_free(times_counter *c);
/* Running out of memory makes the result coarser. */
void times_count(times_counter *c, const record *r);
/* Appends the result to `out` and begins anew. A failure of `out` leaves the
   segment without times, which is allowed. */
void times_finish(times_counter *c, buf *out);

#endif
