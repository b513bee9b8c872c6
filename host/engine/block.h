/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block: a few kilobytes of records in order, unpacked. Entries first, then
 * their offsets, then a 16-bit tag each, so that a lookup compares tags and
 * touches only the entry it wants. Bytes: docs/FORMAT-segment.md.
 */
#ifndef SB_ENGINE_BLOCK_H
#define SB_ENGINE_BLOCK_H

#include "host/base/buf.h"
#include "host/engine/record.h"

#define BLOCK_RECORDS_MAX 65535u
#define BLOCK_TRAILER_LEN 4u

/* A view of a block's bytes, which belong to somebody else. */
typedef struct block {
  const uint8_t *bytes;
  uint32_t len, count;
  uint32_t entries_len;
  uint32_t wide;               /* offsets have four bytes, not two */
  const uint8_t *offsets, *tags;
} block;

/* Checks the structure once; all below relies on it. It looks neither at the
   order of the records nor at the tags, see block_verify. */
sb_status block_check(const void *raw, size_t len, sb_error *err);
void block_view(const void *raw, size_t len, block *b);

/* The slices point into the block. The hash is computed again. */
void block_at(const block *b, uint32_t i, record *out);

/* The first record that is not before `key`, the count if there is none. */
uint32_t block_seek(const block *b, const record *key);

/* 1 and *out if the block has the record of this place: same key group,
   state, namespace, key, subkey and RECORD_CLEAR. `id` is its
   record_full_id. */
int block_get(const block *b, const record *key, uint64_t id, record *out);

/* record_full_id without hashing the key again. */
uint64_t block_record_id(const record *r);

/* A checked block: order of the records and tags, for those who verify. */
sb_status block_verify(const block *b, sb_error *err);

/* ---- building ----------------------------------------------------------- */

typedef struct block_builder {
  buf entries, offsets, tags;
  uint32_t count;
} block_builder;

void block_builder_init(block_builder *b, const sb_host *host);
void block_builder_dispose(block_builder *b);
void block_builder_clear(block_builder *b);
size_t block_builder_memory(const block_builder *b);

/* Bytes of the finished block. */
size_t block_builder_size(const block_builder *b);

/* Bytes it would have with `r` too. */
size_t block_builder_size_with(const block_builder *b, const record *r);

/* Appends. *copy becomes `r` with slices into the builder, good until the next
   add or clear. After SB_NO_MEMORY or SB_TOO_LARGE the builder is good for
   nothing but clear and dispose. */
sb_status block_builder_add(block_builder *b, const record *r, uint64_t id,
                            record *copy);

/* The whole block, in the builder; NULL if there is no memory. Nothing can be
   added afterwards. */
const uint8_t *block_builder_finish(block_builder *b, size_t *len);

#endif
