/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_backend, sb_keyed, sb_job: the state-backend ABI.
 *
 * A backend is opened once per process for each plugin and configuration; it
 * owns the store, the memory budget and the threads. A keyed handle is the
 * state of one operator subtask: one range of key groups. A job handle is the
 * right to commit checkpoints of one job.
 *
 * The currency is bytes: serializers stay with the caller.
 *
 * Threads: backend and job methods from any thread. A keyed handle has one
 * owner thread (one at a time; handing it over needs the caller's
 * synchronisation). snapshot_run, snapshot_cancel, stats and interrupt may be
 * called from any thread. Completions come only inside poll() on the owner.
 *
 * Borrowed slices that a keyed method hands out live until the next call on
 * that handle; what the cursor hands out, until the next call on the handle
 * too.
 */
#ifndef STATEBACKEND_BACKEND_H
#define STATEBACKEND_BACKEND_H

#include <statebackend/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sb_keyed sb_keyed;
typedef struct sb_job sb_job;
typedef struct sb_snapshot sb_snapshot;
typedef struct sb_cursor sb_cursor;
typedef struct sb_view sb_view;
typedef struct sb_view_cursor sb_view_cursor;

/* ---- keys ------------------------------------------------------------- */

/* The place of a record. `key_group` must be inside the handle's range. A
   record without namespace or subkey has empty ones. */
typedef struct sb_key {
  uint32_t state;       /* id from register_state */
  uint32_t key_group;
  sb_slice key;
  sb_slice ns;          /* the void namespace is the empty one */
  sb_slice subkey;      /* maps: the user key; lists, values: empty */
} sb_key;

/* State kinds: how records relate to keys. */
#define SB_STATE_VALUE 10u        /* one record a key and namespace */
#define SB_STATE_LIST 20u         /* appended values, in order */
#define SB_STATE_MAP 30u          /* one record a subkey, in subkey order */
#define SB_STATE_REDUCING 40u     /* as value; folded by the caller */
#define SB_STATE_AGGREGATING 50u  /* as value; folded by the caller */
#define SB_STATE_TIMER 60u        /* ordered: key bytes order the records of a
                                     key group; no namespace, no subkey */

#define SB_STATE_MOSTLY_HIT 1u    /* lookups nearly always find: no filters */
#define SB_STATE_EVENT_TIME 2u    /* expires by advance_time, not the clock */
#define SB_STATE_SHOW_EXPIRED 4u  /* reads return what has expired until it is
                                     reclaimed */
#define SB_STATE_MIGRATE_NOW 8u   /* register_state rewrites all old records;
                                     not kept with the state */

/* How a state's records say when they expire. */
#define SB_TIME_EXPIRY 0u  /* expires_ms is when the record expires; 0 never.
                              ttl_ms is not used */
#define SB_TIME_STAMP 10u  /* expires_ms is when the record was last written (or
                              read, as the caller likes); it expires ttl_ms
                              later. 0 never. So ttl_ms may change, and counts
                              at once for all records; ttl_ms 0: none expires */
#define SB_TIME_VALUE 20u  /* the value (of lists: each element) has the stamp
                              as a big-endian int64 at time_offset, as Flink's
                              TtlSerializer writes it. Only reclamation looks
                              at it: reads return what is there */

/* Takes the bytes of a result, in one or more calls; they are copied. NULL
   with a length is SB_INVALID, and so is then the call that wanted them. */
typedef sb_status sb_give_fn(void *give_arg, const void *data, size_t len);

/* Rewrites a value that was written with an older schema version: hands the new
   one to `give`. It may be called from any thread, several at once, and must
   always give the same result for the same input. A failure fails the read;
   compaction then leaves the record's segment as it is. Lists: one call an
   element. */
typedef sb_status sb_migrate_fn(void *arg, uint32_t from_version,
                                sb_slice value, sb_give_fn *give,
                                void *give_arg);

typedef struct sb_state_options {
  uint32_t struct_size;
  uint32_t kind;
  uint32_t flags;
  uint32_t schema_version;        /* grows when the form of values changes */
  sb_slice name;                  /* unique in the handle, kept as bytes */
  sb_slice blob;                  /* opaque, kept in manifests (serializer) */
  uint32_t time_kind;             /* SB_TIME_... */
  uint32_t time_offset;           /* SB_TIME_VALUE */
  uint64_t ttl_ms;
  sb_migrate_fn *migrate;         /* NULL: values of other versions are
                                     returned as they are */
  void *migrate_arg;              /* used until the handle is closed */
  void (*migrate_free)(void *migrate_arg); /* NULL, or called once when it is
                                     not used any more: by close, or at once if
                                     register_state fails or the state has a
                                     callback with a migrate_free already */
} sb_state_options;

typedef struct sb_state_info {
  uint32_t struct_size;
  uint32_t kind;
  uint32_t flags;
  uint32_t schema_version;
  uint32_t id;
  uint32_t restored;              /* 1: known from the restored checkpoint */
  sb_slice name;
  sb_slice blob;                  /* as restored, else as registered; borrowed
                                     until close */
  uint32_t restored_version;      /* schema version of the checkpoint, if
                                     `restored`; else schema_version */
  uint32_t registered;            /* 1: by this handle */
  uint32_t time_kind, time_offset;
  uint64_t ttl_ms;
} sb_state_info;

/* ---- update: read-modify-write with one lookup ------------------------- */

#define SB_UPDATE_KEEP 0u      /* leave as it was */
#define SB_UPDATE_IN_PLACE 10u /* `data` was changed where it stands */
#define SB_UPDATE_PUT 20u      /* store `replacement` (borrowed for the call) */
#define SB_UPDATE_REMOVE 30u

typedef struct sb_update {
  uint32_t struct_size;
  uint32_t exists;             /* 0: no record; data NULL, len 0 */
  void *data;                  /* the value, writable up to `len` */
  size_t len;
  uint32_t action;             /* out, SB_UPDATE_KEEP at first */
  uint32_t reserved;
  sb_slice replacement;        /* out, for SB_UPDATE_PUT */
  uint64_t expires_ms;         /* in and out; 0 never */
} sb_update;

/* Must not call the handle. A failure is returned by update() and nothing is
   changed. Changing `data` and not returning SB_OK is an error. */
typedef sb_status sb_update_fn(void *arg, sb_update *update);

/* ---- asynchronous batches ---------------------------------------------- */

#define SB_OP_GET 10u
#define SB_OP_PUT 20u
#define SB_OP_REMOVE 30u
#define SB_OP_APPEND 40u
#define SB_OP_UPDATE 50u         /* `update` runs inside submit or poll */
#define SB_OP_SCAN_OPEN 60u      /* completes with `cursor` */
#define SB_OP_SCAN_NEXT 70u      /* reads ahead so that the next scan_next of
                                    `cursor` does not block */
#define SB_OP_CLEAR 80u          /* removes all of one key and namespace */
#define SB_OP_PREFETCH 90u       /* get without a value; may be dropped */

struct sb_scan_options;

/* One operation of a batch. The caller's memory, untouched by the caller from
   submit until it comes out of poll. Slices it points to are kept as long. */
typedef struct sb_op {
  uint32_t struct_size;
  uint32_t kind;
  sb_key key;
  sb_slice value;                /* put, append */
  uint64_t expires_ms;           /* put, append; 0 never */
  void *tag;                     /* the caller's */
  sb_update_fn *update;
  void *update_arg;
  const struct sb_scan_options *scan;
  sb_cursor *cursor;             /* out: scan open; in: scan next */
  void *buffer;                  /* get: where to put the value, or NULL */
  size_t buffer_size;
  sb_status status;              /* out */
  uint32_t reserved;
  sb_slice result;               /* out, get: in `buffer` if it fits, else
                                    borrowed until the next call but poll */
  void *internal[4];             /* the engine's while it is submitted */
} sb_op;

/* ---- scans -------------------------------------------------------------- */

#define SB_SCAN_KEYS 1u          /* keys only: values may be empty; one row a
                                    (namespace, key) */
#define SB_SCAN_EXPIRED 2u       /* also what has expired and is still there;
                                    such rows have SB_ROW_EXPIRED */

/* What to scan: a state, or one namespace of it, or one key in a namespace,
   in the order (key group, namespace, hash of key, key, subkey); timers: (key
   group, key). */
typedef struct sb_scan_options {
  uint32_t struct_size;
  uint32_t flags;
  uint32_t state;
  uint32_t key_group_first, key_group_last; /* inclusive */
  uint32_t has_ns;               /* 1: only `ns` */
  uint32_t has_key;              /* 1: only `key` (with has_ns) */
  uint32_t reserved;
  sb_slice ns;
  sb_slice key;
  sb_slice start;                /* first subkey (maps) or key (timers) wanted,
                                    empty: from the start */
  sb_slice end;                  /* first one not wanted, empty: to the end */
} sb_scan_options;

#define SB_ROW_EXPIRED 1u

typedef struct sb_row {
  uint32_t key_group;
  uint32_t flags;                /* SB_ROW_... */
  sb_slice key, ns, subkey, value;
  uint64_t expires_ms;
} sb_row;

/* ---- snapshots ---------------------------------------------------------- */

#define SB_SNAPSHOT_CHECKPOINT 10u  /* shares segments with earlier ones */
#define SB_SNAPSHOT_FULL 20u        /* shares nothing with earlier ones; later
                                       ones may share with it */
#define SB_SNAPSHOT_SAVEPOINT 30u   /* shares nothing with any: its objects are
                                       copies in `savepoint`'s own directory,
                                       named relative to that in the manifest */

typedef struct sb_snapshot_options {
  uint32_t struct_size;
  uint32_t kind;
  uint64_t checkpoint_id;        /* grows from snapshot to snapshot */
  const char *savepoint;         /* its name, SB_SNAPSHOT_SAVEPOINT */
} sb_snapshot_options;

typedef struct sb_object_use {
  const char *name;              /* relative to the store's root */
  uint64_t size;
  uint32_t is_new;               /* written for this snapshot */
  uint32_t reserved;
} sb_object_use;

/* A subtask's part of a checkpoint. The manifest travels here when it is small
   (SB_MANIFEST_INLINE_MAX), else as an object of its own. */
#define SB_MANIFEST_INLINE_MAX 65536u
typedef struct sb_part {
  uint32_t struct_size;
  uint32_t subtask;
  const char *operator_id;       /* "" if none */
  uint32_t key_group_first, key_group_last; /* inclusive */
  sb_slice manifest;             /* bytes; may be empty if `name` is set */
  const char *name;              /* manifest's object, else NULL */
  uint64_t length;               /* of the manifest, */
  uint32_t crc32c;               /* and its CRC-32C */
  uint32_t object_count;
  const sb_object_use *objects;  /* what the manifest names; NULL in parts read
                                    from a checkpoint */
} sb_part;

#define SB_NOTIFY_COMPLETE 10u   /* implies all lower ids */
#define SB_NOTIFY_ABORTED 20u
#define SB_NOTIFY_SUBSUMED 30u

/* ---- keyed handles ------------------------------------------------------ */

#define SB_OPEN_READ_ONLY 1u     /* no writes, no snapshots, no objects made */
#define SB_OPEN_HOST_OWNED 2u    /* the host deletes checkpoints' objects */
#define SB_OPEN_NO_CLAIM 4u      /* what is restored stays its owner's: the
                                    first checkpoint copies it */

typedef struct sb_keyed_options {
  uint32_t struct_size;
  uint32_t flags;
  const char *job;               /* "" or one path part */
  const char *operator_id;       /* "" or one path part */
  uint32_t subtask;
  uint32_t key_group_count;      /* maximum parallelism */
  uint32_t key_group_first, key_group_last; /* inclusive */
  uint64_t generation;           /* from takeover; higher than any before */
  const sb_part *parts;          /* to restore, any number and overlap; those
                                    of other operators are ignored */
  uint64_t part_count;
  void (*wake)(void *arg);       /* called from any thread when poll has
                                    something; may be NULL */
  void *wake_arg;
} sb_keyed_options;

/* Counters since open; sizes are now. Append-only. */
typedef struct sb_keyed_stats {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t reads, writes;         /* calls and ops */
  uint64_t record_hits, cold_reads; /* answered from memory; that had to wait
                                     for the store */
  uint64_t records, record_bytes; /* in memory, live and superseded */
  uint64_t dirty_bytes;           /* not yet in segments */
  uint64_t segments, segment_bytes;
  uint64_t snapshots, early_flushes, compactions;
  uint64_t evicted_bytes;
  uint64_t flushed_bytes, compacted_bytes; /* raw bytes written out */
  uint64_t stalls, stall_ns;      /* owner made to wait by back-pressure */
  uint64_t memory_used, memory_limit; /* the whole backend's budget */
  uint64_t block_hits, block_misses;
} sb_keyed_stats;

typedef struct sb_keyed_ops {
  uint32_t struct_size;
  uint32_t abi_version;

  /* Registers or re-opens a state. SB_MISMATCH if the name is known with
     another kind. *info is filled. */
  sb_status (*register_state)(sb_keyed *keyed, const sb_state_options *options,
                              sb_state_info *info, sb_error *err);

  /* SB_NOT_FOUND if there is no record. For lists the value is all appended
     values, each preceded by its length as a little-endian uint32; over
     SB_VALUE_MAX bytes SB_TOO_LARGE (then scan). */
  sb_status (*get)(sb_keyed *keyed, const sb_key *key, sb_slice *value,
                   sb_error *err);
  sb_status (*put)(sb_keyed *keyed, const sb_key *key, sb_slice value,
                   uint64_t expires_ms, sb_error *err);
  /* Removing what is not there is SB_OK. */
  sb_status (*remove)(sb_keyed *keyed, const sb_key *key, sb_error *err);
  /* Adds one element to a list. */
  sb_status (*append)(sb_keyed *keyed, const sb_key *key, sb_slice value,
                      uint64_t expires_ms, sb_error *err);
  sb_status (*update)(sb_keyed *keyed, const sb_key *key, sb_update_fn *fn,
                      void *arg, sb_error *err);
  /* Removes all records of one key and namespace (subkey is ignored). */
  sb_status (*clear)(sb_keyed *keyed, const sb_key *key, sb_error *err);
  /* Removes everything `range` selects (start and end must be empty). */
  sb_status (*remove_range)(sb_keyed *keyed, const sb_scan_options *range,
                            sb_error *err);

  /* Cursors: any number at once; writes to the handle between calls are
     allowed. A record that exists throughout is seen exactly once; one that
     comes or goes meanwhile may be seen or not. A list's rows have one element
     each. scan_next: SB_END when done. scan_update and scan_remove act on the
     row last returned; a list's element keeps its expiry. */
  sb_status (*scan_open)(sb_keyed *keyed, const sb_scan_options *options,
                         sb_cursor **out, sb_error *err);
  sb_status (*scan_next)(sb_keyed *keyed, sb_cursor *cursor, sb_row *row,
                         sb_error *err);
  sb_status (*scan_update)(sb_keyed *keyed, sb_cursor *cursor, sb_slice value,
                           uint64_t expires_ms, sb_error *err);
  sb_status (*scan_remove)(sb_keyed *keyed, sb_cursor *cursor, sb_error *err);
  void (*scan_close)(sb_keyed *keyed, sb_cursor *cursor);

  /* A mixed batch. All ops are taken (SB_OK) or none. Each comes out of poll
     once. Operations on one key apply in the order submitted, and a
     synchronous call on a key comes after those pending on it.
     poll: up to `max` finished ops, waiting until `deadline_ns` for the first
     (0: no waiting); *count may be 0 with SB_OK when the time is over or
     nothing is pending. */
  sb_status (*submit)(sb_keyed *keyed, sb_op *const *ops, size_t count,
                      sb_error *err);
  sb_status (*poll)(sb_keyed *keyed, sb_op **done, size_t max, size_t *count,
                    uint64_t deadline_ns, sb_error *err);

  /* A reader's pinned point in time for other threads: what was written before
     the call. view_get copies into `buffer`; *size is the value's size, and
     SB_TOO_LARGE if it does not fit. */
  sb_status (*view_open)(sb_keyed *keyed, sb_view **out, sb_error *err);
  sb_status (*view_get)(sb_view *view, const sb_key *key, void *buffer,
                        size_t buffer_size, size_t *size, sb_error *err);
  void (*view_close)(sb_view *view);

  /* begin: owner thread, under a millisecond at any size; fixes what the
     snapshot holds. run: any thread, blocks until all is on the store; may be
     repeated after a failure. *part is owned by the snapshot. cancel: any
     thread; a run under way returns SB_CANCELLED soon. free: after run has
     returned; a snapshot that was never run is cancelled. */
  sb_status (*snapshot_begin)(sb_keyed *keyed,
                              const sb_snapshot_options *options,
                              sb_snapshot **out, sb_error *err);
  sb_status (*snapshot_run)(sb_keyed *keyed, sb_snapshot *snapshot,
                            const sb_part **part, sb_error *err);
  void (*snapshot_cancel)(sb_keyed *keyed, sb_snapshot *snapshot);
  void (*snapshot_free)(sb_keyed *keyed, sb_snapshot *snapshot);

  /* Fate of a checkpoint; owner thread. May come late, repeated, reordered or
     never. */
  sb_status (*notify)(sb_keyed *keyed, uint32_t what, uint64_t checkpoint_id,
                      sb_error *err);

  /* Any thread: calls that wait, and all later ones but close, return
     SB_CANCELLED. But poll gives back all operations first, those that were
     not done with SB_CANCELLED. */
  void (*interrupt)(sb_keyed *keyed);
  sb_status (*stats)(sb_keyed *keyed, sb_keyed_stats *stats);

  /* Owner thread; waits for runs and background work to end. Cursors, views
     and snapshots must have been closed. What no checkpoint holds is lost. */
  void (*close)(sb_keyed *keyed);

  /* ---- optional, asked for with SB_KEYED_HAS ---- */

  /* What is known of a state, registered or restored; SB_NOT_FOUND. Before
     register_state, to see the restored blob and version and decide. */
  sb_status (*state_find)(sb_keyed *keyed, sb_slice name, sb_state_info *info,
                          sb_error *err);
  /* The state of each number from 0 on; SB_NOT_FOUND for one that was dropped,
     SB_END behind the last. */
  sb_status (*state_at)(sb_keyed *keyed, uint32_t index, sb_state_info *info,
                        sb_error *err);
  /* Forgets a state and all its records, in time that does not depend on how
     many there are; the name may be registered anew afterwards. The number is
     dead. Restored states that nobody registers are kept as they are. */
  sb_status (*drop_state)(sb_keyed *keyed, uint32_t state, sb_error *err);
  /* The time by which states with SB_STATE_EVENT_TIME expire: the caller's
     watermark. It only grows; lower ones are ignored. Not in checkpoints. */
  sb_status (*advance_time)(sb_keyed *keyed, uint64_t time_ms, sb_error *err);

  /* A scan of a view's point in time, by one other thread at a time a cursor,
     while the owner goes on. Rows as those of scan_next; slices live until the
     cursor's next call. Close it before the view. */
  sb_status (*view_scan_open)(sb_view *view, const sb_scan_options *options,
                              sb_view_cursor **out, sb_error *err);
  sb_status (*view_scan_next)(sb_view_cursor *cursor, sb_row *row,
                              sb_error *err);
  void (*view_scan_close)(sb_view_cursor *cursor);

  /* Timers: removes all records of the key group up to and with `key`, in
     order. What segments hold of them costs nothing. After a failure the first
     ones may be gone, but never that of `key`. */
  sb_status (*remove_through)(sb_keyed *keyed, const sb_key *key,
                              sb_error *err);

  /* What the handle was opened with, without the parts and wake. Any thread;
     strings are borrowed until close. */
  sb_status (*describe)(sb_keyed *keyed, sb_keyed_options *options,
                        sb_error *err);

  /* As that many calls of append, in order. A value over the limits is found
     before anything is added; after another failure the first ones may have
     been added. None of `values` may be one that an earlier call lent. */
  sb_status (*append_all)(sb_keyed *keyed, const sb_key *key,
                          const sb_slice *values, size_t count,
                          uint64_t expires_ms, sb_error *err);

  /* A hint, of which nobody learns the outcome: a call on this key comes soon.
     Never waits, and changes nothing; a key that is wrong is ignored. */
  void (*prefetch)(sb_keyed *keyed, const sb_key *key);

  /* As that many calls of put, in order: records of one key and namespace, the
     subkey of `key` is not looked at. A subkey or value over the limits is
     found before anything is put; after another failure the first ones may
     have been put. None of `values` may be one that an earlier call lent. */
  sb_status (*put_all)(sb_keyed *keyed, const sb_key *key,
                       const sb_slice *subkeys, const sb_slice *values,
                       size_t count, uint64_t expires_ms, sb_error *err);

  /* As clear and append_all, with one look-up. */
  sb_status (*replace_all)(sb_keyed *keyed, const sb_key *key,
                           const sb_slice *values, size_t count,
                           uint64_t expires_ms, sb_error *err);
} sb_keyed_ops;

/* 1 if a keyed handle's table is long enough for `method` and has it. */
#define SB_KEYED_HAS(keyed, method)                                           \
  ((keyed)->ops->struct_size >=                                               \
     offsetof(sb_keyed_ops, method) + sizeof (keyed)->ops->method             \
   && (keyed)->ops->method != NULL)

struct sb_keyed {
  const sb_keyed_ops *ops;
};

/* ---- jobs and checkpoints ----------------------------------------------- */

typedef struct sb_checkpoint_info {
  uint32_t struct_size;
  uint32_t part_count;
  uint64_t id;
  uint64_t generation;           /* that committed it */
  uint64_t created_ms;           /* wall clock of the committer */
  uint64_t size;                 /* bytes of all objects it needs */
  const char *name;              /* of its _metadata */
} sb_checkpoint_info;

/* A finished checkpoint, read. Owned by the caller until checkpoint_close. */
typedef struct sb_checkpoint {
  uint32_t struct_size;
  uint32_t reserved;
  sb_checkpoint_info info;
  const sb_part *parts;          /* valid until checkpoint_close */
  sb_slice blob;
  void *internal;
} sb_checkpoint;

typedef struct sb_takeover_options {
  uint32_t struct_size;
  uint32_t flags;
  const char *job;               /* the path part as in sb_keyed_options */
  const char *job_id;            /* must equal HEAD's; "" is an id too */
  uint32_t retain;               /* checkpoints kept, at least 1 */
  uint32_t reserved;
} sb_takeover_options;

typedef struct sb_commit_options {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t id;                   /* higher than any committed before */
  const sb_part *parts;          /* of all subtasks */
  uint64_t part_count;
  sb_slice blob;                 /* the caller's, such as source positions */
} sb_commit_options;

#define SB_CHECKPOINT_PIN 1u     /* a reader's: keep its objects until closed */

/* A report of what garbage collection found or did. */
typedef struct sb_gc_report {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t objects, bytes;       /* seen */
  uint64_t orphans, orphan_bytes;/* needed by nothing, of dead generations */
  uint64_t removed, failed;
  uint64_t pins;                 /* readers' pins seen */
} sb_gc_report;

/* ---- savepoints and other jobs' checkpoints ----------------------------- */

/* How the objects of what is restored are treated afterwards. */
#define SB_RESTORE_NO_CLAIM 10u  /* never deleted: the first checkpoint copies
                                    them, later ones share nothing with them */
#define SB_RESTORE_CLAIM 20u     /* the restoring job's own from now on; only
                                    one job can claim a checkpoint */

/* A source: a savepoint, or a retained checkpoint of another job. */
typedef struct sb_restore_options {
  uint32_t struct_size;
  uint32_t mode;                 /* SB_RESTORE_... */
  const char *job;               /* path part of the source's job */
  const char *savepoint;         /* its name, or NULL: a checkpoint */
  uint64_t id;                   /* of the checkpoint, 0: the newest */
  const char *job_id;            /* of the restoring job: the claimer */
} sb_restore_options;

typedef struct sb_savepoint_options {
  uint32_t struct_size;
  uint32_t flags;
  const char *job;               /* path part of the job it is filed under */
  const char *name;              /* one path part; SB_EXISTS if it is taken */
  uint64_t id;                   /* of the snapshot */
  const sb_part *parts;          /* of SB_SNAPSHOT_SAVEPOINT snapshots, or
                                    canonical ones */
  uint64_t part_count;
  sb_slice blob;
} sb_savepoint_options;

typedef struct sb_savepoint_copy {
  uint32_t struct_size;
  uint32_t flags;
  sb_backend *from;              /* may be the same or another one's */
  const char *from_job;
  const char *from_savepoint;    /* or NULL: a retained checkpoint, */
  uint64_t from_id;              /* of this id, 0 the newest */
  const char *job, *name;        /* where to */
} sb_savepoint_copy;

#define SB_GC_DRY_RUN 1u
#define SB_GC_PINS 2u            /* also remove readers' pins (dead readers) */

typedef struct sb_probe {
  uint32_t struct_size;
  uint32_t honours;              /* SB_STORE_... as seen by trying */
  sb_status read, write, list, remove;
  char detail[256];              /* first failure in words */
} sb_probe;

typedef struct sb_backend_ops {
  uint32_t struct_size;
  uint32_t abi_version;

  /* All keyed, job and checkpoint handles must have been closed. */
  void (*close)(sb_backend *backend);

  /* Tries the location with a few small objects of its own and removes them.
     SB_OK if it could find out, whatever the findings. */
  sb_status (*probe)(sb_backend *backend, sb_probe *probe, sb_error *err);

  sb_status (*open_keyed)(sb_backend *backend, const sb_keyed_options *options,
                          sb_keyed **out, sb_error *err);

  /* The object store with its filters, or NULL. Borrowed. */
  sb_store *(*store)(sb_backend *backend);

  /* Makes the caller the job's only committer: swaps a higher generation into
     HEAD, so that any earlier committer gets SB_FENCED, then finishes the
     predecessor's deletions. SB_MISMATCH if HEAD belongs to another job id. */
  sb_status (*takeover)(sb_backend *backend, const sb_takeover_options *options,
                        sb_job **out, sb_error *err);
  uint64_t (*job_generation)(sb_job *job);
  void (*job_close)(sb_job *job);

  /* Writes _metadata and swaps HEAD: the only commit point. SB_OK: committed.
     SB_FENCED: this job handle is dead. SB_UNKNOWN: it may or may not be
     committed; tell nobody and call commit again with the same arguments.
     Any other failure: not committed, and it never will be. */
  sb_status (*commit)(sb_job *job, const sb_commit_options *options,
                      sb_error *err);

  /* Retained checkpoints, newest first, read from HEAD. *out is an array owned
     by the caller, released with list_free. */
  sb_status (*list)(sb_backend *backend, const char *job,
                    sb_checkpoint_info **out, size_t *count, sb_error *err);
  void (*list_free)(sb_backend *backend, sb_checkpoint_info *list,
                    size_t count);

  /* Opens a retained checkpoint; id 0: the newest, SB_NOT_FOUND if none.
     Without a pin only for the job's own committer after takeover. */
  sb_status (*checkpoint_open)(sb_backend *backend, const char *job,
                               uint64_t id, uint32_t flags,
                               sb_checkpoint **out, sb_error *err);
  void (*checkpoint_close)(sb_backend *backend, sb_checkpoint *checkpoint);

  /* Keeps the last `count` checkpoints from the next commit on. */
  sb_status (*retain)(sb_job *job, uint32_t count, sb_error *err);

  /* Drops a checkpoint other than the newest, and its objects. */
  sb_status (*remove)(sb_job *job, uint64_t id, sb_error *err);

  /* Removes what generations before this job's left behind and nothing needs,
     by listing. */
  sb_status (*gc)(sb_job *job, uint32_t flags, sb_gc_report *report,
                  sb_error *err);

  /* ---- optional, asked for with SB_BACKEND_HAS ---- */

  /* Opens what another job left, or a savepoint, for restoring. The parts'
     manifests name their objects as seen from this store's root and say whose
     they are. A claim is recorded on the store first, so that a second one is
     SB_BUSY and the source's job is fenced; claiming again for the same job id
     is allowed. Without a claim, a checkpoint is pinned until it is closed:
     close it when the first own checkpoint is complete. */
  sb_status (*restore_open)(sb_backend *backend,
                            const sb_restore_options *options,
                            sb_checkpoint **out, sb_error *err);

  /* Writes a savepoint's _metadata, which makes it a savepoint. */
  sb_status (*savepoint_write)(sb_backend *backend,
                               const sb_savepoint_options *options,
                               sb_error *err);
  /* By name, ascending; checkpoint_info.name is the savepoint's name. Released
     with list_free. */
  sb_status (*savepoint_list)(sb_backend *backend, const char *job,
                              sb_checkpoint_info **out, size_t *count,
                              sb_error *err);
  /* Removes a savepoint and its objects. SB_BUSY if a job has claimed it. */
  sb_status (*savepoint_remove)(sb_backend *backend, const char *job,
                                const char *name, sb_error *err);
  /* Makes a savepoint of a retained checkpoint or of another savepoint, by
     copies on the store's side where it can, through the client else. */
  sb_status (*savepoint_copy)(sb_backend *backend,
                              const sb_savepoint_copy *options, sb_error *err);
} sb_backend_ops;

/* 1 if a backend's table is long enough for `method` and has it. */
#define SB_BACKEND_HAS(backend, method)                                       \
  ((backend)->ops->struct_size >=                                             \
     offsetof(sb_backend_ops, method) + sizeof (backend)->ops->method         \
   && (backend)->ops->method != NULL)

struct sb_backend {
  const sb_backend_ops *ops;
};

#ifdef __cplusplus
}
#endif
#endif
