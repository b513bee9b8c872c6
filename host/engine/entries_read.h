/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries_read: what checkpoints say, for the layout `entries`. A base is an
 * open checkpoint; a walk finds the keys in which one checkpoint may differ
 * from others, as segments never change and so all differences lie in segments
 * that one of them has and another has not; a reader gives the value of a key.
 *
 * None of it goes through a handle's record table, so reading costs other
 * handles of the backend no memory. One thread at a time.
 */
#ifndef SB_ENGINE_ENTRIES_READ_H
#define SB_ENGINE_ENTRIES_READ_H

#include "host/engine/reader.h"

/* ---- an open checkpoint ------------------------------------------------- */

typedef struct entries_operator {
  char *operator_id;
  keyed *keyed;
} entries_operator;

typedef struct entries_base {
  uint64_t id;
  uint64_t now_ms;         /* what has expired by then is not there */
  entries_operator *operators;
  size_t count;
} entries_base;

sb_status entries_base_open(engine *e, const char *job, uint64_t id,
                            uint64_t now_ms, const sb_part *parts,
                            size_t part_count, entries_base **out,
                            sb_error *err);
void entries_base_close(engine *e, entries_base *b);
/* NULL if it has none of that operator. */
keyed *entries_base_find(const entries_base *b, const char *operator_id);

/* What was read of segments that both have is kept once. Before either is
   closed, that one leaves the other. */
void entries_base_share(entries_base *b, const entries_base *with);
void entries_base_leave(entries_base *b, const entries_base *with);

/* Reads a segment whole into the cache if nothing of it was read so far and it
   has at most `size_max` bytes. Failing to is no error. */
#define ENTRIES_LOAD_WALK (4u << 20)  /* what is read through anyway */
#define ENTRIES_LOAD_KEYS (256u << 10)
void entries_load(reader_ctx *r, segment *s, uint64_t size_max);

/* ---- values ------------------------------------------------------------- */

/* How much of a value to find out. */
#define ENTRIES_EXISTS 0
#define ENTRIES_SUM 1
#define ENTRIES_BODY 2

typedef struct entries_value {
  buf body;                /* ENTRIES_BODY: as in docs/FORMAT-entries.md */
  size_t body_max;
  int omitted;             /* the body is over body_max */
  int present;
  uint32_t kind;
  uint64_t size;           /* of the body */
  uint64_t elements;       /* lists and maps */
  uint64_t expires_ms;     /* the first expiry of any part of it, 0 never */
  char sum[33];            /* XXH3-128 of the body */
} entries_value;

/* Reads the key group's keys of one handle. */
typedef struct entries_reader {
  keyed *keyed;            /* NULL: nothing is there */
  reader_ctx ctx;
  uint32_t key_group;
  uint64_t now_ms;
  int ascending;           /* keys are asked for in order */
  size_t reserve;          /* charged to the budget */
  merge merge;
  uint8_t *at;             /* where each run is */
} entries_reader;

sb_status entries_reader_open(entries_reader *r, keyed *k, uint32_t key_group,
                              uint64_t now_ms, int ascending, sb_error *err);
void entries_reader_close(entries_reader *r);
/* `key`: state, key group, hash, namespace, key. */
sb_status entries_read(entries_reader *r, const record *key, int how,
                       entries_value *v, sb_error *err);

/* ---- walks -------------------------------------------------------------- */

typedef struct entries_source {
  run run;
  reader_ctx ctx;
  int expiring;            /* only records that expire in the walk's window */
} entries_source;

typedef struct entries_walk {
  keyed *newer;
  uint32_t key_group;
  uint64_t since_ms, now_ms; /* the window: after since, up to now */
  entries_source *sources;
  size_t count;
  size_t reserve;
  buf key_bytes;
  record key;              /* the current key */
} entries_walk;

/* All keys of the key group in `newer` (NULL: none) if `count` is 0, else
   those in which it may differ from `older`, or did not exist. */
sb_status entries_walk_open(entries_walk *w, keyed *newer,
                            keyed *const *older, size_t count,
                            uint32_t key_group, uint64_t since_ms,
                            uint64_t now_ms, sb_error *err);
/* Ascending. SB_END after the last. Timers are left out. */
sb_status entries_walk_next(entries_walk *w, sb_error *err);
void entries_walk_close(entries_walk *w, const sb_host *host);

#endif
