/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole segment, checked: the tail first, then all blocks in the object's
 * order, so that the checksum of the whole object comes from the same reads.
 * Beyond checksums: the order of records, their key groups and their number.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "host/base/crc.h"
#include "host/base/mem.h"
#include "host/cli/cli.h"
#include "host/cli/verify.h"
#include "host/store/store.h"

#define VERIFY_READ (4u << 20) /* bytes of a read; a larger block has more */
#define VERIFY_TAIL_MAX (1u << 30)

typedef struct verify_pass {
  const sb_host *host;
  sb_store *store;
  const manifest_segment *segment;
  const segment_info *info;
  progress *bar;
  uint8_t *tail;
  uint8_t *window;      /* bytes of the object from window_offset on */
  size_t window_size, window_len;
  uint64_t window_offset;
  void *raw;
  size_t raw_size;
  uint32_t crc;         /* of all bytes before `checked` */
  uint64_t checked;
  uint64_t records;
  buf last;             /* the last record of the block before */
  record last_record;
  int has_last;
} verify_pass;

static sb_status
verify_read(verify_pass *run, uint64_t offset, void *to, uint64_t len,
            sb_error *err)
{
  uint64_t got;
  sb_status status = store_get(run->host, run->store, run->segment->name,
                               offset, to, len, &got, NULL,
                               SB_PRIORITY_BACKGROUND, err);

  if (status == SB_INVALID || (status == SB_OK && got != len))
    return sb_error_set(err, SB_CORRUPT, "object \"%s\" is shorter than its "
                        "manifest says", run->segment->name);
  if (status == SB_OK)
    progress_add(run->bar, len);
  return status;
}

/* Makes bytes [offset, offset + len) of the block area lie in the window.
   Blocks come in order, so every byte passes here once. */
static sb_status
verify_window(verify_pass *run, uint64_t offset, uint32_t len, sb_error *err)
{
  uint64_t want = run->info->tail_offset - offset;
  sb_status status;
  void *grown;

  if (run->window_len != 0 &&
      offset + len <= run->window_offset + run->window_len)
    return SB_OK;
  if (offset != run->checked || len > want)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\": blocks do not follow "
                        "each other at offset %" PRIu64, run->segment->name,
                        offset);
  if (len > run->window_size) {
    grown = mem_realloc(run->host, run->window, len);
    if (grown == NULL)
      return sb_error_set(err, SB_NO_MEMORY, "out of memory");
    run->window = grown;
    run->window_size = len;
  }
  want = want < run->window_size ? want : run->window_size;
  status = verify_read(run, offset, run->window, want, err);
  run->window_offset = offset;
  run->window_len = status == SB_OK ? (size_t)want : 0;
  return status;
}

static sb_status
verify_raw_room(verify_pass *run, size_t size, sb_error *err)
{
  void *grown;

  if (size <= run->raw_size)
    return SB_OK;
  grown = mem_realloc(run->host, run->raw, size);
  if (grown == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "out of memory");
  run->raw = grown;
  run->raw_size = size;
  return SB_OK;
}

/* Keeps a record beyond its block, to compare with the next block's first. */
static sb_status
verify_keep(verify_pass *run, const record *r, sb_error *err)
{
  size_t ns = r->ns.len, key = r->key.len;

  buf_clear(&run->last);
  buf_add(&run->last, r->ns.data, ns);
  buf_add(&run->last, r->key.data, key);
  buf_add(&run->last, r->subkey.data, r->subkey.len);
  if (run->last.status != SB_OK)
    return sb_error_set(err, run->last.status, "out of memory");
  run->last_record = *r;
  run->last_record.ns.data = run->last.data;
  run->last_record.key.data = run->last.data + ns;
  run->last_record.subkey.data = run->last.data + ns + key;
  run->has_last = 1;
  return SB_OK;
}

static sb_status
verify_records(verify_pass *run, const block *b, uint32_t number,
               sb_error *err)
{
  const segment_info *info = run->info;
  record first, last;
  sb_status status = block_verify(b, err);

  if (status != SB_OK || b->count == 0)
    return status;
  block_at(b, 0, &first);
  block_at(b, b->count - 1, &last);
  if ((run->has_last && record_compare(&run->last_record, &first) >= 0) ||
      first.key_group < info->key_group_first ||
      last.key_group > info->key_group_last)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\": block %u is out of "
                        "order or of other key groups", run->segment->name,
                        number);
  run->records += b->count;
  return verify_keep(run, &last, err);
}

static sb_status
verify_block(verify_pass *run, const segment_block_ref *ref, sb_error *err)
{
  const uint8_t *stored;
  sb_status status;
  block b;

  status = verify_window(run, ref->offset, ref->stored_len, err);
  if (status == SB_OK)
    status = verify_raw_room(run, ref->raw_len, err);
  if (status != SB_OK)
    return status;
  stored = run->window + (ref->offset - run->window_offset);
  run->crc = crc32c_extend(run->crc, stored, ref->stored_len);
  run->checked = ref->offset + ref->stored_len;
  /* Only what follows a block whole can be asked for next. */
  status = segment_block_decode(run->info, ref, stored, run->raw, err);
  if (status == SB_OK)
    status = block_check(run->raw, ref->raw_len, err);
  if (status != SB_OK)
    return status;
  block_view(run->raw, ref->raw_len, &b);
  return verify_records(run, &b, ref->number, err);
}

static sb_status
verify_partition(verify_pass *run, const segment_directory *directory,
                 uint32_t i, sb_error *err)
{
  const segment_partition_info *at = segment_directory_at(directory, i);
  const uint8_t *bytes = run->tail + (at->offset - run->info->tail_offset);
  segment_partition partition;
  segment_block_ref ref;
  sb_status status;
  uint32_t k;

  if (at->offset < run->info->tail_offset ||
      at->offset + at->len > run->info->size)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\": partition %u is not "
                        "in the tail", run->segment->name, i);
  status = segment_partition_check(run->info, i, bytes, at->len, err);
  if (status != SB_OK)
    return status;
  segment_partition_view(bytes, at->len, &partition);
  for (k = 0; k < segment_partition_count(&partition); k++) {
    if (cli_interrupted())
      return sb_error_set(err, SB_CANCELLED, "interrupted");
    segment_partition_at(&partition, k, &ref);
    status = verify_block(run, &ref, err);
    if (status != SB_OK)
      return status;
  }
  return SB_OK;
}

static sb_status
verify_whole(verify_pass *run, sb_error *err)
{
  const segment_info *info = run->info;
  uint32_t crc;

  if (run->checked != info->tail_offset)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\" has bytes that belong "
                        "to no block", run->segment->name);
  crc = crc32c_extend(run->crc, run->tail, info->tail_len);
  if (crc != info->crc32c)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\": its checksum is "
                        "%08x, the manifest says %08x", run->segment->name,
                        crc, info->crc32c);
  if (run->records != info->records)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\" has %" PRIu64
                        " records, the manifest says %" PRIu64,
                        run->segment->name, run->records, info->records);
  return SB_OK;
}

sb_status
verify_offsets(const manifest_segment *segment, sb_error *err)
{
  const segment_info *info = &segment->info;

  if (info->tail_len > VERIFY_TAIL_MAX || info->tail_offset > info->size ||
      info->tail_len != info->size - info->tail_offset ||
      info->directory_offset < info->tail_offset ||
      info->directory_offset > info->size)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\": the manifest's "
                        "offsets make no sense", segment->name);
  return SB_OK;
}

static sb_status
verify_all(verify_pass *run, segment_directory **directory, sb_error *err)
{
  const segment_info *info = run->info;
  store_meta meta;
  sb_status status;
  uint32_t i;

  status = verify_offsets(run->segment, err);
  if (status != SB_OK)
    return status;
  status = store_head(run->host, run->store, run->segment->name, &meta, err);
  if (status != SB_OK)
    return status;
  if (meta.size != info->size)
    return sb_error_set(err, SB_CORRUPT, "object \"%s\" has %" PRIu64
                        " bytes, the manifest says %" PRIu64,
                        run->segment->name, meta.size, info->size);
  run->tail = mem_alloc(run->host, info->tail_len);
  run->window = mem_alloc(run->host, VERIFY_READ);
  run->window_size = VERIFY_READ;
  if (run->tail == NULL || run->window == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "out of memory");
  status = verify_read(run, info->tail_offset, run->tail, info->tail_len, err);
  if (status == SB_OK)
    status = segment_directory_open(
      run->host, info,
      run->tail + (info->directory_offset - info->tail_offset),
      (size_t)(info->size - info->directory_offset), directory, err);
  for (i = 0; status == SB_OK && i < segment_directory_count(*directory); i++)
    status = verify_partition(run, *directory, i, err);
  return status == SB_OK ? verify_whole(run, err) : status;
}

sb_status
verify_segment(sb_store *store, const manifest_segment *segment,
               progress *bar, uint64_t *records, sb_error *err)
{
  segment_directory *directory = NULL;
  verify_pass run;
  sb_status status;

  memset(&run, 0, sizeof run);
  run.host = sb_host_default();
  run.store = store;
  run.segment = segment;
  run.info = &segment->info;
  run.bar = bar;
  buf_init(&run.last, run.host, SIZE_MAX);
  status = verify_all(&run, &directory, err);
  *records = run.records;
  if (directory != NULL)
    segment_directory_free(run.host, directory);
  buf_dispose(&run.last);
  mem_free(run.host, run.raw);
  mem_free(run.host, run.window);
  mem_free(run.host, run.tail);
  return status;
}
