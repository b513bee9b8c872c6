/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callers' slices that have a length and no bytes. They are looked for where a
 * caller hands a slice in, before anything is done with it or with its
 * neighbours.
 */
#ifndef SB_BASE_SLICE_H
#define SB_BASE_SLICE_H

#include <statebackend/base.h>

/* One test of a register if it has bytes, as nearly all have. */
static inline int
slice_bad(sb_slice s)
{
  return s.data == NULL && s.len != 0;
}

/* Says that a slice is bad; `what` names it: "the key". SB_INVALID. */
sb_status slice_refuse(sb_slice s, const char *what, sb_error *err);

/* The same of one of many, `at` being its number from 0 on: "element". */
sb_status slice_refuse_at(sb_slice s, const char *what, size_t at,
                          sb_error *err);

/* SB_OK, or refuses a bad slice. */
static inline sb_status
slice_check(sb_slice s, const char *what, sb_error *err)
{
  return !slice_bad(s) ? SB_OK : slice_refuse(s, what, err);
}

/* The same of an array. */
sb_status slices_check(const sb_slice *list, size_t count, const char *what,
                       sb_error *err);

#endif
