/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space: the cells in memory of one (state, namespace), so that finding them
 * costs what they are many. Each cell that has a namespace and is in a table is
 * listed in the space of its namespace, tombstones and clear markers too, and
 * knows its place there.
 *
 * A space begins with one list and gets more as it grows, each for a stretch
 * of key groups, up to one a key group. All of it belongs to the owner thread.
 */
#ifndef SB_ENGINE_SPACE_H
#define SB_ENGINE_SPACE_H

#include "host/engine/keyed.h"

/* In no order. */
typedef struct space_list {
  cell **cells;
  uint32_t count, cap;
} space_list;

typedef struct space {
  uint64_t id;           /* hash of the namespace; first member as in cell */
  uint64_t born;         /* its first serial */
  uint64_t serial;       /* another one after each eviction from the space */
  uint64_t count;        /* cells in all lists */
  uint32_t list_count;
  uint16_t ns_len;
  uint8_t complete;      /* memory holds every record of the namespace */
  space_list one, *lists; /* `lists` is &one or host-allocated */
  uint8_t ns[];
} space;

/* NULL if memory has no cell of the namespace. */
space *space_lookup(const state *s, sb_slice ns);

/* The space of a place, made if need be, with room for one more cell: link a
   cell next or call space_settle. NULL: no memory. */
space *space_get(keyed *k, const place *p);
/* Frees the space if nothing is in it. */
void space_settle(keyed *k, state *s, space *sp);
/* After space_get for its place. */
void space_link(keyed *k, space *sp, cell *c);
/* `c` takes the place of `old`, which has the same key. */
void space_replace(keyed *k, const cell *old, cell *c);
/* A cell leaves its table. `evicted`: segments may still have its record. */
void space_unlink(keyed *k, const cell *c, int evicted);

/* Has memory every record of the namespace, so that segments need not be
   asked? `sp` is NULL if memory has none. */
int space_knows_all(const state *s, const space *sp);

/* The list of a key group's cells, and the last key group whose cells are in
   it too. */
const space_list *space_list_of(const keyed *k, const space *sp,
                                uint32_t key_group, uint32_t *group_last);

/* The spaces of a state that is going, whose cells nobody will look at. */
void space_free_all(keyed *k, state *s);

#endif
