/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors. A key group at a time, two sources are merged: the cells in memory,
 * whose keys are collected and sorted in bounded batches, and the segments of
 * the live version. Each candidate is looked up again when its turn comes, so
 * that writes between two calls are seen or not, but never half.
 */
#include "config.h"

#include "host/engine/scan.h"

#define SCAN_BATCH 16384u /* keys collected at once */
#define SCAN_AHEAD ((size_t)256 << 10)

/* ---- what is in range ---------------------------------------------------- */

static int
scan_in_range(const sb_cursor *c, const record *r)
{
  sb_slice at;

  if (c->has_ns && !slice_equal(r->ns, c->ns))
    return 0;
  if (c->has_key && !slice_equal(r->key, c->key))
    return 0;
  at = c->state->ordered ? r->key : r->subkey;
  if (c->start.len != 0 && slice_compare(at, c->start) < 0)
    return 0;
  return c->end.len == 0 || slice_compare(at, c->end) < 0;
}

/* The first place that can be in range in the current key group. */
static void
scan_first_place(const sb_cursor *c, record *r)
{
  memset(r, 0, sizeof *r);
  r->state = c->state->id;
  r->key_group = (uint16_t)c->key_group;
  r->flags = RECORD_CLEAR | (c->state->ordered ? RECORD_ORDERED : 0);
  r->ns = c->ns;
  if (c->has_key) {
    r->key = c->key;
    r->hash = c->state->ordered ? 0 : record_hash(c->key);
  } else if (c->state->ordered) {
    r->key = c->start;
  }
}

/* ---- memory side --------------------------------------------------------- */

typedef struct collect {
  sb_cursor *cursor;
  sort_entry *entries;
  size_t count, cap;
  int more; /* some were left for the next batch */
  int failed;
} collect;

/* Keeps the smallest half when there are too many. */
static void
collect_trim(collect *b)
{
  if (b->count < 2 * SCAN_BATCH)
    return;
  sort_cells(b->cursor->keyed, b->entries, b->count);
  b->count = SCAN_BATCH;
  b->more = 1;
}

static int
collect_cell(void *arg, cell *cl)
{
  collect *b = arg;
  sb_cursor *c = b->cursor;
  record r;

  if (cl->flags & (CELL_TOMBSTONE | CELL_CLEAR))
    return 0;
  cell_record(cl, c->state->id, c->state->ordered, &r);
  if (!scan_in_range(c, &r) ||
      (c->has_last && record_compare(&r, &c->last) <= 0))
    return 0;
  if (b->count == b->cap) {
    size_t cap = b->cap == 0 ? 64 : b->cap * 2;
    sort_entry *e = mem_realloc(c->keyed->host, b->entries, cap * sizeof *e);

    if (e == NULL) {
      b->failed = 1;
      return 1;
    }
    b->entries = e;
    b->cap = cap;
  }
  b->entries[b->count].prefix = 0;
  b->entries[b->count++].cell = cl;
  collect_trim(b);
  return 0;
}

static void
collect_group(collect *b, const place *p)
{
  const sb_cursor *c = b->cursor;
  const group *g = group_find(&c->state->groups[p->table], p->group_id,
                              group_check(&p->key));
  uint32_t i;

  for (i = 0; g != NULL && i < g->count && !b->failed; i++)
    (void)table_each(&c->state->tables[p->table], g->members[i], &p->key,
                     collect_cell, b);
}

static void
collect_table(collect *b)
{
  const sb_cursor *c = b->cursor;
  const table *t = &c->state->tables[c->key_group -
                                     c->keyed->key_group_first];
  uint32_t i;

  for (i = 0; t->slots != NULL && i <= t->mask && !b->failed; i++)
    if (t->slots[i] > TABLE_GONE)
      (void)collect_cell(b, slot_entry(t->slots[i]));
}

static void
scan_key_place(const sb_cursor *c, place *p)
{
  record r;

  memset(&r, 0, sizeof r);
  r.state = c->state->id;
  r.key_group = (uint16_t)c->key_group;
  r.ns = c->ns;
  r.key = c->key;
  keyed_place_record(c->keyed, c->state, &r, p);
}

/* Copies the sorted keys, so that cells may come and go. Duplicates, from
   members listed twice, go. */
static sb_status
collect_copy(collect *b)
{
  sb_cursor *c = b->cursor;
  record r, *m;
  size_t i, bytes = 0, bytes_max = c->keyed->engine->memory_limit / 64;

  mem_free(c->keyed->host, c->keys);
  c->keys = mem_alloc(c->keyed->host, b->count * sizeof *c->keys);
  c->key_count = c->key_at = 0;
  buf_clear(&c->key_bytes);
  for (i = 0; i < b->count; i++) {
    bytes += (size_t)b->entries[i].cell->key_len + b->entries[i].cell->ns_len +
             b->entries[i].cell->subkey_len;
    if (bytes > bytes_max && i > 0) {
      b->count = i + 1; /* the rest comes with the next batch */
      b->more = 1;
    }
  }
  if (c->keys == NULL || buf_extend(&c->key_bytes, bytes) == NULL)
    return SB_NO_MEMORY;
  c->key_bytes.len = 0;
  for (i = 0; i < b->count; i++) {
    const cell *cl = b->entries[i].cell;
    uint8_t *at = c->key_bytes.data + c->key_bytes.len;
    size_t len = (size_t)cl->key_len + cl->ns_len + cl->subkey_len;

    if (i > 0 && cl == b->entries[i - 1].cell)
      continue;
    cell_record(cl, c->state->id, c->state->ordered, &r);
    memcpy(at, cell_key(cl), len);
    c->key_bytes.len += len;
    m = &c->keys[c->key_count++];
    *m = r;
    m->value = sb_slice_of(NULL, 0);
    m->key.data = at;
    m->ns.data = at + r.key.len;
    m->subkey.data = at + r.key.len + r.ns.len;
  }
  return SB_OK;
}

static sb_status
scan_collect(sb_cursor *c, sb_error *err)
{
  collect b;
  sb_status status;
  place p;

  memset(&b, 0, sizeof b);
  b.cursor = c;
  if (c->has_key && c->state->subkeyed) {
    scan_key_place(c, &p);
    collect_group(&b, &p);
  } else if (c->has_key) {
    scan_key_place(c, &p);
    (void)table_each(&c->state->tables[p.table], p.id, &p.key, collect_cell,
                     &b);
  } else {
    collect_table(&b);
  }
  if (!b.failed) {
    sort_cells(c->keyed, b.entries, b.count);
    /* What was left out comes behind these, but not behind all. */
    if (b.more && b.count > SCAN_BATCH)
      b.count = SCAN_BATCH;
  }
  status = b.failed ? SB_NO_MEMORY : collect_copy(&b);
  c->keys_more = b.more;
  mem_free(c->keyed->host, b.entries);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not scan state \"%.*s\": no "
                        "memory", (int)c->state->name.len,
                        (const char *)c->state->name.data);
  return SB_OK;
}

/* ---- segment side -------------------------------------------------------- */

static void
scan_close_merge(sb_cursor *c)
{
  if (c->merge_open)
    merge_dispose(&c->merge, c->keyed->host);
  c->merge_open = 0;
  c->merge_valid = 0;
}

/* Memory alone knows all of the key: segments need not be asked. */
static int
scan_is_complete(sb_cursor *c, segment *const *runs, size_t count)
{
  const group *g;
  place p;

  if (count == 0)
    return 1;
  if (!c->has_key || !c->state->subkeyed)
    return 0;
  scan_key_place(c, &p);
  g = group_find(&c->state->groups[p.table], p.group_id, group_check(&p.key));
  if (g != NULL)
    return g->complete && !c->keys_more; /* the rest may be evicted */
  return !reader_may_have_key(c->keyed, runs, count, &p);
}

static int
scan_merge_in_state(const sb_cursor *c)
{
  const record *r = &c->merge.record;

  return r->key_group == c->key_group && r->state == c->state->id &&
         (!c->has_ns || slice_equal(r->ns, c->ns)) &&
         (!c->has_key || slice_equal(r->key, c->key));
}

/* Settles the merge on a record that is in range and after the last row. */
static sb_status
scan_settle_merge(sb_cursor *c, sb_status status, sb_error *err)
{
  while (status == SB_OK) {
    const record *r = &c->merge.record;

    if (!scan_merge_in_state(c)) {
      status = SB_END;
      break;
    }
    if ((r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) == 0 &&
        scan_in_range(c, r) &&
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
  scan_first_place(c, from);
  if (!c->has_last)
    return;
  *from = c->last;
  if (!c->state->ordered) {
    from->subkey = sb_slice_of(NULL, 0);
    from->flags |= RECORD_CLEAR;
  }
}

static sb_status
scan_open_merge(sb_cursor *c, sb_error *err)
{
  segment **runs;
  size_t count, i;
  record from;
  sb_status status;

  scan_close_merge(c);
  runs = version_runs(c->version, c->key_group, &count);
  if (scan_is_complete(c, runs, count))
    return SB_OK;
  if (merge_init(&c->merge, c->keyed->host, count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
  c->merge_open = 1;
  scan_seek_place(c, &from);
  for (i = 0; i < count; i++)
    run_init(&c->merge.runs[i], &c->reader, runs[i], c->key_group,
             c->has_key ? 0 : SCAN_AHEAD);
  for (i = 0; i < count; i++) {
    status = run_seek(&c->merge.runs[i], &from, err);
    if (status != SB_OK && status != SB_END)
      return status;
  }
  return scan_settle_merge(c, merge_first(&c->merge, err), err);
}

/* ---- rows ---------------------------------------------------------------- */

static sb_status
scan_remember(sb_cursor *c, const record *r, sb_error *err)
{
  uint8_t *at;

  buf_clear(&c->last_bytes);
  at = buf_extend(&c->last_bytes, r->key.len + r->ns.len + r->subkey.len + 1);
  if (at == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not scan: no memory");
  memcpy(at, r->key.data, r->key.len);
  if (r->ns.len != 0)
    memcpy(at + r->key.len, r->ns.data, r->ns.len);
  if (r->subkey.len != 0)
    memcpy(at + r->key.len + r->ns.len, r->subkey.data, r->subkey.len);
  c->last = *r;
  c->last.key.data = at;
  c->last.ns.data = at + r->key.len;
  c->last.subkey.data = at + r->key.len + r->ns.len;
  c->last.flags &= RECORD_ORDERED;
  c->has_last = 1;
  return SB_OK;
}

/* The next candidate of both sources: *from_segment is 1 if the merge has it
   too. SB_END at the end of the key group. */
static sb_status
scan_candidate(sb_cursor *c, record *out, int *from_segment, sb_error *err)
{
  int order = -1;
  sb_status status;

  if (c->key_at == c->key_count && c->keys_more) {
    status = scan_collect(c, err);
    if (status != SB_OK)
      return status;
  }
  *from_segment = 0;
  if (c->key_at == c->key_count) {
    if (!c->merge_valid)
      return SB_END;
    order = 1;
  } else if (c->merge_valid) {
    order = record_compare(&c->keys[c->key_at], &c->merge.record);
  }
  if (order <= 0)
    *out = c->keys[c->key_at++];
  if (order >= 0) {
    *out = c->merge.record;
    *from_segment = 1;
  }
  return SB_OK;
}

/* What the candidate is now. SB_NOT_FOUND: skip it. */
static sb_status
scan_resolve(sb_cursor *c, const record *candidate, int from_segment,
             sb_row *row, sb_error *err)
{
  keyed *k = c->keyed;
  uint64_t expires_ms = 0;
  cell *found;
  sb_status status;
  place p;

  keyed_place_record(k, c->state, candidate, &p);
  status = keyed_peek(k, &p, &found);
  if (status == SB_OK) {
    row->value = sb_slice_of(cell_value(found), found->value_len);
    row->expires_ms = cell_expires(found);
  } else if (status == SB_BUSY && from_segment) {
    row->value = candidate->value;
    row->expires_ms = candidate->expires_ms;
    if (keyed_expired(k, c->state, row->expires_ms) ||
        keyed_cleared_since(&p, c->epoch))
      status = SB_NOT_FOUND;
    else
      status = SB_OK;
  } else if (status == SB_BUSY) {
    status = keyed_read(k, &p, &row->value, &expires_ms, &found, err);
    row->expires_ms = expires_ms;
  }
  return status;
}

static sb_status
scan_advance_merge(sb_cursor *c, sb_error *err)
{
  if (!c->merge_used)
    return SB_OK;
  c->merge_used = 0;
  return scan_settle_merge(c, merge_next(&c->merge, err), err);
}

static void
scan_fill_row(const sb_cursor *c, sb_row *row)
{
  row->key_group = c->key_group;
  row->key = c->last.key;
  row->ns = c->last.ns;
  row->subkey = c->last.subkey;
}

/* The next record of the current key group into *row. With SB_SCAN_KEYS a key
   is returned at its first record that is still there. */
static sb_status
scan_next_record(sb_cursor *c, sb_row *row, sb_error *err)
{
  record candidate;
  int from_segment, seen;
  sb_status status, found;

  for (;;) {
    status = scan_advance_merge(c, err);
    if (status == SB_OK)
      status = scan_candidate(c, &candidate, &from_segment, err);
    if (status != SB_OK)
      return status;
    c->merge_used = from_segment;
    seen = c->has_last && c->last_returned &&
           record_compare_key(&candidate, &c->last) == 0;
    found = scan_resolve(c, &candidate, from_segment, row, err);
    if (found != SB_OK && found != SB_NOT_FOUND)
      return found;
    status = scan_remember(c, &candidate, err);
    if (status != SB_OK)
      return status;
    c->last_returned = seen || found == SB_OK;
    if (found == SB_OK && !(seen && (c->flags & SB_SCAN_KEYS))) {
      scan_fill_row(c, row);
      return SB_OK;
    }
  }
}

/* Takes up the live version. An older one will do as long as memory still has
   what was written after it; else the sources are opened anew. */
static sb_status
scan_refresh(sb_cursor *c, sb_error *err)
{
  keyed *k = c->keyed;
  sb_status status;

  if (c->opened && k->evicted_epoch <= c->epoch)
    return SB_OK;
  scan_close_merge(c);
  c->merge_used = 0;
  keyed_lock(k);
  version_unref(k, c->version);
  c->version = k->version;
  c->version->refs++;
  keyed_unlock(k);
  c->epoch = k->clean_epoch;
  if (!c->opened) {
    status = scan_collect(c, err);
    if (status != SB_OK)
      return status;
  }
  status = scan_open_merge(c, err);
  if (status == SB_OK)
    c->opened = 1;
  return status;
}

static sb_status
scan_next_any(sb_cursor *c, sb_row *row, sb_error *err)
{
  sb_status status;

  while (c->key_group <= c->key_group_last) {
    status = scan_refresh(c, err);
    if (status == SB_OK)
      status = scan_next_record(c, row, err);
    if (status != SB_END) {
      if (status != SB_OK)
        c->opened = 0; /* the next call takes up behind the last row */
      return status;
    }
    c->key_group++;
    c->opened = 0;
    c->has_last = 0;
    c->merge_used = 0;
    scan_close_merge(c);
  }
  return SB_END;
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
  else
    status = scan_next_any(c, row, err);
  if (status == SB_OK && (c->flags & SB_SCAN_KEYS))
    row->subkey = row->value = sb_slice_of(NULL, 0);
  if (status == SB_OK && c->state->kind == SB_STATE_LIST)
    row->subkey = sb_slice_of(NULL, 0);
  c->has_row = status == SB_OK;
  return status;
}

/* ---- open and close ------------------------------------------------------ */

static sb_slice
scan_keep(sb_cursor *c, sb_slice s)
{
  size_t at = c->bounds.len;

  buf_add(&c->bounds, s.data, s.len);
  return sb_slice_of((void *)(uintptr_t)at, s.len);
}

/* Slices were kept as offsets until the buffer stopped growing. */
static void
scan_place_bound(const sb_cursor *c, sb_slice *s)
{
  s->data = c->bounds.data + (uintptr_t)s->data;
}

static sb_status
scan_init(sb_cursor *c, const sb_scan_options *o, sb_error *err)
{
  keyed *k = c->keyed;

  c->state = k->states[o->state];
  c->flags = o->flags;
  c->has_ns = o->has_ns != 0;
  c->has_key = o->has_key != 0;
  c->key_group = o->key_group_first < k->key_group_first
                   ? k->key_group_first : o->key_group_first;
  c->key_group_last = o->key_group_last > k->key_group_last
                        ? k->key_group_last : o->key_group_last;
  buf_init(&c->bounds, k->host, 4u * 65536u);
  buf_init(&c->key_bytes, k->host, SIZE_MAX / 2);
  buf_init(&c->last_bytes, k->host, 4u * 65536u);
  buf_init(&c->elements, k->host, (size_t)SB_VALUE_MAX + 65536);
  if (c->has_ns)
    c->ns = scan_keep(c, o->ns);
  if (c->has_key)
    c->key = scan_keep(c, o->key);
  c->start = scan_keep(c, o->start);
  c->end = scan_keep(c, o->end);
  buf_u8(&c->bounds, 0);
  c->reader.keyed = k;
  c->reader.event = c->event = k->host->event_new(k->host);
  c->reader.priority = SB_PRIORITY_READ;
  if (c->bounds.status != SB_OK || c->event == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open a cursor: no "
                        "memory");
  if (c->has_ns)
    scan_place_bound(c, &c->ns);
  if (c->has_key)
    scan_place_bound(c, &c->key);
  scan_place_bound(c, &c->start);
  scan_place_bound(c, &c->end);
  return SB_OK;
}

static sb_status
scan_check(const keyed *k, const sb_scan_options *o, sb_error *err)
{
  if (o->state >= k->state_count)
    return sb_error_set(err, SB_INVALID, "cannot scan: there is no state %u",
                        (unsigned)o->state);
  if (o->has_key && !o->has_ns)
    return sb_error_set(err, SB_INVALID, "cannot scan one key of all "
                        "namespaces: give the namespace too");
  if (o->flags & ~SB_SCAN_KEYS)
    return sb_error_set(err, SB_INVALID, "cannot scan with flags %#x",
                        (unsigned)o->flags);
  if (o->ns.len > SB_NAMESPACE_MAX || o->key.len > SB_KEY_MAX ||
      o->start.len > SB_SUBKEY_MAX || o->end.len > SB_SUBKEY_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "cannot scan: a bound is over %u "
                        "bytes", SB_KEY_MAX);
  return SB_OK;
}

sb_status
scan_open_cursor(keyed *k, const sb_scan_options *options, sb_cursor **out,
                 sb_error *err)
{
  sb_status status = scan_check(k, options, err);
  sb_cursor *c;

  *out = NULL;
  if (status != SB_OK)
    return status;
  c = mem_zalloc(k->host, sizeof *c);
  if (c == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not open a cursor: no "
                        "memory");
  c->keyed = k;
  status = scan_init(c, options, err);
  if (status != SB_OK) {
    scan_close(&k->base, c);
    return status;
  }
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
  keyed_lock(k);
  version_unref(k, c->version);
  keyed_unlock(k);
  mem_free(k->host, c->keys);
  buf_dispose(&c->bounds);
  buf_dispose(&c->key_bytes);
  buf_dispose(&c->last_bytes);
  buf_dispose(&c->elements);
  if (c->event != NULL)
    k->host->event_free(k->host, c->event);
  mem_free(k->host, c);
}
