/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for records inside the budget. Whole chunks go: the oldest clean chunk
 * is emptied, its referenced cells get a second chance in the open clean
 * chunk. When all is dirty the epoch is frozen and flushed, and the owner
 * waits. All of it happens inside the owner's calls.
 */
#include "config.h"

#include "host/engine/order.h"
#include "host/engine/space.h"

/* The slot of the group of a grouped cell. */
static uint64_t *
evict_group_slot(const keyed *k, const cell *c, table **groups)
{
  const state *s = k->states[c->state];
  record r;

  *groups = &s->groups[c->key_group - k->key_group_first];
  cell_record(c, s->id, s->ordered, &r);
  return group_slot(*groups, record_group_id(s->id, r.ns, r.hash), &r);
}

void
evict_leave_group(keyed *k, cell *c)
{
  size_t before = k->record_bytes;
  uint64_t *slot;
  table *groups;
  group *g;

  if (!(c->flags & CELL_GROUPED))
    return;
  slot = evict_group_slot(k, c, &groups);
  if (slot == NULL)
    return;
  if (slot_lone(*slot) != NULL) {
    table_remove(groups, slot);
    return;
  }
  g = slot_entry(*slot);
  g->complete = 0;
  group_take(g, c);
  if (g->count != 0)
    return;
  table_remove(groups, slot);
  group_free(k->host, g, &k->record_bytes);
  engine_release(k->engine, before - k->record_bytes);
}

void
evict_move_in_group(keyed *k, cell *old, cell *c)
{
  table *groups;
  uint64_t *slot = evict_group_slot(k, old, &groups);
  group *g;

  *cell_member(c) = *cell_member(old);
  if (slot == NULL)
    return;
  if (slot_lone(*slot) != NULL) {
    slot_set(slot, c, SLOT_LONE);
    return;
  }
  g = slot_entry(*slot);
  g->members[*cell_member(c)] = c;
}

static void
evict_free_chunk(keyed *k, chunk *c)
{
  k->record_bytes -= c->size;
  engine_release(k->engine, c->size);
  chunk_free(k->host, c);
}

/* Moves a cell to the open clean chunk, if it has room. */
static int
evict_spare(keyed *k, uint64_t *slot, cell *c, size_t bytes)
{
  cell *copy;

  if (!chunk_has_room(k->clean_open, bytes))
    return 0;
  copy = (cell *)(void *)(k->clean_open->data + k->clean_open->used);
  memcpy(copy, c, bytes);
  copy->referenced = 0;
  if (c->ns_len != 0)
    space_replace(k, c, copy);
  if (c->flags & CELL_GROUPED)
    evict_move_in_group(k, c, copy);
  k->clean_open->used += bytes;
  k->clean_open->cells++;
  k->clean_open->kept++;
  slot_set(slot, copy, 0);
  return 1;
}

/* Records of ordered states are not looked up again before their turn comes,
   which segments know: all clean ones of a key group go at once. */
static void
evict_sweep(keyed *k, const table *t)
{
  if (t->order == NULL || t->order->swept >= k->clean_epoch)
    return;
  order_sweep(t->order, k->clean_epoch);
  if (k->evicted_epoch < k->clean_epoch)
    k->evicted_epoch = k->clean_epoch;
}

/* Empties a chunk and frees it. At most half of it is spared, so that each
   call makes room. */
static void
evict_chunk(keyed *k, chunk *c)
{
  size_t at = 0, spared = 0;

  k->moves++;
  while (at < c->used) {
    cell *cl = (cell *)(void *)(c->data + at);
    size_t bytes = cell_bytes(cl);
    table *t = &k->states[cl->state]->tables[cl->key_group -
                                             k->key_group_first];
    uint64_t *slot;

    at += bytes;
    if (t->ordered)
      evict_sweep(k, t);
    slot = cl->flags & CELL_DEAD ? NULL : table_slot(t, cl->id, cl);
    if (slot == NULL)
      continue;
    if (cl->referenced && spared + bytes <= c->used / 2 &&
        evict_spare(k, slot, cl, bytes)) {
      spared += bytes;
      continue;
    }
    if (cl->epoch > k->evicted_epoch)
      k->evicted_epoch = cl->epoch;
    table_remove(t, slot);
    if (cl->ns_len != 0)
      space_unlink(k, cl,
                   (cl->flags & (CELL_TOMBSTONE | CELL_CLEAR)) == 0);
    evict_leave_group(k, cl);
    keyed_count(&k->counters.evicted_bytes, bytes);
  }
  evict_free_chunk(k, c);
}

/* Frees the oldest clean chunk; 0 if there is none. */
static int
evict_oldest(keyed *k)
{
  chunk *c = chunk_list_pop(&k->clean);

  if (c == NULL && k->clean_open != NULL) {
    c = k->clean_open;
    k->clean_open = NULL;
  }
  if (c == NULL)
    return 0;
  evict_chunk(k, c);
  return 1;
}

void
evict_ordered(keyed *k, size_t most)
{
  size_t i;

  if (k->evicted_epoch == 0)
    return; /* there has been room for everything */
  for (i = 0; i < most && k->clean.first != NULL && k->clean.first->kept == 0;
       i++)
    evict_chunk(k, chunk_list_pop(&k->clean));
}

static int
evict_fits(keyed *k, size_t size)
{
  return k->record_bytes + size <= engine_record_quota(k->engine) &&
         engine_has_room(k->engine, size);
}

static chunk *
evict_new_chunk(keyed *k, size_t size)
{
  chunk *c = chunk_new(k->host, size);

  if (c == NULL)
    return NULL;
  k->record_bytes += size;
  engine_charge(k->engine, size);
  return c;
}

int
evict_clean_room(keyed *k, size_t bytes)
{
  size_t size = k->chunk_size;
  chunk *c;

  if (chunk_has_room(k->clean_open, bytes))
    return 1;
  if (bytes > size)
    return 0;
  while (!evict_fits(k, size)) {
    chunk *oldest = chunk_list_pop(&k->clean);

    if (oldest == NULL)
      return 0;
    evict_chunk(k, oldest);
  }
  c = evict_new_chunk(k, size);
  if (c == NULL)
    return 0;
  if (k->clean_open != NULL)
    chunk_list_push(&k->clean, k->clean_open);
  k->clean_open = c;
  return chunk_has_room(c, bytes);
}

/* Starts an early flush when a quarter of the quota is dirty, so that clean
   chunks are there before they are needed. */
static sb_status
evict_flush_early(keyed *k, int must, sb_error *err)
{
  size_t quota = engine_record_quota(k->engine);
  sb_status status;

  if (k->dirty != NULL && k->frozen_count == 0 &&
      (must || k->dirty_bytes >= quota / 4)) {
    compact_throttle(k);
    status = freeze_epoch(k, NULL, err);
    if (status != SB_OK)
      return status;
    atomic_fetch_add_explicit(&k->early_flushes, 1, memory_order_relaxed);
    return flush_schedule(k, err);
  }
  return SB_OK;
}

/* Waits until a frozen epoch has been flushed or flushing has failed. */
static sb_status
evict_wait(keyed *k, sb_error *err)
{
  uint64_t start = k->host->monotonic_ns(k->host);
  sb_status status = SB_OK;

  keyed_lock(k);
  while (!keyed_stopping(k) && k->frozen_first != NULL &&
         !k->frozen_first->flushed && (k->flushing || k->flush_scheduled))
    (void)keyed_wait(k, k->event, SB_NO_DEADLINE);
  if (k->frozen_first != NULL && !k->frozen_first->flushed &&
      k->flush_status != SB_OK) {
    status = k->flush_status;
    (void)sb_error_set(err, status, "%s", k->flush_error.message);
  }
  keyed_unlock(k);
  keyed_count(&k->counters.stalls, 1);
  keyed_count(&k->counters.stall_ns, k->host->monotonic_ns(k->host) - start);
  return status;
}

/* Everything is dirty: writes out what is frozen, freezing first if need be.
   Comes back when something has become clean. */
static sb_status
evict_write_out(keyed *k, sb_error *err)
{
  sb_status status = evict_flush_early(k, 1, err);

  if (status == SB_OK)
    status = flush_schedule(k, err);
  if (status == SB_OK)
    status = evict_wait(k, err);
  if (status == SB_OK)
    status = keyed_enter(k, err);
  return status;
}

/* One more chunk of `size` for dirty cells, pushed onto k->dirty. */
static sb_status
evict_grow(keyed *k, size_t size, sb_error *err)
{
  sb_status status;
  chunk *c;

  while (!evict_fits(k, size)) {
    if (evict_oldest(k))
      continue;
    if (k->dirty == NULL && k->frozen_count == 0) {
      if (engine_has_room(k->engine, size))
        break; /* a large record may take more than this handle's share */
      return sb_error_set(err, SB_NO_MEMORY,
                          "could not find %zu bytes for a record: the memory "
                          "budget of %zu bytes is in use", size,
                          k->engine->memory_limit);
    }
    status = evict_write_out(k, err);
    if (status != SB_OK)
      return status;
  }
  c = evict_new_chunk(k, size);
  if (c == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not allocate %zu bytes for records", size);
  c->next = k->dirty;
  k->dirty = c;
  k->dirty_bytes += size;
  return SB_OK;
}

sb_status
evict_make_room(keyed *k, size_t bytes, sb_error *err)
{
  size_t size = bytes > k->chunk_size ? bytes : k->chunk_size;
  sb_status status = evict_flush_early(k, 0, err);

  if (status == SB_OK)
    status = evict_grow(k, size, err);
  atomic_store_explicit(&k->counters.record_bytes, k->record_bytes,
                        memory_order_relaxed);
  atomic_store_explicit(&k->counters.dirty_bytes, k->dirty_bytes,
                        memory_order_relaxed);
  return status;
}
