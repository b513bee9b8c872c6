/* SPDX-License-Identifier: Apache-2.0 */
/* Visitors: some rows of a state at a time, copied. */
#ifndef SB_STATE_VISITOR_H
#define SB_STATE_VISITOR_H

#include "host/state/context.h"

struct sb_visitor {
  sb_context *context;
  sb_visitor *previous, *next;
  state_base *base;
  sb_cursor *cursor;
  buf bytes;           /* of the rows, one after the other */
  sb_row *rows;
  size_t count, cap;
  sb_status failed;    /* a row was lost: nothing more is returned */
  int pending;         /* lists: the place below is still to be read */
  sb_row place;
  buf place_bytes;
};

#endif
