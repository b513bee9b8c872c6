/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans of a view's cut, on any thread. Once the cut is in segments, memory is
 * not looked at any more: the segments over each key group are merged. A
 * cursor shares nothing that changes with others, so a view can have many.
 */
#include "config.h"

#include "host/engine/front.h"
#include "host/engine/prefetch.h"
#include "host/engine/view.h"

#define VIEW_AHEAD ((size_t)1 << 20) /* bytes read ahead, all runs together */
#define VIEW_AHEAD_MIN ((size_t)64 << 10)

struct sb_view_cursor {
  sb_view *view;
  keyed *keyed;
  scan_range range;
  uint32_t key_group;   /* the current one */
  sb_event *event;
  reader_ctx reader;
  const version *all;   /* of the cut, once it is in segments */
  prefetch prefetch;
  uint32_t fetched_to;  /* key groups before it were read ahead */

  merge merge;
  int merge_open;
  int merge_used;       /* its record has been dealt with */

  record last;          /* the place last dealt with; bytes in last_bytes */
  int has_last;
  int last_returned;    /* a row of the key of `last` was returned */
  buf last_bytes;

  sb_slice elements;    /* what is left of a list's record, in the merge */
  uint64_t elements_expire;
  uint32_t elements_flags;
};

/* ---- sources ------------------------------------------------------------- */

static void
view_scan_stop(sb_view_cursor *c)
{
  if (c->merge_open)
    merge_dispose(&c->merge, c->keyed->host);
  c->merge_open = 0;
  c->merge_used = 0;
  c->elements = sb_slice_of(NULL, 0);
}

static void
view_scan_seek_place(const sb_view_cursor *c, record *from)
{
  scan_range_first(&c->range, c->key_group, from);
  if (!c->has_last)
    return;
  /* The key's clear marker decides about the records behind the last one. */
  *from = c->last;
  if (!c->range.state->ordered) {
    from->subkey = sb_slice_of(NULL, 0);
    from->flags |= RECORD_CLEAR;
  }
}

/* Reads what the next key groups begin with. */
static void
view_scan_read_ahead(sb_view_cursor *c, const record *from)
{
  if (c->key_group < c->fetched_to)
    return;
  c->fetched_to = prefetch_range(&c->prefetch, &c->range, c->all, from,
                                 c->key_group, c->range.key_group_last) + 1;
}

static sb_status
view_scan_seek(sb_view_cursor *c, segment *const *runs, size_t count,
               const record *from, sb_error *err)
{
  size_t ahead = c->range.has_key ? 0 : VIEW_AHEAD / (count + 1), i, n = 0;
  sb_status status = SB_OK;

  if (ahead != 0 && ahead < VIEW_AHEAD_MIN)
    ahead = VIEW_AHEAD_MIN;
  if (merge_init(&c->merge, c->keyed->host, count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
  c->merge_open = 1;
  for (i = 0; i < count; i++)
    if (front_may_hold(c->range.state, runs[i]) ||
        prefetch_may_hold(c->keyed, &c->range, runs[i], from))
      run_init(&c->merge.runs[n++], &c->reader, runs[i], c->key_group, ahead);
  c->merge.count = n;
  if (c->range.state->ordered)
    status = front_seek(&c->merge, from, err);
  for (i = 0; i < n && status == SB_OK && !c->range.state->ordered; i++) {
    status = run_seek(&c->merge.runs[i], from, err);
    if (status == SB_END)
      status = SB_OK;
  }
  return status == SB_OK ? merge_first(&c->merge, err) : status;
}

/* The runs over the current key group, at the range's start or behind the last
   row. SB_END if there is nothing. */
static sb_status
view_scan_start(sb_view_cursor *c, sb_error *err)
{
  size_t count;
  segment **runs = version_runs(c->all, c->key_group, &count);
  record from;

  if (count == 0)
    return SB_END;
  view_scan_seek_place(c, &from);
  view_scan_read_ahead(c, &from);
  return view_scan_seek(c, runs, count, &from, err);
}

/* The next record of the state in the key group. */
static sb_status
view_scan_step(sb_view_cursor *c, sb_error *err)
{
  sb_status status = SB_OK;

  if (!c->merge_open)
    status = view_scan_start(c, err);
  else if (c->merge_used)
    status = merge_next(&c->merge, err);
  c->merge_used = 1;
  if (status == SB_OK && (c->merge.record.key_group != c->key_group ||
                          !scan_range_goes_on(&c->range, &c->merge.record)))
    status = SB_END;
  return status;
}

/* ---- rows ---------------------------------------------------------------- */

/* Is the merge's record a row? *flags are the row's. */
static int
view_scan_wants(sb_view_cursor *c, const record *r, uint32_t *flags)
{
  const state *s = c->range.state;

  *flags = 0;
  if ((r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) ||
      !scan_range_has(&c->range, r) ||
      (c->has_last && record_compare(r, &c->last) <= 0))
    return 0;
  if (r->expires_ms != 0 && expiry_over(c->keyed, s, r->expires_ms))
    *flags = SB_ROW_EXPIRED;
  return *flags == 0 || (c->range.flags & SB_SCAN_EXPIRED) != 0 ||
         (s->flags & SB_STATE_SHOW_EXPIRED) != 0;
}

static void
view_scan_fill(const sb_view_cursor *c, const record *r, uint32_t flags,
               sb_row *row)
{
  row->key_group = c->key_group;
  row->flags = flags;
  row->key = r->key;
  row->ns = r->ns;
  row->subkey = r->subkey;
  row->value = r->value;
  row->expires_ms = r->expires_ms;
}

/* The next record of the current key group as a row. */
static sb_status
view_scan_record(sb_view_cursor *c, sb_row *row, sb_error *err)
{
  const record *r;
  uint32_t flags;
  int seen;
  sb_status status;

  for (;;) {
    status = view_scan_step(c, err);
    if (status != SB_OK)
      return status;
    r = &c->merge.record;
    if (!view_scan_wants(c, r, &flags))
      continue;
    seen = c->has_last && c->last_returned &&
           record_compare_key(r, &c->last) == 0;
    if (seen && (c->range.flags & SB_SCAN_KEYS))
      continue;
    if ((c->range.flags & SB_SCAN_KEYS) == 0)
      status = merge_migrate(&c->merge, err);
    if (status != SB_OK)
      return status;
    view_scan_fill(c, r, flags, row);
    status = scan_keep_place(&c->last_bytes, r, &c->last, err);
    c->has_last = c->last_returned = status == SB_OK;
    return status;
  }
}

static sb_status
view_scan_any(sb_view_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status;

  while (c->key_group <= c->range.key_group_last) {
    status = view_scan_record(c, row, err);
    if (status == SB_OK)
      return SB_OK;
    view_scan_stop(c); /* after a failure the next call takes up again */
    if (status != SB_END)
      return status;
    c->key_group++;
    c->has_last = 0;
  }
  return SB_END;
}

/* Takes the next element off the list's record. */
static int
view_scan_element(sb_view_cursor *c, sb_row *row)
{
  const uint8_t *at = c->elements.data;
  uint32_t len;

  if (c->elements.len < 4)
    return 0;
  len = load_u32(at);
  if (len > c->elements.len - 4)
    return 0;
  c->elements = sb_slice_of(at + 4 + len, c->elements.len - 4 - len);
  view_scan_fill(c, &c->last, c->elements_flags, row);
  row->subkey = sb_slice_of(NULL, 0);
  row->value = sb_slice_of(at + 4, len);
  row->expires_ms = c->elements_expire;
  return 1;
}

static sb_status
view_scan_elements(sb_view_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status;

  while (!view_scan_element(c, row)) {
    status = view_scan_any(c, row, err);
    if (status != SB_OK)
      return status;
    c->elements = row->value;
    c->elements_expire = row->expires_ms;
    c->elements_flags = row->flags;
  }
  return SB_OK;
}

/* ---- open, next, close --------------------------------------------------- */

static sb_status
view_scan_init(sb_view_cursor *c, const sb_scan_options *o, sb_error *err)
{
  keyed *k = c->keyed;
  sb_status status;

  buf_init(&c->last_bytes, k->host, SCAN_PLACE_MAX);
  c->event = k->host->event_new(k->host);
  c->reader.keyed = k;
  c->reader.event = c->event;
  c->reader.priority = SB_PRIORITY_READ;
  prefetch_init(&c->prefetch, k, c->event, SB_PRIORITY_READ);
  keyed_lock(k);
  status = scan_range_check(k, o, c->view->cut.epoch, err);
  keyed_unlock(k);
  if (status == SB_OK)
    status = scan_range_init(&c->range, k, o, err);
  if (status == SB_OK && c->event == NULL)
    status = sb_error_set(err, SB_NO_MEMORY,
                          "could not open a cursor: no memory");
  c->key_group = c->range.key_group_first;
  return status;
}

sb_status
view_scan_open(sb_view *view, const sb_scan_options *options,
               sb_view_cursor **out, sb_error *err)
{
  keyed *k = view->cut.owner;
  sb_view_cursor *c = mem_zalloc(k->host, sizeof *c);
  sb_status status;

  *out = NULL;
  if (c == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not open a cursor: no memory");
  c->view = view;
  c->keyed = k;
  status = view_scan_init(c, options, err);
  if (status != SB_OK) {
    view_scan_close(c);
    return status;
  }
  *out = c;
  return SB_OK;
}

/* Waits until all of the cut is in segments. */
static sb_status
view_scan_settle(sb_view_cursor *c, sb_error *err)
{
  keyed *k = c->keyed;
  sb_status status = flush_until(k, c->view->cut.epoch, c->event, NULL, err);

  if (status != SB_OK)
    return status;
  keyed_lock(k);
  c->all = view_version(k, c->view);
  keyed_unlock(k);
  if (c->all == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan a view: no memory");
  return SB_OK;
}

sb_status
view_scan_next(sb_view_cursor *c, sb_row *row, sb_error *err)
{
  keyed *k = c->keyed;
  int keys = (c->range.flags & SB_SCAN_KEYS) != 0;
  sb_status status = SB_OK;

  memset(row, 0, sizeof *row);
  if (keyed_stopping(k))
    return sb_error_set(err, SB_CANCELLED, "scanning was interrupted");
  if (c->all == NULL)
    status = view_scan_settle(c, err);
  if (status != SB_OK)
    return status;
  if (c->range.state->kind == SB_STATE_LIST && !keys)
    return view_scan_elements(c, row, err);
  status = view_scan_any(c, row, err);
  if (status == SB_OK && keys)
    row->subkey = row->value = sb_slice_of(NULL, 0);
  return status;
}

void
view_scan_close(sb_view_cursor *c)
{
  keyed *k;

  if (c == NULL)
    return;
  k = c->keyed;
  view_scan_stop(c);
  prefetch_dispose(&c->prefetch);
  if (c->event != NULL)
    k->host->event_free(k->host, c->event);
  buf_dispose(&c->last_bytes);
  scan_range_dispose(&c->range);
  mem_free(k->host, c);
}
