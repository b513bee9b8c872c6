/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bucket: the simulated object store that all processes share, as strong as
 * store.h promises and as unkind as it allows. Each operation takes effect at
 * some moment between its submission and its completion; or fails before its
 * effect; or is reported unknown and takes effect earlier, later or never.
 * What a crashed process had under way may still take effect.
 */
#ifndef SIM_BUCKET_H
#define SIM_BUCKET_H

#include <statebackend/store.h>
#include "tests/simulator/sim.h"

enum {
  BUCKET_GET, BUCKET_PUT, BUCKET_WRITE, BUCKET_HEAD, BUCKET_LIST,
  BUCKET_REMOVE, BUCKET_COPY, BUCKET_ABORT, BUCKET_KINDS
};

/* When a process crashes at a request. */
enum {
  BUCKET_CRASH_BEFORE, BUCKET_CRASH_SUBMITTED, BUCKET_CRASH_EFFECT,
  BUCKET_CRASH_ANSWERED, BUCKET_CRASH_DONE, BUCKET_CRASHES
};

/* What becomes of an operation. */
enum {
  FATE_FINE, FATE_BEFORE, FATE_AFTER, FATE_LATE, FATE_NEVER, FATE_REFUSED
};

typedef struct object_data { /* shared by the object and gets of it */
  uint32_t refs;
  uint64_t size;
  uint8_t bytes[];
} object_data;

typedef struct object {
  char *name;
  object_data *data;        /* NULL once removed */
  char etag[32];
  uint64_t modified_ms;
  uint64_t content;         /* hash of the first body under this name */
  sb_meta *meta;
  uint64_t meta_count;
} object;

typedef struct bucket {
  sim *sim;
  rng rng;
  sb_store_info info;
  object **objects;         /* by name; removed ones stay as a memory of their
                               names, which are never to be used again */
  size_t count, cap, live;
  uint64_t live_bytes;
  uint64_t etag_serial, op_serial;
  struct bucket_op *ops;    /* not yet over */
  size_t ops_count;

  /* Conduct; chances are per mille. */
  uint64_t latency_min_ns, latency_max_ns;
  uint32_t slow, at_once;
  int unkind;               /* 0: no faults by chance */
  uint32_t fail_before, fail_after, fail_late, fail_never, flip, yield;
  uint32_t fail_head;       /* more of all for swaps of HEAD */
  uint64_t late_max_ns;

  /* A planned fault: countdown over requests of one process. */
  sim_process *plan_process;
  uint64_t plan_at;
  int plan_for_good, plan_fate;
  uint64_t plan_hits;

  uint64_t requests[BUCKET_KINDS], faults, flips;

  /* Called when an object is removed, before it is. */
  void (*removing)(void *arg, const char *name);
  void *removing_arg;
} bucket;

void bucket_init(bucket *b, sim *s, uint32_t flags);
void bucket_dispose(bucket *b);

/* A process's own handle; close is by its vtable, or by the crash. */
sb_store *bucket_open(bucket *b, sim_process *process);

/* What is there now; NULL if not. For checks. */
object *bucket_find(const bucket *b, const char *name);
/* At once, by somebody who is not simulated. */
void bucket_drop(bucket *b, const char *name);
/* An object of the layout `entries`. */
int bucket_is_entry(const char *name);
/* Operations that can still change something. */
size_t bucket_pending(const bucket *b);

/* objects.c */
typedef struct bucket_op {
  struct bucket_op *next, *prev;
  bucket *bucket;
  struct bucket_store *store; /* NULL when its process is gone */
  sim_process *process;       /* the same */
  uint64_t number;
  int kind, fate;
  int took_effect, waiting_effect, waiting_answer, cancelled, crashes;
  sim_item *answer;           /* the completion, when it is due */
  sb_request base;
  char *name, *source, *if_match, *prefix, *start_after;
  uint32_t flags;
  uint64_t offset, length, limit;
  void *buffer;               /* the caller's: get */
  const sb_slice *body;       /* the caller's: put, write */
  uint64_t body_count;
  object_data *data;          /* copy of the body; what a get has found */
  sb_meta *meta;
  uint64_t meta_count;
  char **names;               /* remove */
  uint64_t name_count;
  sb_status *statuses;        /* the caller's, or NULL */
  sb_status *outcomes;        /* ours */
  sb_stream *stream;
  /* the result */
  sb_status status;
  char etag[32];
  uint64_t size;
  sb_store_entry *entries;
  uint64_t entry_count;
  uint32_t truncated;
} bucket_op;

/* Does the operation to the objects and fills its result. */
void objects_effect(bucket_op *op);
object_data *objects_data(const void *bytes, uint64_t size);
void objects_unref(object_data *data);
void objects_dispose(bucket *b);
sb_meta *objects_meta(const sb_meta *meta, uint64_t count);
void objects_meta_free(sb_meta *meta, uint64_t count);

#endif
