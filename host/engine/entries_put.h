/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries_put: writes and removes entries, many at a time. Before an object is
 * replaced or removed its metadata is looked at: one of a higher generation
 * stops everything, as somebody else owns the job then.
 *
 * One thread at a time, in the job's turn.
 */
#ifndef SB_ENGINE_ENTRIES_PUT_H
#define SB_ENGINE_ENTRIES_PUT_H

#include "host/engine/engine.h"
#include "host/engine/entries_read.h"
#include "host/engine/names.h"

typedef struct entries_put entries_put;

typedef struct entries_pump {
  engine *engine;
  sb_job *job;
  uint64_t generation, checkpoint;
  sb_event *event;
  pthread_mutex_t lock;
  entries_put *finished;   /* lock: operations that have an answer */
  size_t running;          /* operations submitted */
  size_t count, bytes;     /* operations in all, and their memory */
  names removals;
  /* The first failure, and SB_FENCED when a higher generation was met. */
  sb_status status;
  sb_error error;
  uint64_t puts, heads, removed, unchanged; /* requests and outcomes */
} entries_pump;

sb_status entries_pump_init(entries_pump *p, engine *e, sb_job *job,
                            uint64_t generation, uint64_t checkpoint,
                            sb_error *err);

/* What an object's metadata says beside its place in time. */
typedef struct entries_about {
  uint32_t key_group;
  sb_slice key, ns;        /* told when `hashed` */
  int hashed;
  sb_slice state;          /* told when `state_hashed` */
  int state_hashed;
} entries_about;

/* `fresh`: there is probably no such object yet. The value is read before the
   return. Failures are kept in p->status. */
void entries_pump_put(entries_pump *p, const char *name,
                      const entries_value *value, const entries_about *about,
                      int fresh);
void entries_pump_remove(entries_pump *p, const char *name);

/* Waits for all of it; p->status. */
sb_status entries_pump_finish(entries_pump *p, sb_error *err);
void entries_pump_dispose(entries_pump *p);

#endif
