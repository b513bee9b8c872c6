/* SPDX-License-Identifier: Apache-2.0 */
/* Sorts the cells of a flush into the order of segments, newest epoch first
   among equals. In place, without memory of its own. */
#ifndef SB_ENGINE_SORT_H
#define SB_ENGINE_SORT_H

#include "host/engine/keyed.h"

typedef struct sort_entry {
  uint64_t prefix; /* orders most entries without touching the cell */
  cell *cell;
} sort_entry;

void sort_cells(keyed *k, sort_entry *entries, size_t count);
/* The same for cells of one key and namespace, none of them a clear marker. */
void sort_members(keyed *k, sort_entry *entries, size_t count);
/* The same for cells of one key group and state, none in a namespace; prefixes
   are the hashes of their keys. */
void sort_hashed(keyed *k, sort_entry *entries, size_t count);

#endif
