/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Iterators over cursors of the handle: over the elements of a list or the
 * entries of a map, or over the keys that some states have. A context knows
 * its iterators, to close them before the handle goes.
 */
#ifndef SB_STATE_ITERATOR_H
#define SB_STATE_ITERATOR_H

#include "host/state/context.h"

/* One state's cursor. Over keys the row ahead is kept here. */
typedef struct iterator_source {
  uint32_t state;
  sb_cursor *cursor;
  int at_row, at_end;
  int at_last;         /* the row ahead is the one last returned */
  uint32_t key_group;
  uint64_t hash;       /* of `key` */
  buf key;
} iterator_source;

struct sb_iterator {
  sb_context *context;
  sb_iterator *previous, *next;
  state_base *base;    /* of elements or entries; NULL: over keys */
  int has_row;
  int removed;         /* the row was removed by reading it */
  buf bytes;           /* of the last row, when it is not borrowed; over keys:
                          the namespace */
  sb_row row;          /* over keys: the last one */
  size_t count;
  iterator_source sources[];
};

/* Makes an iterator with room for `count` sources, linked into its context. */
sb_iterator *iterator_new(sb_context *context, size_t count);

/* Over all records of the current key and namespace. */
sb_status iterator_of(state_base *base, sb_iterator **out, sb_error *err);

/* keys.c: the iterator over keys. */
sb_status keys_next(sb_iterator *it, sb_row *row, sb_error *err);
sb_status keys_remove(sb_iterator *it, sb_error *err);

#endif
