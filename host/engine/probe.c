/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the index of a run; see probe.h. */
#include "config.h"

#include "host/engine/probe.h"

void
probe_init(probe *b, keyed *k, const scan_range *range, const record *from)
{
  uint64_t id;

  memset(b, 0, sizeof *b);
  b->keyed = k;
  b->range = range;
  b->from = *from;
  if (range->has_key) {
    id = record_group_id(range->state->id, range->ns,
                         record_hash(range->key));
    b->ids[0] = id;
    b->ids[1] = record_clear_id(id);
    b->by_key = 1;
    return;
  }
  if (range->has_ns && range->ns.len != 0) {
    b->ids[0] = record_space_id(from);
    b->by_space = 1;
  }
  b->behind = *from;
  b->behind.key = b->behind.subkey = sb_slice_of(NULL, 0);
  b->behind.hash = 0;
  b->behind.ns = range->behind_ns;
  if (!range->has_ns) {
    b->behind.ns = sb_slice_of(NULL, 0);
    b->behind.state++;
  }
  /* Ordered states are read for what comes first, not to the end. */
  b->to_end = !range->state->ordered && b->behind.state != 0;
}

/* What the filter says. */
static int
probe_filter(const probe *b, const segment_partition *part)
{
  if (b->by_key)
    return segment_partition_may_contain(part, b->ids[0]) ||
           segment_partition_may_contain(part, b->ids[1]);
  return !b->by_space || segment_partition_may_hold_space(part, b->ids[0]);
}

/* Partition i: `inside` if the range begins in it, else it begins no earlier
   than the partition does. */
static sb_status
probe_partition(const probe *b, reader_ctx *ctx, segment *s,
                const segment_directory *d, uint32_t i, int inside,
                probe_blocks *out)
{
  sb_status status = reader_partition(ctx, s, d, i, &out->pin, NULL);
  const void *bytes;
  size_t len;

  if (status != SB_OK)
    return status;
  bytes = cache_data(out->pin, &len);
  segment_partition_view(bytes, len, &out->view);
  if (!probe_filter(b, &out->view)) {
    cache_unpin(b->keyed->engine->cache, out->pin);
    out->pin = NULL;
    return SB_NOT_FOUND;
  }
  out->first = inside ? segment_partition_find(&out->view, &b->from) : 0;
  out->last = out->first;
  if (b->to_end)
    out->last = segment_partition_find(&out->view, &b->behind);
  out->beyond = b->range->state->ordered;
  if (out->beyond)
    out->last = run_last_kept(b->keyed, &out->view, out->first);
  return SB_OK;
}

sb_status
probe_run(const probe *b, segment *s, probe_blocks *out, need *n)
{
  reader_ctx ctx = { .keyed = b->keyed, .priority = SB_PRIORITY_READ,
                     .need = n };
  const segment_partition_info *info;
  segment_directory *d;
  uint32_t i, count;
  sb_status status;

  out->pin = NULL;
  if (!scan_range_may_hold(b->range, s, b->from.key_group))
    return SB_NOT_FOUND;
  status = reader_directory(&ctx, s, &d, NULL);
  if (status != SB_OK)
    return status;
  count = segment_directory_count(d);
  i = segment_directory_find(d, &b->from);
  info = segment_directory_at(d, i);
  status = SB_NOT_FOUND;
  if (b->from.key_group >= info->key_group_first &&
      b->from.key_group <= info->key_group_last)
    status = probe_partition(b, &ctx, s, d, i, 1, out);
  /* Its first record may be the first of the next partition. */
  if (status == SB_NOT_FOUND && i + 1 < count &&
      segment_directory_at(d, i + 1)->key_group_first <= b->from.key_group)
    status = probe_partition(b, &ctx, s, d, i + 1, 0, out);
  return status;
}
