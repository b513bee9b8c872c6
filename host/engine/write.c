/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to the record table: in place within an epoch, copy-on-write across
 * epochs. A superseded cell of the same epoch is marked dead, so that the
 * flush of that epoch skips it; cells of earlier epochs are left alone, their
 * flush still wants them.
 */
#include "config.h"

#include "host/engine/order.h"
#include "host/engine/reader.h"
#include "host/engine/space.h"

#define APPEND_CHUNK_MAX 4096u /* bytes of elements in one record */
#define APPEND_COPY_MAX 1024u  /* copied on write rather than started anew */

static table *
write_table(const place *p)
{
  return &p->state->tables[p->table];
}

/* Brings the budget up to what tables and groups have taken or given back
   since record_bytes was `before`. */
static void
write_charge(keyed *k, size_t before)
{
  if (k->record_bytes > before)
    engine_charge(k->engine, k->record_bytes - before);
  else if (k->record_bytes < before)
    engine_release(k->engine, before - k->record_bytes);
}

static int
write_is_current(const keyed *k, const cell *c)
{
  return c->epoch == (uint32_t)k->epoch;
}

/* A key without cells in memory: have segments nothing of it either? */
static int
write_knows_all(keyed *k, const place *p)
{
  size_t count;
  segment **runs = version_runs(k->version, p->key.key_group, &count);

  return count == 0 || keyed_is_cleared(k, p) ||
         !reader_may_have_key(k, runs, count, p);
}

/* The flags that a cell gets for good. */
static uint16_t
write_layout(const place *p, uint16_t flags, uint64_t expires_ms)
{
  uint16_t layout = expires_ms != 0 ? CELL_EXPIRES : 0;

  if (p->state->subkeyed && !(flags & CELL_CLEAR))
    layout |= CELL_GROUPED;
  return layout;
}

static uint8_t
write_is_plain(const cell *c)
{
  return (c->flags & (CELL_TOMBSTONE | CELL_EXPIRES)) == 0;
}

/* A cell of a group gets these flags, or another takes its place with them. */
static void
write_mark_group(const place *p, const cell *old, uint16_t flags)
{
  group *g;

  if ((flags & (CELL_TOMBSTONE | CELL_EXPIRES)) == 0 ||
      !(old->flags & CELL_GROUPED) || !write_is_plain(old))
    return;
  g = group_find(&p->state->groups[p->table], p->group_id,
                 group_check(&p->key));
  if (g != NULL)
    g->plain = 0;
}

/* Takes a grouped cell into its group. The group must have every cell that
   memory alone knows, so that a scan of the key finds it. */
static sb_status
write_join_group(keyed *k, const place *p, cell *c)
{
  table *groups = &p->state->groups[p->table];
  uint64_t check = group_check(&p->key);
  group *g = group_find(groups, p->group_id, check);
  size_t before = k->record_bytes;
  sb_status status;

  if (g == NULL) {
    if (table_reserve(k->host, groups, &k->record_bytes) != SB_OK)
      return SB_NO_MEMORY;
    g = group_new(k->host, p->group_id, check, &k->record_bytes);
    if (g == NULL)
      return SB_NO_MEMORY;
    g->complete = (uint8_t)write_knows_all(k, p);
    table_insert(groups, g->id, g);
  }
  status = group_add(k->host, groups, &g, c, &k->record_bytes);
  if (status == SB_OK) {
    g->plain &= write_is_plain(c);
  } else if (g->count == 0) {
    table_remove(groups, table_slot(groups, g->id, g));
    group_free(k->host, g, &k->record_bytes);
  }
  write_charge(k, before);
  return status;
}

static cell *
write_fill(cell *c, const place *p, sb_slice value, uint16_t flags,
           uint64_t expires_ms, size_t cap)
{
  uint8_t *at;

  c->id = p->id;
  c->state = (uint16_t)p->state->index;
  c->key_group = p->key.key_group;
  c->key_len = (uint16_t)p->key.key.len;
  c->ns_len = (uint16_t)p->key.ns.len;
  c->subkey_len = (uint16_t)p->key.subkey.len;
  c->flags = (uint8_t)flags;
  c->referenced = !p->state->ordered; /* timers are not read again soon */
  c->value_len = (uint32_t)value.len;
  c->value_cap = (uint32_t)cap;
  if (flags & CELL_EXPIRES)
    store_u64(cell_expiry(c), expires_ms);
  at = cell_key(c);
  if (p->key.key.len != 0)
    memcpy(at, p->key.key.data, p->key.key.len);
  at += p->key.key.len;
  if (p->key.ns.len != 0)
    memcpy(at, p->key.ns.data, p->key.ns.len);
  at += p->key.ns.len;
  if (p->key.subkey.len != 0)
    memcpy(at, p->key.subkey.data, p->key.subkey.len);
  at += p->key.subkey.len;
  if (value.len != 0)
    memcpy(at, value.data, value.len);
  return c;
}

/* Overwrites a cell of the current epoch where it stands. */
static int
write_in_place(cell *c, sb_slice value, uint16_t flags, uint64_t expires_ms)
{
  if ((flags & CELL_CLEAR) && value.len == 0)
    return 1;
  if (value.len > c->value_cap || ((flags ^ c->flags) & CELL_EXPIRES) != 0)
    return 0;
  if (value.len != 0)
    memmove(cell_value(c), value.data, value.len);
  c->value_len = (uint32_t)value.len;
  c->flags = (uint8_t)((c->flags & ~CELL_TOMBSTONE) | (flags &
                                                       CELL_TOMBSTONE));
  if (c->flags & CELL_EXPIRES)
    store_u64(cell_expiry(c), expires_ms);
  c->referenced = 1;
  return 1;
}

int
write_over(const keyed *k, cell *c, sb_slice value, uint64_t expires_ms)
{
  return write_is_current(k, c) &&
         write_in_place(c, value, expires_ms != 0 ? CELL_EXPIRES : 0,
                        expires_ms);
}

/* Room for the cell and its slot; cells may have gone when it returns. The
   value may be one that an earlier call lent, so it is kept first. */
static sb_status
write_reserve(keyed *k, const place *p, size_t bytes, sb_slice *value,
              sb_error *err)
{
  table *t = write_table(p);
  size_t before = k->record_bytes;
  sb_status status;

  if (!chunk_has_room(k->dirty, bytes)) {
    if (value->len != 0 && value->data != k->lent.data) {
      buf_clear(&k->lent);
      buf_add(&k->lent, value->data, value->len);
      if (k->lent.status != SB_OK)
        return sb_error_set(err, SB_NO_MEMORY,
                            "could not write a record: no memory");
      value->data = k->lent.data;
    }
    status = evict_make_room(k, bytes, err);
    if (status != SB_OK)
      return status;
    before = k->record_bytes;
  }
  if (table_reserve(k->host, t, &k->record_bytes) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not grow the record table: no memory");
  write_charge(k, before);
  return SB_OK;
}

/* Takes a cell into its namespace's space and its group: the places beside the
   table where it can be found. */
static sb_status
write_join(keyed *k, const place *p, cell *old, cell *c)
{
  int grouped = (c->flags & CELL_GROUPED) != 0;
  space *sp = NULL;

  if (old == NULL && c->ns_len != 0) {
    sp = space_get(k, p);
    if (sp == NULL)
      return SB_NO_MEMORY;
  }
  if (grouped && old != NULL) {
    evict_move_in_group(k, old, c);
  } else if (grouped && write_join_group(k, p, c) != SB_OK) {
    if (sp != NULL)
      space_settle(k, p->state, sp);
    return SB_NO_MEMORY;
  }
  if (sp != NULL)
    space_link(k, sp, c);
  else if (c->ns_len != 0)
    space_replace(k, old, c);
  return SB_OK;
}

/* A record comes to an ordered state, maybe before all that are there. */
static void
write_lower_alive(const place *p, uint16_t flags)
{
  order_tree *o = write_table(p)->order;
  uint64_t prefix;

  if (o == NULL || (flags & (CELL_TOMBSTONE | CELL_CLEAR)) != 0)
    return;
  prefix = order_prefix(p->key.key);
  if (prefix < o->alive)
    o->alive = prefix;
}

sb_status
write_cell(keyed *k, const place *p, sb_slice value, uint16_t flags,
           uint64_t expires_ms, size_t slack, cell **out, sb_error *err)
{
  table *t = write_table(p);
  uint64_t moves = k->moves;
  cell *old = table_find(t, p->id, &p->key), *c;
  size_t bytes;
  sb_status status;

  flags |= write_layout(p, flags, expires_ms);
  if (old != NULL)
    write_mark_group(p, old, flags);
  if (p->state->ordered)
    write_lower_alive(p, flags);
  if (old != NULL && write_is_current(k, old) &&
      write_in_place(old, value, flags, expires_ms)) {
    if (out != NULL)
      *out = old;
    return SB_OK;
  }
  bytes = cell_size(p->key.key.len, p->key.ns.len, p->key.subkey.len,
                    value.len + slack, flags);
  status = write_reserve(k, p, bytes, &value, err);
  if (status != SB_OK)
    return status;
  if (k->moves != moves)
    old = table_find(t, p->id, &p->key);
  c = write_fill((cell *)(void *)(k->dirty->data + k->dirty->used), p, value,
                 flags, expires_ms, value.len + slack);
  c->epoch = (uint32_t)k->epoch;
  if ((p->state->subkeyed || c->ns_len != 0) &&
      write_join(k, p, old, c) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not write a record: no memory");
  k->dirty->used += bytes;
  k->dirty->cells++;
  k->dirty->kept += !p->state->ordered;
  k->dirty_cells++;
  if (old != NULL) {
    if (write_is_current(k, old))
      old->flags |= CELL_DEAD;
    slot_replace(table_slot(t, p->id, old), c);
    k->moves++;
  } else {
    table_insert(t, p->id, c);
  }
  if (out != NULL)
    *out = c;
  return SB_OK;
}

int
write_may_be_older(keyed *k, uint32_t key_group)
{
  size_t runs;

  if (k->frozen_count != 0)
    return 1;
  (void)version_runs(k->version, key_group, &runs);
  return runs != 0;
}

void
write_forget(keyed *k, table *t, cell *c)
{
  if (write_is_current(k, c))
    c->flags |= CELL_DEAD;
  table_remove(t, table_slot(t, c->id, c));
  k->moves++;
  /* A cursor may still read older segments, from which the cell hid what the
     live version no longer has. */
  k->forgotten_epoch = k->clean_epoch;
  if (c->ns_len != 0)
    space_unlink(k, c, 0);
  evict_leave_group(k, c);
}

sb_status
write_remove(keyed *k, const place *p, sb_error *err)
{
  const table *groups = p->state->groups;
  cell *c;

  if (p->state->subkeyed) {
    /* Two chains of misses side by side. */
    table_prefetch(write_table(p), p->id);
    table_prefetch_cell(&groups[p->table], p->group_id);
  }
  c = table_find(write_table(p), p->id, &p->key);
  if (c != NULL && (c->flags & CELL_TOMBSTONE))
    return SB_OK;
  if (!write_may_be_older(k, p->key.key_group)) {
    if (c != NULL)
      write_forget(k, write_table(p), c);
    return SB_OK;
  }
  return write_cell(k, p, sb_slice_of(NULL, 0), CELL_TOMBSTONE, 0, 0, NULL,
                    err);
}

static int
write_first(void *arg, cell *c)
{
  cell **found = arg;

  *found = c;
  return 1;
}

static void
write_clear_members(keyed *k, const place *p)
{
  table *groups = &p->state->groups[p->table], *t = write_table(p);
  group *g = group_find(groups, p->group_id, group_check(&p->key));
  uint32_t i = g == NULL ? 0 : g->count;

  /* Those behind i have been looked at. With its last member the group goes. */
  while (i-- != 0)
    if (cell_same_key(g->members[i], &p->key))
      write_forget(k, t, g->members[i]);
}

sb_status
write_clear(keyed *k, const place *p, sb_error *err)
{
  place marker = *p;
  sb_status status;

  if (!p->state->subkeyed)
    return write_remove(k, p, err);
  marker.key.subkey = sb_slice_of(NULL, 0);
  marker.key.flags |= RECORD_CLEAR;
  marker.id = record_clear_id(p->group_id);
  /* The marker comes first: a failure must leave the key as it was. */
  if (write_may_be_older(k, p->key.key_group)) {
    status = write_cell(k, &marker, sb_slice_of(NULL, 0), CELL_CLEAR, 0, 0,
                        NULL, err);
    if (status != SB_OK)
      return status;
  }
  write_clear_members(k, p);
  return SB_OK;
}

/* The newest record of elements of a list, if it can take more. */
static cell *
append_tail(keyed *k, const place *p, size_t len, uint64_t expires_ms)
{
  table *groups = &p->state->groups[p->table];
  group *g = group_find(groups, p->group_id, group_check(&p->key));
  cell *c = NULL;
  size_t limit;

  if (g == NULL || g->tail == 0 ||
      table_each(write_table(p), g->tail, &p->key, write_first, &c) == 0)
    return NULL;
  limit = write_is_current(k, c) ? APPEND_CHUNK_MAX : APPEND_COPY_MAX;
  if ((c->flags & (CELL_TOMBSTONE | CELL_CLEAR)) ||
      cell_expires(c) != expires_ms || c->value_len + len > limit)
    return NULL;
  return c;
}

static void
append_element(cell *c, sb_slice value)
{
  uint8_t *at = cell_value(c) + c->value_len;

  store_u32(at, (uint32_t)value.len);
  if (value.len != 0)
    memcpy(at + 4, value.data, value.len);
  c->value_len += (uint32_t)(4 + value.len);
}

/* How many of the values, one at least, make a record with the `len` bytes
   that it has. */
static size_t
append_fitting(size_t len, const sb_slice *values, size_t count)
{
  size_t n = 1;

  len += values[0].len + 4;
  while (n < count && len + values[n].len + 4 <= APPEND_CHUNK_MAX) {
    len += values[n].len + 4;
    n++;
  }
  return n;
}

/* A new cell for the tail, with its old elements if there are any, and room
   for as much again as far as it can be used. */
static sb_status
append_grow(keyed *k, place *p, cell *tail, const sb_slice *values,
            size_t count, uint64_t expires_ms, sb_error *err)
{
  size_t slack = tail == NULL ? 0 : tail->value_len, i;
  sb_status status;
  group *g;

  buf_clear(&k->lent);
  if (tail != NULL)
    buf_add(&k->lent, cell_value(tail), tail->value_len);
  for (i = 0; i < count; i++) {
    buf_u32(&k->lent, (uint32_t)values[i].len);
    buf_add(&k->lent, values[i].data, values[i].len);
  }
  if (k->lent.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not append: no memory");
  if (tail != NULL && slack > APPEND_CHUNK_MAX - k->lent.len)
    slack = APPEND_CHUNK_MAX - k->lent.len;
  status = write_cell(k, p, sb_slice_of(k->lent.data, k->lent.len), 0,
                      expires_ms, slack, NULL, err);
  if (status != SB_OK)
    return status;
  g = group_find(&p->state->groups[p->table], p->group_id,
                 group_check(&p->key));
  if (g != NULL)
    g->tail = p->id;
  return SB_OK;
}

/* Adds what goes into one record; *count is how many that were. */
static sb_status
append_some(keyed *k, place *p, const sb_slice *values, size_t *count,
            uint64_t expires_ms, sb_error *err)
{
  cell *tail = append_tail(k, p, values[0].len + 4, expires_ms);
  size_t len = tail == NULL ? 0 : tail->value_len, n = 0;
  uint8_t subkey[8];
  unsigned i;

  if (tail != NULL && write_is_current(k, tail)) {
    while (n < *count && values[n].len + 4 <= tail->value_cap - len &&
           len + values[n].len + 4 <= APPEND_CHUNK_MAX) {
      append_element(tail, values[n]);
      len = tail->value_len;
      n++;
    }
    if (n != 0) {
      tail->referenced = 1;
      *count = n;
      return SB_OK;
    }
  }
  if (tail != NULL) {
    memcpy(subkey, cell_key(tail) + tail->key_len + tail->ns_len, 8);
  } else {
    for (i = 0; i < 8; i++)
      subkey[i] = (uint8_t)(k->list_sequence >> (56 - 8 * i));
    k->list_sequence++;
  }
  p->key.subkey = sb_slice_of(subkey, sizeof subkey);
  p->id = record_id(p->group_id, p->key.subkey);
  *count = append_fitting(len, values, *count);
  return append_grow(k, p, tail, values, *count, expires_ms, err);
}

sb_status
write_append(keyed *k, place *p, const sb_slice *values, size_t count,
             uint64_t expires_ms, sb_error *err)
{
  sb_status status = SB_OK;
  size_t n;

  for (; status == SB_OK && count != 0; values += n, count -= n) {
    n = count;
    status = append_some(k, p, values, &n, expires_ms, err);
    p->key.subkey = sb_slice_of(NULL, 0);
  }
  return status;
}

cell *
write_promote(keyed *k, const place *p, sb_slice value, uint64_t expires_ms)
{
  table *t = write_table(p);
  uint16_t flags = write_layout(p, 0, expires_ms);
  size_t bytes = cell_size(p->key.key.len, p->key.ns.len, p->key.subkey.len,
                           value.len, flags);
  size_t before;
  cell *c;

  if (!evict_clean_room(k, bytes))
    return NULL;
  before = k->record_bytes;
  if (table_reserve(k->host, t, &k->record_bytes) != SB_OK)
    return NULL;
  write_charge(k, before);
  c = write_fill((cell *)(void *)(k->clean_open->data + k->clean_open->used),
                 p, value, flags, expires_ms, value.len);
  c->epoch = 0;
  c->referenced = 0;
  if ((p->state->subkeyed || c->ns_len != 0) &&
      write_join(k, p, NULL, c) != SB_OK)
    return NULL;
  k->clean_open->used += bytes;
  k->clean_open->cells++;
  k->clean_open->kept++;
  table_insert(t, p->id, c);
  return c;
}
