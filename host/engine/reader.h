/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading segments: directories, partitions and blocks by way of the cache,
 * lookups of one record, and cursors over a segment's records in order.
 *
 * A reader belongs to one thread. Blocking readers wait for the store; one
 * with `need` set never waits: it says what is missing and returns SB_BUSY.
 */
#ifndef SB_ENGINE_READER_H
#define SB_ENGINE_READER_H

#include "host/engine/keyed.h"

#define NEED_TAIL 1u      /* partitions, directory, footer */
#define NEED_DIRECTORY 2u /* directory and footer of a large tail */
#define NEED_PARTITION 3u
#define NEED_BLOCK 4u

/* One piece of a segment that is not in memory. */
typedef struct need {
  segment *segment;
  uint32_t kind;
  uint32_t partition;      /* for NEED_PARTITION */
  uint64_t offset;
  uint64_t length;
  segment_block_ref block; /* for NEED_BLOCK */
} need;

typedef struct reader_ctx {
  keyed *keyed;
  sb_event *event;         /* for waiting; NULL with `need` */
  uint32_t priority;
  need *need;              /* not NULL: do not wait */
} reader_ctx;

/* Takes in the bytes read for a need: checks them and makes them available.
   `bytes` stay the caller's. With `pin` a block or partition comes back
   pinned. */
sb_status reader_install(keyed *k, const need *n, const void *bytes,
                         cache_entry **pin, sb_error *err);

sb_status reader_fetch(reader_ctx *r, const segment *s, uint64_t offset,
                       void *buffer, uint64_t length, sb_error *err);
sb_status reader_directory(reader_ctx *r, segment *s, segment_directory **out,
                           sb_error *err);
/* Pinned. */
sb_status reader_partition(reader_ctx *r, segment *s,
                           const segment_directory *d, uint32_t i,
                           cache_entry **out, sb_error *err);
sb_status reader_block(reader_ctx *r, segment *s,
                       const segment_block_ref *ref, cache_entry **out,
                       sb_error *err);

/* The newest record for a place in `runs` (newest first). SB_NOT_FOUND if
   there is none or it is gone. `out` points into the block that *pin holds. */
sb_status reader_lookup(reader_ctx *r, segment *const *runs, size_t count,
                        const place *p, record *out, cache_entry **pin,
                        sb_error *err);

/* 0 only if no run has any record of the key (all subkeys). Never waits. */
int reader_may_have_key(keyed *k, segment *const *runs, size_t count,
                        const place *p);

/* A cursor over one segment's records between two key groups. */
typedef struct run {
  reader_ctx *reader;
  segment *segment;
  segment_directory *directory;
  uint32_t key_group_last;
  uint32_t partition, block, at;
  cache_entry *partition_pin, *block_pin;
  segment_partition view;
  struct block block_view;
  buf raw;               /* a block read past the cache */
  buf ahead;             /* stored bytes read ahead */
  uint64_t ahead_offset;
  uint32_t sequential;   /* blocks read in a row */
  size_t ahead_max;
  record record;
  int valid;             /* `record` is set */
} run;

/* `ahead_max`: most bytes to read ahead, 0 none. */
void run_init(run *c, reader_ctx *r, segment *s, uint32_t key_group_last,
              size_t ahead_max);
void run_dispose(run *c);
/* To the first record >= key. */
sb_status run_seek(run *c, const record *key, sb_error *err);
sb_status run_next(run *c, sb_error *err);

/* Several runs as one: the newest version of each record, without what clear
   markers of newer runs hide; tombstones and clear markers included. */
typedef struct merge {
  run *runs;             /* newest first */
  size_t count;
  record cleared;        /* the last clear marker, */
  size_t cleared_rank;   /* and the run it came from */
  int has_cleared;
  buf cleared_bytes;
  size_t current;        /* run of `record`, or SIZE_MAX before the first */
  record record;
} merge;

sb_status merge_init(merge *m, const sb_host *host, size_t count);
void merge_dispose(merge *m, const sb_host *host);
/* The runs have been seeked: finds the first record. SB_END at the end. */
sb_status merge_first(merge *m, sb_error *err);
sb_status merge_next(merge *m, sb_error *err);

#endif
