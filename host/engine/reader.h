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
#include "host/engine/rules.h"

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
  buf *migrated;           /* receives migrated values of lookups; NULL: the
                              handle's, for its owner */
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

/* The newest record for a place in `runs` (newest first), its value of the
   current schema. SB_NOT_FOUND if there is none or it is gone. `out` points
   into the block that *pin holds, or the value into the reader's buffer. */
sb_status reader_lookup(reader_ctx *r, segment *const *runs, size_t count,
                        const place *p, record *out, cache_entry **pin,
                        sb_error *err);

/* The record of a place in one segment alone, tombstones and clear markers
   included. */
sb_status reader_record(reader_ctx *r, segment *s, const record *key,
                        uint64_t id, record *out, cache_entry **pin,
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
  uint32_t kept;         /* after the first, so many of them go through the
                            cache, for who comes back soon */
  size_t ahead_max;
  record record;
  int valid;             /* `record` is set */
  uint64_t place, prefix; /* of it: what mostly decides its order */
} run;

/* Of a key group's run that is read a little at a time, over and over, as many
   blocks are read at once and kept in the cache as there is memory for. */
static inline uint32_t
run_kept_blocks(const keyed *k)
{
  size_t groups = (size_t)k->key_group_last - k->key_group_first + 1;
  size_t blocks = k->engine->memory_limit / groups / ((size_t)32 << 10);

  return blocks == 0 ? 1 : blocks > 16 ? 16 : (uint32_t)blocks;
}

/* The last of the blocks to read with block `first`. */
static inline uint32_t
run_last_kept(const keyed *k, const segment_partition *view, uint32_t first)
{
  uint32_t last = first + run_kept_blocks(k) - 1;
  uint32_t count = segment_partition_count(view);

  return last < count ? last : count - 1;
}

/* run.place of records of a state in a key group. */
static inline uint64_t
run_place(uint32_t key_group, uint32_t state_id, int with_ns)
{
  return (uint64_t)key_group << 33 | (uint64_t)state_id << 1 |
         (uint64_t)(with_ns != 0);
}

/* The order of the records that two runs are at. */
int run_compare(const run *a, const run *b);

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
  buf front;             /* the value of a front, see front.h, that the record */
  int passed;            /* is; all runs are behind it */
  const rules *rules;    /* to migrate by; NULL: as the states are now */
  rule rule;             /* of the last record migrated, */
  int has_rule;
  buf migrated;          /* and its value */
} merge;

sb_status merge_init(merge *m, const sb_host *host, size_t count);
void merge_dispose(merge *m, const sb_host *host);
/* The runs have been seeked: finds the first record. SB_END at the end. */
sb_status merge_first(merge *m, sb_error *err);
sb_status merge_next(merge *m, sb_error *err);
/* Makes the record's value, which may be of an older schema, a current one;
   good until the merge moves on. */
sb_status merge_migrate(merge *m, sb_error *err);

#endif
