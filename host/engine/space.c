/* SPDX-License-Identifier: Apache-2.0 */
/* The cells of each namespace; see space.h. */
#include "config.h"

#include "host/engine/space.h"

#define SPACE_FILL 64u  /* cells a list, before there are more lists */
#define SPACE_MORE 4u   /* times as many then */
#define SPACE_LIST_MIN 4u

static uint32_t
space_groups(const keyed *k)
{
  return k->key_group_last - k->key_group_first + 1;
}

static uint64_t
space_hash(sb_slice ns)
{
  return XXH3_64bits(ns.data, ns.len);
}

space *
space_lookup(const state *s, sb_slice ns)
{
  const table *t = &s->spaces;
  uint64_t id;
  uint32_t i;

  if (t->slots == NULL)
    return NULL;
  id = space_hash(ns);
  for (i = (uint32_t)id & t->mask;; i = (i + 1) & t->mask) {
    uint64_t slot = t->slots[i];
    space *sp;

    if (slot == 0)
      return NULL;
    if ((slot ^ id) >> 48 != 0 || slot == TABLE_GONE)
      continue;
    sp = slot_entry(slot);
    if (sp->id == id && sp->ns_len == ns.len &&
        memcmp(sp->ns, ns.data, ns.len) == 0)
      return sp;
  }
}

static space *
space_of_cell(const keyed *k, const cell *c)
{
  return space_lookup(k->states[c->state],
                      sb_slice_of(cell_key(c) + c->key_len, c->ns_len));
}

/* Brings the budget up to what record_bytes has become since `before`. */
static void
space_charge(keyed *k, size_t before)
{
  if (k->record_bytes > before)
    engine_charge(k->engine, k->record_bytes - before);
  else if (k->record_bytes < before)
    engine_release(k->engine, before - k->record_bytes);
}

/* ---- lists --------------------------------------------------------------- */

static uint32_t
space_index(const keyed *k, uint32_t lists, uint32_t key_group)
{
  if (lists == 1)
    return 0;
  return (uint32_t)((uint64_t)(key_group - k->key_group_first) * lists /
                    space_groups(k));
}

const space_list *
space_list_of(const keyed *k, const space *sp, uint32_t key_group,
              uint32_t *group_last)
{
  uint32_t i = space_index(k, sp->list_count, key_group);
  uint64_t behind = (uint64_t)(i + 1) * space_groups(k) + sp->list_count - 1;

  *group_last = k->key_group_first + (uint32_t)(behind / sp->list_count) - 1;
  return &sp->lists[i];
}

static sb_status
space_list_reserve(keyed *k, space_list *l)
{
  uint32_t cap = l->cap < SPACE_LIST_MIN ? SPACE_LIST_MIN
                                         : l->cap + l->cap / 2;
  cell **cells;

  if (l->count < l->cap)
    return SB_OK;
  cells = mem_realloc(k->host, l->cells, cap * sizeof *cells);
  if (cells == NULL)
    return SB_NO_MEMORY;
  k->record_bytes += (cap - l->cap) * sizeof *cells;
  l->cells = cells;
  l->cap = cap;
  return SB_OK;
}

static void
space_list_push(space_list *l, cell *c)
{
  *cell_place(c) = l->count;
  l->cells[l->count++] = c;
}

static void
space_lists_free(keyed *k, const space *sp, space_list *lists, uint32_t count)
{
  uint32_t i;

  for (i = 0; i < count; i++) {
    k->record_bytes -= lists[i].cap * sizeof *lists[i].cells;
    mem_free(k->host, lists[i].cells);
  }
  if (lists == &sp->one)
    return;
  k->record_bytes -= count * sizeof *lists;
  mem_free(k->host, lists);
}

/* Spreads the cells over `count` lists that are still empty. */
static sb_status
space_spread(keyed *k, const space *sp, space_list *lists, uint32_t count)
{
  uint32_t i, j;

  for (i = 0; i < sp->list_count; i++)
    for (j = 0; j < sp->lists[i].count; j++) {
      const cell *c = sp->lists[i].cells[j];
      space_list *to = &lists[space_index(k, count, c->key_group)];

      if (space_list_reserve(k, to) != SB_OK)
        return SB_NO_MEMORY;
      to->cells[to->count++] = sp->lists[i].cells[j];
    }
  return SB_OK;
}

/* More lists, if they have become long. Without memory it stays as it is. */
static void
space_grow(keyed *k, space *sp)
{
  uint32_t count = sp->list_count * SPACE_MORE, i, j;
  space_list *lists;

  if (count > space_groups(k))
    count = space_groups(k);
  if (sp->count < (uint64_t)sp->list_count * SPACE_FILL ||
      count <= sp->list_count)
    return;
  lists = mem_zalloc(k->host, count * sizeof *lists);
  if (lists == NULL)
    return;
  k->record_bytes += count * sizeof *lists;
  if (space_spread(k, sp, lists, count) != SB_OK) {
    space_lists_free(k, sp, lists, count);
    return;
  }
  for (i = 0; i < count; i++)
    for (j = 0; j < lists[i].count; j++)
      *cell_place(lists[i].cells[j]) = j;
  space_lists_free(k, sp, sp->lists, sp->list_count);
  memset(&sp->one, 0, sizeof sp->one);
  sp->lists = lists;
  sp->list_count = count;
}

/* ---- spaces -------------------------------------------------------------- */

static space *
space_new(keyed *k, state *s, sb_slice ns)
{
  size_t bytes = sizeof(space) + ns.len;
  space *sp;

  if (table_reserve(k->host, &s->spaces, &k->record_bytes) != SB_OK)
    return NULL;
  sp = mem_zalloc(k->host, bytes);
  if (sp == NULL)
    return NULL;
  sp->id = space_hash(ns);
  sp->born = sp->serial = ++k->space_serial;
  sp->complete = (uint8_t)space_knows_all(s, NULL);
  sp->list_count = 1;
  sp->lists = &sp->one;
  sp->ns_len = (uint16_t)ns.len;
  memcpy(sp->ns, ns.data, ns.len);
  k->record_bytes += bytes;
  table_insert(&s->spaces, sp->id, sp);
  return sp;
}

static void
space_free(keyed *k, space *sp)
{
  space_lists_free(k, sp, sp->lists, sp->list_count);
  k->record_bytes -= sizeof *sp + sp->ns_len;
  mem_free(k->host, sp);
}

static void
space_drop_empty(keyed *k, state *s, space *sp)
{
  if (sp->count != 0)
    return;
  table_remove(&s->spaces, table_slot(&s->spaces, sp->id, sp));
  space_free(k, sp);
}

void
space_settle(keyed *k, state *s, space *sp)
{
  size_t before = k->record_bytes;

  space_drop_empty(k, s, sp);
  space_charge(k, before);
}

space *
space_get(keyed *k, const place *p)
{
  size_t before = k->record_bytes;
  space *sp = space_lookup(p->state, p->key.ns);

  if (sp == NULL)
    sp = space_new(k, p->state, p->key.ns);
  if (sp != NULL)
    space_grow(k, sp);
  if (sp != NULL &&
      space_list_reserve(k, &sp->lists[space_index(k, sp->list_count,
                                                   p->key.key_group)]) !=
        SB_OK) {
    space_drop_empty(k, p->state, sp);
    sp = NULL;
  }
  if (k->record_bytes != before)
    space_charge(k, before);
  return sp;
}

void
space_link(keyed *k, space *sp, cell *c)
{
  space_list_push(&sp->lists[space_index(k, sp->list_count, c->key_group)],
                  c);
  sp->count++;
}

void
space_replace(keyed *k, const cell *old, cell *c)
{
  space *sp = space_of_cell(k, old);
  uint32_t at = *cell_place((cell *)(uintptr_t)old);

  *cell_place(c) = at;
  if (sp != NULL)
    sp->lists[space_index(k, sp->list_count, c->key_group)].cells[at] = c;
}

void
space_unlink(keyed *k, const cell *c, int evicted)
{
  state *s = k->states[c->state];
  space *sp = space_of_cell(k, c);
  space_list *l;
  cell *last;
  uint32_t at = *cell_place((cell *)(uintptr_t)c);

  if (sp == NULL)
    return;
  l = &sp->lists[space_index(k, sp->list_count, c->key_group)];
  last = l->cells[--l->count];
  l->cells[at] = last;
  *cell_place(last) = at;
  sp->count--;
  if (evicted) {
    sp->complete = 0;
    sp->serial = ++k->space_serial;
  }
  if (sp->count != 0)
    return;
  if (!sp->complete)
    s->spaces_lost++;
  space_settle(k, s, sp);
}

/* ---- what memory knows --------------------------------------------------- */

int
space_knows_all(const state *s, const space *sp)
{
  if (sp != NULL)
    return sp->complete;
  return !s->restored && s->spaces_lost == 0;
}

void
space_free_all(keyed *k, state *s)
{
  size_t before = k->record_bytes;
  uint32_t i;

  for (i = 0; s->spaces.slots != NULL && i <= s->spaces.mask; i++)
    if (s->spaces.slots[i] > TABLE_GONE)
      space_free(k, slot_entry(s->spaces.slots[i]));
  table_free(k->host, &s->spaces, &k->record_bytes);
  space_charge(k, before);
}
