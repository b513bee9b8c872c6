/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_tail: the partitions and the directory of a segment that is being
 * written. They are built on the side while blocks go out, and follow them.
 */
#ifndef SB_ENGINE_SEGMENT_TAIL_H
#define SB_ENGINE_SEGMENT_TAIL_H

#include "host/base/buf.h"
#include "host/engine/segment.h"

/* Sums over a partition or a segment. */
typedef struct segment_sums {
  uint64_t records, tombstones, raw_bytes, stored_bytes;
  uint64_t expires_min, expires_max;
  uint16_t key_group_first, key_group_last;
  uint32_t blocks;
} segment_sums;

typedef struct segment_tail {
  segment_id id;
  uint64_t word_first;         /* of the segment's first record */
  segment_sums all;            /* without the open partition */
  uint32_t partitions;         /* the closed ones */
  buf bytes;                   /* of them */
  buf directory;               /* their entries, and the open one's bound */

  segment_sums part;           /* the open partition */
  uint64_t part_offset;        /* of its first block */
  uint64_t filterable;         /* records without no_filter */
  uint64_t group_id;           /* last one in `ids` */
  uint64_t space_id;           /* last namespace in `ids`, */
  int spaces;                  /* if there is one */
  buf ids;                     /* uint64_t in the machine's order */
  buf words, locators, separator_offsets, separators;
} segment_tail;

void segment_tail_init(segment_tail *t, const sb_host *host,
                       const segment_id *id);
void segment_tail_dispose(segment_tail *t);

/* Notes the bound of the block that `first` begins; `last` is the record
   before it, if there is one. */
sb_status segment_tail_open_block(segment_tail *t, const record *last,
                                  const record *first);

/* Counts a record of the open block, and answers its id. */
sb_status segment_tail_add(segment_tail *t, const record *r, int no_filter,
                           uint64_t *id);

/* The open block is in the object. */
sb_status segment_tail_close_block(segment_tail *t, uint64_t offset,
                                   uint32_t stored_len, uint32_t raw_len);

/* Whether the open partition, whose last block is closed, is as large as it
   may be, blocks aside. */
int segment_tail_full(const segment_tail *t);

/* The same for its filter; true also while a block is open. */
int segment_tail_filter_full(const segment_tail *t);

sb_status segment_tail_close_partition(segment_tail *t);

/* Bytes the tail would have now, nearly; bytes of memory it holds. */
uint64_t segment_tail_size(const segment_tail *t);
size_t segment_tail_memory(const segment_tail *t);

#endif
