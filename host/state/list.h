/* SPDX-License-Identifier: Apache-2.0 */
/* Lists as others of the state layer read and write them. */
#ifndef SB_STATE_LIST_H
#define SB_STATE_LIST_H

#include "host/state/context.h"

/* The list of a place without stamps and without what has expired, as
   sb_list_get gives it. Borrowed from the handle or context.reading. */
sb_status list_get(state_base *base, const sb_key *place, sb_slice *elements,
                   sb_error *err);

/* Without counting as reading: renews and removes nothing. */
sb_status list_peek(const state_base *base, const sb_key *place,
                    sb_slice *elements, sb_error *err);

/* How much of a list has not expired, and of that has another stamp than one
   written now. */
typedef struct list_count {
  size_t live, older;
} list_count;

/* The same of a list as it is stored, into `out`. SB_NOT_FOUND if nothing is
   left. */
sb_status list_unpack(const state_base *base, sb_slice stored, int expired_too,
                      buf *out, list_count *count, sb_error *err);

sb_status list_add(state_base *base, const sb_key *place, sb_slice element,
                   sb_error *err);

/* Puts `elements`, as sb_list_get gives them, in place of what is there. */
sb_status list_replace(state_base *base, const sb_key *place,
                       sb_slice elements, sb_error *err);

/* An element as it is stored; borrowed from context.writing if it has a
   stamp. */
sb_status list_wrap(const state_base *base, sb_slice element,
                    sb_slice *stored, sb_error *err);

#endif
