/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scan selects: a state, or a namespace or key of it, between bounds,
 * in some key groups. Shared by the cursors of the owner and of views.
 */
#ifndef SB_ENGINE_SCAN_RANGE_H
#define SB_ENGINE_SCAN_RANGE_H

#include "host/engine/keyed.h"

#define SCAN_PLACE_MAX ((size_t)4 * 65536) /* bytes of a place or range */

typedef struct scan_range {
  state *state;
  uint32_t flags;
  uint32_t key_group_first, key_group_last; /* inside the handle's range */
  int has_ns, has_key;
  sb_slice ns, key, start, end;             /* in `bytes` */
  sb_slice behind_ns;                       /* the least one after `ns` */
  buf bytes;
} scan_range;

/* Refuses what makes no sense, and states that were dropped by `epoch`. With
   the lock held, or on the owner thread. */
sb_status scan_range_check(const keyed *k, const sb_scan_options *o,
                           uint64_t epoch, sb_error *err);
/* Keeps copies of what the options point to, in `bytes`, which may be a buffer
   to use again or zeros. Dispose it on failure too. */
sb_status scan_range_init(scan_range *r, keyed *k, const sb_scan_options *o,
                          sb_error *err);
void scan_range_dispose(scan_range *r);

/* The first place that can be in range in a key group. */
void scan_range_first(const scan_range *r, uint32_t key_group, record *out);
/* 0: neither this record nor any after it in the key group is in range. */
int scan_range_goes_on(const scan_range *r, const record *at);
/* For records of the state: is it selected? */
int scan_range_has(const scan_range *r, const record *at);
/* 0: the segment has nothing of the range in this key group. */
int scan_range_may_hold(const scan_range *r, const segment *s,
                        uint32_t key_group);

/* One row's place, kept: `out` gets the slices of `r`, copied to `bytes`. */
sb_status scan_keep_place(buf *bytes, const record *r, record *out,
                          sb_error *err);

#endif
