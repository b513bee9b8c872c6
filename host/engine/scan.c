/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors. A key group at a time, two sources are merged: the cells in memory,
 * whose places are collected in batches (scan_keys.c), and the segments of the
 * live version. Each candidate is looked up again when its turn comes, so that
 * writes between two calls are seen or not, but never half.
 */
#include "config.h"

#include "host/engine/front.h"
#include "host/engine/scan.h"

#define SCAN_AHEAD ((size_t)256 << 10)
#define SCAN_RETURNED 4u /* chunks */
#define SCAN_CELLS_AHEAD 4u

/* ---- segment side -------------------------------------------------------- */

static void
scan_close_merge(sb_cursor *c)
{
  if (c->merge_open)
    merge_dispose(&c->merge, c->keyed->host);
  c->merge_open = 0;
  c->merge_valid = 0;
}

/* Settles the merge on a record that is in range and after the last row. */
static sb_status
scan_settle_merge(sb_cursor *c, sb_status status, sb_error *err)
{
  while (status == SB_OK) {
    const record *r = &c->merge.record;

    if (r->key_group != c->key_group || !scan_range_goes_on(&c->range, r)) {
      status = SB_END;
      break;
    }
    if ((r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) == 0 &&
        scan_range_has(&c->range, r) &&
        (!c->has_last || record_compare(r, &c->last) > 0))
      break;
    status = merge_next(&c->merge, err);
  }
  c->merge_valid = status == SB_OK;
  return status == SB_END ? SB_OK : status;
}

/* Where the runs begin: the first place, or the key of the last row with its
   clear marker. */
static void
scan_seek_place(const sb_cursor *c, record *from)
{
  scan_range_first(&c->range, c->key_group, from);
  if (!c->has_last)
    return;
  *from = c->last;
  if (!c->state->ordered) {
    from->subkey = sb_slice_of(NULL, 0);
    from->flags |= RECORD_CLEAR;
  }
}

/* Reads what the next key groups begin with, unless that was done. */
static int
scan_read_ahead(sb_cursor *c, const record *from)
{
  if (c->key_group < c->fetched_to)
    return 0;
  c->fetched_to = prefetch_range(&c->prefetch, &c->range, c->version, from,
                                 c->key_group, c->range.key_group_last) + 1;
  return 1;
}

/* The runs that may have something. Returns how many of them would have to be
   waited for. */
static size_t
scan_choose_runs(sb_cursor *c, segment *const *runs, size_t count,
                 const record *from)
{
  size_t i, n = 0, away = 0;

  for (i = 0; i < count; i++) {
    int may = prefetch_may_hold(c->keyed, &c->range, runs[i], from);

    if (may == 0 && !front_may_hold(c->state, runs[i]))
      continue;
    away += may == PREFETCH_AWAY;
    run_init(&c->merge.runs[n], &c->reader, runs[i], c->key_group,
             c->range.has_key ? 0 : SCAN_AHEAD);
    c->merge.runs[n++].kept = c->state->ordered ? run_kept_blocks(c->keyed)
                                                : 0;
  }
  c->merge.count = n;
  return away;
}

static sb_status
scan_seek_runs(sb_cursor *c, const record *from, sb_error *err)
{
  sb_status status = SB_OK;
  size_t i;

  if (c->state->ordered)
    return front_seek(&c->merge, from, err);
  for (i = 0; i < c->merge.count && status == SB_OK; i++) {
    status = run_seek(&c->merge.runs[i], from, err);
    if (status == SB_END)
      status = SB_OK;
  }
  return status;
}

static sb_status
scan_open_merge(sb_cursor *c, sb_error *err)
{
  segment **runs;
  size_t count;
  record from;
  sb_status status;

  scan_close_merge(c);
  runs = version_runs(c->version, c->key_group, &count);
  if (count == 0 || c->keys.complete)
    return SB_OK;
  scan_seek_place(c, &from);
  if (merge_init(&c->merge, c->keyed->host, count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
  c->merge_open = 1;
  if (c->key_group < c->range.key_group_last)
    (void)scan_read_ahead(c, &from);
  /* Several waits for one key group become one. */
  if (scan_choose_runs(c, runs, count, &from) > 1 &&
      scan_read_ahead(c, &from))
    (void)scan_choose_runs(c, runs, count, &from);
  status = scan_seek_runs(c, &from, err);
  if (status != SB_OK || scan_is_ordered(c))
    return status;
  return scan_settle_merge(c, merge_first(&c->merge, err), err);
}

/* ---- candidates ---------------------------------------------------------- */

/* The next candidate of both sources: *from_segment is 1 if the merge has it
   too, *found is its cell if that is known. SB_END at the end of the key
   group. */
static sb_status
scan_candidate(sb_cursor *c, record *out, int *from_segment, cell **found,
               sb_error *err)
{
  scan_keys *s = &c->keys;
  int order = 1, has_key;
  record key;
  sb_status status;

  if (s->at == s->count && s->more) {
    status = scan_collect(c, err);
    if (status != SB_OK)
      return status;
  }
  has_key = s->at < s->count && s->keys[s->at].key_group == c->key_group;
  *from_segment = 0;
  *found = NULL;
  if (!has_key && !c->merge_valid)
    return SB_END;
  if (has_key) {
    scan_key_record(c, &s->keys[s->at], &key);
    order = c->merge_valid ? record_compare(&key, &c->merge.record) : -1;
  }
  if (order <= 0) {
    *out = key;
    if (s->moves == c->keyed->moves)
      *found = s->keys[s->at].cell;
    s->at++;
  }
  if (order >= 0) {
    *out = c->merge.record;
    *from_segment = 1;
  }
  return SB_OK;
}

/* Is it a row, as far as time goes? */
sb_status
scan_judge(sb_cursor *c, sb_row *row)
{
  row->flags = 0;
  if (row->expires_ms == 0 ||
      !expiry_over(c->keyed, c->state, row->expires_ms))
    return SB_OK;
  row->flags = SB_ROW_EXPIRED;
  if ((c->flags & SB_SCAN_EXPIRED) || (c->state->flags & SB_STATE_SHOW_EXPIRED))
    return SB_OK;
  return SB_NOT_FOUND;
}

/* Takes a record of the merge into memory, so that the next scan of the
   namespace finds it there. */
static void
scan_promote(sb_cursor *c, const place *p, const sb_row *row)
{
  int current = (c->flags & SB_SCAN_KEYS) == 0 ||
                atomic_load_explicit(&c->keyed->migrating,
                                     memory_order_relaxed) == 0;

  if (c->promotions != 0 && c->state->registered && current &&
      write_promote(c->keyed, p, row->value, row->expires_ms) != NULL)
    c->promotions--;
  else
    c->learns = 0;
}

/* A candidate that memory does not have any more, or never had. */
static sb_status
scan_resolve_old(sb_cursor *c, const place *p, int from_segment, sb_row *row,
                 sb_error *err)
{
  keyed *k = c->keyed;
  reader_ctx ctx = { .keyed = k, .event = k->event,
                     .priority = SB_PRIORITY_READ };
  segment **runs;
  cache_entry *pin;
  size_t count;
  record r;
  cell *found;
  sb_status status = SB_OK;

  if (keyed_cleared_since(p, from_segment ? c->epoch : k->clean_epoch))
    return SB_NOT_FOUND;
  if (from_segment) {
    if ((c->flags & SB_SCAN_KEYS) == 0)
      status = merge_migrate(&c->merge, err);
    if (status != SB_OK)
      return status;
    row->value = c->merge.record.value;
    row->expires_ms = c->merge.record.expires_ms;
    status = scan_judge(c, row);
    if (status == SB_OK && row->flags == 0)
      scan_promote(c, p, row);
    return status;
  }
  runs = version_runs(k->version, p->key.key_group, &count);
  status = reader_lookup(&ctx, runs, count, p, &r, &pin, err);
  if (status != SB_OK)
    return status;
  row->expires_ms = r.expires_ms;
  status = scan_judge(c, row);
  if (status == SB_OK)
    status = keyed_keep(k, p, &r, &row->value, &found, err);
  cache_unpin(k->engine->cache, pin);
  return status;
}

/* What the candidate is now. SB_NOT_FOUND: skip it. */
static sb_status
scan_resolve(sb_cursor *c, const record *candidate, int from_segment,
             cell *found, sb_row *row, sb_error *err)
{
  place p;

  if (found == NULL) {
    keyed_place_record(c->keyed, c->state, candidate, &p);
    found = table_find(&c->state->tables[p.table], p.id, &p.key);
    if (found == NULL)
      return scan_resolve_old(c, &p, from_segment, row, err);
  }
  if (found->flags & CELL_TOMBSTONE)
    return SB_NOT_FOUND;
  if (c->range.has_ns)
    found->referenced = 1; /* a scan of everything says nothing about use */
  row->value = sb_slice_of(cell_value(found), found->value_len);
  row->expires_ms = cell_expires(found);
  return scan_judge(c, row);
}

/* ---- rows ---------------------------------------------------------------- */

static sb_status
scan_advance_merge(sb_cursor *c, sb_error *err)
{
  if (!c->merge_used)
    return SB_OK;
  c->merge_used = 0;
  return scan_settle_merge(c, merge_next(&c->merge, err), err);
}

sb_status
scan_own_last(sb_cursor *c, sb_error *err)
{
  record lent = c->last;
  sb_status status = SB_OK;

  if (c->has_last && c->last_lent)
    status = scan_keep_place(&c->last_bytes, &lent, &c->last, err);
  if (status == SB_OK)
    c->last_lent = 0;
  return status;
}

static void
scan_fill_row(const sb_cursor *c, sb_row *row)
{
  row->key_group = c->key_group;
  slice_copy(&row->key, &c->last.key);
  slice_copy(&row->ns, &c->last.ns);
  slice_copy(&row->subkey, &c->last.subkey);
}

static void
scan_take_version(sb_cursor *c)
{
  keyed *k = c->keyed;

  if (c->version == k->version)
    return;
  keyed_lock(k);
  version_unref(k, c->version);
  c->version = k->version;
  c->version->refs++;
  keyed_unlock(k);
}

/* Takes up the live version. An older one will do as long as memory still has
   what was written after it; else the sources are opened anew. */
sb_status
scan_refresh(sb_cursor *c, sb_error *err)
{
  keyed *k = c->keyed;
  sb_status status = SB_OK;

  if (c->opened && k->evicted_epoch <= c->epoch &&
      k->forgotten_epoch <= c->epoch)
    return SB_OK;
  scan_close_merge(c);
  c->merge_used = 0;
  if (scan_is_ordered(c))
    evict_ordered(k, SCAN_RETURNED);
  c->epoch = k->clean_epoch;
  c->placed = 0;
  if (!scan_is_ordered(c) &&
      (!c->keys.valid || c->key_group > c->keys.group_last)) {
    status = scan_collect(c, err);
    if (status != SB_OK)
      return status;
  }
  if (!c->keys.complete) {
    scan_take_version(c);
    status = scan_open_merge(c, err);
    if (status != SB_OK)
      return status;
  }
  c->opened = 1;
  return status;
}

/* The place of one of the keys as the last, without a copy. */
static void
scan_lend_last(sb_cursor *c, const scan_key *m)
{
  if (c->has_last && c->last_lent && c->range.has_key)
    c->last.subkey = sb_slice_of(m->at + m->key_len + m->ns_len,
                                 m->subkey_len);
  else
    scan_key_record(c, m, &c->last);
  c->has_last = c->last_returned = c->last_lent = 1;
}

static void
scan_fetch(const scan_key *m)
{
  __builtin_prefetch(m->cell);
  __builtin_prefetch((const char *)m->cell + 64);
}

/* The next row straight from a cell. SB_NOT_FOUND: none, or the others are to
   be looked up again. */
static sb_status
scan_next_member(sb_cursor *c, sb_row *row)
{
  scan_keys *s = &c->keys;

  while (s->alone && s->at < s->count && s->moves == c->keyed->moves) {
    const scan_key *m = &s->keys[s->at++];

    if (s->at + SCAN_CELLS_AHEAD < s->count)
      scan_fetch(m + SCAN_CELLS_AHEAD);
    if (m->cell->flags & CELL_TOMBSTONE)
      continue;
    if (c->range.has_ns)
      m->cell->referenced = 1; /* a scan of everything says nothing about use */
    row->value = sb_slice_of(cell_value(m->cell), m->cell->value_len);
    row->expires_ms = cell_expires(m->cell);
    if (scan_judge(c, row) != SB_OK)
      continue;
    scan_lend_last(c, m);
    scan_fill_row(c, row);
    return SB_OK;
  }
  return SB_NOT_FOUND;
}

/* The next record of the current key group into *row. With SB_SCAN_KEYS a key
   is returned at its first record that is still there. */
static sb_status
scan_next_record(sb_cursor *c, sb_row *row, sb_error *err)
{
  record candidate;
  int from_segment, seen;
  sb_status status, there;
  cell *found;

  for (;;) {
    status = scan_refresh(c, err);
    if (status == SB_OK && scan_next_member(c, row) == SB_OK)
      return SB_OK;
    if (status == SB_OK)
      status = scan_advance_merge(c, err);
    if (status == SB_OK)
      status = scan_candidate(c, &candidate, &from_segment, &found, err);
    if (status != SB_OK)
      return status;
    c->merge_used = from_segment;
    seen = c->has_last && c->last_returned &&
           record_compare_key(&candidate, &c->last) == 0;
    there = scan_resolve(c, &candidate, from_segment, found, row, err);
    if (there != SB_OK && there != SB_NOT_FOUND)
      return there;
    status = scan_keep_place(&c->last_bytes, &candidate, &c->last, err);
    if (status != SB_OK)
      return status;
    c->has_last = 1;
    c->last_lent = 0;
    c->last_returned = seen || there == SB_OK;
    if (there == SB_OK && !(seen && (c->flags & SB_SCAN_KEYS))) {
      scan_fill_row(c, row);
      return SB_OK;
    }
  }
}

/* On to the next key group that can have something. */
static void
scan_leave_group(sb_cursor *c)
{
  const scan_keys *s = &c->keys;
  uint32_t next = c->key_group + 1;

  if (s->complete)
    next = s->at < s->count ? s->keys[s->at].key_group : s->group_last + 1;
  c->key_group = next;
  c->opened = 0;
  c->has_last = 0;
  c->merge_used = 0;
  scan_close_merge(c);
}

static sb_status
scan_next_any(sb_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status;

  while (c->key_group <= c->range.key_group_last) {
    status = scan_is_ordered(c) ? scan_next_ordered(c, row, err)
                                : scan_next_record(c, row, err);
    if (status == SB_OK)
      return status;
    if (status != SB_END) {
      c->opened = 0; /* the next call takes up behind the last row */
      c->keys.valid = 0;
      return status;
    }
    scan_leave_group(c);
  }
  scan_learn_end(c);
  c->learns = 0;
  prefetch_drop(&c->prefetch);
  return SB_END;
}

/* The row of a key whose group says that it is there, which leaves nothing to
   be found in this key group. */
static int
scan_key_by_group(sb_cursor *c, sb_row *row)
{
  const group *g;
  place p;

  if (!(c->flags & SB_SCAN_KEYS) || !c->range.has_key || c->opened ||
      c->has_last || !c->state->subkeyed || c->range.start.len != 0 ||
      c->range.end.len != 0 || c->key_group > c->range.key_group_last)
    return 0;
  scan_key_place(c, &p);
  g = group_find(&c->state->groups[p.table], p.group_id, group_check(&p.key));
  if (g == NULL || !g->plain || !cell_same_key(g->members[0], &p.key))
    return 0;
  record_copy(&c->last, &p.key);
  c->last_lent = 0;
  scan_fill_row(c, row);
  c->keys.complete = 0; /* they were of the key group before */
  scan_leave_group(c);
  return 1;
}

/* ---- list elements ------------------------------------------------------- */

/* The next element of the list record held in c->elements. */
static int
scan_element(sb_cursor *c, sb_row *row)
{
  size_t left = c->elements.len - c->element_at;
  uint32_t len;

  if (left < 4)
    return 0;
  len = load_u32(c->elements.data + c->element_at);
  if (len > left - 4)
    return 0;
  c->element = c->element_at;
  row->value = sb_slice_of(c->elements.data + c->element_at + 4, len);
  row->expires_ms = c->element_expires;
  row->flags = c->element_flags;
  c->element_at += 4 + len;
  scan_fill_row(c, row);
  return 1;
}

static sb_status
scan_next_element(sb_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status;

  while (!scan_element(c, row)) {
    status = scan_next_any(c, row, err);
    if (status != SB_OK)
      return status;
    buf_clear(&c->elements);
    buf_add(&c->elements, row->value.data, row->value.len);
    if (c->elements.status != SB_OK)
      return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
    c->element_at = 0;
    c->element_expires = row->expires_ms;
    c->element_flags = row->flags;
  }
  return SB_OK;
}

sb_status
scan_next(sb_keyed *base, sb_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status = keyed_enter((keyed *)base, err);

  c->has_row = 0;
  if (status != SB_OK)
    return status;
  memset(row, 0, sizeof *row);
  if (c->state->kind == SB_STATE_LIST && !(c->flags & SB_SCAN_KEYS))
    status = scan_next_element(c, row, err);
  else if (!scan_key_by_group(c, row))
    status = scan_next_any(c, row, err);
  if (status == SB_OK && (c->flags & SB_SCAN_KEYS))
    row->subkey = row->value = sb_slice_of(NULL, 0);
  if (status == SB_OK && c->state->kind == SB_STATE_LIST)
    row->subkey = sb_slice_of(NULL, 0);
  c->has_row = status == SB_OK;
  return status;
}

/* ---- open and close ------------------------------------------------------ */

/* A cleared cursor: the spare one with its buffers, or a new one. */
static sb_cursor *
scan_new(keyed *k)
{
  sb_cursor *c = k->spare_cursor;
  buf keys, range, last;

  if (c != NULL) {
    keys = c->keys.bytes;
    range = c->range.bytes;
    last = c->last_bytes;
  } else {
    c = mem_alloc(k->host, sizeof *c);
    if (c == NULL)
      return NULL;
    buf_init(&keys, k->host, SIZE_MAX / 2);
    buf_init(&range, k->host, SCAN_PLACE_MAX);
    buf_init(&last, k->host, SCAN_PLACE_MAX);
  }
  k->spare_cursor = NULL;
  memset(c, 0, offsetof(sb_cursor, few));
  c->keys.bytes = keys;
  c->range.bytes = range;
  c->last_bytes = last;
  buf_init(&c->elements, k->host, (size_t)SB_VALUE_MAX + 65536);
  return c;
}

static void
scan_trim(buf *b)
{
  const sb_host *host = b->host;
  size_t max = b->max;

  if (b->cap <= SCAN_KEPT)
    return;
  buf_dispose(b);
  buf_init(b, host, max);
}

void
scan_free_spare(keyed *k)
{
  sb_cursor *c = k->spare_cursor;

  if (c == NULL)
    return;
  k->spare_cursor = NULL;
  buf_dispose(&c->keys.bytes);
  scan_range_dispose(&c->range);
  buf_dispose(&c->last_bytes);
  mem_free(k->host, c);
}

sb_status
scan_open_cursor(keyed *k, const sb_scan_options *options, sb_cursor **out,
                 sb_error *err)
{
  sb_status status = scan_range_check(k, options, k->epoch, err);
  sb_cursor *c;

  *out = NULL;
  if (status == SB_OK && k->states[options->state]->dropped_epoch != 0)
    status = sb_error_set(err, SB_INVALID, "cannot scan: state %u was dropped",
                          (unsigned)options->state);
  if (status != SB_OK)
    return status;
  c = scan_new(k);
  if (c == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open a cursor: no "
                        "memory");
  c->keyed = k;
  c->state = k->states[options->state];
  c->flags = options->flags;
  c->reader.keyed = k;
  c->reader.event = k->event;
  c->reader.priority = SB_PRIORITY_READ;
  prefetch_init(&c->prefetch, k, k->event, SB_PRIORITY_READ);
  status = scan_range_init(&c->range, k, options, err);
  if (status != SB_OK) {
    scan_close(&k->base, c);
    return status;
  }
  c->key_group = c->range.key_group_first;
  scan_learn_begin(c);
  *out = c;
  return SB_OK;
}

sb_status
scan_open(sb_keyed *base, const sb_scan_options *options, sb_cursor **out,
          sb_error *err)
{
  keyed *k = (keyed *)base;
  sb_status status = keyed_enter(k, err);

  *out = NULL;
  if (status == SB_OK && k->async != NULL)
    status = async_settle(k, NULL, err);
  if (status != SB_OK)
    return status;
  return scan_open_cursor(k, options, out, err);
}

void
scan_close(sb_keyed *base, sb_cursor *c)
{
  keyed *k = (keyed *)base;

  if (c == NULL)
    return;
  scan_close_merge(c);
  prefetch_dispose(&c->prefetch);
  if (c->version != NULL) {
    keyed_lock(k);
    version_unref(k, c->version);
    keyed_unlock(k);
  }
  scan_keys_drop(c);
  buf_dispose(&c->elements);
  scan_trim(&c->keys.bytes);
  scan_trim(&c->range.bytes);
  scan_trim(&c->last_bytes);
  scan_free_spare(k);
  k->spare_cursor = c;
}
