/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to the record table: in place within an epoch, copy-on-write across
 * epochs. A superseded cell of the same epoch is marked dead, so that the
 * flush of that epoch skips it; cells of earlier epochs are left alone, their
 * flush still wants them.
 */
#include "config.h"

#include "host/engine/lone.h"
#include "host/engine/order.h"
#include "host/engine/reader.h"
#include "host/engine/space.h"
#include "host/engine/write.h"

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

/* A key without cells in memory: have segments nothing of it either? */
static int
write_knows_all(keyed *k, const place *p)
{
  size_t count;
  segment **runs = version_runs(k->version, p->key.key_group, &count);

  return count == 0 || keyed_is_cleared(k, p) ||
         !reader_may_have_key(k, runs, count, p);
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

static group *
write_new_group(keyed *k, const place *p)
{
  table *groups = &p->state->groups[p->table];
  group *g;

  if (table_reserve(k->host, groups, &k->record_bytes) != SB_OK)
    return NULL;
  g = group_new(k->host, p->group_id, group_check(&p->key),
                &k->record_bytes);
  if (g == NULL)
    return NULL;
  g->complete = (uint8_t)write_knows_all(k, p);
  table_insert(groups, g->id, g);
  return g;
}

/* Takes a grouped cell into its group. The group must have every cell that
   memory alone knows, so that a scan of the key finds it. */
static sb_status
write_join_group(keyed *k, const place *p, cell *c)
{
  table *groups = &p->state->groups[p->table];
  uint64_t *slot = group_slot(groups, p->group_id, &p->key);
  sb_status status;
  group *g;

  if (slot == NULL && groups->lists)
    return lone_join(k, p, c, write_knows_all(k, p));
  if (slot == NULL)
    g = write_new_group(k, p);
  else
    g = slot_lone(*slot) != NULL ? lone_to_group(k, p, slot)
                                 : slot_entry(*slot);
  if (g == NULL)
    return SB_NO_MEMORY;
  status = group_add(k->host, groups, &g, c, &k->record_bytes);
  if (status == SB_OK) {
    g->plain &= write_is_plain(c);
    if (c->flags & CELL_TAIL)
      g->tail = c->id;
  } else if (g->count == 0) {
    table_remove(groups, table_slot(groups, g->id, g));
    group_free(k->host, g, &k->record_bytes);
  }
  return status;
}

static sb_status
write_join_charged(keyed *k, const place *p, cell *c)
{
  size_t before = k->record_bytes;
  sb_status status = write_join_group(k, p, c);

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
    c->flags |= old->flags & (CELL_WHOLE | CELL_TAIL);
    evict_move_in_group(k, old, c);
  } else if (grouped && write_join_charged(k, p, c) != SB_OK) {
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

/* Takes the slot of `old`, if there is one. */
static void
write_enter(keyed *k, const place *p, cell *old, cell *c)
{
  table *t = write_table(p);

  if (old == NULL) {
    table_insert(t, p->id, c);
    return;
  }
  if (write_is_current(k, old))
    old->flags |= CELL_DEAD;
  k->moves++;
  slot_set(table_slot(t, p->id, old), c, 0);
}

sb_status
write_new(keyed *k, const place *p, cell *old, sb_slice value, uint16_t flags,
          uint64_t expires_ms, size_t slack, cell **out, sb_error *err)
{
  uint64_t moves = k->moves;
  size_t bytes;
  sb_status status;
  cell *c;

  flags |= write_layout(p, flags, expires_ms);
  if (old != NULL)
    write_mark_group(p, old, flags);
  bytes = write_size(p, value.len + slack, flags);
  status = write_reserve(k, p, bytes, &value, err);
  if (status != SB_OK)
    return status;
  if (k->moves != moves)
    old = table_find(write_table(p), p->id, &p->key);
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
  write_enter(k, p, old, c);
  if (out != NULL)
    *out = c;
  return SB_OK;
}

sb_status
write_cell(keyed *k, const place *p, sb_slice value, uint16_t flags,
           uint64_t expires_ms, size_t slack, cell **out, sb_error *err)
{
  cell *old = table_find(write_table(p), p->id, &p->key);

  flags |= write_layout(p, flags, expires_ms);
  if (p->state->ordered)
    write_lower_alive(p, flags);
  if (old == NULL || !write_is_current(k, old))
    return write_new(k, p, old, value, flags, expires_ms, slack, out, err);
  write_mark_group(p, old, flags);
  if (!write_in_place(old, value, flags, expires_ms))
    return write_new(k, p, old, value, flags, expires_ms, slack, out, err);
  if (out != NULL)
    *out = old;
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

static void
write_clear_members(keyed *k, const place *p)
{
  table *groups = &p->state->groups[p->table], *t = write_table(p);
  const uint64_t *slot = group_slot(groups, p->group_id, &p->key);
  group *g;
  uint32_t i;

  if (slot == NULL)
    return;
  if (slot_lone(*slot) != NULL) {
    write_forget(k, t, slot_lone(*slot));
    return;
  }
  g = slot_entry(*slot);
  /* Those behind i have been looked at. With its last member the group goes. */
  for (i = g->count; i-- != 0;)
    if (cell_same_key(g->members[i], &p->key))
      write_forget(k, t, g->members[i]);
}

static sb_status
write_marker(keyed *k, const place *p, sb_error *err)
{
  place marker = *p;

  marker.key.subkey = sb_slice_of(NULL, 0);
  marker.key.flags |= RECORD_CLEAR;
  marker.id = record_clear_id(p->group_id);
  return write_cell(k, &marker, sb_slice_of(NULL, 0), CELL_CLEAR, 0, 0, NULL,
                    err);
}

sb_status
write_clear_key(keyed *k, const place *p, int members, sb_error *err)
{
  /* The marker comes first: a failure must leave the key as it was. */
  sb_status status = write_may_be_older(k, p->key.key_group)
                       ? write_marker(k, p, err)
                       : SB_OK;

  if (status == SB_OK && members)
    write_clear_members(k, p);
  return status;
}

sb_status
write_clear(keyed *k, const place *p, sb_error *err)
{
  return p->state->subkeyed ? write_clear_key(k, p, 1, err)
                            : write_remove(k, p, err);
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
