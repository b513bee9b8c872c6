/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors over ordered states: memory has the cells in key order too (order.h),
 * so the cells and the runs over a key group are merged record by record, with
 * nothing collected and nothing looked up. All that is kept is the key of the
 * last row; whoever is not behind it steps on.
 *
 * Records are looked at where they are: copying one that was put together just
 * now would wait for it.
 */
#include "config.h"

#include "host/engine/front.h"
#include "host/engine/order.h"
#include "host/engine/scan.h"

static sb_slice
ordered_cell_key(const cell *cl)
{
  return sb_slice_of(cell_key(cl), cl->key_len);
}

static order_tree *
ordered_tree(const sb_cursor *c)
{
  return c->state->tables[c->key_group - c->keyed->key_group_first].order;
}

/* The next cell in memory, and where the one after it is. */
static cell *
ordered_cell(sb_cursor *c, const order_tree *o, order_place *next)
{
  if (o == NULL)
    return NULL;
  if (!c->placed || c->tree_changes != o->changes) {
    if (c->has_last)
      order_seek(o, c->last.key, 1, &c->at);
    else
      order_seek(o, c->range.start, 0, &c->at);
    c->placed = 1;
    c->tree_changes = o->changes;
  }
  *next = c->at;
  return order_step(next);
}

static int
ordered_is_behind(const sb_cursor *c, const run *r)
{
  if (r->prefix != c->last_prefix)
    return r->prefix > c->last_prefix;
  return slice_compare(r->record.key, c->last.key) > 0;
}

/* Brings all runs behind the last row. *out is the newest of those with the
   least record of the state in the key group, or NULL. */
static sb_status
ordered_run(sb_cursor *c, run **out, sb_error *err)
{
  uint64_t at = run_place(c->key_group, c->state->id, 0);
  run *least = NULL;
  sb_status status;
  size_t i;

  for (i = 0; i < c->merge.count; i++) {
    run *r = &c->merge.runs[i];

    while (c->has_last && r->valid && r->place == at &&
           !ordered_is_behind(c, r)) {
      status = run_next(r, err);
      if (status != SB_OK && status != SB_END)
        return status;
    }
    if (r->valid && r->place == at &&
        (least == NULL || run_compare(r, least) < 0))
      least = r;
  }
  *out = least;
  return SB_OK;
}

static sb_status
ordered_judge_run(sb_cursor *c, const run *r, sb_row *row, sb_error *err)
{
  sb_status status = SB_OK;

  if ((r->record.flags & RECORD_TOMBSTONE) ||
      front_hides_key(ordered_tree(c), r->record.key, c->epoch))
    return SB_NOT_FOUND;
  row->value = r->record.value;
  row->expires_ms = r->record.expires_ms;
  if ((c->flags & SB_SCAN_KEYS) == 0 &&
      atomic_load_explicit(&c->keyed->migrating, memory_order_relaxed) != 0) {
    c->merge.record = r->record;
    c->merge.current = (size_t)(r - c->merge.runs);
    status = merge_migrate(&c->merge, err);
    row->value = c->merge.record.value;
  }
  return status == SB_OK ? scan_judge(c, row) : status;
}

static sb_status
ordered_judge_cell(sb_cursor *c, const cell *cl, sb_row *row)
{
  if (cl->flags & CELL_TOMBSTONE)
    return SB_NOT_FOUND;
  row->value = sb_slice_of(cell_value(cl), cl->value_len);
  row->expires_ms = cell_expires(cl);
  return scan_judge(c, row);
}

static sb_status
ordered_remember(sb_cursor *c, sb_slice key, sb_error *err)
{
  buf_clear(&c->last_bytes);
  buf_add(&c->last_bytes, key.data, key.len);
  buf_u8(&c->last_bytes, 0);
  if (c->last_bytes.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
  if (!c->has_last) {
    memset(&c->last, 0, sizeof c->last);
    c->last.state = c->state->id;
    c->last.key_group = (uint16_t)c->key_group;
    c->last.flags = RECORD_ORDERED;
  }
  c->last.key.data = c->last_bytes.data;
  c->last.key.len = key.len;
  c->last_prefix = order_prefix(key);
  c->has_last = c->last_returned = 1;
  return SB_OK;
}

/* One record: SB_NOT_FOUND if it is no row. */
static sb_status
ordered_step(sb_cursor *c, sb_row *row, sb_error *err)
{
  order_place next;
  sb_slice key;
  run *r = NULL;
  cell *cl;
  sb_status status = ordered_run(c, &r, err), there;

  if (status != SB_OK)
    return status;
  cl = ordered_cell(c, ordered_tree(c), &next);
  if (cl == NULL && r == NULL)
    return SB_END;
  if (cl != NULL && r != NULL &&
      slice_compare(r->record.key, ordered_cell_key(cl)) < 0)
    cl = NULL;
  key = cl != NULL ? ordered_cell_key(cl) : r->record.key;
  if (c->range.end.len != 0 && slice_compare(key, c->range.end) >= 0)
    return SB_END;
  there = cl != NULL ? ordered_judge_cell(c, cl, row)
                     : ordered_judge_run(c, r, row, err);
  if (there != SB_OK && there != SB_NOT_FOUND)
    return there;
  status = ordered_remember(c, key, err);
  if (cl != NULL)
    c->at = next;
  row->key = key; /* where it is: what has just been copied is slow to read */
  return status == SB_OK ? there : status;
}

sb_status
scan_next_ordered(sb_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status;

  do {
    status = scan_refresh(c, err);
    if (status == SB_OK)
      status = ordered_step(c, row, err);
  } while (status == SB_NOT_FOUND);
  if (status != SB_OK)
    return status;
  row->key_group = c->key_group;
  return SB_OK;
}
