/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record table's parts: cells (records in memory), chunks (the memory
 * cells live in), tables (open-addressing hash from record id to cell) and
 * groups (the cells of one key with subkeys).
 *
 * A cell never moves. A chunk holds cells of one epoch; epoch 0 is clean.
 */
#ifndef SB_ENGINE_TABLE_H
#define SB_ENGINE_TABLE_H

#include "host/base/mem.h"
#include "host/engine/record.h"

#define CELL_TOMBSTONE 1u
#define CELL_CLEAR 2u
#define CELL_DEAD 8u     /* superseded within its own epoch */
#define CELL_EXPIRES 16u /* 8 bytes of expiry precede the key */
#define CELL_GROUPED 32u /* listed in its group, from the start to the end */
/* These two say something of a lone cell only, and from the start. */
#define CELL_WHOLE 64u   /* memory holds every record of the key */
#define CELL_TAIL 128u   /* the newest chunk of elements */

#define CELL_PLACE_LEN 4u /* of cells with a namespace; of grouped ones */

typedef struct cell {
  uint64_t id;           /* record_full_id */
  uint32_t epoch;        /* low half of the epoch it was written in, 0 clean */
  uint32_t value_len;
  uint32_t value_cap;
  uint16_t state;        /* index in keyed.states */
  uint16_t key_group;
  uint16_t key_len, ns_len, subkey_len;
  uint8_t flags;
  uint8_t referenced;    /* by the owner since eviction last looked */
  uint8_t data[];        /* [place] [member] [expiry] key ns subkey value */
} cell;

typedef struct chunk {
  struct chunk *next;
  size_t size, used;     /* of data */
  uint64_t cells;
  uint64_t kept;         /* of them worth keeping when they are clean: those of
                            states without order */
  uint8_t *data;
} chunk;

/* FIFO. */
typedef struct chunk_list {
  chunk *first, *last;
  size_t bytes;
} chunk_list;

typedef struct order_tree order_tree;

typedef struct table {
  uint64_t *slots;       /* 16 bits of id, 48 bits of address that may have
                            SLOT_LONE; 0 free, TABLE_GONE removed */
  uint32_t mask;         /* capacity - 1, or 0 with slots NULL */
  uint32_t used;         /* live and removed slots */
  uint32_t live;
  uint32_t ordered;      /* cells are in `order`, slots is NULL */
  uint32_t lists;        /* of groups: they are of lists, */
  uint32_t list_state;   /* which is the id of their state */
  order_tree *order;     /* order.h; NULL: no cells */
} table;

#define TABLE_GONE 1u
#define SLOT_LONE 2u

/* The cells in memory of one (state, namespace, key), in no order. Two keys of
   a map can share a group if somebody takes the trouble: look at the cells'
   keys. Most lists are one cell in memory: the table of groups holds that cell
   itself, which is lone, until there is a second one. */
typedef struct group {
  uint64_t id;           /* record_group_id; first member as in cell */
  uint64_t check;        /* group_check, so that no two keys share a group */
  uint64_t tail;         /* lists: id of the newest chunk of elements */
  uint32_t count, cap;
  uint8_t complete;      /* memory holds every record of the key */
  uint8_t plain;         /* no cell of it is a tombstone or expires */
  cell *members[];
} group;

static inline size_t
cell_size(size_t key, size_t ns, size_t subkey, size_t value_cap,
          unsigned flags)
{
  size_t size = sizeof(cell) + (flags & CELL_EXPIRES ? 8 : 0) +
                (ns != 0 ? CELL_PLACE_LEN : 0) +
                (flags & CELL_GROUPED ? CELL_PLACE_LEN : 0) + key + ns +
                subkey + value_cap;

  return (size + 7) & ~(size_t)7;
}

static inline size_t
cell_bytes(const cell *c)
{
  return cell_size(c->key_len, c->ns_len, c->subkey_len, c->value_cap,
                   c->flags);
}

/* Of a cell with a namespace: where it stands in its space, see space.h. */
static inline uint32_t *
cell_place(cell *c)
{
  return (uint32_t *)(void *)c->data;
}

/* Of a grouped cell: where it stands in its group. */
static inline uint32_t *
cell_member(cell *c)
{
  return (uint32_t *)(void *)(c->data + (c->ns_len != 0 ? CELL_PLACE_LEN
                                                        : 0));
}

/* Of a cell that expires. */
static inline uint8_t *
cell_expiry(const cell *c)
{
  return (uint8_t *)c->data + (c->ns_len != 0 ? CELL_PLACE_LEN : 0) +
         (c->flags & CELL_GROUPED ? CELL_PLACE_LEN : 0);
}

static inline uint8_t *
cell_key(const cell *c)
{
  return cell_expiry(c) + ((c->flags & CELL_EXPIRES) ? 8 : 0);
}

static inline uint8_t *
cell_value(const cell *c)
{
  return cell_key(c) + c->key_len + c->ns_len + c->subkey_len;
}

/* Has it this namespace and key? */
static inline int
cell_same_key(const cell *c, const record *r)
{
  const uint8_t *p = cell_key(c);

  return c->key_len == r->key.len && c->ns_len == r->ns.len &&
         bytes_equal(p, r->key.data, r->key.len) &&
         bytes_equal(p + c->key_len, r->ns.data, r->ns.len);
}

uint64_t cell_expires(const cell *c);
/* `state_id` and `ordered` are of the cell's state. Slices point into it. */
void cell_record(const cell *c, uint32_t state_id, int ordered, record *out);

/* Position of the slot of a cell equal to `r`, or of its first probe end:
   returns the cell or NULL. */
cell *table_find(const table *t, uint64_t id, const record *r);
/* Calls fn for each cell with this id and r's namespace and key, whatever its
   subkey; stops at the first non-zero return and returns it. */
typedef int table_cell_fn(void *arg, cell *c);
int table_each(const table *t, uint64_t id, const record *r,
               table_cell_fn *fn, void *arg);
/* Room for one more; may grow. `charged` is changed by the bytes taken. */
sb_status table_reserve(const sb_host *host, table *t, size_t *charged);
/* After table_reserve, of an id that is not in it. */
void table_insert(table *t, uint64_t id, void *entry);
/* The slot that holds exactly `entry`, or NULL. */
uint64_t *table_slot(const table *t, uint64_t id, const void *entry);
void table_remove(table *t, uint64_t *slot);
/* Puts another entry of the same id into a slot. */
static inline void
slot_set(uint64_t *slot, const void *entry, uint64_t lone)
{
  *slot = (*slot & 0xFFFF000000000000ull) | (uint64_t)(uintptr_t)entry | lone;
}
void table_free(const sb_host *host, table *t, size_t *charged);

/* A second hash of (namespace, key), independent of record_group_id. */
uint64_t group_check(const record *key);
group *group_find(const table *t, uint64_t id, uint64_t check);
/* The slot of a key's group or lone cell, or NULL. */
uint64_t *group_slot(const table *t, uint64_t id, const record *key);
/* Like table_insert, of a lone cell. */
void group_insert_lone(table *t, uint64_t id, cell *c);
group *group_new(const sb_host *host, uint64_t id, uint64_t check,
                 size_t *charged);
/* Of the group of a table; may move it. */
sb_status group_add(const sb_host *host, table *t, group **g, cell *member,
                    size_t *charged);
/* The group stays, if only with no members. */
void group_take(group *g, cell *member);
void group_free(const sb_host *host, group *g, size_t *charged);

static inline void *
slot_entry(uint64_t slot)
{
  return (void *)(uintptr_t)(slot & 0xFFFFFFFFFFF8ull);
}

/* The lone cell that a slot of groups holds, or NULL. */
static inline cell *
slot_lone(uint64_t slot)
{
  return slot & SLOT_LONE ? slot_entry(slot) : NULL;
}

static inline void
table_prefetch(const table *t, uint64_t id)
{
  if (t->slots != NULL)
    __builtin_prefetch(&t->slots[(uint32_t)id & t->mask]);
}

/* The cell in the id's own slot, right in most cases. */
static inline void
table_prefetch_cell(const table *t, uint64_t id)
{
  const char *entry;

  if (t->slots == NULL)
    return;
  entry = slot_entry(t->slots[(uint32_t)id & t->mask]);
  __builtin_prefetch(entry);
  __builtin_prefetch(entry + 64);
}

chunk *chunk_new(const sb_host *host, size_t size);
void chunk_free(const sb_host *host, chunk *c);
void chunk_list_push(chunk_list *list, chunk *c);
chunk *chunk_list_pop(chunk_list *list);

static inline int
chunk_has_room(const chunk *c, size_t bytes)
{
  return c != NULL && c->size - c->used >= bytes;
}

#endif
