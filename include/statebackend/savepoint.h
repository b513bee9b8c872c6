/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical savepoints: a subtask's keyed state as one stream of bytes that
 * depends on no backend. It is Apache Flink's canonical savepoint format, so
 * that state can be moved from and to Flink's own backends. The bytes are in
 * docs/FORMAT-canonical.md.
 *
 * Two ways to write what a state holds:
 *   verbatim  keys, namespaces, subkeys and values are already what Flink's
 *             serializers write; the caller has their serializer snapshots.
 *   bytes     they are byte strings, and are written as Flink's serializer of
 *             byte[] does. No Flink class is needed but those of Flink.
 *
 * Writing: sb_canonical_open on the owner's thread fixes a point in time, in
 * the time of a view; sb_canonical_write then runs on any thread while the
 * owner goes on. Reading: rows, or sb_canonical_restore into a keyed handle.
 */
#ifndef STATEBACKEND_SAVEPOINT_H
#define STATEBACKEND_SAVEPOINT_H

#include <statebackend/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SB_CANONICAL_BYTES 10u
#define SB_CANONICAL_VERBATIM 20u

/* The state never has namespaces: Flink's VoidNamespace, one byte 0. Without
   this flag a namespace is written with each key, an empty one too. Must be
   the same for all subtasks; a namespace that is there nevertheless fails the
   writing. */
#define SB_CANONICAL_VOID_NAMESPACE 1u
/* BYTES: a record has a time, written in front of its value as Flink's
   serializer of values with a time to live does. States that keep stamps
   (SB_TIME_STAMP with a ttl_ms; SB_TIME_VALUE at offset 0) have this by
   themselves. For others the time is when the record expires. Without it a
   record that expires fails the writing. */
#define SB_CANONICAL_TIMED 2u
/* BYTES, maps: the first byte of each value is 1 if the value is null, else 0.
   VERBATIM values of maps always begin so. Without it no value is null. */
#define SB_CANONICAL_NULLABLE 4u

/* How one state is written or read. */
typedef struct sb_canonical_state {
  uint32_t struct_size;
  uint32_t encoding;        /* SB_CANONICAL_..., 0: as in the options */
  uint32_t flags;
  uint32_t kind;            /* reading with header_given: SB_STATE_... */
  sb_slice name;
  /* VERBATIM, writing: Flink's StateMetaInfoSnapshot of this state, whole. */
  sb_slice meta;
  /* VERBATIM: length of each serialized namespace, element of a list; 0:
     variable. */
  uint32_t namespace_length, element_length;
} sb_canonical_state;

#define SB_CANONICAL_COMPRESS 1u  /* key groups as framed Snappy streams */

/* What does not depend on the state. */
typedef struct sb_canonical_options {
  uint32_t struct_size;
  uint32_t flags;
  uint32_t encoding;        /* of keys, and of states that are not listed; 0:
                               BYTES. Not all states listed VERBATIM need a
                               VERBATIM key */
  uint32_t key_length;      /* VERBATIM: of each serialized key, 0: variable */
  /* VERBATIM keys: Flink's snapshot of the key serializer, as its
     TypeSerializerSnapshotSerializationUtil writes it. */
  sb_slice key_serializer;
  /* All of the stream up to the first key group (KeyedBackendSerialization-
     Proxy), if the caller has it; then `states` are all its states in its
     order, and other states of the handle are left out. */
  sb_slice header;
  const sb_canonical_state *states;
  uint64_t state_count;
} sb_canonical_options;

/* ---- writing ----------------------------------------------------------- */

typedef struct sb_canonical sb_canonical;

/* Takes the next bytes; they are borrowed for the call. A failure ends the
   writing and is returned by it. */
typedef sb_status sb_canonical_sink(void *arg, const void *data, size_t len,
                                    sb_error *err);

/* Owner thread. Fixes what is written; `options` (NULL: all BYTES) and what it
   points to are copied. */
SB_EXPORT sb_status sb_canonical_open(sb_keyed *keyed, const sb_host *host,
                                      const sb_canonical_options *options,
                                      sb_canonical **out, sb_error *err);

/* Any thread, once at a time; may be repeated after a failure. `offsets` has
   room for one number a key group of the handle's range and gets where each
   begins in the stream, 0 if it has nothing. *length is the whole length.
   Needs memory for two entries and a block; a list is one entry. */
SB_EXPORT sb_status sb_canonical_write(sb_canonical *canonical,
                                       sb_canonical_sink *sink, void *arg,
                                       uint64_t *offsets, uint64_t *length,
                                       sb_error *err);

/* Any thread: a writing under way, and later ones, return SB_CANCELLED. */
SB_EXPORT void sb_canonical_cancel(sb_canonical *canonical);

/* When no writing is under way, before the keyed handle is closed. */
SB_EXPORT void sb_canonical_close(sb_canonical *canonical); /* NULL: nothing */

/* ---- reading ----------------------------------------------------------- */

typedef struct sb_canonical_reader sb_canonical_reader;

/* Reads up to `len` bytes at `offset`; *got is less only at the end. */
typedef sb_status sb_canonical_source(void *arg, uint64_t offset, void *buffer,
                                      size_t len, size_t *got, sb_error *err);

#define SB_FIELD_KEY 10u
#define SB_FIELD_NAMESPACE 20u
#define SB_FIELD_ELEMENT 30u

/* VERBATIM, for what has no fixed length: how many of the first bytes of
   `bytes` are the field. A failure ends the reading and is returned by it. */
typedef sb_status sb_canonical_field(void *arg, uint32_t field,
                                     sb_slice state, sb_slice bytes,
                                     size_t *len, sb_error *err);

typedef struct sb_canonical_read {
  uint32_t struct_size;
  uint32_t key_group_count;  /* maximum parallelism of the stream */
  uint32_t key_group_first, key_group_last; /* those wanted, inclusive */
  /* Where key groups begin, from `offset_first` on, as sb_canonical_write gave
     them; 0: empty. NULL: the stream is read from front to back. */
  const uint64_t *offsets;
  uint32_t offset_first, offset_count;
  uint64_t length;           /* of the stream */
  sb_canonical_field *field; /* may be NULL */
  void *field_arg;
  /* How states are encoded, by name. NULL: all BYTES, or as the stream says.
     If its `header` is set, only its length counts: the header is not parsed,
     and `states` are all its states in its order. */
  const sb_canonical_options *options;
} sb_canonical_read;

typedef struct sb_canonical_info {
  uint32_t struct_size;
  uint32_t kind;             /* SB_STATE_... */
  uint32_t encoding, flags;  /* as read from now on */
  /* What the writer's state was registered with, as far as the stream says: a
     stream of Flink's own says nothing but the kind. */
  uint32_t time_kind, time_offset;
  uint64_t ttl_ms;
  uint32_t schema_version;
  uint32_t state_flags;      /* SB_STATE_... */
  sb_slice name;
  sb_slice blob;
  sb_slice meta;             /* Flink's StateMetaInfoSnapshot, if parsed */
  uint32_t id;               /* in the stream, from 0 */
} sb_canonical_info;

/* A row: one record, or one element of a list. Slices are borrowed until the
   reader's next call. */
typedef struct sb_canonical_row {
  uint32_t state;            /* id in the stream */
  uint32_t key_group;
  sb_slice key, ns, subkey;
  sb_slice value;            /* TIMED: without the time; timers: empty */
  uint64_t time_ms;          /* TIMED: as written, else 0 */
  uint32_t first;            /* lists: 1 for a key's first element; else 1 */
  uint32_t reserved;
} sb_canonical_row;

/* `source` is used until close; what `read` points to is copied. SB_CORRUPT
   names the offset; SB_UNSUPPORTED for another format version, or a serializer
   whose snapshot this library cannot skip (then give the header). */
SB_EXPORT sb_status sb_canonical_reader_open(const sb_host *host,
                                             sb_canonical_source *source,
                                             void *arg,
                                             const sb_canonical_read *read,
                                             sb_canonical_reader **out,
                                             sb_error *err);
/* The state with this id; SB_END. Borrowed until close. */
SB_EXPORT sb_status sb_canonical_reader_state(sb_canonical_reader *reader,
                                              uint32_t id,
                                              sb_canonical_info *info,
                                              sb_error *err);
/* SB_END after the last row. */
SB_EXPORT sb_status sb_canonical_reader_next(sb_canonical_reader *reader,
                                             sb_canonical_row *row,
                                             sb_error *err);
SB_EXPORT void sb_canonical_reader_close(sb_canonical_reader *reader);

/* ---- restoring --------------------------------------------------------- */

/* Where a state of the stream goes. */
typedef struct sb_canonical_target {
  uint32_t struct_size;
  uint32_t state;            /* a number that register_state gave */
  /* Rewrites values, if the registered schema version is higher. */
  sb_migrate_fn *migrate;
  void *migrate_arg;
} sb_canonical_target;

/* Fills *target, which is zeroed, and may register the state for that.
   SB_NOT_FOUND: the state is left out; another failure ends the restoring.
   Called once a state, before any row. */
typedef sb_status sb_canonical_resolve(void *arg,
                                       const sb_canonical_info *info,
                                       sb_canonical_target *target,
                                       sb_error *err);

/* Owner thread. Puts all rows into a handle. `resolve` may be NULL: a state
   goes to the one that is registered under its name; one that is not is
   registered as the stream says, so that nothing is lost. SB_MISMATCH if
   kinds, times or, without a migrate function, schema versions do not fit. A
   failure in the middle leaves what was put. */
SB_EXPORT sb_status sb_canonical_restore(sb_keyed *keyed,
                                         sb_canonical_reader *reader,
                                         sb_canonical_resolve *resolve,
                                         void *arg, sb_error *err);

/* 1 if a part of a savepoint is a canonical stream. Such parts are not for
   open_keyed: open it without parts and call sb_canonical_restore_parts. */
SB_EXPORT int sb_canonical_is_part(const sb_part *part);

/* Owner thread. Restores what the canonical parts among `parts` have of the
   handle's key groups. `read` may be NULL; of it only field, field_arg and
   options are used. */
SB_EXPORT sb_status sb_canonical_restore_parts(sb_backend *backend,
                                               const sb_host *host,
                                               sb_keyed *keyed,
                                               const sb_part *parts,
                                               uint64_t part_count,
                                               const sb_canonical_read *read,
                                               sb_canonical_resolve *resolve,
                                               void *arg, sb_error *err);

#ifdef __cplusplus
}
#endif
#endif
