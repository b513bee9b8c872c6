/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest: a subtask's part of a checkpoint, that is the states it knows and
 * the segments that hold their records. Bytes: docs/FORMAT-manifest.md.
 */
#ifndef SB_ENGINE_MANIFEST_H
#define SB_ENGINE_MANIFEST_H

#include <statebackend/backend.h>
#include "host/base/buf.h"
#include "host/engine/segment.h"

#define MANIFEST_SIZE_MAX (64u << 20) /* bytes of an encoded manifest */

#define MANIFEST_OWNER_ENGINE 0u /* the committer deletes it */
#define MANIFEST_OWNER_FOREIGN 1u /* another store's or job's: never touched */
#define MANIFEST_OWNER_HOST 2u /* the host deletes it */

/* In a state's flags: it was dropped, and is listed so that its id is not given
   to another. */
#define MANIFEST_STATE_DROPPED 0x80000000u

typedef struct manifest_state {
  sb_slice name;
  uint32_t id, kind, flags, schema_version;
  sb_slice blob;
  uint32_t time_kind, time_offset;
  uint64_t ttl_ms;
} manifest_state;

typedef struct manifest_segment {
  const char *name; /* relative to its root */
  const char *root; /* NULL: this store; else a foreign store's root */
  uint32_t owner;   /* MANIFEST_OWNER_... */
  segment_info info;
  uint16_t key_group_first, key_group_last; /* the view, inclusive */
  uint64_t sequence; /* recency within an epoch */
  sb_slice times;    /* see times.h; empty: not known */
} manifest_segment;

typedef struct manifest {
  uint64_t generation, checkpoint_id, epoch, next_sequence;
  uint32_t key_group_count, key_group_first, key_group_last, subtask;
  const char *operator_id;
  uint64_t list_sequence; /* of the next list append */
  size_t state_count, segment_count, held_count, dropped_count;
  manifest_state *states;
  manifest_segment *segments; /* newest first */
  const char **held;    /* still read by cursors, no longer in `segments` */
  const char **dropped; /* made by this handle, never to be published */
} manifest;

/* Appends the encoded form to `out`. SB_INVALID for what could not be decoded
   again; a failure of `out` is returned too. */
sb_status manifest_encode(const sb_host *host, const manifest *m, buf *out);

/* Decodes into one allocation-owned object: nothing is borrowed from `data`.
   SB_CORRUPT for bytes that are not a whole, unchanged manifest;
   SB_UNSUPPORTED for a version this library does not read. */
sb_status manifest_decode(const sb_host *host, const void *data, size_t len,
                          manifest **out, sb_error *err);
void manifest_free(const sb_host *host, manifest *m);

/* The bytes of a part's manifest, inline or by name, length and CRC checked.
   An inline one is borrowed from the part, *owned is then NULL; else free *owned
   with the host. A part that has both a name and bytes is read from the bytes.
 */
sb_status manifest_bytes(const sb_host *host, sb_store *store,
                         const sb_part *part, sb_slice *bytes, void **owned,
                         sb_error *err);

/* Those bytes decoded. */
sb_status manifest_read(const sb_host *host, sb_store *store,
                        const sb_part *part, manifest **out, sb_error *err);

#endif
