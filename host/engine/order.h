/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order: the cells of one key group of an ordered state by their keys, in the
 * place of a table's slots: a B+ tree of slots, so that the first ones and
 * those behind any key are found without sorting.
 *
 * The clear marker (see record.h) is not in the tree but in `front`. A slot is
 * what it is in a table: 16 bits of id and 48 bits of address.
 */
#ifndef SB_ENGINE_ORDER_H
#define SB_ENGINE_ORDER_H

#include "host/engine/table.h"

typedef struct order_node order_node;

#define ORDER_DEPTH_MAX 12u

/* The way to a place in a leaf: nodes by level. */
typedef struct order_path {
  order_node *node[ORDER_DEPTH_MAX];
  uint32_t at[ORDER_DEPTH_MAX];
} order_path;

struct order_tree {
  order_node *root;     /* NULL: no cells */
  order_node *spare;    /* for the next insert */
  uint32_t spare_count;
  uint32_t depth;
  uint64_t live;
  uint64_t changes;     /* grows whenever places end */
  uint64_t front;       /* slot of the clear marker, 0 none */
  uint64_t low;         /* no key's first 8 bytes are less */
  uint64_t alive;       /* no record of the key group that is still there has
                           a key whose first 8 bytes are less */
  uint64_t swept;       /* the epoch of the last order_sweep */
  int hinted;           /* `hint` is where the last search ended, and nothing
                           has changed since */
  order_path hint;
};

order_tree *order_new(const sb_host *host, size_t *charged);
void order_free(const sb_host *host, order_tree *o, size_t *charged);

/* As the functions of tables. */
cell *order_find(order_tree *o, const record *r);
sb_status order_reserve(const sb_host *host, order_tree *o, size_t *charged);
void order_insert(order_tree *o, uint64_t id, cell *c);
uint64_t *order_slot(order_tree *o, const cell *c);
void order_remove(order_tree *o, uint64_t *slot);

/* The first 8 bytes of a key as a number, which orders as they do. */
uint64_t order_prefix(sb_slice key);

/* Removes all cells of epochs up to `epoch`, marks them dead. */
void order_sweep(order_tree *o, uint64_t epoch);

/* A place between cells; any change of the tree ends it. */
typedef struct order_place {
  const order_node *node;
  uint32_t at;
} order_place;

/* Before the first cell whose key is not below `key`, or, with `after`, whose
   key is above it. */
void order_seek(const order_tree *o, sb_slice key, int after,
                order_place *place);
/* NULL at the end. */
cell *order_step(order_place *place);

#endif
