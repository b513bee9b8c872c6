/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a cursor; see scan.c. */
#ifndef SB_ENGINE_SCAN_H
#define SB_ENGINE_SCAN_H

#include "host/engine/order.h"
#include "host/engine/prefetch.h"
#include "host/engine/reader.h"
#include "host/engine/scan_range.h"
#include "host/engine/sort.h"

/* The place of a cell that was in memory. */
typedef struct scan_key {
  cell *cell;           /* there while no cell has moved */
  uint64_t hash;
  const uint8_t *at;    /* key, namespace, subkey */
  uint16_t key_group, key_len, ns_len, subkey_len;
} scan_key;

#define SCAN_KEYS_FEW 16u /* places that need no memory */
#define SCAN_KEPT 4096u   /* bytes that a closed cursor keeps of a buffer */

/* Sorted places of cells, of one or more key groups. */
typedef struct scan_keys {
  scan_key *keys;       /* the cursor's `few`, or allocated */
  size_t count, at;
  buf bytes;
  size_t charged;
  uint64_t moves;       /* the handle's when they were collected */
  int valid;            /* they are of key groups up to group_last */
  uint32_t group_last;
  int more;             /* there are others behind them, to be collected */
  int complete;         /* segments have nothing that memory has not */
  int alone;            /* they are all there is of the key or key group: while
                           no cell has moved each is a row as it stands */
} scan_keys;

struct sb_cursor {
  keyed *keyed;
  state *state;
  uint32_t flags;
  scan_range range;
  uint32_t key_group;   /* the current one */
  int opened;           /* the sources of the current key group */
  version *version;     /* pinned, of `merge` */
  uint64_t epoch;       /* memory had all of later epochs when it was taken */
  reader_ctx reader;
  prefetch prefetch;
  uint32_t fetched_to;  /* key groups before it were read ahead */

  scan_keys keys;

  merge merge;
  int merge_open, merge_valid;
  int merge_used;       /* its record was the last candidate */

  record last;          /* the last row's place; bytes in last_bytes */
  int last_lent;        /* they are in keys.bytes */
  int has_last, has_row;
  int last_returned;    /* a row of the key of `last` was returned */
  buf last_bytes;

  /* Of ordered states: where the next cell is, while `placed` and the tree is
     as it was; the number of the last key. */
  order_place at;
  int placed;
  uint64_t tree_changes, last_prefix;

  buf elements;         /* the list record being walked */
  size_t element_at, element; /* next, current */
  uint64_t element_expires;
  uint32_t element_flags;

  /* Of a whole namespace: does memory know all of it in the end? */
  int learns;           /* so far it does */
  uint64_t serial;      /* of its space when the scan began, 0 none */
  uint64_t serial_floor; /* the handle's then */
  uint64_t lost;        /* namespaces the state had lost then */
  uint32_t promotions;  /* records that it may still take into memory */

  scan_key few[SCAN_KEYS_FEW]; /* left as it is when a cursor is taken up */
};

/* scan_open without looking at batches. */
sb_status scan_open_cursor(keyed *k, const sb_scan_options *options,
                           sb_cursor **out, sb_error *err);

/* scan_keys.c: the places in memory behind the last row, or from the start of
   the current key group on. */
sb_status scan_collect(sb_cursor *c, sb_error *err);
void scan_keys_drop(sb_cursor *c);
/* scan.c: takes up the sources, anew if they have become too old. */
sb_status scan_refresh(sb_cursor *c, sb_error *err);
/* Keeps the bytes of the last row's place, before those in keys go. */
sb_status scan_own_last(sb_cursor *c, sb_error *err);
/* Is a record a row, as far as time goes? SB_NOT_FOUND if not. */
sb_status scan_judge(sb_cursor *c, sb_row *row);

/* scan_order.c: does that go through an ordered state in its order? */
static inline int
scan_is_ordered(const sb_cursor *c)
{
  return c->state->ordered && !c->range.has_key;
}

sb_status scan_next_ordered(sb_cursor *c, sb_row *row, sb_error *err);

/* One of them as a record without a value. */
void scan_key_record(const sb_cursor *c, const scan_key *key, record *out);

/* The place of a range's key in the current key group. */
void scan_key_place(const sb_cursor *c, place *p);

/* A scan of a whole namespace that finds all of it in memory, or brings it
   there, tells the space, so that the next one leaves segments alone. */
void scan_learn_begin(sb_cursor *c);
void scan_learn_end(sb_cursor *c);

#endif
