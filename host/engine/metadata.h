/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata: the _metadata object, which is one checkpoint: the subtasks'
 * parts, the caller's blob, the other checkpoints that are retained, and the names
 * that are to be deleted. Bytes: docs/FORMAT-manifest.md.
 */
#ifndef SB_ENGINE_METADATA_H
#define SB_ENGINE_METADATA_H

#include <statebackend/backend.h>
#include "host/base/buf.h"

#define METADATA_SIZE_MAX (1u << 30)

/* Where a retained checkpoint is and what a listing says of it. */
typedef struct metadata_ref {
  uint64_t id, generation, created_ms;
  uint64_t size;         /* of all objects it needs */
  uint64_t length;       /* of its _metadata */
  uint32_t crc32c;       /* of its _metadata */
  uint32_t part_count;
  const char *name;
} metadata_ref;

typedef struct metadata {
  const char *job_id;
  uint64_t id, generation; /* generation: that committed it first */
  uint64_t created_ms;
  uint64_t size;           /* of all objects it needs but this one */
  uint64_t entries_through; /* checkpoint that layout entries follow; 0 none */
  sb_part *parts;
  size_t part_count;
  sb_slice blob;
  metadata_ref *retained;  /* the others, newest first */
  size_t retained_count;
  const char **pending;    /* names to delete */
  size_t pending_count;
  void *owned;             /* bytes that all of it points to, or NULL */
} metadata;

sb_status metadata_encode(const metadata *m, buf *out);

/* Borrows from `data`. */
sb_status metadata_decode(const sb_host *host, const void *data, size_t len,
                          metadata **out, sb_error *err);
void metadata_free(const sb_host *host, metadata *m);

/* Reads an object whose length and CRC are known, with one GET. SB_NOT_FOUND
   if it is gone. */
sb_status metadata_read(const sb_host *host, sb_store *store,
                        const char *name, uint64_t length, uint32_t crc,
                        metadata **out, sb_error *err);

#endif
