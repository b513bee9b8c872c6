/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment: one immutable sorted run of records as an object on the store.
 *
 * Blocks of records come first, then the tail: partitions (a filter and an
 * index over a run of blocks), the directory of partitions, and a footer of
 * fixed length. The bytes are described in docs/FORMAT-segment.md.
 *
 * A reader keeps the directory in memory, and reads partitions and blocks
 * when it needs them. Both are checked once, when they come from the store;
 * looking into them afterwards costs no checks and no allocation.
 */
#ifndef SB_ENGINE_SEGMENT_H
#define SB_ENGINE_SEGMENT_H

#include "host/base/mem.h"
#include "host/engine/record.h"
#include "host/engine/block.h"
#include "host/engine/separator.h"

#define SEGMENT_VERSION 1u
#define SEGMENT_FOOTER_LEN 176u

/* Limits of the format; a parser refuses what is over them before it
   allocates anything. */
#define SEGMENT_BLOCK_RAW_MAX (SB_VALUE_MAX + (1u << 20))
#define SEGMENT_BLOCK_RATIO_MAX 32u      /* raw over stored length */
#define SEGMENT_BLOCKS_MAX (1u << 30)
#define SEGMENT_PARTITION_LEN_MAX (16u << 20)
#define SEGMENT_PARTITION_BLOCKS_MAX 65536u
#define SEGMENT_PARTITIONS_MAX (1u << 20)
#define SEGMENT_DIRECTORY_LEN_MAX (64u << 20)

/* Limits of the writer's options. */
#define SEGMENT_BLOCK_SIZE_MIN 64u
#define SEGMENT_BLOCK_SIZE_MAX (1u << 20)
#define SEGMENT_PARTITION_BLOCKS 256u    /* by default */

#define SEGMENT_COMPRESSION_NONE 0u
#define SEGMENT_COMPRESSION_SNAPPY 1u

/* Random; in the object's name and in its footer. */
typedef struct segment_id {
  uint8_t bytes[16];
} segment_id;

/* What manifests keep of a segment. */
typedef struct segment_info {
  segment_id id;
  uint64_t size;
  uint64_t tail_offset;
  uint32_t tail_len;          /* partitions, directory and footer, up to the
                                 object's end */
  uint32_t directory_len;     /* without the footer */
  uint64_t directory_offset;
  uint32_t crc32c;            /* of the whole object */
  uint16_t key_group_first, key_group_last;
  uint32_t key_group_count;   /* maximum parallelism */
  uint64_t word_first, word_last; /* separator_word of the first and the last
                                     record */
  uint64_t epoch_min, epoch_max, generation;
  uint64_t records, tombstones; /* all; those that are tombstones or clear
                                   markers */
  uint64_t raw_bytes;         /* of all blocks before compression */
  uint64_t expires_min;       /* 0: no record expires */
  uint64_t expires_max;       /* UINT64_MAX: some record never expires;
                                 tombstones and clear markers never do */
  uint32_t blocks, partitions;
} segment_info;

/* 0: no record of `key`'s key, nor its clear marker, is in the segment. The
   word is the same for all of them; `key` may be of any kind. */
static inline int
segment_may_hold(const segment_info *info, const record *key)
{
  uint64_t word = separator_word(key);

  return word >= info->word_first && word <= info->word_last;
}

/* ---- writing ------------------------------------------------------------ */

/* Takes the next bytes of the object. */
typedef sb_status segment_emit_fn(void *arg, const void *data, size_t len,
                                  sb_error *err);

/* Sees each finished block, to fill caches; `raw` is lent for the call. */
typedef void segment_block_fn(void *arg, uint64_t offset, uint32_t stored_len,
                              const void *raw, uint32_t raw_len);

/* The version of a state's schema that the segment was written with. */
typedef struct segment_schema {
  uint32_t state, version;
} segment_schema;

typedef struct segment_writer_options {
  segment_id id;
  uint64_t generation, epoch_min, epoch_max;
  uint32_t key_group_count;
  uint32_t compression;
  uint32_t block_size;        /* raw bytes to aim at */
  uint32_t partition_blocks;  /* at most; 0: SEGMENT_PARTITION_BLOCKS */
  segment_emit_fn *emit;
  segment_block_fn *block;    /* may be NULL */
  void *arg;
  const segment_schema *schemas; /* ascending by state; copied */
  uint32_t schema_count;
} segment_writer_options;

/* A writer that failed stays failed: every later call returns the status of
   the first failure. One thread at a time. */
typedef struct segment_writer segment_writer;

sb_status segment_writer_new(const sb_host *host,
                             const segment_writer_options *options,
                             segment_writer **out, sb_error *err);

/* Records come in strictly ascending record_compare order and with the hash
   that record.h says, else SB_INVALID. `no_filter`: lookups of this record
   nearly always hit, so it need not be in the filter. */
sb_status segment_writer_add(segment_writer *w, const record *r, int no_filter,
                             sb_error *err);

/* Bytes the object would have if it were finished now, nearly. */
uint64_t segment_writer_size(const segment_writer *w);

/* Bytes of memory it holds. */
size_t segment_writer_memory(const segment_writer *w);

/* Writes what is left and the tail. SB_INVALID if no record was added. */
sb_status segment_writer_finish(segment_writer *w, segment_info *info,
                                sb_error *err);

/* In any state; `w` may be NULL. */
void segment_writer_free(segment_writer *w);

/* ---- footer ------------------------------------------------------------- */

/* For readers without a manifest: fills *info from the last
   SEGMENT_FOOTER_LEN bytes of an object; `bytes` may begin earlier. The
   caller compares info->size with the object's. */
sb_status segment_footer_read(const void *bytes, size_t len,
                              segment_info *info, sb_error *err);

/* ---- directory ---------------------------------------------------------- */

typedef struct segment_directory segment_directory;

typedef struct segment_partition_info {
  uint64_t offset;            /* of the partition's own bytes */
  uint32_t len;
  uint16_t key_group_first, key_group_last;
  uint64_t records, raw_bytes, stored_bytes; /* of its blocks */
  uint64_t expires_min, expires_max;
  uint32_t first_block, blocks;
} segment_partition_info;

/* `bytes` are those from info->directory_offset to the object's end and may
   go afterwards. SB_CORRUPT if they are damaged, of another segment, or say
   something else than *info. */
sb_status segment_directory_open(const sb_host *host, const segment_info *info,
                                 const void *bytes, size_t len,
                                 segment_directory **out, sb_error *err);
void segment_directory_free(const sb_host *host, segment_directory *d);
size_t segment_directory_memory(const segment_directory *d);
uint32_t segment_directory_count(const segment_directory *d);
const segment_partition_info *
segment_directory_at(const segment_directory *d, uint32_t i);

/* The only partition that can hold `key`: the last whose first record is not
   after it, and 0 if key comes before all. */
uint32_t segment_directory_find(const segment_directory *d, const record *key);

/* SB_NOT_FOUND if the writer was told no version for the state. */
sb_status segment_directory_schema(const segment_directory *d, uint32_t state,
                                   uint32_t *version);

/* ---- partitions --------------------------------------------------------- */

/* A view of a partition's bytes, which belong to somebody else. */
typedef struct segment_partition {
  const uint8_t *bytes;
  size_t len;
  uint64_t offset;            /* of its first block */
  uint32_t first_block, count;
  uint32_t span;              /* stored bytes of its blocks */
  uint32_t filter_len;        /* 0: no filter */
  uint32_t separators_len;
  int filter_spaces;          /* the filter holds namespaces too */
  const uint8_t *filter, *words, *locators, *separators;
} segment_partition;

typedef struct segment_block_ref {
  uint64_t offset;
  uint32_t stored_len, raw_len;
  uint32_t number;            /* in the segment */
} segment_block_ref;

/* Checks everything about the bytes of partition `index` once; the functions
   below rely on it. */
sb_status segment_partition_check(const segment_info *info, uint32_t index,
                                  const void *bytes, size_t len,
                                  sb_error *err);
void segment_partition_view(const void *bytes, size_t len,
                            segment_partition *p);

/* 0: no record with this id (record_full_id) is in the partition's blocks. A
   key's group id is there if any of its records or its clear marker is. */
int segment_partition_may_contain(const segment_partition *p, uint64_t id);
/* 0: no record with this record_space_id is in the partition's blocks. */
int segment_partition_may_hold_space(const segment_partition *p, uint64_t id);
uint32_t segment_partition_count(const segment_partition *p);

/* The only block that can hold `key`; block_seek in it may answer its count,
   then the next record is the first of the next block. */
uint32_t segment_partition_find(const segment_partition *p, const record *key);
void segment_partition_at(const segment_partition *p, uint32_t i,
                          segment_block_ref *ref);

/* ---- blocks ------------------------------------------------------------- */

/* Verifies the ref->stored_len bytes at `stored` and unpacks them to `raw`,
   which has room for ref->raw_len. SB_CORRUPT names number and offset. The
   result is not yet checked, see block_check. */
sb_status segment_block_decode(const segment_info *info,
                               const segment_block_ref *ref,
                               const void *stored, void *raw, sb_error *err);

/* The id as 32 hexadecimal digits and a NUL. */
void segment_id_text(const segment_id *id, char text[33]);

#endif
