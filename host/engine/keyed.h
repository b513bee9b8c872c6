/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keyed handle's insides, shared by the files of the engine.
 *
 * Data flow: writes go to cells in chunks of the current epoch; a freeze
 * (snapshot, view or memory pressure) closes the epoch; a flush writes frozen
 * epochs as segments and puts them into a new live version; compaction
 * replaces segments of the live version.
 *
 * Threads: "owner" fields belong to the owner thread. "lock" fields are
 * guarded by keyed.lock, which is never held while waiting or calling out.
 * Other threads tell the owner by raising `changes`; it looks at the start of
 * each call.
 */
#ifndef SB_ENGINE_KEYED_H
#define SB_ENGINE_KEYED_H

#include <pthread.h>

#include "host/base/buf.h"
#include "host/engine/engine.h"
#include "host/engine/record.h"
#include "host/engine/table.h"
#include "host/engine/version.h"

typedef struct keyed keyed;
typedef struct async async;

/* A registered or restored state. */
typedef struct state {
  sb_slice name, blob; /* host-allocated */
  sb_slice restored_blob; /* of the checkpoint, once `blob` is the caller's */
  uint32_t kind;
  _Atomic uint32_t flags, schema_version; /* these two, and time: others read
                                             while it is registered again */
  uint32_t id;         /* in segments and manifests: XXH32 of the name */
  uint32_t index;      /* the public id: position in keyed.states */
  uint8_t restored, registered;
  uint8_t ordered;     /* records are RECORD_ORDERED */
  uint8_t subkeyed;    /* keys have many records: lists and maps */
  _Atomic uint32_t time_kind, time_offset;
  _Atomic uint64_t ttl_ms;
  sb_migrate_fn *migrate; /* of the registration, or NULL */
  void *migrate_arg;
  void (*migrate_free)(void *migrate_arg); /* NULL: it is the caller's */
  uint32_t restored_version; /* of the checkpoint, if `restored` */
  uint64_t added_epoch;      /* current when it was registered anew, else 0 */
  _Atomic uint64_t dropped_epoch; /* current when it was dropped, else 0 */
  table *tables;       /* owner; one per key group of the handle */
  table *groups;       /* owner; subkeyed states, else NULL */
  table spaces;        /* owner; see space.h */
  uint64_t spaces_lost; /* namespaces that have left memory, to segments */
} state;

/* A closed epoch on its way into segments. */
typedef struct frozen {
  struct frozen *next;
  uint64_t epoch;
  chunk *chunks;
  size_t bytes;
  uint64_t cells;
  int flushed;         /* lock */
} frozen;

/* Somebody who waits for a change of the handle. */
typedef struct waiter {
  struct waiter *next;
  sb_event *event;
} waiter;

/* What a manifest names in place of a segment of its cut. */
typedef struct substitute {
  segment *from;  /* the cut keeps it */
  segment *to;    /* one reference */
  int is_new;     /* made for this snapshot */
} substitute;

/* A snapshot or a view: a cut, and what the manifest will name. */
struct sb_snapshot {
  struct sb_snapshot *next; /* lock: in keyed.snapshots */
  keyed *owner;
  uint64_t epoch;
  uint64_t checkpoint_id;
  uint32_t kind;
  int is_view;
  atomic_int cancelled;
  int running;              /* lock */
  version *base;            /* live when the epoch was closed */
  segment_view *extra;      /* lock: flushed since for epochs up to `epoch` */
  size_t extra_count, extra_cap;
  uint64_t list_sequence;   /* as of begin */
  sb_event *event;
  char *savepoint;          /* its name, or NULL */
  substitute *substitutes;  /* lock; by number of `from` */
  size_t substitute_count;
  int handed_out;           /* the last run gave a part to the caller */
  uint64_t handout;         /* number of the last run's in hosted.c */
  buf manifest;             /* result of the last run */
  char *manifest_name;      /* its object, or NULL */
  sb_object_use *objects;
  char **object_names;
  size_t object_count;
  sb_part part;
};

/* A name this handle made and no longer needs. */
typedef struct dropped_name {
  struct dropped_name *next;
  char *name;
  uint64_t listed_in; /* newest checkpoint whose manifest lists it, 0 none */
  int published;      /* a manifest named it as state */
} dropped_name;

struct keyed {
  sb_keyed base; /* must come first */
  engine *engine;
  const sb_host *host;
  char *job, *operator_id;
  char *segment_operator;  /* in the paths of the segments it writes */
  uint32_t flags, subtask;
  uint32_t key_group_count, key_group_first, key_group_last;
  uint64_t generation;
  void (*wake)(void *arg);
  void *wake_arg;

  atomic_uint_fast64_t changes; /* raised by other threads */
  atomic_int interrupted, closing;
  atomic_uint_fast64_t event_time_ms; /* as advance_time was told */
  atomic_uint_fast32_t migrating; /* states with a migrate callback */

  /* owner */
  uint64_t changes_seen;
  state **states;
  size_t state_count;
  uint64_t epoch;          /* the current one; 0 is "clean" */
  uint64_t list_sequence;  /* next append number */
  chunk *dirty;            /* of the current epoch, newest first */
  size_t dirty_bytes;
  uint64_t dirty_cells;
  chunk *clean_open;       /* receives records read from segments */
  chunk_list clean;        /* evictable, oldest first */
  size_t chunk_size;
  size_t record_bytes;     /* of all chunks, tables and groups */
  version *version;        /* pinned; live as of changes_seen */
  buf scratch;             /* borrowed slices of the last call */
  buf list;                /* a list that get lent out */
  buf lent;                /* a caller's value kept across making room */
  buf migrated;            /* the last lookup's value, if it was migrated */
  uint32_t frozen_count;   /* closed epochs not yet seen to be flushed */
  sb_event *event;
  async *async;            /* batches; made at first use */
  struct given *given;     /* values lent by poll, until the next call */
  const cell *expired;     /* that the last peek met, else NULL */
  struct sb_cursor *spare_cursor; /* a closed one, for the next scan */
  uint64_t clean_epoch;    /* all epochs up to it were seen to be flushed */
  uint64_t evicted_epoch;  /* the newest of which a cell was evicted */
  uint64_t forgotten_epoch; /* clean when a cell went without a tombstone */
  uint64_t space_serial;   /* the last one given to a space */
  uint64_t moves;          /* grows when a cell leaves a table */

  pthread_mutex_t lock;
  /* lock */
  waiter *waiters;
  version *live;
  version *versions;       /* all that are in use, live included */
  frozen *frozen_first, *frozen_last;
  uint64_t flushed_epoch;  /* all epochs up to it are in segments */
  struct sb_snapshot *snapshots;
  dropped_name *dropped;
  segment **held;          /* what the manifest of the newest cut holds */
  size_t held_count;
  uint64_t held_epoch;     /* that cut */
  int flushing, flush_scheduled, compacting;
  sb_status flush_status;  /* of the last early flush */
  sb_error flush_error;
  uint32_t tasks;          /* background tasks not yet ended */
  uint64_t newest_completed;
  uint64_t compact_failures;
  struct hosted *hosted;   /* of a handle whose objects the host deletes */

  /* written by the owner with keyed_count, read by stats */
  struct {
    atomic_uint_fast64_t reads, writes, record_hits, evicted_bytes, stalls,
      stall_ns, record_bytes, dirty_bytes;
  } counters;

  /* counted by any thread */
  atomic_uint_fast64_t next_sequence; /* of object names and recency */
  atomic_uint_fast64_t frozen_bytes;
  atomic_uint_fast64_t cold_reads, block_hits, block_misses, snapshot_count,
    early_flushes, compactions, flushed_raw, compacted_raw;
};

/* keyed.c; places are in state.c */
void keyed_lock(keyed *k);
void keyed_unlock(keyed *k);
/* With the lock held: wakes all waiters, tells the owner. */
void keyed_changed(keyed *k);
/* With the lock held, which is released meanwhile. */
sb_status keyed_wait(keyed *k, sb_event *event, uint64_t deadline_ns);
/* Start of each owner call: absorbs changes; SB_CANCELLED if interrupted. */
sb_status keyed_enter_slow(keyed *k, sb_error *err);
int keyed_stopping(const keyed *k);
/* A background task on a lane; counted in k->tasks. */
sb_status keyed_task(keyed *k, uint32_t lane, sb_task *task, sb_error *err);
void keyed_task_done(keyed *k);

/* One thread writes, so no locked instruction is needed. */
static inline void
keyed_count(atomic_uint_fast64_t *counter, uint64_t n)
{
  atomic_store_explicit(
    counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
    memory_order_relaxed);
}

static inline sb_status
keyed_enter(keyed *k, sb_error *err)
{
  if (atomic_load_explicit(&k->changes, memory_order_acquire) ==
      k->changes_seen)
    return SB_OK;
  return keyed_enter_slow(k, err);
}

/* Does a cut that ended this epoch have the state? Now: UINT64_MAX. */
static inline int
keyed_has_state(const keyed *k, uint32_t index, uint64_t epoch)
{
  return index < k->state_count &&
         (k->states[index]->dropped_epoch == 0 ||
          k->states[index]->dropped_epoch > epoch);
}

/* A key resolved against a handle. */
typedef struct place {
  state *state;
  uint32_t table;     /* index of the key group in the tables */
  uint64_t group_id, id;
  record key;         /* as in segments; value unset */
} place;

sb_status keyed_place(keyed *k, const sb_key *key, place *p, sb_error *err);
/* The two halves of it. */
sb_status keyed_check_key(const keyed *k, const sb_key *key, sb_error *err);
/* For a cut that ended this epoch; a state may have been dropped since. */
sb_status keyed_check_key_at(const keyed *k, const sb_key *key, uint64_t epoch,
                             sb_error *err);
void keyed_place_key(keyed *k, const sb_key *key, place *p);
void keyed_place_record(keyed *k, state *s, const record *r, place *p);

/* write.c: cells and memory pressure */
sb_status write_cell(keyed *k, const place *p, sb_slice value, uint16_t flags,
                     uint64_t expires_ms, size_t slack, cell **out,
                     sb_error *err);
/* Puts a value where a cell stands, if it is of the current epoch and has the
   room; else returns 0. */
int write_over(const keyed *k, cell *c, sb_slice value, uint64_t expires_ms);
sb_status write_remove(keyed *k, const place *p, sb_error *err);
/* append.c: adds elements to a list; the first ones are there if it fails. */
sb_status write_append(keyed *k, place *p, const sb_slice *values,
                       size_t count, uint64_t expires_ms, sb_error *err);
sb_status write_clear(keyed *k, const place *p, sb_error *err);
/* Adds elements to a list that loses those it has. */
sb_status write_replace(keyed *k, place *p, const sb_slice *values,
                        size_t count, uint64_t expires_ms, sb_error *err);
/* Keeps a record read from segments; failing to is no error. NULL if not. */
cell *write_promote(keyed *k, const place *p, sb_slice value,
                    uint64_t expires_ms);
/* Takes a cell out of memory; older versions of it stay what they are. */
void write_forget(keyed *k, table *t, cell *c);
/* 1 if something older than the table may hold records of this key group. */
int write_may_be_older(keyed *k, uint32_t key_group);

/* evict.c: room in the budget */
/* Room for a cell of `bytes` in the current epoch's open chunk; may freeze,
   flush, evict and wait: look cells up again afterwards. */
sb_status evict_make_room(keyed *k, size_t bytes, sb_error *err);
/* Room in the clean chunk without waiting; 0 if there is none. */
int evict_clean_room(keyed *k, size_t bytes);
/* Gives up to `most` chunks with nothing but clean cells of ordered states to
   the block cache, which has use for the memory. */
void evict_ordered(keyed *k, size_t most);
/* A grouped cell leaves the table: its group may go. */
void evict_leave_group(keyed *k, cell *c);
/* `c` takes the place of `old` in its group. */
void evict_move_in_group(keyed *k, cell *old, cell *c);

/* freeze.c: closing epochs */
/* Closes the current epoch. `snapshot` is linked in, or NULL. */
sb_status freeze_epoch(keyed *k, struct sb_snapshot *snapshot, sb_error *err);

/* flush.c */
/* Brings all epochs up to `epoch` into segments; any thread. `cancelled` may
   be NULL. `event` is the caller's. */
sb_status flush_until(keyed *k, uint64_t epoch, sb_event *event,
                      atomic_int *cancelled, sb_error *err);
sb_status flush_schedule(keyed *k, sb_error *err);

/* output.c: writing segments to the store */
typedef struct output output;
typedef struct output_options {
  uint64_t epoch_min, epoch_max;
  uint64_t size_max;
  uint32_t priority;
  int fill_cache;
  atomic_int *cancelled;  /* may be NULL */
  const struct rules *rules; /* used until it is freed; NULL: as of now */
} output_options;
sb_status output_new(keyed *k, const output_options *options, output **out,
                     sb_error *err);
sb_status output_add(output *o, const record *r, int no_filter, sb_error *err);
/* Takes the segments, one reference each, in key order. */
sb_status output_finish(output *o, segment ***out, size_t *count,
                        sb_error *err);
void output_free(output *o); /* aborts what is not finished */
uint64_t output_raw_bytes(const output *o);

/* live.c: changes of the live version, all with the lock held */
/* Puts new segments in front. */
sb_status version_add(keyed *k, segment *const *segments, size_t count);
/* Replaces what `inputs` hold of key groups first..last by `outputs`. */
sb_status version_replace(keyed *k, segment *const *inputs,
                          size_t input_count, uint32_t first, uint32_t last,
                          segment *const *outputs, size_t output_count);
sb_status version_set(keyed *k, const segment_view *views, size_t count);
/* Puts copies in place of what they are copies of, unless that has been done
   with copies of a later cut. `list` is sorted by number. */
sb_status version_adopt(keyed *k, const substitute *list, size_t count);
/* NULL if none of a sorted list has the number of `s`. */
const substitute *substitute_find(const substitute *list, size_t count,
                                  const segment *s);
/* `copy` joins the ring of `s`, and shares its directory. */
void segment_join(segment *s, segment *copy);
/* A name that no manifest will have any more; takes it over. */
void version_drop_name(keyed *k, char *name, int published);
void version_unref(keyed *k, version *v);
void version_unref_segment(keyed *k, segment *s);

/* compact.c */
void compact_schedule(keyed *k);
/* The most runs over any key group. */
size_t compact_depth(const version *v, uint32_t key_groups);
/* Back-pressure: the owner waits while compaction is far behind. */
void compact_throttle(keyed *k);

/* snapshot.c */
sb_status snapshot_begin(sb_keyed *base, const sb_snapshot_options *options,
                         sb_snapshot **out, sb_error *err);
sb_status snapshot_run(sb_keyed *base, sb_snapshot *s, const sb_part **part,
                       sb_error *err);
void snapshot_cancel(sb_keyed *base, sb_snapshot *s);
void snapshot_free(sb_keyed *base, sb_snapshot *s);
sb_status snapshot_notify(sb_keyed *base, uint32_t what, uint64_t id,
                          sb_error *err);
/* Waits for a run under way, then takes the cut out of the handle. */
void snapshot_unpin(keyed *k, sb_snapshot *s);
/* With the lock held: a segment was flushed for epochs up to epoch_max. */
sb_status snapshot_take_segments(keyed *k, segment **segments, size_t count,
                                 uint64_t epoch_max);

/* draft.c; with the lock held */
void draft_forget_held(keyed *k);

/* view.c */
sb_status view_open(sb_keyed *base, sb_view **out, sb_error *err);
sb_status view_get(sb_view *view, const sb_key *key, void *buffer,
                   size_t buffer_size, size_t *size, sb_error *err);
void view_close(sb_view *view);

/* view_scan.c */
sb_status view_scan_open(sb_view *view, const sb_scan_options *options,
                         sb_view_cursor **out, sb_error *err);
sb_status view_scan_next(sb_view_cursor *cursor, sb_row *row, sb_error *err);
void view_scan_close(sb_view_cursor *cursor);

/* scan.c */
sb_status scan_open(sb_keyed *base, const sb_scan_options *options,
                    sb_cursor **out, sb_error *err);
sb_status scan_next(sb_keyed *base, sb_cursor *cursor, sb_row *row,
                    sb_error *err);
sb_status scan_update(sb_keyed *base, sb_cursor *cursor, sb_slice value,
                      uint64_t expires_ms, sb_error *err);
sb_status scan_remove(sb_keyed *base, sb_cursor *cursor, sb_error *err);
void scan_close(sb_keyed *base, sb_cursor *cursor);
void scan_free_spare(keyed *k);
/* The whole list of a key into k->scratch, elements with their lengths. */
sb_status scan_list(keyed *k, const place *p, sb_slice *value, sb_error *err);
sb_status scan_remove_range(sb_keyed *base, const sb_scan_options *range,
                            sb_error *err);

/* async.c */
sb_status async_submit(sb_keyed *base, sb_op *const *ops, size_t count,
                       sb_error *err);
sb_status async_poll(sb_keyed *base, sb_op **done, size_t max, size_t *count,
                     uint64_t deadline_ns, sb_error *err);
/* Lets everything pending on a key finish before a synchronous call. */
sb_status async_settle(keyed *k, const sb_key *key, sb_error *err);
void async_free(keyed *k);
void async_free_given(keyed *k);

/* get.c: one record from memory or segments */
/* expiry.c: has what a record says about its time come? `expires_ms` is the
   record's own number, whatever the state takes it for. */
int expiry_over(keyed *k, const state *s, uint64_t expires_ms);
/* When a record ends by the clock, 0 never as far as that knows. */
uint64_t expiry_end(const state *s, uint64_t expires_ms);
/* The same for a read, which may be told to show what has expired. */
static inline int
keyed_expired(keyed *k, const state *s, uint64_t expires_ms)
{
  return expires_ms != 0 && (s->flags & SB_STATE_SHOW_EXPIRED) == 0 &&
         expiry_over(k, s, expires_ms);
}

/* SB_NOT_FOUND if there is none. The value is borrowed: from the table, or in
   k->scratch. *found is its cell, or NULL. */
sb_status keyed_read(keyed *k, const place *p, sb_slice *value,
                     uint64_t *expires_ms, cell **found, sb_error *err);
/* Keeps the value of a record read from a segment as a clean cell, or copies
   it to k->scratch. */
sb_status keyed_keep(keyed *k, const place *p, const record *r,
                     sb_slice *value, cell **found, sb_error *err);
/* Does a clear marker that is not yet in segments hide all of the key that the
   table does not have? */
int keyed_is_cleared(keyed *k, const place *p);
/* Has memory a clear marker of the key from after `epoch`? */
int keyed_cleared_since(const place *p, uint64_t epoch);
/* Is the answer in memory? SB_OK, SB_NOT_FOUND, or SB_BUSY: ask segments. */
sb_status keyed_peek(keyed *k, const place *p, cell **found);
/* SB_TOO_LARGE for a value over the limits, SB_INVALID for one without
   bytes. */
sb_status keyed_check_value(const keyed *k, sb_slice value, sb_error *err);
sb_status keyed_get(sb_keyed *base, const sb_key *key, sb_slice *value,
                    sb_error *err);
sb_status keyed_put(sb_keyed *base, const sb_key *key, sb_slice value,
                    uint64_t expires_ms, sb_error *err);
sb_status keyed_put_all(sb_keyed *base, const sb_key *key,
                        const sb_slice *subkeys, const sb_slice *values,
                        size_t count, uint64_t expires_ms, sb_error *err);
sb_status keyed_remove(sb_keyed *base, const sb_key *key, sb_error *err);
sb_status keyed_append(sb_keyed *base, const sb_key *key, sb_slice value,
                       uint64_t expires_ms, sb_error *err);
sb_status keyed_append_all(sb_keyed *base, const sb_key *key,
                           const sb_slice *values, size_t count,
                           uint64_t expires_ms, sb_error *err);
sb_status keyed_replace_all(sb_keyed *base, const sb_key *key,
                            const sb_slice *values, size_t count,
                            uint64_t expires_ms, sb_error *err);
sb_status keyed_update(sb_keyed *base, const sb_key *key, sb_update_fn *fn,
                       void *arg, sb_error *err);
void keyed_prefetch(sb_keyed *base, const sb_key *key);
sb_status keyed_clear(sb_keyed *base, const sb_key *key, sb_error *err);
/* After the value for fn has been read. `pinned` NULL: `value` was copied. */
sb_status keyed_apply(keyed *k, const place *p, sb_update_fn *fn, void *arg,
                      cell *found, sb_slice value, uint64_t expires_ms,
                      int exists, sb_error *err);

/* front.c */
sb_status keyed_remove_through(sb_keyed *base, const sb_key *key,
                               sb_error *err);

/* restore.c, state.c */
sb_status restore_parts(keyed *k, const sb_keyed_options *options,
                        sb_error *err);
/* The one that was not dropped. */
state *keyed_state_find(keyed *k, sb_slice name);
/* Takes in a state of a part's manifest, or finds that it is there. */
struct manifest_state;
sb_status keyed_state_restore(keyed *k, const struct manifest_state *ms,
                              sb_error *err);
/* With the lock held: what a manifest of the cut that ends `epoch` says of a
   state; 0 if the cut does not know it. */
int keyed_state_in_cut(const state *s, uint64_t epoch,
                       struct manifest_state *out);
state *keyed_state_by_id(keyed *k, uint32_t id);
void keyed_state_free(keyed *k, state *s);
sb_status keyed_register_state(sb_keyed *base, const sb_state_options *options,
                               sb_state_info *info, sb_error *err);
sb_status keyed_find_state(sb_keyed *base, sb_slice name, sb_state_info *info,
                           sb_error *err);
sb_status keyed_state_at(sb_keyed *base, uint32_t index, sb_state_info *info,
                         sb_error *err);
sb_status keyed_drop_state(sb_keyed *base, uint32_t index, sb_error *err);
sb_status keyed_advance_time(sb_keyed *base, uint64_t time_ms, sb_error *err);
/* SB_INVALID for a state that was only restored: its records may be of an older
   schema, and cells are always of the current one. */
sb_status keyed_check_writable(const keyed *k, const state *s, sb_error *err);
sb_status keyed_open(engine *e, const sb_keyed_options *options,
                     sb_keyed **out, sb_error *err);

#endif
