/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model: what the state must be. A small fixed space of places (state, key,
 * namespace, subkey), each a cell; values are a length and a seed from which
 * their bytes are made, so that a copy of all state is one memcpy.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <statebackend/backend.h>
#include "tests/simulator/sim.h"

#define MODEL_STATES_MAX 6
#define MODEL_NAMESPACES_MAX 4
#define MODEL_SUBKEYS_MAX 8
#define MODEL_ABSENT UINT32_MAX

/* What stands around the bytes of a value. */
#define STAMP_LEN 8u
#define STAMP_OFFSET 5u     /* of WRAP_STAMP_IN; values are longer */
enum {
  WRAP_NONE,
  WRAP_VALUE, WRAP_NULL,    /* maps with nulls: a byte before it, or alone */
  WRAP_STAMP, WRAP_STAMP_IN /* its time before it, or among its bytes */
};

typedef struct value_ref {
  uint64_t seed;
  uint32_t len;             /* MODEL_ABSENT: no record */
  uint16_t version;         /* of the schema: its bytes show it */
  uint16_t wrap;
  uint64_t stamp;           /* WRAP_STAMP and WRAP_STAMP_IN */
} value_ref;

typedef struct list_node {  /* immutable, from the space's arena */
  const struct list_node *before;
  value_ref value;
  uint64_t expires_ms;      /* as stored */
  uint64_t end_ms;          /* what that means, 0 never */
  uint64_t gone_ms;         /* since when it may be gone, 0 never */
  uint32_t count;           /* elements up to this one */
} list_node;

typedef struct cell {
  value_ref value;
  uint64_t expires_ms;      /* as stored */
  const list_node *list;    /* the last element; lists only */
  uint64_t end_ms;          /* what expires_ms means, 0 never */
  uint64_t gone_ms;         /* since when it may be gone, 0 never */
} cell;

typedef struct space_key {
  uint8_t *data;
  uint32_t len, group;
  uint32_t number;          /* its place, where the array is sorted */
} space_key;

/* Who writes to a state: the subtask itself, a queue, or the typed
   interface. */
enum { FORM_RAW, FORM_QUEUE, FORM_RANKED, FORM_TIMERS, FORM_TYPED };

#define ELEMENT_RANK 2u     /* bytes of a rank */

typedef struct space_element { /* of a queue: stands where a key does */
  space_key record;
  int64_t time_ms;          /* timers, and whose they are */
  uint32_t key, ns;
  uint32_t turn;            /* its place in the order of polling */
} space_element;

typedef struct space_state {
  uint32_t kind, namespaces, subkeys;
  uint32_t form;
  space_element *elements;  /* of a queue, by key; else NULL */
  space_key *sorted;        /* their records by bytes */
  uint32_t flags, time_kind, time_offset;
  uint64_t ttl_ms;          /* at first */
  int nulls;                /* typed maps: values may be null */
  int renews;               /* typed: reading renews the time */
  uint32_t cleanup;         /* typed: records looked at with each access */
  size_t base;              /* of its cells */
  char name[24];
  char blob[24];
} space_state;

typedef struct space {
  uint32_t groups;          /* maximum parallelism */
  uint32_t state_count, key_count, namespace_count, subkey_count;
  space_state states[MODEL_STATES_MAX];
  space_key *keys;          /* sorted by bytes */
  space_key namespaces[MODEL_NAMESPACES_MAX];
  space_key subkeys[MODEL_SUBKEYS_MAX];
  size_t cells;
  void *arena;
} space;

void space_init(space *sp, rng *r);
void space_dispose(space *sp);

/* ---- places ------------------------------------------------------------- */

typedef struct place {
  uint32_t state, key, ns, subkey;
} place;

size_t space_cell(const space *sp, place at);
place space_place(const space *sp, size_t index);
/* `id` is what register_state gave. */
sb_key space_sb_key(const space *sp, place at, uint32_t id);
uint32_t space_group(const space *sp, size_t index);
/* The bytes that stand for a key: of queues, the record of the element. */
sb_slice space_key_bytes(const space *sp, uint32_t state, uint32_t key);
/* A hash of a key that falls into the key group. */
int32_t space_hash(const space *sp, uint32_t group);
int space_key_compare(const void *a, const void *b);
/* The place of a row; 0 and *at, or -1 if it is none of ours. */
int space_find(const space *sp, uint32_t state, sb_slice key, sb_slice ns,
               sb_slice subkey, place *at);

/* elements.c: makes a state a queue, and that undone. */
void elements_make(space *sp, uint32_t state, uint32_t form, rng *r);
void elements_free(const space *sp, space_state *state);
/* As sb_rank_fn, of FORM_RANKED. */
sb_status element_rank(void *arg, sb_slice element, sb_give_fn *give,
                       void *give_arg);

/* ---- values ------------------------------------------------------------- */

/* How many bytes it has: that changes with the schema version, and the last
   byte tells the version. */
size_t value_size(value_ref value);
void value_fill(value_ref value, void *bytes);
/* Without what stands around it: as the typed interface gives it. */
value_ref value_inner(value_ref value);
int value_equal(value_ref value, sb_slice bytes);

cell cell_absent(void);
/* 1 gone for sure, 0 there for sure, -1 expired: may be either */
int cell_is_absent(const cell *c, uint64_t now_ms);
/* When a state's record of this expiry ends with this time to live. */
uint64_t space_end(const space *sp, uint32_t state, uint64_t ttl_ms,
                   value_ref value, uint64_t expires_ms);
/* The cell after its state got another time to live at `now_ms`. */
cell cell_renewed(space *sp, uint32_t state, uint64_t ttl_ms, cell c,
                  uint64_t now_ms);
/* The length that makes a value of this size. */
void value_resize(value_ref *value, size_t size);
/* 1 if it must not be returned by what began at `from_ms`. */
int end_is_over(const space *sp, uint32_t state, uint64_t end_ms,
                uint64_t from_ms);
const list_node *list_push(space *sp, uint32_t state, uint64_t ttl_ms,
                           const list_node *before, value_ref value,
                           uint64_t expires_ms);
/* The same element behind another list: what may be gone still may. */
list_node *list_push_same(space *sp, const list_node *before,
                          const list_node *from);
/* The cell as it is with another schema version. */
cell cell_migrated(space *sp, cell c, uint32_t version);
/* Element `i` of a list, from 0; NULL if it has none. */
const list_node *list_at(const list_node *list, uint32_t i);
/* A list with one element replaced, or removed if value.len is absent. */
const list_node *list_with(space *sp, uint32_t state, uint64_t ttl_ms,
                           const list_node *list, uint32_t i, value_ref value,
                           uint64_t expires_ms);
/* A get's answer against a cell: 1 if it may be so. By `from_ms` what has
   expired must be gone; by `now_ms` it may be. */
int cell_agrees(const space *sp, uint32_t state, const cell *c,
                sb_status status, sb_slice bytes, uint64_t from_ms,
                uint64_t now_ms);
/* The same for an answer of the typed interface. */
int cell_shows(const space *sp, uint32_t state, const cell *c,
               sb_status status, sb_slice bytes, uint64_t from_ms,
               uint64_t now_ms);
/* In words, for failures. */
void cell_text(const space *sp, size_t index, const cell *c, char *text,
               size_t size);
void answer_text(sb_status status, sb_slice bytes, char *text, size_t size);

/* ---- current state, with a log of changes ------------------------------- */

typedef struct change {
  size_t index;
  cell before;
} change;

typedef struct model {
  space *sp;
  cell *cells;
  change *log;              /* kept while cursors look back */
  size_t log_count, log_cap;
} model;

void model_init(model *m, space *sp);
void model_dispose(model *m);
void model_set(model *m, size_t index, cell c);
/* 1 if the cell was changed since the log had `mark` entries. */
int model_changed_since(const model *m, size_t index, size_t mark);
cell *cells_copy(const space *sp, const cell *cells);

#endif
